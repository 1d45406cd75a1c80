//! Reads the values that are arrays.

use std::ops::RangeInclusive;

use aegis_core::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

use super::{Section, integer_value};
use crate::finding::{Code, Finding};
use crate::manifest::asked::Kind;
use crate::manifest::units;

impl<'a> Section<'a> {
    /// An array of integers from 1 to 2^32 - 1 under a key that is a name.
    pub(crate) fn dimensions(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<u32>> {
        self.asks("*", Kind::Dimensions);
        self.dimensions_of(key, value)
    }

    fn dimensions_of(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<u32>> {
        let DeValue::Array(items) = value.get_ref() else {
            let expected = "an array of dimensions such as [1, 128, 128, 3]";
            self.wrong_type(key, value.get_ref(), value.span(), expected);
            return None;
        };
        let mut dimensions = Some(Vec::new());
        for item in items.iter() {
            let DeValue::Integer(integer) = item.get_ref() else {
                let what = format!("each dimension of {}", self.call(key));
                self.wrong_type_of(&what, item.get_ref(), item.span(), "an integer");
                dimensions = None;
                continue;
            };
            match integer_value(integer).and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0) {
                Some(n) => dimensions.iter_mut().for_each(|all| all.push(n)),
                None => {
                    let called = format!("each dimension of {}", self.call(key));
                    self.out_of_range(&called, item.span(), u32::MAX, 1, integer);
                    dimensions = None;
                }
            }
        }
        dimensions
    }

    /// The dimensions under `key`.
    pub(crate) fn dimensions_at(&mut self, key: &'static str) -> Option<Spanned<Vec<u32>>> {
        self.asks(key, Kind::Dimensions);
        let (_, value) = self.entry(key)?;
        Some(Spanned::new(value.span(), self.dimensions_of(key, value)?))
    }

    /// An array of names, at least one; `example` shows it.
    pub(crate) fn names(&mut self, key: &'static str, example: &str) -> Option<Vec<Spanned<String>>> {
        self.asks(key, Kind::Names);
        let items = self.array(key, &format!("an array of names such as {example}"), 1..=usize::MAX, "")?;
        let called = format!("each entry of {}", self.call(key));
        whole(items.iter().map(|item| self.string_of(&called, item)))
    }

    /// An array of 2 to `most` paths, none of them empty; `help` tells what stands for fewer.
    pub(crate) fn paths(&mut self, key: &'static str, most: usize, help: &str) -> Option<Vec<Spanned<String>>> {
        self.asks(key, Kind::Paths(most));
        let items = self.array(key, "an array of paths such as [\"a.1.onnx\", \"a.2.onnx\"]", 2..=most, help)?;
        let called = format!("each entry of {}", self.call(key));
        whole(items.iter().map(|item| self.not_empty(&called, self.string_of(&called, item)?)))
    }

    fn string_of(&self, called: &str, item: &Spanned<DeValue<'_>>) -> Option<Spanned<String>> {
        match item.get_ref() {
            DeValue::String(text) => Some(Spanned::new(item.span(), text.to_string())),
            other => {
                self.wrong_type_of(called, other, item.span(), "a string");
                None
            }
        }
    }

    /// An array of 1 to `most` times, none of them zero, which together are a time.
    pub(crate) fn durations(&mut self, key: &'static str, most: usize) -> Option<Vec<Spanned<Duration>>> {
        self.asks(key, Kind::Times(most));
        let items = self.array(key, "an array of times such as [\"2ms\", \"3ms\"]", 1..=most, "")?;
        let called = format!("each entry of {}", self.call(key));
        let read = |item| {
            let time = self.quantity_of(&called, item, Code::BadTime, "time", "2ms", units::parse_duration)?;
            self.not_zero(&called, time, |time| !time.is_zero())
        };
        let times = whole(items.iter().map(read))?;
        if times.iter().try_fold(Duration::ZERO, |sum, time| sum.checked_add(*time.get_ref())).is_some() {
            return Some(times);
        }
        let message = format!("{} sum to more than {} nanoseconds", self.call(key), u64::MAX);
        let span = self.key_span(key).unwrap_or_default();
        self.sink.push(Finding::error(Code::NumberOutOfRange, message).at(self.sink.file, span, "out of range"));
        None
    }

    /// An array of as many tables as `count` has, such as `example`, each called by `title` with its number from 1.
    pub(crate) fn sections(
        &mut self,
        key: &'static str,
        count: RangeInclusive<usize>,
        example: &str,
        title: impl Fn(&str, usize) -> String,
    ) -> Option<Vec<Self>> {
        self.asks(key, Kind::Tables(*count.start(), *count.end()));
        let expected = format!("an array of tables such as [{example}]");
        let items = self.array(key, &expected, count, "")?;
        let called = format!("each entry of {}", self.call(key));
        let table = |(number, item): (usize, &'a Spanned<DeValue<'a>>)| match item.get_ref() {
            DeValue::Table(table) => {
                let place = self.below(&format!("{key}.*"));
                Some(Self::new(self.sink, item.span(), title(&self.title, number), place, table))
            }
            other => {
                self.wrong_type_of(&called, other, item.span(), &format!("a table such as {example}"));
                None
            }
        };
        whole((1..).zip(items.iter()).map(table))
    }

    /// An array of at most so many arguments of a kernel, which are not read here; `expected` says what it is.
    pub(crate) fn arguments(
        &mut self,
        key: &'static str,
        expected: &str,
        most: usize,
    ) -> Option<&'a [Spanned<DeValue<'a>>]> {
        self.asks(key, Kind::Arguments(most));
        self.array(key, expected, 0..=most, "")
    }

    /// An array of as many values as `count` has; `expected` says what it is, and `help`, if it is not empty, what to
    /// give where there are more or fewer.
    fn array(
        &mut self,
        key: &'static str,
        expected: &str,
        count: RangeInclusive<usize>,
        help: &str,
    ) -> Option<&'a [Spanned<DeValue<'a>>]> {
        let (_, value) = self.entry(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value.get_ref(), value.span(), expected);
            return None;
        };
        if count.contains(&items.len()) {
            return Some(items);
        }
        let (least, most) = count.into_inner();
        let range = if most == usize::MAX { format!("at least {least}") } else { format!("from {least} to {most}") };
        let entries = if range == "at least 1" { "entry" } else { "entries" };
        let message = format!("{} must have {range} {entries}, not {}", self.call(key), items.len());
        let finding = Finding::error(Code::NumberOutOfRange, message);
        let finding = finding.at(self.sink.file, value.span(), format!("this has {}", items.len()));
        self.sink.push(if help.is_empty() { finding } else { finding.help(help) });
        None
    }
}

/// All of `read`, where nothing of it failed; everything is read, so that every fault is reported.
fn whole<T>(read: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let all: Vec<_> = read.collect();
    all.into_iter().collect()
}
