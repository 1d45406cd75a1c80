//! What serves the requests of one model: a recorder in the probe, the planned sequence or a region in the vehicle.
//!
//! ```text
//!  probe    Recorder  first fit in a large address range, every event noted
//!  vehicle  Planned   the k-th event must be the recorded one; its block gets its planned offset
//!                     (until a first run has kept to one recording, the others are tried)
//!           Loaded    any planned block of the requested size that nobody has; nothing is given back
//!           Region    first fit in the planned region; what does not fit is refused
//!           Heap      the C library's heap, for a model whose memory was only measured
//! ```

pub(crate) mod current;

use crate::arena::Span;
use crate::backend::{BackendError, ScratchUse, Sequence};
use crate::first_fit::FirstFit;
use crate::serve::current::heap;
use aegis_core::desc::{MOST_LIVE, MemoryControl, Recording, Step, occupied};
use aegis_core::units::Bytes;
use std::collections::HashMap;
use std::fmt;
use std::ptr::NonNull;

/// Why a request was refused, or a sequence is not the recorded one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// A request is not the recorded event.
    Other {
        /// The event, from 1.
        event: usize,
        /// The recorded event; `None` where the record is over.
        recorded: Option<Step>,
        /// What was requested, in bytes.
        requested: u64,
    },
    /// A block was given back where another event was recorded.
    Given {
        /// The event, from 1.
        event: usize,
        /// The recorded event.
        recorded: Option<Step>,
    },
    /// All planned blocks of a size are taken, or there is none.
    NoBlock {
        /// The event, from 1.
        event: usize,
        /// What was requested, in bytes.
        requested: u64,
    },
    /// The sequence ended early.
    Short {
        /// How many events there were.
        events: usize,
        /// How many were recorded.
        recorded: usize,
    },
    /// A request does not fit the region.
    Full {
        /// What was requested, in bytes.
        requested: u64,
        /// The region's length.
        region: u64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = |recorded: &Option<Step>| match recorded {
            Some(Step::Take { size, .. }) => format!("a request of {} bytes", size.0),
            Some(Step::Give { .. }) => "the return of another block".to_owned(),
            None => "nothing more".to_owned(),
        };
        match self {
            Self::Other { event, recorded, requested } => {
                write!(f, "event {event} requests {requested} bytes, recorded is {}", what(recorded))
            }
            Self::Given { event, recorded } => {
                write!(f, "event {event} gives a block back, recorded is {}", what(recorded))
            }
            Self::NoBlock { event, requested } => {
                write!(f, "event {event} requests {requested} bytes, and no planned block of that size is free")
            }
            Self::Short { events, recorded } => write!(f, "{events} events, recorded are {recorded}"),
            Self::Full { requested, region } => write!(f, "{requested} bytes do not fit the region of {region} bytes"),
        }
    }
}

/// Serves the requests of one model's loading or runs.
#[derive(Debug)]
pub(super) struct Server {
    span: Span,
    kind: Kind,
    usage: ScratchUse,
    refusal: Option<Refusal>,
    settled: bool,
}

#[derive(Debug)]
enum Kind {
    Recorder {
        fit: FirstFit,
        events: Vec<i64>,
        blocks: HashMap<u64, i64>,
        taken: i64,
    },
    Planned {
        steps: &'static [Step],
        /// The recordings that may be tried instead, until a run has kept to one.
        others: &'static [Recording],
        /// Whether first fit may be tried after the last of them.
        owns_region: bool,
        next: usize,
        live: usize,
        offsets: Box<[u64; MOST_LIVE]>,
    },
    /// Which blocks are taken.
    Loaded {
        steps: &'static [Step],
        taken: Vec<bool>,
    },
    Region(FirstFit),
    Heap,
}

impl Kind {
    fn planned(steps: &'static [Step], others: &'static [Recording], owns_region: bool) -> Self {
        Self::Planned { steps, others, owns_region, next: 0, live: 0, offsets: Box::new([FREE; MOST_LIVE]) }
    }
}

/// The offset of a slot that is not live.
const FREE: u64 = u64::MAX;

impl Server {
    pub(super) fn new(span: Span, sequence: Sequence) -> Self {
        let (length, alignment) = (u64::try_from(span.length()).unwrap_or(0), span.alignment());
        let kind = match sequence {
            Sequence::Recorded => Kind::Recorder {
                fit: FirstFit::new(length, alignment),
                events: Vec::new(),
                blocks: HashMap::new(),
                taken: 0,
            },
            Sequence::Load(steps) => Kind::planned(steps, &[], false),
            Sequence::Planned { runs: [first, others @ ..], owns_region } => {
                Kind::planned(first.steps, others, owns_region)
            }
            Sequence::Planned { runs: [], owns_region: true } => Kind::Region(FirstFit::new(length, alignment)),
            Sequence::Planned { runs: [], owns_region: false } => Kind::planned(&[], &[], false),
            Sequence::LoadInAnyOrder(steps) => Kind::Loaded { steps, taken: vec![false; steps.len()] },
            Sequence::Free => Kind::Region(FirstFit::new(length, alignment)),
            Sequence::Heap => Kind::Heap,
        };
        Self { span, kind, usage: ScratchUse::default(), refusal: None, settled: false }
    }

