//! The dispatcher: one pure step from an event to the jobs that start now.
//!
//! [`step`] reads the plan, changes nothing but the state and the sink it is given, and asks no clock: the
//! firmware calls it with the real time, a simulation with a virtual one, a test with whatever it likes.
//!
//! ```text
//!            Timer / Submit                 lane idle, chosen by policy             Completed
//!  (arrival) ──────────────▶ waiting (queue) ───────────────────────────▶ running ─────────▶ (done)
//!      │  queue full: Rejected                                              │ budget over: Overran
//!      └─ skip-next pending: Skipped                                        └─ (it cannot be stopped)
//! ```
//!
//! A lane runs one job at a time and a started job is never preempted. Cost of one step: every task is looked
//! at once and every lane scans the tasks once, so O(tasks × lanes); no loop depends on how much time has passed.

mod choice;

use crate::desc::{OnOverrun, Release, SystemDesc, TaskDesc};
use crate::time::{Duration, Instant};
use crate::trace::{JobRef, Kind, Reason, Sink};
use crate::units::{LaneId, TaskId};
use choice::{first_waiting, reason};
use heapless::Deque;

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
    /// The lane's job ended.
    Completed {
        /// The lane.
        lane: LaneId,
        /// When the execution began, by the lane's own clock reading.
        began: Instant,
        /// When it ended, at most now.
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
    /// For each lane the job to start now.
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
    /// The plan has no such task, or its releases come from the timer: permanent.
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
    waiting: Deque<Job, QUEUE>,
}

#[derive(Clone, Copy, Debug)]
struct LaneState {
    running: Option<Running>,
    /// How many jobs wait in the queues of the lane's tasks.
    waiting: u16,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    job: Job,
    /// When the budget ends; `None` once the overrun is recorded.
    budget_end: Option<Instant>,
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
            waiting: Deque::new(),
        });
        Ok(Self {
            last: Instant::START,
            end: None,
            requests: 0,
            tasks,
            lanes: [LaneState { running: None, waiting: 0 }; LANES],
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

    /// The job that a lane runs.
    #[must_use]
    pub fn running(&self, lane: LaneId) -> Option<Job> {
        self.lanes.get(lane.index())?.running.map(|running| running.job)
    }
}

/// Advances the dispatcher by one event.
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
    match event {
        Event::Timer => {}
        Event::Submit { task, arrival } => submit(system, state, task, arrival, now, sink)?,
        Event::Completed { lane, began, ended } => complete(system, state, lane, began, ended.min(now), sink)?,
        Event::Stop { end } => state.end = Some(end),
    }
    state.last = now;
    release_due(system, state, now, sink)?;
    check_budgets(system, state, now, sink);
    let mut start = [None; LANES];
    for (position, slot) in start.iter_mut().enumerate() {
        let lane = LaneId(u16::try_from(position).unwrap_or(u16::MAX));
        if state.running(lane).is_none() {
            *slot = start_next(system, state, lane, now, sink)?;
        }
    }
    Ok(Actions { start, wake_at: next_wake(system, state) })
}

/// Records a miss for each job that has not completed and whose deadline lies before `now`: for the end of a run.
pub fn count_unfinished<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &State<TASKS, LANES, QUEUE>,
    now: Instant,
    sink: &mut impl Sink,
) {
    let running = state.lanes.iter().filter_map(|lane| lane.running.as_ref()).map(|running| &running.job);
    let waiting = state.tasks.iter().flat_map(|task| task.waiting.iter());
    for job in running.chain(waiting).filter(|job| job.deadline < now) {
        let lateness = now.saturating_since(job.deadline);
        sink.record(now, Kind::Missed { job: job.reference(), lateness });
    }
}

fn release_due<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    now: Instant,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let due = match state.end {
        Some(end) if end <= now => match end.as_ns().checked_sub(1) {
            Some(ns) => Instant::from_ns(ns),
            None => return Ok(()),
        },
        _ => now,
    };
    for (position, task) in system.tasks.iter().enumerate() {
        let id = TaskId(u16::try_from(position).unwrap_or(u16::MAX));
        // A queue takes at most QUEUE jobs, one more turn may skip, and what is due beyond that is refused at once.
        for _ in 0..=QUEUE {
            let Some(next) = state.tasks.get(position).map(|task| task.next) else {
                break;
            };
            if task.release != Release::Timer || next > due {
                break;
            }
            enqueue(state, id, task, next, now, sink)?;
        }
        refuse_backlog(state, position, task, (due, now), sink)?;
    }
    Ok(())
}

/// Refuses all arrivals up to `due` that are still not released: after a clock jump of many periods.
fn refuse_backlog<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &mut State<TASKS, LANES, QUEUE>,
    position: usize,
    task: &TaskDesc,
    (due, now): (Instant, Instant),
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let Some(task_state) = state.tasks.get_mut(position) else {
        return Ok(());
    };
    if task.release != Release::Timer || task_state.next > due {
        return Ok(());
    }
    let behind = due.saturating_since(task_state.next).as_ns();
    let count = behind.checked_div(task.period.as_ns()).and_then(|full| full.checked_add(1));
    let count = count.ok_or(Refused::OutOfRange)?;
    let jump = count.checked_mul(task.period.as_ns()).map(Duration::from_ns);
    let arrival = task_state.next;
    task_state.next = jump.and_then(|jump| arrival.checked_add(jump)).ok_or(Refused::OutOfRange)?;
    let id = TaskId(u16::try_from(position).unwrap_or(u16::MAX));
    sink.record(now, Kind::Rejected { task: id, arrival, count });
    Ok(())
}

