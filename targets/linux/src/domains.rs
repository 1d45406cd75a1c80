//! Fault domains: any thread says that one has failed, lanes ask before they deliver, the orchestration thread lets the dispatcher
//! know and tells all others.
//!
//! ```text
//!  fail ─▶ failed already? ─▶ nothing to do, nobody wakes
//!       ─▶ bell ─▶ orchestration thread: Event::Fail ─▶ told ─▶ submissions refused, no output hook of its tasks begins
//!  an overrun, a miss, a failed job ───────────────────▲
//!  lose ─▶ as fail, with how its process was lost
//!  offer: another process is ready ─▶ bell ─▶ orchestration thread: is a job of its tasks still on a lane? ─▶ its end is a turn, too
//!                                         ─▶ Event::Restored ─▶ the next life begins ─▶ told
//! ```
//!
//! A domain fails at most once in a life, so however often that is said, it costs the orchestration thread one step for each domain:
//! a term of the analysis. The next life begins when it is restored. The processes of a domain are numbered by lives: that one which
//! is being started is of the life to come, and a loss that is told late, of a life that is over, is nobody's any more.

use crate::bell::Bell;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
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
    /// A bit for each domain of which there is something to be looked at.
    asked: AtomicU64,
    /// A bit for each that the application said has failed.
    said: AtomicU64,
    /// How each one's process was lost: the life in the upper half; in the lower one 0 where it was not, otherwise one more than the
    /// position in [`Loss::ALL`].
    losses: [AtomicU64; MOST_DOMAINS],
    /// A bit for each that has failed, as far as the orchestration thread has told.
    failed: AtomicU64,
    /// How often each one was restored: the number of the process that its lanes use.
    lives: [AtomicU32; MOST_DOMAINS],
    /// A bit for each of which a process of the next life is ready.
    offered: AtomicU64,
}

