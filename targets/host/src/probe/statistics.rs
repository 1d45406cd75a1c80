//! The figures of a series of measurements.

use serde::Serialize;

/// What a series of durations looks like, in nanoseconds; percentiles by nearest rank.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Stats {
    /// How many there are.
    pub runs: u64,
    /// The shortest.
    pub min_ns: u64,
    /// The mean, rounded down.
    pub mean_ns: u64,
    /// Half of them are at most this long.
    pub p50_ns: u64,
    /// 99 of 100 are at most this long.
    pub p99_ns: u64,
    /// 999 of 1,000 are at most this long.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Stats {
    /// The figures of a series; all 0 for an empty one.
    #[must_use]
    pub fn of(mut series: Vec<u64>) -> Self {
        series.sort_unstable();
        let runs = u64::try_from(series.len()).unwrap_or(u64::MAX);
        let total: u128 = series.iter().copied().map(u128::from).sum();
        let mean = total.checked_div(u128::from(runs)).unwrap_or(0);
        let rank = |per_mille: usize| {
            let position = series.len().saturating_mul(per_mille).div_ceil(1_000).saturating_sub(1);
            series.get(position).copied().unwrap_or(0)
        };
        Self {
            runs,
            min_ns: series.first().copied().unwrap_or(0),
            mean_ns: u64::try_from(mean).unwrap_or(u64::MAX),
            p50_ns: rank(500),
            p99_ns: rank(990),
            p999_ns: rank(999),
            max_ns: series.last().copied().unwrap_or(0),
        }
    }
}

/// The largest of a series, from which the generator fits its tail.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Upper {
    /// How long the whole series is.
    pub observations: u64,
    /// Where in the series each of them is, from 0: what follows each other is not independent.
    pub at: Vec<u64>,
    /// The largest tenth, at most 1,000, and one more, longest first.
    pub times_ns: Vec<u64>,
}

impl Upper {
    /// The largest of a series, which is in the order of its measurement.
    #[must_use]
    pub(super) fn of(series: &[u64]) -> Self {
        let most = series.len().div_ceil(10).min(1_000).saturating_add(1);
        let mut ranked: Vec<(u64, u64)> = (0..).zip(series.iter().copied()).collect();
        ranked.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        ranked.truncate(most);
        Self {
            observations: u64::try_from(series.len()).unwrap_or(u64::MAX),
            at: ranked.iter().map(|(at, _)| *at).collect(),
            times_ns: ranked.iter().map(|(_, time)| *time).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Stats, Upper};

    #[test]
    fn the_largest_tenth_keeps_its_places() {
        let upper = Upper::of(&(0..30).map(|n| n * 7 % 30).collect::<Vec<u64>>());
        assert_eq!((upper.observations, upper.times_ns, upper.at), (30, vec![29, 28, 27, 26], vec![17, 4, 21, 8]));
        assert_eq!(Upper::of(&(0..50_000).collect::<Vec<u64>>()).times_ns.len(), 1_001);
        assert_eq!(Upper::of(&[5, 9, 5]).times_ns, [9, 5]);
        assert!(Upper::of(&[]).times_ns.is_empty());
    }

    #[test]
    fn percentiles_are_members_of_the_series() {
        let stats = Stats::of((1..=1_000).rev().collect());
        assert_eq!((stats.runs, stats.min_ns, stats.mean_ns), (1_000, 1, 500));
        assert_eq!((stats.p50_ns, stats.p99_ns, stats.p999_ns, stats.max_ns), (500, 990, 999, 1_000));
        let one = Stats::of(vec![7]);
        assert_eq!((one.p50_ns, one.p999_ns, one.max_ns), (7, 7, 7));
        assert_eq!(Stats::of(Vec::new()), Stats::default());
    }
}
