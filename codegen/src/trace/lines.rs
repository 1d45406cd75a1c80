//! A trace as JSON lines: the very ones that a vehicle writes into a file that ends in `.jsonl`.

use super::Records;
use aegis_core::desc::SystemDesc;
use aegis_core::trace_line;
use std::io::{self, BufRead, Read};

/// The schema of a line, as JSON Schema 2020-12.
#[must_use]
pub const fn schema() -> &'static str {
    include_str!("../../../docs/schemas/trace.schema.json")
}

/// How much is written at once.
const CHUNK: usize = 1 << 16;

/// The lines of records, to be read as a file of them is.
pub struct Lines {
    records: Records,
    system: &'static SystemDesc,
    text: String,
    at: usize,
    count: u64,
}

impl Lines {
    /// The lines of `records`, with the names of `system`: see [`super::as_run`].
    #[must_use]
    pub fn new(records: Records, system: &'static SystemDesc) -> Self {
        Self { records, system, text: String::with_capacity(2 * CHUNK), at: 0, count: 0 }
    }

    /// The records, as far as they are read.
    #[must_use]
    pub const fn records(&self) -> &Records {
        &self.records
    }

    /// How many lines were made.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }
}

impl BufRead for Lines {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.text.len() {
            self.text.clear();
            self.at = 0;
            while self.text.len() < CHUNK
                && let Some(record) = self.records.next()
            {
                let record = record.map_err(io::Error::other)?;
                trace_line::write(&mut self.text, self.system, &record);
                self.count = self.count.saturating_add(1);
            }
        }
        Ok(self.text.as_bytes().get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.text.len());
    }
}

impl Read for Lines {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}
