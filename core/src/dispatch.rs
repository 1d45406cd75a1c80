//! The dispatcher: one pure step from an event to the jobs that start now.
//!
//! [`step`] reads the plan, changes nothing but the state and the sink it is given, and asks no clock: the
//! firmware calls it with the real time, a simulation with a virtual one, a test with whatever it likes.
//!
//! ```text
//!            Timer / Submit                 lane idle, chosen by policy             Completed, last segment
//!  (arrival) ──────────────▶ waiting (queue) ───────────────────────────▶ running ─────────▶ (done) ─▶ next stage: arrival
//!      │  queue full: Rejected          ▲                                   │ │ budget over: Overran
//!      └─ skip-next pending: Skipped    └─ paused ◀── Completed, a segment ─┘ └─ (it cannot be stopped)
//!                                                     or Preempted
//! ```
//!
//! Under [`Answer::AbortJob`] a job leaves its lane for good where it would otherwise be paused or hand over to the next stage:
//! `Aborted`. As the answer to an overrun it does so with a job that was measured to be too long, as the answer to a miss with
//! one whose deadline has passed; of these, jobs that would start after it are dropped, too. The lane executes less than planned
//! and never more.
//!
//! Two budgets are watched while a segment runs: what is left of its job's, and, where the job has several segments, the
//! segment's own length, since that is what the analysis lets others wait. Each is recorded once, as soon as a step comes after its
//! end or the measured execution exceeds it; what only the timer saw, because the overhead was longer than planned, loses its
//! consequence when the segment's end shows that nothing was exceeded.
//!
//! A fault domain that fails takes the jobs of its tasks with it: [`Answer::FailDomain`], [`Event::Fail`] and [`Event::Lost`]. Its
//! tasks release jobs again after [`Event::Restored`].
//!
//! A lane runs one segment at a time and a started segment is never preempted, except by [`Event::Preempted`] on lanes that
//! exist for simulation only.
//!
//! Cost of one step with n tasks: O(lanes), and O(log n) for each job that arrives; a change of the mode costs O(n) when it
//! begins and when it ends, and O(n) when a domain fails or is restored. A choice is O(1) under fixed priorities and O(log n)
//! under EDF, O(1) in the gaps of a table, and O(1) for each slot that a time-triggered lane passes over, of which one step looks
//! at no more than two laps. No loop depends on how much time has passed.

mod admission;
mod choice;
mod domain;
mod finish;
mod miss;
mod mode;
mod pressure;
mod queue;
mod ready;
mod refused;
mod release;
mod state;
mod table;
mod told;
mod tournament;

use crate::desc::{Answer, Policy, SystemDesc};
use crate::time::{Duration, Instant};
use crate::trace::{Cause, JobRef, Kind, Loss, Reason, Sink};
use crate::units::{DomainId, LaneId, LevelId, ModeId, TaskId};
use choice::{key, reason};
use finish::Outcome;
pub use ready::MOST_TASKS;
pub use refused::Refused;
use state::{Progress, Running};
pub use state::{State, WrongSize, state_bytes};
use told::Told;
use tournament::NEVER;

/// One instance of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Job {
    /// Its task.
    pub task: TaskId,
    /// The number of the request, counted over all tasks from 1.
    pub request: u64,
    /// The planned arrival, from which the response time counts.
    pub arrival: Instant,
    /// The absolute deadline.
    pub deadline: Instant,
    /// Which of its segments runs or is next, from 0.
    pub segment: u16,
}

impl Job {
    /// The pair that names the job in trace records.
    #[must_use]
    pub const fn reference(&self) -> JobRef {
        JobRef { task: self.task, request: self.request }
    }
}

