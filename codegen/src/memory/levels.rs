//! What each level of memory pressure leaves of the arenas.
//!
//! A level that sheds leaves everything where it is: no job is delayed, and what lies above the highest piece that stays is
//! given back. A level that compacts lays out anew what stays: regions of lanes and kept tensors move down, what was
//! taken while loading does not, because a runtime holds addresses of it. Moving needs an instant at which nothing runs,
//! and copies kept tensors, in an order in which no copy destroys what a later one reads: that of a topological sort. Where the
//! lowest layout has none, because tensors would change places in a circle, they slide down in the order in which they lie.
//!
//! In a fault domain's part of a device nothing moves: its process holds addresses of all that lies there.
//! Where the memory has pages nothing moves, either: what lies unused between two pieces that stay is given back where it is.

use super::pool::Planner;
use super::solver::{Buffer, Limits, Problem, minimise};
use super::{Home, Placement, TooLarge, aligned, bound};
use crate::system::{Level, System};
use aegis_core::units::{ByteOffset, Bytes};
use std::ops::Range;

/// What a level leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LevelLayout {
    /// One per device, in order.
    pub pools: Vec<LevelPool>,
    /// If it compacts and that is lower: where everything lies. Shed models keep a place that holds nothing.
    pub models: Option<Vec<Placement>>,
    /// The kept tensors that move, by model and position, in the order in which they are copied.
    pub moves: Vec<(usize, usize)>,
}

/// What is left of one arena.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LevelPool {
    /// What backends hold outside the arena.
    pub weights: Bytes,
    /// Nothing above is in use.
    pub height: Bytes,
    /// No layout of what stays is lower, if all of it may move.
    pub lower_bound: Bytes,
    /// What is copied when the level is entered or left.
    pub copied: Bytes,
    /// The whole pages that can be given back, in their order.
    pub unused: Vec<Range<u64>>,
}

impl LevelPool {
    /// How much of an arena of this height that is: the last page may reach beyond its end.
    #[must_use]
    pub fn unused_bytes(&self, arena: Bytes) -> u64 {
        let lengths = self.unused.iter().map(|pages| pages.end.min(arena.0).saturating_sub(pages.start));
        lengths.fold(0, u64::saturating_add)
    }
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
    let mut moves = Vec::new();
    for device in 0..system.devices.len() {
        let too_large = TooLarge { device };
        let planner = Planner { system, homes, device };
        let stays = |model: usize| {
            let home = homes.get(model).copied().flatten();
            home.is_some_and(|home| home.device == device && !level.shed.contains(&home.task))
        };
        let mut pool = left(system, homes, models, &stays).ok_or(too_large)?;
        let desc = system.devices.get(device);
        // A process of its own holds addresses of all that it has.
        let is_part = desc.is_some_and(|device| device.part.is_some());
        if let Some(page) = desc.and_then(|device| device.page) {
            pool.unused = unused(&planner, models, &stays, page.0).ok_or(too_large)?;
        } else if level.compact && !is_part {
            let mut anew = moved.clone();
            let copies = compact(&planner, level, models, &mut anew).ok_or(too_large)?;
            let compacted = left(system, homes, &anew, &stays).ok_or(too_large)?;
            if compacted.height < pool.height {
                let copied = copies.iter().try_fold(0_u64, |sum, copy| sum.checked_add(copy.bytes)).ok_or(too_large)?;
                (moved, pool) = (anew, LevelPool { copied: Bytes(copied), ..compacted });
                moves.extend(copies.iter().map(|copy| copy.tensor));
            }
        }
        pools.push(pool);
    }
    let moves_something = moved != models;
    if moves_something {
        // No vehicle goes there, so nothing is given back.
        pools.iter_mut().for_each(|pool: &mut LevelPool| pool.unused.clear());
    }
    Ok(LevelLayout { pools, models: moves_something.then_some(moved), moves })
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
    for (number, (model, placement)) in system.models.iter().zip(placed).enumerate().filter(|(model, _)| stays(*model))
    {
        let alignment = homes.get(number).copied().flatten()?.alignment;
        weights = weights.checked_add(model.weights()?.0)?;
        for segment in &placement.segments {
            height = height.max(segment.persistent.0.checked_add(segment.load.height.0)?);
            height = height.max(segment.scratch.0.checked_add(segment.scratch_bytes.0)?);
        }
        for (tensor, at) in model.all_tensors().zip(&placement.tensors) {
            height = height.max(at.0.checked_add(aligned(tensor.size, alignment)?)?);
        }
    }
    let lower_bound = bound::of(system, homes, placed, stays)?;
    let lower_bound = Bytes(lower_bound);
    Some(LevelPool {
        weights: Bytes(weights),
        height: Bytes(height),
        lower_bound,
        copied: Bytes(0),
        unused: Vec::new(),
    })
}

