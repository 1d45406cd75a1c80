//! Slow searches of non-preemptive scheduling, in steps that a reader can follow; they share nothing with the analysis.

use aegis_codegen::analysis::exact::{Job, Order, Range, Task};
use std::collections::HashSet;

/// A job with everything chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed {
    pub(crate) release: u64,
    pub(crate) cost: u64,
    /// Of those pending, the least goes first.
    pub(crate) rank: (u64, u64, u64),
}

/// When each job starts.
pub(crate) fn simulate(jobs: &[Fixed]) -> Vec<u64> {
    let mut starts: Vec<Option<u64>> = vec![None; jobs.len()];
    let mut now = 0;
    while let Some(next) = (0..jobs.len()).filter(|job| starts[*job].is_none()).map(|job| jobs[job].release).min() {
        now = now.max(next);
        let pending = (0..jobs.len()).filter(|job| starts[*job].is_none() && jobs[*job].release <= now);
        let chosen = pending.min_by_key(|job| jobs[*job].rank).unwrap();
        starts[chosen] = Some(now);
        now += jobs[chosen].cost;
    }
    starts.into_iter().map(Option::unwrap).collect()
}

/// What orders the jobs of a set; the least goes first.
pub(crate) fn rank(jobs: &[Job], position: usize) -> (u64, u64, u64) {
    (jobs[position].priority, u64::from(jobs[position].task), position as u64)
}

/// What orders the jobs of tasks; the least goes first.
pub(crate) fn task_rank(tasks: &[Task], order: Order, task: usize, job: u64) -> (u64, u64, u64) {
    let arrival = tasks[task].phase + job * tasks[task].period;
    let by = if order == Order::FixedPriority { 0 } else { arrival + tasks[task].deadline };
    (by, task as u64, job)
}

/// Every release instant and every execution time of every job.
pub(crate) fn enumerate(jobs: &[Job]) -> Vec<Range> {
    let sizes: Vec<u64> =
        jobs.iter().flat_map(|job| [job.release.1 - job.release.0 + 1, job.cost.1 - job.cost.0 + 1]).collect();
    let mut ranges = vec![Range { best: u64::MAX, worst: 0 }; jobs.len()];
    for mut number in 0..sizes.iter().product() {
        let mut digits = sizes.iter().map(|size| {
            let digit = number % size;
            number /= size;
            digit
        });
        let fixed: Vec<Fixed> = (0..jobs.len())
            .map(|job| Fixed {
                release: jobs[job].release.0 + digits.next().unwrap(),
                cost: jobs[job].cost.0 + digits.next().unwrap(),
                rank: rank(jobs, job),
            })
            .collect();
        for ((start, job), range) in simulate(&fixed).into_iter().zip(&fixed).zip(&mut ranges) {
            range.best = range.best.min(start + job.cost);
            range.worst = range.worst.max(start + job.cost);
        }
    }
    ranges
}

/// What a unit of time sees. Jobs of a task are in order of arrival.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Unit {
    /// The time, folded into the last hyperperiod that is told apart.
    time: u64,
    /// Per task the ages of the jobs that have not started.
    ages: Vec<Vec<u64>>,
    /// Per task how many of those have been seen.
    seen: Vec<usize>,
    /// How long the running job still runs.
    left: u64,
}

fn gcd(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { gcd(other, one % other) }
}

pub(crate) fn hyperperiod(tasks: &[Task]) -> u64 {
    tasks.iter().fold(1, |all, task| all / gcd(all, task.period) * task.period)
}

/// The responses over all states that can be reached; `None` for more than so many states.
pub(crate) fn every_state(tasks: &[Task], order: Order, most: usize) -> Option<Vec<Range>> {
    let mut ranges = vec![Range { best: u64::MAX, worst: 0 }; tasks.len()];
    let start = tasks.iter().map(|task| task.phase).max().unwrap();
    let end = start + hyperperiod(tasks);
    let mut known = HashSet::new();
    let mut open = vec![Unit { time: 0, ages: vec![Vec::new(); tasks.len()], seen: vec![0; tasks.len()], left: 0 }];
    while let Some(mut unit) = open.pop() {
        for (task, ages) in tasks.iter().zip(&mut unit.ages) {
            if unit.time >= task.phase && (unit.time - task.phase) % task.period == 0 {
                ages.push(0);
            }
        }
        // All ways to see jobs, those whose jitter is over certainly.
        let mut ways = vec![Vec::new()];
        for (position, (task, ages)) in tasks.iter().zip(&unit.ages).enumerate() {
            let certain = ages.iter().filter(|age| **age >= task.jitter).count().max(unit.seen[position]);
            ways = ways
                .iter()
                .flat_map(|way: &Vec<usize>| (certain..=ages.len()).map(|seen| [&way[..], &[seen]].concat()))
                .collect();
        }
        for seen in ways {
            let unit = Unit { seen, ..unit.clone() };
            for mut next in decide(tasks, order, &unit, &mut ranges) {
                next.time += 1;
                if next.time == end {
                    next.time = start;
                }
                next.left = next.left.saturating_sub(1);
                for age in next.ages.iter_mut().flatten() {
                    *age += 1;
                }
                if known.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        if known.len() > most {
            return None;
        }
    }
    Some(ranges)
}

/// What the decision may lead to: every execution time of the job that goes first, if the resource is free.
fn decide(tasks: &[Task], order: Order, unit: &Unit, ranges: &mut [Range]) -> Vec<Unit> {
    let pending = (0..tasks.len()).filter(|task| unit.seen[*task] > 0);
    let first = pending.min_by_key(|task| match order {
        Order::FixedPriority => (0, *task),
        Order::EarliestDeadlineFirst => {
            (i64::try_from(tasks[*task].deadline).unwrap() - i64::try_from(unit.ages[*task][0]).unwrap(), *task)
        }
    });
    let (Some(task), 0) = (first, unit.left) else { return vec![unit.clone()] };
    let start = |cost: u64| {
        let mut next = unit.clone();
        let response = next.ages[task].remove(0) + cost;
        next.seen[task] -= 1;
        next.left = cost;
        ranges[task].best = ranges[task].best.min(response);
        ranges[task].worst = ranges[task].worst.max(response);
        next
    };
    (tasks[task].cost.0..=tasks[task].cost.1).map(start).collect()
}
