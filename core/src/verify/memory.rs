//! Re-proves the memory plan: alignment, capacity, one task a model, that only what is never used at once shares bytes,
//! every planned sequence, and the lower bound.

use super::blocks::play;
use super::sharing::{Layout, Meeting, alignment_of, meeting, nothing_collides, piece};
use super::tensors::tensors_hold;
use crate::desc::{Life, MemoryControl, ModelDesc, PoolDesc, SegmentDesc, SystemDesc, TaskDesc};
use crate::units::Bytes;

/// Whether every region is aligned and inside its arena, nothing that can be live at once overlaps, every planned
/// sequence holds in its region, no model is run by two tasks, each pool fits, and its lower bound is what the models'
/// witnesses show.
#[must_use]
pub const fn memory_holds(system: &SystemDesc) -> bool {
    let layout = Layout { system, models: system.models, shed: &[], mode: None };
    if !models_have_one_task(system) || !models_hold(system, system.models) || !nothing_collides(layout) {
        return false;
    }
    let mut pools = system.pools;
    let mut position: usize = 0;
    while let [pool, rest @ ..] = pools {
        if !budget_holds(system, position) || !pool_holds(layout, position, pool.weights, pool.height, pool.lower_bound)
        {
            return false;
        }
        let Some(next) = position.checked_add(1) else {
            return false;
        };
        position = next;
        pools = rest;
    }
    true
}

/// The pool with whose capacity a pool's counts; `None` where there is none.
const fn owner(system: &SystemDesc, pool: usize) -> Option<usize> {
    match system.pools.split_at_checked(pool) {
        Some((_, [own, ..])) => match own.shares {
            Some(other) => Some(other.index()),
            None => Some(pool),
        },
        _ => None,
    }
}

/// What a pool takes of its capacity: the arena, what backends hold besides, and of a GPU what its driver takes, if that is known.
const fn taken(pool: &PoolDesc) -> Option<u64> {
    let Some(models) = pool.height.0.checked_add(pool.weights.0) else {
        return None;
    };
    match &pool.gpu {
        Some(gpu) => match gpu.context {
            Some(context) => models.checked_add(context.0),
            None => Some(models),
        },
        None => Some(models),
    }
}

/// What a GPU's models have of the CPU's memory, if the pool at this position is a GPU's and that counts with the capacity of the
/// pool `with`. `None` where it counts with another device's memory, or with a pool that does not exist.
const fn staged(system: &SystemDesc, position: usize, with: usize) -> Option<u64> {
    let Some((_, [pool, ..])) = system.pools.split_at_checked(position) else {
        return None;
    };
    let Some(gpu) = &pool.gpu else {
        return Some(0);
    };
    let Some(staging) = gpu.staging else {
        return Some(0);
    };
    let is_of_cpu = match system.pools.split_at_checked(staging.index()) {
        Some((_, [other, ..])) => other.gpu.is_none(),
        _ => false,
    };
    if staging.index() != position && !is_of_cpu {
        return None;
    }
    match owner(system, staging.index()) {
        Some(owner) if owner == with => {}
        Some(_) => return Some(0),
        None => return None,
    }
    let mut sum: u64 = 0;
    let mut models = system.models;
    while let [model, rest @ ..] = models {
        if model.pool.index() == position {
            let Some(own) = model.staging() else {
                return None;
            };
            match sum.checked_add(own) {
                Some(added) => sum = added,
                None => return None,
            }
        }
        models = rest;
    }
    Some(sum)
}

/// Whether a pool and all that count with its capacity take no more together; one that shares another's must not be shared itself.
const fn budget_holds(system: &SystemDesc, position: usize) -> bool {
    let mut sum: u64 = 0;
    let mut number: usize = 0;
    let mut capacity = None;
    let mut pools = system.pools;
    while let [pool, rest @ ..] = pools {
        let draws = matches!(owner(system, number), Some(owner) if owner == position);
        let (Some(own), Some(staged)) = (if draws { taken(pool) } else { Some(0) }, staged(system, number, position))
        else {
            return false;
        };
        sum = match sum.checked_add(own) {
            Some(added) => match added.checked_add(staged) {
                Some(added) => added,
                None => return false,
            },
            None => return false,
        };
        if number == position {
            if let Some(other) = pool.shares {
                return matches!(system.pools.split_at_checked(other.index()), Some((_, [shared, ..])) if shared.shares.is_none());
            }
            capacity = Some(pool.capacity.0);
        }
        number = number.saturating_add(1);
        pools = rest;
    }
    matches!(capacity, Some(capacity) if sum <= capacity)
}

