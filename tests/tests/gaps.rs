//! Tasks without slots: their bounds beside a search through everything that can happen, beside sums nanosecond by nanosecond, and
//! in the dispatcher, which starts no slot's job later because of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::time_triggered::gaps;
use aegis_codegen::analysis::{Found, Load, NoBound, Pieces, Proof};
use aegis_codegen::system::{System, Task};
use aegis_core::desc::{Certificate, Policy, Preemption, Release, SystemDesc};
use aegis_core::dispatch::{Event, State, step};
use aegis_core::time::Duration;
use aegis_core::trace::{Kind, Reason, Sink};
use aegis_core::{Instant, LaneId, TaskId};
use aegis_tests::planned::{lane, plan, system, task};
use fastrand::Rng;
use std::collections::{BTreeMap, HashSet};

/// A table: when each slot begins and ends at the latest.
#[derive(Clone, Debug)]
struct Table {
    lap: u64,
    slots: Vec<(u64, u64)>,
}

/// A random table of a few slots, some of which follow each other at once.
fn table(rng: &mut Rng, longest: u64) -> Table {
    let lap = rng.u64(4..=longest);
    let (mut slots, mut at) = (Vec::new(), rng.u64(0..3));
    while at < lap {
        let end = at + rng.u64(1..=3);
        let first = slots.first().map_or(lap + at, |(first, _)| lap + first);
        if end > first {
            break;
        }
        slots.push((at, end));
        at = end + rng.u64(0..=8);
    }
    if slots.is_empty() { table(rng, longest) } else { Table { lap, slots } }
}

/// Random tasks for its gaps; their pieces, of whole jobs one.
fn tasks(rng: &mut Rng, most: usize, longest: u64) -> (Vec<Load>, Vec<Vec<u64>>) {
    let one = |rng: &mut Rng| {
        let pieces: Vec<u64> = (0..rng.usize(1..=2)).map(|_| rng.u64(1..=3)).collect();
        let cost = pieces.iter().sum();
        let period = rng.u64(cost + 3..=longest);
        let load = Load::whole(cost, period, 10_000, if rng.bool() { 0 } else { rng.u64(0..=2) });
        let split = Pieces::Segments { last: *pieces.last().unwrap(), longest: *pieces.iter().max().unwrap() };
        (if pieces.len() > 1 { Load { pieces: split, ..load } } else { load }, pieces)
    };
    (0..rng.usize(1..=most)).map(|_| one(rng)).unzip()
}

fn bound(found: &Found) -> Option<u64> {
    found.response.as_ref().ok().map(|(bound, _)| bound.as_ns())
}

/// A task in the search: the ages of its jobs that are seen and not complete, the piece that is next of the first one, the age of
/// one that is not seen yet, and how long ago the last arrival was.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Own {
    seen: Vec<u64>,
    piece: usize,
    unseen: Option<u64>,
    since: u64,
}

/// Everything that the future depends on, just before an instant: in the lap, for how long the lane is taken at most and at least,
/// and by whom.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Now {
    at: u64,
    taken: u64,
    by: Option<usize>,
    own: Vec<Own>,
}

