//! A whole vehicle, from the probe's figures through proof, memory and threads to trace, summary and exit status.
//!
//! It needs the library and two models in the cache; without them it says so and passes.
#![allow(clippy::unwrap_used, reason = "clippy knows test functions only, not their helpers")]

mod common;

use aegis_core::TaskId;
use aegis_core::desc::{OnStall, SystemDesc, WatchdogDesc};
use aegis_host::{Inputs, JobContext, Outputs, Runtime, TaskHooks, TaskStats, Vehicle};
use aegis_linux::Machine;
use aegis_linux::args::Args;
use aegis_linux::metrics::Options;
use aegis_tests::metrics::{samples, total};
use common::two_models::{MS, model, ns, plan, probe, probed, request, scratch};
use common::{FACE, ORIENTATION};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn the_probe_tells_the_machine_and_refuses_what_it_does_not_understand() {
    let (status, answer) = probe(&request("machine", &json!([]), &json!([])));
    assert_eq!((status, &answer["schema"]), (Some(0), &json!("aegis.probe/4")));
    assert_eq!(answer["machine"]["cpu_model"], json!(Machine::read().cpu_model));
    assert_eq!((&answer["lanes"], &answer["runtimes"]), (&json!([]), &json!([])));
    assert!(answer["realtime"]["fifo"].is_boolean() && answer["realtime"]["throttle_period_us"].is_i64());
    assert_eq!(probe(&request("dance", &json!([]), &json!([]))).0, Some(2));
    assert_eq!(probe(&json!({"schema": "aegis.probe/9", "command": "machine"})).0, Some(2));
    assert_eq!(probe(&json!([])).0, Some(2));
    let nowhere = json!([{"name": "onnxruntime", "path": "/nowhere.so", "version": "1"}]);
    assert_eq!(probe(&request("profile", &nowhere, &json!([]))).0, Some(3));
}

static INPUTS: AtomicU64 = AtomicU64::new(0);
static OUTPUTS: AtomicU64 = AtomicU64::new(0);
static PETS: AtomicU64 = AtomicU64::new(0);
static CLOSED: AtomicU64 = AtomicU64::new(0);

/// Counts what it is told, and checks that the model computed something from what it was given.
struct Counting;

impl TaskHooks for Counting {
    fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
        assert!(job.began >= job.arrival && job.name == "face");
        inputs.f32(0).unwrap().fill(0.5);
        INPUTS.fetch_add(1, Ordering::Relaxed);
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        assert!(outputs.f32(0).unwrap().iter().any(|value| *value != 0.0));
        OUTPUTS.fetch_add(1, Ordering::Relaxed);
    }

    fn closing(&mut self, stats: &TaskStats) {
        CLOSED.store(stats.jobs, Ordering::Relaxed);
    }
}

static RUNTIME: Runtime<2, 1, 2> = Runtime::new();

