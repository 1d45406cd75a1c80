//! Re-proves EDF response bounds from points of the busy period.
//!
//! Let a busy period begin at 0, and let cnt(d) = max(0, ⌊(d + J − D)/T⌋ + 1) be how many jobs of a task can be due in it by
//! the absolute deadline d, B(d) the longest piece − 1 of a task with D − J > d. Whatever is due by d is complete by any
//! t > 0 with
//!
//! ```text
//!   B(d) + Σ min(⌈(t + J)/T⌉, cnt(d)) C  ≤  t                                              (1)
//! ```
//!
//! and the last piece of a job of task i that is due at d has begun by any s with
//!
//! ```text
//!   B(d) + Σ_{j ≠ i} min(⌊(s + J)/T⌋ + 1, cnt(d)) C + cnt_i(d) C_i − last_i  ≤  s           (2)
//! ```
//!
//! That job arrived at d − D_i, so its response is at most t − d + D_i, and at most s + last_i − d + D_i. A lane's points
//! are pairs of d and t. Between two of them no cnt changes, so the response is smaller there; beyond the last one, t = L,
//! the lane's busy period, serves for every d.

use super::terms::{Count, add, arrivals, cost, earliest, jitter, last, longest};
use crate::desc::{LaneDesc, Point, Policy, Start, SystemDesc, TaskDesc};

