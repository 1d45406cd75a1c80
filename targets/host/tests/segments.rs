//! A model in two segments, each a file of its own, on a lane that preempts between them: measured, planned by hand, and run.
//!
//! It needs the library in the cache; without it, it says so and passes.
#![allow(clippy::unwrap_used, reason = "clippy knows test functions only, not their helpers")]

mod common;

use aegis_core::desc::{
    Backend, Certificate, ElementType, FileDesc, LaneDesc, MemoryControl, ModelDesc, Policy, PoolDesc, Preemption,
    Recording, SegmentDesc, Step, SystemDesc, TaskDesc, TensorDesc, TensorLife,
};
use aegis_core::verify::{scratch_is_its_own, verify};
use aegis_core::{ByteOffset, Bytes, Duration, ModelId, PoolId, Priority, TaskId};
use aegis_host::cache::sha256;
use aegis_host::{Inputs, JobContext, Outputs, Runtime, TaskHooks, Vehicle};
use aegis_linux::args::Args;
use common::tiny::{BYTES, model};
use common::{LIBRARY, cached, for_this_machine};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

const US: u64 = 1_000;

const fn us(value: u64) -> Duration {
    Duration::from_ns(value * US)
}

/// A folder that serves as the cache, with the library and the models' files.
struct Files {
    folder: tempfile::TempDir,
    /// h = (x + x)², s = −x.
    first: PathBuf,
    /// y = h² + x.
    second: PathBuf,
    /// q = p⁴ + p.
    short: PathBuf,
}

impl Files {
    fn write(library: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sha256")).unwrap();
        let write = |bytes: Vec<u8>| {
            let beside = folder.path().join("new");
            std::fs::write(&beside, bytes).unwrap();
            let path = folder.path().join("sha256").join(sha256(&beside).unwrap());
            std::fs::rename(&beside, &path).unwrap();
            path
        };
        let first =
            model(&["x"], &[("Add", &["x", "x"], "a"), ("Mul", &["a", "a"], "h"), ("Neg", &["x"], "s")], &["h", "s"]);
        let second = model(&["h", "x"], &[("Mul", &["h", "h"], "b"), ("Add", &["b", "x"], "y")], &["y"]);
        let short = [("Mul", ["p", "p"], "c"), ("Mul", ["c", "c"], "d"), ("Add", ["d", "p"], "q")];
        let short: Vec<_> = short.iter().map(|(name, inputs, output)| (*name, inputs.as_slice(), *output)).collect();
        let (first, second, short) = (write(first), write(second), write(model(&["p"], &short, &["q"])));
        std::os::unix::fs::symlink(library, folder.path().join("sha256").join(LIBRARY)).unwrap();
        Self { folder, first, second, short }
    }
}

