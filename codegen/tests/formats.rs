//! What `aegis check` writes for other programs, read by theirs: SARIF by its schema, JUnit by `junitparser`, Markdown by
//! `markdown-it-py`; and what `--baseline` refuses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aegis_tests::pip::installed;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn aegis(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis")).args(arguments).current_dir(folder).output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Where the crate that carries SARIF's schema lies.
fn sarif_schema() -> PathBuf {
    let output = Command::new(env!("CARGO")).args(["metadata", "--format-version", "1"]).current_dir(root()).output();
    let metadata: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "serde-sarif").unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("src/schema.json")
}

/// Python with others' readers; `None` with a printed reason where they cannot be had.
fn python() -> Option<Command> {
    let packages = ["check-jsonschema==0.39.0", "jsonschema==4.26.0", "junitparser==5.0.3", "markdown-it-py==4.3.0"];
    let packages = match installed("formats-2", &packages) {
        Ok(packages) => packages,
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
            eprintln!("skipped: the readers of formats cannot be installed: {why}");
            return None;
        }
    };
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(root());
    Some(python)
}

/// A program's output, which has to end well.
fn well(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
    output.stdout
}

/// What others' readers see of the reports in a folder.
fn read(folder: &Path) -> Option<Value> {
    let output = well(python()?.arg("codegen/tests/formats.py").arg(folder).arg(sarif_schema()));
    Some(serde_json::from_slice(&output).unwrap())
}

const ALL: [&str; 8] = [
    "--output",
    "sarif=report.sarif",
    "--output",
    "junit=report.xml",
    "--output",
    "github=report.github",
    "--output",
    "markdown=report.md",
];

/// A lane that is overloaded and one that is not; a lane that nobody uses.
const OVERLOADED: &str = r#"system = { name = "pair", policy = "rate-monotonic" }
lane.main = { kind = "cpu", core = 1, preemption = "none" }
lane.side = { kind = "cpu", core = 2 }
lane.spare = { kind = "cpu", core = 3 }
task.fast = { lane = "side", period = "10ms", wcet = "2ms" }
task.slow = { lane = "main", period = "40ms", wcet = "39ms" }
task.long = { lane = "main", period = "100ms", wcet = "15ms" }
"#;

fn written(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("system.toml"), text).unwrap();
    folder
}

#[test]
fn other_peoples_readers_see_the_same_findings_in_each_format() {
    let folder = written(OVERLOADED);
    let checked = aegis(folder.path(), &[&["check", "--format", "json"][..], &ALL].concat());
    assert_eq!(status(&checked), 1, "{}", stderr(&checked));
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.len() > 1, "{report:#}");
    let Some(seen) = read(folder.path()) else { return };
    let listed = |list: &str, code: &dyn Fn(&Value) -> String| {
        let mut all: Vec<String> = seen[list].as_array().unwrap().iter().map(code).collect();
        all.sort();
        all
    };
    let mut expected: Vec<String> = findings
        .iter()
        .map(|finding| {
            let line = finding["labels"][0]["line"].as_u64().map_or(String::new(), |line| line.to_string());
            format!("{} {} {line}", finding["severity"].as_str().unwrap(), finding["code"].as_str().unwrap())
        })
        .collect();
    expected.sort();
    let text = |value: &Value| {
        value.as_str().map_or_else(|| value.as_u64().map_or(String::new(), |n| n.to_string()), str::to_owned)
    };
    assert_eq!(
        listed("sarif", &|one| format!("{} {} {}", text(&one["level"]), text(&one["code"]), text(&one["line"]))),
        expected
    );
    assert_eq!(
        listed("github", &|one| {
            let title = text(&one["title"]);
            format!("{} {} {}", text(&one["command"]), title.split(':').next().unwrap(), text(&one["line"]))
        }),
        expected
    );
    assert!(seen["sarif"].as_array().unwrap().iter().all(|one| one["uri"] == "system.toml"));
    let of = |suite: &str| -> Vec<(String, bool)> {
        let cases = seen["junit"].as_array().unwrap().iter().filter(|one| one["suite"] == suite);
        cases.map(|one| (text(&one["case"]), one["passed"] == true)).collect()
    };
    assert_eq!(of("deadlines"), [("fast".to_owned(), true), ("slow".to_owned(), false), ("long".to_owned(), false)]);
    let failed = of("findings").iter().filter(|(_, passed)| !passed).count();
    let errors = findings.iter().filter(|finding| finding["severity"] == "error").count();
    assert_eq!(failed, errors + 1, "each error, and the verdict");
    let rows = seen["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1 + 3 + 1 + findings.len(), "two tables: {rows:?}");
    assert!(rows.iter().all(|row| matches!(row.as_array().unwrap().len(), 4 | 8)), "{rows:?}");
    assert!(std::fs::read_to_string(folder.path().join("report.md")).unwrap().starts_with("## pair: fail\n"));
    // The same again, byte by byte.
    let bytes = || {
        ["report.sarif", "report.xml", "report.github", "report.md"]
            .map(|name| std::fs::read(folder.path().join(name)).unwrap())
    };
    let before = bytes();
    aegis(folder.path(), &[&["check"][..], &ALL].concat());
    assert_eq!(bytes(), before);
}

