//! The report as a page: the same bytes each time, nothing that is fetched, and in headless Chromium the numbers of `--format json`,
//! no error, no request, no finding of axe-core and html-validate, and no page that is wider than its window.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aegis_codegen::check::{Options, check};
use aegis_codegen::tables;
use aegis_core::trace::{JobRef, Kind, Record};
use aegis_core::{Duration, Instant, LaneId, TaskId};
use aegis_tests::npm::installed;
use aegis_trace::{Stream, Writer};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn aegis(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis")).args(arguments).current_dir(folder).output().unwrap()
}

/// Writes a page, and gives what `--format json` says of the same check.
fn page(folder: &Path, manifest: &str, page: &Path, more: &[&str]) -> Value {
    let page = page.to_str().unwrap();
    let arguments = [&["check", manifest, "--format", "json", "--report", page], more].concat();
    let output = aegis(folder, &arguments);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn written(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("system.toml"), text).unwrap();
    folder
}

/// A lane that is overloaded, one whose task misses its deadline, a chain that is too long, and one that holds.
const FAILING: &str = r#"system = { name = "pair", policy = "rate-monotonic" }
lane.main = { kind = "cpu", core = 1, preemption = "none" }
lane.side = { kind = "cpu", core = 2 }
task.fast = { lane = "side", period = "10ms", wcet = "2ms" }
task.slow = { lane = "main", period = "40ms", wcet = "39ms" }
task.long = { lane = "main", period = "100ms", wcet = "15ms" }
task.late = { lane = "side", period = "20ms", deadline = "3ms", wcet = "2ms" }
chain.both = { tasks = ["fast", "late"], max-reaction = "20ms" }
"#;

/// A hundred tasks on four lanes of all kinds.
fn many() -> String {
    let mut text = String::from("system = { name = \"fleet\", policy = \"rate-monotonic\" }\n");
    let kinds =
        [("none", "rate-monotonic"), ("segments", "rate-monotonic"), ("full", "rate-monotonic"), ("none", "edf")];
    for (lane, (preemption, policy)) in kinds.iter().enumerate() {
        let core = lane + 1;
        writeln!(
            text,
            "lane.l{lane} = {{ kind = \"cpu\", core = {core}, preemption = \"{preemption}\", policy = \"{policy}\" }}"
        )
        .unwrap();
    }
    let periods = [100, 200, 250, 400, 500, 800, 1000];
    for index in 0..100 {
        let (lane, period) = (index % 4, periods[index / 4 % periods.len()]);
        let wcet = 700 + 13 * index;
        writeln!(
            text,
            "task.sensor-{index:02} = {{ lane = \"l{lane}\", period = \"{period}ms\", wcet = \"{wcet}us\" }}"
        )
        .unwrap();
    }
    text
}

#[test]
fn a_page_is_the_same_each_time_and_needs_nothing_but_itself() {
    let folder = written(FAILING);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let report = page(folder.path(), "system.toml", Path::new("one.html"), &[]);
    assert_eq!(report["verdict"], "fail");
    let output = aegis(folder.path(), &["check", "--output", "html=two.html", "--format", "html"]);
    assert_eq!(output.status.code(), Some(1));
    let (one, two) = (read("one.html"), read("two.html"));
    assert_eq!(one, two);
    assert_eq!(one, String::from_utf8(output.stdout).unwrap());
    for foreign in ["http:", "https:", "src=", "<link", "<script", "@import", "url(", folder.path().to_str().unwrap()] {
        assert!(!one.contains(foreign), "the page has `{foreign}`");
    }
}

