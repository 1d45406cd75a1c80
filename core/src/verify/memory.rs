//! Re-proves the memory plan: alignment, capacity, one task a model, and that only scratch of one lane overlaps.

use super::terms::lane_of;
use crate::desc::{ALIGNMENT, ModelDesc, Preemption, SystemDesc, TensorDesc};
use crate::units::{Bytes, PoolId};

/// Whether every region is aligned and inside its arena, only scratch of one lane overlaps, no model is run by two
/// tasks, and each pool fits.
#[must_use]
pub const fn memory_holds(system: &SystemDesc) -> bool {
    if !models_have_one_task(system) {
        return false;
    }
    let mut pools = system.pools;
    while let [pool, rest @ ..] = pools {
        match pool.height.0.checked_add(pool.weights.0) {
            Some(total) if total <= pool.capacity.0 => {}
            _ => return false,
        }
        pools = rest;
    }
    let mut weights_pool: usize = 0;
    while weights_pool < system.pools.len() {
        if !weights_hold(system, weights_pool) {
            return false;
        }
        let Some(next) = weights_pool.checked_add(1) else {
            return false;
        };
        weights_pool = next;
    }
    let mut models = system.models;
    let mut position: usize = 0;
    while let [model, rest @ ..] = models {
        let scratch = Region { pool: model.pool, at: model.scratch_at.0, size: model.scratch };
        let tensors_free = tensors_hold(system, model, model.inputs) && tensors_hold(system, model, model.outputs);
        if !tensors_free || !scratch.lies_in(system) || !scratch_is_shared_only_in_a_lane(system, position, model, rest)
        {
            return false;
        }
        let Some(next) = position.checked_add(1) else {
            return false;
        };
        position = next;
        models = rest;
    }
    true
}

/// Whether no two tasks run one model: its tensors are used in place, and its scratch only by one job at a time.
const fn models_have_one_task(system: &SystemDesc) -> bool {
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if let Some(model) = task.model {
            let mut others = rest;
            while let [other, rest @ ..] = others {
                if matches!(other.model, Some(same) if same.0 == model.0) {
                    return false;
                }
                others = rest;
            }
        }
        tasks = rest;
    }
    true
}

/// Whether a pool's `weights` is the sum over its models.
const fn weights_hold(system: &SystemDesc, pool: usize) -> bool {
    let mut sum: u64 = 0;
    let mut models = system.models;
    while let [model, rest @ ..] = models {
        if model.pool.index() == pool {
            let Some(added) = sum.checked_add(model.weights.0) else {
                return false;
            };
            sum = added;
        }
        models = rest;
    }
    let mut pools = system.pools;
    let mut position: usize = 0;
    while let [desc, rest @ ..] = pools {
        if position == pool {
            return desc.weights.0 == sum;
        }
        let Some(next) = position.checked_add(1) else {
            return false;
        };
        position = next;
        pools = rest;
    }
    false
}

/// A range of bytes in a pool's arena.
#[derive(Clone, Copy)]
struct Region {
    pool: PoolId,
    at: u64,
    size: Bytes,
}

impl Region {
    const fn of(model: &ModelDesc, tensor: &TensorDesc) -> Self {
        Self { pool: model.pool, at: tensor.at.0, size: tensor.size }
    }

    const fn lies_in(self, system: &SystemDesc) -> bool {
        let mut pools = system.pools;
        let mut position: usize = 0;
        while let [pool, rest @ ..] = pools {
            if position == self.pool.index() {
                return matches!(self.at.checked_rem(ALIGNMENT.0), Some(0))
                    && matches!(self.at.checked_add(self.size.0), Some(end) if end <= pool.height.0);
            }
            let Some(next) = position.checked_add(1) else {
                return false;
            };
            position = next;
            pools = rest;
        }
        false
    }

