//! What a fault domain's failure takes of the lanes, and whether the other tasks are in time nevertheless.
//!
//! The process of a domain may end at any instant, by itself or because it is killed, and then stays away. Until then its
//! segments keep their WCETs. Let one of them be in flight on a lane, or be handed over before its end is known. Its piece of the
//! job is back, as failed, within `kill-after` of its begin, whatever number of segments it hands over, and the lane's thread
//! notices that its wake-up latency later. From then on nothing of the domain is started. So on each lane of the domain one piece
//! takes longer than planned, once, by at most
//!
//! ```text
//!   E = kill-after + wake-up latency + fault blackout
//! ```
//!
//! and any other lane stands still for the fault blackout at most, once, while the process' memory is given back. On a lane of a GPU
//! on which the domain and another process have models both are longer by the device's blackout: it may serve nobody meanwhile.
//! Let a job of
//! that length go before everything, non-preemptively, at the instant at which the piece should have ended: the schedule is the
//! same. It comes once, so the lane's own analysis with one task more, of no second job, covers it;
//! `docs/theory/domain-failures.md` has the argument.
//!
//! A segment of another domain that runs then may overrun. If that lets its domain fail, both fail, and each keeps its lanes.
//!
//! **Started again.** Where the domain has a restart policy this comes again: each time its process ends it stays away for the
//! back-off, then starts and loads, which takes its `blackout` from each lane in all, and then may fail again. A start and the failure
//! after it may lie close together; between a failure and the next start lies the back-off. What a failure takes of a lane ends
//! kill-after + wake-up latency after the process at the latest. So no more than one start and one failure fall within any
//!
//! ```text
//!   W + kill-after + wake-up latency <= back-off
//! ```
//!
//! and where W is the longest busy period of a lane with a job of E + blackout that comes once, that job covers each busy period.
//! [`Failure::too_soon`] says where it is not. The tasks of the domain itself meet the start alone: nothing of theirs arrives before
//! it, and their bounds with the blackout once hold until their lanes were idle.
//!
//! Assumptions: those of the analyses; one domain fails, or starts, at a time, and no other one before the lanes have been idle
//! once; the vehicle's own process does not fail.

use super::{Analysis, NoBound, whole};
use crate::system::{Domain, Process, System, Task};
use aegis_core::desc::Answer;
use aegis_core::time::Duration;
use aegis_core::units::Priority;

/// What was found for the failure of one domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The domain's position.
    pub domain: usize,
    /// The domains that fail with it, because a task of theirs overruns then.
    pub along: Vec<usize>,
    /// For each lane, for how long it is kept besides what is planned, in nanoseconds: once, or where a domain that fails is started
    /// again once in each busy period.
    pub once: Vec<u64>,
    /// For each task its bound while the domain fails, or is started again, or why there is none; `None` for the tasks of the domain
    /// and of those that fail along with it.
    pub tasks: Vec<Option<Result<Duration, NoBound>>>,
    /// For the tasks of a domain that is started again their bounds from then on until their lanes were idle; `None` for all others.
    pub restored: Vec<Option<Result<Duration, NoBound>>>,
    /// Where the domain may fail again too soon for these bounds: then there are none.
    pub too_soon: Option<TooSoon>,
}

/// A back-off that ends within what has to pass between a failure and the next start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooSoon {
    /// The domain with the back-off: the one that fails, or one that fails along with it.
    pub domain: usize,
    /// The lane on which most time has to pass.
    pub lane: usize,
    /// Its longest busy period with the failure and the start.
    pub busy: Duration,
    /// The least back-off: that, and for how long a piece that hangs keeps its lane.
    pub least: Duration,
}

impl Failure {
    /// Whether a task of another domain meets its deadline while this one fails; `None` for a task that fails with it.
    #[must_use]
    pub fn survives(&self, system: &System, task: usize) -> Option<bool> {
        let deadline = system.tasks.get(task)?.deadline;
        let bound = self.tasks.get(task)?.as_ref()?;
        Some(bound.as_ref().is_ok_and(|bound| *bound <= deadline))
    }
}

