//! What each level of memory pressure leaves of the arenas.
//!
//! A level that sheds leaves everything where it is: no job is delayed, and what lies above the highest piece that stays is
//! given back. A level that compacts lays out anew what stays: regions of lanes and kept tensors move down, what was
//! taken while loading does not, because a runtime holds addresses of it. Moving needs an instant at which nothing runs,
//! and copies kept tensors.

use super::pool::Planner;
use super::solver::{Buffer, Limits, Problem, minimise};
use super::{Home, Placement, TooLarge, aligned, bound};
use crate::system::{Level, System};
use aegis_core::units::{ByteOffset, Bytes};

/// What a level leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LevelLayout {
    /// One per device, in order.
    pub pools: Vec<LevelPool>,
    /// If it compacts and that is lower: where everything lies. Shed models keep a place that holds nothing.
    pub models: Option<Vec<Placement>>,
    /// The kept tensors that move, per device.
    pub copied: Vec<Bytes>,
}

/// What is left of one arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LevelPool {
    /// What backends hold outside the arena.
    pub weights: Bytes,
    /// Nothing above is in use.
    pub height: Bytes,
    /// No layout of what stays is lower, if all of it may move.
    pub lower_bound: Bytes,
}

/// Plans all levels, given the layout without pressure.
pub(super) fn plan(
    system: &System,
    homes: &[Option<Home>],
    models: &[Placement],
) -> Result<Vec<LevelLayout>, TooLarge> {
    system.levels.iter().map(|level| plan_level(system, homes, models, level)).collect()
}

fn plan_level(
    system: &System,
    homes: &[Option<Home>],
    models: &[Placement],
    level: &Level,
) -> Result<LevelLayout, TooLarge> {
    let mut moved = models.to_vec();
    let mut pools = Vec::with_capacity(system.devices.len());
    let mut copied = Vec::with_capacity(system.devices.len());
    for device in 0..system.devices.len() {
        let too_large = TooLarge { device };
        let planner = Planner { system, homes, device };
        let stays = |model: usize| {
            let home = homes.get(model).copied().flatten();
            home.is_some_and(|home| home.device == device && !level.shed.contains(&home.task))
        };
        let mut pool = left(system, homes, models, &stays).ok_or(too_large)?;
        let mut bytes = Bytes(0);
        if level.compact {
            let mut anew = moved.clone();
            let copies = compact(&planner, level, models, &mut anew).ok_or(too_large)?;
            let compacted = left(system, homes, &anew, &stays).ok_or(too_large)?;
            if compacted.height < pool.height {
                (moved, pool, bytes) = (anew, compacted, copies);
            }
        }
        pools.push(pool);
        copied.push(bytes);
    }
    Ok(LevelLayout { pools, models: (moved != models).then_some(moved), copied })
}

/// The sum over all levels of what is in use of a device's arena if its models lie at these places and nothing moves.
pub(super) fn heights(planner: &Planner<'_>, placed: &[Placement]) -> Option<u64> {
    let Planner { system, homes, device } = *planner;
    system.levels.iter().try_fold(0_u64, |sum, level| {
        let stays = |model: usize| {
            let home = homes.get(model).copied().flatten();
            home.is_some_and(|home| home.device == device && !level.shed.contains(&home.task))
        };
        sum.checked_add(left(system, homes, placed, &stays)?.height.0)
    })
}

/// What is in use of a pool whose models lie at these places.
fn left(
    system: &System,
    homes: &[Option<Home>],
    placed: &[Placement],
    stays: &dyn Fn(usize) -> bool,
) -> Option<LevelPool> {
    let (mut weights, mut height) = (0_u64, 0_u64);
    for (_, (model, placement)) in system.models.iter().zip(placed).enumerate().filter(|(model, _)| stays(*model)) {
        weights = weights.checked_add(model.weights()?.0)?;
        for segment in &placement.segments {
            height = height.max(segment.persistent.0.checked_add(segment.load.height.0)?);
            height = height.max(segment.scratch.0.checked_add(segment.scratch_bytes.0)?);
        }
        for (tensor, at) in model.all_tensors().zip(&placement.tensors) {
            height = height.max(at.0.checked_add(aligned(tensor.size)?)?);
        }
    }
    let lower_bound = bound::of(system, homes, placed, stays)?;
    Some(LevelPool { weights: Bytes(weights), height: Bytes(height), lower_bound: Bytes(lower_bound) })
}

/// Lays out anew what stays of a device; returns the bytes of the kept tensors that move.
fn compact(planner: &Planner<'_>, level: &Level, before: &[Placement], moved: &mut [Placement]) -> Option<Bytes> {
    let system = planner.system;
    let members = planner.members(|task| !level.shed.contains(&task));
    let regions = planner.regions(&members)?;
    // Everything here is live at once: what is pinned, kept tensors, and one piece for each region.
    let mut buffers = Vec::new();
    for member in &members {
        let placement = before.get(member.model)?;
        for segment in &placement.segments {
            let pinned = Buffer::new(segment.load.height.0, 0..1);
            buffers.push(Buffer { pinned: Some(segment.persistent.0), ..pinned });
        }
    }
    let pinned = buffers.len();
    let mut kept = Vec::new();
    for member in &members {
        let model = system.models.get(member.model)?;
        for (position, (tensor, life)) in model.all_tensors().zip(model.lives()).enumerate() {
            if life.is_none() {
                kept.push((member.model, position));
                buffers.push(Buffer::new(aligned(tensor.size)?, 0..1));
            }
        }
    }
    buffers.extend(regions.iter().map(|shared| Buffer::new(shared.region.height, 0..1)));
    let sizes: Vec<u64> = buffers.iter().map(|buffer| buffer.size).collect();
    let plan = minimise(&Problem::new(buffers).ok()?, Limits::default(), None);
    let mut places = plan.offsets.iter().zip(&sizes).skip(pinned);
    let mut copied: u64 = 0;
    for ((model, tensor), (at, size)) in kept.iter().zip(&mut places) {
        let old = before.get(*model)?.tensors.get(*tensor)?;
        if old.0 != *at {
            copied = copied.checked_add(*size)?;
        }
        *moved.get_mut(*model)?.tensors.get_mut(*tensor)? = ByteOffset(*at);
    }
    for (shared, (at, _)) in regions.iter().zip(&mut places) {
        shared.region.place(system, &shared.members, *at, moved)?;
    }
    Some(Bytes(copied))
}
