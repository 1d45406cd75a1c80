//! Takes a fixed-priority response bound apart: every term, and which instance of the busy period is the worst.

use super::{Load, Proof};

/// R = J + B + q C + Σ n_j C_j + C − q T of the worst instance. Times in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// q, from 0.
    pub instance: u64,
    /// How many instances the busy period has.
    pub instances: usize,
    /// J: how late the job may be seen.
    pub jitter: u64,
    /// B.
    pub blocking: u64,
    /// q C: the task's own earlier jobs of the busy period.
    pub earlier: u64,
    /// For each more important task how many of its jobs go before, and what they cost together.
    pub interference: Vec<Interference>,
    /// C.
    pub own: u64,
    /// q T: how long after the first instance the worst one arrives.
    pub offset: u64,
    /// R.
    pub response: u64,
}

/// What one more important task takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interference {
    /// Its position among the loads.
    pub load: usize,
    /// How many of its jobs.
    pub jobs: u64,
    /// What they cost together, in nanoseconds.
    pub cost: u64,
}

/// Takes the bound of the last of `level` apart; `level` is what was analysed: the task and everything more important.
///
/// `None` where the proof is none of fixed priority, or not of these loads.
#[must_use]
pub fn terms(level: &[Load], proof: &Proof) -> Option<Terms> {
    let Proof::FixedPriority { blocking, starts, .. } = proof else { return None };
    let (own, more_important) = level.split_last()?;
    let mut worst: Option<Terms> = None;
    for (q, start) in (0u64..).zip(starts) {
        let start = start.as_ns();
        let offset = q.checked_mul(own.period)?;
        let response = start.checked_add(own.cost)?.checked_add(own.jitter)?.saturating_sub(offset);
        if worst.as_ref().is_some_and(|worst| worst.response >= response) {
            continue;
        }
        let mut interference = Vec::with_capacity(more_important.len());
        for (position, load) in more_important.iter().enumerate() {
            let jobs = start.checked_add(load.jitter)?.checked_div(load.period)?.checked_add(1)?;
            interference.push(Interference { load: position, jobs, cost: jobs.checked_mul(load.cost)? });
        }
        worst = Some(Terms {
            instance: q,
            instances: starts.len(),
            jitter: own.jitter,
            blocking: blocking.as_ns(),
            earlier: q.checked_mul(own.cost)?,
            interference,
            own: own.cost,
            offset,
            response,
        });
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::terms;
    use crate::analysis::{Load, fixed_priority};

    #[test]
    fn the_terms_of_davis_c_sum_to_its_bound_in_the_second_instance() {
        let load = |cost, period, deadline| Load::whole(cost, period, deadline, 0);
        let loads = [load(1_000, 2_500, 2_500), load(1_000, 3_500, 3_250), load(1_000, 3_500, 3_250)];
        let (bound, proof) = fixed_priority::analyse(&loads)[2].response.clone().unwrap();
        let found = terms(&loads, &proof).unwrap();
        assert_eq!((found.instance, found.instances, found.response), (1, 2, bound.as_ns()));
        let jobs: Vec<u64> = found.interference.iter().map(|one| one.jobs).collect();
        assert_eq!(jobs, [3, 2]);
        let interference: u64 = found.interference.iter().map(|one| one.cost).sum();
        let sum = found.jitter + found.blocking + found.earlier + interference + found.own - found.offset;
        assert_eq!(sum, found.response);
    }
}
