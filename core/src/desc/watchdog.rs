//! The descriptor of how the vehicle watches itself: no bound rests on it.

use crate::time::Duration;
use crate::units::ModeId;

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
    /// No watchdog is petted until it is over, and the mode is asked for as the application does. The change ends once each lane
    /// that has tasks to leave was idle, so not before a stalled one of these goes on.
    SwitchMode(ModeId),
}

impl OnStall {
    /// Every answer that says all by itself.
    pub const ALL: [Self; 3] = [Self::Record, Self::StopPetting, Self::Exit];

    /// The name in manifests and locks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::StopPetting => "stop-petting",
            Self::Exit => "exit",
            Self::SwitchMode(_) => "mode",
        }
    }
}
