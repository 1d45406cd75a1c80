//! Remembers states of the search from which nothing fits.
//!
//! A state is the set of buffers still to be placed with their heads. If nothing fits above some heads, nothing fits above
//! higher ones: a state is covered by a failed one of the same buffers whose heads are nowhere higher. The sets are
//! compared whole, not by a hash alone, because a wrong "covered" would prove too high a bound.

#![allow(clippy::indexing_slicing, reason = "positions of tables that the search made")]

use super::conflicts::index;
use std::collections::HashMap;

/// The most heads that are remembered, in all.
const MOST_HEADS: usize = 4_000_000;
/// The most states of one set.
const MOST_STATES: usize = 16;
/// Smaller sets are searched faster than found.
const LEAST_BUFFERS: usize = 3;

/// The heads of a state, in the order of its buffers.
type Heads = Box<[u64]>;

/// The memory of one attempt.
#[derive(Default)]
pub(super) struct Failed {
    states: HashMap<Box<[u32]>, Vec<Heads>>,
    heads: usize,
}

impl Failed {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Whether a remembered state shows that nothing fits; `from` is the last choice's offset, below which nothing more is
    /// placed.
    pub(super) fn covers(&self, members: &[u32], heads: &[u64], from: u64) -> bool {
        let Some(states) = self.states.get(members) else { return false };
        let lower =
            |state: &Heads| state.iter().zip(members).all(|(failed, at)| *failed <= heads[index(*at)].max(from));
        states.iter().any(lower)
    }

    /// Remembers a state from which nothing fits, as long as there is room.
    pub(super) fn add(&mut self, members: &[u32], heads: &[u64]) {
        if members.len() < LEAST_BUFFERS || self.heads.saturating_add(members.len()) > MOST_HEADS {
            return;
        }
        let state: Heads = members.iter().map(|at| heads[index(*at)]).collect();
        let states = self.states.entry(members.into()).or_default();
        if states.len() < MOST_STATES {
            self.heads = self.heads.saturating_add(members.len());
            states.push(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Failed;

    #[test]
    fn only_a_state_of_the_same_buffers_with_heads_nowhere_lower_is_covered() {
        let mut failed = Failed::new();
        failed.add(&[0, 1, 2], &[4, 5, 6]);
        assert!(failed.covers(&[0, 1, 2], &[4, 5, 6], 0));
        assert!(failed.covers(&[0, 1, 2], &[4, 9, 6], 0));
        assert!(!failed.covers(&[0, 1, 2], &[4, 4, 6], 0));
        assert!(failed.covers(&[0, 1, 2], &[0, 0, 6], 5), "nothing is placed below 5");
        assert!(!failed.covers(&[0, 1], &[4, 5, 6], 0));
    }
}
