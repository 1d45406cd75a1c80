//! The fault domains of a vehicle: what fails together, and takes nothing else with it.

use crate::time::Duration;
use crate::units::{Bytes, ModeId};

/// The most fault domains that a plan has: the dispatcher has a bit for each.
pub const MOST_DOMAINS: usize = 64;

/// A fault domain: a process that tasks and their models lie in.
///
/// One that has failed stays so until it is [restored](crate::dispatch::Event::Restored), and without a [`RestartDesc`] until the run
/// ends: its tasks release nothing, and what they had released delivers nothing. All other tasks go on as proven.
#[derive(Clone, Copy, Debug)]
pub struct DomainDesc {
    /// The name in the manifest.
    pub name: &'static str,
    /// Its process; `None` where no task of it runs a model.
    pub process: Option<ProcessDesc>,
}

/// The process that runs the models of a domain's tasks, to which the lanes hand over their segments.
///
/// What a lane measures as a segment's execution is from before it is handed over until it is back, so a task's WCET, its segments
/// and its budget have `hand_over` in them, once for each segment of its model.
#[derive(Clone, Copy, Debug)]
pub struct ProcessDesc {
    /// How long after it began, before its input hook, a piece of a job that is not over is killed with its process; at least each
    /// piece's WCET, which has the hand-overs in it.
    pub kill_after: Duration,
    /// What handing a segment over and back adds to it at most: counted with every segment of its tasks.
    pub hand_over: Duration,
    /// How often the process shows that it lives, if it does.
    pub heartbeat: Option<Duration>,
    /// The most private memory of the process, without its pool and code, if it is limited.
    pub memory: Option<Bytes>,
    /// The core of its thread for each lane that has a task of it with a model, in the lanes' order: of a vehicle whose threads poll,
    /// and no other thread's. Otherwise there are none, and its threads share the cores of the lanes.
    pub cores: &'static [u16],
    /// How often it is started again after its end; `None`: never.
    pub restart: Option<RestartDesc>,
    /// The mode that the vehicle asks for when the domain fails, and leaves again, for the one before, when it is restored; no task of
    /// the domain is released in it. `None`: the domain's tasks fail fast, and all others go on as they are.
    pub meanwhile: Option<ModeId>,
}

/// The most times that a process is started again within its window: [`crate::restart::Restarts`] remembers so many.
pub const MOST_RESTARTS: u16 = 16;

/// How often, and how soon, a process that has ended is started again: see [`crate::restart`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestartDesc {
    /// How many times within `within` at most: 1 to [`MOST_RESTARTS`].
    pub max: u16,
    /// The length of the window.
    pub within: Duration,
    /// How long after the end of its process was confirmed a domain that had been sound is started again, at least; at most `within`.
    /// It doubles with each failure in a row, up to `within`.
    pub back_off: Duration,
    /// For how long after it was restored another failure counts as in a row with the last one.
    pub probation: Duration,
}