/// Every arrival pattern, every execution from 1 ns up, every slot shorter than planned: the longest responses that happen, or
/// `None` where there are too many states.
fn search(table: &Table, loads: &[Load], pieces: &[Vec<u64>], limits: &[u64]) -> Option<Vec<u64>> {
    let idle = |load: &Load| Own { seen: Vec::new(), piece: 0, unseen: None, since: load.period };
    let mut open = vec![Now { at: 0, taken: 0, by: None, own: loads.iter().map(idle).collect() }];
    let mut known: HashSet<Now> = open.iter().cloned().collect();
    let mut worst = vec![0; loads.len()];
    while let Some(now) = open.pop() {
        // A piece ends.
        let mut after = now;
        if after.taken == 0
            && let Some(by) = after.by.take()
        {
            let own = &mut after.own[by];
            own.piece += 1;
            if own.piece == pieces[by].len() {
                own.piece = 0;
                worst[by] = worst[by].max(own.seen.remove(0));
                assert!(worst[by] <= limits[by], "{worst:?} above {limits:?} of {table:?} {loads:?}");
            }
        }
        // Arrivals come, and are seen.
        let mut all = vec![after];
        for (index, load) in loads.iter().enumerate() {
            let mut more = Vec::new();
            for before in all {
                let may = before.own[index].since >= load.period && before.own[index].unseen.is_none();
                for arrives in if may { &[false, true][..] } else { &[false][..] } {
                    let mut next = before.clone();
                    let own = &mut next.own[index];
                    if *arrives {
                        (own.unseen, own.since) = (Some(0), 0);
                    }
                    let Some(age) = own.unseen else {
                        more.push(next);
                        continue;
                    };
                    if age < load.jitter {
                        more.push(next.clone());
                    }
                    let own = &mut next.own[index];
                    own.unseen = None;
                    own.seen.push(age);
                    more.push(next);
                }
            }
            all = more;
        }
        // The lane takes what it may, for as long as it may.
        let mut decided = Vec::new();
        for before in all {
            if before.taken > 0 {
                decided.push(before);
                continue;
            }
            let take = |length: u64, by: Option<usize>| {
                let before = &before;
                (1..=length).map(move |taken| Now { taken, by, ..before.clone() })
            };
            if let Some((at, end)) = table.slots.iter().find(|(at, _)| *at == before.at) {
                // One that stays empty is known to at the next instant.
                decided.extend(take(end - at, None));
                continue;
            }
            let next = table.slots.iter().map(|(at, _)| *at).find(|at| *at > before.at);
            let next = next.unwrap_or(table.lap + table.slots[0].0);
            let first = before.own.iter().position(|own| !own.seen.is_empty());
            match first {
                Some(first) if before.at + pieces[first][before.own[first].piece] <= next => {
                    decided.extend(take(pieces[first][before.own[first].piece], Some(first)));
                }
                _ => decided.push(before),
            }
        }
        for mut next in decided {
            next.at = (next.at + 1) % table.lap;
            next.taken = next.taken.saturating_sub(1);
            for (own, load) in next.own.iter_mut().zip(loads) {
                own.since = (own.since + 1).min(load.period);
                own.seen.iter_mut().chain(&mut own.unseen).for_each(|age| *age += 1);
            }
            if known.insert(next.clone()) {
                open.push(next);
            }
        }
        if known.len() > 150_000 {
            return None;
        }
    }
    Some(worst)
}

#[test]
fn no_response_that_can_happen_is_above_its_bound_and_some_bounds_are_reached() {
    let (mut searched, mut reached, mut bounds, mut excess) = (0, 0, 0, 0);
    for seed in 0..600 {
        let mut rng = Rng::with_seed(seed);
        let table = table(&mut rng, 12);
        let (loads, pieces) = tasks(&mut rng, 2, 22);
        let found = gaps::analyse(&loads, &table.slots, table.lap);
        let Some(limits) = found.iter().map(bound).collect::<Option<Vec<u64>>>() else { continue };
        let Some(worst) = search(&table, &loads, &pieces, &limits) else { continue };
        searched += 1;
        for (worst, limit) in worst.iter().zip(&limits) {
            assert!(*worst > 0);
            bounds += 1;
            reached += u64::from(worst == limit);
            excess += limit - worst;
        }
    }
    println!("{searched} searched, {reached} of {bounds} bounds reached, {excess} ns too much in all");
    assert!(searched > 100 && reached * 4 > bounds, "{searched} {reached} {bounds}");
}

/// Which instants of a lap are in sure parts for a piece.
fn sure(table: &Table, piece: u64) -> Vec<bool> {
    let is_sure = |at: u64| {
        // The slot that a gap comes after, and the one before which it ends.
        let laps = [0, table.lap];
        let all = laps.iter().flat_map(|lap| table.slots.iter().map(move |(from, to)| (from + lap, to + lap)));
        let all: Vec<(u64, u64)> = all.collect();
        all.windows(2).any(|pair| [at, at + table.lap].iter().any(|at| pair[0].1 <= *at && at + piece <= pair[1].0))
    };
    (0..table.lap).map(is_sure).collect()
}