#[test]
fn names_and_messages_cannot_become_markup() {
    let folder = written("system = { name = \"<b>&\", policy = \"no-<i>policy\" }\n");
    let output = aegis(folder.path(), &["check", "--format", "html"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("&lt;i&gt;policy") || text.contains("&#60;i&#62;policy"), "{text}");
    assert!(!text.contains("<i>") && !text.contains("<b>"), "{text}");
}

/// Two tasks that hold.
const HOLDING: &str = r#"system = { name = "run", policy = "rate-monotonic" }
lane.main = { kind = "cpu", core = 1, preemption = "none" }
task.slow = { lane = "main", period = "40ms", wcet = "9ms" }
task.fast = { lane = "main", period = "20ms", wcet = "2ms" }
"#;

/// Writes a trace of that plan: jobs of the fast task that respond within 3 ms, and one of the slow task that exceeds its bound.
fn traced(folder: &Path, name: &str) {
    std::fs::write(folder.join("holding.toml"), HOLDING).unwrap();
    let checked = check("holding.toml", HOLDING.to_owned(), Options::default()).unwrap();
    let plan = tables::leak(checked.lock.as_ref().unwrap()).unwrap();
    let task =
        |name: &str| TaskId(u16::try_from(plan.tasks.iter().position(|task| task.name == name).unwrap()).unwrap());
    let mut writer = Writer::new(plan, Stream::new(File::create(folder.join(name)).unwrap()));
    for sequence in 0..1_000 {
        let (name, response) =
            if sequence == 500 { ("slow", 30_000_000) } else { ("fast", 2_000_000 + 1_000 * sequence) };
        let at = Instant::from_ns(20_000_000 * (sequence + 1));
        let kind = Kind::Completed {
            job: JobRef { task: task(name), request: sequence + 1 },
            lane: LaneId(0),
            began: at,
            ended: at,
            response: Duration::from_ns(response),
            execution: Duration::from_ns(1),
        };
        writer.push(&Record { sequence, at, kind }).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn a_trace_of_this_plan_is_shown_and_one_of_another_is_refused() {
    let folder = written(FAILING);
    traced(folder.path(), "run.aegistrace");
    let trace = ["--trace", "run.aegistrace"];
    page(folder.path(), "holding.toml", Path::new("holding.html"), &trace);
    let text = std::fs::read_to_string(folder.path().join("holding.html")).unwrap();
    for shown in ["999 jobs, longest 2.999\u{a0}ms", "1 jobs, longest 30\u{a0}ms", "<code>run.aegistrace</code>"] {
        assert!(text.contains(shown), "no `{shown}`");
    }
    let other = aegis(folder.path(), &[&["check", "--report", "other.html"], &trace[..]].concat());
    let words = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(2), "{words}");
    assert!(words.contains("of `run`, this plan is "), "{words}");
    assert!(!folder.path().join("other.html").exists());
    assert!(words.contains("--profiles") && words.contains("--fit"), "{words}");
    let missing = aegis(folder.path(), &["check", "--report", "other.html", "--trace", "none.aegistrace"]);
    assert_eq!(missing.status.code(), Some(2));
    // JSON lines are another form, and a trace that is refused leaves no lock.
    std::fs::write(folder.path().join("run.jsonl"), "{}\n").unwrap();
    std::fs::remove_file(folder.path().join("holding.lock")).unwrap();
    let lines = ["check", "holding.toml", "--report", "other.html", "--trace", "run.jsonl"];
    let lines = aegis(folder.path(), &lines);
    let words = String::from_utf8(lines.stderr).unwrap();
    assert_eq!(lines.status.code(), Some(2), "{words}");
    assert!(words.contains("only the binary form is read") && words.contains("`.aegistrace`"), "{words}");
    assert!(!folder.path().join("holding.lock").exists());
    // Each way to the page takes a trace, and nothing else does.
    let more = ["--output", "html=again.html"];
    let again = aegis(folder.path(), &[&["check", "holding.toml"], &more[..], &trace].concat());
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(std::fs::read_to_string(folder.path().join("again.html")).unwrap(), text);
    let printed = aegis(folder.path(), &[&["check", "holding.toml", "--format", "html"], &trace[..]].concat());
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), text);
    let nowhere = aegis(folder.path(), &[&["check", "holding.toml", "--output", "json=x"], &trace[..]].concat());
    assert_eq!(nowhere.status.code(), Some(2));
}

