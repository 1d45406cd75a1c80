//! Re-proves who lies in which fault domain, who may let it fail, and that its process has the time and the memory that it needs.

use super::same_task::is_same_domain;
use crate::desc::{Answer, MOST_DOMAINS, ModelDesc, ProcessDesc, SystemDesc, TaskDesc};

/// Whether there are no more domains than the dispatcher has bits, each task's exists and is that of its earlier stages, and only a
/// task with a domain has it fail; whether the answer to a failed job is one that a failed job can have; and whether each model's
/// pool is its task's domain's, whose process has time for it.
#[must_use]
pub const fn domains_hold(system: &SystemDesc) -> bool {
    if system.domains.len() > MOST_DOMAINS {
        return false;
    }
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if !domain_holds(system, task) {
            return false;
        }
        tasks = rest;
    }
    true
}

/// What [`domains_hold`] says of one task.
pub(super) const fn domain_holds(system: &SystemDesc, task: &TaskDesc) -> bool {
    is_in_place(system, task) && may_answer(task) && has_its_process(system, task)
}

/// Whether a task's model lies in memory of its domain, and if that is a process, is handed over to it within the task's WCET and
/// not killed before that.
const fn has_its_process(system: &SystemDesc, task: &TaskDesc) -> bool {
    let Some(model) = task.model else {
        return true;
    };
    // That the model and its pool exist is `references_hold`.
    let Some((_, [model, ..])) = system.models.split_at_checked(model.index()) else {
        return true;
    };
    if let Some((_, [pool, ..])) = system.pools.split_at_checked(model.pool.index())
        && !is_same_domain(pool.domain, task.domain)
    {
        return false;
    }
    let Some(domain) = task.domain else {
        return true;
    };
    match system.domains.split_at_checked(domain.index()) {
        Some((_, [domain, ..])) => match &domain.process {
            Some(process) => process_serves(process, task, model),
            None => false,
        },
        _ => false,
    }
}

/// Whether each of a task's segments can be handed over, run and be back before it is killed. A job of one piece hands over all of
/// its model's segments one after the other.
const fn process_serves(process: &ProcessDesc, task: &TaskDesc, model: &ModelDesc) -> bool {
    let hand_over = process.hand_over.as_ns();
    let kill_after = process.kill_after.as_ns();
    let mut segments = task.segments;
    while let [segment, rest @ ..] = segments {
        if segment.as_ns() < hand_over || segment.as_ns() > kill_after {
            return false;
        }
        segments = rest;
    }
    if task.segments.is_empty() {
        let mut hand_overs: u64 = 0;
        let mut left = model.segments;
        while let [_, rest @ ..] = left {
            match hand_overs.checked_add(hand_over) {
                Some(sum) => hand_overs = sum,
                None => return false,
            }
            left = rest;
        }
        return hand_overs <= task.wcet.as_ns() && task.wcet.as_ns() <= kill_after;
    }
    true
}

/// Whether a task's domain exists, and is that of the stage before.
const fn is_in_place(system: &SystemDesc, task: &TaskDesc) -> bool {
    let exists = match task.domain {
        Some(domain) => domain.index() < system.domains.len(),
        None => true,
    };
    let follows = match task.stage {
        Some(stage) => match system.tasks.split_at_checked(stage.after.index()) {
            Some((_, [before, ..])) => is_same_domain(before.domain, task.domain),
            _ => false,
        },
        None => true,
    };
    exists && follows
}

/// Whether a task's answers are such as it may have.
const fn may_answer(task: &TaskDesc) -> bool {
    let fails = matches!(task.on_overrun, Answer::FailDomain)
        || matches!(task.on_miss, Answer::FailDomain)
        || matches!(task.on_failure, Answer::FailDomain);
    let is_of_a_failure = matches!(task.on_failure, Answer::Continue | Answer::SwitchMode(_) | Answer::FailDomain);
    is_of_a_failure && (task.domain.is_some() || !fails)
}

/// The domains that have a task with a model, a bit for each: processes of which it may be seen from outside that they fail.
pub(super) const fn processes(system: &SystemDesc) -> u64 {
    let mut bits: u64 = 0;
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if let (Some(domain), Some(_)) = (task.domain, task.model) {
            bits |= domain.bit();
        }
        tasks = rest;
    }
    bits
}
