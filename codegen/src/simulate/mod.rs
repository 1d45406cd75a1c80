//! Runs a plan through core's own dispatcher in virtual time, and compares what it sees with what was proven.
//!
//! A simulation shows that a bound is reached or nearly so; it proves nothing. Non-preemptive scheduling has anomalies: a
//! job that takes less time than its WCET can make another one late, so full executions alone are not the worst case.

mod modes;
mod patterns;
pub mod recorded;
mod run;
mod traced;
pub mod witness;
pub mod worst;

use aegis_core::desc::{Release, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Event, MOST_TASKS, Refused};
use aegis_core::trace::{Kind, Sink};
use aegis_core::{Duration, Instant, TaskId};
use aegis_trace::Store;
use modes::Watch;
pub use modes::{ObservedMode, Simulated, alone};
use recorded::{Outcome, Ran, Recorded};
use run::{Run, Spend};
use std::io::Write;
use traced::TraceWriter;
use witness::Witness;

/// The most tasks, lanes and waiting jobs a task that can be simulated: those of a manifest.
pub(crate) const TASKS: usize = MOST_TASKS;
pub(crate) const LANES: usize = 64;
pub(crate) const QUEUE: usize = 65;
/// Up to here a simulation has a smaller state.
pub(crate) const FEW_TASKS: usize = 16;
pub(crate) const FEW_LANES: usize = 4;
/// What a thread needs to build the largest state, which has 4 MiB and lies there a few times meanwhile.
pub(crate) const STACK: usize = 64 << 20;

/// When jobs arrive and how long they take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pattern {
    /// Every task arrives at its phase and then every period; full executions and overheads; releases as late as
    /// permitted.
    Periodic,
    /// For each task in turn: the longest less important piece starts 1 ns before everything else is released, each task's
    /// first job as late as permitted and its next ones at once; full executions and overheads. Under fixed priorities
    /// this reaches the bound; under EDF it does where the lane's deadlines are aligned as its witness says. With stages
    /// or tables it is one bad pattern, not the worst.
    Critical,
    /// Sporadic arrivals, releases, executions and overheads drawn from what the plan permits; of a plan with modes also requests
    /// for others of them, while another change is under way too. Elsewhere each mode is run by itself.
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
    /// Jobs that were aborted after an overrun or a miss.
    pub aborted: u64,
    /// The longest response, aborted jobs included.
    pub response: Duration,
    /// When the job arrived that took longest; the first of equals.
    pub arrival: Instant,
    /// Jobs that ended after their deadline.
    pub misses: u64,
    /// Responses above the bound.
    pub exceeded: u64,
    /// Arrivals that found the queue full.
    pub refused: u64,
}

/// A plan that cannot be simulated.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SimulationError {
    /// The plan is larger than a manifest can be.
    #[error("a simulation holds at most {TASKS} tasks, {LANES} lanes and {QUEUE} waiting jobs a task")]
    TooLarge,
    /// The system gave no thread with 64 MiB of stack, or the thread failed.
    #[error("the simulation's thread could not run")]
    Thread,
    /// The dispatcher refused an event: an error inside AegisRT, or a witness of another plan.
    #[error("the dispatcher refused an event: {0:?}")]
    Refused(Refused),
    /// The run has more jobs than memory and patience are for.
    #[error("a simulation has at most {MOST_JOBS} jobs, this one about {0}: shorten it with --for")]
    TooLong(u64),
    /// A time left the range of 2⁶⁴ ns.
    #[error("a time exceeds 2^64 - 1 ns")]
    Overflow,
    /// A witness names a task that the plan does not have.
    #[error("the witness names the task `{0}`, which the plan does not have")]
    UnknownTask(String),
    /// A trace is of one run.
    #[error(
        "the critical pattern is one run for each task, the periodic one of a plan with modes one for each mode, and a trace is \
         of one run: choose another one, such as `--pattern periodic`, or with modes `--pattern random`"
    )]
    ManyRuns,
    /// The trace could not be written.
    #[error("the trace cannot be written: {0}")]
    Trace(String),
}

/// Where a simulation's trace goes, in a form of a vehicle's.
pub enum TraceOut {
    /// As JSON lines.
    Lines(Box<dyn Write + Send>),
    /// In the binary form.
    Blocks(Box<dyn Store + Send>),
}

/// The most jobs that arrive in one run.
const MOST_JOBS: u64 = 10_000_000;

/// Refuses runs of more than [`MOST_JOBS`] arrivals in `length` and one deadline more.
fn short_enough(plan: &SystemDesc, length: Duration) -> Result<(), SimulationError> {
    let jobs = plan.tasks.iter().map(|task| {
        let length = length.as_ns().saturating_add(task.deadline.as_ns());
        length.checked_div(task.period.as_ns()).unwrap_or(u64::MAX).saturating_add(1)
    });
    let jobs = jobs.fold(0, u64::saturating_add);
    if jobs > MOST_JOBS { Err(SimulationError::TooLong(jobs)) } else { Ok(()) }
}

