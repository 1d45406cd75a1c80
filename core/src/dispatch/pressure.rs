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
//! What arrived until the switch goes on as before; what arrives later of a task that the level sheds or rejects is withheld, each
//! arrival with a record. Bounds hold throughout: those that allow for all tasks also hold where some never arrive, and after the
//! level is left arrivals are again at least a period apart. Once a level has settled it withholds every arrival of its tasks, also
//! one that came before the switch and is told late: then the memory of shed tasks is no longer theirs.

use super::Refused;
use super::state::State;
use crate::desc::{LevelDesc, SystemDesc};
use crate::time::Instant;
use crate::trace::{Kind, Sink};
use crate::units::{LevelId, TaskId};

/// The level that holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) level: LevelId,
    /// When it was entered.
    since: Instant,
    settled: bool,
}

impl Held {
    /// Whether it withholds an arrival of a task.
    pub(super) fn withholds(self, system: &SystemDesc, task: TaskId, arrival: Instant) -> bool {
        (self.settled || arrival > self.since)
            && system.levels.get(self.level.index()).is_some_and(|level| names(level, task))
    }
}

/// Whether a level sheds or rejects a task.
fn names(level: &LevelDesc, task: TaskId) -> bool {
    let is_in = |list: &[TaskId]| list.binary_search_by_key(&task.0, |listed| listed.0).is_ok();
    is_in(level.shed) || is_in(level.reject)
}

/// Goes to a level, or to none. All that arrived until now is released before.
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
    state.common.held = to.map(|level| Held { level, since: now, settled: false });
    let settles = to.and_then(|to| system.levels.get(to.index())).map(|level| level.settles);
    sink.record(now, Kind::Pressure { from, to, settles });
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
    let took = now.saturating_since(held.since);
    sink.record(now, Kind::Settled { level: held.level, took, bound: level.settles });
}