/// The whole pages of a device's arena in which nothing lies that what stays uses, or that the other models keep between jobs.
fn unused(
    planner: &Planner<'_>,
    models: &[Placement],
    stays: &dyn Fn(usize) -> bool,
    page: u64,
) -> Option<Vec<Range<u64>>> {
    let Planner { system, homes, device } = *planner;
    let alignment = system.devices.get(device)?.alignment();
    let mut used = Vec::new();
    let mut height = 0_u64;
    for (number, (model, placement)) in system.models.iter().zip(models).enumerate() {
        if placement.pool != device {
            continue;
        }
        // A model that no task runs is nobody's to give up.
        let stays = stays(number) || homes.get(number).is_none_or(Option::is_none);
        let mut place = |at: ByteOffset, bytes: u64, is_needed: bool| {
            let end = at.0.checked_add(bytes)?;
            height = height.max(end);
            if is_needed && bytes > 0 {
                used.push(at.0.checked_div(page)?..end.div_ceil(page));
            }
            Some(())
        };
        for segment in &placement.segments {
            place(segment.persistent, segment.load.height.0, true)?;
            place(segment.scratch, segment.scratch_bytes.0, stays)?;
        }
        for ((tensor, life), at) in model.all_tensors().zip(model.lives()).zip(&placement.tensors) {
            place(*at, aligned(tensor.size, alignment)?, stays || life.is_none())?;
        }
    }
    let arena = height.div_ceil(page);
    used.push(arena..arena);
    used.sort_unstable_by_key(|pages| pages.start);
    let mut unused = Vec::new();
    let mut end = 0_u64;
    for pages in used {
        if end < pages.start {
            unused.push(end.checked_mul(page)?..pages.start.checked_mul(page)?);
        }
        end = end.max(pages.end);
    }
    Some(unused)
}

/// A kept tensor with the places that it has without pressure and at a level.
#[derive(Clone, Copy)]
struct Copied {
    /// Its model and its position there.
    tensor: (usize, usize),
    from: u64,
    to: u64,
    bytes: u64,
}

impl Copied {
    /// Whether this copy overwrites what the other reads.
    const fn destroys(&self, other: &Self) -> bool {
        self.to < other.from.saturating_add(other.bytes) && other.from < self.to.saturating_add(self.bytes)
    }
}

/// Lays out anew what stays of a device; returns the kept tensors that move, in the order in which they are copied.
fn compact(planner: &Planner<'_>, level: &Level, before: &[Placement], moved: &mut [Placement]) -> Option<Vec<Copied>> {
    let system = planner.system;
    let members = planner.members(|task| !level.shed.contains(&task));
    let regions = planner.regions(&members)?;
    // Everything here is live at once: what is pinned, kept tensors, and one piece for each region.
    let mut pinned = Vec::new();
    let mut kept = Vec::new();
    for member in &members {
        let (model, placement) = (system.models.get(member.model)?, before.get(member.model)?);
        pinned.extend(placement.segments.iter().map(|segment| (segment.persistent.0, segment.load.height.0)));
        let tensors = model.all_tensors().zip(model.lives()).zip(&placement.tensors).enumerate();
        for (position, ((tensor, _), at)) in tensors.filter(|(_, ((_, life), _))| life.is_none()) {
            let bytes = aligned(tensor.size, member.home.alignment)?;
            kept.push(Copied { tensor: (member.model, position), from: at.0, to: at.0, bytes });
        }
    }
    let heights: Vec<u64> = regions.iter().map(|shared| shared.region.height).collect();
    let free: Vec<u64> = kept.iter().map(|copy| copy.bytes).chain(heights.iter().copied()).collect();
    let places = beside(&pinned, &free)?;
    let mut bases = places.get(kept.len()..)?.to_vec();
    for (copy, at) in kept.iter_mut().zip(&places) {
        copy.to = *at;
    }
    let copies = if let Some(copies) = in_order(&kept) {
        copies
    } else {
        slide(&pinned, &mut kept)?;
        pinned.extend(kept.iter().map(|copy| (copy.to, copy.bytes)));
        bases = beside(&pinned, &heights)?;
        in_order(&kept)?
    };
    for copy in &kept {
        let (model, position) = copy.tensor;
        *moved.get_mut(model)?.tensors.get_mut(position)? = ByteOffset(copy.to);
    }
    for (shared, base) in regions.iter().zip(bases) {
        shared.region.place(system, &shared.members, base, moved)?;
    }
    Some(copies)
}

/// Places sizes as low as can be found beside what is pinned: begins with lengths.
fn beside(pinned: &[(u64, u64)], sizes: &[u64]) -> Option<Vec<u64>> {
    let fixed = pinned.iter().map(|(at, size)| Buffer { pinned: Some(*at), ..Buffer::new(*size, 0..1) });
    let buffers = fixed.chain(sizes.iter().map(|size| Buffer::new(*size, 0..1))).collect();
    let plan = minimise(&Problem::new(buffers).ok()?, Limits::default(), None);
    Some(plan.offsets.get(pinned.len()..)?.to_vec())
}

/// Those that move, in an order in which none destroys what a later one reads; `None` where there is none.
fn in_order(kept: &[Copied]) -> Option<Vec<Copied>> {
    let mut left: Vec<Copied> = kept.iter().filter(|copy| copy.from != copy.to).copied().collect();
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let harmless = |(place, copy): &(usize, &Copied)| {
            let mut others = left.iter().enumerate().filter(|(other, _)| other != place);
            others.all(|(_, other)| !copy.destroys(other))
        };
        let next = left.iter().enumerate().find(harmless)?.0;
        order.push(left.remove(next));
    }
    Some(order)
}

