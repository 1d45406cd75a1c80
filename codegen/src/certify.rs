//! Turns analysis and layout into a plan that carries its certificates.
//!
//! It copies what the analysis found; it proves nothing and shares no code with `aegis_core::verify`, which re-proves
//! the result.

mod memory;
mod modes;

use crate::analysis::{Analysis, LaneResult, Proof, TaskResult, failures};
use crate::memory::Layout;
use crate::plan;
use crate::system::{Lane, Partition, System, Task};
use aegis_core::desc::{Answer, Asks, OnStall, Subject};
use aegis_core::time::Duration;

/// Why there is nothing to certify.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotCertifiable {
    /// A task has no bound, or one above its deadline.
    #[error("task `{0}` has no proven bound at or below its deadline")]
    Unproven(String),
    /// A table has more entries than an index can name, or analysis and system do not belong together.
    #[error("the plan's tables do not fit their indices")]
    Tables,
}

/// Builds the plan of a system whose tasks are all schedulable.
///
/// # Errors
/// [`NotCertifiable`].
pub fn certify(system: &System, analysis: &Analysis, layout: &Layout) -> Result<plan::Plan, NotCertifiable> {
    build(system, analysis, layout, Claim::Proven)
}

/// Builds a plan that proves nothing, to be simulated: bounds may exceed deadlines, and [`Duration::MAX`] stands for none.
///
/// # Errors
/// [`NotCertifiable::Tables`].
pub fn draft(system: &System, analysis: &Analysis, layout: &Layout) -> Result<plan::Plan, NotCertifiable> {
    build(system, analysis, layout, Claim::Nothing)
}

/// What a plan claims.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    Proven,
    Nothing,
}

fn build(system: &System, analysis: &Analysis, layout: &Layout, claim: Claim) -> Result<plan::Plan, NotCertifiable> {
    let mut order: Vec<(usize, u16, usize)> = Vec::with_capacity(system.tasks.len());
    for (index, (task, result)) in system.tasks.iter().zip(&analysis.tasks).enumerate() {
        order.push((task.lane, result.priority.0, index));
    }
    order.sort_unstable();
    // The place of each task in the plan.
    let mut places = vec![0; system.tasks.len()];
    for (place, (_, _, index)) in order.iter().enumerate() {
        *places.get_mut(*index).ok_or(NotCertifiable::Tables)? = place;
    }
    let lanes = system.lanes.iter().zip(&analysis.lanes).map(|(desc, result)| lane(desc, result, &places, claim));
    let waits = while_failing(system, analysis);
    let tasks = order.iter().map(|(_, _, index)| {
        let longest = waits.get(*index).copied().unwrap_or(Duration::ZERO);
        task(system, analysis, (*index, longest), &places, claim)
    });
    let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
    let pools = system.devices.iter().zip(&layout.pools).map(|(device, pool)| {
        Ok(plan::Pool {
            name: device.name.clone(),
            domain: device.part.map(|part| index(part.domain)).transpose()?,
            capacity_bytes: device.memory.0,
            shares: device.shares.map(index).transpose()?,
            weights_bytes: pool.weights.0,
            height_bytes: pool.height.0,
            lower_bound_bytes: pool.lower_bound.0,
            private_bytes: pool.private.0,
            copy_per_mib_ns: device.copy_per_mib.unwrap_or(Duration::ZERO).as_ns(),
            page_bytes: device.page.map_or(0, |page| page.0),
            gpu: device.gpu.clone(),
        })
    });
    let modes = system
        .modes
        .iter()
        .zip(&analysis.modes)
        .map(|(desc, found)| modes::mode(system, (desc, found), &places, claim));
    let levels = system.levels.iter().zip(&layout.levels);
    let levels = levels.map(|(desc, level)| memory::level(system, analysis, (desc, level), &places));
    Ok(plan::Plan {
        name: system.name.clone(),
        orchestration_core: system.orchestration_core,
        waiting: system.waiting.name().to_owned(),
        domains: system.domains.iter().map(domain).collect::<Result<_, _>>()?,
        watchdog: system.watchdog.as_ref().map(|watchdog| plan::Watchdog {
            timeout_ns: watchdog.timeout.as_ns(),
            device: watchdog.device.clone(),
            on_stall: match watchdog.on_stall {
                OnStall::SwitchMode(mode) => format!("mode {}", mode.0),
                word => word.name().to_owned(),
            },
        }),
        watch: system.watch.as_ref().map(watch),
        machine: system.machine.clone(),
        conditions: conditions(&system.conditions),
        libraries: system.libraries.clone(),
        assets: system.assets.clone(),
        pools: pools.collect::<Result<_, _>>()?,
        lanes: lanes.collect::<Result<_, _>>()?,
        models: memory::models(system, &layout.models)?,
        tasks,
        levels: levels.collect::<Result<_, _>>()?,
        modes: modes.collect::<Result<_, _>>()?,
    })
}

