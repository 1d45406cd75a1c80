//! A segment that another process runs, as its lane sees it.

use crate::arena::BoundTensor;
use crate::backend::{BackendError, Engine, ScratchUse};
use aegis_core::desc::MemoryControl;
use aegis_core::trace::Loss;
use aegis_core::{DomainId, Duration};
use aegis_linux::clock::monotonic_ns;
use aegis_linux::domains::Domains;
use aegis_linux::worker::link::{Gone, Link};
use aegis_linux::worker::page::{Answer, FIGURES, Figures};
use aegis_linux::worker::switch::Switch;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long one run may take that only warms up.
const WARM_UP_LIMIT: Duration = Duration::from_ns(60_000_000_000);

/// A lane's way to the processes of one domain, one after the other. Its lane uses it, before the first job the main thread, and what
/// is to be used in the domain's next life the restarting thread puts in.
#[derive(Debug)]
pub(crate) struct Remote {
    name: &'static str,
    domain: DomainId,
    domains: Arc<Domains>,
    links: Switch<Link>,
    kill_after: Duration,
    /// Until when the piece of a job that runs may take, in nanoseconds of `CLOCK_MONOTONIC`; 0 before the first job.
    until: AtomicU64,
}

impl Remote {
    pub(crate) fn new(
        (name, domain): (&'static str, DomainId),
        domains: Arc<Domains>,
        link: Link,
        kill_after: Duration,
    ) -> Self {
        Self { name, domain, domains, links: Switch::new(link), kill_after, until: AtomicU64::new(0) }
    }

    /// The domain.
    pub(crate) const fn domain(&self) -> DomainId {
        self.domain
    }

    /// What lies in each life.
    pub(crate) const fn links(&self) -> &Switch<Link> {
        &self.links
    }

    /// Does something with the way to the process of the life that holds. It stays that one for as long as its lane has a job of
    /// the domain.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Link) -> Result<R, Gone>) -> Result<R, BackendError> {
        let nobody = || Gone { loss: Loss::GivenUp, text: "no process is there in its place".to_owned() };
        let life = self.domains.life(self.domain);
        self.links.with(life, act).unwrap_or_else(|| Err(nobody())).map_err(|gone| self.lost(gone))
    }

    pub(crate) const fn lost(&self, gone: Gone) -> BackendError {
        BackendError::Lost { domain: self.name, gone }
    }

    /// Until when the next run may take.
    fn until(&self) -> u64 {
        match self.until.load(Ordering::Relaxed) {
            0 => monotonic_ns().saturating_add(WARM_UP_LIMIT.as_ns()),
            until => until,
        }
    }
}

/// One segment of a model that lies in another process.
#[derive(Debug)]
pub(crate) struct RemoteEngine {
    remote: Arc<Remote>,
    /// The task's number there.
    task: u32,
    segment: u32,
    inputs: Vec<BoundTensor>,
    outputs: Vec<BoundTensor>,
    persistent: ScratchUse,
    scratch: ScratchUse,
    control: MemoryControl,
}

impl RemoteEngine {
    /// A segment with its inputs and outputs, as planned.
    pub(crate) fn new(
        remote: Arc<Remote>,
        task: u32,
        segment: u32,
        (inputs, outputs): (Vec<BoundTensor>, Vec<BoundTensor>),
        control: MemoryControl,
    ) -> Self {
        let (persistent, scratch) = (ScratchUse::default(), ScratchUse::default());
        Self { remote, task, segment, inputs, outputs, persistent, scratch, control }
    }

    /// Takes over what the process says of its memory; false where that is none of what it may say.
    fn note(&mut self, figures: &Figures) -> bool {
        let Some(control) = control_of(figures.control) else { return false };
        let [height, refused, refused_bytes, own_height, own_refused, own_bytes] = figures.numbers;
        self.persistent = ScratchUse { height, refused, refused_bytes };
        self.scratch = ScratchUse { height: own_height, refused: own_refused, refused_bytes: own_bytes };
        self.control = control;
        true
    }
}

/// What a process tells of a segment's memory.
pub(super) fn figures(persistent: ScratchUse, scratch: ScratchUse, control: MemoryControl) -> Figures {
    let of = |one: ScratchUse| [one.height, one.refused, one.refused_bytes];
    let ([a, b, c], [d, e, f]) = (of(persistent), of(scratch));
    let numbers: [u64; FIGURES] = [a, b, c, d, e, f];
    let position = CONTROLS.iter().position(|other| *other == control);
    Figures { numbers, control: position.and_then(|position| u32::try_from(position).ok()).unwrap_or(u32::MAX) }
}

const CONTROLS: [MemoryControl; 3] = [MemoryControl::Planned, MemoryControl::Capped, MemoryControl::Measured];

fn control_of(number: u32) -> Option<MemoryControl> {
    CONTROLS.get(usize::try_from(number).ok()?).copied()
}

impl Engine for RemoteEngine {
    fn run(&mut self) -> Result<(), BackendError> {
        let remote = Arc::clone(&self.remote);
        let (task, segment) = (self.task, self.segment);
        let refused = remote.with(|link| {
            let (figures, refused) = match link.run_until(task, segment, remote.until())? {
                Answer::Done(figures) => (figures, None),
                Answer::Refused(figures, text) => (figures, Some(text)),
                // What it says when it has failed for good its link has made a loss of.
                Answer::Failed(text) => return Err(link.malformed(&text)),
            };
            let is_known = self.note(&figures);
            is_known
                .then_some(refused)
                .ok_or_else(|| link.malformed("what it says of its memory is none of the answers"))
        })?;
        refused.map_or(Ok(()), |text| Err(BackendError::Refused(text)))
    }

    fn begin(&mut self) {
        let until = monotonic_ns().saturating_add(self.remote.kill_after.as_ns());
        self.remote.until.store(until, Ordering::Relaxed);
    }

    fn inputs(&mut self) -> &mut [BoundTensor] {
        &mut self.inputs
    }

    fn outputs(&self) -> &[BoundTensor] {
        &self.outputs
    }

    fn scratch_use(&self) -> ScratchUse {
        self.scratch
    }

    fn control(&self) -> MemoryControl {
        self.control
    }

    fn persistent_use(&self) -> ScratchUse {
        self.persistent
    }
}

#[cfg(test)]
mod tests {
    use super::{CONTROLS, control_of, figures};
    use crate::backend::ScratchUse;

    #[test]
    fn what_a_process_tells_of_its_memory_is_read_as_it_was_written() {
        let [persistent, scratch] = [1, 4].map(|height| ScratchUse { height, refused: height + 1, refused_bytes: 9 });
        for control in CONTROLS {
            let told = figures(persistent, scratch, control);
            assert_eq!((told.numbers, control_of(told.control)), ([1, 2, 9, 4, 5, 9], Some(control)));
        }
        assert_eq!((control_of(3), control_of(u32::MAX)), (None, None));
    }
}