/// Analyses the failure of each domain that is a process, in their order; the tasks keep their places.
///
/// Cost: one analysis of the system for each, and another one where starting it again takes time of the lanes.
#[must_use]
pub fn analyse(system: &System, analysis: &Analysis) -> Vec<Failure> {
    let order: Vec<Priority> = analysis.tasks.iter().map(|task| task.priority).collect();
    let processes = system.domains.iter().enumerate();
    let processes =
        processes.filter_map(|(position, domain): (usize, &Domain)| Some((position, domain.process.as_ref()?)));
    processes.map(|(domain, _)| failure(system, (analysis, &order), domain)).collect()
}

/// The failure of a domain and of those that fail along: because a task of theirs overruns, or is late then.
fn failure(system: &System, by: (&Analysis, &[Priority]), domain: usize) -> Failure {
    let mut along = along(system, vec![domain]);
    loop {
        let failure = failure_with(system, by, domain, &along);
        let is_late = |(position, task): (usize, &Task)| {
            let loses = task.on_miss == Answer::FailDomain && failure.survives(system, position) == Some(false);
            task.domain.filter(|_| loses)
        };
        let late: Vec<usize> = system.tasks.iter().enumerate().filter_map(is_late).collect();
        if late.is_empty() {
            return failure;
        }
        // What fails with these keeps its lanes, too, and so others may be late.
        along = self::along(system, [domain].into_iter().chain(along).chain(late).collect());
    }
}

/// What they keep of a lane, and what starting them again takes of it, adds up.
fn failure_with(
    system: &System,
    (analysis, order): (&Analysis, &[Priority]),
    domain: usize,
    along: &[usize],
) -> Failure {
    let fails = |other: usize| other == domain || along.contains(&other);
    let is_inside = |task: &Task| task.domain.is_some_and(fails);
    let mut hanging = vec![0_u64; system.lanes.len()];
    let mut once = vec![0_u64; system.lanes.len()];
    let mut start = 0_u64;
    // The one that is started again soonest.
    let mut soonest: Option<(usize, Duration)> = None;
    for (position, desc) in system.domains.iter().enumerate().filter(|(position, _)| fails(*position)) {
        let Some(process) = &desc.process else { continue };
        let started = process.restart.as_ref().map_or(0, |restart| restart.blackout.as_ns());
        start = start.saturating_add(started);
        let hangs = hangs(system, position, process);
        let all = hanging.iter_mut().zip(&mut once).zip(hangs).zip(&system.lanes);
        for (((hanging, once), hangs), lane) in all {
            let device = if uses(system, position, lane.device) { lane.blackout.as_ns() } else { 0 };
            let ends = process.blackout.as_ns().saturating_add(device);
            // A device may serve nobody for that long after the process is gone.
            *hanging = hanging.saturating_add(hangs).saturating_add(device);
            *once = once.saturating_add(hangs).saturating_add(ends).saturating_add(started);
        }
        if let Some(restart) = &process.restart
            && soonest.is_none_or(|(_, other)| restart.policy.back_off < other)
        {
            soonest = Some((position, restart.policy.back_off));
        }
    }
    let found = whole::analyse_with(system, order, &once);
    let bounds = |found: &Analysis, is_wanted: &dyn Fn(&Task) -> bool| {
        let tasks = system.tasks.iter().zip(&found.tasks).map(|(task, found)| {
            let bound = found.response.as_ref().map(|(bound, _)| *bound).map_err(|why| *why);
            is_wanted(task).then_some(bound)
        });
        tasks.collect::<Vec<_>>()
    };
    let mut tasks = bounds(&found, &|task: &Task| !is_inside(task));
    let spacing =
        soonest.map_or(Ok(None), |(soonest, _)| spacing(system, &found, (soonest, &is_inside), (&hanging, &once)));
    let back_off = soonest.map_or(Duration::MAX, |(_, back_off)| back_off);
    let too_soon = spacing.ok().flatten().filter(|spacing| back_off < spacing.least);
    let lost = match spacing {
        Err(why) => Some(why),
        Ok(_) => too_soon.map(|_| NoBound::Restart),
    };
    if let Some(why) = lost {
        tasks.iter_mut().flatten().for_each(|bound| *bound = Err(why));
    }
    let own = system.domains.get(domain).and_then(|own| own.process.as_ref());
    let is_started = own.is_some_and(|process| process.restart.is_some());
    let is_restored = |task: &Task| is_started && task.domain == Some(domain);
    let restored = match (soonest, start) {
        (None, _) => vec![None; system.tasks.len()],
        (Some(_), 0) => bounds(analysis, &is_restored),
        (Some(_), start) => bounds(&whole::analyse_with(system, order, &vec![start; system.lanes.len()]), &is_restored),
    };
    Failure { domain, along: along.to_vec(), once, tasks, restored, too_soon }
}