fn domain(domain: &crate::system::Domain) -> Result<plan::Domain, NotCertifiable> {
    let process = |process: &crate::system::Process| {
        let restart = process.restart.as_ref().map(|restart| plan::Restart {
            max: restart.policy.max,
            within_ns: restart.policy.within.as_ns(),
            back_off_ns: restart.policy.back_off.as_ns(),
            probation_ns: restart.policy.probation.as_ns(),
        });
        Ok(plan::Process {
            kill_after_ns: process.kill_after.as_ns(),
            hand_over_ns: process.hand_over.as_ns(),
            heartbeat_ns: process.heartbeat.map(Duration::as_ns),
            memory_bytes: process.memory.map(|memory| memory.0),
            meanwhile: process.meanwhile.map(index).transpose()?,
            restart,
            cores: process.cores.clone(),
        })
    };
    Ok(plan::Domain { name: domain.name.clone(), process: domain.process.as_ref().map(process).transpose()? })
}

fn conditions(conditions: &crate::system::Conditions) -> plan::Conditions {
    let limits = conditions.limits.iter().map(|limit| plan::Limit {
        of: match limit.of {
            Subject::Core(core) => format!("core {core}"),
            Subject::Pool(pool) => format!("pool {}", pool.0),
        },
        what: limit.what.name().to_owned(),
        value: limit.value,
    });
    let (recheck_ns, power_mode) = (conditions.recheck.as_ns(), conditions.power_mode.clone());
    plan::Conditions { recheck_ns, power_mode, limits: limits.collect() }
}

fn watch(watch: &crate::system::Watch) -> plan::Watch {
    let thresholds = watch.thresholds.iter().map(|threshold| plan::Threshold {
        source: threshold.source.name().to_owned(),
        when: threshold.when,
        until: threshold.until,
        asks: match threshold.asks {
            Asks::Level(level) => format!("level {}", level.0),
            Asks::Mode(mode) => format!("mode {}", mode.0),
        },
    });
    let (interval_ns, hold_ns) = (watch.interval.as_ns(), watch.hold.as_ns());
    plan::Watch { interval_ns, hold_ns, thresholds: thresholds.collect() }
}

/// The longest busy interval of a lane.
fn busy(lane: &Lane, result: &LaneResult, claim: Claim) -> Result<u64, NotCertifiable> {
    match (result.busy_period, claim) {
        (Ok(busy), _) => Ok(busy.as_ns()),
        (Err(_), Claim::Proven) => Err(NotCertifiable::Unproven(lane.name.clone())),
        (Err(_), Claim::Nothing) => Ok(1),
    }
}

fn lane(lane: &Lane, result: &LaneResult, places: &[usize], claim: Claim) -> Result<plan::Lane, NotCertifiable> {
    let busy = busy(lane, result, claim)?;
    let table = result.table.as_ref();
    let slot = |(at, task): &(u64, usize)| {
        let place = places.get(*task).copied().ok_or(NotCertifiable::Tables)?;
        Ok((*at, index(place)?))
    };
    Ok(plan::Lane {
        name: lane.name.clone(),
        policy: lane.policy.name().to_owned(),
        preemption: lane.preemption.name().to_owned(),
        core: lane.core,
        dispatch_overhead_ns: lane.dispatch_overhead.as_ns(),
        launch_overhead_ns: lane.launch_overhead.as_ns(),
        domain_switch_ns: lane.domain_switch.as_ns(),
        thread_wait_ns: lane.thread_wait.as_ns(),
        wakeup_latency_ns: lane.wakeup_latency.as_ns(),
        busy_period_ns: busy,
        points_ns: result.points.clone(),
        hyperperiod_ns: table.map_or(0, |table| table.hyperperiod),
        slots: table.map_or(Ok(Vec::new()), |table| table.slots.iter().map(slot).collect())?,
        partition: lane.partition.map(|own| partition(lane, own)).transpose()?,
    })
}

/// A lane's part of its device, whose pool has the device's place.
fn partition(lane: &Lane, partition: Partition) -> Result<plan::Partition, NotCertifiable> {
    let pool = index(lane.device.ok_or(NotCertifiable::Tables)?)?;
    Ok(plan::Partition {
        pool,
        sms: partition.sms,
        completion: partition.completion.name().to_owned(),
        switch_ns: partition.switch.as_ns(),
    })
}

/// A task's bound and what re-proves it.
fn bound(task: &Task, result: &TaskResult, claim: Claim) -> Result<(Duration, plan::Certificate), NotCertifiable> {
    let proven = result.response.as_ref().ok().filter(|(bound, _)| *bound <= task.deadline);
    let proven = proven.and_then(|(bound, proof)| Some((*bound, certificate(proof)?)));
    match (proven, claim) {
        (Some(proven), Claim::Proven) => Ok(proven),
        (None, Claim::Proven) => Err(NotCertifiable::Unproven(task.name.clone())),
        (_, Claim::Nothing) => Ok((result.bound().unwrap_or(Duration::MAX), plan::Certificate::Unproven {})),
    }
}

