//! Lets fault domains fail.
//!
//! ```text
//!           an overrun, a miss, a failed job whose answer it is; Lost, Fail
//!  (sound) ────────────────────────────────────────────────────────────────▶ failed, until the run ends
//! ```
//!
//! In the step that sees the fault the domain's tasks stop: nothing of theirs waits any more, and nothing arrives. A segment that
//! has started runs to its end, since it cannot be stopped; with it its job ends, without what is left of it, and delivers
//! nothing. No later stage is released. All other tasks lose some of their interference and blocking, and nothing else: see
//! `docs/guarantee.md`.
//!
//! A task that has stopped has [`NEVER`] as its next arrival. A change of the mode that brings it back keeps the later one of
//! that and its own, so it stays.
//!
//! Cost: O(tasks), at most two records for each task of the domain, as many domains in a step as lanes at most, and each domain
//! once in a run. Other steps look at one word.

use super::state::State;
use super::tournament::NEVER;
use super::{Refused, release};
use crate::desc::{MOST_DOMAINS, SystemDesc, TaskDesc};
use crate::time::Instant;
use crate::trace::{Cause, JobRef, Kind, Sink};
use crate::units::{DomainId, TaskId};

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
    own.next = NEVER;
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
