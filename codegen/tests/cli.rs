//! The `aegis` command as a user starts it: exit status, what is printed, and that the same input gives the same bytes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs `aegis` in the repository's root.
fn aegis(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis")).args(arguments).current_dir(root()).output().unwrap()
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

/// Compares with a committed file, or rewrites it under `AEGIS_BLESS=1`.
fn golden(path: &str, text: &str) {
    let path = root().join(path);
    if std::env::var_os("AEGIS_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(expected, text, "{} differs; AEGIS_BLESS=1 rewrites it", path.display());
}

/// A folder with a small analysable manifest, and the manifest's path.
fn small(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("system.toml");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (folder, file)
}

const SMALL: &str = r#"
system = { name = "small", policy = "rate-monotonic" }
lane.main = { kind = "cpu", core = 1 }
task.fast = { lane = "main", period = "10ms", wcet = "2ms" }
task.slow = { lane = "main", period = "40ms", wcet = "6ms" }
"#;

#[test]
fn the_examples_reports_are_the_committed_ones_and_their_locks_are_fresh() {
    for (manifest, report) in [
        ("system.toml", "examples/courier/report.txt"),
        ("examples/feeder/system.toml", "examples/feeder/report.txt"),
        ("examples/inspector/system.toml", "examples/inspector/report.txt"),
        ("examples/reader/system.toml", "examples/reader/report.txt"),
        ("examples/sorter/system.toml", "examples/sorter/report.txt"),
        ("examples/shuttle/system.toml", "examples/shuttle/report.txt"),
    ] {
        let output = aegis(&["check", "--locked", "--deny", "warnings", manifest]);
        assert_eq!((status(&output), stderr(&output)), (0, ""));
        golden(report, stdout(&output));
    }
    // Measured on a machine that grants no real-time priority: each of its profiles is a warning, and nothing else is.
    let output = aegis(&["check", "--locked", "examples/lookout/system.toml"]);
    let warnings = stderr(&output).lines().filter(|line| line.starts_with("warning[")).collect::<Vec<_>>();
    assert_eq!((status(&output), warnings.len()), (0, 6));
    assert!(warnings.iter().all(|warning| warning.starts_with("warning[AEG406]")), "{warnings:?}");
    golden("examples/lookout/report.txt", stdout(&output));
}

#[test]
fn the_overloaded_example_is_refused_with_task_bound_deadline_and_blocker() {
    let output = aegis(&["check", "examples/overloaded/system.toml"]);
    assert_eq!(status(&output), 1);
    golden("examples/overloaded/report.txt", &format!("{}\n{}", stderr(&output), stdout(&output)));
    let words = stderr(&output);
    assert!(words.contains("error[AEG202]: task `face` may respond only after "), "{words}");
    assert!(words.contains("its deadline is 16 ms") && words.contains("`lines` can block it for "), "{words}");
    assert!(words.contains("examples/overloaded/system.toml:"), "{words}");
    assert!(!root().join("examples/overloaded/system.lock").exists(), "a refused manifest has no lock");
}

#[test]
fn the_readme_shows_the_present_reports() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let report = std::fs::read_to_string(root().join("examples/courier/report.txt")).unwrap();
    let refused = std::fs::read_to_string(root().join("examples/overloaded/report.txt")).unwrap();
    let (finding, _) = refused.split_once("\n\n").unwrap();
    assert!(readme.contains(&report), "paste examples/courier/report.txt");
    assert!(readme.contains(finding), "paste the finding of examples/overloaded/report.txt");
}

#[test]
fn run_refuses_what_check_refuses_before_anything_is_built() {
    let output = aegis(&["run", "examples/overloaded/system.toml"]);
    assert_eq!(status(&output), 1);
    assert!(stdout(&output).ends_with("refused: 1 error(s); nothing was built or started\n"), "{}", stdout(&output));
}

#[test]
fn json_matches_the_contract_and_has_integers_only() {
    let output = aegis(&["check", "--format", "json"]);
    assert_eq!(status(&output), 0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], "aegis.report/1");
    assert_eq!((&report["system"], &report["verdict"]), (&"courier".into(), &"pass".into()));
    let has = |value: &Value, keys: &[&str]| {
        for key in keys {
            assert!(value.get(key).is_some(), "{key} is missing in {value}");
        }
    };
    has(&report["lanes"][0], &["name", "policy", "preemption", "utilization_ppm"]);
    assert_eq!(report["tasks"].as_array().unwrap().len(), 5);
    for task in report["tasks"].as_array().unwrap() {
        has(task, &["name", "lane", "priority", "period_ns", "deadline_ns", "jitter_ns", "wcet_ns", "segments_ns"]);
        has(
            task,
            &[
                "blocking_ns",
                "blocked_by",
                "response_ns",
                "response_from_release_ns",
                "slack_ns",
                "schedulable",
                "test",
            ],
        );
        let (response, deadline) = (task["response_ns"].as_u64().unwrap(), task["deadline_ns"].as_u64().unwrap());
        assert!(task["schedulable"].as_bool().unwrap() && response <= deadline);
        assert_eq!(task["slack_ns"].as_u64(), Some(deadline - response));
        assert!(task["response_from_release_ns"].as_u64().unwrap() <= response);
    }
    has(
        &report["memory"]["pools"][0],
        &[
            "name",
            "capacity_bytes",
            "shares",
            "taken_bytes",
            "weights_bytes",
            "context_bytes",
            "pinned_bytes",
            "pinned_with",
            "height_bytes",
            "lower_bound_bytes",
            "private_bytes",
            "optimal",
            "models",
        ],
    );
    assert_eq!(report["memory"]["pools"][0].as_object().unwrap().len(), 13);
    assert_eq!(
        report["memory"]["pools"][0]["models"][0],
        serde_json::json!({ "name": "orientation", "control": "planned" })
    );
    assert!(report["chains"].is_array() && report["findings"].is_array());
    no_floats(&report);
}

