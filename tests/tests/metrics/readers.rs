//! Others' readers take both formats without a word: `promtool check metrics`, and prometheus_client's parsers.

use super::{ended, running, text};
use aegis_linux::metrics::Format;
use aegis_tests::fetched::root;
use aegis_tests::metrics::{promtool, samples};
use aegis_tests::pip::installed;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A tool, or `None` with a printed reason where it cannot be had.
fn tool(tool: Result<PathBuf, String>) -> Option<PathBuf> {
    if let Err(why) = &tool {
        assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
        println!("skipped: a reader of metrics cannot be installed: {why}");
    }
    tool.ok()
}

/// What promtool says of a text, with its exit status.
fn checked(promtool: &PathBuf, text: &str) -> (Option<i32>, String) {
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn promtool_finds_nothing_wrong() {
    let Some(promtool) = tool(promtool()) else { return };
    for snapshot in [running(), ended()] {
        assert_eq!(checked(&promtool, &text(&snapshot, Format::Prometheus)), (Some(0), String::new()));
    }
    // It would have found something.
    let bad = text(&running(), Format::Prometheus).replace("aegis_steps_exceeded_total", "aegis_steps_exceeded");
    assert_eq!(checked(&promtool, &bad).0, Some(3));
    let rules = root().join("examples/metrics/rules.yml");
    let output = Command::new(&promtool).args(["check", "rules"]).arg(rules).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config = root().join("examples/metrics/prometheus.yml");
    let output = Command::new(&promtool).args(["check", "config"]).arg(config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_parsers_of_prometheus_client_see_the_same_samples_in_both_formats() {
    let Some(packages) = tool(installed("prometheus-client", &["prometheus_client==0.26.0"])) else { return };
    let folder = tempfile::tempdir().unwrap();
    for snapshot in [running(), ended()] {
        let (plain, open) = (folder.path().join("plain"), folder.path().join("open"));
        let written = text(&snapshot, Format::Prometheus);
        std::fs::write(&plain, &written).unwrap();
        std::fs::write(&open, text(&snapshot, Format::OpenMetrics)).unwrap();
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", &packages).env("PYTHONDONTWRITEBYTECODE", "1");
        let output = python.arg(root().join("tests/tests/metrics/read.py")).args([&plain, &open]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let count: usize = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        assert_eq!(count, samples(&written).len());
    }
}
