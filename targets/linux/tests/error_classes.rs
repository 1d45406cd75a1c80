//! What the caller of each refused request can do.

use aegis_core::ErrorClass::{Fatal, Permanent, Transient};
use aegis_core::trace::Loss;
use aegis_core::{Instant, LevelId, ModeId, TaskId};
use aegis_linux::admissions::AdmissionError;
use aegis_linux::lane::Fault;
use aegis_linux::modes::ModeError;
use aegis_linux::pressure::PressureError;
use aegis_linux::submissions::SubmitError;

#[test]
fn each_refused_submission_says_what_its_caller_can_do() {
    let (now, earliest) = (Instant::START, Instant::START);
    let classes = [
        (SubmitError::TooEarly { now, earliest }, Transient),
        (SubmitError::TooManyDeferred { now, earliest }, Transient),
        (SubmitError::Busy, Transient),
        (SubmitError::Withheld, Transient),
        (SubmitError::NotInMode, Transient),
        (SubmitError::NotAdmitted, Transient),
        (SubmitError::NotRunning, Transient),
        (SubmitError::DomainFailed("vision"), Permanent),
        (SubmitError::DomainRestarts("vision"), Transient),
        (SubmitError::Ended, Permanent),
        (SubmitError::NotSubmittable(TaskId(0)), Permanent),
    ];
    for (error, class) in classes {
        assert_eq!(error.class(), class, "{error}");
    }
}

#[test]
fn each_refused_change_and_each_fault_says_what_its_caller_can_do() {
    assert_eq!([ModeError::Unknown(ModeId(0)).class(), ModeError::NotRunning.class()], [Permanent, Transient]);
    let level = LevelId(0);
    let errors = [PressureError::Unknown(level), PressureError::Compacts(level), PressureError::NotRunning];
    assert_eq!(errors.map(|error| error.class()), [Permanent, Permanent, Transient]);
    let task = TaskId(0);
    let admissions = [
        (AdmissionError::Unknown(task), Permanent),
        (AdmissionError::NotOptional(task), Permanent),
        (AdmissionError::AlreadyAdmitted(task), Transient),
        (AdmissionError::NotAdmitted(task), Transient),
        (AdmissionError::DomainFailed(task), Permanent),
        (AdmissionError::DomainRestarts(task), Transient),
        (AdmissionError::Pending, Transient),
        (AdmissionError::NotRunning, Transient),
    ];
    for (error, class) in admissions {
        assert_eq!(error.class(), class, "{error}");
    }
    let faults =
        [Fault::JobFailed, Fault::BackendFailed, Fault::DomainLost(Loss::Hung), Fault::DeviceLost, Fault::Panicked];
    assert_eq!(faults.map(|fault| fault.class()), [Transient, Permanent, Permanent, Fatal, Fatal]);
}
