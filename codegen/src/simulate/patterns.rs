//! When jobs arrive and when their arrivals are seen.

use aegis_core::Duration;
use aegis_core::desc::{LaneDesc, Policy, Preemption, Release, SystemDesc, TaskDesc};

/// One arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Arrival {
    /// When the dispatcher sees it.
    pub(super) seen: u64,
    /// Its place among those seen at one instant: what goes first is submitted first.
    rank: u64,
    /// Its task.
    pub(super) task: u16,
    /// When it arrived.
    pub(super) arrival: u64,
}

impl Arrival {
    /// An arrival with its rank by the lane's policy.
    pub(super) fn new(system: &SystemDesc, id: u16, arrival: u64, seen: u64) -> Option<Self> {
        let task = system.tasks.get(usize::from(id))?;
        let lane = system.lanes.get(task.lane.index())?;
        let rank = match lane.policy {
            Policy::EarliestDeadlineFirst => arrival.checked_add(task.deadline.as_ns())?,
            _ => u64::from(task.priority.0),
        };
        Some(Self { seen, rank, task: id, arrival })
    }
}

/// The tasks whose jobs arrive from outside: all but later stages.
fn first_stages(system: &SystemDesc) -> impl Iterator<Item = (u16, &TaskDesc)> {
    (0u16..).zip(system.tasks).filter(|(_, task)| task.release != Release::Stage)
}

/// Arrivals at phases and then every period, seen as late as permitted.
pub(super) fn periodic(system: &SystemDesc, length: Duration) -> Option<Vec<Arrival>> {
    let mut arrivals = Vec::new();
    for (id, task) in first_stages(system) {
        let late = lateness(system, id)?;
        let mut arrival = task.phase.as_ns();
        while arrival < length.as_ns() {
            arrivals.push(Arrival::new(system, id, arrival, arrival.checked_add(late)?)?);
            arrival = arrival.checked_add(task.period.as_ns())?;
        }
    }
    Some(arrivals)
}

/// Random arrivals, half of them as near as permitted; exactly periodic where they have slots.
pub(super) fn sporadic(system: &SystemDesc, length: Duration, random: &mut fastrand::Rng) -> Option<Vec<Arrival>> {
    let mut arrivals = Vec::new();
    for (id, task) in first_stages(system) {
        let late = lateness(system, id)?;
        let in_table = has_slots(system, id);
        let mut arrival = if in_table { task.phase.as_ns() } else { random.u64(0..=task.period.as_ns()) };
        let mut last_seen = 0;
        while arrival < length.as_ns() {
            // Releases of a task come in the order of its arrivals.
            last_seen = arrival.checked_add(random.u64(0..=late))?.max(last_seen);
            arrivals.push(Arrival::new(system, id, arrival, last_seen)?);
            // Half of the distances are the shortest permitted one.
            let extra = if in_table || random.bool() { 0 } else { random.u64(0..=task.period.as_ns() / 2) };
            arrival = arrival.checked_add(task.period.as_ns())?.checked_add(extra)?;
        }
    }
    Some(arrivals)
}

/// The pattern that maximises the response of the task at `position` on its lane, for its busy period and at least for
/// `at_least` ns. With `all`, everything on the lane is released together, as on a lane that is overloaded.
pub(super) fn critical(system: &SystemDesc, position: usize, at_least: u64, all: bool) -> Option<Vec<Arrival>> {
    let own = system.tasks.get(position)?;
    let lane = system.lanes.get(own.lane.index())?;
    if lane.policy == Policy::TimeTriggered {
        let id = u16::try_from(position).ok()?;
        if !has_slots(system, id) && !lane.slots.is_empty() {
            return in_gaps(system, id, at_least);
        }
        // Its table holds for the plan's phases: two laps of it.
        let laps = lane.hyperperiod.as_ns().checked_mul(2)?.checked_add(own.phase.as_ns())?;
        return periodic(system, Duration::from_ns(laps));
    }
    let length = lane.busy_period.as_ns().max(at_least).checked_add(own.deadline.as_ns())?;
    together(system, position, length, all)
}

/// As [`critical`] of a lane without a table, for just so many ns.
pub(super) fn together(system: &SystemDesc, position: usize, length: u64, all: bool) -> Option<Vec<Arrival>> {
    let own = system.tasks.get(position)?;
    let lane = system.lanes.get(own.lane.index())?;
    let goes_after = |task: &TaskDesc| match lane.policy {
        _ if all => false,
        Policy::EarliestDeadlineFirst => task.deadline > own.deadline,
        _ => own.priority.is_more_important_than(task.priority),
    };
    let on_lane = || first_stages(system).filter(|(_, task)| task.lane == own.lane);
    let latest = on_lane().map(|(id, _)| lateness(system, id)).collect::<Option<Vec<u64>>>()?;
    let blocker = on_lane().filter(|(_, task)| goes_after(task));
    let blocker = blocker.map(|(id, task)| (longest_piece(lane, task), id)).max_by_key(|((length, _), _)| *length);
    // Everything is released at `start`, so that neither the most jittery task's first arrival nor the blocker's is
    // before 0.
    let before = blocker.map_or(0, |((_, before), _)| before).checked_add(1)?;
    let start = latest.into_iter().max().unwrap_or(0).max(before);
    let end = start.checked_add(length)?;
    let mut arrivals = Vec::new();
    if let Some((_, id)) = blocker {
        let arrival = start.checked_sub(before)?;
        arrivals.push(Arrival::new(system, id, arrival, arrival)?);
    }
    for (id, task) in on_lane().filter(|(_, task)| !goes_after(task)) {
        let mut arrival = start.checked_sub(lateness(system, id)?)?;
        while arrival < end {
            arrivals.push(Arrival::new(system, id, arrival, arrival.max(start))?);
            arrival = arrival.checked_add(task.period.as_ns())?;
        }
    }
    Some(arrivals)
}

