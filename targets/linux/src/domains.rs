//! Fault domains: any thread says that one has failed, lanes ask before they deliver, the orchestration thread lets the dispatcher
//! know and tells all others.
//!
//! ```text
//!  fail ─▶ failed already? ─▶ nothing to do, nobody wakes
//!       ─▶ bell ─▶ orchestration thread: Event::Fail ─▶ told ─▶ submissions refused, no output hook of its tasks begins
//!  an overrun, a miss, a failed job ───────────────────▲
//!  lose ─▶ as fail, with how its process was lost
//! ```
//!
//! A domain fails at most once in a run, so however often that is said, it costs the orchestration thread one step for each domain:
//! a term of the analysis.

use crate::bell::Bell;
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use aegis_core::DomainId;
use aegis_core::desc::{MOST_DOMAINS, SystemDesc};
use aegis_core::trace::Loss;
use std::sync::{Arc, OnceLock};

/// Why a domain is not given up. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DomainError {
    /// The plan has no such domain, or none of its tasks lies in it: permanent, the application was written for another plan.
    #[error("the plan has no fault domain number {}", .0.0)]
    Unknown(DomainId),
    /// The vehicle has not begun to run: transient, say it again once it does.
    #[error("the vehicle does not run yet")]
    NotRunning,
}

/// What the application's threads, the lanes and the orchestration thread share.
#[derive(Debug)]
pub struct Domains {
    /// A bit for each domain that a task with a model lies in: the analysis has a term for the failure of each of these.
    known: u64,
    bell: OnceLock<Arc<Bell>>,
    /// A bit for each domain that was said to have failed, and is still to be looked at.
    asked: AtomicU64,
    /// How each one's process was lost: 0 where it was not, otherwise one more than the position in [`Loss::ALL`].
    losses: [AtomicU8; MOST_DOMAINS],
    /// A bit for each that has failed, as far as the orchestration thread has told.
    failed: AtomicU64,
}

impl Domains {
    /// None has failed.
    #[must_use]
    pub fn new(system: &SystemDesc) -> Arc<Self> {
        let (asked, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        let with_models = system.tasks.iter().filter(|task| task.model.is_some());
        let known = with_models.filter_map(|task| task.domain).fold(0, |known, domain| known | domain.bit());
        let losses = std::array::from_fn(|_| AtomicU8::new(0));
        Arc::new(Self { known, bell: OnceLock::new(), asked, losses, failed })
    }

    /// From now on failures are taken; the bell wakes who takes them.
    pub fn open(&self, bell: Arc<Bell>) {
        // A second run of one vehicle does not exist: its storage is taken once.
        let _ = self.bell.set(bell);
    }

    /// Says that a domain has failed, for a reason that only the application sees. Does not wait and uses no heap.
    ///
    /// # Errors
    /// [`DomainError`].
    pub fn fail(&self, domain: DomainId) -> Result<(), DomainError> {
        if self.known & domain.bit() == 0 {
            return Err(DomainError::Unknown(domain));
        }
        let bell = self.bell.get().ok_or(DomainError::NotRunning)?;
        if self.failed.load(Ordering::Acquire) & domain.bit() == 0 {
            self.asked.fetch_or(domain.bit(), Ordering::AcqRel);
            // Also for who said so just before and has not rung yet.
            bell.ring();
        }
        Ok(())
    }

    /// The process of a domain is lost. Where the vehicle does not run yet, its first turn takes that up.
    pub fn lose(&self, domain: DomainId, loss: Loss) {
        let position = Loss::ALL.iter().position(|other| *other == loss).and_then(|at| u8::try_from(at).ok());
        if let (Some(position), Some(own)) = (position, self.losses.get(domain.index())) {
            own.store(position.saturating_add(1), Ordering::Release);
            self.asked.fetch_or(self.known & domain.bit(), Ordering::AcqRel);
        }
        if let Some(bell) = self.bell.get() {
            bell.ring();
        }
    }

    /// Whether a domain has failed, as far as the orchestration thread has told.
    #[must_use]
    pub fn has_failed(&self, domain: DomainId) -> bool {
        self.failed.load(Ordering::Acquire) & domain.bit() != 0
    }

    /// The first domain that was said to have failed and had not, and how its process was lost, if it was; takes it.
    pub(crate) fn take(&self) -> Option<(DomainId, Option<Loss>)> {
        let failed = self.failed.load(Ordering::Acquire);
        let asked = self.asked.load(Ordering::Acquire) & !failed;
        let domain = DomainId(u16::try_from(asked.trailing_zeros()).ok().filter(|_| asked != 0)?);
        self.asked.fetch_and(!domain.bit(), Ordering::AcqRel);
        let loss = self.losses.get(domain.index()).map_or(0, |own| own.load(Ordering::Acquire));
        let loss = usize::from(loss).checked_sub(1).and_then(|position| Loss::ALL.get(position)).copied();
        Some((domain, loss))
    }

    /// These have failed.
    pub(crate) fn tell(&self, failed: u64) {
        self.failed.store(failed, Ordering::Release);
    }
}

/// A task's place in its domain: its lane asks before it delivers anything.
#[derive(Clone, Debug)]
pub struct Member {
    domains: Arc<Domains>,
    domain: Option<DomainId>,
}

impl Member {
    /// The member that a task of this domain is, or of none.
    #[must_use]
    pub const fn new(domains: Arc<Domains>, domain: Option<DomainId>) -> Self {
        Self { domains, domain }
    }