fn no_floats(value: &Value) {
    match value {
        Value::Number(number) => assert!(number.is_i64() || number.is_u64(), "{number}"),
        Value::Array(items) => items.iter().for_each(no_floats),
        Value::Object(fields) => fields.values().for_each(no_floats),
        _ => {}
    }
}

#[test]
fn json_of_a_refused_manifest_has_its_findings_with_places() {
    let output = aegis(&["check", "--format", "json", "examples/overloaded/system.toml"]);
    assert_eq!(status(&output), 1);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "fail");
    let finding = &report["findings"][0];
    assert_eq!((&finding["code"], &finding["severity"]), (&"AEG202".into(), &"error".into()));
    let label = &finding["labels"][0];
    assert_eq!(label["file"], "examples/overloaded/system.toml");
    assert!(label["line"].as_u64().unwrap() > 1 && label["column"].as_u64().unwrap() > 1);
    let face = &report["tasks"][0];
    assert!(!face["schedulable"].as_bool().unwrap() && face["slack_ns"].as_i64().unwrap() < 0);
}

#[test]
fn an_overloaded_lane_has_no_bound_in_json() {
    let (_folder, file) = small(&SMALL.replace("6ms", "36ms"));
    let output = aegis(&["check", "--format", "json", &file]);
    assert_eq!(status(&output), 1);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let slow = &report["tasks"][1];
    assert_eq!(
        (&slow["response_ns"], &slow["slack_ns"], &slow["schedulable"]),
        (&Value::Null, &Value::Null, &false.into())
    );
    assert_eq!(report["lanes"][0]["utilization_ppm"], 1_100_000);
}

#[test]
fn two_runs_give_the_same_bytes() {
    for arguments in
        [&["check"][..], &["check", "--format", "json"], &["generate"], &["generate", "examples/inspector/system.toml"]]
    {
        let (one, two) = (aegis(arguments), aegis(arguments));
        assert_eq!((status(&one), status(&two)), (0, 0), "{}", stderr(&one));
        assert!(!one.stdout.is_empty() && one.stdout == two.stdout, "{arguments:?}");
    }
}

