//! A lane as the theories see it: who is on it, what each job costs, and the theory of its policy.

use super::suspension::Suspending;
use super::{
    Found, Load, NoBound, Pieces, Proof, Table, edf, fixed_priority, holistic, suspension, time_triggered, utilization,
};
use crate::system::{Lane, System};
use aegis_core::desc::{Policy, Preemption};
use aegis_core::time::Duration;
use aegis_core::units::Priority;

/// A lane's tasks, the most important first.
pub(super) fn members(system: &System, order: &[Priority], lane: usize) -> Vec<usize> {
    let on_lane = system.tasks.iter().zip(order).enumerate().filter(|(_, (task, _))| task.lane == lane);
    let mut members: Vec<(u16, usize)> = on_lane.map(|(index, (_, priority))| (priority.0, index)).collect();
    members.sort_unstable();
    members.into_iter().map(|(_, index)| index).collect()
}

/// The loads of a lane's members; `None` where a time overflows. `windows` holds for each task of the system how long
/// after its arrival a later stage is released, at least and at most.
pub(super) fn loads(system: &System, members: &[usize], windows: &[(u64, u64)]) -> Option<Vec<Load>> {
    members.iter().map(|index| load(system, *index, *windows.get(*index)?)).collect()
}

/// A task with its lane's overheads folded in. The arrivals of a later stage are its task's, moved by the earliest release.
fn load(system: &System, index: usize, (earliest, latest): (u64, u64)) -> Option<Load> {
    let task = system.tasks.get(index)?;
    let lane = system.lanes.get(task.lane)?;
    let overhead = lane.segment_overhead()?.as_ns();
    let segments = u64::try_from(task.segments.len().max(1)).ok()?;
    let jitter = match task.after {
        Some(_) => latest.checked_sub(earliest)?,
        None => task.jitter.checked_add(lane.lateness()?)?.as_ns(),
    };
    let piece = |length: &Duration| length.as_ns().checked_add(overhead);
    let pieces = match (lane.preemption, task.segments.as_slice()) {
        (Preemption::None, _) | (Preemption::Segments, []) => Pieces::Whole,
        (Preemption::Segments, [.., last]) => {
            let longest = task.segments.iter().max()?;
            Pieces::Segments { last: piece(last)?, longest: piece(longest)? }
        }
        (Preemption::Full, _) => Pieces::Floating { longest: task.region.as_ns().max(1) },
    };
    Some(Load {
        cost: task.wcet.as_ns().checked_add(overhead.checked_mul(segments)?)?,
        period: task.period.as_ns(),
        // What is not even released by its deadline misses it, whatever the theory says of this nanosecond.
        deadline: task.deadline.as_ns().saturating_sub(earliest).max(1),
        jitter,
        pieces,
    })
}

/// What the theory of a lane's policy finds.
pub(super) struct Outcome {
    pub(super) found: Vec<Found>,
    pub(super) utilization_ppm: u64,
    pub(super) busy_period: Result<u64, NoBound>,
    pub(super) points: Vec<(u64, u64)>,
    pub(super) table: Option<Table>,
}

impl Outcome {
    /// Nothing but a reason.
    pub(super) fn none(members: usize, why: NoBound) -> Self {
        let found = Found { blocking: 0, blocked_by: None, response: Err(why) };
        Self {
            found: vec![found; members],
            utilization_ppm: u64::MAX,
            busy_period: Err(why),
            points: Vec::new(),
            table: None,
        }
    }
}

