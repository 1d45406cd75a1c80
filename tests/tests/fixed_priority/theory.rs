//! The worked examples of `docs/theory/`, recomputed; those of optimal priorities and self-suspension stand in their files.

use aegis_codegen::analysis::{Load, Pieces, Proof, fixed_priority};

/// B, L and every response of the task at `own`.
fn instances(loads: &[Load], own: usize) -> (u64, u64, Vec<u64>) {
    let load = &loads[own];
    let (_, proof) = fixed_priority::analyse(loads)[own].response.clone().unwrap();
    let Proof::FixedPriority { blocking, busy_period, starts } = proof else { panic!("no proof of fixed priority") };
    let responses = (0u64..).zip(starts).map(|(q, start)| start.as_ns() + load.last() - q * load.period);
    (blocking.as_ns(), busy_period.as_ns(), responses.collect())
}

#[test]
fn lehoczkys_b_responds_after_118_in_its_fifth_instance() {
    let loads = [Load::preemptive(26, 70, 70, 0), Load::preemptive(62, 100, 120, 0)];
    assert_eq!(instances(&loads, 1), (0, 694, vec![114, 102, 116, 104, 118, 106, 94]));
}

#[test]
fn brils_b_responds_after_7000_in_its_fifth_instance() {
    let cut = Pieces::Segments { last: 3_000, longest: 3_000 };
    let loads = [Load::whole(2_000, 5_000, 5_000, 0), Load { pieces: cut, ..Load::whole(4_200, 7_000, 7_000, 0) }];
    assert_eq!(instances(&loads, 0), (2_999, 4_999, vec![4_999]));
    assert_eq!(instances(&loads, 1), (0, 35_000, vec![6_200, 5_400, 6_600, 5_800, 7_000]));
}
