//! The demand test by quick convergence: from the latest deadline backwards.
//!
//! F. Zhang, A. Burns, "Schedulability analysis for real-time systems with EDF scheduling", IEEE Transactions on Computers
//! 58 (2009): where the demand until t is h(t) < t, no deadline in [h(t), t) fails, since demand does not grow backwards; so
//! the test goes on at h(t), or at the deadline before t where h(t) = t.
//!
//! With blocking, B grows backwards at each D − J. Between two of them it is constant, so the test runs in each such
//! interval on its own, the latest first. It decides what [`super::demand`] decides, with the same assumptions.

use super::{Steps, first_due};
use crate::analysis::utilization::{Against1, against_1};
use crate::analysis::{Load, NoBound};
use std::cmp::Reverse;

/// Whether blocking plus demand fits at every deadline up to `busy_period`.
///
/// Cost: O(n) terms for each deadline that is looked at, usually few; at most [`crate::analysis::STEPS`] in all.
///
/// # Errors
/// [`NoBound::Demand`] with an instant at which it does not fit, not always the earliest, or why it was not decided.
pub fn test(loads: &[Load], busy_period: u64) -> Result<(), NoBound> {
    if against_1(loads) == Against1::Above {
        return Err(NoBound::Overloaded);
    }
    let mut steps = Steps::default();
    let mut bands: Vec<(u64, u64)> = Vec::with_capacity(loads.len());
    for load in loads {
        // A job that is seen only after its deadline cannot meet it.
        let first = first_due(load).ok_or(NoBound::Demand { at: 0, needed: load.cost })?;
        bands.push((first, load.longest().saturating_sub(1)));
    }
    bands.sort_unstable_by_key(|(first, _)| Reverse(*first));
    // Above the latest D − J nothing blocks; below each, the longest piece of those at or above it does.
    let (mut to, mut blocking) = (busy_period, 0);
    for (first, piece) in &bands {
        if *piece > blocking {
            band(loads, *first, to, blocking, &mut steps)?;
            to = to.min(first.saturating_sub(1));
            blocking = *piece;
        }
    }
    // No job is due before the least.
    band(loads, bands.last().map_or(0, |(first, _)| *first), to, blocking, &mut steps)
}

/// Tests the deadlines from `from` to `to`, both included, under one blocking.
fn band(loads: &[Load], from: u64, to: u64, blocking: u64, steps: &mut Steps) -> Result<(), NoBound> {
    let Some(mut at) = latest_deadline(loads, to, steps)? else { return Ok(()) };
    while at >= from {
        steps.take(loads.len())?;
        let needed = demand(loads, at).and_then(|demand| demand.checked_add(blocking)).ok_or(NoBound::Overflow)?;
        if needed > at {
            return Err(NoBound::Demand { at, needed });
        }
        let to = if needed < at { needed } else { at.saturating_sub(1) };
        match latest_deadline(loads, to, steps)? {
            Some(before) => at = before,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// The latest deadline at or before `to`.
fn latest_deadline(loads: &[Load], to: u64, steps: &mut Steps) -> Result<Option<u64>, NoBound> {
    steps.take(loads.len())?;
    let latest = loads.iter().filter_map(|load| {
        let first = first_due(load)?;
        let whole = to.checked_sub(first)?.checked_div(load.period)?;
        first.checked_add(whole.checked_mul(load.period)?)
    });
    Ok(latest.max())
}

/// The execution of all jobs that can arrive and be due within `at`.
fn demand(loads: &[Load], at: u64) -> Option<u64> {
    loads.iter().try_fold(0u64, |sum, load| {
        let jobs = match at.checked_sub(first_due(load)?) {
            Some(beyond) => beyond.checked_div(load.period)?.checked_add(1)?,
            None => 0,
        };
        sum.checked_add(jobs.checked_mul(load.cost)?)
    })
}
