//! What becomes of a job that leaves its lane, and of what it exceeded.

use super::{Life, Phase, Reference};
use aegis_core::desc::{Answer, TaskDesc};
use aegis_core::dispatch::Job;
use aegis_core::trace::{Cause, Kind, Limit};
use aegis_core::{Duration, Instant, LaneId, TaskId};

impl Reference {
    /// The job's piece has ended.
    pub(super) fn complete(&mut self, mut life: Life, lane: LaneId, began: u64, ended: u64) {
        let task = self.task(life.job.task);
        let is_stage = |other: &TaskDesc| other.stage.is_some_and(|stage| stage.after == life.job.task);
        let is_last = usize::from(life.job.segment) + 1 >= task.segments.len();
        let is_cut_short = self.aborts(&life, ended) && (!is_last || self.system.tasks.iter().any(is_stage));
        if is_cut_short || self.has_failed(life.job.task) {
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
            if self.has_failed(TaskId(u16::try_from(stage).unwrap())) {
                continue;
            }
            self.arrive(stage, job.arrival.as_ns(), ended);
        }
    }

    pub(super) fn aborts(&self, life: &Life, ended: u64) -> bool {
        let task = self.task(life.job.task);
        let is_late = life.missed || ended > life.job.deadline.as_ns();
        life.measured && task.on_overrun == Answer::AbortJob || is_late && task.on_miss == Answer::AbortJob
    }

    /// Whether a job's miss is looked for before it ends.
    pub(super) fn looks(&self, task: TaskId) -> bool {
        let is_last = !self.system.tasks.iter().any(|other| other.stage.is_some_and(|stage| stage.after == task));
        match self.task(task).on_miss {
            Answer::Continue => false,
            Answer::SkipNext => is_last,
            Answer::AbortJob | Answer::SwitchMode(_) | Answer::FailDomain => true,
        }
    }

    pub(super) fn miss(&mut self, job: &Job, at: u64) {
        let task = self.task(job.task);
        let first = self.first_stage(job.task);
        let window = usize::from(self.system.tasks[first].miss_window);
        let before = self.history[first].iter().rev().take(window - 1);
        let recent = u8::try_from(before.filter(|missed| **missed).count()).unwrap() + 1;
        let lateness = Duration::from_ns(at.saturating_sub(job.deadline.as_ns()));
        self.note(at, Kind::Missed { job: job.reference(), lateness, recent });
        if task.on_miss == Answer::SkipNext {
            let first = self.first_stage(job.task);
            self.skip_late[first] = true;
        }
        self.fail_by(task.on_miss, job, Cause::Miss, at);
        if let Answer::SwitchMode(mode) = task.on_miss {
            self.answer.get_or_insert(mode);
        }
    }

    /// A job has ended.
    pub(super) fn judge(&mut self, life: &Life, is_late: bool, ended: u64) {
        if is_late && !life.missed {
            self.miss(&life.job, ended);
        }
        if life.missed && !is_late {
            let first = self.first_stage(life.job.task);
            self.skip_late[first] = false;
        }
        let first = self.first_stage(life.job.task);
        self.history[first].push(is_late);
    }

    /// The job is in no list any more.
    pub(super) fn abort(&mut self, life: Life, lane: LaneId, began: u64, ended: u64) {
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
    pub(super) fn pause(&mut self, life: Life, lane: LaneId, began: u64, ended: u64) {
        self.lives.push(Life { phase: Phase::Paused, ..life });
        let (began, at) = (Instant::from_ns(began), Instant::from_ns(ended));
        self.note(ended, Kind::Paused { job: life.job.reference(), lane, began, ended: at });
    }

    /// Takes a lane's job out of the list, with the execution of its segment on its account.
    pub(super) fn settle(&mut self, lane: LaneId, began: u64, ended: u64) -> Life {
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

    pub(super) fn overran(&mut self, job: Job, limit: Limit, execution: u64, budget: u64, at: u64) {
        let (execution, budget) = (Duration::from_ns(execution), Duration::from_ns(budget));
        self.note(at, Kind::Overran { job: job.reference(), segment: job.segment, limit, execution, budget });
        if self.task(job.task).on_overrun == Answer::SkipNext {
            let first = self.first_stage(job.task);
            self.skip[first] = true;
        }
        self.fail_by(self.task(job.task).on_overrun, &job, Cause::Overrun, at);
        if let Answer::SwitchMode(mode) = self.task(job.task).on_overrun {
            self.answer.get_or_insert(mode);
        }
    }

    pub(super) fn first_stage(&self, mut task: TaskId) -> usize {
        while let Some(stage) = self.task(task).stage {
            task = stage.after;
        }
        task.index()
    }

    /// Records the budgets of a lane's job that ended before now.
    pub(super) fn watch(&mut self, lane: usize, now: u64) {
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
            let position = self.running(lane).unwrap();
            self.lives[position].phase =
                Phase::Running { job_ends, segment_ends, segment_overran: true, deadline_ends };
        }
        if job_ends < now && !life.overran {
            let budget = task.budget.as_ns();
            self.overran(life.job, Limit::Job, budget + (now - job_ends), budget, now);
            let position = self.running(lane).unwrap();
            self.lives[position].overran = true;
        }
        if is_late {
            self.miss(&life.job, now);
            let position = self.running(lane).unwrap();
            let life = &mut self.lives[position];
            life.missed = true;
            let Phase::Running { deadline_ends, .. } = &mut life.phase else { panic!("it runs") };
            *deadline_ends = None;
        }
    }
}
