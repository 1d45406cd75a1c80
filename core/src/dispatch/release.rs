//! Lets jobs arrive: from the timer, from the application, at once or deferred, from an earlier stage.

use super::state::{State, TaskState};
use super::tournament::NEVER;
use super::{Job, Refused, admission, domain, pressure, table};
use crate::desc::{Policy, Release, SystemDesc, TaskDesc};
use crate::time::{Duration, Instant};
use crate::trace::{Kind, Sink};
use crate::units::TaskId;

pub(super) fn release_due<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    now: Instant,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let due = match state.common.end {
        Some(end) if end <= now => match end.as_ns().checked_sub(1) {
            Some(ns) => Instant::from_ns(ns),
            None => return Ok(()),
        },
        _ => now,
    };
    if state.common.next_arrival > due {
        return Ok(());
    }
    let Some(first) = state.next_due(system, 0, due) else { return Ok(()) };
    if state.common.has_tables {
        table::before_releases(system, state, first, (due, now));
    }
    let (mut found, few) = (Some(first), system.tasks.len() / 8);
    for count in 0..system.tasks.len() {
        let Some(position) = found else {
            if count > few {
                state.reschedule_all(system);
            }
            return Ok(());
        };
        let Some(task) = system.tasks.get(position) else { break };
        let id = TaskId(u16::try_from(position).unwrap_or(u16::MAX));
        if state.tasks.get(position).is_some_and(|own| own.deferred > 0) {
            release_deferred(system, state, (id, task), (due, now), sink)?;
            if count < few {
                state.reschedule_one(system, position);
            }
            found = state.next_due(system, position.saturating_add(1), due);
            continue;
        }
        // A queue takes so many jobs, one more turn may skip, and what is due beyond that is refused at once. Never as many as
        // QUEUE permits: a replay has a larger one.
        for _ in 0..=task.queue {
            match state.tasks.get(position).map(|task| task.next) {
                Some(next) if next <= due => arrive(system, state, id, (next, now), sink)?,
                _ => break,
            }
        }
        state.refresh(id, task.lane);
        refuse_backlog(state, position, task, (due, now), sink)?;
        state.reschedule(position);
        // Few play one by one, many all at once.
        if count < few {
            state.reschedule_one(system, position);
        }
        found = state.next_due(system, position.saturating_add(1), due);
    }
    state.reschedule_all(system);
    Ok(())
}

/// Releases what was deferred to at most `due`.
#[cold]
fn release_deferred<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    (id, task): (TaskId, &TaskDesc),
    (due, now): (Instant, Instant),
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    // So many are deferred at most.
    for _ in 0..=task.queue {
        let own = state.tasks.get_mut(id.index()).filter(|own| own.deferred > 0 && own.next <= due);
        let Some(own) = own else { break };
        own.deferred = own.deferred.saturating_sub(1);
        let arrival = own.next;
        arrive(system, state, id, (arrival, now), sink)?;
    }
    state.refresh(id, task.lane);
    if let (Some(own), Some(arrival)) = (state.tasks.get(id.index()), state.arrivals.get_mut(id.index())) {
        *arrival = if own.deferred > 0 { own.next } else { NEVER };
    }
    Ok(())
}

/// Drops what is deferred of a task: the next arrival may come when it could if these had come.
pub(super) fn forgo<const QUEUE: usize>(
    own: &mut TaskState<QUEUE>,
    id: TaskId,
    task: &TaskDesc,
    now: Instant,
    sink: &mut impl Sink,
) {
    if own.deferred == 0 {
        return;
    }
    sink.record(now, Kind::Forgone { task: id, arrival: own.next, count: own.deferred });
    own.next = after_deferred(own, task).unwrap_or(NEVER);
    own.deferred = 0;
}

/// The earliest arrival that may be submitted: after all that are deferred.
fn after_deferred<const QUEUE: usize>(own: &TaskState<QUEUE>, task: &TaskDesc) -> Option<Instant> {
    own.next.checked_add(periods(task, own.deferred)?)
}

/// So many periods of a task.
fn periods(task: &TaskDesc, count: u16) -> Option<Duration> {
    task.period.as_ns().checked_mul(u64::from(count)).map(Duration::from_ns)
}

/// Refuses all arrivals up to `due` that are still not released: after a clock jump of many periods.
fn refuse_backlog<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &mut State<TASKS, LANES, QUEUE>,
    position: usize,
    task: &TaskDesc,
    (due, now): (Instant, Instant),
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let Some(task_state) = state.tasks.get_mut(position) else {
        return Ok(());
    };
    if task_state.next > due {
        return Ok(());
    }
    let behind = due.saturating_since(task_state.next).as_ns();
    let count = behind.checked_div(task.period.as_ns()).and_then(|full| full.checked_add(1));
    let count = count.ok_or(Refused::OutOfRange)?;
    let jump = count.checked_mul(task.period.as_ns()).map(Duration::from_ns);
    let arrival = task_state.next;
    task_state.next = jump.and_then(|jump| arrival.checked_add(jump)).ok_or(Refused::OutOfRange)?;
    let id = TaskId(u16::try_from(position).unwrap_or(u16::MAX));
    let level = pressure::withheld(state, id, arrival);
    sink.record(
        now,
        match level {
            Some(level) => Kind::Withheld { task: id, arrival, count, level },
            None => Kind::Rejected { task: id, arrival, count },
        },
    );
    Ok(())
}

