//! Cause-effect chains: how late an output reacts to an event, and how old the data are on which it rests.
//!
//! A chain is a sequence of tasks; each reads the register that the one before it writes. Registers keep the last value,
//! so a task may read one value twice (oversampling) or never see one (undersampling).
//!
//! * Reaction: from an external event, just missed by a read of the first task, to the first output for which a later
//!   read of the first task was used.
//! * Age: from a read of the first task to the instant at which its last output is replaced by newer data; the oldest
//!   that a held output ever is.
//! * Age at write: from a read of the first task to the last output written for which it was used.
//!
//! An output that rests on the read k is replaced when the first output that rests on a read after k is written, which
//! ends the reaction to an event just after k; so the largest age is the largest reaction (M. Günzel, H. Teper,
//! K.-H. Chen, G. von der Brüggen, J.-J. Chen, "On the equivalence of maximum reaction time and maximum data age for
//! cause-effect chains", ECRTS 2023).

use super::STEPS;

/// What holds for a chain, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The longest reaction.
    pub reaction: u64,
    /// The largest age that an output reaches before newer data replace it.
    pub age: u64,
    /// The largest age of an output at the instant at which it is written.
    pub age_at_write: u64,
}

/// A task of a chain whose jobs read when they start and write when they complete. Times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// T: between arrivals, exactly.
    pub period: u64,
    /// R: a bound on the time from arrival to completion, jitter included.
    pub response: u64,
    /// J: how much later than its arrival a job is seen, at most.
    pub jitter: u64,
    /// No job of the next step starts while a job of this one has been seen and is not complete. So it is on one lane
    /// with fixed priorities, with or without preemption, where this task is the more important and never suspends.
    pub before_next: bool,
}

/// Bounds a chain of tasks that communicate through registers; `None` for no step or a time above 2⁶⁴ − 1 ns.
///
/// A. Davare, Q. Zhu, M. Di Natale, C. Pinello, S. Kanajan, A. Sangiovanni-Vincentelli, "Period optimization for hard
/// real-time distributed automotive systems", DAC 2007: Σ (T + R); its refinement for two tasks of one lane after M. Dürr,
/// G. von der Brüggen, K.-H. Chen, J.-J. Chen, "End-to-end timing analysis of sporadic cause-effect chains in distributed
/// systems", ACM TECS 18 (2019).
///
/// ```text
///   reaction = age = Σ T_i + Σ_{i<n} X_i + R_n        age at write = Σ_{i<n} (T_i + X_i) + R_n
///   X = J where `before_next` holds, otherwise R
/// ```
///
/// Assumptions:
/// 1. successive arrivals of a task are exactly T apart (a sporadic task that stays away has no reaction time); phases
///    are arbitrary;
/// 2. a job reads at its start, not before its arrival, and writes at its completion, at most R after its arrival; jobs
///    of a task run in order;
/// 3. nothing about scheduling, except where a step says `before_next`.
///
/// Why jitter needs no further term: all steps are between arrivals, which jitter does not move. Let f be the
/// completion of a job that arrived at a, f ≤ a + R. The next task has an arrival in (f, f + T]; that job starts after f
/// and reads the value or a newer one. So successive jobs of the fastest hand-over arrive at most R + T apart, and the last
/// one completes R after its arrival. The event lies after a read, thus after an arrival of the first task, and the next
/// one is T later.
///
/// Why X = J: let r ≤ a + J be the instant at which the job is seen. The next task has an arrival in (r, r + T], and that
/// job does not start before f. Backwards: when a job starts at s, each job of this step seen before s is complete; so the
/// first one that is not, seen at s or later, arrived at s − J or later, and the one before it, whose value or a newer one
/// is read, at s − J − T or later.
#[must_use]
pub fn register(steps: &[Step]) -> Option<Bounds> {
    let (last, earlier) = steps.split_last()?;
    let before_last = earlier.iter().try_fold(0u64, |sum, step| {
        let hand_over = if step.before_next { step.jitter.min(step.response) } else { step.response };
        sum.checked_add(step.period)?.checked_add(hand_over)
    })?;
    let age_at_write = before_last.checked_add(last.response)?;
    let reaction = age_at_write.checked_add(last.period)?;
    Some(Bounds { reaction, age: reaction, age_at_write })
}

/// A task of a chain whose jobs read at arrival and write a fixed time later. Times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LetStep {
    /// T: between arrivals, exactly; at least 1.
    pub period: u64,
    /// φ: the first arrival.
    pub phase: u64,
    /// D: from arrival to the write; may exceed T.
    pub interval: u64,
}

/// Why a chain has no exact figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Inexact {
    /// A chain has at least one task, and periods are at least 1 ns.
    #[error("the chain is empty or has a period of 0 ns")]
    Malformed,
    /// The least common multiple of the periods is out of range.
    #[error("the hyperperiod of the chain's tasks exceeds 2^64 - 1 ns")]
    Hyperperiod,
    /// There are more jobs to look at than [`STEPS`] evaluated terms allow.
    #[error("the hyperperiod of {hyperperiod} ns of the chain's tasks has too many jobs to enumerate")]
    TooManyJobs {
        /// The least common multiple of the periods, in ns.
        hyperperiod: u64,
    },
    /// An instant is out of range.
    #[error("a time exceeds 2^64 - 1 ns")]
    Overflow,
}

