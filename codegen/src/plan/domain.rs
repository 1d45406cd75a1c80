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
}
