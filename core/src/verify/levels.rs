//! Re-proves what a level of memory pressure leaves.

use super::memory::{models_hold, pool_holds};
use super::moves::{copies_take, moves_hold};
use super::pages::unused_holds;
use super::sharing::{Layout, lists, nothing_collides};
use crate::desc::{LevelDesc, SystemDesc, TaskDesc};
use crate::units::TaskId;

/// Whether each level leaves what it says and settles no sooner than it can.
#[must_use]
pub const fn levels_hold(system: &SystemDesc) -> bool {
    let mut levels = system.levels;
    while let [level, rest @ ..] = levels {
        if !level_holds(system, level) {
            return false;
        }
        levels = rest;
    }
    true
}

/// Whether a level's lists name tasks, in order and none twice, some task stays, stages stay or go together, what stays lies
/// below the level's heights, and where a level compacts, its layout holds, moves only what can be moved, and copies it in an
/// order that destroys nothing. Whether nothing that is needed lies in the pages that are given back. And whether it waits for
/// the jobs and copies that it must wait for.
pub(super) const fn level_holds(system: &SystemDesc, level: &LevelDesc) -> bool {
    if !is_ordered(system, level.shed)
        || !is_ordered(system, level.reject)
        || level.shed.len() >= system.tasks.len()
        || !stages_stay_together(system, level.shed)
        || !stages_stay_together(system, level.reject)
        || level.pools.len() != system.pools.len()
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
    let layout = Layout { system, models, shed: level.shed, mode: None };
    if !(level.models.is_empty() || models_hold(system, level.models) && nothing_collides(layout)) {
        return false;
    }
    if !moves_hold(layout, level) || !unused_holds(layout, level) {
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
    matches!(copies_take(layout, level), Some(copies)
        if matches!(longest(system, level).checked_add(copies), Some(least) if least <= level.settles.as_ns()))
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
pub(super) const fn is_ordered(system: &SystemDesc, tasks: &[TaskId]) -> bool {
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
