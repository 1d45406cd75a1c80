//! A GPU that lanes divide among them, and what one of them has of it.

use super::Device;
use aegis_core::desc::{ALIGNMENT, GPU_ALIGNMENT, Waiting};
use aegis_core::time::Duration;
use aegis_core::units::Bytes;
use serde::{Deserialize, Serialize};

/// A GPU, as its profile tells it and the plan has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gpu {
    /// Its number among the machine's devices, from 0.
    pub ordinal: u16,
    /// Its name, as its driver tells it; empty where the profile is a built-in one, which is of no single device.
    pub name: String,
    /// The version of CUDA that its driver had when models were measured on it, or else when its profile was written; empty where
    /// neither was.
    pub driver: String,
    /// Its compute capability, major and minor.
    pub compute_capability: (u16, u16),
    /// Its streaming multiprocessors.
    pub sms: u16,
    /// The SMs of the smallest group that its driver makes; at least 1.
    pub unit: u16,
    /// How many such groups it makes.
    pub units: u16,
    /// What the driver takes of its memory for the process whose device or part of one it is, and for the parts that its lanes have,
    /// before any model is loaded; `None` where its profile does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_bytes: Option<u64>,
    /// The position of the device with whose memory the CPU's memory counts from and to which inputs and outputs are copied: its
    /// own, where it works in the CPU's memory, otherwise that of a CPU. `None` where the manifest has no such device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging: Option<u16>,
}

/// The part of a device that a lane alone has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partition {
    /// How many SMs: a whole number of the device's units.
    pub sms: u16,
    /// How the lane's thread learns that a segment is complete.
    pub completion: Waiting,
    /// What going to another process' work takes at most, part of the times of the lane's tasks with models; zero where the device
    /// has the models of one process alone.
    pub switch: Duration,
}

impl Device {
    /// Of how many bytes each planned address in its arena is a multiple.
    #[must_use]
    pub const fn alignment(&self) -> Bytes {
        match self.gpu {
            None => ALIGNMENT,
            Some(_) => GPU_ALIGNMENT,
        }
    }

    /// What its driver takes of its memory before any model is loaded, where it is a GPU of which that is known.
    #[must_use]
    pub fn context(&self) -> Option<Bytes> {
        self.gpu.as_ref()?.context_bytes.map(Bytes)
    }
}
