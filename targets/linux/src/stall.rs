//! The orchestration thread's side of watching: which lane stands still, and whether it does so itself.
//!
//! [`crate::watchdog`] draws the whole. Without a [`Pulse`] nothing is watched, and nothing here costs more than a comparison.

use crate::clock::Clock;
use crate::modes::Modes;
use crate::pulse::Pulse;
use aegis_core::desc::{OnStall, SystemDesc};
use aegis_core::dispatch::Job;
use aegis_core::trace::{JobRef, Kind, Sink};
use aegis_core::{Duration, Instant, LaneId};

/// What stood still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stall {
    /// A lane: a piece of a job was still in flight.
    Lane {
        /// The lane.
        lane: LaneId,
        /// The job.
        job: JobRef,
        /// For how long it had been.
        elapsed: Duration,
        /// For how long it may be: its WCET, the planned overheads and the watchdog's timeout.
        allowed: Duration,
    },
    /// The orchestration thread: it woke late, or a turn took long.
    Loop {
        /// How late it was.
        late: Duration,
        /// How late it may be: the watchdog's timeout.
        allowed: Duration,
    },
}

/// A piece of a job that a lane has.
#[derive(Clone, Copy)]
struct InFlight {
    job: JobRef,
    handed: Instant,
    allowed: Duration,
    /// When it becomes a stall; `None` once that is recorded.
    stall_at: Option<Instant>,
}

/// What the orchestration thread knows of standing still.
pub(crate) struct Guard<'a, const LANES: usize> {
    pulse: Option<&'a Pulse>,
    modes: &'a Modes,
    lanes: [Option<InFlight>; LANES],
    /// When this thread has to wake, or when its present turn began; `None` while nothing is due.
    due: Option<Instant>,
    /// How often a lane stood still.
    pub(crate) lane_stalls: u64,
    /// How often this thread did.
    pub(crate) loop_stalls: u64,
}

impl<'a, const LANES: usize> Guard<'a, LANES> {
    /// Nothing is in flight, and nothing is due.
    pub(crate) const fn new(pulse: Option<&'a Pulse>, modes: &'a Modes) -> Self {
        Self { pulse, modes, lanes: [None; LANES], due: None, lane_stalls: 0, loop_stalls: 0 }
    }

