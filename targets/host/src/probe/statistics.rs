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

#[cfg(test)]
mod tests {
    use super::Stats;

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
