//! Says why a job goes before others, and digests what a choice depends on.

use super::Job;
use super::state::{State, TaskState};
use crate::desc::Policy;
use crate::trace::{Reason, StateKey};
use crate::units::LaneId;

/// The job of a task that goes first: the one that has begun, or else the oldest.
pub(super) fn head<const QUEUE: usize>(task: &TaskState<QUEUE>) -> Option<Job> {
    match &task.paused {
        Some(paused) => Some(paused.job),
        None => task.waiting.front(),
    }
}

pub(super) fn reason(policy: Policy, chosen: &Job, other: &Job) -> Reason {
    if chosen.task == other.task {
        Reason::ArrivedFirst
    } else if policy.is_fixed_priority() {
        Reason::MoreImportant
    } else if chosen.deadline < other.deadline {
        Reason::EarlierDeadline
    } else {
        Reason::EqualDeadlineFirstInTable
    }
}

/// The digest of what a lane's choice depends on; of a time-triggered lane after its table has moved on.
pub(super) fn key<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &State<TASKS, LANES, QUEUE>,
    lane: LaneId,
) -> StateKey {
    let Some(own) = state.lanes.get(lane.index()) else { return StateKey::EMPTY };
    let (lap, slot) = own.table.words();
    StateKey::EMPTY.with(own.digest).with(u64::from(own.waiting)).with(lap).with(slot)
}

/// What a task's waiting jobs, the first of which is `first`, contribute to their lane's digest.
pub(super) fn digest<const QUEUE: usize>(own: &TaskState<QUEUE>, first: &Job) -> u64 {
    let waiting = own.waiting.len().saturating_add(usize::from(own.paused.is_some()));
    let count = u64::try_from(waiting).unwrap_or(u64::MAX);
    let place = (u64::from(first.task.0) << 32) | (count << 16) | u64::from(first.segment);
    let spent = own.paused.as_ref().map_or(0, |paused| paused.spent.as_ns());
    StateKey::EMPTY.with(place).with(first.request).with(first.deadline.as_ns()).with(spent).mixed()
}
