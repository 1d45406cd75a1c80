//! The typed quantities of a plan: identities, priorities, bytes.

/// Declares an index type for one kind of table.
macro_rules! id {
    ($name:ident, $table:literal) => {
        #[doc = concat!("A position in the plan's table of ", $table, ".")]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(pub u16);

        impl $name {
            /// The position as an index.
            #[must_use]
            pub const fn index(self) -> usize {
                // Widening: `usize` has at least 16 bits on every target.
                #[allow(clippy::as_conversions)]
                {
                    self.0 as usize
                }
            }
        }
    };
}

id!(TaskId, "tasks");
id!(LaneId, "lanes");
id!(ModelId, "models");
id!(PoolId, "memory pools");
id!(LevelId, "levels of memory pressure");
id!(ModeId, "modes");
id!(DomainId, "fault domains");

impl DomainId {
    /// The bit that stands for the domain in a set of them; none for a position that no plan has, from 64 on.
    #[must_use]
    pub const fn bit(self) -> u64 {
        // Widening.
        #[allow(clippy::as_conversions)]
        match 1_u64.checked_shl(self.0 as u32) {
            Some(bit) => bit,
            None => 0,
        }
    }
}

/// A fixed priority: 0 is the most important.
///
/// There is no `Ord`, because "less" reads as "less important" to one half of all people and as "smaller
/// number" to the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Priority(pub u16);

impl Priority {
    /// Whether a job with this priority goes before one with `other`.
    #[must_use]
    pub const fn is_more_important_than(self, other: Self) -> bool {
        self.0 < other.0
    }
}

/// A size in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Bytes(pub u64);

/// A distance in bytes from the start of a memory pool.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ByteOffset(pub u64);
