//! Time is integer nanoseconds, and an instant is not a duration.
//!
//! Both types hold a `u64`, so the range is 584 years. There are no operators: each step is a checked method
//! that returns `None` instead of wrapping.

/// A length of time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Duration(u64);

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest representable length of time.
    pub const MAX: Self = Self(u64::MAX);

    /// A duration of `ns` nanoseconds.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// The length in nanoseconds.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// Whether this is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` where it exceeds 2⁶⁴ − 1 ns.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(ns) => Some(Self(ns)),
            None => None,
        }
    }

    /// The difference, or `None` where `other` is longer.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(ns) => Some(Self(ns)),
            None => None,
        }
    }

    /// The difference, or zero where `other` is longer.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// A point in time, in nanoseconds since the schedule's start (the instant of phase zero).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Instant(u64);

impl Instant {
    /// The schedule's start.
    pub const START: Self = Self(0);

    /// The instant `ns` nanoseconds after the start.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// The instant `length` later, or `None` beyond the representable range.
    #[must_use]
    pub const fn checked_add(self, length: Duration) -> Option<Self> {
        match self.0.checked_add(length.as_ns()) {
            Some(ns) => Some(Self(ns)),
            None => None,
        }
    }

    /// The time since `earlier`, or zero where `earlier` lies later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant};

    #[test]
    fn the_edges_of_the_range_are_none_and_never_wrap() {
        let one = Duration::from_ns(1);
        assert_eq!(Duration::MAX.checked_add(one), None);
        assert_eq!(Duration::ZERO.checked_sub(one), None);
        assert_eq!(Duration::ZERO.saturating_sub(one), Duration::ZERO);
        assert_eq!(Instant::from_ns(u64::MAX).checked_add(one), None);
        assert_eq!(Instant::START.saturating_since(Instant::from_ns(5)), Duration::ZERO);
        assert_eq!(Instant::from_ns(7).saturating_since(Instant::from_ns(5)).as_ns(), 2);
    }
}
