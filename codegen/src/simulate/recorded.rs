//! The inputs of a recorded run, told the dispatcher of any plan that has its tasks.

use super::patterns::Arrival;
use super::{Observed, SimulationError, What, in_thread};
use aegis_core::desc::SystemDesc;
use aegis_core::dispatch::{Event, Job};
use aegis_core::trace::Loss;
use aegis_core::{Duration, Instant, TaskId};
use std::collections::HashMap;

/// An arrival from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arriving {
    /// Its task.
    pub task: TaskId,
    /// When it arrives.
    pub arrival: Instant,
    /// When the dispatcher sees it.
    pub seen: Instant,
}

/// How a piece ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ending {
    /// As it should.
    #[default]
    Well,
    /// Its job fails.
    Failed,
    /// Its job fails, because its domain's process is lost.
    Lost(Loss),
}

/// What one piece of a job takes, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spent {
    /// From its choice to the begin of its execution.
    pub overhead: u64,
    /// Its execution.
    pub execution: u64,
    /// From its end until the dispatcher is told.
    pub notice: u64,
    /// How it ends.
    pub ending: Ending,
}

/// The inputs of a run.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// What arrives from outside.
    pub arrivals: Vec<Arriving>,
    /// What pieces take, by task, arrival in nanoseconds, and segment; what is missing takes as long as the plan permits.
    pub pieces: HashMap<(u16, u64, u16), Spent>,
    /// What else the dispatcher is told, by time: changes of modes and levels, failures, admissions. What it refuses is left out.
    pub commands: Vec<(Instant, Event)>,
}

/// The end of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Its task.
    pub task: TaskId,
    /// When it arrived.
    pub arrival: Instant,
    /// From there to its end.
    pub response: Duration,
    /// Whether it was complete then.
    pub is_complete: bool,
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ran {
    /// What was seen of the plan's tasks, in their order.
    pub tasks: Vec<Observed>,
    /// Each job that ended, in that order.
    pub outcomes: Vec<Outcome>,
    /// Arrivals that the dispatcher refused, by task.
    pub refused: Vec<u64>,
    /// Pieces of which nothing was recorded.
    pub assumed: u64,
}

/// Runs a plan from the inputs of a recorded run.
///
/// # Errors
/// [`SimulationError`].
pub fn run(system: &SystemDesc, recorded: Recorded) -> Result<Ran, SimulationError> {
    let (simulated, beside) = in_thread(system, What::Recorded(recorded), None)?;
    Ok(Ran { tasks: simulated.tasks, ..beside })
}

/// What pieces take in a run.
#[derive(Default)]
pub(super) struct Pieces {
    given: HashMap<(u16, u64, u16), Spent>,
    /// How many pieces were not among them.
    pub(super) assumed: u64,
}

impl Pieces {
    /// What a job's segment takes; `None` where nothing is known of it.
    pub(super) fn of(&mut self, job: &Job) -> Option<Spent> {
        let found = self.given.get(&(job.task.0, job.arrival.as_ns(), job.segment)).copied();
        self.assumed = self.assumed.saturating_add(u64::from(found.is_none()));
        found
    }
}

impl Recorded {
    /// Its arrivals, commands and pieces, as a run takes them.
    pub(super) fn parts(
        self,
        system: &SystemDesc,
    ) -> Result<(Vec<Arrival>, Vec<(u64, Event)>, Pieces), SimulationError> {
        let arrivals = self.arrivals.iter().map(|one| {
            Arrival::new(system, one.task.0, one.arrival.as_ns(), one.seen.as_ns()).ok_or(SimulationError::Overflow)
        });
        let mut commands: Vec<(u64, Event)> =
            self.commands.into_iter().map(|(at, event)| (at.as_ns(), event)).collect();
        commands.sort_by_key(|(at, _)| *at);
        Ok((arrivals.collect::<Result<_, _>>()?, commands, Pieces { given: self.pieces, assumed: 0 }))
    }
}
