//! What must hold once a domain has failed, by the records alone.

use aegis_core::TaskId;
use aegis_core::desc::SystemDesc;
use aegis_core::dispatch::Job;
use aegis_core::trace::{JobRef, Kind};

pub(super) struct Domains {
    system: &'static SystemDesc,
    failed: Vec<u16>,
}

impl Domains {
    pub(super) const fn new(system: &'static SystemDesc) -> Self {
        Self { system, failed: Vec::new() }
    }

    pub(super) fn has_failed(&self, task: TaskId) -> bool {
        self.system.tasks[task.index()].domain.is_some_and(|domain| self.failed.contains(&domain.0))
    }

    /// A domain fails once, and only because of its own jobs. From then on nothing of its tasks arrives, starts, waits or delivers.
    pub(super) fn hear(&mut self, kind: &Kind) {
        let delivers = |job: &JobRef| assert!(!self.has_failed(job.task), "{kind:?} after its domain failed");
        match kind {
            Kind::DomainFailed { domain, job, .. } => {
                assert!(!self.failed.contains(&domain.0), "{domain:?} failed already");
                let of = job.map(|job| self.system.tasks[job.task.index()].domain);
                assert!(of.is_none_or(|of| of == Some(*domain)), "{job:?} lies elsewhere");
                self.failed.push(domain.0);
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
    }

    /// After a step nothing of a failed domain waits.
    pub(super) fn look(&self, mut waiting: impl Iterator<Item = Job>) {
        assert!(!waiting.any(|job| self.has_failed(job.task)), "it waits for nothing");
    }
}
