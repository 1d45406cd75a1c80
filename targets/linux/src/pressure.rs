//! Levels of memory pressure that the application asks for: any thread says so without waiting, the orchestration thread goes there.
//!
//! ```text
//!  request ─▶ no such level, or one that compacts? ─▶ refused, nobody wakes
//!          ─▶ the level that is wanted already?    ─▶ nothing to do, nobody wakes
//!          ─▶ wanted ─▶ a request is still to be looked at? ─▶ nobody wakes
//!                    ─▶ bell ─▶ orchestration thread; at most once a second: Event::Pressure
//! ```
//!
//! The last request wins: what is asked for and taken back before the orchestration thread looks never happens. However often an
//! application asks, that thread looks at most once in [`BETWEEN_LEVELS`], a term of the analysis, and wakes for it at most twice in that
//! time: when the bell rings, and when it may look.

use crate::bell::Bell;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use aegis_core::desc::{BETWEEN_LEVELS, SystemDesc};
use aegis_core::{Instant, LevelId};
use std::sync::{Arc, OnceLock};

/// Why a level is not gone to. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PressureError {
    /// The plan has no such level: permanent, the application was written for another plan.
    #[error("the plan has no level of memory pressure number {}", .0.0)]
    Unknown(LevelId),
    /// The level moves what stays, which no running vehicle can do yet: permanent, ask for a level that does not compact.
    #[error("the level of memory pressure number {} compacts, which a running vehicle cannot do yet", .0.0)]
    Compacts(LevelId),
    /// The vehicle has not begun to run: transient, ask again once it does.
    #[error("the vehicle does not run yet")]
    NotRunning,
}

/// What the application's threads and the orchestration thread share.
#[derive(Debug)]
pub struct Pressure {
    /// For each level whether a running vehicle can go there.
    levels: Box<[bool]>,
    bell: OnceLock<Arc<Bell>>,
    /// The level that is asked for, counted from 1; 0: none.
    wanted: AtomicU32,
    /// Whether a request is to be looked at.
    asked: AtomicBool,
    /// The level that holds, counted as `wanted` is.
    held: AtomicU32,
}

impl Pressure {
    /// No pressure.
    #[must_use]
    pub fn new(system: &SystemDesc) -> Arc<Self> {
        let levels = system.levels.iter().map(|level| level.models.is_empty()).collect();
        let (wanted, asked, held) = (AtomicU32::new(0), AtomicBool::new(false), AtomicU32::new(0));
        Arc::new(Self { levels, bell: OnceLock::new(), wanted, asked, held })
    }

    /// From now on requests are taken; the bell wakes who takes them.
    pub fn open(&self, bell: Arc<Bell>) {
        // A second run of one vehicle does not exist: its storage is taken once.
        let _ = self.bell.set(bell);
    }

    /// Asks for a level, or for none. Does not wait and uses no heap.
    ///
    /// The orchestration thread looks at once, or one second after it last did.
    ///
    /// # Errors
    /// [`PressureError`].
    pub fn request(&self, level: Option<LevelId>) -> Result<(), PressureError> {
        if let Some(level) = level {
            let can = self.levels.get(level.index()).ok_or(PressureError::Unknown(level))?;
            if !can {
                return Err(PressureError::Compacts(level));
            }
        }
        let bell = self.bell.get().ok_or(PressureError::NotRunning)?;
        let before = self.wanted.swap(number(level), Ordering::AcqRel);
        if before != number(level) && !self.asked.swap(true, Ordering::AcqRel) {
            bell.ring();
        }
        Ok(())
    }

    /// The level that holds, as far as the orchestration thread has told.
    #[must_use]
    pub fn level(&self) -> Option<LevelId> {
        level(self.held.load(Ordering::Acquire))
    }
}

/// The orchestration thread's end: what it was asked for, and since when it may change again.
#[derive(Debug)]
pub(crate) struct Changes<'a> {
    shared: &'a Pressure,
    /// When it may look again.
    next: Instant,
}

impl<'a> Changes<'a> {
    pub(crate) const fn new(shared: &'a Pressure) -> Self {
        Self { shared, next: Instant::START }
    }

    /// Where to go now, if anywhere.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Option<LevelId>> {
        // Whoever asks from here on rings, and what was asked for before is seen below: so this is a swap, of which one of the two
        // comes first, and no store.
        if now < self.next || !self.shared.asked.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.next = now.checked_add(BETWEEN_LEVELS).unwrap_or(now);
        let wanted = self.shared.wanted.load(Ordering::Acquire);
        (wanted != self.shared.held.load(Ordering::Acquire)).then(|| level(wanted))
    }

    /// When to look although nobody rings: where a request came too soon after the last look.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.shared.asked.load(Ordering::Acquire).then_some(self.next)
    }

    /// The dispatcher is at another level.
    pub(crate) fn changed(&self, to: Option<LevelId>) {
        self.shared.held.store(number(to), Ordering::Release);
    }
}

const fn number(level: Option<LevelId>) -> u32 {
    match level {
        // Widening, and no level has the greatest number.
        #[allow(clippy::as_conversions)]
        Some(level) => (level.0 as u32).saturating_add(1),
        None => 0,
    }
}

fn level(number: u32) -> Option<LevelId> {
    number.checked_sub(1).and_then(|number| u16::try_from(number).ok()).map(LevelId)
}
