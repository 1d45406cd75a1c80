//! The terms that the recurrences share: arrivals in a window, a job's cost, blocking.

use crate::desc::{LaneDesc, SystemDesc, TaskDesc};

/// Which arrivals count: those within a half-open window of the given length, or also one at its end.
#[derive(Clone, Copy)]
pub(super) enum Count {
    /// `⌈(length + J)/T⌉`.
    Within,
    /// `⌊(length + J)/T⌋ + 1`.
    UpTo,
}

pub(super) const fn arrivals(length: u64, jitter: u64, period: u64, count: Count) -> Option<u64> {
    let Some(window) = length.checked_add(jitter) else {
        return None;
    };
    let (Some(full), Some(rest)) = (window.checked_div(period), window.checked_rem(period)) else {
        return None;
    };
    match count {
        Count::Within if rest == 0 => Some(full),
        Count::Within | Count::UpTo => full.checked_add(1),
    }
}

pub(super) const fn arrivals_cost(lane: &LaneDesc, task: &TaskDesc, length: u64, count: Count) -> Option<u64> {
    let (Some(cost), Some(jitter)) = (cost(lane, task), jitter(lane, task)) else {
        return None;
    };
    let Some(jobs) = arrivals(length, jitter, task.period.as_ns(), count) else {
        return None;
    };
    jobs.checked_mul(cost)
}

/// What the lane's more important tasks ask for in a window.
pub(super) const fn more_important_cost(
    system: &SystemDesc,
    lane: &LaneDesc,
    task: &TaskDesc,
    length: u64,
    count: Count,
) -> Option<u64> {
    let mut sum: u64 = 0;
    let mut others = system.tasks;
    while let [other, rest @ ..] = others {
        if other.lane.0 == task.lane.0 && other.priority.is_more_important_than(task.priority) {
            let Some(added) = add(sum, arrivals_cost(lane, other, length, count)) else {
                return None;
            };
            sum = added;
        }
        others = rest;
    }
    Some(sum)
}

/// The longest time for which a less important job that started just before can hold the lane.
pub(super) const fn worst_blocking(system: &SystemDesc, lane: &LaneDesc, task: &TaskDesc) -> u64 {
    let mut worst: u64 = 0;
    let mut others = system.tasks;
    while let [other, rest @ ..] = others {
        if other.lane.0 == task.lane.0 && task.priority.is_more_important_than(other.priority) {
            let blocks = match cost(lane, other) {
                Some(cost) => cost.saturating_sub(1),
                None => u64::MAX,
            };
            if blocks > worst {
                worst = blocks;
            }
        }
        others = rest;
    }
    worst
}

/// What one job costs its lane: execution and overhead.
pub(super) const fn cost(lane: &LaneDesc, task: &TaskDesc) -> Option<u64> {
    task.wcet.as_ns().checked_add(lane.dispatch_overhead.as_ns())
}

/// How late a release may be seen: the task's own jitter and the lane's wake-up latency.
pub(super) const fn jitter(lane: &LaneDesc, task: &TaskDesc) -> Option<u64> {
    task.jitter.as_ns().checked_add(lane.wakeup_latency.as_ns())
}

pub(super) const fn lane_of<'a>(system: &'a SystemDesc, task: &TaskDesc) -> Option<&'a LaneDesc> {
    let Some((_, from)) = system.lanes.split_at_checked(task.lane.index()) else {
        return None;
    };
    from.first()
}

pub(super) const fn add(sum: u64, term: Option<u64>) -> Option<u64> {
    match term {
        Some(term) => sum.checked_add(term),
        None => None,
    }
}

pub(super) const fn matches_sum(sum: u64, term: Option<u64>, expected: u64) -> bool {
    matches!(add(sum, term), Some(total) if total == expected)
}