/// The least length of which every window has so much of the sure parts, instant by instant.
fn window(sure: &[bool], asked: u64) -> u64 {
    let one = |begin: usize| {
        let mut left = asked;
        let instants = sure.iter().cycle().skip(begin);
        let count = instants.take_while(|is_sure| {
            let goes_on = left > 0;
            left -= u64::from(goes_on && **is_sure);
            goes_on
        });
        u64::try_from(count.count()).unwrap()
    };
    (0..sure.len()).map(one).max().unwrap()
}

#[test]
fn the_bounds_are_the_least_solutions_of_what_the_theory_page_says() {
    let (mut compared, mut none, mut several, mut long) = (0, 0, 0, 0);
    for seed in 0..800 {
        let mut rng = Rng::with_seed(10_000 + seed);
        let table = table(&mut rng, 30);
        let (loads, _) = tasks(&mut rng, 4, 60);
        for (index, found) in gaps::analyse(&loads, &table.slots, table.lap).into_iter().enumerate() {
            let (level, rest) = loads.split_at(index + 1);
            let own = &loads[index];
            let piece = level.iter().map(Load::longest).max().unwrap();
            let blocking = rest.iter().map(|load| load.longest() - 1).max().unwrap_or(0);
            assert_eq!(found.blocking, blocking);
            let (response, busy_period, starts) = match found.response {
                Ok((bound, Proof::Gaps { busy_period, starts, .. })) => (bound.as_ns(), busy_period.as_ns(), starts),
                Err(NoBound::Gaps { sure, lap, .. }) => {
                    // Not even the mean is enough.
                    let asked: f64 = level.iter().map(|load| load.cost as f64 / load.period as f64).sum();
                    assert!(asked * lap as f64 > sure as f64 - 1e-9, "seed {seed}");
                    none += 1;
                    continue;
                }
                // A utilization of exactly what the gaps give.
                Err(NoBound::GaveUp) => continue,
                other => panic!("seed {seed}: {other:?}"),
            };
            // Near a utilization of what the gaps give busy periods are endless.
            if busy_period > 300 {
                long += 1;
                continue;
            }
            let sure = sure(&table, piece);
            let solve = |least: u64, asked: &dyn Fn(u64) -> u64, more: u64| {
                (least..).find(|length| window(&sure, asked(*length)) <= length + more).unwrap()
            };
            let within = |length: u64| {
                blocking
                    + level.iter().map(|load| (length + load.jitter).div_ceil(load.period) * load.cost).sum::<u64>()
            };
            assert_eq!(busy_period, solve(1, &within, 0), "seed {seed}");
            let mut worst = 0;
            for (q, start) in (0..).zip(&starts) {
                let before = |start: u64| {
                    let others =
                        level[..index].iter().map(|load| ((start + load.jitter) / load.period + 1) * load.cost);
                    blocking + (q + 1) * own.cost - own.last() + others.sum::<u64>() + 1
                };
                assert_eq!(start.as_ns(), solve(0, &before, 1), "seed {seed}");
                worst = worst.max(own.jitter + start.as_ns() + own.last() - q * own.period);
            }
            assert_eq!(u64::try_from(starts.len()).unwrap(), (busy_period + own.jitter).div_ceil(own.period));
            assert_eq!(response, worst);
            compared += 1;
            several += u64::from(starts.len() > 1);
        }
    }
    println!("{compared} compared, {several} of several instances, {none} without a bound, {long} too long");
    assert!(compared > 300 && several > 50 && none > 200, "{compared} {several} {none} {long}");
}

fn ns(ns: u64) -> Duration {
    Duration::from_ns(ns)
}

/// Task `slow` of `docs/theory/time-triggered.md` in the gaps of slots at 0, 10 and 15, and `ask`, which goes before it.
#[test]
fn worked_example_of_the_gaps() {
    let (one, other) = (Load::whole(3, 100, 60, 0), Load::whole(4, 150, 90, 0));
    let found = gaps::analyse(&[one, other], &[(0, 4), (10, 13), (15, 18)], 20);
    let proofs: Vec<_> = found.iter().map(|found| found.response.clone().unwrap()).collect();
    let expected = |blocking, busy_period, start| Proof::Gaps {
        blocking: ns(blocking),
        busy_period: ns(busy_period),
        starts: vec![ns(start)],
    };
    assert_eq!(proofs[0], (ns(EXAMPLE[0][3]), expected(EXAMPLE[0][0], EXAMPLE[0][1], EXAMPLE[0][2])));
    assert_eq!(proofs[1], (ns(EXAMPLE[1][3]), expected(EXAMPLE[1][0], EXAMPLE[1][1], EXAMPLE[1][2])));
}

