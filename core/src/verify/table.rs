//! Re-proves time-triggered tables: slots that do not overlap, one for each job, each in time.
//!
//! The jobs of a task take its slots in the order of their arrivals. If from some slot on each job's slot comes after the
//! job is released, then no job runs later than in its slot: until then the jobs before it have run. What the walk
//! does with slots that are free because a job came early only makes jobs earlier.

use super::terms::cost;
use crate::desc::{LaneDesc, Policy, Preemption, Release, Slot, SystemDesc, TaskDesc};

/// Whether the slots of each time-triggered lane are its own tasks', in order, and hold their jobs without overlap, also
/// from one lap to the next; other lanes have none.
pub(super) const fn slots_hold(system: &SystemDesc) -> bool {
    let mut lanes = system.lanes;
    let mut position: usize = 0;
    while let [lane, rest @ ..] = lanes {
        let in_table = matches!(lane.policy, Policy::TimeTriggered);
        let holds = if in_table {
            !matches!(lane.preemption, Preemption::Full) && lap_holds(system, lane, position)
        } else {
            lane.slots.is_empty() && lane.hyperperiod.is_zero()
        };
        if !holds {
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

/// Whether one lap of a table is free of overlaps.
const fn lap_holds(system: &SystemDesc, lane: &LaneDesc, position: usize) -> bool {
    let [first, ..] = lane.slots else {
        // A task of the lane would lack its slots.
        return true;
    };
    let mut slots = lane.slots;
    while let [slot, rest @ ..] = slots {
        let Some(task) = task_of(system, slot) else {
            return false;
        };
        // The next slot, or the first one of the next lap.
        let next = match rest {
            [next, ..] => Some(next.at.as_ns()),
            [] => first.at.as_ns().checked_add(lane.hyperperiod.as_ns()),
        };
        let inside = slot.at.as_ns() < lane.hyperperiod.as_ns() && task.lane.index() == position;
        match (end(lane, task, slot.at.as_ns()), next) {
            (Some(end), Some(next)) if inside && end <= next => {}
            _ => return false,
        }
        slots = rest;
    }
    true
}

/// Whether a task has one slot for each job of a lap, each after the job's release, and ends within the bound.
pub(super) const fn holds(lane: &LaneDesc, task: &TaskDesc, id: usize) -> bool {
    let (hyperperiod, period) = (lane.hyperperiod.as_ns(), task.period.as_ns());
    let (Some(jobs), Some(0)) = (hyperperiod.checked_div(period), hyperperiod.checked_rem(period)) else {
        return false;
    };
    let by_timer = matches!(task.release, Release::Timer) && task.stage.is_none();
    // A slot holds a whole job.
    if jobs == 0 || !by_timer || !task.segments.is_empty() || slots_of(lane, id) != jobs {
        return false;
    }
    // The first job takes the slot with this number, counted over laps.
    let mut first: u64 = 0;
    let Some(last) = jobs.checked_mul(2) else {
        return false;
    };
    while first <= last {
        if jobs_hold(lane, task, id, first, jobs) {
            return true;
        }
        let Some(next) = first.checked_add(1) else {
            return false;
        };
        first = next;
    }
    false
}

/// Whether the jobs of a lap end within the bound if the first one takes the task's slot number `first`.
const fn jobs_hold(lane: &LaneDesc, task: &TaskDesc, id: usize, first: u64, jobs: u64) -> bool {
    let Some(mut arrival) = task.phase.as_ns().checked_rem(task.period.as_ns()) else {
        return false;
    };
    let mut number: u64 = 0;
    let mut job: u64 = 0;
    let mut lap: u64 = 0;
    // The first slot lies in one of the first three laps, the last one in the next.
    let mut laps: u64 = 0;
    while laps < 4 {
        let mut slots = lane.slots;
        while let [slot, rest @ ..] = slots {
            if slot.task.index() == id {
                if number >= first && job < jobs {
                    if !job_holds(lane, task, arrival, lap.checked_add(slot.at.as_ns())) {
                        return false;
                    }
                    let (Some(next), Some(following)) = (job.checked_add(1), arrival.checked_add(task.period.as_ns()))
                    else {
                        return false;
                    };
                    job = next;
                    arrival = following;
                }
                let Some(next) = number.checked_add(1) else {
                    return false;
                };
                number = next;
            }
            slots = rest;
        }
        let (Some(next), Some(begin)) = (laps.checked_add(1), lap.checked_add(lane.hyperperiod.as_ns())) else {
            return false;
        };
        laps = next;
        lap = begin;
    }
    job == jobs
}

/// Whether a job's slot comes after its release and ends within the bound.
const fn job_holds(lane: &LaneDesc, task: &TaskDesc, arrival: u64, slot: Option<u64>) -> bool {
    let (Some(slot), Some(released), Some(latest)) =
        (slot, arrival.checked_add(task.jitter.as_ns()), arrival.checked_add(task.response_bound.as_ns()))
    else {
        return false;
    };
    matches!(end(lane, task, slot), Some(end) if slot >= released && end <= latest)
}

/// When a job that is started in the slot at `at` is complete, at the latest.
pub(super) const fn end(lane: &LaneDesc, task: &TaskDesc, at: u64) -> Option<u64> {
    let (Some(late), Some(cost)) = (lane.lateness(), cost(lane, task)) else {
        return None;
    };
    match at.checked_add(late.as_ns()) {
        Some(seen) => seen.checked_add(cost),
        None => None,
    }
}

pub(super) const fn slots_of(lane: &LaneDesc, id: usize) -> u64 {
    let mut count: u64 = 0;
    let mut slots = lane.slots;
    while let [slot, rest @ ..] = slots {
        if slot.task.index() == id {
            count = count.saturating_add(1);
        }
        slots = rest;
    }
    count
}

pub(super) const fn task_of<'a>(system: &'a SystemDesc, slot: &Slot) -> Option<&'a TaskDesc> {
    let Some((_, from)) = system.tasks.split_at_checked(slot.task.index()) else {
        return None;
    };
    from.first()
}
