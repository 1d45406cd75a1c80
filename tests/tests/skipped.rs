//! What an overrun drops, as a chain counts it: how many arrivals in a row, in theory and through the dispatcher.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aegis_codegen::check::{Options, check_loaded, load};
use aegis_codegen::simulate::{Pattern, TraceOut, simulate_into};
use aegis_codegen::tables;
use aegis_core::time::Duration;
use serde_json::Value;
use std::io::Write;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Two more important tasks hold up jobs of `x`, of which several wait, and each overruns its budget and drops an arrival.
const SYSTEM: &str = r#"
system = { name = "skips", policy = "fixed-priority" }
lane.main = { kind = "cpu", core = 1, preemption = "segments" }
task.h = { lane = "main", priority = 0, period = "30ms", phase = "11ms", wcet = "12500us" }
task.g = { lane = "main", priority = 1, period = "40ms", wcet = "9500us" }
chain.c = { tasks = ["x"], max-reaction = "1s" }
[task.x]
lane = "main"
priority = 2
period = "10ms"
deadline = "60ms"
segments = ["800us", "800us", "900us"]
budget = { time = "1ms" }
on-overrun = "skip-next"
"#;

#[test]
fn as_many_arrivals_in_a_row_are_dropped_as_jobs_overrun_while_one_waits() {
    let (loaded, findings) = load("system.toml", SYSTEM.to_owned());
    let checked = check_loaded(&loaded.unwrap(), findings, Options::default()).unwrap();
    assert!(checked.passes(), "{:?}", checked.findings);
    let (analysis, lock) = (checked.analysis.as_ref().unwrap(), checked.lock.as_ref().unwrap());
    let period = 10_000_000;
    let response = analysis.tasks[2].bound().unwrap().as_ns();
    assert!(response > period, "more than one job of x is there at a time");
    let apart = (response.div_ceil(period) + 1) * period;
    let reaction = analysis.chains[0].as_ref().unwrap().reaction;
    assert!(reaction >= apart + response, "a change just after one job read is read by a job {apart} ns later");

    let text = Text::default();
    let desc = tables::leak(lock).unwrap();
    let length = Duration::from_ns(2_400_000_000);
    simulate_into(desc, Pattern::Periodic, length, Some(TraceOut::Lines(Box::new(text.clone())))).unwrap();
    let trace = String::from_utf8(std::mem::take(&mut *text.0.lock().unwrap())).unwrap();
    let lines = trace.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let done = lines.filter(|line| line["event"] == "completion" && line["task"] == "x");
    let arrivals = done.map(|line| line["ended"].as_u64().unwrap() - line["response_ns"].as_u64().unwrap());
    let arrivals: Vec<u64> = arrivals.collect();
    let widest = arrivals.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    println!("at most {} ms between arrivals that are not dropped, {} ms seen", apart / 1_000_000, widest / 1_000_000);
    assert!((2 * period + 1..=apart).contains(&widest), "two in a row at least, {widest} ns seen, {apart} ns counted");
}

#[test]
fn the_exact_analysis_covers_no_lane_of_which_a_level_withholds_arrivals() {
    let lanes = r#"
        system = { name = "levels", policy = "rate-monotonic" }
        lane.main = { kind = "cpu", core = 1 }
        lane.other = { kind = "cpu", core = 2 }
        task.a = { lane = "main", period = "10ms", wcet = "2ms" }
        task.b = { lane = "main", period = "20ms", wcet = "3ms" }
        task.c = { lane = "other", period = "20ms", wcet = "3ms" }
    "#;
    let exact = |text: String| {
        let (loaded, findings) = load("system.toml", text);
        let options = Options { exact: true, ..Options::default() };
        let checked = check_loaded(&loaded.unwrap(), findings, options).unwrap();
        assert!(checked.passes(), "{:?}", checked.findings);
        checked.analysis.unwrap().tasks.iter().map(|task| task.exact.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(exact(lanes.to_owned()), [true; 3]);
    for level in ["shed = [\"a\"]", "reject = [\"b\"]"] {
        assert_eq!(exact(format!("{lanes}\npressure.high = {{ {level} }}")), [false, false, true], "{level}");
    }
}
