//! Bounds and verdicts against slow searches.

use super::oracle::{MEDIUM, SMALL, TINY, UNIT, every_pattern, loads, random_bounded, textbook, utilization};
use aegis_codegen::analysis::fixed_priority::busy_period;
use aegis_codegen::analysis::{Load, edf};
use fastrand::Rng;

pub(crate) fn responses(loads: &[Load]) -> Vec<u64> {
    let found = edf::analyse(loads).found.into_iter();
    found.map(|found| found.response.unwrap_or_else(|why| panic!("{why}: {loads:?}")).0.as_ns()).collect()
}

#[test]
fn bounds_are_those_of_the_equations_at_every_arrival() {
    let mut rng = Rng::with_seed(1);
    let (mut sets, mut full, mut missing) = (0, 0, 0);
    while sets < 10_000 {
        let size = if rng.u8(0..100) == 0 { MEDIUM } else { SMALL };
        let loads = loads(&random_bounded(&mut rng, &size, |_| true));
        let Some(expected) = textbook(&loads, 2_000) else { continue };
        let bounds = responses(&loads);
        assert_eq!(bounds, expected, "{loads:?}");
        let meets = bounds.iter().zip(&loads).all(|(bound, load)| *bound <= load.deadline);
        let busy = busy_period(0, &loads).unwrap();
        let demand = edf::demand::test(&loads, busy);
        assert_eq!(demand.is_ok(), meets, "{demand:?}, {bounds:?}: {loads:?}");
        let qpa = edf::qpa::test(&loads, busy);
        assert_eq!(qpa.is_ok(), meets, "{qpa:?}, {bounds:?}: {loads:?}");
        sets += 1;
        full += usize::from(utilization(&loads) == UNIT);
        missing += usize::from(!meets);
    }
    println!("{sets} sets, {full} at utilization 1, {missing} miss a deadline");
    assert!(full > 300 && missing > 2_000 && sets - missing > 3_000);
}

/// `AEGIS_LONG=1` looks at 6,000 sets instead.
#[test]
fn bounds_are_the_worst_responses_of_all_patterns_there_are() {
    let mut rng = Rng::with_seed(2);
    let (mut sets, mut states, mut several, mut given_up) = (0, 0, 0, 0);
    let enough = if std::env::var_os("AEGIS_LONG").is_some() { 6_000 } else { 120 };
    while sets < enough {
        let cuts = random_bounded(&mut rng, &TINY, |_| true);
        let loads = loads(&cuts);
        let bounds = responses(&loads);
        let oldest = bounds.iter().max().unwrap() + 1;
        let Some(extremes) = every_pattern(&cuts, rng.bool(), 60_000, oldest) else {
            given_up += 1;
            continue;
        };
        assert_eq!(extremes.worst, bounds, "{cuts:?}");
        sets += 1;
        states += extremes.states;
        several += usize::from(cuts.iter().any(|cut| cut.pieces.len() > 1));
    }
    println!("{sets} sets, {states} states, {several} with segments, {given_up} too large");
}
