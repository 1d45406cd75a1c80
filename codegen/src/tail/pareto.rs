//! The generalized Pareto distribution: P(X > x) = (1 + ξx/σ)^(−1/ξ), and exp(−x/σ) where ξ is 0.

use super::real;

/// Below this a shape counts as 0: the exponential distribution then differs by less than rounding.
const SMALL: f64 = 1e-9;

/// A generalized Pareto distribution of what exceeds a threshold.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Pareto {
    /// ξ.
    pub(super) shape: f64,
    /// σ, more than zero.
    pub(super) scale: f64,
}

impl Pareto {
    /// Fits `excesses`, ascending, by probability-weighted moments: J. R. M. Hosking and J. R. Wallis, "Parameter and quantile
    /// estimation for the generalized Pareto distribution", Technometrics 29 (1987). They write k for −ξ. With a₀ the mean and
    /// a₁ = E[X (1 − F(X))], ξ = 2 − a₀ / (a₀ − 2a₁) and σ = 2a₀a₁ / (a₀ − 2a₁); a₁ by its unbiased estimate. `None` where
    /// they do not exist.
    pub(super) fn fit(excesses: &[f64]) -> Option<Self> {
        let n = excesses.len();
        let mean = excesses.iter().sum::<f64>() / real(n);
        let weighted = (1..).zip(excesses).map(|(rank, excess)| excess * real(n.saturating_sub(rank)));
        let weighted = weighted.sum::<f64>() / (real(n) * real(n.saturating_sub(1)));
        let rest = mean - 2.0 * weighted;
        let found = Self { shape: 2.0 - mean / rest, scale: 2.0 * mean * weighted / rest };
        (rest > 0.0 && found.scale > 0.0 && found.scale.is_finite() && found.shape.is_finite()).then_some(found)
    }

    /// The lightest one with the same mean that has no end: itself, or an exponential one where ξ is below 0.
    pub(super) fn endless(self) -> Self {
        if self.shape < 0.0 { Self { shape: 0.0, scale: self.scale / (1.0 - self.shape) } } else { self }
    }

    /// P(X > x); 0 beyond its end.
    pub(super) fn survival(self, x: f64) -> f64 {
        let x = x / self.scale;
        if self.shape.abs() < SMALL {
            return (-x).exp();
        }
        let inner = self.shape * x;
        if inner <= -1.0 { 0.0 } else { (-inner.ln_1p() / self.shape).exp() }
    }

    /// What is exceeded with the probability `p`, from 0 to 1.
    pub(super) fn exceeded_with(self, p: f64) -> f64 {
        if self.shape.abs() < SMALL {
            -self.scale * p.ln()
        } else {
            self.scale * (-self.shape * p.ln()).exp_m1() / self.shape
        }
    }
}
