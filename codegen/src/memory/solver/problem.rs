//! What is planned: buffers that need bytes while they are live, and what makes such a description wrong.

use std::ops::Range;

/// Sizes, alignments and pinned ends sum to at most this, so that no sum of the solver leaves the range of 2⁶⁴.
pub const MOST_BYTES: u64 = 1 << 62;

/// The most buffers of one problem.
pub const MOST_BUFFERS: usize = 1_000_000;

/// Something that needs bytes at one offset for as long as it is live.
///
/// Instants are any integers; two buffers conflict if they are live at a common one. A family of conflict sets is
/// expressed by giving each set an instant of its own, a lifespan with gaps by several ranges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Buffer {
    /// How many bytes; zero conflicts with nothing.
    pub size: u64,
    /// A power of two that its offset is a multiple of.
    pub alignment: u64,
    /// When it is live: half-open ranges of instants, in order, without a common instant.
    pub live: Vec<Range<i64>>,
    /// The offset that it must have, if it is not free.
    pub pinned: Option<u64>,
}

impl Buffer {
    /// A buffer that is live in one range and may lie anywhere.
    #[must_use]
    pub fn new(size: u64, live: Range<i64>) -> Self {
        Self { size, alignment: 1, live: vec![live], pinned: None }
    }

    /// The same buffer with another alignment.
    #[must_use]
    pub fn aligned(self, alignment: u64) -> Self {
        Self { alignment, ..self }
    }

    /// Whether both are live at some instant and both need bytes.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        let meet = |one: &Range<i64>| other.live.iter().any(|two| one.start < two.end && two.start < one.end);
        self.size > 0 && other.size > 0 && self.live.iter().any(meet)
    }
}

/// Why a description is no problem.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Invalid {
    /// There are more than [`MOST_BUFFERS`].
    #[error("{count} buffers, more than {MOST_BUFFERS}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A buffer is never live, or a range ends before it begins.
    #[error("buffer {buffer} is live in [{lower}, {upper}), which holds no instant")]
    Empty {
        /// The buffer's position.
        buffer: usize,
        /// The range's first instant.
        lower: i64,
        /// The instant after its last.
        upper: i64,
    },
    /// Two ranges of one buffer meet or are out of order.
    #[error("buffer {buffer} is live in [{}, {}) and again in [{}, {})", .first.start, .first.end, .second.start, .second.end)]
    Disordered {
        /// The buffer's position.
        buffer: usize,
        /// The one.
        first: Range<i64>,
        /// The other.
        second: Range<i64>,
    },
    /// An alignment is no power of two.
    #[error("buffer {buffer} has an alignment of {alignment}, which is no power of two")]
    Alignment {
        /// The buffer's position.
        buffer: usize,
        /// The alignment.
        alignment: u64,
    },
    /// A pinned offset is no multiple of the alignment.
    #[error("buffer {buffer} is pinned at {offset}, which is no multiple of its alignment {alignment}")]
    Misaligned {
        /// The buffer's position.
        buffer: usize,
        /// The offset.
        offset: u64,
        /// The alignment.
        alignment: u64,
    },
    /// Two pinned buffers conflict and have common bytes.
    #[error("buffers {first} and {second} are pinned to common bytes while both are live")]
    PinnedOverlap {
        /// The one's position.
        first: usize,
        /// The other's.
        second: usize,
    },
    /// Sizes and alignments sum to more than [`MOST_BYTES`].
    #[error("the sizes, alignments and pinned offsets up to buffer {buffer} sum to more than 2^62 bytes")]
    TooLarge {
        /// The first buffer beyond.
        buffer: usize,
    },
}

/// A checked description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    buffers: Vec<Buffer>,
}

impl Problem {
    /// Checks a description.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(buffers: Vec<Buffer>) -> Result<Self, Vec<Invalid>> {
        let mut found = Vec::new();
        if buffers.len() > MOST_BUFFERS {
            return Err(vec![Invalid::TooMany { count: buffers.len() }]);
        }
        let mut sum: u64 = 0;
        for (position, buffer) in buffers.iter().enumerate() {
            check(position, buffer, &mut found);
            let end = buffer.pinned.unwrap_or(0).checked_add(buffer.size);
            let end = end.and_then(|end| end.checked_add(buffer.alignment)).filter(|end| *end <= MOST_BYTES);
            let Some(added) = end.and_then(|end| sum.checked_add(end)).filter(|sum| *sum <= MOST_BYTES) else {
                found.push(Invalid::TooLarge { buffer: position });
                break;
            };
            sum = added;
        }
        if found.is_empty() {
            pinned_overlaps(&buffers, &mut found);
        }
        if found.is_empty() { Ok(Self { buffers }) } else { Err(found) }
    }

    /// The buffers, in the order in which they were given.
    #[must_use]
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// Whether some buffer is live in more than one range: only then can buffers conflict pairwise without a common
    /// instant.
    #[must_use]
    pub fn has_gaps(&self) -> bool {
        self.buffers.iter().any(|buffer| buffer.live.len() > 1)
    }
}

