//! The optional tasks that the application admits and dismisses: any thread says so without waiting, the orchestration thread
//! does it as the module `changes` says. What cannot be done is refused there and then, by a look-up, with the reason.

use crate::bell::Bell;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use aegis_core::desc::SystemDesc;
use aegis_core::{DomainId, ErrorClass, TaskId};
use std::sync::{Arc, OnceLock};

/// Why a task is not admitted, or not dismissed. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The plan has no such task. Permanent.
    #[error("the plan has no task number {}", .0.0)]
    Unknown(TaskId),
    /// The task is not optional: it is released at all times. Permanent.
    #[error("task number {} is not optional", .0.0)]
    NotOptional(TaskId),
    /// The task is admitted already. Transient: it can be admitted again once it is dismissed.
    #[error("task number {} is admitted already", .0.0)]
    AlreadyAdmitted(TaskId),
    /// The task is not admitted. Transient: it can be dismissed once it is.
    #[error("task number {} is not admitted", .0.0)]
    NotAdmitted(TaskId),
    /// The task's fault domain has failed, and its process is never started again. Permanent.
    #[error("the fault domain of task number {} has failed", .0.0)]
    DomainFailed(TaskId),
    /// The task's fault domain has failed, and may be started again. Transient: ask again once it is; where it was given up for good
    /// it stays so.
    #[error("the fault domain of task number {} has failed and is not started again yet", .0.0)]
    DomainRestarts(TaskId),
    /// What was asked for before is not done yet: the thread changes one thing a second. Transient: ask again.
    #[error("another task is about to be admitted or dismissed")]
    Pending,
    /// The vehicle has not begun to run. Transient: ask again once it does.
    #[error("the vehicle does not run yet")]
    NotRunning,
}

impl AdmissionError {
    /// What the caller can do.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::AlreadyAdmitted(_)
            | Self::NotAdmitted(_)
            | Self::DomainRestarts(_)
            | Self::Pending
            | Self::NotRunning => ErrorClass::Transient,
            Self::Unknown(_) | Self::NotOptional(_) | Self::DomainFailed(_) => ErrorClass::Permanent,
        }
    }
}

/// What the application's threads and the orchestration thread share.
#[derive(Debug)]
pub struct Admissions {
    /// For each task whether it is admitted, as far as the orchestration thread has told; `None` where it is not optional.
    tasks: Box<[Option<AtomicBool>]>,
    /// For each task the bit of its fault domain, none where it lies in none, and whether that is started again.
    domains: Box<[(u64, bool)]>,
    /// A bit for each domain that has failed.
    failed: AtomicU64,
    bell: OnceLock<Arc<Bell>>,
    /// What is asked for and not done yet: see [`number`]; 0: nothing.
    asked: AtomicU32,
}

impl Admissions {
    /// No optional task is admitted.
    #[must_use]
    pub fn new(system: &SystemDesc) -> Arc<Self> {
        let has_modes = !system.modes.is_empty();
        let task = |optional: bool| (optional && !has_modes).then(|| AtomicBool::new(false));
        let tasks = system.tasks.iter().map(|desc| task(desc.optional)).collect();
        let restarts = |domain: DomainId| {
            let process = system.domains.get(domain.index()).and_then(|own| own.process);
            (domain.bit(), process.is_some_and(|process| process.restart.is_some()))
        };
        let domains = system.tasks.iter().map(|desc| desc.domain.map_or((0, false), restarts)).collect();
        let (failed, asked) = (AtomicU64::new(0), AtomicU32::new(0));
        Arc::new(Self { tasks, domains, failed, bell: OnceLock::new(), asked })
    }

    /// From now on requests are taken; the bell wakes who takes them.
    pub fn open(&self, bell: Arc<Bell>) {
        // A second run of one vehicle does not exist: its storage is taken once.
        let _ = self.bell.set(bell);
    }

    /// Asks for an optional task to be admitted. Does not wait and uses no heap.
    ///
    /// The orchestration thread does it at once, or one second after it last changed something: a level of memory pressure, or
    /// what is admitted. Then the task's next arrival is the next instant of its own grid.
    ///
    /// # Errors
    /// [`AdmissionError`].
    pub fn admit(&self, task: TaskId) -> Result<(), AdmissionError> {
        self.request(task, true)
    }

    /// Asks for an optional task to be dismissed, likewise: nothing more of it arrives then, and what has arrived runs to its end.
    ///
    /// # Errors
    /// [`AdmissionError`].
    pub fn dismiss(&self, task: TaskId) -> Result<(), AdmissionError> {
        self.request(task, false)
    }

    /// Whether a task is released now, as far as the orchestration thread has told: one that is not optional always is.
    #[must_use]
    pub fn is_admitted(&self, task: TaskId) -> bool {
        let own = self.tasks.get(task.index());
        own.is_some_and(|own| own.as_ref().is_none_or(|admitted| admitted.load(Ordering::Acquire)))
    }

    fn request(&self, task: TaskId, admits: bool) -> Result<(), AdmissionError> {
        let own = self.tasks.get(task.index()).ok_or(AdmissionError::Unknown(task))?;
        let admitted = own.as_ref().ok_or(AdmissionError::NotOptional(task))?;
        let bell = self.bell.get().ok_or(AdmissionError::NotRunning)?;
        let (domain, restarts) = self.domains.get(task.index()).copied().unwrap_or_default();
        if admits && self.failed.load(Ordering::Acquire) & domain != 0 {
            return Err(if restarts {
                AdmissionError::DomainRestarts(task)
            } else {
                AdmissionError::DomainFailed(task)
            });
        }
        let free = self.asked.compare_exchange(0, TAKEN, Ordering::AcqRel, Ordering::Acquire);
        free.map_err(|_| AdmissionError::Pending)?;
        // Whatever was asked for before is done, so this is what holds.
        let refused = match (admitted.load(Ordering::Acquire), admits) {
            (true, true) => Some(AdmissionError::AlreadyAdmitted(task)),
            (false, false) => Some(AdmissionError::NotAdmitted(task)),
            _ => None,
        };
        self.asked.store(if refused.is_some() { 0 } else { number(task, admits) }, Ordering::Release);
        match refused {
            Some(error) => Err(error),
            None => {
                bell.ring();
                Ok(())
            }
        }
    }

    /// What is asked for and not done.
    pub(crate) fn asked(&self) -> Option<(TaskId, bool)> {
        let number = self.asked.load(Ordering::Acquire);
        let place = number.checked_sub(1).filter(|_| number != TAKEN)?;
        Some((TaskId(u16::try_from(place / 2).ok()?), place % 2 == 1))
    }

    /// These domains have failed: nothing of their tasks is admitted any more.
    pub(crate) fn fail(&self, domains: u64) {
        self.failed.store(domains, Ordering::Release);
    }

    /// What was asked for is done.
    pub(crate) fn is_done(&self, task: TaskId, admits: bool) {
        if let Some(Some(admitted)) = self.tasks.get(task.index()) {
            admitted.store(admits, Ordering::Release);
        }
        self.asked.store(0, Ordering::Release);
    }
}

/// A thread is about to ask.
const TAKEN: u32 = u32::MAX;

/// A request as a number above 0.
fn number(task: TaskId, admits: bool) -> u32 {
    u32::from(task.0).saturating_mul(2).saturating_add(u32::from(admits)).saturating_add(1)
}
