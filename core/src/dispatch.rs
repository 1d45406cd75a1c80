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
//! Two budgets are watched while a segment runs: what is left of its job's, and, where the job has several segments, the
//! segment's own length, since that is what the analysis lets others wait. Each is recorded once, as soon as a step comes after its
//! end or the measured execution exceeds it; what only the timer saw, because the overhead was longer than planned, loses its
//! consequence when the segment's end shows that nothing was exceeded.
//!
//! A lane runs one segment at a time and a started segment is never preempted, except by [`Event::Preempted`] on lanes that
//! exist for simulation only. Cost of one step: every task is looked at once, every lane scans the tasks once and a
//! time-triggered lane at most two laps of its table, so O(tasks × lanes + slots); no loop depends on how much time
//! has passed.

mod choice;
mod finish;
mod queue;
mod release;
mod table;
mod told;

use crate::desc::{Policy, Release, SystemDesc};
use crate::time::{Duration, Instant};
use crate::trace::{JobRef, Kind, Reason, Sink};
use crate::units::{LaneId, TaskId};
use choice::{first_waiting, key, reason};
use queue::Queue;
use told::Told;

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
pub enum Event {
    /// Time has passed: release what is due and look for exceeded budgets.
    Timer,
    /// A job of a [`Release::Submitted`] task arrived.
    ///
    /// What is submitted first starts first: submit simultaneous arrivals with the most important first. The analysis
    /// assumes that a less important job started at least 1 ns before the one it blocks.
    Submit {
        /// The task.
        task: TaskId,
        /// When it arrived; at most now.
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
}

/// What has to be done after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Actions<const LANES: usize> {
    /// For each lane the job whose segment is to start now.
    pub start: [Option<Job>; LANES],
    /// When the next [`Event::Timer`] is due, if nothing else happens before.
    pub wake_at: Option<Instant>,
}

/// Why a step was refused; the state is unchanged then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// `now` lies before the previous step's: permanent, the clock is not monotonic.
    ClockWentBack {
        /// The previous step's time.
        last: Instant,
    },
    /// The lane has no running job, or the plan has no such lane: permanent, the caller's bookkeeping is wrong.
    NothingRunning {
        /// The lane that was named.
        lane: LaneId,
    },
    /// The lane does not preempt: permanent.
    NotPreemptible {
        /// The lane that was named.
        lane: LaneId,
    },
    /// The plan has no such task, or its releases come from the timer or an earlier stage: permanent.
    NotSubmittable {
        /// The task that was named.
        task: TaskId,
    },
    /// The arrival lies in the future, or less than one period after the task's last one: the analysis
    /// assumed otherwise, so the caller may retry at `earliest`: transient.
    TooEarly {
        /// The first permitted arrival.
        earliest: Instant,
    },
    /// An instant left the representable range: fatal.
    OutOfRange,
}

/// The state cannot be built because the plan is larger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongSize;

#[derive(Clone, Debug)]
struct TaskState<const QUEUE: usize> {
    /// The next arrival that the timer releases, or the earliest that may be submitted.
    next: Instant,
    skip_next: bool,
    /// The job that has begun and does not hold its lane.
    paused: Option<Progress>,
    waiting: Queue<QUEUE>,
}

/// A job that has begun.
#[derive(Clone, Copy, Debug)]
struct Progress {
    job: Job,
    /// The execution so far, pieces that still run not included.
    spent: Duration,
    /// Whether it is recorded that the job exceeded its budget.
    overran: bool,
    /// Whether an overrun of the job or of one of its segments was measured, not only seen by the timer.
    measured: bool,
}

#[derive(Clone, Copy, Debug)]
struct LaneState {
    running: Option<Running>,
    /// How many jobs of the lane's tasks wait, paused ones included.
    waiting: u16,
    /// Where a time-triggered lane is in its table.
    table: table::Place,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    progress: Progress,
    /// When the job's budget ends.
    budget_end: Instant,
    /// When the segment's length ends; `None` in a job of one segment.
    segment_end: Option<Instant>,
    /// Whether it is recorded that the segment exceeded its length.
    segment_overran: bool,
}

impl Running {
    /// The next end of a budget that is not recorded yet.
    fn watched(&self) -> Option<Instant> {
        let job = if self.progress.overran { None } else { Some(self.budget_end) };
        let segment = if self.segment_overran { None } else { self.segment_end };
        job.into_iter().chain(segment).min()
    }
}

