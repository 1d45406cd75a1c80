//! A recorded sequence with an offset for each of its blocks.

use super::solver::{Buffer, Limits, Problem, minimise};
use crate::system::Sequence;
use aegis_core::desc::occupied;
use aegis_core::units::{ByteOffset, Bytes};

/// Where the blocks of a sequence lie in their region.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SequencePlan {
    /// For each block its offset.
    pub offsets: Vec<ByteOffset>,
    /// The region's length.
    pub height: Bytes,
    /// What is live at once at most: no layout is lower.
    pub lower_bound: Bytes,
    /// What is live when the sequence is over.
    pub at_end: Bytes,
    /// The position of the event after which that much is live.
    pub peak: usize,
}

/// Divides a region among the blocks of a sequence; `None` where sizes leave the solver's range.
pub(super) fn divide(sequence: &Sequence) -> Option<SequencePlan> {
    let instant = |event: usize| i64::try_from(event).ok();
    let mut buffers = Vec::with_capacity(sequence.blocks().len());
    let mut at_end: u64 = 0;
    for block in sequence.blocks() {
        // Whole multiples of the alignment, so that every offset is one, and a region of the height holds them.
        let size = occupied(Bytes(block.size))?;
        if block.to == sequence.events() {
            at_end = at_end.checked_add(size)?;
        }
        buffers.push(Buffer::new(size, instant(block.from)?..instant(block.to)?));
    }
    let problem = Problem::new(buffers).ok()?;
    let plan = minimise(&problem, Limits::default(), None);
    let peak = plan.bound.instant.and_then(|instant| usize::try_from(instant).ok()).unwrap_or(0);
    Some(SequencePlan {
        offsets: plan.offsets.into_iter().map(ByteOffset).collect(),
        height: Bytes(plan.height),
        lower_bound: Bytes(plan.bound.height),
        at_end: Bytes(at_end),
        peak,
    })
}

#[cfg(test)]
mod tests {
    use super::divide;
    use crate::system::Sequence;
    use aegis_core::units::{ByteOffset, Bytes};

    #[test]
    fn blocks_share_bytes_as_soon_as_one_is_given_back() {
        let plan = divide(&Sequence::new(&[100, 64, -1, 128, 0]).unwrap()).unwrap();
        assert_eq!(plan.offsets[0], plan.offsets[2]);
        assert_eq!((plan.height, plan.lower_bound, plan.peak), (Bytes(256), Bytes(256), 4));
        assert_eq!(plan.at_end, Bytes(64 + 128 + 64));
        assert!(plan.offsets.iter().all(|offset| offset.0 % 64 == 0));
        let empty = divide(&Sequence::default()).unwrap();
        assert_eq!((empty.height, empty.offsets), (Bytes(0), Vec::<ByteOffset>::new()));
    }
}