#[test]
fn check_writes_a_lock_that_verify_accepts_and_that_a_change_makes_stale() {
    let (folder, file) = small(SMALL);
    let lock = folder.path().join("system.lock");
    assert_eq!(status(&aegis(&["check", "--locked", &file])), 1, "there is no lock yet");
    assert!(!lock.exists());
    assert_eq!(status(&aegis(&["check", &file])), 0);
    assert_eq!(status(&aegis(&["check", "--locked", &file])), 0);
    let lock = lock.to_str().unwrap();
    let verified = aegis(&["verify", lock, "--manifest", &file]);
    assert_eq!(status(&verified), 0, "{}", stderr(&verified));
    assert!(stdout(&verified).contains("the plan of `small` is re-proven"));
    std::fs::write(&file, SMALL.replace("6ms", "5ms")).unwrap();
    let stale = aegis(&["check", "--locked", &file]);
    assert_eq!(status(&stale), 1);
    assert!(stderr(&stale).contains("error[AEG601]"), "{}", stderr(&stale));
    let stale = aegis(&["verify", lock, "--manifest", &file]);
    assert_eq!(status(&stale), 1);
    assert!(stderr(&stale).contains("stale lock"), "{}", stderr(&stale));
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing half-written is left: {names:?}");
}

#[test]
fn a_task_without_a_model_is_analysed_but_not_built() {
    let (_folder, file) = small(SMALL);
    assert_eq!(status(&aegis(&["check", &file])), 0);
    for command in ["build", "run"] {
        let output = aegis(&[command, &file]);
        assert_eq!(status(&output), 1);
        assert!(stderr(&output).contains("error[AEG504]: task `fast` has no model"), "{}", stderr(&output));
    }
}

