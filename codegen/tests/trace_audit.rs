//! `aegis trace check`, `aegis trace why` and `aegis trace what-if` as a user starts them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

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

/// A vehicle with every kind of lane, stages, segments and regions, in a random run.
fn shuttle(folder: &Path, seed: u64) -> (String, String) {
    let lock = root().join("examples/shuttle/system.lock").to_str().unwrap().to_owned();
    (simulated(folder, "examples/shuttle/system.toml", seed, "2s"), lock)
}

fn simulated(folder: &Path, manifest: &str, seed: u64, length: &str) -> String {
    let file = folder.join(format!("{seed}.aegistrace")).to_str().unwrap().to_owned();
    let seed = seed.to_string();
    let arguments = ["simulate", manifest, "--pattern", "random", "--seed", &seed, "--for", length, "--trace", &file];
    let output = aegis(&root(), &arguments);
    assert_eq!(told(&output).0, 0, "{output:?}");
    file
}

fn json(output: &Output) -> Value {
    serde_json::from_str(told(output).1).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_run_within_its_plan_passes_on_every_kind_of_lane() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..12 {
        let (file, lock) = shuttle(folder.path(), seed);
        let output = aegis(&root(), &["trace", "check", &file, "--lock", &lock, "--format", "json"]);
        let report = json(&output);
        assert_eq!(told(&output).0, 0, "{report:#}");
        assert_eq!((&report["schema"], &report["verdict"]), (&"aegis.trace-check/1".into(), &"holds".into()));
        assert_eq!(report["violations"], Value::Array(Vec::new()), "seed {seed}");
        assert_eq!((&report["complete"], &report["lost"], &report["unjudged"]), (&true.into(), &0.into(), &0.into()));
        for task in report["tasks"].as_array().unwrap() {
            assert!(task["completed"].as_u64().unwrap() > 0, "{task:#}");
        }
    }
}

#[test]
fn a_check_is_told_in_tables_and_again_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = simulated(folder.path(), "system.toml", 3, "2s");
    let output = aegis(&root(), &["trace", "check", &file]);
    let (status, text, words) = told(&output);
    assert_eq!((status, words), (0, ""));
    for part in [
        "response / bound",
        "execution / WCET",
        "blocked / assumed",
        "jobs / assumed",
        "hand-over and notice / planned",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.contains(&format!("{file}: everything measured is within what is proven (")), "{text}");
    assert_eq!(aegis(&root(), &["trace", "check", &file]).stdout, output.stdout);
    // Of another plan.
    let other = aegis(&root(), &["trace", "check", &file, "--lock", "examples/sorter/system.lock"]);
    assert!(told(&other).0 == 2 && told(&other).2.contains("is not its lock"), "{other:?}");
    let none = aegis(&root(), &["trace", "check", "nothing.aegistrace"]);
    assert!(told(&none).0 == 2 && told(&none).2.contains("cannot read `nothing.aegistrace`"), "{none:?}");
}

#[test]
fn a_torn_trace_is_compared_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let file = simulated(folder.path(), "system.toml", 4, "60s");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let output = aegis(&root(), &["trace", "check", &file]);
    let (status, text, _) = told(&output);
    assert!(
        status == 0 && text.contains("the records end before the run") && text.contains(", end missing)"),
        "{text}"
    );
    let output = aegis(&root(), &["trace", "check", &file, "--require-complete"]);
    let (status, text, _) = told(&output);
    assert!(status == 1 && text.contains("but not everything was recorded"), "{text}");
    // A head alone tells of nothing.
    std::fs::write(&file, &bytes[..96]).unwrap();
    let output = aegis(&root(), &["trace", "check", &file]);
    let (status, text, _) = told(&output);
    assert!(status == 1 && text.contains("nothing was compared (0 records, 0 jobs, end missing)"), "{text}");
}

