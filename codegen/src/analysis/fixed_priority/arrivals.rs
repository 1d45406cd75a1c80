//! Follows W(t) = Σ (⌊(t + J)/T⌋ + 1) C upwards in t for a growing set of tasks: a fixpoint step costs as many terms as
//! tasks have an arrival in it.

use super::super::{Load, NoBound};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// What the first `members` loads ask for until `at`, and when each asks again.
///
/// A search goes on where the one before ended, unless its answer may lie below. It cannot where the new base is no
/// smaller, or smaller by no more than what the tasks that joined since then ask for at once: at every t below `at` the
/// old base + W(t) was above t, and the new one is no smaller. Otherwise the search begins again at 0. Both ways give
/// the least solution.
#[derive(Clone, Default)]
pub(super) struct Arrivals {
    /// The first arrival after `at` of each member, with its position; without those that 64 bits do not hold.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    /// How many loads are in, from the first.
    members: usize,
    /// t.
    at: u64,
    /// W(t).
    work: u64,
    /// With a base of at least this, nothing below `at` is a solution.
    proven: u64,
    /// The largest J.
    latest: u64,
}

impl Arrivals {
    /// The least t with t = base + W(t) for the first `members` loads, which are no fewer than the time before.
    ///
    /// # Errors
    /// [`NoBound`] where t + J overflows or `steps` run out.
    pub(super) fn settle(
        &mut self,
        loads: &[Load],
        members: usize,
        base: u64,
        steps: &mut Steps,
    ) -> Result<u64, NoBound> {
        self.search(loads, members, base, 0, steps)
    }

    /// The least positive L with L = base + Σ ⌈(L + J)/T⌉ C. With t = L − 1 that is t + 1 = base + W(t).
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub(super) fn settle_busy(
        &mut self,
        loads: &[Load],
        members: usize,
        base: u64,
        steps: &mut Steps,
    ) -> Result<u64, NoBound> {
        sum(self.search(loads, members, base, 1, steps)?, 1)
    }

    /// Takes over another's state; a plain copy, which counts as a term for 64 members.
    ///
    /// # Errors
    /// [`NoBound::GaveUp`] where `steps` run out.
    pub(super) fn resume(&mut self, other: &Self, steps: &mut Steps) -> Result<(), NoBound> {
        steps.take(other.members.div_ceil(64))?;
        self.next.clone_from(&other.next);
        *self = Self { next: std::mem::take(&mut self.next), ..*other };
        Ok(())
    }

    fn search(
        &mut self,
        loads: &[Load],
        members: usize,
        base: u64,
        ahead: u64,
        steps: &mut Steps,
    ) -> Result<u64, NoBound> {
        let found = self.climb(loads.get(..members).unwrap_or(loads), base, ahead, steps);
        if found.is_err() {
            *self = Self::default();
        }
        found
    }

    /// The least t with base + W(t) − ahead ≤ t. It is a solution: W does not fall, so were the left side below t,
    /// t − 1 would do as well.
    fn climb(&mut self, level: &[Load], base: u64, ahead: u64, steps: &mut Steps) -> Result<u64, NoBound> {
        self.join(level, steps)?;
        if base < self.proven {
            self.next.clear();
            *self = Self { next: std::mem::take(&mut self.next), ..Self::default() };
            self.join(level, steps)?;
        }
        loop {
            steps.take(1)?;
            let end = sum(base, self.work)?.saturating_sub(ahead);
            if end <= self.at {
                break;
            }
            self.advance(level, end, steps)?;
        }
        self.proven = base;
        // Whoever checks the solution adds each J to it.
        sum(sum(self.at, ahead)?, self.latest)?;
        Ok(self.at)
    }

    /// Adds the loads that are not in yet, with their arrivals until `at`.
    fn join(&mut self, level: &[Load], steps: &mut Steps) -> Result<(), NoBound> {
        for load in level.iter().skip(self.members) {
            steps.take(1)?;
            let count = arrivals(load, self.at)?;
            self.work = sum(self.work, product(count, load.cost)?)?;
            self.proven = self.proven.saturating_sub(product(arrivals(load, 0)?, load.cost)?);
            self.latest = self.latest.max(load.jitter);
            // t + J is below count · T, so the next arrival is count · T − J; if the product overflows, so does t + J there.
            let next = count.checked_mul(load.period).and_then(|after| after.checked_sub(load.jitter));
            self.next.extend(next.map(|next| Reverse((next, self.members))));
            self.members = self.members.checked_add(1).ok_or(NoBound::Overflow)?;
        }
        Ok(())
    }

    /// Moves t to `end`.
    fn advance(&mut self, level: &[Load], end: u64, steps: &mut Steps) -> Result<(), NoBound> {
        while let Some(mut top) = self.next.peek_mut() {
            let Reverse((due, position)) = *top;
            if due > end {
                break;
            }
            steps.take(1)?;
            let load = level.get(position).ok_or(NoBound::Overflow)?;
            let since = end.checked_sub(due).and_then(|since| since.checked_div(load.period));
            let count = sum(since.ok_or(NoBound::Overflow)?, 1)?;
            self.work = sum(self.work, product(count, load.cost)?)?;
            match count.checked_mul(load.period).and_then(|later| due.checked_add(later)) {
                Some(next) => *top = Reverse((next, position)),
                None => {
                    PeekMut::pop(top);
                }
            }
        }
        self.at = end;
        Ok(())
    }
}

/// ⌊(t + J)/T⌋ + 1: how many jobs of a load can be seen in [0, t].
fn arrivals(load: &Load, t: u64) -> Result<u64, NoBound> {
    let earlier = sum(t, load.jitter)?.checked_div(load.period).ok_or(NoBound::Overflow)?;
    sum(earlier, 1)
}

/// a + b.
pub(in crate::analysis) fn sum(a: u64, b: u64) -> Result<u64, NoBound> {
    a.checked_add(b).ok_or(NoBound::Overflow)
}

/// a · b.
pub(in crate::analysis) fn product(a: u64, b: u64) -> Result<u64, NoBound> {
    a.checked_mul(b).ok_or(NoBound::Overflow)
}

/// Counts evaluated terms down to none.
pub(in crate::analysis) struct Steps(u64);

impl Steps {
    /// At most `limit` terms.
    pub(in crate::analysis) const fn new(limit: u64) -> Self {
        Self(limit)
    }

    /// How many are left.
    pub(in crate::analysis) const fn left(&self) -> u64 {
        self.0
    }

    pub(in crate::analysis) fn take(&mut self, terms: usize) -> Result<(), NoBound> {
        let left = u64::try_from(terms).ok().and_then(|terms| self.0.checked_sub(terms));
        self.0 = left.unwrap_or(0);
        left.map(|_| ()).ok_or(NoBound::GaveUp)
    }
}