impl Domains {
    /// None has failed.
    #[must_use]
    pub fn new(system: &SystemDesc) -> Arc<Self> {
        let word = || AtomicU64::new(0);
        let with_models = system.tasks.iter().filter(|task| task.model.is_some());
        let known = with_models.filter_map(|task| task.domain).fold(0, |known, domain| known | domain.bit());
        let (losses, lives) = (std::array::from_fn(|_| word()), std::array::from_fn(|_| AtomicU32::new(0)));
        let [asked, said, failed, offered] = std::array::from_fn(|_| word());
        Arc::new(Self { known, bell: OnceLock::new(), asked, said, losses, failed, lives, offered })
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
            self.said.fetch_or(domain.bit(), Ordering::AcqRel);
            self.asked.fetch_or(domain.bit(), Ordering::AcqRel);
            // Also for who said so just before and has not rung yet.
            bell.ring();
        }
        Ok(())
    }

    /// The process of a domain is lost; nothing to do where that is none of the life that holds. Where the vehicle does not run yet,
    /// its first turn takes that up.
    pub fn lose(&self, domain: DomainId, life: u32, loss: Loss) {
        let position = Loss::ALL.iter().position(|other| *other == loss).and_then(|at| u64::try_from(at).ok());
        if let (Some(position), Some(own)) = (position, self.losses.get(domain.index()))
            && life == self.life(domain)
        {
            own.store(u64::from(life) << 32 | position.saturating_add(1), Ordering::Release);
            self.asked.fetch_or(self.known & domain.bit(), Ordering::AcqRel);
        }
        self.ring();
    }

    /// Another process of a domain that has failed is ready: it is restored as soon as no job of its tasks is on a lane. Then
    /// [`Domains::life`] is one more.
    pub fn offer(&self, domain: DomainId) {
        self.offered.fetch_or(domain.bit(), Ordering::AcqRel);
        self.ring();
    }

    fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell.ring();
        }
    }

    /// How often a domain was restored, as far as the orchestration thread has told. While a job of a task of it is on a lane that
    /// does not change.
    #[must_use]
    pub fn life(&self, domain: DomainId) -> u32 {
        self.lives.get(domain.index()).map_or(0, |life| life.load(Ordering::Acquire))
    }

    /// Whether a domain has failed, as far as the orchestration thread has told.
    #[must_use]
    pub fn has_failed(&self, domain: DomainId) -> bool {
        self.failed.load(Ordering::Acquire) & domain.bit() != 0
    }

    /// The first domain that was said to have failed and had not, and how its process was lost, if it was; takes it.
    pub(crate) fn take(&self) -> Option<(DomainId, Option<Loss>)> {
        loop {
            let failed = self.failed.load(Ordering::Acquire);
            let asked = self.asked.load(Ordering::Acquire) & !failed;
            let domain = DomainId(u16::try_from(asked.trailing_zeros()).ok().filter(|_| asked != 0)?);
            self.asked.fetch_and(!domain.bit(), Ordering::AcqRel);
            let said = self.said.fetch_and(!domain.bit(), Ordering::AcqRel) & domain.bit() != 0;
            let loss = self.loss(domain);
            // Otherwise it was about a life that is over.
            if said || loss.is_some() {
                return Some((domain, loss));
            }
        }
    }

    /// How the process of the life that holds was lost, if it was.
    fn loss(&self, domain: DomainId) -> Option<Loss> {
        let word = self.losses.get(domain.index()).map_or(0, |own| own.load(Ordering::Acquire));
        let position = usize::try_from(word & u64::from(u32::MAX)).ok()?.checked_sub(1)?;
        Loss::ALL.get(position).copied().filter(|_| word >> 32 == u64::from(self.life(domain)))
    }

    /// The first of these domains, each a bit, of which another process is ready.
    pub(crate) fn offered(&self, of: u64) -> Option<DomainId> {
        let offered = self.offered.load(Ordering::Acquire) & of;
        u16::try_from(offered.trailing_zeros()).ok().filter(|_| offered != 0).map(DomainId)
    }

    /// These have failed. Of those that had and have not any more the next life begins: before a job of their tasks is handed over.
    pub(crate) fn tell(&self, failed: u64) {
        let restored = self.failed.load(Ordering::Acquire) & !failed;
        // What the application said was about the life that is over.
        self.said.fetch_and(!restored, Ordering::AcqRel);
        // Before the life: who reads that one first never takes the failure of one life for that of the next.
        self.failed.store(failed, Ordering::Release);
        if restored != 0 {
            for (life, number) in
                self.lives.iter().zip(0..).filter(|(_, number)| restored & DomainId(*number).bit() != 0)
            {
                life.fetch_add(1, Ordering::AcqRel);
                self.offered.fetch_and(!DomainId(number).bit(), Ordering::AcqRel);
            }
        }
    }

    /// Whether the domain has failed in this life, and not before or after it.
    #[must_use]
    pub fn has_failed_in(&self, domain: DomainId, life: u32) -> bool {
        // In this order: see `tell`.
        self.life(domain) == life && self.has_failed(domain)
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
        domains.lose(DomainId(0), 0, Loss::Silent);
        domains.lose(DomainId(70), 0, Loss::Hung);
        assert_eq!((domains.take(), domains.take()), (Some((DomainId(0), Some(Loss::Silent))), None));
        let bell = Arc::new(Bell::new(Waiting::Blocking).unwrap());
        domains.open(Arc::clone(&bell));
        domains.lose(DomainId(0), 0, Loss::Hung);
        assert!(bell.hear());
        assert_eq!(domains.take(), Some((DomainId(0), Some(Loss::Hung))));
    }

    #[test]
    fn what_is_told_of_a_life_that_is_over_is_taken_by_nobody() {
        let base = fixture::system(&[(10, 1)]);
        let model = Some(aegis_core::ModelId(0));
        let tasks = vec![TaskDesc { domain: Some(DomainId(0)), model, ..base.tasks[0] }].leak();
        let domains = &[DomainDesc { name: "vision", process: None }];
        let domains = Domains::new(&SystemDesc { domains, tasks, ..*base });
        let (vision, bell) = (DomainId(0), Arc::new(Bell::new(Waiting::Blocking).unwrap()));
        domains.open(Arc::clone(&bell));
        domains.lose(vision, 0, Loss::Hung);
        assert_eq!(domains.take(), Some((vision, Some(Loss::Hung))));
        domains.tell(1);
        // Its end is seen after it was given up, and that of the next process before that one is used.
        domains.lose(vision, 0, Loss::Signalled);
        domains.lose(vision, 1, Loss::Exited);
        assert_eq!((domains.take(), domains.offered(1)), (None, None));
        assert!(bell.hear());
        domains.offer(vision);
        assert!(bell.hear());
        assert_eq!((domains.offered(1), domains.offered(2), domains.life(vision)), (Some(vision), None, 0));
        assert_eq!([0, 1].map(|life| domains.has_failed_in(vision, life)), [true, false]);
        domains.tell(0);
        assert_eq!([0, 1].map(|life| domains.has_failed_in(vision, life)), [false, false]);
        assert_eq!((domains.take(), domains.offered(1), domains.life(vision)), (None, None, 1));
        domains.lose(vision, 0, Loss::Signalled);
        assert_eq!(domains.take(), None, "told late");
        domains.lose(vision, 1, Loss::Exited);
        assert_eq!((domains.take(), domains.take()), (Some((vision, Some(Loss::Exited))), None));
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
