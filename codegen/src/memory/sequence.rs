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

/// Divides a region of memory of this alignment among the blocks of a sequence; `None` where sizes leave the solver's range.
pub(super) fn divide(sequence: &Sequence, alignment: Bytes) -> Option<SequencePlan> {
    let buffers = buffers(sequence, 0, alignment)?;
    let plan = minimise(&Problem::new(buffers).ok()?, Limits::default(), None);
    placed(sequence, plan.offsets, Bytes(plan.height), alignment)
}

/// A buffer for each block, live from its request until it is given back; the first event is at an instant.
///
/// Sizes are whole multiples of the alignment, so that every offset is one, and a region of the height holds them.
pub(super) fn buffers(sequence: &Sequence, first: i64, alignment: Bytes) -> Option<Vec<Buffer>> {
    let instant = |event: usize| i64::try_from(event).ok()?.checked_add(first);
    let buffer = |block: &crate::system::Block| {
        Some(Buffer::new(occupied(Bytes(block.size), alignment)?, instant(block.from)?..instant(block.to)?))
    };
    sequence.blocks().iter().map(buffer).collect()
}

/// The plan of a sequence whose blocks lie at these offsets; `None` where sizes leave the range.
pub(super) fn placed(sequence: &Sequence, offsets: Vec<u64>, height: Bytes, alignment: Bytes) -> Option<SequencePlan> {
    let mut changes: Vec<(usize, bool, u64)> = Vec::with_capacity(sequence.blocks().len().saturating_mul(2));
    let mut at_end: u64 = 0;
    for block in sequence.blocks() {
        let size = occupied(Bytes(block.size), alignment)?;
        changes.push((block.from, true, size));
        if block.to == sequence.events() {
            at_end = at_end.checked_add(size)?;
        } else {
            changes.push((block.to, false, size));
        }
    }
    changes.sort_unstable();
    let (mut live, mut most, mut peak) = (0_u64, 0, 0);
    for (event, taken, size) in changes {
        live = if taken { live.checked_add(size)? } else { live.saturating_sub(size) };
        if live > most {
            (most, peak) = (live, event);
        }
    }
    Some(SequencePlan {
        offsets: offsets.into_iter().map(ByteOffset).collect(),
        height,
        lower_bound: Bytes(most),
        at_end: Bytes(at_end),
        peak,
    })
}

#[cfg(test)]
mod tests {
    use super::divide;
    use crate::system::Sequence;
    use aegis_core::desc::{ALIGNMENT, GPU_ALIGNMENT};
    use aegis_core::units::{ByteOffset, Bytes};

    #[test]
    fn blocks_share_bytes_as_soon_as_one_is_given_back() {
        let plan = divide(&Sequence::new(&[100, 64, -1, 128, 0]).unwrap(), ALIGNMENT).unwrap();
        assert_eq!(plan.offsets[0], plan.offsets[2]);
        assert_eq!((plan.height, plan.lower_bound, plan.peak), (Bytes(256), Bytes(256), 4));
        assert_eq!(plan.at_end, Bytes(64 + 128 + 64));
        assert!(plan.offsets.iter().all(|offset| offset.0 % 64 == 0));
        let empty = divide(&Sequence::default(), ALIGNMENT).unwrap();
        assert_eq!((empty.height, empty.offsets), (Bytes(0), Vec::<ByteOffset>::new()));
    }

    #[test]
    fn on_a_gpu_blocks_begin_at_multiples_of_256() {
        let plan = divide(&Sequence::new(&[100, 64, 257, -1, 256, 0]).unwrap(), GPU_ALIGNMENT).unwrap();
        assert!(plan.offsets.iter().all(|offset| offset.0 % 256 == 0), "{:?}", plan.offsets);
        assert_eq!((plan.height, plan.lower_bound), (Bytes(256 + 512 + 256 + 256), Bytes(1_280)));
    }
}
