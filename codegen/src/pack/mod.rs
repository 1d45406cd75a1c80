//! `aegis pack`: a table of buffers in, the same table with offsets out.
//!
//! The table is CSV with a header, as in the MiniMalloc benchmark (M. Moffitt, ASPLOS 2023): `id`, `lower`, `upper`,
//! `size`, and where it has them `alignment`, `gaps`, `offset`. A lifespan is half-open, `[lower, upper)`; `gaps` lists
//! half-open parts of it in which the buffer is not live, `12-17 30-31`; an `offset` is one that the buffer must have.
//! Other columns are kept as they are.

mod rows;
mod verdict;

pub use verdict::{Told, judge, refused};

use crate::finding::{Code, Finding};
use crate::memory::solver::problem::MOST_BUFFERS;
use crate::memory::solver::{Buffer, Invalid, Plan, Problem};
use csv::StringRecord;
use std::collections::HashMap;
use std::ops::Range;

/// At most this many findings are listed; a broken column breaks every row.
const MOST_FINDINGS: usize = 100;

/// A table that was read.
#[derive(Debug)]
pub struct Sheet {
    file: String,
    header: StringRecord,
    rows: Vec<StringRecord>,
    /// The name of each row.
    ids: Vec<String>,
    /// Where each row lies in the text.
    spans: Vec<Range<usize>>,
    problem: Problem,
}

impl Sheet {
    /// Reads a table.
    ///
    /// # Errors
    /// Everything that is wrong with it, at most 100 findings and one that says how many more.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<Finding>> {
        let (header, rows, spans, mut found) = records(file, text)?;
        let columns = rows::Columns::of(file, &header, line(text, 0)).map_err(capped)?;
        if rows.is_empty() && found.is_empty() {
            return Err(vec![
                Finding::error(Code::PackTable, "the table has no row")
                    .in_file(file, "")
                    .help("give one row per buffer below the header"),
            ]);
        }
        if rows.len() > MOST_BUFFERS {
            let message = format!("{} rows; at most {MOST_BUFFERS} buffers are planned at once", rows.len());
            return Err(vec![
                Finding::error(Code::PackTable, message)
                    .in_file(file, "")
                    .help("plan parts that are never live together on their own: they may have the same bytes"),
            ]);
        }
        let mut buffers = Vec::with_capacity(rows.len());
        for (row, span) in rows.iter().zip(&spans) {
            buffers.push(columns.buffer(row, &mut rows::Told { file, span, found: &mut found }));
        }
        let ids: Vec<String> = rows.iter().map(|row| columns.id(row).to_owned()).collect();
        duplicates(file, &ids, &spans, &mut found);
        let buffers: Option<Vec<Buffer>> = buffers.into_iter().collect();
        let Some(buffers) = buffers.filter(|_| found.is_empty()) else { return Err(capped(found)) };
        match Problem::new(buffers) {
            Ok(problem) => Ok(Self { file: file.to_owned(), header, rows, ids, spans, problem }),
            Err(invalid) => Err(capped(invalid.into_iter().map(|one| impossible(file, &ids, &spans, &one)).collect())),
        }
    }

    /// What is to be planned.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The table with the plan's offsets in the column `offset`, which is added where it is missing.
    #[must_use]
    pub fn with_offsets(&self, plan: &Plan) -> String {
        let at = self.header.iter().position(|name| name.trim() == rows::OFFSET);
        let replaced = |row: &StringRecord, with: &str| {
            let mut row: StringRecord = row.clone();
            match at {
                None => row.push_field(with),
                Some(at) => {
                    let fields = row.iter().enumerate();
                    row = fields.map(|(column, field)| if column == at { with } else { field }).collect();
                }
            }
            row
        };
        let mut writer = csv::Writer::from_writer(Vec::new());
        // Writing into memory does not fail, and every row has as many fields as the header.
        let _ = writer.write_record(&replaced(&self.header, rows::OFFSET));
        for (row, offset) in self.rows.iter().zip(&plan.offsets) {
            let _ = writer.write_record(&replaced(row, &offset.to_string()));
        }
        writer.into_inner().map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The header, the rows that have its number of fields with their places, and what is wrong with the others.
type Records = (StringRecord, Vec<StringRecord>, Vec<Range<usize>>, Vec<Finding>);

fn records(file: &str, text: &str) -> Result<Records, Vec<Finding>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let unreadable = |error: &csv::Error| {
        vec![Finding::error(Code::PackTable, format!("this is not CSV: {error}")).in_file(file, "")]
    };
    let header = reader.headers().map_err(|error| unreadable(&error))?.clone();
    let (mut rows, mut spans, mut found) = (Vec::new(), Vec::new(), Vec::new());
    for row in reader.into_records() {
        let row = row.map_err(|error| unreadable(&error))?;
        let byte = row.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(usize::MAX));
        let span = line(text, byte);
        if row.len() != header.len() {
            let message = format!("a row has {} fields, the header has {}", row.len(), header.len());
            found.push(
                Finding::error(Code::PackTable, message)
                    .at(file, span.clone(), "this row")
                    .help("separate fields by one comma each, and leave none out"),
            );
            continue;
        }
        rows.push(row);
        spans.push(span);
    }
    Ok((header, rows, spans, found))
}

