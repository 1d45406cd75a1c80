//! GPUs and their partitions in the plan.

use serde::{Deserialize, Serialize};

/// The GPU whose memory a pool is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gpu {
    /// Its number among the machine's devices.
    pub ordinal: u16,
    /// Its name, empty where any of its kind is meant.
    pub name: String,
    /// The version of CUDA that its driver had when it was measured, empty where it was not.
    pub driver: String,
    /// Its compute capability, major and minor.
    pub compute_capability: (u16, u16),
    /// Its streaming multiprocessors.
    pub sms: u16,
    /// Those of the smallest group that its driver makes.
    pub unit: u16,
    /// How many such groups it makes.
    pub units: u16,
}

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
}
