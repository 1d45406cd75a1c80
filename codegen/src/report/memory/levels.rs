//! What is left under memory pressure.

use crate::memory::{Layout, LevelLayout};
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
    /// How long it takes until this is all that is in use, at most; null where the schedule is not proven.
    pub settles_ns: Option<u64>,
    /// One per device, in order.
    pub pools: Vec<LevelPoolView<'a>>,
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
    let pools = system.devices.iter().zip(&layout.pools).zip(&left.pools).map(|((device, whole), left)| {
        let arena = whole.height.0.saturating_sub(left.height.0);
        LevelPoolView {
            name: &device.name,
            height_bytes: left.height.0,
            lower_bound_bytes: left.lower_bound.0,
            weights_bytes: left.weights.0,
            given_back_bytes: arena.saturating_add(whole.weights.0.saturating_sub(left.weights.0)),
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
        settles_ns,
        pools: pools.collect(),
    }
}
