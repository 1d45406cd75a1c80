//! What a probe answers of its machine, of the machine's devices, and of what the system grants.

use serde::Deserialize;

/// What a device tells of itself.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct DeviceAnswer {
    /// Its number.
    pub ordinal: u16,
    /// Its name.
    pub name: String,
    /// The version of CUDA that its driver has, such as `13.0`.
    pub driver: String,
    /// Its compute capability, such as `9.0`.
    pub compute_capability: String,
    /// Its streaming multiprocessors.
    pub sms: u32,
    /// Those of the smallest group that its driver makes, if it makes any.
    pub unit: Option<u32>,
    /// How many such groups; 0 where it makes none.
    pub units: u32,
    /// All of its memory.
    pub memory_bytes: u64,
    /// Whether it works in the CPU's memory.
    pub integrated: bool,
    /// Whether its memory can be handed to other processes.
    pub exports: bool,
    /// Its second-level cache.
    pub l2_bytes: u64,
    /// The greatest clock of its SMs.
    pub clock_khz: u32,
    /// The greatest clock of its memory.
    pub memory_clock_khz: u32,
    /// What its driver took of its memory for the probe, before any model; `None` where nobody told.
    #[serde(default)]
    pub context_bytes: Option<u64>,
    /// What it took besides for a part with its stream, at most; `None` where nobody told, or nothing was asked.
    #[serde(default)]
    pub part_bytes: Option<u64>,
}

/// The machine that answered.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct MachineAnswer {
    /// The architecture.
    pub arch: String,
    /// The processor's model name.
    pub cpu_model: String,
    /// The number of cores.
    pub cores: u16,
    /// The clock governor or nothing.
    pub governor: String,
    /// The kernel.
    pub kernel: String,
}

/// What the system grants a real-time process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct RealTime {
    /// SCHED_FIFO.
    pub fifo: bool,
    /// mlockall.
    pub memory_locked: bool,
}
