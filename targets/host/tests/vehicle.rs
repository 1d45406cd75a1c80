//! A whole vehicle, from the probe's figures through proof, memory and threads to trace, summary and exit status.
//!
//! It needs the library and two models in the cache; without them it says so and passes.
#![allow(clippy::unwrap_used, reason = "clippy knows test functions only, not their helpers")]

mod common;

use aegis_core::desc::{
    Backend, Certificate, ElementType, FileDesc, LaneDesc, MachineDesc, MemoryControl, ModelDesc, OnStall, Policy,
    PoolDesc, SegmentDesc, Step, SystemDesc, TaskDesc, TensorDesc, TensorLife, WatchdogDesc,
};
use aegis_core::{ByteOffset, Bytes, Duration, ModelId, PoolId, Priority, TaskId};
use aegis_host::{Inputs, JobContext, Outputs, Runtime, TaskHooks, TaskStats, Vehicle};
use aegis_linux::Machine;
use aegis_linux::args::Args;
use common::{FACE, LIBRARY, ORIENTATION, cached};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

const MS: u64 = 1_000_000;

const fn ns(value: u64) -> Duration {
    Duration::from_ns(value)
}

/// Asks the probe program; exit status and answer.
fn probe(request: &Value) -> (Option<i32>, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aegis-host-probe"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

fn request(command: &str, library: &Value, models: &Value) -> Value {
    json!({"schema": "aegis.probe/2", "command": command, "library": library, "orchestration_core": 0,
        "lanes": [{"name": "main", "core": 1}], "models": models,
        "min_runs": 20, "min_seconds": 0, "warmup_runs": 2})
}

#[test]
fn the_probe_tells_the_machine_and_refuses_what_it_does_not_understand() {
    let (status, answer) = probe(&request("machine", &Value::Null, &json!([])));
    assert_eq!((status, &answer["schema"]), (Some(0), &json!("aegis.probe/2")));
    assert_eq!(answer["machine"]["cpu_model"], json!(Machine::read().cpu_model));
    assert_eq!((&answer["lanes"], &answer["runtime"]), (&json!([]), &Value::Null));
    assert!(answer["realtime"]["fifo"].is_boolean() && answer["realtime"]["throttle_period_us"].is_i64());
    assert_eq!(probe(&request("dance", &Value::Null, &json!([]))).0, Some(2));
    assert_eq!(probe(&json!({"schema": "aegis.probe/9", "command": "machine"})).0, Some(2));
    assert_eq!(probe(&json!([])).0, Some(2));
    let nowhere = json!({"path": "/nowhere.so", "version": "1"});
    assert_eq!(probe(&request("profile", &nowhere, &json!([]))).0, Some(3));
}

/// The descriptors of one probed model; its tensors begin at `at`.
fn model(answer: &Value, name: &'static str, sha256: &'static str, at: &mut u64) -> ModelDesc {
    let segment = &answer["segments"][0];
    // Everything that loading takes stays, so blocks lie above each other.
    let (persistent_at, mut persistent, mut load) = (*at, 0, Vec::new());
    for (size, slot) in segment["load"].as_array().unwrap().iter().zip(0_u16..) {
        let size = size.as_u64().unwrap();
        load.push(
            slot.checked_sub(1).map_or(Step::lowest(size, 0, 0), |below| Step::above(size, persistent, slot, below)),
        );
        persistent += size.max(1).next_multiple_of(64);
    }
    *at += persistent;
    let text = |value: &Value| -> &'static str { value.as_str().unwrap().to_owned().leak() };
    let mut tensors = |values: &Value| -> &'static [TensorDesc] {
        let tensor = |value: &Value| {
            let sides = value["shape"].as_array().unwrap().iter();
            let shape: Vec<u32> = sides.map(|side| u32::try_from(side.as_u64().unwrap()).unwrap()).collect();
            let size = value["bytes"].as_u64().unwrap();
            let tensor = TensorDesc {
                name: text(&value["name"]),
                element: ElementType::F32,
                shape: shape.leak(),
                at: ByteOffset(*at),
                size: Bytes(size),
            };
            *at += size.next_multiple_of(64);
            tensor
        };
        values.as_array().unwrap().iter().map(tensor).collect::<Vec<_>>().leak()
    };
    let load: &'static [Step] = load.leak();
    let (inputs, outputs) = (tensors(&answer["inputs"]), tensors(&answer["outputs"]));
    let positions = |first: usize, count: usize| -> &'static [u16] {
        (first..first + count).map(|position| u16::try_from(position).unwrap()).collect::<Vec<_>>().leak()
    };
    ModelDesc {
        name,
        backend: Backend::OnnxRuntime,
        pool: PoolId(0),
        weights: Bytes(segment["weights_bytes"].as_u64().unwrap()),
        tensors: TensorLife::Kept,
        inputs,
        outputs,
        carried: &[],
        segments: vec![SegmentDesc {
            file: FileDesc { name, sha256, version: "" },
            memory: MemoryControl::Capped,
            persistent_at: ByteOffset(persistent_at),
            persistent: Bytes(persistent),
            load,
            scratch_at: ByteOffset(0),
            scratch: Bytes(segment["scratch_bytes"].as_u64().unwrap()),
            runs: &[],
            reads: positions(0, inputs.len()),
            writes: positions(inputs.len(), outputs.len()),
        }]
        .leak(),
    }
}

