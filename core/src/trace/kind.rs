//! What a trace record says.

use super::{Cause, JobRef, Limit, Reason, StateKey, VoidReason};
use crate::desc::{Asks, WatchedSource};
use crate::dispatch::Event;
use crate::time::{Duration, Instant};
use crate::units::{Bytes, DomainId, LaneId, LevelId, ModeId, ModelId, TaskId};

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Kind {
    /// The run of a plan began: the first record.
    Began {
        /// The plan's [`crate::desc::SystemDesc::config_hash`].
        config_hash: [u8; 32],
    },
    /// The dispatcher was told an event at the record's time. What it did follows.
    ///
    /// A [`Event::Timer`] that changed nothing but the time of the last step leaves no record, and neither does a refused step:
    /// without either, every later step does the same. Whatever a step does depends on `now` through what is due by then, never
    /// on when it was looked at last, except for the places of time-triggered lanes; a step that moves one of these is recorded.
    Stepped {
        /// What it was told.
        event: Event,
    },
    /// The run ended: the dispatcher's last record, before the misses of jobs that are not complete.
    Ended,
    /// The task's certificate held at start, so its jobs are admitted; those of an optional task once the application says so.
    Admitted {
        /// The task.
        task: TaskId,
        /// Its proven response bound.
        bound: Duration,
        /// Whether it is optional, so that it releases nothing yet.
        optional: bool,
    },
    /// The guarantee does not hold from now on: at the start, or while the vehicle runs; each reason once.
    GuaranteeVoid {
        /// Why.
        reason: VoidReason,
    },
    /// A job was released and waits.
    Submitted {
        /// The job.
        job: JobRef,
        /// Its planned arrival.
        arrival: Instant,
        /// How many jobs of its lane wait now, itself included.
        queue_depth: u16,
    },
    /// An arrival was submitted too early, or ahead, and comes later: its response counts from then.
    Deferred {
        /// The task.
        task: TaskId,
        /// When it arrives.
        arrival: Instant,
        /// How many arrivals of the task are deferred now, itself included.
        pending: u16,
    },
    /// Deferred arrivals will not come, because their task's mode is left, the task is dismissed, or the run ended before them.
    Forgone {
        /// The task.
        task: TaskId,
        /// The first of these arrivals.
        arrival: Instant,
        /// How many they are.
        count: u16,
    },
    /// An optional task was admitted.
    TaskAdmitted {
        /// The task.
        task: TaskId,
        /// Its proven response bound.
        bound: Duration,
        /// Its next arrival, or the earliest that may be submitted.
        first: Instant,
    },
    /// An optional task was dismissed: nothing of it arrives from now on; what has arrived runs to its end.
    TaskDismissed {
        /// The task.
        task: TaskId,
    },
    /// Arrivals were refused because the task's queue was full: a transient error.
    Rejected {
        /// The task.
        task: TaskId,
        /// The first refused arrival.
        arrival: Instant,
        /// How many arrivals were refused.
        count: u64,
    },
    /// Arrivals were not released because the level of memory pressure that holds sheds or rejects their task.
    Withheld {
        /// The task.
        task: TaskId,
        /// The first of these arrivals.
        arrival: Instant,
        /// How many they are.
        count: u64,
        /// The level.
        level: LevelId,
    },
    /// The level of memory pressure changed.
    Pressure {
        /// The level before; `None` where there was none.
        from: Option<LevelId>,
        /// The level from now on.
        to: Option<LevelId>,
        /// How long it takes to settle, at most; `None` where there is nothing to wait for.
        settles: Option<Duration>,
    },
    /// No job of a task that the level sheds is left: what they used is free.
    Settled {
        /// The level.
        level: LevelId,
        /// Since it was entered.
        took: Duration,
        /// What that takes at most.
        bound: Duration,
    },
    /// A change of the mode was asked for and is under way.
    ModeRequested {
        /// The mode that is left: its tasks that the other one does not have release nothing any more.
        from: ModeId,
        /// The mode that is gone to.
        to: ModeId,
        /// How long the change takes, at most.
        bound: Duration,
    },
    /// The change of the mode has ended: no job is left of a task that the mode does not have, and all its tasks release jobs.
    ModeChanged {
        /// The mode that was left.
        from: ModeId,
        /// The mode that holds.
        to: ModeId,
        /// Since it was asked for.
        took: Duration,
        /// What that takes at most.
        bound: Duration,
    },
    /// What the watched sources ask for has changed, as the orchestration thread took it up.
    Watched {
        /// The source that asks, or that asked for what ends.
        source: WatchedSource,
        /// Its reading: see [`WatchedSource`].
        reading: u64,
        /// What is asked for from now on; `None`: nothing any more.
        asks: Option<Asks>,
    },
    /// The unused memory that is given back to the system at the level that holds has changed, as the orchestration thread saw it.
    GivenBack {
        /// How much is given back from now on, in whole pages.
        bytes: Bytes,
    },
    /// An arrival was dropped by `on-overrun = "skip-next"` or `on-miss = "skip-next"`.
    Skipped {
        /// The task.
        task: TaskId,
        /// The dropped arrival.
        arrival: Instant,
    },
    /// The lane's next job was chosen.
    Decided {
        /// The lane.
        lane: LaneId,
        /// The chosen job.
        chosen: JobRef,
        /// The job that would have been chosen otherwise.
        runner_up: Option<JobRef>,
        /// Why the chosen one goes first.
        reason: Reason,
        /// How many jobs of the lane waited, the chosen one included.
        queue_depth: u16,
        /// The digest of what the choice depends on: see [`StateKey`].
        state: StateKey,
    },
    /// The job got its planned stream and memory.
    Bound {
        /// The job.
        job: JobRef,
        /// The lane, which is also the stream.
        lane: LaneId,
        /// The model whose regions are used.
        model: ModelId,
    },
    /// The lane was told to run the job.
    Started {
        /// The job.
        job: JobRef,
        /// The lane.
        lane: LaneId,
    },
    /// An execution exceeded its budget, or its lane's overhead so exceeded its plan that the budget's timer ended.
    Overran {
        /// The job.
        job: JobRef,
        /// The segment that ran then, from 0.
        segment: u16,
        /// Whose budget was exceeded.
        limit: Limit,
        /// What the job, or the segment, executed so far, or in all where the overrun was seen at the segment's end.
        execution: Duration,
        /// The budget: the job's, or the segment's longest execution.
        budget: Duration,
    },
    /// A segment of the job ended, or was cut off; the lane chooses again.
    Paused {
        /// The job.
        job: JobRef,
        /// The lane.
        lane: LaneId,
        /// When the execution of the segment began, by the lane's own clock reading.
        began: Instant,
        /// When it ended.
        ended: Instant,
    },
    /// The job completed.
    Completed {
        /// The job.
        job: JobRef,
        /// The lane.
        lane: LaneId,
        /// When the execution of its last segment began, by the lane's own clock reading.
        began: Instant,
        /// When its execution ended.
        ended: Instant,
        /// From planned arrival to the end.
        response: Duration,
        /// What all its segments executed together.
        execution: Duration,
    },
    /// The job ended without what was left of it, by `abort-job`, or because its fault domain has failed: it delivers nothing.
    /// One that waited for its lane ended at the record's time, and so began and ended then.
    Aborted {
        /// The job.
        job: JobRef,
        /// The lane.
        lane: LaneId,
        /// Its last segment, from 0.
        segment: u16,
        /// When the execution of that segment began, by the lane's own clock reading.
        began: Instant,
        /// When it ended.
        ended: Instant,
        /// From planned arrival to the end.
        response: Duration,
        /// What its segments executed together.
        execution: Duration,
    },
    /// The job delivered nothing: its backend refused it. It counts as completed for the schedule, unless its domain fails with it.
    Failed {
        /// The job.
        job: JobRef,
        /// The lane.
        lane: LaneId,
    },
    /// The fault domain has failed: its tasks release nothing until it is restored, and those of their jobs that run deliver nothing.
    DomainFailed {
        /// The domain.
        domain: DomainId,
        /// Why.
        cause: Cause,
        /// The job that was the cause; `None` where the fault was seen outside.
        job: Option<JobRef>,
    },
    /// The fault domain is ready again: its tasks release jobs where the mode has them, each from its next arrival after now on.
    DomainRestored {
        /// The domain.
        domain: DomainId,
    },
    /// Jobs that waited, for their first segment or for a later one, will not run: their task's domain has failed. They are all
    /// that the task had waiting.
    Dropped {
        /// The task.
        task: TaskId,
        /// How many they are.
        count: u32,
    },
    /// The job completed after its deadline or was aborted after it, or had not completed when the run ended after it, or when
    /// what the task's `on-miss` asks for began.
    Missed {
        /// The job.
        job: JobRef,
        /// How long after the deadline it was seen to be late.
        lateness: Duration,
        /// How many of the task's last [`crate::desc::TaskDesc::miss_window`] jobs have missed, itself included.
        recent: u8,
    },
    /// The response, of a job that completed or was aborted, exceeded its proven bound: an assumption of the analysis did not
    /// hold.
    Exceeded {
        /// The job.
        job: JobRef,
        /// The response.
        response: Duration,
        /// The bound.
        bound: Duration,
    },
    /// What the machine did to the lane since it was last idle; recorded with each exceeded bound.
    Disturbed {
        /// The job whose bound was exceeded.
        job: JobRef,
        /// The latest wake-up of the dispatcher that began or continued the lane's work.
        wakeup_latency: Duration,
        /// What of the lane's wake-ups, hand-overs and notices exceeded the analysed overheads.
        wakeup_excess: Duration,
        /// Time the hypervisor took from the lane's core.
        steal: Duration,
        /// Time the lane's thread was ready but not on the core.
        off_core: Duration,
        /// How often the lane's thread was switched away against its will.
        involuntary_switches: u32,
        /// Whether these add up to at least the exceedance.
        explained: bool,
    },
    /// A step of the dispatcher, hand-over included, took longer than the overheads of the lanes that it served: an assumption of
    /// the analysis did not hold.
    StepExceeded {
        /// How long it took.
        length: Duration,
        /// What the plan allows.
        allowed: Duration,
        /// Time the hypervisor took from the core.
        steal: Duration,
        /// Time the thread was ready but not on the core.
        off_core: Duration,
        /// Whether one of these is at least the excess.
        explained: bool,
    },
    /// A segment was still in flight when the watchdog's timeout after its budget had passed.
    LaneStalled {
        /// The job.
        job: JobRef,
        /// Its lane.
        lane: LaneId,
        /// How long the segment had been in flight.
        elapsed: Duration,
        /// How long it may have been: its budget, the planned overheads and the watchdog's timeout.
        allowed: Duration,
    },
    /// The orchestration thread woke, or ended a turn, later than the watchdog's timeout allows.
    LoopStalled {
        /// When its wake-up was due, or its turn began.
        due: Instant,
        /// How late it was.
        late: Duration,
        /// The watchdog's timeout.
        allowed: Duration,
    },
}

impl Kind {
    /// Whether the record comes from around the dispatcher, which cannot be told the same again: what the machine grants and does,
    /// and what a backend says.
    #[must_use]
    pub const fn is_from_outside(&self) -> bool {
        matches!(
            self,
            Self::Began { .. }
                | Self::Admitted { .. }
                | Self::GuaranteeVoid { .. }
                | Self::Disturbed { .. }
                | Self::StepExceeded { .. }
                | Self::LaneStalled { .. }
                | Self::LoopStalled { .. }
                | Self::Watched { .. }
                | Self::GivenBack { .. }
        )
    }
}
