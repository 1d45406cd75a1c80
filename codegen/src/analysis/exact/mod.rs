//! Non-preemptive work-conserving scheduling of known jobs: every response that can happen, and no other.
//!
//! M. Nasri, B. B. Brandenburg, "An Exact and Sustainable Analysis of Non-Preemptive Scheduling", RTSS 2017: the
//! schedule-abstraction graph.
//!
//! Assumptions:
//! 1. one in-order resource; a started job runs to completion; while a job is pending, the resource does not idle;
//! 2. each job is released at some integer instant of its release interval, known only when it happens, and executes for
//!    some integer time of its cost interval, at least 1; all combinations are possible;
//! 3. at an instant, arrivals are seen before the decision; of the pending jobs the one of least rank starts, ranks are
//!    constants of the jobs and unique;
//! 4. overheads are folded into the costs, lateness of the timer into the release intervals;
//! 5. in [`periodic`]: the first job of a task arrives at its phase, the others exactly every period after it (sporadic
//!    tasks are not covered); a task's jobs are released in order of arrival and wait in that order.
//!
//! A *state* is a set S of started jobs and the set of the instants at which the next job can start. S has a successor
//! by the job j at the instant s if s is such an instant, j can be released by s, and every other job that has not
//! started and has a lower rank can be released after s:
//!
//! ```text
//! earliest(j) <= s < min { latest(k) : k not in S, rank(k) < rank(j) }
//! ```
//!
//! It then completes at f in [s + best(j), s + worst(j)], and with S' = S + j the next start is at f if a job can be
//! pending then, or later, when the first one is released:
//!
//! ```text
//! from max(f, min { earliest(k) : k not in S' })  to  max(f, min { latest(k) : k not in S' })
//! ```
//!
//! **Every start so found happens.** Give every job on the path to a state the release min(latest, own start). A job
//! with lower rank than one that started at s before it has latest > s by the condition, and starts after s, since costs
//! are positive; so it is released after s. No job is released in a gap before a start s: the gap ends by the least of
//! all latest releases, and every waiting job starts at s or after. Releases of one task keep their order. **Every
//! start that happens is found**: the conditions are necessary. The instants of one S that different paths reach are
//! united: what follows depends on S and the instant, not on the path. So the analysis is exact, also after a missed
//! deadline.
//!
//! **Recurrence** ([`periodic`]). Let H be the hyperperiod and M the number of jobs that arrive in it. Replacing (S, s) by
//! S with H/T more jobs of each task and s + H shifts everything that follows by H, since every task has infinitely many
//! jobs. Levels are sets of states with equally many started jobs. If each state of level (m + 1) M, shifted back, is
//! contained in a state at an earlier multiple of M, then by induction every later level contains, shifted, only what an
//! earlier level did: the search ends and has seen every response. What is covered at some multiple of M is followed no
//! further, for the same reason. Every response found is real, so the result stays exact. With a utilization of at most 1
//! the backlog is bounded, hence there are finitely many shifted states and the recurrence is certain, though not that it
//! comes within the limits.

mod graph;
mod job_set;
mod periodic;
mod walk;
mod witness;

pub use job_set::{Job, job_set};
pub use periodic::{Exact, Task, periodic};
pub use witness::{Run, job_set_witness, witness};

/// How the pending jobs are ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// By the position of their task; the first is the most important.
    FixedPriority,
    /// By absolute deadline, counted from arrival; of equal ones by the position of their task.
    EarliestDeadlineFirst,
}

/// How much a search may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The most steps: each time that a state is looked at or reached, 32 and one for each task (or chain of jobs).
    pub steps: u64,
    /// The most memory that states may hold at one time, in bytes, by a generous estimate.
    pub bytes: u64,
}

impl Default for Limits {
    /// About a second and at most 100 MB on a desktop computer of 2020.
    fn default() -> Self {
        Self { steps: 200_000_000, bytes: 80_000_000 }
    }
}

/// What can happen, between two attained extremes, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The least.
    pub best: u64,
    /// The greatest.
    pub worst: u64,
}

impl Range {
    /// The least range that contains both.
    fn unite(one: Option<Self>, other: Self) -> Self {
        one.map_or(other, |one| Self { best: one.best.min(other.best), worst: one.worst.max(other.worst) })
    }
}

/// Why a search ended without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Why {
    /// A period or a best cost is 0, or an interval ends before it begins.
    #[error("a period or a best cost is 0, or an interval ends before it begins")]
    Input,
    /// Σ worst cost / period is above 1, or so near it that it cannot be decided: responses may grow for ever.
    #[error("the utilization is not at most 1")]
    Overloaded,
    /// The hyperperiod or a time exceeds 2⁶⁴ − 1 ns, or a task has more than 2³² − 1 jobs until recurrence.
    #[error("the hyperperiod or a time exceeds 2^64 - 1 ns, or a task has more than 2^32 - 1 jobs until recurrence")]
    Overflow,
    /// [`Limits::steps`] were taken.
    #[error("the limit on steps was reached")]
    Steps,
    /// [`Limits::bytes`] were held.
    #[error("the limit on memory was reached")]
    Bytes,
}

/// No answer: how far the search came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{why}, after {states} states and {jobs} jobs")]
pub struct GaveUp {
    /// Why.
    pub why: Why,
    /// How many states were visited.
    pub states: u64,
    /// How many jobs have been started in each of the states last visited.
    pub jobs: u64,
}

impl GaveUp {
    /// Before any state was visited.
    const fn early(why: Why) -> Self {
        Self { why, states: 0, jobs: 0 }
    }
}
