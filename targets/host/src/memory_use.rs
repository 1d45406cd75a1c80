//! What the pools came to in a run: the highest byte that was handed out, and all that was not as planned.

use crate::gpu;
use crate::lane_work::{HostLane, Use};
use crate::onnx::unattributed;
use aegis_core::desc::{ModelDesc, PoolDesc, SystemDesc, occupied};
use aegis_linux::summary::{DeviceMemory, MemorySummary, ModelMemory};

/// The summary of every pool; `lanes` are those that ended in time, and `grown` is by how much the used memory of each pool's device
/// grew, where somebody tells.
pub(crate) fn used(
    system: &SystemDesc,
    lanes: &[Option<HostLane>],
    locked: bool,
    grown: &[Option<u64>],
) -> Vec<MemorySummary> {
    let uses: Vec<_> = lanes.iter().flatten().flat_map(HostLane::uses).collect();
    let summary = |(position, pool): (usize, &PoolDesc)| {
        let residents = system.models.iter().enumerate().filter(|(_, model)| model.pool.index() == position);
        let residents: Vec<_> = residents.collect();
        let own = |model: usize| uses.iter().filter(move |used| used.model.index() == model);
        let highest = residents.iter().flat_map(|(number, model)| {
            let tensors = model.inputs.iter().chain(model.outputs).chain(model.carried);
            let tensors =
                tensors.map(|tensor| (tensor.at.0, occupied(tensor.size, pool.alignment()).unwrap_or(u64::MAX)));
            let ends = own(*number).flat_map(|used| ends(model, used)).chain(tensors);
            ends.map(|(at, length)| at.saturating_add(length))
        });
        let refused = residents.iter().flat_map(|(number, _)| own(*number));
        let refused = refused.map(|used| used.persistent.refused.saturating_add(used.scratch.refused));
        MemorySummary {
            pool: pool.name.to_owned(),
            capacity_bytes: pool.capacity.0,
            shares: pool.shares.and_then(|owner| Some(system.pools.get(owner.index())?.name)),
            arena_bytes: pool.height.0,
            private_bytes: pool.private.0,
            weights_bytes: pool.weights.0,
            locked,
            lower_bound_bytes: pool.lower_bound.0,
            highest_bytes: highest.max().unwrap_or(0),
            refused_requests: refused.fold(0, u64::saturating_add),
            // The process's; they belong to no pool, so the first one tells them.
            unattributed_requests: if position == 0 { unattributed() } else { 0 },
            device: device(system, position, pool).map(|own| own.grown(grown.get(position).copied().flatten())),
            models: residents.iter().map(|(number, model)| control(model, own(*number))).collect(),
        }
    };
    system.pools.iter().enumerate().map(summary).collect()
}

/// What the plan counts of a GPU's memory; `None` for a pool of the CPU.
fn device(system: &SystemDesc, position: usize, pool: &PoolDesc) -> Option<DeviceMemory> {
    let context_bytes = pool.gpu.as_ref()?.context.map(|bytes| bytes.0);
    let planned_bytes = pool.height.0.saturating_add(pool.weights.0).saturating_add(context_bytes.unwrap_or(0));
    let pinned_bytes = gpu::staging(system, position);
    Some(DeviceMemory { context_bytes, pinned_bytes, planned_bytes, ..DeviceMemory::default() })
}

/// What a GPU's memory came to, in words.
fn told_device(pool: &MemorySummary, device: &DeviceMemory) -> String {
    let (name, arena, weights) = (&pool.pool, pool.arena_bytes, pool.weights_bytes);
    let context = device.context_bytes.map_or_else(|| "not measured".to_owned(), |bytes| bytes.to_string());
    let planned = device.planned_bytes;
    let grown = match device.grown_bytes.zip(device.remainder_bytes) {
        Some((grown, remainder)) => format!("the device's used memory grew by {grown}, a remainder of {remainder}"),
        None => "nobody tells by how much the device's used memory grew".to_owned(),
    };
    format!("memory {name}: planned {planned} (arena {arena}, weights {weights}, context {context}); {grown}")
}

/// Where a segment's regions begin, and how high they were used; nothing where they were not.
fn ends(model: &ModelDesc, used: &Use) -> impl Iterator<Item = (u64, u64)> {
    let segment = model.segments.get(used.segment);
    let heights = segment.map(|segment| {
        [(segment.persistent_at.0, used.persistent.height), (segment.scratch_at.0, used.scratch.height)]
    });
    heights.into_iter().flatten().filter(|(_, height)| *height > 0)
}

/// How far a model's memory was planned; a lane that did not end in time tells nothing, so the plan does.
fn control<'a>(model: &ModelDesc, uses: impl Iterator<Item = &'a Use>) -> ModelMemory {
    let backend = model.backend.name().to_owned();
    let (mut control, mut unplanned) = (model.memory(), 0_u64);
    for used in uses {
        let planned = model.segments.get(used.segment).map(|segment| segment.memory);
        control = control.and(used.control);
        unplanned = unplanned.saturating_add(u64::from(planned.is_some_and(|planned| planned != used.control)));
    }
    let (planned, control) = (model.memory().name(), control.name());
    ModelMemory { name: model.name.to_owned(), backend, planned, control, unplanned }
}

/// How much was not as planned: requests, and segments that ran in no recorded order.
pub(crate) fn beyond(memory: &MemorySummary) -> u64 {
    let less = memory.models.iter().map(|model| model.unplanned).fold(0, u64::saturating_add);
    memory.refused_requests.saturating_add(memory.unattributed_requests).saturating_add(less)
}