/// What is run.
#[derive(Clone, Debug)]
enum What {
    Pattern(Pattern, Duration),
    Witness(Witness),
    Recorded(Recorded),
}

/// Simulates a plan and returns what was seen, per task.
///
/// Of a plan with modes what was seen in all of them. Under [`Pattern::Critical`] each task's own pattern runs for its lane's
/// busy period; otherwise arrivals come until `length`, and what waits then still runs.
///
/// # Errors
/// [`SimulationError`].
pub fn simulate(system: &SystemDesc, pattern: Pattern, length: Duration) -> Result<Vec<Observed>, SimulationError> {
    simulate_into(system, pattern, length, None)
}

/// As [`simulate`], and writes a trace; not of [`Pattern::Critical`], nor of [`Pattern::Periodic`] where there are modes.
///
/// # Errors
/// [`SimulationError`].
pub fn simulate_into(
    system: &SystemDesc,
    pattern: Pattern,
    length: Duration,
    trace: Option<TraceOut>,
) -> Result<Vec<Observed>, SimulationError> {
    Ok(simulate_modes(system, pattern, length, trace)?.tasks)
}

/// As [`simulate_into`], with what was seen of the plan's modes.
///
/// # Errors
/// [`SimulationError`].
pub fn simulate_modes(
    system: &SystemDesc,
    pattern: Pattern,
    length: Duration,
    trace: Option<TraceOut>,
) -> Result<Simulated, SimulationError> {
    let is_random = matches!(pattern, Pattern::Random { .. });
    let in_modes = !is_random && !system.modes.is_empty();
    if trace.is_some() && (in_modes || pattern == Pattern::Critical) {
        return Err(SimulationError::ManyRuns);
    }
    if in_modes {
        return modes::each(system, pattern, length);
    }
    Ok(in_thread(system, What::Pattern(pattern, length), trace)?.0)
}

/// Replays a witness: its arrivals, releases, overheads and executions, and nothing else.
///
/// # Errors
/// [`SimulationError`], also where the witness is of another plan.
pub fn replay(system: &SystemDesc, witness: &Witness) -> Result<Vec<Observed>, SimulationError> {
    replay_into(system, witness, None)
}

/// As [`replay`], and writes a trace.
///
/// # Errors
/// [`SimulationError`].
pub fn replay_into(
    system: &SystemDesc,
    witness: &Witness,
    trace: Option<TraceOut>,
) -> Result<Vec<Observed>, SimulationError> {
    Ok(in_thread(system, What::Witness(witness.clone()), trace)?.0.tasks)
}

/// A plan whose first stages are submitted, from 0 on, instead of released by the dispatcher's timer; optional tasks are admitted
/// from the start.
pub(crate) fn submitted(system: &SystemDesc) -> &'static SystemDesc {
    let submitted = |task: &TaskDesc| match task.release {
        Release::Stage => *task,
        // Patterns say when a task arrives first, and permit what they say.
        Release::Timer | Release::Submitted => {
            TaskDesc { release: Release::Submitted, defers: false, optional: false, phase: Duration::ZERO, ..*task }
        }
    };
    let tasks: Vec<TaskDesc> = system.tasks.iter().map(submitted).collect();
    // Descriptors are static; this one lives until the process ends.
    Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), ..*system }))
}

fn in_thread(system: &SystemDesc, what: What, trace: Option<TraceOut>) -> Result<(Simulated, Ran), SimulationError> {
    let plan = *system;
    let system = submitted(system);
    let trace = trace.map(|out| TraceWriter::new(system, out));
    if system.tasks.len() <= FEW_TASKS && system.lanes.len() <= FEW_LANES {
        return simulate_here::<FEW_TASKS, FEW_LANES>(&plan, system, what, trace);
    }
    let thread = std::thread::Builder::new().stack_size(STACK);
    let run = thread
        .spawn(move || simulate_here::<TASKS, LANES>(&plan, system, what, trace))
        .map_err(|_| SimulationError::Thread)?;
    run.join().map_err(|_| SimulationError::Thread)?
}

