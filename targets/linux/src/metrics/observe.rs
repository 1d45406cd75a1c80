//! What records tell beside the counts of [`crate::stats::Tally`]: times in buckets, slack, load, queues, states.

use super::histogram::{Histogram, RATIO_BOUNDS, time_bounds};
use crate::stats::sum;
use aegis_core::desc::{SystemDesc, TaskDesc};
use aegis_core::trace::{Cause, Kind, Loss, Record, VoidReason};
use aegis_core::{Bytes, Duration, Instant, LaneId, LevelId, ModeId, TaskId};

/// Every cause of which a fault domain fails.
pub(super) const CAUSES: [Cause; 4 + Loss::ALL.len()] = {
    let [exited, signalled, hung, silent, malformed, backend, given_up] = Loss::ALL;
    [
        Cause::Overrun,
        Cause::Miss,
        Cause::Failure,
        Cause::Outside,
        Cause::Process(exited),
        Cause::Process(signalled),
        Cause::Process(hung),
        Cause::Process(silent),
        Cause::Process(malformed),
        Cause::Process(backend),
        Cause::Process(given_up),
    ]
};

/// One task.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Responses of completed jobs in nanoseconds.
    pub(super) response: Histogram,
    /// Executions of completed jobs in nanoseconds.
    pub(super) execution: Histogram,
    /// Responses over the deadline, in parts per million.
    pub(super) response_ratio: Histogram,
    /// Executions over the WCET, likewise.
    pub(super) execution_ratio: Histogram,
    /// The response of the job that ended last, be it that it was aborted.
    pub(super) newest: Option<Duration>,
    /// Whether its jobs are admitted.
    pub(super) is_admitted: bool,
}

/// One lane.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lane {
    /// The sum of all executions of pieces.
    pub(super) busy: Duration,
    /// How many jobs wait.
    pub(super) depth: u64,
    /// The most that waited.
    pub(super) most: u64,
    /// How often it stood still.
    pub(super) stalls: u64,
}

/// One fault domain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Domain {
    /// Whether it has failed and was not restored.
    pub(super) is_down: bool,
    /// How often for each of [`CAUSES`].
    pub(super) causes: [u64; CAUSES.len()],
}

/// What the records of a run came to. Taking a record uses no heap.
#[derive(Clone, Debug)]
pub struct Observer {
    system: &'static SystemDesc,
    /// The bounds of the buckets of times.
    pub(super) bounds: Box<[u64]>,
    pub(super) tasks: Box<[Task]>,
    pub(super) lanes: Box<[Lane]>,
    pub(super) domains: Box<[Domain]>,
    pub(super) newest: Instant,
    /// How many records were seen.
    seen: u64,
    /// The number after the newest record's.
    numbered: u64,
    /// A bit for each reason why the guarantee is void.
    void: u32,
    pub(super) level: Option<LevelId>,
    pub(super) mode: ModeId,
    pub(super) given_back: Bytes,
    pub(super) steps: u64,
    pub(super) steps_explained: u64,
    pub(super) loop_stalls: u64,
}

impl Observer {
    /// Nothing was seen.
    #[must_use]
    pub fn new(system: &'static SystemDesc) -> Self {
        let bounds = time_bounds(system);
        let task = |task: &TaskDesc| Task {
            response: Histogram::new(&bounds),
            execution: Histogram::new(&bounds),
            response_ratio: Histogram::new(&RATIO_BOUNDS),
            execution_ratio: Histogram::new(&RATIO_BOUNDS),
            newest: None,
            is_admitted: !task.optional,
        };
        Self {
            system,
            tasks: system.tasks.iter().map(task).collect(),
            bounds,
            lanes: vec![Lane::default(); system.lanes.len()].into(),
            domains: vec![Domain::default(); system.domains.len()].into(),
            newest: Instant::START,
            seen: 0,
            numbered: 0,
            void: 0,
            level: None,
            mode: ModeId(0),
            given_back: Bytes(0),
            steps: 0,
            steps_explained: 0,
            loop_stalls: 0,
        }
    }

