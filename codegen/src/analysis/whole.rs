//! The whole system: the order of tasks, lanes that stages connect, chains, and the exact analysis of single lanes.

use super::chains::{self, Bounds, Inexact, LetStep, Step};
use super::exact::{self, GaveUp, Limits, Order};
use super::holistic::{self, NoResponse, Stage};
use super::lanes::{self, Outcome};
use super::{Analysis, LaneResult, NoBound, TaskResult, lane_loads, modes, priorities};
use crate::system::{Chain, System, Task};
use aegis_core::desc::{Answer, Policy, Preemption};
use aegis_core::time::Duration;
use aegis_core::units::Priority;
use std::collections::BTreeSet;

/// Analyses each lane by its policy, lanes that stages connect together; a system with modes once for each of them.
#[must_use]
pub fn analyse(system: &System) -> Analysis {
    analyse_in_order(system, &orders(system))
}

/// As [`analyse`], with the tasks' places in their lanes given.
#[must_use]
pub fn analyse_in_order(system: &System, order: &[Priority]) -> Analysis {
    analyse_with(system, order, &[])
}

/// As [`analyse_in_order`], where something besides its tasks keeps each lane once, at any time, for so many nanoseconds; where
/// there is no entry for a lane, nothing does.
pub(super) fn analyse_with(system: &System, order: &[Priority], once: &[u64]) -> Analysis {
    if !system.modes.is_empty() {
        return modes::analyse(system, order, once);
    }
    let members: Vec<Vec<usize>> = (0..system.lanes.len()).map(|lane| lanes::members(system, order, lane)).collect();
    let first = first_windows(system);
    let stages: Vec<Stage> = system.tasks.iter().enumerate().map(|(position, _)| stage(system, position)).collect();
    let mut outcomes: Vec<Option<Outcome>> = system.lanes.iter().map(|_| None).collect();
    let responses = holistic::iterate(&stages, &members, |lane, jitters| {
        let Some((desc, members)) = system.lanes.get(lane).zip(members.get(lane)) else { return Vec::new() };
        let outcome = match lanes::loads(system, members, &first) {
            Some(loads) => {
                lanes::analyse(system, desc, members, &loads, (jitters, once.get(lane).copied().unwrap_or(0)))
            }
            None => Outcome::none(members.len(), NoBound::Overflow),
        };
        let bounds = outcome.found.iter().map(|found| found.response.as_ref().map(|(bound, _)| bound.as_ns()));
        let bounds = bounds.map(|bound| bound.map_err(|why| *why)).collect();
        if let Some(slot) = outcomes.get_mut(lane) {
            *slot = Some(outcome);
        }
        bounds
    });
    let mut tasks: Vec<TaskResult> = order.iter().map(|priority| nothing(*priority)).collect();
    let mut results = Vec::with_capacity(system.lanes.len());
    for (members, outcome) in members.iter().zip(outcomes) {
        let outcome = outcome.unwrap_or_else(|| Outcome::none(members.len(), NoBound::Overflow));
        for (member, found) in members.iter().zip(outcome.found) {
            let Some(slot) = tasks.get_mut(*member) else { continue };
            slot.blocking = Duration::from_ns(found.blocking);
            slot.blocked_by = found.blocked_by.and_then(|index| members.get(index).copied());
            slot.response = match responses.get(*member) {
                Some(Ok(whole)) => found.response.map(|(_, proof)| (Duration::from_ns(whole.response), proof)),
                Some(Err(why)) => Err(no_bound(*why)),
                None => Err(NoBound::Overflow),
            };
            if let (Some(Ok(whole)), Some(_)) =
                (responses.get(*member), system.tasks.get(*member).and_then(|task| task.after))
            {
                let latest = whole.earliest.saturating_add(whole.jitter);
                slot.release = (Duration::from_ns(whole.earliest), Duration::from_ns(latest));
            }
        }
        results.push(LaneResult {
            utilization_ppm: outcome.utilization_ppm,
            busy_period: outcome.busy_period.map(Duration::from_ns),
            points: outcome.points,
            table: outcome.table,
        });
    }
    let mut analysis = Analysis { lanes: results, tasks, chains: Vec::new(), modes: Vec::new() };
    analysis.chains = system.chains.iter().map(|chain| self::chain(system, &analysis, chain)).collect();
    analysis
}

/// Before anything is found.
pub(super) const fn nothing(priority: Priority) -> TaskResult {
    TaskResult {
        priority,
        blocking: Duration::ZERO,
        blocked_by: None,
        release: (Duration::ZERO, Duration::ZERO),
        response: Err(NoBound::Overflow),
        exact: None,
    }
}

