//! The dispatcher once more, from its contract and not from its code: every job that is not complete stands in one list, and each
//! question is answered by looking through all of it. Slow, and meant to be obviously right.

#![allow(unreachable_pub, reason = "a module of one test")]

use aegis_core::desc::{OnMiss, OnOverrun, Policy, Preemption, Release, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Event, Job, Refused};
use aegis_core::trace::{Kind, Limit, Reason, StateKey};
use aegis_core::{Duration, Instant, LaneId, LevelId, TaskId};

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
    /// For each task whether its next arrival is dropped.
    skip: Vec<bool>,
    skip_late: Vec<bool>,
    /// For each task whether each of its jobs that ended has missed.
    history: Vec<Vec<bool>>,
    /// In order of arrival at their queues.
    lives: Vec<Life>,
    /// The level of pressure that holds, since when, and whether it has settled.
    level: Option<(LevelId, u64, bool)>,
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
            skip: vec![false; system.tasks.len()],
            skip_late: vec![false; system.tasks.len()],
            history: vec![Vec::new(); system.tasks.len()],
            lives: Vec::new(),
            level: None,
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
            Event::Submit { task, arrival } => {
                self.catch_up(self.task(task).lane.index(), arrival.as_ns(), now);
                self.arrive_at_first(task.index(), arrival.as_ns(), now);
            }
            Event::Completed { lane, began, ended } => self.complete(lane, began.as_ns(), ended.as_ns().min(now)),
            Event::Preempted { lane, began, ended } => {
                let (began, ended) = (began.as_ns(), ended.as_ns().min(now));
                let life = self.settle(lane, began, ended);
                if self.aborts(&life, ended) {
                    self.abort(life, lane, began, ended);
                } else {
                    self.pause(life, lane, began, ended);
                }
            }
            Event::Stop { end } => self.end = Some(end.as_ns()),
            Event::Pressure { level } => {
                // What arrived until now is none of the new level's business.
                self.release(now);
                let from = self.level.map(|(level, ..)| level);
                if from != level {
                    self.level = level.map(|level| (level, now, false));
                    let settles = level.map(|level| self.system.levels[level.index()].settles);
                    self.note(now, Kind::Pressure { from, to: level, settles });
                }
            }
        }
        self.last = now;
        self.release(now);
        for lane in 0..self.system.lanes.len() {
            self.watch(lane, now);
        }
        let start = (0..self.system.lanes.len()).map(|lane| self.start(lane, now)).collect();
        self.settle_level(now);
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
        let Some((level, since, false)) = self.level else { return };
        let desc = &self.system.levels[level.index()];
        if !self.lives.iter().any(|life| desc.shed.contains(&life.job.task)) {
            self.level = Some((level, since, true));
            self.note(now, Kind::Settled { level, took: Duration::from_ns(now - since), bound: desc.settles });
        }
    }

    /// The level that withholds an arrival of a task.
    fn withheld(&self, task: TaskId, arrival: u64) -> Option<LevelId> {
        let (level, since, settled) = self.level?;
        let desc = &self.system.levels[level.index()];
        let names = desc.shed.contains(&task) || desc.reject.contains(&task);
        (names && (settled || arrival > since)).then_some(level)
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
            Event::Submit { task, arrival } => {
                let is_over = self.end.is_some_and(|end| arrival.as_ns() >= end);
                match self.system.tasks.get(task.index()) {
                    Some(desc) if desc.release == Release::Submitted && !is_over => {}
                    _ => return Err(Refused::NotSubmittable { task }),
                }
                let earliest = self.next[task.index()];
                let permitted = (earliest..=now).contains(&arrival.as_ns());
                if permitted { Ok(()) } else { Err(Refused::TooEarly { earliest: Instant::from_ns(earliest) }) }
            }
            Event::Preempted { lane, .. }
                if self.system.lanes.get(lane.index()).is_none_or(|lane| lane.preemption != Preemption::Full) =>
            {
                Err(Refused::NotPreemptible { lane })
            }
            Event::Completed { lane, .. } | Event::Preempted { lane, .. } => {
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
        self.lives.push(Life { job, phase: Phase::Waiting, spent: 0, overran: false, measured: false, missed: false });
        let queue_depth = u16::try_from(self.waiting(task.lane.index()).len()).unwrap();
        self.note(now, Kind::Submitted { job: job.reference(), arrival: at, queue_depth });
    }

    /// Releases what arrived by now and before the end.
    fn release(&mut self, now: u64) {
        let is_due = |arrival: u64| arrival <= now && self.end.is_none_or(|end| arrival < end);
        let due: Vec<Vec<u64>> = (self.system.tasks.iter().zip(&self.next))
            .map(|(task, next)| {
                let arrivals = (0..).map(|count| next + count * task.period.as_ns());
                let timed = task.release == Release::Timer;
                // One more than can be released tells that there is more to refuse.
                arrivals.take_while(|arrival| timed && is_due(*arrival)).take(usize::from(task.queue) + 2).collect()
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

    fn complete(&mut self, lane: LaneId, began: u64, ended: u64) {
        let mut life = self.settle(lane, began, ended);
        let task = self.task(life.job.task);
        let is_stage = |other: &TaskDesc| other.stage.is_some_and(|stage| stage.after == life.job.task);
        let is_last = usize::from(life.job.segment) + 1 >= task.segments.len();
        if self.aborts(&life, ended) && (!is_last || self.system.tasks.iter().any(is_stage)) {
            return self.abort(life, lane, began, ended);
        }
        if usize::from(life.job.segment) + 1 < task.segments.len() {
            life.job.segment += 1;
            return self.pause(life, lane, began, ended);
        }
        let job = life.job;
        let response = ended.saturating_sub(job.arrival.as_ns());
        let execution = Duration::from_ns(life.spent);
        let completed = Kind::Completed {
            job: job.reference(),
            lane,
            began: Instant::from_ns(began),
            ended: Instant::from_ns(ended),
            response: Duration::from_ns(response),
            execution,
        };
        self.note(ended, completed);
        let stages = self.system.tasks.iter().enumerate();
        let stages = stages.filter(|(_, other)| other.stage.is_some_and(|stage| stage.after == job.task));
        let stages: Vec<usize> = stages.map(|(id, _)| id).collect();
        if stages.is_empty() {
            self.judge(&life, ended > job.deadline.as_ns(), ended);
        }
        if response > task.response_bound.as_ns() {
            let response = Duration::from_ns(response);
            self.note(ended, Kind::Exceeded { job: job.reference(), response, bound: task.response_bound });
        }
        for stage in stages {
            self.arrive(stage, job.arrival.as_ns(), ended);
        }
    }

    fn aborts(&self, life: &Life, ended: u64) -> bool {
        let task = self.task(life.job.task);
        let is_late = life.missed || ended > life.job.deadline.as_ns();
        life.measured && task.on_overrun == OnOverrun::AbortJob || is_late && task.on_miss == OnMiss::AbortJob
    }

    /// Whether a job's miss is looked for before it ends.
    fn looks(&self, task: TaskId) -> bool {
        let is_last = !self.system.tasks.iter().any(|other| other.stage.is_some_and(|stage| stage.after == task));
        match self.task(task).on_miss {
            OnMiss::Continue => false,
            OnMiss::SkipNext => is_last,
            OnMiss::AbortJob => true,
        }
    }

    fn miss(&mut self, job: &Job, at: u64) {
        let task = self.task(job.task);
        let before = self.history[job.task.index()].iter().rev().take(usize::from(task.miss_window) - 1);
        let recent = u8::try_from(before.filter(|missed| **missed).count()).unwrap() + 1;
        let lateness = Duration::from_ns(at.saturating_sub(job.deadline.as_ns()));
        self.note(at, Kind::Missed { job: job.reference(), lateness, recent });
        if task.on_miss == OnMiss::SkipNext {
            let first = self.first_stage(job.task);
            self.skip_late[first] = true;
        }
    }

    /// A job has ended.
    fn judge(&mut self, life: &Life, is_late: bool, ended: u64) {
        if is_late && !life.missed {
            self.miss(&life.job, ended);
        }
        if life.missed && !is_late {
            let first = self.first_stage(life.job.task);
            self.skip_late[first] = false;
        }
        self.history[life.job.task.index()].push(is_late);
    }

    /// The job is in no list any more.
    fn abort(&mut self, life: Life, lane: LaneId, began: u64, ended: u64) {
        let (job, task) = (life.job, self.task(life.job.task));
        let response = Duration::from_ns(ended.saturating_sub(job.arrival.as_ns()));
        let aborted = Kind::Aborted {
            job: job.reference(),
            lane,
            segment: job.segment,
            began: Instant::from_ns(began),
            ended: Instant::from_ns(ended),
            response,
            execution: Duration::from_ns(life.spent),
        };
        self.note(ended, aborted);
        self.judge(&life, life.missed || ended > job.deadline.as_ns(), ended);
        if response > task.response_bound {
            self.note(ended, Kind::Exceeded { job: job.reference(), response, bound: task.response_bound });
        }
    }

    /// Where a paused job stands in the list does not matter: of a task, at most one has begun.
    fn pause(&mut self, life: Life, lane: LaneId, began: u64, ended: u64) {
        self.lives.push(Life { phase: Phase::Paused, ..life });
        let (began, at) = (Instant::from_ns(began), Instant::from_ns(ended));
        self.note(ended, Kind::Paused { job: life.job.reference(), lane, began, ended: at });
    }

    /// Takes a lane's job out of the list, with the execution of its segment on its account.
    fn settle(&mut self, lane: LaneId, began: u64, ended: u64) -> Life {
        let position = self.running(lane.index()).unwrap();
        let mut life = self.lives.remove(position);
        let Phase::Running { segment_ends, segment_overran, .. } = life.phase else { panic!("it runs") };
        let task = self.task(life.job.task);
        let piece = ended.saturating_sub(began);
        life.spent += piece;
        let mut accounts = vec![(Limit::Job, life.spent, task.budget.as_ns(), life.overran)];
        if segment_ends.is_some() {
            let length = task.segments[usize::from(life.job.segment)].as_ns();
            accounts.insert(0, (Limit::Segment, piece, length, segment_overran));
        }
        life.overran |= life.spent > task.budget.as_ns();
        let mut wrongly = false;
        for (limit, execution, budget, recorded) in accounts {
            let exceeded = execution > budget;
            if exceeded && !recorded {
                self.overran(life.job, limit, execution, budget, ended);
            }
            life.measured |= exceeded;
            wrongly |= recorded && !exceeded;
        }
        if life.spent <= task.budget.as_ns() {
            life.overran = false;
        }
        if wrongly && !life.measured {
            let first = self.first_stage(life.job.task);
            self.skip[first] = false;
        }
        life
    }

    fn overran(&mut self, job: Job, limit: Limit, execution: u64, budget: u64, at: u64) {
        let (execution, budget) = (Duration::from_ns(execution), Duration::from_ns(budget));
        self.note(at, Kind::Overran { job: job.reference(), segment: job.segment, limit, execution, budget });
        if self.task(job.task).on_overrun == OnOverrun::SkipNext {
            let first = self.first_stage(job.task);
            self.skip[first] = true;
        }
    }

    fn first_stage(&self, mut task: TaskId) -> usize {
        while let Some(stage) = self.task(task).stage {
            task = stage.after;
        }
        task.index()
    }

    /// Records the budgets of a lane's job that ended before now.
    fn watch(&mut self, lane: usize, now: u64) {
        let Some(position) = self.running(lane) else { return };
        let life = self.lives[position];
        let Phase::Running { job_ends, segment_ends, segment_overran, deadline_ends } = life.phase else {
            panic!("it runs")
        };
        let task = self.task(life.job.task);
        let is_late = deadline_ends.is_some_and(|ends| ends < now);
        if let Some(ends) = segment_ends
            && ends < now
            && !segment_overran
        {
            let length = task.segments[usize::from(life.job.segment)].as_ns();
            self.overran(life.job, Limit::Segment, length + (now - ends), length, now);
            self.lives[position].phase =
                Phase::Running { job_ends, segment_ends, segment_overran: true, deadline_ends };
        }
        if job_ends < now && !life.overran {
            let budget = task.budget.as_ns();
            self.overran(life.job, Limit::Job, budget + (now - job_ends), budget, now);
            self.lives[position].overran = true;
        }
        if is_late {
            self.miss(&life.job, now);
            let life = &mut self.lives[position];
            life.missed = true;
            let Phase::Running { deadline_ends, .. } = &mut life.phase else { panic!("it runs") };
            *deadline_ends = None;
        }
    }

    /// The job that goes next on a lane; what is too late for it ends.
    fn next(&mut self, lane: usize, now: u64) -> Option<(Job, StateKey)> {
        loop {
            let in_table = self.system.lanes[lane].policy == Policy::TimeTriggered;
            let chosen = if in_table { self.in_table(lane, now)? } else { self.first(lane)? };
            let key = self.key(lane);
            let position = self.lives.iter().position(|life| life.job == chosen).unwrap();
            if now <= chosen.deadline.as_ns() || !self.looks(chosen.task) {
                return Some((chosen, key));
            }
            if self.task(chosen.task).on_miss == OnMiss::AbortJob {
                let mut life = self.lives.remove(position);
                life.job.segment = life.job.segment.saturating_sub(1);
                self.abort(life, LaneId(u16::try_from(lane).unwrap()), now, now);
                continue;
            }
            if !self.lives[position].missed {
                self.miss(&chosen, now);
                self.lives[position].missed = true;
            }
            return Some((chosen, key));
        }
    }

    /// Chooses an idle lane's next job.
    fn start(&mut self, lane: usize, now: u64) -> Option<Job> {
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
        let second = if desc.policy == Policy::TimeTriggered { None } else { self.first(lane) };
        let reason = match second {
            _ if desc.policy == Policy::TimeTriggered => Reason::InTable,
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

    /// When a slot is, counted from the schedule's start.
    fn slot(&self, lane: usize, number: u64) -> (u64, TaskId) {
        let desc = &self.system.lanes[lane];
        let count = u64::try_from(desc.slots.len()).unwrap();
        let slot = desc.slots[usize::try_from(number % count).unwrap()];
        (number / count * desc.hyperperiod.as_ns() + slot.at.as_ns(), slot.task)
    }

    /// The job whose slot has come. Slots are used up in order; one step looks at two laps and one slot.
    fn in_table(&mut self, lane: usize, now: u64) -> Option<Job> {
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
    fn catch_up(&mut self, lane: usize, arrival: u64, now: u64) {
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

    fn key(&self, lane: usize) -> StateKey {
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

    fn wake_at(&self) -> Option<u64> {
        let mut all = Vec::new();
        for (task, next) in self.system.tasks.iter().zip(&self.next) {
            if task.release == Release::Timer && self.end.is_none_or(|end| *next < end) {
                all.push(*next);
            }
        }
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
                None if self.system.lanes[lane].policy == Policy::TimeTriggered && !self.waiting(lane).is_empty() => {
                    all.push(self.slot(lane, self.slots[lane]).0.max(self.last + 1));
                }
                None => {}
            }
        }
        all.into_iter().min()
    }
}
