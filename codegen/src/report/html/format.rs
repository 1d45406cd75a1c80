//! Numbers as the page shows them: one unit for all times, so that columns align, with the exact value beside each for programs.

use crate::system::System;
use askama::filters::HtmlSafe;
use std::fmt::{self, Write as _};

/// The unit of all times of a page, shown with three decimals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Clock {
    /// Its name.
    pub(super) unit: &'static str,
    per_thousandth: u64,
}

/// A number with its exact value, in nanoseconds or bytes, as the element `data`: digits only, so it needs no escaping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Data {
    value: i128,
    text: String,
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<data value=\"{}\">{}</data>", self.value, self.text)
    }
}

impl HtmlSafe for Data {}

impl Data {
    /// Without markup.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A size.
    pub(super) fn bytes(value: u64) -> Self {
        Self { value: i128::from(value), text: bytes(value) }
    }

    /// A size that must not look greater than it is.
    pub(super) fn bytes_down(value: u64) -> Self {
        Self { value: i128::from(value), text: bytes_down(value) }
    }
}

impl Clock {
    /// Milliseconds, or microseconds where nothing has as long a period.
    pub(super) fn of(system: Option<&System>) -> Self {
        let longest = system.and_then(|system| system.tasks.iter().map(|task| task.period.as_ns()).max());
        if longest.is_some_and(|longest| longest < 1_000_000) {
            Self { unit: "µs", per_thousandth: 1 }
        } else {
            Self { unit: "ms", per_thousandth: 1_000 }
        }
    }

    /// Rounded up: a bound looks no shorter than it is.
    pub(super) fn up(self, ns: u64) -> Data {
        Data { value: i128::from(ns), text: self.text(ns.div_ceil(self.per_thousandth)) }
    }

    /// Rounded down: a deadline looks no longer than it is.
    pub(super) fn down(self, ns: u64) -> Data {
        Data { value: i128::from(ns), text: self.text(ns / self.per_thousandth) }
    }

    /// Towards less, with a sign where it is below zero: a slack.
    pub(super) fn signed(self, ns: i128) -> Data {
        let size = u64::try_from(ns.unsigned_abs()).unwrap_or(u64::MAX);
        let text = if ns < 0 {
            // The minus sign is as wide as a digit.
            format!("−{}", self.text(size.div_ceil(self.per_thousandth)))
        } else {
            self.text(size / self.per_thousandth)
        };
        Data { value: ns, text }
    }

    fn text(self, thousandths: u64) -> String {
        format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
    }

    /// Without needless digits and with the unit, for sentences and axes; towards less.
    pub(super) fn short(self, ns: i128) -> String {
        self.trimmed(&self.signed(ns).text)
    }

    /// As [`Self::short`], rounded up: for what must not look shorter than it is.
    pub(super) fn long(self, ns: u64) -> String {
        self.trimmed(&self.up(ns).text)
    }

    /// With all digits and the unit.
    pub(super) fn full(self, data: &Data) -> String {
        format!("{}\u{a0}{}", data.text, self.unit)
    }

    fn trimmed(self, text: &str) -> String {
        let text = text.trim_end_matches('0').trim_end_matches('.');
        format!("{}\u{a0}{}", if text == "−0" { "0" } else { text }, self.unit)
    }
}

/// Text as HTML takes it, with what stands between backticks as code.
pub(super) struct Words<'a>(pub(super) &'a str);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_paired = self.0.matches('`').count().is_multiple_of(2);
        let mut is_code = false;
        for letter in self.0.chars() {
            match letter {
                '`' if is_paired => {
                    is_code = !is_code;
                    f.write_str(if is_code { "<code>" } else { "</code>" })?;
                }
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

impl HtmlSafe for Words<'_> {}

/// Millionths as a percentage with one decimal, rounded up.
pub(super) fn percent(ppm: u64) -> String {
    let tenths = ppm.div_ceil(1_000);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Millionths as a percentage with one decimal, rounded down.
pub(super) fn percent_down(ppm: u64) -> String {
    percent(ppm / 1_000 * 1_000)
}

/// `part / whole` in millionths, rounded down; the most there is where it is more.
pub(super) fn ratio(part: u64, whole: u64) -> u64 {
    let ppm = u128::from(part).saturating_mul(1_000_000).checked_div(u128::from(whole)).unwrap_or(0);
    u64::try_from(ppm).unwrap_or(u64::MAX)
}

/// A size for people, with a space that breaks no line.
pub(super) fn bytes(value: u64) -> String {
    crate::report::table::bytes(value).replace(' ', "\u{a0}")
}

/// As [`bytes`], rounded down: for what must not look greater than it is.
pub(super) fn bytes_down(value: u64) -> String {
    crate::report::table::bytes_down(value).replace(' ', "\u{a0}")
}

/// `1 task`, `2 tasks`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{Clock, Words, bytes, bytes_down, percent, percent_down, ratio};

    #[test]
    fn what_stands_between_backticks_is_code_and_markup_is_escaped() {
        assert_eq!(Words("task `a<b` & `c`").to_string(), "task <code>a&lt;b</code> &amp; <code>c</code>");
        assert_eq!(Words("an odd ` one").to_string(), "an odd ` one");
    }

    #[test]
    fn times_are_rounded_to_the_safe_side_and_keep_their_value() {
        let clock = Clock::of(None);
        assert_eq!(clock.up(1_000_001).to_string(), "<data value=\"1000001\">1.001</data>");
        assert_eq!(clock.down(1_999_999).text(), "1.999");
        assert_eq!((clock.signed(-1).text(), clock.signed(1).text()), ("−0.001", "0.000"));
        assert_eq!((clock.short(33_000_000), clock.short(-1_500_000)), ("33\u{a0}ms".into(), "−1.5\u{a0}ms".into()));
    }

    #[test]
    fn sizes_are_rounded_to_the_side_that_does_not_flatter() {
        let (all, taken) = (256 << 20, 54_127_616);
        assert_eq!((bytes(taken), bytes_down(all)), ("51.63\u{a0}MiB".into(), "256.00\u{a0}MiB".into()));
        assert_eq!((bytes_down(taken), bytes_down(1_023)), ("51.62\u{a0}MiB".into(), "1023\u{a0}B".into()));
    }

    #[test]
    fn shares_do_not_flatter() {
        assert_eq!((percent(999_001), percent(0)), ("100.0 %".into(), "0.0 %".into()));
        assert_eq!((percent_down(999_999), percent_down(100)), ("99.9 %".into(), "0.0 %".into()));
        assert_eq!((ratio(1, 3), ratio(1, 0)), (333_333, 0));
    }
}