/// Analyses a lane by its policy, with other jitters; one that is not bounded lets nothing on the lane have a bound,
/// unless it is less important. Something that goes before everything may keep the lane once for `once` nanoseconds.
pub(super) fn analyse(
    system: &System,
    lane: &Lane,
    members: &[usize],
    loads: &[Load],
    (jitters, once): (&[Option<u64>], u64),
) -> Outcome {
    if once > 0 {
        return with_one_more(system, lane, members, loads, (jitters, once));
    }
    let with_jitter = |(load, jitter): (&Load, &Option<u64>)| Load { jitter: jitter.unwrap_or(0), ..*load };
    let loads: &[Load] = &loads.iter().zip(jitters).map(with_jitter).collect::<Vec<Load>>();
    let unbounded = jitters.iter().any(Option::is_none);
    let mut outcome = Outcome {
        utilization_ppm: utilization::ppm(loads),
        busy_period: fixed_priority::busy_period(0, loads),
        ..Outcome::none(0, NoBound::Overflow)
    };
    match lane.policy {
        Policy::EarliestDeadlineFirst => {
            let found = edf::analyse(loads);
            (outcome.found, outcome.points) = (found.found, found.points);
            if unbounded {
                outcome.points.clear();
                outcome.found = Outcome::none(members.len(), NoBound::Stage).found;
            }
        }
        Policy::TimeTriggered => in_table(system, lane, members, loads, &mut outcome),
        Policy::RateMonotonic | Policy::DeadlineMonotonic | Policy::FixedPriority => {
            outcome.found = holistic::fixed_priority_lane(loads, jitters);
            suspended(system, members, loads, jitters, &mut outcome);
        }
    }
    if unbounded {
        outcome.busy_period = Err(NoBound::Stage);
    }
    outcome
}

/// The lane with one job more that comes once, at any time, and goes before all others: the excess of a segment that is killed. Its
/// period is beyond every busy period, and it is due as soon as it comes.
fn with_one_more(
    system: &System,
    lane: &Lane,
    members: &[usize],
    loads: &[Load],
    (jitters, once): (&[Option<u64>], u64),
) -> Outcome {
    /// Within the range of every theory.
    const NEVER_AGAIN: u64 = 1 << 60;
    let suspends = |member: &usize| system.tasks.get(*member).is_some_and(|task| !task.suspension.is_zero());
    // Slots stay where they are, however late the lane is; and a suspended job is no part of a busy period.
    if lane.policy == Policy::TimeTriggered || members.iter().any(suspends) || once >= NEVER_AGAIN {
        return Outcome::none(members.len(), NoBound::Fault);
    }
    let job = Load::whole(once, NEVER_AGAIN, 1, 0);
    let with_jitter = |(load, jitter): (&Load, &Option<u64>)| Load { jitter: jitter.unwrap_or(0), ..*load };
    let all: Vec<Load> = std::iter::once(job).chain(loads.iter().zip(jitters).map(with_jitter)).collect();
    let unbounded = jitters.iter().any(Option::is_none);
    let found = if lane.policy == Policy::EarliestDeadlineFirst {
        if unbounded { Outcome::none(all.len(), NoBound::Stage).found } else { edf::analyse(&all).found }
    } else {
        let jitters: Vec<Option<u64>> = std::iter::once(Some(0)).chain(jitters.iter().copied()).collect();
        holistic::fixed_priority_lane(&all, &jitters)
    };
    let place = |found: Found| Found { blocked_by: found.blocked_by.and_then(|by| by.checked_sub(1)), ..found };
    Outcome {
        found: found.into_iter().skip(1).map(place).collect(),
        utilization_ppm: utilization::ppm(&all),
        busy_period: if unbounded { Err(NoBound::Stage) } else { fixed_priority::busy_period(0, &all) },
        ..Outcome::none(0, NoBound::Overflow)
    }
}

/// How many steps the search for a table may take: about a third of a second.
const TABLE_STEPS: u64 = time_triggered::STEPS / 10;

