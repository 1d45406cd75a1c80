//! Time-triggered lanes: a table of start times that repeats every hyperperiod.
//!
//! Model. H is the least common multiple of the periods; a lap is [m H, (m + 1) H). A slot is an offset in the lap with a
//! task: when it begins, the dispatcher starts the task's oldest waiting job, or nothing where none waits.
//!
//! Assumptions:
//! 1. one in-order resource; a started job runs to completion, for at most C, overheads included;
//! 2. job k of a task arrives at φ + k T (strictly periodic), φ = phase mod T, and is submitted at most J later, jobs of
//!    a task in order;
//! 3. the dispatcher sees at most `latency` too late that a slot begins, so a slot keeps the lane for
//!    E = latency + C; what is submitted when a slot begins is waiting in that slot;
//! 4. a job ends at most min(D, H) after its arrival.
//!
//! A table gives each task H/T slots. If the slots of a task, in order, can be matched with its jobs, in order, so that
//! each slot starts J or more after the arrival of its job, then every job starts in its slot or in an earlier one: by
//! induction all earlier jobs have started before the slot begins, and the job is waiting by then. Shorter executions
//! and earlier submissions change no slot, so no anomaly exists: the bound is the longest time from an arrival to the
//! end of the matched slot, and it holds from the first lap on.
//!
//! Which table exists is a non-preemptive scheduling problem with release times and deadlines, NP-hard in the strong
//! sense (M. R. Garey, D. S. Johnson, "Computers and Intractability", 1979, problem SS1). [`generate`] first tries
//! schedules that may wait for a job with little slack (the idea of critical-window EDF: M. Nasri, G. Fohler,
//! "Non-Work-Conserving Non-preemptive Scheduling: Motivations, Challenges, and Potential Solutions", ECRTS 2016), then
//! enumerates (P. Bratley, M. Florian, P. Robillard, "Scheduling with earliest start and due date constraints", Naval
//! Research Logistics Quarterly 18, 1971).

mod check;
pub mod gaps;
mod lap;
mod search;
mod squeeze;

pub use check::{Why, check};

use super::Load;
use super::utilization::{Against1, against_1};

/// One task of a time-triggered lane: overheads are folded in. Times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Task {
    /// C: execution plus the lane's overheads without the wake-up latency, at least 1.
    pub cost: u64,
    /// T: between arrivals, at least 1.
    pub period: u64,
    /// D: relative deadline from arrival.
    pub deadline: u64,
    /// J: how much later than its arrival a job is submitted, at most; without the wake-up latency.
    pub jitter: u64,
    /// When a job arrives first; counts modulo T.
    pub phase: u64,
}

/// When a task may start a job, each lap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// Nanoseconds since the start of the lap, below H.
    pub at: u64,
    /// The position of the task.
    pub task: usize,
}

/// What a time-triggered lane repeats.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// H in nanoseconds; 1 without tasks.
    pub hyperperiod: u64,
    /// In order of time.
    pub slots: Vec<Slot>,
    /// Per task the longest time from an arrival to the end of its slot, in nanoseconds.
    pub responses: Vec<u64>,
}

/// Why there is no table. Times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoTable {
    /// A cost or period is 0.
    #[error("task {task} has a cost or period of 0")]
    Zero {
        /// The position of the task.
        task: usize,
    },
    /// Σ (latency + C)/T is above 1.
    #[error("the utilization is above 1")]
    Overloaded,
    /// The least common multiple of the periods, or a small multiple of it, exceeds 2⁶⁴ − 1 ns.
    #[error("the hyperperiod of {before} ns and the period of {period} ns of task {task} is beyond {LONGEST} ns")]
    Hyperperiod {
        /// The position of the task whose period is one too many.
        task: usize,
        /// The least common multiple of the periods before it.
        before: u64,
        /// Its period.
        period: u64,
    },
    /// The table would have more than [`MOST_SLOTS`] slots.
    #[error("a hyperperiod of {hyperperiod} ns takes {slots} slots, more than {MOST_SLOTS}")]
    TooManySlots {
        /// How many it would have; 2⁶⁴ − 1 stands for that and more.
        slots: u64,
        /// H.
        hyperperiod: u64,
    },
    /// A job does not fit into its own window, even alone.
    #[error("task {task} takes {needed} ns from its arrival, more than the {window} ns that it has")]
    DoesNotFit {
        /// The position of the task.
        task: usize,
        /// J + latency + C; 2⁶⁴ − 1 stands for that and more.
        needed: u64,
        /// min(D, H).
        window: u64,
    },
    /// The search was exhausted: no table exists.
    #[error("no table meets every deadline")]
    Infeasible,
    /// The search took `steps` steps and neither found a table nor proved that none exists.
    #[error("no table was found within {steps} steps; there may be one")]
    GaveUp {
        /// The limit.
        steps: u64,
    },
}

