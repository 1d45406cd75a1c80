//! Which number of a profile becomes a WCET.

use std::fmt;

/// What of a profile becomes the WCET of each segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WcetFrom {
    /// The longest observation times the margin.
    Maximum,
    /// What the fitted tail says is exceeded with this probability at most, and no less than the longest observation; without
    /// the margin.
    Tail(Exceedance),
}

/// A probability with which an execution may exceed a bound: a power of ten from 10⁻³ to 10⁻¹².
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Exceedance(u8);

impl Exceedance {
    /// 10⁻⁹, where the manifest does not say.
    pub const DEFAULT: Self = Self(9);

    /// What `1e-3` to `1e-12` say; nothing else is a probability here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("1e-")?;
        let exponent: u8 = digits.parse().ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
        ((3..=12).contains(&exponent) && !digits.starts_with('0')).then_some(Self(exponent))
    }

    /// n of 10⁻ⁿ.
    #[must_use]
    pub const fn exponent(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Exceedance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "1e-{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Exceedance;

    #[test]
    fn probabilities_are_powers_of_ten_within_the_range() {
        for exponent in 3..=12 {
            let text = format!("1e-{exponent}");
            let found = Exceedance::parse(&text).unwrap();
            assert_eq!((found.exponent(), found.to_string()), (exponent, text));
        }
        assert_eq!(Exceedance::DEFAULT.to_string(), "1e-9");
        for text in ["", "1e-2", "1e-13", "2e-9", "1e-+9", "1e-09", "1e9", "1e-", "0.001", "1E-9", " 1e-9", "1e-300"] {
            assert_eq!(Exceedance::parse(text), None, "{text}");
        }
    }
}
