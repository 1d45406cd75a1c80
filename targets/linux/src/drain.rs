//! The main thread's part of a run: drains the trace, redraws the table, samples steal, hears signals.
//!
//! It is an ordinary thread. Whatever it does, however long it takes, the worst effect is a full ring, whose
//! lost records are counted.

use crate::metrics::Feed;
use crate::orchestrate::Stop;
use crate::signals::Signals;
use crate::stats::Tally;
use crate::steal::{StealReader, StealSamples};
use crate::summary::beside;
use crate::table::{Live, render};
use aegis_core::Instant;
use aegis_core::desc::SystemDesc;
use aegis_core::trace::Reader;
use aegis_core::trace_line;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
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

/// The file that takes one JSON line per record.
#[derive(Debug)]
pub struct TraceFile {
    path: PathBuf,
    beside: PathBuf,
    writer: BufWriter<File>,
    named: bool,
}

impl TraceFile {
    /// Opens a file beside the destination.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let beside = beside(path);
        let writer = BufWriter::with_capacity(1 << 20, File::create(&beside)?);
        Ok(Self { path: path.to_owned(), beside, writer, named: false })
    }

    /// Writes what is buffered and gives the file its name.
    ///
    /// # Errors
    /// The disk is full, or the folder has gone; nothing is left beside the destination then.
    pub fn finish(mut self) -> io::Result<()> {
        self.writer.flush()?;
        fs::rename(&self.beside, &self.path)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        // A run that never began leaves no half a file.
        if !self.named {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// The reading side of a run's trace.
pub struct Drain<'a, const TASKS: usize> {
    system: &'a SystemDesc,
    reader: Reader<'a>,
    file: Option<TraceFile>,
    /// The first write error; nothing is written after it.
    failure: Option<io::Error>,
    tally: Tally<TASKS>,
    /// What metrics are made of, where somebody asks for them.
    feed: Option<Feed>,
    latest: Instant,
    line: String,
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
        let (tally, line) = (Tally::new(), String::with_capacity(1_024));
        Self { system, reader, file, failure: None, tally, feed: None, latest: Instant::START, line }
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
            if let Some(file) = &mut self.file
                && self.failure.is_none()
            {
                self.line.clear();
                trace_line::write(&mut self.line, self.system, &record);
                self.failure = file.writer.write_all(self.line.as_bytes()).err();
            }
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
                    drop(self.file.take());
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

    /// Takes the last records and closes the trace file.
    ///
    /// # Errors
    /// The first error while the file was written or named.
    pub fn finish(mut self) -> io::Result<()> {
        self.pump();
        self.publish();
        match (self.failure, self.file) {
            (Some(error), _) => Err(error),
            (None, Some(file)) => file.finish(),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Drain, TraceFile};
    use crate::fixture;
    use aegis_core::trace::{Kind, Recorder, Ring, Sink};
    use aegis_core::{Duration, Instant, TaskId};

    #[test]
    fn every_record_becomes_a_line_of_a_file_that_appears_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let mut ring: Ring<8> = Ring::new();
        let (writer, reader) = ring.split();
        let mut recorder = Recorder::new(writer);
        let file = TraceFile::create(&path).unwrap();
        let mut drain: Drain<'_, 1> = Drain::new(fixture::system(&[(10, 2)]), reader, Some(file));
        for _ in 0..3 {
            recorder.record(
                Instant::START,
                Kind::Admitted { task: TaskId(0), bound: Duration::from_ns(7), optional: false },
            );
        }
        assert_eq!(drain.pump(), 3);
        recorder.record(Instant::START, Kind::Rejected { task: TaskId(0), arrival: Instant::START, count: 2 });
        assert!(!path.exists());
        drain.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let sequences: Vec<_> = lines.iter().map(|line| line["sequence"].as_u64().unwrap()).collect();
        assert_eq!(sequences, [0, 1, 2, 3]);
        assert_eq!((&lines[0]["event"], &lines[3]["event"]), (&"admission".into(), &"rejected".into()));
    }

    #[test]
    fn a_trace_that_cannot_be_named_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        // A folder cannot be replaced by a file.
        let taken = folder.path().join("trace.jsonl");
        std::fs::create_dir(&taken).unwrap();
        let file = TraceFile::create(&taken).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(file.finish().is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
