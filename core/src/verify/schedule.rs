//! Re-proves response bounds: fixed priority by substitution, EDF by its demand at every deadline.

use super::terms::{
    Count, add, arrivals, arrivals_cost, cost, jitter, lane_of, matches_sum, more_important_cost, worst_blocking,
};
use crate::desc::{Certificate, LaneDesc, SystemDesc, TaskDesc};
use crate::time::Duration;

/// Whether each certificate re-proves its bound, and no bound exceeds its deadline.
#[must_use]
pub const fn responses_hold(system: &SystemDesc) -> bool {
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        let Some(lane) = lane_of(system, task) else {
            return false;
        };
        let proven = match task.certificate {
            Certificate::FixedPriority { blocking, busy_period, starts } => {
                lane.policy.is_fixed_priority()
                    && fixed_priority_holds(system, lane, task, blocking, busy_period, starts)
            }
            Certificate::Demand => {
                !lane.policy.is_fixed_priority() && task.response_bound.as_ns() == task.deadline.as_ns()
            }
        };
        // A budget above the WCET would let an execution break the bound unseen.
        let watched = task.budget.as_ns() <= task.wcet.as_ns();
        if !proven || !watched || task.response_bound.as_ns() > task.deadline.as_ns() {
            return false;
        }
        tasks = rest;
    }
    lane_busy_periods_hold(system)
}

/// Whether each lane's busy period solves `L = Σ ⌈(L + J)/T⌉ C` over all its tasks.
const fn lane_busy_periods_hold(system: &SystemDesc) -> bool {
    let mut lanes = system.lanes;
    let mut position: usize = 0;
    while let [lane, rest @ ..] = lanes {
        let length = lane.busy_period.as_ns();
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
        if sum != length && !(sum == 0 && length == 1) {
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

/// Puts one task's certificate into the recurrences.
const fn fixed_priority_holds(
    system: &SystemDesc,
    lane: &LaneDesc,
    task: &TaskDesc,
    blocking: Duration,
    busy_period: Duration,
    starts: &[Duration],
) -> bool {
    let (Some(own), Some(jitter)) = (cost(lane, task), jitter(lane, task)) else {
        return false;
    };
    let busy = busy_period.as_ns();
    if busy == 0 || blocking.as_ns() != worst_blocking(system, lane, task) {
        return false;
    }
    // L = B + Σ_{hep} ⌈(L + J)/T⌉ C.
    let own_busy = arrivals_cost(lane, task, busy, Count::Within);
    let others_busy = more_important_cost(system, lane, task, busy, Count::Within);
    let Some(sum) = add(blocking.as_ns(), own_busy) else {
        return false;
    };
    if !matches_sum(sum, others_busy, busy) {
        return false;
    }
    // q runs over 0 .. ⌈(L + J)/T⌉.
    let Some(instances) = arrivals(busy, jitter, task.period.as_ns(), Count::Within) else {
        return false;
    };
    let mut q: u64 = 0;
    let mut worst: u64 = 0;
    let mut left = starts;
    while let [start, rest @ ..] = left {
        let start = start.as_ns();
        // s = B + q C + Σ_{hp} (⌊(s + J)/T⌋ + 1) C.
        let Some(earlier) = q.checked_mul(own) else {
            return false;
        };
        let Some(sum) = earlier.checked_add(blocking.as_ns()) else {
            return false;
        };
        let others = more_important_cost(system, lane, task, start, Count::UpTo);
        if !matches_sum(sum, others, start) {
            return false;
        }
        // R = J + s + C − q T.
        let Some(end) = start.checked_add(own) else {
            return false;
        };
        let Some(end) = end.checked_add(jitter) else {
            return false;
        };
        let Some(arrival) = q.checked_mul(task.period.as_ns()) else {
            return false;
        };
        let response = end.saturating_sub(arrival);
        if response > worst {
            worst = response;
        }
        let Some(next) = q.checked_add(1) else {
            return false;
        };
        q = next;
        left = rest;
    }
    instances > 0 && q == instances && worst == task.response_bound.as_ns()
}

/// Whether on each EDF lane, for every deadline `t` up to the busy period, blocking plus demand is at most `t`.
#[must_use]
pub const fn demand_holds(system: &SystemDesc) -> bool {
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        let Some(lane) = lane_of(system, task) else {
            return false;
        };
        if !lane.policy.is_fixed_priority() && !deadlines_hold(system, lane, task) {
            return false;
        }
        tasks = rest;
    }
    true
}

/// Whether the demand test passes at every deadline of one task's jobs up to the lane's busy period.
const fn deadlines_hold(system: &SystemDesc, lane: &LaneDesc, task: &TaskDesc) -> bool {
    let Some(jitter) = jitter(lane, task) else {
        return false;
    };
    // The earliest deadline after a release that was delayed by the whole jitter.
    let Some(mut at) = task.deadline.as_ns().checked_sub(jitter) else {
        return false;
    };
    while at <= lane.busy_period.as_ns() {
        let mut sum: u64 = 0;
        let mut blocking: u64 = 0;
        let mut others = system.tasks;
        while let [other, rest @ ..] = others {
            if other.lane.0 == task.lane.0 {
                let (Some(cost), Some(jitter)) = (cost(lane, other), super::terms::jitter(lane, other)) else {
                    return false;
                };
                // A task that is counted as demand, too, blocks for less than that.
                if other.deadline.as_ns().saturating_sub(jitter) > at {
                    let blocks = cost.saturating_sub(1);
                    if blocks > blocking {
                        blocking = blocks;
                    }
                }
                let Some(added) = add(sum, demand(lane, other, at)) else {
                    return false;
                };
                sum = added;
            }
            others = rest;
        }
        let Some(sum) = sum.checked_add(blocking) else {
            return false;
        };
        if sum > at {
            return false;
        }
        let Some(next) = at.checked_add(task.period.as_ns()) else {
            return true;
        };
        at = next;
    }
    true
}

/// The execution of one task's jobs that arrive and are due within `at`, with release jitter.
const fn demand(lane: &LaneDesc, task: &TaskDesc, at: u64) -> Option<u64> {
    let (Some(cost), Some(jitter)) = (cost(lane, task), jitter(lane, task)) else {
        return None;
    };
    let Some(reach) = at.checked_add(jitter) else {
        return None;
    };
    let Some(beyond) = reach.checked_sub(task.deadline.as_ns()) else {
        return Some(0);
    };
    let Some(full) = beyond.checked_div(task.period.as_ns()) else {
        return None;
    };
    let Some(jobs) = full.checked_add(1) else {
        return None;
    };
    jobs.checked_mul(cost)
}
