//! The reader of traces.

use crate::block::Entries;
use crate::damage::Note;
use crate::files::numbered;
use crate::head::{HeadError, Header};
use crate::output::Place;
use crate::plan::{OutOfPlan, check};
use crate::source::{Closed, Found, Source};
use aegis_core::desc::SystemDesc;
use aegis_core::trace::Record;
use std::collections::VecDeque;
use std::io;
use std::path::Path;

/// A trace that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A part cannot be read.
    #[error("cannot read `{file}`: {error}")]
    Io {
        /// The part.
        file: String,
        /// Why.
        error: io::Error,
    },
    /// A part has no head that can be read.
    #[error("cannot read `{file}`: {why}")]
    Head {
        /// The part.
        file: String,
        /// Why.
        why: HeadError,
    },
    /// Two parts are not of one run.
    #[error("`{one}` and `{other}` are not of one run: {why}; move one of them away")]
    OtherRun {
        /// A part.
        one: String,
        /// Another one.
        other: String,
        /// What tells them apart.
        why: String,
    },
}

/// A trace that cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refuses.
    #[error("cannot read `{file}`: {error}")]
    Io {
        /// The part.
        file: String,
        /// Why.
        error: io::Error,
    },
    /// A block is as it was written, but no writer of this version wrote it.
    #[error("`{file}`, block {block}: {why}")]
    Block {
        /// The part.
        file: String,
        /// Which block it is, from 1.
        block: u64,
        /// Why.
        why: &'static str,
    },
    /// A record names what the plan does not have.
    #[error("`{file}`, record {sequence}: {why}")]
    Plan {
        /// The part.
        file: String,
        /// The record's number.
        sequence: u64,
        /// What it names.
        why: OutOfPlan,
    },
    /// A block begins with a number that was there before.
    #[error(
        "`{file}`, block {block}: it begins with record {first}, but records up to {before} came before: it is of another run"
    )]
    Order {
        /// The part.
        file: String,
        /// Which block it is, from 1.
        block: u64,
        /// Its first number.
        first: u64,
        /// The number that came last.
        before: u64,
    },
}

/// The records of a trace, in their order, over all its parts; one block is in memory at a time.
pub struct Records {
    parts: VecDeque<Source>,
    entries: Entries,
    plan: Option<&'static SystemDesc>,
    notes: Vec<Note>,
    /// The place in `notes` of what was passed over just now: the next block tells how many records were in it.
    pending: Option<usize>,
    /// Which block of the present part is read.
    block: u64,
    /// How many records that reached the files lie behind, those that are damaged or gone included.
    passed: u64,
    /// The last record's number.
    last: Option<u64>,
    size: u64,
    walked: u64,
    over: bool,
}

/// Opens a trace in the binary form: `path` and its older parts beside it.
///
/// # Errors
/// [`OpenError`]; what is damaged or missing behind the heads is passed over, and [`Records::notes`] tells of it.
pub fn open(path: &Path) -> Result<(Header, Records), OpenError> {
    // The parts lie where the newest one does.
    let place = Place::of(path).ok().and_then(|place| if let Place::File(path) = place { Some(path) } else { None });
    let path = place.as_deref().unwrap_or(path);
    let mut paths = numbered(path);
    let mut notes = Vec::new();
    // A writer that was killed between two renames leaves older parts only.
    if path.exists() || paths.is_empty() {
        paths.push(path.to_owned());
    } else {
        notes.push(Note::Nameless { file: path.display().to_string() });
    }
    let mut parts = Vec::new();
    for path in paths {
        let file = || path.display().to_string();
        parts.push(Source::open(&path).map_err(|closed| match closed {
            Closed::Io(error) => OpenError::Io { file: file(), error },
            Closed::Head(why) => OpenError::Head { file: file(), why },
        })?);
    }
    parts.sort_by_key(|part| part.part);
    for (one, other) in parts.iter().zip(parts.iter().skip(1)) {
        let why = if one.header != other.header {
            "their heads differ".to_owned()
        } else if one.part == other.part {
            format!("both are part {}", one.part)
        } else {
            continue;
        };
        return Err(OpenError::OtherRun { one: one.name.clone(), other: other.name.clone(), why });
    }
    let size = parts.iter().map(|part| part.size).fold(0, u64::saturating_add);
    let parts = VecDeque::from(parts);
    let Some(header) = parts.front().map(|part| part.header.clone()) else {
        return Err(OpenError::Io { file: path.display().to_string(), error: io::ErrorKind::NotFound.into() });
    };
    let records = Records {
        parts,
        entries: Entries::default(),
        plan: None,
        notes,
        pending: None,
        block: 0,
        passed: 0,
        last: None,
        size,
        walked: 0,
        over: false,
    };
    Ok((header, records))
}