#[test]
fn a_job_is_explained_in_words_and_its_summands_are_its_response() {
    let folder = tempfile::tempdir().unwrap();
    let (file, lock) = shuttle(folder.path(), 1);
    let task_of =
        |task: &str| aegis(&root(), &["trace", "why", "--worst", task, &file, "--lock", &lock, "--format", "json"]);
    for task in ["detect", "see.3", "route", "can", "disk"] {
        let output = task_of(task);
        let report = json(&output);
        assert_eq!((told(&output).0, &report["schema"]), (0, &"aegis.trace-why/1".into()));
        let parts = report["parts"].as_object().unwrap().values().map(|part| part.as_u64().unwrap());
        assert_eq!(parts.sum::<u64>(), report["response_ns"].as_u64().unwrap(), "{report:#}");
        let number = format!("{task}#{}", report["number"]);
        let same = aegis(&root(), &["trace", "why", &number, &file, "--lock", &lock, "--format", "json"]);
        assert_eq!(json(&same), report);
        let request = report["request_id"].as_str().unwrap();
        let words = aegis(&root(), &["trace", "why", request, &file, "--lock", &lock]);
        let (status, text, _) = told(&words);
        let begin = format!("{number} ({request}) on lane `");
        assert!(status == 0 && text.starts_with(&begin) && text.contains("  from arrival to end\n"), "{text}");
    }
    // A later stage waits for the one before it.
    let stage = json(&task_of("see.2"));
    assert!(stage["after"].is_string() && stage["parts"]["release_ns"].as_u64().unwrap() > 0, "{stage:#}");
    for (arguments, why) in [
        (&["nosuch#1"][..], "the plan has no task `nosuch`, it has `log`, "),
        (&["twelve"][..], "`twelve` names no job: write `task#12`"),
        (&["999999"][..], "has no job of the request req-999999"),
        (&["--latest-miss"][..], "has no missed deadline"),
        (&["1", "--latest-miss"][..], "a job is named, and selected by --latest-miss or --worst as well"),
        (&[][..], "needs a job and a trace"),
    ] {
        let (job, options): (Vec<&&str>, Vec<&&str>) = arguments.iter().partition(|word| !word.starts_with("--"));
        let mut all = vec!["trace", "why"];
        all.extend(job);
        all.push(&file);
        all.extend(options);
        all.extend(["--lock", &lock]);
        let output = aegis(&root(), &all);
        assert!(told(&output).0 == 2 && told(&output).2.contains(why), "{output:?}");
    }
}

#[test]
fn another_plan_is_told_the_same_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let file = simulated(folder.path(), "system.toml", 5, "4s");
    let same = aegis(&root(), &["trace", "what-if", &file, "--format", "json"]);
    let report = json(&same);
    assert_eq!((told(&same).0, &report["schema"]), (0, &"aegis.trace-what-if/1".into()));
    assert_eq!((&report["first_difference"], &report["proven"]), (&Value::Null, &true.into()));
    for task in report["tasks"].as_array().unwrap() {
        assert_eq!(task["observed"], task["what_if"], "{task:#}");
        assert!(task["observed"]["jobs"].as_u64().unwrap() > 0, "{task:#}");
    }
    let edf = aegis(&root(), &["trace", "what-if", &file, "--policy", "edf", "--lane", "main"]);
    let (status, text, _) = told(&edf);
    assert!(
        status == 0 && text.contains("under edf on the lane `main`: 0 missed deadlines, 0 were observed"),
        "{text}"
    );
    // The same plan by its manifest and by its lock.
    for option in [["--manifest", "system.toml"], ["--other-lock", "system.lock"]] {
        let output = aegis(&root(), &["trace", "what-if", &file, option[0], option[1]]);
        assert!(told(&output).0 == 0 && told(&output).1.contains("no job differs"), "{output:?}");
    }
    let unknown = aegis(&root(), &["trace", "what-if", &file, "--policy", "rm", "--lane", "side"]);
    assert!(
        told(&unknown).0 == 2 && told(&unknown).2.contains("the plan has no lane `side`, it has `main`"),
        "{unknown:?}"
    );
}

#[test]
fn a_plan_that_is_not_proven_is_told_loudly() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, policy: &str| {
        let text = format!(
            "system = {{ name = \"lab\", policy = \"{policy}\" }}\nlane.main = {{ kind = \"cpu\", core = 1 }}\n\
             task.long = {{ lane = \"main\", period = \"30ms\", deadline = \"10ms\", wcet = \"5ms\" }}\n\
             task.short = {{ lane = \"main\", period = \"20ms\", deadline = \"20ms\", wcet = \"5ms\" }}\n\
             task.rare = {{ lane = \"main\", period = \"100ms\", deadline = \"100ms\", wcet = \"4ms\" }}\n"
        );
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    // The deadline of the task with the longer period needs it to go first.
    write("system.toml", "deadline-monotonic");
    assert_eq!(told(&aegis(folder.path(), &["check"])).0, 0);
    let arguments = ["simulate", "--pattern", "periodic", "--for", "1s", "--trace", "run.aegistrace"];
    assert_eq!(told(&aegis(folder.path(), &arguments)).0, 0);
    let output = aegis(folder.path(), &["trace", "what-if", "run.aegistrace", "--policy", "rm"]);
    let (status, text, _) = told(&output);
    assert_eq!(status, 1, "{text}");
    assert!(
        text.starts_with("THIS PLAN IS NOT PROVEN (`long`): that a deadline was met in what follows says nothing"),
        "{text}"
    );
    write("other.toml", "rate-monotonic");
    let manifest = aegis(folder.path(), &["trace", "what-if", "run.aegistrace", "--manifest", "other.toml"]);
    let (status, text, findings) = told(&manifest);
    assert!(
        status == 1 && text.starts_with("THIS PLAN IS NOT PROVEN (`long`)") && findings.contains("AEG206"),
        "{manifest:?}"
    );
}

