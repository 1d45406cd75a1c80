//! Re-proves who lies in which fault domain, and who may let it fail.

use super::same_task::is_same_domain;
use crate::desc::{Answer, MOST_DOMAINS, SystemDesc, TaskDesc};

/// Whether there are no more domains than the dispatcher has bits, each task's exists and is that of its earlier stages, and only a
/// task with a domain has it fail; and whether the answer to a failed job is one that a failed job can have.
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
    is_in_place(system, task) && may_answer(task)
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
