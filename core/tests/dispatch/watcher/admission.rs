//! What must hold of optional tasks, by the records alone.

use aegis_core::desc::{Release, SystemDesc};
use aegis_core::trace::Kind;
use aegis_core::{Instant, TaskId};
use std::collections::BTreeMap;

/// The optional tasks that are admitted, each with the first arrival that it was admitted for.
pub(super) struct Admissions {
    system: &'static SystemDesc,
    admitted: BTreeMap<u16, u64>,
}

impl Admissions {
    pub(super) fn new(system: &'static SystemDesc) -> Self {
        Self { system, admitted: BTreeMap::new() }
    }

    /// Nothing arrives of a task that is not admitted, nor before it was told; what the timer releases is on the task's own grid.
    fn arrives(&self, task: TaskId, arrival: Instant) {
        let desc = &self.system.tasks[task.index()];
        if !desc.optional || !self.system.modes.is_empty() {
            return;
        }
        let first = self.admitted[&task.0];
        assert!(first <= arrival.as_ns(), "{task:?} arrives at {arrival:?}, before {first}");
        if desc.release == Release::Timer {
            assert_eq!((arrival.as_ns() - desc.phase.as_ns()) % desc.period.as_ns(), 0, "{task:?} at {arrival:?}");
        }
    }

    pub(super) fn hear(&mut self, kind: &Kind, now: u64) {
        match *kind {
            Kind::TaskAdmitted { task, first, .. } => {
                assert!(self.system.tasks[task.index()].optional && first.as_ns() > now);
                assert_eq!(self.admitted.insert(task.0, first.as_ns()), None);
            }
            Kind::TaskDismissed { task } => assert!(self.admitted.remove(&task.0).is_some()),
            Kind::Submitted { job, arrival, .. } => self.arrives(job.task, arrival),
            Kind::Skipped { task, arrival }
            | Kind::Rejected { task, arrival, .. }
            | Kind::Withheld { task, arrival, .. }
            | Kind::Deferred { task, arrival, .. } => self.arrives(task, arrival),
            _ => {}
        }
    }
}
