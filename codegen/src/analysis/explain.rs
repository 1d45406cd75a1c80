//! Takes a response bound apart: every term, and which job of the busy period is the worst.

use super::{Load, Proof, edf};

/// R = J + B + (n − 1) C + Σ n_j C_j + C + slots − offset of the worst job. Times in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// n − 1: how many jobs of the task come before it in the busy period.
    pub instance: u64,
    /// How many instances were compared: those of the busy period; under EDF 1, for deadlines were.
    pub instances: usize,
    /// J: how late the job may be seen.
    pub jitter: u64,
    /// B.
    pub blocking: u64,
    /// The position of the load that blocks.
    pub blocked_by: Option<usize>,
    /// (n − 1) C: the task's own earlier jobs of the busy period.
    pub earlier: u64,
    /// For each task that goes before how many of its jobs do, and what they cost together.
    pub interference: Vec<Interference>,
    /// C.
    pub own: u64,
    /// In the gaps of a table: for how long the lane has slots, or what is left of a gap is too short to be certain.
    pub slots: u64,
    /// How much later than J before the start of the busy period the job arrives; (n − 1) T under fixed priorities.
    pub offset: u64,
    /// R.
    pub response: u64,
}

/// What one task that goes before takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interference {
    /// Its position among the loads.
    pub load: usize,
    /// How many of its jobs.
    pub jobs: u64,
    /// What they cost together, in nanoseconds.
    pub cost: u64,
}

/// Takes the bound of the load at `own` apart; `loads` is the whole lane as it was analysed, the most important first; of a table's
/// gaps the tasks without slots.
///
/// `None` where the proof has no such terms, or is not of these loads.
#[must_use]
pub fn terms(loads: &[Load], own: usize, proof: &Proof) -> Option<Terms> {
    match proof {
        Proof::FixedPriority { blocking, starts, .. } => {
            let starts: Vec<u64> = starts.iter().map(|start| start.as_ns()).collect();
            fixed_priority(loads, own, blocking.as_ns(), &starts)
        }
        Proof::Gaps { blocking, starts, .. } => {
            let starts: Vec<u64> = starts.iter().map(|start| start.as_ns()).collect();
            let terms = fixed_priority(loads, own, blocking.as_ns(), &starts)?;
            // What is left of the bound.
            let others = terms.interference.iter().try_fold(terms.jitter, |sum, other| sum.checked_add(other.cost))?;
            let all = [terms.blocking, terms.earlier, terms.own].into_iter().try_fold(others, u64::checked_add)?;
            let slots = terms.response.checked_add(terms.offset)?.checked_sub(all)?;
            Some(Terms { slots, ..terms })
        }
        Proof::Edf { .. } => by_deadline(loads, own),
        Proof::Table | Proof::Suspension(_) => None,
    }
}

fn fixed_priority(loads: &[Load], position: usize, blocking: u64, starts: &[u64]) -> Option<Terms> {
    let (more_important, rest) = loads.split_at_checked(position)?;
    let (own, less_important) = rest.split_first()?;
    let response = |(q, start): (u64, &u64)| {
        let offset = q.checked_mul(own.period)?;
        let response = start.checked_add(own.last())?.checked_add(own.jitter)?.checked_sub(offset)?;
        Some((response, q, *start))
    };
    let all = (0u64..).zip(starts).map(response).collect::<Option<Vec<_>>>()?;
    // Of equals the first instance.
    let (response, q, start) = all.into_iter().reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    let mut interference = Vec::with_capacity(more_important.len());
    for (load, other) in more_important.iter().enumerate() {
        let jobs = start.checked_add(other.jitter)?.checked_div(other.period)?.checked_add(1)?;
        interference.push(Interference { load, jobs, cost: jobs.checked_mul(other.cost)? });
    }
    let blocker = less_important.iter().enumerate();
    let blocker = blocker.reduce(|best, next| if next.1.longest() > best.1.longest() { next } else { best });
    Some(Terms {
        instance: q,
        instances: starts.len(),
        jitter: own.jitter,
        blocking,
        blocked_by: blocker.and_then(|(index, _)| position.checked_add(index)?.checked_add(1)),
        earlier: q.checked_mul(own.cost)?,
        interference,
        own: own.cost,
        slots: 0,
        offset: q.checked_mul(own.period)?,
        response,
    })
}

fn by_deadline(loads: &[Load], position: usize) -> Option<Terms> {
    let witness = edf::witness(loads, position).ok()?;
    let own = loads.get(position)?;
    let before = witness.jobs.get(position)?.checked_sub(1)?;
    let others = loads.iter().zip(&witness.jobs).enumerate();
    let others = others.filter(|(load, (_, jobs))| *load != position && **jobs > 0);
    let interference = others
        .map(|(load, (other, jobs))| Some(Interference { load, jobs: *jobs, cost: jobs.checked_mul(other.cost)? }));
    Some(Terms {
        instance: before,
        instances: 1,
        jitter: own.jitter,
        blocking: witness.blocking,
        blocked_by: witness.blocked_by,
        earlier: before.checked_mul(own.cost)?,
        interference: interference.collect::<Option<Vec<Interference>>>()?,
        own: own.cost,
        slots: 0,
        offset: witness.arrival.checked_add(own.jitter)?.checked_sub(witness.begin)?,
        response: witness.finish.checked_sub(witness.arrival)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Terms, terms};
    use crate::analysis::{Load, edf, fixed_priority};

    fn sum(found: &Terms) -> u64 {
        let interference = found.interference.iter().map(|one| one.cost);
        let terms = [found.jitter, found.blocking, found.earlier, found.own];
        interference.chain(terms).sum::<u64>().saturating_sub(found.offset)
    }

    #[test]
    fn the_terms_of_davis_c_sum_to_its_bound_in_the_second_instance() {
        let load = |cost, period, deadline| Load::whole(cost, period, deadline, 0);
        let loads = [load(1_000, 2_500, 2_500), load(1_000, 3_500, 3_250), load(1_000, 3_500, 3_250)];
        let (bound, proof) = fixed_priority::analyse(&loads)[2].response.clone().unwrap();
        let found = terms(&loads, 2, &proof).unwrap();
        assert_eq!((found.instance, found.instances, found.response), (1, 2, bound.as_ns()));
        let jobs: Vec<u64> = found.interference.iter().map(|one| one.jobs).collect();
        assert_eq!((jobs, sum(&found)), (vec![3, 2], found.response));
    }

    #[test]
    fn the_terms_of_random_edf_lanes_sum_to_their_bounds() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut several = 0;
        for _ in 0..3_000 {
            let one = |rng: &mut fastrand::Rng| {
                let period = rng.u64(4..=40);
                let cost = rng.u64(1..=period.div_ceil(4));
                let load = Load::whole(cost, period, rng.u64(cost..=3 * period), rng.u64(0..=cost));
                if rng.bool() { load } else { Load { pieces: super::super::Pieces::Floating { longest: 1 }, ..load } }
            };
            let loads: Vec<Load> = (0..rng.usize(1..=4)).map(|_| one(&mut rng)).collect();
            for (position, found) in edf::analyse(&loads).found.iter().enumerate() {
                let Ok((bound, proof)) = &found.response else { continue };
                let terms = terms(&loads, position, proof).unwrap();
                assert_eq!((sum(&terms), terms.response), (bound.as_ns(), bound.as_ns()), "{loads:?}");
                several = several.max(terms.instance);
            }
        }
        assert!(several > 1);
    }
}
