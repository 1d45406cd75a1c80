//! Tells the dispatcher of another plan what a recorded run was told: the same arrivals, executions and failures.
//!
//! Executions, overheads and the lateness of releases are those that were measured. That they do not depend on the order in which
//! jobs run is an assumption: caches, clocks and memory make it only nearly so. Of what did not run, because an arrival was refused
//! or a job aborted, the WCET is assumed, and counted.

mod inputs;
mod plan;
mod report;

use super::story::{End, Story};
use crate::check::show;
use crate::simulate::recorded::{Arriving, Outcome, run};
use crate::simulate::{Observed, SimulationError};
use aegis_core::desc::{Certificate, SystemDesc, TaskDesc};
use aegis_core::{Duration, Instant};
pub use inputs::Inputs;
pub use plan::{NoPlan, Other, same, under};
pub use report::human;
use serde::Serialize;
use std::collections::BTreeMap;

/// What was seen of a task's jobs under one plan. Times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Side {
    /// Jobs that completed.
    pub jobs: u64,
    /// Jobs that ended after their deadline.
    pub misses: u64,
    /// Jobs that were aborted or dropped.
    pub aborted: u64,
    /// Arrivals that found the queue full, or that were refused.
    pub rejected: u64,
    /// The longest response.
    pub response_max_ns: u64,
}

impl Side {
    fn note(&mut self, response: Duration, is_complete: bool, deadline: Duration) {
        let one = |count: &mut u64, holds: bool| *count = count.saturating_add(u64::from(holds));
        one(&mut self.jobs, is_complete);
        one(&mut self.aborted, !is_complete);
        one(&mut self.misses, response > deadline);
        self.response_max_ns = self.response_max_ns.max(response.as_ns());
    }
}

/// One task beside itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Task {
    /// The task.
    pub name: &'static str,
    /// Its lane under the other plan.
    pub lane: &'static str,
    /// Its deadline there.
    pub deadline_ns: u64,
    /// Its bound there; null where there is none.
    pub bound_ns: Option<u64>,
    /// Whether it is proven to meet its deadline there.
    pub proven: bool,
    /// Why the plan's proof does not hold for these arrivals; null where it does.
    pub unproven_because: Option<String>,
    /// What was observed.
    pub observed: Side,
    /// What would have been.
    pub what_if: Side,
    /// How many jobs would have had another response.
    pub differing: u64,
}

/// A job whose response differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// Its task.
    pub task: &'static str,
    /// When it arrived.
    pub arrival_ns: u64,
    /// The response that was observed; null where it did not end.
    pub observed_ns: Option<u64>,
    /// What it would have been; null where it would not have run.
    pub what_if_ns: Option<u64>,
}

/// Schema `aegis.trace-what-if/1`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// The schema's name.
    pub schema: &'static str,
    /// The vehicle.
    pub system: &'static str,
    /// The other plan, in words.
    pub plan: String,
    /// Whether the other plan is proven.
    pub proven: bool,
    /// Records that are lost: jobs of which nothing is known are missing in both.
    pub lost: u64,
    /// Pieces whose execution was not observed, and was taken to be the longest.
    pub assumed: u64,
    /// Arrivals that the other plan was told.
    pub arrivals: u64,
    /// Arrivals of tasks that the other plan does not have.
    pub unknown: u64,
    /// Per task of the other plan.
    pub tasks: Vec<Task>,
    /// The first job, by arrival, whose response differs.
    pub first_difference: Option<Difference>,
}

