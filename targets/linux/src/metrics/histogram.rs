//! Histograms with fixed buckets.

use aegis_core::desc::SystemDesc;

/// The upper bounds of buckets of ratios, in parts per million.
pub const RATIO_BOUNDS: [u64; 14] = [
    100_000, 200_000, 300_000, 400_000, 500_000, 600_000, 700_000, 800_000, 900_000, 1_000_000, 1_100_000, 1_250_000,
    1_500_000, 2_000_000,
];

/// The upper bounds of buckets of times in nanoseconds: the same for all tasks of a plan, so that buckets of several tasks add up.
///
/// They are 1, 2 and 5 times powers of ten, from the last one that is at most a tenth of the shortest WCET, to the first one that
/// is at least twice the longest deadline.
#[must_use]
pub fn time_bounds(system: &SystemDesc) -> Box<[u64]> {
    let shortest = system.tasks.iter().map(|task| task.wcet.as_ns()).min().unwrap_or(0) / 10;
    let longest = system.tasks.iter().map(|task| task.deadline.as_ns()).max().unwrap_or(0).saturating_mul(2);
    let decades = std::iter::successors(Some(1_u64), |decade| decade.checked_mul(10));
    let series = decades.flat_map(|decade| [1, 2, 5].into_iter().filter_map(move |times| decade.checked_mul(times)));
    let series: Vec<u64> = series.collect();
    let from = series.iter().rposition(|bound| *bound <= shortest).unwrap_or(0);
    let to = series.iter().position(|bound| *bound >= longest).unwrap_or(series.len());
    series.into_iter().take(to.saturating_add(1)).skip(from.min(to)).collect()
}

/// How often what was observed lay in each bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Histogram {
    /// Of each bucket alone; the last one is beyond the last bound.
    counts: Box<[u64]>,
    sum: u64,
}

impl Histogram {
    /// Nothing was observed.
    #[must_use]
    pub fn new(bounds: &[u64]) -> Self {
        Self { counts: vec![0; bounds.len().saturating_add(1)].into(), sum: 0 }
    }

    /// Takes one value, in the unit of the bounds, which are those that it was made with. A bound is the largest value of its
    /// bucket.
    pub fn observe(&mut self, bounds: &[u64], value: u64) {
        let bucket = bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |all, count| all.saturating_add(*count))
    }

    /// What they add up to.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// For each bound how many values are at most as great.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> + '_ {
        let within = self.counts.len().saturating_sub(1);
        self.counts.iter().take(within).scan(0_u64, |all, count| {
            *all = all.saturating_add(*count);
            Some(*all)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Histogram, time_bounds};
    use crate::fixture;
    use aegis_core::desc::SystemDesc;

    #[test]
    fn a_bound_is_the_largest_value_of_its_bucket() {
        let bounds = [10, 20, 50];
        let mut histogram = Histogram::new(&bounds);
        for value in [0, 10, 11, 20, 50, 51, 1_000] {
            histogram.observe(&bounds, value);
        }
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [2, 4, 5]);
        assert_eq!((histogram.count(), histogram.sum()), (7, 1_142));
    }

    #[test]
    fn the_bounds_reach_from_a_tenth_of_the_shortest_wcet_to_twice_the_longest_deadline() {
        // WCETs of 2 and 3 ms, deadlines of 10 and 20 ms.
        let bounds = time_bounds(fixture::system(&[(10, 2), (20, 3)]));
        let us: Vec<u64> = bounds.iter().map(|bound| bound / 1_000).collect();
        assert_eq!(us, [200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000]);
    }

    #[test]
    fn a_plan_of_no_time_or_of_all_time_has_bounds() {
        assert_eq!(*time_bounds(&SystemDesc::EMPTY), [1]);
        let bounds = time_bounds(fixture::system(&[(18_446_744_073_709, 1)]));
        assert_eq!((bounds.first(), bounds.last()), (Some(&100_000), Some(&10_000_000_000_000_000_000)));
        assert!(bounds.is_sorted());
    }
}
