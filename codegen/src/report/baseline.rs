//! What got worse since another report of `aegis check --format json`, so that CI can refuse that alone.
//!
//! Worse is: a finding that is an error or a warning and was not there, or was a lesser one; a task, lane, chain, mode or memory
//! whose bound or use grew, or that no longer holds or has no bound any more, in each mode and while each domain fails as well; a
//! new task that does not hold, and one that misses by more. Findings are compared without their numbers, which change with the
//! plan: what these say of tasks and memory is compared by itself.

use serde_json::Value;
use std::collections::BTreeMap;

/// Why an old report cannot be compared with.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotComparable {
    /// It is no JSON.
    #[error("it is no JSON: {0}")]
    Syntax(String),
    /// It is another document.
    #[error("it is no report of `aegis check --format json`: its schema is {found}, not \"{expected}\"")]
    Schema {
        /// What it says.
        found: String,
        /// What it has to say.
        expected: &'static str,
    },
    /// It is of another system.
    #[error("it is of the system {old}, and this report of {new}: only reports of one system can be compared")]
    System {
        /// The older report's.
        old: String,
        /// The newer report's.
        new: String,
    },
}

/// Of a list what is compared: more of a number is worse.
struct Measure {
    list: &'static str,
    what: &'static str,
    keys: &'static [(&'static str, &'static str)],
    holds: Option<&'static str>,
}

const NS: &str = "ns";
const MEASURES: [Measure; 5] = [
    Measure { list: "tasks", what: "task", keys: &[("response_ns", NS)], holds: Some("schedulable") },
    Measure { list: "lanes", what: "lane", keys: &[("utilization_ppm", "ppm of its time")], holds: None },
    Measure { list: "chains", what: "chain", keys: &[("reaction_ns", NS), ("age_ns", NS)], holds: Some("holds") },
    Measure { list: "modes", what: "mode", keys: &[("leaves_ns", NS)], holds: Some("schedulable") },
    Measure {
        list: "pools",
        what: "memory",
        keys: &[("taken_bytes", "bytes"), ("height_bytes", "bytes"), ("weights_bytes", "bytes")],
        holds: None,
    },
];
const SURVIVAL: Measure =
    Measure { list: "failure", what: "task", keys: &[("response_ns", NS)], holds: Some("survives") };

/// What got worse from `old` to `new`, two reports of schema [`super::json::SCHEMA`], one sentence each; empty where nothing did.
///
/// # Errors
/// [`NotComparable`], of `old`.
pub fn worse(old: &str, new: &str) -> Result<Vec<String>, NotComparable> {
    let (old, new) = both(old, new)?;
    let mut found = Vec::new();
    let memory = |report: &Value| report.get("memory").cloned().unwrap_or(Value::Null);
    for measure in &MEASURES {
        match measure.list {
            "pools" => compare(measure, (&memory(&old), &memory(&new)), "", &mut found),
            _ => compare(measure, (&old, &new), "", &mut found),
        }
    }
    for (name, after) in named(&new, "modes") {
        let Some(before) = named(&old, "modes").remove(name) else { continue };
        let within = format!(" in mode `{name}`");
        MEASURES[..2].iter().for_each(|measure| compare(measure, (before, after), &within, &mut found));
    }
    for (name, after) in named(&new, "domains") {
        let Some(before) = named(&old, "domains").remove(name) else { continue };
        compare(&SURVIVAL, (before, after), &format!(" while `{name}` fails"), &mut found);
    }
    found.extend(findings(&old, &new));
    Ok(found)
}

/// What `old` has and `new` has not, so that it is not compared: tasks, lanes, chains, modes and memory.
///
/// # Errors
/// [`NotComparable`], of `old`.
pub fn gone(old: &str, new: &str) -> Result<Vec<String>, NotComparable> {
    let (old, new) = both(old, new)?;
    let mut found = Vec::new();
    for Measure { list, what, .. } in &MEASURES {
        let of = |report: &Value| match *list {
            "pools" => report.get("memory").cloned().unwrap_or(Value::Null),
            _ => report.clone(),
        };
        let (before, after) = (of(&old), of(&new));
        let is = named(&after, list);
        let gone = named(&before, list).into_keys().filter(|name| !is.contains_key(name));
        found.extend(gone.map(|name| format!("{what} `{name}`")));
    }
    Ok(found)
}