    /// When a piece that is in flight becomes a stall, the earliest of all.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.lanes.iter().flatten().filter_map(|piece| piece.stall_at).min()
    }

    /// A piece of a job is handed to a lane.
    pub(crate) fn started(&mut self, system: &SystemDesc, lane: LaneId, job: &Job, handed: Instant) {
        let Some(pulse) = self.pulse else { return };
        let desc = system.lanes.get(lane.index()).and_then(|desc| desc.segment_overhead());
        // Not the budget, which a job may exceed within all assumptions. A piece in a fault domain's process is killed in its time.
        let task = system.tasks.get(job.task.index());
        let process = task.and_then(|task| system.domains.get(task.domain?.index())?.process);
        let longest = task.map(|task| process.map_or(task.wcet, |process| task.wcet.max(process.kill_after)));
        let planned = desc.and_then(|overhead| overhead.checked_add(longest?));
        let allowed = planned.and_then(|planned| planned.checked_add(pulse.desc().timeout)).unwrap_or(Duration::MAX);
        if let Some(slot) = self.lanes.get_mut(lane.index()) {
            // What would become one beyond the clock's range never does.
            *slot = Some(InFlight { job: job.reference(), handed, allowed, stall_at: handed.checked_add(allowed) });
        }
    }

    /// A lane's piece of a job has ended.
    pub(crate) fn ended(&mut self, lane: LaneId) {
        let ended = self.lanes.get_mut(lane.index()).and_then(Option::take);
        if let (Some(InFlight { stall_at: None, .. }), Some(pulse)) = (ended, self.pulse) {
            pulse.stalled(self.lanes.iter().flatten().any(|piece| piece.stall_at.is_none()));
        }
    }

    /// Records each lane whose piece of a job has been in flight for too long.
    ///
    /// # Errors
    /// A stall with which the vehicle ends.
    pub(crate) fn watch_lanes(&mut self, now: Instant, sink: &mut impl Sink) -> Result<(), Stall> {
        let Some(pulse) = self.pulse else { return Ok(()) };
        for (piece, number) in self.lanes.iter_mut().zip(0_u16..) {
            let Some(piece) = piece else { continue };
            if piece.stall_at.take_if(|at| *at <= now).is_none() {
                continue;
            }
            pulse.stalled(true);
            self.lane_stalls = self.lane_stalls.saturating_add(1);
            let (lane, job, elapsed) = (LaneId(number), piece.job, now.saturating_since(piece.handed));
            let allowed = piece.allowed;
            sink.record(now, Kind::LaneStalled { job, lane, elapsed, allowed });
            answer(pulse, self.modes, Stall::Lane { lane, job, elapsed, allowed })?;
        }
        Ok(())
    }

    /// Records that this thread is late, if it is, and tells what it waits for from now on.
    ///
    /// # Errors
    /// A stall with which the vehicle ends.
    pub(crate) fn watch_self(
        &mut self,
        clock: &Clock,
        now: Instant,
        due: Option<Instant>,
        sink: &mut impl Sink,
    ) -> Result<(), Stall> {
        let Some(pulse) = self.pulse else { return Ok(()) };
        pulse.due(due.map_or(u64::MAX, |due| clock.monotonic(due)));
        let Some(before) = std::mem::replace(&mut self.due, due) else { return Ok(()) };
        let (late, allowed) = (now.saturating_since(before), pulse.desc().timeout);
        if late <= allowed {
            return Ok(());
        }
        self.loop_stalls = self.loop_stalls.saturating_add(1);
        sink.record(now, Kind::LoopStalled { due: before, late, allowed });
        answer(pulse, self.modes, Stall::Loop { late, allowed })
    }
}

/// Does what the manifest says about a stall.
fn answer(pulse: &Pulse, modes: &Modes, stall: Stall) -> Result<(), Stall> {
    match pulse.desc().on_stall {
        OnStall::Record => {}
        OnStall::StopPetting => pulse.latch(),
        OnStall::Exit => {
            pulse.latch();
            return Err(stall);
        }
        // As the application asks, so at most one change a second and none during another. The plan has the mode, and the vehicle
        // runs.
        OnStall::SwitchMode(mode) => {
            let _ = modes.request(mode);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Guard, Modes, Pulse};
    use crate::fixture;
    use aegis_core::desc::{OnStall, SystemDesc, TaskDesc, WatchdogDesc};
    use aegis_core::dispatch::Job;
    use aegis_core::{Duration, Instant, LaneId, TaskId};

    #[test]
    fn a_piece_becomes_a_stall_after_its_wcet_not_after_its_budget() {
        let base = fixture::system(&[(10, 3)]);
        let task = TaskDesc { budget: Duration::from_ns(1), ..base.tasks[0] };
        let system = SystemDesc { tasks: Box::leak(Box::new([task])), ..*base };
        let desc = WatchdogDesc { timeout: fixture::ms(40), device: None, on_stall: OnStall::Record };
        let pulse = Pulse::new(desc);
        let modes = Modes::new(&system);
        let mut guard = Guard::<1>::new(Some(&pulse), &modes);
        let at = Instant::from_ns(1_000);
        let job = Job { task: TaskId(0), request: 1, arrival: at, deadline: at, segment: 0 };
        guard.started(&system, LaneId(0), &job, at);
        let planned = [task.wcet, system.lanes[0].segment_overhead().unwrap(), desc.timeout];
        let stall = planned.into_iter().try_fold(at, Instant::checked_add);
        assert!(stall.is_some());
        assert_eq!(guard.next(), stall);
    }
}
