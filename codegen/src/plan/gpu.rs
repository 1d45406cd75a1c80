//! Parts of GPUs in the plan.

use serde::{Deserialize, Serialize};

/// The part of a GPU that a lane alone has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Partition {
    /// The position of the pool of the device's memory.
    pub pool: u16,
    /// How many SMs.
    pub sms: u16,
    /// The name of how the lane's thread waits for it.
    pub completion: String,
    /// What going to another process' work takes at most; absent where one process alone has models there.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub switch_ns: u64,
}
