//! Plans one arena per memory budget: inputs and outputs apart, scratch shared by the models of a lane.
//!
//! A lane runs one job at a time and never preempts it, so at most one of its models uses scratch: all of them share
//! one region as long as the largest needs. Inputs and outputs of different models are never shared, because an
//! application may still read an output while another model runs. Weights are held by the backend outside the
//! arena; they count against the capacity.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

pub mod solver;

use crate::system::{Model, System, Tensor};
use aegis_core::desc::{ALIGNMENT, Preemption};
use aegis_core::units::{ByteOffset, Bytes};

/// Where everything lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// One per device, in order.
    pub pools: Vec<Pool>,
    /// One per model, in order.
    pub models: Vec<Placement>,
}

/// One device's arena.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    /// The arena's length.
    pub height: Bytes,
    /// No plan that keeps inputs and outputs apart and one scratch region a lane is lower.
    pub lower_bound: Bytes,
    /// The arena's length if no two models shared a byte.
    pub private: Bytes,
    /// The weights of all its models.
    pub weights: Bytes,
}

/// One model's place in its pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// The pool's position; that of the model's device.
    pub pool: usize,
    /// Per input.
    pub inputs: Vec<ByteOffset>,
    /// Per output.
    pub outputs: Vec<ByteOffset>,
    /// The scratch it shares.
    pub scratch: ByteOffset,
}

/// A size left the range of 2⁶⁴ bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the sizes of the models on device `{device}` sum to more than 2^64 - 1 bytes")]
pub struct TooLarge {
    /// The device's position.
    pub device: usize,
}

/// Lays out every pool. Models without a task take no memory at run time but keep a place.
///
/// # Errors
/// [`TooLarge`] where sizes do not sum.
pub fn plan(system: &System) -> Result<Layout, TooLarge> {
    let devices = system.devices.len();
    let mut models: Vec<Placement> = Vec::with_capacity(system.models.len());
    let mut pools = Vec::with_capacity(devices);
    let homes: Vec<Option<Home>> = (0..system.models.len()).map(|model| home(system, model)).collect();
    for home in &homes {
        models.push(Placement {
            pool: home.map_or(0, |home| home.device),
            inputs: Vec::new(),
            outputs: Vec::new(),
            scratch: ByteOffset(0),
        });
    }
    for device in 0..devices {
        pools.push(plan_pool(system, device, &homes, &mut models).ok_or(TooLarge { device })?);
    }
    Ok(Layout { pools, models })
}

/// Where a model's only task runs it.
#[derive(Clone, Copy)]
struct Home {
    device: usize,
    /// Models of one group never run while another of it has begun: those of a lane that does not preempt.
    group: usize,
}

fn home(system: &System, model: usize) -> Option<Home> {
    let task = system.tasks.iter().find(|task| task.model == Some(model))?;
    let lane = system.lanes.get(task.lane)?;
    // A job that gives way keeps its scratch.
    let alone = system.lanes.len().checked_add(model)?;
    let group = if lane.preemption == Preemption::None { task.lane } else { alone };
    Some(Home { device: lane.device?, group })
}

fn plan_pool(system: &System, device: usize, homes: &[Option<Home>], placed: &mut [Placement]) -> Option<Pool> {
    let mut end: u64 = 0;
    let mut weights: u64 = 0;
    let mut all_scratch: u64 = 0;
    let mut group_scratch = vec![0u64; system.lanes.len().checked_add(system.models.len())?];
    let residents = || {
        system.models.iter().zip(homes).enumerate().filter(|(_, (_, home))| home.is_some_and(|h| h.device == device))
    };
    for (index, (model, home)) in residents() {
        let placement = placed.get_mut(index)?;
        placement.inputs = place(&mut end, &model.inputs)?;
        placement.outputs = place(&mut end, &model.outputs)?;
        weights = weights.checked_add(model.weights.0)?;
        all_scratch = all_scratch.checked_add(aligned(model.scratch)?)?;
        let group = group_scratch.get_mut(home.as_ref()?.group)?;
        *group = (*group).max(aligned(model.scratch)?);
    }
    let tensors = end;
    let mut group_start = Vec::with_capacity(group_scratch.len());
    for size in &group_scratch {
        group_start.push(end);
        end = end.checked_add(*size)?;
    }
    for (index, (_, home)) in residents() {
        placed.get_mut(index)?.scratch = ByteOffset(*group_start.get(home.as_ref()?.group)?);
    }
    let shared = group_scratch.iter().try_fold(0u64, |sum, size| sum.checked_add(*size))?;
    Some(Pool {
        height: Bytes(end),
        lower_bound: Bytes(tensors.checked_add(shared)?),
        private: Bytes(tensors.checked_add(all_scratch)?),
        weights: Bytes(weights),
    })
}

fn place(end: &mut u64, tensors: &[Tensor]) -> Option<Vec<ByteOffset>> {
    let mut offsets = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        offsets.push(ByteOffset(*end));
        *end = end.checked_add(aligned(tensor.size)?)?;
    }
    Some(offsets)
}

/// A size rounded up to the alignment.
fn aligned(size: Bytes) -> Option<u64> {
    size.0.checked_next_multiple_of(ALIGNMENT.0)
}

/// The bytes of a model's inputs and outputs.
#[must_use]
pub fn bound_bytes(model: &Model) -> Bytes {
    Bytes(model.inputs.iter().chain(&model.outputs).fold(0, |sum: u64, tensor| sum.saturating_add(tensor.size.0)))
}
