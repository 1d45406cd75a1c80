//! The writer of traces.

use crate::block::Block;
use crate::head::Header;
use aegis_core::desc::SystemDesc;
use aegis_core::trace::Record;
use std::io::{self, Write};

/// Where blocks go.
pub trait Store {
    /// Takes a whole block, in one piece; the first one after the head of part 0.
    ///
    /// # Errors
    /// The disk is full, or gone. Some of the block may be in the file then.
    fn append(&mut self, header: &Header, block: &[u8]) -> io::Result<()>;
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn append(&mut self, header: &Header, block: &[u8]) -> io::Result<()> {
        (**self).append(header, block)
    }
}

/// A trace of one part that goes wherever bytes can go.
#[derive(Debug)]
pub struct Stream<W> {
    out: W,
    begun: bool,
}

impl<W: Write> Stream<W> {
    /// A stream to which nothing was written.
    pub const fn new(out: W) -> Self {
        Self { out, begun: false }
    }
}

impl<W: Write> Store for Stream<W> {
    fn append(&mut self, header: &Header, block: &[u8]) -> io::Result<()> {
        if !self.begun {
            self.out.write_all(&header.head(0)?)?;
            self.begun = true;
        }
        self.out.write_all(block)
    }
}

/// Writes records, block by block.
///
/// What was not [flushed](Writer::flush) before a writer is dropped is not written.
pub struct Writer<S> {
    header: Header,
    store: S,
    block: Block,
    /// How many records the file has, or is about to have.
    taken: u64,
    written: u64,
}

impl<S: Store> Writer<S> {
    /// A writer of a run of a plan.
    pub fn new(system: &SystemDesc, store: S) -> Self {
        Self { header: Header::of(system), store, block: Block::new(), taken: 0, written: 0 }
    }

    /// Takes a record; their numbers must rise.
    ///
    /// # Errors
    /// The block before could not be written, and this record is not taken.
    pub fn push(&mut self, record: &Record) -> io::Result<()> {
        let lost = record.sequence.saturating_sub(self.taken);
        if !self.block.push(record, lost)? {
            self.flush()?;
            self.block.push(record, lost)?;
        }
        self.taken = self.taken.saturating_add(1);
        Ok(())
    }

    /// Whether records wait for their block to end.
    pub const fn is_waiting(&self) -> bool {
        self.block.count() > 0
    }

    /// How many records are in blocks that are written.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Writes the records that wait as a block.
    ///
    /// # Errors
    /// The block could not be written: its records are lost.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.is_waiting() {
            let (bytes, count) = self.block.close();
            self.store.append(&self.header, bytes)?;
            self.written = self.written.saturating_add(u64::from(count));
        }
        Ok(())
    }

    /// Writes what waits, of a run without records the head alone, and returns where everything went.
    ///
    /// # Errors
    /// As for [`Writer::flush`].
    pub fn finish(mut self) -> io::Result<S> {
        self.flush()?;
        if self.written == 0 {
            self.store.append(&self.header, &[])?;
        }
        Ok(self.store)
    }
}
