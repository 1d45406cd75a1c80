//! The upper tail of a series of execution times: a generalized Pareto distribution of its peaks over a threshold.
//!
//! ```text
//! largest observations ─▶ threshold ─▶ clusters ─▶ peaks ─▶ fit ─▶ does it fit? ─▶ bounds by a bootstrap
//!                             ▲                                        │ no
//!                             └────── half as many exceedances ◀───────┘
//! ```
//!
//! `docs/theory/tail.md` has the assumptions, the sources and what a bound says. Everything is computed where a profile is written;
//! who reads the profile reads integers.

mod bootstrap;
mod clusters;
pub mod exceeded;
mod pareto;

use crate::profile::{TAIL_EXPONENTS, Tail, TailFit};
use serde::Deserialize;

/// The fewest peaks that are fitted.
pub const LEAST_PEAKS: usize = 50;
/// The heaviest shape for which bounds are given is below this: from here on the estimator has no variance.
pub const HEAVIEST_SHAPE: f64 = 0.5;
/// A fit whose statistic is less likely than this is refused.
pub const LEAST_P_VALUE: f64 = 0.05;
/// How many standard deviations the number of peaks of one half may be from half of all; by chance it is further in one of 1,000.
const DRIFT: f64 = 3.29;

/// The largest observations of a series.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct Sample {
    /// The length of the whole series.
    pub observations: u64,
    /// The positions of the largest in the series, from 0, in the order of `times_ns`.
    pub at: Vec<u64>,
    /// The largest, in nanoseconds, the longest first; any that equal the last one may be missing.
    pub times_ns: Vec<u64>,
}

impl Sample {
    /// The largest tenth of a series, at most 1,000, and one more, as a probe tells them.
    #[must_use]
    pub fn of(series: &[u64]) -> Self {
        let mut ranked: Vec<(u64, u64)> = (0..).zip(series.iter().copied()).collect();
        ranked.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        ranked.truncate(series.len().div_ceil(10).min(1_000) + 1);
        Self {
            observations: u64::try_from(series.len()).unwrap_or(u64::MAX),
            at: ranked.iter().map(|(at, _)| *at).collect(),
            times_ns: ranked.iter().map(|(_, time)| *time).collect(),
        }
    }

    /// Whether it can be what it says: as many positions as times, each of the series and none twice, longest first.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let mut at = self.at.clone();
        at.sort_unstable();
        at.len() == self.times_ns.len()
            && at.is_sorted_by(|one, next| one < next)
            && at.last().is_none_or(|last| *last < self.observations)
            && self.times_ns.is_sorted_by(|one, next| one >= next)
    }
}

/// Fits the tail of a series. The threshold is as low as a fit allows: with the whole sample above it, then with half, and so on.
#[must_use]
pub fn of(sample: &Sample) -> Tail {
    let mut above = sample.times_ns.len().saturating_sub(1);
    let (mut tail, mut refused) = at_threshold(sample, above);
    // Only a poor fit is a reason to look further up: to pick thresholds by their shapes would favour light ones.
    while refused == Some(Refused::Fit) && above / 2 >= LEAST_PEAKS {
        above /= 2;
        let (next, why) = at_threshold(sample, above);
        // That it does not fit further down is told rather than that there is too little further up.
        if why == Some(Refused::Peaks) {
            break;
        }
        (tail, refused) = (next, why);
    }
    tail
}

/// Why there are no bounds, as far as it matters for another threshold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refused {
    Peaks,
    Fit,
    Otherwise,
}

