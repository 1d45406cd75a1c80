//! Writes a simulation's trace in a form of the vehicle's.

use super::TraceOut;
use aegis_core::Instant;
use aegis_core::desc::SystemDesc;
use aegis_core::trace::{Kind, Record, Sink};
use aegis_core::trace_line;
use aegis_trace::{Store, Writer};
use std::io::{self, Write};

/// Numbers records and writes them; the first error ends it.
pub(super) struct TraceWriter {
    out: Out,
    sequence: u64,
    failure: Option<io::Error>,
}

enum Out {
    Lines { system: &'static SystemDesc, out: Box<dyn Write + Send>, line: String },
    Blocks(Box<Writer<Box<dyn Store + Send>>>),
}

impl Out {
    fn write(&mut self, record: &Record) -> io::Result<()> {
        match self {
            Self::Lines { system, out, line } => {
                line.clear();
                trace_line::write(line, system, record);
                out.write_all(line.as_bytes())
            }
            Self::Blocks(writer) => writer.push(record),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Lines { out, .. } => out.flush(),
            Self::Blocks(writer) => writer.flush(),
        }
    }
}

impl TraceWriter {
    /// A trace of a run of `system` that begins now.
    pub(super) fn new(system: &'static SystemDesc, out: TraceOut) -> Self {
        let out = match out {
            TraceOut::Lines(out) => Out::Lines { system, out, line: String::new() },
            TraceOut::Blocks(store) => Out::Blocks(Box::new(Writer::new(system, store))),
        };
        let mut writer = Self { out, sequence: 0, failure: None };
        writer.record(Instant::START, Kind::Began { config_hash: system.config_hash });
        writer
    }

    /// Hands over what is buffered, or the first error.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match self.failure {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }
}

impl Sink for TraceWriter {
    fn record(&mut self, at: Instant, kind: Kind) {
        if self.failure.is_none() {
            self.failure = self.out.write(&Record { sequence: self.sequence, at, kind }).err();
            self.sequence = self.sequence.saturating_add(1);
        }
    }
}