/// By how much a task may overrun because a domain of others fails, or is started again just before that; `None` where it may not.
#[must_use]
pub fn overrun(system: &System, task: &Task, domain: usize) -> Option<Duration> {
    let lane = system.lanes.get(task.lane)?;
    let process = system.domains.get(domain)?.process.as_ref()?;
    if task.domain == Some(domain) {
        return None;
    }
    let runs = task.handed || task.model.is_some() || lane.partition.is_none();
    let device = if runs && uses(system, domain, lane.device) { lane.blackout } else { Duration::ZERO };
    let start = process.restart.as_ref().map_or(Duration::ZERO, |restart| restart.blackout);
    let longer = process.blackout.checked_add(device).and_then(|longer| longer.checked_add(start));
    let longer = longer.unwrap_or(Duration::MAX);
    (longer > Duration::ZERO).then_some(longer)
}

/// The domains that fail along with the first one, because of it or of one another: these, and those of which a task may overrun then.
fn along(system: &System, mut failing: Vec<usize>) -> Vec<usize> {
    let mut next = 0;
    while let Some(domain) = failing.get(next).copied() {
        let fails = |task: &Task| {
            let is_answer = task.on_overrun == Answer::FailDomain && overrun(system, task, domain).is_some();
            task.domain.filter(|_| is_answer)
        };
        for other in system.tasks.iter().filter_map(fails) {
            if !failing.contains(&other) {
                failing.push(other);
            }
        }
        next = next.saturating_add(1);
    }
    failing.remove(0);
    failing
}

/// Whether a domain's process has models on a device.
fn uses(system: &System, domain: usize, device: Option<usize>) -> bool {
    let on_it = |task: &Task| system.lanes.get(task.lane).is_some_and(|lane| lane.device == device);
    device.is_some() && system.tasks.iter().any(|task| task.domain == Some(domain) && task.handed && on_it(task))
}

/// For how long a piece of the domain that hangs keeps each lane; what leaves the range is no bound of anything.
fn hangs(system: &System, domain: usize, process: &Process) -> Vec<u64> {
    let lanes = system.lanes.iter().enumerate().map(|(position, lane)| {
        let mut own = system.tasks.iter().filter(|task| task.lane == position && task.domain == Some(domain));
        if own.any(|task| task.handed) {
            process.kill_after.as_ns().saturating_add(lane.wakeup_latency.as_ns())
        } else {
            0
        }
    });
    lanes.collect()
}

/// What has to pass between a failure and the next start, the most of all lanes with tasks of others; or why that is not known. A
/// lane with a table, or with self-suspension, has no bounds that would need it.
fn spacing(
    system: &System,
    found: &Analysis,
    (domain, is_inside): (usize, &dyn Fn(&Task) -> bool),
    (hangs, once): (&[u64], &[u64]),
) -> Result<Option<TooSoon>, NoBound> {
    let mut most: Option<TooSoon> = None;
    for (lane, result) in found.lanes.iter().enumerate() {
        let has_others = system.tasks.iter().any(|task| task.lane == lane && !is_inside(task));
        let (Some(hangs), true) = (hangs.get(lane), has_others && once.get(lane).is_some_and(|once| *once > 0)) else {
            continue;
        };
        let busy = match result.busy_period {
            Ok(busy) => busy,
            Err(NoBound::Fault) => continue,
            Err(why) => return Err(why),
        };
        let least = busy.checked_add(Duration::from_ns(*hangs)).ok_or(NoBound::Overflow)?;
        if most.is_none_or(|most| most.least < least) {
            most = Some(TooSoon { domain, lane, busy, least });
        }
    }
    Ok(most)
}