/// Compares the metrics that a run leaves with its summary.
fn are_of(metrics: &str, summary: &Value) {
    let all = samples(metrics);
    for task in summary["tasks"].as_array().unwrap() {
        let label = format!("task=\"{}\"", task["name"].as_str().unwrap());
        for (metric, key) in [
            ("aegis_jobs_completed_total", "jobs"),
            ("aegis_job_response_seconds_count", "jobs"),
            ("aegis_job_execution_wcet_ratio_count", "jobs"),
            ("aegis_jobs_failed_total", "failed"),
            ("aegis_jobs_aborted_total", "aborted"),
            ("aegis_jobs_dropped_total", "dropped"),
            ("aegis_deadline_misses_total", "misses"),
            ("aegis_budget_overruns_total", "overruns"),
            ("aegis_response_bounds_exceeded_total", "exceeded"),
            ("aegis_response_bounds_exceeded_explained_total", "explained"),
            ("aegis_arrivals_rejected_total", "rejected"),
            ("aegis_arrivals_skipped_total", "skipped"),
            ("aegis_arrivals_withheld_total", "withheld"),
            ("aegis_arrivals_deferred_total", "deferred"),
            ("aegis_arrivals_forgone_total", "forgone"),
        ] {
            assert_eq!(Some(total(&all, metric, &label)), task[key].as_u64(), "{metric} of {label}");
        }
        let longest =
            all.iter().find(|(name, _)| name.starts_with("aegis_job_response_max_seconds") && name.contains(&label));
        let longest: f64 = longest.unwrap().1.parse().unwrap();
        let ns = std::time::Duration::from_secs_f64(longest).as_nanos();
        assert_eq!(u64::try_from(ns).ok(), task["max_response_ns"].as_u64(), "{label}");
    }
    let pool = &summary["memory"][0];
    for (metric, key) in [
        ("aegis_pool_capacity_bytes", "capacity_bytes"),
        ("aegis_pool_arena_bytes", "arena_bytes"),
        ("aegis_pool_highest_bytes", "highest_bytes"),
        ("aegis_pool_lower_bound_bytes", "lower_bound_bytes"),
        ("aegis_pool_private_bytes", "private_bytes"),
        ("aegis_pool_weights_bytes", "weights_bytes"),
        ("aegis_pool_refused_requests_total", "refused_requests"),
    ] {
        assert_eq!(Some(total(&all, metric, "")), pool[key].as_u64(), "{metric}");
    }
    for (metric, value) in [
        ("aegis_trace_records_total", &summary["trace"]["records"]),
        ("aegis_trace_lost_records_total", &summary["trace"]["lost"]),
        ("aegis_steps_exceeded_total", &summary["steps"]["exceeded"]),
        ("aegis_steps_exceeded_explained_total", &summary["steps"]["explained"]),
        ("aegis_lane_stalls_total", &summary["watchdog"]["lane_stalls"]),
        ("aegis_loop_stalls_total", &summary["watchdog"]["loop_stalls"]),
    ] {
        assert_eq!(Some(total(&all, metric, "")), value.as_u64(), "{metric}");
    }
    let valid = u64::from(summary["guarantee"]["valid"].as_bool().unwrap());
    assert_eq!((total(&all, "aegis_guarantee_valid", ""), total(&all, "aegis_vehicle_running", "")), (valid, 0));
    let voids = u64::try_from(summary["guarantee"]["void"].as_array().unwrap().len()).unwrap();
    let distinct = total(&all, "aegis_guarantee_void", "");
    assert!(distinct <= voids && (distinct > 0) == (voids > 0), "{summary}");
    let ppm = summary["lanes"][0]["observed_utilization_ppm"].as_u64().unwrap();
    let ratio = format!("{}.{:06}", ppm / 1_000_000, ppm % 1_000_000);
    assert_eq!(all["aegis_lane_utilization_ratio{lane=\"main\"}"], ratio.trim_end_matches('0'), "{summary}");
}

