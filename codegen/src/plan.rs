//! The checked plan as data: what the lock holds and the tables are rendered from.
//!
//! Numbers are integers (nanoseconds, bytes); every list has the order of the tables, so the same plan always has the
//! same text.

mod conditions;
mod domain;
mod gpu;

use crate::engines::Built;
use crate::launches::Launch;
use crate::system::{File, Gpu, Machine};
pub use conditions::{Conditions, Limit};
pub use domain::{Domain, Process, Restart};
pub use gpu::Partition;
use serde::{Deserialize, Serialize};

/// One vehicle's whole plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Plan {
    /// The vehicle's name.
    pub name: String,
    /// The core of the orchestration thread.
    pub orchestration_core: u16,
    /// How its threads wait: `blocking` or `polling`.
    pub waiting: String,
    /// How the vehicle watches itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<Watchdog>,
    /// What it watches of its operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// The machine that the bounds hold for.
    pub machine: Machine,
    /// Under what clocks, power and heat.
    pub conditions: Conditions,
    /// The runtime libraries.
    #[serde(rename = "library", default)]
    pub libraries: Vec<File>,
    /// The data files for hooks.
    #[serde(rename = "asset", default)]
    pub assets: Vec<File>,
    /// The memory pools.
    #[serde(rename = "pool", default)]
    pub pools: Vec<Pool>,
    /// The fault domains.
    #[serde(rename = "domain", default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<Domain>,
    /// The lanes.
    #[serde(rename = "lane")]
    pub lanes: Vec<Lane>,
    /// The models.
    #[serde(rename = "model", default)]
    pub models: Vec<Model>,
    /// The tasks, grouped by lane, the most important first.
    #[serde(rename = "task")]
    pub tasks: Vec<Task>,
    /// The answers to memory pressure.
    #[serde(rename = "level", default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<Level>,
    /// The modes, the one that holds at the start first.
    #[serde(rename = "mode", default, skip_serializing_if = "Vec::is_empty")]
    pub modes: Vec<Mode>,
}

/// How the vehicle watches itself: no bound rests on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Watchdog {
    /// How much longer than planned something may take.
    pub timeout_ns: u64,
    /// The device that is petted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The name of the answer to a stall, or `mode` and the mode's position.
    pub on_stall: String,
}

/// What is watched of the operating system: no bound rests on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Watch {
    /// Between two looks.
    pub interval_ns: u64,
    /// Before something milder is asked for.
    pub hold_ns: u64,
    /// Those of milder levels and modes first.
    #[serde(rename = "threshold")]
    pub thresholds: Vec<Threshold>,
}

/// A reading that asks for a level or a mode.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Threshold {
    /// The source's name.
    pub source: String,
    /// From here on: bytes, or hundredths of a percent.
    pub when: u64,
    /// Until here.
    pub until: u64,
    /// `level` or `mode`, and its position.
    pub asks: String,
}

/// A memory pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pool {
    /// The device's name, and of a domain's pool the domain's.
    pub name: String,
    /// The position of the fault domain whose memory it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<u16>,
    /// What the device grants.
    pub capacity_bytes: u64,
    /// The position of the pool whose capacity it draws on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<u16>,
    /// What backends hold besides the arena.
    pub weights_bytes: u64,
    /// The arena's length.
    pub height_bytes: u64,
    /// No plan is lower.
    pub lower_bound_bytes: u64,
    /// The arena's length without sharing.
    pub private_bytes: u64,
    /// To copy 1 MiB within the arena, where the manifest says.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub copy_per_mib_ns: u64,
    /// The size of its pages, where the manifest says.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub page_bytes: u64,
    /// The GPU whose memory it is, where lanes have parts of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpu>,
}

