//! The file that takes a run's trace.

use aegis_core::desc::SystemDesc;
use aegis_core::trace::Record;
use aegis_core::trace_line;
use aegis_trace::{Files, Output, Store, Writer, is_lines};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a record waits for its block to end, at most, while the ring is drained: what a killed process loses.
const BLOCK_TIME: Duration = Duration::from_millis(100);

/// A trace on disk, in the form that its name asks for.
pub struct TraceFile {
    form: Form,
    /// The records that it was given.
    given: u64,
    failure: Option<io::Error>,
}

enum Form {
    Lines(LineFile),
    Blocks {
        writer: Box<Writer<Box<dyn Store + Send>>>,
        /// When the first record came that still waits for its block to end.
        since: Option<Instant>,
    },
}

/// What became of a trace.
#[derive(Debug)]
pub struct Written {
    /// The records that did not reach the file because of an error.
    pub unwritten: u64,
    /// The error.
    pub failure: Option<io::Error>,
}

/// One JSON line per record, beside the destination until the run has ended.
struct LineFile {
    writer: BufWriter<Output>,
    line: String,
}

impl TraceFile {
    /// Opens a file beside the destination: for JSON lines where the name ends in `.jsonl`, else for the binary form, of at most
    /// `limit` bytes in all its parts.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(path: &Path, system: &SystemDesc, limit: Option<u64>) -> io::Result<Self> {
        if !is_lines(path) {
            return Ok(Self::of(system, Box::new(Files::create(path, limit)?)));
        }
        let writer = BufWriter::with_capacity(1 << 20, Output::open(path)?);
        let form = Form::Lines(LineFile { writer, line: String::with_capacity(1_024) });
        Ok(Self { form, given: 0, failure: None })
    }

    /// A trace in the binary form that goes elsewhere.
    #[must_use]
    pub fn of(system: &SystemDesc, store: Box<dyn Store + Send>) -> Self {
        let writer = Box::new(Writer::new(system, store));
        Self { form: Form::Blocks { writer, since: None }, given: 0, failure: None }
    }

    /// Takes a record. The first error is told at once and ends the writing, never the run.
    pub(crate) fn record(&mut self, system: &SystemDesc, record: &Record) {
        self.given = self.given.saturating_add(1);
        if self.failure.is_some() {
            return;
        }
        let written = match &mut self.form {
            Form::Lines(file) => {
                file.line.clear();
                trace_line::write(&mut file.line, system, record);
                file.writer.write_all(file.line.as_bytes())
            }
            Form::Blocks { writer, since } => {
                since.get_or_insert_with(Instant::now);
                writer.push(record)
            }
        };
        self.note(written);
    }

    /// Ends a block that has waited for long enough; called whenever the ring was drained.
    pub(crate) fn attend(&mut self) {
        if let Form::Blocks { writer, since } = &mut self.form
            && self.failure.is_none()
            && since.is_some_and(|since| since.elapsed() >= BLOCK_TIME)
        {
            *since = None;
            let written = writer.flush();
            self.note(written);
        }
    }

    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            log::error!("TRACE ENDS HERE: it cannot be written: {error}; the run goes on");
            self.failure = Some(error);
        }
    }

    /// Writes what waits, and gives JSON lines their name.
    pub(crate) fn finish(mut self) -> Written {
        if self.failure.is_none() {
            let ended = match &mut self.form {
                Form::Lines(file) => file.name(),
                Form::Blocks { writer, .. } => writer.flush(),
            };
            self.note(ended);
        }
        let written = match &self.form {
            Form::Blocks { writer, .. } => writer.written(),
            Form::Lines(_) if self.failure.is_none() => self.given,
            // Nothing has the file's name.
            Form::Lines(_) => 0,
        };
        Written { unwritten: self.given.saturating_sub(written), failure: self.failure.take() }
    }

    /// Writes what waits before the process ends at once.
    pub(crate) fn abandon(mut self) {
        if let (Form::Blocks { writer, .. }, None) = (&mut self.form, &self.failure) {
            let _ = writer.flush();
        }
    }
}

impl LineFile {
    fn name(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_mut().name()
    }
}
