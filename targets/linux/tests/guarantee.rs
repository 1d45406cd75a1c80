//! A guarantee that falls while the loop runs: recorded once, in order, and the schedule goes on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions only, not their helpers")]

mod common;

use aegis_core::trace::{Kind, VoidReason};
use common::{Act, Scenario, drive_whole, fixture};

#[test]
fn a_guarantee_that_falls_is_recorded_once_for_each_reason_and_jobs_go_on() {
    let system = fixture::system(&[(10, 1)]);
    let scenario = Scenario { for_ms: Some(600), ..Scenario::of(Act::Spin(300)) };
    let mut valid = Vec::new();
    let ran = drive_whole::<1>(system, scenario, |_, _, _, (_, _, guarantee)| {
        valid.push(guarantee.is_valid());
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(guarantee.void(VoidReason::TooHot), "said for the first time");
        valid.push(guarantee.is_valid());
        assert!(!guarantee.void(VoidReason::TooHot) && guarantee.void(VoidReason::OtherClocks));
    });
    assert_eq!((ran.report.broken, ran.report.drained, valid), (None, true, vec![true, false]));
    let voids: Vec<_> = ran.records.iter().filter(|record| matches!(record.kind, Kind::GuaranteeVoid { .. })).collect();
    let mut reasons: Vec<_> = voids.iter().map(|record| record.kind).collect();
    reasons.sort_by_key(|kind| matches!(kind, Kind::GuaranteeVoid { reason: VoidReason::TooHot }));
    let expected = [VoidReason::OtherClocks, VoidReason::TooHot].map(|reason| Kind::GuaranteeVoid { reason });
    assert_eq!(reasons, expected);
    assert!(ran.records.is_sorted_by_key(|record| record.sequence), "{:?}", ran.records);
    let last = ran.records.iter().rposition(|record| matches!(record.kind, Kind::Completed { .. })).unwrap();
    let first = ran.records.iter().position(|record| matches!(record.kind, Kind::GuaranteeVoid { .. })).unwrap();
    assert!(first < last, "jobs complete after it fell");
}
