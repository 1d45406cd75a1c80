//! Which domains have failed, and what that ends.

use super::{Phase, Reference};
use aegis_core::desc::{Answer, Release};
use aegis_core::dispatch::{Job, Refused};
use aegis_core::trace::{Cause, JobRef, Kind, Loss};
use aegis_core::{DomainId, LaneId, TaskId};

impl Reference {
    /// Whether a task lies in a domain that has failed.
    pub(super) fn has_failed(&self, task: TaskId) -> bool {
        self.task(task).domain.is_some_and(|domain| self.failed.contains(&domain))
    }

    /// The first fault of a domain ends all that waits of its tasks.
    pub(super) fn fail(&mut self, domain: DomainId, cause: Cause, job: Option<JobRef>, now: u64) {
        if self.failed.contains(&domain) {
            return;
        }
        self.failed.push(domain);
        self.note(now, Kind::DomainFailed { domain, cause, job });
        for task in (0u16..).map(TaskId).take(self.system.tasks.len()) {
            if self.task(task).domain != Some(domain) {
                continue;
            }
            self.forgo(task, now);
            let before = self.lives.len();
            self.lives.retain(|life| life.job.task != task || matches!(life.phase, Phase::Running { .. }));
            let count = u32::try_from(before - self.lives.len()).unwrap();
            if count > 0 {
                self.note(now, Kind::Dropped { task, count });
            }
        }
    }

    pub(super) fn permits_restoring(&self, domain: DomainId) -> Result<(), Refused> {
        if domain.index() >= self.system.domains.len() {
            return Err(Refused::UnknownDomain { domain });
        }
        if !self.failed.contains(&domain) {
            return Err(Refused::DomainNotFailed { domain });
        }
        let runs = |lane: &usize| {
            self.running(*lane).is_some_and(|life| self.task(self.lives[life].job.task).domain == Some(domain))
        };
        match (0..self.system.lanes.len()).find(runs) {
            Some(lane) => Err(Refused::DomainBusy { domain, lane: LaneId(u16::try_from(lane).unwrap()) }),
            None => Ok(()),
        }
    }

    /// The tasks of a domain arrive again, those of the timer at the first multiple of periods after now.
    pub(super) fn restore(&mut self, domain: DomainId, now: u64) {
        self.failed.retain(|failed| *failed != domain);
        self.note(now, Kind::DomainRestored { domain });
        for task in (0u16..).map(TaskId).take(self.system.tasks.len()) {
            let desc = self.task(task);
            if desc.domain != Some(domain) {
                continue;
            }
            let id = task.index();
            (self.skip[id], self.skip_late[id]) = (false, false);
            if !self.is_in_mode(task) {
                continue;
            }
            match desc.release {
                Release::Submitted => self.next[id] = self.next[id].max(now + 1),
                Release::Timer => {
                    let (behind, period) = ((now + 1).saturating_sub(self.next[id]), desc.period.as_ns());
                    self.next[id] += behind.div_ceil(period) * period;
                }
                Release::Stage => {}
            }
        }
    }

    /// Something happened to a job for which its domain may fail.
    pub(super) fn fail_by(&mut self, answer: Answer, job: &Job, cause: Cause, at: u64) {
        if let (Answer::FailDomain, Some(domain)) = (answer, self.task(job.task).domain) {
            self.fail(domain, cause, Some(job.reference()), at);
        }
    }

    /// A backend refused a job.
    pub(super) fn fails(&mut self, job: &Job, lane: LaneId, at: u64) {
        self.note(at, Kind::Failed { job: job.reference(), lane });
        let answer = self.task(job.task).on_failure;
        self.fail_by(answer, job, Cause::Failure, at);
        if let Answer::SwitchMode(mode) = answer {
            self.answer.get_or_insert(mode);
        }
    }

    /// The process of a job's domain was lost.
    pub(super) fn loses(&mut self, job: &Job, lane: LaneId, loss: Loss, at: u64) {
        self.note(at, Kind::Failed { job: job.reference(), lane });
        self.fail_by(Answer::FailDomain, job, Cause::Process(loss), at);
        if let Answer::SwitchMode(mode) = self.task(job.task).on_failure {
            self.answer.get_or_insert(mode);
        }
    }

    /// What a state tells of its domains.
    pub fn failed_domains(&self) -> u64 {
        self.failed.iter().map(|domain| 1 << domain.0).sum()
    }
}
