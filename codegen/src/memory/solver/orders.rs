//! The orders in which the search tries buffers: by fixed keys, most demanding first, and then by chance.
//!
//! No order is best for every problem, but for every problem that was looked at one of a few is good. The first ones
//! here are those that together solve the most benchmark problems with few steps (`docs/theory/memory-planning.md`);
//! then come all other pairs and triples of keys, then the first ones with some ranks exchanged at random, from fixed
//! seeds.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "sums are at most 2^62, see `Problem`")]

use super::conflicts::{Conflicts, index, number};
use super::problem::Buffer;

/// What an order goes by; the larger comes first, except for [`Key::Start`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    /// Size times length.
    Area,
    /// How many sections it is in.
    Sections,
    /// When its lifespan ends.
    End,
    /// How long it is live.
    Length,
    /// How many buffers conflict with it.
    Overlaps,
    /// When its lifespan begins, the earliest first.
    Start,
    /// The bytes of the fullest section that it is in.
    Total,
    /// Its size.
    Size,
}

const ALL: [Key; 8] =
    [Key::Area, Key::Sections, Key::End, Key::Length, Key::Overlaps, Key::Start, Key::Total, Key::Size];

/// The first orders.
const FIRST: [&[Key]; 12] = [
    &[Key::Total, Key::Length, Key::Overlaps],
    &[Key::End, Key::Length, Key::Area],
    &[Key::Start, Key::Size],
    &[Key::Sections, Key::Overlaps, Key::Start],
    &[Key::Total, Key::Overlaps, Key::End],
    &[Key::Total, Key::End, Key::Size],
    &[Key::Start, Key::Total, Key::Area],
    &[Key::Total, Key::Start],
    &[Key::End, Key::Start, Key::Area],
    &[Key::Area, Key::Sections],
    &[Key::Overlaps, Key::Length, Key::End],
    &[Key::Length, Key::Size],
];

/// The orders of one problem.
pub(super) struct Orders {
    /// For each buffer its keys, in the order of [`ALL`].
    keys: Vec<[i128; ALL.len()]>,
    sequences: Vec<Vec<Key>>,
}

impl Orders {
    pub(super) fn of(buffers: &[Buffer], conflicts: &Conflicts) -> Self {
        let totals: Vec<i128> = conflicts
            .members
            .iter()
            .map(|section| section.iter().map(|at| i128::from(buffers[index(*at)].size)).sum())
            .collect();
        let keys = buffers.iter().enumerate().map(|(at, buffer)| {
            let length: i128 = buffer.live.iter().map(|range| i128::from(range.end) - i128::from(range.start)).sum();
            let sections = conflicts.sections.get(at);
            let count = |length: usize| i128::try_from(length).unwrap_or(i128::MAX);
            let size = i128::from(buffer.size);
            [
                size.saturating_mul(length),
                count(sections.len()),
                buffer.live.last().map_or(0, |range| i128::from(range.end)),
                length,
                count(conflicts.neighbours.get(at).len()),
                -buffer.live.first().map_or(0, |range| i128::from(range.start)),
                sections.iter().map(|section| totals[index(*section)]).max().unwrap_or(0),
                size,
            ]
        });
        let mut sequences: Vec<Vec<Key>> = FIRST.iter().map(|keys| keys.to_vec()).collect();
        for one in ALL {
            for two in ALL.into_iter().filter(|two| *two != one) {
                sequences.push(vec![one, two]);
                for three in ALL.into_iter().filter(|three| *three != one && *three != two) {
                    sequences.push(vec![one, two, three]);
                }
            }
        }
        let mut seen = Vec::new();
        sequences.retain(|keys| {
            let new = !seen.contains(keys);
            seen.push(keys.clone());
            new
        });
        Self { keys: keys.collect(), sequences }
    }

    /// How many are first ones.
    pub(super) const fn first(&self) -> usize {
        FIRST.len()
    }

    /// How many go by keys; all others exchange ranks at random.
    #[cfg(test)]
    fn keyed(&self) -> usize {
        self.sequences.len()
    }

    /// The `position`-th order of some buffers.
    pub(super) fn get(&self, position: usize, members: &[u32]) -> Vec<u32> {
        let by_keys = self.sequences.get(position);
        let keys = by_keys.unwrap_or(&self.sequences[position % FIRST.len()]);
        let rank = |at: &u32| {
            let own = &self.keys[index(*at)];
            let mut rank = [0; 3];
            for (place, key) in rank.iter_mut().zip(keys) {
                // Descending.
                *place = -ALL.iter().zip(own).find(|(one, _)| *one == key).map_or(0, |(_, value)| *value);
            }
            (rank, *at)
        };
        let mut order = members.to_vec();
        order.sort_by_cached_key(rank);
        if by_keys.is_none() {
            shuffle(&mut order, position);
        }
        order
    }
}

/// Exchanges some ranks with near ones; the same for the same position.
fn shuffle(order: &mut [u32], position: usize) {
    let mut state = u64::from(number(position)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::from(number(below.max(1)))).unwrap_or(0)
    };
    let reach = 2 + next(order.len().div_ceil(4).max(2));
    for _ in 0..1 + next(order.len()) {
        let one = next(order.len());
        let two = (one + 1 + next(reach)).min(order.len().saturating_sub(1));
        order.swap(one, two);
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST, Orders};
    use crate::memory::solver::conflicts::Conflicts;
    use crate::memory::solver::problem::Buffer;

    #[test]
    fn every_order_is_a_permutation_and_repeatable() {
        let buffers: Vec<Buffer> = (1..40).map(|at| Buffer::new(at % 7 + 1, 0..i64::try_from(at).unwrap())).collect();
        let conflicts = Conflicts::of(&buffers).unwrap();
        let orders = Orders::of(&buffers, &conflicts);
        assert_eq!((orders.first(), orders.keyed() > 300), (FIRST.len(), true));
        let members: Vec<u32> = (0..39).collect();
        let mut seen = Vec::new();
        for position in 0..orders.keyed() + 200 {
            let order = orders.get(position, &members);
            assert_eq!(order, orders.get(position, &members));
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, members);
            seen.push(order);
        }
        assert_ne!(seen[orders.keyed()], seen[orders.keyed() + FIRST.len()], "random orders differ");
        let area = |at: u32| (u64::from(at + 1) % 7 + 1) * u64::from(at + 1);
        let by_area = &seen[9];
        assert!(by_area.is_sorted_by_key(|at| std::cmp::Reverse(area(*at))), "the tenth goes by area: {by_area:?}");
    }
}
