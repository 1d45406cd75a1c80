//! The analysis against slow searches that share nothing with it: equality on thousands of small random task sets.
//!
//! A failing set is printed; the seeds are fixed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::edf::demand;
use aegis_codegen::analysis::{Load, NoBound, fixed_priority};
use aegis_core::desc::Policy;
use aegis_core::trace::Kind;
use aegis_tests::oracle::{Order, critical_response, every_pattern, first_excess};
use aegis_tests::planned::unproven;
use aegis_tests::simulate::{Submission, Worst, arrivals, run};
use fastrand::Rng;

/// A multiple of all numbers up to 12, so that utilizations are compared exactly.
const UNIT: u64 = 27_720;

/// How large a random set may be.
struct Size {
    tasks: std::ops::RangeInclusive<u64>,
    period: u64,
    cost: u64,
}

/// Periods up to 12, up to 4 tasks.
const SMALL: Size = Size { tasks: 2..=4, period: 12, cost: 12 };
/// Small enough to visit every state.
const TINY: Size = Size { tasks: 2..=3, period: 5, cost: 3 };

/// Random loads; about half of the sets have jitter, deadlines lie between the cost and three periods.
fn loads(rng: &mut Rng, size: &Size) -> Vec<Load> {
    let jittery = rng.bool();
    let tasks = rng.u64(size.tasks.clone());
    let one = |rng: &mut Rng| {
        let period = rng.u64(1..=size.period);
        let cost = rng.u64(1..=(2 * period / tasks).clamp(1, size.cost));
        let deadline = rng.u64(cost..=3 * period);
        let jitter = if jittery { rng.u64(0..=period + period / 2) } else { 0 };
        Load::whole(cost, period, deadline, jitter)
    };
    (0..tasks).map(|_| one(rng)).collect()
}

/// Σ C/T in units of 1/[`UNIT`].
fn utilization(loads: &[Load]) -> u64 {
    loads.iter().map(|load| load.cost * UNIT / load.period).sum()
}

/// Whether a level's busy period may last for ever although its utilization is 1: only without jitter and blocking does
/// it end.
fn is_endless(loads: &[Load], own: usize) -> bool {
    let blocked = loads[own + 1..].iter().any(|load| load.cost > 1);
    utilization(&loads[..=own]) == UNIT && (blocked || loads[..=own].iter().any(|load| load.jitter > 0))
}

/// The loads with the EDF test's verdict, where it is decided by a finite busy period.
fn edf_verdict(loads: &[Load]) -> Option<Result<u64, NoBound>> {
    if is_endless(loads, loads.len() - 1) {
        return None;
    }
    let busy = fixed_priority::busy_period(0, loads);
    Some(busy.and_then(|busy| demand::test(loads, busy).map(|()| busy)))
}

#[test]
fn fixed_priority_bounds_are_the_worst_responses_of_the_critical_patterns() {
    let mut rng = Rng::with_seed(1);
    let (mut bounds, mut later_instances, mut full, mut overloaded) = (0, 0, 0, 0);
    for _ in 0..20_000 {
        let loads = loads(&mut rng, &SMALL);
        if (0..loads.len()).any(|own| is_endless(&loads, own)) {
            continue;
        }
        for (own, found) in fixed_priority::analyse(&loads).into_iter().enumerate() {
            let level = utilization(&loads[..=own]);
            if level > UNIT {
                assert_eq!(found.response, Err(NoBound::Overloaded), "task {own} of {loads:?}");
                overloaded += 1;
                continue;
            }
            let (bound, _) = found.response.unwrap_or_else(|why| panic!("{why}: task {own} of {loads:?}"));
            let worst = critical_response(&loads, own, 10_000_000);
            assert_eq!(Some(bound.as_ns()), worst, "task {own} of {loads:?}");
            bounds += 1;
            later_instances += usize::from(bound.as_ns() > first_instance(&loads, own));
            full += usize::from(level == UNIT);
        }
    }
    println!(
        "{bounds} bounds, {later_instances} by a later instance, {full} at utilization 1, {overloaded} overloaded"
    );
    // The sets reach what they are meant to reach.
    assert!(bounds > 5_000 && later_instances > 100 && full > 100 && overloaded > 1_000);
}

/// The response of the first instance only, which is no bound: the mistake that Davis et al. 2007 refuted.
fn first_instance(loads: &[Load], own: usize) -> u64 {
    let blocking = loads[own + 1..].iter().map(|load| load.cost - 1).max().unwrap_or(0);
    let mut start = blocking;
    loop {
        let interference = loads[..own].iter().map(|load| ((start + load.jitter) / load.period + 1) * load.cost);
        let next = blocking + interference.sum::<u64>();
        if next == start {
            return start + loads[own].cost + loads[own].jitter;
        }
        start = next;
    }
}

#[test]
fn fixed_priority_bounds_are_the_worst_responses_of_all_patterns_there_are() {
    let mut rng = Rng::with_seed(2);
    let (mut sets, mut states) = (0, 0);
    while sets < 600 {
        let loads = loads(&mut rng, &TINY);
        let last = loads.len() - 1;
        if utilization(&loads) > UNIT || is_endless(&loads, last) {
            continue;
        }
        let found = fixed_priority::analyse(&loads);
        let bounds: Vec<u64> = found.iter().map(|found| found.response.as_ref().unwrap().0.as_ns()).collect();
        let oldest = bounds.iter().max().unwrap() + 1;
        let Some(extremes) = every_pattern(&loads, Order::Position, 60_000, oldest) else { continue };
        assert_eq!(extremes.worst, bounds, "{loads:?}");
        sets += 1;
        states += extremes.states;
    }
    println!("{sets} sets, {states} states");
}

