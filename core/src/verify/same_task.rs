//! Whether a mode's task, or its lane, is the system's: only what is proven of it may differ.

use crate::desc::{Answer, LaneDesc, Policy, Preemption, Release, Slot, TaskDesc};
use crate::time::Duration;
use crate::units::{DomainId, ModelId, TaskId};

/// Whether two descriptions are of one task without stages, up to its bound and its certificate.
pub(super) const fn is_same_task(task: &TaskDesc, original: &TaskDesc) -> bool {
    is_same_text(task.name, original.name)
        && task.lane.0 == original.lane.0
        && is_same_model(task.model, original.model)
        && is_same_domain(task.domain, original.domain)
        && is_same_release(task.release, original.release)
        && task.defers == original.defers
        && task.optional == original.optional
        && task.priority.0 == original.priority.0
        && task.period.as_ns() == original.period.as_ns()
        && task.deadline.as_ns() == original.deadline.as_ns()
        && task.phase.as_ns() == original.phase.as_ns()
        && task.jitter.as_ns() == original.jitter.as_ns()
        && task.stage.is_none()
        && original.stage.is_none()
        && task.bcet.as_ns() == original.bcet.as_ns()
        && task.wcet.as_ns() == original.wcet.as_ns()
        && are_same_durations(task.segments, original.segments)
        && task.region.as_ns() == original.region.as_ns()
        && task.budget.as_ns() == original.budget.as_ns()
        && is_same_answer(task.on_overrun, original.on_overrun)
        && is_same_answer(task.on_miss, original.on_miss)
        && is_same_answer(task.on_failure, original.on_failure)
        && task.miss_window == original.miss_window
        && task.queue == original.queue
}

/// Whether two descriptions are of one lane, up to its busy period and its points, and of one table; `tasks` are the tasks that the
/// first one's slots name by their positions.
pub(super) const fn is_same_lane(lane: &LaneDesc, original: &LaneDesc, tasks: &[TaskId]) -> bool {
    is_same_text(lane.name, original.name)
        && is_same_policy(lane.policy, original.policy)
        && is_same_preemption(lane.preemption, original.preemption)
        && lane.core == original.core
        && super::partitions::is_same_partition(lane, original)
        && lane.dispatch_overhead.as_ns() == original.dispatch_overhead.as_ns()
        && lane.launch_overhead.as_ns() == original.launch_overhead.as_ns()
        && lane.domain_switch.as_ns() == original.domain_switch.as_ns()
        && lane.thread_wait.as_ns() == original.thread_wait.as_ns()
        && lane.wakeup_latency.as_ns() == original.wakeup_latency.as_ns()
        && lane.hyperperiod.as_ns() == original.hyperperiod.as_ns()
        && are_same_slots(lane.slots, original.slots, tasks)
}

const fn are_same_slots(slots: &[Slot], originals: &[Slot], tasks: &[TaskId]) -> bool {
    let (mut slots, mut originals) = (slots, originals);
    while let ([slot, rest @ ..], [original, others @ ..]) = (slots, originals) {
        let Some((_, [task, ..])) = tasks.split_at_checked(slot.task.index()) else {
            return false;
        };
        if slot.at.as_ns() != original.at.as_ns() || task.0 != original.task.0 {
            return false;
        }
        slots = rest;
        originals = others;
    }
    slots.is_empty() && originals.is_empty()
}

const fn are_same_durations(durations: &[Duration], originals: &[Duration]) -> bool {
    let (mut durations, mut originals) = (durations, originals);
    while let ([duration, rest @ ..], [original, others @ ..]) = (durations, originals) {
        if duration.as_ns() != original.as_ns() {
            return false;
        }
        durations = rest;
        originals = others;
    }
    durations.is_empty() && originals.is_empty()
}

pub(super) const fn is_same_text(text: &str, original: &str) -> bool {
    let (mut text, mut original) = (text.as_bytes(), original.as_bytes());
    while let ([byte, rest @ ..], [other, others @ ..]) = (text, original) {
        if *byte != *other {
            return false;
        }
        text = rest;
        original = others;
    }
    text.is_empty() && original.is_empty()
}

const fn is_same_model(model: Option<ModelId>, original: Option<ModelId>) -> bool {
    match (model, original) {
        (Some(model), Some(original)) => model.0 == original.0,
        (None, None) => true,
        _ => false,
    }
}

pub(super) const fn is_same_domain(domain: Option<DomainId>, original: Option<DomainId>) -> bool {
    match (domain, original) {
        (Some(domain), Some(original)) => domain.0 == original.0,
        (None, None) => true,
        _ => false,
    }
}

const fn is_same_release(release: Release, original: Release) -> bool {
    use Release::{Stage, Submitted, Timer};
    matches!((release, original), (Timer, Timer) | (Submitted, Submitted) | (Stage, Stage))
}

const fn is_same_answer(answer: Answer, original: Answer) -> bool {
    use Answer::{AbortJob, Continue, FailDomain, SkipNext, SwitchMode};
    match (answer, original) {
        (Continue, Continue) | (SkipNext, SkipNext) | (AbortJob, AbortJob) | (FailDomain, FailDomain) => true,
        (SwitchMode(mode), SwitchMode(other)) => mode.0 == other.0,
        _ => false,
    }
}

const fn is_same_policy(policy: Policy, original: Policy) -> bool {
    use Policy::{DeadlineMonotonic, EarliestDeadlineFirst, FixedPriority, RateMonotonic, TimeTriggered};
    matches!(
        (policy, original),
        (RateMonotonic, RateMonotonic)
            | (DeadlineMonotonic, DeadlineMonotonic)
            | (FixedPriority, FixedPriority)
            | (EarliestDeadlineFirst, EarliestDeadlineFirst)
            | (TimeTriggered, TimeTriggered)
    )
}

const fn is_same_preemption(preemption: Preemption, original: Preemption) -> bool {
    use Preemption::{Full, None, Segments};
    matches!((preemption, original), (None, None) | (Segments, Segments) | (Full, Full))
}
