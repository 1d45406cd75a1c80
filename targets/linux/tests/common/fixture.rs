//! Small plans made by hand for tests: one lane, tasks with a period and an execution time in milliseconds.
#![allow(unreachable_pub, dead_code, reason = "shared by unit tests and several integration tests")]

use aegis_core::Duration;
use aegis_core::desc::{
    FileDesc, LaneDesc, LevelDesc, MachineDesc, ModelDesc, Policy, PoolDesc, Preemption, SegmentDesc, SystemDesc,
    TaskDesc, TensorDesc,
};
use aegis_core::units::{ByteOffset, Bytes, ModelId, PoolId, Priority};

/// A length of time in milliseconds.
pub const fn ms(value: u64) -> Duration {
    Duration::from_ns(value * 1_000_000)
}

const fn tensor(name: &'static str, at: u64) -> TensorDesc {
    let (at, size) = (ByteOffset(at), Bytes(64));
    TensorDesc { name, element: aegis_core::desc::ElementType::F32, shape: &[1, 16], at, size }
}

const SEGMENT: SegmentDesc = SegmentDesc {
    file: FileDesc { name: "net", sha256: "00", version: "" },
    engine: "",
    memory: aegis_core::desc::MemoryControl::Capped,
    persistent_at: ByteOffset(0),
    persistent: Bytes(0),
    load: &[],
    scratch_at: ByteOffset(0),
    scratch: Bytes(64),
    runs: &[],
    reads: &[0],
    writes: &[1],
    launches: &[],
};

/// The model that every task of a fixture runs.
pub const MODEL: ModelDesc = ModelDesc {
    name: "net",
    backend: aegis_core::desc::Backend::OnnxRuntime,
    engines: None,
    pool: PoolId(0),
    weights: Bytes(1_000),
    tensors: aegis_core::desc::TensorLife::Kept,
    inputs: &[tensor("x", 64)],
    outputs: &[tensor("x", 64)],
    carried: &[],
    segments: &[SEGMENT],
};

/// A model in two segments, one tensor between them.
pub const CHAIN: ModelDesc = ModelDesc {
    name: "chain",
    outputs: &[tensor("y", 192)],
    carried: &[tensor("h", 128)],
    segments: &[SegmentDesc { writes: &[2], ..SEGMENT }, SegmentDesc { reads: &[2], ..SEGMENT }],
    ..MODEL
};

/// A level of memory pressure at which everything goes on.
pub const LEVEL: LevelDesc = LevelDesc {
    name: "high",
    shed: &[],
    reject: &[],
    pools: &[],
    models: &[],
    moves: &[],
    settles: Duration::from_ns(1),
};

/// A plan whose tasks have a period and segments in milliseconds, on one lane that preempts between segments. Those of several
/// segments run [`CHAIN`].
pub fn in_segments(tasks: &[(u64, &[u64])]) -> &'static SystemDesc {
    let whole: Vec<(u64, u64)> = tasks.iter().map(|(period, segments)| (*period, segments.iter().sum())).collect();
    let whole = system(&whole);
    let tasks = whole.tasks.iter().zip(tasks).map(|(task, (_, segments))| {
        let model = Some(ModelId(u16::from(segments.len() > 1)));
        let segments: Vec<Duration> = segments.iter().copied().map(ms).collect();
        TaskDesc { model, segments: segments.leak(), ..*task }
    });
    let lanes = whole.lanes.iter().map(|lane| LaneDesc { preemption: Preemption::Segments, ..*lane });
    let (tasks, lanes): (Vec<_>, Vec<_>) = (tasks.collect(), lanes.collect());
    Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), lanes: lanes.leak(), models: &[MODEL, CHAIN], ..*whole }))
}

/// A plan whose tasks are (period, execution) in milliseconds on one lane; the response bound is the period.
pub fn system(tasks: &[(u64, u64)]) -> &'static SystemDesc {
    const NAMES: [&str; 4] = ["face", "lane", "sign", "spare"];
    let tasks: Vec<TaskDesc> = tasks
        .iter()
        .zip(0_u16..)
        .map(|(&(period, wcet), position)| TaskDesc {
            name: NAMES[usize::from(position) % NAMES.len()],
            model: Some(ModelId(0)),
            priority: Priority(position),
            period: ms(period),
            deadline: ms(period),
            wcet: ms(wcet),
            budget: ms(wcet),
            miss_window: 10,
            queue: 2,
            response_bound: ms(period),
            ..TaskDesc::EMPTY
        })
        .collect();
    Box::leak(Box::new(SystemDesc {
        name: "fixture",
        generator: "by hand",
        config_hash: [0xab; 32],
        manifest_hash: [0xcd; 32],
        machine: MachineDesc { arch: "x86_64", cpu_model: "any", cores: 2, governor: "" },
        lanes: Box::leak(Box::new([LaneDesc {
            name: "main",
            policy: Policy::RateMonotonic,
            core: 1,
            dispatch_overhead: Duration::from_ns(200_000),
            wakeup_latency: Duration::from_ns(200_000),
            busy_period: ms(20),
            ..LaneDesc::EMPTY
        }])),
        tasks: Box::leak(tasks.into_boxed_slice()),
        models: &[MODEL],
        pools: &[PoolDesc {
            name: "ram",
            domain: None,
            gpu: None,
            capacity: Bytes(1 << 20),
            shares: None,
            weights: Bytes(1_000),
            height: Bytes(128),
            lower_bound: Bytes(128),
            private: Bytes(192),
            copy_per_mib: Duration::ZERO,
            page: Bytes(0),
        }],
        ..SystemDesc::EMPTY
    }))
}
