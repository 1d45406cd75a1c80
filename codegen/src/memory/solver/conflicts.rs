//! Which buffers conflict, as sections: the maximal sets of buffers that are live at one instant, in the order of time.
//!
//! Two buffers conflict exactly if some section has both. Everything that the search does is bookkeeping about
//! sections: how high each is filled, and how much of it is still to be placed.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "positions of tables made here")]

use super::problem::Buffer;
use std::collections::HashSet;

/// Lists of numbers, one behind the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    starts: Vec<usize>,
    items: Vec<u32>,
}

impl Lists {
    fn new() -> Self {
        Self { starts: vec![0], items: Vec::new() }
    }

    fn push(&mut self, items: impl IntoIterator<Item = u32>) {
        self.items.extend(items);
        self.starts.push(self.items.len());
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn get(&self, list: usize) -> &[u32] {
        &self.items[self.starts[list]..self.starts[list + 1]]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.len()).map(|list| self.get(list))
    }

    /// For each number below `count`, the lists that have it.
    fn transposed(&self, count: usize) -> Self {
        let mut starts = vec![0_usize; count + 1];
        for item in &self.items {
            starts[index(*item) + 1] += 1;
        }
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        let mut items = vec![0; self.items.len()];
        for (list, members) in self.iter().enumerate() {
            for member in members {
                let place = &mut next[index(*member)];
                items[*place] = number(list);
                *place += 1;
            }
        }
        Self { starts, items }
    }
}

/// A position of a table as an index.
pub(super) fn index(position: u32) -> usize {
    // Widening: the generator runs on machines with at least 32-bit addresses.
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// An index of a table as a position; tables are checked to have at most 10⁶ entries.
pub(super) fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The sections of a set of buffers, which is too large to be listed where there would be more than this many entries.
const MOST_ENTRIES: usize = 8_000_000;

/// Who conflicts with whom.
#[derive(Clone, Debug)]
pub(super) struct Conflicts {
    /// Buffers of each section.
    pub(super) members: Lists,
    /// Sections of each buffer, in order.
    pub(super) sections: Lists,
    /// Buffers that conflict with each buffer.
    pub(super) neighbours: Lists,
}

impl Conflicts {
    /// The conflicts of buffers that need bytes; `None` where they are too many to be listed.
    pub(super) fn of(buffers: &[Buffer]) -> Option<Self> {
        let members = live_sets(buffers)?;
        let members = maximal(&members, buffers.len());
        let sections = members.transposed(buffers.len());
        let mut neighbours = Lists::new();
        let mut seen = vec![u32::MAX; buffers.len()];
        let mut found = Vec::new();
        for buffer in 0..buffers.len() {
            found.clear();
            for section in sections.get(buffer) {
                for other in members.get(index(*section)) {
                    if index(*other) != buffer && seen[index(*other)] != number(buffer) {
                        seen[index(*other)] = number(buffer);
                        found.push(*other);
                    }
                }
            }
            found.sort_unstable();
            neighbours.push(found.iter().copied());
            if neighbours.items.len() > MOST_ENTRIES * 4 {
                return None;
            }
        }
        Some(Self { members, sections, neighbours })
    }

    /// Sets of buffers without a conflict between them, each in order; the sets in the order of their first buffers.
    pub(super) fn components(&self) -> Vec<Vec<usize>> {
        let count = self.sections.len();
        let mut component = vec![usize::MAX; count];
        let mut found: Vec<Vec<usize>> = Vec::new();
        let mut open = Vec::new();
        for first in 0..count {
            if component[first] != usize::MAX {
                continue;
            }
            component[first] = found.len();
            let mut own = vec![first];
            open.push(first);
            while let Some(buffer) = open.pop() {
                for other in self.neighbours.get(buffer) {
                    let other = index(*other);
                    if component[other] == usize::MAX {
                        component[other] = found.len();
                        own.push(other);
                        open.push(other);
                    }
                }
            }
            own.sort_unstable();
            found.push(own);
        }
        found
    }
}

/// The buffers that are live at once, for each instant after which one ends and before which one has begun.
fn live_sets(buffers: &[Buffer]) -> Option<Lists> {
    // At one instant ends go before beginnings, because lifespans are half-open.
    let mut events: Vec<(i64, bool, u32)> = Vec::new();
    for (position, buffer) in buffers.iter().enumerate().filter(|(_, buffer)| buffer.size > 0) {
        for range in &buffer.live {
            events.push((range.start, true, number(position)));
            events.push((range.end, false, number(position)));
        }
    }
    events.sort_unstable();
    let mut live: Vec<u32> = Vec::new();
    // For each live buffer its place in `live`.
    let mut place = vec![usize::MAX; buffers.len()];
    let mut sets = Lists::new();
    let mut grown = false;
    for (_, begins, buffer) in events {
        if begins {
            place[index(buffer)] = live.len();
            live.push(buffer);
            grown = true;
            continue;
        }
        if grown {
            let from = sets.items.len();
            sets.push(live.iter().copied());
            sets.items[from..].sort_unstable();
            grown = false;
            if sets.items.len() > MOST_ENTRIES {
                return None;
            }
        }
        let at = place[index(buffer)];
        live.swap_remove(at);
        if let Some(moved) = live.get(at) {
            place[index(*moved)] = at;
        }
    }
    Some(sets)
}

/// The sets that no other set contains, each once, in order.
fn maximal(sets: &Lists, buffers: usize) -> Lists {
    let having = sets.transposed(buffers);
    let mut seen: HashSet<&[u32]> = HashSet::new();
    let mut kept = Lists::new();
    for set in sets.iter() {
        // Whoever contains the set contains its rarest member.
        let rarest = set.iter().min_by_key(|member| having.get(index(**member)).len());
        let Some(rarest) = rarest else { continue };
        let contained = having.get(index(*rarest)).iter().any(|other| {
            let other = sets.get(index(*other));
            other.len() > set.len() && is_subset(set, other)
        });
        if !contained && seen.insert(set) {
            kept.push(set.iter().copied());
        }
    }
    kept
}

/// Whether an ordered list's entries are all in another ordered list.
fn is_subset(part: &[u32], whole: &[u32]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|one| rest.by_ref().any(|other| other == one))
}

