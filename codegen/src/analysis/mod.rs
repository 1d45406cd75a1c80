//! Proves deadlines: takes a validated system, returns data.
//!
//! One file per theory. Every function is total: no input makes it panic, wrap or run without a stated bound; where
//! it finds no bound it says why ([`NoBound`]). Time is integer nanoseconds throughout.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

pub mod chains;
pub mod edf;
pub mod exact;
pub mod explain;
pub mod failures;
pub mod fixed_priority;
pub mod holistic;
mod lanes;
pub mod modes;
pub mod priorities;
pub mod sensitivity;
pub mod suspension;
pub mod time_triggered;
pub mod utilization;
mod whole;

use crate::system::System;
use aegis_core::time::Duration;
use aegis_core::units::Priority;
pub use whole::{Responses, aborting, analyse, analyse_in_order, exact_tasks, exactly, failing};

/// One task as the theory sees it: overheads are folded in. Times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// C: execution plus the lane's overheads, at least 1.
    pub cost: u64,
    /// T: between arrivals, at least 1.
    pub period: u64,
    /// D: relative deadline from arrival, at least 1.
    pub deadline: u64,
    /// J: how much later than its arrival a job is seen, at most.
    pub jitter: u64,
    /// Where a job can be preempted.
    pub pieces: Pieces,
}

/// Where a job can be preempted: between its non-preemptible pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pieces {
    /// Nowhere: it is one piece.
    Whole,
    /// Between fixed segments, overheads of each included; in nanoseconds.
    Segments {
        /// The last one, from 1 to C: once begun, the job completes without interference.
        last: u64,
        /// The longest one, from `last` to C.
        longest: u64,
    },
    /// Anywhere except in regions of at most this length, from 1 to C, that may lie anywhere (floating non-preemptive
    /// regions); 1 ns means full preemption.
    Floating {
        /// The longest region, in nanoseconds.
        longest: u64,
    },
}

impl Load {
    /// A task whose started jobs run to completion.
    #[must_use]
    pub const fn whole(cost: u64, period: u64, deadline: u64, jitter: u64) -> Self {
        Self { cost, period, deadline, jitter, pieces: Pieces::Whole }
    }

    /// A task whose jobs can be preempted at any time.
    #[must_use]
    pub const fn preemptive(cost: u64, period: u64, deadline: u64, jitter: u64) -> Self {
        Self { cost, period, deadline, jitter, pieces: Pieces::Floating { longest: 1 } }
    }

    /// How much of a job's end is certain not to be preempted once it began; from 1 to C.
    #[must_use]
    pub const fn last(&self) -> u64 {
        match self.pieces {
            Pieces::Whole => self.cost,
            Pieces::Segments { last, .. } => last,
            Pieces::Floating { .. } => 1,
        }
    }

    /// The longest time for which a job keeps what goes before it waiting; from 1 to C.
    #[must_use]
    pub const fn longest(&self) -> u64 {
        match self.pieces {
            Pieces::Whole => self.cost,
            Pieces::Segments { longest, .. } | Pieces::Floating { longest } => longest,
        }
    }

    /// The same task with another C; segments grow or shrink in proportion, rounded up, floating regions stay.
    #[must_use]
    pub fn with_cost(self, cost: u64) -> Self {
        let scaled = |piece: u64| {
            let product = u128::from(piece).saturating_mul(u128::from(cost));
            let ceil = product.div_ceil(u128::from(self.cost.max(1)));
            u64::try_from(ceil).unwrap_or(u64::MAX).min(cost).max(1)
        };
        let pieces = match self.pieces {
            Pieces::Whole => Pieces::Whole,
            Pieces::Segments { last, longest } => Pieces::Segments { last: scaled(last), longest: scaled(longest) },
            Pieces::Floating { longest } => Pieces::Floating { longest: longest.min(cost).max(1) },
        };
        Self { cost, pieces, ..self }
    }
}

