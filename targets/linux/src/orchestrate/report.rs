//! What the orchestration loop tells when it has ended.

use crate::evidence::Execution;
use crate::lane::Fault;
use crate::stall::Stall;
use crate::steps::StepReport;
use aegis_core::dispatch::Refused;
use aegis_core::{Duration, Instant, LaneId, ModeId};

/// What the loop saw of one lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LaneReport {
    /// Completed jobs.
    pub jobs: u64,
    /// The sum of all execution times, those of unfinished jobs' pieces included.
    pub busy: Duration,
    /// The longest hand-over and notice of one piece of a job together. It begins after the dispatcher's step that chose the
    /// job and ends before the step that takes its end; the planned dispatch overhead includes both steps.
    pub max_dispatch: Duration,
}

/// Why the loop ended other than by a stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// A lane cannot go on.
    Lane {
        /// The lane.
        lane: LaneId,
        /// Why.
        fault: Fault,
    },
    /// The dispatcher refused an event: internal error.
    Refused(Refused),
    /// Something stood still, and the manifest says that the vehicle ends then.
    Stalled(Stall),
    /// A lane's mailbox was full although the dispatcher believed the lane idle: internal error.
    MailboxFull(LaneId),
    /// The system refused to wait or to set the timer, with its error number.
    System(i32),
}

/// What the loop did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report<const LANES: usize> {
    /// When it ended.
    pub ended: Instant,
    /// Timer wake-ups.
    pub wakeups: u64,
    /// The latest of them.
    pub max_wakeup: Duration,
    /// The lanes, in the plan's order.
    pub lanes: [LaneReport; LANES],
    /// Its steps against what the plan allows for them.
    pub steps: StepReport,
    /// How many submitted arrivals were accepted and then dropped, because meanwhile the end came, their task's mode was left,
    /// the task was dismissed, or its domain failed, and submitters were only being told.
    pub dropped: u64,
    /// How often a lane stood still.
    pub lane_stalls: u64,
    /// How often this thread did.
    pub loop_stalls: u64,
    /// The mode to which a change was still under way at the end.
    pub changing: Option<ModeId>,
    /// Whether all jobs had completed at the end.
    pub drained: bool,
    /// Set where the run did not end by a stop.
    pub broken: Option<Broken>,
}

impl LaneReport {
    /// Adds one piece of a job.
    pub(super) fn add(&mut self, handed: Instant, execution: &Execution, seen: Instant) {
        let there = execution.began.saturating_since(handed);
        let back = seen.saturating_since(execution.ended);
        let length = execution.ended.saturating_since(execution.began);
        self.busy = self.busy.checked_add(length).unwrap_or(Duration::MAX);
        self.max_dispatch = self.max_dispatch.max(there.checked_add(back).unwrap_or(Duration::MAX));
    }
}
