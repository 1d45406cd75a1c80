//! Which domains have failed, and what that ends.

use super::{Phase, Reference};
use aegis_core::desc::Answer;
use aegis_core::dispatch::Job;
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
