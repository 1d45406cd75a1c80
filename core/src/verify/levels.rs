//! Re-proves what a level of memory pressure leaves.

use super::memory::{models_hold, pool_holds};
use super::same::is_same_model;
use super::sharing::{Layout, lists, nothing_collides};
use crate::desc::{ALIGNMENT, LevelDesc, ModelDesc, SystemDesc, TaskDesc, TensorDesc, TensorLife};
use crate::units::TaskId;

/// Whether a level's lists name tasks, in order and none twice, some task stays, stages stay or go together, it waits for the jobs
/// that it must wait for, what stays lies below the level's heights, and where a level compacts, its layout holds and moves only
/// what can be moved.
pub(super) const fn level_holds(system: &SystemDesc, level: &LevelDesc) -> bool {
    if !is_ordered(system, level.shed)
        || !is_ordered(system, level.reject)
        || level.shed.len() >= system.tasks.len()
        || !stages_stay_together(system, level.shed)
        || !stages_stay_together(system, level.reject)
        || level.pools.len() != system.pools.len()
        || level.settles.as_ns() < longest(system, level)
    {
        return false;
    }
    let mut rejected = level.reject;
    while let [task, rest @ ..] = rejected {
        if lists(level.shed, task.index()) {
            return false;
        }
        rejected = rest;
    }
    let models = if level.models.is_empty() { system.models } else { level.models };
    let layout = Layout { system, models, shed: level.shed };
    if !(level.models.is_empty() || models_hold(level.models) && nothing_collides(layout)) {
        return false;
    }
    if !matches!(copied(system, layout), Some(bytes) if bytes == level.copied.0) {
        return false;
    }
    let (mut pools, mut arenas) = (level.pools, system.pools);
    let mut number: usize = 0;
    while let ([pool, rest @ ..], [arena, others @ ..]) = (pools, arenas) {
        // A level uses the arena that was taken at the start.
        if pool.height.0 > arena.height.0 || !pool_holds(layout, number, pool.weights, pool.height, pool.lower_bound) {
            return false;
        }
        number = number.saturating_add(1);
        pools = rest;
        arenas = others;
    }
    true
}

/// What a level has to wait for at least, in nanoseconds: until all jobs that had arrived are complete, where something moves,
/// and otherwise those of shed tasks.
const fn longest(system: &SystemDesc, level: &LevelDesc) -> u64 {
    let mut most: u64 = 0;
    let mut tasks: &[TaskDesc] = system.tasks;
    while let [rest @ .., task] = tasks {
        let response = task.response_bound.as_ns();
        if response > most && (!level.models.is_empty() || lists(level.shed, rest.len())) {
            most = response;
        }
        tasks = rest;
    }
    most
}

/// Whether a list names tasks of the system, in their order and none twice.
const fn is_ordered(system: &SystemDesc, tasks: &[TaskId]) -> bool {
    let mut tasks = tasks;
    while let [task, rest @ ..] = tasks {
        if task.index() >= system.tasks.len() {
            return false;
        }
        if let [next, ..] = rest
            && next.0 <= task.0
        {
            return false;
        }
        tasks = rest;
    }
    true
}

/// Whether a list names all stages of a task or none.
const fn stages_stay_together(system: &SystemDesc, listed: &[TaskId]) -> bool {
    let mut tasks = system.tasks;
    let mut position: usize = 0;
    while let [task, rest @ ..] = tasks {
        if let Some(stage) = task.stage
            && lists(listed, stage.after.index()) != lists(listed, position)
        {
            return false;
        }
        position = position.saturating_add(1);
        tasks = rest;
    }
    true
}

/// The bytes of kept tensors that lie elsewhere than in the system's own layout; `None` where something moves that the runtime
/// holds addresses of, or a model is not the system's.
const fn copied(system: &SystemDesc, layout: Layout<'_>) -> Option<u64> {
    if layout.models.len() != system.models.len() {
        return None;
    }
    let mut sum: u64 = 0;
    let mut originals: &[ModelDesc] = system.models;
    while let [rest @ .., original] = originals {
        if let Some(model) = layout.model(rest.len()) {
            if !is_same_model(model, original) {
                return None;
            }
            let (Some(inputs), Some(outputs)) =
                (moved(model.inputs, original.inputs), moved(model.outputs, original.outputs))
            else {
                return None;
            };
            let Some(both) = inputs.checked_add(outputs) else {
                return None;
            };
            match sum.checked_add(if matches!(model.tensors, TensorLife::Kept) { both } else { 0 }) {
                Some(added) => sum = added,
                None => return None,
            }
        }
        originals = rest;
    }
    Some(sum)
}

/// The bytes of tensors that lie elsewhere, each rounded up to the alignment.
const fn moved(tensors: &[TensorDesc], originals: &[TensorDesc]) -> Option<u64> {
    let mut sum: u64 = 0;
    let (mut tensors, mut originals) = (tensors, originals);
    while let ([tensor, rest @ ..], [original, others @ ..]) = (tensors, originals) {
        if tensor.at.0 != original.at.0 {
            let Some(length) = tensor.size.0.checked_next_multiple_of(ALIGNMENT.0) else {
                return None;
            };
            match sum.checked_add(length) {
                Some(added) => sum = added,
                None => return None,
            }
        }
        tensors = rest;
        originals = others;
    }
    Some(sum)
}