fn simulate_here<const TASKS: usize, const LANES: usize>(
    plan: &SystemDesc,
    system: &'static SystemDesc,
    what: What,
    trace: Option<TraceWriter>,
) -> Result<(Simulated, Ran), SimulationError> {
    let start = |spend| Run::<TASKS, LANES>::new(system, spend);
    let tasks = vec![Observed::default(); system.tasks.len()];
    let mut seen = Seen { tasks, trace, watch: Watch::new(system), outcomes: None };
    let mut beside = Ran::default();
    let overflow = SimulationError::Overflow;
    let longest = plan.lanes.iter().map(|lane| lane.busy_period.max(lane.hyperperiod)).max();
    match &what {
        What::Pattern(Pattern::Critical, _) => {
            let deadline = plan.tasks.iter().map(|task| task.deadline).max().unwrap_or(Duration::ZERO);
            let length = longest.unwrap_or(Duration::ZERO).as_ns().saturating_mul(2).saturating_add(deadline.as_ns());
            short_enough(plan, Duration::from_ns(length))?;
        }
        What::Pattern(_, length) => short_enough(plan, *length)?,
        What::Witness(_) | What::Recorded(_) => {}
    }
    match what {
        What::Recorded(recorded) => {
            seen.outcomes = Some(Vec::new());
            let (arrivals, commands, pieces) = recorded.parts(system)?;
            let ran = start(Spend::Recorded(pieces))?.run(arrivals, commands, &mut seen)?;
            (beside.assumed, beside.refused) = (ran.0, ran.1);
        }
        What::Witness(witness) => {
            let (arrivals, spend) = witness.arrivals(system)?;
            start(Spend::Given(spend))?.run(arrivals, Vec::new(), &mut seen)?;
        }
        What::Pattern(Pattern::Periodic, length) => {
            let arrivals = patterns::periodic(plan, length).ok_or(overflow)?;
            start(Spend::Most)?.run(arrivals, Vec::new(), &mut seen)?;
        }
        What::Pattern(Pattern::Random { seed }, length) => {
            let mut random = fastrand::Rng::with_seed(seed);
            let arrivals = patterns::sporadic(plan, length, &mut random).ok_or(overflow)?;
            let requests = modes::requests(plan, length, &mut random).into_iter();
            let requests = requests.map(|(at, mode)| (at, Event::Mode { mode })).collect();
            start(Spend::Random(random))?.run(arrivals, requests, &mut seen)?;
        }
        What::Pattern(Pattern::Critical, _) => {
            for position in 0..system.tasks.len() {
                let arrivals = patterns::critical(plan, position, 0, false).ok_or(SimulationError::Overflow)?;
                start(Spend::Most)?.run(arrivals, Vec::new(), &mut seen)?;
            }
        }
    }
    let written = seen.trace.map_or(Ok(()), TraceWriter::finish);
    written.map_err(|error| SimulationError::Trace(error.to_string()))?;
    beside.outcomes = seen.outcomes.unwrap_or_default();
    Ok((Simulated { tasks: seen.tasks, modes: seen.watch.map_or_else(Vec::new, |watch| watch.modes) }, beside))
}

/// Counts what matters of a run, and writes its trace.
struct Seen {
    tasks: Vec<Observed>,
    trace: Option<TraceWriter>,
    /// Where the plan has modes.
    watch: Option<Watch>,
    /// Where each job's end is asked for.
    outcomes: Option<Vec<Outcome>>,
}

impl Sink for Seen {
    fn record(&mut self, at: Instant, kind: Kind) {
        if let Some(trace) = &mut self.trace {
            trace.record(at, kind);
        }
        if let Kind::Completed { job, response, .. } | Kind::Aborted { job, response, .. } = kind
            && let Some(outcomes) = &mut self.outcomes
        {
            let arrival = Instant::from_ns(at.as_ns().saturating_sub(response.as_ns()));
            let is_complete = matches!(kind, Kind::Completed { .. });
            outcomes.push(Outcome { task: job.task, arrival, response, is_complete });
        }
        let exceeds = self.watch.as_mut().map(|watch| watch.exceeds(&kind));
        let (task, change): (TaskId, &dyn Fn(&mut Observed)) = match &kind {
            Kind::Completed { job, response, .. } | Kind::Aborted { job, response, .. } => (job.task, &|seen| {
                let is_complete = matches!(kind, Kind::Completed { .. });
                let count = if is_complete { &mut seen.jobs } else { &mut seen.aborted };
                *count = count.saturating_add(1);
                if *response > seen.response {
                    seen.response = *response;
                    seen.arrival = Instant::from_ns(at.as_ns().saturating_sub(response.as_ns()));
                }
                seen.exceeded = seen.exceeded.saturating_add(u64::from(exceeds == Some(true)));
            }),
            Kind::Missed { job, .. } => (job.task, &|seen| seen.misses = seen.misses.saturating_add(1)),
            // With modes each response was compared with the bounds of those that held.
            Kind::Exceeded { job, .. } if exceeds.is_none() => {
                (job.task, &|seen| seen.exceeded = seen.exceeded.saturating_add(1))
            }
            Kind::Rejected { task, count, .. } => (*task, &|seen| seen.refused = seen.refused.saturating_add(*count)),
            _ => return,
        };
        if let Some(seen) = self.tasks.get_mut(task.index()) {
            change(seen);
        }
    }
}