#[test]
fn denied_warnings_are_errors_in_each_format_and_what_passes_has_none() {
    let folder = written(&OVERLOADED.replace("39ms", "6ms"));
    let denied = aegis(folder.path(), &[&["check", "--deny", "warnings"][..], &ALL].concat());
    assert_eq!(status(&denied), 1, "the spare lane is warned of: {}", stderr(&denied));
    let Some(seen) = read(folder.path()) else { return };
    assert!(seen["sarif"].as_array().unwrap().iter().any(|one| one["level"] == "error"));
    assert!(seen["github"].as_array().unwrap().iter().any(|one| one["command"] == "error"));
    let passing = aegis(folder.path(), &[&["check"][..], &ALL].concat());
    assert_eq!(status(&passing), 0, "{}", stderr(&passing));
    let seen = read(folder.path()).unwrap();
    assert!(seen["sarif"].as_array().unwrap().iter().all(|one| one["level"] == "warning"));
    assert!(seen["junit"].as_array().unwrap().iter().all(|one| one["passed"] == true));
}

#[test]
fn a_manifest_that_cannot_be_read_is_a_report_in_each_format_all_the_same() {
    let folder = written("[system\nname = ");
    let checked = aegis(folder.path(), &[&["check"][..], &ALL].concat());
    assert_eq!(status(&checked), 1);
    let Some(seen) = read(folder.path()) else { return };
    assert!(!seen["sarif"].as_array().unwrap().is_empty());
    assert!(seen["junit"].as_array().unwrap().iter().any(|one| one["passed"] == false));
}

#[test]
fn only_what_got_worse_is_refused_beside_a_baseline() {
    let folder = written(OVERLOADED);
    let json = aegis(folder.path(), &["check", "--format", "json"]);
    std::fs::write(folder.path().join("old.json"), &json.stdout).unwrap();
    let check = || aegis(folder.path(), &["check", "--baseline", "old.json"]);
    let same = check();
    assert_eq!(status(&same), 0, "it was bad before: {}", stderr(&same));
    assert!(stderr(&same).contains("nothing is worse than old.json"));
    std::fs::write(folder.path().join("system.toml"), OVERLOADED.replace("39ms", "38ms")).unwrap();
    assert_eq!(status(&check()), 0, "late by less");
    std::fs::write(folder.path().join("system.toml"), OVERLOADED.replace("\"2ms\"", "\"3ms\"")).unwrap();
    let worse = check();
    assert_eq!(status(&worse), 1);
    assert!(stderr(&worse).contains("worse than old.json: task `fast`: response_ns was"), "{}", stderr(&worse));
    // A report of another system says nothing of this one.
    std::fs::write(folder.path().join("other.toml"), OVERLOADED.replacen("name = \"", "name = \"other-", 1)).unwrap();
    let other = aegis(folder.path(), &["check", "other.toml", "--baseline", "old.json"]);
    assert_eq!(status(&other), 2, "{}", stderr(&other));
    assert!(stderr(&other).contains("only reports of one system can be compared"), "{}", stderr(&other));
    // Also where the new report goes to the old one's place.
    let same = aegis(folder.path(), &["check", "--output", "json=old.json", "--baseline", "old.json"]);
    assert_eq!(status(&same), 1, "{}", stderr(&same));
    std::fs::write(folder.path().join("old.json"), "{}").unwrap();
    let refused = check();
    assert_eq!(status(&refused), 2);
    assert!(stderr(&refused).contains("--baseline: `old.json`: it is no report"), "{}", stderr(&refused));
}

#[test]
fn a_format_that_does_not_exist_and_a_file_that_cannot_be_written_are_usage_errors() {
    let folder = written(OVERLOADED);
    let unknown = aegis(folder.path(), &["check", "--output", "xml=a"]);
    assert_eq!(status(&unknown), 2);
    assert!(stderr(&unknown).contains("known are human, json, sarif, junit, github, markdown"), "{}", stderr(&unknown));
    let nowhere = aegis(folder.path(), &["check", "--output", "sarif=gone/report.sarif"]);
    assert_eq!(status(&nowhere), 2);
    assert!(stderr(&nowhere).contains("--output: cannot write `gone/report.sarif`"), "{}", stderr(&nowhere));
}

