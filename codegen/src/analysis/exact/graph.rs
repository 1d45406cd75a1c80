//! The graph, level by level: states with equally many started jobs.

use super::{Limits, Why};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The first job of a chain that has not started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Its earliest release.
    pub(super) earliest: u64,
    /// Its latest release.
    pub(super) latest: u64,
    /// Its least cost, at least 1.
    pub(super) best: u64,
    /// Its greatest cost.
    pub(super) worst: u64,
    /// Of pending jobs the one with the least rank starts; equal ranks by chain.
    pub(super) rank: u64,
}

/// Jobs in chains: within a chain, earliest and latest releases and ranks do not decrease, and jobs start in order. So a
/// set of started jobs is a count per chain, and only the chains' heads can start next or forbid it.
pub(super) trait Chains {
    /// How many chains.
    fn count(&self) -> usize;

    /// A chain's job at a position from 0, or `None` after its last.
    fn head(&self, chain: usize, position: u32) -> Result<Option<Head>, Why>;
}

/// Disjoint closed intervals of instants that do not touch, in order.
pub(super) type Instants = Vec<(u64, u64)>;

/// Adds an interval.
pub(super) fn unite(instants: &mut Instants, mut first: u64, mut last: u64) {
    instants.retain(|(from, to)| {
        let touches = *from <= last.saturating_add(1) && first <= to.saturating_add(1);
        if touches {
            first = first.min(*from);
            last = last.max(*to);
        }
        !touches
    });
    let place = instants.partition_point(|(from, _)| *from < first);
    instants.insert(place, (first, last));
}

/// Hashes a sum of weights, which is mixed already, to itself.
#[derive(Clone, Copy, Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Keys are 64-bit sums; this serves whatever else.
        self.0 = bytes.iter().fold(self.0, |all, byte| all.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, sum: u64) {
        self.0 = sum;
    }
}

/// All states with equally many started jobs.
#[derive(Clone, Default)]
pub(super) struct Level {
    /// How many chains there are.
    width: usize,
    /// Per state, per chain, how many jobs have started.
    counts: Vec<u32>,
    /// Per state the sum of its counts, each times its chain's weight.
    sums: Vec<u64>,
    /// Per state when the next job can start; none after the last job.
    instants: Vec<Instants>,
    /// From a sum to a state; where two have one sum, the second is at the next free number.
    places: HashMap<u64, usize, BuildHasherDefault<Mixed>>,
}

impl Level {
    pub(super) fn len(&self) -> usize {
        self.instants.len()
    }

    pub(super) fn states(&self) -> impl Iterator<Item = (&[u32], u64, &Instants)> {
        let rows = self.counts.chunks_exact(self.width.max(1));
        rows.zip(&self.sums).zip(&self.instants).map(|((counts, sum), instants)| (counts, *sum, instants))
    }

    /// The counts of a state.
    pub(super) fn counts(&self, state: usize) -> &[u32] {
        self.counts.chunks_exact(self.width.max(1)).nth(state).unwrap_or_default()
    }

    /// The place of the state with these counts, or the key at which it would be entered.
    fn place(&self, sum: u64, counts: &[u32]) -> Result<usize, u64> {
        let mut key = sum;
        while let Some(state) = self.places.get(&key) {
            if self.counts(*state) == counts {
                return Ok(*state);
            }
            // At most as often as there are states.
            key = key.wrapping_add(1);
        }
        Err(key)
    }

    /// The instants of the state with these counts.
    pub(super) fn find(&self, sum: u64, counts: &[u32]) -> Option<&Instants> {
        self.instants.get(self.place(sum, counts).ok()?)
    }

    /// Unites these instants with those of the state with these counts; whether the state is new.
    pub(super) fn add(&mut self, sum: u64, counts: &[u32], instants: Option<(u64, u64)>) -> bool {
        let place = self.place(sum, counts);
        let state = match place {
            Ok(state) => state,
            Err(key) => {
                let state = self.len();
                self.places.insert(key, state);
                self.counts.extend_from_slice(counts);
                self.sums.push(sum);
                self.instants.push(Instants::new());
                state
            }
        };
        if let (Some(all), Some((first, last))) = (self.instants.get_mut(state), instants) {
            unite(all, first, last);
        }
        place.is_err()
    }
}