#[test]
fn a_plan_from_the_probes_figures_runs_and_leaves_trace_and_summary() {
    let Some(answer) = probed() else { return };
    let models = &answer["models"];
    assert!(models[1]["error"].as_str().unwrap().contains("broken"), "{models}");
    assert!(models[0]["segments"][0]["execution"]["runs"].as_u64() >= Some(20), "{models}");
    assert!(answer["lanes"][0]["dispatch"]["max_ns"].as_u64() > Some(0), "{answer}");

    let mut at = scratch(&models[0]).max(scratch(&models[2]));
    assert_eq!(at % 64, 0, "first fit rounds up");
    let models_answer = models.clone();
    let models = [model(&models[0], "face", FACE, &mut at), model(&models[2], "turn", ORIENTATION, &mut at)];
    let system = plan(models, at, None);
    assert_eq!(aegis_core::verify::verify(system), Ok(()));

    let folder = tempfile::tempdir().unwrap();
    let [trace, summary, metrics] = ["trace.jsonl", "summary.json", "aegis.prom"].map(|name| folder.path().join(name));
    let args = Args {
        run_for: Some(ns(1_000 * MS)),
        trace: Some(trace.clone()),
        summary: Some(summary.clone()),
        metrics: Options { file: Some(metrics.clone()), listen: Some(([127, 0, 0, 1], 0).into()), every: None },
        ..Args::default()
    };
    let device = folder.path().join("watchdog").into_os_string().into_string().unwrap();
    std::fs::write(&device, "").unwrap();
    let watchdog = WatchdogDesc { timeout: ns(300 * MS), device: Some(device.leak()), on_stall: OnStall::Record };
    let unwatched = Vehicle::new(system, &RUNTIME).pet(|| ()).run_with(&args).unwrap_err();
    assert!(unwatched.status() == 2 && unwatched.to_string().contains("[watchdog]"), "{unwatched}");
    let system: &SystemDesc = Box::leak(Box::new(SystemDesc { watchdog: Some(watchdog), ..*system }));
    let pet = || {
        PETS.fetch_add(1, Ordering::Relaxed);
    };
    let status = Vehicle::new(system, &RUNTIME).hooks(TaskId(0), Counting).pet(pet).run_with(&args).unwrap();

    let summary: Value = serde_json::from_str(&std::fs::read_to_string(summary).unwrap()).unwrap();
    assert_eq!(summary["exit"]["status"], json!(status));
    assert_eq!((&summary["drained"], &summary["trace"]["lost"]), (&json!(true), &json!(0)), "{summary}");
    let watched = &summary["watchdog"];
    assert_eq!((&watched["timeout_ns"], &watched["on_stall"]), (&json!(300 * MS), &json!("record")), "{summary}");
    let pets = watched["pets"].as_u64().unwrap();
    assert!(pets >= 4 && pets == PETS.load(Ordering::Relaxed), "{summary}");
    let written = std::fs::read(watchdog.device.unwrap()).unwrap();
    let (end, zeros) = written.split_last().unwrap();
    assert!(
        *end == b'V' && u64::try_from(zeros.len()) == Ok(pets) && zeros.iter().all(|byte| *byte == 0),
        "{written:?}"
    );
    let memory = &summary["memory"][0];
    assert_eq!((&memory["refused_requests"], &memory["unattributed_requests"]), (&json!(0), &json!(0)), "{summary}");
    assert_eq!(memory["highest_bytes"], memory["arena_bytes"], "{summary}");
    assert_eq!(
        memory["models"][0],
        json!({"name": "face", "backend": "onnxruntime", "planned": "capped", "control": "capped"})
    );
    assert_eq!(models_answer[0]["segments"][0]["memory"], json!("planned"), "{models_answer}");
    let count = |task: usize, key: &str| summary["tasks"][task][key].as_u64().unwrap();
    assert_eq!((count(0, "jobs") + count(0, "rejected"), count(1, "jobs") + count(1, "rejected")), (50, 20));
    assert_eq!(INPUTS.load(Ordering::Relaxed), count(0, "jobs"));
    assert_eq!(OUTPUTS.load(Ordering::Relaxed), count(0, "jobs"));
    assert_eq!(CLOSED.load(Ordering::Relaxed), count(0, "jobs"));

    let trace = std::fs::read_to_string(trace).unwrap();
    let lines: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(u64::try_from(lines.len()).ok(), summary["trace"]["records"].as_u64());
    let completions = lines.iter().filter(|line| line["event"] == "completion").count();
    assert_eq!(u64::try_from(completions), Ok(count(0, "jobs") + count(1, "jobs")));
    let same = aegis_tests::replay::assert_same(system, &trace);
    assert_eq!(
        (Some(same.records), same.decisions),
        (summary["trace"]["records"].as_u64(), count(0, "jobs") + count(1, "jobs"))
    );
    let binding = lines.iter().find(|line| line["event"] == "binding" && line["task"] == "face").unwrap();
    assert_eq!(binding["inputs"][0]["bytes"], json!(196_608), "{binding}");

    are_of(&std::fs::read_to_string(metrics).unwrap(), &summary);

    // The storage of a run is one static: a second run in the same process is refused.
    let again = Vehicle::new(system, &RUNTIME).run_with(&Args::default()).unwrap_err();
    assert_eq!(again.status(), 3, "{again}");

    // A changed bound no longer proves itself.
    let mut tasks = system.tasks.to_vec();
    tasks[0].response_bound = ns(17 * MS);
    let forged = Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), ..*system }));
    let refused = Vehicle::new(forged, &RUNTIME).run_with(&Args::default()).unwrap_err();
    assert_eq!(refused.status(), 2, "{refused}");
    let describe = Args { describe: true, ..Args::default() };
    assert_eq!(Vehicle::new(system, &RUNTIME).run_with(&describe).unwrap(), 0);
}
