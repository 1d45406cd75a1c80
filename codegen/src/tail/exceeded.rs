//! How often times are exceeded, as thousandths of powers of ten: what is drawn.

use super::pareto::Pareto;
use super::{up, whole};
use crate::profile::Tail;

/// `thousandths` of 10^−(`thousandths` / 1,000) of which a probability is, down to 10⁻³⁰.
fn thousandths(probability: f64) -> u64 {
    up((-probability.max(1e-30).log10() * 1_000.0).round().max(0.0)).unwrap_or(0)
}

/// Of `observations` the `rank`-th longest, from 1, is reached by so many.
#[must_use]
pub fn power(rank: u64, observations: u64) -> u64 {
    thousandths(whole(rank) / whole(observations.max(1)))
}

/// How likely the fitted distribution makes a time above the threshold; `None` without a fit.
#[must_use]
pub fn by_fit(tail: &Tail, time: u64) -> Option<u64> {
    let fit = tail.fit.as_ref()?;
    let shape = whole(fit.shape_ppm.unsigned_abs()) / if fit.shape_ppm < 0 { -1e6 } else { 1e6 };
    let above = Pareto { shape, scale: whole(fit.scale_ns) }.survival(whole(time.checked_sub(tail.threshold_ns)?));
    Some(thousandths(above * whole(tail.exceedances) / whole(tail.observations.max(1))))
}

#[cfg(test)]
mod tests {
    use super::power;

    #[test]
    fn powers_of_ten_are_whole_thousands() {
        assert_eq!([power(1, 1), power(1, 10), power(3, 3_000), power(2, 1)], [0, 1_000, 3_000, 0]);
        assert_eq!(power(5, 10), 301);
    }
}
