//! EDF: exact response times and the demand test for sporadic tasks, with or without preemption.
//!
//! Assumptions, of all files here:
//! 1. one in-order resource that never idles while a job waits; a piece that began runs to its end ([`Load::pieces`]); of
//!    the waiting jobs the one with the earliest absolute deadline (arrival + D) goes first, equal deadlines in any order;
//! 2. arrivals of a task are at least T apart (sporadic, so phases are ignored: safe for periodic tasks), and its jobs run
//!    in order of arrival;
//! 3. a job is seen at most J after its arrival, jobs of a task in the order of their arrivals; D and R count from arrival;
//! 4. an execution takes at most C, overheads included, and may take less;
//! 5. a job that misses its deadline runs on.
//!
//! Under these the bounds are attained, so they are the worst responses; for strictly periodic tasks with known phases they
//! are bounds.
//!
//! Blocking counts tasks with D − J > d only. A task with D − J ≤ d < D can also have a job that had just begun and is due
//! after d; then none of its jobs that are due by d is seen later, since they come in order, and its longest piece − 1
//! is less than the C that is counted for them.

pub mod demand;
mod largest;
pub mod qpa;
mod response;
mod slack;
mod witness;

use super::{Found, Load, NoBound, Proof, STEPS};
use aegis_core::time::Duration;
use response::Bound;
pub use response::JOBS;
pub use witness::{Release, Witness, witness};

/// What was found for a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lane {
    /// For each load its bound; a bound may exceed the deadline.
    pub found: Vec<Found>,
    /// Every absolute deadline of the busy period, in order, with an instant by which all that is due then is complete; in
    /// nanoseconds. Beyond the last one the lane's busy period serves for all. They re-prove the bounds; empty where there
    /// are none.
    pub points: Vec<(u64, u64)>,
}

/// Bounds every response. `loads` may come in any order.
///
/// Cost: O(log) steps for each job of the busy period, which are at most [`JOBS`], and for each pair of a task and a
/// deadline that has to be tried; the jobs once more for each 256 deadlines that one task has to try. At most [`STEPS`] in
/// all.
#[must_use]
pub fn analyse(loads: &[Load]) -> Lane {
    if loads.is_empty() {
        return Lane { found: Vec::new(), points: Vec::new() };
    }
    match response::bounds(loads) {
        Ok((points, bounds)) => {
            let bounds = bounds.into_iter().enumerate();
            let found = bounds.map(|(own, Bound { response, starts })| {
                with_blocker(loads, own, Ok((Duration::from_ns(response), Proof::Edf { starts })))
            });
            let points = points.iter().map(|point| (point.deadline, point.finish));
            Lane { found: found.collect(), points: points.collect() }
        }
        Err(why) => {
            let found = (0..loads.len()).map(|own| with_blocker(loads, own, Err(why)));
            Lane { found: found.collect(), points: Vec::new() }
        }
    }
}

/// D − J: when the first job of a busy period is due at the earliest; `None` where it is seen only after its deadline.
fn first_due(load: &Load) -> Option<u64> {
    load.deadline.checked_sub(load.jitter)
}

/// The longest piece of a job with a later deadline, and what was found.
fn with_blocker(loads: &[Load], own: usize, response: Result<(Duration, Proof), NoBound>) -> Found {
    let deadline = loads.get(own).map_or(0, |load| load.deadline);
    let later = loads.iter().enumerate().filter(|(_, other)| other.deadline > deadline);
    let blocker = later.map(|(index, other)| (index, other.longest())).reduce(|a, b| if b.1 > a.1 { b } else { a });
    Found {
        blocking: blocker.map_or(0, |(_, piece)| piece.saturating_sub(1)),
        blocked_by: blocker.map(|(index, _)| index),
        response,
    }
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
