//! A recorded allocation sequence: requests and what is given back, in order.

use aegis_core::desc::{GPU_ALIGNMENT, MOST_LIVE, occupied};
use aegis_core::units::Bytes;

/// A block of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// What is requested, in bytes.
    pub size: u64,
    /// The position of its request among all events.
    pub from: usize,
    /// The position of the event that gives it back; the number of events where nothing does.
    pub to: usize,
}

/// A recorded allocation sequence, checked: each block is given back at most once, and after its request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sequence {
    blocks: Vec<Block>,
    events: usize,
}

/// Why numbers are no sequence.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SequenceError {
    /// A block is given back that is not live.
    #[error("event {event} gives back block {block}, which is not live")]
    NotLive {
        /// The event, from 1.
        event: usize,
        /// The block, from 1.
        block: u64,
    },
    /// A size that no machine has.
    #[error("event {event} requests {size} bytes")]
    TooLarge {
        /// The event, from 1.
        event: usize,
        /// The size.
        size: u64,
    },
    /// More blocks live than a plan can name.
    #[error("after event {event} more than {MOST_LIVE} blocks are live")]
    TooManyLive {
        /// The event, from 1.
        event: usize,
    },
}

impl Sequence {
    /// Reads numbers as profiles have them: a size, or −k where the k-th block, from 1, is given back.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn new(events: &[i64]) -> Result<Self, SequenceError> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut live = 0_usize;
        for (position, number) in events.iter().enumerate() {
            let event = position.saturating_add(1);
            if let Ok(size) = u64::try_from(*number) {
                // The sum of all blocks of a plan stays far below 2^64.
                if occupied(Bytes(size), GPU_ALIGNMENT).is_none_or(|size| size > 1 << 48) {
                    return Err(SequenceError::TooLarge { event, size });
                }
                live = live.saturating_add(1);
                if live > MOST_LIVE {
                    return Err(SequenceError::TooManyLive { event });
                }
                blocks.push(Block { size, from: position, to: events.len() });
            } else {
                let block = number.unsigned_abs();
                let given = usize::try_from(block).ok().and_then(|block| blocks.get_mut(block.checked_sub(1)?));
                let Some(given) = given.filter(|given| given.to == events.len()) else {
                    return Err(SequenceError::NotLive { event, block });
                };
                given.to = position;
                live = live.saturating_sub(1);
            }
        }
        Ok(Self { blocks, events: events.len() })
    }

    /// The blocks, in the order of their requests.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The most bytes that are requested and not yet given back at once.
    #[must_use]
    pub fn peak(&self) -> u64 {
        let mut events: Vec<(usize, bool, u64)> = Vec::new();
        for block in &self.blocks {
            events.extend([(block.from, true, block.size), (block.to, false, block.size)]);
        }
        // Each event has a position of its own, but all that is never given back ends together.
        events.sort_unstable();
        let (mut live, mut most) = (0_u64, 0_u64);
        for (_, taken, size) in events {
            live = if taken { live.saturating_add(size) } else { live.saturating_sub(size) };
            most = most.max(live);
        }
        most
    }

    /// How many events there are.
    #[must_use]
    pub const fn events(&self) -> usize {
        self.events
    }

    /// Whether nothing is requested.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.events == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, Sequence, SequenceError};

    #[test]
    fn sizes_and_negative_numbers_are_requests_and_returns() {
        let sequence = Sequence::new(&[100, 0, -1, 7]).unwrap();
        assert_eq!(
            sequence.blocks(),
            [Block { size: 100, from: 0, to: 2 }, Block { size: 0, from: 1, to: 4 }, Block { size: 7, from: 3, to: 4 }]
        );
        assert_eq!((sequence.peak(), Sequence::new(&[9, 5, -1, 4, -2]).unwrap().peak()), (100, 14));
        assert_eq!((sequence.events(), Sequence::new(&[]).unwrap().is_empty()), (4, true));
    }

    #[test]
    fn contradictions_name_their_event() {
        assert_eq!(Sequence::new(&[5, -2]), Err(SequenceError::NotLive { event: 2, block: 2 }));
        assert_eq!(Sequence::new(&[5, -1, -1]), Err(SequenceError::NotLive { event: 3, block: 1 }));
        assert_eq!(Sequence::new(&[i64::MIN]), Err(SequenceError::NotLive { event: 1, block: 1 << 63 }));
        assert!(matches!(Sequence::new(&[i64::MAX]), Err(SequenceError::TooLarge { event: 1, .. })));
        assert_eq!(Sequence::new(&vec![1; 1_025]), Err(SequenceError::TooManyLive { event: 1_025 }));
    }
}
