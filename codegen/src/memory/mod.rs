//! Plans one arena per memory budget, and one for each fault domain that has a part of it: processes share no memory of models.
//!
//! What conflicts follows from the schedule. A lane has one segment in flight, so scratch of one segment may lie where that of
//! another lies. Where the lane preempts between segments, a job that gives way keeps what a later segment of it reads: that
//! conflicts with everything of the jobs that may go before it. Models of different lanes can run at any instant
//! together, and what lives across runs (memory taken while loading, inputs and outputs that are kept) is always there:
//! such things lie apart from everything. Models of which no mode has both tasks never run at once, on whichever lanes. So three
//! steps suffice, and without modes lose nothing:
//!
//! ```text
//! what can be live at once on a lane ─▶ solver ─▶ the lane's region, as low as can be found
//! regions of lanes, persistent memory, kept tensors ─▶ above each other; with modes, regions of which no
//!                                                      mode has two ─▶ solver ─▶ at the same bytes
//! what each level of pressure leaves ─▶ what ends where; if it compacts, the steps above once more
//! ```
//!
//! *Nothing is lost:* where everything of one part conflicts with everything of another, each byte belongs to one
//! part only. Push a part's bytes together: its blocks, whose sizes are whole multiples of the alignment here, keep their
//! order and stay apart, so the part has no fewer bytes than its own lowest height; and where nothing of two parts
//! conflicts, both may start at the same byte.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod bound;
mod lane;
mod levels;
mod pool;
mod regions;
mod sequence;
pub mod solver;

pub use levels::{LevelLayout, LevelPool};
pub use sequence::SequencePlan;

use crate::system::{Mode, Segment, System};
use aegis_core::desc::{ALIGNMENT, MemoryControl, Preemption};
use aegis_core::units::{ByteOffset, Bytes, Priority};

/// Where everything lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// One per device of the system, in order.
    pub pools: Vec<Pool>,
    /// One per model, in order.
    pub models: Vec<Placement>,
    /// One per level of pressure, in order.
    pub levels: Vec<LevelLayout>,
}

impl Layout {
    /// The pools of a device and of all that draw on its memory, with their positions.
    pub fn drawing<'a>(&'a self, system: &'a System, owner: usize) -> impl Iterator<Item = (usize, &'a Pool)> + Clone {
        let draws = move |device: usize| {
            device == owner || system.devices.get(device).is_some_and(|device| device.shares == Some(owner))
        };
        self.pools.iter().enumerate().filter(move |(device, _)| draws(*device))
    }

    /// The other devices that draw on the memory that a device draws on.
    #[must_use]
    pub fn beside<'a>(&self, system: &'a System, device: usize) -> Vec<&'a str> {
        let others = self.drawing(system, system.owner(device)).filter(|(other, _)| *other != device);
        others.filter_map(|(other, _)| Some(system.devices.get(other)?.name.as_str())).collect()
    }

    /// The GPUs of which memory of the CPU, from and to which inputs and outputs are copied, counts with the memory that a device
    /// draws on, and how much.
    pub fn copied_with<'a>(
        &'a self,
        system: &'a System,
        device: usize,
    ) -> impl Iterator<Item = (usize, Bytes)> + Clone + 'a {
        let owner = system.owner(device);
        let gpus = system.devices.iter().zip(&self.pools).enumerate();
        gpus.filter_map(move |(position, (device, pool))| {
            let staging = device.gpu.as_ref()?.staging?;
            (system.owner(usize::from(staging)) == owner && pool.pinned.0 > 0).then_some((position, pool.pinned))
        })
    }

    /// What counts besides arenas and what backends hold with the memory that a device draws on: what drivers take, where that is
    /// known, and what copies are made from and to.
    fn besides(&self, system: &System, device: usize) -> u64 {
        let owner = system.owner(device);
        let drawing = self.drawing(system, owner).filter_map(|(at, _)| system.devices.get(at)?.context());
        let copied = self.copied_with(system, owner).map(|(_, pinned)| pinned);
        drawing.chain(copied).fold(0, |sum, bytes| sum.saturating_add(bytes.0))
    }

    /// What is taken of the memory that a device draws on, by all that do: arenas, what backends hold outside, what drivers take
    /// where that is known, and what copies are made from and to. At most 2⁶⁴ − 1, which stands for more, too.
    #[must_use]
    pub fn taken(&self, system: &System, device: usize) -> u64 {
        let each = self.drawing(system, system.owner(device)).map(|(_, pool)| (pool.height, pool.weights));
        sum_of_taken(each).saturating_add(self.besides(system, device))
    }

    /// The same at a level.
    #[must_use]
    pub fn taken_at(&self, left: &LevelLayout, system: &System, device: usize) -> u64 {
        let drawing = self.drawing(system, system.owner(device));
        let each = drawing.filter_map(|(other, _)| left.pools.get(other)).map(|pool| (pool.height, pool.weights));
        sum_of_taken(each).saturating_add(self.besides(system, device))
    }
}

fn sum_of_taken(each: impl Iterator<Item = (Bytes, Bytes)>) -> u64 {
    each.map(|(arena, weights)| arena.0.saturating_add(weights.0)).fold(0, u64::saturating_add)
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
    /// Of a GPU: what its models have of the CPU's memory, from and to which inputs and outputs are copied.
    pub pinned: Bytes,
    /// The two models that cannot share their memory and have most of it, with the bytes that sharing would save at most. Of two
    /// models of a lane that gives way at boundaries, the first runs while a job of the second waits.
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
    /// Per tensor: inputs, outputs, and what is carried, in this order.
    pub tensors: Vec<ByteOffset>,
    /// Per segment.
    pub segments: Vec<SegmentPlace>,
}