#[test]
fn no_row_of_a_page_that_passes_has_a_cross() {
    let budgets = HOLDING.replace("wcet = \"9ms\"", "wcet = \"9ms\", budget = { time = \"8ms\" }");
    let folder = written(&budgets);
    let report = page(folder.path(), "system.toml", Path::new("page.html"), &[]);
    assert_eq!(report["verdict"], "pass");
    let text = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(text.contains("task.slow.budget.time"), "it has a row");
    assert_eq!((text.matches('✗').count(), text.matches("– enforced").count()), (0, 1), "{text}");
}

#[test]
fn an_output_takes_no_file_that_the_check_read() {
    let folder = written(HOLDING);
    assert_eq!(aegis(folder.path(), &["check"]).status.code(), Some(0));
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let (manifest, lock) = (read("system.toml"), read("system.lock"));
    for outputs in [
        &["--report", "system.toml"][..],
        &["--report", "./system.lock"],
        &["--output", "json=system.toml"],
        &["--report", "o.x", "--output", "json=o.x"],
        &["--output", "html=o.x", "--output", "json=./o.x"],
        &["--report", "run.x", "--trace", "run.x"],
    ] {
        let refused = aegis(folder.path(), &[&["check"], outputs].concat());
        let words = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{outputs:?}: {words}");
        assert!(words.contains("give each format a file"), "{outputs:?}: {words}");
    }
    assert_eq!((read("system.toml"), read("system.lock")), (manifest, lock));
    assert!(!folder.path().join("o.x").exists());
}

#[test]
fn a_bound_in_a_sentence_is_not_shorter_than_it_is() {
    let modes = "mode.calm.tasks = [\"slow\", \"fast\"]\nmode.low.tasks = [\"fast\"]\n";
    let folder = written(&format!("{}{modes}", HOLDING.replace("\"9ms\"", "\"9000001ns\"")));
    let report = page(folder.path(), "system.toml", Path::new("page.html"), &[]);
    let text = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    let leaves = report["modes"][0]["leaves_ns"].as_u64().unwrap();
    assert_ne!(leaves % 1_000, 0, "{leaves} has to be rounded");
    let up = leaves.div_ceil(1_000);
    let shown = format!("left within {}.{:03}\u{a0}ms", up / 1_000, up % 1_000);
    assert!(text.contains(&shown), "no `{shown}`");
}

/// One task whose own busy period is short, on a lane whose busy period has millions of jobs.
const LONG: &str = r#"system = { name = "long", policy = "rate-monotonic" }
lane.main = { kind = "cpu", core = 1, preemption = "full" }
task.fast = { lane = "main", period = "1ms", wcet = "100us" }
task.slow = { lane = "main", period = "2000s", wcet = "1000s" }
"#;

#[test]
fn of_a_pattern_no_more_is_laid_out_than_delays_the_task() {
    let folder = written(LONG);
    let report = page(folder.path(), "system.toml", Path::new("page.html"), &[]);
    assert_eq!(report["verdict"], "pass");
    let text = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert_eq!(text.matches("its busy period has too many jobs").count(), 1, "only that of slow");
}

/// Npm's packages and the browser; `None` with a printed reason where they cannot be had.
fn tools() -> Option<(PathBuf, PathBuf)> {
    let packages = ["puppeteer-core@24.43.1", "axe-core@4.14.1", "html-validate@10.17.0"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let browser = std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|browser| browser.is_file());
    let found = browser.ok_or("there is no `chromium`".to_owned());
    match found.and_then(|browser| Ok((installed("report-1", &packages)?, browser))) {
        Ok(tools) => Some(tools),
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
            eprintln!("skipped: no page can be opened: {why}");
            None
        }
    }
}

