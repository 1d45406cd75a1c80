//! Whether the plan's bounds are guaranteed at this moment: any thread asks, who sees that they are not says so, the orchestration
//! thread records it.
//!
//! ```text
//!  void ─▶ said already? ─▶ nothing to do, nobody wakes
//!       ─▶ not valid from now on, for all who ask ─▶ bell ─▶ orchestration thread: a record with its time and the reason
//! ```
//!
//! It never comes back: a bound may rest on what happened meanwhile. Each reason is told once in a run, so whatever happens it
//! wakes the orchestration thread at most once for each, for a record and no step of the dispatcher.

use crate::bell::Bell;
use crate::sync::atomic::{AtomicU32, Ordering};
use aegis_core::trace::VoidReason;
use std::sync::{Arc, OnceLock};

/// What the application's threads, those who look, and the orchestration thread share.
#[derive(Debug)]
pub struct Guarantee {
    bell: OnceLock<Arc<Bell>>,
    /// A bit for each reason why it does not hold.
    void: AtomicU32,
    /// Those of them that are recorded; the orchestration thread's own.
    told: AtomicU32,
}

impl Guarantee {
    /// It holds: nothing has been looked at yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { bell: OnceLock::new(), void: AtomicU32::new(0), told: AtomicU32::new(0) })
    }

    /// Whether nothing is known for which the plan's bounds are not guaranteed. Does not wait; true before the vehicle has begun to
    /// run, and once false always so.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.void.load(Ordering::Acquire) == 0
    }

    /// Every reason why they are not, in the order of [`VoidReason::ALL`].
    pub fn reasons(&self) -> impl Iterator<Item = VoidReason> + use<> {
        let void = self.void.load(Ordering::Acquire);
        VoidReason::ALL.into_iter().filter(move |reason| void & reason.bit() != 0)
    }

    /// From now on the bell wakes who records.
    pub fn open(&self, bell: Arc<Bell>) {
        // A second run of one vehicle does not exist: its storage is taken once.
        let _ = self.bell.set(bell);
    }

    /// From now on it does not hold, for this reason. Does not wait and uses no heap; false where that was said before.
    pub fn void(&self, reason: VoidReason) -> bool {
        let is_new = self.void.fetch_or(reason.bit(), Ordering::AcqRel) & reason.bit() == 0;
        if let Some(bell) = self.bell.get().filter(|_| is_new) {
            bell.ring();
        }
        is_new
    }

    /// A reason that is not recorded yet; whoever takes it records it. For one thread alone.
    pub fn take(&self) -> Option<VoidReason> {
        let told = self.told.load(Ordering::Relaxed);
        let fresh = self.void.load(Ordering::Acquire) & !told;
        let reason = VoidReason::ALL.into_iter().find(|reason| fresh & reason.bit() != 0)?;
        self.told.store(told | reason.bit(), Ordering::Relaxed);
        Some(reason)
    }
}
