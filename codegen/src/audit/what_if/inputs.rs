//! What a run was told, out of its records.

use super::ended;
use crate::audit::follow::Follower;
use crate::audit::story::{End, Seen, Turn};
use crate::simulate::recorded::{Arriving, Ending, Recorded, Spent};
use aegis_core::desc::{Preemption, Release, SystemDesc, TaskDesc};
use aegis_core::dispatch::Event;
use aegis_core::trace::{Kind, Record};
use aegis_core::{Duration, Instant, TaskId};
use std::collections::{BTreeMap, HashMap};

/// What jobs came to, by task and arrival.
pub(super) type Ended = BTreeMap<&'static str, BTreeMap<Instant, (Duration, End)>>;

/// The inputs of a run, collected record by record. They stay in memory: some hundred bytes a job.
pub struct Inputs {
    system: &'static SystemDesc,
    follower: Follower<'static>,
    /// Task, first arrival, when it was seen, and how many they are, a period apart.
    arrivals: Vec<(TaskId, Instant, Instant, u64)>,
    pieces: BTreeMap<(u16, Instant, u16), Spent>,
    commands: Vec<(Instant, Event)>,
    ended: Vec<(TaskId, Instant, Duration, End)>,
    rejected: BTreeMap<u16, u64>,
    ending: Ending,
    lost: u64,
}

impl Inputs {
    /// Before the first record of a run of a plan.
    #[must_use]
    pub fn new(system: &'static SystemDesc) -> Self {
        Self {
            system,
            follower: Follower::new(system),
            arrivals: Vec::new(),
            pieces: BTreeMap::new(),
            commands: Vec::new(),
            ended: Vec::new(),
            rejected: BTreeMap::new(),
            ending: Ending::Well,
            lost: 0,
        }
    }

    /// Takes the next record.
    pub fn observe(&mut self, record: &Record) {
        match record.kind {
            Kind::Stepped { event } => {
                self.ending = match event {
                    Event::Failed { .. } => Ending::Failed,
                    Event::Lost { loss, .. } => Ending::Lost(loss),
                    _ => Ending::Well,
                };
                let is_command = matches!(
                    event,
                    Event::Pressure { .. }
                        | Event::Mode { .. }
                        | Event::Fail { .. }
                        | Event::Restored { .. }
                        | Event::Admit { .. }
                        | Event::Dismiss { .. }
                );
                if is_command {
                    self.commands.push((record.at, event));
                }
            }
            Kind::Skipped { task, arrival } => self.arrive(task, (arrival, record.at), 1),
            Kind::Rejected { task, arrival, count } => {
                let own = self.rejected.entry(task.0).or_default();
                *own = own.saturating_add(count);
                self.arrive(task, (arrival, record.at), count);
            }
            Kind::Withheld { task, arrival, count, .. } => self.arrive(task, (arrival, record.at), count),
            _ => {}
        }
        let mut seen = Vec::new();
        self.follower.observe(record, &mut |one| seen.push(one));
        seen.into_iter().for_each(|one| self.take(one));
    }

    fn take(&mut self, seen: Seen) {
        match seen {
            Seen::Released(released) => self.arrive(released.job.task, (released.arrival, released.at), 1),
            Seen::Turn(turn, _) => self.piece(&turn),
            Seen::Job(story) => {
                if let Some((response, end)) = ended(&story) {
                    self.ended.push((story.task(), story.released.arrival, response, end));
                }
            }
        }
    }

    /// Arrivals from outside, a period apart.
    fn arrive(&mut self, task: TaskId, (arrival, seen): (Instant, Instant), count: u64) {
        let Some(desc) = self.system.tasks.get(task.index()) else { return };
        if desc.release == Release::Stage {
            return;
        }
        // No more than there was time for.
        let further = seen.saturating_since(arrival).as_ns().checked_div(desc.period.as_ns()).unwrap_or(0);
        let count = count.min(further.saturating_add(1));
        if count > 0 {
            self.arrivals.push((task, arrival, seen.max(arrival), count));
        }
    }

    fn piece(&mut self, turn: &Turn) {
        let Some(arrival) = turn.arrival else { return };
        let overhead = turn.began.saturating_since(turn.chosen);
        let (execution, notice) = (turn.execution(), turn.noticed.saturating_since(turn.ended));
        let own = self.pieces.entry((turn.job.task.0, arrival, turn.segment)).or_default();
        // What was cut off and goes on is one piece.
        own.overhead = own.overhead.saturating_add(overhead.as_ns());
        own.execution = own.execution.saturating_add(execution.as_ns());
        own.notice = notice.as_ns();
        own.ending = self.ending;
    }

    /// After the last record.
    pub(super) fn finish(&mut self) {
        let mut seen = Vec::new();
        let follower = std::mem::replace(&mut self.follower, Follower::new(self.system));
        self.lost = follower.lost();
        follower.finish(&mut |one| seen.push(one));
        seen.into_iter().for_each(|one| self.take(one));
    }

    /// How many records are lost.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// How many arrivals there are.
    pub(super) fn count(&self) -> u64 {
        self.arrivals.iter().map(|(.., count)| *count).fold(0, u64::saturating_add)
    }

    /// What jobs came to.
    pub(super) fn observed(&self, plan: &SystemDesc) -> Ended {
        let mut all: Ended = BTreeMap::new();
        for (task, arrival, response, end) in self.ended.iter().copied() {
            if let Some(desc) = plan.tasks.get(task.index()) {
                all.entry(desc.name).or_default().insert(arrival, (response, end));
            }
        }
        all
    }