    /// Whether its domain has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.domain.is_some_and(|domain| self.domains.has_failed(domain))
    }
}

#[cfg(test)]
mod tests {
    use super::{DomainError, Domains, Member};
    use crate::bell::Bell;
    use crate::fixture;
    use aegis_core::DomainId;
    use aegis_core::desc::{DomainDesc, SystemDesc, TaskDesc, Waiting};
    use aegis_core::trace::Loss;
    use std::sync::Arc;

    #[test]
    fn a_lost_process_is_taken_with_how_it_was_lost_also_before_the_run() {
        let base = fixture::system(&[(10, 1)]);
        let tasks = vec![TaskDesc { domain: Some(DomainId(0)), ..base.tasks[0] }].leak();
        let domains =
            Domains::new(&SystemDesc { domains: &[DomainDesc { name: "vision", process: None }], tasks, ..*base });
        domains.lose(DomainId(0), Loss::Silent);
        domains.lose(DomainId(70), Loss::Hung);
        assert_eq!((domains.take(), domains.take()), (Some((DomainId(0), Some(Loss::Silent))), None));
        let bell = Arc::new(Bell::new(Waiting::Blocking).unwrap());
        domains.open(Arc::clone(&bell));
        domains.lose(DomainId(0), Loss::Hung);
        assert!(bell.hear());
        assert_eq!(domains.take(), Some((DomainId(0), Some(Loss::Hung))));
    }

    #[test]
    fn a_failure_is_taken_once_and_told_to_whom_it_concerns() {
        let domains = &[DomainDesc { name: "vision", process: None }, DomainDesc { name: "maps", process: None }];
        let base = fixture::system(&[(10, 1)]);
        let tasks = vec![TaskDesc { domain: Some(DomainId(1)), ..base.tasks[0] }].leak();
        let domains = Domains::new(&SystemDesc { domains, tasks, ..*base });
        assert_eq!(domains.fail(DomainId(0)), Err(DomainError::Unknown(DomainId(0))), "nothing lies in it");
        assert_eq!(domains.fail(DomainId(2)), Err(DomainError::Unknown(DomainId(2))));
        assert_eq!(domains.fail(DomainId(64)), Err(DomainError::Unknown(DomainId(64))));
        assert_eq!(domains.fail(DomainId(1)), Err(DomainError::NotRunning));
        let bell = Arc::new(Bell::new(Waiting::Blocking).unwrap());
        domains.open(Arc::clone(&bell));
        assert_eq!(domains.fail(DomainId(1)), Ok(()));
        assert!(bell.hear());
        // As if the first one had not rung yet.
        assert_eq!(domains.fail(DomainId(1)), Ok(()));
        assert!(bell.hear());
        assert!(!domains.has_failed(DomainId(1)), "nobody has told yet");
        assert_eq!((domains.take(), domains.take()), (Some((DomainId(1), None)), None));
        domains.tell(2);
        assert_eq!((domains.fail(DomainId(1)), domains.take()), (Ok(()), None), "it has failed already");
        let has_failed = |domain| Member::new(Arc::clone(&domains), domain).has_failed();
        assert_eq!(domains.take(), None);
        assert_eq!([None, Some(DomainId(0)), Some(DomainId(1))].map(has_failed), [false, false, true]);
    }
}