fn probe(library: &Path, models: &Value) -> Vec<Value> {
    let request = json!({"schema": "aegis.probe/4", "command": "profile", "orchestration_core": 0, "lanes": [],
        "libraries": [{"name": "onnxruntime", "path": library, "version": "1.32.0"}], "models": models,
        "min_runs": 20, "min_seconds": 0, "warmup_runs": 2});
    let mut child = Command::new(env!("CARGO_BIN_EXE_aegis-host-probe"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["models"].as_array().unwrap().clone()
}

/// A recorded run with every block above all that came before it; returns the most bytes that are live and the height.
fn placed(events: &Value) -> (Recording, u64, u64) {
    let (mut steps, mut live) = (Vec::new(), Vec::new());
    let (mut taken, mut height, mut most, mut peak) = (0_u16, 0, 0, 0);
    for event in events.as_array().unwrap() {
        let event = event.as_i64().unwrap();
        match u64::try_from(event) {
            Ok(size) => {
                let below = live.last().map(|(slot, _)| *slot);
                steps.push(Step::Take { size: Bytes(size), at: ByteOffset(height), slot: taken, below });
                live.push((taken, size.max(1).next_multiple_of(64)));
                height += size.max(1).next_multiple_of(64);
                taken += 1;
            }
            Err(_) => {
                let slot = u16::try_from(event.unsigned_abs() - 1).unwrap();
                steps.push(Step::Give { slot });
                live.retain(|(own, _)| *own != slot);
            }
        }
        let now = live.iter().map(|(_, size)| size).sum();
        if now > most {
            (most, peak) = (now, u32::try_from(steps.len() - 1).unwrap());
        }
    }
    (Recording { steps: steps.leak(), peak }, most, height)
}

/// A segment with its scratch at `at`, and what it needs at least while it runs.
fn segment(answer: &Value, at: u64, reads: &'static [u16], writes: &'static [u16]) -> (SegmentDesc, u64) {
    assert_eq!((&answer["memory"], &answer["load"]), (&json!("planned"), &json!([])), "{answer}");
    let runs = answer["runs"].as_array().unwrap();
    assert!(runs.len() == 1 && !runs[0].as_array().unwrap().is_empty(), "{answer}");
    let (recording, most, height) = placed(&runs[0]);
    let sha256 = answer["sha256"].as_str().unwrap().to_owned().leak();
    let desc = SegmentDesc {
        file: FileDesc { name: "tiny", sha256, version: "" },
        engine: "",
        memory: MemoryControl::Planned,
        persistent_at: ByteOffset(0),
        persistent: Bytes(0),
        load: &[],
        scratch_at: ByteOffset(at),
        scratch: Bytes(height),
        runs: vec![recording].leak(),
        reads,
        writes,
        launches: &[],
    };
    (desc, most)
}

const fn tensor(name: &'static str, place: u64) -> TensorDesc {
    let (at, size) = (ByteOffset(place * BYTES), Bytes(BYTES));
    TensorDesc { name, element: ElementType::F32, shape: &[1, 4_096], at, size }
}

/// Both models in one arena, in units of one tensor:
///
/// ```text
///  0  1  2  3  4  5
///  x  h  s  y            the long one: x, h and s live while its job waits; y only in its second segment
///           p  q         the short one
///           ─            scratch of the long one's first segment
///              ──── …    scratch of the long one's second segment
///     ┈┈┈┈┈┈┈┈┈┈┈── …    scratch of the short one: h and s lie inside, where no block does
/// ```
fn models(long: &Value, short: &Value) -> ([ModelDesc; 2], u64, u64) {
    let (first, first_most) = segment(&long["segments"][0], 3 * BYTES, &[0], &[3, 2]);
    let (second, second_most) = segment(&long["segments"][1], 4 * BYTES, &[3, 0], &[1]);
    let (mut only, only_most) = segment(&short["segments"][0], 5 * BYTES, &[0], &[1]);
    // The region begins where h does; its blocks stay where they are.
    let lifted = only.runs[0].steps.iter().map(|step| match *step {
        Step::Take { size, at, slot, below } => Step::Take { size, at: ByteOffset(at.0 + 4 * BYTES), slot, below },
        give => give,
    });
    only.runs = vec![Recording { steps: lifted.collect::<Vec<_>>().leak(), ..only.runs[0] }].leak();
    (only.scratch_at, only.scratch) = (ByteOffset(BYTES), Bytes(only.scratch.0 + 4 * BYTES));
    let end = |segment: &SegmentDesc| segment.scratch_at.0 + segment.scratch.0;
    let height = [&first, &second, &only].map(end).into_iter().max().unwrap();
    // While the short one runs, the long one's job keeps x, h and s.
    let bound = [first_most + 3 * BYTES, second_most + 4 * BYTES, only_most + (2 + 3) * BYTES];
    let weights = |answer: &Value| {
        let segments = answer["segments"].as_array().unwrap().iter();
        Bytes(segments.map(|segment| segment["weights_bytes"].as_u64().unwrap()).sum())
    };
    let long = ModelDesc {
        name: "long",
        backend: Backend::OnnxRuntime,
        engines: None,
        pool: PoolId(0),
        weights: weights(long),
        tensors: TensorLife::Job,
        inputs: const { &[tensor("x", 0)] },
        outputs: const { &[tensor("y", 3), tensor("s", 2)] },
        carried: const { &[tensor("h", 1)] },
        segments: vec![first, second].leak(),
    };
    let short = ModelDesc {
        name: "short",
        weights: weights(short),
        inputs: const { &[tensor("p", 3)] },
        outputs: const { &[tensor("q", 4)] },
        carried: &[],
        segments: vec![only].leak(),
        ..long
    };
    ([short, long], height, bound.into_iter().max().unwrap())
}

/// Two tasks on one lane, with certificates worked out by hand.
///
/// With O = 0.5 ms a segment and J = 1 ms: short C = 4.5, T = 20; long C = 8 + 4 + 2 · 0.5 = 13, its last segment 4.5, T = 50.
/// short: B = 8.5 ms − 1 ns, L = B + 4.5, s₀ = B, R = J + B + 4.5 = 14 ms − 1 ns.
/// long: B = 0, L = 13 + 4.5 = 17.5, s₀ = 13 − 4.5 + 4.5 = 13, R = J + 13 + 4.5 = 18.5 ms.
fn plan(models: [ModelDesc; 2], height: u64, lower_bound: u64) -> &'static SystemDesc {
    const BLOCKING: Duration = Duration::from_ns(8_500 * US - 1);
    const SHORT: Certificate = Certificate::FixedPriority {
        blocking: BLOCKING,
        busy_period: Duration::from_ns(13_000 * US - 1),
        starts: &[BLOCKING],
    };
    const LONG: Certificate =
        Certificate::FixedPriority { blocking: us(0), busy_period: us(17_500), starts: &[us(13_000)] };
    let short = TaskDesc {
        name: "short",
        model: Some(ModelId(0)),
        period: us(20_000),
        deadline: us(20_000),
        phase: us(2_000),
        jitter: us(0),
        bcet: us(0),
        wcet: us(4_000),
        region: us(0),
        budget: us(4_000),
        miss_window: 10,
        queue: 2,
        response_bound: Duration::from_ns(14_000 * US - 1),
        certificate: SHORT,
        ..TaskDesc::EMPTY
    };
    const SEGMENTS: &[Duration] = &[us(8_000), us(4_000)];
    let long = TaskDesc {
        name: "long",
        model: Some(ModelId(1)),
        priority: Priority(1),
        period: us(50_000),
        deadline: us(50_000),
        phase: us(0),
        wcet: us(12_000),
        segments: SEGMENTS,
        budget: us(12_000),
        response_bound: us(18_500),
        certificate: LONG,
        ..short
    };
    let lane = LaneDesc {
        name: "main",
        policy: Policy::RateMonotonic,
        preemption: Preemption::Segments,
        core: 1,
        partition: None,
        dispatch_overhead: us(500),
        launch_overhead: us(0),
        domain_switch: us(0),
        thread_wait: us(0),
        wakeup_latency: us(1_000),
        busy_period: us(17_500),
        points: &[],
        hyperperiod: us(0),
        slots: &[],
    };
    let (capacity, height, lower_bound) = (Bytes(1 << 30), Bytes(height), Bytes(lower_bound));
    let weights = Bytes(models[0].weights.0 + models[1].weights.0);
    Box::leak(Box::new(SystemDesc {
        lanes: vec![lane].leak(),
        tasks: vec![short, long].leak(),
        models: Vec::from(models).leak(),
        pools: vec![PoolDesc {
            name: "ram",
            domain: None,
            gpu: None,
            capacity,
            shares: None,
            weights,
            height,
            lower_bound,
            private: height,
            copy_per_mib: Duration::ZERO,
            page: Bytes(0),
        }]
        .leak(),
        ..for_this_machine("a model in segments")
    }))
}

static CHECKED: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Gives every job another value, and checks every element that comes of it.
struct Checking {
    task: usize,
    value: f32,
}

impl Checking {
    const fn of(task: usize) -> Self {
        Self { task, value: 0.0 }
    }
}

impl TaskHooks for Checking {
    fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
        assert!(job.is_first());
        // Quarters: all results are exact.
        self.value = f32::from(u8::try_from(job.request % 16).unwrap()) / 4.0;
        inputs.f32(0).unwrap().fill(self.value);
        if self.task == 1 {
            // Until the short task's job has arrived.
            let start = std::time::Instant::now();
            while start.elapsed().as_millis() < 4 {}
        }
    }

    fn output(&mut self, job: &JobContext, outputs: &Outputs<'_>) {
        assert!(job.is_last());
        let all = |name: &str, expected: f32| {
            let values = outputs.f32(name).unwrap();
            assert!(values.iter().all(|value| *value == expected), "{name} {expected}: {values:?}");
        };
        let value = self.value;
        if self.task == 0 {
            all("q", value.powi(4) + value);
        } else {
            all("y", (value + value).powi(4) + value);
            all("s", -value);
        }
        CHECKED[self.task].fetch_add(1, Ordering::Relaxed);
    }
}

