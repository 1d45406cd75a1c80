//! Inputs at the edge of what numbers hold: an answer or a clear reason, never a wrap and never a search without an end.

use super::bounds::responses;
use aegis_codegen::analysis::fixed_priority::busy_period;
use aegis_codegen::analysis::{Load, NoBound, edf};
use fastrand::Rng;
use std::time::Instant;

fn reason(loads: &[Load]) -> NoBound {
    let found = edf::analyse(loads);
    assert!(found.points.is_empty());
    let mut reasons = found.found.iter().map(|found| *found.response.as_ref().unwrap_err());
    let first = reasons.next().unwrap();
    assert!(reasons.all(|reason| reason == first));
    first
}

#[test]
fn what_has_no_bound_says_why() {
    assert_eq!(reason(&[Load::whole(3, 4, 4, 0), Load::preemptive(2, 4, 4, 0)]), NoBound::Overloaded);
    // Seen up to 6 after its arrival, due after 5.
    assert!(matches!(reason(&[Load::whole(1, 10, 5, 6), Load::whole(1, 10, 10, 0)]), NoBound::Demand { .. }));
    assert_eq!(reason(&[Load::whole(1, u64::MAX, u64::MAX, 0), Load::whole(1, 10, 10, 0)]), NoBound::Overflow);
    assert_eq!(reason(&[Load::whole(u64::MAX - 1, u64::MAX, u64::MAX, u64::MAX / 2)]), NoBound::Overflow);
    // A deadline so far away that the other's jobs until then cannot be counted.
    assert_eq!(reason(&[Load::whole(1, 1 << 60, 1 << 60, 0), Load::whole(1, 2, 2, 0)]), NoBound::GaveUp);
    assert!(edf::analyse(&[]).found.is_empty());
}

#[test]
fn a_full_lane_has_bounds_where_its_busy_period_ends() {
    let full = [Load::whole(1, 2, 2, 0), Load::whole(1, 4, 4, 0), Load::whole(1, 4, 4, 0)];
    assert_eq!(responses(&full), [2, 4, 4]);
    let endless = [Load::whole(1, 2, 2, 1), Load::whole(1, 2, 2, 0)];
    let begin = Instant::now();
    assert_eq!(reason(&endless), NoBound::GaveUp);
    assert!(begin.elapsed().as_secs() < 10);
}

#[test]
fn a_jitter_above_the_period_lets_jobs_come_together() {
    // Arrivals at −25, −15 and −5 are all seen at 0.
    assert_eq!(responses(&[Load::whole(2, 10, 40, 25)]), [27]);
    assert_eq!(responses(&[Load::preemptive(2, 10, 40, 25), Load::preemptive(1, 100, 100, 0)]), [27, 9]);
}

#[test]
fn ten_thousand_tasks_have_an_answer_soon() {
    let mut rng = Rng::with_seed(40);
    let load = |_| {
        let period = 1_000_000 * rng.u64(10..=1_000);
        Load::whole(period * 85 / 1_000_000, period, period, 0)
    };
    let loads: Vec<Load> = (0..10_000).map(load).collect();
    let begin = Instant::now();
    let found = edf::analyse(&loads);
    let meets = |(found, load): (&aegis_codegen::analysis::Found, &Load)| {
        found.response.as_ref().is_ok_and(|(bound, _)| bound.as_ns() <= load.deadline)
    };
    let all = found.found.iter().zip(&loads).all(meets);
    assert_eq!(all, busy_period(0, &loads).and_then(|busy| edf::qpa::test(&loads, busy)).is_ok());
    println!("{:?}, {} points", begin.elapsed(), found.points.len());
    assert!(found.points.len() > 1_000 && begin.elapsed().as_secs() < 30);
}
