//! WCETs from the tails of profiles.

use crate::{FACE, MANIFEST, checked};
use aegis_codegen::report::table;

/// A task's head that asks for a WCET from a tail.
pub(crate) const FROM_TAIL: &str = "[task.see]\nwcet-from = \"tail\"";

/// The longest execution, and the tail behind it: bounds from 10^-3 to 10^-12.
pub(crate) const TAIL: &str = r#"max-ns = 5200000

[segment.tail]
accepted = true
observations = 500
threshold-ns = 4850000
exceedances = 70
extremal-index-ppm = 950000
peaks = 66
bounds-ns = [5150000, 5300000, 5400000, 5500000, 5600000, 5700000, 5800000, 5900000, 6000000, 6100000]

[segment.tail.fit]
shape-ppm = -20000
scale-ns = 80000
anderson-darling-ppm = 310000
p-value-ppm = 640000"#;

/// The longest execution, and a tail that bounds nothing.
pub(crate) const REFUSED_TAIL: &str = r#"max-ns = 5200000

[segment.tail]
accepted = false
why = "the tail is too heavy: its shape is 0.612, bounds are given below 0.5"
observations = 500
threshold-ns = 4850000
exceedances = 70
extremal-index-ppm = 950000
peaks = 66"#;

#[test]
fn a_wcet_from_a_tail_is_its_bound_without_margin_and_never_below_what_was_seen() {
    let wcet = |keys: &'static str| {
        let task = format!("[task.see]\n{keys}").leak();
        let (result, shown) = checked(&[(FACE, "max-ns = 5200000", Some(TAIL)), (MANIFEST, "[task.see]", Some(task))]);
        let checked = result.unwrap();
        assert!(checked.passes() && checked.findings.is_empty(), "{shown}");
        let wcet = checked.resolved.as_ref().unwrap().system.tasks[0].wcet.as_ns();
        (wcet, checked)
    };
    // 100 us of hooks in each.
    let (by_maximum, checked) = wcet("");
    assert_eq!(by_maximum, 6_600_000);
    assert!(!table::render(&checked).contains("WCET of"), "told only where a tail is used");
    let (by_tail, checked) = wcet("wcet-from = \"tail\"");
    assert_eq!(by_tail, 5_900_000, "at 1e-9, where nothing else is said");
    let shown = table::render(&checked);
    assert!(
        shown.contains("WCET of see: 5.8 ms, by the tail of its profile at 1e-9 an execution; the longest"),
        "{shown}"
    );
    assert!(shown.contains("observation 5.2 ms times 1.25 would be 6.5 ms"), "{shown}");
    let json = aegis_codegen::report::json::render(&checked, "system.toml", "", true, None).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["wcets"][0]["tail_ns"], 5_800_000);
    assert_eq!((&json["wcets"][0]["from"], &json["wcets"][1]["from"]), (&"tail".into(), &"max".into()));
    assert_eq!(json["wcets"][1]["tail_ns"], serde_json::Value::Null, "the other profiles have none");
    assert_eq!(wcet("wcet-from = \"tail\"\nexceedance = \"1e-12\"").0, 6_200_000);
    assert_eq!(wcet("wcet-from = \"tail\"\nexceedance = \"1e-3\"").0, 5_300_000, "the longest that was seen");
}
