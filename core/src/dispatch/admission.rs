//! Admits and dismisses optional tasks, which are proven with all others.
//!
//! ```text
//!                     Admit                                              Dismiss
//!  (releases nothing) ─────▶ arrivals from the next instant of its grid ─────────▶ (releases nothing; its jobs run to their end)
//! ```
//!
//! Bounds hold throughout: those that allow for all tasks also hold where some never arrive, and a task's arrivals are always
//! instants of its own grid, at least a period apart, however often it is admitted and dismissed. So the slots that a table has
//! for it are where they should be, too. The first arrival lies after the step that admits: in that step a less important job may
//! have started.
//!
//! Cost: O(log tasks) a step.

use super::state::State;
use super::tournament::NEVER;
use super::{Refused, domain, release};
use crate::desc::{Release, SystemDesc, TaskDesc};
use crate::time::{Duration, Instant};
use crate::trace::{Kind, Sink};
use crate::units::TaskId;

/// Whether a task is released only while it is admitted; where there are modes these say when.
pub(super) const fn is_optional(system: &SystemDesc, task: &TaskDesc) -> bool {
    task.optional && system.modes.is_empty()
}

/// Whether a task can be admitted, or dismissed.
pub(super) fn check<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &State<TASKS, LANES, QUEUE>,
    task: TaskId,
    admits: bool,
) -> Result<(), Refused> {
    let desc = system.tasks.get(task.index()).ok_or(Refused::UnknownTask { task })?;
    let own = state.tasks.get(task.index()).ok_or(Refused::UnknownTask { task })?;
    if !is_optional(system, desc) {
        return Err(Refused::NotOptional { task });
    }
    if let (Some(domain), true) = (domain::failed(state, desc), admits) {
        return Err(Refused::DomainFailed { task, domain });
    }
    match (own.in_mode, admits) {
        (true, true) => Err(Refused::AlreadyAdmitted { task }),
        (false, false) => Err(Refused::NotAdmitted { task }),
        _ => Ok(()),
    }
}

/// Lets a task release jobs.
#[cold]
pub(super) fn admit<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    id: TaskId,
    now: Instant,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let Some(task) = system.tasks.get(id.index()) else { return Ok(()) };
    let Some(own) = state.tasks.get_mut(id.index()) else { return Ok(()) };
    let is_timed = task.release == Release::Timer;
    let first = first_arrival(task, own.next, now).ok_or(Refused::OutOfRange)?;
    own.in_mode = true;
    own.next = first;
    // What an old job would have dropped came while the task was away.
    (own.skip_next, own.skip_late) = (false, false);
    if is_timed {
        state.reschedule(id.index());
        state.reschedule_one(system, id.index());
    }
    sink.record(now, Kind::TaskAdmitted { task: id, bound: task.response_bound, first });
    Ok(())
}

/// Lets a task release nothing.
#[cold]
pub(super) fn dismiss<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    id: TaskId,
    now: Instant,
    sink: &mut impl Sink,
) {
    let Some(task) = system.tasks.get(id.index()) else { return };
    let (Some(own), Some(arrival)) = (state.tasks.get_mut(id.index()), state.arrivals.get_mut(id.index())) else {
        return;
    };
    own.in_mode = false;
    *arrival = NEVER;
    sink.record(now, Kind::TaskDismissed { task: id });
    release::forgo(own, id, task, now, sink);
    state.reschedule_one(system, id.index());
}

/// The first arrival after now of a task that comes back, of which `next` would have been the next one: of its own grid, where the
/// timer releases it, or the earliest that may be submitted.
pub(super) fn first_arrival(task: &TaskDesc, next: Instant, now: Instant) -> Option<Instant> {
    let first = match task.release {
        Release::Timer => on_grid(task, next, now),
        Release::Submitted | Release::Stage => after(now).map(|after| after.max(next)),
    };
    first.filter(|first| *first < NEVER)
}

fn after(now: Instant) -> Option<Instant> {
    now.checked_add(Duration::from_ns(1))
}

/// The first instant of the grid that `next` lies on which is not before it and after `now`.
fn on_grid(task: &TaskDesc, next: Instant, now: Instant) -> Option<Instant> {
    let behind = after(now)?.saturating_since(next).as_ns();
    let periods = behind.checked_next_multiple_of(task.period.as_ns())?;
    next.checked_add(Duration::from_ns(periods))
}
