//! A deterministic first-fit allocator over byte offsets: equal requests in equal order get equal offsets.
//!
//! A runtime's allocation sequence for a fixed model is the same in every run, so the greatest height of a few
//! runs is the height of all. The vehicle and the probe use this same code, which makes the probe's figure the
//! vehicle's need. A request costs one pass over the live blocks (a few dozen), and no heap.

use aegis_core::Bytes;
use aegis_core::desc::{Recording, Step, occupied};

/// The most blocks that may be live at once; measured models need less than 200.
const MOST_LIVE: usize = 4_096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Block {
    at: u64,
    end: u64,
}

/// The allocator's state: its live blocks, in order of their offsets.
#[derive(Clone, Debug)]
pub struct FirstFit {
    length: u64,
    alignment: Bytes,
    live: Vec<Block>,
    height: u64,
}

impl FirstFit {
    /// An empty region of `length` bytes, of memory of this alignment: offsets and lengths are multiples of it, as the planner's.
    #[must_use]
    pub fn new(length: u64, alignment: Bytes) -> Self {
        Self { length, alignment, live: Vec::with_capacity(MOST_LIVE), height: 0 }
    }

    /// The offset of a new block of `size` bytes: the lowest gap it fits into. `None` where it fits nowhere.
    pub fn take(&mut self, size: u64) -> Option<u64> {
        if self.live.len() == self.live.capacity() {
            return None;
        }
        let size = occupied(Bytes(size), self.alignment)?;
        let mut at = 0_u64;
        let mut position = 0_usize;
        for block in &self.live {
            if at.checked_add(size)? <= block.at {
                break;
            }
            at = block.end;
            position = position.checked_add(1)?;
        }
        let end = at.checked_add(size).filter(|end| *end <= self.length)?;
        self.live.insert(position, Block { at, end });
        self.height = self.height.max(end);
        Some(at)
    }

    /// Frees the block at this offset; false where there is none.
    pub fn give(&mut self, at: u64) -> bool {
        match self.live.binary_search_by_key(&at, |block| block.at) {
            Ok(position) => {
                self.live.remove(position);
                true
            }
            Err(_) => false,
        }
    }

    /// How many blocks are live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// The greatest end of any block so far.
    #[must_use]
    pub const fn height(&self) -> u64 {
        self.height
    }
}

/// A recorded sequence as steps, placed by first fit: what a probe replays, so that a run which differs is
/// noticed. Numbers are requests in bytes, or −k where the k-th block, from 1, is given back.
///
/// `None` where more blocks are live than a plan can name, or the region of `length` bytes, of memory of this alignment, is too
/// short. Leaks.
#[must_use]
pub fn replayable(events: &[i64], length: u64, alignment: Bytes) -> Option<Recording> {
    let mut fit = FirstFit::new(length, alignment);
    let mut free: Vec<u16> = (0..u16::try_from(aegis_core::desc::MOST_LIVE).ok()?).rev().collect();
    let mut blocks: Vec<(u64, u16)> = Vec::new();
    let mut steps = Vec::with_capacity(events.len());
    for event in events {
        if let Ok(size) = u64::try_from(*event) {
            let (at, slot) = (fit.take(size)?, free.pop()?);
            steps.push(Step::lowest(size, at, slot));
            blocks.push((at, slot));
        } else {
            let block = usize::try_from(event.unsigned_abs()).ok()?.checked_sub(1)?;
            let (at, slot) = *blocks.get(block)?;
            fit.give(at);
            free.push(slot);
            steps.push(Step::give(slot));
        }
    }
    Some(Recording { steps: steps.leak(), peak: 0 })
}

#[cfg(test)]
mod tests {
    use super::{FirstFit, replayable};
    use aegis_core::desc::{ALIGNMENT, GPU_ALIGNMENT, Step};

    #[test]
    fn the_lowest_gap_that_is_large_enough_is_taken() {
        let mut fit = FirstFit::new(1_024, ALIGNMENT);
        assert_eq!([fit.take(100), fit.take(64), fit.take(1)], [Some(0), Some(128), Some(192)]);
        assert!(fit.give(0));
        assert_eq!(fit.take(129), Some(256), "the gap has 128 bytes");
        assert_eq!(fit.take(128), Some(0));
        assert_eq!((fit.height(), fit.live()), (448, 4));
        assert!(!fit.give(64) && !fit.give(1_000));
        assert_eq!(fit.take(577), None, "only 576 bytes are left");
        assert_eq!(fit.take(576), Some(448));
        assert_eq!(fit.take(u64::MAX), None);
    }

    #[test]
    fn on_a_gpu_blocks_begin_at_multiples_of_256() {
        let mut fit = FirstFit::new(1_024, GPU_ALIGNMENT);
        assert_eq!([fit.take(1), fit.take(257), fit.take(256)], [Some(0), Some(256), Some(768)]);
        assert_eq!((fit.take(1), fit.height()), (None, 1_024));
        assert!(replayable(&[1, 257, 1], 768, GPU_ALIGNMENT).is_none(), "64 bytes after each would do");
        let steps = replayable(&[1, 257, -1, 256], 768, GPU_ALIGNMENT).unwrap().steps;
        assert!(matches!(steps, [.., Step::Take { at, .. }] if at.0 == 0));
    }

    #[test]
    fn no_two_live_blocks_ever_overlap_and_equal_sequences_give_equal_offsets() {
        for seed in 1..20_u64 {
            assert_eq!(exercise(seed), exercise(seed));
        }
    }

    /// A long pseudo-random sequence that checks the invariants after each step; returns all offsets.
    fn exercise(seed: u64) -> Vec<Option<u64>> {
        let length = 64 * 200;
        let mut fit = FirstFit::new(length, ALIGNMENT);
        let (mut live, mut offsets, mut random): (Vec<(u64, u64)>, _, _) = (Vec::new(), Vec::new(), seed);
        for _ in 0..2_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if random % 3 > 0 || live.is_empty() {
                let size = random % 900;
                let at = fit.take(size);
                offsets.push(at);
                let Some(at) = at else { continue };
                assert!(at % 64 == 0 && at + size <= length);
                let end = at + size.max(1);
                assert!(live.iter().all(|(other, other_end)| end <= *other || *other_end <= at), "{live:?} {at}");
                live.push((at, end));
                assert!(fit.height() >= end);
            } else {
                let index = usize::try_from(random).unwrap_or(0) % live.len();
                let (at, _) = live.swap_remove(index);
                assert!(fit.give(at) && !fit.give(at));
            }
            assert_eq!(fit.live(), live.len());
        }
        offsets
    }
}
