//! How well a fit fits, and how far its bounds may be off, by drawing from it again and again.
//!
//! The statistic is A. W. Anderson and D. A. Darling's; with fitted parameters its distribution depends on the shape (V. Choulakian
//! and M. A. Stephens, "Goodness-of-fit tests for the generalized Pareto distribution", Technometrics 43 (2001), tabulate it for
//! estimates of maximum likelihood). Here each replicate is fitted as the peaks were, so that no table is needed.

use super::pareto::Pareto;
use super::real;

/// How many replicates.
const REPLICATES: usize = 1_000;
/// Which one of 1,000 bounds of replicates is the bound, from the smallest. They spread less than they should, since each is drawn
/// from an estimate: the 995th covers what it is to cover in at least 95 % of cases, which `codegen/tests/tail.rs` counts.
const RANK: usize = 995;
/// What is drawn is the same each time.
const SEED: u64 = 0x05EE_DED7_A110_CA57;
/// Probabilities below count as this: an observation beyond the end of a fit would otherwise make the statistic infinite.
const LEAST: f64 = 1e-12;

/// What the replicates say of a fit.
pub(super) struct Judged {
    /// The statistic of the fit.
    pub(super) statistic: f64,
    /// The part of replicates whose statistic is at least as great.
    pub(super) p_value: f64,
    /// For each probability what an excess exceeds with it, at most.
    pub(super) bounds: Vec<f64>,
}

/// Judges the fit of `excesses`, ascending; bounds are for these probabilities among excesses.
pub(super) fn judge(excesses: &[f64], fit: Pareto, probabilities: impl Iterator<Item = f64>) -> Judged {
    let probabilities: Vec<f64> = probabilities.map(|probability| probability.min(1.0)).collect();
    let statistic = anderson_darling(excesses, fit);
    let mut random = Random(SEED);
    let mut as_great: usize = 0;
    let mut bounds: Vec<Vec<f64>> = vec![Vec::with_capacity(REPLICATES); probabilities.len()];
    let mut replicate = vec![0.0; excesses.len()];
    for _ in 0..REPLICATES {
        replicate.iter_mut().for_each(|excess| *excess = fit.exceeded_with(random.chance()));
        replicate.sort_unstable_by(f64::total_cmp);
        let refit = Pareto::fit(&replicate);
        as_great += usize::from(refit.is_none_or(|refit| anderson_darling(&replicate, refit) >= statistic));
        for (bounds, probability) in bounds.iter_mut().zip(&probabilities) {
            bounds.push(refit.map_or(f64::INFINITY, |refit| refit.endless().exceeded_with(*probability)));
        }
    }
    let bound = |(mut bounds, probability): (Vec<f64>, &f64)| {
        bounds.sort_unstable_by(f64::total_cmp);
        let upper = bounds.get(REPLICATES * RANK / 1_000 - 1).copied().unwrap_or(f64::INFINITY);
        upper.max(fit.endless().exceeded_with(*probability))
    };
    Judged {
        statistic,
        p_value: (real(as_great) + 1.0) / (real(REPLICATES) + 1.0),
        bounds: bounds.into_iter().zip(&probabilities).map(bound).collect(),
    }
}

/// A² = −n − (1/n) Σ (2i − 1) (ln F(xᵢ) + ln (1 − F(xₙ₊₁₋ᵢ))), with the excesses ascending.
fn anderson_darling(excesses: &[f64], fit: Pareto) -> f64 {
    let n = real(excesses.len());
    let above: Vec<f64> = excesses.iter().map(|excess| fit.survival(*excess)).collect();
    let pairs = (0_usize..).zip(above.iter().zip(above.iter().rev()));
    let terms = pairs
        .map(|(place, (low, high))| (2.0 * real(place) + 1.0) * ((1.0 - low).max(LEAST).ln() + high.max(LEAST).ln()));
    (-n - terms.sum::<f64>() / n).max(0.0)
}

/// SplitMix64, after G. L. Steele, D. Lea and C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1, neither of them included.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn chance(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Random, anderson_darling};
    use crate::tail::pareto::Pareto;

    #[test]
    fn the_generator_is_splitmix64() {
        // The first numbers of the reference implementation from the seed 1234567.
        let mut random = Random(1_234_567);
        let drawn = [random.next(), random.next(), random.next()];
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn a_statistic_is_small_where_the_fit_is_the_distribution() {
        let exponential = Pareto { shape: 0.0, scale: 1.0 };
        let exact: Vec<f64> =
            (1..=100).rev().map(|rank| exponential.exceeded_with((f64::from(rank) - 0.5) / 100.0)).collect();
        assert!(anderson_darling(&exact, exponential) < 0.02);
        assert!(anderson_darling(&exact, Pareto { shape: 0.0, scale: 2.0 }) > 5.0);
        let ends_below = Pareto { shape: -1.0, scale: 1.0 };
        assert!(anderson_darling(&exact, ends_below).is_finite());
    }
}
