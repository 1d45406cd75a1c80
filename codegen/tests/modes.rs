//! What the commands say of a vehicle with modes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aegis_codegen::lock::Lock;
use aegis_codegen::plan::Plan;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const SHUNTER: &str = include_str!("fixtures/modes.toml");

/// A folder with the vehicle's manifest.
fn vehicle(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("system.toml"), text).unwrap();
    folder
}

fn aegis(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis")).args(arguments).current_dir(folder).output().unwrap()
}

/// Exit status, standard output, standard error.
fn told(output: &Output) -> (i32, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn the_check_shows_each_mode_with_its_bounds_and_what_leaving_it_takes() {
    let folder = vehicle(SHUNTER);
    let output = aegis(folder.path(), &["check"]);
    let (status, shown, errors) = told(&output);
    assert_eq!(status, 0, "{errors}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/modes.check.txt");
    if std::env::var_os("AEGIS_BLESS").is_some() {
        std::fs::write(&path, shown).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), shown, "AEGIS_BLESS=1 rewrites it");
    assert_eq!(told(&aegis(folder.path(), &["check", "--locked"])).0, 0, "the lock is the one that was written");
}

#[test]
fn json_has_each_mode_as_if_it_were_all_there_is() {
    let folder = vehicle(SHUNTER);
    let report = json(&aegis(folder.path(), &["check", "--format", "json"]));
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&report["modes"]), ["driving", "docking", "standing"]);
    assert_eq!(names(&report["modes"][1]["tasks"]), ["target", "brake", "steer", "can"]);
    let modes = report["modes"].as_array().unwrap();
    assert_eq!(modes.iter().map(|mode| mode["is_first"].as_bool().unwrap()).collect::<Vec<_>>(), [true, false, false]);
    assert!(modes.iter().all(|mode| mode["schedulable"] == true && mode["leaves_ns"].as_u64() > Some(0)));
    for (place, task) in report["tasks"].as_array().unwrap().iter().enumerate() {
        let in_modes = modes.iter().flat_map(|mode| mode["tasks"].as_array().unwrap());
        let own: Vec<&Value> = in_modes.filter(|other| other["name"] == task["name"]).collect();
        let greatest = own.iter().map(|task| task["response_ns"].as_u64().unwrap()).max();
        assert_eq!(task["response_ns"].as_u64(), greatest, "{task}");
        assert_eq!(task["certificate"], Value::Null, "each mode has its own");
        assert!(own.iter().all(|task| task["certificate"]["theory"].is_string()), "{place}: {own:?}");
        let terms = task["explain"]["terms"].as_array().unwrap();
        let sum: i64 = terms.iter().map(|term| term["ns"].as_i64().unwrap()).sum();
        assert_eq!(u64::try_from(sum).ok(), greatest, "{task}");
    }
    let edf = |mode: &Value| mode["lanes"][0]["certificate"]["points_ns"].as_array().map(Vec::len);
    assert!(edf(&modes[0]) > Some(1) && edf(&modes[1]) >= Some(1) && edf(&report).is_none());
    assert_eq!(edf(&modes[2]), None, "nothing runs on the lane");
    let without = vehicle(SHUNTER.split_once("[mode.driving]").unwrap().0);
    let report = json(&aegis(without.path(), &["check", "--format", "json"]));
    assert_eq!((&report["verdict"], report.get("modes")), (&"fail".into(), None), "together they ask for too much");
}

#[test]
fn simulations_run_each_mode_and_change_between_them_within_the_bounds() {
    let folder = vehicle(SHUNTER);
    for pattern in ["critical", "periodic", "random"] {
        let output = aegis(folder.path(), &["simulate", "--pattern", pattern, "--for", "40s", "--json"]);
        let report = json(&output);
        assert_eq!(told(&output).0, 0, "{report}");
        for task in report["tasks"].as_array().unwrap() {
            assert!(
                task["jobs"].as_u64() > Some(0) && task["exceeded"] == 0 && task["misses"] == 0,
                "{pattern}: {task}"
            );
        }
        if pattern == "critical" {
            let of_control = &report["tasks"].as_array().unwrap().iter().find(|task| task["name"] == "steer").unwrap();
            assert_eq!(of_control["observed_over_bound_ppm"], 1_000_000, "the greatest bound is one mode's own");
        }
        for mode in report["modes"].as_array().unwrap() {
            assert_eq!(mode["late"], 0);
            assert_eq!(mode["left"].as_u64() > Some(20), pattern == "random", "{pattern}: {mode}");
            assert!(mode["longest_ns"].as_u64() <= mode["leaves_ns"].as_u64(), "{mode}");
        }
    }
    let table = aegis(folder.path(), &["simulate", "--pattern", "random", "--for", "20s"]);
    assert!(told(&table).1.contains("| longest change |"), "{table:?}");
    let refused = aegis(folder.path(), &["simulate", "--pattern", "periodic", "--trace", "trace.jsonl"]);
    assert!(told(&refused).0 == 2 && told(&refused).2.contains("one for each mode"), "{refused:?}");
}

