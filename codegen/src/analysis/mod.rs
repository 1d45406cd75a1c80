//! Proves deadlines: takes a validated system, returns data.
//!
//! One file per theory. Every function is total: no input makes it panic, wrap or run without a stated bound; where
//! it finds no bound it says why ([`NoBound`]). Time is integer nanoseconds throughout.

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

pub mod demand;
pub mod explain;
pub mod fixed_priority;
pub mod priorities;
pub mod sensitivity;
pub mod utilization;

use crate::system::System;
use aegis_core::desc::Policy;
use aegis_core::time::Duration;
use aegis_core::units::Priority;

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

/// A proof that a checker can repeat without a search.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    /// Non-preemptive fixed priority.
    FixedPriority {
        /// B.
        blocking: Duration,
        /// L.
        busy_period: Duration,
        /// s(q) for each instance.
        starts: Vec<Duration>,
    },
    /// Non-preemptive EDF by demand.
    Demand,
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
    /// The bound on the time from arrival to completion, or why there is none.
    pub response: Result<(Duration, Proof), NoBound>,
}

impl TaskResult {
    /// The response bound, where there is one.
    #[must_use]
    pub fn bound(&self) -> Option<Duration> {
        self.response.as_ref().ok().map(|(bound, _)| *bound)
    }
}

/// What was found for one lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneResult {
    /// Σ C/T in millionths, rounded up, overheads included.
    pub utilization_ppm: u64,
    /// The longest interval in which the lane is continuously busy.
    pub busy_period: Result<Duration, NoBound>,
}

/// What was found for the system, in the order of its tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Analysis {
    /// Per lane.
    pub lanes: Vec<LaneResult>,
    /// Per task.
    pub tasks: Vec<TaskResult>,
}

/// Whether a task meets its deadline.
#[must_use]
pub fn is_schedulable(system: &System, analysis: &Analysis, task: usize) -> bool {
    let deadline = system.tasks.get(task).map(|task| task.deadline);
    let bound = analysis.tasks.get(task).and_then(TaskResult::bound);
    matches!((bound, deadline), (Some(bound), Some(deadline)) if bound <= deadline)
}

/// Analyses each lane by its policy.
#[must_use]
pub fn analyse(system: &System) -> Analysis {
    let order = priorities::assign(system);
    let placeholder = |priority: &Priority| TaskResult {
        priority: *priority,
        blocking: Duration::ZERO,
        blocked_by: None,
        response: Err(NoBound::Overflow),
    };
    let mut tasks: Vec<TaskResult> = order.iter().map(placeholder).collect();
    let mut lanes = Vec::new();
    for (position, lane) in system.lanes.iter().enumerate() {
        let (members, loads) = members(system, &order, position);
        let busy_period = match &loads {
            Some(loads) => fixed_priority::busy_period(0, loads),
            None => Err(NoBound::Overflow),
        };
        let utilization_ppm = loads.as_deref().map_or(u64::MAX, utilization::ppm);
        if let Some(loads) = &loads {
            let results = match lane.policy {
                Policy::EarliestDeadlineFirst => demand::analyse(loads, busy_period),
                Policy::RateMonotonic | Policy::DeadlineMonotonic | Policy::FixedPriority => {
                    fixed_priority::analyse(loads)
                }
                Policy::TimeTriggered => Vec::new(),
            };
            for (member, result) in members.iter().zip(results) {
                if let Some(slot) = tasks.get_mut(*member) {
                    slot.blocking = Duration::from_ns(result.blocking);
                    slot.blocked_by = result.blocked_by.and_then(|index| members.get(index).copied());
                    slot.response = result.response;
                }
            }
        }
        lanes.push(LaneResult { utilization_ppm, busy_period: busy_period.map(Duration::from_ns) });
    }
    Analysis { lanes, tasks }
}

/// A lane's tasks as they were analysed: their positions, the most important first, and their loads.
///
/// `None` where a time overflows, or analysis and system do not belong together.
#[must_use]
pub fn lane_loads(system: &System, analysis: &Analysis, lane: usize) -> Option<(Vec<usize>, Vec<Load>)> {
    let order: Vec<Priority> = analysis.tasks.iter().map(|result| result.priority).collect();
    let (members, loads) = members(system, &order, lane);
    Some((members, loads?))
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

/// A lane's tasks, the most important first, with their loads; no loads where a sum overflows.
fn members(system: &System, order: &[Priority], lane: usize) -> (Vec<usize>, Option<Vec<Load>>) {
    let mut members: Vec<(u16, usize)> = system
        .tasks
        .iter()
        .zip(order)
        .enumerate()
        .filter(|(_, (task, _))| task.lane == lane)
        .map(|(index, (_, priority))| (priority.0, index))
        .collect();
    members.sort_unstable();
    let members: Vec<usize> = members.into_iter().map(|(_, index)| index).collect();
    let loads = members.iter().map(|index| load(system, *index)).collect();
    (members, loads)
}

/// A task with its lane's overheads folded in, or `None` where that overflows.
fn load(system: &System, index: usize) -> Option<Load> {
    let task = system.tasks.get(index)?;
    let lane = system.lanes.get(task.lane)?;
    Some(Load {
        cost: task.wcet.checked_add(lane.dispatch_overhead)?.as_ns(),
        period: task.period.as_ns(),
        deadline: task.deadline.as_ns(),
        jitter: task.jitter.checked_add(lane.wakeup_latency)?.as_ns(),
        pieces: Pieces::Whole,
    })
}
