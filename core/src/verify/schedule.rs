//! Re-proves response bounds, each by its lane's policy, and that the stages of a task hang together.

use super::terms::{Count, add, arrivals_cost, lane_of};
use super::{edf, fixed_priority, gaps, table};
use crate::desc::{Certificate, Policy, Release, SystemDesc, TaskDesc};

/// Whether each certificate re-proves its bound, and no bound exceeds its deadline.
pub(super) const fn responses_hold(system: &SystemDesc) -> bool {
    let mut tasks = system.tasks;
    let mut position: usize = 0;
    while let [task, rest @ ..] = tasks {
        if !response_holds(system, task, position) {
            return false;
        }
        let Some(next) = position.checked_add(1) else {
            return false;
        };
        position = next;
        tasks = rest;
    }
    lane_busy_periods_hold(system)
}

/// What [`responses_hold`] says of one task.
pub(super) const fn response_holds(system: &SystemDesc, task: &TaskDesc, position: usize) -> bool {
    let Some(lane) = lane_of(system, task) else {
        return false;
    };
    let proven = match (task.certificate, lane.policy) {
        (
            Certificate::FixedPriority { blocking, busy_period, starts },
            Policy::RateMonotonic | Policy::DeadlineMonotonic | Policy::FixedPriority,
        ) => fixed_priority::holds(system, lane, task, blocking, busy_period, starts),
        (Certificate::Edf { starts }, Policy::EarliestDeadlineFirst) => {
            edf::holds(system, lane, task, position, starts)
        }
        (Certificate::Table, Policy::TimeTriggered) => table::holds(lane, task, position),
        (Certificate::Gaps { blocking, busy_period, starts }, Policy::TimeTriggered) => {
            gaps::holds(system, lane, task, position, (blocking, busy_period), starts)
        }
        _ => false,
    };
    // A budget above the WCET would let an execution break the bound unseen.
    let watched = task.budget.as_ns() <= task.wcet.as_ns();
    let in_time = task.response_bound.as_ns() <= task.deadline.as_ns();
    proven && watched && in_time && stage_holds(system, task)
}

/// Whether each lane's busy period solves `L = Σ ⌈(L + J)/T⌉ C` over all its tasks; a table's is its hyperperiod.
const fn lane_busy_periods_hold(system: &SystemDesc) -> bool {
    let mut lanes = system.lanes;
    let mut position: usize = 0;
    while let [lane, rest @ ..] = lanes {
        let length = lane.busy_period.as_ns();
        let in_table = matches!(lane.policy, Policy::TimeTriggered);
        let mut sum: u64 = 0;
        let mut tasks = system.tasks;
        while let [task, rest @ ..] = tasks {
            if task.lane.index() == position {
                let Some(added) = add(sum, arrivals_cost(lane, task, length, Count::Within)) else {
                    return false;
                };
                sum = added;
            }
            tasks = rest;
        }
        // A lane without tasks is never busy; its entry is the smallest positive time.
        let settled = sum == length || (sum == 0 && length == 1);
        if in_table && length != lane.hyperperiod.as_ns() || !in_table && !settled {
            return false;
        }
        let Some(next) = position.checked_add(1) else {
            return false;
        };
        position = next;
        lanes = rest;
    }
    true
}

/// Whether a later stage begins where the one before it ends.
///
/// A job is released at most 1 ns after the stage before ends, since what the dispatcher does at one instant has an order.
/// The bounds of all stages together solve the holistic equations, whose least solution bounds every response; so no
/// order of proof among lanes is needed.
const fn stage_holds(system: &SystemDesc, task: &TaskDesc) -> bool {
    let is_later = matches!(task.release, Release::Stage);
    let Some(stage) = task.stage else {
        return !is_later;
    };
    let Some((_, from)) = system.tasks.split_at_checked(stage.after.index()) else {
        return false;
    };
    let Some(before) = from.first() else {
        return false;
    };
    let Some(shortest) = super::terms::earliest(before).checked_add(before.bcet.as_ns()) else {
        return false;
    };
    is_later
        && task.jitter.is_zero()
        && before.period.as_ns() == task.period.as_ns()
        && before.deadline.as_ns() == task.deadline.as_ns()
        && stage.earliest.as_ns() <= shortest
        && matches!(before.response_bound.as_ns().checked_add(1), Some(latest) if stage.latest.as_ns() >= latest)
        && stage.earliest.as_ns() <= stage.latest.as_ns()
}
