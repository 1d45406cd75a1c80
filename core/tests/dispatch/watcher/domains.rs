//! What must hold once a domain has failed, by the records alone.

use aegis_core::TaskId;
use aegis_core::desc::{Release, SystemDesc};
use aegis_core::dispatch::Job;
use aegis_core::trace::{JobRef, Kind};

pub(super) struct Domains {
    system: &'static SystemDesc,
    failed: Vec<u16>,
    /// By task the earliest arrival that it may have.
    earliest: Vec<u64>,
    /// By task when its domain was restored last.
    restored: Vec<Option<u64>>,
}

impl Domains {
    pub(super) fn new(system: &'static SystemDesc) -> Self {
        let tasks = system.tasks.len();
        Self { system, failed: Vec::new(), earliest: vec![0; tasks], restored: vec![None; tasks] }
    }

    pub(super) fn has_failed(&self, task: TaskId) -> bool {
        self.system.tasks[task.index()].domain.is_some_and(|domain| self.failed.contains(&domain.0))
    }

    /// Arrivals are a period apart, also those before a failure and after it, and those after it lie after the domain was restored,
    /// which the timer releases on the grid of those before.
    fn arrives(&mut self, task: TaskId, arrival: u64, count: u64) {
        let (desc, id) = (&self.system.tasks[task.index()], task.index());
        if desc.stage.is_some() {
            return;
        }
        assert!(self.earliest[id] <= arrival, "{task:?} arrives at {arrival}, before {}", self.earliest[id]);
        if let Some(restored) = self.restored[id] {
            assert!(restored < arrival, "{task:?} arrives at {arrival}, restored at {restored}");
        }
        if desc.release == Release::Timer && self.system.modes.is_empty() {
            assert_eq!((arrival - desc.phase.as_ns()) % desc.period.as_ns(), 0, "{task:?} at {arrival}");
        }
        self.earliest[id] = arrival + count * desc.period.as_ns();
    }

    /// Whether a task's domain was restored before.
    pub(super) fn was_restored(&self, task: TaskId) -> bool {
        self.restored[task.index()].is_some()
    }

    /// A domain fails once until it is restored, and only because of its own jobs. Until then nothing of its tasks arrives, starts,
    /// waits or delivers, and it is restored when none of them runs.
    pub(super) fn hear(&mut self, kind: &Kind, now: u64, mut running: impl Iterator<Item = TaskId>) {
        let delivers = |job: &JobRef| assert!(!self.has_failed(job.task), "{kind:?} after its domain failed");
        match kind {
            Kind::DomainFailed { domain, job, .. } => {
                assert!(!self.failed.contains(&domain.0), "{domain:?} failed already");
                let of = job.map(|job| self.system.tasks[job.task.index()].domain);
                assert!(of.is_none_or(|of| of == Some(*domain)), "{job:?} lies elsewhere");
                self.failed.push(domain.0);
            }
            Kind::DomainRestored { domain } => {
                assert!(self.failed.contains(&domain.0), "{domain:?} has not failed");
                let lies_in = |task: &TaskId| self.system.tasks[task.index()].domain == Some(*domain);
                assert!(!running.any(|task| lies_in(&task)), "a job of {domain:?} runs");
                self.failed.retain(|failed| *failed != domain.0);
                for task in (0..).map(TaskId).take(self.restored.len()).filter(lies_in) {
                    self.restored[task.index()] = Some(now);
                }
            }
            Kind::Dropped { task, count } => assert!(self.has_failed(*task) && *count > 0, "{kind:?}"),
            Kind::Submitted { job, .. }
            | Kind::Decided { chosen: job, .. }
            | Kind::Started { job, .. }
            | Kind::Paused { job, .. }
            | Kind::Completed { job, .. } => delivers(job),
            Kind::Skipped { task, .. } | Kind::Rejected { task, .. } | Kind::Withheld { task, .. } => {
                assert!(!self.has_failed(*task), "{kind:?} after its domain failed");
            }
            _ => {}
        }
        match *kind {
            Kind::Submitted { job, arrival, .. } => self.arrives(job.task, arrival.as_ns(), 1),
            Kind::Skipped { task, arrival } => self.arrives(task, arrival.as_ns(), 1),
            Kind::Rejected { task, arrival, count } | Kind::Withheld { task, arrival, count, .. } => {
                self.arrives(task, arrival.as_ns(), count);
            }
            _ => {}
        }
    }

    /// After a step nothing of a failed domain waits.
    pub(super) fn look(&self, mut waiting: impl Iterator<Item = Job>) {
        assert!(!waiting.any(|job| self.has_failed(job.task)), "it waits for nothing");
    }
}
