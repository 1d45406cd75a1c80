//! Fixed priority: response times over the whole level-i busy period, for jobs that can be preempted nowhere, between
//! fixed segments, outside floating non-preemptive regions, or anywhere; tasks of one lane may differ in that.
//!
//! Sources: R. I. Davis, A. Burns, R. J. Bril, J. J. Lukkien, "Controller Area Network (CAN) schedulability analysis:
//! Refuted, revisited and revised", Real-Time Systems 35 (2007), for whole jobs; R. J. Bril, J. J. Lukkien, W. F. J.
//! Verhaegh, "Worst-case response time analysis of real-time tasks under fixed-priority scheduling with deferred
//! preemption", Real-Time Systems 42 (2009), and M. Bertogna, G. Buttazzo, G. Yao, "Improving feasibility of fixed
//! priority tasks using non-preemptive regions", RTSS 2011, for segments; J. P. Lehoczky, RTSS 1990, and K. Tindell, A.
//! Burns, A. J. Wellings, "An extendible approach for analysing fixed priority hard real-time tasks", Real-Time
//! Systems 6 (1994), for full preemption with arbitrary deadlines and release jitter. In integer time, as L. George, N.
//! Rivierre, M. Spuri, INRIA RR-2966 (1996).
//!
//! Assumptions:
//! 1. one in-order resource, never idle while a job waits; a piece that began runs to its end, jobs of a task run in
//!    order of arrival;
//! 2. arrivals of a task are at least T apart (sporadic, so phases are ignored: safe for periodic tasks);
//! 3. a job is seen at most J after its arrival, D and R count from arrival;
//! 4. an execution takes at most C, overheads included, and its pieces at most `longest`; it may take less (no anomaly:
//!    the bound is a supremum). The credit for the last piece ([`Load::last`]) holds for a job that takes all of C; one
//!    that takes less ends earlier;
//! 5. priorities are unique.
//!
//! Why it is sound: let a level-i busy period begin when all jobs of i and what goes before it are done, and one or more
//! are seen. Something less important may have begun a piece at least 1 ns before, and nothing less important begins
//! until it ends: B. Until the last piece of instance q begins, at s(q), the resource has finished the blocking piece,
//! all earlier jobs of i and all of this one but its last piece, and whatever more important was seen by then, that very
//! instant included; afterwards it is not preempted. The first instance alone is not enough, not even for D ≤ T: the
//! last piece of a job keeps more important jobs waiting, which then delay the next instance of the task. All
//! ⌈(L + J)/T⌉ instances of the busy period are looked at.

mod arrivals;

use super::utilization::{Against1, against_1};
use super::{Found, Load, NoBound, Proof, STEPS};
use aegis_core::time::Duration;
use arrivals::Arrivals;
pub(super) use arrivals::{Steps, product, sum};

/// Bounds every response; `loads` has the most important task first.
///
/// For task i, with B, L, s(q) and R in nanoseconds:
///
/// * B = max longest − 1 over the less important, 0 if there is none;
/// * L = B + Σ ⌈(L + J)/T⌉ C over i and the more important: the least positive solution;
/// * s(q) = B + (q + 1) C − last + Σ (⌊(s(q) + J)/T⌋ + 1) C over the more important: the least solution;
/// * R = J + max (s(q) + last − q T) for q from 0 to ⌈(L + J)/T⌉ − 1.
///
/// Cost: a fixpoint step costs as many terms as tasks have an arrival in it; the searches of a task go on where those of
/// the next more important one ended. In all at most [`STEPS`] terms; what would take more gives up.
#[must_use]
pub fn analyse(loads: &[Load]) -> Vec<Found> {
    let fitting = fitting(loads);
    let mut lane = Lane::new(loads, STEPS);
    let mut found = Vec::with_capacity(loads.len());
    for (own, (blocking, blocked_by)) in blockings(loads).into_iter().enumerate() {
        let response = if own < fitting { lane.respond(own, blocking) } else { Err(NoBound::Overloaded) };
        found.push(Found { blocking, blocked_by, response });
    }
    found
}

/// For each load B, and whose piece that is: of equals the most important.
fn blockings(loads: &[Load]) -> Vec<(u64, Option<usize>)> {
    let mut blockings = Vec::with_capacity(loads.len());
    let mut longest = None;
    for (position, load) in loads.iter().enumerate().rev() {
        blockings.push(longest.map_or((0, None), |(piece, by): (u64, usize)| (piece.saturating_sub(1), Some(by))));
        if longest.is_none_or(|(piece, _)| load.longest() >= piece) {
            longest = Some((load.longest(), position));
        }
    }
    blockings.reverse();
    blockings
}

