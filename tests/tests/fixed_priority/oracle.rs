//! Slow searches: the equations one tick at a time, one pattern one tick at a time, and every pattern there is.

use aegis_codegen::analysis::{Load, Pieces};
use fastrand::Rng;
use std::collections::HashSet;

/// A multiple of all numbers up to 12, so that utilizations are compared exactly.
pub(crate) const UNIT: u64 = 27_720;

/// A load, and where its jobs are cut if they take all of C. Floating regions are cut anywhere.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) load: Load,
    pub(crate) pieces: Vec<u64>,
}

/// Which pieces random loads have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Whole,
    Segments,
    Floating,
    Preemptive,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Whole, Kind::Segments, Kind::Floating, Kind::Preemptive];

/// How large a random set may be.
pub(crate) struct Size {
    pub(crate) tasks: std::ops::RangeInclusive<u64>,
    pub(crate) period: u64,
    pub(crate) cost: u64,
}

/// Random loads, of one kind or of several; about half of the sets have jitter, deadlines lie between the cost and three
/// periods.
pub(crate) fn random(rng: &mut Rng, size: &Size) -> Vec<Cut> {
    let jittery = rng.bool();
    let tasks = rng.u64(size.tasks.clone());
    let one_kind = rng.choice(KINDS).filter(|_| rng.u8(0..5) > 0);
    let one = |rng: &mut Rng| {
        let period = rng.u64(1..=size.period);
        let cost = rng.u64(1..=(2 * period / tasks).clamp(1, size.cost));
        let deadline = rng.u64(cost..=3 * period);
        let jitter = if jittery { rng.u64(0..=period + period / 2) } else { 0 };
        let mut pieces = vec![cost];
        let kind = one_kind.unwrap_or_else(|| rng.choice(KINDS).unwrap());
        let form = match kind {
            Kind::Whole => Pieces::Whole,
            Kind::Preemptive => Pieces::Floating { longest: 1 },
            Kind::Floating => Pieces::Floating { longest: rng.u64(1..=cost) },
            Kind::Segments => {
                pieces = cut(rng, cost);
                Pieces::Segments { last: *pieces.last().unwrap(), longest: *pieces.iter().max().unwrap() }
            }
        };
        Cut { load: Load { pieces: form, ..Load::whole(cost, period, deadline, jitter) }, pieces }
    };
    (0..tasks).map(|_| one(rng)).collect()
}

fn cut(rng: &mut Rng, cost: u64) -> Vec<u64> {
    let mut pieces = Vec::new();
    let mut rest = cost;
    while rest > 0 {
        let piece = rng.u64(1..=rest);
        pieces.push(piece);
        rest -= piece;
    }
    pieces
}

pub(crate) fn loads(cuts: &[Cut]) -> Vec<Load> {
    cuts.iter().map(|cut| cut.load).collect()
}

/// Σ C/T in units of 1/[`UNIT`]; periods are at most 12.
pub(crate) fn utilization(loads: &[Load]) -> u64 {
    loads.iter().map(|load| load.cost * UNIT / load.period).sum()
}

/// The length of the last piece and of the longest.
pub(crate) fn lengths(load: &Load) -> (u64, u64) {
    match load.pieces {
        Pieces::Whole => (load.cost, load.cost),
        Pieces::Segments { last, longest } => (last, longest),
        Pieces::Floating { longest } => (1, longest),
    }
}

/// B: what is left of the longest less important piece a tick after its start.
pub(crate) fn blocking(loads: &[Load], own: usize) -> u64 {
    loads[own + 1..].iter().map(|load| lengths(load).1 - 1).max().unwrap_or(0)
}

/// Whether a level's busy period may last for ever although its utilization is 1: only without jitter and blocking does
/// it end.
pub(crate) fn is_endless(loads: &[Load], own: usize) -> bool {
    let level = &loads[..=own];
    utilization(level) == UNIT && (blocking(loads, own) > 0 || level.iter().any(|load| load.jitter > 0))
}

