//! Re-proves a planned allocation sequence: no two live blocks share a byte, all lie in their region.
//!
//! The sequence is played once. Live blocks form a list from low to high; each new block comes with its neighbour below,
//! so that inserting, removing and comparing with both neighbours are a few steps whatever the number of blocks.
//! Blocks that lie between their neighbours, in a list that is in order, overlap nothing.

use crate::desc::{MOST_LIVE, Step, occupied};
use crate::units::Bytes;

/// What was found of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Played {
    /// The bytes that are live after the witnessed step.
    pub(super) at_witness: u64,
    /// The bytes that are live at the end.
    pub(super) at_end: u64,
}

/// A live block.
#[derive(Clone, Copy)]
struct Block {
    at: u64,
    end: u64,
    /// The slot below plus one, 0: none.
    below: u16,
    /// The slot above plus one, 0: none.
    above: u16,
    live: bool,
}

const FREE: Block = Block { at: 0, end: 0, below: 0, above: 0, live: false };

/// The blocks by slot, and the lowest.
struct Table {
    blocks: [Block; MOST_LIVE],
    /// Its slot plus one, 0: none.
    lowest: u16,
}

/// A position in a table, as `usize`.
const fn index(slot: u16) -> usize {
    // Widening.
    #[allow(clippy::as_conversions)]
    {
        slot as usize
    }
}

impl Table {
    const fn get(&self, slot: u16) -> Option<Block> {
        let Some((_, [block, ..])) = self.blocks.as_slice().split_at_checked(index(slot)) else {
            return None;
        };
        if block.live { Some(*block) } else { None }
    }

    /// Replaces an entry; false where there is no such slot.
    const fn set(&mut self, slot: u16, block: Block) -> bool {
        let Some((_, [entry, ..])) = self.blocks.as_mut_slice().split_at_mut_checked(index(slot)) else {
            return false;
        };
        *entry = block;
        true
    }

    /// Makes `above` the neighbour above `link` (a slot plus one, 0: the ground).
    const fn link_above(&mut self, link: u16, above: u16) -> bool {
        let Some(slot) = link.checked_sub(1) else {
            self.lowest = above;
            return true;
        };
        let Some(block) = self.get(slot) else {
            return false;
        };
        self.set(slot, Block { above, ..block })
    }

    /// Makes `below` the neighbour below `link` (a slot plus one, 0: nothing).
    const fn link_below(&mut self, link: u16, below: u16) -> bool {
        let Some(slot) = link.checked_sub(1) else {
            return true;
        };
        let Some(block) = self.get(slot) else {
            return false;
        };
        self.set(slot, Block { below, ..block })
    }

    /// Inserts a block above the one that the plan names, if it lies between its neighbours.
    const fn take(&mut self, slot: u16, at: u64, end: u64, below: Option<u16>) -> bool {
        let free =
            matches!(self.blocks.as_slice().split_at_checked(index(slot)), Some((_, [block, ..])) if !block.live);
        let Some(own) = slot.checked_add(1) else {
            return false;
        };
        let (link, above) = match below {
            None => (0, self.lowest),
            Some(below) => {
                let (Some(block), Some(link)) = (self.get(below), below.checked_add(1)) else {
                    return false;
                };
                if block.end > at {
                    return false;
                }
                (link, block.above)
            }
        };
        if let Some(slot) = above.checked_sub(1) {
            match self.get(slot) {
                Some(block) if end <= block.at => {}
                _ => return false,
            }
        }
        free && self.set(slot, Block { at, end, below: link, above, live: true })
            && self.link_above(link, own)
            && self.link_below(above, own)
    }

    /// Removes a block; returns what it occupied.
    const fn give(&mut self, slot: u16) -> Option<u64> {
        let Some(block) = self.get(slot) else {
            return None;
        };
        if self.set(slot, FREE)
            && self.link_above(block.below, block.above)
            && self.link_below(block.above, block.below)
        {
            block.end.checked_sub(block.at)
        } else {
            None
        }
    }
}