#[test]
fn a_trace_with_changes_of_the_mode_replays_the_same() {
    let folder = vehicle(SHUNTER);
    assert_eq!(told(&aegis(folder.path(), &["check"])).0, 0);
    let arguments = ["simulate", "--pattern", "random", "--for", "20s", "--trace", "trace.jsonl"];
    assert_eq!(told(&aegis(folder.path(), &arguments)).0, 0);
    let trace = std::fs::read_to_string(folder.path().join("trace.jsonl")).unwrap();
    let count = |event: &str| trace.matches(&format!("\"event\":\"{event}\"")).count();
    assert!(count("mode_requested") > 10 && count("mode_changed") > 10, "{} lines", trace.lines().count());
    let replayed = aegis(folder.path(), &["trace", "replay", "trace.jsonl"]);
    assert!(told(&replayed).0 == 0 && told(&replayed).1.contains(": the same"), "{replayed:?}");
    let changed =
        trace.replacen("\"input\":\"mode\",\"mode\":\"docking\"", "\"input\":\"mode\",\"mode\":\"standing\"", 1);
    assert_ne!(changed, trace);
    std::fs::write(folder.path().join("trace.jsonl"), changed).unwrap();
    assert_eq!(told(&aegis(folder.path(), &["trace", "replay", "trace.jsonl"])).0, 1);
}

/// A change of a plan, with what it does.
type Named = (&'static str, fn(&mut Plan));

#[test]
fn verify_refuses_a_lock_whose_mode_claims_too_much() {
    let folder = vehicle(SHUNTER);
    assert_eq!(told(&aegis(folder.path(), &["check"])).0, 0);
    let path = folder.path().join("system.lock");
    let good = Lock::read(&path).unwrap();
    assert_eq!(told(&aegis(folder.path(), &["verify"])).0, 0);
    let changes: [Named; 4] = [
        ("a bound lowered", |plan| plan.modes[1].tasks[0].response_ns -= 1),
        ("a task dropped", |plan| drop(plan.modes[2].tasks.remove(0))),
        ("leaves lowered", |plan| plan.modes[0].leaves_ns -= 1),
        ("a mode dropped", |plan| drop(plan.modes.remove(1))),
    ];
    for (what, change) in changes {
        let mut plan = good.plan.clone();
        change(&mut plan);
        let lock = Lock::new(plan, good.lock.inputs.clone()).unwrap();
        std::fs::write(&path, lock.text().unwrap()).unwrap();
        let refused = aegis(folder.path(), &["verify"]);
        assert!(told(&refused).0 == 1 && told(&refused).2.contains("AEG601"), "{what}: {refused:?}");
    }
}

#[test]
fn bounds_are_explained_exported_and_moved_mode_by_mode_and_what_knows_no_modes_says_so() {
    let folder = vehicle(SHUNTER);
    let explained = aegis(folder.path(), &["explain", "--task", "log"]);
    let (status, shown, _) = told(&explained);
    assert!(
        status == 0 && shown.contains("in mode `driving`:\n") && shown.contains("in mode `standing`:\n"),
        "{shown}"
    );
    assert!(!shown.contains("docking"), "it does not run there: {shown}");
    for arguments in [&["check", "--exact"][..], &["explain", "--task", "log", "--exact"]] {
        let refused = aegis(folder.path(), arguments);
        assert!(told(&refused).0 == 2 && told(&refused).2.contains("does not cover modes"), "{refused:?}");
    }
    let exported = aegis(folder.path(), &["check", "--export", "poet", "sets"]);
    assert_eq!(told(&exported).0, 0, "{exported:?}");
    let set = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
    assert!(set("sets/driving/control.yaml").contains("# log") && !set("sets/docking/control.yaml").contains("# log"));
    let limits = json(&aegis(folder.path(), &["check", "--sensitivity", "--format", "json"]));
    let steer = limits["sensitivity"]["tasks"].as_array().unwrap().iter().find(|task| task["name"] == "steer");
    let largest = steer.unwrap()["largest_wcet_ns"].as_u64().unwrap();
    for (wcet, expected) in [(largest, 0), (largest + 1, 1)] {
        let text = SHUNTER.replace("wcet = \"6ms\"", &format!("wcet = \"{wcet}ns\""));
        assert_eq!(told(&aegis(vehicle(&text).path(), &["check"])).0, expected, "{wcet}");
    }
}

#[test]
fn what_is_added_needs_a_mode_and_may_bring_its_own() {
    let folder = vehicle(SHUNTER);
    let task = "[task.park]\nlane = \"vision\"\nperiod = \"100ms\"\nsegments = [\"40ms\", \"30ms\"]\n";
    let admit = |text: String| {
        std::fs::write(folder.path().join("more.toml"), text).unwrap();
        aegis(folder.path(), &["admit", "--add", "more.toml"])
    };
    let refused = admit(task.to_owned());
    assert!(told(&refused).0 == 1 && told(&refused).2.contains("AEG165"), "{refused:?}");
    let mode = "[mode.parking]\ntasks = [\"park\", \"brake\", \"can\"]\n";
    let admitted = admit(format!("{task}{mode}"));
    assert!(told(&admitted).0 == 0 && told(&admitted).1.contains("admitted: park"), "{admitted:?}");
    let crowded = mode.replace("\"park\"", "\"park\", \"lanes\", \"target\"");
    let refused = admit(format!("{task}{crowded}"));
    assert!(told(&refused).0 == 1 && told(&refused).2.contains("in mode `parking`, "), "{refused:?}");
}
