//! Compares Σ C/T with 1 exactly, and prints it.

use super::Load;

/// 1 in fixed-point numbers with 64 fractional bits.
const ONE: u128 = 1 << 64;

/// How Σ C/T compares with 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Against1 {
    /// At most 1.
    AtMost,
    /// Above 1.
    Above,
    /// So near 1 that 128-bit integers do not decide it.
    Undecided,
}

/// Compares exactly where the reduced fraction fits 128 bits, otherwise by bounds of relative error n · 2⁻⁶⁴.
/// Periods must be positive.
#[must_use]
pub fn against_1(loads: &[Load]) -> Against1 {
    if let Some((numerator, denominator)) = exact(loads) {
        return if numerator <= denominator { Against1::AtMost } else { Against1::Above };
    }
    let below = fixed_point(loads);
    let count = u128::try_from(loads.len()).unwrap_or(ONE);
    match below {
        None => Against1::Above,
        Some(below) if below > ONE => Against1::Above,
        Some(below) if below.checked_add(count).is_some_and(|above| above <= ONE) => Against1::AtMost,
        Some(_) => Against1::Undecided,
    }
}

/// Σ C/T in millionths, rounded up; `u64::MAX` where it does not fit.
#[must_use]
pub fn ppm(loads: &[Load]) -> u64 {
    let exactly = exact(loads).and_then(|(numerator, denominator)| {
        let scaled = numerator.checked_mul(1_000_000)?;
        u64::try_from(scaled.div_ceil(denominator)).ok()
    });
    let rounded = || {
        let count = u128::try_from(loads.len()).ok()?;
        let above = fixed_point(loads)?.checked_add(count)?;
        u64::try_from(above.checked_mul(1_000_000)?.div_ceil(ONE)).ok()
    };
    exactly.or_else(rounded).unwrap_or(u64::MAX)
}

/// Σ ⌊C · 2⁶⁴ / T⌋, or `None` where it does not fit.
fn fixed_point(loads: &[Load]) -> Option<u128> {
    loads.iter().try_fold(0u128, |sum, load| {
        let term = u128::from(load.cost).checked_shl(64)?.checked_div(u128::from(load.period))?;
        sum.checked_add(term)
    })
}

/// Σ C/T as a reduced fraction, or `None` where it does not fit.
fn exact(loads: &[Load]) -> Option<(u128, u128)> {
    loads.iter().try_fold((0u128, 1u128), |(numerator, denominator), load| {
        let (cost, period) = (u128::from(load.cost), u128::from(load.period));
        let sum = numerator.checked_mul(period)?.checked_add(cost.checked_mul(denominator)?)?;
        let below = denominator.checked_mul(period)?;
        let divisor = gcd(sum, below);
        Some((sum.checked_div(divisor)?, below.checked_div(divisor)?))
    })
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a.max(1)
}

#[cfg(test)]
mod tests {
    use super::{Against1, Load, against_1, ppm};

    fn load(cost: u64, period: u64) -> Load {
        Load::whole(cost, period, period, 0)
    }

    #[test]
    fn thirds_sum_to_exactly_one_and_a_nanosecond_more_is_above() {
        let thirds = [load(1, 3), load(1, 3), load(1, 3)];
        assert_eq!((against_1(&thirds), ppm(&thirds)), (Against1::AtMost, 1_000_000));
        let above = [load(1_000_000_001, 3_000_000_000), load(1, 3), load(1, 3)];
        assert_eq!((against_1(&above), ppm(&above)), (Against1::Above, 1_000_001));
    }

    #[test]
    fn coprime_periods_beyond_128_bits_are_decided_by_bounds_or_declared_undecided() {
        let primes = [999_999_937u64, 999_999_929, 999_999_893, 999_999_883, 999_999_797, 999_999_761];
        let light: Vec<Load> = primes.iter().map(|p| load(p / 7, *p)).collect();
        assert_eq!(against_1(&light), Against1::AtMost);
        let heavy: Vec<Load> = primes.iter().map(|p| load(p / 5, *p)).collect();
        assert_eq!(against_1(&heavy), Against1::Above);
    }
}