#[test]
fn unreadable_input_and_wrong_usage_are_status_2() {
    for arguments in [
        &["check", "no-such-folder/system.toml"][..],
        &["check", "--format", "yaml"],
        &["fly"],
        &["verify", "no-such.lock"],
        &["explain", "AEG999"],
    ] {
        let output = aegis(arguments);
        assert_eq!(status(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty() && !stderr(&output).is_empty());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn all_that_is_wrong_with_a_fault_to_inject_is_told_at_once() {
    let wrong = |arguments: &[&str]| {
        let output = aegis(&[&["inject"], arguments].concat());
        assert_eq!((status(&output), stdout(&output)), (2, ""), "{arguments:?}: {}", stderr(&output));
        stderr(&output).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let told = wrong(&["--domain", "visoin", "--fault", "slow=0.5x", "--at", "2 seconds", "--for", "10s"]);
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(
        told[0],
        "aegis: --fault: `0.5x` is no factor from 1.1x to 100x, with at most three digits after the point"
    );
    assert!(told[1].starts_with("aegis: --at: "), "{told:?}");
    assert_eq!(told[2], "aegis: --domain: `system.toml` has no fault domain `visoin`: its domains are vision, maps");
    let told = wrong(&["--domain", "vision", "--fault", "crash", "--at", "3s", "--for", "3s"]);
    let names = "there is no fault `crash`: it is kill, segv, hang, oom, corrupt-mailbox, or slow=3x";
    assert_eq!(
        told,
        [format!("aegis: --fault: {names}"), "aegis: --at 3s is not before the end of the run, --for 3s".to_owned()]
    );
    // Nothing of it could fail.
    let (_folder, file) = small(&format!(
        "{SMALL}domain.idle = {{}}\ntask.other = {{ lane = \"main\", domain = \"idle\", period = \"1s\", wcet = \"1ms\" }}\n"
    ));
    let told = wrong(&[&file, "--domain", "idle", "--fault", "kill", "--at", "1s", "--for", "3s"]);
    assert_eq!(
        told,
        ["aegis: --domain: no model lies in the fault domain `idle`, so it has no process that could fail"]
    );
    let told = wrong(&["no-such-folder/system.toml", "--domain", "idle", "--fault", "kill"]);
    assert!(told[0].starts_with("aegis: cannot read the manifest"), "{told:?}");
}

#[test]
fn warnings_pass_unless_denied() {
    let (_folder, file) = small(&format!("{SMALL}\nlane.idle = {{ kind = \"cpu\", core = 2 }}\n"));
    let output = aegis(&["check", &file]);
    assert_eq!(status(&output), 0);
    assert!(stderr(&output).contains("warning[AEG120]"), "{}", stderr(&output));
    assert_eq!(status(&aegis(&["check", "--deny", "warnings", &file])), 1);
}

#[test]
fn every_code_is_explained() {
    let output = aegis(&["explain", "aeg202"]);
    assert_eq!(status(&output), 0);
    assert!(stdout(&output).starts_with("AEG202: a task's response bound exceeds its deadline\n\n"));
}

#[test]
fn lanes_that_share_the_orchestration_thread_wait_for_each_other() {
    let two = r#"
        system = { name = "two", policy = "rate-monotonic" }
        lane.a = { kind = "cpu", core = 1, dispatch-overhead = "100us", wakeup-latency = "10us" }
        lane.b = { kind = "cpu", core = 2, dispatch-overhead = "30us", wakeup-latency = "20us" }
        task.on-a = { lane = "a", period = "10ms", wcet = "2ms" }
        task.on-b = { lane = "b", period = "40ms", wcet = "6ms" }
    "#;
    let (_folder, file) = small(two);
    let output = aegis(&["check", "--format", "json", &file]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |lane: usize, key: &str| report["lanes"][lane][key].as_u64().unwrap();
    let all = |lane: usize| ["dispatch_overhead_ns", "wakeup_latency_ns", "thread_wait_ns"].map(|key| of(lane, key));
    assert_eq!((all(0), all(1)), ([100_000, 10_000, 60_000], [30_000, 20_000, 200_000]));
    // Alone on its lane: release seen late, then its own dispatch and execution.
    assert_eq!(report["tasks"][0]["response_ns"], 70_000 + 160_000 + 2_000_000);
}

/// A fixed-priority lane and one under EDF, with overheads, jitter and a deadline beyond the period.
const BUSY: &str = r#"
system = { name = "busy", policy = "rate-monotonic" }
lane.main = { kind = "cpu", core = 1, dispatch-overhead = "100us", wakeup-latency = "300us" }
lane.edf = { kind = "cpu", core = 2, policy = "edf", dispatch-overhead = "50us", wakeup-latency = "100us" }
task.fast = { lane = "main", period = "10ms", wcet = "2ms", jitter = "1ms" }
task.middle = { lane = "main", period = "15ms", deadline = "30ms", wcet = "5ms" }
task.slow = { lane = "main", period = "40ms", wcet = "6ms" }
task.x = { lane = "edf", period = "20ms", wcet = "4ms" }
task.y = { lane = "edf", period = "50ms", deadline = "45ms", wcet = "11ms" }
"#;

fn json(arguments: &[&str]) -> Value {
    let output = aegis(arguments);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_critical_pattern_reaches_every_fixed_priority_bound_and_none_is_exceeded() {
    let (_folder, file) = small(BUSY);
    let report = json(&["simulate", &file, "--json"]);
    assert_eq!((&report["schema"], &report["system"]), (&"aegis.simulation/1".into(), &"busy".into()));
    let ratio = |report: &Value, task: usize| report["tasks"][task]["observed_over_bound_ppm"].as_u64().unwrap();
    assert_eq!([0, 1, 2].map(|task| ratio(&report, task)), [1_000_000; 3], "{report}");
    for seed in ["1", "2", "3"] {
        let random = json(&["simulate", &file, "--json", "--pattern", "random", "--seed", seed, "--for", "20s"]);
        for task in 0..5 {
            assert!(
                random["tasks"][task]["jobs"].as_u64() > Some(200) && ratio(&random, task) <= 1_000_000,
                "{random}"
            );
        }
        let again = json(&["simulate", &file, "--json", "--pattern", "random", "--seed", seed, "--for", "20s"]);
        assert_eq!(random, again, "one seed gives one run");
    }
    let periodic = aegis(&["simulate", &file, "--pattern", "periodic", "--for", "2s"]);
    assert!(stdout(&periodic).contains("| fast   |"), "{}", stdout(&periodic));
    assert_eq!(status(&aegis(&["simulate", &file, "--for", "2 minutes"])), 2);
    let (_folder, overloaded) = small(&BUSY.replace("11ms", "39ms"));
    assert_eq!(status(&aegis(&["simulate", &overloaded])), 1, "what is not proven is not simulated");
}

#[test]
fn a_limit_of_the_sensitivity_is_where_the_check_turns() {
    let (_folder, file) = small(BUSY);
    let report = json(&["check", "--sensitivity", "--format", "json", &file]);
    let sensitivity = &report["sensitivity"];
    assert_eq!(sensitivity["tasks"].as_array().unwrap().len(), 5);
    let holds = |from: &str, to: String| {
        let (_folder, file) = small(&BUSY.replace(from, &to));
        status(&aegis(&["check", &file])) == 0
    };
    for (task, wcet) in [
        (0, "wcet = \"2ms\""),
        (1, "wcet = \"5ms\""),
        (2, "wcet = \"6ms\""),
        (3, "wcet = \"4ms\""),
        (4, "wcet = \"11ms\""),
    ] {
        let limits = &sensitivity["tasks"][task];
        let largest = limits["largest_wcet_ns"].as_u64().unwrap();
        assert!(holds(wcet, format!("wcet = \"{largest}ns\"")), "{limits}");
        assert!(!holds(wcet, format!("wcet = \"{}ns\"", largest + 1)), "{limits}");
        assert!(limits["wcet_first_miss"].is_string(), "{limits}");
    }
    let shortest = sensitivity["tasks"][4]["shortest_deadline_ns"].as_u64().unwrap();
    assert!(holds("deadline = \"45ms\"", format!("deadline = \"{shortest}ns\"")));
    assert!(!holds("deadline = \"45ms\"", format!("deadline = \"{}ns\"", shortest - 1)));
    assert!(sensitivity["lanes"][0]["breakdown_ppm"].as_u64() > Some(1_000_000));
    let human = aegis(&["check", "--sensitivity", &file]);
    assert!(stdout(&human).contains("lane main: breaks beyond x1."), "{}", stdout(&human));
}

#[test]
fn a_bound_is_explained_term_by_term() {
    let (_folder, file) = small(BUSY);
    let output = aegis(&["explain", "--task", "slow", "--manifest", &file]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    golden("tests/fixtures/explain/slow.txt", stdout(&output));
    let output = aegis(&["explain", "--task", "x", "--manifest", &file]);
    assert!(stdout(&output).contains("by np-edf-rta\nresponds within "), "{}", stdout(&output));
    // A bound that is too long wants explaining most.
    let output = aegis(&["explain", "--task", "face", "--manifest", "examples/overloaded/system.toml"]);
    assert_eq!(status(&output), 0);
    assert!(
        stdout(&output).contains("AFTER its deadline of 16 ms")
            && stdout(&output).contains("blocking by a piece of `lines`")
    );
    assert_eq!(status(&aegis(&["explain", "--task", "nobody", "--manifest", &file])), 2);
    assert_eq!(status(&aegis(&["explain"])), 2);
}

/// A chain of two tasks, of which the first is in two segments, with the keys besides.
fn aborting(keys: &str) -> String {
    format!(
        r#"
system = {{ name = "aborting", policy = "rate-monotonic" }}
lane.main = {{ kind = "cpu", core = 1, preemption = "segments" }}
task.first = {{ lane = "main", period = "10ms", {keys} }}
task.second = {{ lane = "main", period = "20ms", wcet = "2ms" }}
chain.both = {{ tasks = ["first", "second"], max-reaction = "90ms" }}
"#
    )
}

#[test]
fn jobs_that_are_aborted_within_their_wcet_have_no_place_in_a_chain() {
    let in_two = "segments = [\"1ms\", \"2ms\"], on-overrun = \"abort-job\"";
    let below = format!("{in_two}, budget = {{ time = \"500us\" }}");
    let (_folder, file) = small(&aborting(&below));
    let output = aegis(&["check", &file]);
    let said = stderr(&output);
    let message =
        "error[AEG160]: the chain `both` has the task `first`, whose jobs are aborted after 500 us of at most 3 ms";
    assert!(status(&output) == 1 && said.contains(message) && said.contains("1 error"), "{said}");
    // With the WCET as budget, another answer, or nothing to abort, it holds.
    let whole = "wcet = \"3ms\", on-overrun = \"abort-job\", budget = { time = \"500us\" }";
    for keys in [in_two, &below.replace("abort-job", "continue"), whole] {
        let (_folder, file) = small(&aborting(keys));
        let output = aegis(&["check", &file]);
        assert_eq!(status(&output), 0, "{keys}: {}", stderr(&output));
    }
}

#[test]
fn a_domain_that_fails_within_a_wcet_has_no_place_in_a_chain_and_ends_a_simulation_of_its_tasks() {
    let keys = "wcet = \"3ms\", domain = \"vision\", on-overrun = \"fail-domain\"";
    let below = format!("{keys}, budget = {{ time = \"500us\" }}");
    let with_domain = |keys: &str| format!("{}domain.vision = {{ restart = \"never\" }}\n", aborting(keys));
    let (_folder, file) = small(&with_domain(&below));
    let output = aegis(&["check", &file]);
    let said = stderr(&output);
    let message = "error[AEG163]: the chain `both` lies in the domain `vision`, which fails when `first` has taken 500 us of at \
                   most 3 ms";
    assert!(status(&output) == 1 && said.contains(message) && said.contains("1 error"), "{said}");
    for keys in [keys, &below.replace("fail-domain", "continue")] {
        let (_folder, file) = small(&with_domain(keys));
        let output = aegis(&["check", &file]);
        assert_eq!(status(&output), 0, "{keys}: {}", stderr(&output));
    }
    let (_folder, file) = small(&with_domain(&below).replace("chain.both", "# "));
    let output = aegis(&["simulate", &file, "--json"]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    let [first, second] = [0, 1].map(|task: usize| &report["tasks"][task]);
    assert_eq!(first["jobs"].as_u64(), Some(0), "{report}");
    assert!(first["aborted"].as_u64() >= Some(1) && second["jobs"].as_u64() > Some(1), "{report}");
}

#[test]
fn a_simulation_counts_aborted_jobs_which_take_no_longer_than_their_bound() {
    let keys = "segments = [\"1ms\", \"2ms\"], on-overrun = \"abort-job\", budget = { time = \"500us\" }";
    let text = aborting(keys);
    let (_folder, file) = small(text.split("chain").next().unwrap());
    let output = aegis(&["simulate", &file, "--json"]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    let [first, second] = [0, 1].map(|task: usize| &report["tasks"][task]);
    assert_eq!((first["jobs"].as_u64(), first["misses"].as_u64()), (Some(0), Some(0)), "{report}");
    assert!(first["aborted"].as_u64() >= Some(3) && second["aborted"].as_u64() == Some(0), "{report}");
    // Its first segment, blocked by the other task's job which began 1 ns before.
    assert_eq!(first["response_ns"].as_u64(), Some(2_999_999), "{report}");
}
