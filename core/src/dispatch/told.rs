//! Writes what the dispatcher was told before what it does.

use super::Event;
use crate::time::Instant;
use crate::trace::{Kind, Sink};

/// The sink of one step: the event goes before the step's first record.
pub(super) struct Told<'a, S> {
    sink: &'a mut S,
    event: Event,
    now: Instant,
    told: bool,
}

impl<'a, S: Sink> Told<'a, S> {
    /// Nothing is told yet.
    pub(super) const fn new(sink: &'a mut S, event: Event, now: Instant) -> Self {
        Self { sink, event, now, told: false }
    }

    /// The sink behind, for several records in a row: the event is told.
    pub(super) fn behind(&mut self) -> &mut S {
        self.tell();
        self.sink
    }

    /// Records the event, once.
    pub(super) fn tell(&mut self) {
        if !self.told {
            self.told = true;
            self.sink.record(self.now, Kind::Stepped { event: self.event });
        }
    }
}

impl<S: Sink> Sink for Told<'_, S> {
    fn record(&mut self, at: Instant, kind: Kind) {
        self.tell();
        self.sink.record(at, kind);
    }
}