/// A lane.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lane {
    /// The name.
    pub name: String,
    /// The policy's name.
    pub policy: String,
    /// Where it preempts.
    pub preemption: String,
    /// The worker's core.
    pub core: u16,
    /// Per segment.
    pub dispatch_overhead_ns: u64,
    /// Per segment.
    pub launch_overhead_ns: u64,
    /// Per segment.
    pub domain_switch_ns: u64,
    /// Per segment and per release.
    pub thread_wait_ns: u64,
    /// Per release.
    pub wakeup_latency_ns: u64,
    /// The longest busy interval.
    pub busy_period_ns: u64,
    /// EDF: for each absolute deadline of the busy period, when all that is due by then is complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points_ns: Vec<(u64, u64)>,
    /// Time-triggered: the table's length.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hyperperiod_ns: u64,
    /// Time-triggered: instants with the positions of tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<(u64, u16)>,
    /// The part of a GPU that its segments run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
}

/// Whether a word says nothing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(word: &bool) -> bool {
    !*word
}

/// Whether a number says nothing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An answer to memory pressure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Level {
    /// The name.
    pub name: String,
    /// The positions of the tasks that stop.
    pub shed: Vec<u16>,
    /// The positions of the tasks whose arrivals are refused.
    pub reject: Vec<u16>,
    /// Positions of models with those of their kept tensors that move, in the order in which they are copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<(u16, u16)>,
    /// Until its memory is all that is in use.
    pub settles_ns: u64,
    /// What is left of each pool.
    #[serde(rename = "pool", default)]
    pub pools: Vec<LevelPool>,
    /// Where everything lies, if it compacts.
    #[serde(rename = "model", default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
}

/// What is left of a pool at a level.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LevelPool {
    /// What backends hold besides the arena.
    pub weights_bytes: u64,
    /// Nothing above is in use.
    pub height_bytes: u64,
    /// No plan of what stays is lower.
    pub lower_bound_bytes: u64,
    /// What is copied when the level is entered or left.
    pub copied_bytes: u64,
    /// Whole pages that can be given back: where they begin, and their length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<(u64, u64)>,
}

/// A mode with its own proof.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mode {
    /// The name.
    pub name: String,
    /// From the request until the next mode's tasks are released.
    pub leaves_ns: u64,
    /// What differs from mode to mode of each of the plan's lanes.
    #[serde(rename = "lane")]
    pub lanes: Vec<ModeLane>,
    /// Its tasks, ascending.
    #[serde(rename = "task")]
    pub tasks: Vec<ModeTask>,
}

/// A lane in a mode.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModeLane {
    /// The longest busy interval.
    pub busy_period_ns: u64,
    /// EDF: as in [`Lane::points_ns`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points_ns: Vec<(u64, u64)>,
}

/// A task in a mode.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModeTask {
    /// Its position in the plan.
    pub task: u16,
    /// The bound while the mode holds.
    pub response_ns: u64,
    /// What re-proves it.
    pub certificate: Certificate,
}

/// A model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Model {
    /// The name.
    pub name: String,
    /// The backend's name.
    pub backend: String,
    /// How the engines of its segments were built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines: Option<Built>,
    /// The pool's position.
    pub pool: u16,
    /// Held by the backend outside the arena.
    pub weights_bytes: u64,
    /// How long its inputs and outputs hold their contents.
    pub tensors: String,
    /// Its inputs.
    #[serde(rename = "input", default)]
    pub inputs: Vec<Tensor>,
    /// Its outputs.
    #[serde(rename = "output", default)]
    pub outputs: Vec<Tensor>,
    /// What segments hand to later ones.
    #[serde(rename = "carried", default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<Tensor>,
    /// Its segments.
    #[serde(rename = "segment")]
    pub segments: Vec<Segment>,
}

