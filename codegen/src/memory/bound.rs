//! What no layout of a pool undercuts, by witnesses that a checker adds up.

use super::{Group, Home, Placement, aligned, goes_before, undivided};
use crate::system::{Mode, Model, System};
use aegis_core::units::Bytes;
use std::collections::BTreeMap;

/// What the models need at least: what each needs always, and in the mode in which that is the most, for each lane what one segment
/// needs at most while it runs, with what jobs that it may go before keep meanwhile. Of all that each two can be live at once.
///
/// `holds` says which models have bytes here. `None` where sizes do not sum.
pub(super) fn of(
    system: &System,
    homes: &[Option<Home>],
    placed: &[Placement],
    holds: impl Fn(usize) -> bool,
) -> Option<u64> {
    let here = || homes.iter().enumerate().filter_map(|(position, home)| Some((position, (*home)?)));
    let mut kept: u64 = 0;
    for (position, home) in here().filter(|(position, _)| holds(*position)) {
        let own = always(system.models.get(position)?, placed.get(position)?, home.alignment)?;
        kept = kept.checked_add(own)?;
    }
    let in_mode = |mode: Option<&Mode>| {
        let counts = |home: &Home| mode.is_none_or(|mode| mode.tasks.contains(&home.task));
        lanes(system, placed, here().filter(|(position, home)| holds(*position) && counts(home)))
    };
    let most = match system.modes.as_slice() {
        [] => in_mode(None)?,
        modes => modes.iter().map(|mode| in_mode(Some(mode))).collect::<Option<Vec<u64>>>()?.into_iter().max()?,
    };
    kept.checked_add(most)
}

/// What these models' lanes need at once at most.
fn lanes(system: &System, placed: &[Placement], models: impl Iterator<Item = (usize, Home)>) -> Option<u64> {
    let mut lanes: BTreeMap<Group, Vec<(usize, Home)>> = BTreeMap::new();
    for (position, home) in models {
        lanes.entry(home.group).or_default().push((position, home));
    }
    let mut sum: u64 = 0;
    for members in lanes.values() {
        let mut most = 0;
        for (position, home) in members {
            let mut need = running(system.models.get(*position)?, placed.get(*position)?, home.alignment)?;
            for (other, waiting) in members.iter().filter(|(other, _)| other != position) {
                if goes_before(system, *home, *waiting) {
                    need = need.checked_add(kept_waiting(system.models.get(*other)?, waiting.alignment)?)?;
                }
            }
            most = most.max(need);
        }
        sum = sum.checked_add(most)?;
    }
    Some(sum)
}

/// What a model needs always: what loading leaves, and kept tensors. What loading gives back again may lie where anything
/// will be.
fn always(model: &Model, placement: &Placement, alignment: Bytes) -> Option<u64> {
    let left = placement.segments.iter().map(|segment| segment.load.at_end.0);
    let kept = model.all_tensors().zip(model.lives()).filter(|(_, life)| life.is_none());
    let kept = kept.map(|(tensor, _)| aligned(tensor.size, alignment)).collect::<Option<Vec<_>>>()?;
    left.chain(kept).try_fold(0, u64::checked_add)
}

/// The most that one segment needs while it runs: a witness of one of its recordings, and the tensors that are live.
fn running(model: &Model, placement: &Placement, alignment: Bytes) -> Option<u64> {
    let mut most = 0;
    for (number, (segment, place)) in model.segments.iter().zip(&placement.segments).enumerate() {
        let scratch = place.runs.iter().map(|run| run.lower_bound.0).fold(undivided(segment, alignment)?, u64::max);
        most = most.max(scratch.checked_add(live(model, number, alignment, |_| true)?)?);
    }
    Some(most)
}

/// The most that a waiting job keeps apart from what runs meanwhile: tensors that are live at some boundary, and at once in one
/// segment. Each two of them meet there, and each meets what runs while the job waits; so they lie above each other although
/// not all of them need be live at one boundary.
pub(super) fn kept_waiting(model: &Model, alignment: Bytes) -> Option<u64> {
    let carried = (0..model.segments.len()).map(|number| live(model, number, alignment, |(from, last)| from < last));
    Some(carried.collect::<Option<Vec<_>>>()?.into_iter().max().unwrap_or(0))
}

/// The tensors that are live while a segment runs, of those whose lives `counts` takes.
fn live(model: &Model, segment: usize, alignment: Bytes, counts: impl Fn((usize, usize)) -> bool) -> Option<u64> {
    let lives = model.lives();
    let tensors = model
        .all_tensors()
        .zip(&lives)
        .filter(|(_, life)| life.is_some_and(|life| counts(life) && (life.0..=life.1).contains(&segment)));
    tensors.map(|(tensor, _)| aligned(tensor.size, alignment)).try_fold(0, |sum: u64, size| sum.checked_add(size?))
}
