//! Modes: each is analysed as a system of its own tasks, and a change from one to another is bounded.
//!
//! A task has the same parameters and the same place in its lane's order in every mode, so what differs is who competes for
//! the lane. The protocol of a change (`docs/theory/mode-changes.md`) lets each lane see a subset of one mode's arrivals at a time,
//! apart by an instant at which the lane is idle where tasks go. So a job of either mode, or of a change between them,
//! responds within the greatest bound of the modes that have its task.
//!
//! A change ends when each lane whose tasks go has been idle once. Until then a lane sees at most the old mode's arrivals, so it
//! is idle after that mode's busy period at the latest, which the dispatcher sees at most the lane's lateness later.

use super::{Analysis, LaneResult, NoBound, Table, TaskResult, whole};
use crate::system::{Mode, System, Task};
use aegis_core::time::Duration;
use aegis_core::units::Priority;

/// What was found for one mode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModeResult {
    /// The positions of its tasks in the system, ascending.
    pub tasks: Vec<usize>,
    /// What was found for them alone: all positions are places in `tasks`.
    pub analysis: Analysis,
    /// How long leaving it takes, at most; `None` where a lane has no bounded busy period.
    pub leaves: Option<Duration>,
}

/// A mode as a system of its own: its tasks, in their order, without models, chains and other modes.
#[must_use]
pub fn alone(system: &System, mode: &Mode) -> System {
    System {
        name: system.name.clone(),
        file: system.file.clone(),
        orchestration_core: system.orchestration_core,
        waiting: system.waiting,
        conditions: system.conditions.clone(),
        watchdog: None,
        watch: None,
        machine: system.machine.clone(),
        libraries: Vec::new(),
        assets: Vec::new(),
        devices: Vec::new(),
        lanes: system.lanes.clone(),
        models: Vec::new(),
        tasks: mode.tasks.iter().filter_map(|task| system.tasks.get(*task)).cloned().collect::<Vec<Task>>(),
        chains: Vec::new(),
        levels: Vec::new(),
        modes: Vec::new(),
        domains: system.domains.clone(),
    }
}

/// The mode in which a task's bound is the greatest, or in which it has none, and the task's place in that mode.
#[must_use]
pub fn worst(analysis: &Analysis, task: usize) -> Option<(usize, usize)> {
    let in_mode = |(mode, found): (usize, &ModeResult)| {
        let place = found.tasks.iter().position(|other| *other == task)?;
        // Having no bound is worse than any; the first of equals.
        let bound = found.analysis.tasks.get(place)?.bound().map_or(u128::MAX, |bound| u128::from(bound.as_ns()));
        Some((bound, std::cmp::Reverse(mode), place))
    };
    let (_, mode, place) = analysis.modes.iter().enumerate().filter_map(in_mode).max()?;
    Some((mode.0, place))
}

/// Analyses each mode, and puts together what holds in all of them: the greatest bounds and busy periods.
pub(super) fn analyse(system: &System, order: &[Priority], once: &[u64]) -> Analysis {
    let of_mode = |mode: &Mode| {
        let own = alone(system, mode);
        let order: Vec<Priority> = mode.tasks.iter().filter_map(|task| order.get(*task)).copied().collect();
        let analysis = whole::analyse_with(&own, &order, once);
        let leaves = leaves(&own, &analysis);
        ModeResult { tasks: mode.tasks.clone(), analysis, leaves }
    };
    let modes: Vec<ModeResult> = system.modes.iter().map(of_mode).collect();
    let lanes = (0..system.lanes.len()).map(|lane| lane_of_all(&modes, lane)).collect();
    let mut analysis = Analysis { lanes, tasks: Vec::new(), chains: Vec::new(), modes };
    analysis.tasks = order.iter().enumerate().map(|(task, own)| task_of_all(&analysis, task, *own)).collect();
    analysis
}

/// A bound on leaving a mode: the longest busy period of its lanes, and how late its end is seen.
fn leaves(system: &System, analysis: &Analysis) -> Option<Duration> {
    let lanes = system.lanes.iter().zip(&analysis.lanes);
    let mut ends = lanes.map(|(lane, found)| found.busy_period.ok()?.checked_add(lane.lateness()?));
    ends.try_fold(Duration::ZERO, |longest, end| Some(longest.max(end?)))
}

/// A lane in all modes: the greatest utilization and busy period. The points of a proof are each mode's own.
fn lane_of_all(modes: &[ModeResult], lane: usize) -> LaneResult {
    let found = || modes.iter().filter_map(|mode| Some((mode, mode.analysis.lanes.get(lane)?)));
    let busy = found().map(|(_, lane)| lane.busy_period);
    // The tasks of a table are in every mode, so one mode's table is every mode's.
    let table = found().find_map(|(mode, lane)| {
        let Table { hyperperiod, slots } = lane.table.as_ref()?;
        let slots = slots.iter().map(|(at, place)| Some((*at, *mode.tasks.get(*place)?)));
        Some(Table { hyperperiod: *hyperperiod, slots: slots.collect::<Option<_>>()? })
    });
    LaneResult {
        utilization_ppm: found().map(|(_, lane)| lane.utilization_ppm).max().unwrap_or(0),
        busy_period: busy.reduce(|one, other| Ok(one?.max(other?))).unwrap_or(Err(NoBound::Overflow)),
        points: Vec::new(),
        table,
    }
}

/// A task in all modes: what was found where it is the worst.
fn task_of_all(analysis: &Analysis, task: usize, priority: Priority) -> TaskResult {
    let found = worst(analysis, task).and_then(|(mode, place)| {
        let mode = analysis.modes.get(mode)?;
        let found = mode.analysis.tasks.get(place)?.clone();
        let blocked_by = found.blocked_by.and_then(|place| mode.tasks.get(place).copied());
        Some(TaskResult { blocked_by, ..found })
    });
    found.unwrap_or_else(|| whole::nothing(priority))
}
