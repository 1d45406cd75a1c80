//! Plans one arena per memory budget.
//!
//! What conflicts follows from the schedule. A lane that does not preempt runs one job at a time to its end, so its models
//! never use scratch at once, and scratch of one may lie where that of another lies. Models of different lanes can run at
//! any instant together, and what lives across runs (memory taken while loading, inputs and outputs that are kept)
//! is always there: such things lie apart from everything. So three steps suffice, and lose nothing:
//!
//! ```text
//! requests of one run ─▶ solver ─▶ the model's own layout, as low as can be found
//! models of one lane and domain ─▶ one region, as high as the highest of them
//! regions, persistent memory, kept tensors ─▶ above each other
//! ```
//!
//! *Nothing is lost:* where everything of one part conflicts with everything of another, each byte belongs to one
//! part only. Push a part's bytes together: its blocks, whose sizes are whole multiples of the alignment here, keep their
//! order and stay apart, so the part has no fewer bytes than its own lowest height; and where nothing of two parts
//! conflicts, both may start at the same byte.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod sequence;
pub mod solver;

pub use sequence::SequencePlan;

use crate::system::{Model, System, Tensor};
use aegis_core::desc::{ALIGNMENT, MemoryControl, Preemption, TensorLife};
use aegis_core::units::{ByteOffset, Bytes};
use std::collections::BTreeMap;

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
    /// No layout is lower, by the witnesses of its models.
    pub lower_bound: Bytes,
    /// The arena's length if no two models shared a byte.
    pub private: Bytes,
    /// What of the arena models take while they are loaded, and keep; the rest are activations.
    pub persistent: Bytes,
    /// What backends hold outside the arena for all its models.
    pub weights: Bytes,
    /// The two models that cannot share their memory and have most of it, with the bytes that sharing would save.
    pub forbids_most: Option<(usize, usize, Bytes)>,
}

impl Pool {
    /// By how much sharing lowers the bytes of all activations (inputs, outputs and scratch), in percent, rounded down.
    #[must_use]
    pub fn activations_saved_percent(&self) -> u64 {
        percent(self.private.0.saturating_sub(self.height.0), self.private.0.saturating_sub(self.persistent.0))
    }

    /// By how much sharing lowers the arena, in percent, rounded down.
    #[must_use]
    pub fn saved_percent(&self) -> u64 {
        percent(self.private.0.saturating_sub(self.height.0), self.private.0)
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    let percent = u128::from(part).saturating_mul(100).checked_div(u128::from(whole)).unwrap_or(0);
    u64::try_from(percent).unwrap_or(u64::MAX)
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
    /// Where the memory that it takes while it is loaded lies.
    pub persistent: ByteOffset,
    /// How that is divided.
    pub load: SequencePlan,
    /// Where its scratch lies.
    pub scratch: ByteOffset,
    /// The scratch's length.
    pub scratch_bytes: Bytes,
    /// What no layout of its scratch undercuts.
    pub scratch_bound: Bytes,
    /// How it is divided, for each recorded run; empty where the runtime's own sequence divides it.
    pub runs: Vec<SequencePlan>,
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
    let homes: Vec<Option<Home>> = (0..system.models.len()).map(|model| home(system, model)).collect();
    let mut models = Vec::with_capacity(system.models.len());
    for (model, home) in system.models.iter().zip(&homes) {
        let device = home.map_or(0, |home| home.device);
        let divided = sequence::divide(&model.load).zip(scratch(model));
        let (load, (scratch_bytes, scratch_bound, runs)) = divided.ok_or(TooLarge { device })?;
        models.push(Placement {
            pool: device,
            inputs: Vec::new(),
            outputs: Vec::new(),
            persistent: ByteOffset(0),
            load,
            scratch: ByteOffset(0),
            scratch_bytes,
            scratch_bound,
            runs,
        });
    }
    let mut pools = Vec::with_capacity(system.devices.len());
    for device in 0..system.devices.len() {
        pools.push(plan_pool(system, device, &homes, &mut models).ok_or(TooLarge { device })?);
    }
    Ok(Layout { pools, models })
}

/// The scratch of one run, its bound, and how it is divided: planned, or a region of the measured size.
fn scratch(model: &Model) -> Option<(Bytes, Bytes, Vec<SequencePlan>)> {
    let size = match model.memory {
        MemoryControl::Planned => 0,
        MemoryControl::Capped => aligned(model.scratch)?,
        // Outside the arena, and counted with the weights.
        MemoryControl::Measured => 0,
    };
    let runs = model.runs.iter().map(sequence::divide).collect::<Option<Vec<_>>>()?;
    // A loaded model keeps to one of its recordings, so they never need their bytes at once.
    let height = runs.iter().map(|run| run.height.0).fold(size, u64::max);
    let bound = runs.iter().map(|run| run.lower_bound.0).fold(size, u64::max);
    Some((Bytes(height), Bytes(bound), runs))
}

/// Where a model's only task runs it.
#[derive(Clone, Copy)]
struct Home {
    device: usize,
    /// Models of one group never run while another of it has begun: those of a lane that does not preempt, and of one
    /// fault domain, which is one process with one address space.
    group: Group,
}

/// What shares a region.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Lane(usize, Option<usize>),
    Model(usize),
}

