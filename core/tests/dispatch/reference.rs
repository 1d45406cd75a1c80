//! The dispatcher once more, from its contract and not from its code: every job that is not complete stands in one list, and each
//! question is answered by looking through all of it. Slow, and meant to be obviously right.

#![allow(unreachable_pub, reason = "a module of one test")]

mod admission;
mod deferred;
mod domains;
mod ends;
mod lanes;
mod modes;

use aegis_core::desc::{Policy, Preemption, Release, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Event, Job, Refused};
use aegis_core::trace::{Cause, Kind};
use aegis_core::{DomainId, Duration, Instant, LevelId, ModeId, TaskId};
use modes::Change;

/// What a job does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// It has not begun.
    Waiting,
    /// It has begun, and does not hold its lane.
    Paused,
    /// It holds its lane.
    Running {
        /// When its job's budget ends.
        job_ends: u64,
        /// When its segment's length ends, if that is less than the whole job.
        segment_ends: Option<u64>,
        /// Whether an overrun of this segment is recorded.
        segment_overran: bool,
        /// When the job has missed its deadline, where that is looked for while it runs and not recorded yet.
        deadline_ends: Option<u64>,
    },
}

/// A job that is not complete.
#[derive(Clone, Copy, Debug)]
struct Life {
    job: Job,
    phase: Phase,
    /// When it was put into its queue.
    released: u64,
    spent: u64,
    /// Whether an overrun of the job is recorded.
    overran: bool,
    /// Whether anything of it was measured to be too long.
    measured: bool,
    /// Whether its miss is recorded.
    missed: bool,
}

/// The state: all that is not in the plan.
pub struct Reference {
    system: &'static SystemDesc,
    last: u64,
    end: Option<u64>,
    requests: u64,
    /// For each task the next arrival, or the earliest permitted one.
    next: Vec<u64>,
    /// For each task whether it is admitted, which only an optional one need be.
    admitted: Vec<bool>,
    /// For each task the arrivals that are deferred.
    deferred: Vec<Vec<u64>>,
    /// For each task whether its next arrival is dropped.
    skip: Vec<bool>,
    skip_late: Vec<bool>,
    /// For each task whether each of its jobs that ended has missed.
    history: Vec<Vec<bool>>,
    /// In order of arrival at their queues.
    lives: Vec<Life>,
    /// The levels of pressure that followed each other without a pause, the one that holds last: since when, and whether it
    /// settled.
    levels: Vec<(LevelId, u64, bool)>,
    /// The mode that holds or is being left, and the change that is under way.
    mode: Option<ModeId>,
    change: Option<Change>,
    /// When a change was asked for last, and the mode that an overrun or a miss of this step asks for.
    asked: Option<u64>,
    answer: Option<ModeId>,
    /// The domains that have failed.
    failed: Vec<DomainId>,
    /// For each lane the number of slots, from the schedule's start, that are used up.
    slots: Vec<u64>,
    pub records: Vec<(u64, Kind)>,
}

impl Reference {
    pub fn new(system: &'static SystemDesc) -> Self {
        Self {
            system,
            last: 0,
            end: None,
            requests: 0,
            next: system.tasks.iter().map(|task| task.phase.as_ns()).collect(),
            admitted: vec![false; system.tasks.len()],
            deferred: vec![Vec::new(); system.tasks.len()],
            skip: vec![false; system.tasks.len()],
            skip_late: vec![false; system.tasks.len()],
            history: vec![Vec::new(); system.tasks.len()],
            lives: Vec::new(),
            levels: Vec::new(),
            mode: system.modes.first().map(|_| ModeId(0)),
            change: None,
            asked: None,
            answer: None,
            failed: Vec::new(),
            slots: vec![0; system.lanes.len()],
            records: Vec::new(),
        }
    }