static RUNTIME: Runtime<2, 1, 2> = Runtime::new();

fn names(tensors: &Value) -> Vec<&str> {
    tensors.as_array().unwrap().iter().map(|tensor| tensor["name"].as_str().unwrap()).collect()
}

#[test]
fn a_model_in_two_segments_is_measured_planned_and_run_with_another_one_in_between() {
    let Some(library) = cached(LIBRARY) else { return };
    let files = Files::write(&library);
    let (first, second, short) = (&files.first, &files.second, &files.short);
    let ask = |name: &str, files: &[&PathBuf]| json!({"name": name, "files": files, "backend": "onnxruntime", "core": 1, "inputs": []});
    let asked =
        [ask("long", &[first, second]), ask("short", &[short]), ask("turned", &[second, first]), ask("none", &[])];
    let answers = probe(&library, &json!(asked));
    let long = &answers[0];
    assert_eq!((names(&long["inputs"]), names(&long["outputs"])), (vec!["x"], vec!["s", "y"]), "{long}");
    assert_eq!((names(&long["carried"]), &long["carried"][0]["bytes"]), (vec!["h"], &json!(BYTES)), "{long}");
    let wires = [0, 1].map(|number: usize| (&long["segments"][number]["reads"], &long["segments"][number]["writes"]));
    assert_eq!(wires, [(&json!(["x"]), &json!(["h", "s"])), (&json!(["h", "x"]), &json!(["y"]))]);
    for segment in long["segments"].as_array().unwrap() {
        assert!(segment["execution"]["runs"].as_u64() >= Some(20), "{segment}");
    }
    let (writer, reader) = (first.display(), second.display());
    let turned = answers[2]["error"].as_str().unwrap();
    let expected = format!("segment 2: \"h\" is read by {reader}, but only the later {writer} writes it");
    assert!(turned.ends_with(&expected), "{turned}");
    assert_eq!(answers[3]["error"], json!("model \"none\": no file was given"));

    let (models, height, lower_bound) = models(long, &answers[1]);
    let system = plan(models, height, lower_bound);
    assert_eq!(verify(system), Ok(()));
    let own = [(0, 0), (1, 0), (1, 1)].map(|(model, segment)| scratch_is_its_own(system, model, segment));
    assert_eq!(own, [false, true, true], "h lies inside the short one's scratch");

    // SAFETY: the only test of this program; nothing else reads or changes the environment now.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var("AEGIS_CACHE", files.folder.path());
    }
    let (trace, summary) = (files.folder.path().join("trace.jsonl"), files.folder.path().join("summary.json"));
    let args = Args {
        run_for: Some(us(1_000_000)),
        trace: Some(trace.clone()),
        summary: Some(summary.clone()),
        ..Args::default()
    };
    let vehicle = Vehicle::new(system, &RUNTIME).hooks(TaskId(0), Checking::of(0)).hooks(TaskId(1), Checking::of(1));
    let status = vehicle.run_with(&args).unwrap();
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(summary).unwrap()).unwrap();
    assert_eq!((&summary["exit"]["status"], &summary["drained"]), (&json!(status), &json!(true)), "{summary}");
    assert_ne!(status, 3, "{summary}");
    let count = |task: usize, key: &str| summary["tasks"][task][key].as_u64().unwrap();
    assert_eq!((count(0, "jobs") + count(0, "rejected"), count(1, "jobs") + count(1, "rejected")), (50, 20));
    assert_eq!((count(0, "failed"), count(1, "failed")), (0, 0), "{summary}");
    for (task, checked) in CHECKED.iter().enumerate() {
        assert_eq!(checked.load(Ordering::Relaxed), count(task, "jobs"), "every result was right: {summary}");
    }
    let memory = &summary["memory"][0];
    assert_eq!(memory["highest_bytes"], memory["arena_bytes"], "{memory}");
    for model in memory["models"].as_array().unwrap() {
        assert_eq!((&model["planned"], &model["control"]), (&json!("planned"), &json!("planned")), "{memory}");
    }

    let trace = std::fs::read_to_string(trace).unwrap();
    aegis_tests::replay::assert_same(system, &trace);
    let lines: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<(&str, &str)> = lines
        .iter()
        .filter_map(|line| Some((line["event"].as_str()?, line["task"].as_str()?)))
        .filter(|(event, _)| matches!(*event, "pause" | "completion"))
        .collect();
    let between = [("pause", "long"), ("completion", "short"), ("completion", "long")];
    assert!(events.windows(3).any(|three| three == between), "{events:?}");
    let of_long = |line: &&Value| line["event"] == "completion" && line["task"] == "long";
    for line in lines.iter().filter(of_long) {
        // The hook of the first piece spins for 4 ms.
        assert!(line["execution_ns"].as_u64() >= Some(4_000 * US), "{line}");
    }

    let describe = Args { describe: true, ..Args::default() };
    assert_eq!(Vehicle::new(system, &RUNTIME).run_with(&describe).unwrap(), 0);
}
