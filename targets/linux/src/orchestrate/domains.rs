//! What the loop does about fault domains that fail and are restored, besides the dispatcher's step.

use super::{Broken, Loop};
use aegis_core::desc::{ProcessDesc, SystemDesc, TaskDesc};
use aegis_core::dispatch::Event;
use aegis_core::trace::Sink;
use aegis_core::{DomainId, LaneId, ModeId};

/// The process of a domain.
fn process(system: &SystemDesc, domain: DomainId) -> Option<&ProcessDesc> {
    system.domains.get(domain.index())?.process.as_ref()
}

/// Whether a task's domain is started again after it has failed.
pub(super) fn restarts(system: &SystemDesc, task: &TaskDesc) -> bool {
    task.domain.and_then(|domain| process(system, domain)).is_some_and(|process| process.restart.is_some())
}

/// The mode that is asked for while a domain has failed.
fn meanwhile(system: &SystemDesc, domain: DomainId) -> Option<ModeId> {
    process(system, domain)?.meanwhile
}

/// The domains of these bits.
fn all(bits: u64) -> impl Iterator<Item = DomainId> {
    (0..64_u16).map(DomainId).filter(move |domain| bits & domain.bit() != 0)
}

impl<S: Sink, const TASKS: usize, const LANES: usize, const QUEUE: usize> Loop<'_, S, TASKS, LANES, QUEUE> {
    /// Whether a task's domain has failed.
    pub(super) fn has_failed(&self, task: &TaskDesc) -> bool {
        task.domain.is_some_and(|domain| self.failed & domain.bit() != 0)
    }

    /// Restores the domains of which another process is ready, unless the run has ended. One that still has a job on a lane waits
    /// for its end, which is a turn, too: whatever is offered costs a step once.
    pub(super) fn restore(&mut self) -> Result<(), Broken> {
        let mut candidates = self.failed;
        while let Some(domain) = self.setup.domains.offered(candidates) {
            candidates &= !domain.bit();
            let now = self.setup.clock.now();
            if self.end.is_none_or(|end| now < end) && !self.is_on_a_lane(domain) {
                self.step(Event::Restored { domain }, now)?;
            }
        }
        Ok(())
    }

    /// Whether a lane has a job of a domain.
    fn is_on_a_lane(&self, domain: DomainId) -> bool {
        let lanes = (0_u16..).map(LaneId).take(LANES);
        let task = |lane| self.setup.system.tasks.get(self.state.running(lane)?.task.index());
        lanes.filter_map(task).any(|task| task.domain == Some(domain))
    }

    /// Tells all which domains have failed, and asks for the mode that is to hold meanwhile.
    pub(super) fn tell_domains(&mut self) {
        let (failed, was) = (self.state.failed_domains(), self.failed);
        if failed == was {
            return;
        }
        self.failed = failed;
        self.setup.domains.tell(failed);
        self.setup.submissions.fail(failed);
        self.setup.admissions.fail(failed);
        self.ask_for_mode(failed & !was, was & !failed);
    }

    /// Asks for the mode of a domain that has just failed; once all that have one are restored, for the mode before, unless another
    /// one was asked for in the meantime.
    fn ask_for_mode(&mut self, new: u64, restored: u64) {
        let system = self.setup.system;
        let modes = self.setup.modes;
        let asks = |domain| meanwhile(system, domain);
        if let Some(mode) = all(new).filter_map(asks).last() {
            self.before = self.before.or_else(|| Some(modes.settled()));
            // It refuses what the plan has not, which the checker of the tables does before.
            let _ = modes.request(mode);
        } else if all(restored).any(|domain| asks(domain) == Some(modes.own())) {
            let still = all(self.failed).filter_map(asks).last();
            let next = still.or_else(|| self.before.take());
            let _ = next.map(|mode| modes.request(mode));
        }
        if all(self.failed).filter_map(asks).next().is_none() {
            self.before = None;
        }
    }
}
