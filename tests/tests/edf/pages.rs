//! The worked examples of the theory pages.

use aegis_codegen::analysis::fixed_priority::busy_period;
use aegis_codegen::analysis::{Load, NoBound, Proof, edf};

#[test]
fn edf_response_times() {
    let loads = [Load::whole(2, 6, 5, 0), Load::whole(5, 20, 18, 0)];
    assert_eq!(busy_period(0, &loads), Ok(9));
    let lane = edf::analyse(&loads);
    assert_eq!(lane.points, [(5, 6), (11, 6), (17, 6), (18, 9), (23, 9)]);
    let found = lane.found.iter().map(|found| match &found.response {
        Ok((bound, Proof::Edf { starts })) => (bound.as_ns(), starts.clone()),
        other => panic!("{other:?}"),
    });
    assert_eq!(found.collect::<Vec<_>>(), [(6, vec![]), (7, vec![(18, 2)])]);
    let x = edf::witness(&loads, 0).unwrap();
    assert_eq!((x.blocking, x.blocked_by, x.arrival - x.begin, x.finish - x.begin), (4, Some(1), 0, 6));
    assert_eq!(edf::demand::test(&loads, 9), Err(NoBound::Demand { at: 5, needed: 6 }));
}

#[test]
fn preemptive_edf() {
    let x = Load::preemptive(2, 7, 6, 1);
    let loads = [x, Load::preemptive(6, 20, 16, 0)];
    assert_eq!(busy_period(0, &loads), Ok(10));
    assert_eq!((edf::demand::test(&loads, 10), edf::qpa::test(&loads, 10)), (Ok(()), Ok(())));
    let longer = [x, Load::preemptive(12, 20, 14, 0)];
    assert_eq!(busy_period(0, &longer), Ok(18));
    let fails = Err(NoBound::Demand { at: 14, needed: 16 });
    assert_eq!((edf::demand::test(&longer, 18), edf::qpa::test(&longer, 18)), (fails, fails));
}
