//! Non-preemptive fixed priority: response times over the whole level-i busy period.
//!
//! R. I. Davis, A. Burns, R. J. Bril, J. J. Lukkien, "Controller Area Network (CAN) schedulability analysis:
//! Refuted, revisited and revised", Real-Time Systems 35 (2007), equations for arbitrary deadlines with release
//! jitter; in integer time, as L. George, N. Rivierre, M. Spuri, INRIA RR-2966 (1996).
//!
//! Assumptions:
//! 1. one in-order resource; a started job runs to completion, jobs of a task run in order of arrival;
//! 2. arrivals of a task are at least T apart (sporadic, so phases are ignored: safe for periodic tasks);
//! 3. a job is seen at most J after its arrival, D and R count from arrival;
//! 4. an execution takes at most C, overheads included, and may take less (no anomaly: the bound is a supremum);
//! 5. priorities are unique.
//!
//! The first instance alone is not enough, not even for D ≤ T: a job of the same task that is delayed past the end
//! of its period pushes the next one. All ⌈(L + J)/T⌉ instances of the busy period are looked at.

use super::utilization::{Against1, against_1};
use super::{Found, Load, NoBound, Proof, STEPS};
use aegis_core::time::Duration;

/// Bounds every response; `loads` has the most important task first.
///
/// Cost: O(n) a fixpoint step; in all at most [`STEPS`] terms a task.
#[must_use]
pub fn analyse(loads: &[Load]) -> Vec<Found> {
    let mut found = Vec::with_capacity(loads.len());
    for own in 0..loads.len() {
        let (level, less_important) = loads.split_at(own.saturating_add(1).min(loads.len()));
        let blocker = longest(less_important);
        let blocking = blocker.map_or(0, |(_, cost)| cost.saturating_sub(1));
        let response = respond(level, blocking);
        let blocked_by = blocker.and_then(|(index, _)| level.len().checked_add(index));
        found.push(Found { blocking, blocked_by, response });
    }
    found
}

/// The load with the largest cost; the first of equals.
fn longest(loads: &[Load]) -> Option<(usize, u64)> {
    let costs = loads.iter().enumerate().map(|(index, load)| (index, load.cost));
    costs.reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// L = B + Σ ⌈(L + J)/T⌉ C over all given loads: the least positive solution.
///
/// # Errors
/// [`NoBound`] where the loads' utilization is above 1, a time overflows, or [`STEPS`] terms do not suffice.
pub fn busy_period(blocking: u64, loads: &[Load]) -> Result<u64, NoBound> {
    if loads.is_empty() {
        // A lane without tasks is never busy; one nanosecond stands for "no longer than this".
        return Ok(1);
    }
    if against_1(loads) == Against1::Above {
        return Err(NoBound::Overloaded);
    }
    // B + Σ C lies at or below the least positive solution; starting at 0 would find the vacuous one.
    let mut length =
        loads.iter().try_fold(blocking, |sum, load| sum.checked_add(load.cost)).ok_or(NoBound::Overflow)?;
    let mut steps = Steps::default();
    loop {
        steps.take(loads.len())?;
        let next = loads.iter().try_fold(blocking, |sum, load| {
            let arrivals = length.checked_add(load.jitter)?.div_ceil(load.period);
            sum.checked_add(arrivals.checked_mul(load.cost)?)
        });
        let next = next.ok_or(NoBound::Overflow)?;
        if next <= length {
            return Ok(length);
        }
        length = next;
    }
}

/// The bound for the last of `level`, which holds it and everything more important.
fn respond(level: &[Load], blocking: u64) -> Result<(Duration, Proof), NoBound> {
    let Some((own, more_important)) = level.split_last() else { return Err(NoBound::Overflow) };
    let busy = busy_period(blocking, level)?;
    let instances = busy.checked_add(own.jitter).ok_or(NoBound::Overflow)?.div_ceil(own.period);
    let mut steps = Steps::default();
    let mut starts = Vec::new();
    let mut worst = 0;
    let mut start = 0;
    for q in 0..instances {
        steps.take(level.len())?;
        start = start_time(q, own, more_important, blocking, start, &mut steps)
            .map_err(|why| why.unwrap_or(NoBound::Overflow))?;
        let response = response(q, own, start).ok_or(NoBound::Overflow)?;
        worst = worst.max(response);
        starts.push(Duration::from_ns(start));
    }
    let proof =
        Proof::FixedPriority { blocking: Duration::from_ns(blocking), busy_period: Duration::from_ns(busy), starts };
    Ok((Duration::from_ns(worst), proof))
}

/// s(q) = B + q C + Σ_{hp} (⌊(s + J)/T⌋ + 1) C: the least solution, searched from `from` (a lower bound) upwards.
fn start_time(
    q: u64,
    own: &Load,
    more_important: &[Load],
    blocking: u64,
    from: u64,
    steps: &mut Steps,
) -> Result<u64, Option<NoBound>> {
    let base = q.checked_mul(own.cost).and_then(|earlier| earlier.checked_add(blocking)).ok_or(None)?;
    let mut start = base.max(from);
    loop {
        steps.take(more_important.len().saturating_add(1)).map_err(Some)?;
        let next = more_important.iter().try_fold(base, |sum, load| {
            let arrivals = start.checked_add(load.jitter)?.checked_div(load.period)?.checked_add(1)?;
            sum.checked_add(arrivals.checked_mul(load.cost)?)
        });
        let next = next.ok_or(None)?;
        if next <= start {
            return Ok(start);
        }
        start = next;
    }
}

/// R(q) = J + s(q) + C − q T.
fn response(q: u64, own: &Load, start: u64) -> Option<u64> {
    let end = start.checked_add(own.cost)?.checked_add(own.jitter)?;
    Some(end.saturating_sub(q.checked_mul(own.period)?))
}

/// Counts evaluated terms against [`STEPS`].
#[derive(Default)]
struct Steps(u64);

impl Steps {
    fn take(&mut self, terms: usize) -> Result<(), NoBound> {
        let terms = u64::try_from(terms).map_err(|_| NoBound::GaveUp)?;
        self.0 = self.0.checked_add(terms).ok_or(NoBound::GaveUp)?;
        if self.0 > STEPS { Err(NoBound::GaveUp) } else { Ok(()) }
    }
}
