//! How much of each pool's arena is in use, as the plan lays it out: for a counter, not for a proof.
//!
//! What models keep between their jobs counts always, unless the level of memory pressure that has settled sheds all their tasks.
//! The scratch of a segment counts while it runs, and a job's tensor from the first segment that needs it to the end of the last.
//! A job's own bytes count once where they overlap; a tensor that waits in a hole of another job's scratch counts beside it.

use aegis_core::desc::{Life, ModelDesc, SystemDesc};
use aegis_core::{LevelId, ModelId, PoolId};

/// The bytes of a model's jobs.
#[derive(Clone, Debug, Default)]
struct Used {
    pool: usize,
    /// While each segment runs.
    running: Vec<u64>,
    /// Between each segment and the one before it.
    held: Vec<u64>,
    /// At all times.
    kept: u64,
}

/// The arenas' bytes in use.
#[derive(Debug)]
pub(super) struct Memory {
    models: Vec<Used>,
    /// Of each pool what is kept, and what jobs have.
    pools: Vec<(u64, u64)>,
}

/// What a job has of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Share {
    pool: usize,
    bytes: u64,
}

impl Memory {
    /// That of a plan, before any job.
    pub(super) fn of(system: &SystemDesc) -> Self {
        let models = system.models.iter().map(Used::of).collect();
        let mut memory = Self { models, pools: vec![(0, 0); system.pools.len()] };
        memory.settle(system, None);
        memory
    }

    /// Whether models use a pool at all.
    pub(super) fn uses(&self, pool: PoolId) -> bool {
        self.models.iter().any(|model| model.pool == pool.index())
    }

    /// What is in use of a pool.
    pub(super) fn in_use(&self, pool: usize) -> i64 {
        let sum = self.pools.get(pool).map_or(0, |(kept, jobs)| kept.saturating_add(*jobs));
        i64::try_from(sum).unwrap_or(i64::MAX)
    }

    /// What is kept from now on, where nothing is left of the jobs that a level sheds, or without a level.
    pub(super) fn settle(&mut self, system: &SystemDesc, level: Option<LevelId>) {
        let shed = level.and_then(|level| system.levels.get(level.index())).map_or(&[][..], |level| level.shed);
        let stays = |model: usize| {
            let tasks = (0_u16..).map(aegis_core::TaskId).zip(system.tasks);
            let mut own = tasks.filter(|(_, task)| task.model.is_some_and(|own| own.index() == model)).peekable();
            own.peek().is_none() || own.any(|(id, _)| !shed.contains(&id))
        };
        for (kept, _) in &mut self.pools {
            *kept = 0;
        }
        for (number, model) in self.models.iter().enumerate() {
            if let Some((kept, _)) = self.pools.get_mut(model.pool).filter(|_| stays(number)) {
                *kept = kept.saturating_add(model.kept);
            }
        }
    }

    /// What a job has while a segment of it runs.
    pub(super) fn running(&self, model: ModelId, segment: u16) -> Share {
        self.share(model, |used| &used.running, segment)
    }

    /// What a job has before a segment that is not its first one.
    pub(super) fn held(&self, model: ModelId, segment: u16) -> Share {
        self.share(model, |used| &used.held, segment)
    }

    fn share(&self, model: ModelId, list: impl Fn(&Used) -> &Vec<u64>, segment: u16) -> Share {
        let Some(used) = self.models.get(model.index()) else { return Share::default() };
        Share { pool: used.pool, bytes: list(used).get(usize::from(segment)).copied().unwrap_or(0) }
    }

    /// A job has something else from now on; the pools whose bytes in use are others now.
    pub(super) fn change(&mut self, before: Share, now: Share) -> impl Iterator<Item = usize> + use<> {
        if let Some((_, jobs)) = self.pools.get_mut(before.pool) {
            *jobs = jobs.saturating_sub(before.bytes);
        }
        if let Some((_, jobs)) = self.pools.get_mut(now.pool) {
            *jobs = jobs.saturating_add(now.bytes);
        }
        let is_same = before.bytes == now.bytes && (before.pool == now.pool || now.bytes == 0);
        let old = Some(before.pool).filter(|pool| !is_same && before.bytes > 0 && *pool != now.pool);
        let new = Some(now.pool).filter(|_| !is_same);
        old.into_iter().chain(new)
    }
}

impl Used {
    fn of(model: &ModelDesc) -> Self {
        let mut used = Self { pool: model.pool.index(), ..Self::default() };
        let tensors = (0..).map_while(|position| Some((model.tensor(position)?, model.life(position))));
        let tensors: Vec<_> = tensors.collect();
        let kept = tensors.iter().filter(|(_, life)| *life == Some(Life::Kept)).map(|(tensor, _)| tensor.size.0);
        let persistent = model.segments.iter().map(|segment| segment.persistent.0);
        used.kept = kept.chain(persistent).fold(0, u64::saturating_add);
        for (number, segment) in model.segments.iter().enumerate() {
            let live = |earliest: usize| {
                let is_live = move |life: &Option<Life>| match life {
                    Some(Life::Job { from, last }) => *from <= earliest && number <= *last,
                    _ => false,
                };
                let live = tensors.iter().filter(move |(_, life)| is_live(life));
                live.map(|(tensor, _)| (tensor.at.0, tensor.size.0))
            };
            let scratch = (segment.scratch_at.0, segment.scratch.0);
            used.running.push(covered(live(number).chain([scratch]).collect()));
            let before = number.checked_sub(1).map(|before| live(before).collect());
            used.held.push(before.map_or(0, covered));
        }
        used
    }
}

/// How many bytes lie in at least one of the pieces, each a place and a length.
fn covered(mut pieces: Vec<(u64, u64)>) -> u64 {
    pieces.sort_unstable();
    let mut end = 0;
    pieces.iter().fold(0, |sum: u64, (at, size)| {
        let (from, to) = ((*at).max(end), at.saturating_add(*size));
        end = end.max(to);
        sum.saturating_add(to.saturating_sub(from))
    })
}

#[cfg(test)]
mod tests {
    use super::covered;

    #[test]
    fn bytes_that_two_pieces_have_count_once() {
        assert_eq!(covered(vec![]), 0);
        assert_eq!(covered(vec![(10, 10), (0, 5)]), 15);
        assert_eq!(covered(vec![(0, 100), (10, 20), (90, 20)]), 110);
        assert_eq!(covered(vec![(5, 0), (0, 5)]), 5);
    }
}