/// Why a task or lane has no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoBound {
    /// The demand of the tasks that can delay it exceeds the lane.
    #[error("the utilization is above 1")]
    Overloaded,
    /// A quantity left the range of 2⁶⁴ ns.
    #[error("a time exceeds 2^64 - 1 ns")]
    Overflow,
    /// The recurrence did not settle within [`STEPS`] evaluated terms.
    #[error("the recurrence did not settle within {STEPS} terms")]
    GaveUp,
    /// A stage before it has no bound, or one beyond the deadline.
    #[error("a stage before it has no bound within the deadline")]
    Stage,
    /// The lane has no table.
    #[error("{0}")]
    Table(time_triggered::NoTable),
    /// The gaps of the lane's table are certain to take less of its segments than they are.
    #[error("of each {lap} ns the table leaves {sure} ns in which a segment of {piece} ns is certain to fit")]
    Gaps {
        /// The longest segment of the task and the more important ones, overheads included, in ns.
        piece: u64,
        /// How much of a lap it is certain to fit in, in ns.
        sure: u64,
        /// The table's length in ns.
        lap: u64,
    },
    /// A task suspends itself beside one with a floating non-preemptive region.
    #[error("no bound covers self-suspension beside non-preemptive regions")]
    SuspensionBesideRegions,
    /// A fault domain fails that has work on a lane with a table, or with tasks that suspend themselves.
    #[error("no bound covers the failure of a fault domain on a lane with a table or with self-suspension")]
    Fault,
    /// A fault domain is started again, and may fail again, before every lane was idle.
    #[error("the fault domain may fail, be started and fail again within one busy period")]
    Restart,
    /// The bound is beyond the deadline, where no bound is derived.
    #[error("the bound is beyond the deadline")]
    BeyondDeadline,
    /// The EDF demand test fails at this instant.
    #[error("demand and blocking of {needed} ns exceed the {at} ns until a deadline")]
    Demand {
        /// The instant after the start of a busy period at which it fails, in ns.
        at: u64,
        /// What would have to be executed until then, in ns.
        needed: u64,
    },
}

/// The most terms that one recurrence or one demand test evaluates before it gives up.
pub const STEPS: u64 = 20_000_000;

/// A proof of a bound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    /// Fixed priority; a checker can repeat it without a search.
    FixedPriority {
        /// B.
        blocking: Duration,
        /// L.
        busy_period: Duration,
        /// s(q) for each instance.
        starts: Vec<Duration>,
    },
    /// EDF; a checker can repeat it without a search from the lane's points and these.
    Edf {
        /// Absolute deadlines of the busy period with an instant by which the task's last piece has begun.
        starts: Vec<(u64, u64)>,
    },
    /// Time-triggered; a checker can repeat it from the lane's table.
    Table,
    /// In the gaps of a table; a checker can repeat it from the lane's table and these.
    Gaps {
        /// B.
        blocking: Duration,
        /// L.
        busy_period: Duration,
        /// s(q) for each instance.
        starts: Vec<Duration>,
    },
    /// Self-suspension: no certificate.
    Suspension(suspension::Bounds),
}

impl Proof {
    /// Whether the core's checker can repeat it.
    #[must_use]
    pub const fn has_certificate(&self) -> bool {
        !matches!(self, Self::Suspension(_))
    }
}

/// What was found for one task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskResult {
    /// The place in the lane's order; unique within the lane.
    pub priority: Priority,
    /// The longest blocking by a less important job (or, under EDF, one with a later deadline).
    pub blocking: Duration,
    /// Who blocks that long.
    pub blocked_by: Option<usize>,
    /// How long after its arrival a job of a later stage is released: at least and at most. Zero for first stages.
    pub release: (Duration, Duration),
    /// The bound on the time from arrival to completion, or why there is none.
    pub response: Result<(Duration, Proof), NoBound>,
    /// What the exact analysis of the lane found, where it was made: the longest response from arrival.
    pub exact: Option<Result<Duration, exact::GaveUp>>,
}

