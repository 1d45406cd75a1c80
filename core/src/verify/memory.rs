//! Re-proves the memory plan: alignment, capacity, one task a model, that only what is never used at once shares bytes,
//! every planned sequence, and the lower bound.

use super::blocks::play;
use super::terms::lane_of;
use crate::desc::{ALIGNMENT, MemoryControl, ModelDesc, Preemption, SystemDesc, TensorDesc, TensorLife};
use crate::units::PoolId;

/// Whether every region is aligned and inside its arena, only scratch and job tensors of one lane overlap, every planned
/// sequence holds in its region, no model is run by two tasks, each pool fits, and its lower bound is what the models'
/// witnesses show.
#[must_use]
pub const fn memory_holds(system: &SystemDesc) -> bool {
    if !models_have_one_task(system) {
        return false;
    }
    let mut pools = system.pools;
    let mut position: usize = 0;
    while let [pool, rest @ ..] = pools {
        match pool.height.0.checked_add(pool.weights.0) {
            Some(total) if total <= pool.capacity.0 => {}
            _ => return false,
        }
        let bound = lower_bound(system, position);
        if !weights_hold(system, position) || pool.lower_bound.0 > pool.height.0 {
            return false;
        }
        if !matches!(bound, Some(bound) if bound == pool.lower_bound.0) {
            return false;
        }
        let Some(next) = position.checked_add(1) else {
            return false;
        };
        position = next;
        pools = rest;
    }
    let mut models = system.models;
    let mut position: usize = 0;
    while let [model, rest @ ..] = models {
        if !tensors_are_sized(model.inputs)
            || !tensors_are_sized(model.outputs)
            || needs(model).is_none()
            || !regions_hold(system, position, model, rest)
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
    matches!(system.pools.split_at_checked(pool), Some((_, [desc, ..])) if desc.weights.0 == sum)
}

/// What a model needs at least.
struct Needs {
    /// Always.
    always: u64,
    /// While it runs, besides.
    running: u64,
}

/// Plays the model's sequences; `None` where one does not hold in its region, or the model's parts contradict each other.
const fn needs(model: &ModelDesc) -> Option<Needs> {
    let planned = matches!(model.memory, MemoryControl::Planned);
    let Some(load) = play(model.load, model.persistent, 0) else {
        return None;
    };
    if planned == model.runs.is_empty() {
        return None;
    }
    let mut scratch = if planned { 0 } else { model.scratch.0 };
    let mut runs = model.runs;
    while let [recording, rest @ ..] = runs {
        match play(recording.steps, model.scratch, recording.peak) {
            // What a run leaves behind, the next model would overwrite.
            Some(run) if run.at_end == 0 => {
                if run.at_witness > scratch {
                    scratch = run.at_witness;
                }
            }
            _ => return None,
        }
        runs = rest;
    }
    let (Some(inputs), Some(outputs)) = (aligned_sum(model.inputs), aligned_sum(model.outputs)) else {
        return None;
    };
    let Some(tensors) = inputs.checked_add(outputs) else {
        return None;
    };
    let (kept, job) = match model.tensors {
        TensorLife::Kept => (tensors, 0),
        TensorLife::Job => (0, tensors),
    };
    let (Some(always), Some(running)) = (load.at_end.checked_add(kept), scratch.checked_add(job)) else {
        return None;
    };
    Some(Needs { always, running })
}

/// The sum of the tensors' lengths, each rounded up to the alignment.
const fn aligned_sum(tensors: &[TensorDesc]) -> Option<u64> {
    let mut sum: u64 = 0;
    let mut tensors = tensors;
    while let [tensor, rest @ ..] = tensors {
        let Some(length) = tensor.size.0.checked_next_multiple_of(ALIGNMENT.0) else {
            return None;
        };
        match sum.checked_add(length) {
            Some(added) => sum = added,
            None => return None,
        }
        tensors = rest;
    }
    Some(sum)
}

/// What a pool needs at least: what each model needs always, and for each lane what its most demanding model needs while
/// it runs. A model on a lane that preempts is a group by itself.
const fn lower_bound(system: &SystemDesc, pool: usize) -> Option<u64> {
    let mut sum: u64 = 0;
    let mut models = system.models;
    let mut position: usize = 0;
    while let [model, rest @ ..] = models {
        if model.pool.index() == pool {
            let Some(own) = needs(model) else {
                return None;
            };
            let Some(running) = group(system, position, model.pool, own.running) else {
                return None;
            };
            let Some(more) = own.always.checked_add(running) else {
                return None;
            };
            match sum.checked_add(more) {
                Some(added) => sum = added,
                None => return None,
            }
        }
        let Some(next) = position.checked_add(1) else {
            return None;
        };
        position = next;
        models = rest;
    }
    Some(sum)
}

/// What the model's group in its pool needs while one of it runs, if the model is the group's first; otherwise nothing more.
const fn group(system: &SystemDesc, model: usize, pool: PoolId, running: u64) -> Option<u64> {
    let mut most = running;
    let mut models = system.models;
    let mut position: usize = 0;
    while let [other, rest @ ..] = models {
        if position != model && other.pool.0 == pool.0 && run_on_one_lane(system, model, position) {
            if position < model {
                return Some(0);
            }
            let Some(other) = needs(other) else {
                return None;
            };
            if other.running > most {
                most = other.running;
            }
        }
        let Some(next) = position.checked_add(1) else {
            return None;
        };
        position = next;
        models = rest;
    }
    Some(most)
}

/// A range of bytes in a pool's arena.
#[derive(Clone, Copy)]
struct Region {
    pool: PoolId,
    at: u64,
    size: u64,
    /// Whether it is in use only while its model runs.
    while_running: bool,
}

impl Region {
    /// The regions of a model by number: persistent, scratch, inputs, outputs.
    const fn of(model: &ModelDesc, number: usize) -> Option<Self> {
        let pool = model.pool;
        match number {
            0 => {
                return Some(Self { pool, at: model.persistent_at.0, size: model.persistent.0, while_running: false });
            }
            1 => return Some(Self { pool, at: model.scratch_at.0, size: model.scratch.0, while_running: true }),
            _ => {}
        }
        let Some(number) = number.checked_sub(2) else {
            return None;
        };
        let tensor = match number.checked_sub(model.inputs.len()) {
            None => model.inputs.split_at_checked(number),
            Some(number) => model.outputs.split_at_checked(number),
        };
        let Some((_, [tensor, ..])) = tensor else {
            return None;
        };
        let while_running = matches!(model.tensors, TensorLife::Job);
        Some(Self { pool, at: tensor.at.0, size: tensor.size.0, while_running })
    }

    const fn lies_in(self, system: &SystemDesc) -> bool {
        let Some((_, [pool, ..])) = system.pools.split_at_checked(self.pool.index()) else {
            return false;
        };
        matches!(self.at.checked_rem(ALIGNMENT.0), Some(0))
            && matches!(self.at.checked_add(self.size), Some(end) if end <= pool.height.0)
    }

    const fn overlaps(self, other: Self) -> bool {
        let (Some(end), Some(other_end)) = (self.at.checked_add(self.size), other.at.checked_add(other.size)) else {
            return true;
        };
        let both_hold_bytes = self.size > 0 && other.size > 0;
        both_hold_bytes && self.pool.0 == other.pool.0 && self.at < other_end && other.at < end
    }
}

/// Whether each region of a model lies in its arena and overlaps no other one, except those of other models of its lane
/// where both are in use only while their models run.
const fn regions_hold(system: &SystemDesc, position: usize, model: &ModelDesc, later: &[ModelDesc]) -> bool {
    let mut number: usize = 0;
    while let Some(region) = Region::of(model, number) {
        let Some(next) = number.checked_add(1) else {
            return false;
        };
        number = next;
        if !region.lies_in(system) || overlaps_any(region, model, number) {
            return false;
        }
        let Some(mut other_position) = position.checked_add(1) else {
            return false;
        };
        let mut others = later;
        while let [other, rest @ ..] = others {
            if !is_beside(system, region, other, (position, other_position)) {
                return false;
            }
            let Some(next) = other_position.checked_add(1) else {
                return false;
            };
            other_position = next;
            others = rest;
        }
    }
    true
}

/// Whether a region overlaps one of a model's, from a number on.
const fn overlaps_any(region: Region, model: &ModelDesc, from: usize) -> bool {
    let mut number = from;
    while let Some(other) = Region::of(model, number) {
        if region.overlaps(other) {
            return true;
        }
        let Some(next) = number.checked_add(1) else {
            return true;
        };
        number = next;
    }
    false
}

/// Whether a region overlaps none of another model, or only what may share its bytes.
const fn is_beside(system: &SystemDesc, region: Region, other: &ModelDesc, models: (usize, usize)) -> bool {
    let mut number: usize = 0;
    while let Some(theirs) = Region::of(other, number) {
        let may_share = region.while_running && theirs.while_running;
        if region.overlaps(theirs) && !(may_share && run_on_one_lane(system, models.0, models.1)) {
            return false;
        }
        let Some(next) = number.checked_add(1) else {
            return false;
        };
        number = next;
    }
    true
}

/// Whether each tensor holds bytes, and has the length that its shape gives.
const fn tensors_are_sized(tensors: &[TensorDesc]) -> bool {
    let mut tensors = tensors;
    while let [tensor, rest @ ..] = tensors {
        if tensor.size.0 == 0 || !matches!(byte_length(tensor), Some(length) if length == tensor.size.0) {
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

/// Whether two models are run, and only by tasks of one lane on which a job that has begun runs to completion.
const fn run_on_one_lane(system: &SystemDesc, model: usize, other: usize) -> bool {
    let mut lane: Option<u16> = None;
    let (mut runs_model, mut runs_other) = (false, false);
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
            runs_model = runs_model || runs.index() == model;
            runs_other = runs_other || runs.index() == other;
            match lane {
                None => lane = Some(task.lane.0),
                Some(first) if first == task.lane.0 => {}
                Some(_) => return false,
            }
        }
        tasks = rest;
    }
    runs_model && runs_other
}
