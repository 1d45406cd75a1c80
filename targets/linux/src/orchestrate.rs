//! The orchestration loop: one thread that waits for time and for lanes, and drives the pure dispatcher.
//!
//! ```text
//!  poll(timer, bell) ─▶ now ─▶ ends of pieces: step(Completed) ─▶ pieces that do not end: a stall ─▶ stop asked: step(Stop, now)
//!        ▲                                                      ─▶ timer due: step(Timer)
//!        └──────────── arm the timer ◀── hand chosen jobs to their lanes ◀──┘
//! ```
//!
//! Under [`aegis_core::desc::Waiting::Polling`] it looks at clock and bell again and again, and makes no system call to wait. Where the
//! end is known, the first turn begins with step(Stop, end): whatever event comes first once the end has passed, it releases no arrival
//! from then on, and every one before.
//!
//! The loop uses no heap; a test counts. One turn costs a poll, a clock reading per event, and at most one
//! `timerfd_settime`.

mod domains;
mod report;
mod stop;
mod timer;

use crate::admissions::Admissions;
use crate::bell::Bell;
use crate::changes::{Change, Changes};
use crate::clock::Clock;
use crate::domains::Domains;
use crate::evidence::Evidence;
use crate::guarantee::Guarantee;
use crate::lane::{Done, Fault, LaneLink};
use crate::modes::Modes;
use crate::pressure::Pressure;
use crate::pulse::Pulse;
use crate::reclaim::Reclaim;
use crate::stall::Guard;
use crate::steal::{StealReader, StealSamples};
use crate::steps::{StepReport, Steps, allowed};
use crate::submissions::Submissions;
use aegis_core::desc::{LaneDesc, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Actions, Event, Refused, State, count_unfinished, step};
use aegis_core::trace::{Kind, Sink};
use aegis_core::{Bytes, Duration, Instant, LaneId, ModeId};
pub use report::{Broken, LaneReport, Report};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
pub use stop::Stop;
pub use timer::Timer;

/// How long the loop waits for running and waiting jobs after it was told to stop.
pub const DRAIN_LIMIT: Duration = Duration::from_ns(10_000_000_000);

/// What the loop works with.
pub struct Setup<'a, const LANES: usize> {
    /// The plan.
    pub system: &'a SystemDesc,
    /// The clock; its epoch should lie a little ahead.
    pub clock: Clock,
    /// The lanes, in the plan's order.
    pub lanes: [Arc<LaneLink>; LANES],
    /// Rings for each end of a piece of a job and for a stop request.
    pub bell: &'a Bell,
    /// The stop request.
    pub stop: &'a Stop,
    /// What the application submits.
    pub submissions: &'a Submissions,
    /// The levels of memory pressure that it asks for.
    pub pressure: &'a Pressure,
    /// What of the memory that a settled level leaves unused is given back.
    pub reclaim: &'a Reclaim,
    /// The modes that it asks for.
    pub modes: &'a Modes,
    /// The fault domains that it says have failed, and who is told of all that have.
    pub domains: &'a Domains,
    /// The optional tasks that it admits.
    pub admissions: &'a Admissions,
    /// Whether the bounds are guaranteed; each reason why not is recorded.
    pub guarantee: &'a Guarantee,
    /// When to stop by itself; arrivals from then on are not released.
    pub until: Option<Instant>,
    /// Reads steal when a bound was exceeded; `None` where the system tells none.
    pub steal: Option<&'a StealReader>,
    /// The main thread's steal samples, the base of each busy interval.
    pub samples: &'a StealSamples<LANES>,
    /// Where it tells of itself, and what it does about what stands still; `None`: nothing is watched.
    pub pulse: Option<&'a Pulse>,
}

/// Runs the plan on the calling thread until it is stopped.
///
/// # Errors
/// No timer could be made. Everything later is told in the report.
pub fn run<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    setup: &Setup<'_, LANES>,
    state: &mut State<TASKS, LANES, QUEUE>,
    sink: &mut impl Sink,
) -> io::Result<Report<LANES>> {
    Ok(run_with(Timer::new(setup.bell.waiting())?, setup, state, sink))
}

