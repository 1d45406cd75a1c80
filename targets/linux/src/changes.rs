//! What the orchestration thread is asked to change: a level of memory pressure, the mode, or which optional tasks are admitted.
//! The application asks, and for levels and modes watched sources do.
//!
//! ```text
//!  request ─▶ the level that is wanted already? ─▶ nothing to do, nobody wakes
//!          ─▶ wanted ─▶ a request is still to be looked at? ─▶ nobody wakes
//!                    ─▶ bell ─▶ orchestration thread, at most once a second: Event::Pressure or Event::Mode
//! ```
//!
//! The last request counts: what is asked for and taken back before the orchestration thread looks never happens. Of two levels
//! the severer one is wanted. A mode that sources ask for is wanted until they end it; then what the application asked for last
//! is, or the first one. However often somebody asks, that thread changes something at most once in [`BETWEEN_LEVELS`], level and
//! mode together, a term of the analysis, and wakes for it at most twice in that time: when the bell rings, and when it may look.
//! An optional task's admission or dismissal is such a change, too; of these the first request stays until it is done, and others
//! are refused until then. A mode that is asked for while a change of the mode is under way waits for its end. A level for which
//! memory has to be taken back first (module `reclaim`) is gone to at the first look, once a second, that finds it there; until
//! then the one that holds stays.

use crate::admissions::Admissions;
use crate::bell::Bell;
use crate::modes::Modes;
use crate::pressure::Pressure;
use crate::reclaim::Reclaim;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use aegis_core::desc::{Asks, BETWEEN_LEVELS, WatchedSource};
use aegis_core::trace::Kind;
use aegis_core::{Instant, LevelId, ModeId, TaskId};
use std::sync::{Arc, OnceLock};

/// What is asked for, and what holds, each a number.
#[derive(Debug)]
pub(crate) struct Asked {
    rule: Rule,
    bell: OnceLock<Arc<Bell>>,
    /// What the application asks for in the lower half, what sources ask for in the upper one.
    wanted: AtomicU64,
    /// The source that asked last, and its reading.
    why: AtomicU64,
    /// Whether a request is to be looked at.
    asked: AtomicBool,
    /// What holds, as far as the orchestration thread has told.
    held: AtomicU32,
}

/// What is wanted where application and sources ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// The greater number: levels, counted from 1; 0 is none.
    Severer,
    /// The sources', counted from 1, unless that is 0; otherwise the application's, counted from 0: modes. What holds may have
    /// changed without a request: an overrun or a miss can have been answered so.
    Sources,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    /// The application, or an answer that asks as it does.
    Application,
    /// A source by its reading.
    Source(WatchedSource, u64),
}

/// The vehicle has not begun to run.
pub(crate) struct NotRunning;

impl Rule {
    fn wanted(self, both: u64) -> u32 {
        let (own, watched) = halves(both);
        match self {
            Self::Severer => own.max(watched),
            Self::Sources => watched.checked_sub(1).unwrap_or(own),
        }
    }
}

/// What the application asks for, and what sources do.
fn halves(both: u64) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    (half(both), half(both >> 32))
}

fn both(own: u32, watched: u32) -> u64 {
    u64::from(own) | u64::from(watched) << 32
}

impl Asked {
    /// 0 holds, and nobody asks for anything.
    pub(crate) fn new(rule: Rule) -> Self {
        let (wanted, why) = (AtomicU64::new(0), AtomicU64::new(0));
        let (asked, held) = (AtomicBool::new(false), AtomicU32::new(0));
        Self { rule, bell: OnceLock::new(), wanted, why, asked, held }
    }

    /// From now on requests are taken; the bell wakes who takes them.
    pub(crate) fn open(&self, bell: Arc<Bell>) {
        // A second run of one vehicle does not exist: its storage is taken once.
        let _ = self.bell.set(bell);
    }

    /// Asks for a number. Does not wait and uses no heap. Whatever sources ask for is looked at, so that it is recorded.
    pub(crate) fn ask(&self, by: By, number: u32) -> Result<(), NotRunning> {
        let bell = self.bell.get().ok_or(NotRunning)?;
        if let By::Source(source, reading) = by {
            self.why.store(reason(source, reading), Ordering::Release);
        }
        let with = |before: u64| {
            let (own, watched) = halves(before);
            if by == By::Application { both(number, watched) } else { both(own, number) }
        };
        let mut before = self.wanted.load(Ordering::Acquire);
        // Another one asked in between: then its half is kept.
        while let Err(other) = self.wanted.compare_exchange(before, with(before), Ordering::AcqRel, Ordering::Acquire) {
            before = other;
        }
        let (was, is) = (self.rule.wanted(before), self.rule.wanted(with(before)));
        let again = by != By::Application || (self.rule == Rule::Sources && self.held() != is);
        if (again || was != is) && !self.asked.swap(true, Ordering::AcqRel) {
            bell.ring();
        }
        Ok(())
    }