/// B, L, s and R of both tasks.
const EXAMPLE: [[u64; 4]; 2] = [[3, 38, 19, 22], [0, 58, 37, 41]];

/// A random lane with a table, and one to three tasks for its gaps.
fn random_system(rng: &mut Rng) -> System {
    let mut main = lane("main", Policy::TimeTriggered, rng.u64(0..=1), rng.u64(0..=2));
    main.preemption = if rng.bool() { Preemption::Segments } else { Preemption::None };
    let mut tasks = Vec::new();
    for _ in 0..rng.usize(1..=3) {
        let period = [40, 80, 160][rng.usize(0..3)];
        let mut one = task("slot", 0, Load::whole(rng.u64(1..=6), period, period, rng.u64(0..=3)));
        one.phase = ns(rng.u64(0..period));
        tasks.push(one);
    }
    for _ in 0..rng.usize(1..=3) {
        let (first, second) = (rng.u64(1..=4), rng.u64(1..=4));
        let period = rng.u64(60..=400);
        let one = task("gap", 0, Load::whole(first + second, period, 1_000, rng.u64(0..=5)));
        let segments = if main.preemption == Preemption::Segments { vec![ns(first), ns(second)] } else { Vec::new() };
        tasks.push(Task { submitted: true, segments, ..one });
    }
    system(vec![main], tasks)
}

#[derive(Default)]
struct Log(Vec<(u64, Kind)>);

impl Sink for Log {
    fn record(&mut self, at: Instant, kind: Kind) {
        self.0.push((at.as_ns(), kind));
    }
}

/// What a run saw: when each job of a slot began, by task and arrival; the longest responses; how many jobs ran in gaps.
#[derive(Default)]
struct Run {
    begins: BTreeMap<(u16, u64), u64>,
    longest: Vec<u64>,
    in_gaps: u64,
}

/// Drives the dispatcher as a vehicle does: its timer releases what has slots and is seen late, and threads submit the rest, with
/// the given chance, as near as permitted or later. All executions and delays are drawn by who and when, so they are the same in
/// a run without submissions.
fn run(desc: &'static SystemDesc, seed: u64, submits: bool) -> Run {
    let main = &desc.lanes[0];
    let late = main.lateness().unwrap().as_ns();
    let overhead = main.segment_overhead().unwrap().as_ns();
    let draw =
        |what: u64, when: u64, most: u64| Rng::with_seed(seed ^ what << 40 ^ when.wrapping_mul(977)).u64(0..=most);
    let mut state: State<8, 1, 64> = State::new(desc).unwrap();
    let mut rng = Rng::with_seed(seed);
    let mut log = Log::default();
    let mut arrivals: Vec<(u64, u64, u16)> = Vec::new();
    for (id, own) in (0u16..).zip(desc.tasks).filter(|(_, own)| submits && own.release == Release::Submitted) {
        let (mut arrival, mut last) = (rng.u64(0..=own.period.as_ns()), 0);
        while arrival < 4_000 {
            last = (arrival + rng.u64(0..=own.jitter.as_ns() + late)).max(last);
            arrivals.push((last, arrival, id));
            arrival += own.period.as_ns() + if rng.bool() { 0 } else { rng.u64(0..=own.period.as_ns()) };
        }
    }
    // What goes first is submitted first.
    arrivals.sort_unstable_by_key(|(seen, _, id)| {
        (std::cmp::Reverse(*seen), std::cmp::Reverse(desc.tasks[usize::from(*id)].priority.0))
    });
    let (mut now, mut wake, mut end) = (0, Some(0), None::<(u64, u64)>);
    while now < 5_000 {
        let next = [arrivals.last().map(|(seen, ..)| *seen), wake, end.map(|(_, end)| end)];
        let Some(next) = next.into_iter().flatten().min() else { break };
        now = next.max(now);
        let event = if arrivals.last().is_some_and(|(seen, ..)| *seen <= now) {
            let (_, arrival, task) = arrivals.pop().unwrap();
            Event::Submit { task: TaskId(task), arrival: Instant::from_ns(arrival) }
        } else if let Some((began, ended)) = end.take_if(|(_, end)| *end <= now) {
            Event::Completed { lane: LaneId(0), began: Instant::from_ns(began), ended: Instant::from_ns(ended) }
        } else {
            Event::Timer
        };
        let done = step(desc, &mut state, event, Instant::from_ns(now), &mut log).unwrap();
        if let Some(job) = done.start[0] {
            let own = &desc.tasks[job.task.index()];
            let length = own.segments.get(usize::from(job.segment)).unwrap_or(&own.wcet).as_ns();
            let who = u64::from(job.task.0) << 8 | u64::from(job.segment);
            let began = now + draw(who, job.arrival.as_ns(), overhead);
            let took = if draw(who, job.arrival.as_ns() + 1, 1) == 0 {
                length
            } else {
                1 + draw(who, job.arrival.as_ns() + 2, length - 1)
            };
            end = Some((began, began + took));
        }
        // A timer is seen late, but for what comes on its own.
        let due = done.wake_at.map(Instant::as_ns);
        wake = due.map(|due| due + draw(1 << 20, due, late));
    }
    let mut seen = Run { longest: vec![0; desc.tasks.len()], ..Run::default() };
    let mut arrived = BTreeMap::new();
    for (at, kind) in log.0 {
        match kind {
            Kind::Submitted { job, arrival, .. } => drop(arrived.insert(job.request, arrival.as_ns())),
            Kind::Decided { chosen, reason: Reason::InTable, .. } => {
                seen.begins.insert((chosen.task.0, arrived[&chosen.request]), at);
            }
            Kind::Decided { reason, .. } => {
                assert_eq!(reason, Reason::InGap);
                seen.in_gaps += 1;
            }
            Kind::Completed { job, response, .. } => {
                let longest = &mut seen.longest[job.task.index()];
                *longest = response.as_ns().max(*longest);
            }
            Kind::Rejected { .. } | Kind::Missed { .. } | Kind::Exceeded { .. } | Kind::Overran { .. } => {
                panic!("{kind:?} at {at}")
            }
            _ => {}
        }
    }
    seen
}

