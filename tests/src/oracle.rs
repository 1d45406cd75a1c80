//! Slow searches that share nothing with the analysis: one tick at a time, or every pattern there is.
//!
//! Times are whole ticks. A job that arrives at `a` is seen at any instant of `[a, a + J]`, jobs of a task in order; two
//! arrivals of a task are at least T apart; an execution takes 1 to C ticks; the lane never idles while a job waits.

use aegis_codegen::analysis::Load;
use std::collections::HashSet;

/// Which waiting job goes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The position of its task.
    Position,
    /// Its absolute deadline, then the position of its task.
    Deadline,
}

/// The worst response of `own` in the patterns that the theory calls critical: for each less important task one that
/// starts a tick before all others arrive together, each with its whole jitter, and then as often as they may.
///
/// `None` where the lane is still busy after `limit` ticks. `loads` has the most important task first.
#[must_use]
pub fn critical_response(loads: &[Load], own: usize, limit: u64) -> Option<u64> {
    let mut worst = 0;
    let blockers = loads.iter().skip(own + 1).map(|load| load.cost - 1);
    for blocked_until in blockers.chain([0]) {
        worst = worst.max(one_pattern(&loads[..=own], blocked_until, limit)?);
    }
    Some(worst)
}

fn one_pattern(level: &[Load], blocked_until: u64, limit: u64) -> Option<u64> {
    let own = level.len() - 1;
    let mut started = vec![0u64; level.len()];
    let mut running: Option<usize> = None;
    let mut left = blocked_until;
    let mut worst = 0;
    for now in 0..limit {
        if left == 0 {
            let earlier_done = |(load, started): (&Load, &u64)| started * load.period >= now + load.jitter;
            if now > 0 && level.iter().zip(&started).all(earlier_done) {
                // Whatever arrives from now on meets an idle lane.
                return Some(worst);
            }
            let waits = |task: &usize| {
                // The k-th job arrives at k T − J and is seen at once, but not before 0.
                let load = &level[*task];
                started[*task] * load.period <= now + load.jitter
            };
            match (0..level.len()).find(waits) {
                Some(next) => {
                    running = Some(next);
                    left = level[next].cost;
                    started[next] += 1;
                }
                None => return Some(worst),
            }
        }
        left -= 1;
        if left == 0 && running == Some(own) {
            let load = &level[own];
            let arrival_plus_jitter = (started[own] - 1) * load.period;
            worst = worst.max(now + 1 + load.jitter - arrival_plus_jitter);
        }
    }
    None
}

/// The first instant up to `until` at which something is due and blocking and demand exceed the time, by counting jobs
/// one by one.
///
/// Only tasks none of whose jobs are due by t block.
#[must_use]
pub fn first_excess(loads: &[Load], until: u64) -> Option<u64> {
    (0..=until).find(|at| {
        let mut due = 0;
        let mut blocking = 0;
        for load in loads {
            let mut jobs = 0;
            // Arrival k T − J, due D later; D − J may be negative.
            while jobs * load.period + load.deadline <= at + load.jitter {
                jobs += 1;
            }
            due += jobs * load.cost;
            if jobs == 0 {
                blocking = load.cost.max(blocking + 1) - 1;
            }
        }
        due > 0 && due + blocking > *at
    })
}

/// What every possible pattern together shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extremes {
    /// Per task the longest response.
    pub worst: Vec<u64>,
    /// How many states were visited.
    pub states: usize,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Snapshot {
    tasks: Vec<TaskNow>,
    /// The running job: task, age, ticks left.
    running: Option<(usize, u64, u64)>,
}

#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct TaskNow {
    /// Ticks since the last arrival, at most T.
    since: u64,
    /// Ages of jobs that arrived but are not seen, the oldest first.
    unseen: Vec<u64>,
    /// Ages of waiting jobs, the oldest first.
    waiting: Vec<u64>,
}

/// Visits every reachable state of a lane; `None` where there are more than `most`, or where a job grows older than
/// `oldest` ticks.
#[must_use]
pub fn every_pattern(loads: &[Load], order: Order, most: usize, oldest: u64) -> Option<Extremes> {
    let fresh = |load: &Load| TaskNow { since: load.period, ..TaskNow::default() };
    let first = Snapshot { tasks: loads.iter().map(fresh).collect(), running: None };
    let mut worst = vec![0; loads.len()];
    let mut known = HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some(snapshot) = open.pop() {
        for mut next in arrivals(&snapshot, loads) {
            for choice in starts(&mut next, loads, order) {
                let after = tick(choice, loads, &mut worst);
                if worst.iter().any(|response| *response > oldest) {
                    return None;
                }
                if !known.contains(&after) {
                    known.insert(after.clone());
                    open.push(after);
                }
            }
        }
        if known.len() > most {
            return None;
        }
    }
    Some(Extremes { worst, states: known.len() })
}

/// All ways in which jobs arrive and are seen at an instant.
fn arrivals(snapshot: &Snapshot, loads: &[Load]) -> Vec<Snapshot> {
    let mut ways = vec![snapshot.clone()];
    for (task, load) in loads.iter().enumerate() {
        let mut more = Vec::new();
        for way in ways {
            if way.tasks[task].since >= load.period {
                let mut arrived = way.clone();
                arrived.tasks[task].since = 0;
                arrived.tasks[task].unseen.push(0);
                more.push(arrived);
            }
            more.push(way);
        }
        ways = Vec::new();
        for way in more {
            let unseen = way.tasks[task].unseen.clone();
            let forced = unseen.iter().filter(|age| **age >= load.jitter).count();
            for seen in forced..=unseen.len() {
                let mut way = way.clone();
                way.tasks[task].waiting.extend(&unseen[..seen]);
                way.tasks[task].unseen.drain(..seen);
                ways.push(way);
            }
        }
    }
    ways
}

/// All ways in which an idle lane starts what goes first.
fn starts(snapshot: &mut Snapshot, loads: &[Load], order: Order) -> Vec<Snapshot> {
    if snapshot.running.is_some() {
        return vec![snapshot.clone()];
    }
    let heads = snapshot.tasks.iter().enumerate().filter_map(|(task, now)| Some((task, *now.waiting.first()?)));
    let first = match order {
        Order::Position => heads.min_by_key(|(task, _)| *task),
        // D − age orders absolute deadlines; an older job than its deadline comes out as a smaller sum.
        Order::Deadline => heads.min_by_key(|(task, age)| (loads[*task].deadline + 1_000_000 - age, *task)),
    };
    let Some((task, age)) = first else { return vec![snapshot.clone()] };
    snapshot.tasks[task].waiting.remove(0);
    (1..=loads[task].cost)
        .map(|execution| Snapshot { running: Some((task, age, execution)), ..snapshot.clone() })
        .collect()
}

/// Lets one tick pass.
fn tick(mut snapshot: Snapshot, loads: &[Load], worst: &mut [u64]) -> Snapshot {
    for (now, load) in snapshot.tasks.iter_mut().zip(loads) {
        now.since = (now.since + 1).min(load.period);
        now.unseen.iter_mut().chain(&mut now.waiting).for_each(|age| *age += 1);
    }
    snapshot.running = snapshot.running.and_then(|(task, age, left)| {
        if left == 1 {
            worst[task] = worst[task].max(age + 1);
            return None;
        }
        Some((task, age + 1, left - 1))
    });
    // A job that waits for ever must show up too.
    for (task, now) in snapshot.tasks.iter().enumerate() {
        worst[task] = worst[task].max(now.waiting.first().copied().unwrap_or(0));
    }
    snapshot
}