    const fn overlaps(self, other: Self) -> bool {
        let (Some(end), Some(other_end)) = (self.at.checked_add(self.size.0), other.at.checked_add(other.size.0))
        else {
            return true;
        };
        let both_hold_bytes = self.size.0 > 0 && other.size.0 > 0;
        both_hold_bytes && self.pool.0 == other.pool.0 && self.at < other_end && other.at < end
    }
}

/// Whether each tensor lies in its arena, has the size its shape gives, and overlaps nothing but itself.
const fn tensors_hold(system: &SystemDesc, model: &ModelDesc, tensors: &[TensorDesc]) -> bool {
    let mut tensors = tensors;
    while let [tensor, rest @ ..] = tensors {
        let region = Region::of(model, tensor);
        let sized = matches!(byte_length(tensor), Some(length) if length == tensor.size.0);
        if !sized || tensor.size.0 == 0 || !region.lies_in(system) || overlap_count(system, region) != 1 {
            return false;
        }
        tensors = rest;
    }
    true
}

const fn byte_length(tensor: &TensorDesc) -> Option<u64> {
    let mut length = tensor.element.size().0;
    let mut shape = tensor.shape;
    while let [dimension, rest @ ..] = shape {
        // Widening.
        #[allow(clippy::as_conversions)]
        let dimension = *dimension as u64;
        match length.checked_mul(dimension) {
            Some(product) => length = product,
            None => return None,
        }
        shape = rest;
    }
    Some(length)
}

/// How many tensors and scratch regions overlap a region; a tensor overlaps itself.
const fn overlap_count(system: &SystemDesc, region: Region) -> u32 {
    let mut count: u32 = 0;
    let mut models = system.models;
    while let [model, rest @ ..] = models {
        let scratch = Region { pool: model.pool, at: model.scratch_at.0, size: model.scratch };
        if scratch.overlaps(region) {
            count = count.saturating_add(1);
        }
        count = count.saturating_add(overlapping_tensors(model, model.inputs, region));
        count = count.saturating_add(overlapping_tensors(model, model.outputs, region));
        models = rest;
    }
    count
}

const fn overlapping_tensors(model: &ModelDesc, tensors: &[TensorDesc], region: Region) -> u32 {
    let mut count: u32 = 0;
    let mut tensors = tensors;
    while let [tensor, rest @ ..] = tensors {
        if Region::of(model, tensor).overlaps(region) {
            count = count.saturating_add(1);
        }
        tensors = rest;
    }
    count
}

/// Whether a model's scratch overlaps only scratch of models that run on the same lane.
const fn scratch_is_shared_only_in_a_lane(
    system: &SystemDesc,
    position: usize,
    model: &ModelDesc,
    later: &[ModelDesc],
) -> bool {
    let scratch = Region { pool: model.pool, at: model.scratch_at.0, size: model.scratch };
    let Some(mut other_position) = position.checked_add(1) else {
        return false;
    };
    let mut others = later;
    while let [other, rest @ ..] = others {
        let other_scratch = Region { pool: other.pool, at: other.scratch_at.0, size: other.scratch };
        if scratch.overlaps(other_scratch) && !run_on_one_lane(system, position, other_position) {
            return false;
        }
        let Some(next) = other_position.checked_add(1) else {
            return false;
        };
        other_position = next;
        others = rest;
    }
    true
}

/// Whether all tasks that run one of two models share one lane on which a job that has begun runs to completion.
const fn run_on_one_lane(system: &SystemDesc, model: usize, other: usize) -> bool {
    let mut lane: Option<u16> = None;
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if let Some(runs) = task.model
            && (runs.index() == model || runs.index() == other)
        {
            let Some(desc) = lane_of(system, task) else {
                return false;
            };
            if !matches!(desc.preemption, Preemption::None) {
                return false;
            }
            match lane {
                None => lane = Some(task.lane.0),
                Some(first) if first == task.lane.0 => {}
                Some(_) => return false,
            }
        }
        tasks = rest;
    }
    true
}
