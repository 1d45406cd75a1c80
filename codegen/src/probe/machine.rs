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
    /// What processes on it did to each other; `None` where that was not measured.
    #[serde(default)]
    pub sharing: Option<Sharing>,
    /// Why it was not.
    #[serde(default)]
    pub sharing_error: Option<String>,
}

/// What processes that share a device do to each other, in nanoseconds: the longest of what was seen.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Sharing {
    /// How much longer a small kernel took right after another process' one.
    pub switch_ns: u64,
    /// How much a process lost in all while another opened the device.
    pub starting: Blackout,
    /// How much when another ended.
    pub blackouts: Vec<Blackout>,
}

/// How much a process lost, in all, by another one.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Blackout {
    /// How that ended: one of [`crate::device::ENDS`].
    pub end: String,
    /// The most that it lost in one of several rounds.
    pub longest_ns: u64,
}

impl Sharing {
    /// How much a process lost when another ended in this way; `None` where that was not tried.
    #[must_use]
    pub fn blackout(&self, end: &str) -> Option<u64> {
        self.blackouts.iter().find(|blackout| blackout.end == end).map(|blackout| blackout.longest_ns)
    }
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
