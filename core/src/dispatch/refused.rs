//! Why the dispatcher refuses an event.

use crate::error::ErrorClass;
use crate::time::Instant;
use crate::units::{DomainId, LaneId, LevelId, ModeId, TaskId};

/// Why a step was refused; the state is unchanged then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// `now` lies before the previous step's: permanent, the clock is not monotonic.
    ClockWentBack {
        /// The previous step's time.
        last: Instant,
    },
    /// The lane has no running job, or the plan has no such lane: permanent, the caller's bookkeeping is wrong.
    NothingRunning {
        /// The lane that was named.
        lane: LaneId,
    },
    /// The lane does not preempt: permanent.
    NotPreemptible {
        /// The lane that was named.
        lane: LaneId,
    },
    /// The plan has no such task, or its releases come from the timer or an earlier stage: permanent.
    NotSubmittable {
        /// The task that was named.
        task: TaskId,
    },
    /// The arrival lies in the future, or less than one period after the task's last one: the analysis
    /// assumed otherwise, so the caller may retry at `earliest`: transient.
    TooEarly {
        /// The first permitted arrival.
        earliest: Instant,
    },
    /// As many arrivals of the task are deferred as its queue is long: transient, the caller may submit again at `earliest`.
    TooManyDeferred {
        /// When another one is taken, if none comes first.
        earliest: Instant,
    },
    /// The plan has no such level of memory pressure: permanent.
    UnknownLevel {
        /// The level that was named.
        level: LevelId,
    },
    /// The level moves what stays, which needs an instant at which nothing runs; no protocol brings that about yet: permanent.
    Compacts {
        /// The level that was named.
        level: LevelId,
    },
    /// The plan has no such mode: permanent.
    UnknownMode {
        /// The mode that was named.
        mode: ModeId,
    },
    /// A change of the mode is under way, and comes to its end within the bound that [`crate::trace::Kind::ModeRequested`] tells:
    /// transient.
    ChangingMode {
        /// The mode that it goes to.
        to: ModeId,
    },
    /// The task does not release jobs in the mode that holds, or not before the change that is under way has ended: transient, the
    /// caller may submit again once a mode holds that has it.
    NotInMode {
        /// The task that was named.
        task: TaskId,
    },
    /// The plan has no such task: permanent.
    UnknownTask {
        /// The task that was named.
        task: TaskId,
    },
    /// The task is not optional, so it is never admitted or dismissed: permanent.
    NotOptional {
        /// The task that was named.
        task: TaskId,
    },
    /// The optional task is admitted already: transient, it can be admitted again once it is dismissed.
    AlreadyAdmitted {
        /// The task that was named.
        task: TaskId,
    },
    /// The optional task is not admitted, so it releases nothing and cannot be dismissed: transient, the caller may try again
    /// once it is.
    NotAdmitted {
        /// The task that was named.
        task: TaskId,
    },
    /// The plan has no such fault domain: permanent.
    UnknownDomain {
        /// The domain that was named.
        domain: DomainId,
    },
    /// The task's fault domain has failed: permanent, and where the plan has no [`crate::desc::RestartDesc`] for the rest of the run.
    /// Where it has, [`crate::trace::Kind::DomainRestored`] tells when the task can be named again.
    DomainFailed {
        /// The task that was named.
        task: TaskId,
        /// Its domain.
        domain: DomainId,
    },
    /// The fault domain has not failed, so it cannot be restored: permanent, the caller's bookkeeping is wrong.
    DomainNotFailed {
        /// The domain that was named.
        domain: DomainId,
    },
    /// A lane still runs a job of the failed domain, which is to deliver nothing: transient, it can be restored once that has ended.
    DomainBusy {
        /// The domain that was named.
        domain: DomainId,
        /// The first such lane.
        lane: LaneId,
    },
    /// An instant left the representable range: fatal.
    OutOfRange,
}

impl Refused {
    /// What the caller can do.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::TooEarly { .. }
            | Self::TooManyDeferred { .. }
            | Self::ChangingMode { .. }
            | Self::NotInMode { .. }
            | Self::DomainBusy { .. }
            | Self::AlreadyAdmitted { .. }
            | Self::NotAdmitted { .. } => ErrorClass::Transient,
            Self::ClockWentBack { .. }
            | Self::NothingRunning { .. }
            | Self::NotPreemptible { .. }
            | Self::NotSubmittable { .. }
            | Self::UnknownLevel { .. }
            | Self::Compacts { .. }
            | Self::UnknownMode { .. }
            | Self::UnknownTask { .. }
            | Self::NotOptional { .. }
            | Self::UnknownDomain { .. }
            | Self::DomainFailed { .. }
            | Self::DomainNotFailed { .. } => ErrorClass::Permanent,
            Self::OutOfRange => ErrorClass::Fatal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Refused;
    use crate::error::ErrorClass::{Fatal, Permanent, Transient};
    use crate::time::Instant;
    use crate::units::{DomainId, LaneId, LevelId, ModeId, TaskId};

    #[test]
    fn each_refusal_says_what_its_caller_can_do() {
        let (instant, lane, task) = (Instant::START, LaneId(0), TaskId(0));
        let classes = [
            (Refused::ClockWentBack { last: instant }, Permanent),
            (Refused::NothingRunning { lane }, Permanent),
            (Refused::NotPreemptible { lane }, Permanent),
            (Refused::NotSubmittable { task }, Permanent),
            (Refused::TooEarly { earliest: instant }, Transient),
            (Refused::TooManyDeferred { earliest: instant }, Transient),
            (Refused::UnknownLevel { level: LevelId(0) }, Permanent),
            (Refused::Compacts { level: LevelId(0) }, Permanent),
            (Refused::UnknownMode { mode: ModeId(0) }, Permanent),
            (Refused::ChangingMode { to: ModeId(0) }, Transient),
            (Refused::NotInMode { task }, Transient),
            (Refused::UnknownTask { task }, Permanent),
            (Refused::NotOptional { task }, Permanent),
            (Refused::AlreadyAdmitted { task }, Transient),
            (Refused::NotAdmitted { task }, Transient),
            (Refused::UnknownDomain { domain: DomainId(0) }, Permanent),
            (Refused::DomainFailed { task, domain: DomainId(0) }, Permanent),
            (Refused::DomainNotFailed { domain: DomainId(0) }, Permanent),
            (Refused::DomainBusy { domain: DomainId(0), lane }, Transient),
            (Refused::OutOfRange, Fatal),
        ];
        for (refused, class) in classes {
            assert_eq!(refused.class(), class, "{refused:?}");
        }
    }
}