/// What of each page a browser saw.
fn opened(pages: &[PathBuf]) -> Option<Vec<Value>> {
    let (packages, browser) = tools()?;
    let mut node = Command::new("node");
    let script = root().join("codegen/tests/report.mjs");
    let output = node.arg(script).arg(packages).arg(browser).args(pages).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn a_browser_shows_the_numbers_of_the_report_and_finds_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("failing.toml"), FAILING).unwrap();
    std::fs::write(at("many.toml"), many()).unwrap();
    std::fs::write(at("unreadable.toml"), "system = { name = \"x\", polcy = \"edf\" }\n").unwrap();
    traced(folder.path(), "run.aegistrace");
    let checks: [(PathBuf, &str, &[&str]); 6] = [
        (root(), "system.toml", &["--locked"]),
        (root(), "examples/shuttle/system.toml", &["--locked"]),
        (folder.path().to_owned(), "failing.toml", &[]),
        (folder.path().to_owned(), "unreadable.toml", &[]),
        (folder.path().to_owned(), "many.toml", &[]),
        (folder.path().to_owned(), "holding.toml", &["--trace", "run.aegistrace"]),
    ];
    let pages: Vec<PathBuf> = (0..checks.len()).map(|index| at(&format!("{index}.html"))).collect();
    let reports = checks.iter().zip(&pages).map(|((folder, manifest, more), path)| page(folder, manifest, path, more));
    let reports: Vec<Value> = reports.collect();
    let Some(seen) = opened(&pages) else { return };
    for ((report, seen), (_, manifest, _)) in reports.iter().zip(&seen).zip(&checks) {
        for nothing in ["console", "requests", "violations", "invalid"] {
            assert_eq!(seen[nothing], Value::Array(Vec::new()), "{manifest}: {nothing}");
        }
        for width in seen["widths"].as_array().unwrap() {
            assert_eq!(width[0], width[1], "{manifest}: the page is wider than its window");
        }
        assert!(seen["pdf"].as_u64().unwrap() > 0, "{manifest}: nothing is printed");
        let text = |id: &str| seen["text"][id].as_str().unwrap_or_else(|| panic!("{manifest}: no section {id}"));
        let verdict = if report["verdict"] == "pass" { "Pass" } else { "Fail" };
        assert!(text("verdict").contains(verdict), "{manifest}: {}", text("verdict"));
        let tasks = report["tasks"].as_array().unwrap();
        let bound = |task: &Value| {
            let bound = task["response_ns"].as_u64().map_or(Value::Null, |bound| bound.to_string().into());
            (task["name"].as_str().unwrap().to_owned(), bound)
        };
        assert_eq!(seen["bounds"], Value::Object(tasks.iter().map(bound).collect::<Map<_, _>>()), "{manifest}");
        for finding in report["findings"].as_array().unwrap() {
            assert!(text("findings").contains(finding["code"].as_str().unwrap()), "{manifest}: {finding}");
        }
        for chain in report["chains"].as_array().unwrap() {
            assert!(text("chains").contains(chain["name"].as_str().unwrap()), "{manifest}: {chain}");
        }
        for pool in report["memory"]["pools"].as_array().unwrap() {
            assert!(text("memory").contains(pool["name"].as_str().unwrap()), "{manifest}: {pool}");
        }
    }
    let drawings = |index: usize| seen[index]["drawings"].as_u64().unwrap();
    assert_eq!((drawings(0), drawings(3), drawings(4)), (5, 0, 100));
    assert!(drawings(1) > 0 && drawings(2) == 4, "{} {}", drawings(1), drawings(2));
    let text = |index: usize, id: &str| seen[index]["text"][id].as_str().unwrap();
    assert!(text(2, "findings").contains("failing.toml:5:"), "{}", text(2, "findings"));
    assert!(text(2, "tasks").contains("no bound"), "{}", text(2, "tasks"));
    assert!(text(2, "requirements").contains("chain.both.max-reaction"), "{}", text(2, "requirements"));
    assert!(text(5, "observed").contains("30.000"), "{}", text(5, "observed"));
    assert!(text(3, "verdict").contains("Nothing was analysed"), "{}", text(3, "verdict"));
    assert!(std::fs::metadata(&pages[4]).unwrap().len() < 4 << 20, "a page of 100 tasks is small enough to mail");
}