/// Everything that changes while the dispatcher runs.
///
/// `TASKS` and `LANES` are at least the plan's counts, `QUEUE` at least its longest queue; a generated plan names all
/// three as constants.
#[derive(Clone, Debug)]
pub struct State<const TASKS: usize, const LANES: usize, const QUEUE: usize> {
    last: Instant,
    /// Arrivals at or after this instant are not released.
    end: Option<Instant>,
    requests: u64,
    tasks: [TaskState<QUEUE>; TASKS],
    lanes: [LaneState; LANES],
}

impl<const TASKS: usize, const LANES: usize, const QUEUE: usize> State<TASKS, LANES, QUEUE> {
    /// The state at the schedule's start: nothing waits, nothing runs.
    ///
    /// # Errors
    /// [`WrongSize`] where the plan's tables or queues are longer than the state.
    pub fn new(system: &SystemDesc) -> Result<Self, WrongSize> {
        let fits = system.tasks.len() <= TASKS
            && system.lanes.len() <= LANES
            && system.tasks.iter().all(|task| usize::from(task.queue) <= QUEUE);
        if !fits {
            return Err(WrongSize);
        }
        let tasks = core::array::from_fn(|index| TaskState {
            next: system.tasks.get(index).map_or(Instant::START, |task| Instant::from_ns(task.phase.as_ns())),
            skip_next: false,
            paused: None,
            waiting: Queue::EMPTY,
        });
        Ok(Self {
            last: Instant::START,
            end: None,
            requests: 0,
            tasks,
            lanes: [LaneState { running: None, waiting: 0, table: table::Place::START }; LANES],
        })
    }

    /// Whether nothing waits and nothing runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.running.is_none() && lane.waiting == 0)
    }

    /// Whether an arrival comes after the end that [`Event::Stop`] set.
    fn ends_before(&self, arrival: Instant) -> bool {
        self.end.is_some_and(|end| arrival >= end)
    }

    /// The jobs of a task that wait, the one that goes first ahead.
    pub fn waiting(&self, task: TaskId) -> impl Iterator<Item = Job> {
        let own = self.tasks.get(task.index());
        own.into_iter().flat_map(|own| own.paused.iter().map(|paused| &paused.job).chain(own.waiting.iter())).copied()
    }

    /// The job that a lane runs.
    #[must_use]
    pub fn running(&self, lane: LaneId) -> Option<Job> {
        self.lanes.get(lane.index())?.running.map(|running| running.progress.job)
    }
}

/// The size of a [`State`] in bytes on the machine that asks: what the dispatcher needs of memory, besides its ring of trace
/// records. `None` where that exceeds the machine's range.
///
/// It is linear in each number: a queue has one [`Job`] an entry, everything else is aligned as jobs are.
#[must_use]
pub const fn state_bytes(tasks: usize, lanes: usize, queue: usize) -> Option<usize> {
    let (job, task, lane) = (size_of::<Job>(), size_of::<TaskState<1>>(), size_of::<LaneState>());
    let Some(rest) = size_of::<State<1, 1, 1>>().checked_sub(task) else {
        return None;
    };
    let (Some(rest), Some(fixed), Some(waiting)) =
        (rest.checked_sub(lane), task.checked_sub(job), job.checked_mul(queue))
    else {
        return None;
    };
    let Some(task) = fixed.checked_add(waiting) else {
        return None;
    };
    let (Some(tasks), Some(lanes)) = (task.checked_mul(tasks), lane.checked_mul(lanes)) else {
        return None;
    };
    let Some(sum) = tasks.checked_add(lanes) else {
        return None;
    };
    sum.checked_add(rest)
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
    if now < state.last {
        return Err(Refused::ClockWentBack { last: state.last });
    }
    let places = state.lanes.map(|lane| lane.table);
    let mut told = Told::new(sink, event, now);
    let sink = &mut told;
    match event {
        Event::Timer => {}
        Event::Submit { task, arrival } => release::submit(system, state, task, arrival, now, sink)?,
        Event::Completed { lane, began, ended } => {
            finish::complete(system, state, lane, (began, ended.min(now)), sink)?
        }
        Event::Preempted { lane, began, ended } => finish::preempt(system, state, lane, (began, ended.min(now)), sink)?,
        Event::Stop { end } => state.end = Some(end),
    }
    state.last = now;
    release::release_due(system, state, now, sink)?;
    finish::check_budgets(system, state, now, sink);
    let mut start = [None; LANES];
    for (position, slot) in start.iter_mut().enumerate() {
        let lane = LaneId(u16::try_from(position).unwrap_or(u16::MAX));
        if state.running(lane).is_none() {
            *slot = start_next(system, state, lane, now, sink)?;
        }
    }
    // Whatever else changes a state makes a record.
    if event != Event::Timer || places != state.lanes.map(|lane| lane.table) {
        told.tell();
    }
    Ok(Actions { start, wake_at: next_wake(system, state) })
}

