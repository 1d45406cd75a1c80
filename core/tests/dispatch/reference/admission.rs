//! Which optional tasks are admitted.

use super::Reference;
use aegis_core::desc::Release;
use aegis_core::dispatch::Refused;
use aegis_core::trace::Kind;
use aegis_core::{Instant, TaskId};

impl Reference {
    /// Whether a task is one that has to be admitted: beside modes none is.
    pub(super) fn is_optional(&self, task: TaskId) -> bool {
        self.system.modes.is_empty() && self.task(task).optional
    }

    pub(super) fn permits_admission(&self, task: TaskId, admits: bool) -> Result<(), Refused> {
        if task.index() >= self.system.tasks.len() {
            return Err(Refused::UnknownTask { task });
        }
        if !self.is_optional(task) {
            return Err(Refused::NotOptional { task });
        }
        if let (true, Some(domain)) = (admits && self.has_failed(task), self.task(task).domain) {
            return Err(Refused::DomainFailed { task, domain });
        }
        match self.admitted[task.index()] {
            true if admits => Err(Refused::AlreadyAdmitted { task }),
            false if !admits => Err(Refused::NotAdmitted { task }),
            _ => Ok(()),
        }
    }

    pub(super) fn admit(&mut self, task: TaskId, now: u64) {
        let (id, desc) = (task.index(), self.task(task));
        let earliest = self.next[id].max(now + 1);
        self.next[id] = match desc.release {
            Release::Submitted => earliest,
            // The least multiple of periods after its phase.
            _ => {
                let (phase, period) = (desc.phase.as_ns(), desc.period.as_ns());
                phase + earliest.saturating_sub(phase).div_ceil(period) * period
            }
        };
        (self.skip[id], self.skip_late[id]) = (false, false);
        self.admitted[id] = true;
        let first = Instant::from_ns(self.next[id]);
        self.note(now, Kind::TaskAdmitted { task, bound: desc.response_bound, first });
    }
}
