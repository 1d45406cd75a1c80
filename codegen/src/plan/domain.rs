//! Fault domains, as a lock has them.

use serde::{Deserialize, Serialize};

/// A fault domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Domain {
    /// The name.
    pub name: String,
    /// Its process; absent where no task of it runs a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

/// The process of a domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Process {
    /// So long after it began a piece that is not over is killed, with the process.
    pub kill_after_ns: u64,
    /// Part of each of its tasks' segments.
    pub hand_over_ns: u64,
    /// How often it shows that it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_ns: Option<u64>,
    /// The most private memory that it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The core of its thread for each lane that has a task of it with a model, where threads poll.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cores: Vec<u16>,
    /// The position of the mode that is asked for when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meanwhile: Option<u16>,
    /// How often it is started again; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
}

/// How often a process is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Restart {
    /// How many times within the window, at most.
    pub max: u16,
    /// The length of the window.
    pub within_ns: u64,
    /// How long after its end, at least.
    pub back_off_ns: u64,
    /// How long after it was restored another failure is in a row.
    pub probation_ns: u64,
}
