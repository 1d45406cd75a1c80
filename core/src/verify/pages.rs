//! Re-proves that the pages that a level gives back hold nothing that is needed while it holds, or after it: O(pieces · ranges).

use super::sharing::{Layout, lists, piece, task_of};
use crate::desc::{ALIGNMENT, LevelDesc, LevelPoolDesc, PagesDesc, PoolDesc};

/// Whether what a level leaves unused of each pool is whole pages of its arena, in their order, and nothing lies there that a
/// task that stays uses, or that a shed one's model keeps between its jobs. A level that moves something leaves nothing unused.
pub(super) const fn unused_holds(layout: Layout<'_>, level: &LevelDesc) -> bool {
    let (mut pools, mut arenas) = (level.pools, layout.system.pools);
    let mut number: usize = 0;
    while let ([pool, rest @ ..], [arena, others @ ..]) = (pools, arenas) {
        let holds = level.models.is_empty() && are_pages(pool, arena) && are_free(layout, number, pool.unused);
        if !pool.unused.is_empty() && !holds {
            return false;
        }
        number = number.saturating_add(1);
        pools = rest;
        arenas = others;
    }
    true
}

/// Whether the ranges are whole pages, one behind the other, up to the page in which the arena ends.
const fn are_pages(pool: &LevelPoolDesc, arena: &PoolDesc) -> bool {
    let page = arena.page.0;
    if !page.is_power_of_two() || page < ALIGNMENT.0 {
        return false;
    }
    let Some(limit) = arena.height.0.checked_next_multiple_of(page) else {
        return false;
    };
    let mut before: u64 = 0;
    let mut ranges = pool.unused;
    while let [range, rest @ ..] = ranges {
        let (at, size) = (range.at.0, range.size.0);
        let Some(end) = at.checked_add(size) else {
            return false;
        };
        let is_whole = matches!((at.checked_rem(page), size.checked_rem(page)), (Some(0), Some(0)));
        if !is_whole || size == 0 || at < before || end > limit {
            return false;
        }
        before = end;
        ranges = rest;
    }
    true
}

/// Whether nothing of a pool that is needed lies in ranges that are in order.
const fn are_free(layout: Layout<'_>, pool: usize, ranges: &[PagesDesc]) -> bool {
    let mut models = layout.system.models;
    let mut position: usize = 0;
    while let [model, rest @ ..] = models {
        let is_shed = matches!(task_of(layout.system, position), Some((task, _)) if lists(layout.shed, task));
        let mut number: usize = 0;
        while model.pool.index() == pool
            && let Some(piece) = piece(model, number)
        {
            if (!is_shed || piece.is_kept()) && meets(ranges, piece.at, piece.size) {
                return false;
            }
            number = number.saturating_add(1);
        }
        position = position.saturating_add(1);
        models = rest;
    }
    true
}

/// Whether a byte of `[at, at + size)` lies in one of the ranges.
const fn meets(ranges: &[PagesDesc], at: u64, size: u64) -> bool {
    let mut ranges = ranges;
    while let [range, rest @ ..] = ranges {
        let (Some(end), Some(range_end)) = (at.checked_add(size), range.at.0.checked_add(range.size.0)) else {
            return true;
        };
        if size > 0 && at < range_end && range.at.0 < end {
            return true;
        }
        ranges = rest;
    }
    false
}