/// What the dispatcher is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Event {
    /// Time has passed: release what is due and look for exceeded budgets.
    Timer,
    /// A job of a [`crate::desc::Release::Submitted`] task arrived.
    ///
    /// What is submitted first starts first: submit simultaneous arrivals with the most important first. The analysis
    /// assumes that a less important job started at least 1 ns before the one it blocks.
    ///
    /// A task that [defers](crate::desc::TaskDesc::defers) takes an arrival at any instant up to as many periods ahead as its
    /// queue is long. What lies before the earliest permitted one arrives then: a period after its last arrival, deferred ones
    /// included.
    Submit {
        /// The task.
        task: TaskId,
        /// When it arrived; at most now, unless the task defers.
        arrival: Instant,
    },
    /// The lane's segment ended.
    Completed {
        /// The lane.
        lane: LaneId,
        /// When its execution began, by the lane's own clock reading.
        began: Instant,
        /// When it ended, at most now.
        ended: Instant,
    },
    /// The lane's segment ended, and its job failed: it delivers nothing. A job fails at most once.
    Failed {
        /// The lane.
        lane: LaneId,
        /// When its execution began, by the lane's own clock reading.
        began: Instant,
        /// When it ended, at most now.
        ended: Instant,
    },
    /// The lane's segment ended because the process of its task's fault domain was lost: its job fails as by [`Event::Failed`], and
    /// its domain with it, in this step.
    Lost {
        /// The lane.
        lane: LaneId,
        /// When its execution began, by the lane's own clock reading.
        began: Instant,
        /// When it was seen to be lost, at most now.
        ended: Instant,
        /// How it was lost.
        loss: Loss,
    },
    /// The lane's segment was cut off, to be continued: only on a lane with [`crate::desc::Preemption::Full`], so only in
    /// a simulation.
    Preempted {
        /// The lane.
        lane: LaneId,
        /// When the execution of this piece began.
        began: Instant,
        /// When it was cut off, at most now.
        ended: Instant,
    },
    /// No job that arrives at `end` or later shall be released; what arrived before is, and waiting jobs still run.
    Stop {
        /// The first instant without arrivals.
        end: Instant,
    },
    /// Go to a planned level of memory pressure, or back to none: what arrives from now on of the tasks that it sheds or rejects is
    /// withheld. [`Kind::Settled`] tells when no job of a shed task is left.
    Pressure {
        /// The level.
        level: Option<LevelId>,
    },
    /// Go to another mode: tasks that it does not have release nothing from now on, and those that only it has begin when the
    /// change ends, which [`Kind::ModeChanged`] tells. Where the mode holds already nothing changes.
    Mode {
        /// The mode.
        mode: ModeId,
    },
    /// A fault domain has failed, until it is restored: what waits of its tasks is dropped, and nothing of theirs arrives any more,
    /// also not what is due and was not released yet. Where it has failed already nothing changes.
    Fail {
        /// The domain.
        domain: DomainId,
        /// How its process was lost; `None` where the application says so.
        loss: Option<Loss>,
    },
    /// A fault domain that had failed is ready again, its models loaded: its tasks arrive as they would, from the first instant of
    /// their own grids that lies after now, and at least a period after their last arrivals; what is submitted may arrive from then
    /// on.
    Restored {
        /// The domain.
        domain: DomainId,
    },
    /// Let an [optional](crate::desc::TaskDesc::optional) task release jobs: its next arrival is the first of its own grid,
    /// `phase + k · period`, that lies after now, and at least a period after its last one; what is submitted may arrive from
    /// then on.
    Admit {
        /// The task.
        task: TaskId,
    },
    /// Let an optional task release nothing from now on; its jobs that have arrived run to their end.
    Dismiss {
        /// The task.
        task: TaskId,
    },
}

/// What has to be done after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Actions<const LANES: usize> {
    /// For each lane the job whose segment is to start now.
    pub start: [Option<Job>; LANES],
    /// When the next [`Event::Timer`] is due, if nothing else happens before.
    pub wake_at: Option<Instant>,
}

