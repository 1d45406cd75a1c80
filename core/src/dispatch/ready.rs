//! The tasks that have a job waiting, as bits in the lanes' orders of importance: the first one of a lane is found in O(1).

/// The most tasks that a dispatcher has.
pub const MOST_TASKS: usize = 1_024;

/// How many words hold their bits.
const WORDS: usize = 16;

/// A set of ranks below [`MOST_TASKS`].
#[derive(Clone, Debug)]
pub(super) struct Ready {
    words: [u64; WORDS],
    /// The words that are not zero.
    used: u64,
}

impl Ready {
    /// No rank.
    pub(super) const EMPTY: Self = Self { words: [0; WORDS], used: 0 };

    /// Puts a rank in or out.
    pub(super) fn set(&mut self, rank: u16, is_in: bool) {
        let index = rank / 64;
        let Some(word) = self.words.get_mut(usize::from(index)) else { return };
        let (bit, own) = (mask(rank % 64), mask(index));
        *word = if is_in { *word | bit } else { *word & !bit };
        self.used = if *word == 0 { self.used & !own } else { self.used | own };
    }

    /// The least rank from `from` on.
    #[inline]
    pub(super) fn first(&self, from: u16) -> Option<u16> {
        let mut index = from / 64;
        let mut rest = self.words.get(usize::from(index))? & from_bit(from % 64);
        if rest == 0 {
            let later = self.used & from_bit(index) & !mask(index);
            index = u16::try_from(later.trailing_zeros()).ok()?;
            rest = *self.words.get(usize::from(index))?;
        }
        let bit = u16::try_from(rest.trailing_zeros()).ok()?;
        index.checked_mul(64)?.checked_add(bit)
    }
}

/// The bit of a position below 64.
fn mask(position: u16) -> u64 {
    1_u64.rotate_left(u32::from(position))
}

/// The bits from a position below 64 on.
fn from_bit(position: u16) -> u64 {
    mask(position).wrapping_neg()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{MOST_TASKS, Ready};
    use std::collections::BTreeSet;

    #[test]
    fn the_first_rank_is_that_of_a_sorted_set() {
        let most = u64::try_from(MOST_TASKS).unwrap_or(0);
        let mut random = 3_u64;
        let mut draw = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u16::try_from((random >> 33) % most).unwrap_or(0)
        };
        let (mut ready, mut set) = (Ready::EMPTY, BTreeSet::new());
        for number in 0..40_000 {
            let rank = draw();
            // Sparse at first and at last.
            let is_in = if (10_000..30_000).contains(&number) { draw() % 8 > 0 } else { draw() % 64 == 0 };
            ready.set(rank, is_in);
            if is_in {
                set.insert(rank)
            } else {
                set.remove(&rank)
            };
            let from = draw();
            assert_eq!(ready.first(from), set.range(from..).next().copied());
            assert_eq!(ready.first(0), set.first().copied());
        }
        ready.set(1_024, true);
        assert_eq!(ready.first(1_024), None, "there is no such rank");
    }
}
