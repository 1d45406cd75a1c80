//! The checker: re-proves a plan by substitution, sharing no code with the generator.
//!
//! Finding a response-time bound needs a search; checking one does not. A certificate names the solution of
//! each recurrence, and this module only puts it in. Each rule is a `const fn`, so rustc evaluates it in
//! `const _: () = assert!(…)` of a generated file, the vehicle evaluates it again at its start, and `aegis
//! verify` evaluates it on a lock.
//!
//! What is proven, and under which assumptions: every task's `response_bound` is at most its deadline and at
//! least its worst response from arrival to completion, if releases of a task are at least one period apart
//! (on a time-triggered lane exactly one, from its phase on), each is seen at most the task's jitter and the
//! lane's lateness late, no execution exceeds `wcet` and no segment its length, a lane spends at most its
//! named overheads per segment besides, and one job at a time runs on a lane, which loses it only where
//! `preemption` says. Later stages are released at most 1 ns after the stage before is complete.
//!
//! * Fixed priority: R. I. Davis, A. Burns, R. J. Bril, J. J. Lukkien, "Controller Area Network (CAN)
//!   schedulability analysis: Refuted, revisited and revised", Real-Time Systems 35 (2007); with pieces R. J.
//!   Bril, J. J. Lukkien, W. F. J. Verhaegh, Real-Time Systems 42 (2009); in integer time (a blocking piece
//!   started at least 1 ns before, so it blocks for its length − 1). Any positive `L` with
//!   `L = B + Σ ⌈(L + J)/T⌉ C` is at least the least one, and likewise for start times, so equality suffices.
//! * EDF: M. Spuri, INRIA RR-2772 (1996); L. George, N. Rivierre, M. Spuri, INRIA RR-2966 (1996); by points of
//!   the busy period, as `edf.rs` says.
//! * Time-triggered: slots that do not overlap, one for each job, as `table.rs` says; between them, by what gaps give, I. Shin, I.
//!   Lee, "Periodic resource model for compositional real-time guarantees", RTSS 2003, as `gaps.rs` says.
//! * Modes: each by itself, as `modes.rs` says; what a change between them adds is shown there and in `docs/theory/mode-changes.md`.
//! * Stages: K. Tindell, J. Clark, "Holistic schedulability analysis for distributed hard real-time systems",
//!   Microprocessing and Microprogramming 40 (1994).
//!
//! Cost: fixed priority O(n · instances) terms a task; EDF O(n) terms for each point and each start; a table O(slots) for each
//! task, O(slots²) at worst; its gaps O(slots + n) for each instance; memory O(b²) pairs for b regions and tensors (not blocks)
//! of all models, a few steps for each request of each model's sequences, three times, and one for each request of a segment and
//! tensor that lies inside the segment's scratch, each pair once for each mode and the bound once for each; the same for each
//! level that compacts, O(pieces · ranges) for the pages that a level gives back, and O(m²) pairs of the tensors that it moves,
//! each of which looks for its model's task; a level that only sheds adds its bound up anew.

mod blocks;
mod domains;
mod edf;
mod engines;
mod fixed_priority;
mod gaps;
mod launches;
mod levels;
mod memory;
mod modes;
mod moves;
mod pages;
mod partitions;
mod place;
mod same;
mod same_task;
mod schedule;
mod sharing;
mod table;
mod tensors;
mod terms;
mod waits;
mod watch;

use crate::desc::{Answer, LaneDesc, Preemption, Release, SystemDesc, TaskDesc};
use crate::layout::TABLE_LAYOUT;
pub use domains::domains_hold;
pub use engines::engines_hold;
pub use launches::launches_hold;
pub use levels::levels_hold;
pub use memory::{memory_holds, pieces_are_segments};
pub use modes::{modes_hold, points_hold, responses_hold, slots_hold};
pub use partitions::partitions_hold;
pub use place::{Broken, Place, place};
pub use sharing::scratch_is_its_own;
use terms::{Count, arrivals};
pub use waits::thread_waits_hold;
pub use watch::watch_holds;

