//! Self-suspension under preemptive fixed priority: a job waits, for a device say, and leaves the processor to others.
//!
//! Sources: J.-J. Chen, G. Nelissen, W.-H. Huang, M. Yang, B. Brandenburg, K. Bletsas, C. Liu, P. Richard, F. Ridouard, N.
//! Audsley, R. Rajkumar, D. de Niz, G. von der Brüggen, "Many suspensions, many problems: a review of self-suspending
//! tasks in real-time systems", Real-Time Systems 55 (2019), which also refutes earlier analyses; J.-J. Chen, G. Nelissen,
//! W.-H. Huang, "A unifying response time analysis framework for dynamic self-suspending tasks", ECRTS 2016, Theorem 1,
//! of which (b) and (c) are special cases; J. W. S. Liu, "Real-Time Systems", Prentice Hall (2000), for (c).
//!
//! Assumptions:
//! 1. one processor, preemptible at any time, which the most important job that is ready has;
//! 2. arrivals of a task are at least T apart; a bound is only given where it is at most D and at most T;
//! 3. an execution takes at most C, the suspensions of a job at most S together: any number of them, at any point
//!    (dynamic self-suspension). Release jitter is a suspension before the first execution: add it to S;
//! 4. jobs of a task run in order of arrival; priorities are unique.
//!
//! R is the least positive solution, from arrival, of
//!
//! * (a) oblivious: R = C + S + Σ ⌈R/T_j⌉ (C_j + S_j);
//! * (b) as jitter: R = C + S + Σ ⌈(R + R_j − C_j)/T_j⌉ C_j, where R_j − C_j counts only for a j that suspends itself;
//! * (c) as blocking: R = C + S + Σ min(C_j, S_j) + Σ ⌈R/T_j⌉ C_j;
//!
//! the sums being over the more important tasks. Each is a bound by itself, so the smallest is. (a) holds even if more
//! important tasks miss deadlines: every instant of a busy period is charged to the most important job that is not done,
//! which either executes or is suspended, so a job is charged for C + S at most. (b) and (c) need a bound R_j ≤ min(D_j,
//! T_j) of every more important task: then only one job of it is left over from before. S instead of R_j − C_j as jitter
//! in (b) is unsound, and so is a synchronous release as worst case.

use super::{NoBound, STEPS};

/// A task that may suspend itself. Times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suspending {
    /// C: execution on the processor, at least 1.
    pub cost: u64,
    /// S: all suspensions of a job together, release jitter included.
    pub suspension: u64,
    /// T: between arrivals, at least 1.
    pub period: u64,
    /// D: relative deadline from arrival, at least 1.
    pub deadline: u64,
}

/// Which of the three bounds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Method {
    /// (a): suspensions count as execution.
    Oblivious,
    /// (b): suspensions of more important tasks count as release jitter.
    Jitter,
    /// (c): suspensions of more important tasks count as blocking.
    Blocking,
}

/// The bounds of a task, in nanoseconds from arrival; `None` where there is none up to min(D, T).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// (a).
    pub oblivious: Option<u64>,
    /// (b).
    pub jitter: Option<u64>,
    /// (c).
    pub blocking: Option<u64>,
}

impl Method {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Oblivious => "suspension-oblivious",
            Self::Jitter => "suspension-as-jitter",
            Self::Blocking => "suspension-as-blocking",
        }
    }
}

impl Bounds {
    /// The smallest, and which it is; of equals the first.
    #[must_use]
    pub fn least(&self) -> Option<(u64, Method)> {
        let all =
            [(self.oblivious, Method::Oblivious), (self.jitter, Method::Jitter), (self.blocking, Method::Blocking)];
        all.into_iter().filter_map(|(bound, method)| Some((bound?, method))).min()
    }
}