    /// What starts on each lane, and when time alone changes something.
    pub fn step(&mut self, event: Event, now: u64) -> Result<(Vec<Option<Job>>, Option<u64>), Refused> {
        if now < self.last {
            return Err(Refused::ClockWentBack { last: Instant::from_ns(self.last) });
        }
        self.permits(event, now)?;
        let (first, slots) = (self.records.len(), self.slots.clone());
        match event {
            Event::Timer => {}
            Event::Submit { task, arrival } => self.submit(task, arrival.as_ns(), now),
            Event::Completed { lane, began, ended } => {
                let life = self.settle(lane, began.as_ns(), ended.as_ns().min(now));
                self.complete(life, lane, began.as_ns(), ended.as_ns().min(now));
            }
            Event::Failed { lane, began, ended } => {
                let life = self.settle(lane, began.as_ns(), ended.as_ns().min(now));
                self.fails(&life.job, lane, ended.as_ns().min(now));
                self.complete(life, lane, began.as_ns(), ended.as_ns().min(now));
            }
            Event::Lost { lane, began, ended, loss } => {
                let life = self.settle(lane, began.as_ns(), ended.as_ns().min(now));
                self.loses(&life.job, lane, loss, ended.as_ns().min(now));
                self.complete(life, lane, began.as_ns(), ended.as_ns().min(now));
            }
            Event::Preempted { lane, began, ended } => {
                let (began, ended) = (began.as_ns(), ended.as_ns().min(now));
                let life = self.settle(lane, began, ended);
                if self.aborts(&life, ended) || self.has_failed(life.job.task) {
                    self.abort(life, lane, began, ended);
                } else {
                    self.pause(life, lane, began, ended);
                }
            }
            Event::Stop { end } => self.end = Some(end.as_ns()),
            Event::Pressure { level } => {
                // What arrived until now is none of the new level's business.
                self.release(now);
                let from = self.levels.last().map(|(level, ..)| *level);
                if from != level {
                    match level {
                        Some(level) => self.levels.push((level, now, false)),
                        None => self.levels.clear(),
                    }
                    let settles = level.map(|level| self.system.levels[level.index()].settles);
                    self.note(now, Kind::Pressure { from, to: level, settles });
                }
            }
            Event::Mode { mode } => {
                self.release(now);
                self.request_mode(mode, now);
            }
            Event::Fail { domain, loss } => {
                self.fail(domain, loss.map_or(Cause::Outside, Cause::Process), None, now);
            }
            Event::Restored { domain } => self.restore(domain, now),
            Event::Admit { task } => {
                self.release(now);
                self.admit(task, now);
            }
            Event::Dismiss { task } => {
                self.release(now);
                self.admitted[task.index()] = false;
                self.note(now, Kind::TaskDismissed { task });
                self.forgo(task, now);
            }
        }
        self.last = now;
        self.release(now);
        for lane in 0..self.system.lanes.len() {
            self.watch(lane, now);
        }
        self.note_idle(now);
        let start = (0..self.system.lanes.len()).map(|lane| self.start(lane, now)).collect();
        self.settle_level(now);
        self.answer(now);
        self.end_change(now);
        if self.records.len() > first || event != Event::Timer || self.slots != slots {
            self.records.insert(first, (now, Kind::Stepped { event }));
        }
        Ok((start, self.wake_at()))
    }

