//! Times, sizes and margins as the manifest spells them, read exactly: nothing is rounded.

use std::fmt;

use aegis_core::time::Duration;
use aegis_core::units::Bytes;

/// A unit: its name and how many base units it is.
type Unit = (&'static str, u64);

/// The units of time, in nanoseconds; the last of equal ones is used for printing.
const TIME: &[Unit] =
    &[("ns", 1), ("µs", 1_000), ("μs", 1_000), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];

/// The units of size, in bytes.
const SIZE: &[Unit] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// The unit of shares, in hundredths of a percent.
const SHARE: &[Unit] = &[("%", 100)];

/// A margin of 1, in parts per million.
pub const ONE_PPM: u64 = 1_000_000;

/// Why a text is not a quantity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Problem {
    /// It is the empty string.
    Empty,
    /// It does not begin with a decimal number.
    NoNumber,
    /// It begins with a minus sign.
    Negative,
    /// It has a space.
    Space,
    /// It has no unit.
    NoUnit,
    /// It has a unit that does not exist.
    UnknownUnit(String),
    /// It is finer than the base unit.
    Fraction,
    /// It is larger than 2^64 - 1 base units.
    TooLarge,
}

impl Problem {
    /// What a label under the value says, where `base` names the base units.
    pub(crate) fn describe(&self, base: &str) -> String {
        match self {
            Self::Empty => "this is empty".to_owned(),
            Self::NoNumber => "this does not begin with a decimal number".to_owned(),
            Self::Negative => "this is negative".to_owned(),
            Self::Space => "this has a space".to_owned(),
            Self::NoUnit => "this has no unit".to_owned(),
            Self::UnknownUnit(unit) => format!("`{unit}` is not a unit"),
            Self::Fraction => format!("this is not a whole number of {base}"),
            Self::TooLarge => format!("this is more than {} {base}", u64::MAX),
        }
    }
}

/// Reads a time such as `33ms` from a command line.
///
/// # Errors
/// What is wrong with it, in words.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|problem| format!("`{text}`: {}", problem.describe("nanoseconds")))
}

/// Reads a size such as `256MiB` from a command line.
///
/// # Errors
/// What is wrong with it, in words.
pub fn size(text: &str) -> Result<Bytes, String> {
    parse_size(text).map_err(|problem| format!("`{text}`: {}", problem.describe("bytes")))
}

/// Reads a time such as `33ms` or `1.5us`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, Problem> {
    parse(text, TIME).map(Duration::from_ns)
}

/// Reads a size such as `256MiB`.
pub(crate) fn parse_size(text: &str) -> Result<Bytes, Problem> {
    parse(text, SIZE).map(Bytes)
}

/// Reads a share such as `20%` in hundredths of a percent.
pub(crate) fn parse_percent(text: &str) -> Result<u64, Problem> {
    parse(text, SHARE)
}

/// Reads a plain decimal number such as `1.25` as parts per million.
pub(crate) fn parse_ppm(text: &str) -> Result<u64, Problem> {
    let (number, rest) = number(text)?;
    if rest.is_empty() { scale(number, ONE_PPM) } else { Err(Problem::NoNumber) }
}

/// Reads a decimal number with one of `units`.
fn parse(text: &str, units: &[Unit]) -> Result<u64, Problem> {
    if text.is_empty() {
        return Err(Problem::Empty);
    }
    if text.chars().any(char::is_whitespace) {
        return Err(Problem::Space);
    }
    let (number, unit) = number(text)?;
    if unit.is_empty() {
        return Err(Problem::NoUnit);
    }
    match units.iter().find(|(name, _)| *name == unit) {
        Some(&(_, factor)) => scale(number, factor),
        None => Err(Problem::UnknownUnit(unit.to_owned())),
    }
}

/// Splits `text` into the digits before and after the point, and what follows.
fn number(text: &str) -> Result<((&str, &str), &str), Problem> {
    if text.starts_with(['-', '−']) {
        return Err(Problem::Negative);
    }
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    if whole.is_empty() {
        return Err(Problem::NoNumber);
    }
    match rest.strip_prefix('.') {
        None => Ok(((whole, ""), rest)),
        Some(after) => {
            let (fraction, rest) = after.split_at(digits(after));
            if fraction.is_empty() { Err(Problem::NoNumber) } else { Ok(((whole, fraction), rest)) }
        }
    }
}

/// `whole.fraction · factor` in base units.
fn scale((whole, fraction): (&str, &str), factor: u64) -> Result<u64, Problem> {
    // Both are ASCII digits, so parsing fails only where there are too many of them.
    let whole = whole.trim_start_matches('0');
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| Problem::TooLarge)? };
    let whole = whole.checked_mul(factor).ok_or(Problem::TooLarge)?;
    let mut part: u128 = 0;
    let mut unit: u128 = 1;
    for digit in fraction.trim_end_matches('0').bytes() {
        // A fraction of more digits than fit here is finer than any unit's base.
        unit = unit.checked_mul(10).ok_or(Problem::Fraction)?;
        part = part
            .checked_mul(10)
            .and_then(|part| part.checked_add(u128::from(digit.saturating_sub(b'0'))))
            .ok_or(Problem::Fraction)?;
    }
    let part = part.checked_mul(u128::from(factor)).ok_or(Problem::Fraction)?;
    if !part.is_multiple_of(unit) {
        return Err(Problem::Fraction);
    }
    let part = u64::try_from(part / unit).map_err(|_| Problem::TooLarge)?;
    whole.checked_add(part).ok_or(Problem::TooLarge)
}

