//! Lets fault domains fail, and restores them.
//!
//! ```text
//!           an overrun, a miss, a failed job whose answer it is; Lost, Fail
//!  (sound) ────────────────────────────────────────────────────────────────▶ (failed) ┄ until the run ends, unless it is restored
//!     ▲                                                                          │
//!     └──────────────────────────────────────────────────────────────────────────┘
//!                          Restored, once no lane runs a job of it
//! ```
//!
//! In the step that sees the fault the domain's tasks stop: nothing of theirs waits any more, and nothing arrives. A segment that
//! has started runs to its end, since it cannot be stopped; with it its job ends, without what is left of it, and delivers
//! nothing. No later stage is released. All other tasks lose some of their interference and blocking, and nothing else: see
//! `docs/guarantee.md`.
//!
//! The timer releases nothing of a task that has stopped: its entry among the next arrivals is [`NEVER`], also after a change of the
//! mode that has it. The task itself keeps its next arrival, so that after the domain was restored its arrivals are instants of its
//! own grid and at least a period apart, as if those in between had not come. So bounds hold throughout, as they do for an
//! [optional](super::admission) task that is dismissed and admitted again, and the slots that a table has for it are where they
//! should be. The first arrival lies after the step that restores: in that step a less important job may have started.
//!
//! What was in force when the domain failed is looked at anew. A task that the mode does not have arrives once a mode holds that has
//! it, and an optional one that was dismissed meanwhile once it is admitted. What a level of memory pressure sheds or rejects is
//! withheld, and one that has settled has nothing to wait for: no job of the domain arrived in between.
//!
//! Cost: O(tasks) each, to fail at most two records for each task of the domain, as many domains in a step as lanes at most. Other
//! steps look at one word.

use super::state::State;
use super::tournament::NEVER;
use super::{Refused, admission, release};
use crate::desc::{MOST_DOMAINS, Release, SystemDesc, TaskDesc};
use crate::time::Instant;
use crate::trace::{Cause, JobRef, Kind, Sink};
use crate::units::{DomainId, LaneId, TaskId};

/// Whether a domain can be told to fail.
pub(super) fn check(system: &SystemDesc, domain: DomainId) -> Result<(), Refused> {
    if domain.index() < system.domains.len().min(MOST_DOMAINS) {
        Ok(())
    } else {
        Err(Refused::UnknownDomain { domain })
    }
}

/// The task's domain, if it has failed.
#[inline]
pub(super) fn failed<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &State<TASKS, LANES, QUEUE>,
    task: &TaskDesc,
) -> Option<DomainId> {
    if state.common.failed == 0 {
        return None;
    }
    task.domain.filter(|domain| state.common.failed & domain.bit() != 0)
}

/// The domain of the job's task fails because of the job.
#[cold]
pub(super) fn fail_of<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    job: JobRef,
    cause: Cause,
    now: Instant,
    sink: &mut impl Sink,
) {
    if let Some(domain) = system.tasks.get(job.task.index()).and_then(|task| task.domain) {
        fail(system, state, domain, (cause, Some(job)), now, sink);
    }
}

/// A domain fails, unless it has or the plan has no such domain: what waits of its tasks is dropped, and nothing of theirs arrives.
#[cold]
pub(super) fn fail<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    domain: DomainId,
    (cause, job): (Cause, Option<JobRef>),
    now: Instant,
    sink: &mut impl Sink,
) {
    if check(system, domain).is_err() || state.common.failed & domain.bit() != 0 {
        return;
    }
    state.common.failed |= domain.bit();
    state.common.may_settle = true;
    sink.record(now, Kind::DomainFailed { domain, cause, job });
    let mut id = 0_u16;
    for task in system.tasks {
        if task.domain == Some(domain) {
            stop(state, TaskId(id), task, now, sink);
        }
        id = id.saturating_add(1);
    }
    state.reschedule_all(system);
}

/// Nothing of a task waits any more, and nothing arrives. The next arrivals' order is the caller's to bring up to date.
fn stop<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &mut State<TASKS, LANES, QUEUE>,
    id: TaskId,
    task: &TaskDesc,
    now: Instant,
    sink: &mut impl Sink,
) {
    if let Some(arrival) = state.arrivals.get_mut(id.index()) {
        *arrival = NEVER;
    }
    let Some(own) = state.tasks.get_mut(id.index()) else { return };
    release::forgo(own, id, task, now, sink);
    let begun = u16::from(own.paused.take().is_some());
    let waited = own.waiting.clear();
    if begun == 0 && waited == 0 {
        return;
    }
    if let Some(lane) = state.lanes.get_mut(task.lane.index()) {
        lane.waiting = lane.waiting.saturating_sub(waited).saturating_sub(begun);
    }
    state.refresh(id, task.lane);
    sink.record(now, Kind::Dropped { task: id, count: u32::from(waited).saturating_add(u32::from(begun)) });
}

/// Whether a domain can be told to be ready again: it has failed, and no lane runs a job of it, which would deliver otherwise.
pub(super) fn may_be_restored<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &State<TASKS, LANES, QUEUE>,
    domain: DomainId,
) -> Result<(), Refused> {
    check(system, domain)?;
    if state.common.failed & domain.bit() == 0 {
        return Err(Refused::DomainNotFailed { domain });
    }
    let mut lane = LaneId(0);
    for own in &state.lanes {
        let task = own.running.as_ref().and_then(|running| system.tasks.get(running.progress.job.task.index()));
        if task.is_some_and(|task| task.domain == Some(domain)) {
            return Err(Refused::DomainBusy { domain, lane });
        }
        lane = LaneId(lane.0.saturating_add(1));
    }
    Ok(())
}

/// A domain that had failed is ready: its tasks arrive again where the mode that holds has them.
#[cold]
pub(super) fn restore<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    domain: DomainId,
    now: Instant,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    state.common.failed &= !domain.bit();
    sink.record(now, Kind::DomainRestored { domain });
    for (task, (own, arrival)) in system.tasks.iter().zip(state.tasks.iter_mut().zip(&mut state.arrivals)) {
        if task.domain != Some(domain) {
            continue;
        }
        // What an old job would have dropped came while the domain was away.
        (own.skip_next, own.skip_late) = (false, false);
        // Stages follow their first one; what is in no mode, or not admitted, gets its next arrival with that.
        if task.release == Release::Stage || !own.in_mode {
            continue;
        }
        let first = admission::first_arrival(task, own.next, now).ok_or(Refused::OutOfRange)?;
        own.next = first;
        if task.release == Release::Timer {
            *arrival = first;
        }
    }
    state.reschedule_all(system);
    Ok(())
}
