//! The largest of many numbers from one position on, one after the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Numbers with a tree of maxima over them.
pub(super) struct Largest {
    keys: Vec<u64>,
    /// The position of the largest key in each node's range; the root is 1, the children of n are 2 n and 2 n + 1.
    tree: Vec<usize>,
    leaves: usize,
}

impl Largest {
    pub(super) fn new(keys: Vec<u64>) -> Self {
        let leaves = keys.len().next_power_of_two();
        let mut tree = vec![usize::MAX; leaves.saturating_mul(2)];
        for (slot, position) in tree.iter_mut().skip(leaves).zip(0..keys.len()) {
            *slot = position;
        }
        let mut largest = Self { keys, tree, leaves };
        for node in (1..leaves).rev() {
            let (left, right) = (node.saturating_mul(2), node.saturating_mul(2).saturating_add(1));
            let better = largest.better(largest.at(left), largest.at(right));
            if let Some(slot) = largest.tree.get_mut(node) {
                *slot = better;
            }
        }
        largest
    }

    fn at(&self, node: usize) -> usize {
        self.tree.get(node).copied().unwrap_or(usize::MAX)
    }

    /// The position with the larger key; of equals the first.
    fn better(&self, one: usize, other: usize) -> usize {
        match (self.keys.get(one), self.keys.get(other)) {
            (Some(first), Some(second)) if second > first => other,
            (Some(_), _) => one,
            (None, _) => other,
        }
    }

    /// The position of the largest in a half-open range that is not empty.
    fn within(&self, from: usize, to: usize) -> usize {
        let (mut low, mut high) = (from.saturating_add(self.leaves), to.saturating_add(self.leaves));
        let mut best = usize::MAX;
        while low < high {
            if low % 2 == 1 {
                best = self.better(best, self.at(low));
                low = low.saturating_add(1);
            }
            if high % 2 == 1 {
                high = high.saturating_sub(1);
                best = self.better(best, self.at(high));
            }
            (low, high) = (low / 2, high / 2);
        }
        best
    }

    /// The positions from `from` on, by falling key.
    pub(super) fn from(&self, from: usize) -> Falling<'_> {
        let mut falling = Falling { largest: self, ranges: BinaryHeap::new() };
        falling.push(from, self.keys.len());
        falling
    }
}

/// Positions by falling key.
pub(super) struct Falling<'l> {
    largest: &'l Largest,
    /// What is left, as half-open ranges, each with its largest key and where that lies.
    ranges: BinaryHeap<(u64, Reverse<usize>, usize, usize)>,
}

impl Falling<'_> {
    fn push(&mut self, low: usize, high: usize) {
        if low < high {
            let best = self.largest.within(low, high);
            let key = self.largest.keys.get(best).copied().unwrap_or(0);
            self.ranges.push((key, Reverse(best), low, high));
        }
    }

    /// The position that comes next.
    pub(super) fn peek(&self) -> Option<usize> {
        self.ranges.peek().map(|(_, Reverse(best), _, _)| *best)
    }
}

impl Iterator for Falling<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let (_, Reverse(best), low, high) = self.ranges.pop()?;
        self.push(low, best);
        self.push(best.saturating_add(1), high);
        Some(best)
    }
}
