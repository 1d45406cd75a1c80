//! What the orchestration thread tells the watching thread of itself: a few atomics.

use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use aegis_core::desc::WatchdogDesc;

/// What the orchestration thread tells of itself.
#[derive(Debug)]
pub struct Pulse {
    desc: WatchdogDesc,
    /// When the next turn begins at the latest, or when the present one began, in nanoseconds of the monotonic clock.
    due: AtomicU64,
    /// Whether a lane stands still.
    stalled: AtomicBool,
    /// Set when nothing is petted any more.
    latched: AtomicBool,
    /// [`RUNS`], [`CLEAN`] or [`BROKEN`].
    end: AtomicU8,
}

const RUNS: u8 = 0;
const CLEAN: u8 = 1;
const BROKEN: u8 = 2;

impl Pulse {
    /// The orchestration thread does not turn yet, and nothing stands still.
    #[must_use]
    pub fn new(desc: WatchdogDesc) -> Self {
        let (stalled, latched) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { desc, due: AtomicU64::new(u64::MAX), stalled, latched, end: AtomicU8::new(RUNS) }
    }

    /// The plan's part.
    #[must_use]
    pub const fn desc(&self) -> &WatchdogDesc {
        &self.desc
    }

    /// The next turn begins by then, in nanoseconds of the monotonic clock; the greatest number: nothing is due.
    pub fn due(&self, monotonic_ns: u64) {
        self.due.store(monotonic_ns, Ordering::Release);
    }

    /// Whether a lane stands still.
    pub fn stalled(&self, is: bool) {
        self.stalled.store(is, Ordering::Release);
    }

    /// Nothing is petted any more.
    pub fn latch(&self) {
        self.latched.store(true, Ordering::Release);
    }

    /// The orchestration thread has ended, and whether by a stop with all jobs complete. What is told first stays.
    pub fn end(&self, clean: bool) {
        let end = if clean { CLEAN } else { BROKEN };
        let _ = self.end.compare_exchange(RUNS, end, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether the orchestration thread has ended, and if so whether cleanly and with nothing that stands still.
    #[must_use]
    pub fn ended(&self) -> Option<bool> {
        let end = self.end.load(Ordering::Acquire);
        (end != RUNS).then(|| end == CLEAN && self.may_pet())
    }

    /// How late the orchestration thread is at a time, where that is beyond what it may be.
    #[must_use]
    pub fn overdue(&self, now_ns: u64) -> Option<u64> {
        let late = now_ns.saturating_sub(self.due.load(Ordering::Acquire));
        (late > self.desc.timeout.as_ns()).then_some(late)
    }

    /// Whether a lane stands still now.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// Whether no lane stands still, and nothing did that ended petting.
    #[must_use]
    pub fn may_pet(&self) -> bool {
        !self.stalled.load(Ordering::Acquire) && !self.latched.load(Ordering::Acquire)
    }
}
