//! The schedule behind a response bound: the worst pattern that is known, run, with every piece of the task's lane.

use super::patterns::{self, Arrival};
use super::run::{Run, Spend};
use super::witness::{self, Arrivals, NoWitness, Witness};
use super::{FEW_LANES, FEW_TASKS, LANES, STACK, SimulationError, TASKS, alone, submitted};
use crate::analysis::exact::Limits;
use crate::analysis::{Analysis, Proof, modes};
use crate::system::System;
use aegis_core::desc::{Policy, Release, SystemDesc};
use aegis_core::trace::{JobRef, Kind, Sink};
use aegis_core::{Instant, LaneId, TaskId};

/// What a lane did from the begin of a busy interval until a job of it was complete. Times in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// When the first piece begins, or the job arrives.
    pub begin: u64,
    /// When the job arrives.
    pub arrival: u64,
    /// When it is complete.
    pub end: u64,
    /// What the lane executed, in order.
    pub pieces: Vec<Piece>,
    /// The arrivals of jobs that have a piece, in order, with their tasks.
    pub arrivals: Vec<(u64, &'static str)>,
    /// Whether arrivals are where the plan's phases put them.
    pub is_periodic: bool,
}

/// A segment of a job, or what of one ran until it was preempted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Its task.
    pub task: &'static str,
    /// Whether it is of the job in question.
    pub is_own: bool,
    /// When the lane was told to run it.
    pub start: u64,
    /// When its execution began: before that are overheads.
    pub began: u64,
    /// When it ended.
    pub end: u64,
}

impl Schedule {
    /// From arrival to completion.
    #[must_use]
    pub const fn response(&self) -> u64 {
        self.end.saturating_sub(self.arrival)
    }
}

/// The most jobs of a pattern that is run.
const MOST_JOBS: u64 = 20_000;
/// The most jobs of a pattern that is laid out.
const MOST_ARRIVALS: u64 = 100_000;

/// Runs the worst pattern that is known for the task at `position`; `plan` is the system's plan or draft.
///
/// Of a task with a bound that is the pattern that the bound is made of, of one without a pattern under which it misses; of a
/// system with modes that of the mode in which its bound is the greatest.
///
/// # Errors
/// [`NoWitness`].
pub fn schedule(
    system: &System,
    analysis: &Analysis,
    plan: &SystemDesc,
    position: usize,
) -> Result<Schedule, NoWitness> {
    let unknown = || NoWitness::NotFound("the task is not in the plan".to_owned());
    if !system.modes.is_empty() {
        let (mode, place) = modes::worst(analysis, position).ok_or_else(unknown)?;
        let own = modes::alone(system, system.modes.get(mode).ok_or_else(unknown)?);
        let found = &analysis.modes.get(mode).ok_or_else(unknown)?.analysis;
        let plan = alone(plan, plan.modes.get(mode).ok_or_else(unknown)?);
        return schedule(&own, found, &plan, place);
    }
    let task = system.tasks.get(position).ok_or_else(unknown)?;
    witness::covered(system, task)?;
    let lane = system.lanes.get(task.lane).ok_or_else(unknown)?;
    let place = plan.tasks.iter().position(|other| other.name == task.name).ok_or_else(unknown)?;
    let found = analysis.tasks.get(position).ok_or_else(unknown)?;
    let not_found = |why: &dyn std::fmt::Display| NoWitness::NotFound(why.to_string());
    let of_witness = |witness: &Witness| {
        let (arrivals, given) = witness.arrivals(plan).map_err(|why| not_found(&why))?;
        run(plan, place, arrivals, Spend::Given(given), witness.arrivals == Arrivals::Periodic)
    };
    let Ok((_, proof)) = &found.response else {
        return of_witness(&witness::find(system, analysis, plan, position, Limits::default())?);
    };
    if lane.policy == Policy::EarliestDeadlineFirst {
        let jobs = witness::by_deadline(system, analysis, plan, position)?;
        return of_witness(&Witness {
            schema: witness::SCHEMA.to_owned(),
            system: system.name.clone(),
            task: task.name.clone(),
            arrival_ns: 0,
            response_ns: 0,
            deadline_ns: task.deadline.as_ns(),
            arrivals: Arrivals::Sporadic,
            jobs,
        });
    }
    let busy_period = match proof {
        Proof::FixedPriority { busy_period, .. } if lane.policy != Policy::TimeTriggered => Some(busy_period.as_ns()),
        _ => None,
    };
    let too_many = || NoWitness::NotFound("its busy period has too many jobs".to_owned());
    // What comes after its own busy period does not delay it. Counted before it is laid out: there may be millions.
    let arrivals = match busy_period {
        Some(length) if count_before(plan, place, length) > MOST_JOBS => return Err(too_many()),
        Some(length) => patterns::together(plan, place, length.saturating_add(1), false),
        None if count(plan, place) > MOST_ARRIVALS => return Err(too_many()),
        None => patterns::critical(plan, place, 0, false),
    };
    let arrivals = arrivals.ok_or_else(|| not_found(&SimulationError::Overflow))?;
    if u64::try_from(arrivals.len()).is_ok_and(|jobs| jobs > MOST_JOBS) {
        return Err(too_many());
    }
    run(plan, place, arrivals, Spend::Most, lane.policy == Policy::TimeTriggered)
}

/// No more jobs than go before one of its task's within so many ns, and its own.
fn count_before(plan: &SystemDesc, place: usize, length: u64) -> u64 {
    let Some(own) = plan.tasks.get(place) else { return 0 };
    let before = plan.tasks.iter().filter(|task| {
        task.lane == own.lane && task.release != Release::Stage && !own.priority.is_more_important_than(task.priority)
    });
    let jobs = before.map(|task| length.checked_div(task.period.as_ns()).unwrap_or(u64::MAX));
    jobs.fold(0, u64::saturating_add)
}