impl Records {
    /// Refuses records that name what the plan does not have.
    #[must_use]
    pub fn of_plan(mut self, plan: &'static SystemDesc) -> Self {
        self.plan = Some(plan);
        self
    }

    /// What was passed over so far: all of it when the last record has been read.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// How many bytes lie behind.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.walked.saturating_add(self.parts.front().map_or(0, Source::position))
    }

    /// How many bytes the trace had when it was opened.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Goes to the next block that is whole; false at the end.
    fn advance(&mut self) -> Result<bool, ReadError> {
        loop {
            let is_last = self.parts.len() == 1;
            let Some(part) = self.parts.front_mut() else { return Ok(false) };
            let file = part.name.clone();
            match part.step() {
                Err(error) => return Err(ReadError::Io { file, error }),
                Ok(Found::End) => {
                    self.walked = self.walked.saturating_add(part.position());
                    self.parts.pop_front();
                    self.block = 0;
                }
                Ok(Found::Torn { bytes, .. }) if is_last => self.notes.push(Note::Torn { file, bytes }),
                Ok(Found::Damaged { offset, bytes } | Found::Torn { offset, bytes }) => {
                    self.block = self.block.saturating_add(1);
                    // What lies side by side is told as one.
                    if let Some(Note::Damaged { file: own, offset: first, bytes: all, .. }) = self.notes.last_mut()
                        && self.pending.is_some()
                        && *own == file
                        && first.checked_add(*all) == Some(offset)
                    {
                        *all = all.saturating_add(bytes);
                        continue;
                    }
                    self.pending.get_or_insert(self.notes.len());
                    self.notes.push(Note::Damaged { file, block: self.block, offset, bytes, records: None });
                }
                Ok(Found::Block(head)) => {
                    self.block = self.block.saturating_add(1);
                    let before = head.first.saturating_sub(head.lost);
                    let out_of_order = self.last.is_some_and(|last| head.first <= last);
                    if before < self.passed || out_of_order {
                        let before = self.last.unwrap_or_default();
                        return Err(ReadError::Order { file, block: self.block, first: head.first, before });
                    }
                    self.entries.begin(&head, part.records());
                    self.missing(before.saturating_sub(self.passed), head.first);
                    self.passed = before.saturating_add(u64::from(head.count));
                    return Ok(true);
                }
            }
        }
    }

    /// Notes how many records lay between the block before and this one that begins with record `first`.
    fn missing(&mut self, records: u64, first: u64) {
        let pending = self.pending.take();
        if let Some(Note::Damaged { records: known, .. }) = pending.and_then(|place| self.notes.get_mut(place)) {
            *known = Some(records);
            // What follows in one row is counted with the first.
            let rest = pending.and_then(|place| self.notes.get_mut(place.saturating_add(1)..));
            for note in rest.into_iter().flatten() {
                if let Note::Damaged { records, .. } = note {
                    *records = Some(0);
                }
            }
        } else if records > 0 {
            self.notes.push(Note::Gone { first, records });
        }
    }

    fn read(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            let file = |parts: &VecDeque<Source>| parts.front().map(|part| part.name.clone()).unwrap_or_default();
            match self.entries.next() {
                Some(Ok(record)) => {
                    if let Some(plan) = self.plan {
                        check(&record.kind, plan).map_err(|why| ReadError::Plan {
                            file: file(&self.parts),
                            sequence: record.sequence,
                            why,
                        })?;
                    }
                    self.last = Some(record.sequence);
                    return Ok(Some(record));
                }
                Some(Err(why)) => return Err(ReadError::Block { file: file(&self.parts), block: self.block, why }),
                None if self.advance()? => {}
                None => return Ok(None),
            }
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.read().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}
