//! The descriptor of how the vehicle watches itself: no bound rests on it.

use crate::time::Duration;

/// What a vehicle does about itself standing still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchdogDesc {
    /// How much longer than planned something may take before it is a stall: an execution beyond its budget, a wake-up or a
    /// turn of the orchestration thread.
    pub timeout: Duration,
    /// The watchdog device that is petted, by its absolute path; `None` for none.
    pub device: Option<&'static str>,
    /// The answer to a stall, which is recorded in any case.
    pub on_stall: OnStall,
}

/// The answer to a stall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnStall {
    /// No watchdog is petted until it is over.
    Record,
    /// No watchdog is petted any more.
    StopPetting,
    /// The vehicle ends.
    Exit,
}

impl OnStall {
    /// Every answer.
    pub const ALL: [Self; 3] = [Self::Record, Self::StopPetting, Self::Exit];

    /// The name in manifests and locks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::StopPetting => "stop-petting",
            Self::Exit => "exit",
        }
    }
}
