//! Whether lanes divide their devices as these can be divided, and run models only where their memory is.

use crate::desc::{GpuDesc, LaneDesc, MemoryControl, ModelDesc, SystemDesc, TaskDesc};
use crate::units::PoolId;

/// Whether each partition is a whole number of its device's units, those of one device are together no more than it has, two pools are
/// never one device, and each lane's models lie in the memory of its own device.
#[must_use]
pub const fn partitions_hold(system: &SystemDesc) -> bool {
    let mut pools = system.pools;
    while let [pool, rest @ ..] = pools {
        if let Some(gpu) = &pool.gpu {
            let mut others = rest;
            while let [other, later @ ..] = others {
                if let Some(other) = &other.gpu
                    && other.ordinal == gpu.ordinal
                {
                    return false;
                }
                others = later;
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
        if !runs_where_its_memory_is(system, task) {
            return false;
        }
        tasks = rest;
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
    let Some(gpu) = gpu_of(system, partition.pool) else {
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
        Some(partition) => partition.pool.0 == model.pool.0 && is_served(model),
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
