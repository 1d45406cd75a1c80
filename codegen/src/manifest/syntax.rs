//! What the TOML parser itself refuses, as findings.

use std::ops::Range;

use toml::de::{DeTable, DeValue, Error};

use super::model::Span;
use super::reader::Sink;
use crate::finding::{Code, Finding};

/// Reports the parser's `errors`; whether `tree` may be read nevertheless.
///
/// After a duplicate the tree is whole, but after a broken grammar it has holes, and every hole would be
/// reported as a missing key.
pub(crate) fn report(text: &str, tree: &DeTable<'_>, errors: &[Error], sink: &Sink<'_>) -> bool {
    let mut readable = true;
    let sections = sections(text);
    let mut repeated: Vec<Span> = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        if error.message() != "duplicate key" {
            readable = false;
            let missing = is_value_missing(text, &span);
            let message = if missing { "a value is missing after `=`" } else { error.message() };
            sink.push(Finding::error(Code::Syntax, message).at(sink.file, span, ""));
        } else if !repeated.iter().any(|body| body.contains(&span.start)) {
            // The keys of a repeated table are not reported as well: they follow from it.
            let header = sections.iter().find(|section| section.header.contains(&span.start));
            repeated.extend(header.map(|section| section.body.clone()));
            sink.push(duplicate(text, tree, &sections, span, sink.file));
        }
    }
    readable
}

/// Whether `span` lies at a line's end, after an equals sign.
fn is_value_missing(text: &str, span: &Span) -> bool {
    let before = text.get(..span.start).unwrap_or_default();
    let after = text.get(span.start..).unwrap_or_default();
    let rest = after.split('\n').next().unwrap_or_default();
    before.trim_end_matches([' ', '\t']).ends_with('=') && rest.trim().is_empty()
}

/// A key or table that is given twice, with its first place where that can be found.
fn duplicate(text: &str, tree: &DeTable<'_>, sections: &[Section<'_>], second: Span, file: &str) -> Finding {
    let current = sections.iter().rfind(|section| section.header.start <= second.start);
    let (name, second, first) = match current.filter(|section| section.header.contains(&second.start)) {
        Some(section) => {
            let first = sections.iter().find(|other| other.title == section.title);
            let first = first.map(|other| other.header.clone());
            (section.title, section.header.clone(), first.filter(|first| *first != section.header))
        }
        None => {
            let name = text.get(second.clone()).unwrap_or_default();
            let top = 0..sections.first().map_or(text.len(), |section| section.header.start);
            let body = current.map_or(top, |section| section.body.clone());
            let first = Places::of(text, tree).last_before(text, &second, &body);
            (name, second, first)
        }
    };
    let finding = Finding::error(Code::Duplicate, format!("`{name}` is given twice"))
        .at(file, second, "given again here")
        .help("remove one of them, or rename one if two things are meant");
    match first {
        Some(first) => finding.also(file, first, "first given here"),
        None => finding,
    }
}

/// A part of the text from one table header to the next.
struct Section<'t> {
    /// The header as it is written, brackets included.
    title: &'t str,
    /// Where the header lies.
    header: Span,
    /// Where the keys lie.
    body: Span,
}

/// The table headers of `text`, found line by line.
///
/// A line of a multi-line string may be taken for one; that costs a finding its second place, no more.
fn sections(text: &str) -> Vec<Section<'_>> {
    let mut found: Vec<Section<'_>> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at + line.len() - line.trim_start().len();
        at += line.len();
        let content = line.trim();
        if let (true, Some(end)) = (content.starts_with('['), content.rfind(']')) {
            if let Some(last) = found.last_mut() {
                last.body.end = start;
            }
            let header = start..start + end + 1;
            let title = content.get(..=end).unwrap_or(content);
            found.push(Section { title, body: header.end..text.len(), header });
        }
    }
    found
}

/// Where keys and inline tables lie in the tree.
#[derive(Default)]
struct Places {
    keys: Vec<Span>,
    inline: Vec<Span>,
}

impl Places {
    fn of(text: &str, tree: &DeTable<'_>) -> Self {
        let mut places = Self::default();
        places.collect(text, tree);
        places
    }

    fn collect(&mut self, text: &str, table: &DeTable<'_>) {
        for (key, value) in table.iter() {
            self.keys.push(key.span());
            if let DeValue::Table(inner) = value.get_ref() {
                let span = value.span();
                if text.get(span.clone()).is_some_and(|text| text.starts_with('{')) {
                    self.inline.push(span);
                }
                self.collect(text, inner);
            }
        }
    }

    /// The last key before `second` with its spelling, inside `body` and in the same inline table.
    fn last_before(&self, text: &str, second: &Span, body: &Range<usize>) -> Option<Span> {
        let name = text.get(second.clone())?;
        let before = self.keys.iter().filter(|key| key.start < second.start && body.contains(&key.start));
        before
            .filter(|key| text.get((*key).clone()) == Some(name))
            .filter(|key| self.innermost(key.start) == self.innermost(second.start))
            .max_by_key(|key| key.start)
            .cloned()
    }

    /// The innermost inline table that holds the byte at `at`.
    fn innermost(&self, at: usize) -> Option<&Span> {
        self.inline.iter().filter(|span| span.contains(&at)).min_by_key(|span| span.len())
    }
}
