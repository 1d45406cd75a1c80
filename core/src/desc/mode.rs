//! The modes of a vehicle: which tasks are released in each, and each one's own proof.

use super::{LaneDesc, TaskDesc};
use crate::time::Duration;
use crate::units::TaskId;

/// The most modes that a plan has.
pub const MOST_MODES: usize = 16;

/// A regime of the vehicle: the tasks that are released while it holds.
///
/// A task's parameters are the same in every mode that has it; what differs from mode to mode is who competes for the lanes, and so
/// the bounds. Each mode is proven by itself, as if its tasks were all there are; [`TaskDesc::response_bound`] of
/// [`super::SystemDesc::tasks`] is the greatest bound of the modes that have the task. How one mode follows another is said in
/// `docs/theory/mode-changes.md`.
#[derive(Clone, Copy, Debug)]
pub struct ModeDesc {
    /// The name in the manifest.
    pub name: &'static str,
    /// The tasks that are released in it, in the order of the tasks.
    pub tasks: &'static [TaskId],
    /// The system's lanes, each with the busy period and the points of this mode. In their slots a [`TaskId`] is a position in
    /// `proven`.
    pub lanes: &'static [LaneDesc],
    /// The tasks of `tasks`, in that order, each with the bound and the certificate of this mode.
    pub proven: &'static [TaskDesc],
    /// How long leaving the mode takes, at most: from the step that is told to, until the tasks of the next one are released.
    pub leaves: Duration,
}
