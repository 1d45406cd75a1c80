//! What a plan's proof assumes of a task, as far as records can be compared with it.
//!
//! With R a bound on a response, T a period, J a jitter with its lane's lateness, and L the length of a task's busy period:
//!
//! * A job waits for at most one piece of a job that goes after it: the blocking of its certificate, or where that does not tell
//!   one, the longest such piece of its lane, overheads included, less 1 ns. Under EDF such a piece is of a task with
//!   D_j > D_i − J_i: what is released late finds jobs running that arrived after it.
//! * Of a task j at most ⌈(R_i + R_j) / T_j⌉ jobs go before a job of task i: each of them ends after that one's release, so it
//!   arrived less than R_j before, and at least T_j apart. Where the certificate has a busy period, at most ⌈(L + J_j) / T_j⌉.
//!   None where j goes after i by fixed priorities.
//! * Each of them executes for at most its WCET.

use aegis_core::desc::{Certificate, LaneDesc, Policy, Preemption, SystemDesc, TaskDesc};
use aegis_core::{Duration, TaskId};

/// What may happen to a job of one task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assumed {
    /// How long after its arrival a job is released: at least and at most; `None` where nothing bounds it.
    pub release: (Duration, Option<Duration>),
    /// How long a piece of a job that goes after it keeps it waiting, with its overheads; `None` where nothing is assumed.
    pub blocking: Option<Duration>,
    /// How many jobs of each task go before it, by the tasks' order; `None` where nothing is assumed.
    pub jobs: Vec<Option<u64>>,
    /// What one turn of its lane costs besides the execution.
    pub overhead: Duration,
}

/// What the plan assumes of the task at a position; `None` where it has none there, or a time exceeds 2⁶⁴ − 1 ns.
#[must_use]
pub fn of(system: &SystemDesc, position: usize) -> Option<Assumed> {
    let task = system.tasks.get(position)?;
    let lane = system.lanes.get(task.lane.index())?;
    let release = match task.stage {
        Some(stage) => (stage.earliest, Some(stage.latest).filter(|latest| *latest != Duration::MAX)),
        None => (Duration::ZERO, Some(late(lane, task)?)),
    };
    let mut overhead = lane.segment_overhead()?;
    if has_slots(lane, position) {
        // The slot is seen late, which is part of what its job costs.
        overhead = overhead.checked_add(lane.lateness()?)?;
    }
    let ids = (0u16..).map(TaskId).zip(system.tasks);
    let jobs = ids.map(|(id, other)| most_before(system, (position, task), (id, other))).collect();
    Some(Assumed { release, blocking: blocking(system, lane, (position, task)), jobs, overhead })
}

/// How late a first stage's arrival may be seen.
fn late(lane: &LaneDesc, task: &TaskDesc) -> Option<Duration> {
    task.jitter.checked_add(lane.lateness()?)
}

/// Whether a task has slots in its lane's table.
fn has_slots(lane: &LaneDesc, position: usize) -> bool {
    lane.slots.iter().any(|slot| slot.task.index() == position)
}

/// Whether jobs of `other` may go before one of `own` on their lane.
fn may_go_before(lane: &LaneDesc, (position, own): (usize, &TaskDesc), (id, other): (TaskId, &TaskDesc)) -> bool {
    match lane.policy {
        Policy::EarliestDeadlineFirst => true,
        Policy::TimeTriggered if has_slots(lane, id.index()) || has_slots(lane, position) => true,
        _ => other.priority.is_more_important_than(own.priority),
    }
}

fn blocking(system: &SystemDesc, lane: &LaneDesc, (position, own): (usize, &TaskDesc)) -> Option<Duration> {
    match own.certificate {
        Certificate::FixedPriority { blocking, .. } | Certificate::Gaps { blocking, .. } => return Some(blocking),
        Certificate::Table | Certificate::Edf { .. } | Certificate::Unproven => {}
    }
    if lane.policy == Policy::TimeTriggered {
        return None;
    }
    let ids = (0u16..).map(TaskId).zip(system.tasks);
    let after = ids.filter(|(id, other)| {
        let goes_after = match lane.policy {
            // One that arrived before its release is seen may have an earlier deadline than what runs by then.
            Policy::EarliestDeadlineFirst => {
                let late = if own.stage.is_some() { None } else { late(lane, own) };
                late.is_none_or(|late| other.deadline > own.deadline.saturating_sub(late))
            }
            _ => !may_go_before(lane, (position, own), (*id, other)),
        };
        other.lane == own.lane && id.index() != position && goes_after
    });
    let overhead = lane.segment_overhead()?;
    let mut most = Duration::ZERO;
    for (_, other) in after {
        most = most.max(longest_piece(lane, other).checked_add(overhead)?.saturating_sub(Duration::from_ns(1)));
    }
    Some(most)
}

/// The longest execution for which a job keeps what goes before it waiting.
fn longest_piece(lane: &LaneDesc, task: &TaskDesc) -> Duration {
    match lane.preemption {
        Preemption::Full => task.region,
        Preemption::Segments => task.segments.iter().copied().max().unwrap_or(task.wcet),
        Preemption::None => task.wcet,
    }
}

/// How many jobs of `other` go before one of `own` at most.
fn most_before(
    system: &SystemDesc,
    (position, own): (usize, &TaskDesc),
    (id, other): (TaskId, &TaskDesc),
) -> Option<u64> {
    let lane = system.lanes.get(own.lane.index())?;
    if id.index() == position || other.lane != own.lane || !may_go_before(lane, (position, own), (id, other)) {
        return Some(0);
    }
    let count = |length: Duration, jitter: Duration| {
        length.checked_add(jitter).map(|window| window.as_ns().div_ceil(other.period.as_ns().max(1)))
    };
    let bounded = |task: &TaskDesc| Some(task.response_bound).filter(|bound| *bound != Duration::MAX);
    let by_response = bounded(own).zip(bounded(other)).and_then(|(own, other)| count(own, other));
    let busy_period = match own.certificate {
        Certificate::FixedPriority { busy_period, .. } => Some(busy_period),
        Certificate::Edf { .. } => Some(lane.busy_period),
        _ => None,
    };
    // How late a job of a later stage may be released is what its stages before take.
    let jitter = other.stage.map_or_else(|| late(lane, other), |stage| Some(stage.latest));
    let by_busy_period = busy_period.zip(jitter).and_then(|(length, jitter)| count(length, jitter));
    match (by_response, by_busy_period) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