/// Advances the dispatcher by one event.
///
/// The first record of a step is [`Kind::Stepped`], as far as the step changes anything.
///
/// # Errors
/// [`Refused`], with the state unchanged except after [`Refused::OutOfRange`], which ends the run.
pub fn step<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    event: Event,
    now: Instant,
    sink: &mut impl Sink,
) -> Result<Actions<LANES>, Refused> {
    if now < state.common.last {
        return Err(Refused::ClockWentBack { last: state.common.last });
    }
    let mut told = Told::new(sink, event, now);
    let sink = &mut told;
    match event {
        Event::Timer => {}
        Event::Submit { task, arrival } => release::submit(system, state, task, arrival, now, sink)?,
        Event::Completed { lane, began, ended } => {
            finish::complete(system, state, lane, (began, ended.min(now)), Outcome::Well, sink)?
        }
        Event::Failed { lane, began, ended } => {
            finish::complete(system, state, lane, (began, ended.min(now)), Outcome::Failed, sink)?
        }
        Event::Lost { lane, began, ended, loss } => {
            finish::complete(system, state, lane, (began, ended.min(now)), Outcome::Lost(loss), sink)?
        }
        Event::Preempted { lane, began, ended } => finish::preempt(system, state, lane, (began, ended.min(now)), sink)?,
        Event::Stop { end } => state.common.end = Some(end),
        Event::Pressure { level } => {
            pressure::check(system, level)?;
            release::release_due(system, state, now, sink)?;
            pressure::switch(system, state, level, now, sink);
        }
        Event::Mode { mode } => {
            mode::check(system, state, mode)?;
            release::release_due(system, state, now, sink)?;
            mode::request(system, state, mode, now, sink);
        }
        Event::Fail { domain, loss } => {
            domain::check(system, domain)?;
            let cause = loss.map_or(Cause::Outside, Cause::Process);
            domain::fail(system, state, domain, (cause, None), now, sink);
        }
        Event::Restored { domain } => {
            domain::may_be_restored(system, state, domain)?;
            domain::restore(system, state, domain, now, sink)?;
        }
        Event::Admit { task } => {
            admission::check(system, state, task, true)?;
            release::release_due(system, state, now, sink)?;
            admission::admit(system, state, task, now, sink)?;
        }
        Event::Dismiss { task } => {
            admission::check(system, state, task, false)?;
            release::release_due(system, state, now, sink)?;
            admission::dismiss(system, state, task, now, sink);
        }
    }
    state.common.last = now;
    release::release_due(system, state, now, sink)?;
    finish::check_budgets(system, state, now, sink);
    if state.common.change.is_some() {
        mode::look(state, now);
    }
    let mut start = [None; LANES];
    for (position, slot) in start.iter_mut().enumerate() {
        if state.lanes.get(position).is_some_and(|lane| lane.running.is_none() && lane.waiting > 0) {
            let lane = LaneId(u16::try_from(position).unwrap_or(u16::MAX));
            *slot = start_next(system, state, lane, now, sink)?;
        }
    }
    pressure::settle(system, state, now, sink);
    if state.common.change.is_some() || state.common.answer.is_some() {
        mode::settle(system, state, now, sink)?;
    }
    // Whatever else changes a state makes a record.
    if core::mem::take(&mut state.common.moved) || event != Event::Timer {
        told.tell();
    }
    Ok(Actions { start, wake_at: next_wake(system, state) })
}

/// Records the end of a run, what is still deferred, and a miss for each job that has not completed and whose deadline lies
/// before `now`.
pub fn count_unfinished<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    now: Instant,
    sink: &mut impl Sink,
) {
    sink.record(now, Kind::Ended);
    for position in 0..TASKS {
        let id = TaskId(u16::try_from(position).unwrap_or(u16::MAX));
        if let (Some(task), Some(own)) = (system.tasks.get(position), state.tasks.get_mut(position)) {
            release::forgo(own, id, task, now, sink);
        }
        let first = finish::first_stage(system, id);
        let Some((window, mut misses)) = state.tasks.get(first.index()).map(|own| (own.window, own.misses)) else {
            continue;
        };
        let Some(own) = state.tasks.get(position) else { continue };
        let running = state.lanes.iter().filter_map(|lane| lane.running.as_ref()).map(|running| &running.progress);
        let begun = running.filter(|progress| progress.job.task.index() == position).chain(&own.paused);
        let jobs = begun.map(|progress| (progress.job, progress.missed));
        for (job, is_recorded) in jobs.chain(own.waiting.iter().map(|job| (job, false))) {
            if job.deadline >= now {
                continue;
            }
            let recent = miss::recent(window, misses);
            misses = miss::shifted(misses, true);
            if !is_recorded {
                let lateness = now.saturating_since(job.deadline);
                sink.record(now, Kind::Missed { job: job.reference(), lateness, recent });
            }
        }
        if let Some(own) = state.tasks.get_mut(first.index()) {
            own.misses = misses;
        }
    }
}