/// Whether each model's tensors and sequences hold in themselves, in the memory of its pool.
pub(super) const fn models_hold(system: &SystemDesc, models: &[ModelDesc]) -> bool {
    let mut models = models;
    while let [model, rest @ ..] = models {
        if !tensors_hold(model) || needs(model, alignment_of(system, model.pool)).is_none() {
            return false;
        }
        models = rest;
    }
    true
}

/// Whether all that lies in a pool ends below its height, the backends hold as much as it says, and its bound is shown.
pub(super) const fn pool_holds(
    layout: Layout<'_>,
    pool: usize,
    weights: Bytes,
    height: Bytes,
    lower_bound: Bytes,
) -> bool {
    let mut sum: u64 = 0;
    let mut position: usize = 0;
    while position < layout.models.len() {
        if let Some(model) = layout.model(position)
            && model.pool.index() == pool
        {
            let mut number: usize = 0;
            while let Some(piece) = piece(model, number) {
                if !piece.lies_below(height, layout.alignment(model.pool)) {
                    return false;
                }
                number = number.saturating_add(1);
            }
            match sum.checked_add(model.weights.0) {
                Some(added) => sum = added,
                None => return false,
            }
        }
        position = position.saturating_add(1);
    }
    let bound = bound(layout, pool);
    sum == weights.0 && lower_bound.0 <= height.0 && matches!(bound, Some(bound) if bound == lower_bound.0)
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

/// Whether each task's jobs run in one piece or in their models' segments: what is live at a boundary of other pieces, no
/// description of the model says.
#[must_use]
pub const fn pieces_are_segments(system: &SystemDesc) -> bool {
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if !are_segments(system, task) {
            return false;
        }
        tasks = rest;
    }
    true
}

/// What [`pieces_are_segments`] says of one task.
pub(super) const fn are_segments(system: &SystemDesc, task: &TaskDesc) -> bool {
    let Some(id) = task.model else {
        return true;
    };
    let Some((_, [model, ..])) = system.models.split_at_checked(id.index()) else {
        return true;
    };
    task.segments.len() <= 1 || task.segments.len() == model.segments.len()
}

/// What a model needs at least.
struct Needs {
    /// Always.
    always: u64,
    /// While one of its segments runs, besides.
    running: u64,
}

/// Plays the model's sequences; `None` where one does not hold in its region, or the model's parts contradict each other.
const fn needs(model: &ModelDesc, alignment: Bytes) -> Option<Needs> {
    let (Some(mut always), mut running) = (tensors(model, Which::Kept, alignment), 0) else {
        return None;
    };
    let mut segments: &[SegmentDesc] = model.segments;
    while let [earlier @ .., segment] = segments {
        let Some(load) = play(segment.load, segment.persistent, 0, alignment) else {
            return None;
        };
        let (Some(scratch), Some(live)) =
            (scratch(segment, alignment), tensors(model, Which::During(earlier.len()), alignment))
        else {
            return None;
        };
        let (Some(kept), Some(all)) = (always.checked_add(load.at_end), scratch.checked_add(live)) else {
            return None;
        };
        always = kept;
        if all > running {
            running = all;
        }
        segments = earlier;
    }
    Some(Needs { always, running })
}

/// What a segment's scratch needs at least.
const fn scratch(segment: &SegmentDesc, alignment: Bytes) -> Option<u64> {
    let planned = matches!(segment.memory, MemoryControl::Planned);
    if planned == segment.runs.is_empty() {
        return None;
    }
    let mut most = if planned { 0 } else { segment.scratch.0 };
    let mut runs = segment.runs;
    while let [recording, rest @ ..] = runs {
        match play(recording.steps, segment.scratch, recording.peak, alignment) {
            // What a run leaves behind, the next segment would overwrite.
            Some(run) if run.at_end == 0 => {
                if run.at_witness > most {
                    most = run.at_witness;
                }
            }
            _ => return None,
        }
        runs = rest;
    }
    Some(most)
}

/// Some of a model's tensors.
#[derive(Clone, Copy)]
enum Which {
    /// Those that are always live.
    Kept,
    /// Those of a job that are live while this segment runs.
    During(usize),
    /// Those of them that are live at some boundary, too.
    Carried(usize),
}

