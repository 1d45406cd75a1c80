//! Heights that no plan undercuts, each with buffers that show why: a ladder of ever stronger and ever slower bounds.
//!
//! 1. *Pinned*: a pinned buffer ends where it ends.
//! 2. *Live*: buffers that are live at one instant lie above each other, so their sizes add up.
//! 3. *Aligned*: every offset is a multiple of the smallest alignment a among them, so all but the topmost of them take
//!    their size rounded up to a. The buffers of larger alignment alone may give more: each alignment is tried.
//! 4. *Clique*: buffers that conflict pairwise lie above each other even where they are never all live at once, which
//!    lifespans with gaps make possible (intervals have the Helly property, so without gaps 3 is already this).

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "sums are at most 2^62, see `Problem`")]

use super::clique;
use super::conflicts::{Conflicts, index};
use super::problem::{Buffer, Problem};

/// A height that no plan undercuts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bound {
    /// The height in bytes.
    pub height: u64,
    /// The buffers that show it, in order: they conflict pairwise, or it is one pinned buffer.
    pub witness: Vec<usize>,
    /// An instant at which all of them are live, if there is one.
    pub instant: Option<i64>,
}

/// How many nodes the search for a clique looks at, at most.
const CLIQUE_NODES: u64 = 200_000;

/// The strongest bound that is found.
pub(super) fn strongest(problem: &Problem, conflicts: Option<&Conflicts>) -> Bound {
    let buffers = problem.buffers();
    let mut best = vec![];
    let mut height = 0;
    let mut consider = |witness: Vec<usize>| {
        let found = of_clique(buffers, &witness);
        if found > height {
            height = found;
            best = witness;
        }
    };
    match conflicts {
        Some(conflicts) => {
            for section in conflicts.members.iter() {
                consider(section.iter().map(|at| index(*at)).collect());
            }
            if problem.has_gaps()
                && let Some(clique) = clique::heaviest(buffers, conflicts, CLIQUE_NODES)
            {
                consider(clique);
            }
        }
        None => consider(fullest(buffers)),
    }
    let mut bound = Bound { height, witness: best, instant: None };
    for (position, buffer) in buffers.iter().enumerate() {
        let end = buffer.pinned.map_or(0, |offset| offset + buffer.size);
        if end > bound.height {
            bound = Bound { height: end, witness: vec![position], instant: None };
        }
    }
    bound.instant = common_instant(buffers, &bound.witness);
    bound
}

/// What buffers that conflict pairwise need at least, by alignments.
pub(super) fn of_clique(buffers: &[Buffer], clique: &[usize]) -> u64 {
    let mut alignments: Vec<u64> = clique.iter().map(|at| buffers[*at].alignment).collect();
    alignments.sort_unstable();
    alignments.dedup();
    let bound = |alignment: &u64| {
        let members = clique.iter().map(|at| &buffers[*at]).filter(|buffer| buffer.alignment >= *alignment);
        let (mut sum, mut most_slack) = (0, 0);
        for buffer in members {
            let taken = buffer.size.next_multiple_of(*alignment);
            sum += taken;
            most_slack = most_slack.max(taken - buffer.size);
        }
        // The topmost needs only its size; it is the one that saves most.
        sum - most_slack
    };
    alignments.iter().map(bound).max().unwrap_or(0)
}

/// The buffers that are live where the sum of sizes is largest, without listing any conflict.
fn fullest(buffers: &[Buffer]) -> Vec<usize> {
    let mut events: Vec<(i64, bool, u64)> = Vec::new();
    for buffer in buffers.iter().filter(|buffer| buffer.size > 0) {
        let size = buffer.size.next_multiple_of(buffer.alignment);
        for range in &buffer.live {
            events.push((range.start, true, size));
            events.push((range.end, false, size));
        }
    }
    events.sort_unstable();
    let (mut sum, mut most, mut at) = (0, 0, None);
    for (instant, begins, size) in events {
        if begins {
            sum += size;
            if sum > most {
                (most, at) = (sum, Some(instant));
            }
        } else {
            sum -= size;
        }
    }
    let Some(at) = at else { return Vec::new() };
    let is_live = |buffer: &Buffer| buffer.size > 0 && buffer.live.iter().any(|range| range.contains(&at));
    (0..buffers.len()).filter(|position| is_live(&buffers[*position])).collect()
}

/// The first instant at which all of some buffers are live.
fn common_instant(buffers: &[Buffer], members: &[usize]) -> Option<i64> {
    let candidates = members.iter().flat_map(|at| buffers[*at].live.iter().map(|range| range.start));
    let all_live = |t: &i64| members.iter().all(|at| buffers[*at].live.iter().any(|range| range.contains(t)));
    candidates.filter(all_live).min()
}

#[cfg(test)]
mod tests {
    use super::{Bound, of_clique, strongest};
    use crate::memory::solver::conflicts::Conflicts;
    use crate::memory::solver::problem::{Buffer, Problem};

    fn bound(buffers: Vec<Buffer>) -> Bound {
        let problem = Problem::new(buffers).unwrap();
        let listed = strongest(&problem, Conflicts::of(problem.buffers()).as_ref());
        assert!(listed.height >= strongest(&problem, None).height);
        listed
    }

    #[test]
    fn the_fullest_instant_is_the_witness() {
        let found = bound(vec![Buffer::new(4, 0..3), Buffer::new(5, 2..6), Buffer::new(7, 3..4), Buffer::new(1, 5..9)]);
        assert_eq!(found, Bound { height: 12, witness: vec![1, 2], instant: Some(3) });
    }

    #[test]
    fn alignment_rounds_up_all_but_the_best_topmost() {
        let buffers =
            [Buffer::new(5, 0..1).aligned(4), Buffer::new(6, 0..1).aligned(4), Buffer::new(7, 0..1).aligned(4)];
        assert_eq!(of_clique(&buffers, &[0, 1, 2]), 8 + 8 + 8 - 3);
        // Alone the two large ones need 16 + 1; the small one fits between them.
        let mixed = [Buffer::new(1, 0..1).aligned(16), Buffer::new(1, 0..1).aligned(16), Buffer::new(2, 0..1)];
        assert_eq!(of_clique(&mixed, &[0, 1, 2]), 17);
    }

    #[test]
    fn pairwise_conflicts_count_although_no_instant_has_all() {
        let twice = |first, second| Buffer { live: vec![first, second], ..Buffer::new(3, 0..1) };
        let found = bound(vec![twice(0..1, 2..3), twice(0..1, 4..5), twice(2..3, 4..5)]);
        assert_eq!(found, Bound { height: 9, witness: vec![0, 1, 2], instant: None });
    }

    #[test]
    fn a_pinned_buffer_bounds_from_above_its_offset() {
        let found = bound(vec![Buffer { pinned: Some(100), ..Buffer::new(4, 0..1) }, Buffer::new(9, 0..1)]);
        assert_eq!((found.height, found.witness), (104, vec![0]));
    }
}
