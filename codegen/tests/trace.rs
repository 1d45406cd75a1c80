//! Traces in the binary form, as a user meets them: written, replayed, converted; and the schema of their lines.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../core/trace/tests/common/mod.rs"]
mod common;

use aegis_core::trace::{Kind, Record};
use aegis_core::{Instant, trace_line};
use aegis_tests::pip::installed;
use serde_json::Value;
use std::collections::HashSet;
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

/// A simulated run of the reference vehicle in a file of this name.
fn simulated(folder: &Path, name: &str, length: &str) -> String {
    let file = folder.join(name).to_str().unwrap().to_owned();
    let arguments = ["simulate", "--pattern", "random", "--seed", "5", "--for", length, "--trace", &file];
    let output = aegis(&root(), &arguments);
    assert_eq!(told(&output).0, 0, "{output:?}");
    file
}

#[test]
fn what_is_converted_is_what_would_have_been_written_as_lines() {
    let folder = tempfile::tempdir().unwrap();
    let (binary, lines) = (simulated(folder.path(), "a.aegistrace", "3s"), simulated(folder.path(), "a.jsonl", "3s"));
    let expected = std::fs::read_to_string(&lines).unwrap();
    let bytes = std::fs::read(&binary).unwrap();
    assert!(bytes.len() * 6 < expected.len(), "{} bytes of lines are {} bytes", expected.len(), bytes.len());
    assert_eq!(std::fs::read(simulated(folder.path(), "again.aegistrace", "3s")).unwrap(), bytes);

    let output = aegis(&root(), &["trace", "convert", &binary, "--to", "jsonl"]);
    let (status, shown, words) = told(&output);
    assert!(status == 0 && words.is_empty() && shown == expected, "{words}");
    let into = folder.path().join("into.jsonl");
    let output = aegis(&root(), &["trace", "convert", &binary, "--to", "jsonl", "-o", into.to_str().unwrap()]);
    assert_eq!(told(&output), (0, "", ""));
    assert_eq!(std::fs::read_to_string(&into).unwrap(), expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "nothing is left beside");

    let [one, other] = [&binary, &lines].map(|file| aegis(&root(), &["trace", "replay", file, "--format", "json"]));
    assert!(told(&one) == told(&other) && told(&one).0 == 0, "{one:?}");
    let begin = format!("{binary}: {} records, ", expected.lines().count());
    let same = aegis(&root(), &["trace", "replay", &binary]);
    assert!(told(&same).1.starts_with(&begin) && told(&same).1.contains(": the same"), "{same:?}");
}