/// Searches the lane's table.
fn in_table(system: &System, lane: &Lane, members: &[usize], loads: &[Load], outcome: &mut Outcome) {
    // A slot also holds how late its beginning may be seen.
    let late = lane.lateness().map_or(u64::MAX, Duration::as_ns);
    let of_gaps = |member: usize| system.tasks.get(member).is_some_and(|task| task.submitted);
    let slot = |(member, load): (&usize, &Load)| {
        if of_gaps(*member) { *load } else { load.with_cost(load.cost.saturating_add(late)) }
    };
    outcome.utilization_ppm = utilization::ppm(&members.iter().zip(loads).map(slot).collect::<Vec<Load>>());
    let with: Vec<usize> = members.iter().copied().filter(|member| !of_gaps(*member)).collect();
    let without = members.iter().zip(loads).enumerate().filter(|(_, (member, _))| of_gaps(**member));
    let without: Vec<(usize, Load)> = without.map(|(place, (_, load))| (place, *load)).collect();
    let refuse = |outcome: &mut Outcome, why| {
        *outcome = Outcome { utilization_ppm: outcome.utilization_ppm, ..Outcome::none(members.len(), why) };
    };
    let task = |index: &usize| {
        let task = system.tasks.get(*index)?;
        Some(time_triggered::Task {
            cost: task.wcet.checked_add(lane.segment_overhead()?)?.as_ns(),
            period: task.period.as_ns(),
            deadline: task.deadline.as_ns(),
            jitter: task.jitter.as_ns(),
            phase: task.phase.as_ns(),
        })
    };
    let tasks: Option<Vec<time_triggered::Task>> = with.iter().map(task).collect();
    let (Some(tasks), Some(latency)) = (tasks, lane.lateness()) else {
        return refuse(outcome, NoBound::Overflow);
    };
    match time_triggered::generate(&tasks, latency.as_ns(), TABLE_STEPS) {
        Ok(table) => {
            let in_slot = |response: &u64| Found {
                blocking: 0,
                blocked_by: None,
                response: Ok((Duration::from_ns(*response), Proof::Table)),
            };
            let mut in_slots = table.responses.iter().map(in_slot);
            let mut in_gaps = in_gaps(&table, &tasks, late, &without).into_iter().map(|found| {
                // A place among all members.
                let by = found.blocked_by.and_then(|load| without.get(load)).map(|(place, _)| *place);
                Found { blocked_by: by, ..found }
            });
            let found = |member: &usize| if of_gaps(*member) { in_gaps.next() } else { in_slots.next() };
            outcome.found = members.iter().filter_map(found).collect();
            outcome.busy_period = Ok(table.hyperperiod);
            let slots = table.slots.iter().filter_map(|slot| Some((slot.at, *with.get(slot.task)?)));
            outcome.table = Some(Table { hyperperiod: table.hyperperiod, slots: slots.collect() });
        }
        Err(time_triggered::NoTable::Overloaded) => refuse(outcome, NoBound::Overloaded),
        Err(why) => refuse(outcome, NoBound::Table(why)),
    }
}

/// Bounds the tasks without slots by what a table's gaps give.
fn in_gaps(
    table: &time_triggered::Table,
    tasks: &[time_triggered::Task],
    late: u64,
    without: &[(usize, Load)],
) -> Vec<Found> {
    let taken = table.slots.iter().filter_map(|slot| {
        let end = slot.at.checked_add(late)?.checked_add(tasks.get(slot.task)?.cost)?;
        Some((slot.at, end))
    });
    let taken: Vec<(u64, u64)> = taken.collect();
    let loads: Vec<Load> = without.iter().map(|(_, load)| *load).collect();
    if taken.len() < table.slots.len() {
        return Outcome::none(loads.len(), NoBound::Overflow).found;
    }
    time_triggered::gaps::analyse(&loads, &taken, table.hyperperiod)
}

/// Where a task of the lane suspends itself, all bounds are those of self-suspension. Jitter counts as a suspension before
/// the first execution.
fn suspended(system: &System, members: &[usize], loads: &[Load], jitters: &[Option<u64>], outcome: &mut Outcome) {
    let on_lane = || members.iter().filter_map(|member| system.tasks.get(*member));
    if on_lane().all(|task| task.suspension.is_zero()) {
        return;
    }
    if on_lane().any(|task| !task.region.is_zero()) {
        outcome.found.iter_mut().for_each(|found| found.response = Err(NoBound::SuspensionBesideRegions));
        return;
    }
    let suspending = on_lane().zip(loads).map(|(task, load)| Suspending {
        cost: load.cost,
        suspension: task.suspension.as_ns().saturating_add(load.jitter),
        period: load.period,
        deadline: load.deadline,
    });
    let bounds = suspension::analyse(&suspending.collect::<Vec<Suspending>>());
    // A job that waits for itself executes until its deadline at the latest, if it meets it.
    let late = |load: &Load| Load { jitter: load.jitter.max(load.deadline), ..*load };
    outcome.busy_period = fixed_priority::busy_period(0, &loads.iter().map(late).collect::<Vec<Load>>());
    let found = &mut outcome.found;
    let bounded = jitters.iter().take_while(|jitter| jitter.is_some()).count();
    for (found, bounds) in found.iter_mut().zip(bounds).take(bounded) {
        found.response = bounds.and_then(|bounds| match bounds.least() {
            Some((least, _)) => Ok((Duration::from_ns(least), Proof::Suspension(bounds))),
            None => Err(NoBound::BeyondDeadline),
        });
    }
}
