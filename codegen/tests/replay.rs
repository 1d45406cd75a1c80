//! `aegis trace replay` as a user starts it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn aegis(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis")).args(arguments).current_dir(folder).output().unwrap()
}

/// Exit status, standard output, standard error.
fn told(output: &Output) -> (i32, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_simulated_trace_is_the_same_and_a_changed_one_differs_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.jsonl");
    let file = trace.to_str().unwrap();
    std::fs::write(&trace, "older").unwrap();
    let refused = aegis(&root(), &["simulate", "--trace", file]);
    let (status, _, why) = told(&refused);
    assert!(status == 2 && why.contains("`--pattern periodic`"), "{why}");
    assert_eq!(std::fs::read_to_string(&trace).unwrap(), "older", "what is refused overwrites nothing");
    let arguments = ["simulate", "--pattern", "random", "--for", "2s", "--trace", file];
    assert_eq!(told(&aegis(&root(), &arguments)).0, 0);
    let text = std::fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = text.lines().collect();

    let same = aegis(&root(), &["trace", "replay", file]);
    let (status, shown, _) = told(&same);
    let begin = format!("{file}: {} records, ", lines.len());
    assert!(status == 0 && shown.starts_with(&begin) && shown.contains(" decisions: the same"), "{same:?}");
    let same = aegis(&root(), &["trace", "replay", file, "--format", "json"]);
    let report: Value = serde_json::from_str(told(&same).1).unwrap();
    assert_eq!((&report["schema"], &report["verdict"]), (&"aegis.replay/1".into(), &"same".into()));
    assert_eq!(report["same"]["records"], lines.len());
    assert_eq!((&report["difference"], &report["error"]), (&Value::Null, &Value::Null));

    // Another reason.
    let position = lines.iter().position(|line| line.contains("only-one-waiting")).unwrap();
    let changed = lines[position].replace("only-one-waiting", "more-important");
    let mut mutated = lines.clone();
    mutated[position] = &changed;
    std::fs::write(&trace, mutated.join("\n")).unwrap();
    let differs = aegis(&root(), &["trace", "replay", file]);
    let (status, shown, _) = told(&differs);
    let begin = format!("{file}:{}: the dispatcher does something else: reason\n", position + 1);
    assert!(status == 1 && shown.starts_with(&begin) && shown.contains("lane main runs nothing"), "{shown}");
    let differs = aegis(&root(), &["trace", "replay", file, "--format", "json"]);
    let report: Value = serde_json::from_str(told(&differs).1).unwrap();
    assert_eq!((told(&differs).0, &report["verdict"]), (1, &"different".into()));
    let difference = &report["difference"];
    assert_eq!((&difference["line"], &difference["recorded"]), (&(position + 1).into(), &changed.into()));
    assert_eq!(difference["fields"], serde_json::json!(["reason"]));

    // A missing line.
    let mut without = lines.clone();
    without.remove(7);
    std::fs::write(&trace, without.join("\n")).unwrap();
    let lost = aegis(&root(), &["trace", "replay", file, "--format", "json"]);
    let (status, shown, why) = told(&lost);
    let report: Value = serde_json::from_str(shown).unwrap();
    assert_eq!((status, &report["verdict"], &report["error"]["line"]), (2, &"unreadable".into(), &8.into()));
    assert!(why.contains("line 8: record 7 is lost"), "{why}");
}

#[test]
fn the_lock_is_the_one_that_has_the_traces_plan() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.jsonl");
    let file = trace.to_str().unwrap();
    let arguments = ["simulate", "--pattern", "periodic", "--for", "1s", "--trace", file];
    assert_eq!(told(&aegis(&root(), &arguments)).0, 0);
    let elsewhere = tempfile::tempdir().unwrap();
    let (status, _, why) = (2, "", "name it with --lock");
    let none = aegis(elsewhere.path(), &["trace", "replay", file]);
    assert!(told(&none).0 == status && told(&none).2.contains(why), "{none:?}");
    std::fs::copy(root().join("system.lock"), folder.path().join("system.lock")).unwrap();
    std::fs::copy(root().join("examples/sorter/system.lock"), elsewhere.path().join("system.lock")).unwrap();
    assert_eq!(told(&aegis(elsewhere.path(), &["trace", "replay", file])).0, 0, "beside the trace");
    let other = aegis(elsewhere.path(), &["trace", "replay", file, "--lock", "system.lock"]);
    assert!(told(&other).0 == 2 && told(&other).2.contains("line 1: it is of the plan "), "{other:?}");
    std::fs::write(elsewhere.path().join("system.lock"), "nothing").unwrap();
    let broken = aegis(elsewhere.path(), &["trace", "replay", file, "--lock", "system.lock"]);
    assert_eq!(told(&broken).0, 2, "{broken:?}");
    std::fs::write(&trace, "{\"event\":\"submission\"}\n").unwrap();
    let older = aegis(elsewhere.path(), &["trace", "replay", file]);
    assert!(told(&older).0 == 2 && told(&older).2.contains("line 1"), "{older:?}");
    assert_eq!(told(&aegis(&root(), &["trace", "replay", "nowhere.jsonl"])).0, 2);
}