#[test]
fn submissions_keep_their_bounds_and_move_no_slot() {
    let (mut plans, mut jobs, mut near) = (0, 0, 0);
    for seed in 0..3_000 {
        let mut rng = Rng::with_seed(seed);
        let Some(desc) = plan(&random_system(&mut rng)) else { continue };
        plans += 1;
        let late = desc.lanes[0].lateness().unwrap().as_ns();
        for number in 0..4 {
            let with = run(desc, seed << 8 | number, true);
            jobs += with.in_gaps;
            for (own, longest) in desc.tasks.iter().zip(&with.longest) {
                assert!(*longest <= own.response_bound.as_ns(), "seed {seed}: {longest} of {own:?}");
                let is_proven = matches!(own.certificate, Certificate::Gaps { .. });
                assert_eq!(is_proven, own.release == Release::Submitted);
                near += u64::from(is_proven && longest * 10 >= own.response_bound.as_ns() * 9);
            }
            // Each job of a slot begins when the table says, at most so late as the timer.
            for ((task, arrival), begin) in &with.begins {
                let lap = desc.lanes[0].hyperperiod.as_ns();
                let of_task = desc.lanes[0].slots.iter().filter(|slot| slot.task.0 == *task);
                let after = of_task.map(|slot| (begin + lap - slot.at.as_ns()) % lap).min().unwrap();
                assert!(after <= late, "seed {seed}: the job of {task} that arrived at {arrival} began at {begin}");
            }
            let without = run(desc, seed << 8 | number, false);
            for (job, begin) in &without.begins {
                let other = with.begins.get(job).copied();
                assert!(
                    other.is_none_or(|other| other <= begin + late),
                    "seed {seed}: {job:?} began at {begin}, then {other:?}"
                );
            }
            assert!(with.begins.len() + 4 >= without.begins.len(), "seed {seed}");
        }
    }
    println!("{plans} plans, {jobs} segments in gaps, {near} responses of nine tenths of a bound");
    assert!(plans > 500 && jobs > 50_000 && near > 50, "{plans} {jobs} {near}");
}