impl TaskResult {
    /// The response bound, where there is one.
    #[must_use]
    pub fn bound(&self) -> Option<Duration> {
        self.response.as_ref().ok().map(|(bound, _)| *bound)
    }

    /// The longest response of the exact analysis, where it was made and gave an answer.
    #[must_use]
    pub fn exact_response(&self) -> Option<Duration> {
        self.exact.as_ref()?.as_ref().ok().copied()
    }

    /// Whether every job responds within `deadline`, and whether only the exact analysis says so.
    #[must_use]
    pub fn holds(&self, deadline: Duration) -> Holds {
        match (self.bound(), self.exact_response()) {
            (Some(bound), _) if bound <= deadline => Holds::Proven,
            (_, Some(longest)) if longest <= deadline => Holds::Exactly,
            _ => Holds::No,
        }
    }
}

/// Whether a task meets its deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// No test says so.
    No,
    /// Only the exact analysis says so; for that there is no certificate.
    Exactly,
    /// The bound is at most the deadline.
    Proven,
}

/// What was found for one lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneResult {
    /// Σ C/T in millionths, rounded up, overheads included; of a time-triggered lane that of the tasks with slots is the share of
    /// these, which also hold the lane's lateness.
    pub utilization_ppm: u64,
    /// The longest interval in which the lane is continuously busy; a table's length.
    pub busy_period: Result<Duration, NoBound>,
    /// Under EDF: absolute deadlines of the busy period, and when all that is due by then is complete; in ns.
    pub points: Vec<(u64, u64)>,
    /// The table of a time-triggered lane.
    pub table: Option<Table>,
}

/// A time-triggered lane's table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// Its length in nanoseconds.
    pub hyperperiod: u64,
    /// Instants in nanoseconds, in order, each with the position of its task.
    pub slots: Vec<(u64, usize)>,
}

/// What was found for the system, in the order of its tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Analysis {
    /// Per lane.
    pub lanes: Vec<LaneResult>,
    /// Per task.
    pub tasks: Vec<TaskResult>,
    /// Per chain; `None` where a member has no bound or a sum overflows.
    pub chains: Vec<Option<chains::Bounds>>,
    /// Per mode; empty where the system has none. Then lanes and tasks are those of all modes together.
    pub modes: Vec<modes::ModeResult>,
}

impl Analysis {
    /// Whether all that holds holds by proofs that the core's checker can repeat.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        self.tasks.iter().all(|task| task.response.as_ref().is_ok_and(|(_, proof)| proof.has_certificate()))
    }
}

/// Whether a task meets its deadline.
#[must_use]
pub fn is_schedulable(system: &System, analysis: &Analysis, task: usize) -> bool {
    let deadline = system.tasks.get(task).map(|task| task.deadline);
    let result = analysis.tasks.get(task);
    matches!((result, deadline), (Some(result), Some(deadline)) if result.holds(deadline) != Holds::No)
}

/// A lane's tasks as they were analysed: their positions, the most important first, and their loads.
///
/// `None` where a time overflows, or analysis and system do not belong together; and of a system with modes, whose tasks never
/// compete for a lane all at once: ask for a mode [alone](modes::alone).
#[must_use]
pub fn lane_loads(system: &System, analysis: &Analysis, lane: usize) -> Option<(Vec<usize>, Vec<Load>)> {
    if !system.modes.is_empty() {
        return None;
    }
    let order: Vec<Priority> = analysis.tasks.iter().map(|result| result.priority).collect();
    let windows: Vec<(u64, u64)> =
        analysis.tasks.iter().map(|result| (result.release.0.as_ns(), result.release.1.as_ns())).collect();
    let members = lanes::members(system, &order, lane);
    let loads = lanes::loads(system, &members, &windows)?;
    Some((members, loads))
}

/// What a theory finds for one of the loads it was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The longest blocking, in ns.
    pub blocking: u64,
    /// The position, among the loads, of who blocks that long.
    pub blocked_by: Option<usize>,
    /// The bound with its proof.
    pub response: Result<(Duration, Proof), NoBound>,
}