#[cfg(test)]
mod tests {
    use super::Conflicts;
    use crate::memory::solver::problem::Buffer;

    fn random(seed: u64) -> Vec<Buffer> {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(1..30);
        let buffer = |random: &mut fastrand::Rng| {
            let (mut at, mut live) = (random.i64(0..20), Vec::new());
            for _ in 0..random.usize(1..4) {
                let end = at + random.i64(1..8);
                live.push(at..end);
                at = end + random.i64(0..5);
            }
            Buffer { size: random.u64(0..4), alignment: 1, live, pinned: None }
        };
        (0..count).map(|_| buffer(&mut random)).collect()
    }

    #[test]
    fn two_buffers_share_a_section_exactly_if_they_conflict() {
        for seed in 0..300 {
            let buffers = random(seed);
            let conflicts = Conflicts::of(&buffers).unwrap();
            for (one, first) in buffers.iter().enumerate() {
                let listed = conflicts.neighbours.get(one);
                for (two, second) in buffers.iter().enumerate().filter(|(two, _)| *two != one) {
                    let is_listed = listed.contains(&u32::try_from(two).unwrap());
                    assert_eq!(is_listed, first.conflicts_with(second), "seed {seed}: {one} and {two}");
                }
            }
            for section in conflicts.members.iter() {
                let instants = |at: &u32| &buffers[usize::try_from(*at).unwrap()].live;
                let together = (-1..60).any(|t| section.iter().all(|at| instants(at).iter().any(|r| r.contains(&t))));
                assert!(together, "seed {seed}: {section:?} are never live at once");
            }
        }
    }

    #[test]
    fn components_have_no_conflict_between_them_and_are_connected() {
        let buffers = [Buffer::new(1, 0..2), Buffer::new(1, 5..7), Buffer::new(1, 1..3), Buffer::new(1, 2..4)];
        assert_eq!(Conflicts::of(&buffers).unwrap().components(), [vec![0, 2, 3], vec![1]]);
    }
}
