//! Re-proves how long an event of a lane waits for the orchestration thread.
//!
//! The thread looks at each lane once a turn, so an event waits for the rest of one turn and a part of the next. In that time it
//! serves each other lane at most twice: a segment's end is seen and another segment is started by a step for somebody else, or a
//! segment shorter than the wait is started, ends, and a third is started; to start one and to see its end cost a dispatch
//! overhead together. Besides, each submitted task has at most one arrival that is taken in that time, deferred or not, since a
//! turn takes one. The level of memory pressure and the mode change, and optional tasks are admitted or dismissed, at most once
//! in [`BETWEEN_LEVELS`], which is longer than the wait. And of each fault domain that runs models it is told from outside that
//! it fails, once; and where its process is started again that it is restored, once before that: the next time is a back-off later,
//! which is longer than the wait, too.

use crate::desc::{BETWEEN_LEVELS, Release, SystemDesc};

/// Whether each lane's `thread_wait` is at least what the thread may do before it serves one of the lane's events.
#[must_use]
pub const fn thread_waits_hold(system: &SystemDesc) -> bool {
    let Some(shared) = shared_by_all(system) else {
        return false;
    };
    let mut lanes = system.lanes;
    let mut position: usize = 0;
    while let [lane, rest @ ..] = lanes {
        let Some(least) = others_twice(system, position, shared) else {
            return false;
        };
        let in_time = (!changes(system) || lane.thread_wait.as_ns() < BETWEEN_LEVELS.as_ns())
            && super::domains::back_offs_exceed(system, lane.thread_wait.as_ns());
        if lane.thread_wait.as_ns() < least || !in_time {
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

/// Whether the level of memory pressure or the mode can change, or a task be admitted.
const fn changes(system: &SystemDesc) -> bool {
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if task.optional {
            return true;
        }
        tasks = rest;
    }
    !system.levels.is_empty() || !system.modes.is_empty()
}

/// Submissions, a change of the level, the mode or what is admitted, failures of domains and their returns: for each of these the
/// lane stands whose overhead is the largest.
const fn shared_by_all(system: &SystemDesc) -> Option<u64> {
    let mut largest: u64 = 0;
    let mut lanes = system.lanes;
    while let [lane, rest @ ..] = lanes {
        if lane.dispatch_overhead.as_ns() > largest {
            largest = lane.dispatch_overhead.as_ns();
        }
        lanes = rest;
    }
    let mut sum: u64 = if changes(system) { largest } else { 0 };
    let mut domains = super::domains::processes(system);
    while domains > 0 {
        let Some(added) = sum.checked_add(largest) else {
            return None;
        };
        sum = added;
        // Without its lowest bit.
        domains &= domains.wrapping_sub(1);
    }
    let mut restarting = super::domains::restarting(system);
    while restarting > 0 {
        let Some(added) = sum.checked_add(largest) else {
            return None;
        };
        sum = added;
        restarting = restarting.saturating_sub(1);
    }
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if matches!(task.release, Release::Submitted) {
            let Some(lane) = super::terms::lane_of(system, task) else {
                return None;
            };
            let Some(added) = sum.checked_add(lane.dispatch_overhead.as_ns()) else {
                return None;
            };
            sum = added;
        }
        tasks = rest;
    }
    Some(sum)
}

const fn others_twice(system: &SystemDesc, position: usize, sum: u64) -> Option<u64> {
    let mut sum = sum;
    let mut lanes = system.lanes;
    let mut other: usize = 0;
    while let [lane, rest @ ..] = lanes {
        if other != position {
            let Some(twice) = lane.dispatch_overhead.as_ns().checked_mul(2) else {
                return None;
            };
            let Some(added) = sum.checked_add(twice) else {
                return None;
            };
            sum = added;
        }
        let Some(next) = other.checked_add(1) else {
            return None;
        };
        other = next;
        lanes = rest;
    }
    Some(sum)
}
