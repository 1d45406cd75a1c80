//! Re-proves modes: each as a system of its own, of the same tasks and lanes, and the system's bounds as the greatest of theirs.
//!
//! A change from one mode to another needs no proof of its own but that of how long it takes: until it ends a lane sees a part of
//! the arrivals of the one, after it of the other, and no busy period has both (`dispatch/mode.rs`,
//! `docs/theory/mode-changes.md`). What is not covered by that argument is refused: stages, whose jobs hand over between lanes;
//! levels of memory pressure; and a task of a time-triggered lane that some mode does not have, since its table goes on in every
//! mode.
//!
//! Cost: that of proving each mode, and O(tasks · all modes' tasks) terms for the greatest bounds.

use super::levels::is_ordered;
use super::same_task::{is_same_lane, is_same_task};
use super::{edf, schedule, table, terms};
use crate::desc::{Certificate, LaneDesc, MOST_MODES, ModeDesc, Policy, SystemDesc, TaskDesc};

/// What is proven for each mode.
#[derive(Clone, Copy)]
enum Rule {
    Responses,
    Points,
    Slots,
}

/// Whether each certificate re-proves its bound, and no bound exceeds its deadline; where there are modes, in each of them.
#[must_use]
pub const fn responses_hold(system: &SystemDesc) -> bool {
    holds_in_each(system, Rule::Responses)
}

/// Whether each EDF lane's points are all instants at which another job can be due, in order, each with a finish by which all that
/// is due then is complete; other lanes have none. Where there are modes, in each of them.
#[must_use]
pub const fn points_hold(system: &SystemDesc) -> bool {
    holds_in_each(system, Rule::Points)
}

/// Whether the slots of each time-triggered lane are its own tasks', in order, and hold their jobs without overlap, also
/// from one lap to the next; other lanes have none. Where there are modes, in each of them.
#[must_use]
pub const fn slots_hold(system: &SystemDesc) -> bool {
    holds_in_each(system, Rule::Slots)
}

const fn holds_in_each(system: &SystemDesc, rule: Rule) -> bool {
    if system.modes.is_empty() {
        return holds(system, rule);
    }
    let mut modes = system.modes;
    while let [mode, rest @ ..] = modes {
        if !holds(&alone(system, mode), rule) {
            return false;
        }
        modes = rest;
    }
    true
}

const fn holds(system: &SystemDesc, rule: Rule) -> bool {
    match rule {
        Rule::Responses => schedule::responses_hold(system),
        Rule::Points => edf::points_hold(system),
        Rule::Slots => table::slots_hold(system),
    }
}

/// The system as if a mode's tasks were all there are.
pub(super) const fn alone(system: &SystemDesc, mode: &ModeDesc) -> SystemDesc {
    SystemDesc { lanes: mode.lanes, tasks: mode.proven, modes: &[], ..*system }
}

/// Whether each mode has tasks of the system as they are there, on its lanes, and is left in time; whether each task is in a mode,
/// and the system's bounds and busy periods are the greatest of the modes'. That a mode's bounds hold is said by
/// [`responses_hold`], [`points_hold`] and [`slots_hold`].
#[must_use]
pub const fn modes_hold(system: &SystemDesc) -> bool {
    if system.modes.is_empty() {
        return true;
    }
    if system.modes.len() > MOST_MODES || !system.levels.is_empty() || !lanes_are_the_greatest(system) {
        return false;
    }
    let mut tasks = system.tasks;
    let mut position: usize = 0;
    while let [task, rest @ ..] = tasks {
        if !task_is_the_greatest(system, task, position) {
            return false;
        }
        position = position.saturating_add(1);
        tasks = rest;
    }
    let mut modes = system.modes;
    while let [mode, rest @ ..] = modes {
        if !mode_holds(system, mode) {
            return false;
        }
        modes = rest;
    }
    true
}

/// Whether a mode's tasks and lanes are the system's, and it is left no sooner than its lanes may be busy.
const fn mode_holds(system: &SystemDesc, mode: &ModeDesc) -> bool {
    if !is_ordered(system, mode.tasks) || mode.tasks.is_empty() {
        return false;
    }
    let (mut listed, mut proven) = (mode.tasks, mode.proven);
    while let ([id, rest @ ..], [task, others @ ..]) = (listed, proven) {
        let Some((_, [original, ..])) = system.tasks.split_at_checked(id.index()) else {
            return false;
        };
        if !is_same_task(task, original) {
            return false;
        }
        listed = rest;
        proven = others;
    }
    let (mut lanes, mut originals) = (mode.lanes, system.lanes);
    while let ([lane, rest @ ..], [original, others @ ..]) = (lanes, originals) {
        let is_left = matches!(busy_until(lane), Some(end) if end <= mode.leaves.as_ns());
        if !is_left || lane.busy_period.is_zero() || !is_same_lane(lane, original, mode.tasks) {
            return false;
        }
        lanes = rest;
        originals = others;
    }
    listed.is_empty() && proven.is_empty() && lanes.is_empty() && originals.is_empty()
}

/// How long after a lane has begun to be busy the end of that is seen, at the latest.
const fn busy_until(lane: &LaneDesc) -> Option<u64> {
    match lane.lateness() {
        Some(late) => lane.busy_period.as_ns().checked_add(late.as_ns()),
        None => None,
    }
}

/// Whether the system's busy periods are the greatest of the modes', and its points are left to them.
const fn lanes_are_the_greatest(system: &SystemDesc) -> bool {
    let mut lanes = system.lanes;
    let mut position: usize = 0;
    while let [lane, rest @ ..] = lanes {
        let mut greatest: u64 = 0;
        let mut modes = system.modes;
        while let [mode, rest @ ..] = modes {
            let Some((_, [own, ..])) = mode.lanes.split_at_checked(position) else {
                return false;
            };
            if own.busy_period.as_ns() > greatest {
                greatest = own.busy_period.as_ns();
            }
            modes = rest;
        }
        if !lane.points.is_empty() || lane.busy_period.as_ns() != greatest {
            return false;
        }
        position = position.saturating_add(1);
        lanes = rest;
    }
    true
}

/// Whether a task's bound is the greatest of the modes that have it, of which there is one, and its proof is left to them; and
/// whether it is a task that a mode may have.
const fn task_is_the_greatest(system: &SystemDesc, task: &TaskDesc, position: usize) -> bool {
    let Some(lane) = terms::lane_of(system, task) else {
        return false;
    };
    let mut greatest: Option<u64> = None;
    let mut in_all = true;
    let mut modes = system.modes;
    while let [mode, rest @ ..] = modes {
        match proven(mode, position) {
            Some(own) => {
                let own = own.response_bound.as_ns();
                greatest = match greatest {
                    Some(before) if before >= own => greatest,
                    _ => Some(own),
                };
            }
            None => in_all = false,
        }
        modes = rest;
    }
    let is_unproven = matches!(task.certificate, Certificate::Unproven);
    let may_be = task.stage.is_none() && (in_all || !matches!(lane.policy, Policy::TimeTriggered));
    may_be && is_unproven && matches!(greatest, Some(bound) if bound == task.response_bound.as_ns())
}

/// A task as a mode that has it proves it.
const fn proven(mode: &ModeDesc, position: usize) -> Option<&TaskDesc> {
    let (mut listed, mut proven) = (mode.tasks, mode.proven);
    while let ([id, rest @ ..], [task, others @ ..]) = (listed, proven) {
        if id.index() == position {
            return Some(task);
        }
        listed = rest;
        proven = others;
    }
    None
}
