//! The checked plan as data: what the lock holds and the tables are rendered from.
//!
//! Numbers are integers (nanoseconds, bytes); every list has the order of the tables, so the same plan always has the
//! same text.

use crate::system::{File, Machine};
use serde::{Deserialize, Serialize};

/// One vehicle's whole plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Plan {
    /// The vehicle's name.
    pub name: String,
    /// The core of the orchestration thread.
    pub orchestration_core: u16,
    /// The machine that the bounds hold for.
    pub machine: Machine,
    /// The runtime libraries.
    #[serde(rename = "library", default)]
    pub libraries: Vec<File>,
    /// The data files for hooks.
    #[serde(rename = "asset", default)]
    pub assets: Vec<File>,
    /// The memory pools.
    #[serde(rename = "pool", default)]
    pub pools: Vec<Pool>,
    /// The lanes.
    #[serde(rename = "lane")]
    pub lanes: Vec<Lane>,
    /// The models.
    #[serde(rename = "model", default)]
    pub models: Vec<Model>,
    /// The tasks, grouped by lane, the most important first.
    #[serde(rename = "task")]
    pub tasks: Vec<Task>,
}

/// A memory pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pool {
    /// The device's name.
    pub name: String,
    /// What the device grants.
    pub capacity_bytes: u64,
    /// What backends hold besides the arena.
    pub weights_bytes: u64,
    /// The arena's length.
    pub height_bytes: u64,
    /// No plan is lower.
    pub lower_bound_bytes: u64,
    /// The arena's length without sharing.
    pub private_bytes: u64,
}

/// A lane.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lane {
    /// The name.
    pub name: String,
    /// The policy's name.
    pub policy: String,
    /// The worker's core.
    pub core: u16,
    /// Per job.
    pub dispatch_overhead_ns: u64,
    /// Per release.
    pub wakeup_latency_ns: u64,
    /// The longest busy interval.
    pub busy_period_ns: u64,
}

/// A model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Model {
    /// The name.
    pub name: String,
    /// The file's checksum.
    pub sha256: String,
    /// The backend's name.
    pub backend: String,
    /// The pool's position.
    pub pool: u16,
    /// Held by the backend.
    pub weights_bytes: u64,
    /// Where its shared scratch lies.
    pub scratch_at: u64,
    /// How much of it one run uses.
    pub scratch_bytes: u64,
    /// Its inputs.
    #[serde(rename = "input", default)]
    pub inputs: Vec<Tensor>,
    /// Its outputs.
    #[serde(rename = "output", default)]
    pub outputs: Vec<Tensor>,
}

/// An input or output.
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
    /// 0 is the most important.
    pub priority: u16,
    /// Between arrivals.
    pub period_ns: u64,
    /// From arrival.
    pub deadline_ns: u64,
    /// The first arrival.
    pub phase_ns: u64,
    /// Its own release jitter.
    pub jitter_ns: u64,
    /// Analysed execution.
    pub wcet_ns: u64,
    /// Enforced execution.
    pub budget_ns: u64,
    /// The policy's name.
    pub on_overrun: String,
    /// How many jobs may wait.
    pub queue: u16,
    /// The proven bound.
    pub response_ns: u64,
    /// What re-proves it.
    pub certificate: Certificate,
}

/// What re-proves a response bound.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, tag = "theory")]
pub enum Certificate {
    /// Non-preemptive fixed priority.
    #[serde(rename_all = "kebab-case")]
    FixedPriority {
        /// B.
        blocking_ns: u64,
        /// L.
        busy_period_ns: u64,
        /// s(q).
        starts_ns: Vec<u64>,
    },
    /// Non-preemptive EDF: the demand up to the lane's busy period.
    Demand {},
}
