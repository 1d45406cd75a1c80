//! Switches between the levels of memory pressure that were planned.
//!
//! ```text
//!                    Pressure(level)                     no job of a shed task is left
//!  (no level) ───────────────────────▶ level, settling ───────────────────────────────▶ level, settled
//!      ▲  ▲                              │    ▲  Pressure(another)                           │   │
//!      │  └──── Pressure(none) ──────────┘    └──────────────────────────────────────────────┘   │
//!      └─────────────────────────────── Pressure(none) ──────────────────────────────────────────┘
//! ```
//!
//! What arrived until the switch goes on as before; what arrives later of a task that the level sheds or rejects is withheld,
//! each arrival with a record. Bounds hold throughout: those that allow for all tasks also hold where some never arrive, and
//! after the level is left arrivals are again at least a period apart. Once a level has settled it withholds every arrival of its
//! tasks, also one that came before the switch and is told late: then the memory of shed tasks is no longer theirs. For a task
//! that the next level names, too, that stays so.
//!
//! Cost: O(tasks that the levels name) for a switch and for settling; one look at the shed tasks for a step in which a job ended
//! while the level has not settled.

use super::Refused;
use super::state::State;
use super::tournament::NEVER;
use crate::desc::{LevelDesc, SystemDesc};
use crate::time::{Duration, Instant};
use crate::trace::{Kind, Sink};
use crate::units::{LevelId, TaskId};

/// The level that holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) level: LevelId,
    /// When it was entered.
    since: Instant,
    pub(super) settled: bool,
}

/// The level that withholds an arrival of a task.
pub(super) fn withheld<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &State<TASKS, LANES, QUEUE>,
    task: TaskId,
    arrival: Instant,
) -> Option<LevelId> {
    let own = state.tasks.get(task.index()).filter(|own| arrival >= own.withheld_from);
    own.and(state.common.held).map(|held| held.level)
}

/// The tasks that a level sheds or rejects.
fn named(level: &LevelDesc) -> impl Iterator<Item = TaskId> {
    level.shed.iter().chain(level.reject).copied()
}

/// Whether a level sheds or rejects a task.
fn names(level: &LevelDesc, task: TaskId) -> bool {
    let is_in = |list: &[TaskId]| list.binary_search_by_key(&task.0, |listed| listed.0).is_ok();
    is_in(level.shed) || is_in(level.reject)
}

/// Goes to a level, or to none. All that arrived until now is released before. Tasks that both levels name stay as they are.
pub(super) fn switch<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    to: Option<LevelId>,
    now: Instant,
    sink: &mut impl Sink,
) {
    let from = state.common.held.map(|held| held.level);
    if from == to {
        return;
    }
    let desc = |level: Option<LevelId>| level.and_then(|level| system.levels.get(level.index()));
    let (before, after) = (desc(from), desc(to));
    for task in before.into_iter().flat_map(named) {
        if let (Some(own), false) = (state.tasks.get_mut(task.index()), after.is_some_and(|after| names(after, task))) {
            own.withheld_from = NEVER;
        }
    }
    let later = now.checked_add(Duration::from_ns(1)).unwrap_or(NEVER);
    for task in after.into_iter().flat_map(named) {
        if let Some(own) = state.tasks.get_mut(task.index()) {
            own.withheld_from = own.withheld_from.min(later);
        }
    }
    state.common.held = to.map(|level| Held { level, since: now, settled: false });
    state.common.may_settle = true;
    sink.record(now, Kind::Pressure { from, to, settles: after.map(|level| level.settles) });
}

/// Whether a level can be gone to.
pub(super) fn check(system: &SystemDesc, to: Option<LevelId>) -> Result<(), Refused> {
    let Some(level) = to else { return Ok(()) };
    match system.levels.get(level.index()) {
        None => Err(Refused::UnknownLevel { level }),
        Some(desc) if !desc.models.is_empty() => Err(Refused::Compacts { level }),
        Some(_) => Ok(()),
    }
}

/// Records once that no job of a shed task is left.
pub(super) fn settle<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    now: Instant,
    sink: &mut impl Sink,
) {
    // Only what ended can have been the last.
    if !core::mem::take(&mut state.common.may_settle) {
        return;
    }
    let Some(held) = state.common.held.filter(|held| !held.settled) else { return };
    let Some(level) = system.levels.get(held.level.index()) else { return };
    let is_left = |task: &TaskId| {
        let lane = system.tasks.get(task.index()).map(|desc| desc.lane);
        let runs = lane.and_then(|lane| state.running(lane)).is_some_and(|job| job.task == *task);
        runs || state.waiting(*task).next().is_some()
    };
    if level.shed.iter().any(is_left) {
        return;
    }
    state.common.held = Some(Held { settled: true, ..held });
    for task in named(level) {
        if let Some(own) = state.tasks.get_mut(task.index()) {
            own.withheld_from = Instant::START;
        }
    }
    let took = now.saturating_since(held.since);
    sink.record(now, Kind::Settled { level: held.level, took, bound: level.settles });
}
