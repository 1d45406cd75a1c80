//! The bounds are those of the equations, of the critical patterns, and of all patterns there are: equality on random sets.

use crate::oracle::{
    KINDS, Kind, Size, Solve, UNIT, blocking, critical_response, every_pattern, is_endless, lengths, loads, random,
    textbook, utilization,
};
use aegis_codegen::analysis::explain::terms;
use aegis_codegen::analysis::{Found, Load, NoBound, Pieces, Proof, fixed_priority};
use fastrand::Rng;

/// L, every s(q) and R as they were found.
fn parts(found: &Found) -> (u64, Vec<u64>, u64) {
    match &found.response {
        Ok((bound, Proof::FixedPriority { busy_period, starts, .. })) => {
            (busy_period.as_ns(), starts.iter().map(|start| start.as_ns()).collect(), bound.as_ns())
        }
        other => panic!("no proof of fixed priority: {other:?}"),
    }
}

#[test]
fn bounds_are_those_of_the_equations_and_of_the_critical_pattern() {
    let size = Size { tasks: 2..=4, period: 12, cost: 12 };
    let mut rng = Rng::with_seed(21);
    let (mut bounds, mut later, mut full, mut overloaded, mut mixed) = (0, 0, 0, 0, 0);
    for _ in 0..20_000 {
        let cuts = random(&mut rng, &size);
        let loads = loads(&cuts);
        if (0..loads.len()).any(|own| is_endless(&loads, own)) {
            continue;
        }
        for (own, found) in fixed_priority::analyse(&loads).iter().enumerate() {
            assert_eq!(found.blocking, blocking(&loads, own), "task {own} of {loads:?}");
            let level = utilization(&loads[..=own]);
            if level > UNIT {
                assert_eq!(found.response, Err(NoBound::Overloaded), "task {own} of {loads:?}");
                overloaded += 1;
                continue;
            }
            let expected = textbook(&loads, own, Solve::EachTick);
            assert_eq!(parts(found), expected, "task {own} of {loads:?}");
            assert_eq!(Some(expected.2), critical_response(&cuts, own, 1_000_000), "task {own} of {cuts:?}");
            bounds += 1;
            let first = expected.1[0] + lengths(&loads[own]).0 + loads[own].jitter;
            later += usize::from(expected.2 > first);
            full += usize::from(level == UNIT);
            mixed += usize::from(loads.iter().any(|load| load.pieces != loads[0].pieces));
        }
    }
    println!(
        "{bounds} bounds, {later} by a later instance, {full} at utilization 1, {overloaded} overloaded, {mixed} mixed"
    );
    assert!(bounds > 5_000 && later > 100 && full > 100 && overloaded > 1_000 && mixed > 1_000);
}

#[test]
fn bounds_are_the_worst_responses_of_all_patterns_there_are() {
    let size = Size { tasks: 2..=3, period: 5, cost: 3 };
    let mut rng = Rng::with_seed(22);
    let (mut sets, mut states, mut kinds) = (0, 0, [0; 4]);
    while sets < 600 {
        let cuts = random(&mut rng, &size);
        let loads = loads(&cuts);
        if utilization(&loads) > UNIT || is_endless(&loads, loads.len() - 1) {
            continue;
        }
        let bounds: Vec<u64> = fixed_priority::analyse(&loads).iter().map(|found| parts(found).2).collect();
        let oldest = bounds.iter().max().unwrap() + 1;
        let Some(extremes) = every_pattern(&cuts, 40_000, oldest) else { continue };
        assert_eq!(extremes.worst, bounds, "{cuts:?}");
        sets += 1;
        states += extremes.states;
        for load in loads.iter().filter(|load| load.cost > 1) {
            kinds[KINDS.iter().position(|kind| *kind == kind_of(load)).unwrap()] += 1;
        }
    }
    println!("{sets} sets, {states} states, {kinds:?} tasks of each kind");
    assert!(kinds.iter().all(|count| *count > 50));
}

fn kind_of(load: &Load) -> Kind {
    match load.pieces {
        Pieces::Whole => Kind::Whole,
        Pieces::Segments { .. } => Kind::Segments,
        Pieces::Floating { longest: 1 } => Kind::Preemptive,
        Pieces::Floating { .. } => Kind::Floating,
    }
}

/// Random loads as a machine has them: up to `most` tasks, periods from 1 ms to 1 s, utilization up to 0.98, in
/// deadline-monotonic or in random order.
fn realistic(rng: &mut Rng, most: usize) -> Vec<Load> {
    let count = rng.usize(1..=most);
    let weights: Vec<f64> = (0..count).map(|_| -(1.0 - rng.f64()).ln()).collect();
    let total: f64 = weights.iter().sum();
    let utilization = 0.3 + 0.68 * rng.f64();
    let jitter = rng.u64(0..3);
    let kind = rng.usize(0..5);
    let mut loads: Vec<Load> =
        weights.iter().map(|weight| one(rng, weight / total * utilization, jitter, kind)).collect();
    if rng.u8(0..4) > 0 {
        loads.sort_by_key(|load| load.deadline);
    }
    loads
}

fn one(rng: &mut Rng, utilization: f64, jitter: u64, kind: usize) -> Load {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "random numbers of any kind do")]
    let period = (1e6 * 1e3f64.powf(rng.f64())) as u64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "as above")]
    let cost = ((period as f64 * utilization) as u64).max(1);
    let jitter = if jitter > 0 { rng.u64(0..=period * jitter) } else { 0 };
    let longest = rng.u64(1..=cost);
    let kind = if kind == 4 { rng.usize(0..4) } else { kind };
    let pieces = match KINDS[kind] {
        Kind::Whole => Pieces::Whole,
        Kind::Segments => Pieces::Segments { last: rng.u64(1..=longest), longest },
        Kind::Floating => Pieces::Floating { longest },
        Kind::Preemptive => Pieces::Floating { longest: 1 },
    };
    Load { pieces, ..Load::whole(cost, period, rng.u64(period / 2..=2 * period).max(cost), jitter) }
}

#[test]
fn the_searches_that_go_on_find_what_searches_from_the_start_find() {
    let mut rng = Rng::with_seed(23);
    let (mut bounds, mut instances) = (0, 0);
    for round in 0..400 {
        let loads = realistic(&mut rng, if round % 20 == 0 { 200 } else { 30 });
        for (own, found) in fixed_priority::analyse(&loads).iter().enumerate() {
            assert_eq!(parts(found), textbook(&loads, own, Solve::Iterate), "task {own} of {loads:?}");
            bounds += 1;
            instances += parts(found).1.len();
        }
    }
    println!("{bounds} bounds, {instances} instances");
    assert!(bounds > 5_000 && instances > 2 * bounds);
}

#[test]
fn the_terms_of_a_bound_sum_to_it() {
    let mut rng = Rng::with_seed(24);
    for _ in 0..200 {
        let loads = realistic(&mut rng, 20);
        for (own, found) in fixed_priority::analyse(&loads).iter().enumerate() {
            let (bound, proof) = found.response.clone().unwrap();
            let terms = terms(&loads, own, &proof).unwrap();
            let interference: u64 = terms.interference.iter().map(|one| one.cost).sum();
            let sum = terms.jitter + terms.blocking + terms.earlier + interference + terms.own - terms.offset;
            assert_eq!((sum, terms.response), (bound.as_ns(), bound.as_ns()), "task {own} of {loads:?}");
            assert_eq!(terms.own, loads[own].cost);
        }
    }
}
