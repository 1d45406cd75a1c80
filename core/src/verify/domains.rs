//! Re-proves who lies in which fault domain, who may let it fail, and that its process has the time and the memory that it needs.

use super::is_core_of;
use super::same_task::is_same_domain;
use crate::desc::{
    Answer, DomainDesc, LaneDesc, MOST_DOMAINS, MOST_RESTARTS, ModelDesc, ProcessDesc, RestartDesc, SystemDesc,
    TaskDesc, Waiting,
};
use crate::time::Duration;
use crate::units::{ModeId, ModelId, TaskId};

/// Whether there are no more domains than the dispatcher has bits, each task's exists and is that of its earlier stages, and only a
/// task with a domain has it fail; whether the answer to a failed job is one that a failed job can have; whether each model's
/// pool is its task's domain's, whose process has time for it; whether each process is started again as it may be, and the mode
/// that is asked for meanwhile has no task of its domain; and whether threads that poll have a core each.
#[must_use]
pub const fn domains_hold(system: &SystemDesc) -> bool {
    if system.domains.len() > MOST_DOMAINS || !cores_hold(system) {
        return false;
    }
    let mut domains = system.domains;
    let mut id: u16 = 0;
    while let [domain, rest @ ..] = domains {
        if !failure_is_answered(system, id, domain) {
            return false;
        }
        domains = rest;
        id = id.saturating_add(1);
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

/// Whether a domain's process, if it is one, is started again as it may be, and without it the vehicle goes to a mode that does.
const fn failure_is_answered(system: &SystemDesc, id: u16, domain: &DomainDesc) -> bool {
    let Some(process) = &domain.process else {
        return true;
    };
    let may_restart = match &process.restart {
        Some(restart) => restart_holds(restart),
        None => true,
    };
    let may_go_on = match process.meanwhile {
        Some(mode) => is_without(system, mode, id),
        None => true,
    };
    may_restart && may_go_on
}

/// Whether as many starts are counted as are remembered, and the back-off, which grows up to the window, is not longer than that.
const fn restart_holds(restart: &RestartDesc) -> bool {
    restart.max >= 1 && restart.max <= MOST_RESTARTS && restart.back_off.as_ns() <= restart.within.as_ns()
}

/// Whether a mode exists, and none of its tasks lies in the domain.
const fn is_without(system: &SystemDesc, mode: ModeId, domain: u16) -> bool {
    let Some((_, [mode, ..])) = system.modes.split_at_checked(mode.index()) else {
        return false;
    };
    let mut tasks = mode.tasks;
    while let [TaskId(id), rest @ ..] = tasks {
        if let Some((_, [task, ..])) = system.tasks.split_at_checked(TaskId(*id).index())
            && let Some(own) = task.domain
            && own.0 == domain
        {
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
            Some(process) => process_serves(system, process, task, model),
            None => false,
        },
        _ => false,
    }
}

/// Whether each of a task's segments can be handed over, run and be back before it is killed. A job of one piece hands over all of
/// its model's segments one after the other.
const fn process_serves(system: &SystemDesc, process: &ProcessDesc, task: &TaskDesc, model: &ModelDesc) -> bool {
    let switch = match super::terms::lane_of(system, task) {
        Some(LaneDesc { partition: Some(partition), .. }) => partition.switch.as_ns(),
        _ => 0,
    };
    let Some(each) = process.hand_over.as_ns().checked_add(switch) else {
        return false;
    };
    let kill_after = process.kill_after.as_ns();
    let mut segments = task.segments;
    while let [segment, rest @ ..] = segments {
        if segment.as_ns() > kill_after {
            return false;
        }
        segments = rest;
    }
    if task.segments.is_empty() && task.wcet.as_ns() > kill_after {
        return false;
    }
    has_each(task, model, each)
}

/// Whether a task's times have `each` in them, once for each segment of its model.
pub(super) const fn has_room_for(system: &SystemDesc, task: &TaskDesc, model: ModelId, each: Duration) -> bool {
    match system.models.split_at_checked(model.index()) {
        Some((_, [model, ..])) => has_each(task, model, each.as_ns()),
        // That it exists is `references_hold`.
        _ => true,
    }
}

/// Whether each segment of a task has `each` in it, or its only piece as many of them as its model has segments.
const fn has_each(task: &TaskDesc, model: &ModelDesc, each: u64) -> bool {
    let mut segments = task.segments;
    while let [segment, rest @ ..] = segments {
        if segment.as_ns() < each {
            return false;
        }
        segments = rest;
    }
    if !task.segments.is_empty() {
        return true;
    }
    let mut sum: u64 = 0;
    let mut left = model.segments;
    while let [_, rest @ ..] = left {
        match sum.checked_add(each) {
            Some(added) => sum = added,
            None => return false,
        }
        left = rest;
    }
    sum <= task.wcet.as_ns()
}

/// Whether each process has a core of its own for each of its lanes where threads look again and again for what comes: a core that
/// no lane, no other process and not the orchestration thread has. Where threads sleep it has none.
const fn cores_hold(system: &SystemDesc) -> bool {
    let mut number: usize = 0;
    let mut domains = system.domains;
    while let [domain, rest @ ..] = domains {
        if let Some(process) = &domain.process {
            let expected = match system.waiting {
                Waiting::Polling => lanes_of(system, number),
                Waiting::Blocking => 0,
            };
            if process.cores.len() != expected || !are_its_own(system, process.cores, rest) {
                return false;
            }
        }
        number = number.saturating_add(1);
        domains = rest;
    }
    true
}

/// How many lanes have a task of a domain with a model.
const fn lanes_of(system: &SystemDesc, domain: usize) -> usize {
    let mut count: usize = 0;
    let mut lane: usize = 0;
    while lane < system.lanes.len() {
        let mut tasks = system.tasks;
        while let [task, rest @ ..] = tasks {
            let lies_there = match task.domain {
                Some(of) => of.index() == domain && task.model.is_some() && task.lane.index() == lane,
                None => false,
            };
            if lies_there {
                count = count.saturating_add(1);
                break;
            }
            tasks = rest;
        }
        lane = lane.saturating_add(1);
    }
    count
}

/// Whether no thread of a lane, of the orchestration, of the same process or of a later domain's has one of these cores.
const fn are_its_own(system: &SystemDesc, mut cores: &[u16], later: &[DomainDesc]) -> bool {
    while let [core, rest @ ..] = cores {
        let is_of_others = *core == system.orchestration_core || is_core_of(system.lanes, *core);
        if is_of_others || has(rest, *core) || is_core_of_process(later, *core) {
            return false;
        }
        cores = rest;
    }
    true
}

/// Whether the thread of a process has this core for itself.
pub(super) const fn is_core_of_process(mut domains: &[DomainDesc], core: u16) -> bool {
    while let [domain, rest @ ..] = domains {
        if let Some(process) = &domain.process
            && has(process.cores, core)
        {
            return true;
        }
        domains = rest;
    }
    false
}

const fn has(mut cores: &[u16], wanted: u16) -> bool {
    while let [core, rest @ ..] = cores {
        if *core == wanted {
            return true;
        }
        cores = rest;
    }
    false
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

/// How many domains have a process that is started again.
pub(super) const fn restarting(system: &SystemDesc) -> u64 {
    let mut count: u64 = 0;
    let mut domains = system.domains;
    while let [domain, rest @ ..] = domains {
        if restart_of(domain).is_some() {
            count = count.saturating_add(1);
        }
        domains = rest;
    }
    count
}

/// Whether each domain's back-off is longer than an event that waits for so many nanoseconds.
pub(super) const fn back_offs_exceed(system: &SystemDesc, wait: u64) -> bool {
    let mut domains = system.domains;
    while let [domain, rest @ ..] = domains {
        if let Some(restart) = restart_of(domain)
            && restart.back_off.as_ns() <= wait
        {
            return false;
        }
        domains = rest;
    }
    true
}

const fn restart_of(domain: &DomainDesc) -> Option<&RestartDesc> {
    match &domain.process {
        Some(process) => process.restart.as_ref(),
        None => None,
    }
}
