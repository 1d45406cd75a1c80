//! Where a WCET comes from.

use aegis_core::time::Duration;

/// Both numbers that the profile of a task gives for its WCET, summed over its segments, and which of them it is. Hooks are not
/// counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The task's name.
    pub task: String,
    /// Whether the WCET is from the tail; otherwise it is the longest observation times the margin.
    pub is_tail: bool,
    /// The longest observations; `None`, as below, beyond 2⁶⁴ − 1 ns.
    pub longest: Option<Duration>,
    /// The margin in millionths.
    pub margin_ppm: u64,
    /// The longest observations times the margin.
    pub by_maximum: Option<Duration>,
    /// n of the probability 10⁻ⁿ with which each segment exceeds its part of `by_tail` at most.
    pub exponent: u8,
    /// What the tails give, at least the longest observations; or why they give nothing.
    pub by_tail: Result<Option<Duration>, String>,
}
