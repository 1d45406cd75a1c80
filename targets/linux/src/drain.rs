//! The main thread's part of a run: drains the trace, redraws the table, samples steal, hears signals.
//!
//! It is an ordinary thread. Whatever it does, however long it takes, as where a disk does not take the trace: no job waits for it.
//! The ring may be full, whose lost records are counted; a signal is heard later; and steal that nobody sampled for a second
//! explains no exceeded bound.

use crate::metrics::Feed;
use crate::orchestrate::Stop;
use crate::signals::Signals;
use crate::stats::Tally;
use crate::steal::{StealReader, StealSamples};
use crate::table::{Live, render};
use crate::trace_file::{TraceFile, Written};
use aegis_core::Instant;
use aegis_core::desc::SystemDesc;
use aegis_core::trace::Reader;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

/// How many records the ring between the orchestration thread and the drain holds, less one.
///
/// A record has 72 bytes, so the ring takes 4.5 MiB of locked memory. A job makes at most 14 records, four steps and a failure
/// among them, and 5 more for each time that it loses its lane. So 65,535 records are about 4,700 jobs of one piece: 47 s of a
/// vehicle with 100 jobs a second while nothing is drained.
pub const RING_RECORDS: usize = 65_536;

/// How often the ring is drained and steal is sampled.
const PAUSE: Duration = Duration::from_millis(10);
/// How many pauses lie between two redraws of the table.
const REDRAW: u64 = 50;
/// How many pauses lie between two snapshots for metrics.
const PUBLISH: u64 = 10;

/// The reading side of a run's trace.
pub struct Drain<'a, const TASKS: usize> {
    system: &'a SystemDesc,
    reader: Reader<'a>,
    file: Option<TraceFile>,
    tally: Tally<TASKS>,
    /// What metrics are made of, where somebody asks for them.
    feed: Option<Feed>,
    latest: Instant,
}

/// What the main thread needs besides the trace.
#[derive(Clone, Copy, Debug)]
pub struct Attendance<'a, const LANES: usize> {
    /// Ctrl-C and `SIGTERM`.
    pub signals: &'a Signals,
    /// Asked at the first signal.
    pub stop: &'a Stop,
    /// Read at each pause, where the system tells it.
    pub steal: Option<&'a StealReader>,
    /// Where the readings go.
    pub samples: &'a StealSamples<LANES>,
}

impl<'a, const TASKS: usize> Drain<'a, TASKS> {
    /// A drain that has read nothing.
    #[must_use]
    pub fn new(system: &'a SystemDesc, reader: Reader<'a>, file: Option<TraceFile>) -> Self {
        Self { system, reader, file, tally: Tally::new(), feed: None, latest: Instant::START }
    }

    /// Makes metrics of what it reads, too.
    #[must_use]
    pub fn feeding(self, feed: Option<Feed>) -> Self {
        Self { feed, ..self }
    }

    /// Takes all records that are in the ring now and returns their number.
    pub fn pump(&mut self) -> u64 {
        let mut count = 0_u64;
        while let Some(record) = self.reader.dequeue() {
            count = count.saturating_add(1);
            self.tally.observe(record.at, &record.kind);
            if let Some(feed) = &mut self.feed {
                feed.observe(&record);
            }
            self.latest = self.latest.max(record.at);
            if let Some(file) = &mut self.file {
                file.record(self.system, &record);
            }
        }
        if let Some(file) = &mut self.file {
            file.attend();
        }
        count
    }

    /// Attends to a run until `finished`: a second signal ends the process at once.
    pub fn attend<const LANES: usize>(&mut self, with: &Attendance<'_, LANES>, finished: impl Fn() -> bool) {
        let terminal = io::stderr().is_terminal();
        let mut live = Live::default();
        let mut signalled = false;
        for turn in 1_u64.. {
            with.samples.sample(self.system, with.steal);
            if with.signals.wait(PAUSE) {
                if signalled {
                    // The user insists: nothing that still runs is waited for.
                    if let Some(file) = self.file.take() {
                        file.abandon();
                    }
                    std::process::exit(130);
                }
                signalled = true;
                with.stop.ask();
            }
            self.pump();
            if turn % PUBLISH == 0 {
                self.publish();
            }
            if terminal && turn % REDRAW == 0 {
                let elapsed = self.latest.saturating_since(Instant::START);
                let table = render(self.system, self.tally.tasks(), elapsed);
                let _ = io::stderr().write_all(live.redraw(&table).as_bytes());
            }
            if finished() {
                break;
            }
        }
        self.pump();
        let _ = io::stderr().write_all(live.erase().as_bytes());
    }

    fn publish(&self) {
        if let Some(feed) = &self.feed {
            feed.publish(&self.tally);
        }
    }

    /// Takes the last records and closes the trace file; `None` where there is none.
    #[must_use]
    pub fn finish(mut self) -> Option<Written> {
        self.pump();
        self.publish();
        self.file.map(TraceFile::finish)
    }
}

#[cfg(test)]
mod tests;