/// A task as a stage. A later one is released up to 1 ns after the stage before ends, since what the dispatcher does at one
/// instant has an order.
fn stage(system: &System, position: usize) -> Stage {
    let Some(task) = system.tasks.get(position) else {
        return Stage { after: None, best: 0, jitter: 0, limit: 0 };
    };
    let lateness = system.lanes.get(task.lane).and_then(|lane| task.jitter.checked_add(lane.lateness()?));
    let connected = task.after.is_some() || system.tasks.iter().any(|other| other.after == Some(position));
    Stage {
        after: task.after,
        best: task.bcet.as_ns(),
        jitter: if task.after.is_some() { 1 } else { lateness.map_or(u64::MAX, Duration::as_ns) },
        // A pipeline is followed until it misses; a bound of a single stage is of interest also beyond its deadline.
        limit: if connected { task.deadline.as_ns() } else { u64::MAX },
    }
}

/// Why a stage has no bound, as a lane would say it.
const fn no_bound(why: NoResponse) -> NoBound {
    match why {
        NoResponse::Lane(why) => why,
        NoResponse::AboveLimit { .. } => NoBound::BeyondDeadline,
        NoResponse::NothingBefore { .. } => NoBound::Stage,
        NoResponse::Unsettled => NoBound::GaveUp,
        NoResponse::Malformed => NoBound::Overflow,
    }
}

/// What holds for a chain.
fn chain(system: &System, analysis: &Analysis, chain: &Chain) -> Option<Bounds> {
    let response = |last: usize| Some(analysis.tasks.get(last)?.bound()?.as_ns());
    let drops =
        |(first, last): &(usize, usize)| system.tasks.get(*first..=*last).is_some_and(|all| all.iter().any(drops));
    // Of a task whose jobs may be aborted within their WCET any number in a row may deliver nothing, and of one whose domain may
    // fail all.
    if aborting(system, chain).next().is_some() || failing(system, chain).next().is_some() {
        return None;
    }
    // The longest time between two arrivals that are not dropped. A dropped arrival does not overrun, and each overrun drops one,
    // so for a job that arrives at a to cause the loss of the next d in a row it, or one before it, still executes after the
    // arrival of the last but one: a + (d − 1) T < a + R, so d ≤ ⌈R/T⌉.
    let period = |member: &(usize, usize)| {
        let period = system.tasks.get(member.0)?.period.as_ns();
        if !drops(member) {
            return Some(period);
        }
        let in_a_row = response(member.1)?.div_ceil(period);
        period.checked_mul(in_a_row.max(1).checked_add(1)?)
    };
    if chain.is_let {
        let step = |member: &(usize, usize)| {
            let (first, last) = member;
            let (task, period) = (system.tasks.get(*first)?, period(member)?);
            // A job has to be complete when it writes.
            (response(*last)? <= task.deadline.as_ns()).then_some(LetStep {
                period,
                phase: task.phase.as_ns(),
                interval: task.deadline.as_ns(),
            })
        };
        let steps = chain.members.iter().map(step).collect::<Option<Vec<LetStep>>>()?;
        let exact = if chain.members.iter().any(drops) { Err(Inexact::Hyperperiod) } else { chains::let_exact(&steps) };
        return match exact {
            Ok(bounds) => Some(bounds),
            // Too many jobs to enumerate, or not all of them come: a write at the deadline is a response of that length.
            Err(Inexact::Hyperperiod | Inexact::TooManyJobs { .. }) => {
                let step = |step: &LetStep| Step {
                    period: step.period,
                    response: step.interval,
                    jitter: 0,
                    before_next: false,
                };
                chains::register(&steps.iter().map(step).collect::<Vec<Step>>())
            }
            Err(_) => None,
        };
    }
    let mut steps = Vec::with_capacity(chain.members.len());
    for (place, member) in chain.members.iter().enumerate() {
        let (first, last) = member;
        let task = system.tasks.get(*first)?;
        let next = place.checked_add(1).and_then(|next| chain.members.get(next));
        steps.push(Step {
            period: period(member)?,
            response: response(*last)?,
            jitter: task.jitter.checked_add(system.lanes.get(task.lane)?.lateness()?)?.as_ns(),
            before_next: first == last && next.is_some_and(|(next, _)| goes_before(system, analysis, *first, *next)),
        });
    }
    chains::register(&steps)
}

/// Whether an execution within the WCET can let the task's next arrival be dropped.
fn drops(task: &Task) -> bool {
    task.on_overrun == Answer::SkipNext && task.budget < task.wcet
}

/// The tasks of a chain of which an execution within the WCET can let the job be aborted.
pub fn aborting<'a>(system: &'a System, chain: &'a Chain) -> impl Iterator<Item = &'a Task> {
    let tasks = chain.members.iter().flat_map(|(first, last)| system.tasks.get(*first..=*last).into_iter().flatten());
    tasks.filter(|task| {
        let is_full = system.lanes.get(task.lane).is_some_and(|lane| lane.preemption == Preemption::Full);
        task.on_overrun == Answer::AbortJob && task.budget < task.wcet && (is_full || task.segments.len() > 1)
    })
}