    fn task(&self, task: TaskId) -> &'static TaskDesc {
        &self.system.tasks[task.index()]
    }

    /// Says once that no job of a shed task is left.
    fn settle_level(&mut self, now: u64) {
        let Some((level, since, settled @ false)) = self.levels.last_mut() else { return };
        let (level, since) = (*level, *since);
        let desc = &self.system.levels[level.index()];
        if !self.lives.iter().any(|life| desc.shed.contains(&life.job.task)) {
            *settled = true;
            self.note(now, Kind::Settled { level, took: Duration::from_ns(now - since), bound: desc.settles });
        }
    }

    /// The level that withholds an arrival of a task, because of itself or of one before it, all between them naming the task, too.
    fn withheld(&self, task: TaskId, arrival: u64) -> Option<LevelId> {
        let names = |level: &LevelId| {
            let desc = &self.system.levels[level.index()];
            desc.shed.contains(&task) || desc.reject.contains(&task)
        };
        let mut naming = self.levels.iter().rev().take_while(|(level, ..)| names(level));
        naming.any(|(_, since, settled)| *settled || arrival > *since).then(|| self.levels.last().unwrap().0)
    }

    fn note(&mut self, at: u64, kind: Kind) {
        self.records.push((at, kind));
    }

    fn permits(&self, event: Event, now: u64) -> Result<(), Refused> {
        match event {
            Event::Timer | Event::Stop { .. } | Event::Pressure { level: None } => Ok(()),
            Event::Pressure { level: Some(level) } => match self.system.levels.get(level.index()) {
                None => Err(Refused::UnknownLevel { level }),
                Some(desc) if !desc.models.is_empty() => Err(Refused::Compacts { level }),
                Some(_) => Ok(()),
            },
            Event::Mode { mode } => match &self.change {
                _ if mode.index() >= self.system.modes.len() => Err(Refused::UnknownMode { mode }),
                Some(change) => Err(Refused::ChangingMode { to: change.to }),
                None => Ok(()),
            },
            Event::Submit { task, arrival } => self.permits_arrival(task, arrival.as_ns(), now),
            Event::Fail { domain, .. } if domain.index() >= self.system.domains.len() => {
                Err(Refused::UnknownDomain { domain })
            }
            Event::Fail { .. } => Ok(()),
            Event::Restored { domain } => self.permits_restoring(domain),
            Event::Admit { task } => self.permits_admission(task, true),
            Event::Dismiss { task } => self.permits_admission(task, false),
            Event::Preempted { lane, .. }
                if self.system.lanes.get(lane.index()).is_none_or(|lane| lane.preemption != Preemption::Full) =>
            {
                Err(Refused::NotPreemptible { lane })
            }
            Event::Completed { lane, .. }
            | Event::Failed { lane, .. }
            | Event::Lost { lane, .. }
            | Event::Preempted { lane, .. } => {
                if self.running(lane.index()).is_some() {
                    Ok(())
                } else {
                    Err(Refused::NothingRunning { lane })
                }
            }
        }
    }

    /// The position of the job that holds a lane.
    fn running(&self, lane: usize) -> Option<usize> {
        let holds = |life: &Life| matches!(life.phase, Phase::Running { .. });
        self.lives.iter().position(|life| holds(life) && self.task(life.job.task).lane.index() == lane)
    }

    /// The jobs that a lane does not run, although they are its.
    fn waiting(&self, lane: usize) -> Vec<Life> {
        let waits = |life: &Life| !matches!(life.phase, Phase::Running { .. });
        let own = self.lives.iter().filter(|life| waits(life) && self.task(life.job.task).lane.index() == lane);
        own.copied().collect()
    }

    /// Of each task of a lane the job that goes first, and how many wait.
    fn heads(&self, lane: usize) -> Vec<(Life, usize)> {
        let waiting = self.waiting(lane);
        let tasks = (0u16..).map(TaskId).zip(self.system.tasks);
        let heads = tasks.filter_map(|(id, _)| {
            let own: Vec<&Life> = waiting.iter().filter(|life| life.job.task == id).collect();
            let paused = own.iter().find(|life| life.phase == Phase::Paused);
            Some((**paused.or(own.first())?, own.len()))
        });
        heads.collect()
    }

    /// The job that a lane's policy puts first.
    fn first(&self, lane: usize) -> Option<Job> {
        let policy = self.system.lanes[lane].policy;
        let rank = |job: &Job| match policy {
            Policy::EarliestDeadlineFirst => (job.deadline.as_ns(), job.task.0),
            _ => (u64::from(self.task(job.task).priority.0), job.task.0),
        };
        self.heads(lane).into_iter().map(|(life, _)| life.job).min_by_key(rank)
    }

    /// An arrival from outside: at a first stage, or of a task without any.
    fn arrive_at_first(&mut self, id: usize, arrival: u64, now: u64) {
        let task = TaskId(u16::try_from(id).unwrap());
        let Some(level) = self.withheld(task, arrival) else { return self.arrive(id, arrival, now) };
        self.next[id] = arrival + self.system.tasks[id].period.as_ns();
        self.note(now, Kind::Withheld { task, arrival: Instant::from_ns(arrival), count: 1, level });
    }

    fn arrive(&mut self, id: usize, arrival: u64, now: u64) {
        let task = &self.system.tasks[id];
        let of = TaskId(u16::try_from(id).unwrap());
        let at = Instant::from_ns(arrival);
        self.next[id] = arrival + task.period.as_ns();
        if self.skip[id] || self.skip_late[id] {
            (self.skip[id], self.skip_late[id]) = (false, false);
            return self.note(now, Kind::Skipped { task: of, arrival: at });
        }
        let own = self.lives.iter().filter(|life| life.job.task == of && life.phase == Phase::Waiting);
        if own.count() >= usize::from(task.queue) {
            return self.note(now, Kind::Rejected { task: of, arrival: at, count: 1 });
        }
        self.requests += 1;
        let deadline = Instant::from_ns(arrival + task.deadline.as_ns());
        let job = Job { task: of, request: self.requests, arrival: at, deadline, segment: 0 };
        let (phase, released) = (Phase::Waiting, now);
        self.lives.push(Life { job, phase, released, spent: 0, overran: false, measured: false, missed: false });
        let queue_depth = u16::try_from(self.waiting(task.lane.index()).len()).unwrap();
        self.note(now, Kind::Submitted { job: job.reference(), arrival: at, queue_depth });
    }

    /// Releases what arrived by now and before the end.
    fn release(&mut self, now: u64) {
        let is_due = |arrival: u64| arrival <= now && self.end.is_none_or(|end| arrival < end);
        let due: Vec<Vec<u64>> = (0u16..)
            .map(TaskId)
            .zip(self.system.tasks.iter().zip(&self.next))
            .map(|(id, (task, next))| {
                let arrivals = (0..).map(|count| next + count * task.period.as_ns());
                let timed = task.release == Release::Timer && self.is_in_mode(id) && !self.has_failed(id);
                // One more than can be released tells that there is more to refuse.
                let timed = arrivals.take_while(|arrival| timed && is_due(*arrival)).take(usize::from(task.queue) + 2);
                timed.chain(self.deferred[id.index()].iter().copied().filter(|arrival| is_due(*arrival))).collect()
            })
            .collect();
        for lane in 0..self.system.lanes.len() {
            let own = self.system.tasks.iter().zip(&due).filter(|(task, _)| task.lane.index() == lane);
            if let Some(earliest) = own.filter_map(|(_, due)| due.first().copied()).min() {
                self.catch_up(lane, earliest, now);
            }
        }
        let last = self.end.map_or(now, |end| now.min(end.saturating_sub(1)));
        for (id, due) in due.into_iter().enumerate() {
            let (queue, period) = (usize::from(self.system.tasks[id].queue), self.system.tasks[id].period.as_ns());
            self.deferred[id].retain(|arrival| !due.contains(arrival));
            for arrival in due.iter().take(queue + 1) {
                self.arrive_at_first(id, *arrival, now);
            }
            if let Some(arrival) = due.get(queue + 1) {
                let count = (last - arrival) / period + 1;
                self.next[id] = arrival + count * period;
                let task = TaskId(u16::try_from(id).unwrap());
                let (withheld, arrival) = (self.withheld(task, *arrival), Instant::from_ns(*arrival));
                match withheld {
                    Some(level) => self.note(now, Kind::Withheld { task, arrival, count, level }),
                    None => self.note(now, Kind::Rejected { task, arrival, count }),
                }
            }
        }
    }

    fn wake_at(&self) -> Option<u64> {
        let mut all = Vec::new();
        for (id, (task, next)) in (0u16..).map(TaskId).zip(self.system.tasks.iter().zip(&self.next)) {
            let comes = self.is_in_mode(id) && !self.has_failed(id);
            if task.release == Release::Timer && comes && self.end.is_none_or(|end| *next < end) {
                all.push(*next);
            }
        }
        all.extend(self.deferred.iter().flatten().filter(|arrival| self.end.is_none_or(|end| **arrival < end)));
        for lane in 0..self.system.lanes.len() {
            match self.running(lane).map(|position| self.lives[position]) {
                Some(Life {
                    phase: Phase::Running { job_ends, segment_ends, segment_overran, deadline_ends },
                    overran,
                    ..
                }) => {
                    all.extend(deadline_ends.map(|ends| ends + 1));
                    all.extend((!overran).then_some(job_ends + 1));
                    all.extend(segment_ends.filter(|_| !segment_overran).map(|ends| ends + 1));
                }
                Some(_) => panic!("it runs"),
                None if self.waiting(lane).is_empty() => {}
                None if self.system.lanes[lane].policy == Policy::TimeTriggered => {
                    // After a late job was dropped the next one may fit the gap at once.
                    let (soon, slot) = (self.last + 1, self.slot(lane, self.slots[lane]).0);
                    all.push(if self.in_gap(lane, soon).is_some() { soon } else { slot.max(soon) });
                }
                // Its step dropped a late job.
                None => all.push(self.last + 1),
            }
        }
        all.into_iter().min()
    }
}