fn home(system: &System, model: usize) -> Option<Home> {
    let task = system.tasks.iter().find(|task| task.model == Some(model))?;
    let lane = system.lanes.get(task.lane)?;
    let domain = system.models.get(model)?.domain;
    // A job that gives way keeps its scratch.
    let shares = lane.preemption == Preemption::None;
    let group = if shares { Group::Lane(task.lane, domain) } else { Group::Model(model) };
    Some(Home { device: lane.device?, group })
}

/// What a model of a group needs.
#[derive(Clone, Copy)]
struct Need {
    model: usize,
    tensors: u64,
    height: u64,
    bound: u64,
}

fn plan_pool(system: &System, device: usize, homes: &[Option<Home>], placed: &mut [Placement]) -> Option<Pool> {
    let mut end: u64 = 0;
    let (mut weights, mut persistent, mut apart, mut always) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut groups: BTreeMap<Group, Vec<Need>> = BTreeMap::new();
    for (index, (model, home)) in system.models.iter().zip(homes).enumerate() {
        let Some(home) = home.filter(|home| home.device == device) else { continue };
        let placement = placed.get_mut(index)?;
        weights = weights.checked_add(model.weights.0)?;
        placement.persistent = ByteOffset(end);
        end = end.checked_add(placement.load.height.0)?;
        persistent = persistent.checked_add(placement.load.height.0)?;
        // What loading gives back again may lie where anything will be: only what stays is always there.
        always = always.checked_add(placement.load.at_end.0)?;
        let mut tensors = 0;
        let start = if model.tensors == TensorLife::Kept { &mut end } else { &mut tensors };
        let first = *start;
        placement.inputs = place(start, &model.inputs)?;
        placement.outputs = place(start, &model.outputs)?;
        if model.tensors == TensorLife::Kept {
            always = always.checked_add(start.checked_sub(first)?)?;
        }
        let height = tensors.checked_add(placement.scratch_bytes.0)?;
        let bound = tensors.checked_add(placement.scratch_bound.0)?;
        apart = apart.checked_add(height)?;
        groups.entry(home.group).or_default().push(Need { model: index, tensors, height, bound });
    }
    let private = end.checked_add(apart)?;
    let mut lower_bound = always;
    for needs in groups.values() {
        for need in needs {
            let placement = placed.get_mut(need.model)?;
            placement.scratch = ByteOffset(end.checked_add(need.tensors)?);
            if system.models.get(need.model)?.tensors == TensorLife::Job {
                for tensor in placement.inputs.iter_mut().chain(&mut placement.outputs) {
                    tensor.0 = tensor.0.checked_add(end)?;
                }
            }
        }
        end = end.checked_add(needs.iter().map(|need| need.height).max().unwrap_or(0))?;
    }
    for needs in by_lane(&groups) {
        lower_bound = lower_bound.checked_add(needs.iter().map(|need| need.bound).max().unwrap_or(0))?;
    }
    Some(Pool {
        height: Bytes(end),
        lower_bound: Bytes(lower_bound),
        private: Bytes(private),
        persistent: Bytes(persistent),
        weights: Bytes(weights),
        forbids_most: forbids_most(&groups),
    })
}

/// The groups as a checker sees them, who knows no domains: a lower bound must not count what it cannot tell apart.
fn by_lane(groups: &BTreeMap<Group, Vec<Need>>) -> Vec<Vec<Need>> {
    let mut lanes: BTreeMap<Group, Vec<Need>> = BTreeMap::new();
    for (group, needs) in groups {
        let lane = match group {
            Group::Lane(lane, _) => Group::Lane(*lane, None),
            Group::Model(model) => Group::Model(*model),
        };
        lanes.entry(lane).or_default().extend(needs);
    }
    lanes.into_values().collect()
}

/// Of the highest models of two groups, the pair whose smaller one is largest: so much would be saved if they never ran
/// at once.
fn forbids_most(groups: &BTreeMap<Group, Vec<Need>>) -> Option<(usize, usize, Bytes)> {
    let highest =
        |needs: &Vec<Need>| needs.iter().copied().max_by_key(|need| (need.height, std::cmp::Reverse(need.model)));
    let mut tops: Vec<Need> = groups.values().filter_map(highest).collect();
    tops.sort_by_key(|need| (std::cmp::Reverse(need.height), need.model));
    match tops.as_slice() {
        [first, second, ..] if second.height > 0 => Some((first.model, second.model, Bytes(second.height))),
        _ => None,
    }
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
