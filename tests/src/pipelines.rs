//! Jobs that pass through stages on several lanes, one tick at a time; shares nothing with the analysis.
//!
//! A job arrives, is seen up to its jitter later, in order of arrival, and then runs its stages one after the other: a stage
//! waits in its lane from the instant at which the one before it is complete, or up to its delay later. Each lane runs one stage
//! at a time, the most important that waits, and never idles while one waits.

use fastrand::Rng;
use std::collections::VecDeque;

/// A task whose jobs run several stages.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// T, in ticks.
    pub period: u64,
    /// J of the first stage, in ticks.
    pub jitter: u64,
    /// The stages in their order.
    pub stages: Vec<Stage>,
}

/// A piece of work on one lane.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    /// Where it runs.
    pub lane: usize,
    /// Its least execution, at least 1 tick.
    pub best: u64,
    /// Its most, at least `best`.
    pub worst: u64,
    /// How many ticks after the completion of the stage before it is seen, at most; nothing for the first.
    pub delay: u64,
}

/// A resource that runs one stage at a time.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Whether a more important stage interrupts the one that runs.
    pub preemptive: bool,
    /// Its stages as (pipeline, stage), the most important first.
    pub order: Vec<(usize, usize)>,
}

/// How jobs arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrivals {
    /// Exactly T apart, from a random phase below T on.
    Periodic,
    /// T apart or more, at random; all tasks arrive first at 0 or 1.
    Sporadic,
}

/// One completed stage of one job, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// Which task.
    pub pipeline: usize,
    /// Which stage of it.
    pub stage: usize,
    /// When its job arrived.
    pub arrival: u64,
    /// When the stage began to execute.
    pub start: u64,
    /// When it completed.
    pub finish: u64,
}

#[derive(Clone, Copy)]
struct Waiting {
    arrival: u64,
    left: u64,
    start: Option<u64>,
}

/// Runs for `until` ticks with random phases, jitter and executions; the completed stages in the order of completion.
#[must_use]
pub fn simulate(pipelines: &[Pipeline], lanes: &[Lane], arrivals: Arrivals, until: u64, rng: &mut Rng) -> Vec<Done> {
    let mut done = Vec::new();
    let habit = Habit { executions: rng.u8(..3), releases: rng.u8(..3) };
    let mut pending: Vec<VecDeque<(u64, u64)>> =
        pipelines.iter().map(|pipeline| releases(pipeline, arrivals, until, habit, rng)).collect();
    let mut queues: Vec<Vec<VecDeque<Waiting>>> =
        lanes.iter().map(|lane| vec![VecDeque::new(); lane.order.len()]).collect();
    let mut running: Vec<Option<usize>> = vec![None; lanes.len()];
    let mut ready: Vec<Ready> = Vec::new();
    for now in 0..until {
        for (pipeline, jobs) in pending.iter_mut().enumerate() {
            while let Some((arrival, _)) = jobs.pop_front_if(|(_, seen)| *seen <= now) {
                ready.push(Ready { seen: now, pipeline, stage: 0, arrival });
            }
        }
        let (now_ready, later): (Vec<Ready>, Vec<Ready>) = ready.into_iter().partition(|ready| ready.seen <= now);
        ready = later;
        for Ready { pipeline, stage, arrival, .. } in now_ready {
            let Stage { lane, best, worst, .. } = pipelines[pipeline].stages[stage];
            let left = habit.between(habit.executions, best, worst, rng);
            let position = lanes[lane].order.iter().position(|which| *which == (pipeline, stage));
            queues[lane][position.unwrap_or_default()].push_back(Waiting { arrival, left, start: None });
        }
        for (index, lane) in lanes.iter().enumerate() {
            let keeps = running[index].filter(|_| !lane.preemptive);
            let Some(position) = keeps.or_else(|| queues[index].iter().position(|queue| !queue.is_empty())) else {
                continue;
            };
            running[index] = Some(position);
            let queue = &mut queues[index][position];
            let Some(job) = queue.front_mut() else { continue };
            let start = *job.start.get_or_insert(now);
            job.left -= 1;
            if job.left == 0 {
                let (pipeline, stage) = lane.order[position];
                done.push(Done { pipeline, stage, arrival: job.arrival, start, finish: now + 1 });
                if let Some(next) = pipelines[pipeline].stages.get(stage + 1) {
                    // In order: not before a job that came earlier.
                    let same = ready.iter().filter(|ready| (ready.pipeline, ready.stage) == (pipeline, stage + 1));
                    let earlier = same.map(|ready| ready.seen).max().unwrap_or(0);
                    let seen = earlier.max(now + 1 + habit.between(habit.releases, 0, next.delay, rng));
                    ready.push(Ready { seen, pipeline, stage: stage + 1, arrival: job.arrival });
                }
                queue.pop_front();
                running[index] = None;
            }
        }
    }
    done
}

/// A stage of a job that its lane sees at an instant.
struct Ready {
    seen: u64,
    pipeline: usize,
    stage: usize,
    arrival: u64,
}

/// Which extremes a run prefers.
#[derive(Clone, Copy)]
struct Habit {
    executions: u8,
    releases: u8,
}

impl Habit {
    fn between(self, kind: u8, low: u64, high: u64, rng: &mut Rng) -> u64 {
        match kind {
            0 => high,
            1 => *rng.choice([low, high].iter()).unwrap_or(&high),
            _ => rng.u64(low..=high),
        }
    }
}

/// The arrivals of one task with the instants at which they are seen.
fn releases(pipeline: &Pipeline, arrivals: Arrivals, until: u64, habit: Habit, rng: &mut Rng) -> VecDeque<(u64, u64)> {
    let mut jobs = VecDeque::new();
    let mut arrival = if arrivals == Arrivals::Periodic { rng.u64(..pipeline.period) } else { rng.u64(..2) };
    let mut seen = 0;
    while arrival < until {
        let jitter = match habit.releases {
            // The first is late, the others are not: they come as densely as they can.
            0 if jobs.is_empty() => pipeline.jitter,
            0 => 0,
            kind => habit.between(kind, 0, pipeline.jitter, rng),
        };
        seen = seen.max(arrival + jitter);
        jobs.push_back((arrival, seen));
        let rest = if arrivals == Arrivals::Sporadic && rng.u8(..4) == 0 { rng.u64(..=pipeline.period) } else { 0 };
        arrival += pipeline.period + rest;
    }
    jobs
}
