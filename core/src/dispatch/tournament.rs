//! A tournament: which entry of a row has the least key, kept up to date in O(log n) a change.
//!
//! Each node of a binary tree holds the entry with the least key below it; the leaves are the entries themselves and are not
//! stored. Node 1 is the root and node i has the children 2i and 2i + 1, so a row of n entries has the inner nodes 1 to n − 1 and
//! the leaves n to 2n − 1. Leaves from the next power of two on lie one level deeper and hold the first entries, so that from
//! left to right the entries are in order, and of equal keys the first one's wins.

use crate::time::Instant;

/// The key of an entry that does not take part: later than every instant that a plan reaches.
pub(super) const NEVER: Instant = Instant::from_ns(u64::MAX);

/// Where the leaves of a row lie.
#[derive(Clone, Copy)]
struct Row {
    /// How many entries it has.
    count: usize,
    /// The first leaf of the deepest level.
    deepest: usize,
}

impl Row {
    fn of(nodes: &[u16]) -> Option<Self> {
        Some(Self { count: nodes.len(), deepest: nodes.len().checked_next_power_of_two()? })
    }

    /// The node of an entry.
    const fn leaf(self, entry: usize) -> usize {
        let node = entry.saturating_add(self.deepest);
        if node < self.count.saturating_mul(2) { node } else { node.saturating_sub(self.count) }
    }

    /// The entry that wins below a node; one that is none where there is no such node.
    fn winner(self, nodes: &[u16], node: usize) -> usize {
        match nodes.get(node) {
            Some(entry) => usize::from(*entry),
            None if node >= self.deepest => node.saturating_sub(self.deepest),
            None => node.saturating_add(self.count).saturating_sub(self.deepest),
        }
    }
}

/// The key of an entry.
fn key(keys: &[Instant], entry: usize) -> Instant {
    keys.get(entry).copied().unwrap_or(NEVER)
}

/// Lets all entries play, each with its key.
pub(super) fn fill(nodes: &mut [u16], keys: &[Instant]) {
    let Some(row) = Row::of(nodes) else { return };
    for node in (1..row.count).rev() {
        let left = node.saturating_mul(2);
        let (one, other) = (row.winner(nodes, left), row.winner(nodes, left | 1));
        let winner = if key(keys, other) < key(keys, one) { other } else { one };
        if let (Some(slot), Ok(winner)) = (nodes.get_mut(node), u16::try_from(winner)) {
            *slot = winner;
        }
    }
}

/// Lets an entry whose key changed play its way up.
pub(super) fn play(nodes: &mut [u16], keys: &[Instant], entry: usize) {
    let Some(row) = Row::of(nodes) else { return };
    let (mut node, mut best, mut least) = (row.leaf(entry), entry, key(keys, entry));
    while node > 1 {
        let other = row.winner(nodes, node ^ 1);
        let others = key(keys, other);
        if others < least || (others == least && other < best) {
            (best, least) = (other, others);
        }
        node /= 2;
        let (Some(slot), Ok(winner)) = (nodes.get_mut(node), u16::try_from(best)) else { return };
        // Where another entry won before and wins still, nothing above depends on this one.
        if *slot == winner && best != entry {
            return;
        }
        *slot = winner;
    }
}

/// The entry with the least key.
pub(super) fn first(nodes: &[u16]) -> Option<usize> {
    // The root; a single entry has no node, and 0 is what is left of it.
    if nodes.is_empty() { None } else { Some(nodes.get(1).map_or(0, |entry| usize::from(*entry))) }
}

/// The least key; [`NEVER`] without entries.
pub(super) fn least(nodes: &[u16], keys: &[Instant]) -> Instant {
    first(nodes).map_or(NEVER, |entry| key(keys, entry))
}

/// The first entry from `from` on whose key is at most `limit`.
///
/// Only nodes with nothing but such entries below them are looked at: keys of entries before `from` may have changed meanwhile.
pub(super) fn next_due(nodes: &[u16], keys: &[Instant], from: usize, limit: Instant) -> Option<usize> {
    let row = Row::of(nodes).filter(|row| from < row.count)?;
    let is_due = |node: usize| key(keys, row.winner(nodes, node)) <= limit;
    let mut node = row.leaf(from);
    // Up to the first subtree that lies to the right and has one.
    if !is_due(node) {
        while node & 1 == 1 || !is_due(node | 1) {
            node /= 2;
            if node <= 1 {
                return None;
            }
        }
        node |= 1;
    }
    // Down to its first one.
    while node < row.count {
        let left = node.saturating_mul(2);
        node = if is_due(left) { left } else { left | 1 };
    }
    Some(row.winner(nodes, node))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test stops at an overflow")]
mod tests {
    extern crate std;

    use super::{NEVER, fill, first, key, next_due, play};
    use crate::time::Instant;
    use std::vec::Vec;

    #[test]
    fn the_first_and_every_due_entry_are_those_of_a_search_through_all() {
        let mut random = 1_u64;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for count in 0..70_usize {
            let mut keys: Vec<Instant> = std::iter::repeat_n(NEVER, count).collect();
            let mut nodes: Vec<u16> = std::iter::repeat_n(0, count).collect();
            for key in &mut keys {
                *key = Instant::from_ns(draw(9));
            }
            fill(&mut nodes, &keys);
            let search = |keys: &[Instant]| (0..count).min_by_key(|entry| keys.get(*entry).copied());
            assert_eq!(first(&nodes), search(&keys));
            for _ in 0..count * 20 {
                let entry = usize::try_from(draw(u64::try_from(count).unwrap_or(1))).unwrap_or(0);
                if let Some(key) = keys.get_mut(entry) {
                    *key = if draw(4) == 0 { NEVER } else { Instant::from_ns(draw(9)) };
                }
                play(&mut nodes, &keys, entry);
                // Of equal keys the first.
                assert_eq!(first(&nodes), search(&keys), "{keys:?}");
                let (from, limit) = (usize::try_from(draw(71)).unwrap_or(0), Instant::from_ns(draw(9)));
                let search = |keys: &[Instant], from: usize| (from..count).find(|entry| key(keys, *entry) <= limit);
                assert_eq!(next_due(&nodes, &keys, from, limit), search(&keys, from), "{keys:?}");
                // One after the other, while those before have already changed.
                let mut left = keys.clone();
                let mut found = next_due(&nodes, &left, 0, limit);
                while let Some(entry) = found {
                    assert_eq!(Some(entry), search(&left, 0), "{keys:?}");
                    if let Some(key) = left.get_mut(entry) {
                        *key = NEVER;
                    }
                    found = next_due(&nodes, &left, entry + 1, limit);
                }
                assert_eq!(search(&left, 0), None, "{keys:?}");
            }
        }
    }
}
