//! Where to cut so that no segment takes longer than it may.

use super::Cutter;
use crate::onnx::measured::Matched;
use crate::onnx::shapes::Shapes;
use crate::onnx::{Checked, findings};
use std::collections::HashMap;

impl Cutter<'_> {
    /// Boundaries such that the times of each segment's nodes sum to at most `limit_ns`: as few segments as possible,
    /// and of these cuts one whose boundaries carry the fewest bytes in all.
    ///
    /// A node's time is the longest that was measured. The sum bounds the nodes one after the other; a segment's own WCET
    /// is measured on the segment.
    ///
    /// # Errors
    /// Every node without a time or above the limit, and every value that crosses a boundary and has no known size.
    pub fn within(&self, limit_ns: u64, measured: &Matched, shapes: &Shapes) -> Checked<Vec<usize>> {
        let mut found = Vec::new();
        let mut times = Vec::with_capacity(self.work.len());
        let mut without = Vec::new();
        for (at, position) in self.work.iter().enumerate() {
            match measured.node(*position).map(|measure| measure.longest_ns) {
                None => without.push(self.label(at)),
                Some(time) => {
                    if time > limit_ns {
                        found.push(findings::too_long(self.model.file(), &self.label(at), time, limit_ns));
                    }
                    times.push(time);
                }
            }
        }
        if !without.is_empty() {
            let first: Vec<&str> = without.iter().take(8).map(String::as_str).collect();
            let message = format!("{} nodes have no time in the profile: {}", without.len(), first.join(", "));
            found.push(findings::profile(measured.file(), message));
        }
        let sizes = self.sizes(shapes).unwrap_or_else(|unknown| {
            found.extend(unknown);
            HashMap::new()
        });
        if !found.is_empty() {
            return Err(found);
        }
        Ok(fewest(&times, &self.carried_bytes(&sizes), limit_ns))
    }

    /// The bytes that each boundary carries, from 0 (before the first node) to the number of working nodes.
    fn carried_bytes(&self, sizes: &HashMap<&str, u64>) -> Vec<u128> {
        let mut change = vec![0_i128; self.work.len() + 2];
        for (name, crossing) in &self.values {
            let bytes = i128::from(sizes.get(name).copied().unwrap_or(0));
            let boundaries = crossing.boundaries();
            for (boundary, bytes) in [(boundaries.start, bytes), (boundaries.end, -bytes)] {
                if let Some(change) = change.get_mut(boundary) {
                    *change += bytes;
                }
            }
        }
        let mut live = 0_i128;
        let sum = |change| {
            live += change;
            u128::try_from(live).unwrap_or(0)
        };
        change.into_iter().take(self.work.len() + 1).map(sum).collect()
    }
}

/// The best way to cut the first nodes.
#[derive(Clone, Copy)]
struct Best {
    /// The number of segments, then the bytes that their boundaries carry.
    cost: (usize, u128),
    /// Where the last segment begins.
    from: usize,
}

/// The boundaries of the cheapest cut; every time is at most `limit`.
///
/// `best(j) = min over i < j with times[i..j] ≤ limit of best(i) + (1, carried(i))`, where boundary 0 costs nothing.
pub(super) fn fewest(times: &[u64], carried: &[u128], limit: u64) -> Vec<usize> {
    let mut best = vec![Best { cost: (0, 0), from: 0 }];
    for end in 1..=times.len() {
        let mut sum = 0_u64;
        let mut cheapest: Option<Best> = None;
        for from in (0..end).rev() {
            let Some(next) = times.get(from).and_then(|time| sum.checked_add(*time)).filter(|sum| *sum <= limit) else {
                break;
            };
            sum = next;
            let Some((before, bytes)) = best.get(from).zip(carried.get(from)) else { break };
            let bytes = if from == 0 { 0 } else { *bytes };
            let cost = (before.cost.0 + 1, before.cost.1 + bytes);
            if cheapest.is_none_or(|cheapest| cost < cheapest.cost) {
                cheapest = Some(Best { cost, from });
            }
        }
        // Only a node above the limit has no cut; callers exclude it.
        best.push(cheapest.unwrap_or(Best { cost: (usize::MAX / 2, 0), from: end - 1 }));
    }
    let mut boundaries = Vec::new();
    let mut end = times.len();
    while let Some(from) = best.get(end).map(|best| best.from).filter(|from| *from > 0) {
        boundaries.push(from);
        end = from;
    }
    boundaries.reverse();
    boundaries
}

#[cfg(test)]
mod tests {
    use super::fewest;

    /// Every set of boundaries, tried.
    fn exhaustive(times: &[u64], carried: &[u128], limit: u64) -> (usize, u128) {
        let n = times.len();
        let cost = |mask: u32| {
            let boundaries: Vec<usize> = (1..n).filter(|at| mask & (1 << at) != 0).collect();
            let ends = boundaries.iter().copied().chain([n]);
            let starts = [0].into_iter().chain(boundaries.iter().copied());
            let fits = starts.zip(ends).all(|(start, end)| times[start..end].iter().sum::<u64>() <= limit);
            fits.then(|| (boundaries.len() + 1, boundaries.iter().map(|at| carried[*at]).sum()))
        };
        (0..1_u32 << n).filter(|mask| mask & 1 == 0).filter_map(cost).min().unwrap()
    }

    #[test]
    fn no_cut_has_fewer_segments_or_carries_less() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let n = random.usize(1..=11);
            let times: Vec<u64> = (0..n).map(|_| random.u64(0..20)).collect();
            let carried: Vec<u128> = (0..=n).map(|_| random.u128(0..50)).collect();
            let limit = times.iter().max().unwrap() + random.u64(0..40);
            let boundaries = fewest(&times, &carried, limit);
            let mut last = 0;
            for end in boundaries.iter().copied().chain([n]) {
                assert!(last < end && times[last..end].iter().sum::<u64>() <= limit);
                last = end;
            }
            let cost = (boundaries.len() + 1, boundaries.iter().map(|at| carried[*at]).sum::<u128>());
            assert_eq!(cost, exhaustive(&times, &carried, limit), "{times:?} {carried:?} {limit}");
        }
    }
}