/// One way for a job to be the next: at any instant from `first` to `last`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) chain: usize,
    pub(super) position: u32,
    pub(super) head: Head,
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Start {
    /// The earliest and the latest completion.
    pub(super) fn finish(&self) -> Result<(u64, u64), Why> {
        let first = self.first.checked_add(self.head.best).ok_or(Why::Overflow)?;
        let last = self.last.checked_add(self.head.worst).ok_or(Why::Overflow)?;
        Ok((first, last))
    }
}

/// The least two of some values, with the owner of the least.
#[derive(Clone, Copy, Default)]
struct Least {
    owner: usize,
    least: Option<u64>,
    second: Option<u64>,
}

impl Least {
    fn take(&mut self, owner: usize, value: u64) {
        if self.least.is_none_or(|least| value < least) {
            *self = Self { owner, least: Some(value), second: self.least };
        } else if self.second.is_none_or(|second| value < second) {
            self.second = Some(value);
        }
    }

    /// The least after the owner's value is replaced.
    fn with(&self, owner: usize, value: Option<u64>) -> Option<u64> {
        let others = if owner == self.owner { self.second } else { self.least };
        match (others, value) {
            (Some(others), Some(value)) => Some(others.min(value)),
            (others, value) => others.or(value),
        }
    }
}

/// What surrounds a state: when the heads can be released.
#[derive(Clone, Copy, Default)]
pub(super) struct Releases {
    earliest: Least,
    latest: Least,
}

/// A search with its limits and what it has used of them.
pub(super) struct Search<'a, C> {
    chains: &'a C,
    limits: Limits,
    weights: Vec<u64>,
    steps: u64,
    states: u64,
    ready: Vec<(u64, usize, u32, Head)>,
}

impl<'a, C: Chains> Search<'a, C> {
    pub(super) fn new(chains: &'a C, limits: Limits) -> Self {
        // Weyl's sequence, mixed: sums of few small multiples differ.
        let weight = |place: u64| {
            let mixed = place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
        };
        let weights = (0u64..).take(chains.count()).map(weight).collect();
        Self { chains, limits, weights, steps: 0, states: 0, ready: Vec::new() }
    }

    pub(super) const fn states(&self) -> u64 {
        self.states
    }

    /// The level before the first start; empty where there are no jobs.
    pub(super) fn first(&self) -> Result<Level, Why> {
        let mut level = Level { width: self.chains.count(), ..Level::default() };
        let mut releases = Releases::default();
        for chain in 0..level.width {
            if let Some(head) = self.chains.head(chain, 0)? {
                releases.earliest.take(chain, head.earliest);
                releases.latest.take(chain, head.latest);
            }
        }
        if let (Some(first), Some(last)) = (releases.earliest.least, releases.latest.least) {
            level.add(0, &vec![0; level.width], Some((first, last)));
        }
        Ok(level)
    }

    /// An empty level of these chains.
    pub(super) fn empty(&self) -> Level {
        Level { width: self.chains.count(), ..Level::default() }
    }

    /// The sum of counts, each times its chain's weight.
    pub(super) fn sum(&self, counts: &[u32]) -> u64 {
        let terms = counts.iter().zip(&self.weights).map(|(count, weight)| weight.wrapping_mul(u64::from(*count)));
        terms.fold(0, u64::wrapping_add)
    }

    /// The memory that so many states take, in bytes: counts, sum, instants, place, and what vectors hold in reserve.
    pub(super) fn bytes(&self, states: usize) -> u64 {
        let each = self.weights.len().saturating_mul(4).saturating_add(112);
        let bytes = u64::try_from(each.saturating_mul(states)).unwrap_or(u64::MAX);
        bytes.saturating_add(bytes >> 1)
    }

