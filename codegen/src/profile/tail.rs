//! What a profile says of the tail of a segment's execution times.

use super::SegmentFacts;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// The probabilities of exceedance for which a tail has bounds: 10⁻³ to 10⁻¹², as exponents.
pub const TAIL_EXPONENTS: RangeInclusive<u8> = 3..=12;

/// The upper tail of a series of execution times, as `aegis profile` fitted it ([theory](../../../docs/theory/tail.md)).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tail {
    /// Whether it bounds anything; otherwise `why` says why not.
    pub accepted: bool,
    /// Why it bounds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The length of the series.
    pub observations: u64,
    /// The threshold u above which the tail begins.
    pub threshold_ns: u64,
    /// How many observations are above it.
    pub exceedances: u64,
    /// Which part of them can count as independent, in millionths: the extremal index.
    pub extremal_index_ppm: u64,
    /// The longest ones of the clusters that they form: what is fitted.
    pub peaks: u64,
    /// By exponent, from 10⁻³ to 10⁻¹²: what an execution exceeds with at most that probability. Empty unless accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds_ns: Vec<u64>,
    /// The fitted distribution, where there were enough peaks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<TailFit>,
}

/// A generalized Pareto distribution of what peaks exceed the threshold by, and how well it fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TailFit {
    /// The shape ξ, in millionths; above zero where the tail is heavier than an exponential one.
    pub shape_ppm: i64,
    /// The scale σ.
    pub scale_ns: u64,
    /// The statistic of Anderson and Darling, in millionths.
    pub anderson_darling_ppm: u64,
    /// How likely so great a statistic is if the distribution is that one, in millionths.
    pub p_value_ppm: u64,
}

impl Tail {
    /// What an execution exceeds with a probability of at most 10^−`exponent`; `None` where the tail bounds nothing.
    #[must_use]
    pub fn bound(&self, exponent: u8) -> Option<u64> {
        let place = usize::from(exponent.checked_sub(*TAIL_EXPONENTS.start())?);
        self.bounds_ns.get(place).copied().filter(|_| self.accepted)
    }

    /// Whether its parts agree with each other and with the length of the series: a bound for each exponent exactly where it is
    /// accepted, none of them below the threshold or below that of a greater probability, and otherwise a reason.
    #[must_use]
    pub fn is_consistent(&self, runs: u64) -> bool {
        let counts = self.observations == runs && self.peaks <= self.exceedances && self.exceedances <= runs;
        let rest = if self.accepted {
            let first = self.bounds_ns.first();
            let ascending = self.bounds_ns.is_sorted() && first.is_some_and(|bound| *bound >= self.threshold_ns);
            self.why.is_none() && self.fit.is_some() && ascending && self.bounds_ns.len() == TAIL_EXPONENTS.count()
        } else {
            self.why.is_some() && self.bounds_ns.is_empty()
        };
        counts && rest
    }
}

impl SegmentFacts {
    /// What an execution exceeds with a probability of at most 10^−`exponent`, never below the longest that was observed.
    ///
    /// # Errors
    /// Why there is no such bound.
    pub fn tail_bound(&self, exponent: u8) -> Result<u64, String> {
        let tail = self.tail.as_ref().ok_or("it was measured without one")?;
        match tail.bound(exponent) {
            Some(bound) => Ok(bound.max(self.longest_ns())),
            None => Err(tail.why.clone().unwrap_or_else(|| format!("it has no bound for 1e-{exponent}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tail, TailFit};

    #[test]
    fn a_tail_has_ten_ascending_bounds_or_a_reason() {
        let fit = TailFit { shape_ppm: 100_000, scale_ns: 10, anderson_darling_ppm: 500_000, p_value_ppm: 300_000 };
        let tail = Tail {
            accepted: true,
            why: None,
            observations: 1_000,
            threshold_ns: 90,
            exceedances: 100,
            extremal_index_ppm: 1_000_000,
            peaks: 95,
            bounds_ns: (100..110).collect(),
            fit: Some(fit),
        };
        assert!(tail.is_consistent(1_000) && !tail.is_consistent(999));
        assert_eq!(
            [2, 3, 9, 12, 13].map(|exponent| tail.bound(exponent)),
            [None, Some(100), Some(106), Some(109), None]
        );
        assert!(!Tail { bounds_ns: (99..108).collect(), ..tail.clone() }.is_consistent(1_000), "nine");
        assert!(!Tail { bounds_ns: (100..110).rev().collect(), ..tail.clone() }.is_consistent(1_000));
        assert!(!Tail { threshold_ns: 101, ..tail.clone() }.is_consistent(1_000));
        assert!(!Tail { why: Some("it is refused".to_owned()), ..tail.clone() }.is_consistent(1_000));
        let refused = Tail { accepted: false, ..tail };
        assert!(!refused.is_consistent(1_000) && refused.bound(3).is_none());
        let refused = Tail { bounds_ns: Vec::new(), why: Some("too few".to_owned()), ..refused };
        assert!(refused.is_consistent(1_000));
        let text = toml::to_string(&refused).unwrap();
        assert_eq!(toml::from_str::<Tail>(&text).unwrap(), refused);
    }
}