/// How the equations are solved.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Solve {
    /// By trying 0, 1, 2 and so on.
    EachTick,
    /// By putting in what came out.
    Iterate,
}

impl Solve {
    /// The first t from `from` on with t = right(t), where `from` is no more than right(from).
    fn first(self, from: u64, right: impl Fn(u64) -> u64) -> u64 {
        let mut t = from;
        while right(t) != t {
            t = if self == Self::Iterate { right(t) } else { t + 1 };
        }
        t
    }
}

/// L, every s(q) and R of the task at `own`, from the equations.
pub(crate) fn textbook(loads: &[Load], own: usize, solve: Solve) -> (u64, Vec<u64>, u64) {
    let (task, blocking, last) = (&loads[own], blocking(loads, own), lengths(&loads[own]).0);
    let busy = solve.first(1, |length| {
        let level = loads[..=own].iter();
        blocking + level.map(|load| (length + load.jitter).div_ceil(load.period) * load.cost).sum::<u64>()
    });
    let mut starts = Vec::new();
    let mut worst = 0;
    for q in 0..(busy + task.jitter).div_ceil(task.period) {
        let start = solve.first(0, |start| {
            let before = loads[..own].iter().map(|load| ((start + load.jitter) / load.period + 1) * load.cost);
            blocking + (q + 1) * task.cost - last + before.sum::<u64>()
        });
        worst = worst.max(start + last + task.jitter - q * task.period);
        starts.push(start);
    }
    (busy, starts, worst)
}

/// The worst response of `own` when a less important piece starts a tick before all others arrive together, each with
/// its whole jitter, and then as often as they may; floating regions are one tick long there.
///
/// `None` where the lane is still busy after `limit` ticks.
pub(crate) fn critical_response(cuts: &[Cut], own: usize, limit: u64) -> Option<u64> {
    let level = &cuts[..=own];
    let mut left = blocking(&loads(cuts), own);
    let mut running: Option<usize> = None;
    // Finished jobs, and how far the one after them is.
    let mut done = vec![(0u64, 0u64); level.len()];
    let mut worst = 0;
    for now in 0..limit {
        if left == 0 {
            // The k-th job arrives at k T − J and is seen at once, but not before 0.
            let waits = |task: &usize| done[*task].0 * level[*task].load.period <= now + level[*task].load.jitter;
            let Some(next) = (0..level.len()).find(waits) else { return Some(worst) };
            let none_is_left = |task: usize| {
                let load = &level[task].load;
                done[task].1 == 0 && done[task].0 * load.period >= now + load.jitter
            };
            if now > 0 && (0..level.len()).all(none_is_left) {
                // Whatever arrives from now on meets an idle lane.
                return Some(worst);
            }
            running = Some(next);
            left = piece(&level[next], done[next].1, level[next].load.cost, 1);
        }
        left -= 1;
        if let Some(task) = running {
            let load = &level[task].load;
            done[task].1 += 1;
            if done[task].1 == load.cost {
                if task == own {
                    worst = worst.max(now + 1 + load.jitter - done[own].0 * load.period);
                }
                done[task] = (done[task].0 + 1, 0);
            }
        }
    }
    None
}

/// How long the piece is that a job begins after `done` ticks, if it takes `total` in all; a floating region takes `region`.
fn piece(cut: &Cut, done: u64, total: u64, region: u64) -> u64 {
    let whole = match cut.load.pieces {
        Pieces::Floating { .. } => region,
        Pieces::Whole | Pieces::Segments { .. } => {
            let ends = cut.pieces.iter().scan(0, |end, piece| {
                *end += piece;
                Some(*end)
            });
            ends.filter(|end| *end > done).min().unwrap() - done
        }
    };
    whole.min(total - done)
}

