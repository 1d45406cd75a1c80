//! What a run took of planned memory, and of a GPU's beside it.

use serde::Serialize;

/// One memory pool. Sizes in bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct MemorySummary {
    /// Its name.
    pub pool: String,
    /// What the device grants: its own, or that of the pool that it shares.
    pub capacity_bytes: u64,
    /// The pool whose capacity it draws on; null where it has its own.
    pub shares: Option<&'static str>,
    /// The arena that was taken at start.
    pub arena_bytes: u64,
    /// What the arena would need if no two models shared a byte.
    pub private_bytes: u64,
    /// The planned weights.
    pub weights_bytes: u64,
    /// Whether the arena is locked into memory.
    pub locked: bool,
    /// No layout is lower, by the witnesses in the plan.
    pub lower_bound_bytes: u64,
    /// The end of the highest block that was handed out, rounded up to the alignment; never above
    /// `arena_bytes`, because every request is compared with its region.
    pub highest_bytes: u64,
    /// Requests of backends that were not the planned ones and were refused.
    pub refused_requests: u64,
    /// Requests while no model was loaded or run: nobody's, so served from the heap.
    pub unattributed_requests: u64,
    /// What was taken of a GPU's memory in all; null for a pool of the CPU.
    pub device: Option<DeviceMemory>,
    /// How far each model's memory is planned, in the plan's order.
    pub models: Vec<ModelMemory>,
}

/// What a GPU's memory came to beside the arena, which alone is served request by request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct DeviceMemory {
    /// What the plan counts that the driver takes for the process and its parts; null where that was not measured.
    pub context_bytes: Option<u64>,
    /// What the models have of the CPU's memory, from and to which inputs and outputs are copied.
    pub pinned_bytes: u64,
    /// What the plan counts of the device's memory: arena, weights, and context where it was measured.
    pub planned_bytes: u64,
    /// By how much more of it was used when the run ended than before the device was opened, by this process and by whatever
    /// others began to use; null where nobody tells.
    pub grown_bytes: Option<u64>,
    /// What of that the plan does not count; below zero where it counts more than was used.
    pub remainder_bytes: Option<i64>,
}

impl DeviceMemory {
    /// With what the device's memory grew by, the difference to the plan.
    #[must_use]
    pub fn grown(self, grown_bytes: Option<u64>) -> Self {
        let difference = |grown| i64::try_from(i128::from(grown) - i128::from(self.planned_bytes)).ok();
        Self { grown_bytes, remainder_bytes: grown_bytes.and_then(difference), ..self }
    }
}

/// A model's grade of memory control.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ModelMemory {
    /// Its name.
    pub name: String,
    /// Its backend's name.
    pub backend: String,
    /// `planned`, `capped` or `measured`: as the plan has it; of several segments the least.
    pub planned: &'static str,
    /// The same as it ran: `capped` instead of `planned` where it ran in no recorded order.
    pub control: &'static str,
    /// How many of its segments ran in no recorded order.
    #[serde(skip)]
    pub unplanned: u64,
}