/// Records the end of a run, and a miss for each job that has not completed and whose deadline lies before `now`.
pub fn count_unfinished<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &State<TASKS, LANES, QUEUE>,
    now: Instant,
    sink: &mut impl Sink,
) {
    sink.record(now, Kind::Ended);
    let running = state.lanes.iter().filter_map(|lane| lane.running.as_ref()).map(|running| &running.progress.job);
    let waiting =
        state.tasks.iter().flat_map(|task| task.paused.iter().map(|paused| &paused.job).chain(task.waiting.iter()));
    for job in running.chain(waiting).filter(|job| job.deadline < now) {
        let lateness = now.saturating_since(job.deadline);
        sink.record(now, Kind::Missed { job: job.reference(), lateness });
    }
}

/// Chooses the lane's next job and marks it running.
fn start_next<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    now: Instant,
    sink: &mut impl Sink,
) -> Result<Option<Job>, Refused> {
    let Some(desc) = system.lanes.get(lane.index()) else {
        return Ok(None);
    };
    let in_table = desc.policy == Policy::TimeTriggered;
    let chosen =
        if in_table { table::due(system, state, lane, now) } else { first_waiting(system, state, lane, desc.policy) };
    let Some((task, job)) = chosen else { return Ok(None) };
    let state_key = key(system, state, lane);
    let fresh = Progress { job, spent: Duration::ZERO, overran: false, measured: false };
    let progress = state.tasks.get_mut(job.task.index()).map_or(fresh, |task_state| {
        task_state.paused.take().unwrap_or_else(|| {
            task_state.waiting.pop_front();
            fresh
        })
    });
    let begun = desc.segment_overhead().and_then(|overhead| now.checked_add(overhead)).ok_or(Refused::OutOfRange)?;
    let left = task.budget.saturating_sub(progress.spent);
    let budget_end = begun.checked_add(left).ok_or(Refused::OutOfRange)?;
    let length = finish::segment_length(task, job);
    let segment_end = length.map(|length| begun.checked_add(length).ok_or(Refused::OutOfRange)).transpose()?;
    let slot = state.lanes.get_mut(lane.index());
    let queue_depth = slot.map_or(1, |slot| {
        slot.running = Some(Running { progress, budget_end, segment_end, segment_overran: false });
        let depth = slot.waiting;
        slot.waiting = depth.saturating_sub(1);
        depth
    });
    let chosen = job.reference();
    let second = if in_table { None } else { first_waiting(system, state, lane, desc.policy) };
    let reason = match second {
        _ if in_table => Reason::InTable,
        None => Reason::OnlyOneWaiting,
        Some((_, other)) => reason(desc.policy, job, other),
    };
    let runner_up = second.map(|(_, other)| other.reference());
    sink.record(now, Kind::Decided { lane, chosen, runner_up, reason, queue_depth, state: state_key });
    if let Some(model) = task.model {
        sink.record(now, Kind::Bound { job: chosen, lane, model });
    }
    sink.record(now, Kind::Started { job: chosen, lane });
    Ok(Some(job))
}

/// The next instant at which time alone changes something.
fn next_wake<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &State<TASKS, LANES, QUEUE>,
) -> Option<Instant> {
    let timed = system.tasks.iter().zip(&state.tasks);
    let releases = timed.filter(|(task, own)| task.release == Release::Timer && !state.ends_before(own.next));
    let releases = releases.map(|(_, own)| own.next);
    // A budget is exceeded one nanosecond after its end.
    let watched = state.lanes.iter().filter_map(|lane| lane.running.as_ref()?.watched());
    let budgets = watched.filter_map(|end| end.checked_add(Duration::from_ns(1)));
    let slots = system.lanes.iter().zip(&state.lanes).filter_map(|(desc, lane)| table::wake(desc, lane, state.last));
    releases.chain(budgets).chain(slots).min()
}
