//! From a row's text to a buffer.

use crate::finding::{Code, Finding};
use crate::memory::solver::Buffer;
use csv::StringRecord;
use std::num::IntErrorKind;
use std::ops::Range;

/// The column that offsets are written to.
pub(super) const OFFSET: &str = "offset";

/// Where each column stands.
pub(super) struct Columns {
    id: usize,
    lower: usize,
    upper: usize,
    size: usize,
    alignment: Option<usize>,
    gaps: Option<usize>,
    offset: Option<usize>,
}

/// Where findings about a row go.
pub(super) struct Told<'a> {
    pub(super) file: &'a str,
    pub(super) span: &'a Range<usize>,
    pub(super) found: &'a mut Vec<Finding>,
}

impl Told<'_> {
    fn wrong(&mut self, message: String, help: &str) {
        self.found
            .push(Finding::error(Code::PackValue, message).at(self.file, self.span.clone(), "in this row").help(help));
    }
}

impl Columns {
    pub(super) fn of(file: &str, header: &StringRecord, span: Range<usize>) -> Result<Self, Vec<Finding>> {
        let mut found = Vec::new();
        let mut column = |name: &str, needed: bool| {
            let mut at = header.iter().enumerate().filter(|(_, field)| field.trim() == name).map(|(at, _)| at);
            let first = at.next();
            if first.is_none() && needed {
                let have: Vec<&str> = header.iter().collect();
                found.push(
                    Finding::error(
                        Code::PackTable,
                        format!("there is no column `{name}`; there are: {}", have.join(", ")),
                    )
                    .at(file, span.clone(), "the header")
                    .help("the header is `id,lower,upper,size`, and may have `alignment`, `gaps` and `offset`"),
                );
            }
            if at.next().is_some() {
                found.push(
                    Finding::error(Code::PackTable, format!("the column `{name}` is there twice"))
                        .at(file, span.clone(), "the header")
                        .help("remove one of them"),
                );
            }
            first
        };
        let (id, lower, upper, size) =
            (column("id", true), column("lower", true), column("upper", true), column("size", true));
        let (alignment, gaps, offset) = (column("alignment", false), column("gaps", false), column(OFFSET, false));
        match (id, lower, upper, size) {
            (Some(id), Some(lower), Some(upper), Some(size)) if found.is_empty() => {
                Ok(Self { id, lower, upper, size, alignment, gaps, offset })
            }
            _ => Err(found),
        }
    }

    pub(super) fn id<'a>(&self, row: &'a StringRecord) -> &'a str {
        row.get(self.id).unwrap_or("").trim()
    }

    /// The row's buffer, or what is wrong with it.
    pub(super) fn buffer(&self, row: &StringRecord, told: &mut Told<'_>) -> Option<Buffer> {
        let id = self.id(row);
        if id.is_empty() {
            told.wrong("a buffer has no id".to_owned(), "give it one, so that it can be named");
        }
        let text = |at: usize| row.get(at).unwrap_or("").trim();
        let optional = |at: Option<usize>| at.map(text).filter(|text| !text.is_empty());
        let lower = number::<i64>(id, "lower", text(self.lower), told);
        let upper = number::<i64>(id, "upper", text(self.upper), told);
        let size = number::<u64>(id, "size", text(self.size), told);
        let alignment = optional(self.alignment).map_or(Some(1), |text| {
            let alignment = number::<u64>(id, "alignment", text, told)?;
            if !alignment.is_power_of_two() {
                let message = format!("`{id}` has the alignment {alignment}, which is no power of two");
                told.wrong(message, "give 1, 2, 4, 8 …, or leave it empty");
            }
            Some(alignment)
        });
        let pinned = match optional(self.offset) {
            None => Some(None),
            Some(text) => number::<u64>(id, OFFSET, text, told).map(Some),
        };
        let (lower, upper) = (lower?, upper?);
        if upper <= lower {
            let message = format!("`{id}` is live in [{lower}, {upper}), which holds no instant");
            told.wrong(message, "`upper` is the first instant at which it is no longer live, so it is above `lower`");
            return None;
        }
        let live = live(id, lower, upper, optional(self.gaps).unwrap_or(""), told)?;
        Some(Buffer { size: size?, alignment: alignment?, live, pinned: pinned? })
    }
}

/// The parts of a lifespan between its gaps.
fn live(id: &str, lower: i64, upper: i64, gaps: &str, told: &mut Told<'_>) -> Option<Vec<Range<i64>>> {
    let (mut parts, mut from, mut sound) = (Vec::new(), lower, true);
    for text in gaps.split_whitespace() {
        // A sign may stand before either number, so the dash between them is not the first one.
        let dash = text.char_indices().skip(1).find(|(_, letter)| *letter == '-').map(|(at, _)| at);
        let split = dash.and_then(|dash| Some((text.get(..dash)?, text.get(dash + 1..)?)));
        let ends = split.and_then(|(start, end)| Some((start.parse::<i64>().ok()?, end.parse::<i64>().ok()?)));
        let Some((start, end)) = ends else {
            told.wrong(
                format!("`{id}` has a gap `{text}`, which is not two whole numbers with a dash between them"),
                "write half-open gaps such as `12-17 30-31`; gaps of a part of the bytes (`@`) are not supported",
            );
            sound = false;
            continue;
        };
        if end <= start || start < lower || end > upper {
            let message = format!("`{id}` has a gap [{start}, {end}), its lifespan is [{lower}, {upper})");
            told.wrong(message, "a gap holds at least one instant and lies inside the lifespan");
            sound = false;
            continue;
        }
        if start < from {
            let message = format!("`{id}` has a gap [{start}, {end}) that does not begin after the one before it");
            told.wrong(message, "list gaps in order, without common instants");
            sound = false;
            continue;
        }
        if start > from {
            parts.push(from..start);
        }
        from = end;
    }
    if from < upper {
        parts.push(from..upper);
    }
    if parts.is_empty() && sound {
        told.wrong(
            format!("`{id}` is never live: its gaps cover its lifespan [{lower}, {upper})"),
            "remove the buffer or a gap",
        );
        sound = false;
    }
    sound.then_some(parts)
}

/// A whole number, or a finding that says why it is none.
fn number<T>(id: &str, column: &str, text: &str, told: &mut Told<'_>) -> Option<T>
where
    T: std::str::FromStr<Err = std::num::ParseIntError>,
{
    let error = match text.parse::<T>() {
        Ok(number) => return Some(number),
        Err(error) => error,
    };
    let negative =
        text.strip_prefix('-').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    let (what, help) = match error.kind() {
        IntErrorKind::Empty => ("is empty".to_owned(), "give a whole number"),
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
            (format!("is {text}, beyond 64 bits"), "sizes and offsets are bytes below 2^62, instants fit 64 bits")
        }
        _ if negative => (format!("is {text}, which is negative"), "give a number of bytes, at least 0"),
        _ => (format!("is `{text}`, which is no whole number"), "give a decimal number without unit"),
    };
    told.wrong(format!("the {column} of `{id}` {what}"), help);
    None
}
