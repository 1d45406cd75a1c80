//! The two text formats: Prometheus 0.0.4, which the textfile collector reads, and OpenMetrics 1.0.0.
//!
//! They are written by hand because the crates that keep metrics write one of both each, and out of counters of their own; here
//! what is written is a snapshot.

use super::families::{Family, Type, Unit};
use super::histogram::Histogram;
use aegis_core::Duration;
use std::fmt::{self, Display, Formatter, Write as _};

/// A text format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Prometheus' own, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What HTTP calls it.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A number with a unit, as decimal digits that are exact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Decimal {
    /// The number times 10 to the power of `digits`.
    scaled: i128,
    digits: usize,
}

impl Decimal {
    /// A time in seconds.
    pub(super) fn seconds(time: Duration) -> Self {
        Self { scaled: time.as_ns().into(), digits: 9 }
    }

    /// By how much a time is longer than another one, in seconds; below 0 where it is shorter.
    pub(super) fn difference(time: Duration, other: Duration) -> Self {
        let scaled = i128::from(time.as_ns()).saturating_sub(other.as_ns().into());
        Self { scaled, digits: 9 }
    }

    /// Parts per million as a part of 1.
    pub(super) fn ratio(ppm: u64) -> Self {
        Self { scaled: ppm.into(), digits: 6 }
    }
}

impl Display for Decimal {
    /// With at least one decimal and no zeros after the last one that counts, as OpenMetrics wants the bounds of buckets.
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let digits = format!("{:0>width$}", self.scaled.unsigned_abs(), width = self.digits.saturating_add(1));
        let (whole, part) = digits.split_at(digits.len().saturating_sub(self.digits));
        let part = part.trim_end_matches('0');
        let sign = if self.scaled < 0 { "-" } else { "" };
        write!(out, "{sign}{whole}.{}", if part.is_empty() { "0" } else { part })
    }
}

/// A label with its value; one without a value is left out.
pub(super) type Label<'a> = (&'a str, &'a str);

/// Writes families one after the other.
#[derive(Debug)]
pub(super) struct Encoder {
    format: Format,
    text: String,
}

impl Encoder {
    pub(super) fn new(format: Format) -> Self {
        Self { format, text: String::with_capacity(1 << 14) }
    }

    /// A family; `samples` writes what it has, and where that is nothing, nothing is written.
    pub(super) fn family(&mut self, family: &'static Family, samples: impl FnOnce(&mut Samples<'_>)) {
        let before = self.text.len();
        self.heading(family);
        let headed = self.text.len();
        samples(&mut Samples { family, text: &mut self.text });
        if self.text.len() == headed {
            self.text.truncate(before);
        }
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn heading(&mut self, family: &Family) {
        let Family { name, kind, unit, help } = *family;
        match self.format {
            Format::Prometheus => {
                // It has no infos and no sets of states, and names a counter as its samples.
                let kind = match kind {
                    Type::Info | Type::StateSet => Type::Gauge,
                    other => other,
                };
                let suffix = suffix(family.kind);
                let _ = writeln!(self.text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {}", kind.name());
            }
            Format::OpenMetrics => {
                let _ = writeln!(self.text, "# TYPE {name} {}", kind.name());
                if unit != Unit::None {
                    let _ = writeln!(self.text, "# UNIT {name} {}", unit.name());
                }
                let _ = writeln!(self.text, "# HELP {name} {help}");
            }
        }
    }
}

/// What samples of a kind have behind the family's name, where a family has one sample for each set of labels.
const fn suffix(kind: Type) -> &'static str {
    match kind {
        Type::Counter => "_total",
        Type::Info => "_info",
        Type::Gauge | Type::Histogram | Type::StateSet => "",
    }
}

/// Writes the samples of one family.
#[derive(Debug)]
pub(super) struct Samples<'a> {
    family: &'static Family,
    text: &'a mut String,
}

