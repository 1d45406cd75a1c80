//! Runs a plan through core's own dispatcher in virtual time, and compares what it sees with what was proven.
//!
//! A simulation shows that a bound is reached or nearly so; it proves nothing. Non-preemptive scheduling has anomalies: a
//! job that takes less time than its WCET can make another one late, so full executions alone are not the worst case.

use aegis_core::desc::{Release, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Event, Job, Refused, State, step};
use aegis_core::trace::{Kind, Sink};
use aegis_core::{Duration, Instant, LaneId, TaskId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The most tasks, lanes and waiting jobs a task that can be simulated: those of a manifest.
const TASKS: usize = 1_024;
const LANES: usize = 64;
const QUEUE: usize = 65;

/// When jobs arrive and how long they take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pattern {
    /// Every task arrives at its phase and then every period; full executions and overheads; releases as late as
    /// permitted.
    Periodic,
    /// For each task in turn: the longest less important job starts 1 ns before everything else is released, each task's
    /// first job as late as permitted and its next ones at once; full executions and overheads. Under fixed priorities
    /// this reaches the bound; under EDF it is one bad pattern, not the worst.
    Critical,
    /// Sporadic arrivals, releases, executions and overheads drawn from what the plan permits.
    Random {
        /// The same seed gives the same run.
        seed: u64,
    },
}

/// What was seen of one task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Observed {
    /// Completed jobs.
    pub jobs: u64,
    /// The longest response.
    pub response: Duration,
    /// Jobs that completed after their deadline.
    pub misses: u64,
    /// Responses above the bound.
    pub exceeded: u64,
    /// Arrivals that found the queue full.
    pub refused: u64,
}

/// A plan that cannot be simulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SimulationError {
    /// The plan is larger than a manifest can be.
    #[error("a simulation holds at most {TASKS} tasks, {LANES} lanes and {QUEUE} waiting jobs a task")]
    TooLarge,
    /// The system gave no thread with 64 MiB of stack, or the thread failed.
    #[error("the simulation's thread could not run")]
    Thread,
    /// The dispatcher refused an event: an error inside AegisRT.
    #[error("the dispatcher refused an event: {0:?}")]
    Refused(Refused),
    /// A time left the range of 2⁶⁴ ns.
    #[error("a time exceeds 2^64 - 1 ns")]
    Overflow,
}

/// Simulates a plan and returns what was seen, per task.
///
/// Under [`Pattern::Critical`] each task's own pattern runs for its lane's busy period; otherwise arrivals come until
/// `length`, and what waits then still runs.
///
/// # Errors
/// [`SimulationError`].
pub fn simulate(system: &SystemDesc, pattern: Pattern, length: Duration) -> Result<Vec<Observed>, SimulationError> {
    let tasks = system.tasks.iter().map(|task| TaskDesc { release: Release::Submitted, ..*task });
    let tasks: Vec<TaskDesc> = tasks.collect();
    // Descriptors are static; this one lives until the process ends.
    let system: &'static SystemDesc = Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), ..copy(system) }));
    // A state for the largest plan is 2 MiB, and building it takes some copies of that on the stack.
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let run = thread.spawn(move || simulate_here(system, pattern, length)).map_err(|_| SimulationError::Thread)?;
    run.join().map_err(|_| SimulationError::Thread)?
}

fn simulate_here(
    system: &'static SystemDesc,
    pattern: Pattern,
    length: Duration,
) -> Result<Vec<Observed>, SimulationError> {
    let mut seen = Seen(vec![Observed::default(); system.tasks.len()]);
    match pattern {
        Pattern::Periodic => {
            let arrivals = periodic(system, length).ok_or(SimulationError::Overflow)?;
            Run::new(system, None)?.run(arrivals, &mut seen)?;
        }
        Pattern::Random { seed } => {
            let mut random = fastrand::Rng::with_seed(seed);
            let arrivals = sporadic(system, length, &mut random).ok_or(SimulationError::Overflow)?;
            Run::new(system, Some(random))?.run(arrivals, &mut seen)?;
        }
        Pattern::Critical => {
            for position in 0..system.tasks.len() {
                let arrivals = critical(system, position).ok_or(SimulationError::Overflow)?;
                Run::new(system, None)?.run(arrivals, &mut seen)?;
            }
        }
    }
    Ok(seen.0)
}

