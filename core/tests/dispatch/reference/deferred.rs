//! What is submitted: whether it may arrive, and when.

use super::Reference;
use aegis_core::desc::{Policy, Release, TaskDesc};
use aegis_core::dispatch::Refused;
use aegis_core::trace::Kind;
use aegis_core::{Instant, TaskId};

impl Reference {
    /// The earliest arrival of a task that may still be submitted.
    fn earliest(&self, task: TaskId) -> u64 {
        let last = self.deferred[task.index()].last();
        last.map_or(self.next[task.index()], |last| last + self.task(task).period.as_ns())
    }

    /// When what is submitted with an arrival comes.
    fn planned(&self, task: TaskId, arrival: u64) -> u64 {
        if self.task(task).defers { arrival.max(self.earliest(task)) } else { arrival }
    }

    pub(super) fn permits_arrival(&self, task: TaskId, arrival: u64, now: u64) -> Result<(), Refused> {
        let not_submittable = Refused::NotSubmittable { task };
        let submitted = |desc: &&TaskDesc| desc.release == Release::Submitted;
        let desc = self.system.tasks.get(task.index()).filter(submitted).ok_or(not_submittable)?;
        if let (true, Some(domain)) = (self.has_failed(task), desc.domain) {
            return Err(Refused::DomainFailed { task, domain });
        }
        let planned = self.planned(task, arrival);
        if self.end.is_some_and(|end| planned >= end) {
            return Err(not_submittable);
        }
        if !self.is_in_mode(task) {
            let is_optional = self.is_optional(task);
            return Err(if is_optional { Refused::NotAdmitted { task } } else { Refused::NotInMode { task } });
        }
        let (earliest, most) = (self.earliest(task), u64::from(desc.queue) * desc.period.as_ns());
        let too_early = Err(Refused::TooEarly { earliest: Instant::from_ns(earliest) });
        if !desc.defers {
            return if (earliest..=now).contains(&arrival) { Ok(()) } else { too_early };
        }
        if planned > now + most {
            return Err(Refused::TooManyDeferred { earliest: Instant::from_ns(planned - most) });
        }
        // What is due comes before.
        let are_due = self.deferred[task.index()].iter().all(|arrival| *arrival <= now);
        if are_due || planned == earliest { Ok(()) } else { too_early }
    }

    pub(super) fn submit(&mut self, task: TaskId, arrival: u64, now: u64) {
        let (id, planned) = (task.index(), self.planned(task, arrival));
        if self.task(task).defers {
            if planned > now || !self.deferred[id].is_empty() {
                self.release(now);
            }
            if planned > now || !self.deferred[id].is_empty() {
                self.deferred[id].push(planned);
                let pending = u16::try_from(self.deferred[id].len()).unwrap();
                return self.note(now, Kind::Deferred { task, arrival: Instant::from_ns(planned), pending });
            }
        }
        let lane = self.task(task).lane.index();
        if self.system.lanes[lane].policy == Policy::TimeTriggered {
            // What the timer releases may have a slot before this arrival.
            self.release(now);
        }
        self.catch_up(lane, planned, now);
        self.arrive_at_first(id, planned, now);
    }

    /// What is deferred of a task does not come, but counts as if it had.
    pub(super) fn forgo(&mut self, task: TaskId, now: u64) {
        let next = self.earliest(task);
        let dropped = std::mem::take(&mut self.deferred[task.index()]);
        if let Some(first) = dropped.first() {
            let (arrival, count) = (Instant::from_ns(*first), u16::try_from(dropped.len()).unwrap());
            self.next[task.index()] = next;
            self.note(now, Kind::Forgone { task, arrival, count });
        }
    }
}
