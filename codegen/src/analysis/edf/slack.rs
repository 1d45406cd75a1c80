//! When the lane first comes so far that only a given rest of what is due is left.
//!
//! Jobs are seen at known instants and become due one after the other. Between two instants at which jobs are seen the
//! work w that is due does not change, so the least s with w + B − rest ≤ s lies before the second, at `until`, if and only
//! if w − (until − 1) ≤ rest − B. A tree over these gaps holds the sums of the work and the least left sides, so that adding
//! a job and finding the first such gap take O(log) of their number.

use crate::analysis::NoBound;

/// No sum of works, instant or piece reaches this: what is added and subtracted here stays within `i64`.
const RANGE: i64 = 1 << 61;

/// A gap's or a range's work, and the least `w − (until − 1)` in it, where w counts from the range's first gap on.
#[derive(Clone, Copy)]
struct Node {
    work: i64,
    least: i64,
}

/// Behind the last gap; no rest is so large.
const NOTHING: Node = Node { work: 0, least: i64::MAX / 2 };

/// The due work of a lane by the instant at which it is seen.
pub(super) struct Slack<'s> {
    /// The instants at which jobs are seen, in order, each once; the first is 0.
    seen: &'s [u64],
    /// A complete binary tree: the root is 1, the children of n are 2 n and 2 n + 1, the gaps are its leaves.
    nodes: Vec<Node>,
    leaves: usize,
}

impl<'s> Slack<'s> {
    /// A lane without due work. `work` is all that will be added, and `blocking` the most that will be asked with.
    ///
    /// # Errors
    /// [`NoBound::Overflow`] where times exceed 2⁶¹ ns.
    pub(super) fn new(seen: &'s [u64], work: u64, blocking: u64) -> Result<Self, NoBound> {
        let latest = seen.last().copied().unwrap_or(0);
        if [latest, work, blocking].into_iter().any(|time| signed(time).is_err()) {
            return Err(NoBound::Overflow);
        }
        let leaves = seen.len().next_power_of_two();
        let mut nodes = vec![NOTHING; leaves.saturating_mul(2)];
        let ends = seen.iter().skip(1).map(|until| signed(*until)).chain([Ok(RANGE.saturating_mul(2))]);
        for (node, until) in nodes.iter_mut().skip(leaves).zip(ends) {
            // With the last gap nothing ends: its left side is below every rest − B.
            *node = Node { work: 0, least: 1i64.saturating_sub(until?) };
        }
        let mut slack = Self { seen, nodes, leaves };
        for node in (1..leaves).rev() {
            slack.join(node);
        }
        Ok(slack)
    }

    fn node(&self, node: usize) -> Node {
        self.nodes.get(node).copied().unwrap_or(NOTHING)
    }

    /// Makes a node from its children.
    fn join(&mut self, node: usize) {
        let left = self.node(node.saturating_mul(2));
        let right = self.node(node.saturating_mul(2).saturating_add(1));
        if let Some(node) = self.nodes.get_mut(node) {
            node.work = left.work.saturating_add(right.work);
            node.least = left.least.min(left.work.saturating_add(right.least));
        }
    }

    /// Adds a job that is seen at the `place`-th instant.
    ///
    /// # Errors
    /// [`NoBound::Overflow`] where its cost exceeds 2⁶¹ ns.
    pub(super) fn add(&mut self, place: usize, cost: u64) -> Result<(), NoBound> {
        let cost = signed(cost)?;
        let mut node = self.leaves.saturating_add(place);
        if let Some(leaf) = self.nodes.get_mut(node) {
            leaf.work = leaf.work.saturating_add(cost);
            leaf.least = leaf.least.saturating_add(cost);
        }
        while node > 1 {
            node /= 2;
            self.join(node);
        }
        Ok(())
    }

    /// The least s ≥ `from` with B + w(s) − rest ≤ s, where w(s) is the due work that is seen at s or before.
    ///
    /// # Errors
    /// [`NoBound::Overflow`] where times exceed 2⁶¹ ns.
    pub(super) fn start(&self, from: u64, blocking: u64, rest: u64) -> Result<u64, NoBound> {
        let most = signed(rest)?.saturating_sub(signed(blocking)?);
        let place = self.seen.partition_point(|seen| *seen <= from).saturating_sub(1);
        let (place, work) = self.first(place, most).ok_or(NoBound::Overflow)?;
        let seen = self.seen.get(place).copied().ok_or(NoBound::Overflow)?;
        let solution = u64::try_from(work.saturating_sub(most)).unwrap_or(0);
        Ok(solution.max(seen).max(from))
    }

    /// The first gap from `place` on with w − (until − 1) ≤ `most`, and its w.
    fn first(&self, place: usize, most: i64) -> Option<(usize, i64)> {
        let mut node = self.leaves.saturating_add(place);
        // The work before the node's range.
        let mut before: i64 = 0;
        let mut above = node;
        while above > 1 {
            if above % 2 == 1 {
                before = before.saturating_add(self.node(above.saturating_sub(1)).work);
            }
            above /= 2;
        }
        // To the right until a range holds it.
        while before.saturating_add(self.node(node).least) > most {
            before = before.saturating_add(self.node(node).work);
            while node % 2 == 1 {
                node /= 2;
                if node == 0 {
                    return None;
                }
            }
            node = node.saturating_add(1);
        }
        // And down to the gap.
        while node < self.leaves {
            node = node.saturating_mul(2);
            let left = self.node(node);
            if before.saturating_add(left.least) > most {
                before = before.saturating_add(left.work);
                node = node.saturating_add(1);
            }
        }
        Some((node.checked_sub(self.leaves)?, before.saturating_add(self.node(node).work)))
    }
}

/// A time below 2⁶¹ ns.
fn signed(time: u64) -> Result<i64, NoBound> {
    i64::try_from(time).ok().filter(|time| *time < RANGE).ok_or(NoBound::Overflow)
}
