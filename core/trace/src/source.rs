//! One part of a trace as a reader walks through it.

use crate::block::{BlockHead, HEAD, MARKER};
use crate::head::{self, FIXED, HeadError, Header};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// How much is read at once.
const CHUNK: usize = 1 << 18;

/// What lies at the present position.
pub(crate) enum Found {
    /// A block whose bytes are as they were written; [`Source::records`] has them until the next step.
    Block(BlockHead),
    /// Bytes that are no block.
    Damaged { offset: u64, bytes: u64 },
    /// The beginning of a block, and then the end.
    Torn { offset: u64, bytes: u64 },
    /// The end.
    End,
}

/// A part.
pub(crate) struct Source {
    input: File,
    /// What was read and not walked over yet, from `at` on.
    buffer: Vec<u8>,
    at: usize,
    /// Where in the file `at` is.
    offset: u64,
    /// Where the records of the present block end, before `at`.
    block: usize,
    /// Its name.
    pub(crate) name: String,
    /// Its length when it was opened.
    pub(crate) size: u64,
    /// What its head says.
    pub(crate) header: Header,
    /// Which part it is.
    pub(crate) part: u64,
}

/// A part that cannot be opened.
pub(crate) enum Closed {
    Io(io::Error),
    Head(HeadError),
}

impl Source {
    /// Opens a part and reads its head.
    pub(crate) fn open(path: &Path) -> Result<Self, Closed> {
        let input = File::open(path).map_err(Closed::Io)?;
        let size = input.metadata().map_err(Closed::Io)?.len();
        let mut source = Self {
            input,
            buffer: Vec::new(),
            at: 0,
            offset: 0,
            block: 0,
            name: path.display().to_string(),
            size,
            header: Header {
                schema: String::new(),
                system: String::new(),
                config_hash: [0; 32],
                releases: head::Releases::Timer,
            },
            part: 0,
        };
        let short = |source: &Self| Closed::Head(HeadError::Short(length(source.rest())));
        if !source.ensure(FIXED).map_err(Closed::Io)? {
            return Err(short(&source));
        }
        let length = head::length(source.rest()).map_err(Closed::Head)?;
        if !source.ensure(length).map_err(Closed::Io)? {
            return Err(short(&source));
        }
        let head = source.rest().get(..length).unwrap_or_default();
        (source.header, source.part) = head::read(head).map_err(Closed::Head)?;
        source.skip(length);
        Ok(source)
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// Reads until `count` bytes lie ahead; false where the file ends before.
    fn ensure(&mut self, count: usize) -> io::Result<bool> {
        while self.rest().len() < count {
            if self.at > 0 {
                self.buffer.drain(..self.at);
                (self.at, self.block) = (0, 0);
            }
            let before = self.buffer.len();
            self.buffer.resize(before.saturating_add(CHUNK), 0);
            let read = self.input.read(self.buffer.get_mut(before..).unwrap_or_default());
            let kept = before.saturating_add(*read.as_ref().unwrap_or(&0));
            self.buffer.truncate(kept);
            match read {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.buffer.len());
        self.offset = self.offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// How many bytes were walked over.
    pub(crate) const fn position(&self) -> u64 {
        self.offset
    }

    /// The records of the block that was found last.
    pub(crate) fn records(&self) -> &[u8] {
        self.buffer.get(self.block..self.at).unwrap_or_default()
    }

    /// Walks over the next block, or over what is none.
    pub(crate) fn step(&mut self) -> io::Result<Found> {
        let offset = self.offset;
        if !self.ensure(HEAD)? {
            let bytes = length(self.rest());
            // A head's beginning is one that was torn off; anything else was never written so.
            let known = self.rest().len().min(MARKER.len());
            let is_torn = self.rest().get(..known) == MARKER.get(..known);
            self.skip(self.rest().len());
            return Ok(match (bytes, is_torn) {
                (0, _) => Found::End,
                (_, true) => Found::Torn { offset, bytes },
                (_, false) => Found::Damaged { offset, bytes },
            });
        }
        let Some(block) = BlockHead::read(self.rest()) else { return self.seek() };
        let whole = HEAD.saturating_add(block.length);
        if !self.ensure(whole)? {
            let bytes = length(self.rest());
            self.skip(self.rest().len());
            return Ok(Found::Torn { offset, bytes });
        }
        self.skip(whole);
        self.block = self.at.saturating_sub(block.length);
        if crc32c::crc32c(self.records()) == block.checksum {
            return Ok(Found::Block(block));
        }
        Ok(Found::Damaged { offset, bytes: u64::try_from(whole).unwrap_or(u64::MAX) })
    }

    /// Walks to the next head of a block, or to the end.
    fn seek(&mut self) -> io::Result<Found> {
        let offset = self.offset;
        self.skip(1);
        while self.ensure(HEAD)? {
            let windows = self.rest().windows(MARKER.len());
            match windows.into_iter().position(|window| window == MARKER) {
                Some(0) if BlockHead::read(self.rest()).is_some() => break,
                Some(0) => self.skip(1),
                // A head may not have been read as a whole.
                Some(ahead) => self.skip(ahead),
                None => self.skip(self.rest().len().saturating_sub(MARKER.len() - 1)),
            }
        }
        if self.rest().len() < HEAD {
            self.skip(self.rest().len());
        }
        Ok(Found::Damaged { offset, bytes: self.offset.saturating_sub(offset) })
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