fn run_with<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    mut timer: Timer,
    setup: &Setup<'_, LANES>,
    state: &mut State<TASKS, LANES, QUEUE>,
    sink: &mut impl Sink,
) -> Report<LANES> {
    // Without a base, all steal since boot would count for the first busy interval.
    setup.samples.sample(setup.system, setup.steal);
    let report = Report {
        ended: Instant::START,
        wakeups: 0,
        max_wakeup: Duration::ZERO,
        lanes: [LaneReport::default(); LANES],
        steps: StepReport::default(),
        dropped: 0,
        lane_stalls: 0,
        loop_stalls: 0,
        changing: None,
        drained: false,
        broken: None,
    };
    let evidence = [Evidence::default(); LANES];
    let (handed, wake_at) = ([Instant::START; LANES], Some(Instant::START));
    let (guard, steps) = (Guard::new(setup.pulse, setup.modes), Steps::new());
    let changes = Changes::new(setup.pressure, setup.modes, setup.admissions, setup.reclaim);
    let (end, modes) = (None, (state.mode(), None));
    let mut turn = Loop {
        setup,
        state,
        sink,
        report,
        evidence,
        handed,
        wake_at,
        end,
        guard,
        steps,
        changes,
        modes,
        failed: 0,
        before: None,
        given_back: Bytes(0),
    };
    turn.tell_modes();
    if let Err(broken) = turn.turns(&mut timer) {
        turn.report.broken = Some(broken);
    }
    let ended = setup.clock.now();
    count_unfinished(setup.system, turn.state, ended, turn.sink);
    turn.report.ended = ended;
    turn.report.steps = turn.steps.report;
    (turn.report.lane_stalls, turn.report.loop_stalls) = (turn.guard.lane_stalls, turn.guard.loop_stalls);
    (turn.report.drained, turn.report.changing) = (turn.state.is_idle(), turn.state.next_mode());
    if let Some(pulse) = setup.pulse {
        pulse.end(turn.report.drained && turn.report.broken.is_none());
    }
    turn.report
}

struct Loop<'a, S, const TASKS: usize, const LANES: usize, const QUEUE: usize> {
    setup: &'a Setup<'a, LANES>,
    state: &'a mut State<TASKS, LANES, QUEUE>,
    sink: &'a mut S,
    report: Report<LANES>,
    evidence: [Evidence; LANES],
    /// When each lane's present piece of a job was handed over.
    handed: [Instant; LANES],
    wake_at: Option<Instant>,
    /// The end of which the dispatcher was told: nothing that arrives then or later is released.
    end: Option<Instant>,
    guard: Guard<'a, LANES>,
    steps: Steps,
    changes: Changes<'a>,
    /// The mode that holds and the one that is gone to, as submitters and the application were told.
    modes: (Option<ModeId>, Option<ModeId>),
    /// The fault domains that have failed, as all were told.
    failed: u64,
    /// The mode to go back to once the domains are restored that another one was asked for because of.
    before: Option<ModeId>,
    /// How much memory is given back, as it was recorded.
    given_back: Bytes,
}

