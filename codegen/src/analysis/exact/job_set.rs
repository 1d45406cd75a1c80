//! The exact analysis of finitely many jobs.

use super::graph::{Chains, Head};
use super::walk::Walk;
use super::{GaveUp, Limits, Range, Why};

/// One job of a set; instants and times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Job {
    /// Its task; only orders jobs of equal priority.
    pub task: u32,
    /// The earliest and the latest instant of its release.
    pub release: (u64, u64),
    /// The least, at least 1, and the greatest cost.
    pub cost: (u64, u64),
    /// The instant by which it has to complete; the search does not use it.
    pub deadline: u64,
    /// Of pending jobs the one with the least goes first; equal ones by task, then by position in the set.
    pub priority: u64,
}

/// When each job can complete: the least and the greatest instant, both attained; in the order of `jobs`.
///
/// Cost: a step for each chain of each state and successor; a set without jitter and with fixed costs has one state a
/// job. Memory: two levels.
///
/// # Errors
/// [`GaveUp`] where an interval is empty, a best cost is 0, a time overflows, or the limits do not suffice.
pub fn job_set(jobs: &[Job], limits: Limits) -> Result<Vec<Range>, GaveUp> {
    let set = Set::new(jobs).map_err(GaveUp::early)?;
    let mut walk = Walk::new(&set, limits, None).map_err(GaveUp::early)?;
    let mut finish: Vec<Option<Range>> = vec![None; jobs.len()];
    loop {
        let more = walk.advance(0, |_, start| {
            let (best, worst) = start.finish()?;
            let slot = set.position(start.chain, start.position).and_then(|position| finish.get_mut(position));
            let slot = slot.ok_or(Why::Input)?;
            *slot = Some(Range::unite(*slot, Range { best, worst }));
            Ok(())
        });
        match more {
            Ok(true) => {}
            // Each job starts on every path.
            Ok(false) => return finish.into_iter().collect::<Option<_>>().ok_or_else(|| walk.gave_up(Why::Input)),
            Err(why) => return Err(walk.gave_up(why)),
        }
    }
}

/// Jobs in chains.
pub(super) struct Set {
    chains: Vec<Vec<(usize, Head)>>,
}

impl Set {
    /// Appends each job, in order of rank, to the first chain whose last job surely goes before it.
    pub(super) fn new(jobs: &[Job]) -> Result<Self, Why> {
        let is_valid = |job: &Job| job.release.0 <= job.release.1 && 1 <= job.cost.0 && job.cost.0 <= job.cost.1;
        if !jobs.iter().all(is_valid) {
            return Err(Why::Input);
        }
        let mut order: Vec<(usize, &Job)> = jobs.iter().enumerate().collect();
        order.sort_unstable_by_key(|(position, job)| (job.priority, job.task, *position));
        let mut chains: Vec<Vec<(usize, Head)>> = Vec::new();
        for (rank, (position, job)) in (0u64..).zip(order) {
            let (earliest, latest) = job.release;
            let head = Head { earliest, latest, best: job.cost.0, worst: job.cost.1, rank };
            let fits = |chain: &&mut Vec<(usize, Head)>| chain.last().is_some_and(|(_, last)| last.latest <= earliest);
            match chains.iter_mut().find(fits) {
                Some(chain) => chain.push((position, head)),
                None => chains.push(vec![(position, head)]),
            }
        }
        Ok(Self { chains })
    }

    /// Which job is at a place of a chain.
    pub(super) fn position(&self, chain: usize, position: u32) -> Option<usize> {
        let position = usize::try_from(position).ok()?;
        self.chains.get(chain)?.get(position).map(|(position, _)| *position)
    }
}

impl Chains for Set {
    fn count(&self) -> usize {
        self.chains.len()
    }

    fn head(&self, chain: usize, position: u32) -> Result<Option<Head>, Why> {
        let position = usize::try_from(position).map_err(|_| Why::Overflow)?;
        Ok(self.chains.get(chain).and_then(|chain| chain.get(position)).map(|(_, head)| *head))
    }
}