/// Bounds every response; `tasks` has the most important first.
///
/// Cost: O(n) a fixpoint step; in all at most [`STEPS`] terms.
///
/// # Errors
/// For each task [`NoBound::GaveUp`] where the terms ran out before all three were decided. Where a sum leaves 64 bits it
/// is beyond every deadline, which is no error.
#[must_use]
pub fn analyse(tasks: &[Suspending]) -> Vec<Result<Bounds, NoBound>> {
    let mut terms = STEPS;
    let mut found = Vec::with_capacity(tasks.len());
    // R_j of the more important tasks, as long as all have one.
    let mut responses: Option<Vec<u64>> = Some(Vec::with_capacity(tasks.len()));
    for (own, task) in tasks.iter().enumerate() {
        let more_important = tasks.get(..own).unwrap_or_default();
        let bounds = bounds(task, more_important, responses.as_deref(), &mut terms);
        let least = bounds.ok().and_then(|bounds| bounds.least());
        match (&mut responses, least) {
            (Some(responses), Some((response, _))) => responses.push(response),
            _ => responses = None,
        }
        found.push(bounds);
    }
    found
}

/// The three bounds of a task.
fn bounds(
    task: &Suspending,
    more_important: &[Suspending],
    responses: Option<&[u64]>,
    terms: &mut u64,
) -> Result<Bounds, NoBound> {
    let own = task.cost.checked_add(task.suspension);
    let limit = task.deadline.min(task.period);
    let mut solve = |base: Option<u64>, demands: Option<Vec<Demand>>| match (base, demands) {
        (Some(base), Some(demands)) => least(base, &demands, limit, terms),
        _ => Ok(None),
    };
    let oblivious = more_important.iter().map(|j| Some(Demand::new(j.cost.checked_add(j.suspension)?, j.period, 0)));
    let oblivious = solve(own, oblivious.collect())?;
    let Some(responses) = responses else { return Ok(Bounds { oblivious, jitter: None, blocking: None }) };
    let jittery = more_important.iter().zip(responses).map(|(j, response)| {
        let jitter = if j.suspension > 0 { response.checked_sub(j.cost)? } else { 0 };
        Some(Demand::new(j.cost, j.period, jitter))
    });
    let jitter = solve(own, jittery.collect())?;
    let plain = more_important.iter().map(|j| Some(Demand::new(j.cost, j.period, 0)));
    let blocked = more_important.iter().map(|j| j.cost.min(j.suspension));
    let base = own.and_then(|own| blocked.into_iter().try_fold(own, u64::checked_add));
    let blocking = solve(base, plain.collect())?;
    Ok(Bounds { oblivious, jitter, blocking })
}

/// What a more important task takes: ⌈(t + jitter)/period⌉ cost.
struct Demand {
    cost: u64,
    period: u64,
    jitter: u64,
}

impl Demand {
    const fn new(cost: u64, period: u64, jitter: u64) -> Self {
        Self { cost, period, jitter }
    }

    /// `None` where 64 bits do not hold it.
    fn until(&self, t: u64) -> Option<u64> {
        let jobs = t.checked_add(self.jitter)?.checked_add(self.period.checked_sub(1)?)?.checked_div(self.period)?;
        jobs.checked_mul(self.cost)
    }
}

/// The least positive t = base + Σ demand(t) that is at most `limit`; `base` is at least 1.
///
/// # Errors
/// [`NoBound::GaveUp`] where `terms` run out.
fn least(base: u64, demands: &[Demand], limit: u64, terms: &mut u64) -> Result<Option<u64>, NoBound> {
    let mut t = base;
    while t <= limit {
        let step = u64::try_from(demands.len()).ok().and_then(|step| step.checked_add(1)).ok_or(NoBound::GaveUp)?;
        *terms = terms.checked_sub(step).ok_or(NoBound::GaveUp)?;
        let next = demands.iter().try_fold(base, |sum, demand| sum.checked_add(demand.until(t)?));
        match next {
            Some(next) if next > t => t = next,
            Some(_) => return Ok(Some(t)),
            None => return Ok(None),
        }
    }
    Ok(None)
}
