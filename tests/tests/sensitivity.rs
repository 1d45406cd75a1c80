//! Limits against trying every value: on small random systems of every policy with every preemption, stages and segments.
//!
//! `AEGIS_LONG=1` tries five times as many systems.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::sensitivity::{Limit, Sensitivity};
use aegis_codegen::analysis::{Analysis, Holds, Load, analyse, analyse_in_order};
use aegis_codegen::system::{Lane, Level, System, Task};
use aegis_core::desc::{Policy, Preemption};
use aegis_core::time::Duration;
use aegis_core::units::Priority;
use aegis_tests::planned::{lane, system, task};
use fastrand::Rng;
use std::collections::BTreeMap;

const POLICIES: [Policy; 3] = [Policy::RateMonotonic, Policy::DeadlineMonotonic, Policy::EarliestDeadlineFirst];
const PREEMPTIONS: [Preemption; 3] = [Preemption::None, Preemption::Segments, Preemption::Full];

fn ns(ns: u64) -> Duration {
    Duration::from_ns(ns)
}

fn random_lane(rng: &mut Rng) -> Lane {
    let (dispatch, wakeup) = if rng.bool() { (0, 0) } else { (rng.u64(0..=2), rng.u64(0..=3)) };
    let mut lane = lane("lane", POLICIES[rng.usize(0..3)], dispatch, wakeup);
    lane.preemption = PREEMPTIONS[rng.usize(0..3)];
    lane.launch_overhead = ns(rng.u64(0..=1));
    lane.thread_wait = ns(rng.u64(0..=1));
    lane
}

fn with_pieces(mut task: Task, preemption: Preemption, rng: &mut Rng) -> Task {
    let wcet = task.wcet.as_ns();
    match preemption {
        Preemption::Segments if wcet > 2 => {
            let first = rng.u64(1..wcet - 1);
            let second = rng.u64(1..wcet - first);
            task.segments = vec![ns(first), ns(second), ns(wcet - first - second)];
        }
        Preemption::Full if rng.bool() => task.region = ns(rng.u64(1..=wcet)),
        _ => {}
    }
    task.bcet = ns(rng.u64(0..=wcet));
    task
}

/// Up to three lanes, a third of the systems with a task of stages, a table now and then.
fn random_system(rng: &mut Rng) -> System {
    let mut lanes: Vec<Lane> = (0..rng.usize(1..=2)).map(|_| random_lane(rng)).collect();
    let mut tasks = Vec::new();
    for (on, lane) in lanes.iter().enumerate() {
        for index in 0..rng.usize(1..=3) {
            let period = rng.u64(10..=50);
            let load = Load::whole(
                rng.u64(1..=period / 4),
                period,
                rng.u64(period / 2..=period * 5 / 4),
                rng.u64(0..=period / 8),
            );
            tasks.push(with_pieces(task(&format!("{on}-{index}"), on, load), lane.preemption, rng));
        }
    }
    if rng.u8(0..3) == 0 {
        let (period, jitter) = (rng.u64(40..=70), rng.u64(0..=4));
        for stage in 0..rng.usize(2..=3) {
            let on = rng.usize(0..lanes.len());
            let load = Load::whole(rng.u64(1..=4), period, period, if stage == 0 { jitter } else { 0 });
            let mut one = with_pieces(task(&format!("staged.{stage}"), on, load), lanes[on].preemption, rng);
            one.after = (stage > 0).then(|| tasks.len() - 1);
            tasks.push(one);
        }
    }
    if rng.u8(0..5) == 0 {
        tasks.push(task("in-table", lanes.len(), Load::whole(3, 20, 20, 0)));
        lanes.push(lane("table", Policy::TimeTriggered, 0, 0));
    }
    system(lanes, tasks)
}

/// A whole lane.
const ALL: u128 = 1 << 64;

/// Whether every task is proven to hold.
fn accepted(system: &System, order: &[Priority]) -> bool {
    // More than a lane can do has no bound; to find that out anew takes long.
    let demand = |lane: usize| {
        let overhead = system.lanes[lane].segment_overhead().unwrap().as_ns();
        let of = |task: &Task| {
            let segments = task.segments.len().max(1) as u64;
            u128::from(task.wcet.as_ns() + segments * overhead) * ALL / u128::from(task.period.as_ns())
        };
        system.tasks.iter().filter(|task| task.lane == lane).map(of).sum::<u128>()
    };
    if (0..system.lanes.len()).any(|lane| demand(lane) > ALL) {
        return false;
    }
    let analysis = analyse_in_order(system, order);
    (0..system.tasks.len()).all(|task| holds(system, &analysis, task))
}

fn holds(system: &System, analysis: &Analysis, task: usize) -> bool {
    analysis.tasks[task].holds(system.tasks[task].deadline) == Holds::Proven
}

