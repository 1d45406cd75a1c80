//! Walks the graph level by level, for periodic tasks until everything repeats.

use super::graph::{Chains, Instants, Level, Search, Start, unite};
use super::{GaveUp, Limits, Why};
use std::collections::HashMap;

/// Where shifted instants are counted from: work left over may start before the hyperperiod that is shifted to.
const ORIGIN: u64 = 1 << 63;

/// After how many jobs everything may repeat, and what was seen then.
pub(super) struct Cycle {
    /// H, in nanoseconds.
    hyperperiod: u64,
    /// H/T per chain.
    each: Vec<u32>,
    /// M: their sum.
    jobs: u64,
    /// How many hyperperiods have passed.
    turns: u64,
    /// Per state, shifted back by all passed hyperperiods, its instants, counted from [`ORIGIN`].
    seen: HashMap<Vec<i64>, Instants>,
}

impl Cycle {
    pub(super) fn new(hyperperiod: u64, each: Vec<u32>) -> Self {
        let jobs = each.iter().map(|count| u64::from(*count)).sum();
        Self { hyperperiod, each, jobs, turns: 0, seen: HashMap::new() }
    }

    /// Remembers the states of a level at a multiple of M and returns those that were not contained in earlier ones.
    fn remember(&mut self, level: &Level, mut new: Level) -> Result<Level, Why> {
        let turns = u32::try_from(self.turns).map_err(|_| Why::Overflow)?;
        let passed = self.hyperperiod.checked_mul(self.turns).ok_or(Why::Overflow)?;
        for (counts, sum, instants) in level.states() {
            let shift = |(count, each): (&u32, &u32)| {
                let shift = each.checked_mul(turns)?;
                i64::from(*count).checked_sub(i64::from(shift))
            };
            let key: Option<Vec<i64>> = counts.iter().zip(&self.each).map(shift).collect();
            let seen = self.seen.entry(key.ok_or(Why::Overflow)?).or_default();
            let mut is_new = false;
            for (first, last) in instants {
                let shift = |instant: &u64| ORIGIN.checked_add_signed(instant.checked_signed_diff(passed)?);
                let (first, last) = shift(first).zip(shift(last)).ok_or(Why::Overflow)?;
                if !seen.iter().any(|(from, to)| *from <= first && last <= *to) {
                    is_new = true;
                    unite(seen, first, last);
                }
            }
            if is_new {
                for interval in instants {
                    new.add(sum, counts, Some(*interval));
                }
            }
        }
        Ok(new)
    }
}

/// A walk through all levels.
pub(super) struct Walk<'a, C> {
    search: Search<'a, C>,
    level: Level,
    jobs: u64,
    cycle: Option<Cycle>,
}

impl<'a, C: Chains> Walk<'a, C> {
    /// At the first level; without a cycle it goes on until the chains end or a limit is reached.
    pub(super) fn new(chains: &'a C, limits: Limits, cycle: Option<Cycle>) -> Result<Self, Why> {
        let search = Search::new(chains, limits);
        let level = search.first()?;
        let mut walk = Self { search, level, jobs: 0, cycle };
        walk.turn()?;
        Ok(walk)
    }

    /// The states that are looked at next.
    pub(super) const fn level(&self) -> &Level {
        &self.level
    }

    pub(super) const fn search(&mut self) -> &mut Search<'a, C> {
        &mut self.search
    }

    /// How many hyperperiods have passed, and how many states were visited.
    pub(super) fn passed(&self) -> (u64, u64) {
        (self.cycle.as_ref().map_or(0, |cycle| cycle.turns), self.search.states())
    }

    pub(super) fn gave_up(&self, why: Why) -> GaveUp {
        GaveUp { why, states: self.search.states(), jobs: self.jobs }
    }

    /// Goes one level on; false where there was nothing left to look at. `visit` sees every start with the place of its
    /// state; `held` is what else is held, in bytes.
    pub(super) fn advance(
        &mut self,
        held: u64,
        visit: impl FnMut(usize, &Start) -> Result<(), Why>,
    ) -> Result<bool, Why> {
        if self.level.len() == 0 {
            return Ok(false);
        }
        let seen = self.cycle.as_ref().map_or(0, |cycle| cycle.seen.len());
        let held = held.saturating_add(self.search.bytes(seen.saturating_mul(2)));
        self.level = self.search.advance(&self.level, held, visit)?;
        self.jobs = self.jobs.saturating_add(1);
        self.turn()?;
        Ok(true)
    }

    /// Whether the level is at a multiple of M, so that states may have been dropped from it.
    pub(super) fn is_turn(&self) -> bool {
        self.cycle.as_ref().is_some_and(|cycle| self.jobs.checked_rem(cycle.jobs) == Some(0))
    }

    /// At a multiple of M, drops the states that were seen.
    fn turn(&mut self) -> Result<(), Why> {
        if self.is_turn()
            && let Some(cycle) = &mut self.cycle
        {
            cycle.turns = self.jobs.checked_div(cycle.jobs).unwrap_or_default();
            self.level = cycle.remember(&self.level, self.search.empty())?;
        }
        Ok(())
    }
}
