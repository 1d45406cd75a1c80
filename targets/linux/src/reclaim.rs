//! What a settled level of memory pressure leaves unused goes back to the system, and is there again before the level is left.
//!
//! ```text
//!  orchestration thread                              reclaiming thread, without real-time priority
//!  the level has settled:      Give(level) ────────▶ gives back what the level leaves unused
//!  another one is asked for:   Keep(other) ────────▶ takes back what that one does not leave unused; no level: everything
//!  once a second:              done? ─▶ Event::Pressure
//! ```
//!
//! Each order is one word with a number of its own, and so is the answer: two atomics, which each one thread writes. Nobody wakes
//! anybody: the reclaiming thread looks by itself, and the orchestration thread when it looks at requests anyway, so that an
//! order costs it a store. While an order is being carried out, the answer is an older one's, whatever it asked for.

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use aegis_core::{Bytes, LevelId};
use std::sync::Arc;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Give back what the level leaves unused. It has settled: nobody uses that.
    Give(LevelId),
    /// Take back what the level does not leave unused; `None`: everything.
    Keep(Option<LevelId>),
}

/// An order with its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbered {
    /// What is to be done.
    pub order: Order,
    word: u32,
}

/// What both threads share. Memory that an order gives back is used by nobody until an order to keep it was answered: that holds
/// as long as [`Reclaim::has_done`] is said of what was really done.
#[derive(Debug)]
pub struct Reclaim {
    /// For each level a bit for each one, itself too, that leaves unused all that it leaves; none where it leaves nothing.
    within: Box<[u32]>,
    /// The latest order: its number, whether it is to give, and the level, counted from 1.
    wanted: AtomicU32,
    /// The latest order that was carried out, likewise.
    done: AtomicU32,
    /// The level whose unused memory was last ordered to be given back, counted from 1. More than that is never given back: before it settled
    /// all that was given back it leaves unused, too, and an order to keep only takes.
    given: AtomicU32,
    /// How much is given back.
    bytes: AtomicU64,
    /// How many orders found that memory could not be had again.
    failures: AtomicU64,
}

/// The bits of a word that are the level, counted from 1.
const LEVEL: u32 = 0xff;
/// The bit that says whether to give.
const GIVE: u32 = 0x100;
/// The lowest bit of the number.
const NUMBER: u32 = 0x200;

impl Reclaim {
    /// For each level a bit, by its position, for each level that leaves unused all that it leaves, itself too; none where it
    /// leaves nothing unused.
    #[must_use]
    pub fn new(within: Box<[u32]>) -> Arc<Self> {
        // Nothing is given back: as if everything had just been taken back.
        let (wanted, done, given) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        let (bytes, failures) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { within, wanted, done, given, bytes, failures })
    }

    /// Whether any level leaves something unused.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.within.iter().any(|within| *within != 0)
    }

    /// Whether all that the one level leaves unused, and that is something, the other leaves unused, too.
    fn is_within(&self, level: LevelId, other: LevelId) -> bool {
        let within = self.within.get(level.index()).copied().unwrap_or(0);
        within.checked_shr(u32::from(other.0)).unwrap_or(0) & 1 != 0
    }

    /// The orchestration thread: a level has settled, and no other is gone to.
    pub(crate) fn has_settled(&self, level: LevelId) {
        if self.is_within(level, level) {
            self.given.store(word(Order::Keep(Some(level))), Ordering::Relaxed);
            self.order(Order::Give(level));
        }
    }

    /// The orchestration thread: sees to it that all is there that is used at a level, and tells whether it is.
    pub(crate) fn provide(&self, level: Option<LevelId>) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        let is_done = self.done.load(Ordering::Acquire) == wanted;
        let is_within = |one: Option<LevelId>| one.zip(level).is_some_and(|(one, level)| self.is_within(one, level));
        let last_given = number(self.given.load(Ordering::Relaxed));
        match order(wanted) {
            Order::Keep(None) if is_done => return true,
            Order::Keep(kept) if is_done && is_within(kept) => return true,
            _ if is_within(last_given) => return true,
            _ => {}
        }
        // A level that leaves nothing unused is as none.
        self.order(Order::Keep(level.filter(|level| self.is_within(*level, *level))));
        false
    }

    /// Gives an order, unless it is the latest one.
    fn order(&self, order: Order) {
        let before = self.wanted.load(Ordering::Relaxed);
        if before & (GIVE | LEVEL) != word(order) {
            let number = (before & !(GIVE | LEVEL)).wrapping_add(NUMBER);
            self.wanted.store(number | word(order), Ordering::Release);
        }
    }

    /// How much is given back.
    pub(crate) fn given_back(&self) -> Bytes {
        Bytes(self.bytes.load(Ordering::Acquire))
    }

    /// How many orders so far found that memory could not be had again, at once or at all.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The reclaiming thread: for the first time an order could not be carried out, because memory could not be had again; so much is given
    /// back still.
    pub fn has_failed(&self, given_back: Bytes) {
        self.bytes.store(given_back.0, Ordering::Release);
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The reclaiming thread: the order that is to be carried out, if there is one.
    pub fn next(&self) -> Option<Numbered> {
        let word = self.wanted.load(Ordering::Acquire);
        (word != self.done.load(Ordering::Relaxed)).then_some(Numbered { order: order(word), word })
    }

    /// The reclaiming thread: an order was carried out, and so much is given back now.
    pub fn has_done(&self, order: Numbered, given_back: Bytes) {
        self.bytes.store(given_back.0, Ordering::Release);
        self.done.store(order.word, Ordering::Release);
    }
}

fn order(word: u32) -> Order {
    let level = number(word);
    level.filter(|_| word & GIVE != 0).map_or(Order::Keep(level), Order::Give)
}

/// The level of a word.
fn number(word: u32) -> Option<LevelId> {
    (word & LEVEL).checked_sub(1).and_then(|level| u16::try_from(level).ok()).map(LevelId)
}

fn word(order: Order) -> u32 {
    let number = |level: LevelId| u32::from(level.0).saturating_add(1) & LEVEL;
    match order {
        Order::Give(level) => GIVE | number(level),
        Order::Keep(level) => level.map_or(0, number),
    }
}