/// Plays a sequence in a region of `size` bytes, of memory of this alignment; `None` where a block overlaps a live one, is
/// misaligned, ends outside, or the sequence contradicts itself. `witness` is a position in `steps`.
pub(super) const fn play(steps: &[Step], size: Bytes, witness: u32, alignment: Bytes) -> Option<Played> {
    let mut table = Table { blocks: [FREE; MOST_LIVE], lowest: 0 };
    let mut live: u64 = 0;
    let mut at_witness: u64 = 0;
    let mut position: u32 = 0;
    let mut steps = steps;
    while let [step, rest @ ..] = steps {
        match step {
            Step::Take { size: asked, at, slot, below } => {
                let Some(occupied) = occupied(*asked, alignment) else {
                    return None;
                };
                let (Some(end), Some(sum)) = (at.0.checked_add(occupied), live.checked_add(occupied)) else {
                    return None;
                };
                let aligned = matches!(at.0.checked_rem(alignment.0), Some(0));
                if !aligned || end > size.0 || !table.take(*slot, at.0, end, *below) {
                    return None;
                }
                live = sum;
            }
            Step::Give { slot } => {
                let Some(length) = table.give(*slot) else {
                    return None;
                };
                let Some(left) = live.checked_sub(length) else {
                    return None;
                };
                live = left;
            }
        }
        if position == witness {
            at_witness = live;
        }
        let Some(next) = position.checked_add(1) else {
            return None;
        };
        position = next;
        steps = rest;
    }
    Some(Played { at_witness, at_end: live })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{Played, play};
    use crate::desc::{ALIGNMENT, GPU_ALIGNMENT, MOST_LIVE, Step};
    use crate::units::Bytes;
    use std::vec::Vec;

    const SOUND: [Step; 8] = [
        Step::lowest(100, 0, 0),
        Step::above(64, 128, 1, 0),
        Step::give(0),
        Step::lowest(1, 64, 2),
        Step::lowest(0, 0, 0),
        Step::give(1),
        Step::give(0),
        Step::give(2),
    ];

    #[test]
    fn a_sound_sequence_is_played_also_by_rustc() {
        const PLAYED: Option<Played> = play(&SOUND, Bytes(192), 4, ALIGNMENT);
        assert_eq!(PLAYED, Some(Played { at_witness: 192, at_end: 0 }));
        assert_eq!(play(&SOUND[..7], Bytes(192), 9, ALIGNMENT), Some(Played { at_witness: 0, at_end: 64 }));
        assert_eq!(play(&[], Bytes(0), 0, ALIGNMENT), Some(Played { at_witness: 0, at_end: 0 }));
    }

    #[test]
    fn whatever_is_wrong_is_refused() {
        let refused = |steps: &[Step]| play(steps, Bytes(192), 0, ALIGNMENT).is_none();
        assert!(play(&SOUND, Bytes(191), 0, ALIGNMENT).is_none(), "the region is too short");
        let first = Step::lowest(100, 0, 0);
        for wrong in [
            Step::above(64, 64, 1, 0),
            Step::lowest(64, 64, 1),
            Step::lowest(64, 0, 1),
            Step::above(64, 130, 1, 0),
            Step::above(65, 128, 1, 0),
            Step::above(64, 128, 0, 0),
            Step::above(64, 128, 1, 1),
            Step::above(64, 128, 1, 5),
            Step::above(64, 128, 1_024, 0),
            Step::above(64, 128, u16::MAX, 0),
            Step::above(u64::MAX, 128, 1, 0),
            Step::above(64, u64::MAX - 63, 1, 0),
            Step::give(1),
            Step::give(u16::MAX),
        ] {
            assert!(refused(&[first, wrong]), "{wrong:?}");
        }
        assert!(refused(&[first, Step::give(0), Step::give(0)]));
        // The neighbour below is not the highest below: the block between them would be overlapped.
        let between = [Step::lowest(1, 0, 0), Step::above(1, 128, 1, 0), Step::above(65, 64, 2, 0)];
        assert!(refused(&between));
        assert!(!refused(&[between[0], between[1], Step::above(64, 64, 2, 0)]));
    }

    #[test]
    fn a_block_begins_where_its_memory_may() {
        let played = |at: u64, alignment| play(&[Step::lowest(1, at, 0)], Bytes(1_024), 0, alignment);
        for at in [0, 64, 128, 192, 256, 320, 512, 768] {
            assert!(played(at, ALIGNMENT).is_some(), "{at}");
            assert_eq!(played(at, GPU_ALIGNMENT).is_some(), at % 256 == 0, "{at}");
        }
        assert_eq!(
            played(768, GPU_ALIGNMENT),
            Some(Played { at_witness: 256, at_end: 256 }),
            "one byte takes all of it"
        );
        let beside = [Step::lowest(257, 0, 0), Step::above(1, 256, 1, 0)];
        assert!(play(&beside, Bytes(1_024), 0, GPU_ALIGNMENT).is_none(), "the block below ends at 512");
        assert!(play(&[beside[0]], Bytes(511), 0, GPU_ALIGNMENT).is_none(), "it ends outside");
    }

    /// Random sequences with the right hints, against a list of live blocks.
    #[test]
    fn the_verdict_is_that_of_comparing_all_pairs() {
        for alignment in [ALIGNMENT, GPU_ALIGNMENT] {
            let unit = alignment.0;
            let (mut sound, mut unsound) = (0, 0);
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            let mut random = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            for _ in 0..4_000 {
                let mut steps = Vec::new();
                let mut live: Vec<(u64, u64, u16)> = Vec::new();
                for _ in 0..random(24) {
                    if !live.is_empty() && random(3) == 0 {
                        let at = usize::try_from(random(u64::try_from(live.len()).unwrap())).unwrap();
                        steps.push(Step::give(live.remove(at).2));
                        continue;
                    }
                    // Mostly where the memory allows it.
                    let off = if unit > 64 && random(60) == 0 { 64 } else { 0 };
                    let (at, size) = (random(12) * unit + off, random(3) * unit + 1);
                    let end = at + size.next_multiple_of(unit);
                    let mut overlaps = live.iter().any(|(start, stop, _)| at < *stop && *start < end);
                    // Mostly sound.
                    if overlaps && random(40) > 0 {
                        continue;
                    }
                    overlaps |= end > 16 * unit || off > 0;
                    let slot = (0..).find(|slot| live.iter().all(|(.., other)| other != slot)).unwrap();
                    let below = live.iter().filter(|(start, ..)| *start < at).max().map(|(.., slot)| *slot);
                    steps.push(below.map_or(Step::lowest(size, at, slot), |below| Step::above(size, at, slot, below)));
                    live.push((at, end, slot));
                    if overlaps {
                        break;
                    }
                }
                let naive = naive(&steps, 16 * unit, unit);
                (sound, unsound) = (sound + u32::from(naive), unsound + u32::from(!naive));
                assert_eq!(play(&steps, Bytes(16 * unit), 0, alignment).is_some(), naive, "{steps:?}");
            }
            assert!(sound > 1_000 && unsound > 200, "{sound} {unsound}");
        }
    }

    /// Random slots, places and hints: whatever is accepted overlaps nothing, and its slots are free or live as they must.
    #[test]
    fn no_hint_makes_an_overlap_pass() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut accepted = 0;
        for _ in 0..400_000 {
            let steps: Vec<Step> = (0..random(7))
                .map(|_| {
                    let slot = u16::try_from(random(4)).unwrap();
                    let (size, at) = (random(130), random(6) * 64);
                    match random(5) {
                        0 => Step::give(slot),
                        1 => Step::lowest(size, at, slot),
                        _ => Step::above(size, at, slot, u16::try_from(random(4)).unwrap()),
                    }
                })
                .collect();
            if play(&steps, Bytes(384), 0, ALIGNMENT).is_some() {
                accepted += u32::from(steps.len() > 2);
                assert!(naive(&steps, 384, 64), "{steps:?}");
            }
        }
        assert!(accepted > 100, "{accepted}");
    }

    fn naive(steps: &[Step], size: u64, alignment: u64) -> bool {
        let mut live: Vec<(u64, u64, u16)> = Vec::new();
        for step in steps {
            match step {
                Step::Give { slot } => {
                    let before = live.len();
                    live.retain(|(.., other)| other != slot);
                    if live.len() == before {
                        return false;
                    }
                }
                Step::Take { size: asked, at, slot, .. } => {
                    let end = at.0.saturating_add(asked.0.max(1).checked_next_multiple_of(alignment).unwrap());
                    let meets =
                        |(start, stop, other): &(u64, u64, u16)| (at.0 < *stop && *start < end) || other == slot;
                    if !at.0.is_multiple_of(alignment) || end > size || live.iter().any(meets) {
                        return false;
                    }
                    live.push((at.0, end, *slot));
                }
            }
        }
        true
    }

    #[test]
    fn every_slot_can_be_live() {
        let steps: Vec<Step> = (0..MOST_LIVE)
            .map(|at| {
                let slot = u16::try_from(at).unwrap();
                let offset = u64::try_from(at).unwrap() * 64;
                slot.checked_sub(1).map_or(Step::lowest(64, 0, 0), |below| Step::above(64, offset, slot, below))
            })
            .collect();
        assert!(play(&steps, Bytes(65_536), 0, ALIGNMENT).is_some());
    }
}