    /// Of a mode: what the application asked for last, and whether that is where it wants to be: sources ask for another one, or
    /// nobody has looked at it yet.
    pub(crate) fn own(&self) -> (ModeId, bool) {
        let (own, watched) = halves(self.wanted.load(Ordering::Acquire));
        (crate::modes::mode(own).unwrap_or(ModeId(0)), watched != 0 || self.is_asked())
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

    /// Looks at a request, if there is one: what to go to, if that does not hold already, and what sources ask for.
    fn look(&self) -> Option<(Option<u32>, u32)> {
        // Whoever asks from here on rings, and what was asked for before is seen below: so this is a swap, of which one of the two
        // comes first, and no store.
        if !self.asked.swap(false, Ordering::AcqRel) {
            return None;
        }
        let both = self.wanted.load(Ordering::Acquire);
        let (wanted, (_, watched)) = (self.rule.wanted(both), halves(both));
        Some(((wanted != self.held()).then_some(wanted), watched))
    }

    /// The source that asked last, and its reading.
    fn why(&self) -> (WatchedSource, u64) {
        let why = self.why.load(Ordering::Acquire);
        let source = usize::try_from(why & SOURCE).ok().and_then(|place| WatchedSource::ALL.get(place));
        (source.copied().unwrap_or(WatchedSource::FreeMemory), why >> SOURCE_BITS)
    }
}

/// How many of a reason's bits say which source it is.
const SOURCE_BITS: u32 = 3;
const SOURCE: u64 = (1 << SOURCE_BITS) - 1;

/// A source and its reading as one number. A reading of more bits than there are left does not exist: it is in bytes at most.
fn reason(source: WatchedSource, reading: u64) -> u64 {
    let place = WatchedSource::ALL.iter().position(|other| *other == source);
    reading.min(u64::MAX >> SOURCE_BITS) << SOURCE_BITS | place.and_then(|place| u64::try_from(place).ok()).unwrap_or(0)
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
    reclaim: &'a Reclaim,
    /// When it may look again.
    next: Instant,
    /// What sources asked for of level and of mode, as it was last looked at.
    seen: (u32, u32),
    /// What of that is not recorded yet.
    news: Option<Kind>,
    /// Whether the level was served last: then an admission that waits goes before it.
    was_level: bool,
    /// The level that is gone to once what it uses is there.
    going: Option<Option<LevelId>>,
}

impl<'a> Changes<'a> {
    pub(crate) const fn new(
        pressure: &'a Pressure,
        modes: &'a Modes,
        admissions: &'a Admissions,
        reclaim: &'a Reclaim,
    ) -> Self {
        let (next, seen, news, was_level, going) = (Instant::START, (0, 0), None, false, None);
        Self { pressure, modes, admissions, reclaim, next, seen, news, was_level, going }
    }

    /// What to change now, if anything. `is_changing` tells whether a change of the mode is under way.
    pub(crate) fn due(&mut self, now: Instant, is_changing: bool) -> Option<Change> {
        if now < self.next {
            return None;
        }
        // Level and admissions take turns where both are asked for.
        let admission = self.admissions.asked();
        let is_next = self.was_level && admission.is_some();
        let is_looked_at = !is_next && self.look_at_level();
        self.was_level = is_looked_at;
        let change = if is_looked_at {
            self.go()
        } else if let Some((task, admits)) = admission {
            Some(Change::Admission(task, admits))
        } else {
            let (to, watched) = if is_changing { None } else { self.modes.asked.look() }?;
            if std::mem::replace(&mut self.seen.1, watched) != watched {
                let asks = watched.checked_sub(1).and_then(crate::modes::mode).map(Asks::Mode);
                self.news = Some(news(&self.modes.asked, asks));
            }
            to.and_then(crate::modes::mode).map(Change::Mode)
        };
        self.next = now.checked_add(BETWEEN_LEVELS).unwrap_or(now);
        change
    }

    /// Looks at what is asked for of the level. Whether anything is, or was, and waits for memory.
    fn look_at_level(&mut self) -> bool {
        let Some((to, watched)) = self.pressure.asked.look() else { return self.going.is_some() };
        if std::mem::replace(&mut self.seen.0, watched) != watched {
            let asks = crate::pressure::level(watched).map(Asks::Level);
            self.news = Some(news(&self.pressure.asked, asks));
        }
        // The last request counts, also where that is for what holds: then nothing is gone to.
        self.going = to.map(crate::pressure::level);
        true
    }

    /// Goes where it is to be gone, if all is there that is used there.
    fn go(&mut self) -> Option<Change> {
        let to = self.going?;
        if self.reclaim.provide(to) {
            self.going = None;
            return Some(Change::Level(to));
        }
        None
    }

    /// What sources ask for, once where that is new since the last look.
    pub(crate) const fn news(&mut self) -> Option<Kind> {
        self.news.take()
    }

    /// When to look although nobody rings, not before now: where a request came too soon after the last look. The end of a change
    /// of the mode is a step, after which the loop asks again.
    pub(crate) fn wake_at(&self, is_changing: bool, now: Instant) -> Option<Instant> {
        let is_asked = self.going.is_some()
            || self.pressure.asked.is_asked()
            || self.admissions.asked().is_some()
            || (!is_changing && self.modes.asked.is_asked());
        // A request that came after this turn had looked is due now, whenever the last look was.
        is_asked.then_some(self.next.max(now))
    }

    /// The level that holds has settled: what it leaves unused is given back, unless another one is to be gone to.
    pub(crate) fn has_settled(&self, level: LevelId) {
        if self.going.is_none() {
            self.reclaim.has_settled(level);
        }
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

fn news(asked: &Asked, asks: Option<Asks>) -> Kind {
    let (source, reading) = asked.why();
    Kind::Watched { source, reading, asks }
}
