//! The heaviest set of buffers that conflict pairwise: branch and bound over vertices, bounded by a weighted colouring.
//!
//! A colour is a set of buffers without a conflict, of which a clique has at most one: so the heaviest of each colour
//! sum to a bound. The search keeps the best clique it has found, so ending early only weakens the bound that follows
//! from it. Compare S. Held, W. Cook, E. C. Sewell, "Maximum-weight stable sets and safe lower bounds for graph
//! coloring", Mathematical Programming Computation 4 (2012), section 4.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "sums are at most 2^62, see `Problem`")]

use super::conflicts::{Conflicts, index};
use super::problem::Buffer;

/// The heaviest clique that `nodes` steps find, in order; `None` without buffers.
pub(super) fn heaviest(buffers: &[Buffer], conflicts: &Conflicts, nodes: u64) -> Option<Vec<usize>> {
    let step = buffers.iter().map(|buffer| buffer.alignment).min()?;
    let weights: Vec<u64> = buffers.iter().map(|buffer| buffer.size.next_multiple_of(step)).collect();
    let mut search = Search { weights, conflicts, nodes, best: Vec::new(), best_weight: 0 };
    // Sections are cliques: the heaviest is where the search starts from.
    for section in conflicts.members.iter() {
        search.offer(section.iter().map(|at| index(*at)));
    }
    let mut all: Vec<u32> = (0..buffers.len()).map(super::conflicts::number).collect();
    all.sort_by_key(|at| (std::cmp::Reverse(search.weights[index(*at)]), *at));
    search.extend(&mut Vec::new(), 0, &all);
    search.best.sort_unstable();
    Some(search.best)
}

struct Search<'a> {
    weights: Vec<u64>,
    conflicts: &'a Conflicts,
    nodes: u64,
    best: Vec<usize>,
    best_weight: u64,
}

impl Search<'_> {
    fn offer(&mut self, clique: impl Iterator<Item = usize>) {
        let clique: Vec<usize> = clique.collect();
        let weight = clique.iter().map(|at| self.weights[*at]).sum();
        if weight > self.best_weight {
            (self.best, self.best_weight) = (clique, weight);
        }
    }

    /// Extends a clique by some of the candidates, which all conflict with each of its members.
    fn extend(&mut self, clique: &mut Vec<usize>, weight: u64, candidates: &[u32]) {
        if weight > self.best_weight {
            self.offer(clique.clone().into_iter());
        }
        // By colours of growing sums: a candidate can only help where the sum up to its colour exceeds what is missing.
        let mut order = self.coloured(candidates);
        while let Some((at, reach)) = order.pop() {
            if weight + reach <= self.best_weight || self.nodes == 0 {
                return;
            }
            self.nodes -= 1;
            let neighbours = self.conflicts.neighbours.get(index(at));
            let rest = order.iter().map(|(other, _)| *other).filter(|other| neighbours.binary_search(other).is_ok());
            let rest: Vec<u32> = rest.collect();
            clique.push(index(at));
            self.extend(clique, weight + self.weights[index(at)], &rest);
            clique.pop();
        }
    }

    /// The candidates with bounds: no clique of a candidate and those before it weighs more than its bound.
    fn coloured(&self, candidates: &[u32]) -> Vec<(u32, u64)> {
        let mut colours: Vec<(Vec<u32>, u64)> = Vec::new();
        for at in candidates {
            let neighbours = self.conflicts.neighbours.get(index(*at));
            let free = |(members, _): &&mut (Vec<u32>, u64)| {
                members.iter().all(|member| neighbours.binary_search(member).is_err())
            };
            let weight = self.weights[index(*at)];
            match colours.iter_mut().find(free) {
                Some((members, heaviest)) => {
                    members.push(*at);
                    *heaviest = (*heaviest).max(weight);
                }
                None => colours.push((vec![*at], weight)),
            }
        }
        let mut reach = 0;
        let mut order = Vec::with_capacity(candidates.len());
        for (members, heaviest) in colours {
            reach += heaviest;
            order.extend(members.into_iter().map(|at| (at, reach)));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::heaviest;
    use crate::memory::solver::conflicts::Conflicts;
    use crate::memory::solver::problem::Buffer;

    /// The weight of the heaviest clique by all subsets.
    fn oracle(buffers: &[Buffer]) -> u64 {
        let is_clique = |set: u32| {
            let members: Vec<&Buffer> =
                buffers.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, buffer)| buffer).collect();
            let pairs = |at: usize| members[at + 1..].iter().all(|other| members[at].conflicts_with(other));
            (0..members.len()).all(pairs).then(|| members.iter().map(|buffer| buffer.size).sum::<u64>())
        };
        (0..1_u32 << buffers.len()).filter_map(is_clique).max().unwrap_or(0)
    }

    #[test]
    fn the_heaviest_clique_of_small_graphs_is_found() {
        let mut beyond_sections = 0;
        for seed in 0..400 {
            let mut random = fastrand::Rng::with_seed(seed);
            let buffer = |random: &mut fastrand::Rng| {
                let live = (0..10).filter(|_| random.u8(0..10) < 3).map(|at| at..at + 1).collect::<Vec<_>>();
                let live = if live.is_empty() { std::iter::once(0..1).collect() } else { live };
                Buffer { live, ..Buffer::new(random.u64(1..50), 0..1) }
            };
            let buffers: Vec<Buffer> = (0..random.usize(1..11)).map(|_| buffer(&mut random)).collect();
            let conflicts = Conflicts::of(&buffers).unwrap();
            let found = heaviest(&buffers, &conflicts, u64::MAX).unwrap();
            let weight: u64 = found.iter().map(|at| buffers[*at].size).sum();
            assert_eq!(weight, oracle(&buffers), "seed {seed}");
            let section = |s: &[u32]| s.iter().map(|at| buffers[usize::try_from(*at).unwrap()].size).sum::<u64>();
            beyond_sections += u32::from(conflicts.members.iter().map(section).max() < Some(weight));
        }
        assert!(beyond_sections > 20, "only {beyond_sections} cliques have no common instant");
    }
}