/// About how many jobs a lane has in the pattern of one of its tasks.
fn count(plan: &SystemDesc, place: usize) -> u64 {
    let Some(own) = plan.tasks.get(place) else { return 0 };
    let lane = plan.lanes.get(own.lane.index());
    let busy = lane.map_or(0, |lane| lane.busy_period.max(lane.hyperperiod).as_ns().saturating_mul(2));
    let length = busy.saturating_add(own.deadline.as_ns());
    let jobs = plan.tasks.iter().filter(|task| task.lane == own.lane);
    let jobs = jobs.map(|task| length.checked_div(task.period.as_ns()).unwrap_or(u64::MAX));
    jobs.fold(0, u64::saturating_add)
}

/// Runs arrivals, and keeps what its lane did until the job with the longest response was complete.
fn run(
    plan: &SystemDesc,
    place: usize,
    arrivals: Vec<Arrival>,
    spend: Spend,
    is_periodic: bool,
) -> Result<Schedule, NoWitness> {
    let unknown = || NoWitness::NotFound("no job of the task is complete".to_owned());
    let failed = |why: SimulationError| NoWitness::NotFound(why.to_string());
    let own = plan.tasks.get(place).ok_or_else(unknown)?;
    let lane = own.lane;
    let plan = submitted(plan);
    let id = TaskId(u16::try_from(place).map_err(|_| unknown())?);
    let recorder = Recorder { lane, own: id, running: None, pieces: Vec::new(), arrivals: Vec::new(), worst: None };
    let recorder = if plan.tasks.len() <= FEW_TASKS && plan.lanes.len() <= FEW_LANES {
        record::<FEW_TASKS, FEW_LANES>(plan, arrivals, spend, recorder)
    } else {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let run = thread.spawn(move || record::<TASKS, LANES>(plan, arrivals, spend, recorder));
        run.map_err(|_| failed(SimulationError::Thread))?.join().map_err(|_| failed(SimulationError::Thread))?
    };
    recorder.map_err(failed)?.finish(plan, is_periodic).ok_or_else(unknown)
}

fn record<const TASKS: usize, const LANES: usize>(
    plan: &'static SystemDesc,
    arrivals: Vec<Arrival>,
    spend: Spend,
    mut recorder: Recorder,
) -> Result<Recorder, SimulationError> {
    Run::<TASKS, LANES>::new(plan, spend)?.run(arrivals, Vec::new(), &mut recorder)?;
    Ok(recorder)
}

/// Keeps what one lane does.
struct Recorder {
    lane: LaneId,
    own: TaskId,
    /// What it runs, and since when.
    running: Option<(JobRef, u64)>,
    /// Start, begin of the execution and end of each piece.
    pieces: Vec<(JobRef, u64, u64, u64)>,
    arrivals: Vec<(u64, JobRef)>,
    /// The response of the task's job that took longest, its end, and the job; the first of equals.
    worst: Option<(u64, u64, JobRef)>,
}

impl Sink for Recorder {
    fn record(&mut self, at: Instant, kind: Kind) {
        match kind {
            Kind::Submitted { job, arrival, .. } => self.arrivals.push((arrival.as_ns(), job)),
            Kind::Started { job, lane } if lane == self.lane => self.running = Some((job, at.as_ns())),
            Kind::Paused { job, began, ended, .. }
            | Kind::Completed { job, began, ended, .. }
            | Kind::Aborted { job, began, ended, .. } => {
                if let Some((_, start)) = self.running.take_if(|(running, _)| *running == job) {
                    self.pieces.push((job, start, began.as_ns(), ended.as_ns()));
                }
                let (Kind::Completed { response, .. } | Kind::Aborted { response, .. }) = kind else { return };
                let response = response.as_ns();
                if job.task == self.own && self.worst.is_none_or(|(longest, ..)| response > longest) {
                    self.worst = Some((response, ended.as_ns(), job));
                }
            }
            _ => {}
        }
    }
}

impl Recorder {
    /// What led to the worst response; `None` where no job of the task is complete.
    fn finish(mut self, plan: &'static SystemDesc, is_periodic: bool) -> Option<Schedule> {
        let (response, end, own) = self.worst?;
        let arrival = end.checked_sub(response)?;
        self.pieces.retain(|(_, start, ..)| *start < end);
        // Back to where the lane was idle last before the job could run.
        let mut first = self.pieces.len();
        let mut from = end;
        for (index, (_, start, _, ended)) in self.pieces.iter().enumerate().rev() {
            if *ended < from && *ended <= arrival {
                break;
            }
            (first, from) = (index, (*start).min(from));
        }
        let shown = self.pieces.split_off(first);
        let begin = from.min(arrival);
        let name = |job: &JobRef| plan.tasks.get(job.task.index()).map(|task| task.name);
        let has_piece = |job: &JobRef| shown.iter().any(|(other, ..)| other == job);
        let arrivals = self.arrivals.iter().filter(|(at, job)| (begin..end).contains(at) && has_piece(job));
        let arrivals = arrivals.filter_map(|(at, job)| Some((*at, name(job)?))).collect();
        let piece = |(job, start, began, end): &(JobRef, u64, u64, u64)| {
            Some(Piece { task: name(job)?, is_own: *job == own, start: *start, began: *began, end: *end })
        };
        let pieces = shown.iter().map(piece).collect::<Option<Vec<Piece>>>()?;
        Some(Schedule { begin, arrival, end, pieces, arrivals, is_periodic })
    }
}
