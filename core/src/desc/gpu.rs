//! A GPU as a plan assumes it, and the parts of it that lanes have.

use super::Waiting;
use crate::time::Duration;
use crate::units::{Bytes, PoolId};

/// The device whose memory a pool is. A vehicle refuses to run on another one.
///
/// The pools of one device are that of the vehicle's own process and one for each fault domain with models there; all say the same
/// of it but for `context` and `staging`, which are each process' own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GpuDesc {
    /// Its number among the machine's devices, from 0.
    pub ordinal: u16,
    /// Its name, as its driver tells it.
    pub name: &'static str,
    /// The version of CUDA that its driver had when it was measured; empty where it was not.
    pub driver: &'static str,
    /// Its compute capability, major and minor.
    pub compute_capability: (u16, u16),
    /// Its streaming multiprocessors.
    pub sms: u16,
    /// The SMs of the smallest group that its driver makes: every partition is a whole number of them. At least 1.
    pub unit: u16,
    /// How many such groups it makes: SMs that make up no whole one are in no partition.
    pub units: u16,
    /// What the driver takes of its memory for the process whose pool this is and for each part of it that this one has, before any
    /// model is loaded: nothing where the process has no model there and a fault domain has; `None` where that was not measured,
    /// and no capacity counts it.
    pub context: Option<Bytes>,
    /// The pool with whose capacity the CPU's memory counts from and to which inputs and outputs are copied: this one, where the
    /// device works in the CPU's memory; otherwise one of the CPU's. `None` where the plan has no budget of that memory.
    pub staging: Option<PoolId>,
}

impl GpuDesc {
    /// How many SMs can be in partitions at most; `None` where the numbers contradict each other.
    #[must_use]
    pub const fn divisible(&self) -> Option<u16> {
        match self.unit.checked_mul(self.units) {
            Some(all) if all <= self.sms => Some(all),
            _ => None,
        }
    }
}

/// The part of a GPU that a lane alone has: its segments run on these SMs. Partitions of one device share no SM; they share its memory
/// bandwidth, its second-level cache and its copy engines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionDesc {
    /// The pool of the device's memory that the vehicle's own process has. Models of a fault domain lie in the domain's pool of the
    /// same device.
    pub pool: PoolId,
    /// How many SMs: a whole number of the device's units.
    pub sms: u16,
    /// How the lane's thread, or that of a domain's process, learns that the device has completed a segment.
    pub completion: Waiting,
    /// What the device takes at most to go from one process' work to another's; zero where one process alone has models on it. It is
    /// part of the WCET, the segments and the budget of each task with a model on the lane, once for each segment of the model.
    pub switch: Duration,
}
