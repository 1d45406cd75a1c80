//! Traces for other people's viewers: Perfetto's protobuf and Chrome's JSON, as streams.
//!
//! `timeline` turns records into begins and ends of slices, instants, counters and flows on tracks; `perfetto` and `chrome`
//! only spell these. Nothing is kept of a record but what is in flight, so a trace of any length needs the memory of its jobs in
//! flight, and no two records are compared but by their times. `docs/traces.md` says what the tracks mean.
//!
//! What is written is well-formed whatever the records are: slices on a track nest, no slice ends before it begins, and what is
//! open at the end is closed then. Where that moves a time, it is one that no dispatcher records.

mod chrome;
mod encode;
mod events;
mod finish;
mod jobs;
mod memory;
mod perfetto;
mod timeline;
mod words;

use crate::manifest::{Communication, Manifest};
use aegis_core::TaskId;
use aegis_core::desc::SystemDesc;
use aegis_core::trace::Record;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use timeline::Timeline;

/// Which viewer's form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Perfetto's protobuf, for `ui.perfetto.dev` and the trace processor.
    Perfetto,
    /// Chrome's trace events as JSON, for whatever reads these.
    Chrome,
}

/// A cause-effect chain: tasks each of which reads, when a job of it starts, what the last job of the one before it wrote.
///
/// Chains are the manifest's; the plan's tables do not have them. A task with stages is its first and its last one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// For each member its first and its last stage, which are the same for a task without stages.
    pub members: Vec<(TaskId, TaskId)>,
}

/// The manifest's chains whose members read when they start and write when they complete, by the plan's tasks.
///
/// Under logical execution time they read and write at other instants, of which there are no records.
#[must_use]
pub fn chains(manifest: &Manifest, system: &SystemDesc) -> Vec<Chain> {
    let task = |position: usize| {
        let name = manifest.tasks.get(position)?.name.get_ref();
        let place = system.tasks.iter().position(|task| task.name == name)?;
        u16::try_from(place).ok().map(TaskId)
    };
    let as_registers = manifest.chains.iter().filter(|chain| chain.communication != Communication::Let);
    let members = as_registers.map(|chain| {
        let member = |stages: &RangeInclusive<usize>| Some((task(*stages.start())?, task(*stages.end())?));
        chain.tasks.iter().map(member).collect::<Option<Vec<_>>>()
    });
    members.flatten().map(|members| Chain { members }).collect()
}

/// What was read of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Exported {
    /// Records.
    pub records: u64,
    /// Records that are missing, by the numbers of those that are there.
    pub lost: u64,
    /// Jobs that have a slice.
    pub jobs: u64,
}

/// An export that is under way.
pub struct Export<'a, W: Write>(Inner<'a, W>);

enum Inner<'a, W: Write> {
    Perfetto(Box<Timeline<'a, perfetto::Perfetto<W>>>),
    Chrome(Box<Timeline<'a, chrome::Chrome<W>>>),
}

impl<'a, W: Write> Export<'a, W> {
    /// Begins one, of a run of `system`; `chains` add flows from who writes to who reads. `out` is written to in large pieces.
    pub fn new(format: Format, system: &'a SystemDesc, chains: &[Chain], out: W) -> Self {
        Self(match format {
            Format::Perfetto => {
                Inner::Perfetto(Box::new(Timeline::new(system, chains, perfetto::Perfetto::new(system, out))))
            }
            Format::Chrome => Inner::Chrome(Box::new(Timeline::new(system, chains, chrome::Chrome::new(system, out)))),
        })
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// What `out` says.
    pub fn observe(&mut self, record: &Record) -> io::Result<()> {
        match &mut self.0 {
            Inner::Perfetto(timeline) => timeline.observe(record),
            Inner::Chrome(timeline) => timeline.observe(record),
        }
    }

    /// Closes what is open, and writes what is left.
    ///
    /// # Errors
    /// What `out` says.
    pub fn finish(self) -> io::Result<Exported> {
        match self.0 {
            Inner::Perfetto(timeline) => timeline.finish(),
            Inner::Chrome(timeline) => timeline.finish(),
        }
    }
}

/// Writes a whole trace.
///
/// # Errors
/// What `out` says.
pub fn write(
    format: Format,
    system: &SystemDesc,
    chains: &[Chain],
    records: impl IntoIterator<Item = Record>,
    out: impl Write,
) -> io::Result<Exported> {
    let mut export = Export::new(format, system, chains, out);
    for record in records {
        export.observe(&record)?;
    }
    export.finish()
}