/// The rule of a plan that does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// The tables were written for another layout.
    Layout,
    /// An index points outside its table, a table is too long, two threads share a core, a quantity that must be
    /// positive is zero, a task defers arrivals that nobody submits, or one that is optional has stages or stands beside modes.
    References,
    /// There are too many fault domains, a task or one of its stages lies in none of them or in another one than its first stage,
    /// a task without a domain would have one fail, or a task's model lies in memory that is not its domain's, or has no process
    /// or one that would be killed while the model runs as long as it may.
    Domains,
    /// A lane has SMs that its device cannot give it, two pools are of one device, or a task's model lies in another device's
    /// memory than its lane's.
    Partitions,
    /// Two tasks of one lane have the same priority.
    Priorities,
    /// An event of a lane may wait longer for the orchestration thread than the plan says.
    Waits,
    /// A certificate does not re-prove its bound, or a bound exceeds its deadline.
    Responses,
    /// The points of an EDF lane do not re-prove what they claim.
    Points,
    /// Slots of a time-triggered lane overlap, are out of order, or are not one for each job.
    Slots,
    /// A task's queue is shorter than the number of jobs that may wait at once.
    Queues,
    /// A task's jobs run in pieces that are not the segments of its model.
    Pieces,
    /// A model of kernels has launches that cannot be launched or are given what is not its own meanwhile, lies on a lane without a
    /// part of a GPU, or another model has launches.
    Launches,
    /// A segment of a model with engines has none, or has memory in the arena; the model's weights leave out the workspaces that
    /// its engines may use, or it is no model of ONNX Runtime on a part of a GPU; or a segment of another model has an engine.
    Engines,
    /// Memory regions or blocks overlap, are misaligned, or exceed their pool, two tasks run one model, or a lower bound is
    /// not what its witnesses show.
    Memory,
    /// A level of memory pressure does not leave what it says, moves what cannot be moved or in an order that destroys contents,
    /// or claims to settle sooner than jobs and copies permit.
    Levels,
    /// A threshold asks for what cannot be gone to, ends on its severer side or asks out of order, a time of watching is out of its
    /// range, a condition is of no core or pool, or the mode that answers a stall does not exist.
    Watch,
    /// A mode has another task or lane than the system, or a task that no mode may lack or have; a bound of the system is not the
    /// greatest of its modes'; or a mode claims to be left too soon.
    Modes,
}

impl Violation {
    /// What does not hold, in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Layout => "the tables have another layout than this core",
            Self::References => {
                "a table refers to an entry that does not exist, two threads share a core, or a quantity that must be positive is zero"
            }
            Self::Domains => {
                "a task's fault domain does not exist or is not that of its stages, an answer asks of it what it cannot do, or its process has other memory or less time than the task's model needs"
            }
            Self::Partitions => {
                "a lane has SMs that its device cannot give it, or a model lies in another device's memory than its lane's"
            }
            Self::Priorities => "two tasks of one lane have the same priority",
            Self::Waits => "an event of a lane may wait longer for the orchestration thread than the plan says",
            Self::Responses => "a certificate does not re-prove its response bound",
            Self::Points => "the points of an EDF lane do not re-prove what they claim",
            Self::Slots => "slots of a time-triggered lane overlap, are out of order, or are not one for each job",
            Self::Queues => "a queue is shorter than the number of jobs that may wait",
            Self::Pieces => "a task's jobs run in pieces that are not the segments of its model",
            Self::Launches => {
                "launches are given what is not their model's or not live, cannot be launched, or have no part of a GPU to run on"
            }
            Self::Engines => {
                "a model has engines that its backend or lane cannot run, that are not all named, or whose workspaces its weights leave out"
            }
            Self::Memory => {
                "memory overlaps, is misaligned, or exceeds its pool, two tasks run one model, or a lower bound is not shown"
            }
            Self::Levels => {
                "a level of memory pressure does not leave what it says, moves what cannot be moved, or claims to settle too soon"
            }
            Self::Watch => {
                "a threshold asks for what cannot be gone to or out of order, a condition is of no core or pool, or the answer to a stall is no mode"
            }
            Self::Modes => {
                "a mode's tasks or lanes are not the system's, a bound is not the greatest of the modes', or a mode claims to be left too soon"
            }
        }
    }
}

impl core::fmt::Display for Violation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Violation {}

/// Re-proves the whole plan.
///
/// # Errors
/// The first rule that does not hold.
pub const fn verify(system: &SystemDesc) -> Result<(), Violation> {
    if system.layout != TABLE_LAYOUT {
        Err(Violation::Layout)
    } else if !references_hold(system) {
        Err(Violation::References)
    } else if !domains_hold(system) {
        Err(Violation::Domains)
    } else if !partitions_hold(system) {
        Err(Violation::Partitions)
    } else if !priorities_are_unique(system) {
        Err(Violation::Priorities)
    } else if !thread_waits_hold(system) {
        Err(Violation::Waits)
    } else if !modes_hold(system) {
        Err(Violation::Modes)
    } else if !responses_hold(system) {
        Err(Violation::Responses)
    } else if !points_hold(system) {
        Err(Violation::Points)
    } else if !slots_hold(system) {
        Err(Violation::Slots)
    } else if !queues_hold(system) {
        Err(Violation::Queues)
    } else if !pieces_are_segments(system) {
        Err(Violation::Pieces)
    } else if !launches_hold(system) {
        Err(Violation::Launches)
    } else if !engines_hold(system) {
        Err(Violation::Engines)
    } else if !memory_holds(system) {
        Err(Violation::Memory)
    } else if !levels_hold(system) {
        Err(Violation::Levels)
    } else if !watch_holds(system) {
        Err(Violation::Watch)
    } else {
        Ok(())
    }
}

/// Whether one of the lanes has this core.
const fn is_core_of(lanes: &[LaneDesc], core: u16) -> bool {
    let mut lanes = lanes;
    while let [lane, rest @ ..] = lanes {
        if lane.core == core {
            return true;
        }
        lanes = rest;
    }
    false
}

