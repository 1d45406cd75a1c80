//! Writes a simulation's trace in the vehicle's form.

use super::TraceOut;
use aegis_core::Instant;
use aegis_core::desc::SystemDesc;
use aegis_core::trace::{Kind, Record, Sink};
use aegis_core::trace_line;
use std::io::{self, Write as _};

/// Numbers records and writes their lines; the first error ends it.
pub(super) struct TraceWriter {
    system: &'static SystemDesc,
    out: TraceOut,
    line: String,
    sequence: u64,
    failure: Option<io::Error>,
}

impl TraceWriter {
    /// A trace of a run of `system` that begins now.
    pub(super) fn new(system: &'static SystemDesc, out: TraceOut) -> Self {
        let mut writer = Self { system, out, line: String::new(), sequence: 0, failure: None };
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
            self.line.clear();
            trace_line::write(&mut self.line, self.system, &Record { sequence: self.sequence, at, kind });
            self.sequence = self.sequence.saturating_add(1);
            self.failure = self.out.write_all(self.line.as_bytes()).err();
        }
    }
}