/// Two reports of one system.
fn both(old: &str, new: &str) -> Result<(Value, Value), NotComparable> {
    let (old, new) = (parsed(old)?, parsed(new)?);
    let system = |report: &Value| report.get("system").cloned().unwrap_or(Value::Null);
    let (was, is) = (system(&old), system(&new));
    if was != is {
        return Err(NotComparable::System { old: was.to_string(), new: is.to_string() });
    }
    Ok((old, new))
}

/// What got worse in one list; `within` says where that is one.
fn compare(measure: &Measure, (old, new): (&Value, &Value), within: &str, found: &mut Vec<String>) {
    let (before, what) = (named(old, measure.list), measure.what);
    for (name, one) in named(new, measure.list) {
        let was = before.get(name).copied();
        let fails = |one: &Value| measure.holds.is_some_and(|key| one.get(key) == Some(&Value::Bool(false)));
        match was {
            _ if !fails(one) => {}
            None => found.push(format!("{what} `{name}`{within} is new and not shown to hold")),
            Some(was) if fails(was) => {
                // By how much it misses: its deadline may have become shorter.
                let slack = |of: &Value| of.get("slack_ns").and_then(Value::as_i64);
                if let (Some(was), Some(is)) = (slack(was), slack(one))
                    && is < was
                {
                    found.push(format!("{what} `{name}`{within}: slack_ns was {was} and is {is} ns"));
                }
            }
            Some(_) => {
                let colon = if within.is_empty() { "" } else { ":" };
                found.push(format!("{what} `{name}`{within}{colon} was shown to hold and is not any more"));
            }
        }
        for (key, unit) in measure.keys {
            let Some(was) = was.and_then(|was| was.get(key)).and_then(Value::as_u64) else { continue };
            match one.get(key).and_then(Value::as_u64) {
                Some(is) if is <= was => {}
                Some(is) => found.push(format!("{what} `{name}`{within}: {key} was {was} and is {is} {unit}")),
                None => {
                    found.push(format!("{what} `{name}`{within}: {key} was {was} {unit} and has no bound any more"));
                }
            }
        }
    }
}

/// Whether a text is a report that others can be compared with.
///
/// # Errors
/// [`NotComparable`].
pub fn comparable(report: &str) -> Result<(), NotComparable> {
    parsed(report).map(drop)
}

fn parsed(report: &str) -> Result<Value, NotComparable> {
    let value: Value = serde_json::from_str(report).map_err(|error| NotComparable::Syntax(error.to_string()))?;
    let schema = value.get("schema").cloned().unwrap_or(Value::Null);
    if schema == super::json::SCHEMA {
        Ok(value)
    } else {
        Err(NotComparable::Schema { found: schema.to_string(), expected: super::json::SCHEMA })
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn list<'a>(report: &'a Value, key: &str) -> &'a [Value] {
    report.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// By name; what a failure means for a task has that one's.
fn named<'a>(report: &'a Value, key: &str) -> BTreeMap<&'a str, &'a Value> {
    let name = |one| if key == "failure" { text(one, "task") } else { text(one, "name") };
    list(report, key).iter().map(|one| (name(one), one)).collect()
}