/// A time as people write it: exact, in the largest unit that leaves at least 1.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub Duration);

impl Time {
    /// The time as the manifest has it: exact, and between quotes.
    #[must_use]
    pub fn written(self) -> String {
        format!("\"{self}\"")
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0.as_ns();
        let fits = TIME.iter().filter(|(_, factor)| *factor <= value).max_by_key(|(_, factor)| *factor);
        let &(name, factor) = fits.unwrap_or(&("ns", 1));
        let (whole, rest) = (value / factor, value % factor);
        if rest == 0 {
            return formatter.pad(&format!("{whole}{name}"));
        }
        let digits = factor.to_string().len() - 1;
        let fraction = format!("{rest:0digits$}");
        formatter.pad(&format!("{whole}.{}{name}", fraction.trim_end_matches('0')))
    }
}

#[cfg(test)]
mod tests {
    use super::{Problem, Time, parse_duration, parse_ppm, parse_size};
    use aegis_core::time::Duration;
    use aegis_core::units::Bytes;

    #[test]
    fn times_are_read_exactly_or_not_at_all() {
        let ns = |text| parse_duration(text).map(Duration::as_ns);
        assert_eq!(ns("33ms"), Ok(33_000_000));
        assert_eq!(ns("1.5ms"), Ok(1_500_000));
        assert_eq!(ns("0.000000001s"), Ok(1));
        assert_eq!(ns("1.50ns"), Err(Problem::Fraction));
        assert_eq!(ns("2.0ns"), Ok(2));
        assert_eq!(ns("7µs"), Ok(7_000));
        assert_eq!(ns("7μs"), Ok(7_000));
        assert_eq!(ns("0s"), Ok(0));
        assert_eq!(ns("007ms"), Ok(7_000_000));
        assert_eq!(ns("18446744073709551615ns"), Ok(u64::MAX));
        assert_eq!(ns("18446744073709551616ns"), Err(Problem::TooLarge));
        assert_eq!(ns("18446744073.709551615s"), Ok(u64::MAX));
        assert_eq!(ns("18446744073.709551616s"), Err(Problem::TooLarge));
        assert_eq!(ns("99999999999999999999s"), Err(Problem::TooLarge));
        assert_eq!(ns(""), Err(Problem::Empty));
        assert_eq!(ns("ms"), Err(Problem::NoNumber));
        assert_eq!(ns(".5ms"), Err(Problem::NoNumber));
        assert_eq!(ns("5.ms"), Err(Problem::NoNumber));
        assert_eq!(ns("+5ms"), Err(Problem::NoNumber));
        assert_eq!(ns("-5ms"), Err(Problem::Negative));
        assert_eq!(ns("5 ms"), Err(Problem::Space));
        assert_eq!(ns("5"), Err(Problem::NoUnit));
        assert_eq!(ns("5MS"), Err(Problem::UnknownUnit("MS".into())));
        assert_eq!(ns("1e3ms"), Err(Problem::UnknownUnit("e3ms".into())));
        assert_eq!(ns(&format!("0.{}1s", "0".repeat(60))), Err(Problem::Fraction));
    }

    #[test]
    fn sizes_and_margins_are_read_exactly() {
        assert_eq!(parse_size("256MiB"), Ok(Bytes(256 << 20)));
        assert_eq!(parse_size("1.5GiB"), Ok(Bytes(3 << 29)));
        assert_eq!(parse_size("0.0000000009765625KiB"), Err(Problem::Fraction));
        assert_eq!(parse_size("0.0009765625KiB"), Ok(Bytes(1)));
        assert_eq!(parse_size("3kB"), Ok(Bytes(3_000)));
        assert_eq!(parse_size("18446744073709551615GiB"), Err(Problem::TooLarge));
        assert_eq!(parse_ppm("1.25"), Ok(1_250_000));
        assert_eq!(parse_ppm("2"), Ok(2_000_000));
        assert_eq!(parse_ppm("1.0000001"), Err(Problem::Fraction));
        assert_eq!(parse_ppm("1.5e1"), Err(Problem::NoNumber));
        assert_eq!(parse_ppm("inf"), Err(Problem::NoNumber));
    }

    #[test]
    fn times_print_as_they_are_written() {
        let show = |ns| Time(Duration::from_ns(ns)).to_string();
        assert_eq!(show(0), "0ns");
        assert_eq!(show(999), "999ns");
        assert_eq!(show(1_500), "1.5us");
        assert_eq!(show(33_000_000), "33ms");
        assert_eq!(show(1_000_000_001), "1.000000001s");
        for ns in [1, 10, 12_345, 1_000_000, 98_765_432_100, u64::MAX] {
            assert_eq!(parse_duration(&show(ns)), Ok(Duration::from_ns(ns)), "{ns}");
        }
    }
}