    /// Whether it serves a device's memory.
    pub(super) fn is_of_device(&self) -> bool {
        self.span.is_of_device()
    }

    pub(super) const fn usage(&self) -> ScratchUse {
        self.usage
    }

    pub(super) fn take_refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// What was recorded since the last call.
    pub(super) fn take_events(&mut self) -> Vec<i64> {
        let Kind::Recorder { events, blocks, taken, .. } = &mut self.kind else { return Vec::new() };
        blocks.clear();
        *taken = 0;
        std::mem::take(events)
    }

    /// The blocks that are live.
    pub(super) fn live(&self) -> usize {
        match &self.kind {
            Kind::Recorder { fit, .. } | Kind::Region(fit) => fit.live(),
            Kind::Planned { live, .. } => *live,
            Kind::Loaded { taken, .. } => taken.iter().filter(|taken| **taken).count(),
            Kind::Heap => 0,
        }
    }

    /// Ends a sequence: says whether it was the recorded one, and starts over.
    pub(super) fn end(&mut self) {
        if let Kind::Planned { steps, next, .. } = &mut self.kind {
            let short = Refusal::Short { events: *next, recorded: steps.len() };
            if *next < steps.len() && self.refusal.is_none() {
                self.refusal = Some(short);
            }
            *next = 0;
        }
        if let Kind::Loaded { steps, taken } = &self.kind {
            let events = taken.iter().filter(|taken| **taken).count();
            if events < steps.len() {
                self.refusal.get_or_insert(Refusal::Short { events, recorded: steps.len() });
            }
        }
    }

    /// One run of a model by the present recording.
    fn run_once(&mut self, run: impl FnOnce() -> Result<(), String>) -> Result<(), BackendError> {
        let result = self.during(run);
        let kept = self.live();
        self.end();
        let refusal = self.take_refusal();
        if kept > 0 {
            // Another model may use the same bytes next, so this cannot go on.
            let why = refusal.map_or_else(String::new, |refusal| format!(", after {refusal}"));
            return Err(BackendError::Run(format!("{kept} blocks of the shared scratch were not given back{why}")));
        }
        match refusal {
            Some(refusal) => Err(BackendError::Refused(self.tell(refusal))),
            None => result.map_err(BackendError::Run),
        }
    }

    /// One run of a model by a recording, or by the first of them that it keeps to. On a device only by the first one: a runtime that was
    /// refused memory in its first run there keeps what it had half made (ONNX Runtime 1.31 a convolution whose workspace has no size yet),
    /// so a model that was refused is loaded anew.
    pub(super) fn run(&mut self, mut run: impl FnMut() -> Result<(), String>) -> Result<(), BackendError> {
        loop {
            let result = self.run_once(&mut run);
            match &result {
                Ok(()) => self.settle(),
                Err(BackendError::Refused(_)) if !self.is_of_device() && self.try_another() => continue,
                Err(_) => {}
            }
            return result;
        }
    }

    /// Before a run has kept to a recording: goes over to the next one, or where there is none left to first fit, if the region
    /// is the segment's own. False where the present way is final.
    pub(super) fn try_another(&mut self) -> bool {
        let Kind::Planned { others, owns_region, .. } = self.kind else { return false };
        if self.settled {
            return false;
        }
        self.kind = match others {
            [next, rest @ ..] => Kind::planned(next.steps, rest, owns_region),
            [] if owns_region => {
                let length = u64::try_from(self.span.length()).unwrap_or(0);
                Kind::Region(FirstFit::new(length, self.span.alignment()))
            }
            [] => return false,
        };
        self.usage = ScratchUse::default();
        true
    }

    /// A refusal in words, with the reason why nothing else was tried where there is one.
    pub(super) fn tell(&self, refusal: Refusal) -> String {
        match self.kind {
            Kind::Planned { others: [], owns_region: false, .. } if !self.settled => {
                format!(
                    "{refusal}; no recording fits, and first fit is not tried, because live tensors lie inside the region"
                )
            }
            _ => refusal.to_string(),
        }
    }

    /// Notes that a run kept to the present way: from now on every other one is refused.
    pub(super) const fn settle(&mut self) {
        self.settled = true;
    }

