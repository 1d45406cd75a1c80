//! The vehicle watches itself, and pets watchdogs only while it is healthy.
//!
//! ```text
//!            ┌───────────── every interval: pet ─────────────┐
//!            ▼                                               │
//!  start ─▶ HEALTHY ── a segment is in flight beyond its WCET, the planned overheads and the timeout ────▶ LANE STALLED
//!            │  ▲  ▲                                                                                       │   │
//!            │  │  └────────────── "record": the lane's segment has ended ────────────────────────────────┘   │
//!            │  └───── "record": the thread turns again ─────┐                                                 │
//!            └── the orchestration thread has not woken or ──▶ LOOP STALLED                                    │
//!                ended its turn the timeout after it was due        │                                          │
//!                                                                   ▼ "stop-petting", "exit"                   ▼
//!                                                                  no pet any more (exit: the vehicle ends)
//! ```
//!
//! Two look at it. The orchestration thread knows its lanes: it arms its timer for the moment at which a segment is a stall,
//! records that ([`Kind::LaneStalled`](aegis_core::trace::Kind)), and records its own lateness when it wakes. It publishes
//! in a [`Pulse`] by when it turns next. A thread of its own, [`Watch`], compares that with the clock, so it sees an
//! orchestration thread that stands still, and a timer that was lost: then it rings the bell, which stands in for the timer. It
//! alone pets, so no pet delays a decision. It runs on the orchestration thread's core, where no lane is, and below that thread's
//! priority: an orchestration thread that never sleeps keeps it from petting, which is right.
//!
//! Who sees to what stands still: a lane: the orchestration thread; that one: `Watch`; `Watch` itself, the core or the whole
//! machine: only the watchdogs that it no longer pets.
//!
//! A lane that is idle needs no watching: a step leaves none idle while a job of it may start, and a slot of a table is a
//! wake-up like any other.

use crate::bell::Bell;
use crate::clock::monotonic_ns;
use crate::device::Device;
use crate::pulse::Pulse;
use crate::service::Service;
use aegis_core::desc::OnStall;
use std::time::Duration;

/// What the application does to pet a watchdog of its own.
pub type Hook = Box<dyn FnMut() + Send>;

/// The watching thread's work.
pub struct Watch<'a> {
    /// What the orchestration thread tells.
    pub pulse: &'a Pulse,
    /// Wakes the orchestration thread.
    pub bell: &'a Bell,
    /// The service manager that expects pets; `None` where it expects none.
    pub service: Option<&'a Service>,
    /// The watchdog's device.
    pub device: Option<Device>,
    /// The application's.
    pub hook: Option<Hook>,
}

/// What came of watching.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Watched {
    /// How often everything that is to be petted was.
    pub pets: u64,
    /// How often the system refused to pet one of them.
    pub refused: u64,
    /// How often the orchestration thread was seen to stand still.
    pub overdue: u64,
    /// The orchestration thread still stood still when it should have ended the vehicle: whoever is told this has to.
    pub must_exit: bool,
}

impl Watch<'_> {
    /// How often it looks and pets: twice in the shortest time that anybody grants.
    #[must_use]
    pub fn interval(&self) -> Duration {
        let own = Duration::from_nanos(self.pulse.desc().timeout.as_ns());
        let service = self.service.and_then(Service::watchdog);
        let device = self.device.as_ref().and_then(Device::timeout);
        let least = [service, device].into_iter().flatten().fold(own, Duration::min) / 2;
        least.max(Duration::from_millis(1))
    }

    /// Watches until the orchestration thread has ended, which [`std::thread::Thread::unpark`] makes it see at once.
    #[must_use]
    pub fn run(mut self) -> Watched {
        let interval = self.interval();
        let mut watched = Watched::default();
        // When the present stall of the orchestration thread was seen first.
        let mut since: Option<u64> = None;
        let mut was_stalled = false;
        loop {
            if let Some(clean) = self.pulse.ended() {
                self.close(clean);
                return watched;
            }
            let now = monotonic_ns();
            match self.pulse.overdue(now) {
                None => {
                    since = None;
                    let is_stalled = self.pulse.is_stalled();
                    if is_stalled && !std::mem::replace(&mut was_stalled, is_stalled) {
                        self.lane_stands_still();
                    }
                    was_stalled = is_stalled;
                    if self.pulse.may_pet() {
                        self.pet(&mut watched);
                    }
                }
                Some(late) if since.is_none() => {
                    since = Some(now);
                    watched.overdue = watched.overdue.saturating_add(1);
                    self.stands_still(late);
                }
                Some(_) => {
                    let waited = now.saturating_sub(since.unwrap_or(now));
                    if self.pulse.desc().on_stall == OnStall::Exit && waited > self.pulse.desc().timeout.as_ns() {
                        watched.must_exit = true;
                        return watched;
                    }
                }
            }
            std::thread::park_timeout(interval);
        }
    }

    /// Answers to an orchestration thread that stands still; the bell wakes it where only its timer was lost.
    fn stands_still(&self, late_ns: u64) {
        let allowed = self.pulse.desc().timeout.as_ns();
        log::error!("STALL: the orchestration thread is {late_ns} ns late, the watchdog allows {allowed} ns");
        if matches!(self.pulse.desc().on_stall, OnStall::StopPetting | OnStall::Exit) {
            self.pulse.latch();
        }
        self.bell.ring();
    }

    /// Tells of a lane that stands still; the orchestration thread has recorded which one, and answered.
    fn lane_stands_still(&self) {
        let answer = self.pulse.desc().on_stall;
        if let OnStall::SwitchMode(mode) = answer {
            log::error!(
                "STALL: a lane stands still; mode number {} is asked for, and the change ends only once the lane goes on, unless all \
                 its tasks are of that mode: until then the tasks of that mode alone do not begin, and nobody is petted",
                mode.0
            );
        } else {
            log::error!("STALL: a lane stands still, the answer is {}", answer.name());
        }
    }

    fn pet(&mut self, watched: &mut Watched) {
        watched.pets = watched.pets.saturating_add(1);
        // A refused pet shows in what the one who expects it does; the first one is told.
        let refused = [
            ("the service manager", self.service.map(Service::pet)),
            ("the watchdog's device", self.device.as_mut().map(Device::pet)),
        ];
        for (who, result) in refused {
            if let Some(Err(error)) = result {
                watched.refused = watched.refused.saturating_add(1);
                if watched.refused == 1 {
                    log::error!("{who} cannot be petted: {error}");
                }
            }
        }
        if let Some(hook) = &mut self.hook {
            hook();
        }
    }

    fn close(self, clean: bool) {
        if let Some(device) = self.device
            && let Err(error) = device.close(clean)
        {
            log::error!("the watchdog's device cannot be closed, it will reset the machine: {error}");
        }
    }
}