fn submit<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    id: TaskId,
    arrival: Instant,
    now: Instant,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let not_submittable = Refused::NotSubmittable { task: id };
    let task = system.tasks.get(id.index()).ok_or(not_submittable)?;
    let earliest = state.tasks.get(id.index()).ok_or(not_submittable)?.next;
    if task.release != Release::Submitted || state.ends_before(arrival) {
        return Err(not_submittable);
    }
    if arrival < earliest || arrival > now {
        return Err(Refused::TooEarly { earliest });
    }
    enqueue(state, id, task, arrival, now, sink)
}

/// Puts one arrival into its queue and moves the task's next arrival on.
fn enqueue<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &mut State<TASKS, LANES, QUEUE>,
    id: TaskId,
    task: &TaskDesc,
    arrival: Instant,
    now: Instant,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let next = arrival.checked_add(task.period).ok_or(Refused::OutOfRange)?;
    let deadline = arrival.checked_add(task.deadline).ok_or(Refused::OutOfRange)?;
    let request = state.requests.checked_add(1).ok_or(Refused::OutOfRange)?;
    let Some(task_state) = state.tasks.get_mut(id.index()) else {
        return Ok(());
    };
    task_state.next = next;
    if core::mem::take(&mut task_state.skip_next) {
        sink.record(now, Kind::Skipped { task: id, arrival });
        return Ok(());
    }
    let job = Job { task: id, request, arrival, deadline };
    let room = task_state.waiting.len() < usize::from(task.queue);
    if room && task_state.waiting.push_back(job).is_ok() {
        state.requests = request;
        let lane = state.lanes.get_mut(task.lane.index());
        let queue_depth = lane.map_or(1, |lane| {
            lane.waiting = lane.waiting.saturating_add(1);
            lane.waiting
        });
        sink.record(now, Kind::Submitted { job: job.reference(), arrival, queue_depth });
    } else {
        sink.record(now, Kind::Rejected { task: id, arrival, count: 1 });
    }
    Ok(())
}

fn complete<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    began: Instant,
    ended: Instant,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let nothing = Refused::NothingRunning { lane };
    let running = state.lanes.get_mut(lane.index()).ok_or(nothing)?.running.take().ok_or(nothing)?;
    let job = running.job;
    let Some(task) = system.tasks.get(job.task.index()) else {
        return Ok(());
    };
    let execution = ended.saturating_since(began);
    if execution > task.budget && running.budget_end.is_some() {
        overrun(state, task, job, execution, ended, sink);
    }
    let falsely = running.budget_end.is_none() && execution <= task.budget;
    if let (true, Some(task_state)) = (falsely, state.tasks.get_mut(job.task.index())) {
        // The budget's timer ended because the lane's overhead was longer than planned; the job is not to blame.
        task_state.skip_next = false;
    }
    let response = ended.saturating_since(job.arrival);
    sink.record(ended, Kind::Completed { job: job.reference(), lane, began, ended, response });
    if ended > job.deadline {
        let lateness = ended.saturating_since(job.deadline);
        sink.record(ended, Kind::Missed { job: job.reference(), lateness });
    }
    if response > task.response_bound {
        let bound = task.response_bound;
        sink.record(ended, Kind::Exceeded { job: job.reference(), response, bound });
    }
    Ok(())
}

fn check_budgets<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    now: Instant,
    sink: &mut impl Sink,
) {
    for position in 0..LANES {
        let Some(running) = state.lanes.get_mut(position).and_then(|lane| lane.running.as_mut()) else { continue };
        let Some(end) = running.budget_end else {
            continue;
        };
        if end >= now {
            continue;
        }
        running.budget_end = None;
        let job = running.job;
        if let Some(task) = system.tasks.get(job.task.index()) {
            let beyond = now.saturating_since(end);
            let execution = task.budget.checked_add(beyond).unwrap_or(Duration::MAX);
            overrun(state, task, job, execution, now, sink);
        }
    }
}

fn overrun<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &mut State<TASKS, LANES, QUEUE>,
    task: &TaskDesc,
    job: Job,
    execution: Duration,
    now: Instant,
    sink: &mut impl Sink,
) {
    sink.record(now, Kind::Overran { job: job.reference(), execution, budget: task.budget });
    if task.on_overrun == OnOverrun::SkipNext
        && let Some(task_state) = state.tasks.get_mut(job.task.index())
    {
        task_state.skip_next = true;
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
    let Some((task, job)) = first_waiting(system, state, lane, desc.policy) else { return Ok(None) };
    if let Some(task_state) = state.tasks.get_mut(job.task.index()) {
        task_state.waiting.pop_front();
    }
    let allowed = desc.dispatch_overhead.checked_add(task.budget).ok_or(Refused::OutOfRange)?;
    let budget_end = now.checked_add(allowed).ok_or(Refused::OutOfRange)?;
    let slot = state.lanes.get_mut(lane.index());
    let queue_depth = slot.map_or(1, |slot| {
        slot.running = Some(Running { job, budget_end: Some(budget_end) });
        let depth = slot.waiting;
        slot.waiting = depth.saturating_sub(1);
        depth
    });
    let chosen = job.reference();
    let second = first_waiting(system, state, lane, desc.policy).map(|(_, other)| other);
    let reason = second.map_or(Reason::OnlyOneWaiting, |other| reason(desc.policy, job, other));
    let runner_up = second.map(|other| other.reference());
    sink.record(now, Kind::Decided { lane, chosen, runner_up, reason, queue_depth });
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
    let budgets = state.lanes.iter().filter_map(|lane| lane.running?.budget_end);
    let budgets = budgets.filter_map(|end| end.checked_add(Duration::from_ns(1)));
    releases.chain(budgets).min()
}