/// Chooses the lane's next job and marks it running.
#[inline(never)]
fn start_next<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    now: Instant,
    sink: &mut Told<'_, impl Sink>,
) -> Result<Option<Job>, Refused> {
    let Some(desc) = system.lanes.get(lane.index()) else {
        return Ok(None);
    };
    let in_table = desc.policy == Policy::TimeTriggered;
    let chosen = if in_table {
        table::due(system, state, lane, now).or_else(|| table::in_gap(system, state, lane, now))
    } else {
        state.first_waiting(lane)
    };
    let Some((task, id)) = chosen.and_then(|id| Some((system.tasks.get(id.index())?, id))) else { return Ok(None) };
    let state_key = key(state, lane);
    let Some(own) = state.tasks.get_mut(id.index()) else { return Ok(None) };
    let in_slot = in_table && own.has_slots;
    let mut progress = match own.paused.take() {
        Some(progress) => progress,
        None => {
            let Some(job) = own.waiting.front() else { return Ok(None) };
            own.waiting.pop_front();
            Progress { job, spent: Duration::ZERO, overran: false, measured: false, missed: false }
        }
    };
    let is_judged = task.on_miss != Answer::Continue && miss::is_judged(task, own.follower.is_some());
    state.refresh(id, lane);
    if is_judged && matches!(task.on_miss, Answer::AbortJob | Answer::FailDomain) && now > progress.job.deadline {
        drop_late(system, state, lane, &mut progress, now, sink);
        return Ok(None);
    }
    let job = progress.job;
    if is_judged && now > job.deadline && !progress.missed {
        miss::note(system, state, &job, now, sink);
        progress.missed = true;
    }
    let Some(own) = state.lanes.get_mut(lane.index()) else { return Ok(None) };
    let begun = now.checked_add(own.overhead).ok_or(Refused::OutOfRange)?;
    let left = task.budget.saturating_sub(progress.spent);
    let budget_end = begun.checked_add(left).ok_or(Refused::OutOfRange)?;
    let segment_end = match finish::segment_length(task, &job) {
        Some(length) => begun.checked_add(length).ok_or(Refused::OutOfRange)?,
        None => NEVER,
    };
    let deadline_end =
        if is_judged && !progress.missed { job.deadline.checked_add(own.overhead).unwrap_or(NEVER) } else { NEVER };
    own.running = Some(Running { progress, budget_end, segment_end, deadline_end, segment_overran: false });
    let queue_depth = own.waiting;
    own.waiting = queue_depth.saturating_sub(1);
    let chosen = job.reference();
    let second = match in_table {
        true if in_slot => None,
        true => state.first_of_gaps(lane),
        false => state.first_waiting(lane),
    };
    let second = second.and_then(|id| state.tasks.get(id.index())).and_then(choice::head);
    let reason = match second {
        _ if in_slot => Reason::InTable,
        _ if in_table => Reason::InGap,
        None => Reason::OnlyOneWaiting,
        Some(other) => reason(desc.policy, &job, &other),
    };
    let runner_up = second.map(|other| other.reference());
    let sink = sink.behind();
    sink.record(now, Kind::Decided { lane, chosen, runner_up, reason, queue_depth, state: state_key });
    if let Some(model) = task.model {
        sink.record(now, Kind::Bound { job: chosen, lane, model });
    }
    sink.record(now, Kind::Started { job: chosen, lane });
    Ok(Some(job))
}

/// Ends a job that was about to start, or to go on, after its deadline; its domain may fail with it. One step drops at most one
/// of a lane, so that it is no longer than others; [`next_wake`] asks for the next one at once.
#[cold]
fn drop_late<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    progress: &mut Progress,
    now: Instant,
    sink: &mut impl Sink,
) {
    if let Some(own) = state.lanes.get_mut(lane.index()) {
        own.waiting = own.waiting.saturating_sub(1);
    }
    // The segment that ran last.
    progress.job.segment = progress.job.segment.saturating_sub(1);
    finish::abort(system, state, lane, progress, (now, now), sink);
}

/// The next instant at which time alone changes something.
fn next_wake<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &State<TASKS, LANES, QUEUE>,
) -> Option<Instant> {
    let arrival = Some(state.common.next_arrival).filter(|arrival| *arrival < NEVER && !state.ends_before(*arrival));
    let mut wake = arrival.unwrap_or(NEVER);
    let mut id = LaneId(0);
    for (desc, lane) in system.lanes.iter().zip(&state.lanes) {
        let due = match &lane.running {
            // A budget is exceeded one nanosecond after its end.
            Some(running) => running.watched().checked_add(Duration::from_ns(1)),
            None if desc.policy == Policy::TimeTriggered => table::wake(system, state, id),
            // A late job was dropped in this step, and the next one is still to be looked at.
            None if lane.waiting > 0 => state.common.last.checked_add(Duration::from_ns(1)),
            None => None,
        };
        wake = wake.min(due.unwrap_or(NEVER));
        id = LaneId(id.0.saturating_add(1));
    }
    Some(wake).filter(|wake| *wake < NEVER)
}
