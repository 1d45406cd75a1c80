//! Which job a lane takes next.

use super::{Phase, Reference};
use aegis_core::desc::{Answer, Policy};
use aegis_core::dispatch::Job;
use aegis_core::trace::{Kind, Reason, StateKey};
use aegis_core::{LaneId, TaskId};

impl Reference {
    /// The job that goes next on a lane; one that is too late for it ends, and nothing starts in that step.
    pub(super) fn next(&mut self, lane: usize, now: u64) -> Option<(Job, StateKey)> {
        let in_table = self.system.lanes[lane].policy == Policy::TimeTriggered;
        let chosen =
            if in_table { self.in_table(lane, now).or_else(|| self.in_gap(lane, now))? } else { self.first(lane)? };
        let key = self.key(lane);
        let position = self.lives.iter().position(|life| life.job == chosen).unwrap();
        if now <= chosen.deadline.as_ns() || !self.looks(chosen.task) {
            return Some((chosen, key));
        }
        if [Answer::AbortJob, Answer::FailDomain].contains(&self.task(chosen.task).on_miss) {
            let mut life = self.lives.remove(position);
            life.job.segment = life.job.segment.saturating_sub(1);
            self.abort(life, LaneId(u16::try_from(lane).unwrap()), now, now);
            return None;
        }
        if !self.lives[position].missed {
            self.miss(&chosen, now);
            self.lives[position].missed = true;
        }
        Some((chosen, key))
    }

    /// Chooses an idle lane's next job.
    pub(super) fn start(&mut self, lane: usize, now: u64) -> Option<Job> {
        if self.running(lane).is_some() {
            return None;
        }
        let desc = &self.system.lanes[lane];
        let (chosen, state) = self.next(lane, now)?;
        let task = self.task(chosen.task);
        let queue_depth = u16::try_from(self.waiting(lane).len()).unwrap();
        let position = self.lives.iter().position(|life| life.job == chosen).unwrap();
        let begun = now + desc.segment_overhead().unwrap().as_ns();
        let life = self.lives[position];
        self.lives[position].phase = Phase::Running {
            job_ends: begun + task.budget.as_ns().saturating_sub(life.spent),
            segment_ends: (task.segments.len() > 1).then(|| begun + task.segments[usize::from(chosen.segment)].as_ns()),
            segment_overran: false,
            deadline_ends: (self.looks(chosen.task) && !life.missed)
                .then(|| chosen.deadline.as_ns() + desc.segment_overhead().unwrap().as_ns()),
        };
        let in_table = desc.policy == Policy::TimeTriggered;
        let second = match in_table {
            true if self.has_slots(chosen.task) => None,
            true => self.first_of_gaps(lane),
            false => self.first(lane),
        };
        let reason = match second {
            _ if in_table && self.has_slots(chosen.task) => Reason::InTable,
            _ if in_table => Reason::InGap,
            None => Reason::OnlyOneWaiting,
            Some(second) if second.task == chosen.task => Reason::ArrivedFirst,
            Some(_) if desc.policy != Policy::EarliestDeadlineFirst => Reason::MoreImportant,
            Some(second) if second.deadline > chosen.deadline => Reason::EarlierDeadline,
            Some(_) => Reason::EqualDeadlineFirstInTable,
        };
        let runner_up = second.map(|job| job.reference());
        let (job, lane) = (chosen.reference(), LaneId(u16::try_from(lane).unwrap()));
        self.note(now, Kind::Decided { lane, chosen: job, runner_up, reason, queue_depth, state });
        if let Some(model) = task.model {
            self.note(now, Kind::Bound { job, lane, model });
        }
        self.note(now, Kind::Started { job, lane });
        Some(chosen)
    }

    /// Whether a task has slots in its lane's table.
    pub(super) fn has_slots(&self, task: TaskId) -> bool {
        self.system.lanes[self.task(task).lane.index()].slots.iter().any(|slot| slot.task == task)
    }