/// How long each task's jobs may be there while a fault domain of others fails, or after its own was restored, where they are in time
/// nevertheless.
fn while_failing(system: &System, analysis: &Analysis) -> Vec<Duration> {
    let failures = failures::analyse(system, analysis);
    let longest = |(position, task): (usize, &Task)| {
        let bounds = failures.iter().flat_map(|failure| [failure.tasks.get(position), failure.restored.get(position)]);
        let bounds = bounds.filter_map(|bound| bound?.as_ref()?.as_ref().ok().copied());
        bounds.filter(|bound| *bound <= task.deadline).max().unwrap_or(Duration::ZERO)
    };
    system.tasks.iter().enumerate().map(longest).collect()
}

fn task(
    system: &System,
    analysis: &Analysis,
    (position, while_failing): (usize, Duration),
    places: &[usize],
    claim: Claim,
) -> Result<plan::Task, NotCertifiable> {
    let task = system.tasks.get(position).ok_or(NotCertifiable::Tables)?;
    let result = analysis.tasks.get(position).ok_or(NotCertifiable::Tables)?;
    let (bound, mut certificate) = bound(task, result, claim)?;
    if !system.modes.is_empty() {
        // The greatest bound of the modes, each of which has a proof of its own.
        certificate = plan::Certificate::Unproven {};
    }
    // All jobs that arrive within one response may wait at once, also while a domain fails.
    let waiting =
        bound.max(while_failing).as_ns().checked_div(task.period.as_ns()).and_then(|full| full.checked_add(1));
    let queue = match claim {
        Claim::Proven => waiting.and_then(|waiting| u16::try_from(waiting).ok()).ok_or(NotCertifiable::Tables)?,
        Claim::Nothing => LONGEST_QUEUE,
    };
    let stage = task.after.map(|after| {
        let place = places.get(after).copied().ok_or(NotCertifiable::Tables)?;
        let (earliest, latest) = result.release;
        Ok(plan::Stage { after: index(place)?, earliest_ns: earliest.as_ns(), latest_ns: latest.as_ns() })
    });
    Ok(plan::Task {
        name: task.name.clone(),
        lane: index(task.lane)?,
        model: task.model.map(index).transpose()?,
        domain: task.domain.map(index).transpose()?,
        priority: result.priority.0,
        period_ns: task.period.as_ns(),
        deadline_ns: task.deadline.as_ns(),
        phase_ns: task.phase.as_ns(),
        submitted: task.submitted,
        defers: task.defers,
        optional: task.optional,
        jitter_ns: task.jitter.as_ns(),
        stage: stage.transpose()?,
        bcet_ns: task.bcet.as_ns(),
        wcet_ns: task.wcet.as_ns(),
        segments_ns: task.segments.iter().map(|segment| segment.as_ns()).collect(),
        region_ns: task.region.as_ns(),
        budget_ns: task.budget.as_ns(),
        on_overrun: answer(task.on_overrun),
        on_miss: answer(task.on_miss),
        on_failure: answer(task.on_failure),
        miss_window: task.miss_window,
        queue,
        response_ns: bound.as_ns(),
        certificate,
    })
}

/// The longest queue of a plan that proves nothing: a deadline has at most 64 periods.
const LONGEST_QUEUE: u16 = 65;

/// `None` where the core's checker has no rule for the proof.
/// As the lock has it: the answer's name, or `mode` and the position of the mode that it changes to.
fn answer(answer: Answer) -> String {
    match answer {
        Answer::SwitchMode(mode) => format!("mode {}", mode.0),
        word => word.name().to_owned(),
    }
}

fn certificate(proof: &Proof) -> Option<plan::Certificate> {
    Some(match proof {
        Proof::FixedPriority { blocking, busy_period, starts } => plan::Certificate::FixedPriority {
            blocking_ns: blocking.as_ns(),
            busy_period_ns: busy_period.as_ns(),
            starts_ns: starts.iter().map(|start| start.as_ns()).collect(),
        },
        Proof::Edf { starts } => plan::Certificate::Edf { starts_ns: starts.clone() },
        Proof::Table => plan::Certificate::Table {},
        Proof::Gaps { blocking, busy_period, starts } => plan::Certificate::Gaps {
            blocking_ns: blocking.as_ns(),
            busy_period_ns: busy_period.as_ns(),
            starts_ns: starts.iter().map(|start| start.as_ns()).collect(),
        },
        Proof::Suspension(_) => return None,
    })
}

fn index(position: usize) -> Result<u16, NotCertifiable> {
    u16::try_from(position).map_err(|_| NotCertifiable::Tables)
}