const fn copy(system: &SystemDesc) -> SystemDesc {
    *system
}

/// One arrival: when it is seen, the rank among simultaneous ones, its task, when it arrived.
type Arrival = (u64, u16, u16, u64);

fn periodic(system: &SystemDesc, length: Duration) -> Option<Vec<Arrival>> {
    let mut arrivals = Vec::new();
    for (id, task) in (0u16..).zip(system.tasks) {
        let late = lateness(system, task)?;
        let mut arrival = task.phase.as_ns();
        while arrival < length.as_ns() {
            arrivals.push((arrival.checked_add(late)?, task.priority.0, id, arrival));
            arrival = arrival.checked_add(task.period.as_ns())?;
        }
    }
    Some(arrivals)
}

fn sporadic(system: &SystemDesc, length: Duration, random: &mut fastrand::Rng) -> Option<Vec<Arrival>> {
    let mut arrivals = Vec::new();
    for (id, task) in (0u16..).zip(system.tasks) {
        let late = lateness(system, task)?;
        let mut arrival = random.u64(0..=task.period.as_ns());
        let mut last_seen = 0;
        while arrival < length.as_ns() {
            // Releases of a task come in the order of its arrivals.
            last_seen = arrival.checked_add(random.u64(0..=late))?.max(last_seen);
            arrivals.push((last_seen, task.priority.0, id, arrival));
            // Half of the distances are the shortest permitted one.
            let extra = if random.bool() { 0 } else { random.u64(0..=task.period.as_ns() / 2) };
            arrival = arrival.checked_add(task.period.as_ns())?.checked_add(extra)?;
        }
    }
    Some(arrivals)
}

/// The pattern that maximises the response of the task at `position` on its lane.
fn critical(system: &SystemDesc, position: usize) -> Option<Vec<Arrival>> {
    let own = system.tasks.get(position)?;
    let lane = system.lanes.get(own.lane.index())?;
    let fixed = lane.policy.is_fixed_priority();
    let goes_after = |task: &TaskDesc| {
        if fixed { own.priority.is_more_important_than(task.priority) } else { task.deadline > own.deadline }
    };
    let on_lane = || (0u16..).zip(system.tasks).filter(|(_, task)| task.lane == own.lane);
    let latest = on_lane().map(|(_, task)| lateness(system, task)).collect::<Option<Vec<u64>>>()?;
    // Everything is released at `start`, so that the most jittery task's first arrival is not before 0.
    let start = latest.into_iter().max()?.checked_add(1)?;
    let end = start.checked_add(lane.busy_period.as_ns())?.checked_add(own.deadline.as_ns())?;
    let mut arrivals = Vec::new();
    let blocker = on_lane().filter(|(_, task)| goes_after(task)).max_by_key(|(_, task)| task.wcet);
    if let Some((id, task)) = blocker {
        arrivals.push((start.checked_sub(1)?, task.priority.0, id, start.checked_sub(1)?));
    }
    for (id, task) in on_lane().filter(|(_, task)| !goes_after(task)) {
        let mut arrival = start.checked_sub(lateness(system, task)?)?;
        while arrival < end {
            arrivals.push((arrival.max(start), task.priority.0, id, arrival));
            arrival = arrival.checked_add(task.period.as_ns())?;
        }
    }
    Some(arrivals)
}

/// How late a task's release may be seen.
fn lateness(system: &SystemDesc, task: &TaskDesc) -> Option<u64> {
    let lane = system.lanes.get(task.lane.index())?;
    Some(task.jitter.checked_add(lane.wakeup_latency)?.as_ns())
}

/// Counts what matters of a run.
struct Seen(Vec<Observed>);