    /// Counts the steps of one state against the limit.
    fn step(&mut self) -> Result<(), Why> {
        let steps = u64::try_from(self.weights.len()).map_err(|_| Why::Steps)?.saturating_add(32);
        self.steps = self.steps.saturating_add(steps);
        if self.steps > self.limits.steps { Err(Why::Steps) } else { Ok(()) }
    }

    /// Calls `visit` for every start that a state allows.
    pub(super) fn starts(
        &mut self,
        counts: &[u32],
        instants: &Instants,
        mut visit: impl FnMut(&mut Self, &Start, &Releases) -> Result<(), Why>,
    ) -> Result<(), Why> {
        self.step()?;
        let (Some((first, _)), Some((_, last))) = (instants.first(), instants.last()) else { return Ok(()) };
        let mut releases = Releases::default();
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        for (chain, position) in counts.iter().enumerate() {
            let Some(head) = self.chains.head(chain, *position)? else { continue };
            releases.earliest.take(chain, head.earliest);
            releases.latest.take(chain, head.latest);
            if head.earliest <= *last {
                ready.push((head.rank, chain, *position, head));
            }
        }
        ready.sort_unstable_by_key(|(rank, chain, ..)| (*rank, *chain));
        // The last instant at which no job of lower rank is certainly pending.
        let mut until = *last;
        for (_, chain, position, head) in &ready {
            for (from, to) in instants {
                let start = Start {
                    chain: *chain,
                    position: *position,
                    head: *head,
                    first: head.earliest.max(*from),
                    last: until.min(*to),
                };
                if start.first <= start.last {
                    visit(self, &start, &releases)?;
                }
            }
            let Some(before) = head.latest.checked_sub(1) else { break };
            until = until.min(before);
            if until < *first {
                break;
            }
        }
        self.ready = ready;
        Ok(())
    }

    /// The instants of the next start after a start, or `None` after the last job.
    pub(super) fn next(&self, start: &Start, releases: &Releases) -> Result<Option<(u64, u64)>, Why> {
        let position = start.position.checked_add(1).ok_or(Why::Overflow)?;
        let head = self.chains.head(start.chain, position)?;
        let (first, last) = start.finish()?;
        let earliest = releases.earliest.with(start.chain, head.map(|head| head.earliest));
        let latest = releases.latest.with(start.chain, head.map(|head| head.latest));
        let (Some(earliest), Some(latest)) = (earliest, latest) else { return Ok(None) };
        Ok(Some((first.max(earliest), last.max(latest))))
    }

    /// The level after this one. `visit` sees every start with the place of its state; `held` is the memory that other
    /// levels take, in bytes.
    pub(super) fn advance(
        &mut self,
        level: &Level,
        held: u64,
        mut visit: impl FnMut(usize, &Start) -> Result<(), Why>,
    ) -> Result<Level, Why> {
        let mut next = self.empty();
        let mut counts = Vec::new();
        for (place, (from, sum, instants)) in level.states().enumerate() {
            self.states = self.states.saturating_add(1);
            counts.clear();
            counts.extend_from_slice(from);
            self.starts(from, instants, |search, start, releases| {
                visit(place, start)?;
                let own = counts.get_mut(start.chain).ok_or(Why::Input)?;
                *own = start.position.checked_add(1).ok_or(Why::Overflow)?;
                let sum = sum.wrapping_add(search.weights.get(start.chain).copied().unwrap_or_default());
                let instants = search.next(start, releases)?;
                let is_new = next.add(sum, &counts, instants);
                if let Some(own) = counts.get_mut(start.chain) {
                    *own = start.position;
                }
                search.step()?;
                if is_new
                    && search.bytes(level.len().saturating_add(next.len())).saturating_add(held) > search.limits.bytes
                {
                    return Err(Why::Bytes);
                }
                Ok(())
            })?;
        }
        Ok(next)
    }
}