impl<S: Sink, const TASKS: usize, const LANES: usize, const QUEUE: usize> Loop<'_, S, TASKS, LANES, QUEUE> {
    fn turns(&mut self, timer: &mut Timer) -> Result<(), Broken> {
        // Set once stopped: when waiting for unfinished jobs ends.
        let mut drain_until: Option<Instant> = None;
        // Not before the first wake-up: a step releases what is due, and at the clock's start the first jobs are.
        let mut unannounced = self.setup.until;
        let system_error = |error: rustix::io::Errno| Broken::System(error.raw_os_error());
        loop {
            let limit = earliest(self.guard.next(), drain_until.or(self.setup.until));
            let asleep = self.setup.clock.now();
            let asked = self.changes.wake_at(self.state.next_mode().is_some(), asleep);
            let due = earliest(earliest(self.wake_at, asked), limit);
            timer.arm(&self.setup.clock, due).map_err(system_error)?;
            self.guard.watch_self(&self.setup.clock, asleep, due, self.sink).map_err(Broken::Stalled)?;
            timer.wait(self.setup.bell).map_err(system_error)?;
            self.setup.bell.hear();
            if !self.setup.clock.has_begun() {
                // Only the bell rings before the start. What it rang for stays, and the timer of the start is armed.
                continue;
            }
            let woken = self.setup.clock.now();
            self.guard.watch_self(&self.setup.clock, woken, Some(woken), self.sink).map_err(Broken::Stalled)?;
            self.steps.turn(woken, self.setup.samples.orchestration());
            self.note_wakeup(woken);
            if let Some(end) = unannounced.take() {
                self.announce(end, self.setup.clock.now())?;
            }
            for position in 0..LANES {
                let done = self.setup.lanes.get(position).and_then(|lane| lane.done());
                if let (Some(done), Ok(number)) = (done, u16::try_from(position)) {
                    self.complete(LaneId(number), &done)?;
                }
            }
            self.guard.watch_lanes(self.setup.clock.now(), self.sink).map_err(Broken::Stalled)?;
            while let Some((domain, loss)) = self.setup.domains.take() {
                self.step(Event::Fail { domain, loss }, self.setup.clock.now())?;
            }
            self.restore()?;
            self.take_submissions()?;
            self.change()?;
            let now = self.setup.clock.now();
            let over = self.setup.until.is_some_and(|until| now >= until);
            let asked = !over && self.setup.stop.asked.load(Ordering::Acquire);
            if drain_until.is_none() && (over || asked) {
                drain_until = Some(now.checked_add(DRAIN_LIMIT).ok_or(Broken::Refused(Refused::OutOfRange))?);
                if asked {
                    self.announce(now, now)?;
                }
            }
            if self.wake_at.is_some_and(|at| at <= now) {
                self.step(Event::Timer, now)?;
            }
            if drain_until.is_some_and(|limit| self.state.is_idle() || now >= limit) {
                return Ok(());
            }
        }
    }

    /// Goes to the level of memory pressure or to the mode that is asked for, or admits or dismisses a task, if it is time.
    fn change(&mut self) -> Result<(), Broken> {
        let now = self.setup.clock.now();
        let due = self.changes.due(now, self.state.next_mode().is_some());
        while let Some(reason) = self.setup.guarantee.take() {
            self.sink.record(now, Kind::GuaranteeVoid { reason });
        }
        if let Some(watched) = self.changes.news() {
            self.sink.record(now, watched);
        }
        let given_back = self.setup.reclaim.given_back();
        if std::mem::replace(&mut self.given_back, given_back) != given_back {
            self.sink.record(now, Kind::GivenBack { bytes: given_back });
        }
        match due {
            Some(Change::Level(level)) => {
                self.step(Event::Pressure { level }, now)?;
                self.changes.is_at(level);
            }
            Some(Change::Mode(mode)) => self.step(Event::Mode { mode }, now)?,
            Some(Change::Admission(task, admits)) => {
                let event = if admits { Event::Admit { task } } else { Event::Dismiss { task } };
                let admits = match self.step(event, now) {
                    // Asked for before it was told that the task's domain has failed: it stays as it is.
                    Err(Broken::Refused(Refused::DomainFailed { .. })) => !admits,
                    done => done.map(|()| admits)?,
                };
                self.setup.submissions.take_of(task, admits);
                self.changes.has_admitted(task, admits);
            }
            // Perhaps another level is no longer asked for: then no step follows that would give back again.
            None => self.give_back(),
        }
        Ok(())
    }

    /// Once the level that holds has settled, what it leaves unused goes back.
    fn give_back(&self) {
        if let Some(level) = self.state.settled_level() {
            self.changes.has_settled(level);
        }
    }

    /// Tells submitters which tasks release jobs, and the application which mode holds.
    fn tell_modes(&self) {
        let (mode, next) = self.modes;
        if mode.is_some() {
            self.setup.submissions.admit(self.setup.system, mode, next);
            self.changes.is_in(mode);
        }
    }

    /// Tells dispatcher and submitters when the run ends.
    fn announce(&mut self, end: Instant, now: Instant) -> Result<(), Broken> {
        self.end = Some(end);
        self.setup.submissions.close(end);
        self.step(Event::Stop { end }, now)
    }

    /// Measures the lateness of a timer wake-up and opens the busy interval of each lane that was idle.
    ///
    /// Only to those lanes does the lateness count: a lane that has a job is not delayed by a late release.
    fn note_wakeup(&mut self, now: Instant) {
        let lateness = self.wake_at.filter(|at| *at <= now).map(|at| now.saturating_since(at));
        if let Some(lateness) = lateness {
            self.report.wakeups = self.report.wakeups.saturating_add(1);
            self.report.max_wakeup = self.report.max_wakeup.max(lateness);
        }
        for ((position, desc), evidence) in self.setup.system.lanes.iter().enumerate().zip(&mut self.evidence) {
            let idle = u16::try_from(position).is_ok_and(|number| self.state.running(LaneId(number)).is_none());
            if idle {
                *evidence = Evidence::starting(self.setup.samples.load(position));
                if let Some(lateness) = lateness {
                    evidence.set_wakeup(lateness, desc.lateness().unwrap_or(Duration::MAX));
                }
            }
        }
    }

    /// Hands over what the application has submitted, at most one arrival of each task, in the order of the tasks: where
    /// several are seen at once, the most important of a lane is released first.
    ///
    /// Who submits knows the end of the run too, but may have taken its stamp while that was being told: what arrives at the
    /// end or later is dropped.
    fn take_submissions(&mut self) -> Result<(), Broken> {
        let mut from = 0;
        while let Some((task, arrival)) = self.setup.submissions.take(from) {
            let defers = self.setup.system.tasks.get(task.index()).is_some_and(|task| task.defers);
            if self.end.is_some_and(|end| arrival >= end) {
                // All that follow of the task do, too.
                from = task.index().saturating_add(usize::from(!defers));
                self.report.dropped = self.report.dropped.saturating_add(1);
                continue;
            }
            from = task.index().saturating_add(1);
            let now = self.setup.clock.now();
            self.note_submission(task, now.saturating_since(arrival));
            match self.step(Event::Submit { task, arrival }, now) {
                // Accepted while submitters were being told that the task's mode is left, that it is dismissed, or that its domain
                // has failed.
                Err(Broken::Refused(
                    Refused::NotInMode { .. } | Refused::NotAdmitted { .. } | Refused::DomainFailed { .. },
                )) => self.report.dropped = self.report.dropped.saturating_add(1),
                // Stamped before the mode was left, or the task dismissed, and seen after it was gone back to, or admitted again.
                Err(Broken::Refused(Refused::TooEarly { .. } | Refused::TooManyDeferred { .. }))
                    if self.may_be_stale(task) =>
                {
                    self.report.dropped = self.report.dropped.saturating_add(1);
                }
                // What such a stamp was moved to lies after the end.
                Err(Broken::Refused(Refused::NotSubmittable { .. })) if self.end.is_some() && defers => {
                    self.report.dropped = self.report.dropped.saturating_add(1);
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Whether a submission of a task may be older than when the task began to release jobs again.
    fn may_be_stale(&self, task: aegis_core::TaskId) -> bool {
        let system = self.setup.system;
        let comes_back = |task: &TaskDesc| task.optional || domains::restarts(system, task);
        self.state.mode().is_some() || system.tasks.get(task.index()).is_some_and(comes_back)
    }

    /// A submission is seen as late as the bell's wake-up is: where its lane was idle, that opened the busy interval.
    fn note_submission(&mut self, task: aegis_core::TaskId, lateness: Duration) {
        self.report.max_wakeup = self.report.max_wakeup.max(lateness);
        let Some(lane) = self.setup.system.tasks.get(task.index()).map(|task| task.lane) else { return };
        let (desc, evidence) = (self.setup.system.lanes.get(lane.index()), self.evidence.get_mut(lane.index()));
        if let (None, Some(desc), Some(evidence)) = (self.state.running(lane), desc, evidence) {
            evidence.set_wakeup(lateness, desc.lateness().unwrap_or(Duration::MAX));
        }
    }

    fn complete(&mut self, lane: LaneId, done: &Done) -> Result<(), Broken> {
        self.guard.ended(lane);
        let now = self.setup.clock.now();
        let job = self.state.running(lane);
        let execution = &done.execution;
        let desc = self.setup.system.lanes.get(lane.index());
        let task = job.and_then(|job| Some((job, self.setup.system.tasks.get(job.task.index())?)));
        // Otherwise the job only loses its lane, and nothing is known of its response yet.
        let completes =
            task.is_none_or(|(job, task)| usize::from(job.segment).saturating_add(1) >= task.segments.len());
        let handed = self.handed.get(lane.index()).copied().unwrap_or(execution.began);
        if let (Some(report), Some(desc)) = (self.report.lanes.get_mut(lane.index()), desc) {
            report.add(handed, execution, now);
            if let Some(evidence) = self.evidence.get_mut(lane.index()) {
                evidence.add_job(handed, execution, now, desc.segment_overhead().unwrap_or(Duration::MAX));
            }
        }
        let (began, ended) = (execution.began, execution.ended);
        let event = match done.fault {
            None => Event::Completed { lane, began, ended },
            Some(Fault::JobFailed) => Event::Failed { lane, began, ended },
            Some(Fault::DomainLost(loss)) => Event::Lost { lane, began, ended, loss },
            Some(fault) => return Err(Broken::Lane { lane, fault }),
        };
        self.step(event, now)?;
        let has_failed = task.is_some_and(|(_, task)| self.has_failed(task));
        if let Some(report) = self.report.lanes.get_mut(lane.index()) {
            report.jobs = report.jobs.saturating_add(u64::from(completes && !has_failed));
        }
        // Of an aborted job, too, the response is known now.
        let goes_on = |job: &aegis_core::dispatch::Job| {
            let left = self.state.waiting(job.task).next().into_iter().chain(self.state.running(lane));
            left.into_iter().any(|other| other.request == job.request)
        };
        if let (Some((job, task)), Some(desc)) = (task.filter(|(job, _)| !goes_on(job)), desc) {
            let response = execution.ended.min(now).saturating_since(job.arrival);
            let excess = response.saturating_sub(task.response_bound);
            if !excess.is_zero() {
                self.explain(lane, desc, job.reference(), excess);
            }
        }
        Ok(())
    }

    /// Records what the machine did to the lane in the busy interval of a job that exceeded its bound.
    fn explain(&mut self, lane: LaneId, desc: &LaneDesc, job: aegis_core::trace::JobRef, excess: Duration) {
        let evidence = self.evidence.get(lane.index()).copied().unwrap_or_default();
        let steal = evidence.steal(self.setup.steal.and_then(|reader| reader.read(desc.core)));
        let disturbed = Kind::Disturbed {
            job,
            wakeup_latency: evidence.wakeup_latency,
            wakeup_excess: evidence.wakeup_excess,
            steal,
            off_core: evidence.off_core,
            involuntary_switches: evidence.involuntary,
            explained: evidence.explains(steal, excess),
        };
        self.sink.record(self.setup.clock.now(), disturbed);
    }

    fn step(&mut self, event: Event, now: Instant) -> Result<(), Broken> {
        let system = self.setup.system;
        let began = self.setup.clock.now();
        let actions = step(system, self.state, event, now, self.sink).map_err(Broken::Refused)?;
        let Actions { start, wake_at } = actions;
        self.wake_at = wake_at;
        if let Event::Pressure { level } = event {
            self.setup.submissions.withhold(system, level);
        }
        self.give_back();
        let modes = (self.state.mode(), self.state.next_mode());
        if modes != self.modes {
            self.modes = modes;
            self.tell_modes();
        }
        self.tell_domains();
        for (position, job) in start.iter().enumerate() {
            let Some(job) = job else { continue };
            let lane = LaneId(u16::try_from(position).unwrap_or(u16::MAX));
            let link = self.setup.lanes.get(position).ok_or(Broken::MailboxFull(lane))?;
            let now = self.setup.clock.now();
            if let Some(handed) = self.handed.get_mut(position) {
                *handed = now;
            }
            self.guard.started(system, lane, job, now);
            link.start(system, *job, self.setup.clock).map_err(|_| Broken::MailboxFull(lane))?;
        }
        let ended = self.setup.clock.now();
        let steal = || self.setup.steal.and_then(|reader| reader.read(system.orchestration_core));
        let length = ended.saturating_since(began);
        if let Some(exceeded) = self.steps.note(length, allowed(system, event, &start), ended, steal) {
            self.sink.record(ended, exceeded);
        }
        Ok(())
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests;
