//! A plan of two models from the probe's own figures.
#![allow(unreachable_pub, dead_code, reason = "each integration test uses its part")]

use super::{FACE, LIBRARY, LINES, ORIENTATION, cached, for_this_machine};
use aegis_core::desc::{
    Backend, Certificate, ElementType, FileDesc, LaneDesc, LevelDesc, MemoryControl, ModelDesc, Policy, PoolDesc,
    SegmentDesc, Step, SystemDesc, TaskDesc, TensorDesc, TensorLife,
};
use aegis_core::{ByteOffset, Bytes, Duration, ModelId, PoolId, Priority};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};

pub const MS: u64 = 1_000_000;

pub const fn ns(value: u64) -> Duration {
    Duration::from_ns(value)
}

/// Asks the probe program; exit status and answer.
pub fn probe(request: &Value) -> (Option<i32>, Value) {
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

pub fn request(command: &str, library: &Value, models: &Value) -> Value {
    json!({"schema": "aegis.probe/4", "command": command, "libraries": library, "orchestration_core": 0,
        "lanes": [{"name": "main", "core": 1, "waiting": "blocking"}], "models": models,
        "min_runs": 20, "min_seconds": 0, "warmup_runs": 2})
}

/// The descriptors of one probed model; its tensors begin at `at`.
pub fn model(answer: &Value, name: &'static str, sha256: &'static str, at: &mut u64) -> ModelDesc {
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
        engines: None,
        pool: PoolId(0),
        weights: Bytes(segment["weights_bytes"].as_u64().unwrap()),
        tensors: TensorLife::Kept,
        inputs,
        outputs,
        carried: &[],
        segments: vec![SegmentDesc {
            file: FileDesc { name, sha256, version: "" },
            engine: "",
            memory: MemoryControl::Capped,
            persistent_at: ByteOffset(persistent_at),
            persistent: Bytes(persistent),
            load,
            scratch_at: ByteOffset(0),
            scratch: Bytes(segment["scratch_bytes"].as_u64().unwrap()),
            runs: &[],
            reads: positions(0, inputs.len()),
            writes: positions(inputs.len(), outputs.len()),
            launches: &[],
        }]
        .leak(),
    }
}

/// Two tasks on one lane, with certificates worked out by hand. With a level, an event may wait for its change, W = 0.5 ms, else
/// W = 0.
///
/// See [`plan_with`]; O = 0.5 ms.
pub fn plan(models: [ModelDesc; 2], height: u64, level: Option<LevelDesc>) -> &'static SystemDesc {
    let wait = if level.is_some() { 500_000 } else { 0 };
    plan_with(models, height, level, (500_000, wait))
}

/// With C = WCET + O + W and J = 1 ms + W: face C = 4 + O + W, T = 20; turn C = 12 + O + W, T = 50.
/// face: B = 12 ms + O + W − 1 ns, L = B + 4 + O + W, s₀ = B, R = J + L = 17 ms + 2 O + 3 W − 1 ns.
/// turn: B = 0, L = 12 + 4 + 2 O + 2 W, s₀ = 4 + O + W, R = J + L = 17 ms + 2 O + 3 W. The lane's busy period is L.
pub fn plan_with(
    models: [ModelDesc; 2],
    height: u64,
    level: Option<LevelDesc>,
    (overhead, wait): (u64, u64),
) -> &'static SystemDesc {
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
    let certificate = |blocking, busy_period, start| Certificate::FixedPriority {
        blocking: ns(blocking),
        busy_period: ns(busy_period),
        starts: vec![ns(start)].leak(),
    };
    let (blocking, busy_period) = (12 * MS + overhead + wait - 1, 16 * MS + 2 * overhead + 2 * wait);
    let (face, turn) =
        (certificate(blocking, busy_period - 1, blocking), certificate(0, busy_period, 4 * MS + overhead + wait));
    let bound = 17 * MS + 2 * overhead + 3 * wait;
    let tasks = vec![task(0, "face", 20, 4, bound - 1, face), task(1, "turn", 50, 12, bound, turn)];
    let weights = Bytes(models[0].weights.0 + models[1].weights.0);
    Box::leak(Box::new(SystemDesc {
        lanes: vec![LaneDesc {
            name: "main",
            policy: Policy::RateMonotonic,
            core: 1,
            dispatch_overhead: ns(overhead),
            wakeup_latency: ns(MS),
            thread_wait: ns(wait),
            busy_period: ns(busy_period),
            ..LaneDesc::EMPTY
        }]
        .leak(),
        tasks: tasks.leak(),
        models: Vec::from(models).leak(),
        pools: vec![PoolDesc {
            name: "ram",
            domain: None,
            gpu: None,
            capacity: Bytes(1 << 30),
            shares: None,
            weights,
            height: Bytes(height),
            // All scratch is as large as the larger one, and everything else lies apart.
            lower_bound: Bytes(height),
            private: Bytes(height),
            copy_per_mib: Duration::ZERO,
            page: Bytes(u64::try_from(rustix::param::page_size()).unwrap()),
        }]
        .leak(),
        levels: level.into_iter().collect::<Vec<_>>().leak(),
        ..for_this_machine("two models")
    }))
}

pub fn scratch(model: &Value) -> u64 {
    model["segments"][0]["scratch_bytes"].as_u64().unwrap()
}

/// The probe's answer to three models, of which the second is broken, and to a fourth where the cache has it; `None` where there is
/// no cache.
pub fn probed() -> Option<Value> {
    let (library, face, turn) = (cached(LIBRARY)?, cached(FACE)?, cached(ORIENTATION)?);
    let library = json!([{"name": "onnxruntime", "path": library, "version": "1.32.0"}]);
    let mut asked = json!([
        {"name": "face", "files": [face], "backend": "onnxruntime", "core": 1, "inputs": []},
        {"name": "broken", "files": ["/dev/null"], "backend": "onnxruntime", "core": 1, "inputs": []},
        {"name": "turn", "files": [turn], "backend": "onnxruntime", "core": 1,
         "inputs": [{"name": "x", "shape": [1, 3, 224, 224]}]}]);
    if let (Some(lines), Some(asked)) = (cached(LINES), asked.as_array_mut()) {
        asked.push(json!({"name": "lines", "files": [lines], "backend": "onnxruntime", "core": 1, "inputs": []}));
    }
    let (status, answer) = probe(&request("profile", &library, &asked));
    assert_eq!((status, &answer["runtimes"][0]["version"]), (Some(0), &json!("1.32.0")));
    Some(answer)
}
