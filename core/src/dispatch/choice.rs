//! Chooses among waiting jobs, by the lane's policy.

use super::{Job, State, TaskState};
use crate::desc::{Policy, SystemDesc, TaskDesc};
use crate::trace::{Reason, StateKey};
use crate::units::LaneId;

/// The job that a lane's policy puts first among those that wait for it.
pub(super) fn first_waiting<'a, const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &'a SystemDesc,
    state: &State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    policy: Policy,
) -> Option<(&'a TaskDesc, Job)> {
    let tasks = system.tasks.iter().zip(&state.tasks).filter(|(task, _)| task.lane == lane);
    let heads = tasks.filter_map(|(task, task_state)| Some((task, head(task_state)?)));
    heads.reduce(|best, head| if goes_before(policy, head, best) { head } else { best })
}

/// The job of a task that goes first: the one that has begun, or else the oldest.
pub(super) fn head<const QUEUE: usize>(task: &TaskState<QUEUE>) -> Option<Job> {
    task.paused.map(|paused| paused.job).or_else(|| task.waiting.front().copied())
}

/// Whether a lane's policy puts one waiting job before another; at equal rank the earlier table entry stays.
fn goes_before(policy: Policy, (task, job): (&TaskDesc, Job), (other_task, other): (&TaskDesc, Job)) -> bool {
    if policy.is_fixed_priority() {
        task.priority.is_more_important_than(other_task.priority)
    } else {
        job.deadline < other.deadline
    }
}

pub(super) fn reason(policy: Policy, chosen: Job, other: Job) -> Reason {
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
    system: &SystemDesc,
    state: &State<TASKS, LANES, QUEUE>,
    lane: LaneId,
) -> StateKey {
    let Some(own) = state.lanes.get(lane.index()) else { return StateKey::EMPTY };
    let (lap, slot) = own.table.words();
    let start = StateKey::EMPTY.with(u64::from(own.waiting)).with(lap).with(slot);
    let tasks = (0_u64..).zip(system.tasks.iter().zip(&state.tasks));
    tasks.filter(|(_, (task, _))| task.lane == lane).fold(start, |key, (position, (_, own))| {
        let Some(first) = head(own) else { return key };
        let waiting = own.waiting.len().saturating_add(usize::from(own.paused.is_some()));
        let count = u64::try_from(waiting).unwrap_or(u64::MAX);
        let place = (position << 32) | (count << 16) | u64::from(first.segment);
        let spent = own.paused.map_or(0, |paused| paused.spent.as_ns());
        key.with(place).with(first.request).with(first.deadline.as_ns()).with(spent)
    })
}
