//! The commands that take bounds apart: `explain`, witnesses, exports, the exact analysis, and the JSON report of a
//! vehicle with every policy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use serde_json::Value;
use std::process::{Command, Output};

/// A vehicle with every policy and preemption, stages over two lanes, and chains; it holds.
const SHUTTLE: &str = include_str!("fixtures/shuttle.toml");

fn aegis(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis")).args(arguments).output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A folder with a manifest, and the manifest's path.
fn vehicle(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("system.toml");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (folder, file)
}

/// The vehicle with a route that asks for too much, and a segment that is too long.
fn failing() -> (tempfile::TempDir, String) {
    let text = SHUTTLE.replace("wcet = \"40ms\"", "wcet = \"75ms\"").replace("\"4ms\", \"2ms\"]", "\"24ms\", \"2ms\"]");
    vehicle(&text)
}

fn is_integers(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Array(items) => items.iter().all(is_integers),
        Value::Object(fields) => fields.values().all(is_integers),
        _ => true,
    }
}

#[test]
fn the_report_has_terms_that_sum_certificates_and_chains() {
    let (_folder, file) = vehicle(SHUTTLE);
    let output = aegis(&["check", "--format", "json", &file]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(is_integers(&report), "{report}");
    let tasks = report["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 12);
    let mut theories: Vec<&str> = Vec::new();
    for task in tasks {
        let explain = &task["explain"];
        let sum: i64 = explain["terms"].as_array().unwrap().iter().map(|term| term["ns"].as_i64().unwrap()).sum();
        assert_eq!(task["response_ns"].as_i64(), Some(sum), "{task}");
        assert_eq!(explain["response_ns"], task["response_ns"]);
        theories.push(task["certificate"]["theory"].as_str().unwrap());
    }
    theories.sort_unstable();
    theories.dedup();
    assert_eq!(theories, ["edf", "fixed-priority", "table"]);
    let lane = |name: &str| report["lanes"].as_array().unwrap().iter().find(|lane| lane["name"] == name).unwrap();
    assert!(!lane("plan")["certificate"]["points_ns"].as_array().unwrap().is_empty());
    assert_eq!(lane("io")["certificate"]["hyperperiod_ns"], 50_000_000);
    assert_eq!(lane("io")["certificate"]["slots"].as_array().unwrap().len(), 7);
    let chains = report["chains"].as_array().unwrap();
    assert_eq!(chains.len(), 2);
    for chain in chains {
        assert!(chain["holds"].as_bool().unwrap() && chain["age_ns"].as_u64() <= chain["max_age_ns"].as_u64());
    }
    assert!(chains[0]["reaction_ns"].as_u64().unwrap() > 0 && chains[1]["communication"] == "let");
}

#[test]
fn each_policy_is_explained_and_a_staged_task_stage_by_stage() {
    let (_folder, file) = vehicle(SHUTTLE);
    for (task, stages, words) in [
        ("log", 1, &["by np-fp-rta", "its own execution"][..]),
        ("detect", 1, &["by lp-fp-rta", "blocking by a piece of `map`", "domain switches before 3 segments"]),
        ("fuse", 1, &["by fnpr-edf-rta", "blocking by a piece of `route`"]),
        ("can", 1, &["by table", "until its slot of the table"]),
        ("o2", 1, &["(fixed-priority, preemption none)", "interference by 1 job of `o1`"]),
        ("see", 3, &["task `see.1` on", "task `see.2` on", "task `see.3` on", "until the stage before it is complete"]),
        ("see.2", 1, &["task `see.2` on lane `gpu`"]),
    ] {
        let output = aegis(&["explain", "--task", task, "--manifest", &file]);
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        let shown = stdout(&output);
        assert_eq!(shown.matches("= the bound, of instance").count(), stages, "{shown}");
        for word in words {
            assert!(shown.contains(word), "{word} is missing: {shown}");
        }
    }
}

#[test]
fn a_failing_vehicle_is_explained_with_a_witness_that_simulates() {
    let (folder, file) = failing();
    assert_eq!(status(&aegis(&["check", &file])), 1);
    let witness = folder.path().join("route.toml");
    let witness = witness.to_str().unwrap();
    let output = aegis(&["explain", "--task", "route", "--manifest", &file, "--witness", witness]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("a witness, with arrivals as near as the periods permit"), "{}", stdout(&output));
    let good = std::fs::read_to_string(witness).unwrap();
    let response = good.lines().find_map(|line| line.strip_prefix("response-ns = ")).unwrap();
    let replayed = aegis(&["simulate", &file, "--witness", witness, "--json"]);
    assert_eq!(status(&replayed), 1, "{}", stderr(&replayed));
    let report: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    let task = report["tasks"].as_array().unwrap().iter().find(|task| task["name"] == "route").unwrap();
    assert_eq!(task["response_ns"].to_string(), response);
    assert!(task["misses"].as_u64().unwrap() > 0);
    for (from, to, why) in [
        ("aegis.witness/1", "aegis.witness/9", "its schema is `aegis.witness/9`"),
        ("system = \"shuttle\"", "system = \"courier\"", "it is of the vehicle `courier`"),
        ("task = \"fuse\"", "task = \"nobody\"", "the task `nobody`"),
        (
            "release-ns = 20000000\ntask = \"fuse\"\narrival-ns = 20000000",
            "release-ns = 20000000\ntask = \"fuse\"\narrival-ns = 19999999",
            "TooEarly",
        ),
        ("deadline-ns", "deadline", "unknown field"),
        ("arrivals = \"sporadic\"", "arrivals = \"never\"", "unknown variant"),
    ] {
        assert!(good.contains(from), "{from} is not in {good}");
        std::fs::write(witness, good.replacen(from, to, 1)).unwrap();
        let refused = aegis(&["simulate", &file, "--witness", witness]);
        assert_eq!((status(&refused), stdout(&refused)), (2, ""), "{from} -> {to}");
        assert!(stderr(&refused).contains("is no witness") && stderr(&refused).contains(why), "{}", stderr(&refused));
    }
    // Without a file the witness is shown, and a task that holds has none.
    let shown = aegis(&["explain", "--task", "route", "--manifest", &file]);
    assert_eq!(stdout(&shown), stdout(&output));
    let holds = aegis(&["explain", "--task", "o1", "--manifest", &file, "--witness", witness]);
    assert_eq!(status(&holds), 2, "{}", stdout(&holds));
    assert!(stderr(&holds).contains("is not written: no job of the task misses"), "{}", stderr(&holds));
}

#[test]
fn a_failing_vehicle_is_simulated_and_misses() {
    let (folder, file) = failing();
    let output = aegis(&["simulate", &file, "--json"]);
    assert_eq!(status(&output), 1, "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let misses = |name: &str| {
        let tasks = report["tasks"].as_array().unwrap();
        tasks.iter().find(|task| task["name"] == name).unwrap()["misses"].as_u64().unwrap()
    };
    assert!(misses("route") > 0 && misses("detect") > 0 && misses("log") == 0, "{report}");
    assert!(!folder.path().join("system.lock").exists(), "what fails has no lock");
}

#[test]
fn lanes_are_exported_for_poet_where_it_covers_them() {
    let (folder, file) = vehicle(SHUTTLE);
    let out = folder.path().join("out");
    let output = aegis(&["check", &file, "--export", "poet", out.to_str().unwrap()]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let mut names: Vec<_> = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cpu.yaml", "opt.yaml"]);
    assert!(std::fs::read_to_string(out.join("opt.yaml")).unwrap().contains("o2"));
    for lane in ["gpu", "plan", "io"] {
        assert!(stderr(&output).contains(&format!("lane `{lane}` is not exported: POET")), "{}", stderr(&output));
    }
    let unknown = aegis(&["check", &file, "--export", "abacus", out.to_str().unwrap()]);
    assert_eq!(status(&unknown), 2);
    assert!(stderr(&unknown).contains("there is no tool `abacus`"), "{}", stderr(&unknown));
}

/// The bound of `fast` is 10 ms, and with these phases `slow` never runs when it arrives.
const EXACT: &str = r#"
system = { name = "exact", policy = "rate-monotonic" }
lane.main = { kind = "cpu", core = 1 }
task.fast = { lane = "main", period = "10ms", wcet = "4ms", deadline = "8ms" }
task.slow = { lane = "main", period = "20ms", wcet = "6ms", phase = "4ms" }
"#;

#[test]
fn what_holds_only_exactly_passes_with_a_warning_and_has_no_lock() {
    let (folder, file) = vehicle(EXACT);
    let lock = folder.path().join("system.lock");
    for arguments in [&["check", file.as_str()][..], &["check", "--locked", &file], &["check", "--exact", &file]] {
        let output = aegis(arguments);
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        assert!(stderr(&output).contains("warning[AEG206]: task `fast` responds within 4 ms"), "{}", stderr(&output));
        assert!(
            stdout(&output).contains("verdict: pass") && stdout(&output).contains("for analysis and simulation only")
        );
        assert!(!lock.exists(), "{arguments:?}");
    }
    assert_eq!(status(&aegis(&["check", "--deny", "warnings", &file])), 1);
    assert_eq!(status(&aegis(&["build", &file])), 1);
    assert_eq!(status(&aegis(&["generate", &file])), 1);
    let output = aegis(&["check", "--format", "json", &file]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(is_integers(&report) && report["verdict"] == "pass");
    let fast = &report["tasks"][0];
    assert_eq!((&fast["exact_response_ns"], &fast["test"]), (&4_000_000.into(), &"schedule-abstraction-graph".into()));
    assert!(fast["certificate"].is_null() && fast["schedulable"].as_bool().unwrap());
    // One phase off, and a job of `slow` blocks `fast`.
    let (_folder, late) = vehicle(&EXACT.replace("phase = \"4ms\"", "phase = \"9ms\""));
    assert_eq!(status(&aegis(&["check", &late])), 1);
}

#[test]
fn the_exact_analysis_of_what_holds_is_made_where_it_is_asked_for() {
    let (_folder, file) = vehicle(&EXACT.replace("deadline = \"8ms\"", "deadline = \"10ms\""));
    let exact = |arguments: &[&str]| {
        let output = aegis(arguments);
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["tasks"][0]["exact_response_ns"].clone()
    };
    assert_eq!(exact(&["check", "--format", "json", &file]), Value::Null);
    assert_eq!(exact(&["check", "--exact", "--format", "json", &file]), 4_000_000);
}

/// 4 of each 10 ms are a slot's, and a lane's overhead is 0.1 ms: for its start and its end, and as much for each submitted task.
fn with_gaps(asked: &str) -> String {
    format!(
        r#"
        system = {{ name = "gaps", policy = "time-triggered" }}
        lane.main = {{ kind = "cpu", core = 1, dispatch-overhead = "0.1ms", wakeup-latency = "0.1ms", preemption = "segments" }}
        task.only = {{ lane = "main", period = "10ms", wcet = "3.5ms" }}
        task.ask = {{ lane = "main", period = "100ms", release = "submitted", {asked} }}
    "#
    )
}

#[test]
fn a_submitted_task_of_a_table_is_told_with_the_gaps_that_it_waits_for() {
    let (_folder, file) = vehicle(&with_gaps(r#"segments = ["2ms", "1ms"]"#));
    let output = aegis(&["check", "--format", "json", &file]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    let own = report["tasks"].as_array().unwrap().iter().find(|task| task["name"] == "ask").unwrap();
    assert_eq!((&own["test"], &own["schedulable"]), (&Value::from("table-gaps"), &Value::from(true)));
    assert_eq!(own["certificate"]["theory"], "gaps");
    // A slot keeps the lane for 3.5 + 0.2 + 0.2 ms. Of the 6.1 ms until the next one 2.2 ms less 1 ns are not certain; if it
    // comes then, its first segment of 2.2 ms is done that long after the next gap begins, and the last one of 1.2 ms begins.
    let (lateness, waits, last) = (200_000, 2_199_999 + 3_900_000 + 2_200_000, 1_200_000);
    assert_eq!(own["response_ns"], lateness + waits + last);
    let output = aegis(&["explain", "--task", "ask", "--manifest", &file]);
    let text = stdout(&output);
    assert!(text.contains("by table-gaps") && text.contains("while the table has slots"), "{text}");
}

#[test]
fn a_submitted_task_that_fits_no_gap_is_told_what_it_lacks() {
    let (_folder, file) = vehicle(&with_gaps(r#"wcet = "6ms""#));
    let output = aegis(&["check", &file]);
    assert_eq!(status(&output), 1);
    let text = stderr(&output);
    assert!(
        text.contains("AEG179") && text.contains("no gap of the table of lane `main` holds a segment of 6.2 ms"),
        "{text}"
    );
    let (_folder, file) = vehicle(&with_gaps(r#"segments = ["5ms", "5ms"]"#).replace("100ms", "50ms"));
    let output = aegis(&["check", &file]);
    assert_eq!(status(&output), 1);
    let text = stderr(&output);
    assert!(text.contains("`ask` and what goes before it ask for more than the 900.001 us of each 10 ms"), "{text}");
}

#[test]
fn a_table_that_lateness_fills_is_told_with_the_share_of_its_slots() {
    // 2 of 10 ms of execution, but each slot holds 9 ms of lateness too.
    let (_folder, file) = vehicle(
        r#"
        system = { name = "late", policy = "time-triggered" }
        lane.main = { kind = "cpu", core = 1, dispatch-overhead = "0us", wakeup-latency = "9ms" }
        task.only = { lane = "main", period = "10ms", wcet = "2ms" }
    "#,
    );
    let output = aegis(&["check", &file]);
    assert_eq!(status(&output), 1);
    assert!(stderr(&output).contains("has a utilization of 110.00 %"), "{}", stderr(&output));
    assert!(stderr(&output).contains("11 ms every 10 ms: 110.00 %"), "{}", stderr(&output));
}
