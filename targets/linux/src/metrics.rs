//! Metrics of a run for Prometheus and whoever reads its text formats: as a file that is written again and again, and by a local
//! HTTP endpoint. `docs/metrics.md` lists them all.
//!
//! ```text
//!  orchestration thread ─▶ ring ─▶ main thread: drain ─▶ Observer ─▶ Board: a snapshot every 100 ms
//!                                                                      │
//!                            metrics thread (ordinary, off the lanes' cores): file beside, then renamed; HTTP
//! ```
//!
//! All of it is made of the trace's records, on threads without real-time priority: nothing is added to the path of a job, and
//! without a flag that asks for metrics there is no thread, and no cost for a record either.

mod accept;
mod encode;
mod export;
mod families;
mod histogram;
mod http;
mod observe;
mod write;

pub use encode::Format;
pub use export::{Export, ExportError, Options};
pub use families::{Family, Type, Unit};
pub use histogram::{Histogram, RATIO_BOUNDS, time_bounds};
pub use observe::Observer;
pub use write::text;

use crate::stats::{AdmissionStats, Failure, LevelStats, ModeStats, Tally, TaskStats};
use crate::summary::{MemorySummary, TraceSummary};
use aegis_core::desc::SystemDesc;
use aegis_core::trace::Record;
use std::sync::{Arc, Mutex, PoisonError};

/// What is known of a run at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What the records told beside the counts.
    pub observed: Observer,
    /// The counts.
    pub counts: Counts,
    /// What is known only once the run has ended; `None` while it runs.
    pub last: Option<Last>,
}

/// The counts of a run, as its summary has them.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Of each task, in the plan's order.
    pub tasks: Vec<TaskStats>,
    /// Of levels of memory pressure.
    pub levels: LevelStats,
    /// Of modes.
    pub modes: ModeStats,
    /// Of fault domains, in the plan's order.
    pub domains: Vec<Option<Failure>>,
    /// Of optional tasks.
    pub admissions: AdmissionStats,
}

/// What is known once a run has ended.
#[derive(Clone, Debug)]
pub struct Last {
    /// The trace's counts, with records that were lost after the last one that was not.
    pub trace: TraceSummary,
    /// The pools, in the plan's order.
    pub memory: Vec<MemorySummary>,
}

impl Counts {
    /// What a tally has come to.
    #[must_use]
    pub fn of<const TASKS: usize>(system: &SystemDesc, tally: &Tally<TASKS>) -> Self {
        Self {
            tasks: tally.tasks().to_vec(),
            levels: tally.levels(),
            modes: tally.modes(),
            domains: tally.domains().iter().take(system.domains.len()).copied().collect(),
            admissions: tally.admissions(),
        }
    }
}

impl Snapshot {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(system: &'static SystemDesc) -> Self {
        let counts = Counts {
            tasks: vec![TaskStats::default(); system.tasks.len()],
            levels: LevelStats::default(),
            modes: ModeStats::default(),
            domains: vec![None; system.domains.len()],
            admissions: AdmissionStats::default(),
        };
        Self { observed: Observer::new(system), counts, last: None }
    }
}

/// Where the newest snapshot lies: who puts one there and who takes it wait for each other no longer than a pointer is copied.
#[derive(Debug)]
pub struct Board {
    newest: Mutex<Arc<Snapshot>>,
}

impl Board {
    /// A board that says that nothing has happened yet.
    #[must_use]
    pub fn new(system: &'static SystemDesc) -> Arc<Self> {
        Arc::new(Self { newest: Mutex::new(Arc::new(Snapshot::new(system))) })
    }

    /// Puts a snapshot there.
    pub fn put(&self, snapshot: Snapshot) {
        let new = Arc::new(snapshot);
        // The old one is dropped here, after the lock was given back.
        let _old = std::mem::replace(&mut *self.newest.lock().unwrap_or_else(PoisonError::into_inner), new);
    }

    /// The newest snapshot.
    #[must_use]
    pub fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the thread that drains the trace feeds.
#[derive(Debug)]
pub struct Feed {
    observed: Observer,
    board: Arc<Board>,
}

impl Feed {
    /// A feed that has seen nothing.
    #[must_use]
    pub fn new(system: &'static SystemDesc, board: Arc<Board>) -> Self {
        Self { observed: Observer::new(system), board }
    }

    /// Takes a record.
    pub fn observe(&mut self, record: &Record) {
        self.observed.observe(record);
    }

    /// Puts on the board what has come until now, with the counts of the same records.
    pub fn publish<const TASKS: usize>(&self, tally: &Tally<TASKS>) {
        let observed = self.observed.clone();
        let counts = Counts::of(observed.system(), tally);
        self.board.put(Snapshot { observed, counts, last: None });
    }
}
