//! Re-proves what a compacting level moves, in which order, and how long that takes.
//!
//! A kept tensor that lies elsewhere at a level is copied when the level is entered, and back when it is left. A copy may overlap
//! its own source, as `memmove` permits. It must not overlap the source of a copy that comes after it: so entering in the order of
//! the list destroys nothing, and leaving in the reverse order does not either, since there the later copy's source is the earlier
//! one's destination.

use super::same::is_same_model;
use super::sharing::{Layout, piece};
use super::tensors::widen;
use crate::desc::{LevelDesc, Life, ModelDesc, MoveDesc, TensorDesc};
use crate::units::{Bytes, PoolId};

/// Whether the level's models are the system's at other places, those of fault domains at the same ones, each kept tensor that
/// lies elsewhere is moved once, in an order in which no copy destroys what a later one reads, and each pool's copies are as many
/// bytes as it says.
pub(super) const fn moves_hold(layout: Layout<'_>, level: &LevelDesc) -> bool {
    if level.models.is_empty() {
        return level.moves.is_empty() && nothing_is_copied(level);
    }
    if !are_the_systems(layout) {
        return false;
    }
    let mut moves = level.moves;
    while let [first, rest @ ..] = moves {
        let Some(copy) = copy_of(layout, first) else {
            return false;
        };
        let mut others = rest;
        while let [other, rest @ ..] = others {
            let Some(later) = copy_of(layout, other) else {
                return false;
            };
            let is_same = first.model.0 == other.model.0 && first.tensor == other.tensor;
            if is_same || copy.pool.0 == later.pool.0 && overlap(copy.to, later.from, copy.bytes, later.bytes) {
                return false;
            }
            others = rest;
        }
        moves = rest;
    }
    let mut pools = level.pools;
    let mut number: usize = 0;
    while let [pool, rest @ ..] = pools {
        // Every move is one of a tensor that lies elsewhere, and no two are of the same: as many bytes, so all of them.
        let (Some(listed), Some(elsewhere)) = (listed(layout, level.moves, number), elsewhere(layout, number)) else {
            return false;
        };
        if listed != pool.copied.0 || elsewhere != pool.copied.0 {
            return false;
        }
        number = number.saturating_add(1);
        pools = rest;
    }
    true
}

/// How long a level's copies take, in nanoseconds, one after the other: each as long as a copy of as many whole MiB. `None` where
/// that is not known or leaves the range.
pub(super) const fn copies_take(layout: Layout<'_>, level: &LevelDesc) -> Option<u64> {
    const MIB: u64 = 1 << 20;
    let mut sum: u64 = 0;
    let mut moves = level.moves;
    while let [first, rest @ ..] = moves {
        let Some(copy) = copy_of(layout, first) else {
            return None;
        };
        let Some((_, [pool, ..])) = layout.system.pools.split_at_checked(copy.pool.index()) else {
            return None;
        };
        if pool.copy_per_mib.is_zero() {
            return None;
        }
        let Some(time) = copy.bytes.div_ceil(MIB).checked_mul(pool.copy_per_mib.as_ns()) else {
            return None;
        };
        match sum.checked_add(time) {
            Some(added) => sum = added,
            None => return None,
        }
        moves = rest;
    }
    Some(sum)
}

/// Whether no pool says that something is copied.
const fn nothing_is_copied(level: &LevelDesc) -> bool {
    let mut pools = level.pools;
    while let [pool, rest @ ..] = pools {
        if pool.copied.0 > 0 {
            return false;
        }
        pools = rest;
    }
    true
}

/// Whether the models that stay are the system's, in their pools, and nothing of them moves that a runtime holds addresses of.
const fn are_the_systems(layout: Layout<'_>) -> bool {
    if layout.models.len() != layout.system.models.len() {
        return false;
    }
    let mut originals = layout.system.models;
    while let [rest @ .., original] = originals {
        if let Some(model) = layout.model(rest.len())
            && !(is_same_model(model, original) && may_lie(layout, model, original))
        {
            return false;
        }
        originals = rest;
    }
    true
}

/// Whether a model lies where it may: the process of a fault domain holds addresses of all that it has, so there nothing moves.
const fn may_lie(layout: Layout<'_>, model: &ModelDesc, original: &ModelDesc) -> bool {
    if let Some((_, [pool, ..])) = layout.system.pools.split_at_checked(original.pool.index())
        && pool.domain.is_none()
    {
        return true;
    }
    let mut number: usize = 0;
    while let (Some(own), Some(other)) = (piece(model, number), piece(original, number)) {
        if own.at != other.at {
            return false;
        }
        number = number.saturating_add(1);
    }
    true
}

/// One copy.
#[derive(Clone, Copy)]
struct Copied {
    pool: PoolId,
    from: u64,
    to: u64,
    bytes: u64,
}

/// What a move copies; `None` where it does not name a kept tensor that lies elsewhere.
const fn copy_of(layout: Layout<'_>, moved: &MoveDesc) -> Option<Copied> {
    let (Some(model), Some((_, [original, ..]))) =
        (layout.model(moved.model.index()), layout.system.models.split_at_checked(moved.model.index()))
    else {
        return None;
    };
    let position = widen(moved.tensor);
    let (Some(tensor), Some(before), Some(Life::Kept)) =
        (model.tensor(position), original.tensor(position), model.life(position))
    else {
        return None;
    };
    if tensor.at.0 == before.at.0 {
        return None;
    }
    let Some(bytes) = length(tensor, layout.alignment(original.pool)) else {
        return None;
    };
    Some(Copied { pool: original.pool, from: before.at.0, to: tensor.at.0, bytes })
}

/// Whether two ranges have a common byte.
const fn overlap(one: u64, other: u64, one_bytes: u64, other_bytes: u64) -> bool {
    one < other.saturating_add(other_bytes) && other < one.saturating_add(one_bytes)
}

/// The bytes that listed moves copy in a pool.
const fn listed(layout: Layout<'_>, moves: &[MoveDesc], pool: usize) -> Option<u64> {
    let mut sum: u64 = 0;
    let mut moves = moves;
    while let [first, rest @ ..] = moves {
        let Some(copy) = copy_of(layout, first) else {
            return None;
        };
        let is_here = copy.pool.index() == pool;
        match sum.checked_add(if is_here { copy.bytes } else { 0 }) {
            Some(added) => sum = added,
            None => return None,
        }
        moves = rest;
    }
    Some(sum)
}

/// The bytes of a pool's kept tensors that lie elsewhere than in the system's own layout, of models that are the system's.
const fn elsewhere(layout: Layout<'_>, pool: usize) -> Option<u64> {
    let mut sum: u64 = 0;
    let mut originals = layout.system.models;
    while let [rest @ .., original] = originals {
        if let Some(model) = layout.model(rest.len())
            && original.pool.index() == pool
        {
            let mut position: usize = 0;
            while let (Some(tensor), Some(before)) = (model.tensor(position), original.tensor(position)) {
                if matches!(model.life(position), Some(Life::Kept)) && tensor.at.0 != before.at.0 {
                    let Some(bytes) = length(tensor, layout.alignment(original.pool)) else {
                        return None;
                    };
                    match sum.checked_add(bytes) {
                        Some(added) => sum = added,
                        None => return None,
                    }
                }
                position = position.saturating_add(1);
            }
        }
        originals = rest;
    }
    Some(sum)
}

/// A tensor's bytes, rounded up to its memory's alignment.
const fn length(tensor: &TensorDesc, alignment: Bytes) -> Option<u64> {
    tensor.size.0.checked_next_multiple_of(alignment.0)
}