/// How long a job's longest non-preemptible piece is, and how long after the job's start it begins.
pub(super) fn longest_piece(lane: &LaneDesc, task: &TaskDesc) -> (u64, u64) {
    let overhead = lane.segment_overhead().map_or(u64::MAX, Duration::as_ns);
    if lane.preemption != Preemption::Segments || task.segments.is_empty() {
        let length = if lane.preemption == Preemption::Full { task.region } else { task.wcet };
        return (length.as_ns().saturating_add(overhead), 0);
    }
    let mut longest = (0, 0);
    let mut begin: u64 = 0;
    for segment in task.segments {
        let length = segment.as_ns().saturating_add(overhead);
        if length > longest.0 {
            longest = (length, begin);
        }
        begin = begin.saturating_add(length);
    }
    longest
}

/// All tasks without slots that go before one, and itself, come together where the lane's gaps keep it waiting for longest, besides
/// what the table holds; a longer piece of another one may just have begun.
fn in_gaps(system: &SystemDesc, id: u16, at_least: u64) -> Option<Vec<Arrival>> {
    let own = system.tasks.get(usize::from(id))?;
    let lane = system.lanes.get(own.lane.index())?;
    let lap = lane.hyperperiod.as_ns();
    let on_lane = || first_stages(system).filter(|(_, task)| task.lane == own.lane);
    let of_gaps = || on_lane().filter(|(other, _)| !has_slots(system, *other));
    let goes_after = |task: &TaskDesc| own.priority.is_more_important_than(task.priority);
    let piece = of_gaps().filter(|(_, task)| !goes_after(task)).map(|(_, task)| longest_piece(lane, task).0).max()?;
    // For each slot the last instant before it at which such a piece does not fit, and until the slot's end.
    let mut longest = (0, 0);
    for slot in lane.slots {
        let task = system.tasks.get(slot.task.index())?;
        let busy = lane.lateness()?.checked_add(lane.segment_overhead()?)?.checked_add(task.wcet)?.as_ns();
        let from = slot.at.as_ns().checked_add(lap)?.checked_add(1)?.saturating_sub(piece);
        if busy > longest.0 {
            longest = (busy, from);
        }
    }
    let latest = of_gaps().map(|(id, _)| lateness(system, id)).collect::<Option<Vec<u64>>>()?;
    let blocker = of_gaps().filter(|(_, task)| goes_after(task));
    let blocker = blocker.map(|(id, task)| (longest_piece(lane, task), id)).max_by_key(|((length, _), _)| *length);
    let before = blocker.map_or(0, |((_, before), _)| before).checked_add(1)?;
    let least = latest.into_iter().max().unwrap_or(0).max(before);
    let start = longest.1.checked_add(least.div_ceil(lap).checked_mul(lap)?)?;
    let end = start.checked_add(lap.max(at_least))?.checked_add(own.deadline.as_ns())?;
    let mut arrivals = Vec::new();
    if let Some((_, id)) = blocker {
        let arrival = start.checked_sub(before)?;
        arrivals.push(Arrival::new(system, id, arrival, arrival)?);
    }
    for (id, task) in on_lane().filter(|(id, task)| has_slots(system, *id) || !goes_after(task)) {
        let late = lateness(system, id)?;
        let (mut arrival, seen) =
            if has_slots(system, id) { (task.phase.as_ns(), None) } else { (start.checked_sub(late)?, Some(start)) };
        while arrival < end {
            let seen = seen.map_or(arrival.checked_add(late)?, |start| arrival.max(start));
            arrivals.push(Arrival::new(system, id, arrival, seen)?);
            arrival = arrival.checked_add(task.period.as_ns())?;
        }
    }
    Some(arrivals)
}

/// Whether a task has slots in its lane's table.
pub(super) fn has_slots(system: &SystemDesc, id: u16) -> bool {
    let lane = system.tasks.get(usize::from(id)).and_then(|task| system.lanes.get(task.lane.index()));
    lane.is_some_and(|lane| lane.slots.iter().any(|slot| slot.task.0 == id))
}

/// How late a task's arrival may be seen. A slot's own lateness is part of what its job costs.
pub(super) fn lateness(system: &SystemDesc, id: u16) -> Option<u64> {
    let task = system.tasks.get(usize::from(id))?;
    let lane = system.lanes.get(task.lane.index())?;
    if has_slots(system, id) {
        return Some(task.jitter.as_ns());
    }
    Some(task.jitter.checked_add(lane.lateness()?)?.as_ns())
}
