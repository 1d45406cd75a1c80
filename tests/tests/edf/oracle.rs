//! Slow searches that share nothing with the analysis: the equations one tick at a time, and every pattern there is.

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

/// Periods up to 12, up to 5 tasks.
pub(crate) const SMALL: Size = Size { tasks: 1..=5, period: 12, cost: 12 };
/// Periods up to 100: an arrival often lies within a last piece.
pub(crate) const MEDIUM: Size = Size { tasks: 3..=6, period: 100, cost: 40 };
/// Small enough to visit every state.
pub(crate) const TINY: Size = Size { tasks: 2..=3, period: 7, cost: 5 };

/// Random loads, of one kind or of several; about half of the sets have jitter. Deadlines lie between the jitter, below
/// the cost too, and three periods.
pub(crate) fn random(rng: &mut Rng, size: &Size) -> Vec<Cut> {
    let jittery = rng.bool();
    let tasks = rng.u64(size.tasks.clone());
    let one_kind = rng.choice(KINDS).filter(|_| rng.u8(0..4) > 0);
    let one = |rng: &mut Rng| {
        let period = rng.u64(1..=size.period);
        let cost = rng.u64(1..=(2 * period / tasks).clamp(1, size.cost));
        let jitter = if jittery { rng.u64(0..=period + period / 2) } else { 0 };
        let deadline = rng.u64(jitter.max(1)..=3 * period);
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

/// Σ C/T in units of 1/[`UNIT`], rounded up; exact where periods are at most 12.
pub(crate) fn utilization(loads: &[Load]) -> u64 {
    loads.iter().map(|load| (load.cost * UNIT).div_ceil(load.period)).sum()
}

/// A random set that has bounds: of utilization 1 at most, and below 1 where jitter could let the busy period last for ever.
pub(crate) fn random_bounded(rng: &mut Rng, size: &Size, keep: impl Fn(&[Load]) -> bool) -> Vec<Cut> {
    loop {
        let cuts = random(rng, size);
        let loads = loads(&cuts);
        let used = utilization(&loads);
        let ends = used < UNIT || used == UNIT && loads.iter().all(|load| load.jitter == 0);
        if ends && keep(&loads) {
            return cuts;
        }
    }
}

/// The length of the last piece and of the longest.
pub(crate) fn lengths(load: &Load) -> (u64, u64) {
    match load.pieces {
        Pieces::Whole => (load.cost, load.cost),
        Pieces::Segments { last, longest } => (last, longest),
        Pieces::Floating { longest } => (1, longest),
    }
}

/// How many arrivals k T − J lie at or before `instant`.
fn seen(load: &Load, instant: i64) -> i64 {
    (0..).take_while(|k| k * int(load.period) - int(load.jitter) <= instant).count().try_into().unwrap()
}

fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap()
}

/// The worst response of each task by the equations of George, Rivierre and Spuri (RR-2966) with pieces, for every arrival
/// of every task in a busy period of at most `limit` ticks; every tick is tried as the start of the last piece.
///
/// The task's own jobs are where they are when the last of them arrives at that instant.
pub(crate) fn textbook(loads: &[Load], limit: i64) -> Option<Vec<u64>> {
    let busy = (1..=limit).find(|t| loads.iter().map(|load| seen(load, t - 1) * int(load.cost)).sum::<i64>() <= *t)?;
    let blocked = loads.iter().map(|load| int(lengths(load).1)).max()?;
    let mut worst = vec![0; loads.len()];
    for (own, load) in loads.iter().enumerate() {
        let last = int(lengths(load).0);
        for arrival in -int(load.jitter)..=busy + blocked {
            let due = arrival + int(load.deadline);
            // Everyone's arrivals that are due by then.
            let count = |other: &Load| seen(other, due - int(other.deadline));
            let later = loads.iter().filter(|other| int(other.deadline) - int(other.jitter) > due);
            let blocking = later.map(|other| int(lengths(other).1) - 1).max().unwrap_or(0);
            let work = |instant: i64| {
                let others = loads.iter().enumerate().filter(|(index, _)| *index != own);
                let others = others.map(|(_, other)| count(other).min(seen(other, instant)) * int(other.cost));
                let (before, rest) = (int(load.jitter) + arrival, int(load.period));
                blocking + others.sum::<i64>() + (before / rest + 1) * int(load.cost)
            };
            let start = (arrival.max(0)..).find(|start| work(*start) - last <= *start)?;
            worst[own] = worst[own].max(u64::try_from(start + last - arrival).unwrap());
        }
    }
    Some(worst)
}

/// What every possible pattern together shows.
pub(crate) struct Extremes {
    /// Per task the longest response.
    pub(crate) worst: Vec<u64>,
    /// How many states were visited.
    pub(crate) states: usize,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Snapshot {
    tasks: Vec<TaskNow>,
    /// The task whose piece runs, how many ticks of it are left, and whether it ends the job.
    running: Option<(usize, u64, bool)>,
}

#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct TaskNow {
    /// Ticks since the last arrival, at most T.
    since: u64,
    /// Ages of jobs that arrived but are not seen, the oldest first.
    unseen: Vec<u64>,
    /// Ages of jobs that are seen and not complete, the oldest first.
    waiting: Vec<u64>,
    /// How many pieces of the oldest job are done; for floating regions how many ticks.
    done: u64,
}

/// Visits every reachable state of a lane; `None` where there are more than `most`, or where a job grows older than
/// `oldest` ticks. With `short`, executions may be shorter than C.
///
/// At each instant jobs arrive, are seen, and the lane starts a piece of any of those with the earliest deadline.
pub(crate) fn every_pattern(cuts: &[Cut], short: bool, most: usize, oldest: u64) -> Option<Extremes> {
    let fresh = |cut: &Cut| TaskNow { since: cut.load.period, ..TaskNow::default() };
    let first = Snapshot { tasks: cuts.iter().map(fresh).collect(), running: None };
    let mut worst = vec![0; cuts.len()];
    let mut known = HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some(snapshot) = open.pop() {
        for next in arrivals(&snapshot, cuts) {
            for choice in starts(&next, cuts, short) {
                let after = tick(choice, cuts, &mut worst);
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
fn arrivals(snapshot: &Snapshot, cuts: &[Cut]) -> Vec<Snapshot> {
    let mut ways = vec![snapshot.clone()];
    for (task, Cut { load, .. }) in cuts.iter().enumerate() {
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

/// All ways in which a lane between two pieces goes on.
fn starts(snapshot: &Snapshot, cuts: &[Cut], short: bool) -> Vec<Snapshot> {
    if snapshot.running.is_some() {
        return vec![snapshot.clone()];
    }
    let heads = snapshot.tasks.iter().enumerate().filter_map(|(task, now)| Some((task, *now.waiting.first()?)));
    // D − age orders absolute deadlines; an older job than its deadline comes out as a smaller sum.
    let due = |(task, age): (usize, u64)| cuts[task].load.deadline + 1_000_000 - age;
    let Some(earliest) = heads.clone().map(due).min() else { return vec![snapshot.clone()] };
    let mut ways = Vec::new();
    for (task, _) in heads.filter(|head| due(*head) == earliest) {
        let (cut, done) = (&cuts[task], snapshot.tasks[task].done);
        let mut piece = |ticks: u64, ends: bool| {
            ways.push(Snapshot { running: Some((task, ticks, ends)), ..snapshot.clone() });
        };
        if let Pieces::Floating { longest } = cut.load.pieces {
            let rest = cut.load.cost - done;
            for ticks in 1..=longest.min(rest) {
                if ticks == rest || short {
                    piece(ticks, true);
                }
                if ticks < rest {
                    piece(ticks, false);
                }
            }
        } else {
            let whole = cut.pieces[usize::try_from(done).unwrap()];
            let ends = done + 1 == u64::try_from(cut.pieces.len()).unwrap();
            for ticks in if short { 1..=whole } else { whole..=whole } {
                piece(ticks, ends);
            }
        }
    }
    ways
}

/// Lets one tick pass.
fn tick(mut snapshot: Snapshot, cuts: &[Cut], worst: &mut [u64]) -> Snapshot {
    for (now, Cut { load, .. }) in snapshot.tasks.iter_mut().zip(cuts) {
        now.since = (now.since + 1).min(load.period);
        now.unseen.iter_mut().chain(&mut now.waiting).for_each(|age| *age += 1);
    }
    if let Some((task, left, ends)) = snapshot.running {
        let floating = matches!(cuts[task].load.pieces, Pieces::Floating { .. });
        let now = &mut snapshot.tasks[task];
        now.done += u64::from(floating);
        snapshot.running = Some((task, left - 1, ends)).filter(|_| left > 1);
        if left == 1 {
            now.done += u64::from(!floating);
            if ends {
                now.done = 0;
                worst[task] = worst[task].max(now.waiting.remove(0));
            }
        }
    }
    // A job that waits for ever must show up too.
    for (task, now) in snapshot.tasks.iter().enumerate() {
        worst[task] = worst[task].max(now.waiting.first().copied().unwrap_or(0));
    }
    snapshot
}