/// How many loads, from the first, have a utilization that is not above 1; it grows with each.
fn fitting(loads: &[Load]) -> usize {
    let overloads = |count: usize| loads.get(..count).is_some_and(|level| against_1(level) == Against1::Above);
    if !overloads(loads.len()) {
        return loads.len();
    }
    let (mut fit, mut over) = (0usize, loads.len());
    while over.saturating_sub(fit) > 1 {
        let middle = fit.midpoint(over);
        if overloads(middle) { over = middle } else { fit = middle }
    }
    fit
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
    Arrivals::default().settle_busy(loads, loads.len(), blocking, &mut Steps::new(STEPS))
}

/// Whether the last of `level` responds within its deadline when everything else of `level` goes before it and a less
/// important piece blocks it for `blocking`; `level` must not be overloaded. Takes what it evaluates off `terms`.
///
/// # Errors
/// [`NoBound`] where a time overflows, or [`STEPS`] or `terms` do not suffice.
pub(super) fn meets(level: &[Load], blocking: u64, terms: &mut u64) -> Result<bool, NoBound> {
    let Some((own, more_important)) = level.split_last() else { return Err(NoBound::Overflow) };
    let limit = STEPS.min(*terms);
    let mut lane = Lane::new(level, limit);
    let found = lane.instances(more_important.len(), blocking, own.deadline);
    *terms = terms.saturating_sub(limit.saturating_sub(lane.steps.left()));
    Ok(found?.worst <= own.deadline)
}

/// The searches of a lane, from the most important task down.
struct Lane<'l> {
    loads: &'l [Load],
    /// L never falls from task to task: with the next one its whole C is added, and B falls by less than that.
    busy: Arrivals,
    /// Why a busy period was not found: those after it are no shorter.
    endless: Option<NoBound>,
    /// The searches for s(0).
    first: Arrivals,
    /// The searches for the s(q) after it.
    later: Arrivals,
    steps: Steps,
}

/// What the instances of a busy period show.
struct Instances {
    busy_period: u64,
    starts: Vec<Duration>,
    worst: u64,
}

impl<'l> Lane<'l> {
    /// At most `limit` terms for all searches together.
    fn new(loads: &'l [Load], limit: u64) -> Self {
        Self {
            loads,
            busy: Arrivals::default(),
            endless: None,
            first: Arrivals::default(),
            later: Arrivals::default(),
            steps: Steps::new(limit),
        }
    }

    /// The bound for the load at `own`, with its proof.
    fn respond(&mut self, own: usize, blocking: u64) -> Result<(Duration, Proof), NoBound> {
        let Instances { busy_period, starts, worst } = self.instances(own, blocking, u64::MAX)?;
        let (blocking, busy_period) = (Duration::from_ns(blocking), Duration::from_ns(busy_period));
        Ok((Duration::from_ns(worst), Proof::FixedPriority { blocking, busy_period, starts }))
    }

    /// All instances of a busy period, or those until one responds after more than `enough`.
    fn instances(&mut self, own: usize, blocking: u64, enough: u64) -> Result<Instances, NoBound> {
        let load = self.loads.get(own).ok_or(NoBound::Overflow)?;
        let busy_period = self.busy_period(own, blocking)?;
        let instances = sum(busy_period, load.jitter)?.div_ceil(load.period);
        let head = load.cost.checked_sub(load.last()).ok_or(NoBound::Overflow)?;
        let mut starts = Vec::new();
        let mut worst = 0;
        for q in 0..instances {
            let base = sum(sum(blocking, product(q, load.cost)?)?, head)?;
            let start = match q {
                0 => self.first.settle(self.loads, own, base, &mut self.steps)?,
                _ => self.later.settle(self.loads, own, base, &mut self.steps)?,
            };
            worst = worst.max(response(load, q, start)?);
            starts.push(Duration::from_ns(start));
            if worst > enough {
                break;
            }
            if q == 0 && instances > 1 {
                self.later.resume(&self.first, &mut self.steps)?;
            }
        }
        Ok(Instances { busy_period, starts, worst })
    }

    fn busy_period(&mut self, own: usize, blocking: u64) -> Result<u64, NoBound> {
        if let Some(why) = self.endless {
            return Err(why);
        }
        let members = own.checked_add(1).ok_or(NoBound::Overflow)?;
        let found = self.busy.settle_busy(self.loads, members, blocking, &mut self.steps);
        self.endless = found.err();
        found
    }
}

/// R(q) = J + s(q) + last − q T.
fn response(load: &Load, q: u64, start: u64) -> Result<u64, NoBound> {
    let end = sum(sum(start, load.last())?, load.jitter)?;
    Ok(end.saturating_sub(product(q, load.period)?))
}