#[test]
fn edf_verdicts_are_those_of_the_definition() {
    let mut rng = Rng::with_seed(3);
    let (mut feasible, mut infeasible) = (0, 0);
    for _ in 0..30_000 {
        let loads = loads(&mut rng, &SMALL);
        let Some(verdict) = edf_verdict(&loads) else { continue };
        match verdict {
            Err(NoBound::Overloaded) => assert!(utilization(&loads) > UNIT, "{loads:?}"),
            Err(NoBound::Demand { at, needed }) => {
                assert!(needed > at && first_excess(&loads, at).is_some(), "{loads:?}");
                infeasible += 1;
            }
            Ok(busy) => {
                assert_eq!(first_excess(&loads, busy.min(3_000)), None, "{loads:?}");
                // Beyond the busy period the theory says that nothing new can be found.
                assert_eq!(first_excess(&loads, (busy + 200).min(3_000)), None, "{loads:?}");
                feasible += 1;
            }
            Err(other) => panic!("{other}: {loads:?}"),
        }
    }
    println!("{feasible} feasible, {infeasible} infeasible");
    assert!(feasible > 300 && infeasible > 1_000);
}

#[test]
fn an_infeasible_edf_set_misses_in_its_worst_pattern() {
    let mut rng = Rng::with_seed(4);
    let (mut missed, mut blocked) = (0, 0);
    while missed < 8_000 {
        let loads = loads(&mut rng, &SMALL);
        let Some(Err(why)) = edf_verdict(&loads) else { continue };
        let excess = utilization(&loads).saturating_sub(UNIT);
        if why == NoBound::Overloaded && excess < UNIT / 20 {
            // The first miss would lie too far away.
            continue;
        }
        let Some(at) = first_excess(&loads, 6_000) else { panic!("{why}, but by definition it holds: {loads:?}") };
        let (pattern, has_blocker) = worst_pattern(&loads, at);
        let observed = run(unproven(Policy::EarliestDeadlineFirst, &loads), &pattern, at + 500, &mut Worst);
        let misses = observed.records.iter().any(|(_, kind)| matches!(kind, Kind::Missed { .. }));
        assert!(misses, "{why}, at {at}, but nothing misses: {loads:?}, {pattern:?}");
        missed += 1;
        blocked += usize::from(has_blocker);
    }
    assert!(blocked > 500);
    println!("{missed} missed, {blocked} of them blocked");
}

/// The longest job that is not due by `at` starts a tick before everything that is due arrives, late by its jitter.
fn worst_pattern(loads: &[Load], at: u64) -> (Vec<Submission>, bool) {
    let base = loads.iter().map(|load| load.jitter).max().unwrap() + 1;
    let mut pattern = Vec::new();
    let is_due = |load: &Load| load.deadline <= at + load.jitter;
    let blocker = loads.iter().enumerate().filter(|(_, load)| load.deadline > at && !is_due(load));
    let blocker = blocker.max_by_key(|(_, load)| load.cost).filter(|(_, load)| load.cost > 1);
    for (task, load) in (0u16..).zip(loads) {
        let arrivals = (0..).map(|k| base - load.jitter + k * load.period);
        for arrival in arrivals.take_while(|arrival| arrival + load.deadline <= base + at) {
            pattern.push(Submission { seen: arrival.max(base), task, arrival });
        }
    }
    if let Some((task, _)) = blocker {
        pattern.push(Submission { seen: base - 1, task: u16::try_from(task).unwrap(), arrival: base - 1 });
    }
    pattern.sort_unstable();
    (pattern, blocker.is_some())
}

#[test]
fn a_feasible_edf_set_never_misses() {
    let mut rng = Rng::with_seed(5);
    let (mut sets, mut jobs) = (0, 0);
    while sets < 3_000 {
        let loads = loads(&mut rng, &SMALL);
        let Some(Ok(_)) = edf_verdict(&loads) else { continue };
        let system = unproven(Policy::EarliestDeadlineFirst, &loads);
        for eager in [false, true] {
            let submissions = arrivals(system, &mut rng, 400, eager);
            let observed = run(system, &submissions, 1_000, &mut Worst);
            assert_eq!(observed.faults(), [], "{loads:?}, {submissions:?}");
            jobs += observed.completed();
        }
        sets += 1;
    }
    println!("{sets} sets, {jobs} jobs");
}

#[test]
fn an_edf_verdict_is_that_of_all_patterns_there_are() {
    let mut rng = Rng::with_seed(6);
    let (mut feasible, mut infeasible) = (0, 0);
    while feasible < 400 || infeasible < 400 {
        let loads = loads(&mut rng, &TINY);
        if utilization(&loads) > UNIT {
            continue;
        }
        let Some(verdict) = edf_verdict(&loads) else { continue };
        let oldest = loads.iter().map(|load| load.deadline).max().unwrap() + 8;
        let Some(extremes) = every_pattern(&loads, Order::Deadline, 60_000, oldest) else { continue };
        let meets = extremes.worst.iter().zip(&loads).all(|(worst, load)| *worst <= load.deadline);
        assert_eq!(meets, first_excess(&loads, 500).is_none(), "{loads:?} responds after {:?}", extremes.worst);
        assert_eq!(meets, verdict.is_ok(), "{loads:?} responds after {:?}", extremes.worst);
        *if meets { &mut feasible } else { &mut infeasible } += 1;
    }
    println!("{feasible} feasible, {infeasible} infeasible");
}
