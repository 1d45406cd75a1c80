//! Plans without a search: one buffer after the other into the lowest gap that holds it.
//!
//! Two ways to an order: by a key of the buffers, which needs to know who conflicts with whom, and by time, as an
//! allocator at run time sees requests, which needs only what is live and so also works for very many buffers.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "sums are at most 2^62, see `Problem`")]

use super::conflicts::{Conflicts, index};
use super::problem::Buffer;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The end of the highest buffer.
pub(super) fn height(buffers: &[Buffer], offsets: &[u64]) -> u64 {
    buffers.iter().zip(offsets).map(|(buffer, offset)| offset + buffer.size).max().unwrap_or(0)
}

/// Places buffers in an order, each as low as it can lie beside the ones before it; pinned ones lie where they must.
///
/// Cost: for each buffer its neighbours, sorted.
pub(super) fn by_order(buffers: &[Buffer], conflicts: &Conflicts, order: &[u32]) -> Vec<u64> {
    let mut offsets: Vec<Option<u64>> = buffers.iter().map(|buffer| buffer.pinned).collect();
    let mut taken: Vec<(u64, u64)> = Vec::new();
    for at in order {
        let buffer = &buffers[index(*at)];
        if offsets[index(*at)].is_some() {
            continue;
        }
        taken.clear();
        for other in conflicts.neighbours.get(index(*at)) {
            if let Some(offset) = offsets[index(*other)] {
                taken.push((offset, offset + buffers[index(*other)].size));
            }
        }
        taken.sort_unstable();
        offsets[index(*at)] = Some(lowest(buffer, &taken));
    }
    offsets.into_iter().map(|offset| offset.unwrap_or(0)).collect()
}

/// The lowest offset of a buffer beside the ranges that are taken, which are in order.
fn lowest(buffer: &Buffer, taken: &[(u64, u64)]) -> u64 {
    let mut offset = 0;
    for (start, end) in taken {
        if offset + buffer.size <= *start {
            break;
        }
        offset = offset.max(end.next_multiple_of(buffer.alignment));
    }
    offset
}

/// Places buffers in the order in which they become live, the largest first, each into the smallest gap that holds it
/// among what is live then. A lifespan with gaps counts as if it had none, and everything lies above all pinned buffers.
///
/// Cost: a few steps in a search tree for each buffer.
pub(super) fn by_time(buffers: &[Buffer]) -> Vec<u64> {
    let mut events: Vec<(i64, bool, Reverse<u64>, usize)> = Vec::with_capacity(buffers.len() * 2);
    let (mut base, mut step) = (0, 1);
    for (at, buffer) in buffers.iter().enumerate() {
        step = step.max(buffer.alignment);
        if let Some(offset) = buffer.pinned {
            base = base.max(offset + buffer.size);
        } else if let (Some(first), Some(last)) = (buffer.live.first(), buffer.live.last())
            && buffer.size > 0
        {
            events.push((first.start, true, Reverse(buffer.size), at));
            events.push((last.end, false, Reverse(0), at));
        }
    }
    let base = base.next_multiple_of(step);
    events.sort_unstable();
    let mut offsets: Vec<u64> = buffers.iter().map(|buffer| buffer.pinned.unwrap_or(base)).collect();
    let mut free = Free::new();
    for (_, begins, _, at) in events {
        let buffer = &buffers[at];
        if begins {
            offsets[at] = base + free.take(buffer.size, buffer.alignment);
        } else {
            free.give(offsets[at] - base, buffer.size);
        }
    }
    offsets
}

/// The free ranges of an address range without an end.
struct Free {
    /// Lengths by offsets; the last one has no end.
    by_offset: BTreeMap<u64, u64>,
    /// The same ranges by lengths.
    by_length: BTreeMap<(u64, u64), ()>,
}

impl Free {
    fn new() -> Self {
        let mut free = Self { by_offset: BTreeMap::new(), by_length: BTreeMap::new() };
        free.insert(0, u64::MAX);
        free
    }

    fn insert(&mut self, offset: u64, length: u64) {
        if length > 0 {
            self.by_offset.insert(offset, length);
            self.by_length.insert((length, offset), ());
        }
    }

    fn remove(&mut self, offset: u64) -> Option<u64> {
        let length = self.by_offset.remove(&offset)?;
        self.by_length.remove(&(length, offset));
        Some(length)
    }

    fn take(&mut self, size: u64, alignment: u64) -> u64 {
        let fits = |(length, offset): (u64, u64)| {
            let start = offset.next_multiple_of(alignment);
            (start - offset <= length && length - (start - offset) >= size).then_some((offset, start))
        };
        // The range without an end holds everything.
        let found = self.by_length.range((size, 0)..).find_map(|(range, ())| fits(*range));
        let Some((offset, start)) = found else { return 0 };
        let length = self.remove(offset).unwrap_or(0);
        self.insert(offset, start - offset);
        let rest = length - (start - offset) - size;
        self.insert(start + size, rest);
        start
    }

    fn give(&mut self, offset: u64, size: u64) {
        let (mut start, mut end) = (offset, offset + size);
        if let Some((before, length)) = self.by_offset.range(..offset).next_back().map(|(at, length)| (*at, *length))
            && before.saturating_add(length) == offset
        {
            self.remove(before);
            start = before;
        }
        if let Some(length) = self.remove(end) {
            end = end.saturating_add(length);
        }
        self.insert(start, end - start);
    }
}

#[cfg(test)]
mod tests {
    use super::{by_order, by_time, height};
    use crate::memory::solver::conflicts::{Conflicts, number};
    use crate::memory::solver::problem::Buffer;

    fn assert_valid(buffers: &[Buffer], offsets: &[u64], what: &str) {
        for (one, first) in buffers.iter().enumerate() {
            assert_eq!(offsets[one] % first.alignment, 0, "{what}");
            assert!(first.pinned.is_none_or(|pinned| pinned == offsets[one]), "{what}");
            for two in one + 1..buffers.len() {
                let second = &buffers[two];
                let apart = offsets[one] + first.size <= offsets[two] || offsets[two] + second.size <= offsets[one];
                assert!(apart || !first.conflicts_with(second), "{what}: {one} and {two} overlap");
            }
        }
    }

    #[test]
    fn both_ways_give_plans() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let count = random.usize(1..40);
            let mut buffers: Vec<Buffer> = Vec::new();
            for _ in 0..count {
                let start = random.i64(0..50);
                let alignment = 1 << random.u32(0..4);
                buffers.push(Buffer::new(random.u64(0..30), start..start + random.i64(1..20)).aligned(alignment));
            }
            let conflicts = Conflicts::of(&buffers).unwrap();
            let order: Vec<u32> = (0..count).rev().map(number).collect();
            assert_valid(&buffers, &by_order(&buffers, &conflicts, &order), &format!("order, seed {seed}"));
            assert_valid(&buffers, &by_time(&buffers), &format!("time, seed {seed}"));
            buffers[0].pinned = Some(64);
            let pinned = by_order(&buffers, &Conflicts::of(&buffers).unwrap(), &order);
            assert_valid(&buffers, &pinned, &format!("pinned, seed {seed}"));
            assert_valid(&buffers, &by_time(&buffers), &format!("time and pinned, seed {seed}"));
        }
    }

    #[test]
    fn freed_neighbours_become_one_range() {
        let buffers = [Buffer::new(4, 0..1), Buffer::new(4, 0..1), Buffer::new(8, 1..2)];
        let offsets = by_time(&buffers);
        assert_eq!((offsets[2], height(&buffers, &offsets)), (0, 8));
    }
}