/// The exact figures of a chain under logical execution time (LET), by enumeration over the hyperperiod of its tasks.
///
/// C. M. Kirsch, A. Sokolova, "The logical execution time paradigm", 2012; A. Hamann, D. Dasari, S. Kramer, M. Pressler,
/// F. Wurst, "Communication centric design in complex automotive embedded systems", ECRTS 2017.
///
/// Assumptions:
/// 1. one clock: job k of a task arrives at φ + k T, all phases are known;
/// 2. it reads at its arrival and writes exactly D later, which holds where its response bound is at most D;
/// 3. a value written at an instant is seen by reads at that instant.
///
/// The figures are those from the instant on at which every task has arrived (phases count modulo T). They repeat with
/// the hyperperiod H: shifting all instants by H changes no relation between them. Thus one H of reads of the first task
/// shows the reaction, and one H of writes of the last task shows the ages.
///
/// With D = R, they bound the same chain with register communication under assumptions 1 and 3: to write earlier, or to
/// read later, only makes a read find newer data.
///
/// Cost: n (H/T_1 + H/T_n) terms, at most [`STEPS`].
///
/// # Errors
/// [`Inexact`] names what is out of range.
pub fn let_exact(steps: &[LetStep]) -> Result<Bounds, Inexact> {
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Err(Inexact::Malformed) };
    if steps.iter().any(|step| step.period == 0) {
        return Err(Inexact::Malformed);
    }
    let hyperperiod = steps.iter().try_fold(1, |so_far, step| lcm(so_far, step.period)).ok_or(Inexact::Hyperperiod)?;
    let reads = hyperperiod.checked_div(first.period).ok_or(Inexact::Malformed)?;
    let writes = hyperperiod.checked_div(last.period).ok_or(Inexact::Malformed)?;
    let length = u64::try_from(steps.len()).map_err(|_| Inexact::TooManyJobs { hyperperiod })?;
    let terms = reads.checked_add(writes).and_then(|jobs| jobs.checked_mul(length));
    if terms.is_none_or(|terms| terms > STEPS) {
        return Err(Inexact::TooManyJobs { hyperperiod });
    }
    let mut bounds = Bounds { reaction: 0, age: 0, age_at_write: 0 };
    for read in 0..reads {
        bounds.reaction = bounds.reaction.max(reaction(steps, first, read).ok_or(Inexact::Overflow)?);
    }
    let settled = settled(steps, last).ok_or(Inexact::Overflow)?;
    for job in 0..writes {
        let (at_write, held) = ages(steps, last, settled, job).ok_or(Inexact::Overflow)?;
        bounds.age_at_write = bounds.age_at_write.max(at_write);
        bounds.age = bounds.age.max(held);
    }
    Ok(bounds)
}

/// The reaction to an event just after job `job` of the first task has read.
fn reaction(steps: &[LetStep], first: &LetStep, job: u64) -> Option<u64> {
    let event = first.arrival(job)?;
    // The next job reads after the event; from there on, time is when the value can be read.
    let readable = steps.iter().try_fold(event.checked_add(1)?, |readable, step| {
        let since = readable.saturating_sub(step.phase.checked_rem(step.period)?);
        step.arrival(since.div_ceil(step.period))?.checked_add(step.interval)
    })?;
    readable.checked_sub(event)
}

/// A job of the last task before which enough jobs of all tasks lie.
fn settled(steps: &[LetStep], last: &LetStep) -> Option<u64> {
    let history = steps.iter().try_fold(0u64, |sum, step| sum.checked_add(step.period)?.checked_add(step.interval))?;
    Some(history.div_ceil(last.period))
}

/// For job `settled + job` of the last task, how old its data are when it writes and when the job after it writes.
fn ages(steps: &[LetStep], last: &LetStep, settled: u64, job: u64) -> Option<(u64, u64)> {
    let arrival = last.arrival(settled.checked_add(job)?)?;
    let (_, earlier) = steps.split_last()?;
    let read = earlier.iter().rev().try_fold(arrival, |read, step| {
        let first_write = step.arrival(0)?.checked_add(step.interval)?;
        step.arrival(read.checked_sub(first_write)?.checked_div(step.period)?)
    })?;
    let at_write = arrival.checked_add(last.interval)?.checked_sub(read)?;
    Some((at_write, at_write.checked_add(last.period)?))
}

impl LetStep {
    /// When job `job` arrives, phases counted modulo T.
    fn arrival(&self, job: u64) -> Option<u64> {
        job.checked_mul(self.period)?.checked_add(self.phase.checked_rem(self.period)?)
    }
}

/// The least common multiple of two positive numbers.
fn lcm(a: u64, b: u64) -> Option<u64> {
    let (mut divisor, mut rest) = (a, b);
    // Euclid: at most 93 rounds for 64-bit numbers.
    while let Some(next) = divisor.checked_rem(rest) {
        (divisor, rest) = (rest, next);
    }
    a.checked_div(divisor)?.checked_mul(b)
}