    /// Of the tasks without slots on a lane the most important one's job.
    fn first_of_gaps(&self, lane: usize) -> Option<Job> {
        let jobs = self.heads(lane).into_iter().map(|(life, _)| life.job);
        jobs.filter(|job| !self.has_slots(job.task)).min_by_key(|job| (self.task(job.task).priority.0, job.task.0))
    }

    /// That job, if its next segment ends before the first slot that is not used up.
    pub(super) fn in_gap(&self, lane: usize, now: u64) -> Option<Job> {
        let job = self.first_of_gaps(lane)?;
        let task = self.task(job.task);
        let length = match task.segments {
            [] | [_] => task.wcet,
            segments => segments[usize::from(job.segment)],
        };
        let overhead = self.system.lanes[lane].segment_overhead().unwrap();
        let end = now + overhead.as_ns() + length.as_ns();
        (end <= self.slot(lane, self.slots[lane]).0).then_some(job)
    }

    /// When a slot is, counted from the schedule's start.
    pub(super) fn slot(&self, lane: usize, number: u64) -> (u64, TaskId) {
        let desc = &self.system.lanes[lane];
        let count = u64::try_from(desc.slots.len()).unwrap();
        let slot = desc.slots[usize::try_from(number % count).unwrap()];
        (number / count * desc.hyperperiod.as_ns() + slot.at.as_ns(), slot.task)
    }

    /// The job whose slot has come. Slots are used up in order; one step looks at two laps and one slot.
    pub(super) fn in_table(&mut self, lane: usize, now: u64) -> Option<Job> {
        let heads = self.heads(lane);
        if heads.is_empty() {
            return None;
        }
        for _ in 0..=2 * self.system.lanes[lane].slots.len() {
            let (at, task) = self.slot(lane, self.slots[lane]);
            let jitter = self.task(task).jitter.as_ns();
            let job = heads.iter().map(|(life, _)| life.job).find(|job| job.task == task);
            let job = job.filter(|job| job.arrival.as_ns() + jitter <= at);
            // At its very instant a job may still come.
            if at > now || at == now && job.is_none() {
                return None;
            }
            self.slots[lane] += 1;
            if job.is_some() {
                return job;
            }
        }
        None
    }

    /// Before a job comes to a lane that has nothing to do: slots before its arrival are used up, but of those that are over by
    /// more than a lap all are.
    pub(super) fn catch_up(&mut self, lane: usize, arrival: u64, now: u64) {
        let desc = &self.system.lanes[lane];
        let is_idle = self.running(lane).is_none() && self.waiting(lane).is_empty();
        if desc.policy != Policy::TimeTriggered || !is_idle {
            return;
        }
        let from = arrival.max(now.saturating_sub(desc.hyperperiod.as_ns()));
        let lap = from / desc.hyperperiod.as_ns() * u64::try_from(desc.slots.len()).unwrap();
        let first = (lap..).find(|number| self.slot(lane, *number).0 >= from).unwrap();
        self.slots[lane] = self.slots[lane].max(first);
    }

    pub(super) fn key(&self, lane: usize) -> StateKey {
        let desc = &self.system.lanes[lane];
        let count = u64::try_from(desc.slots.len()).unwrap().max(1);
        let (lap, slot) = (self.slots[lane] / count * desc.hyperperiod.as_ns(), self.slots[lane] % count);
        let waiting = u64::try_from(self.waiting(lane).len()).unwrap();
        let tasks = self.heads(lane).into_iter().map(|(life, count)| {
            let job = life.job;
            let place = u64::from(job.task.0) << 32 | u64::try_from(count).unwrap() << 16 | u64::from(job.segment);
            StateKey::EMPTY.with(place).with(job.request).with(job.deadline.as_ns()).with(life.spent).mixed()
        });
        let sum = tasks.fold(0, u64::wrapping_add);
        StateKey::EMPTY.with(sum).with(waiting).with(lap).with(slot)
    }
}