/// The line that begins at or after `byte`, without its end.
fn line(text: &str, byte: usize) -> Range<usize> {
    let rest = text.get(byte..).unwrap_or("");
    let start = byte + rest.len() - rest.trim_start_matches(['\r', '\n']).len();
    let length = text.get(start..).and_then(|rest| rest.find(['\r', '\n']));
    start..length.map_or(text.len().max(start), |length| start + length)
}

fn duplicates(file: &str, ids: &[String], spans: &[Range<usize>], found: &mut Vec<Finding>) {
    let mut seen: HashMap<&str, &Range<usize>> = HashMap::new();
    for (id, span) in ids.iter().zip(spans) {
        if let Some(first) = seen.insert(id, span) {
            found.push(
                Finding::error(Code::PackDuplicate, format!("two buffers are called `{id}`"))
                    .at(file, span.clone(), "the second")
                    .also(file, first.clone(), "the first")
                    .help("give every buffer an id of its own"),
            );
        }
    }
}

/// What the solver refuses, in the table's terms.
fn impossible(file: &str, ids: &[String], spans: &[Range<usize>], invalid: &Invalid) -> Finding {
    let id = |at: &usize| ids.get(*at).map_or("?", String::as_str);
    let span = |at: &usize| spans.get(*at).cloned().unwrap_or(0..0);
    match invalid {
        Invalid::PinnedOverlap { first, second } => {
            let message =
                format!("`{}` and `{}` have common bytes by their offsets while both are live", id(first), id(second));
            Finding::error(Code::PackPinned, message)
                .at(file, span(second), "this one")
                .also(file, span(first), "and this one")
                .help("leave the offset of one of them empty, or move it")
        }
        Invalid::TooLarge { buffer } => {
            let message =
                format!("the sizes, alignments and offsets up to `{}` sum to more than 2^62 bytes", id(buffer));
            Finding::error(Code::PackValue, message)
                .at(file, span(buffer), "the sum exceeds here")
                .help("no machine has so much; sizes are in bytes")
        }
        Invalid::Misaligned { buffer, offset, alignment } => {
            let message = format!("`{}` has the offset {offset}, no multiple of its alignment {alignment}", id(buffer));
            Finding::error(Code::PackPinned, message)
                .at(file, span(buffer), "this one")
                .help("correct the offset or the alignment, or leave the offset empty")
        }
        // The rows were checked for these.
        other @ (Invalid::TooMany { .. }
        | Invalid::Empty { .. }
        | Invalid::Disordered { .. }
        | Invalid::Alignment { .. }) => Finding::error(Code::PackValue, other.to_string()).in_file(file, ""),
    }
}

/// The first findings, and one that counts the others.
fn capped(mut found: Vec<Finding>) -> Vec<Finding> {
    let more = found.len().saturating_sub(MOST_FINDINGS);
    let kind = found.first().map_or(Code::PackTable, |first| first.code);
    found.truncate(MOST_FINDINGS);
    if more > 0 {
        found.push(Finding::error(kind, format!("and {more} findings more, which are not listed")));
    }
    found
}
