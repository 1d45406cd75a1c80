//! Whatever the records are, slices nest: read by this project's own reader of Chrome's form, for more runs than an engine is asked
//! about.

use super::lost::with_gaps;
use super::runs::any_run;
use super::{Format, exported};
use serde_json::Value;
use std::collections::BTreeMap;

/// The events of each thread, in the order of their times, and of equal times as they are written.
fn threads(trace: &[u8]) -> BTreeMap<u64, Vec<Value>> {
    let mut trace: Value = serde_json::from_slice(trace).unwrap();
    let mut all: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for event in trace["traceEvents"].as_array_mut().unwrap().drain(..) {
        if ["B", "E"].contains(&event["ph"].as_str().unwrap()) {
            all.entry(event["tid"].as_u64().unwrap()).or_default().push(event);
        }
    }
    for events in all.values_mut() {
        events.sort_by(|one, other| one["ts"].as_f64().unwrap().total_cmp(&other["ts"].as_f64().unwrap()));
    }
    all
}

#[test]
fn whatever_the_records_are_slices_nest() {
    let (mut slices, mut lost, mut deepest) = (0, 0, 0);
    for seed in 100..160 {
        let run = any_run(seed);
        let (run, missing) = if seed % 2 == 0 { (run, 0) } else { with_gaps(run, seed) };
        lost += missing;
        for events in threads(&exported(Format::Chrome, &run, &[]).0).values() {
            let mut open: Vec<&str> = Vec::new();
            for event in events {
                if event["ph"] == "E" {
                    assert!(open.pop().is_some(), "{}: nothing is open at {event}", run.name);
                    continue;
                }
                let category = event["cat"].as_str().unwrap();
                let around = open.last().copied();
                let expected = matches!(category, "wait" | "segment").then_some("job");
                assert_eq!(around, expected, "{}: around {event}", run.name);
                open.push(category);
                slices += 1;
                deepest = deepest.max(open.len());
            }
            assert!(open.is_empty(), "{}: {open:?} at the end", run.name);
        }
    }
    println!("{slices} slices, {lost} records lost");
    assert!(slices > 20_000 && lost > 10_000 && deepest == 2, "{slices} {lost} {deepest}");
}