fn check(position: usize, buffer: &Buffer, found: &mut Vec<Invalid>) {
    if buffer.live.is_empty() {
        found.push(Invalid::Empty { buffer: position, lower: 0, upper: 0 });
    }
    for range in buffer.live.iter().filter(|range| range.is_empty()) {
        found.push(Invalid::Empty { buffer: position, lower: range.start, upper: range.end });
    }
    for pair in buffer.live.windows(2) {
        if let [first, second] = pair
            && second.start < first.end
        {
            found.push(Invalid::Disordered { buffer: position, first: first.clone(), second: second.clone() });
        }
    }
    if !buffer.alignment.is_power_of_two() {
        found.push(Invalid::Alignment { buffer: position, alignment: buffer.alignment });
    } else if let Some(offset) = buffer.pinned.filter(|offset| !offset.is_multiple_of(buffer.alignment)) {
        found.push(Invalid::Misaligned { buffer: position, offset, alignment: buffer.alignment });
    }
}

/// Reports pinned buffers that share bytes while both are live: a sweep over offsets, so that only neighbours are compared.
fn pinned_overlaps(buffers: &[Buffer], found: &mut Vec<Invalid>) {
    let pinned = buffers.iter().enumerate().filter_map(|(at, buffer)| Some((buffer.pinned?, at, buffer)));
    let mut pinned: Vec<(u64, usize, &Buffer)> = pinned.collect();
    pinned.sort_by_key(|(offset, at, _)| (*offset, *at));
    let mut open: Vec<(u64, usize, &Buffer)> = Vec::new();
    for (offset, at, buffer) in pinned {
        open.retain(|(end, ..)| *end > offset);
        for (_, first, _) in open.iter().filter(|(.., other)| other.conflicts_with(buffer)) {
            found.push(Invalid::PinnedOverlap { first: *first, second: at });
        }
        open.push((offset.saturating_add(buffer.size), at, buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffer, Invalid, Problem};

    fn invalid(buffers: Vec<Buffer>) -> Vec<Invalid> {
        Problem::new(buffers).unwrap_err()
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let found = invalid(vec![
            Buffer::new(1, 3..3),
            Buffer { live: vec![], ..Buffer::new(1, 0..1) },
            Buffer { live: vec![0..4, 3..5], ..Buffer::new(1, 0..1) },
            Buffer::new(1, 0..1).aligned(3),
            Buffer { pinned: Some(6), ..Buffer::new(1, 0..1).aligned(4) },
        ]);
        assert_eq!(
            found,
            [
                Invalid::Empty { buffer: 0, lower: 3, upper: 3 },
                Invalid::Empty { buffer: 1, lower: 0, upper: 0 },
                Invalid::Disordered { buffer: 2, first: 0..4, second: 3..5 },
                Invalid::Alignment { buffer: 3, alignment: 3 },
                Invalid::Misaligned { buffer: 4, offset: 6, alignment: 4 },
            ]
        );
    }

    #[test]
    fn sizes_that_could_overflow_are_refused() {
        let large = Buffer::new(1 << 61, 0..1);
        assert_eq!(invalid(vec![large.clone(), large.clone()]), [Invalid::TooLarge { buffer: 1 }]);
        assert_eq!(invalid(vec![Buffer::new(u64::MAX, 0..1)]), [Invalid::TooLarge { buffer: 0 }]);
        let pinned = Buffer { pinned: Some(u64::MAX - 1), ..Buffer::new(1, 0..1) };
        assert_eq!(invalid(vec![pinned]), [Invalid::TooLarge { buffer: 0 }]);
        assert!(Problem::new(vec![large]).is_ok());
    }

    #[test]
    fn pinned_buffers_may_share_bytes_only_while_not_both_are_live() {
        let pinned = |offset, live| Buffer { pinned: Some(offset), ..Buffer::new(4, live) };
        assert!(Problem::new(vec![pinned(0, 0..2), pinned(2, 2..4), pinned(6, 0..9)]).is_ok());
        let found = invalid(vec![pinned(0, 0..3), pinned(2, 2..4), pinned(3, 2..3)]);
        assert_eq!(
            found,
            [
                Invalid::PinnedOverlap { first: 0, second: 1 },
                Invalid::PinnedOverlap { first: 0, second: 2 },
                Invalid::PinnedOverlap { first: 1, second: 2 }
            ]
        );
    }
}