impl Samples<'_> {
    /// One value.
    pub(super) fn add(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.sample(suffix(self.family.kind), labels, None, value);
    }

    /// Which of several states holds, each by its name.
    pub(super) fn states<'s>(&mut self, states: impl Iterator<Item = (&'s str, bool)>) {
        let label = self.family.name;
        for (state, holds) in states {
            self.add(&[(label, state)], u8::from(holds));
        }
    }

    /// A histogram, with its bounds, and how a value is written.
    pub(super) fn histogram(
        &mut self,
        labels: &[Label<'_>],
        (histogram, bounds): (&Histogram, &[u64]),
        value: impl Fn(u64) -> Decimal,
    ) {
        for (bound, count) in bounds.iter().zip(histogram.cumulative()) {
            self.sample("_bucket", labels, Some(&value(*bound).to_string()), count);
        }
        self.sample("_bucket", labels, Some("+Inf"), histogram.count());
        self.sample("_sum", labels, None, value(histogram.sum()));
        self.sample("_count", labels, None, histogram.count());
    }

    fn sample(&mut self, suffix: &str, labels: &[Label<'_>], bound: Option<&str>, value: impl Display) {
        self.text.push_str(self.family.name);
        self.text.push_str(suffix);
        let bound = bound.map(|bound| ("le", bound));
        let labels = labels.iter().copied().chain(bound).filter(|(_, value)| !value.is_empty());
        let mut opening = '{';
        for (name, value) in labels {
            self.text.push(opening);
            let _ = write!(self.text, "{name}=\"");
            escape(self.text, value);
            self.text.push('"');
            opening = ',';
        }
        if opening == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Decimal, Encoder, Format};
    use crate::metrics::families::{LEVEL, REJECTED, RESPONSE, SLACK, VEHICLE};
    use crate::metrics::histogram::Histogram;
    use aegis_core::Duration;

    const NS: fn(u64) -> Duration = Duration::from_ns;

    #[test]
    fn decimals_are_exact_and_have_no_zeros_that_do_not_count() {
        let seconds = |ns| Decimal::seconds(NS(ns)).to_string();
        assert_eq!([0, 1, 50_000_000, 1_000_000_000].map(seconds), ["0.0", "0.000000001", "0.05", "1.0"]);
        assert_eq!(seconds(u64::MAX), "18446744073.709551615");
        assert_eq!(Decimal::difference(NS(1), NS(1_500_000_000)).to_string(), "-1.499999999");
        assert_eq!(Decimal::difference(Duration::ZERO, Duration::MAX).to_string(), "-18446744073.709551615");
        assert_eq!([1_250_000, 1].map(|ppm| Decimal::ratio(ppm).to_string()), ["1.25", "0.000001"]);
    }

    fn written(format: Format) -> String {
        let mut encoder = Encoder::new(format);
        encoder.family(&VEHICLE, |samples| samples.add(&[("vehicle", "a \"b\"\n\\")], 1));
        encoder.family(&REJECTED, |samples| samples.add(&[("task", "face"), ("domain", "")], 3));
        encoder.family(&SLACK, |_| ());
        encoder.family(&LEVEL, |samples| samples.states([("high", false), ("full", true)].into_iter()));
        let bounds = [10_000_000, 1_000_000_000];
        let mut histogram = Histogram::new(&bounds);
        for ns in [10_000_000, 2_000_000_000] {
            histogram.observe(&bounds, ns);
        }
        encoder.family(&RESPONSE, |samples| {
            samples.histogram(&[("task", "face")], (&histogram, &bounds), |ns| Decimal::seconds(NS(ns)));
        });
        encoder.finish()
    }

    const SAMPLES: [&str; 5] = [
        "aegis_vehicle_info{vehicle=\"a \\\"b\\\"\\n\\\\\"} 1\n",
        "aegis_arrivals_rejected_total{task=\"face\"} 3\n",
        "aegis_pressure_level{aegis_pressure_level=\"high\"} 0\naegis_pressure_level{aegis_pressure_level=\"full\"} 1\n",
        "aegis_job_response_seconds_bucket{task=\"face\",le=\"0.01\"} 1\n\
         aegis_job_response_seconds_bucket{task=\"face\",le=\"1.0\"} 1\n\
         aegis_job_response_seconds_bucket{task=\"face\",le=\"+Inf\"} 2\n",
        "aegis_job_response_seconds_sum{task=\"face\"} 2.01\naegis_job_response_seconds_count{task=\"face\"} 2\n",
    ];

    #[test]
    fn prometheus_has_its_types_and_names_counters_with_their_suffix() {
        let text = written(Format::Prometheus);
        for sample in SAMPLES {
            assert!(text.contains(sample), "{sample} in {text}");
        }
        for types in [
            "# TYPE aegis_vehicle_info gauge\n",
            "# TYPE aegis_arrivals_rejected_total counter\n",
            "# TYPE aegis_pressure_level gauge\n",
            "# TYPE aegis_job_response_seconds histogram\n",
            "# HELP aegis_arrivals_rejected_total Arrivals that were refused",
        ] {
            assert!(text.contains(types), "{types} in {text}");
        }
        assert!(!text.contains("UNIT") && !text.contains("EOF") && !text.contains("slack"), "{text}");
    }

    #[test]
    fn openmetrics_names_families_and_units_and_has_an_end() {
        let text = written(Format::OpenMetrics);
        for sample in SAMPLES {
            assert!(text.contains(sample), "{sample} in {text}");
        }
        for types in [
            "# TYPE aegis_vehicle info\n# HELP",
            "# TYPE aegis_arrivals_rejected counter\n# HELP",
            "# TYPE aegis_pressure_level stateset\n# HELP",
            "# TYPE aegis_job_response_seconds histogram\n# UNIT aegis_job_response_seconds seconds\n# HELP",
        ] {
            assert!(text.contains(types), "{types} in {text}");
        }
        assert!(text.ends_with("} 2\n# EOF\n") && !text.contains("slack"), "{text}");
    }
}