    /// The plan.
    #[must_use]
    pub const fn system(&self) -> &'static SystemDesc {
        self.system
    }

    /// How many records were made until the newest one that was seen, and how many of them were lost.
    #[must_use]
    pub const fn records(&self) -> (u64, u64) {
        (self.numbered, self.numbered.saturating_sub(self.seen))
    }

    /// Whether the guarantee is void for a reason.
    #[must_use]
    pub const fn is_void(&self, reason: VoidReason) -> bool {
        self.void & reason.bit() != 0
    }

    /// Whether it is not void for any.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.void == 0
    }

    /// Takes a record.
    pub fn observe(&mut self, record: &Record) {
        let Record { sequence, at, ref kind } = *record;
        self.seen = self.seen.saturating_add(1);
        self.numbered = self.numbered.max(sequence.saturating_add(1));
        self.newest = self.newest.max(at);
        match *kind {
            Kind::Submitted { job, queue_depth, .. } => {
                let lane = self.system.tasks.get(job.task.index()).map(|task| task.lane);
                if let Some(lane) = lane {
                    self.waiting(lane, queue_depth, queue_depth);
                }
            }
            // The chosen one waits no longer.
            Kind::Decided { lane, queue_depth, .. } => self.waiting(lane, queue_depth, queue_depth.saturating_sub(1)),
            Kind::Dropped { task, count } => {
                let lane = self.system.tasks.get(task.index()).and_then(|task| self.lanes.get_mut(task.lane.index()));
                if let Some(lane) = lane {
                    lane.depth = lane.depth.saturating_sub(count.into());
                }
            }
            Kind::Paused { lane, began, ended, .. } => self.busy(lane, began, ended),
            Kind::Completed { job, lane, began, ended, response, execution } => {
                self.busy(lane, began, ended);
                self.complete(job.task, response, execution);
            }
            Kind::Aborted { job, lane, began, ended, response, .. } => {
                self.busy(lane, began, ended);
                if let Some(task) = self.tasks.get_mut(job.task.index()) {
                    task.newest = Some(response);
                }
            }
            Kind::TaskAdmitted { task, .. } => self.admit(task, true),
            Kind::TaskDismissed { task } => self.admit(task, false),
            Kind::Pressure { to, .. } => self.level = to,
            Kind::ModeChanged { to, .. } => self.mode = to,
            Kind::GivenBack { bytes } => self.given_back = bytes,
            Kind::GuaranteeVoid { reason } => self.void |= reason.bit(),
            Kind::DomainFailed { domain, cause, .. } => {
                if let Some(domain) = self.domains.get_mut(domain.index()) {
                    domain.is_down = true;
                    let mut counts = CAUSES.iter().zip(&mut domain.causes);
                    if let Some((_, count)) = counts.find(|(other, _)| **other == cause) {
                        *count = count.saturating_add(1);
                    }
                }
            }
            Kind::DomainRestored { domain } => {
                if let Some(domain) = self.domains.get_mut(domain.index()) {
                    domain.is_down = false;
                }
            }
            Kind::StepExceeded { explained, .. } => {
                self.steps = self.steps.saturating_add(1);
                self.steps_explained = self.steps_explained.saturating_add(u64::from(explained));
            }
            Kind::LaneStalled { lane, .. } => {
                if let Some(lane) = self.lanes.get_mut(lane.index()) {
                    lane.stalls = lane.stalls.saturating_add(1);
                }
            }
            Kind::LoopStalled { .. } => self.loop_stalls = self.loop_stalls.saturating_add(1),
            // Counted by the tally, or nothing to count.
            Kind::Began { .. }
            | Kind::Stepped { .. }
            | Kind::Ended
            | Kind::Admitted { .. }
            | Kind::Deferred { .. }
            | Kind::Forgone { .. }
            | Kind::Rejected { .. }
            | Kind::Withheld { .. }
            | Kind::Settled { .. }
            | Kind::ModeRequested { .. }
            | Kind::Watched { .. }
            | Kind::Skipped { .. }
            | Kind::Bound { .. }
            | Kind::Started { .. }
            | Kind::Overran { .. }
            | Kind::Failed { .. }
            | Kind::Missed { .. }
            | Kind::Exceeded { .. }
            | Kind::Disturbed { .. } => {}
        }
    }

    fn waiting(&mut self, lane: LaneId, seen: u16, left: u16) {
        if let Some(lane) = self.lanes.get_mut(lane.index()) {
            lane.most = lane.most.max(seen.into());
            lane.depth = left.into();
        }
    }

    fn busy(&mut self, lane: LaneId, began: Instant, ended: Instant) {
        if let Some(lane) = self.lanes.get_mut(lane.index()) {
            lane.busy = sum(lane.busy, ended.saturating_since(began));
        }
    }

    fn complete(&mut self, task: TaskId, response: Duration, execution: Duration) {
        let desc = self.system.tasks.get(task.index());
        if let (Some(task), Some(desc)) = (self.tasks.get_mut(task.index()), desc) {
            task.newest = Some(response);
            task.response.observe(&self.bounds, response.as_ns());
            task.execution.observe(&self.bounds, execution.as_ns());
            task.response_ratio.observe(&RATIO_BOUNDS, ppm(response, desc.deadline));
            task.execution_ratio.observe(&RATIO_BOUNDS, ppm(execution, desc.wcet));
        }
    }

    fn admit(&mut self, task: TaskId, admits: bool) {
        if let Some(task) = self.tasks.get_mut(task.index()) {
            task.is_admitted = admits;
        }
    }
}

/// A part of a whole in parts per million, rounded up, so that what is more than all of it never looks like all of it; 0 of no
/// whole.
pub(super) fn ppm(part: Duration, whole: Duration) -> u64 {
    if whole.is_zero() {
        return 0;
    }
    let scaled = u128::from(part.as_ns()).saturating_mul(1_000_000).div_ceil(u128::from(whole.as_ns()));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{CAUSES, ppm};
    use aegis_core::Duration;
    use std::collections::BTreeSet;

    #[test]
    fn what_is_more_than_all_is_never_all() {
        let ns = Duration::from_ns;
        assert_eq!((ppm(ns(3), ns(3)), ppm(ns(3_000_000_001), ns(3_000_000_000))), (1_000_000, 1_000_001));
        assert_eq!((ppm(ns(1), ns(0)), ppm(Duration::MAX, ns(1))), (0, u64::MAX));
    }

    #[test]
    fn each_cause_has_a_name_of_its_own() {
        assert_eq!(CAUSES.iter().map(|cause| cause.name()).collect::<BTreeSet<_>>().len(), CAUSES.len());
    }
}
