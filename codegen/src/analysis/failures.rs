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
//! and any other lane stands still for the fault blackout at most, once, while the process' memory is given back. Let a job of
//! that length go before everything, non-preemptively, at the instant at which the piece should have ended: the schedule is the
//! same. It comes once, so the lane's own analysis with one task more, of no second job, covers it;
//! `docs/theory/domain-failures.md` has the argument.
//!
//! Assumptions: those of the analyses; one domain fails at a time, and no later one before the lanes have been idle once; the
//! vehicle's own process does not fail.

use super::{Analysis, NoBound, whole};
use crate::system::{Domain, Process, System};
use aegis_core::time::Duration;
use aegis_core::units::Priority;

/// What was found for the failure of one domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The domain's position.
    pub domain: usize,
    /// For each lane, for how long it is kept besides what is planned, once, in nanoseconds.
    pub once: Vec<u64>,
    /// For each task its bound while the domain fails, or why there is none; `None` for the tasks of the domain, which fail with
    /// it.
    pub tasks: Vec<Option<Result<Duration, NoBound>>>,
}

impl Failure {
    /// Whether a task of another domain meets its deadline while this one fails; `None` for the domain's own tasks.
    #[must_use]
    pub fn survives(&self, system: &System, task: usize) -> Option<bool> {
        let deadline = system.tasks.get(task)?.deadline;
        let bound = self.tasks.get(task)?.as_ref()?;
        Some(bound.as_ref().is_ok_and(|bound| *bound <= deadline))
    }
}

/// Analyses the failure of each domain that is a process, in their order; the tasks keep their places.
///
/// Cost: one analysis of the system for each.
#[must_use]
pub fn analyse(system: &System, analysis: &Analysis) -> Vec<Failure> {
    let order: Vec<Priority> = analysis.tasks.iter().map(|task| task.priority).collect();
    let processes = system.domains.iter().enumerate();
    let processes =
        processes.filter_map(|(position, domain): (usize, &Domain)| Some((position, domain.process.as_ref()?)));
    let failure = |(domain, process): (usize, &Process)| {
        let once = kept(system, domain, process);
        let found = whole::analyse_with(system, &order, &once);
        let tasks = system.tasks.iter().zip(&found.tasks).map(|(task, found)| {
            let bound = found.response.as_ref().map(|(bound, _)| *bound).map_err(|why| *why);
            (task.domain != Some(domain)).then_some(bound)
        });
        Failure { domain, tasks: tasks.collect(), once }
    };
    processes.map(failure).collect()
}

/// For how long each lane is kept; what leaves the range is no bound of anything.
fn kept(system: &System, domain: usize, process: &Process) -> Vec<u64> {
    let lanes = system.lanes.iter().enumerate().map(|(position, lane)| {
        let mut own = system.tasks.iter().filter(|task| task.lane == position && task.domain == Some(domain));
        let killed = if own.any(|task| task.handed) {
            process.kill_after.as_ns().saturating_add(lane.wakeup_latency.as_ns())
        } else {
            0
        };
        killed.saturating_add(process.blackout.as_ns())
    });
    lanes.collect()
}
