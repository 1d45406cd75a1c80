//! Changes from one mode to another, each proven by itself.
//!
//! ```text
//!                Mode(another)                      every lane that had tasks of the old mode alone was idle once
//!  (a mode) ───────────────────▶ (change under way) ──────────────────────────────────────────────────────────────▶ (the other mode)
//!               ModeRequested           │   ▲                            ModeChanged
//!                                       └───┘ Mode(any): refused
//! ```
//!
//! From the request on the tasks that only the old mode has release nothing; their jobs run to their end, and what is deferred of
//! them is dropped, each as if it had come. Tasks of both modes go on
//! as if nothing happened. Tasks that only the new mode has begin when the change ends: their first arrival is not before the next
//! nanosecond, because a job that stays may have started at the end itself, and at least a period after their last one.
//!
//! So until the end every lane sees a part of the old mode's arrivals, after it a part of the new mode's, and where both differ
//! an instant lies between them at which nothing was left: no busy period has arrivals of both. A lane without tasks of the old
//! mode alone need not wait: what it saw until then is a part of the new mode's arrivals, too. `docs/theory/mode-changes.md` says
//! more.
//!
//! An overrun or a miss whose answer is a mode asks for it at the end of the step that records it, at most once in
//! [`BETWEEN_LEVELS`].
//!
//! A lane is idle as the busy period's theory means it: nothing runs, and whatever waits was released at this very instant.
//!
//! Cost: O(tasks) in the request's step and in the step that ends the change. In between O(lanes) a step, and where jobs were
//! released and the lane's last older one ended at the same instant, O(tasks of the lane).

use super::Refused;
use super::choice::head;
use super::release;
use super::state::{LaneState, State};
use super::tournament::NEVER;
use crate::desc::{BETWEEN_LEVELS, ModeDesc, Release, SystemDesc};
use crate::time::{Duration, Instant};
use crate::trace::{Kind, Sink};
use crate::units::{ModeId, TaskId};

/// A change that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) to: ModeId,
    /// When it was asked for.
    since: Instant,
    /// The instant of the last step.
    at: Instant,
    /// The first request that was released at that instant, and after the change was asked for.
    fresh: u64,
    /// The last request that was released.
    last: u64,
}

/// Answers whether a mode has a task, asked for the tasks in their order.
pub(super) fn membership(mode: Option<&ModeDesc>) -> impl FnMut(u16) -> bool {
    let mut listed = mode.map_or(&[][..], |mode| mode.tasks).iter();
    let mut next = listed.next();
    move |task| {
        let is_in = next.is_some_and(|listed| listed.0 == task);
        if is_in {
            next = listed.next();
        }
        is_in
    }
}

/// Whether a mode can be asked for.
pub(super) fn check<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &State<TASKS, LANES, QUEUE>,
    mode: ModeId,
) -> Result<(), Refused> {
    if mode.index() >= system.modes.len() {
        return Err(Refused::UnknownMode { mode });
    }
    match &state.common.change {
        Some(change) => Err(Refused::ChangingMode { to: change.to }),
        None => Ok(()),
    }
}

/// Begins to leave the present mode for another one. All that arrived until now is released before.
#[cold]
pub(super) fn request<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    to: ModeId,
    now: Instant,
    sink: &mut impl Sink,
) {
    let Some(from) = state.common.mode.filter(|from| *from != to) else { return };
    let Some(bound) = system.modes.get(from.index()).map(|mode| mode.leaves) else { return };
    sink.record(now, Kind::ModeRequested { from, to, bound });
    state.common.asked = Some(now);
    let last = state.common.requests;
    state.common.change = Some(Change { to, since: now, at: now, fresh: last.saturating_add(1), last });
    for lane in &mut state.lanes {
        lane.was_idle = true;
    }
    let (mut is_new, mut id) = (membership(system.modes.get(to.index())), 0_u16);
    for (task, (own, arrival)) in system.tasks.iter().zip(state.tasks.iter_mut().zip(&mut state.arrivals)) {
        if !is_new(id) && own.in_mode {
            own.in_mode = false;
            *arrival = NEVER;
            release::forgo(own, TaskId(id), task, now, sink);
            if let Some(lane) = state.lanes.get_mut(task.lane.index()) {
                lane.was_idle = false;
            }
        }
        id = id.saturating_add(1);
    }
    state.reschedule_all(system);
}