/// One segment's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentPlace {
    /// Where the memory that it takes while it is loaded lies.
    pub persistent: ByteOffset,
    /// How that is divided.
    pub load: SequencePlan,
    /// Where its scratch lies.
    pub scratch: ByteOffset,
    /// The scratch's length.
    pub scratch_bytes: Bytes,
    /// How it is divided, for each recorded run; empty where the runtime's own sequence divides it.
    pub runs: Vec<SequencePlan>,
}

/// Sizes left the range in which they can be laid out, 2⁶² bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the sizes of the models on device `{device}` sum to more than 2^62 bytes")]
pub struct TooLarge {
    /// The device's position.
    pub device: usize,
}

/// Lays out every pool, for jobs that have these priorities, one per task. Models without a task take no memory at run time
/// but keep a place.
///
/// # Errors
/// [`TooLarge`] where sizes do not sum.
pub fn plan(system: &System, priorities: &[Priority]) -> Result<Layout, TooLarge> {
    let homes: Vec<Option<Home>> = (0..system.models.len()).map(|model| home(system, priorities, model)).collect();
    let mut models = Vec::with_capacity(system.models.len());
    for (model, home) in system.models.iter().zip(&homes) {
        let device = home.map_or(0, |home| home.device);
        let alignment = home.map_or(ALIGNMENT, |home| home.alignment);
        let segments = model.segments.iter().map(|segment| unplaced(segment, alignment));
        let segments = segments.collect::<Option<Vec<_>>>().ok_or(TooLarge { device })?;
        let tensors = vec![ByteOffset(0); model.all_tensors().count()];
        models.push(Placement { pool: device, tensors, segments });
    }
    let mut pools = Vec::with_capacity(system.devices.len());
    for device in 0..system.devices.len() {
        let planner = pool::Planner { system, homes: &homes, device };
        pools.push(planner.plan(&mut models).ok_or(TooLarge { device })?);
    }
    let levels = levels::plan(system, &homes, &models)?;
    Ok(Layout { pools, models, levels })
}

/// A segment whose loading is divided, without a place.
fn unplaced(segment: &Segment, alignment: Bytes) -> Option<SegmentPlace> {
    Some(SegmentPlace {
        persistent: ByteOffset(0),
        load: sequence::divide(&segment.load, alignment)?,
        scratch: ByteOffset(0),
        scratch_bytes: Bytes(0),
        runs: Vec::new(),
    })
}

/// The length of a segment's scratch where its runtime's own sequence divides it.
fn undivided(segment: &Segment, alignment: Bytes) -> Option<u64> {
    match segment.memory {
        MemoryControl::Capped => aligned(segment.scratch, alignment),
        // Outside the arena, and counted with the weights, or divided by its recordings.
        MemoryControl::Measured | MemoryControl::Planned => Some(0),
    }
}

/// Where a model's only task runs it.
#[derive(Clone, Copy)]
struct Home {
    device: usize,
    /// That of the device's memory.
    alignment: Bytes,
    task: usize,
    priority: Priority,
    group: Group,
}

/// What shares a region: the models of a lane, unless it preempts anywhere. Those of different fault domains lie in different
/// pools.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Group {
    Lane(usize),
    Model(usize),
}

fn home(system: &System, priorities: &[Priority], model: usize) -> Option<Home> {
    let (position, task) = system.tasks.iter().enumerate().find(|(_, task)| task.model == Some(model))?;
    let lane = system.lanes.get(task.lane)?;
    let group = match lane.preemption {
        // A job can lose the lane inside a segment, and keeps its scratch.
        Preemption::Full => Group::Model(model),
        Preemption::None | Preemption::Segments => Group::Lane(task.lane),
    };
    let priority = priorities.get(position).copied().unwrap_or(Priority(u16::MAX));
    let device = system.home(lane.device?, system.models.get(model)?.domain);
    let alignment = system.devices.get(device)?.alignment();
    Some(Home { device, alignment, task: position, priority, group })
}

/// Whether some mode has both tasks, or there are no modes.
fn share_a_mode(system: &System, first: usize, second: usize) -> bool {
    let has_both = |mode: &Mode| mode.tasks.contains(&first) && mode.tasks.contains(&second);
    system.modes.is_empty() || system.modes.iter().any(has_both)
}

/// Whether a segment of the first model can run while a job of the second waits at a boundary between its segments; both are
/// of one lane. As the dispatcher chooses, whatever the timing: under fixed priorities only a more important job can.
fn goes_before(system: &System, first: Home, second: Home) -> bool {
    if !share_a_mode(system, first.task, second.task) {
        return false;
    }
    let lane = system.tasks.get(first.task).and_then(|task| system.lanes.get(task.lane));
    // A job of one piece comes to no boundary at which it could wait, whatever its model.
    let gives_way = system.tasks.get(second.task).is_some_and(|task| task.segments.len() > 1);
    lane.is_some_and(|lane| {
        gives_way
            && lane.preemption == Preemption::Segments
            && (!lane.policy.is_fixed_priority() || first.priority.is_more_important_than(second.priority))
    })
}

/// A size rounded up to the alignment.
const fn aligned(size: Bytes, alignment: Bytes) -> Option<u64> {
    size.0.checked_next_multiple_of(alignment.0)
}
