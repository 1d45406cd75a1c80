//! The demand test at every deadline, for the earliest at which it fails.
//!
//! K. Jeffay, D. F. Stanat, C. U. Martel, "On non-preemptive scheduling of periodic and sporadic tasks", RTSS 1991;
//! L. George, N. Rivierre, M. Spuri, INRIA RR-2966 (1996); with release jitter and pieces. The assumptions are those of
//! [`super`].
//!
//! With utilization at most 1, every deadline is met if and only if for each t in {D − J + k T} up to the synchronous busy
//! period
//!
//! ```text
//!   max { longest − 1 : D − J > t }  +  Σ max(0, ⌊(t + J − D)/T⌋ + 1) C  ≤  t
//! ```

use crate::analysis::utilization::{Against1, against_1};
use crate::analysis::{Load, NoBound, STEPS};

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
    let blocking = later.map(|load| load.longest().saturating_sub(1)).max();
    loads.iter().try_fold(blocking.unwrap_or(0), |sum, load| {
        let reach = at.checked_add(load.jitter)?;
        let jobs = match reach.checked_sub(load.deadline) {
            Some(beyond) => beyond.checked_div(load.period)?.checked_add(1)?,
            None => 0,
        };
        sum.checked_add(jobs.checked_mul(load.cost)?)
    })
}
