//! Reads one table of the TOML tree key by key, and reports what does not fit.
//!
//! A getter returns `None` where the key is absent or its value was reported. The keys that were asked for
//! are the known ones: [`Section::finish`] reports all others.

mod arrays;
mod keys;
mod sink;
mod words;

use std::collections::BTreeSet;

use aegis_core::desc::ALIGNMENT;
use aegis_core::time::Duration;
use aegis_core::units::{Bytes, Priority};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::asked::Kind;
use super::model::Span;
use super::suggest::nearest;
use super::units::{self, Problem};
use crate::finding::{Code, Finding};
pub(crate) use sink::Sink;

/// What a priority says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The place in the lane's order, 0 first.
    Number(Priority),
    /// The place is to be found.
    Optimal,
}

/// One table of the tree.
pub(crate) struct Section<'a> {
    /// Where findings go.
    pub(crate) sink: &'a Sink<'a>,
    /// Its header, or the braces of an inline table.
    pub(crate) span: Span,
    /// How messages call it, such as `[task.detect]`.
    title: String,
    /// The keys that lead to it, as in [`Asked`].
    place: String,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
    /// Those of the known keys that this version does not have.
    planned: Vec<&'static str>,
    /// Those that must be given.
    required: BTreeSet<&'static str>,
    /// Those of which exactly one must be given.
    one_of: BTreeSet<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// The table that is the whole file.
    pub(crate) fn root(table: &'a DeTable<'a>, sink: &'a Sink<'a>) -> Self {
        Self::new(sink, 0..0, "the manifest".to_owned(), String::new(), table)
    }

    fn new(sink: &'a Sink<'a>, span: Span, title: String, place: String, table: &'a DeTable<'a>) -> Self {
        let (known, planned) = (Vec::new(), Vec::new());
        Self { sink, span, title, place, table, known, planned, required: BTreeSet::new(), one_of: BTreeSet::new() }
    }

    /// Notes what the value of a key has to be; `*` is a key that is a name.
    pub(super) fn asks(&self, key: &str, kind: Kind) {
        let mut asked = self.sink.asked.borrow_mut();
        asked.entry(self.place.clone()).or_default().keys.entry(key.to_owned()).or_default().insert(kind);
    }

    /// Notes the only names that tables beside this one may have.
    pub(crate) fn names_are(&self, names: &[&str]) {
        let beside = self.place.strip_suffix(".*").unwrap_or(&self.place);
        let mut asked = self.sink.asked.borrow_mut();
        asked.entry(beside.to_owned()).or_default().names.extend(names.iter().map(|&name| name.to_owned()));
    }

    /// The place of a table under `key`.
    fn below(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// How messages call it.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// How messages call one of its keys.
    fn call(&self, key: &str) -> String {
        format!("`{key}` of {}", self.title)
    }

    /// Whether the key is given; it counts as known from now on.
    pub(crate) fn has(&mut self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// Whether a key is given that must be; whoever asks reports that it is not.
    pub(crate) fn must_have(&mut self, key: &'static str) -> bool {
        self.required.insert(key);
        self.has(key)
    }

    /// Where the key is given.
    pub(crate) fn key_span(&mut self, key: &'static str) -> Option<Span> {
        self.entry(key).map(|(span, _)| span)
    }

    fn entry(&mut self, key: &'static str) -> Option<(Span, &'a Spanned<DeValue<'a>>)> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table.get_key_value(key).map(|(key, value)| (key.span(), value))
    }

    /// The value that `read` gets, which must be given; `example` shows how.
    pub(crate) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&mut Self, &'static str) -> Option<T>,
    ) -> Option<T> {
        if !self.must_have(key) {
            let finding = Finding::error(Code::MissingKey, format!("{} needs `{key}`", self.title)).at(
                self.sink.file,
                self.span.clone(),
                format!("`{key}` is missing here"),
            );
            self.sink.push(finding.help(format!("add it, for example `{example}`")));
        }
        read(self, key)
    }

    /// A time; zero only if `zero`.
    pub(crate) fn duration(&mut self, key: &'static str, zero: bool) -> Option<Spanned<Duration>> {
        self.asks(key, Kind::Time(zero));
        let value = self.quantity(key, Code::BadTime, "time", "33ms", units::parse_duration)?;
        self.not_zero(&self.call(key), value, |value| zero || !value.is_zero())
    }

    /// A size, never zero.
    pub(crate) fn size(&mut self, key: &'static str) -> Option<Spanned<Bytes>> {
        self.asks(key, Kind::Size);
        let value = self.quantity(key, Code::BadSize, "size", "256MiB", units::parse_size)?;
        self.not_zero(&self.call(key), value, |value| value.0 > 0)
    }

    /// Likewise what stands under a key that is a name.
    pub(crate) fn size_of(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Spanned<Bytes>> {
        self.asks("*", Kind::Size);
        let called = self.call(key);
        let value = self.quantity_of(&called, value, Code::BadSize, "size", "256MiB", units::parse_size)?;
        self.not_zero(&called, value, |value| value.0 > 0)
    }

    /// The size of a page: a power of two, at least the alignment of everything.
    pub(crate) fn page_size(&mut self, key: &'static str) -> Option<Spanned<Bytes>> {
        let value = self.size(key)?;
        let size = value.get_ref().0;
        if size.is_power_of_two() && size >= ALIGNMENT.0 {
            return Some(value);
        }
        let message = format!("{} is {size} bytes, which is no page's size", self.call(key));
        let finding = Finding::error(Code::NumberOutOfRange, message).at(self.sink.file, value.span(), "out of range");
        self.sink
            .push(finding.help("a power of two, at least 64 bytes: 4KiB on most machines, `getconf PAGESIZE` tells"));
        None
    }

    /// A share such as `20%` in hundredths of a percent, at most all of it; zero only where that is said.
    pub(crate) fn percent(&mut self, key: &'static str, zero: bool) -> Option<Spanned<u64>> {
        self.asks(key, Kind::Share(zero));
        let value = self.quantity(key, Code::BadPercent, "percentage", "20%", units::parse_percent)?;
        if *value.get_ref() > units::parse_percent("100%").unwrap_or(u64::MAX) {
            let message = format!("{} must be at most 100%", self.call(key));
            let finding = Finding::error(Code::NumberOutOfRange, message);
            self.sink.push(finding.at(self.sink.file, value.span(), "out of range"));
            return None;
        }
        self.not_zero(&self.call(key), value, |value| zero || *value > 0)
    }

    fn not_zero<T>(&self, called: &str, value: Spanned<T>, accept: impl Fn(&T) -> bool) -> Option<Spanned<T>> {
        if accept(value.get_ref()) {
            return Some(value);
        }
        let message = format!("{called} must be more than zero");
        let finding = Finding::error(Code::NumberOutOfRange, message);
        self.sink.push(finding.at(self.sink.file, value.span(), "this is zero"));
        None
    }

    /// A string with a unit.
    fn quantity<T>(
        &mut self,
        key: &'static str,
        code: Code,
        what: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Spanned<T>> {
        let (_, value) = self.entry(key)?;
        self.quantity_of(&self.call(key), value, code, what, example, parse)
    }

    /// What a value that messages call `called` says as a string with a unit.
    fn quantity_of<T>(
        &self,
        called: &str,
        value: &Spanned<DeValue<'_>>,
        code: Code,
        what: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Spanned<T>> {
        let (unit, base) = match code {
            Code::BadTime => ("the units are ns, us, ms and s", "nanoseconds"),
            Code::BadPercent => ("the unit is %", "hundredths of a percent"),
            _ => ("the units are B, KiB, MiB, GiB, kB, MB and GB", "bytes"),
        };
        let problem = match value.get_ref() {
            DeValue::String(text) => match parse(text) {
                Ok(parsed) => return Some(Spanned::new(value.span(), parsed)),
                Err(problem) => problem,
            },
            DeValue::Integer(_) | DeValue::Float(_) => Problem::NoUnit,
            other => {
                self.wrong_type_of(called, other, value.span(), &format!("a {what} such as \"{example}\""));
                return None;
            }
        };
        let found = shown(value.get_ref());
        let message = format!("{called} must be a {what} such as \"{example}\", not {found}");
        let finding = Finding::error(code, message);
        let mut finding = finding.at(self.sink.file, value.span(), problem.describe(base)).help(unit);
        if let (Problem::Space, DeValue::String(text)) = (&problem, value.get_ref()) {
            let close = text.replace(char::is_whitespace, "");
            if parse(&close).is_ok() {
                finding = finding.patch(self.sink.file, value.span(), format!("\"{close}\""));
            }
        }
        self.sink.push(finding);
        None
    }

    /// An integer from 0 to 65,535.
    pub(crate) fn small(&mut self, key: &'static str) -> Option<Spanned<u16>> {
        self.asks(key, Kind::Integer(0, u64::from(u16::MAX)));
        let (_, value) = self.entry(key)?;
        self.small_value(key, value)
    }

    /// Likewise what stands under a key that is a name.
    pub(crate) fn small_of(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Spanned<u16>> {
        self.asks("*", Kind::Integer(0, u64::from(u16::MAX)));
        self.small_value(key, value)
    }

    fn small_value(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Spanned<u16>> {
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong_type(key, value.get_ref(), value.span(), "an integer");
            return None;
        };
        match integer_value(integer).and_then(|n| u16::try_from(n).ok()) {
            Some(n) => Some(Spanned::new(value.span(), n)),
            None => {
                self.out_of_range(&self.call(key), value.span(), u32::from(u16::MAX), 0, integer);
                None
            }
        }
    }

    /// An integer within these bounds.
    pub(crate) fn count(&mut self, key: &'static str, least: u8, most: u8) -> Option<Spanned<u8>> {
        self.asks(key, Kind::Integer(u64::from(least), u64::from(most)));
        let (_, value) = self.entry(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong_type(key, value.get_ref(), value.span(), "an integer");
            return None;
        };
        let found = integer_value(integer).and_then(|n| u8::try_from(n).ok());
        let Some(n) = found.filter(|n| (least..=most).contains(n)) else {
            self.out_of_range(&self.call(key), value.span(), u32::from(most), u32::from(least), integer);
            return None;
        };
        Some(Spanned::new(value.span(), n))
    }

    /// A priority: an integer from 0 to 65,535, or the word that asks for the best one.
    pub(crate) fn priority(&mut self, key: &'static str) -> Option<Spanned<Order>> {
        self.asks(key, Kind::Integer(0, u64::from(u16::MAX)));
        self.asks(key, Kind::Words(vec!["optimal".to_owned()]));
        let (_, value) = self.entry(key)?;
        let expected = "an integer or \"optimal\"";
        match value.get_ref() {
            DeValue::Integer(_) => {
                self.small(key).map(|n| Spanned::new(n.span(), Order::Number(Priority(*n.get_ref()))))
            }
            DeValue::String(word) if *word == "optimal" => Some(Spanned::new(value.span(), Order::Optimal)),
            DeValue::String(word) => {
                let message = format!("{} has no value {word:?}", self.call(key));
                let finding = Finding::error(Code::UnknownValue, message).at(self.sink.file, value.span(), "not known");
                self.sink.push(finding.help("a priority is a number from 0 to 65535, or \"optimal\""));
                None
            }
            other => {
                self.wrong_type(key, other, value.span(), expected);
                None
            }
        }
    }

    fn out_of_range(&self, what: &str, span: Span, most: u32, least: u32, found: &DeInteger<'_>) {
        let message = format!("{what} must be from {least} to {most}, not {found}");
        let finding = Finding::error(Code::NumberOutOfRange, message);
        self.sink.push(finding.at(self.sink.file, span, "out of range"));
    }

    /// A plain decimal number from 1 to 10, in parts per million.
    pub(crate) fn margin(&mut self, key: &'static str) -> Option<Spanned<u64>> {
        self.asks(key, Kind::Margin);
        let (_, value) = self.entry(key)?;
        let parsed = match value.get_ref() {
            DeValue::Float(number) => units::parse_ppm(number.as_str()),
            DeValue::Integer(number) if number.radix() == 10 => units::parse_ppm(number.as_str()),
            other => {
                self.wrong_type(key, other, value.span(), "a decimal number such as 1.25");
                return None;
            }
        };
        let fault = match parsed {
            Ok(ppm) if (units::ONE_PPM..=10 * units::ONE_PPM).contains(&ppm) => {
                return Some(Spanned::new(value.span(), ppm));
            }
            Ok(_) => "out of range".to_owned(),
            Err(Problem::NoNumber) => "this is not a plain decimal number".to_owned(),
            Err(problem) => problem.describe("millionths"),
        };
        let (called, found) = (self.call(key), shown(value.get_ref()));
        let message = format!("{called} must be from 1 to 10 with at most six decimals, not {found}");
        let finding = Finding::error(Code::NumberOutOfRange, message);
        self.sink.push(finding.at(self.sink.file, value.span(), fault));
        None
    }

    /// Whether a table is under `key`.
    pub(crate) fn is_table(&mut self, key: &'static str) -> bool {
        self.entry(key).is_some_and(|(_, value)| matches!(value.get_ref(), DeValue::Table(_)))
    }

    /// The table under `key`; `expected` says what it is.
    pub(crate) fn section(&mut self, key: &'static str, expected: &str) -> Option<Self> {
        self.asks(key, Kind::Table);
        let (_, value) = self.entry(key)?;
        let title = self.call(key);
        self.table_of(key, self.below(key), value, title, expected)
    }

    /// The table `[key]` of the whole file.
    pub(crate) fn top(&mut self, key: &'static str) -> Option<Self> {
        self.asks(key, Kind::Table);
        let (_, value) = self.entry(key)?;
        self.table_of(key, self.below(key), value, format!("[{key}]"), &format!("a table [{key}]"))
    }

    /// The tables `[key.NAME]` in file order, and whether these are all that the file has.
    pub(crate) fn named(&mut self, key: &'static str) -> (Vec<(Spanned<String>, Self)>, bool) {
        let mut found = Vec::new();
        self.asks(key, Kind::Table);
        let Some((_, value)) = self.entry(key) else { return (found, true) };
        let expected = format!("made of tables [{key}.NAME]");
        let Some(all) = self.table_of(key, self.below(key), value, format!("[{key}]"), &expected) else {
            return (found, false);
        };
        let mut complete = true;
        all.asks("*", Kind::Table);
        for (name, value) in all.pairs() {
            let what = format!("{key}.{}", name.get_ref());
            let title = format!("[{what}]");
            match self.table_of(&what, all.below("*"), value, title.clone(), &format!("a table {title}")) {
                Some(section) => found.push((name, section)),
                None => complete = false,
            }
        }
        (found, complete)
    }

    /// The table under a key that is a name.
    pub(crate) fn entry_of(
        &self,
        name: &Spanned<String>,
        value: &'a Spanned<DeValue<'a>>,
        expected: &str,
    ) -> Option<Self> {
        self.asks("*", Kind::Table);
        self.table_of(name.get_ref(), self.below("*"), value, self.call(name.get_ref()), expected)
    }

    fn table_of(
        &self,
        key: &str,
        place: String,
        value: &'a Spanned<DeValue<'a>>,
        title: String,
        expected: &str,
    ) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::new(self.sink, value.span(), title, place, table)),
            other => {
                self.wrong_type(key, other, value.span(), expected);
                None
            }
        }
    }

    /// All keys in file order, for tables whose keys are names.
    pub(crate) fn pairs(&self) -> Vec<(Spanned<String>, &'a Spanned<DeValue<'a>>)> {
        let mut pairs = Vec::new();
        for (key, value) in self.table.iter() {
            pairs.push((Spanned::new(key.span(), key.get_ref().to_string()), value));
        }
        pairs.sort_by_key(|(key, _)| key.span().start);
        pairs
    }

    fn wrong_type(&self, key: &str, found: &DeValue<'_>, span: Span, expected: &str) {
        let called = if self.is_root() { format!("`{key}`") } else { self.call(key) };
        self.wrong_type_of(&called, found, span, expected);
    }

    fn wrong_type_of(&self, what: &str, found: &DeValue<'_>, span: Span, expected: &str) {
        let found = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let message = format!("{what} must be {expected}, not {found}");
        let finding = Finding::error(Code::WrongType, message);
        self.sink.push(finding.at(self.sink.file, span, format!("this is {found}")));
    }
}

/// A value as messages show it.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        other => other.type_str().to_owned(),
    }
}

/// The value of an integer, if it fits.
fn integer_value(integer: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}
