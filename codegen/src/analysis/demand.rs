//! Non-preemptive EDF: the demand test, exact for sporadic tasks.
//!
//! K. Jeffay, D. F. Stanat, C. U. Martel, "On non-preemptive scheduling of periodic and sporadic tasks", RTSS 1991;
//! L. George, N. Rivierre, M. Spuri, INRIA RR-2966 (1996); with release jitter.
//!
//! Assumptions: as in [`super::fixed_priority`], with the absolute deadline (arrival + D) as the order of waiting jobs,
//! and the jobs of a task are released in the order of their arrivals.
//!
//! With utilization at most 1, every deadline is met if for each t in {D − J + k T} up to the synchronous busy period
//!
//! ```text
//!   max { C − 1 : D − J > t }  +  Σ max(0, ⌊(t + J − D)/T⌋ + 1) C  ≤  t
//! ```
//!
//! Why D − J > t: a task with D − J ≤ t < D can also block, by a job that arrived after t − D. Then none of its jobs that
//! are due by t is released later, since releases are in order, and its C − 1 is less than the demand counted for it.
//!
//! For strictly periodic tasks with known phases it is sufficient only. It bounds no response below the deadline, so
//! the bound it proves is the deadline itself.

use super::utilization::{Against1, against_1};
use super::{Found, Load, NoBound, Proof, STEPS};
use aegis_core::time::Duration;

/// Tests a lane; `busy_period` is its synchronous busy period without blocking.
///
/// Cost: O(n) terms for each deadline up to the busy period, at most [`STEPS`] in all.
#[must_use]
pub fn analyse(loads: &[Load], busy_period: Result<u64, NoBound>) -> Vec<Found> {
    let verdict = busy_period.and_then(|length| test(loads, length));
    let mut found = Vec::with_capacity(loads.len());
    for load in loads {
        let later = loads.iter().enumerate().filter(|(_, other)| other.deadline > load.deadline);
        let blocker = later.map(|(index, other)| (index, other.cost)).reduce(|a, b| if b.1 > a.1 { b } else { a });
        found.push(Found {
            blocking: blocker.map_or(0, |(_, cost)| cost.saturating_sub(1)),
            blocked_by: blocker.map(|(index, _)| index),
            response: verdict.map(|()| (Duration::from_ns(load.deadline), Proof::Demand)),
        });
    }
    found
}

/// Whether blocking plus demand fits at every deadline up to `busy_period`.
///
/// # Errors
/// [`NoBound::Demand`] with the earliest instant of the first task at which it does not fit, or why it was not decided.
pub fn test(loads: &[Load], busy_period: u64) -> Result<(), NoBound> {
    if against_1(loads) == Against1::Above {
        return Err(NoBound::Overloaded);
    }
    let mut terms: u64 = 0;
    let per_point = u64::try_from(loads.len()).map_err(|_| NoBound::GaveUp)?;
    for load in loads {
        // A job that is seen only after its deadline cannot meet it.
        let Some(mut at) = load.deadline.checked_sub(load.jitter) else {
            return Err(NoBound::Demand { at: 0, needed: load.cost });
        };
        while at <= busy_period {
            terms = terms.checked_add(per_point).ok_or(NoBound::GaveUp)?;
            if terms > STEPS {
                return Err(NoBound::GaveUp);
            }
            let needed = needed(loads, at).ok_or(NoBound::Overflow)?;
            if needed > at {
                return Err(NoBound::Demand { at, needed });
            }
            match at.checked_add(load.period) {
                Some(next) => at = next,
                None => break,
            }
        }
    }
    Ok(())
}

/// Blocking plus demand until `at`; `None` on overflow.
fn needed(loads: &[Load], at: u64) -> Option<u64> {
    let later = loads.iter().filter(|load| load.deadline.saturating_sub(load.jitter) > at);
    let blocking = later.map(|load| load.cost.saturating_sub(1)).max();
    loads.iter().try_fold(blocking.unwrap_or(0), |sum, load| {
        let reach = at.checked_add(load.jitter)?;
        let jobs = match reach.checked_sub(load.deadline) {
            Some(beyond) => beyond.checked_div(load.period)?.checked_add(1)?,
            None => 0,
        };
        sum.checked_add(jobs.checked_mul(load.cost)?)
    })
}