#[test]
fn the_files_for_ci_are_what_their_hosts_take_and_the_action_does_what_it_says() {
    let Some(mut python) = python() else { return };
    python.args(["-m", "check_jsonschema", "--builtin-schema"]);
    well(python.args(["vendor.github-actions", "examples/ci/github/action.yml"]));
    let schema = ["-m", "check_jsonschema", "--builtin-schema", "vendor.gitlab-ci", "examples/ci/gitlab.yml"];
    well(self::python().unwrap().args(schema));
    let script = "import ruamel.yaml; print(ruamel.yaml.YAML().load(open('examples/ci/github/action.yml'))['runs']['steps'][0]['run'])";
    let script = String::from_utf8(well(self::python().unwrap().args(["-c", script]))).unwrap();
    let folder = written(&OVERLOADED.replace("39ms", "6ms"));
    assert_eq!(status(&aegis(folder.path(), &["check", "--format", "json", "--output", "json=accepted.json"])), 0);
    let action = |deny: &str, baseline: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-eo", "pipefail", "-c", &script]).current_dir(folder.path());
        shell.env("AEGIS", env!("CARGO_BIN_EXE_aegis")).env("MANIFEST", "system.toml").env("REPORTS", "reports");
        shell
            .env("DENY_WARNINGS", deny)
            .env("BASELINE", baseline)
            .env("GITHUB_STEP_SUMMARY", folder.path().join("summary"));
        shell.output().unwrap()
    };
    let refused = action("true", "");
    assert_eq!(status(&refused), 1, "the spare lane is warned of: {}", stderr(&refused));
    assert!(String::from_utf8_lossy(&refused.stdout).starts_with("::error file=system.toml,line=4,"), "{refused:?}");
    assert_eq!(status(&action("false", "")), 0);
    assert_eq!(status(&action("true", "accepted.json")), 0, "it was warned of before");
    for report in ["report.sarif", "report.xml", "report.json", "report.md"] {
        assert!(folder.path().join("reports").join(report).exists(), "{report}");
    }
    let summary = std::fs::read_to_string(folder.path().join("summary")).unwrap();
    assert_eq!(summary.matches("## pair: ").count(), 3, "one for each step: {summary}");
}

/// Three words that nobody knows, a space in a time, and a comment that has to stay.
const MISSPELT: &str = r#"[system]
name = "misspelt"
policy = "rate-monotonc"

[lane.main]
kind = "cpu"
core = 1

[task.look]
# The camera's rate.
lane = "mian"
perod = "33 ms"
wcet = "2 ms"
"#;

#[test]
fn what_findings_know_to_change_is_changed_and_checked_again() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("system.toml");
    std::fs::write(&manifest, MISSPELT).unwrap();
    let told = aegis(folder.path(), &["check", "--format", "sarif"]);
    assert_eq!(status(&told), 1);
    let sarif: Value = serde_json::from_slice(&told.stdout).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let fixes: Vec<&Value> =
        results.iter().flat_map(|result| result["fixes"].as_array().into_iter().flatten()).collect();
    assert_eq!(fixes.len(), 4, "{sarif}");
    let replaced = &fixes[0]["artifactChanges"][0]["replacements"][0];
    assert_eq!(replaced["insertedContent"]["text"], "\"rate-monotonic\"");
    let region = &replaced["deletedRegion"];
    assert_eq!([&region["startLine"], &region["startColumn"], &region["endColumn"]], [3, 10, 25]);
    assert_eq!(std::fs::read_to_string(&manifest).unwrap(), MISSPELT, "only --fix changes it");

    let fixed = aegis(folder.path(), &["check", "--fix"]);
    assert_eq!(status(&fixed), 0, "{}", stderr(&fixed));
    assert!(stderr(&fixed).contains("--fix: 4 of these changed `system.toml`"), "{}", stderr(&fixed));
    // The time stood under a key that nobody knew, so its space shows only in the second round.
    assert!(stderr(&fixed).contains("--fix: 1 of these changed `system.toml`"), "{}", stderr(&fixed));
    let right = [("monotonc", "monotonic"), ("mian", "main"), ("perod", "period"), ("33 ms", "33ms"), ("2 ms", "2ms")];
    let expected = right.iter().fold(MISSPELT.to_owned(), |text, (wrong, right)| text.replace(wrong, right));
    assert_eq!(std::fs::read_to_string(&manifest).unwrap(), expected);
    let again = aegis(folder.path(), &["check", "--fix"]);
    assert_eq!((status(&again), stderr(&again)), (0, ""));
}