fn set_wcet(task: &mut Task, wcet: u64) {
    let before = task.wcet.as_ns();
    let scaled = |segment: &Duration| ns((segment.as_ns() * wcet).div_ceil(before));
    task.segments = task.segments.iter().map(scaled).collect();
    let sum: u64 = task.segments.iter().map(|segment| segment.as_ns()).sum();
    task.wcet = ns(wcet.max(sum));
    task.region = task.region.min(task.wcet);
}

fn set_longest(task: &mut Task, length: u64) {
    let longest = task.segments.iter().max().unwrap().as_ns();
    let place = task.segments.iter().rposition(|segment| segment.as_ns() == longest).unwrap();
    task.segments[place] = ns(length);
    task.wcet = ns(task.wcet.as_ns() - longest + length);
}

/// The stages of the task that `position` is one of.
fn stages(system: &System, position: usize) -> Vec<usize> {
    match system.tasks[position].name.strip_prefix("staged.") {
        Some(_) => (0..system.tasks.len()).filter(|at| system.tasks[*at].name.starts_with("staged.")).collect(),
        None => vec![position],
    }
}

#[derive(Default)]
struct Counts {
    values: usize,
    named: BTreeMap<&'static str, usize>,
    unnamed: usize,
}

/// Compares a limit with every value of its range, in the order in which they get harder.
fn compare(
    counts: &mut Counts,
    what: &str,
    (limit, first_miss): Limit,
    values: &mut dyn Iterator<Item = u64>,
    kind: &'static str,
    (system, order): (&System, &[Priority]),
    change: &dyn Fn(&mut System, u64),
) {
    let mut last = None;
    let mut beyond = None;
    for value in values {
        counts.values += 1;
        let mut changed = system.clone();
        change(&mut changed, value);
        if accepted(&changed, order) {
            assert!(beyond.is_none(), "{what}: {value} is accepted beyond a refused value\n{system:#?}");
            last = Some(value);
        } else if beyond.is_none() {
            beyond = Some(changed);
        }
    }
    assert_eq!(Some(limit), last, "{what}\n{system:#?}");
    match (first_miss, beyond) {
        (Some(miss), Some(changed)) => {
            let analysis = analyse_in_order(&changed, order);
            assert!(
                !holds(&changed, &analysis, miss),
                "{what}: {} does not miss\n{changed:#?}",
                changed.tasks[miss].name
            );
            *counts.named.entry(kind).or_default() += 1;
        }
        (Some(miss), None) => panic!("{what}: {miss} misses where nothing does"),
        (None, _) => counts.unnamed += 1,
    }
}

fn limits_of(counts: &mut Counts, system: &System, order: &[Priority], found: &Sensitivity<'_>, position: usize) {
    let task = &system.tasks[position];
    let what = |kind: &str| format!("{kind} of {}", task.name);
    let Some(limits) = found.limits(position) else {
        assert_eq!(system.lanes[task.lane].policy, Policy::TimeTriggered);
        *counts.named.entry("table").or_default() += 1;
        return;
    };
    let deadline = task.deadline.as_ns();
    let on = (system, order);
    let wcet = |system: &mut System, wcet: u64| set_wcet(&mut system.tasks[position], wcet);
    compare(counts, &what("WCET"), limits.wcet, &mut (task.wcet.as_ns()..=deadline + 2), "wcet", on, &wcet);
    if let Some(segment) = limits.segment {
        let longest = |system: &mut System, length: u64| set_longest(&mut system.tasks[position], length);
        let from = task.segments.iter().max().unwrap().as_ns();
        compare(counts, &what("segment"), segment, &mut (from..=deadline + 2), "segment", on, &longest);
    } else {
        assert!(task.segments.is_empty());
    }
    let all = stages(system, position);
    let period = |system: &mut System, period: u64| all.iter().for_each(|at| system.tasks[*at].period = ns(period));
    let mut periods = (1..=task.period.as_ns()).rev();
    compare(counts, &what("period"), limits.period, &mut periods, "period", on, &period);
    let shorter = |system: &mut System, to: u64| all.iter().for_each(|at| system.tasks[*at].deadline = ns(to));
    compare(counts, &what("deadline"), limits.deadline, &mut (1..=deadline).rev(), "deadline", on, &shorter);
}

/// The largest factor by trying each at which a WCET changes.
fn breakdown(system: &System, order: &[Priority], lane: usize) -> u64 {
    let tasks = || system.tasks.iter().filter(|task| task.lane == lane);
    let mut factors: Vec<u64> = tasks()
        .flat_map(|task| {
            let wcet = task.wcet.as_ns();
            (wcet..=task.deadline.as_ns()).map(move |k| k * 1_000_000 / wcet + 1)
        })
        .collect();
    factors.sort_unstable();
    let mut first_refused = None;
    for factor in factors {
        let mut changed = system.clone();
        for task in changed.tasks.iter_mut().filter(|task| task.lane == lane) {
            let wcet = (task.wcet.as_ns() * factor).div_ceil(1_000_000);
            set_wcet(task, wcet);
        }
        match (accepted(&changed, order), first_refused) {
            (true, Some(refused)) => panic!("{factor} is accepted, {refused} is not\n{system:#?}"),
            (false, None) => first_refused = Some(factor),
            _ => {}
        }
    }
    first_refused.unwrap() - 1
}

