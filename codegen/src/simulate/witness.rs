//! A witness: concrete arrivals, releases and executions under which a job misses, to be replayed.

use super::patterns::{self, Arrival};
use super::{Observed, SimulationError, replay};
use crate::analysis::exact::{self, Limits};
use crate::analysis::{Analysis, Holds, Proof, edf, exact_tasks, lane_loads};
use crate::check::show;
use crate::system::{System, Task};
use aegis_core::Duration;
use aegis_core::desc::{Policy, SystemDesc};
use aegis_core::dispatch::Job;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The name of a witness's format.
pub const SCHEMA: &str = "aegis.witness/1";

/// A schedule's inputs, as a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Witness {
    /// [`SCHEMA`].
    pub schema: String,
    /// The vehicle.
    pub system: String,
    /// The task whose job is late.
    pub task: String,
    /// That job's arrival, in nanoseconds.
    pub arrival_ns: u64,
    /// Its response, from arrival to completion, in nanoseconds.
    pub response_ns: u64,
    /// Its task's deadline, in nanoseconds.
    pub deadline_ns: u64,
    /// Whether arrivals are where the plan's phases put them, or only as far apart as the plan's periods.
    pub arrivals: Arrivals,
    /// The jobs, by release.
    #[serde(rename = "job")]
    pub jobs: Vec<WitnessJob>,
}

/// Where a witness's arrivals lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// At the phases, and then every period.
    Periodic,
    /// At least one period apart.
    Sporadic,
}

/// Why there is no witness.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoWitness {
    /// No job of the task is ever late.
    #[error("no job of the task misses its deadline{0}")]
    Holds(&'static str),
    /// The lane is of a kind for which no worst case is known.
    #[error("no witness is derived for {0}")]
    NotCovered(&'static str),
    /// The pattern that the bound is made of does not miss: the bound covers more than the dispatcher does.
    #[error(
        "the worst pattern known does not miss, for the bound counts with equal deadlines in any order, and with regions \
         anywhere"
    )]
    NotAttained,
    /// The worst case was not found.
    #[error("the worst case was not found: {0}")]
    NotFound(String),
}

/// A job of a witness. Times in nanoseconds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WitnessJob {
    /// When its arrival is seen.
    pub release_ns: u64,
    /// Its task.
    pub task: String,
    /// When it arrives.
    pub arrival_ns: u64,
    /// What each of its segments takes: overhead and execution; the longest that the plan permits where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces_ns: Vec<(u64, u64)>,
}

/// What segments take, by task, arrival and segment.
#[derive(Default)]
pub(super) struct Given(HashMap<(u16, u64, u16), (u64, u64)>);

impl Given {
    /// Overhead and execution of a job's segment.
    pub(super) fn of(&self, job: &Job) -> Option<(u64, u64)> {
        self.0.get(&(job.task.0, job.arrival.as_ns(), job.segment)).copied()
    }
}

impl Witness {
    /// What happens in it, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        let time = |ns: u64| show(Duration::from_ns(ns));
        let where_from = match self.arrivals {
            Arrivals::Periodic => "the plan's own phases",
            Arrivals::Sporadic => "arrivals as near as the periods permit",
        };
        let mut text = format!(
            "a witness, with {where_from}: the job of `{}` that arrives at {} is complete {} later, {} after its deadline\n",
            self.task,
            time(self.arrival_ns),
            time(self.response_ns),
            time(self.response_ns.saturating_sub(self.deadline_ns))
        );
        for job in self.jobs.iter().take(MOST_SHOWN) {
            let execution: u64 = job.pieces_ns.iter().map(|(_, execution)| *execution).sum();
            let execution = if execution > 0 { time(execution) } else { "its WCET".to_owned() };
            text.push_str(&format!(
                "  `{}` arrives at {}, is seen at {}, executes for {execution}\n",
                job.task,
                time(job.arrival_ns),
                time(job.release_ns)
            ));
        }
        let more = self.jobs.len().saturating_sub(MOST_SHOWN);
        if more > 0 {
            text.push_str(&format!("  and {more} jobs more\n"));
        }
        text
    }

    /// Its arrivals on a plan, and what its jobs take.
    pub(super) fn arrivals(&self, system: &SystemDesc) -> Result<(Vec<Arrival>, Given), SimulationError> {
        let mut arrivals = Vec::with_capacity(self.jobs.len());
        let mut given = Given::default();
        for job in &self.jobs {
            let found = (0u16..).zip(system.tasks).find(|(_, task)| task.name == job.task);
            let Some((id, _)) = found else { return Err(SimulationError::UnknownTask(job.task.clone())) };
            let arrival = Arrival::new(system, id, job.arrival_ns, job.release_ns);
            arrivals.push(arrival.ok_or(SimulationError::Overflow)?);
            for (segment, piece) in (0u16..).zip(&job.pieces_ns) {
                given.0.insert((id, job.arrival_ns, segment), *piece);
            }
        }
        Ok((arrivals, given))
    }
}

