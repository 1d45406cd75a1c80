//! The terms that the recurrences share: arrivals in a window, a job's cost and pieces, blocking.

use crate::desc::{LaneDesc, Policy, Preemption, Release, SystemDesc, TaskDesc};
use crate::time::Duration;

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

/// Whether a task of a time-triggered lane has to prove that it has no slots: its jobs run in the gaps.
pub(super) const fn fills_gaps(task: &TaskDesc) -> bool {
    matches!(task.release, Release::Submitted) && task.stage.is_none()
}

/// What the lane's more important tasks ask for in a window; on a time-triggered lane those in its gaps, where priorities decide.
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
        let has_slots = matches!(lane.policy, Policy::TimeTriggered) && !fills_gaps(other);
        if other.lane.0 == task.lane.0 && !has_slots && other.priority.is_more_important_than(task.priority) {
            let Some(added) = add(sum, arrivals_cost(lane, other, length, count)) else {
                return None;
            };
            sum = added;
        }
        others = rest;
    }
    Some(sum)
}

/// The longest time for which a less important piece that started just before can hold the lane.
pub(super) const fn worst_blocking(system: &SystemDesc, lane: &LaneDesc, task: &TaskDesc) -> u64 {
    let mut worst: u64 = 0;
    let mut others = system.tasks;
    while let [other, rest @ ..] = others {
        if other.lane.0 == task.lane.0 && task.priority.is_more_important_than(other.priority) {
            let blocks = match longest(lane, other) {
                Some(longest) => longest.saturating_sub(1),
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

/// What one job costs its lane: execution and the overhead of each segment.
pub(super) const fn cost(lane: &LaneDesc, task: &TaskDesc) -> Option<u64> {
    // Widening.
    #[allow(clippy::as_conversions)]
    let segments = if task.segments.is_empty() { 1 } else { task.segments.len() as u64 };
    let Some(overhead) = lane.segment_overhead() else {
        return None;
    };
    match overhead.as_ns().checked_mul(segments) {
        Some(overheads) => task.wcet.as_ns().checked_add(overheads),
        None => None,
    }
}

/// How much of a job's end is certain not to be preempted once it began.
pub(super) const fn last(lane: &LaneDesc, task: &TaskDesc) -> Option<u64> {
    match (lane.preemption, task.segments) {
        (Preemption::Full, _) => Some(1),
        (Preemption::Segments, [.., last]) => with_overhead(lane, *last),
        (Preemption::Segments | Preemption::None, _) => cost(lane, task),
    }
}

/// The longest time for which a job keeps what goes before it waiting.
pub(super) const fn longest(lane: &LaneDesc, task: &TaskDesc) -> Option<u64> {
    match (lane.preemption, task.segments) {
        (Preemption::Full, _) if task.region.is_zero() => Some(1),
        (Preemption::Full, _) => Some(task.region.as_ns()),
        (Preemption::Segments, [first, rest @ ..]) => {
            let mut longest = *first;
            let mut left = rest;
            while let [segment, rest @ ..] = left {
                if segment.as_ns() > longest.as_ns() {
                    longest = *segment;
                }
                left = rest;
            }
            with_overhead(lane, longest)
        }
        (Preemption::Segments | Preemption::None, _) => cost(lane, task),
    }
}

const fn with_overhead(lane: &LaneDesc, segment: Duration) -> Option<u64> {
    let Some(overhead) = lane.segment_overhead() else {
        return None;
    };
    segment.as_ns().checked_add(overhead.as_ns())
}

/// How late a release may be seen: a first stage's own jitter and the lane's lateness, or how unsure it is when the stage
/// before is complete.
pub(super) const fn jitter(lane: &LaneDesc, task: &TaskDesc) -> Option<u64> {
    if let Some(stage) = task.stage {
        return stage.latest.as_ns().checked_sub(stage.earliest.as_ns());
    }
    match lane.lateness() {
        Some(late) => task.jitter.as_ns().checked_add(late.as_ns()),
        None => None,
    }
}

/// How long after the task's arrival the arrivals that the lane's theory counts with come.
pub(super) const fn earliest(task: &TaskDesc) -> u64 {
    match task.stage {
        Some(stage) => stage.earliest.as_ns(),
        None => 0,
    }
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