fn lanes_of(counts: &mut Counts, system: &System, order: &[Priority], found: &Sensitivity<'_>, lane: usize) {
    if system.lanes[lane].policy == Policy::TimeTriggered {
        assert_eq!((found.breakdown_ppm(lane), found.largest_overhead(lane)), (None, None));
        return;
    }
    assert_eq!(found.breakdown_ppm(lane), Some(breakdown(system, order, lane)), "lane {lane}\n{system:#?}");
    let overhead = system.lanes[lane].dispatch_overhead.as_ns();
    let shortest =
        system.tasks.iter().filter(|task| task.lane == lane).map(|task| task.deadline.as_ns()).min().unwrap();
    let mut with = system.clone();
    let holds: Vec<bool> = (overhead..=shortest + 2)
        .map(|other| {
            // The other lanes wait for it twice.
            for (position, (desc, given)) in with.lanes.iter_mut().zip(&system.lanes).enumerate() {
                let waits = (given.thread_wait.as_ns() + 2 * other).saturating_sub(2 * overhead);
                if position == lane { desc.dispatch_overhead = ns(other) } else { desc.thread_wait = ns(waits) }
            }
            accepted(&with, order)
        })
        .collect();
    let most = holds.iter().take_while(|holds| **holds).count();
    assert!(holds[most..].iter().all(|holds| !holds), "accepted beyond a refused overhead\n{system:#?}");
    assert_eq!(found.largest_overhead(lane), Some(overhead + most as u64 - 1), "lane {lane}\n{system:#?}");
    *counts.named.entry("overhead").or_default() += 1;
}

#[test]
fn limits_are_those_of_trying_every_value() {
    let mut rng = Rng::with_seed(41);
    let mut counts = Counts::default();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let (mut systems, mut staged) = (0, 0);
    let most = if std::env::var_os("AEGIS_LONG").is_some() { 80 } else { 16 };
    while systems < most {
        let system = random_system(&mut rng);
        let analysis = analyse(&system);
        let Some(found) = Sensitivity::new(&system, &analysis) else { continue };
        systems += 1;
        staged += usize::from(system.tasks.iter().any(|task| task.after.is_some()));
        let order: Vec<Priority> = analysis.tasks.iter().map(|found| found.priority).collect();
        for position in 0..system.tasks.len() {
            limits_of(&mut counts, &system, &order, &found, position);
        }
        for (lane, desc) in system.lanes.iter().enumerate() {
            *kinds.entry(format!("{} {}", desc.policy.name(), desc.preemption.name())).or_default() += 1;
            lanes_of(&mut counts, &system, &order, &found, lane);
        }
    }
    println!("{staged} of {systems} systems with stages, {} values, {kinds:?}", counts.values);
    println!("{:?} named, {} not", counts.named, counts.unnamed);
    assert!(staged > 0 && kinds.len() >= 5, "{kinds:?}");
    for kind in ["wcet", "segment", "period", "deadline", "overhead"] {
        assert!(counts.named.get(kind).is_some_and(|count| *count >= 2), "{kind}: {counts:?}", counts = counts.named);
    }
}

#[test]
fn an_overhead_ends_where_an_event_could_wait_for_two_changes_of_level() {
    let second = 1_000_000_000;
    let task = |name, lane| task(name, lane, Load::whole(second, 10 * second, 10 * second, 0));
    let lanes = vec![lane("one", Policy::RateMonotonic, 0, 0), lane("other", Policy::RateMonotonic, 0, 0)];
    let mut system = system(lanes, vec![task("look", 0), task("log", 1)]);
    let largest = |system: &System| Sensitivity::new(system, &analyse(system)).unwrap().largest_overhead(1);
    // Alone, the task of the lane has 9 s to spare, and the other one's waits for the lane twice, at its release and its segment,
    // and for two steps each time.
    let without = largest(&system);
    assert!(without > Some(2 * second) && without < Some(4 * second), "{without:?}");
    // With levels an event of the other lane waits for three steps of this one, and for less than a second.
    system.levels = vec![Level { name: "high".to_owned(), shed: vec![], reject: vec![1], compact: false, span: 0..0 }];
    assert_eq!(largest(&system), Some(second / 3));
}

#[test]
fn what_is_not_proven_has_no_limits() {
    let overloaded =
        system(vec![lane("main", Policy::RateMonotonic, 0, 0)], vec![task("only", 0, Load::whole(9, 10, 8, 0))]);
    assert!(Sensitivity::new(&overloaded, &analyse(&overloaded)).is_none());
}
