//! Which of three slots is whose: the newest value goes from one writer to one reader, and neither ever waits for the other.
//!
//! ```text
//!   writer ── writes ──▶ back          middle          front ◀── reads ── reader
//!                          └── publish: swap ──▶│◀── take: swap, if fresh ──┘
//! ```
//!
//! Of the three slots the writer has one, the reader has one, and the word `middle` names the third. Publishing and taking swap
//! one's own slot with the middle in one atomic step, so nobody ever has a slot that the other has, and what is taken is whole. A
//! writer that dies has published its last value or has not: the slot that it was writing is never taken.
//!
//! A new writer finds its slot without the old one's help. The reader also tells its slot in `front`: the third one, neither
//! middle nor front, is the writer's. Taking only exchanges these two, so whatever the writer sees of the two, if they differ they
//! are the same two; if they do not, the reader is between the swap and telling it.
//!
//! The reader believes nothing: its slot is its own number, and words that a sound writer never leaves are put right and told.

use crate::sync::atomic::{AtomicU32, Ordering};

/// How many slots there are.
pub const SLOTS: u32 = 3;
/// Set in `middle` while its slot has not been taken.
pub const FRESH: u32 = 4;

/// The two words, in memory that reader and writer have.
#[derive(Debug)]
pub struct Words<'a> {
    /// The slot that is nobody's, with [`FRESH`].
    pub middle: &'a AtomicU32,
    /// The reader's slot, told by the reader.
    pub front: &'a AtomicU32,
}

/// The words say what no sound writer leaves; they have been put right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// The reading end.
#[derive(Debug)]
pub struct Reader {
    front: u32,
}

impl Reader {
    /// Of words that nobody uses yet.
    #[must_use]
    pub fn new(words: &Words<'_>) -> Self {
        words.middle.store(1, Ordering::Relaxed);
        words.front.store(0, Ordering::Release);
        Self { front: 0 }
    }

    /// The slot that is the reader's.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.front
    }

    /// Takes the newest value, if there is one that was not taken: at most one swap, whatever the writer does.
    ///
    /// # Errors
    /// [`Malformed`]; the reader has another slot then, in which there is nothing.
    pub fn take(&mut self, words: &Words<'_>) -> Result<bool, Malformed> {
        if words.front.load(Ordering::Relaxed) != self.front {
            words.front.store(self.front, Ordering::Release);
        }
        let seen = words.middle.load(Ordering::Relaxed);
        if self.other(seen).is_none() {
            return Err(self.put_right(words));
        }
        if seen & FRESH == 0 {
            return Ok(false);
        }
        let was = words.middle.swap(self.front, Ordering::AcqRel);
        let Some(taken) = self.other(was) else { return Err(self.put_right(words)) };
        self.front = taken;
        words.front.store(taken, Ordering::Release);
        Ok(true)
    }

    /// The slot that `middle` names, where it can be.
    const fn other(&self, middle: u32) -> Option<u32> {
        let slot = middle & !FRESH;
        if slot < SLOTS && slot != self.front { Some(slot) } else { None }
    }

    /// The middle gets the reader's slot, and the reader another one.
    fn put_right(&mut self, words: &Words<'_>) -> Malformed {
        let old = self.front;
        self.front = if old == 0 { 1 } else { 0 };
        words.middle.store(old, Ordering::Release);
        words.front.store(self.front, Ordering::Release);
        Malformed
    }
}

/// The writing end, as `aegis_input.h` has it.
#[derive(Debug)]
pub struct Writer {
    back: u32,
}

impl Writer {
    /// Finds the slot that is the writer's; `None` while the reader is between two steps: try again.
    #[must_use]
    pub fn join(words: &Words<'_>) -> Option<Self> {
        let middle = words.middle.load(Ordering::Acquire) & !FRESH;
        let front = words.front.load(Ordering::Acquire);
        let is_sound = middle < SLOTS && front < SLOTS && middle != front;
        is_sound.then(|| Self { back: SLOTS.saturating_sub(middle).saturating_sub(front) })
    }

    /// The slot that is the writer's.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.back
    }

    /// What was written is the newest value.
    pub fn publish(&mut self, words: &Words<'_>) {
        self.back = words.middle.swap(self.back | FRESH, Ordering::AcqRel) & !FRESH;
    }
}