/// The tasks of a chain of which an execution within the WCET can let their domain fail.
pub fn failing<'a>(system: &'a System, chain: &'a Chain) -> impl Iterator<Item = &'a Task> {
    let tasks = chain.members.iter().flat_map(|(first, last)| system.tasks.get(*first..=*last).into_iter().flatten());
    let domains: BTreeSet<usize> = tasks.filter_map(|task| task.domain).collect();
    let fails = |task: &&Task| task.on_overrun == Answer::FailDomain && task.budget < task.wcet;
    system.tasks.iter().filter(fails).filter(move |task| task.domain.is_some_and(|domain| domains.contains(&domain)))
}

/// Whether no job of `next` starts while one of `first` waits: one lane, fixed priorities, single stages, no suspension.
fn goes_before(system: &System, analysis: &Analysis, first: usize, next: usize) -> bool {
    let (Some(one), Some(two)) = (system.tasks.get(first), system.tasks.get(next)) else { return false };
    let lane = system.lanes.get(one.lane).filter(|_| one.lane == two.lane);
    let (Some(found), Some(other)) = (analysis.tasks.get(first), analysis.tasks.get(next)) else { return false };
    lane.is_some_and(|lane| lane.policy.is_fixed_priority())
        && one.suspension.is_zero()
        && two.after.is_none()
        && found.priority.is_more_important_than(other.priority)
}

/// Each task's place in its lane, Audsley's where the lane asks for it.
fn orders(system: &System) -> Vec<Priority> {
    let mut order = priorities::assign(system);
    let windows = first_windows(system);
    for (position, _) in system.lanes.iter().enumerate().filter(|(_, lane)| lane.optimal) {
        let members = lanes::members(system, &order, position);
        let Some(loads) = lanes::loads(system, &members, &windows) else { continue };
        // Without an order that holds, those that fit nowhere go before those that were placed below them.
        let best = priorities::optimal(&loads).unwrap_or_else(|none| [none.misfits, none.placed].concat());
        for (place, load) in (0u16..).zip(best) {
            if let Some(slot) = members.get(load).and_then(|member| order.get_mut(*member)) {
                *slot = Priority(place);
            }
        }
    }
    order
}

/// The least windows of release: all jobs take their shortest time.
fn first_windows(system: &System) -> Vec<(u64, u64)> {
    let mut windows = Vec::with_capacity(system.tasks.len());
    for task in &system.tasks {
        let before = task.after.and_then(|after| Some((system.tasks.get(after)?, *windows.get(after)?)));
        let earliest =
            before.map_or(0, |(before, (earliest, _)): (_, (u64, u64))| before.bcet.as_ns().saturating_add(earliest));
        windows.push((earliest, earliest));
    }
    windows
}

/// The longest responses of a lane's tasks, or how far the search came.
pub type Responses = Result<Vec<Duration>, GaveUp>;

/// The exact analysis of a lane of strictly periodic, non-preemptive, single-stage tasks, in the order of `members`.
///
/// `None` where the lane is none of those, the system has modes, a level of memory pressure can withhold arrivals of its tasks,
/// one of them is optional or lies in a fault domain, or a time overflows.
#[must_use]
pub fn exactly(system: &System, analysis: &Analysis, lane: usize, limits: Limits) -> Option<(Vec<usize>, Responses)> {
    let (members, tasks, order) = exact_tasks(system, analysis, lane)?;
    let found = exact::periodic(&tasks, order, limits);
    let worst = found.map(|found| found.responses.iter().map(|range| Duration::from_ns(range.worst)).collect());
    Some((members, worst))
}

/// A lane as the exact analysis sees it.
#[must_use]
pub fn exact_tasks(system: &System, analysis: &Analysis, lane: usize) -> Option<(Vec<usize>, Vec<exact::Task>, Order)> {
    let desc = system.lanes.get(lane)?;
    let order = match desc.policy {
        Policy::EarliestDeadlineFirst => Order::EarliestDeadlineFirst,
        Policy::TimeTriggered => return None,
        _ => Order::FixedPriority,
    };
    let (members, loads) = lane_loads(system, analysis, lane)?;
    let mut tasks = Vec::with_capacity(members.len());
    let withheld =
        |member: &usize| system.levels.iter().any(|level| level.shed.contains(member) || level.reject.contains(member));
    // What lies in a domain may stop at any time, and those of other domains keep their bounds then.
    let stops = |member: &usize| system.tasks.get(*member).is_some_and(|task| task.domain.is_some());
    if members.iter().any(withheld) || members.iter().any(stops) {
        return None;
    }
    for (member, load) in members.iter().zip(&loads) {
        let task = system.tasks.get(*member)?;
        let connected = task.after.is_some() || system.tasks.iter().any(|other| other.after == Some(*member));
        if connected || task.submitted || task.optional || drops(task) || desc.preemption != Preemption::None {
            return None;
        }
        tasks.push(exact::Task {
            cost: (task.bcet.as_ns().max(1), load.cost),
            period: load.period,
            deadline: load.deadline,
            phase: task.phase.as_ns(),
            jitter: load.jitter,
        });
    }
    Some((members, tasks, order))
}
