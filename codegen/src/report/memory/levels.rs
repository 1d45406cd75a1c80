//! What is left under memory pressure.

use super::Region;
use crate::memory::{Layout, LevelLayout, Placement};
use crate::system::{Level, System};
use serde::Serialize;

/// An answer to memory pressure with what it leaves.
#[derive(Serialize)]
pub struct LevelView<'a> {
    /// Its name.
    pub name: &'a str,
    /// The tasks that stop.
    pub shed: Vec<&'a str>,
    /// The tasks whose arrivals are refused.
    pub reject: Vec<&'a str>,
    /// Whether the manifest asks for a new layout of what stays.
    pub compact: bool,
    /// What of the kept tensors moves; null where everything stays where it is.
    pub copied_bytes: Option<u64>,
    /// The kept tensors that are copied, in this order.
    pub moves: Vec<MoveView<'a>>,
    /// How long it takes until this is all that is in use, at most; null where the schedule is not proven.
    pub settles_ns: Option<u64>,
    /// One per device, in order.
    pub pools: Vec<LevelPoolView<'a>>,
}

/// The copy of a kept tensor.
#[derive(Serialize)]
pub struct MoveView<'a> {
    /// Its model.
    pub model: &'a str,
    /// Its name.
    pub tensor: &'a str,
    /// Where it lies without pressure.
    pub from: Region,
    /// Where it lies at the level.
    pub to: Region,
}

/// What is left of one arena.
#[derive(Serialize)]
pub struct LevelPoolView<'a> {
    /// The device's name.
    pub name: &'a str,
    /// Nothing above is in use.
    pub height_bytes: u64,
    /// No layout of what stays is lower.
    pub lower_bound_bytes: u64,
    /// What backends hold outside the arena.
    pub weights_bytes: u64,
    /// What the level gives back, of the arena and of what backends hold.
    pub given_back_bytes: u64,
    /// What of the arena is copied.
    pub copied_bytes: u64,
    /// What a running vehicle gives back, in whole pages; null where the memory has none.
    pub unused_bytes: Option<u64>,
    /// What all devices of this memory take of it at the level.
    pub taken_bytes: u64,
    /// The other ones.
    #[serde(skip)]
    pub beside: Vec<&'a str>,
}

/// Where a model's tensor lies.
fn region(system: &System, placed: &[Placement], (model, tensor): (usize, usize)) -> Option<Region> {
    let desc = system.models.get(model)?.all_tensors().nth(tensor)?;
    let placement = placed.get(model)?;
    let alignment = system.devices.get(placement.pool)?.alignment();
    Some(Region::of(*placement.tensors.get(tensor)?, desc, alignment))
}

pub(super) fn of<'a>(system: &'a System, layout: &Layout, settles: &[u64]) -> Vec<LevelView<'a>> {
    let levels = system.levels.iter().zip(&layout.levels).enumerate();
    levels.map(|(position, level)| view(system, layout, level, settles.get(position).copied())).collect()
}

fn view<'a>(
    system: &'a System,
    layout: &Layout,
    (level, left): (&'a Level, &LevelLayout),
    settles_ns: Option<u64>,
) -> LevelView<'a> {
    let names =
        |tasks: &[usize]| tasks.iter().filter_map(|task| Some(system.tasks.get(*task)?.name.as_str())).collect();
    let moves = left.moves.iter().filter_map(|(model, tensor)| {
        let at = (*model, *tensor);
        let desc = system.models.get(*model)?;
        Some(MoveView {
            model: &desc.name,
            tensor: &desc.all_tensors().nth(*tensor)?.name,
            from: region(system, &layout.models, at)?,
            to: region(system, left.models.as_ref()?, at)?,
        })
    });
    let pools = system.devices.iter().zip(&layout.pools).zip(&left.pools).enumerate();
    let pools = pools.map(|(position, ((device, whole), pool))| {
        let arena = whole.height.0.saturating_sub(pool.height.0);
        LevelPoolView {
            name: &device.name,
            height_bytes: pool.height.0,
            lower_bound_bytes: pool.lower_bound.0,
            weights_bytes: pool.weights.0,
            given_back_bytes: arena.saturating_add(whole.weights.0.saturating_sub(pool.weights.0)),
            copied_bytes: pool.copied.0,
            unused_bytes: device.page.map(|_| pool.unused_bytes(whole.height)),
            taken_bytes: layout.taken_at(left, system, position),
            beside: layout.beside(system, position),
        }
    });
    LevelView {
        name: &level.name,
        shed: names(&level.shed),
        reject: names(&level.reject),
        compact: level.compact,
        copied_bytes: left
            .models
            .is_some()
            .then(|| left.pools.iter().map(|pool| pool.copied.0).fold(0, u64::saturating_add)),
        moves: moves.collect(),
        settles_ns,
        pools: pools.collect(),
    }
}
