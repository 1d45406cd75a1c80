//! What the dispatcher does besides recording that a job was too long or too late, or failed.

use crate::units::ModeId;

/// What happens after a job exceeded its budget, missed its deadline, or failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is recorded: an overrun as soon as the budget ends, a miss when the job ends. Nothing else changes.
    Continue,
    /// The task's next release is dropped.
    SkipNext,
    /// The job ends without what is left of it: its later segments and the later stages of its task; where nothing is left, it
    /// completes. A started segment cannot be stopped. After an overrun the job ends as soon as the segment has ended that showed
    /// it; after a miss as soon as it does not hold its lane, at its next boundary or instead of starting.
    AbortJob,
    /// The mode is changed as soon as the overrun is recorded or the miss is known, as [`crate::dispatch::Event::Mode`] would:
    /// unless that mode holds, a change is under way, or one was asked for less than [`super::BETWEEN_LEVELS`] ago. The job goes
    /// on.
    SwitchMode(ModeId),
    /// The task's fault domain fails, as [`crate::dispatch::Event::Fail`] would let it: as soon as the overrun is recorded or the
    /// miss is known. It is not taken back. A task without a domain has no such answer.
    FailDomain,
}

impl Answer {
    /// Every answer that says all by itself.
    pub const ALL: [Self; 4] = [Self::Continue, Self::SkipNext, Self::AbortJob, Self::FailDomain];

    /// The name in manifests and locks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::SkipNext => "skip-next",
            Self::AbortJob => "abort-job",
            Self::SwitchMode(_) => "mode",
            Self::FailDomain => "fail-domain",
        }
    }
}
