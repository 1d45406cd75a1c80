//! Clocks, power and heat of a made-up machine under a whole vehicle: other ones at its start, and some that change while it runs.
//!
//! It needs the library and two models in the cache; without them it says so and passes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions only, not their helpers")]

mod common;

use aegis_core::desc::{ConditionsDesc, LimitDesc, Quantity, Subject, SystemDesc};
use aegis_core::trace::VoidReason;
use aegis_host::{Runtime, Vehicle};
use aegis_linux::args::Args;
use common::two_models::{MS, model, ns, plan, probed, scratch};
use common::{FACE, ORIENTATION};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const MOST: &str = "sys/devices/system/cpu/cpu1/cpufreq/scaling_max_freq";
const LEAST: &str = "sys/devices/system/cpu/cpu1/cpufreq/scaling_min_freq";

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Runs a vehicle on a machine whose files lie below `root`, which the application changes; returns its exit status, its summary
/// and its trace, which replays.
fn run(
    system: &'static SystemDesc,
    runtime: &'static Runtime<2, 1, 2>,
    root: &Path,
    application: impl FnOnce() + Send + 'static,
) -> (u8, Value, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let (trace, summary) = (folder.path().join("trace.jsonl"), folder.path().join("summary.json"));
    let args = Args {
        run_for: Some(ns(1_500 * MS)),
        trace: Some(trace.clone()),
        summary: Some(summary.clone()),
        ..Args::default()
    };
    let vehicle = Vehicle::new(system, runtime).machine_root(root);
    let (guarantee, pressure) = (vehicle.guarantee(), vehicle.pressure());
    let application = std::thread::spawn(move || {
        // Until it runs nothing is taken.
        while pressure.request(None).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
        application();
    });
    let status = vehicle.run_with(&args).unwrap();
    application.join().unwrap();
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(summary).unwrap()).unwrap();
    let trace = std::fs::read_to_string(trace).unwrap();
    let same = aegis_tests::replay::assert_same(system, &trace);
    assert_eq!(Some(same.records), summary["trace"]["records"].as_u64());
    let voids: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let voids = voids.into_iter().filter(|line: &Value| line["event"] == "guarantee_void").collect::<Vec<_>>();
    // Who asks, the trace and the summary agree.
    let told: Vec<&str> = guarantee.reasons().map(VoidReason::name).collect();
    assert_eq!((voids.len(), guarantee.is_valid()), (told.len(), told.is_empty()));
    assert!(voids.iter().all(|void| told.contains(&void["reason"].as_str().unwrap())), "{voids:?} {told:?}");
    assert_eq!((&summary["guarantee"]["valid"], &summary["exit"]["status"]), (&json!(told.is_empty()), &json!(status)));
    (status, summary, voids)
}

/// The void of a reason: its text, since when, and when it is in the trace.
fn void(summary: &Value, trace: &[Value], reason: &str) -> Option<(String, u64, u64)> {
    let void = summary["guarantee"]["void"].as_array().unwrap().iter().find(|void| void["reason"] == reason)?;
    let record = trace.iter().find(|record| record["reason"] == reason).unwrap();
    let since = void["since_ns"].as_u64().unwrap();
    Some((void["text"].as_str().unwrap().to_owned(), since, record["timestamp"].as_u64().unwrap()))
}

static RUNTIME: Runtime<2, 1, 2> = Runtime::new();

#[test]
fn what_differs_at_the_start_or_changes_later_voids_the_guarantee_with_both_values() {
    let Some(answer) = probed() else { return };
    let models = &answer["models"];
    let mut at = scratch(&models[0]).max(scratch(&models[2]));
    let models = [model(&models[0], "face", FACE, &mut at), model(&models[2], "turn", ORIENTATION, &mut at)];
    let limit = |what, value| LimitDesc { of: Subject::Core(1), what, value };
    let limits = vec![limit(Quantity::LeastClock, 1_728_000), limit(Quantity::MostClock, 1_728_000)].leak();
    let conditions = ConditionsDesc { recheck: ConditionsDesc::SHORTEST, power_mode: "MAXN", limits };
    let system = Box::leak(Box::new(SystemDesc { conditions, ..*plan(models, at, None) }));
    assert_eq!(aegis_core::verify::verify(system), Ok(()));
    let machine = tempfile::tempdir().unwrap();
    let root = machine.path().to_owned();
    put(&root, "var/lib/nvpmodel/status", "pmode:0002");
    put(&root, "etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=2 NAME=30W >\n");
    put(&root, LEAST, "1728000");
    put(&root, MOST, "1728000");
    let own = root.clone();
    let (status, summary, trace) = run(system, &RUNTIME, &root, move || {
        put(&own, LEAST, "729600");
        std::fs::remove_file(own.join(MOST)).unwrap();
    });
    let ended = summary["duration_ns"].as_u64().unwrap();
    for (reason, is_later, expected) in [
        ("other-power", false, "the power mode is \"30W\", the plan was made for \"MAXN\""),
        ("other-clocks", true, "the least clock of core 1 is 729600 kHz, the plan was made for 1728000 kHz"),
        ("conditions-unknown", true, "the most clock of core 1 cannot be read, the plan was made for 1728000 kHz"),
    ] {
        let (text, since, at) = void(&summary, &trace, reason).unwrap_or_else(|| panic!("{reason}: {summary}"));
        assert_eq!((text.as_str(), since, since > 0), (expected, at, is_later));
        assert!(since <= ended, "{since} of {ended}");
    }
    // A disturbed machine may besides have missed a deadline.
    assert!(status == 4 || status == 1, "{summary}");
    if status == 4 {
        let why = summary["exit"]["why"].as_str().unwrap();
        assert!(why.starts_with("the guarantee is void on this machine for "), "{why}");
    }
}
