//! The fault domains of a vehicle: what fails together, and takes nothing else with it.

use crate::time::Duration;
use crate::units::Bytes;

/// The most fault domains that a plan has: the dispatcher has a bit for each.
pub const MOST_DOMAINS: usize = 64;

/// A fault domain: a process that tasks and their models lie in.
///
/// One that has failed stays so until the run ends, since nothing starts it again: its tasks release nothing, and what they had
/// released delivers nothing. All other tasks go on as proven.
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
}