/// Whether each EDF lane's points are all instants at which another job can be due, in order, each with a finish that
/// solves (1); other lanes have none.
pub(super) const fn points_hold(system: &SystemDesc) -> bool {
    let mut lanes = system.lanes;
    let mut position: usize = 0;
    while let [lane, rest @ ..] = lanes {
        let by_deadline = matches!(lane.policy, Policy::EarliestDeadlineFirst);
        if !(by_deadline && lane_holds(system, lane, position) || !by_deadline && lane.points.is_empty()) {
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

const fn lane_holds(system: &SystemDesc, lane: &LaneDesc, position: usize) -> bool {
    let mut points = lane.points;
    let mut before: Option<u64> = None;
    while let [point, rest @ ..] = points {
        let due = point.deadline.as_ns();
        let finish = point.finish.as_ns();
        let in_order = match before {
            Some(before) => before < due,
            None => true,
        };
        let Some(needed) = needed(system, lane, position, due, finish, None) else {
            return false;
        };
        if !in_order || finish == 0 || needed > finish || is_missing(system, lane, position, before, due) {
            return false;
        }
        before = Some(due);
        points = rest;
    }
    true
}

/// Whether a job can be due strictly between two points, or before the first one.
const fn is_missing(system: &SystemDesc, lane: &LaneDesc, position: usize, before: Option<u64>, due: u64) -> bool {
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if task.lane.index() == position {
            let (Some(first), Some(period)) = (first_due(lane, task), Some(task.period.as_ns())) else {
                return true;
            };
            let jobs = match before {
                Some(before) => due_by(lane, task, before),
                None => Some(0),
            };
            // The first job that is not due by the point before.
            let Some(jobs) = jobs else {
                return true;
            };
            let next = match jobs.checked_mul(period) {
                Some(later) => first.checked_add(later),
                None => None,
            };
            if matches!(next, Some(next) if next < due) {
                return true;
            }
        }
        tasks = rest;
    }
    false
}

/// Whether a task's bound holds at every deadline of its jobs.
pub(super) const fn holds(system: &SystemDesc, lane: &LaneDesc, task: &TaskDesc, id: usize, starts: &[Start]) -> bool {
    let (Some(first), Some(last), Some(bound), Some(deadline)) = (
        first_due(lane, task),
        last(lane, task),
        task.response_bound.as_ns().checked_sub(earliest(task)),
        relative_deadline(task),
    ) else {
        return false;
    };
    let position = task.lane.index();
    let mut starts = starts;
    let mut points = lane.points;
    let mut end: u64 = 0;
    while let [Point { deadline: due, finish }, rest @ ..] = points {
        let due = due.as_ns();
        end = due;
        if due >= first && !in_time(finish.as_ns(), due, deadline, bound) {
            // Here the certificate says when the last piece has begun.
            let [start, later @ ..] = starts else {
                return false;
            };
            let begun = start.start.as_ns();
            let Some(needed) = needed(system, lane, position, due, begun, Some(id)) else {
                return false;
            };
            let Some(finish) = begun.checked_add(last) else {
                return false;
            };
            let begins = matches!(needed.checked_sub(last), Some(needed) if needed <= begun);
            if start.deadline.as_ns() != due || !begins || !in_time(finish, due, deadline, bound) {
                return false;
            }
            starts = later;
        }
        points = rest;
    }
    starts.is_empty()
        && in_time(lane.busy_period.as_ns(), end, deadline, bound)
        && every_task_is_due(system, lane, position, end)
}

/// Whether a job that is due at `due` and complete at `finish` responds within `bound`.
const fn in_time(finish: u64, due: u64, deadline: u64, bound: u64) -> bool {
    // finish − (due − deadline) ≤ bound.
    match (finish.checked_add(deadline), bound.checked_add(due)) {
        (Some(late), Some(latest)) => late <= latest,
        _ => false,
    }
}

/// Whether by `end` every task has a job due, so that nothing blocks what is due later.
const fn every_task_is_due(system: &SystemDesc, lane: &LaneDesc, position: usize, end: u64) -> bool {
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        let is_due = matches!(first_due(lane, task), Some(first) if first <= end);
        if task.lane.index() == position && !is_due {
            return false;
        }
        tasks = rest;
    }
    true
}

/// The left side of (1) for `id` = `None`, or of (2) without `− last` for the task `id`.
const fn needed(
    system: &SystemDesc,
    lane: &LaneDesc,
    position: usize,
    due: u64,
    until: u64,
    id: Option<usize>,
) -> Option<u64> {
    let mut blocking: u64 = 0;
    let mut sum: u64 = 0;
    let mut tasks = system.tasks;
    let mut index: usize = 0;
    while let [task, rest @ ..] = tasks {
        if task.lane.index() == position {
            let (Some(jobs), Some(cost), Some(jitter), Some(longest)) =
                (due_by(lane, task, due), cost(lane, task), jitter(lane, task), longest(lane, task))
            else {
                return None;
            };
            if jobs == 0 && longest.saturating_sub(1) > blocking {
                blocking = longest.saturating_sub(1);
            }
            let released = match id {
                None => arrivals(until, jitter, task.period.as_ns(), Count::Within),
                Some(own) if own == index => Some(jobs),
                Some(_) => arrivals(until, jitter, task.period.as_ns(), Count::UpTo),
            };
            let Some(released) = released else {
                return None;
            };
            let counted = if released < jobs { released } else { jobs };
            let Some(added) = add(sum, counted.checked_mul(cost)) else {
                return None;
            };
            sum = added;
        }
        let Some(next) = index.checked_add(1) else {
            return None;
        };
        index = next;
        tasks = rest;
    }
    sum.checked_add(blocking)
}

/// D, from the arrivals that the lane's theory counts with.
const fn relative_deadline(task: &TaskDesc) -> Option<u64> {
    task.deadline.as_ns().checked_sub(earliest(task))
}

/// D − J: when a task's first job of a busy period is due at the earliest.
const fn first_due(lane: &LaneDesc, task: &TaskDesc) -> Option<u64> {
    let (Some(deadline), Some(jitter)) = (relative_deadline(task), jitter(lane, task)) else {
        return None;
    };
    deadline.checked_sub(jitter)
}

/// cnt(d): how many jobs of a task can be due by `due`.
const fn due_by(lane: &LaneDesc, task: &TaskDesc, due: u64) -> Option<u64> {
    let Some(first) = first_due(lane, task) else {
        return None;
    };
    let Some(beyond) = due.checked_sub(first) else {
        return Some(0);
    };
    match beyond.checked_div(task.period.as_ns()) {
        Some(full) => full.checked_add(1),
        None => None,
    }
}