    /// How far requests are planned.
    pub(super) const fn control(&self) -> MemoryControl {
        match self.kind {
            Kind::Planned { .. } | Kind::Loaded { .. } => MemoryControl::Planned,
            Kind::Region(_) | Kind::Recorder { .. } => MemoryControl::Capped,
            Kind::Heap => MemoryControl::Measured,
        }
    }

    /// Serves a request; `None` refuses it.
    pub(super) fn take(&mut self, size: usize) -> Option<*mut u8> {
        let bytes = u64::try_from(size).unwrap_or(u64::MAX);
        let region = u64::try_from(self.span.length()).unwrap_or(0);
        let at = match &mut self.kind {
            // A device has no heap.
            Kind::Heap if self.span.is_of_device() => None,
            Kind::Heap => return NonNull::new(heap(size).cast()).map(NonNull::as_ptr),
            Kind::Recorder { fit, events, blocks, taken } => fit.take(bytes).inspect(|at| {
                events.push(i64::try_from(bytes).unwrap_or(i64::MAX));
                *taken = taken.saturating_add(1);
                blocks.insert(*at, *taken);
            }),
            Kind::Region(fit) => fit.take(bytes),
            Kind::Loaded { steps, taken } => {
                let event = taken.iter().filter(|taken| **taken).count().saturating_add(1);
                let free = steps
                    .iter()
                    .zip(taken)
                    .find(|(step, taken)| !**taken && matches!(step, Step::Take { size, .. } if size.0 == bytes));
                match free {
                    Some((Step::Take { at, .. }, taken)) => {
                        *taken = true;
                        Some(at.0)
                    }
                    _ => {
                        self.refusal.get_or_insert(Refusal::NoBlock { event, requested: bytes });
                        None
                    }
                }
            }
            // After a refusal nothing is where the plan has it: the run only winds up.
            Kind::Planned { .. } if self.refusal.is_some() => None,
            Kind::Planned { steps, next, live, offsets, .. } => {
                let recorded = steps.get(*next).copied();
                let event = next.saturating_add(1);
                match recorded {
                    Some(Step::Take { size, at, slot, .. }) if size.0 == bytes => {
                        *next = event;
                        *live = live.saturating_add(1);
                        *offsets.get_mut(usize::from(slot))? = at.0;
                        Some(at.0)
                    }
                    _ => {
                        self.refusal = Some(Refusal::Other { event, recorded, requested: bytes });
                        None
                    }
                }
            }
        };
        let end = at.zip(occupied(Bytes(bytes), self.span.alignment())).and_then(|(at, length)| at.checked_add(length));
        let Some((at, end)) = at.zip(end.filter(|end| *end <= region)) else {
            self.usage.refused = self.usage.refused.saturating_add(1);
            self.usage.refused_bytes = self.usage.refused_bytes.saturating_add(bytes);
            self.refusal.get_or_insert(Refusal::Full { requested: bytes, region });
            return None;
        };
        self.usage.height = self.usage.height.max(end);
        Some(self.span.base().wrapping_add(usize::try_from(at).ok()?))
    }

    /// Takes a block back; false where the address is not in this region.
    pub(super) fn give(&mut self, pointer: *mut u8) -> bool {
        let at = match pointer.addr().checked_sub(self.span.base().addr()) {
            Some(at) if at < self.span.length() => u64::try_from(at).unwrap_or(u64::MAX),
            _ => return false,
        };
        match &mut self.kind {
            Kind::Heap => false,
            Kind::Recorder { fit, events, blocks, .. } => {
                let given = fit.give(at);
                if let Some(block) = blocks.remove(&at) {
                    events.push(block.saturating_neg());
                }
                given
            }
            Kind::Region(fit) => fit.give(at),
            Kind::Loaded { steps, taken } => {
                let event = taken.iter().filter(|taken| **taken).count().saturating_add(1);
                self.refusal.get_or_insert(Refusal::Given { event, recorded: None });
                let block =
                    steps.iter().zip(taken).find(|(step, _)| matches!(step, Step::Take { at: own, .. } if own.0 == at));
                if let Some((_, taken)) = block {
                    *taken = false;
                }
                true
            }
            Kind::Planned { steps, next, live, offsets, .. } => {
                let recorded = steps.get(*next).copied();
                if let Some(Step::Give { slot }) = recorded
                    && self.refusal.is_none()
                    && let Some(offset) = offsets.get_mut(usize::from(slot)).filter(|offset| **offset == at)
                {
                    *offset = FREE;
                    *next = next.saturating_add(1);
                    *live = live.saturating_sub(1);
                    return true;
                }
                self.refusal.get_or_insert(Refusal::Given { event: next.saturating_add(1), recorded });
                // A search only where a run is being wound up.
                if let Some(offset) = offsets.iter_mut().find(|offset| **offset == at) {
                    *offset = FREE;
                    *live = live.saturating_sub(1);
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests;