/// Releases an arrival of a first stage, unless a level of memory pressure withholds it.
fn arrive<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    id: TaskId,
    (arrival, now): (Instant, Instant),
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let Some(task) = system.tasks.get(id.index()) else { return Ok(()) };
    let Some(level) = pressure::withheld(state, id, arrival) else {
        return enqueue(state, id, task, arrival, now, sink);
    };
    let next = arrival.checked_add(task.period).filter(|next| *next < NEVER).ok_or(Refused::OutOfRange)?;
    if let Some(own) = state.tasks.get_mut(id.index()) {
        own.next = next;
        sink.record(now, Kind::Withheld { task: id, arrival, count: 1, level });
    }
    Ok(())
}

pub(super) fn submit<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    id: TaskId,
    arrival: Instant,
    now: Instant,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let not_submittable = Refused::NotSubmittable { task: id };
    let task = system.tasks.get(id.index()).ok_or(not_submittable)?;
    let own = state.tasks.get(id.index()).ok_or(not_submittable)?;
    let earliest = if own.deferred > 0 { after_deferred(own, task).ok_or(Refused::OutOfRange)? } else { own.next };
    let planned = if task.defers { arrival.max(earliest) } else { arrival };
    if task.release != Release::Submitted {
        return Err(not_submittable);
    }
    if let Some(domain) = domain::failed(state, task) {
        return Err(Refused::DomainFailed { task: id, domain });
    }
    if state.ends_before(planned) {
        return Err(not_submittable);
    }
    if !own.in_mode {
        let is_optional = admission::is_optional(system, task);
        return Err(if is_optional { Refused::NotAdmitted { task: id } } else { Refused::NotInMode { task: id } });
    }
    if task.defers {
        if (planned > now || own.deferred > 0) && defer(system, state, (id, task), (planned, earliest), now, sink)? {
            return Ok(());
        }
    } else if arrival < earliest || arrival > now {
        return Err(Refused::TooEarly { earliest });
    }
    if system.lanes.get(task.lane.index()).is_some_and(|lane| lane.policy == Policy::TimeTriggered) {
        // What arrived before keeps its slots, although this arrival would be released first.
        release_due(system, state, now, sink)?;
    }
    if let (Some(desc), Some(lane)) = (system.lanes.get(task.lane.index()), state.lanes.get_mut(task.lane.index())) {
        state.common.moved |= table::catch_up(desc, lane, planned, now);
    }
    arrive(system, state, id, (planned, now), sink)?;
    state.refresh(id, task.lane);
    Ok(())
}

/// Defers an arrival that lies ahead; says whether it did. What is due before is released first.
#[cold]
fn defer<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    (id, task): (TaskId, &TaskDesc),
    (planned, earliest): (Instant, Instant),
    now: Instant,
    sink: &mut impl Sink,
) -> Result<bool, Refused> {
    // Arrivals are a period apart, so no more are deferred than the last one lies periods ahead.
    let most = periods(task, task.queue).unwrap_or(Duration::MAX);
    if planned.saturating_since(now) > most {
        let earliest = Instant::from_ns(planned.as_ns().saturating_sub(most.as_ns()));
        return Err(Refused::TooManyDeferred { earliest });
    }
    // The last that is deferred; what of them is due by now is released below.
    let last = earliest.as_ns().checked_sub(task.period.as_ns()).map(Instant::from_ns);
    let are_some = state.tasks.get(id.index()).is_some_and(|own| own.deferred > 0) && last > Some(now);
    if are_some && planned > earliest {
        // They are one period apart, without gaps.
        return Err(Refused::TooEarly { earliest });
    }
    let is_in_range = |length| planned.checked_add(length).is_some_and(|instant| instant < NEVER);
    if !is_in_range(task.period) || !is_in_range(task.deadline) {
        return Err(Refused::OutOfRange);
    }
    release_due(system, state, now, sink)?;
    let Some(own) = state.tasks.get_mut(id.index()) else { return Ok(false) };
    if own.deferred == 0 {
        if planned <= now {
            return Ok(false);
        }
        own.next = planned;
    }
    own.deferred = own.deferred.saturating_add(1);
    let (arrival, pending) = (own.next, own.deferred);
    if let Some(entry) = state.arrivals.get_mut(id.index()) {
        *entry = arrival;
    }
    state.reschedule_one(system, id.index());
    sink.record(now, Kind::Deferred { task: id, arrival: planned, pending });
    Ok(true)
}

/// Puts one arrival into its queue and moves the task's next arrival on; the indexes are the caller's to refresh.
pub(super) fn enqueue<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &mut State<TASKS, LANES, QUEUE>,
    id: TaskId,
    task: &TaskDesc,
    arrival: Instant,
    now: Instant,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let later = |length| arrival.checked_add(length).filter(|instant| *instant < NEVER).ok_or(Refused::OutOfRange);
    let (next, deadline) = (later(task.period)?, later(task.deadline)?);
    let request = state.common.requests.checked_add(1).ok_or(Refused::OutOfRange)?;
    let Some(task_state) = state.tasks.get_mut(id.index()) else {
        return Ok(());
    };
    task_state.next = next;
    if core::mem::take(&mut task_state.skip_next) | core::mem::take(&mut task_state.skip_late) {
        sink.record(now, Kind::Skipped { task: id, arrival });
        return Ok(());
    }
    let job = Job { task: id, request, arrival, deadline, segment: 0 };
    let room = task_state.waiting.len() < usize::from(task.queue);
    if room && task_state.waiting.push_back(job) {
        state.common.requests = request;
        let lane = state.lanes.get_mut(task.lane.index());
        let queue_depth = lane.map_or(1, |lane| {
            lane.waiting = lane.waiting.saturating_add(1);
            lane.waiting
        });
        sink.record(now, Kind::Submitted { job: job.reference(), arrival, queue_depth });
    } else {
        sink.record(now, Kind::Rejected { task: id, arrival, count: 1 });
    }
    Ok(())
}