/// The most slots of a table.
pub const MOST_SLOTS: u64 = 65_536;

/// The longest hyperperiod in nanoseconds: eight of them fit 64 bits.
pub const LONGEST: u64 = u64::MAX / 8;

/// A step limit for [`generate`] with which it returns within a few seconds.
pub const STEPS: u64 = 200_000_000;

/// Searches a table in which every job meets its deadline; `latency` is the longest delay in ns until the dispatcher
/// sees that a slot begins.
///
/// Deterministic: the same input gives the same table or the same reason. A step is one look at one task; at most about
/// `steps` of them are taken, [`STEPS`] is a good value.
///
/// # Errors
/// [`NoTable`]; only [`NoTable::GaveUp`] leaves open whether a table exists.
pub fn generate(tasks: &[Task], latency: u64, steps: u64) -> Result<Table, NoTable> {
    if let Some(task) = tasks.iter().position(|task| task.cost == 0 || task.period == 0) {
        return Err(NoTable::Zero { task });
    }
    let slot = |task: &Task| task.cost.saturating_add(latency);
    let load = |task: &Task| Load::whole(slot(task), task.period, task.deadline, task.jitter);
    if against_1(&tasks.iter().map(load).collect::<Vec<Load>>()) == Against1::Above {
        return Err(NoTable::Overloaded);
    }
    let hyperperiod = hyperperiod(tasks)?;
    let (mut slots, mut work) = (0u64, 0u64);
    for (index, task) in tasks.iter().enumerate() {
        let jobs = hyperperiod.checked_div(task.period).unwrap_or(0);
        slots = slots.saturating_add(jobs);
        work = work.saturating_add(jobs.saturating_mul(slot(task)));
        let needed = slot(task).saturating_add(task.jitter);
        let window = task.deadline.min(hyperperiod);
        if needed > window {
            return Err(NoTable::DoesNotFit { task: index, needed, window });
        }
    }
    if slots > MOST_SLOTS {
        return Err(NoTable::TooManySlots { slots, hyperperiod });
    }
    if work > hyperperiod {
        return Err(NoTable::Overloaded);
    }
    let windows: Vec<lap::Windows> = tasks.iter().map(|task| lap::Windows::new(task, latency, hyperperiod)).collect();
    let mut slots = search::search(&windows, hyperperiod, steps)?;
    slots.sort_unstable_by_key(|slot| slot.at);
    let response = |(index, task)| response(index, task, &slots, latency, hyperperiod);
    let responses = tasks.iter().enumerate().map(response).collect();
    Ok(Table { hyperperiod, slots, responses })
}

/// The least common multiple of the periods; 1 without tasks.
fn hyperperiod(tasks: &[Task]) -> Result<u64, NoTable> {
    tasks.iter().enumerate().try_fold(1u64, |before, (index, task)| {
        let (mut divisor, mut rest) = (before, task.period);
        while let Some(next) = divisor.checked_rem(rest) {
            (divisor, rest) = (rest, next);
        }
        let lcm = before.checked_div(divisor).and_then(|factor| factor.checked_mul(task.period));
        let too_long = NoTable::Hyperperiod { task: index, before, period: task.period };
        lcm.filter(|lcm| *lcm <= LONGEST).ok_or(too_long)
    })
}

/// The longest time from an arrival to the end of its slot: job k takes slot k + s, where s is the least number for
/// which no slot is too early.
fn response(index: usize, task: &Task, slots: &[Slot], latency: u64, hyperperiod: u64) -> u64 {
    let own: Vec<u64> = slots.iter().filter(|slot| slot.task == index).map(|slot| slot.at).collect();
    let jobs = own.len();
    let starts: Vec<u64> = (0..4u64)
        .flat_map(|lap| own.iter().map(move |at| at.saturating_add(lap.saturating_mul(hyperperiod))))
        .collect();
    let arrivals = || {
        let first = task.phase.checked_rem(task.period).unwrap_or(0);
        std::iter::successors(Some(first), |at| at.checked_add(task.period)).take(jobs).enumerate()
    };
    let shift = arrivals().map(|(job, arrival)| {
        let submitted = arrival.saturating_add(task.jitter);
        starts.partition_point(|start| *start < submitted).saturating_sub(job)
    });
    let shift = shift.max().unwrap_or(0);
    let responses = arrivals().filter_map(|(job, arrival)| {
        let start = starts.get(job.saturating_add(shift))?;
        Some(start.saturating_add(latency).saturating_add(task.cost).saturating_sub(arrival))
    });
    responses.max().unwrap_or(0)
}