/// Errors and warnings that were not there, or not so often.
fn findings(old: &Value, new: &Value) -> Vec<String> {
    let mut known: BTreeMap<(bool, &str, String), usize> = BTreeMap::new();
    for finding in list(old, "findings") {
        let is_error = text(finding, "severity") == "error";
        let place =
            known.entry((is_error, text(finding, "code"), without_numbers(text(finding, "message")))).or_default();
        *place = place.saturating_add(1);
    }
    let mut found = Vec::new();
    for finding in list(new, "findings") {
        let (severity, code, message) = (text(finding, "severity"), text(finding, "code"), text(finding, "message"));
        let is_error = severity == "error";
        let mut same = |is_error| {
            let left = known.get_mut(&(is_error, code, without_numbers(message)));
            left.is_some_and(|left| {
                let is_known = *left > 0;
                *left = left.saturating_sub(1);
                is_known
            })
        };
        let is_known = severity == "note" || same(is_error) || !is_error && same(true);
        if !is_known {
            found.push(format!("new {severity} {code}: {message}"));
        }
    }
    found
}

/// A message with each number replaced, and the unit behind it: those that differ in values alone are of the same. What stands
/// between backticks is a name, whatever digits it has.
fn without_numbers(message: &str) -> String {
    const UNITS: [&str; 9] = ["ns", "us", "ms", "s", "B", "KiB", "MiB", "GiB", "bytes"];
    let mut out = String::with_capacity(message.len());
    for (position, part) in message.split('`').enumerate() {
        if position % 2 == 1 {
            out.push_str(&format!("`{part}`"));
            continue;
        }
        let mut words = part.split(' ').peekable();
        while let Some(word) = words.next() {
            let value = word.trim_start_matches(|one: char| !one.is_ascii_digit());
            let rest = value.trim_start_matches(|one: char| one.is_ascii_digit() || one == '.');
            let before = word.strip_suffix(value).unwrap_or("");
            if value.is_empty() {
                out.push_str(word);
            } else if rest.is_empty()
                && words.peek().is_some_and(|unit| UNITS.contains(&unit.trim_end_matches([',', ':', ';'])))
            {
                let unit = words.next().unwrap_or("");
                let end = unit.trim_start_matches(char::is_alphabetic);
                out.push_str(&format!("{before}0{end}"));
            } else {
                out.push_str(&format!("{before}0{}", if UNITS.contains(&rest) { "" } else { rest }));
            }
            if words.peek().is_some() {
                out.push(' ');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{NotComparable, gone, without_numbers, worse};

    fn report(verdict: &str, response: &str, holds: bool, bytes: u64, findings: &str) -> String {
        format!(
            r#"{{"schema": "aegis.report/1", "verdict": "{verdict}",
            "tasks": [{{"name": "a", "response_ns": {response}, "schedulable": {holds}}}],
            "lanes": [{{"name": "l", "utilization_ppm": 5}}], "chains": [],
            "memory": {{"pools": [{{"name": "m", "taken_bytes": {bytes}, "height_bytes": 1, "weights_bytes": 1}}]}},
            "findings": [{findings}]}}"#
        )
    }

    fn finding(severity: &str, message: &str) -> String {
        format!(r#"{{"severity": "{severity}", "code": "AEG301", "message": "{message}"}}"#)
    }

    #[test]
    fn only_what_got_worse_is_told() {
        let old = report("pass", "10", true, 7, "");
        assert_eq!(worse(&old, &old), Ok(Vec::new()));
        assert_eq!(worse(&old, &report("pass", "9", true, 6, "")), Ok(Vec::new()));
        let new = report("fail", "11", false, 8, "");
        assert_eq!(
            worse(&old, &new).unwrap(),
            [
                "task `a` was shown to hold and is not any more",
                "task `a`: response_ns was 10 and is 11 ns",
                "memory `m`: taken_bytes was 7 and is 8 bytes",
            ]
        );
        let unbounded = report("pass", "null", true, 7, "");
        assert_eq!(worse(&old, &unbounded).unwrap(), ["task `a`: response_ns was 10 ns and has no bound any more"]);
        assert_eq!(worse(&unbounded, &old), Ok(Vec::new()));
    }

    #[test]
    fn a_finding_is_known_whatever_its_numbers_and_an_error_is_worse_than_a_warning() {
        let with = |all: &[&String]| {
            report("fail", "1", true, 1, &all.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(","))
        };
        let (warning, error) = (finding("warning", "late by 1.5 ms"), finding("error", "late by 20 ms"));
        let other = finding("warning", "late by 2 ms");
        assert_eq!(worse(&with(&[&warning]), &with(&[&other])), Ok(Vec::new()));
        assert_eq!(worse(&with(&[&error]), &with(&[&warning])), Ok(Vec::new()));
        let new = "new error AEG301: late by 20 ms".to_owned();
        assert_eq!(worse(&with(&[&warning]), &with(&[&error])), Ok(vec![new]));
        let twice = worse(&with(&[&warning]), &with(&[&warning, &warning])).unwrap();
        assert_eq!(twice, ["new warning AEG301: late by 1.5 ms"]);
    }

    #[test]
    fn another_document_is_refused() {
        assert!(matches!(worse("{", "{}"), Err(NotComparable::Syntax(_))));
        let other = worse(r#"{"schema": "aegis.model/1"}"#, "{}").unwrap_err();
        assert!(other.to_string().contains("aegis.model/1"), "{other}");
    }

    #[test]
    fn a_report_of_another_system_is_refused_and_what_is_gone_is_told() {
        let of = |system: &str, tasks: &str| {
            format!(r#"{{"schema": "aegis.report/1", "system": "{system}", "tasks": [{tasks}], "findings": []}}"#)
        };
        let (one, none) = (of("a", r#"{"name": "t"}"#), of("a", ""));
        assert_eq!(gone(&one, &none).unwrap(), ["task `t`"]);
        assert_eq!((gone(&one, &one).unwrap(), gone(&none, &one).unwrap()), (Vec::new(), Vec::new()));
        let other = worse(&one, &of("b", "")).unwrap_err();
        assert!(other.to_string().contains("\"a\", and this report of \"b\""), "{other}");
    }

    #[test]
    fn numbers_are_left_out_and_names_are_not() {
        assert_eq!(without_numbers("10.25 ms of 3 ms"), without_numbers("7 ms of 12.5 ms"));
        assert_eq!(without_numbers("after 1.2 ms, its deadline"), without_numbers("after 900 us, its deadline"));
        assert_eq!(without_numbers("kept for 1500us"), without_numbers("kept for 2ms"));
        assert_ne!(without_numbers("a 1"), without_numbers("b 1"));
        assert_ne!(
            without_numbers("task `cam1` may be late by 1 ms"),
            without_numbers("task `cam2` may be late by 1 ms")
        );
    }

    #[test]
    fn modes_and_failures_of_domains_are_compared_as_well() {
        let of = |mode: u64, failing: &str, survives: bool| {
            format!(
                r#"{{"schema": "aegis.report/1", "tasks": [], "findings": [],
                "modes": [{{"name": "slow", "schedulable": true, "leaves_ns": 3, "tasks": [{{"name": "a", "response_ns": {mode}}}]}}],
                "domains": [{{"name": "vision", "failure": [{{"task": "a", "response_ns": {failing}, "survives": {survives}}}]}}]}}"#
            )
        };
        let old = of(10, "20", true);
        assert_eq!(worse(&old, &old), Ok(Vec::new()));
        assert_eq!(
            worse(&old, &of(11, "null", false)).unwrap(),
            [
                "task `a` in mode `slow`: response_ns was 10 and is 11 ns",
                "task `a` while `vision` fails: was shown to hold and is not any more",
                "task `a` while `vision` fails: response_ns was 20 ns and has no bound any more",
            ]
        );
    }

    #[test]
    fn what_misses_already_may_not_miss_by_more() {
        let of = |slack: i64| {
            let tasks = format!(r#"[{{"name": "a", "response_ns": 9, "schedulable": false, "slack_ns": {slack}}}]"#);
            format!(r#"{{"schema": "aegis.report/1", "tasks": {tasks}, "findings": []}}"#)
        };
        assert_eq!(worse(&of(-2), &of(-1)), Ok(Vec::new()));
        assert_eq!(worse(&of(-2), &of(-3)).unwrap(), ["task `a`: slack_ns was -2 and is -3 ns"]);
    }
}
