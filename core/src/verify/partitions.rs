//! Whether lanes divide their devices as these can be divided, and run models only where their memory is.

use super::same_task::{is_same_domain, is_same_text};
use crate::desc::{GpuDesc, LaneDesc, MemoryControl, ModelDesc, PoolDesc, SystemDesc, TaskDesc};
use crate::units::PoolId;

/// Whether each partition is a whole number of its device's units, those of one device are together no more than it has, two pools of
/// one device are two processes' and say the same of it, each lane's models lie in the memory of its own device, and all tasks whose
/// models share a device with another process' are on one lane.
#[must_use]
pub const fn partitions_hold(system: &SystemDesc) -> bool {
    let mut pools = system.pools;
    while let [pool, rest @ ..] = pools {
        if let Some(gpu) = &pool.gpu {
            let mut others = rest;
            while let [later, more @ ..] = others {
                if let Some(other) = &later.gpu
                    && other.ordinal == gpu.ordinal
                    && !(are_of_two_processes(pool, later) && is_same_device(gpu, other))
                {
                    return false;
                }
                others = more;
            }
        }
        pools = rest;
    }
    let mut lanes = system.lanes;
    while let [lane, rest @ ..] = lanes {
        if !partition_holds(system, lane) {
            return false;
        }
        lanes = rest;
    }
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if !runs_where_its_memory_is(system, task) || !is_alone_or_in_line(system, task, rest) {
            return false;
        }
        tasks = rest;
    }
    true
}

/// Whether two pools belong to different processes and count with one capacity.
const fn are_of_two_processes(one: &PoolDesc, other: &PoolDesc) -> bool {
    // The first of a device's pools has its capacity, or shares another device's; the others share the same.
    let is_of_one_budget = match (one.shares, other.shares) {
        (Some(one), Some(other)) => one.0 == other.0,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    !is_same_domain(one.domain, other.domain) && is_of_one_budget
}

/// Whether two descriptions are of one device, but for what each process has of it.
const fn is_same_device(one: &GpuDesc, other: &GpuDesc) -> bool {
    is_same_text(one.name, other.name)
        && is_same_text(one.driver, other.driver)
        && one.compute_capability.0 == other.compute_capability.0
        && one.compute_capability.1 == other.compute_capability.1
        && one.sms == other.sms
        && one.unit == other.unit
        && one.units == other.units
}

/// Whether no later task of another process has a model on this one's device, but on the same lane: a device serves processes by
/// turns, and a lane runs one segment after the other. Where one has, both tasks' times have room for the device's switches.
const fn is_alone_or_in_line(system: &SystemDesc, task: &TaskDesc, later: &[TaskDesc]) -> bool {
    let (Some(own), Some(model)) = (super::terms::lane_of(system, task), task.model) else {
        // That the lane exists is `references_hold`.
        return true;
    };
    let Some(partition) = &own.partition else {
        return true;
    };
    if !super::domains::has_room_for(system, task, model, partition.switch) {
        return false;
    }
    let mut later = later;
    while let [other, rest @ ..] = later {
        if let (Some(lane), Some(_)) = (super::terms::lane_of(system, other), other.model)
            && let Some(its) = &lane.partition
            && its.pool.0 == partition.pool.0
            && !is_same_domain(task.domain, other.domain)
            && task.lane.0 != other.lane.0
        {
            return false;
        }
        later = rest;
    }
    true
}

const fn gpu_of(system: &SystemDesc, pool: PoolId) -> Option<&GpuDesc> {
    match system.pools.split_at_checked(pool.index()) {
        Some((_, [pool, ..])) => pool.gpu.as_ref(),
        _ => None,
    }
}

/// What [`partitions_hold`] says of one lane.
const fn partition_holds(system: &SystemDesc, lane: &LaneDesc) -> bool {
    let Some(partition) = &lane.partition else {
        return true;
    };
    let Some((_, [pool, ..])) = system.pools.split_at_checked(partition.pool.index()) else {
        return false;
    };
    let (Some(gpu), None) = (&pool.gpu, pool.domain) else {
        return false;
    };
    let Some(rest) = partition.sms.checked_rem(gpu.unit) else {
        return false;
    };
    let mut sum: u16 = 0;
    let mut lanes = system.lanes;
    while let [other, rest @ ..] = lanes {
        if let Some(other) = &other.partition
            && other.pool.0 == partition.pool.0
        {
            let Some(added) = sum.checked_add(other.sms) else {
                return false;
            };
            sum = added;
        }
        lanes = rest;
    }
    let Some(divisible) = gpu.divisible() else {
        return false;
    };
    partition.sms > 0 && rest == 0 && sum <= divisible
}

/// Whether a task's model, if it has one, lies in the memory of the device that its lane is a part of, served from it; that of a CPU's
/// lane in none of a GPU.
pub(super) const fn runs_where_its_memory_is(system: &SystemDesc, task: &TaskDesc) -> bool {
    let Some(model) = task.model else {
        return true;
    };
    let Some((_, [model, ..])) = system.models.split_at_checked(model.index()) else {
        return false;
    };
    let Some(lane) = super::terms::lane_of(system, task) else {
        return false;
    };
    match &lane.partition {
        // That the pool is the task's domain's, `domains_hold` says.
        Some(partition) => match (gpu_of(system, partition.pool), gpu_of(system, model.pool)) {
            (Some(device), Some(own)) => device.ordinal == own.ordinal && is_served(model),
            _ => false,
        },
        None => gpu_of(system, model.pool).is_none(),
    }
}

/// Whether each segment's memory is planned or at least in a planned region: a device has no other that a target serves. Engines
/// take theirs themselves.
const fn is_served(model: &ModelDesc) -> bool {
    let mut segments = model.segments;
    while let [segment, rest @ ..] = segments {
        if matches!(segment.memory, MemoryControl::Measured) && model.engines.is_none() {
            return false;
        }
        segments = rest;
    }
    true
}

/// Whether two lanes have the same partition.
pub(super) const fn is_same_partition(one: &LaneDesc, other: &LaneDesc) -> bool {
    match (&one.partition, &other.partition) {
        (Some(one), Some(other)) => {
            one.pool.0 == other.pool.0
                && one.sms == other.sms
                && one.switch.as_ns() == other.switch.as_ns()
                && matches!(
                    (one.completion, other.completion),
                    (crate::desc::Waiting::Polling, crate::desc::Waiting::Polling)
                        | (crate::desc::Waiting::Blocking, crate::desc::Waiting::Blocking)
                )
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