/// What every possible pattern together shows.
pub(crate) struct Extremes {
    /// Per task the longest response.
    pub(crate) worst: Vec<u64>,
    /// How many states were visited.
    pub(crate) states: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Now {
    /// Ticks since the last arrival, at most T.
    since: u64,
    /// Ages of jobs that arrived but are not seen, the oldest first.
    unseen: Vec<u64>,
    /// Ages of jobs that are seen and not done, the oldest first.
    seen: Vec<u64>,
    /// Of the oldest seen one, if it began: ticks done, and in all.
    begun: Option<(u64, u64)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    tasks: Vec<Now>,
    /// Whose piece runs, and the ticks left of it.
    running: Option<(usize, u64)>,
}

/// Visits every reachable state of a lane: arrivals at least T apart, each seen at any instant until J later, jobs that take
/// 1 to C, floating regions of any length; `None` where there are more than `most`, or a job grows older than `oldest`.
pub(crate) fn every_pattern(cuts: &[Cut], most: usize, oldest: u64) -> Option<Extremes> {
    let fresh = |cut: &Cut| Now { since: cut.load.period, ..Now::default() };
    let first = State { tasks: cuts.iter().map(fresh).collect(), running: None };
    let mut worst = vec![0; cuts.len()];
    let mut known = HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some(state) = open.pop() {
        for arrived in arrivals(&state, cuts) {
            for begun in begin(arrived, cuts) {
                let after = tick(begun, cuts, &mut worst);
                if worst.iter().any(|response| *response > oldest) {
                    return None;
                }
                if known.insert(after.clone()) {
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
fn arrivals(state: &State, cuts: &[Cut]) -> Vec<State> {
    let mut ways = vec![state.clone()];
    for (task, cut) in cuts.iter().enumerate() {
        let mut more = Vec::new();
        for way in ways {
            let mut arrived = way.clone();
            if way.tasks[task].since >= cut.load.period {
                arrived.tasks[task].since = 0;
                arrived.tasks[task].unseen.push(0);
                more.push(arrived);
            }
            more.push(way);
        }
        ways = Vec::new();
        for way in more {
            let unseen = way.tasks[task].unseen.clone();
            let forced = unseen.iter().filter(|age| **age >= cut.load.jitter).count();
            for count in forced..=unseen.len() {
                let mut way = way.clone();
                way.tasks[task].seen.extend(&unseen[..count]);
                way.tasks[task].unseen.drain(..count);
                ways.push(way);
            }
        }
    }
    ways
}

/// All ways in which a lane whose piece ended begins another.
fn begin(state: State, cuts: &[Cut]) -> Vec<State> {
    let next = state.tasks.iter().position(|task| !task.seen.is_empty());
    let (None, Some(next)) = (state.running, next) else { return vec![state] };
    let cut = &cuts[next];
    let totals = match state.tasks[next].begun {
        Some(begun) => vec![begun],
        None => (1..=cut.load.cost).map(|total| (0, total)).collect(),
    };
    let mut ways = Vec::new();
    for (done, total) in totals {
        let regions = match cut.load.pieces {
            Pieces::Floating { longest } => longest.min(total - done),
            Pieces::Whole | Pieces::Segments { .. } => 1,
        };
        for region in 1..=regions {
            let mut way = state.clone();
            way.tasks[next].begun = Some((done, total));
            way.running = Some((next, piece(cut, done, total, region)));
            ways.push(way);
        }
    }
    ways
}

/// Lets one tick pass.
fn tick(mut state: State, cuts: &[Cut], worst: &mut [u64]) -> State {
    for (now, cut) in state.tasks.iter_mut().zip(cuts) {
        now.since = (now.since + 1).min(cut.load.period);
        now.unseen.iter_mut().chain(&mut now.seen).for_each(|age| *age += 1);
    }
    // A job that waits for ever must show up too.
    for (worst, now) in worst.iter_mut().zip(&state.tasks) {
        *worst = now.seen.first().map_or(*worst, |age| (*worst).max(*age));
    }
    if let Some((task, left)) = state.running {
        let now = &mut state.tasks[task];
        let (done, total) = now.begun.unwrap();
        now.begun = Some((done + 1, total));
        if done + 1 == total {
            now.begun = None;
            now.seen.remove(0);
        }
        state.running = (left > 1).then_some((task, left - 1));
    }
    state
}