/// Whether every index points into its table, no two threads share a core, every period, deadline, WCET, budget and busy period
/// is positive, only submitted arrivals are deferred, and optional tasks have no stages and stand beside no mode.
#[must_use]
pub const fn references_hold(system: &SystemDesc) -> bool {
    const LONGEST: usize = 0xffff;
    if system.tasks.len() > LONGEST || system.lanes.len() > LONGEST || system.tasks.is_empty() {
        return false;
    }
    let mut lanes = system.lanes;
    while let [lane, rest @ ..] = lanes {
        if lane.busy_period.is_zero() || lane.core == system.orchestration_core || is_core_of(rest, lane.core) {
            return false;
        }
        lanes = rest;
    }
    let mut models = system.models;
    while let [model, rest @ ..] = models {
        if model.pool.index() >= system.pools.len() {
            return false;
        }
        models = rest;
    }
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if !refers_well(system, task) {
            return false;
        }
        tasks = rest;
    }
    true
}

/// What [`references_hold`] says of one task.
const fn refers_well(system: &SystemDesc, task: &TaskDesc) -> bool {
    let lane_exists = task.lane.index() < system.lanes.len();
    let model_exists = match task.model {
        Some(model) => model.index() < system.models.len(),
        None => true,
    };
    let positive = !task.period.is_zero()
        && !task.deadline.is_zero()
        && !task.wcet.is_zero()
        && !task.budget.is_zero()
        && task.queue > 0;
    let defers_what_comes = !task.defers || matches!(task.release, Release::Submitted);
    lane_exists
        && model_exists
        && positive
        && defers_what_comes
        && may_be_optional(system, task)
        && answers_exist(system, task)
        && pieces_hold(system, task)
}

/// Whether a task is released at all times, or nothing rests on its being so: neither a stage nor a mode.
const fn may_be_optional(system: &SystemDesc, task: &TaskDesc) -> bool {
    let follows_optional = match task.stage {
        Some(stage) => match system.tasks.split_at_checked(stage.after.index()) {
            Some((_, [before, ..])) => before.optional,
            _ => true,
        },
        None => false,
    };
    !follows_optional && (!task.optional || system.modes.is_empty() && task.stage.is_none())
}

/// Whether the modes that answer a task's overruns, misses and failures exist.
const fn answers_exist(system: &SystemDesc, task: &TaskDesc) -> bool {
    answer_exists(system, task.on_overrun)
        && answer_exists(system, task.on_miss)
        && answer_exists(system, task.on_failure)
}

const fn answer_exists(system: &SystemDesc, answer: Answer) -> bool {
    match answer {
        Answer::SwitchMode(mode) => mode.index() < system.modes.len(),
        Answer::Continue | Answer::SkipNext | Answer::AbortJob | Answer::FailDomain => true,
    }
}

/// Whether a task's segments sum to its WCET and, like its regions, are such as its lane runs.
const fn pieces_hold(system: &SystemDesc, task: &TaskDesc) -> bool {
    let Some(lane) = terms::lane_of(system, task) else {
        return false;
    };
    let fits = match lane.preemption {
        Preemption::None => task.segments.is_empty() && task.region.is_zero(),
        Preemption::Segments => task.region.is_zero(),
        Preemption::Full => task.segments.is_empty() && task.region.as_ns() <= task.wcet.as_ns(),
    };
    let mut sum: u64 = 0;
    let mut segments = task.segments;
    while let [segment, rest @ ..] = segments {
        let Some(added) = sum.checked_add(segment.as_ns()) else {
            return false;
        };
        if segment.is_zero() {
            return false;
        }
        sum = added;
        segments = rest;
    }
    fits && task.bcet.as_ns() <= task.wcet.as_ns() && (task.segments.is_empty() || sum == task.wcet.as_ns())
}

/// Whether no two tasks of one lane have the same priority.
#[must_use]
pub const fn priorities_are_unique(system: &SystemDesc) -> bool {
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if !is_unique(rest, task) {
            return false;
        }
        tasks = rest;
    }
    true
}

/// Whether none of the others has a task's lane and priority.
const fn is_unique(others: &[TaskDesc], task: &TaskDesc) -> bool {
    let mut others = others;
    while let [other, rest @ ..] = others {
        if task.lane.0 == other.lane.0 && task.priority.0 == other.priority.0 {
            return false;
        }
        others = rest;
    }
    true
}

/// Whether each queue holds all jobs that may wait at once: those that arrive within the response bound.
#[must_use]
pub const fn queues_hold(system: &SystemDesc) -> bool {
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if !is_queue_long_enough(task) {
            return false;
        }
        tasks = rest;
    }
    true
}

const fn is_queue_long_enough(task: &TaskDesc) -> bool {
    let Some(waiting) = arrivals(task.response_bound.as_ns(), 0, task.period.as_ns(), Count::UpTo) else {
        return false;
    };
    let capacity: u64 = {
        // Widening.
        #[allow(clippy::as_conversions)]
        {
            task.queue as u64
        }
    };
    capacity >= waiting
}