/// Moves kept tensors down, each as far as it goes above those that lay below it and beside what is pinned. So in the order in
/// which they lie, none destroys what a later one reads: it ends at or below where that one will begin, and none moves up.
fn slide(pinned: &[(u64, u64)], kept: &mut [Copied]) -> Option<()> {
    kept.sort_unstable_by_key(|copy| (copy.from, copy.tensor));
    let mut fixed: Vec<(u64, u64)> = pinned.iter().filter(|(_, size)| *size > 0).copied().collect();
    fixed.sort_unstable();
    let mut end = 0_u64;
    for copy in kept {
        let mut at = end;
        for (begin, size) in &fixed {
            let (until, after) = (begin.checked_add(*size)?, at.checked_add(copy.bytes)?);
            if *begin < after && at < until {
                at = until;
            }
        }
        copy.to = at;
        end = at.checked_add(copy.bytes)?;
    }
    Some(())
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::{Copied, in_order, slide};

    fn copy(number: usize, from: u64, to: u64, bytes: u64) -> Copied {
        Copied { tensor: (0, number), from, to, bytes }
    }

    /// Runs the copies on real bytes, forward and back.
    fn carry_out(kept: &[Copied], order: &[Copied]) {
        let place = |at: u64| usize::try_from(at).unwrap();
        let end = kept.iter().map(|copy| copy.from.max(copy.to) + copy.bytes).max().unwrap();
        let mut bytes = vec![0_u8; place(end)];
        let own = |copy: &Copied| u8::try_from(copy.tensor.1 + 1).unwrap();
        for copy in kept {
            bytes[place(copy.from)..place(copy.from + copy.bytes)].fill(own(copy));
        }
        let holds = |bytes: &[u8], copy: &Copied, at: u64| {
            assert!(bytes[place(at)..place(at + copy.bytes)].iter().all(|byte| *byte == own(copy)), "{kept:?}");
        };
        for copy in order {
            bytes.copy_within(place(copy.from)..place(copy.from + copy.bytes), place(copy.to));
        }
        kept.iter().for_each(|copy| holds(&bytes, copy, copy.to));
        for copy in order.iter().rev() {
            bytes.copy_within(place(copy.to)..place(copy.to + copy.bytes), place(copy.from));
        }
        kept.iter().for_each(|copy| holds(&bytes, copy, copy.from));
    }

    impl std::fmt::Debug for Copied {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{}: {} -> {} ({})", self.tensor.1, self.from, self.to, self.bytes)
        }
    }

    #[test]
    fn an_order_is_found_where_there_is_one() {
        // The second makes room for the first, and overlaps its own old place; the third stays.
        let kept = [copy(0, 64, 128, 64), copy(1, 160, 192, 64), copy(2, 0, 0, 64)];
        let order = in_order(&kept).unwrap();
        assert_eq!(order.iter().map(|copy| copy.tensor.1).collect::<Vec<_>>(), [1, 0]);
        carry_out(&kept, &order);
    }

    #[test]
    fn tensors_that_change_places_slide_instead() {
        let mut kept = [copy(0, 128, 320, 192), copy(1, 320, 64, 256)];
        assert!(in_order(&kept).is_none(), "each would overwrite the other");
        slide(&[(0, 64), (256, 64)], &mut kept).unwrap();
        let to: Vec<u64> = kept.iter().map(|copy| copy.to).collect();
        assert_eq!(to, [64, 320], "below what is pinned where it fits, in the old order");
        carry_out(&kept, &in_order(&kept).unwrap());
    }

    #[test]
    fn sliding_always_has_an_order_and_lets_nothing_rise() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut below = |bound: u64| rng.u64(..bound);
        let mut moved = 0;
        for _ in 0..500 {
            let (mut end, mut pinned, mut kept) = (0, Vec::new(), Vec::new());
            for number in 0..9 {
                end += 64 * below(4);
                let bytes = 64 * (1 + below(5));
                if below(3) == 0 {
                    pinned.push((end, bytes));
                } else {
                    kept.push(copy(number, end, end, bytes));
                }
                end += bytes;
            }
            if kept.is_empty() {
                continue;
            }
            slide(&pinned, &mut kept).unwrap();
            assert!(kept.iter().all(|copy| copy.to <= copy.from), "{kept:?} beside {pinned:?}");
            for (place, one) in kept.iter().enumerate() {
                let others = kept[place + 1..].iter().map(|copy| (copy.to, copy.bytes));
                for (at, size) in others.chain(pinned.iter().copied()) {
                    assert!(one.to + one.bytes <= at || at + size <= one.to, "{kept:?} beside {pinned:?}");
                }
            }
            let order = in_order(&kept).unwrap();
            moved += order.len();
            carry_out(&kept, &order);
        }
        assert!(moved > 500, "{moved}");
    }
}
