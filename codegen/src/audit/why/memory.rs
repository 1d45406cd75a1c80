//! The memory that a job's context has.

use aegis_core::desc::{MemoryControl, SegmentDesc, SystemDesc};
use aegis_core::{Bytes, TaskId};
use serde::Serialize;

/// The planned memory of a task's model, which is what its jobs are bound to: the vehicle refuses every request beyond it, unless it
/// is only measured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Memory {
    /// The model.
    pub model: &'static str,
    /// How far the plan controls it.
    pub control: &'static str,
    /// What the backend holds outside the arena.
    pub weights_bytes: u64,
    /// What loading takes of the arena and keeps.
    pub persistent_bytes: u64,
    /// Inputs, outputs, and what segments hand to later ones.
    pub tensors_bytes: u64,
    /// The scratch of each segment; one is in use at a time.
    pub scratch_bytes: Vec<u64>,
    /// The pool.
    pub pool: &'static str,
    /// The length of its arena, which all models of the pool share.
    pub arena_bytes: u64,
    /// What the device grants.
    pub capacity_bytes: u64,
}

impl Memory {
    /// Of a task; `None` where it has no model.
    pub(super) fn of(system: &SystemDesc, task: TaskId) -> Option<Self> {
        let model = system.models.get(system.tasks.get(task.index())?.model?.index())?;
        let pool = system.pools.get(model.pool.index())?;
        let control = |sum: MemoryControl, segment: &SegmentDesc| sum.and(segment.memory);
        let sum = |bytes: &mut dyn Iterator<Item = Bytes>| bytes.fold(0_u64, |sum, bytes| sum.saturating_add(bytes.0));
        let tensors = [model.inputs, model.outputs, model.carried].concat();
        Some(Self {
            model: model.name,
            control: model.segments.iter().fold(MemoryControl::Planned, control).name(),
            weights_bytes: model.weights.0,
            persistent_bytes: sum(&mut model.segments.iter().map(|segment| segment.persistent)),
            tensors_bytes: sum(&mut tensors.iter().map(|tensor| tensor.size)),
            scratch_bytes: model.segments.iter().map(|segment| segment.scratch.0).collect(),
            pool: pool.name,
            arena_bytes: pool.height.0,
            capacity_bytes: pool.capacity.0,
        })
    }

    /// What its jobs use of the arena at once, at most.
    #[must_use]
    pub fn most_bytes(&self) -> u64 {
        let scratch = self.scratch_bytes.iter().copied().max().unwrap_or(0);
        self.persistent_bytes.saturating_add(self.tensors_bytes).saturating_add(scratch)
    }
}