/// How many jobs of a witness are shown.
const MOST_SHOWN: usize = 20;

/// Finds a schedule in which a job of the task at `position` is late; `plan` is the system's plan or draft.
///
/// On a lane of strictly periodic non-preemptive tasks it is one that the plan's phases permit, if the exact analysis does
/// not give up; otherwise the worst case of sporadic arrivals.
///
/// # Errors
/// [`NoWitness`].
pub fn find(
    system: &System,
    analysis: &Analysis,
    plan: &SystemDesc,
    position: usize,
    limits: Limits,
) -> Result<Witness, NoWitness> {
    let unknown = || NoWitness::NotFound("the task is not in the plan".to_owned());
    let task = system.tasks.get(position).ok_or_else(unknown)?;
    let lane = system.lanes.get(task.lane).ok_or_else(unknown)?;
    if analysis.tasks.get(position).is_some_and(|found| found.holds(task.deadline) == Holds::Proven) {
        return Err(NoWitness::Holds(""));
    }
    if !system.modes.is_empty() {
        return Err(NoWitness::NotCovered("systems with modes"));
    }
    covered(system, task)?;
    if lane.policy == Policy::TimeTriggered {
        return Err(NoWitness::NotCovered("time-triggered lanes"));
    }
    if let Some((members, tasks, order)) = exact_tasks(system, analysis, task.lane) {
        let own = members.iter().position(|member| *member == position).ok_or_else(unknown)?;
        match exact::witness(&tasks, order, own, task.deadline.as_ns(), limits) {
            Ok(Some(runs)) => {
                let job = |run: &exact::Run| {
                    let other = system.tasks.get(*members.get(run.task)?)?;
                    let execution = run.cost.min(other.wcet.as_ns());
                    Some(WitnessJob {
                        release_ns: run.seen,
                        task: other.name.clone(),
                        arrival_ns: run.arrival,
                        pieces_ns: vec![(run.cost.checked_sub(execution)?, execution)],
                    })
                };
                let jobs = runs.iter().map(job).collect::<Option<Vec<WitnessJob>>>().ok_or_else(unknown)?;
                return finish(system, plan, position, Arrivals::Periodic, jobs);
            }
            Ok(None) => return Err(NoWitness::Holds(", with strictly periodic arrivals at these phases")),
            // Then the worst case of sporadic arrivals serves.
            Err(_) => {}
        }
    }
    let is_bounded = analysis.tasks.get(position).is_some_and(|found| found.bound().is_some());
    if lane.policy == Policy::EarliestDeadlineFirst && is_bounded {
        let jobs = by_deadline(system, analysis, plan, position)?;
        return finish(system, plan, position, Arrivals::Sporadic, jobs);
    }
    let place = plan.tasks.iter().position(|other| other.name == task.name).ok_or_else(unknown)?;
    // The lane's busy period may have no end where the task's has; without a bound the first miss comes early all the same.
    let busy_period = match analysis.tasks.get(position).map(|found| &found.response) {
        Some(Ok((_, Proof::FixedPriority { busy_period, .. }))) => busy_period.as_ns(),
        _ => 0,
    };
    let mut length = task.deadline.as_ns().max(task.period.as_ns()).max(busy_period);
    // An overloaded EDF lane misses somewhere when everything comes at once.
    let all = lane.policy == Policy::EarliestDeadlineFirst;
    loop {
        let arrivals = patterns::critical(plan, place, length, all).filter(|arrivals| arrivals.len() <= MOST_JOBS);
        let arrivals = arrivals.ok_or_else(|| NoWitness::NotFound("it has too many jobs".to_owned()))?;
        let job = |arrival: &Arrival| {
            let name = plan.tasks.get(usize::from(arrival.task))?.name.to_owned();
            let (release_ns, arrival_ns) = (arrival.seen, arrival.arrival);
            Some(WitnessJob { release_ns, task: name, arrival_ns, pieces_ns: Vec::new() })
        };
        let jobs = arrivals.iter().map(job).collect::<Option<Vec<WitnessJob>>>().ok_or_else(unknown)?;
        let found = finish(system, plan, position, Arrivals::Sporadic, jobs);
        if found.is_ok() || is_bounded {
            return found;
        }
        length = length.checked_mul(2).ok_or_else(|| NoWitness::NotFound("it has too many jobs".to_owned()))?;
    }
}