/// Before lanes choose: which of them have nothing left of what was released before this instant.
#[cold]
pub(super) fn look<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &mut State<TASKS, LANES, QUEUE>,
    now: Instant,
) {
    let requests = state.common.requests;
    let Some(change) = &mut state.common.change else { return };
    if change.at < now {
        (change.at, change.fresh) = (now, change.last.saturating_add(1));
    }
    change.last = requests;
    let fresh = change.fresh;
    // As many were released at this instant, over all lanes.
    let most = requests.saturating_add(1).saturating_sub(fresh);
    for position in 0..LANES {
        let Some(lane) = state.lanes.get(position) else { return };
        let may_be_idle = !lane.was_idle && lane.running.is_none() && u64::from(lane.waiting) <= most;
        if may_be_idle
            && (lane.waiting == 0 || all_are_fresh(state, lane, fresh))
            && let Some(lane) = state.lanes.get_mut(position)
        {
            lane.was_idle = true;
        }
    }
}

/// Whether all jobs that wait for a lane have at least this number.
fn all_are_fresh<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &State<TASKS, LANES, QUEUE>,
    lane: &LaneState,
    fresh: u64,
) -> bool {
    // Of each task the job that goes first is the oldest.
    let heads = state.order.get(lane.ranks()).into_iter().flatten();
    let mut heads = heads.filter_map(|id| head(state.tasks.get(usize::from(*id))?));
    heads.all(|job| job.request >= fresh)
}

/// Begins the change that an overrun or a miss of this step asks for, if the plan has the mode, none is under way, and the last one
/// was asked for long ago.
fn answer<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    now: Instant,
    sink: &mut impl Sink,
) {
    let Some(to) = state.common.answer.take() else { return };
    let is_soon = state.common.asked.is_some_and(|asked| now.saturating_since(asked) < BETWEEN_LEVELS);
    if !is_soon && check(system, state, to).is_ok() {
        request(system, state, to, now, sink);
    }
}

/// After a step: begins a change that follows from it, and ends the change if each lane was idle that had to be.
#[cold]
pub(super) fn settle<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    now: Instant,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    answer(system, state, now, sink);
    let (Some(change), Some(from)) = (state.common.change, state.common.mode) else { return Ok(()) };
    let mut all = true;
    for lane in &mut state.lanes {
        lane.was_idle |= lane.running.is_none() && lane.waiting == 0;
        all &= lane.was_idle;
    }
    if !all {
        return Ok(());
    }
    let mut is_new = membership(system.modes.get(change.to.index()));
    let (mut id, failed) = (0_u16, state.common.failed);
    for (task, (own, arrival)) in system.tasks.iter().zip(state.tasks.iter_mut().zip(&mut state.arrivals)) {
        if is_new(id) && !own.in_mode {
            own.in_mode = true;
            // What an old job would have dropped came while the task was away.
            (own.skip_next, own.skip_late) = (false, false);
            let is_timed = task.release == Release::Timer;
            let after = Duration::from_ns(1).checked_add(if is_timed { task.phase } else { Duration::ZERO });
            let first = after.and_then(|after| now.checked_add(after)).filter(|first| *first < NEVER);
            own.next = first.ok_or(Refused::OutOfRange)?.max(own.next);
            if is_timed && (failed == 0 || task.domain.is_none_or(|domain| failed & domain.bit() == 0)) {
                *arrival = own.next;
            }
        }
        id = id.saturating_add(1);
    }
    state.reschedule_all(system);
    (state.common.mode, state.common.change) = (Some(change.to), None);
    let bound = system.modes.get(from.index()).map_or(Duration::ZERO, |mode| mode.leaves);
    sink.record(now, Kind::ModeChanged { from, to: change.to, took: now.saturating_since(change.since), bound });
    Ok(())
}