impl Report {
    /// Whether the other plan is proven and was told something, and no job would have missed its deadline or been refused.
    #[must_use]
    pub fn holds(&self) -> bool {
        let well = |side: &Side| side.misses == 0 && side.rejected == 0;
        self.proven && self.arrivals > 0 && self.tasks.iter().all(|task| well(&task.what_if))
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The dispatcher could not be run.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// More than memory holds.
    #[error("the records tell of {0} arrivals, and at most {MOST_ARRIVALS} are told another plan")]
    TooMany(u64),
}

/// The most arrivals that another plan is told: all of them are in memory.
pub const MOST_ARRIVALS: u64 = 1 << 24;

/// Runs the inputs of a recorded run of `plan` under another plan.
///
/// # Errors
/// [`NoAnswer`].
pub fn what_if(plan: &'static SystemDesc, mut inputs: Inputs, other: &Other) -> Result<Report, NoAnswer> {
    inputs.finish();
    let (lost, observed, rejected) = (inputs.lost(), inputs.observed(plan), inputs.rejected(plan));
    if inputs.count() > MOST_ARRIVALS {
        return Err(NoAnswer::TooMany(inputs.count()));
    }
    let (recorded, unknown) = inputs.told(plan, other.system);
    let arrivals = u64::try_from(recorded.arrivals.len()).unwrap_or(u64::MAX);
    let beside = beside_table(other.system, &recorded.arrivals);
    let ran = run(other.system, recorded)?;
    let mut tasks: Vec<Task> = Vec::with_capacity(other.system.tasks.len());
    let mut first: Option<(Instant, usize, Difference)> = None;
    let mut by_task: Vec<BTreeMap<Instant, Outcome>> = vec![BTreeMap::new(); other.system.tasks.len()];
    for outcome in &ran.outcomes {
        if let Some(own) = by_task.get_mut(outcome.task.index()) {
            own.insert(outcome.arrival, *outcome);
        }
    }
    let nothing = (Observed::default(), BTreeMap::new());
    for (position, desc) in other.system.tasks.iter().enumerate() {
        let (seen, outcomes) =
            (ran.tasks.get(position).unwrap_or(&nothing.0), by_task.get(position).unwrap_or(&nothing.1));
        let mut task = Task {
            name: desc.name,
            lane: other.system.lanes.get(desc.lane.index()).map_or("", |lane| lane.name),
            deadline_ns: desc.deadline.as_ns(),
            bound_ns: Some(desc.response_bound).filter(|bound| *bound != Duration::MAX).map(Duration::as_ns),
            proven: other.holds.get(position).copied().unwrap_or(false)
                && beside.get(position).is_some_and(Option::is_none),
            unproven_because: beside.get(position).cloned().flatten(),
            observed: Side::default(),
            what_if: Side { rejected: seen.refused, ..Side::default() },
            differing: 0,
        };
        task.what_if.rejected = task.what_if.rejected.saturating_add(ran.refused.get(position).copied().unwrap_or(0));
        task.observed.rejected = rejected.get(desc.name).copied().unwrap_or(0);
        let before = plan.tasks.iter().find(|own| own.name == desc.name);
        let stories = observed.get(desc.name);
        for story in stories.into_iter().flat_map(BTreeMap::values) {
            let deadline = before.map_or(desc.deadline, |own| own.deadline);
            task.observed.note(story.0, story.1 == End::Completed, deadline);
        }
        for outcome in outcomes.values() {
            task.what_if.note(outcome.response, outcome.is_complete, desc.deadline);
        }
        let all = stories.into_iter().flat_map(BTreeMap::keys).chain(outcomes.keys());
        let all: std::collections::BTreeSet<Instant> = all.copied().collect();
        for arrival in all {
            let own = stories.and_then(|stories| stories.get(&arrival)).map(|story| story.0.as_ns());
            let others = outcomes.get(&arrival).map(|outcome| outcome.response.as_ns());
            if own == others {
                continue;
            }
            task.differing = task.differing.saturating_add(1);
            let is_first = first.as_ref().is_none_or(|(at, place, _)| (arrival, position) < (*at, *place));
            if is_first {
                let arrival_ns = arrival.as_ns();
                let difference = Difference { task: desc.name, arrival_ns, observed_ns: own, what_if_ns: others };
                first = Some((arrival, position, difference));
            }
        }
        tasks.push(task);
    }
    Ok(Report {
        schema: "aegis.trace-what-if/1",
        system: plan.name,
        plan: other.words.clone(),
        proven: other.is_proven() && tasks.iter().all(|task| task.proven),
        lost,
        assumed: ran.assumed,
        arrivals,
        unknown,
        tasks,
        first_difference: first.map(|(.., difference)| difference),
    })
}

/// For each task that a table proves, and only for arrivals at its phase, why that is not so here.
fn beside_table(system: &SystemDesc, arrivals: &[Arriving]) -> Vec<Option<String>> {
    let mut first: Vec<Option<Instant>> = vec![None; system.tasks.len()];
    for Arriving { task, arrival, .. } in arrivals {
        let Some(desc) = system.tasks.get(task.index()) else { continue };
        let since = arrival.as_ns().checked_sub(desc.phase.as_ns());
        let is_planned = since.and_then(|since| since.checked_rem(desc.period.as_ns())) == Some(0);
        if let Some(own) = first.get_mut(task.index()).filter(|_| !is_planned) {
            *own = Some(own.map_or(*arrival, |own| own.min(*arrival)));
        }
    }
    let of = |(position, task): (usize, &TaskDesc)| {
        if !matches!(task.certificate, Certificate::Table) {
            return None;
        }
        // A later stage arrives with the first one.
        let mut root = position;
        for _ in system.tasks {
            let stage = system.tasks.get(root).and_then(|task| task.stage);
            root = stage.map_or(root, |stage| stage.after.index());
        }
        let arrival = first.get(root).copied().flatten()?;
        let at = show(Duration::from_ns(arrival.as_ns()));
        Some(format!("its table is proven for arrivals at its phase only, and one arrived at {at}"))
    };
    system.tasks.iter().enumerate().map(of).collect()
}

/// Response and end of a story.
fn ended(story: &Story) -> Option<(Duration, End)> {
    matches!(story.end, End::Completed | End::Aborted).then(|| (story.response(), story.end))
}