/// The most jobs of a witness that is searched.
const MOST_JOBS: usize = 1_000_000;

/// Refuses a task on whose lane no single pattern of arrivals is the worst.
pub(super) fn covered(system: &System, task: &Task) -> Result<(), NoWitness> {
    let on_lane = || system.tasks.iter().filter(|other| other.lane == task.lane);
    if on_lane().any(|other| other.after.is_some()) {
        return Err(NoWitness::NotCovered("lanes with later stages"));
    }
    if on_lane().any(|other| !other.suspension.is_zero()) {
        return Err(NoWitness::NotCovered("self-suspending tasks"));
    }
    Ok(())
}

/// The jobs of the witness that the bound of an EDF lane's task is made of.
pub(super) fn by_deadline(
    system: &System,
    analysis: &Analysis,
    plan: &SystemDesc,
    position: usize,
) -> Result<Vec<WitnessJob>, NoWitness> {
    let unknown = || NoWitness::NotFound("a time exceeds 2^64 - 1 ns".to_owned());
    let lane = system.tasks.get(position).map_or(0, |task| task.lane);
    let (members, loads) = lane_loads(system, analysis, lane).ok_or_else(unknown)?;
    let own = members.iter().position(|member| *member == position).ok_or_else(unknown)?;
    let worst = edf::witness(&loads, own).map_err(|why| NoWitness::NotFound(why.to_string()))?;
    let name = |load: usize| Some(system.tasks.get(*members.get(load)?)?.name.clone());
    let mut jobs = Vec::with_capacity(worst.releases.len());
    if let Some(blocker) = worst.blocked_by.and_then(name) {
        let task = plan.tasks.iter().find(|task| task.name == blocker).ok_or_else(unknown)?;
        let desc = plan.lanes.get(task.lane.index()).ok_or_else(unknown)?;
        let (_, before) = patterns::longest_piece(desc, task);
        let arrival = worst.begin.checked_sub(1).and_then(|last| last.checked_sub(before)).ok_or_else(unknown)?;
        jobs.push(WitnessJob { release_ns: arrival, task: blocker, arrival_ns: arrival, pieces_ns: Vec::new() });
    }
    for release in &worst.releases {
        let task = name(release.load).ok_or_else(unknown)?;
        let (release_ns, arrival_ns) = (release.seen, release.arrival);
        jobs.push(WitnessJob { release_ns, task, arrival_ns, pieces_ns: Vec::new() });
    }
    Ok(jobs)
}

/// Replays the jobs, and keeps those that matter, if the task is late.
fn finish(
    system: &System,
    plan: &SystemDesc,
    position: usize,
    arrivals: Arrivals,
    mut jobs: Vec<WitnessJob>,
) -> Result<Witness, NoWitness> {
    let not_found = |why: &dyn std::fmt::Display| NoWitness::NotFound(why.to_string());
    let task = system.tasks.get(position).ok_or_else(|| not_found(&"the task is not in the plan"))?;
    jobs.sort_unstable();
    let mut witness = Witness {
        schema: SCHEMA.to_owned(),
        system: system.name.clone(),
        task: task.name.clone(),
        arrival_ns: 0,
        response_ns: 0,
        deadline_ns: task.deadline.as_ns(),
        arrivals,
        jobs,
    };
    let seen = replay(plan, &witness).map_err(|why| not_found(&why))?;
    let place = plan.tasks.iter().position(|other| other.name == task.name);
    let own: &Observed = place.and_then(|place| seen.get(place)).ok_or_else(|| not_found(&"it is not in the plan"))?;
    if own.response <= task.deadline {
        return Err(NoWitness::NotAttained);
    }
    (witness.arrival_ns, witness.response_ns) = (own.arrival.as_ns(), own.response.as_ns());
    let finish = own.arrival.as_ns().saturating_add(own.response.as_ns());
    witness.jobs.retain(|job| job.release_ns <= finish);
    Ok(witness)
}
