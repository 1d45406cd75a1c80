//! Re-proves fixed-priority bounds by substitution.

use super::terms::{
    Count, add, arrivals, arrivals_cost, cost, earliest, jitter, last, matches_sum, more_important_cost, worst_blocking,
};
use crate::desc::{LaneDesc, SystemDesc, TaskDesc};
use crate::time::Duration;

/// Puts one task's certificate into the recurrences.
pub(super) const fn holds(
    system: &SystemDesc,
    lane: &LaneDesc,
    task: &TaskDesc,
    blocking: Duration,
    busy_period: Duration,
    starts: &[Duration],
) -> bool {
    let (Some(own), Some(last), Some(jitter)) = (cost(lane, task), last(lane, task), jitter(lane, task)) else {
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
        // s = B + (q + 1) C − last + Σ_{hp} (⌊(s + J)/T⌋ + 1) C.
        let Some(next) = q.checked_add(1) else {
            return false;
        };
        let Some(until_last) = next.checked_mul(own) else {
            return false;
        };
        let Some(earlier) = until_last.checked_sub(last) else {
            return false;
        };
        let Some(sum) = earlier.checked_add(blocking.as_ns()) else {
            return false;
        };
        let others = more_important_cost(system, lane, task, start, Count::UpTo);
        if !matches_sum(sum, others, start) {
            return false;
        }
        // R = (earliest + J) + s + last − q T.
        let Some(end) = start.checked_add(last) else {
            return false;
        };
        let Some(end) = end.checked_add(jitter) else {
            return false;
        };
        let Some(end) = end.checked_add(earliest(task)) else {
            return false;
        };
        let Some(arrival) = q.checked_mul(task.period.as_ns()) else {
            return false;
        };
        let response = end.saturating_sub(arrival);
        if response > worst {
            worst = response;
        }
        q = next;
        left = rest;
    }
    instances > 0 && q == instances && worst == task.response_bound.as_ns()
}