/// Says what the memory came to, and loudly what of it was not planned.
pub(crate) fn told(memory: &[MemorySummary]) {
    // Where all models of a device lie in domains nothing is in the pool of the vehicle's own process.
    let is_used =
        |pool: &&MemorySummary| pool.arena_bytes > 0 || !pool.models.is_empty() || pool.unattributed_requests > 0;
    for pool in memory.iter().filter(is_used) {
        let mut controls: Vec<(&str, usize)> = Vec::new();
        for model in &pool.models {
            match controls.iter_mut().find(|(control, _)| *control == model.control) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => controls.push((model.control, 1)),
            }
        }
        let controls: Vec<String> = controls.iter().map(|(control, count)| format!("{count} {control}")).collect();
        println!(
            "memory {}: highest byte handed out {} of an arena of {} (private arenas: {}); models: {}",
            pool.pool,
            pool.highest_bytes,
            pool.arena_bytes,
            pool.private_bytes,
            controls.join(", ")
        );
        if let Some(device) = &pool.device {
            println!("{}", told_device(pool, device));
        }
        for model in pool.models.iter().filter(|model| model.unplanned > 0) {
            let ModelMemory { name, planned, control, unplanned, .. } = model;
            let segments = if *unplanned == 1 { "a segment".to_owned() } else { format!("{unplanned} segments") };
            log::warn!(
                "MEMORY NOT AS PLANNED: {segments} of model \"{name}\" ran in no recorded order: {control}, planned was \
                 {planned}"
            );
        }
        if pool.refused_requests > 0 || pool.unattributed_requests > 0 {
            log::warn!(
                "MEMORY OUTSIDE THE PLAN: pool \"{}\", {} requests refused, {} of no model",
                pool.pool,
                pool.refused_requests,
                pool.unattributed_requests
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{beyond, control, ends, told_device};
    use crate::backend::ScratchUse;
    use crate::lane_work::Use;
    use aegis_core::desc::{Backend, FileDesc, MemoryControl, ModelDesc, SegmentDesc, TensorLife};
    use aegis_core::{ByteOffset, Bytes, ModelId, PoolId};
    use aegis_linux::summary::{DeviceMemory, MemorySummary};

    const SEGMENT: SegmentDesc = SegmentDesc {
        file: FileDesc { name: "net", sha256: "", version: "" },
        engine: "",
        memory: MemoryControl::Planned,
        persistent_at: ByteOffset(0),
        persistent: Bytes(64),
        load: &[],
        scratch_at: ByteOffset(128),
        scratch: Bytes(256),
        runs: &[],
        reads: &[],
        writes: &[],
        launches: &[],
    };
    const MODEL: ModelDesc = ModelDesc {
        name: "net",
        backend: Backend::OnnxRuntime,
        engines: None,
        pool: PoolId(0),
        weights: Bytes(0),
        tensors: TensorLife::Job,
        inputs: &[],
        outputs: &[],
        carried: &[],
        segments: &[SEGMENT, SegmentDesc { memory: MemoryControl::Capped, scratch_at: ByteOffset(512), ..SEGMENT }],
    };

    fn uses(first: MemoryControl) -> [Use; 2] {
        let height = |height| ScratchUse { height, ..ScratchUse::default() };
        let own =
            |segment, control| Use { model: ModelId(0), segment, persistent: height(0), scratch: height(64), control };
        [own(0, first), own(1, MemoryControl::Capped)]
    }

    #[test]
    fn what_a_devices_memory_grew_by_stands_beside_the_plan_with_the_remainder() {
        let pool =
            MemorySummary { pool: "gpu0".into(), arena_bytes: 150, weights_bytes: 280, ..MemorySummary::default() };
        let planned = DeviceMemory { context_bytes: Some(500), planned_bytes: 930, ..DeviceMemory::default() };
        assert_eq!(
            told_device(&pool, &planned.grown(Some(997))),
            "memory gpu0: planned 930 (arena 150, weights 280, context 500); the device's used memory grew by 997, a remainder of 67"
        );
        assert_eq!(planned.grown(Some(900)).remainder_bytes, Some(-30));
        let unknown = DeviceMemory { context_bytes: None, planned_bytes: 430, ..planned }.grown(None);
        assert_eq!((unknown.grown_bytes, unknown.remainder_bytes), (None, None));
        assert_eq!(
            told_device(&pool, &unknown),
            "memory gpu0: planned 430 (arena 150, weights 280, context not measured); nobody tells by how much the device's used \
             memory grew"
        );
    }

    #[test]
    fn every_segment_counts_and_one_in_no_recorded_order_shows_beside_a_lesser_one() {
        for (first, unplanned) in [(MemoryControl::Planned, 0), (MemoryControl::Capped, 1)] {
            let told = control(&MODEL, uses(first).iter());
            assert_eq!((told.planned, told.control, told.unplanned), ("capped", "capped", unplanned));
            assert_eq!(beyond(&MemorySummary { models: vec![told], ..MemorySummary::default() }), unplanned);
        }
        let told = control(&MODEL, [].iter());
        assert_eq!((told.control, told.unplanned), ("capped", 0));
        let ends: Vec<_> = uses(MemoryControl::Planned).iter().flat_map(|used| ends(&MODEL, used)).collect();
        assert_eq!(ends, [(128, 64), (512, 64)]);
    }
}