#[test]
fn a_run_through_modes_is_compared_with_each_of_them_and_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = root().join("codegen/tests/fixtures/modes.toml");
    std::fs::copy(fixture, folder.path().join("system.toml")).unwrap();
    assert_eq!(told(&aegis(folder.path(), &["check"])).0, 0);
    for seed in ["1", "2", "3"] {
        let arguments =
            ["simulate", "--pattern", "random", "--seed", seed, "--for", "10s", "--trace", "run.aegistrace"];
        assert_eq!(told(&aegis(folder.path(), &arguments)).0, 0);
        let report = json(&aegis(folder.path(), &["trace", "check", "run.aegistrace", "--format", "json"]));
        assert_eq!((&report["verdict"], &report["counts"]["departures"]), (&"holds".into(), &0.into()), "{report:#}");
        let modes = report["modes"].as_array().unwrap();
        assert!(modes.len() == 3 && modes.iter().all(|mode| mode["count"].as_u64().unwrap() > 2), "{modes:#?}");
        let same = json(&aegis(folder.path(), &["trace", "what-if", "run.aegistrace", "--format", "json"]));
        assert_eq!((&same["first_difference"], &same["assumed"]), (&Value::Null, &0.into()), "{same:#}");
    }
}

#[test]
fn another_vehicles_plan_and_lines_are_told_in_their_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = simulated(folder.path(), "system.toml", 6, "1s");
    let output = aegis(&root(), &["trace", "what-if", &file, "--other-lock", "examples/reader/system.lock"]);
    let (status, text, _) = told(&output);
    assert!(status == 1 && text.contains("NO ARRIVAL OF THIS TRACE IS ONE OF THIS PLAN"), "{output:?}");
    let lines = folder.path().join("t.jsonl").to_str().unwrap().to_owned();
    let convert = aegis(&root(), &["trace", "convert", &file, "--to", "jsonl", "-o", &lines]);
    assert_eq!(told(&convert).0, 0, "{convert:?}");
    for command in [
        &["trace", "check", &lines][..],
        &["trace", "why", "1", &lines],
        &["trace", "what-if", &lines],
        &["trace", "convert", &lines, "--to", "chrome"],
    ] {
        let output = aegis(&root(), command);
        let why =
            "is a trace in JSON lines already, and this command reads the binary form; `aegis trace replay` reads both";
        assert!(told(&output).0 == 2 && told(&output).2.contains(why), "{output:?}");
    }
}

#[test]
fn a_trace_that_dropped_its_beginning_is_not_called_an_older_version() {
    let folder = tempfile::tempdir().unwrap();
    let file = simulated(folder.path(), "system.toml", 7, "60s");
    let mut bytes = std::fs::read(&file).unwrap();
    let blocks: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"AEGB")).collect();
    assert!(blocks.len() > 2, "{blocks:?}");
    bytes.drain(blocks[0]..blocks[1]);
    std::fs::write(&file, bytes).unwrap();
    let output = aegis(&root(), &["trace", "replay", &file]);
    let (status, _, words) = told(&output);
    assert!(status == 2 && words.contains("its beginning was dropped, as --trace-limit has it"), "{words}");
    assert!(!words.contains("older version"), "{words}");
}

#[test]
fn of_many_damaged_places_the_first_ones_are_told_and_the_others_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = simulated(folder.path(), "system.toml", 8, "120s");
    let bytes = std::fs::read(&file).unwrap();
    let mut changed = Vec::new();
    let mut places = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if bytes[at..].starts_with(b"AEGB") {
            changed.push(0);
            places += 1;
        }
        changed.push(*byte);
    }
    std::fs::write(&file, changed).unwrap();
    assert!(places > 22, "{places} blocks");
    let output = aegis(&root(), &["trace", "check", &file]);
    let (status, _, words) = told(&output);
    let lines: Vec<&str> = words.lines().collect();
    let more = format!("aegis: and {} places more were passed over", places - 20);
    assert_eq!((status, lines.len(), lines.last()), (0, 21, Some(&more.as_str())), "{words}");
}
