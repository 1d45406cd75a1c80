//! A plan's descriptors as a system again, as far as the analysis of time needs it: to take bounds apart, and to analyse the same
//! tasks under another policy.

use crate::analysis::{Analysis, analyse_in_order};
use crate::system::{Conditions, Domain, Lane, Level, Machine, Mode, Partition, Process, System, Task};
use aegis_core::desc::{ModelDesc, Release, SystemDesc, TaskDesc};
use aegis_core::{Duration, Priority, TaskId};

/// A system with the analysis of its plan.
pub(super) struct Model {
    /// The system, without models and devices.
    pub(super) system: System,
    /// For each task of the system its place in the plan.
    pub(super) places: Vec<usize>,
}

impl Model {
    /// The system of a plan; `None` where the plan's positions contradict each other, or a time exceeds 2⁶⁴ − 1 ns.
    pub(super) fn of(plan: &SystemDesc) -> Option<Self> {
        let places = in_order(plan);
        // Where each task of the plan lies in the system.
        let place = |id: TaskId| places.iter().position(|place| *place == id.index());
        let lanes = plan.lanes.iter().map(|lane| Lane {
            name: lane.name.to_owned(),
            device: None,
            policy: lane.policy,
            optimal: false,
            preemption: lane.preemption,
            core: lane.core,
            partition: lane.partition.map(|part| Partition {
                sms: part.sms,
                completion: part.completion,
                switch: part.switch,
            }),
            dispatch_overhead: lane.dispatch_overhead,
            launch_overhead: lane.launch_overhead,
            domain_switch: lane.domain_switch,
            blackout: Duration::ZERO,
            thread_wait: lane.thread_wait,
            wakeup_latency: lane.wakeup_latency,
            span: 0..0,
        });
        let tasks = places.iter().map(|own| {
            let desc = plan.tasks.get(*own)?;
            let after = match desc.stage {
                Some(stage) => Some(place(stage.after)?),
                None => None,
            };
            task(plan, desc, after)
        });
        let listed = |ids: &[TaskId]| ids.iter().filter_map(|id| place(*id)).collect::<Vec<usize>>();
        let levels = plan.levels.iter().map(|level| Level {
            name: level.name.to_owned(),
            shed: sorted(listed(level.shed)),
            reject: sorted(listed(level.reject)),
            compact: false,
            span: 0..0,
        });
        let modes = plan.modes.iter().map(|mode| Mode {
            name: mode.name.to_owned(),
            tasks: sorted(listed(mode.tasks)),
            span: 0..0,
        });
        let domains = plan.domains.iter().map(|domain| Domain {
            name: domain.name.to_owned(),
            process: domain.process.as_ref().map(|process| Process {
                kill_after: process.kill_after,
                hand_over: process.hand_over,
                blackout: Duration::ZERO,
                heartbeat: process.heartbeat,
                memory: process.memory,
                restart: None,
                meanwhile: None,
                cores: process.cores.to_vec(),
            }),
            untrusted: None,
            span: 0..0,
        });
        let system = System {
            name: plan.name.to_owned(),
            file: String::new(),
            orchestration_core: plan.orchestration_core,
            waiting: plan.waiting,
            watchdog: None,
            watch: None,
            machine: Machine::default(),
            conditions: Conditions::default(),
            libraries: Vec::new(),
            assets: Vec::new(),
            devices: Vec::new(),
            lanes: lanes.collect(),
            models: Vec::new(),
            tasks: tasks.collect::<Option<_>>()?,
            chains: Vec::new(),
            levels: levels.collect(),
            modes: modes.collect(),
            domains: domains.collect(),
        };
        Some(Self { system, places })
    }

    /// The analysis of the system in the plan's own order.
    pub(super) fn analysis(&self, plan: &SystemDesc) -> Analysis {
        let priority = |place: &usize| plan.tasks.get(*place).map_or(Priority(0), |task| task.priority);
        let order: Vec<Priority> = self.places.iter().map(priority).collect();
        analyse_in_order(&self.system, &order)
    }
}

fn sorted(mut positions: Vec<usize>) -> Vec<usize> {
    positions.sort_unstable();
    positions
}

/// The plan's positions so that each stage comes after the one before it.
fn in_order(plan: &SystemDesc) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::with_capacity(plan.tasks.len());
    // Each pass adds one stage more of every task.
    for _ in plan.tasks {
        for (position, task) in plan.tasks.iter().enumerate() {
            let is_next = task.stage.is_none_or(|stage| places.contains(&stage.after.index()));
            if is_next && !places.contains(&position) {
                places.push(position);
            }
        }
    }
    places
}

fn task(plan: &SystemDesc, desc: &TaskDesc, after: Option<usize>) -> Option<Task> {
    let model = desc.model.and_then(|model| plan.models.get(model.index()));
    let hand_over = handed(plan, desc, model)?;
    Some(Task {
        name: desc.name.to_owned(),
        lane: desc.lane.index(),
        model: None,
        domain: desc.domain.map(aegis_core::DomainId::index),
        period: desc.period,
        deadline: desc.deadline,
        phase: desc.phase,
        submitted: desc.release == Release::Submitted,
        defers: desc.defers,
        optional: desc.optional,
        jitter: desc.jitter,
        priority: Some(desc.priority),
        after,
        bcet: desc.bcet,
        wcet: desc.wcet,
        hand_over,
        handed: !hand_over.is_zero(),
        segments: desc.segments.to_vec(),
        region: desc.region,
        suspension: Duration::ZERO,
        budget: desc.budget,
        memory: None,
        on_overrun: desc.on_overrun,
        on_miss: desc.on_miss,
        on_failure: desc.on_failure,
        miss_window: desc.miss_window,
        span: 0..0,
        deadline_span: 0..0,
    })
}

/// What of a task's WCET is handing its segments over to another process, and the device's going there.
fn handed(plan: &SystemDesc, desc: &TaskDesc, model: Option<&ModelDesc>) -> Option<Duration> {
    let Some(model) = model else { return Some(Duration::ZERO) };
    let process = desc.domain.and_then(|domain| plan.domains.get(domain.index())?.process.as_ref());
    let switch = plan.lanes.get(desc.lane.index())?.partition.map_or(Duration::ZERO, |part| part.switch);
    let each = process.map_or(Duration::ZERO, |process| process.hand_over).checked_add(switch)?;
    let segments = u64::try_from(model.segments.len()).ok()?;
    each.as_ns().checked_mul(segments).map(Duration::from_ns)
}