/// The bytes of some of a model's tensors, each rounded up to the alignment.
const fn tensors(model: &ModelDesc, which: Which, alignment: Bytes) -> Option<u64> {
    let mut sum: u64 = 0;
    let mut number: usize = 0;
    while let Some(tensor) = model.tensor(number) {
        let counts = match (model.life(number), which) {
            (Some(Life::Kept), Which::Kept) => true,
            (Some(Life::Job { from, last }), Which::During(segment)) => from <= segment && segment <= last,
            (Some(Life::Job { from, last }), Which::Carried(segment)) => {
                from < last && from <= segment && segment <= last
            }
            (Some(_), _) => false,
            (None, _) => return None,
        };
        if counts {
            let Some(length) = tensor.size.0.checked_next_multiple_of(alignment.0) else {
                return None;
            };
            match sum.checked_add(length) {
                Some(added) => sum = added,
                None => return None,
            }
        }
        number = number.saturating_add(1);
    }
    Some(sum)
}

/// The most bytes that a waiting job keeps apart from what runs meanwhile: tensors that are live at some boundary, and at once
/// in one segment. Each two of them meet, though not all of them need be live at one boundary.
const fn kept_waiting(model: &ModelDesc, alignment: Bytes) -> Option<u64> {
    let mut most: u64 = 0;
    let mut number: usize = 0;
    while number < model.segments.len() {
        match tensors(model, Which::Carried(number), alignment) {
            Some(live) if live > most => most = live,
            Some(_) => {}
            None => return None,
        }
        number = number.saturating_add(1);
    }
    Some(most)
}

/// What a pool needs at least: what each model needs always, and in the mode in which that is the most, for each lane what one of
/// its segments needs at most while it runs, with what jobs that it may go before keep meanwhile. Of all that each two meet, so
/// no layout has less.
const fn bound(layout: Layout<'_>, pool: usize) -> Option<u64> {
    let mut most: u64 = 0;
    if layout.system.modes.is_empty() {
        match lanes_need(layout, pool) {
            Some(need) => most = need,
            None => return None,
        }
    }
    let mut modes = layout.system.modes;
    while let [mode, rest @ ..] = modes {
        match lanes_need(Layout { mode: Some(mode.tasks), ..layout }, pool) {
            Some(need) if need > most => most = need,
            Some(_) => {}
            None => return None,
        }
        modes = rest;
    }
    let mut position: usize = 0;
    while position < layout.models.len() {
        if let Some(model) = layout.model(position)
            && model.pool.index() == pool
        {
            let Some(own) = needs(model, layout.alignment(model.pool)) else {
                return None;
            };
            match most.checked_add(own.always) {
                Some(added) => most = added,
                None => return None,
            }
        }
        position = position.saturating_add(1);
    }
    Some(most)
}

/// What all lanes need at once at most.
const fn lanes_need(layout: Layout<'_>, pool: usize) -> Option<u64> {
    let mut sum: u64 = 0;
    let mut position: usize = 0;
    while position < layout.models.len() {
        if let Some(model) = layout.model(position)
            && model.pool.index() == pool
        {
            let Some(lane) = lane_needs(layout, position, pool) else {
                return None;
            };
            match sum.checked_add(lane) {
                Some(added) => sum = added,
                None => return None,
            }
        }
        position = position.saturating_add(1);
    }
    Some(sum)
}

/// What the models of a model's lane need while a segment runs, if the model is the first of them; otherwise nothing more.
const fn lane_needs(layout: Layout<'_>, first: usize, pool: usize) -> Option<u64> {
    let mut most: u64 = 0;
    let mut position: usize = 0;
    while position < layout.models.len() {
        if let Some(model) = layout.model(position)
            && model.pool.index() == pool
            && is_of_lane(layout, first, position)
        {
            if position < first {
                return Some(0);
            }
            let (Some(own), Some(waiting)) =
                (needs(model, layout.alignment(model.pool)), waiting(layout, position, pool))
            else {
                return None;
            };
            match own.running.checked_add(waiting) {
                Some(all) if all > most => most = all,
                Some(_) => {}
                None => return None,
            }
        }
        position = position.saturating_add(1);
    }
    Some(most)
}

const fn is_of_lane(layout: Layout<'_>, first: usize, other: usize) -> bool {
    first == other || matches!(meeting(layout.system, first, other), Meeting::AtBoundaries { .. })
}

/// The most that waiting jobs keep while a segment of a model runs.
const fn waiting(layout: Layout<'_>, model: usize, pool: usize) -> Option<u64> {
    let mut sum: u64 = 0;
    let mut position: usize = 0;
    while position < layout.models.len() {
        if let Some(other) = layout.model(position)
            && position != model
            && other.pool.index() == pool
            && matches!(meeting(layout.system, model, position), Meeting::AtBoundaries { first_runs: true, .. })
        {
            let Some(kept) = kept_waiting(other, layout.alignment(other.pool)) else {
                return None;
            };
            match sum.checked_add(kept) {
                Some(added) => sum = added,
                None => return None,
            }
        }
        position = position.saturating_add(1);
    }
    Some(sum)
}