    /// Refused arrivals by task.
    pub(super) fn rejected(&self, plan: &SystemDesc) -> BTreeMap<&'static str, u64> {
        let named =
            self.rejected.iter().filter_map(|(task, count)| Some((plan.tasks.get(usize::from(*task))?.name, *count)));
        named.collect()
    }

    /// The inputs as another plan is told them, and how many arrivals are of tasks that it does not have.
    pub(super) fn told(self, plan: &SystemDesc, other: &SystemDesc) -> (Recorded, u64) {
        let place = |id: TaskId| {
            let name = plan.tasks.get(id.index())?.name;
            let found = (0u16..).zip(other.tasks).find(|(_, task)| task.name == name);
            found.map(|(id, task)| (TaskId(id), task))
        };
        let mut unknown = 0_u64;
        let mut arrivals = Vec::with_capacity(self.arrivals.len());
        for (own, first, seen, count) in self.arrivals {
            let Some((task, _)) = place(own) else {
                unknown = unknown.saturating_add(count);
                continue;
            };
            let period = plan.tasks.get(own.index()).map_or(Duration::ZERO, |task| task.period);
            let mut next = Some(first);
            for _ in 0..count {
                let Some(arrival) = next else { break };
                arrivals.push(Arriving { task, arrival, seen: seen.max(arrival) });
                next = arrival.checked_add(period);
            }
        }
        let mut jobs: BTreeMap<(u16, Instant), Vec<Spent>> = BTreeMap::new();
        for ((task, arrival, _), spent) in self.pieces {
            jobs.entry((task, arrival)).or_default().push(spent);
        }
        let mut pieces = HashMap::new();
        for ((id, arrival), spent) in jobs {
            let (Some((task, desc)), Some(own)) = (place(TaskId(id)), plan.tasks.get(usize::from(id))) else {
                continue;
            };
            for (segment, spent) in (0u16..).zip(divided(spent, (plan, own), (other, desc))) {
                pieces.insert((task.0, arrival.as_ns(), segment), spent);
            }
        }
        let commands =
            self.commands.into_iter().filter_map(|(at, event)| Some((at, translated(event, plan, other, &place)?)));
        (Recorded { arrivals, pieces, commands: commands.collect() }, unknown)
    }
}

/// How many pieces a whole job of a task has.
fn count(system: &SystemDesc, task: &TaskDesc) -> usize {
    let lane = system.lanes.get(task.lane.index());
    if lane.is_some_and(|lane| lane.preemption == Preemption::Full) { 1 } else { task.segments.len().max(1) }
}

/// The pieces of a job where the other plan cuts it in another way: the whole execution, divided as the other plan's segments are.
fn divided(
    spent: Vec<Spent>,
    (plan, own): (&SystemDesc, &TaskDesc),
    (other, desc): (&SystemDesc, &TaskDesc),
) -> Vec<Spent> {
    let (before, after) = (count(plan, own), count(other, desc));
    // Of a job that has not run to its end the rest is not known.
    if before == after || spent.len() < before {
        return spent;
    }
    let Some(last) = spent.last().copied() else { return spent };
    let sum = |of: fn(&Spent) -> u64| spent.iter().map(of).fold(0_u64, u64::saturating_add);
    let (execution, overhead) = (sum(|spent| spent.execution), sum(|spent| spent.overhead));
    if after == 1 {
        return vec![Spent { execution, overhead, ..last }];
    }
    let each = overhead / u64::try_from(spent.len()).unwrap_or(u64::MAX).max(1);
    let mut pieces = Vec::with_capacity(after);
    let mut left = execution;
    for (number, length) in desc.segments.iter().enumerate() {
        let share = u128::from(execution) * u128::from(length.as_ns()) / u128::from(desc.wcet.as_ns().max(1));
        let is_last = number + 1 == after;
        let share = if is_last { left } else { u64::try_from(share).unwrap_or(u64::MAX).min(left) };
        left -= share;
        pieces.push(Spent {
            execution: share,
            overhead: each,
            ..if is_last { last } else { Spent { ending: Ending::Well, ..last } }
        });
    }
    pieces
}

/// An event with the other plan's positions; `None` where it has no such task, mode, level or domain.
fn translated<'a>(
    event: Event,
    plan: &SystemDesc,
    other: &SystemDesc,
    place: &impl Fn(TaskId) -> Option<(TaskId, &'a TaskDesc)>,
) -> Option<Event> {
    fn named<'n, T: 'n>(mut of: impl Iterator<Item = &'n str>, name: &str, id: fn(u16) -> T) -> Option<T> {
        of.position(|own| own == name).and_then(|position| u16::try_from(position).ok()).map(id)
    }
    Some(match event {
        Event::Admit { task } => Event::Admit { task: place(task)?.0 },
        Event::Dismiss { task } => Event::Dismiss { task: place(task)?.0 },
        Event::Mode { mode } => {
            let name = plan.modes.get(mode.index())?.name;
            Event::Mode { mode: named(other.modes.iter().map(|mode| mode.name), name, aegis_core::ModeId)? }
        }
        Event::Pressure { level: None } => event,
        Event::Pressure { level: Some(level) } => {
            let name = plan.levels.get(level.index())?.name;
            let level = named(other.levels.iter().map(|level| level.name), name, aegis_core::LevelId)?;
            Event::Pressure { level: Some(level) }
        }
        Event::Fail { domain, loss } => {
            let name = plan.domains.get(domain.index())?.name;
            Event::Fail { domain: named(other.domains.iter().map(|own| own.name), name, aegis_core::DomainId)?, loss }
        }
        Event::Restored { domain } => {
            let name = plan.domains.get(domain.index())?.name;
            Event::Restored { domain: named(other.domains.iter().map(|own| own.name), name, aegis_core::DomainId)? }
        }
        _ => return None,
    })
}