/// A segment of a model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Segment {
    /// The model's name, with the segment's number where it has more than one.
    pub name: String,
    /// The file's checksum.
    pub sha256: String,
    /// That of the engine that was built of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub engine_sha256: String,
    /// How far its memory is planned.
    pub memory: String,
    /// Where the memory lies that loading takes and keeps.
    pub persistent_at: u64,
    /// Its length.
    pub persistent_bytes: u64,
    /// The requests of loading.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load: Vec<Step>,
    /// Where its shared scratch lies.
    pub scratch_at: u64,
    /// How much of it one run uses.
    pub scratch_bytes: u64,
    /// What it reads: positions among inputs, outputs and carried tensors, one after the other.
    pub reads: Vec<u16>,
    /// What it writes, likewise.
    pub writes: Vec<u16>,
    /// The requests of one run, for each order of execution.
    #[serde(rename = "run", default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Recording>,
    /// Of kernels: what one run launches, in order.
    #[serde(rename = "launch", default, skip_serializing_if = "Vec::is_empty")]
    pub launches: Vec<Launch>,
}

/// One event of a planned sequence: `[slot, size, offset, slot below or -1]` for a request, `[slot]` where its block is
/// given back.
pub type Step = Vec<i64>;

/// The requests of one run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Recording {
    /// The step after which most is live.
    pub peak: u32,
    /// The events.
    pub steps: Vec<Step>,
}

/// A tensor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tensor {
    /// The name in the model's file.
    pub name: String,
    /// The element type's name.
    pub element: String,
    /// The dimensions.
    pub shape: Vec<u32>,
    /// Where it lies.
    pub at: u64,
    /// Its length.
    pub bytes: u64,
}

/// A task with its certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task {
    /// The name.
    pub name: String,
    /// The lane's position.
    pub lane: u16,
    /// The model's position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<u16>,
    /// The position of its fault domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<u16>,
    /// 0 is the most important.
    pub priority: u16,
    /// Between arrivals.
    pub period_ns: u64,
    /// From arrival.
    pub deadline_ns: u64,
    /// The first arrival.
    pub phase_ns: u64,
    /// Whether the application submits its jobs.
    #[serde(default, skip_serializing_if = "is_false")]
    pub submitted: bool,
    /// Whether what is submitted too early arrives as soon as it may.
    #[serde(default, skip_serializing_if = "is_false")]
    pub defers: bool,
    /// Whether it is released only while the application has it admitted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// Its own release jitter.
    pub jitter_ns: u64,
    /// The stage before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The shortest execution.
    pub bcet_ns: u64,
    /// Analysed execution.
    pub wcet_ns: u64,
    /// Its segments, where it has more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments_ns: Vec<u64>,
    /// The longest floating non-preemptive region.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub region_ns: u64,
    /// Enforced execution.
    pub budget_ns: u64,
    /// The policy's name.
    pub on_overrun: String,
    /// The policy's name.
    pub on_miss: String,
    /// The policy's name.
    pub on_failure: String,
    /// Of how many jobs misses are counted together.
    pub miss_window: u8,
    /// How many jobs may wait.
    pub queue: u16,
    /// The proven bound.
    pub response_ns: u64,
    /// What re-proves it.
    pub certificate: Certificate,
}

/// How a stage follows another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stage {
    /// The position of the stage before.
    pub after: u16,
    /// The earliest release after the arrival.
    pub earliest_ns: u64,
    /// The latest release after the arrival.
    pub latest_ns: u64,
}

/// What re-proves a response bound.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, tag = "theory")]
pub enum Certificate {
    /// Nothing: for simulation.
    Unproven {},
    /// Fixed priority.
    #[serde(rename_all = "kebab-case")]
    FixedPriority {
        /// B.
        blocking_ns: u64,
        /// L.
        busy_period_ns: u64,
        /// s(q).
        starts_ns: Vec<u64>,
    },
    /// EDF: the lane's points, and for the deadlines at which they do not suffice, by when the last piece has begun.
    #[serde(rename_all = "kebab-case")]
    Edf {
        /// Absolute deadlines with instants.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        starts_ns: Vec<(u64, u64)>,
    },
    /// Time-triggered: the lane's slots.
    Table {},
    /// Time-triggered, without slots: what the gaps between the lane's slots give.
    #[serde(rename_all = "kebab-case")]
    Gaps {
        /// B.
        blocking_ns: u64,
        /// L.
        busy_period_ns: u64,
        /// s(q).
        starts_ns: Vec<u64>,
    },
}