impl Sink for Seen {
    fn record(&mut self, _at: Instant, kind: Kind) {
        let (task, change): (TaskId, &dyn Fn(&mut Observed)) = match &kind {
            Kind::Completed { job, response, .. } => (job.task, &|seen| {
                seen.jobs = seen.jobs.saturating_add(1);
                seen.response = seen.response.max(*response);
            }),
            Kind::Missed { job, .. } => (job.task, &|seen| seen.misses = seen.misses.saturating_add(1)),
            Kind::Exceeded { job, .. } => (job.task, &|seen| seen.exceeded = seen.exceeded.saturating_add(1)),
            Kind::Rejected { task, count, .. } => (*task, &|seen| seen.refused = seen.refused.saturating_add(*count)),
            _ => return,
        };
        if let Some(seen) = self.0.get_mut(task.index()) {
            change(seen);
        }
    }
}

/// One run of the dispatcher.
struct Run {
    system: &'static SystemDesc,
    state: Box<State<TASKS, LANES, QUEUE>>,
    /// Ends of running jobs: when, the lane, when the execution began.
    ends: BinaryHeap<Reverse<(u64, u16, u64)>>,
    random: Option<fastrand::Rng>,
    wake_at: Option<Instant>,
}

impl Run {
    fn new(system: &'static SystemDesc, random: Option<fastrand::Rng>) -> Result<Self, SimulationError> {
        let state = State::new(system).map_err(|_| SimulationError::TooLarge)?;
        Ok(Self { system, state: Box::new(state), ends: BinaryHeap::new(), random, wake_at: None })
    }

    /// At one instant arrivals come first, the most important ahead, then the timer, then ends: a decision knows every
    /// job that is seen at its instant.
    fn run(mut self, mut arrivals: Vec<Arrival>, seen: &mut Seen) -> Result<(), SimulationError> {
        arrivals.sort_unstable();
        let mut arrivals = arrivals.into_iter().peekable();
        loop {
            let arrival = arrivals.peek().map(|arrival| arrival.0);
            let timer = self.wake_at.map(Instant::as_ns);
            let end = self.ends.peek().map(|Reverse(end)| end.0);
            let Some(now) = [arrival, timer, end].into_iter().flatten().min() else { return Ok(()) };
            let event = if arrival == Some(now) {
                let Some((_, _, task, arrived)) = arrivals.next() else { return Ok(()) };
                Event::Submit { task: TaskId(task), arrival: Instant::from_ns(arrived) }
            } else if timer == Some(now) {
                Event::Timer
            } else {
                let Some(Reverse((_, lane, began))) = self.ends.pop() else { return Ok(()) };
                Event::Completed { lane: LaneId(lane), began: Instant::from_ns(began), ended: Instant::from_ns(now) }
            };
            self.step(event, now, seen)?;
        }
    }

    fn step(&mut self, event: Event, now: u64, seen: &mut Seen) -> Result<(), SimulationError> {
        let at = Instant::from_ns(now);
        let actions = step(self.system, &mut self.state, event, at, seen).map_err(SimulationError::Refused)?;
        self.wake_at = actions.wake_at;
        for (lane, job) in (0u16..).zip(actions.start) {
            if let Some(job) = job {
                let end = self.spend(lane, &job, now).ok_or(SimulationError::Overflow)?;
                self.ends.push(Reverse(end));
            }
        }
        Ok(())
    }

    /// When a started job ends, and when its execution begins.
    fn spend(&mut self, lane: u16, job: &Job, now: u64) -> Option<(u64, u16, u64)> {
        let task = self.system.tasks.get(job.task.index())?;
        let most = (self.system.lanes.get(usize::from(lane))?.dispatch_overhead.as_ns(), task.wcet.as_ns());
        let (overhead, execution) = match &mut self.random {
            None => most,
            Some(random) => {
                // Half of the executions are full ones.
                let execution = if random.bool() { most.1 } else { random.u64(1..=most.1) };
                (random.u64(0..=most.0), execution)
            }
        };
        let began = now.checked_add(overhead)?;
        Some((began.checked_add(execution)?, lane, began))
    }
}
