//! `aegis admit`: what fits is admitted, and each way that is told makes fit what does not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// Two lanes, one of them nearly free; a chain, and a task that is only there.
const BASE: &str = "\
system = { name = \"lab\", policy = \"rate-monotonic\" }
lane.main = { kind = \"cpu\", core = 1 }
lane.side = { kind = \"cpu\", core = 2 }
task.steer = { lane = \"main\", period = \"10ms\", wcet = \"2ms\" }
task.look = { lane = \"main\", period = \"40ms\", wcet = \"4ms\" }
task.log = { lane = \"main\", period = \"80ms\", wcet = \"8ms\" }
task.idle = { lane = \"side\", period = \"100ms\", wcet = \"1ms\" }
chain.drive = { tasks = [\"look\", \"steer\"], max-reaction = \"1s\" }
";

fn admit(folder: &Path, base: &str, addition: &str, arguments: &[&str]) -> Output {
    std::fs::write(folder.join("system.toml"), base).unwrap();
    std::fs::write(folder.join("more.toml"), addition).unwrap();
    let command = [&["admit", "--add", "more.toml"], arguments].concat();
    Command::new(env!("CARGO_BIN_EXE_aegis")).args(command).current_dir(folder).output().unwrap()
}

fn answer(folder: &Path, base: &str, addition: &str) -> (Option<i32>, Value) {
    let output = admit(folder, base, addition, &["--format", "json"]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

fn task(lane: &str, period_ns: u64, deadline_ns: u64, wcet_ns: u64) -> String {
    format!(
        "[task.depth]\nlane = \"{lane}\"\nperiod = \"{period_ns}ns\"\ndeadline = \"{deadline_ns}ns\"\nwcet = \"{wcet_ns}ns\"\n"
    )
}

#[test]
fn what_fits_is_admitted_with_what_it_changes_and_no_lock_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (status, found) = answer(folder.path(), BASE, &task("main", 100_000_000, 100_000_000, 1_000_000));
    assert_eq!((status, &found["schema"], &found["admitted"]), (Some(0), &"aegis.admission/1".into(), &true.into()));
    assert_eq!((&found["ways"], &found["findings"]), (&serde_json::json!([]), &serde_json::json!([])));
    assert_eq!(found["added"][0]["task"], "depth");
    let grown: Vec<&str> =
        found["changed"].as_array().unwrap().iter().map(|task| task["task"].as_str().unwrap()).collect();
    // What is more important may only wait for it.
    assert!(!grown.contains(&"idle"), "{grown:?}");
    for task in found["changed"].as_array().unwrap() {
        assert!(task["after_ns"].as_u64() > task["before_ns"].as_u64(), "{task}");
    }
    assert!(!folder.path().join("system.lock").exists());
}

#[test]
fn each_way_that_is_told_makes_it_fit() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        // Too long for the most important task, which it blocks.
        (25_000_000, 25_000_000, 9_000_000),
        // Too much for the lane.
        (20_000_000, 20_000_000, 12_000_000),
        // Too short a deadline only.
        (200_000_000, 4_000_000, 1_000_000),
        (16_000_000, 16_000_000, 7_000_000),
        // Too short a deadline beside what blocks it.
        (12_000_000, 9_000_000, 1_000_000),
    ];
    let mut kinds = std::collections::BTreeSet::new();
    for (period, deadline, wcet) in cases {
        let (status, found) = answer(folder.path(), BASE, &task("main", period, deadline, wcet));
        assert_eq!((status, &found["admitted"]), (Some(1), &false.into()), "{found}");
        let ways = found["ways"].as_array().unwrap();
        assert!(!ways.is_empty(), "{found}");
        for way in ways {
            let to = way["to_ns"].as_u64();
            let lower = |ns: u64, by: u64| ns - by;
            let (base, addition, beyond) = match way["kind"].as_str().unwrap() {
                "wcet" => {
                    let next = to.unwrap() + wcet / 1_000_000 + 1;
                    (
                        BASE.to_owned(),
                        task("main", period, deadline, to.unwrap()),
                        Some(task("main", period, deadline, next)),
                    )
                }
                "period" => {
                    let deadline = |to: u64| if deadline == period { to } else { deadline };
                    let to = to.unwrap();
                    (BASE.to_owned(), task("main", to, deadline(to), wcet), None)
                }
                "deadline" => {
                    let (to, step) = (to.unwrap(), deadline / 500 + 2);
                    let before = task("main", period, lower(to, step), wcet);
                    (BASE.to_owned(), task("main", period, to, wcet), Some(before))
                }
                "lane" => (BASE.to_owned(), task(way["lane"].as_str().unwrap(), period, deadline, wcet), None),
                "without" => {
                    let gone = format!("task.{} ", way["task"].as_str().unwrap());
                    let kept: Vec<&str> = BASE.lines().filter(|line| !line.starts_with(&gone)).collect();
                    (kept.join("\n"), task("main", period, deadline, wcet), None)
                }
                other => panic!("{other}"),
            };
            kinds.insert(way["kind"].as_str().unwrap().to_owned());
            let (status, again) = answer(folder.path(), &base, &addition);
            assert_eq!(status, Some(0), "{way}: {again}");
            if let Some(beyond) = beyond {
                assert_eq!(answer(folder.path(), BASE, &beyond).0, Some(1), "{way} is not the end");
            }
        }
    }
    let all = ["deadline", "lane", "period", "wcet", "without"];
    assert_eq!(kinds, all.iter().map(|kind| (*kind).to_owned()).collect());
}

#[test]
fn findings_name_the_file_that_they_are_of() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = "# more\n[task.depth]\nlane = \"mian\"\nperiod = \"10ms\"\nwcet = \"1ms\"\n";
    let output = admit(folder.path(), BASE, wrong, &[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("more.toml:3:8") && text.contains("did you mean `main`?"), "{text}");
    let (status, found) = answer(folder.path(), BASE, wrong);
    let label = &found["findings"][0]["labels"][0];
    assert_eq!((status, &label["file"], &label["line"]), (Some(1), &"more.toml".into(), &3.into()));
    // A manifest that does not hold by itself, an addition without tasks, files that are not there.
    let output = admit(folder.path(), &BASE.replace("8ms", "78ms"), &task("side", 1_000_000, 1_000_000, 1_000), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("does not hold by itself"));
    let output = admit(folder.path(), BASE, "# nothing\n", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("`more.toml` adds no task"));
    std::fs::remove_file(folder.path().join("more.toml")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_aegis"))
        .args(["admit", "--add", "more.toml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn missing_memory_is_told_in_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/profiles/valid");
    std::fs::create_dir(folder.path().join("profiles")).unwrap();
    for name in ["face", "lane-main", "sign", "voice"] {
        let name = format!("profiles/{name}.toml");
        std::fs::copy(from.join(&name), folder.path().join(&name)).unwrap();
    }
    // The lab vehicle, of which one model with its task is what is to be added.
    let lab = std::fs::read_to_string(from.join("system.toml")).unwrap();
    let (before, rest) = lab.split_once("[model.voice]").unwrap();
    let (model, rest) = rest.split_once("[task.see]").unwrap();
    let (tasks, rest) = rest.split_once("[task.listen]").unwrap();
    let (listen, log) = rest.split_once("[task.log]").unwrap();
    let base = format!("{before}[task.see]{tasks}[task.log]{log}").replace("1MiB", "750kB");
    let addition = format!("[model.voice]{model}[task.listen]{listen}");
    let (status, found) = answer(folder.path(), &base, &addition);
    assert_eq!(status, Some(1), "{found}");
    let way = &found["ways"][0];
    assert_eq!((&way["kind"], &way["device"], &way["from_bytes"]), (&"memory".into(), &"cpu0".into(), &750_000.into()));
    let enough = format!("{}B", way["to_bytes"]);
    assert_eq!(answer(folder.path(), &base.replace("750kB", &enough), &addition).0, Some(0));
    let short = format!("{}B", way["to_bytes"].as_u64().unwrap() - 1);
    assert_eq!(answer(folder.path(), &base.replace("750kB", &short), &addition).0, Some(1));
}
