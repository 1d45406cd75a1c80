//! The worked examples of `docs/theory/`, recomputed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aegis_codegen::analysis::{Load, NoBound, Proof, demand, fixed_priority};
use aegis_core::Duration;

fn load(cost: u64, period: u64, deadline: u64) -> Load {
    Load::whole(cost, period, deadline, 0)
}

#[test]
fn fixed_priority_c_responds_after_3500_in_its_second_instance() {
    let found =
        fixed_priority::analyse(&[load(1_000, 2_500, 2_500), load(1_000, 3_500, 3_250), load(1_000, 3_500, 3_250)]);
    let (bound, proof) = found[2].response.clone().unwrap();
    assert_eq!(bound.as_ns(), 3_500);
    let starts = [2_000, 6_000].map(Duration::from_ns).to_vec();
    let (blocking, busy_period) = (Duration::ZERO, Duration::from_ns(7_000));
    assert_eq!(proof, Proof::FixedPriority { blocking, busy_period, starts });
}

#[test]
fn edf_x_can_miss_behind_a_y_of_4_and_not_behind_one_of_3() {
    let (x, y, shorter) = (load(2, 5, 4), load(4, 20, 20), load(3, 20, 20));
    let busy = |loads: &[Load]| fixed_priority::busy_period(0, loads).unwrap();
    assert_eq!(demand::test(&[x, y], busy(&[x, y])), Err(NoBound::Demand { at: 4, needed: 5 }));
    assert_eq!(demand::test(&[x, shorter], busy(&[x, shorter])), Ok(()));
}
