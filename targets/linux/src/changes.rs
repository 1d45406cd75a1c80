//! What the application asks the orchestration thread to change: a level of memory pressure, the mode, or which optional tasks are
//! admitted.
//!
//! ```text
//!  request ─▶ the level that is wanted already? ─▶ nothing to do, nobody wakes
//!          ─▶ wanted ─▶ a request is still to be looked at? ─▶ nobody wakes
//!                    ─▶ bell ─▶ orchestration thread, at most once a second: Event::Pressure or Event::Mode
//! ```
//!
//! The last request wins: what is asked for and taken back before the orchestration thread looks never happens. However often an
//! application asks, that thread changes something at most once in [`BETWEEN_LEVELS`], level and mode together, a term of the analysis,
//! and wakes for it at most twice in that time: when the bell rings, and when it may look. An optional task's admission or dismissal is
//! such a change, too; of these the first request stays until it is done, and others are refused until then. A mode that is asked for while a change of the mode is under way waits for its end.

use crate::admissions::Admissions;
use crate::bell::Bell;
use crate::modes::Modes;
use crate::pressure::Pressure;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use aegis_core::desc::BETWEEN_LEVELS;
use aegis_core::{Instant, LevelId, ModeId, TaskId};
use std::sync::{Arc, OnceLock};

/// What is asked for, and what holds, each a number.
#[derive(Debug)]
pub(crate) struct Asked {
    bell: OnceLock<Arc<Bell>>,
    /// What is asked for.
    wanted: AtomicU32,
    /// Whether a request is to be looked at.
    asked: AtomicBool,
    /// What holds, as far as the orchestration thread has told.
    held: AtomicU32,
}

/// The vehicle has not begun to run.
pub(crate) struct NotRunning;

impl Asked {
    /// 0 holds.
    pub(crate) fn new() -> Self {
        let (wanted, asked, held) = (AtomicU32::new(0), AtomicBool::new(false), AtomicU32::new(0));
        Self { bell: OnceLock::new(), wanted, asked, held }
    }

    /// From now on requests are taken; the bell wakes who takes them.
    pub(crate) fn open(&self, bell: Arc<Bell>) {
        // A second run of one vehicle does not exist: its storage is taken once.
        let _ = self.bell.set(bell);
    }

    /// Asks for a number. Does not wait and uses no heap. `again` tells whether what is wanted already is to be looked at, too.
    pub(crate) fn ask(&self, number: u32, again: bool) -> Result<(), NotRunning> {
        let bell = self.bell.get().ok_or(NotRunning)?;
        let before = self.wanted.swap(number, Ordering::AcqRel);
        if (again || before != number) && !self.asked.swap(true, Ordering::AcqRel) {
            bell.ring();
        }
        Ok(())
    }

    /// What holds.
    pub(crate) fn held(&self) -> u32 {
        self.held.load(Ordering::Acquire)
    }

    /// Something else holds.
    pub(crate) fn hold(&self, number: u32) {
        self.held.store(number, Ordering::Release);
    }

    /// Whether a request is to be looked at.
    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Looks at a request, if there is one: what to go to, if that does not hold already.
    fn look(&self) -> Option<Option<u32>> {
        // Whoever asks from here on rings, and what was asked for before is seen below: so this is a swap, of which one of the two
        // comes first, and no store.
        if !self.asked.swap(false, Ordering::AcqRel) {
            return None;
        }
        let wanted = self.wanted.load(Ordering::Acquire);
        Some((wanted != self.held()).then_some(wanted))
    }
}

/// Where to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// To a level of memory pressure, or to none.
    Level(Option<LevelId>),
    /// To a mode.
    Mode(ModeId),
    /// An optional task is admitted, or dismissed.
    Admission(TaskId, bool),
}

/// The orchestration thread's end: what it was asked for, and since when it may change something again.
#[derive(Debug)]
pub(crate) struct Changes<'a> {
    pressure: &'a Pressure,
    modes: &'a Modes,
    admissions: &'a Admissions,
    /// When it may look again.
    next: Instant,
}

impl<'a> Changes<'a> {
    pub(crate) const fn new(pressure: &'a Pressure, modes: &'a Modes, admissions: &'a Admissions) -> Self {
        Self { pressure, modes, admissions, next: Instant::START }
    }

    /// What to change now, if anything. `is_changing` tells whether a change of the mode is under way.
    pub(crate) fn due(&mut self, now: Instant, is_changing: bool) -> Option<Change> {
        if now < self.next {
            return None;
        }
        let level = || self.pressure.asked.look().map(|to| to.map(|to| Change::Level(crate::pressure::level(to))));
        let mode = || self.modes.asked.look().map(|to| to.and_then(crate::modes::mode).map(Change::Mode));
        let admission = || self.admissions.asked().map(|(task, admits)| Some(Change::Admission(task, admits)));
        let looked = level().or_else(admission).or_else(|| if is_changing { None } else { mode() })?;
        self.next = now.checked_add(BETWEEN_LEVELS).unwrap_or(now);
        looked
    }

    /// When to look although nobody rings, not before now: where a request came too soon after the last look. The end of a change of
    /// the mode is a step, after which the loop asks again.
    pub(crate) fn wake_at(&self, is_changing: bool, now: Instant) -> Option<Instant> {
        let is_asked = self.pressure.asked.is_asked()
            || self.admissions.asked().is_some()
            || (!is_changing && self.modes.asked.is_asked());
        // A request that came after this turn had looked is due now, whenever the last look was.
        is_asked.then_some(self.next.max(now))
    }

    /// The dispatcher is at another level.
    pub(crate) fn is_at(&self, level: Option<LevelId>) {
        self.pressure.asked.hold(crate::pressure::number(level));
    }

    /// The dispatcher has admitted or dismissed a task.
    pub(crate) fn has_admitted(&self, task: TaskId, admits: bool) {
        self.admissions.is_done(task, admits);
    }

    /// The dispatcher is in another mode.
    pub(crate) fn is_in(&self, mode: Option<ModeId>) {
        self.modes.asked.hold(mode.map_or(0, |mode| u32::from(mode.0)));
    }
}
