//! Walks a time-triggered lane's table.
//!
//! At each slot the task's oldest waiting job starts, if by then it must have been seen; a slot without such a job is passed
//! over, as in the first lap, when jobs of the lap before do not exist. Where a job takes longer than planned, the slots that it
//! covers start late, in order, until the lane has caught up.
//!
//! Tasks without slots have the gaps: when no slot is due, the most important of their jobs begins its next segment if that ends
//! before the next slot. If it does not fit, nothing does: the lane waits for the slot, and a step that comes before cannot find
//! more room. A slot that is passed over lengthens the gap.

use super::Job;
use super::choice::head;
use super::finish::segment_length;
use super::state::{LaneState, State};
use super::tournament::NEVER;
use crate::desc::{LaneDesc, Policy, SystemDesc};
use crate::time::{Duration, Instant};
use crate::units::{LaneId, TaskId};

/// The next slot of a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// When the current lap began.
    lap: Instant,
    /// The slot's position.
    slot: usize,
}

impl Place {
    pub(super) const START: Self = Self { lap: Instant::START, slot: 0 };

    /// When the slot is.
    fn instant(self, desc: &LaneDesc) -> Option<Instant> {
        self.lap.checked_add(desc.slots.get(self.slot)?.at)
    }

    /// The lap's begin and the slot, as numbers.
    pub(super) fn words(self) -> (u64, u64) {
        (self.lap.as_ns(), u64::try_from(self.slot).unwrap_or(u64::MAX))
    }

    /// The slot after this one.
    fn next(self, desc: &LaneDesc) -> Option<Self> {
        let slot = self.slot.checked_add(1)?;
        if slot < desc.slots.len() {
            return Some(Self { slot, ..self });
        }
        Some(Self { lap: self.lap.checked_add(desc.hyperperiod)?, slot: 0 })
    }
}

/// Before the jobs that arrived by `due` are released, of which the first task with one is given: moves each time-triggered lane
/// that has nothing to do on to the first slot that the earliest of them can have.
pub(super) fn before_releases<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    first: usize,
    (due, now): (Instant, Instant),
) {
    let mut found = Some(first);
    for _ in system.tasks {
        let Some(position) = found else { break };
        let lane = system.tasks.get(position).and_then(|task| state.lanes.get_mut(task.lane.index()));
        if let (Some(own), Some(lane)) = (state.tasks.get(position), lane) {
            lane.earliest = lane.earliest.min(own.next);
        }
        found = state.next_due(system, position.saturating_add(1), due);
    }
    for (desc, lane) in system.lanes.iter().zip(&mut state.lanes) {
        let earliest = core::mem::replace(&mut lane.earliest, NEVER);
        if earliest < NEVER {
            state.common.moved |= catch_up(desc, lane, earliest, now);
        }
    }
}

/// Before a job comes to a time-triggered lane that has nothing to do: moves it on to the first slot that the job can have,
/// even if that is over because this step comes late, but not by more than a lap. Says whether it moved.
pub(super) fn catch_up(desc: &LaneDesc, lane: &mut LaneState, arrival: Instant, now: Instant) -> bool {
    if desc.policy != Policy::TimeTriggered || lane.running.is_some() || lane.waiting > 0 {
        return false;
    }
    let length = desc.hyperperiod.as_ns();
    let from = arrival.as_ns().max(now.as_ns().saturating_sub(length));
    let Some(into) = from.checked_rem(length) else { return false };
    let lap = Instant::from_ns(from.saturating_sub(into));
    let slot = desc.slots.partition_point(|slot| slot.at.as_ns() < into);
    let before = Place { lap, slot: slot.saturating_sub(1) };
    let reached = if slot < desc.slots.len() { Some(Place { lap, slot }) } else { before.next(desc) };
    // Never back: a slot that was used is used up.
    let is_later = |place: &Place| (place.lap, place.slot) > (lane.table.lap, lane.table.slot);
    let Some(place) = reached.filter(is_later) else { return false };
    lane.table = place;
    true
}

/// The job whose slot has come; slots without a job are passed over.
pub(super) fn due<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    now: Instant,
) -> Option<TaskId> {
    let desc = system.lanes.get(lane.index())?;
    if state.lanes.get(lane.index())?.waiting == 0 {
        return None;
    }
    // Every waiting job of a task with slots has one in each lap.
    for _ in 0..=desc.slots.len().saturating_mul(2) {
        let place = state.lanes.get(lane.index())?.table;
        let at = place.instant(desc)?;
        if at > now {
            return None;
        }
        let id = desc.slots.get(place.slot)?.task;
        let task = system.tasks.get(id.index())?;
        let in_time = |job: &Job| job.arrival.checked_add(task.jitter).is_some_and(|seen| seen <= at);
        let job = state.tasks.get(id.index()).and_then(head).filter(in_time);
        if job.is_none() && at == now {
            // It may still come at this instant.
            return None;
        }
        state.lanes.get_mut(lane.index())?.table = place.next(desc)?;
        state.common.moved = true;
        if job.is_some() {
            return Some(id);
        }
    }
    None
}

/// The task without slots whose job can begin its next segment, as no slot is due.
pub(super) fn in_gap<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    now: Instant,
) -> Option<TaskId> {
    let id = state.first_of_gaps(lane)?;
    let (task, own) = (system.tasks.get(id.index())?, state.lanes.get(lane.index())?);
    let job = state.tasks.get(id.index()).and_then(head)?;
    let length = own.overhead.checked_add(segment_length(task, &job).unwrap_or(task.wcet))?;
    let next = own.table.instant(system.lanes.get(lane.index())?)?;
    now.checked_add(length).filter(|end| *end <= next).map(|_| id)
}

/// When the next slot of an idle lane comes for which something waits. Where a late job was dropped in this step another one may
/// fit the gap, and is still to be looked at.
pub(super) fn wake<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &State<TASKS, LANES, QUEUE>,
    lane: LaneId,
) -> Option<Instant> {
    let own = state.lanes.get(lane.index()).filter(|own| own.running.is_none() && own.waiting > 0)?;
    let soon = state.common.last.checked_add(Duration::from_ns(1))?;
    let next = own.table.instant(system.lanes.get(lane.index())?)?;
    Some(if in_gap(system, state, lane, soon).is_some() { soon } else { next.max(soon) })
}