/// The tail above the observation that `above` of the sample precede, and why it is refused if it is.
fn at_threshold(sample: &Sample, above: usize) -> (Tail, Option<Refused>) {
    let threshold = sample.times_ns.get(above).copied().unwrap_or(0);
    let observed = sample.at.iter().copied().zip(sample.times_ns.iter().copied());
    let mut exceedances: Vec<(u64, u64)> = observed.take_while(|(_, time)| *time > threshold).collect();
    exceedances.sort_unstable();
    let clusters = clusters::of(&exceedances);
    let mut tail = Tail {
        accepted: false,
        why: None,
        observations: sample.observations,
        threshold_ns: threshold,
        exceedances: count(exceedances.len()),
        extremal_index_ppm: ppm(clusters.extremal_index).unwrap_or(0),
        peaks: count(clusters.peaks.len()),
        bounds_ns: Vec::new(),
        fit: None,
    };
    let refuse = |tail: Tail, why: String, kind| (Tail { why: Some(why), ..tail }, Some(kind));
    let peaks = clusters.peaks.len();
    if peaks < LEAST_PEAKS {
        let why = format!(
            "{} observations are above the threshold in {peaks} independent clusters, a fit needs {LEAST_PEAKS}",
            exceedances.len()
        );
        return refuse(tail, why, Refused::Peaks);
    }
    let mut excesses: Vec<u64> = clusters.peaks.iter().map(|(_, time)| time.saturating_sub(threshold)).collect();
    excesses.sort_unstable();
    let mut different = excesses.clone();
    different.dedup();
    if different.len() * 2 < peaks {
        let why = format!(
            "{peaks} peaks have only {} different lengths, which no continuous distribution has",
            different.len()
        );
        return refuse(tail, why, Refused::Otherwise);
    }
    let early = clusters.peaks.iter().filter(|(at, _)| *at < sample.observations / 2).count();
    let (all, half) = (real(peaks), real(early) * 2.0);
    if (half - all).abs() > DRIFT * all.sqrt() {
        let late = peaks - early;
        let why = format!("the series drifts: {early} of its peaks lie in its first half, {late} in its second");
        return refuse(tail, why, Refused::Otherwise);
    }
    let excesses: Vec<f64> = excesses.into_iter().map(whole).collect();
    let Some(fitted) = pareto::Pareto::fit(&excesses) else {
        return refuse(tail, "its peaks have no moments to fit".to_owned(), Refused::Otherwise);
    };
    let seen = whole(sample.observations) / real(exceedances.len());
    let judged =
        bootstrap::judge(&excesses, fitted, TAIL_EXPONENTS.map(|exponent| seen * 10_f64.powi(-i32::from(exponent))));
    let parts = (ppm(fitted.shape.abs()), up(fitted.scale), ppm(judged.statistic), ppm(judged.p_value));
    let (Some(shape), Some(scale_ns), Some(anderson_darling_ppm), Some(p_value_ppm)) = parts else {
        return refuse(tail, "its fit leaves the range of numbers".to_owned(), Refused::Otherwise);
    };
    let shape = i64::try_from(shape).unwrap_or(i64::MAX);
    let shape_ppm = if fitted.shape < 0.0 { -shape } else { shape };
    tail.fit = Some(TailFit { shape_ppm, scale_ns, anderson_darling_ppm, p_value_ppm });
    if fitted.shape >= HEAVIEST_SHAPE {
        let why =
            format!("the tail is too heavy: its shape is {:.3}, bounds are given below {HEAVIEST_SHAPE}", fitted.shape);
        return refuse(tail, why, Refused::Otherwise);
    }
    if judged.p_value < LEAST_P_VALUE {
        let why = format!(
            "no generalized Pareto distribution fits: the p-value is {:.3}, at least {LEAST_P_VALUE} is needed",
            judged.p_value
        );
        return refuse(tail, why, Refused::Fit);
    }
    let bounds = judged.bounds.iter().map(|excess| threshold.checked_add(up(*excess)?));
    let Some(bounds) = bounds.collect::<Option<Vec<u64>>>() else {
        return refuse(tail, "its bounds leave the range of numbers".to_owned(), Refused::Otherwise);
    };
    (Tail { accepted: true, bounds_ns: bounds, ..tail }, None)
}

/// A count of observations.
fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A count as a real number.
#[expect(clippy::cast_precision_loss, reason = "a sample has at most some thousands")]
fn real(count: usize) -> f64 {
    count as f64
}

/// A time as a real number, exact below 2⁵³ ns, which are 104 days.
#[expect(clippy::cast_precision_loss, reason = "times and counts of measurements lie far below 2^53")]
fn whole(time: u64) -> f64 {
    time as f64
}

/// A number that is not below zero as a whole one, rounded up; `None` beyond 2⁵³, where not every whole number exists.
fn up(number: f64) -> Option<u64> {
    const END: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and within the range")]
    (0.0..END).contains(&number).then(|| number.ceil() as u64)
}

/// A number that is not below zero in millionths, to the nearest.
fn ppm(number: f64) -> Option<u64> {
    up((number * 1e6).round())
}

#[cfg(test)]
mod tests;