/// Two tasks on one lane, with certificates worked out by hand.
///
/// With C = WCET + 0.5 ms and J = 1 ms: face C = 4.5, T = 20; turn C = 12.5, T = 50.
/// face: B = 12.5 ms − 1 ns, L = B + 4.5, s₀ = B, R = J + B + 4.5 = 18 ms − 1 ns.
/// turn: B = 0, L = 12.5 + 4.5 = 17, s₀ = 4.5, R = J + 4.5 + 12.5 = 18 ms. The lane's busy period is 17 ms.
fn plan(models: [ModelDesc; 2], height: u64) -> &'static SystemDesc {
    let machine: &'static Machine = Box::leak(Box::new(Machine::read()));
    let task = |position: u16, name, period: u64, wcet: u64, response_bound, certificate| TaskDesc {
        name,
        model: Some(ModelId(position)),
        priority: Priority(position),
        period: ns(period * MS),
        deadline: ns(period * MS),
        wcet: ns(wcet * MS),
        budget: ns(wcet * MS),
        miss_window: 10,
        queue: 2,
        response_bound: ns(response_bound),
        certificate,
        ..TaskDesc::EMPTY
    };
    const BLOCKING: u64 = 12_500_000 - 1;
    const FACE_CERTIFICATE: Certificate = Certificate::FixedPriority {
        blocking: ns(BLOCKING),
        busy_period: ns(BLOCKING + 4_500_000),
        starts: &[ns(BLOCKING)],
    };
    const TURN_CERTIFICATE: Certificate =
        Certificate::FixedPriority { blocking: ns(0), busy_period: ns(17 * MS), starts: &[ns(4_500_000)] };
    let tasks =
        vec![task(0, "face", 20, 4, 18 * MS - 1, FACE_CERTIFICATE), task(1, "turn", 50, 12, 18 * MS, TURN_CERTIFICATE)];
    let weights = Bytes(models[0].weights.0 + models[1].weights.0);
    Box::leak(Box::new(SystemDesc {
        name: "two models",
        generator: "by hand",
        config_hash: [1; 32],
        manifest_hash: [2; 32],
        machine: MachineDesc {
            arch: &machine.arch,
            cpu_model: &machine.cpu_model,
            cores: machine.cores,
            governor: &machine.governor,
        },
        libraries: &[FileDesc { name: "onnxruntime", sha256: LIBRARY, version: "1.32.0" }],
        lanes: vec![LaneDesc {
            name: "main",
            policy: Policy::RateMonotonic,
            core: 1,
            dispatch_overhead: ns(500_000),
            wakeup_latency: ns(MS),
            busy_period: ns(17 * MS),
            ..LaneDesc::EMPTY
        }]
        .leak(),
        tasks: tasks.leak(),
        models: Vec::from(models).leak(),
        pools: vec![PoolDesc {
            name: "ram",
            capacity: Bytes(1 << 30),
            shares: None,
            weights,
            height: Bytes(height),
            // All scratch is as large as the larger one, and everything else lies apart.
            lower_bound: Bytes(height),
            private: Bytes(height),
            copy_per_mib: Duration::ZERO,
        }]
        .leak(),
        ..SystemDesc::EMPTY
    }))
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

#[test]
fn a_plan_from_the_probes_figures_runs_and_leaves_trace_and_summary() {
    let (Some(library), Some(face), Some(turn)) = (cached(LIBRARY), cached(FACE), cached(ORIENTATION)) else { return };
    let library = json!({"path": library, "version": "1.32.0"});
    let asked = json!([
        {"name": "face", "files": [face], "backend": "onnxruntime", "core": 1, "inputs": []},
        {"name": "broken", "files": ["/dev/null"], "backend": "onnxruntime", "core": 1, "inputs": []},
        {"name": "turn", "files": [turn], "backend": "onnxruntime", "core": 1,
         "inputs": [{"name": "x", "shape": [1, 3, 224, 224]}]}]);
    let (status, answer) = probe(&request("profile", &library, &asked));
    assert_eq!((status, &answer["runtime"]["version"]), (Some(0), &json!("1.32.0")));
    let models = &answer["models"];
    assert!(models[1]["error"].as_str().unwrap().contains("broken"), "{models}");
    assert!(models[0]["segments"][0]["execution"]["runs"].as_u64() >= Some(20), "{models}");
    assert!(answer["lanes"][0]["dispatch"]["max_ns"].as_u64() > Some(0), "{answer}");

    let scratch = |model: &Value| model["segments"][0]["scratch_bytes"].as_u64().unwrap();
    let mut at = scratch(&models[0]).max(scratch(&models[2]));
    assert_eq!(at % 64, 0, "first fit rounds up");
    let models_answer = models.clone();
    let models = [model(&models[0], "face", FACE, &mut at), model(&models[2], "turn", ORIENTATION, &mut at)];
    let system = plan(models, at);
    assert_eq!(aegis_core::verify::verify(system), Ok(()));

    let folder = tempfile::tempdir().unwrap();
    let (trace, summary) = (folder.path().join("trace.jsonl"), folder.path().join("summary.json"));
    let args = Args {
        run_for: Some(ns(1_000 * MS)),
        trace: Some(trace.clone()),
        summary: Some(summary.clone()),
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
