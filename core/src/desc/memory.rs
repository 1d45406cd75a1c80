//! The words of a model's memory: grades, lives, and the steps of recorded sequences.

use crate::units::{ByteOffset, Bytes};

/// Every planned address of the CPU's memory is a multiple of this many bytes: a cache line, and what vector loads want.
pub const ALIGNMENT: Bytes = Bytes(64);

/// Every planned address of a GPU's memory is a multiple of this many bytes: what its driver's own allocations begin at, and what
/// TensorRT asks of memory that it is given.
pub const GPU_ALIGNMENT: Bytes = Bytes(256);

/// How far a model's memory is under the plan's control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryControl {
    /// Every request has a recorded size and a planned offset; any other request is refused.
    Planned,
    /// Every request lies inside a planned region, where the backend's own sequence puts it; what does not fit is refused.
    Capped,
    /// The backend allocates where it likes; only the amount was measured.
    Measured,
}

impl MemoryControl {
    /// The name in profiles, locks and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Capped => "capped",
            Self::Measured => "measured",
        }
    }

    /// The lesser of two grades.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Measured, _) | (_, Self::Measured) => Self::Measured,
            (Self::Capped, _) | (_, Self::Capped) => Self::Capped,
            (Self::Planned, Self::Planned) => Self::Planned,
        }
    }
}

/// How long a model's inputs and outputs hold their contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TensorLife {
    /// Always: nothing else ever lies there.
    Kept,
    /// While a job runs, from before its input hook until after its output hook; between jobs others of the lane lie there.
    Job,
}

impl TensorLife {
    /// The name in manifests and locks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Job => "job",
        }
    }
}

/// One event of a recorded allocation sequence with its planned offset.
///
/// A block is named by a slot while it is live. So a checker, and the vehicle, need a table of slots and no search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The next request has this size and gets this offset.
    Take {
        /// What is requested; exactly this.
        size: Bytes,
        /// Where it lies, relative to the region of the sequence.
        at: ByteOffset,
        /// Its name from now on, below [`MOST_LIVE`].
        slot: u16,
        /// The slot of the live block next below it; `None` where there is none. A checker's hint.
        below: Option<u16>,
    },
    /// The block of this slot is given back.
    Give {
        /// Its name until now.
        slot: u16,
    },
}

impl Step {
    /// A [`Step::Take`] directly above nothing.
    #[must_use]
    pub const fn lowest(size: u64, at: u64, slot: u16) -> Self {
        Self::Take { size: Bytes(size), at: ByteOffset(at), slot, below: None }
    }

    /// A [`Step::Take`] above the block of slot `below`.
    #[must_use]
    pub const fn above(size: u64, at: u64, slot: u16, below: u16) -> Self {
        Self::Take { size: Bytes(size), at: ByteOffset(at), slot, below: Some(below) }
    }

    /// A [`Step::Give`].
    #[must_use]
    pub const fn give(slot: u16) -> Self {
        Self::Give { slot }
    }
}

/// The requests of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recording {
    /// What is requested and given back, in order.
    pub steps: &'static [Step],
    /// Witness: the position in `steps` after which the live blocks are the most bytes; no layout of it is lower.
    pub peak: u32,
}

/// The most blocks of one sequence that are live at once; more are graded [`MemoryControl::Capped`].
pub const MOST_LIVE: usize = 1_024;

/// What a request of this size occupies: at least one byte, rounded up to the memory's alignment, [`super::PoolDesc::alignment`].
/// `None` beyond 2⁶⁴ − 1.
#[must_use]
pub const fn occupied(size: Bytes, alignment: Bytes) -> Option<u64> {
    let least = if size.0 == 0 { 1 } else { size.0 };
    least.checked_next_multiple_of(alignment.0)
}