#[test]
fn what_is_not_whole_is_told_and_what_is_no_trace_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let binary = simulated(folder.path(), "a.aegistrace", "20s");
    let whole = told(&aegis(&root(), &["trace", "convert", &binary, "--to", "jsonl"])).1.to_owned();
    let bytes = std::fs::read(&binary).unwrap();

    // A block in the middle: the lines go on behind it, and a replay ends before it.
    let blocks: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, window)| *window == b"AEGB").map(|(place, _)| place).collect();
    assert!(blocks.len() > 2, "{blocks:?}");
    let mut changed = bytes.clone();
    changed[blocks[1] + 100] ^= 1;
    std::fs::write(&binary, &changed).unwrap();
    let output = aegis(&root(), &["trace", "convert", &binary, "--to", "jsonl"]);
    let (status, shown, words) = told(&output);
    let missing = whole.lines().count() - shown.lines().count();
    let known: HashSet<&str> = whole.lines().collect();
    assert!(status == 0 && missing > 100 && shown.lines().all(|line| known.contains(line)), "{missing}");
    let note = format!("aegis: `{binary}`, block 2, at byte {}: ", blocks[1]);
    assert!(words.starts_with(&note) && words.ends_with(&format!("with {missing} records\n")), "{words}");
    let output = aegis(&root(), &["trace", "replay", &binary]);
    assert!(told(&output).0 == 2 && told(&output).2.contains(" are lost; what followed"), "{output:?}");

    // The end.
    std::fs::write(&binary, &bytes[..bytes.len() - 1]).unwrap();
    let output = aegis(&root(), &["trace", "convert", &binary, "--to", "jsonl"]);
    let (status, shown, words) = told(&output);
    assert!(status == 0 && whole.starts_with(shown) && words.contains("ends within a block, of which "), "{words}");
    let output = aegis(&root(), &["trace", "replay", &binary]);
    assert!(told(&output).0 == 2 && told(&output).2.contains("its last records are lost"), "{output:?}");

    // No trace, none of this plan, none in this form; and nothing is left of what could not be made.
    std::fs::write(&binary, whole.as_bytes()).unwrap();
    let output = aegis(&root(), &["trace", "replay", &binary]);
    assert!(told(&output).0 == 2 && told(&output).2.contains("a name that ends in `.jsonl`"), "{output:?}");
    std::fs::write(&binary, &bytes).unwrap();
    let other = root().join("examples/sorter/system.lock");
    let arguments = ["trace", "convert", &binary, "--to", "jsonl", "--lock", other.to_str().unwrap()];
    let output = aegis(&root(), &arguments);
    assert!(told(&output).0 == 2 && told(&output).2.contains("is not its lock"), "{output:?}");
    let lines = simulated(folder.path(), "a.jsonl", "3s");
    let output = aegis(&root(), &["trace", "convert", &lines, "--to", "jsonl"]);
    assert!(told(&output).0 == 2 && told(&output).2.contains("JSON lines already"), "{output:?}");
    let nowhere = folder.path().join("nowhere/out.jsonl");
    let output = aegis(&root(), &["trace", "convert", &binary, "--to", "jsonl", "-o", nowhere.to_str().unwrap()]);
    assert!(told(&output).0 == 2 && told(&output).2.contains("cannot convert `"), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// Every line of these traces fits the published schema; how many there are of each event.
fn valid(traces: &[String]) -> Option<Value> {
    let packages = match installed("trace-lines", &["jsonschema==4.26.0"]) {
        Ok(packages) => packages,
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
            eprintln!("skipped: the validator of JSON Schema cannot be installed: {why}");
            return None;
        }
    };
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(root());
    let output =
        python.args(["codegen/tests/trace.py", "docs/schemas/trace.schema.json"]).args(traces).output().unwrap();
    assert!(output.status.success(), "{}", told(&output).2);
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn every_line_fits_the_published_schema() {
    let schema = std::fs::read_to_string(root().join("docs/schemas/trace.schema.json")).unwrap();
    assert_eq!(told(&aegis(&root(), &["trace", "schema"])), (0, schema.as_str(), ""));
    let folder = tempfile::tempdir().unwrap();
    let mut traces = Vec::new();
    // Plans with one lane and more, tables, segments, chains, levels, domains.
    for name in ["", "examples/inspector", "examples/reader", "examples/sorter", "examples/shuttle", "examples/lookout"]
    {
        let (manifest, number) = (root().join(name).join("system.toml"), traces.len().to_string());
        let file = folder.path().join(number + ".jsonl").to_str().unwrap().to_owned();
        let pattern = ["--pattern", "random", "--for", "250ms", "--trace", &file];
        let output = aegis(&root(), &[&["simulate", manifest.to_str().unwrap()], &pattern[..]].concat());
        assert!(matches!(told(&output).0, 0 | 1), "{output:?}");
        traces.push(file);
    }
    // Every kind.
    let mut text = String::new();
    for seed in 0..3 {
        for kind in common::kinds_of_plan(&mut fastrand::Rng::with_seed(seed)) {
            // Of a model that no plan has there is nothing to say.
            if matches!(kind, Kind::Bound { .. }) {
                continue;
            }
            trace_line::write(&mut text, common::PLAN, &Record { sequence: 0, at: Instant::START, kind });
        }
    }
    let file = folder.path().join("kinds.jsonl");
    std::fs::write(&file, text).unwrap();
    traces.push(file.to_str().unwrap().to_owned());
    let Some(counts) = valid(&traces) else { return };
    println!("{counts}");
    assert_eq!(counts.as_object().unwrap().len(), 36);
    assert!(counts["schedule_decision"].as_u64() > Some(50) && counts["binding"].as_u64() > Some(50), "{counts}");
}
