//! Arrivals that the application submits: any thread says so without waiting, the orchestration thread takes them.
//!
//! ```text
//!  submit ─▶ at the end of the run or later?           ─▶ refused, nobody wakes
//!         ─▶ of a fault domain that has failed?       ─▶ refused, nobody wakes
//!         ─▶ withheld by a level of pressure?         ─▶ refused, nobody wakes
//!         ─▶ not of the mode that holds?              ─▶ refused, nobody wakes
//!         ─▶ optional and not admitted?               ─▶ refused, nobody wakes
//!         ─▶ earlier than a period after the last one? ─▶ refused, nobody wakes; of a task that defers, planned for then
//!                    ─▶ more than its queue of periods ahead? ─▶ refused, nobody wakes
//!         ─▶ the last one not taken yet?              ─▶ refused, nobody wakes; of a task that defers, a period after that one
//!         ─▶ slot ─▶ bell ─▶ orchestration thread: Event::Submit
//! ```
//!
//! What is refused costs the orchestration thread nothing: so however often an application submits, that thread has at most one
//! step a period for each task, and where it defers as many more at first as its queue is long. Each turn takes at most one of a
//! task, which is a term of the analysis.
//!
//! Planned arrivals of a task that wait for the orchestration thread are a period apart: so a slot holds the first of them and
//! their number. Threads that submit exclude each other, by refusing; none of them ever keeps the orchestration thread from
//! taking what was accepted before it looked.
//!
//! The orchestration thread tells the end of the run as soon as it is known. A thread may have taken its stamp, at that end or
//! later, while it was being told: that arrival is accepted here, and dropped there. So is one that comes while the failure of its
//! task's domain is being told.

use crate::bell::Bell;
use crate::clock::Clock;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use aegis_core::desc::{Release, SystemDesc};
use aegis_core::{ErrorClass, Instant, LevelId, ModeId, TaskId};
use std::sync::{Arc, OnceLock};

/// Why an arrival is not taken. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The last arrival was less than a period ago. Transient: submit again from `earliest` on.
    #[error("submitted {ns} ns before the task's period is over", ns = .earliest.as_ns().saturating_sub(.now.as_ns()))]
    TooEarly {
        /// When it was submitted.
        now: Instant,
        /// When the next arrival is taken.
        earliest: Instant,
    },
    /// As many arrivals are deferred as the task's queue is long. Transient: submit again from `earliest` on.
    #[error("as many arrivals are deferred as the task's queue is long, for {ns} ns more",
        ns = .earliest.as_ns().saturating_sub(.now.as_ns()))]
    TooManyDeferred {
        /// When it was submitted.
        now: Instant,
        /// When another one is taken.
        earliest: Instant,
    },
    /// The orchestration thread has not taken the last arrival yet, or another thread is submitting one. Transient: submit again;
    /// where it lasts, the orchestration thread is late, or the run is ending.
    #[error("the task's last arrival has not been taken yet")]
    Busy,
    /// The level of memory pressure that holds sheds or rejects the task. Transient: submit again when it is left.
    #[error("the level of memory pressure that holds withholds the task's arrivals")]
    Withheld,
    /// The mode that holds does not have the task, or the one that is gone to does not. Transient: submit again in a mode that
    /// has it.
    #[error("the task is not of the mode that holds, or of the one that is gone to")]
    NotInMode,
    /// The task is optional and not admitted. Transient: submit again once it is.
    #[error("the task is optional and not admitted")]
    NotAdmitted,
    /// The task's fault domain has failed, and its process is never started again. Permanent.
    #[error("the task's fault domain `{0}` has failed")]
    DomainFailed(&'static str),
    /// The task's fault domain has failed, and may be started again. Transient: submit again once it is; where it was given up for
    /// good it stays so.
    #[error("the task's fault domain `{0}` has failed and is not started again yet")]
    DomainRestarts(&'static str),
    /// The vehicle does not run yet. Transient: submit again once it does.
    #[error("the vehicle does not run yet")]
    NotRunning,
    /// The run is over, or will be when the job would arrive. Permanent.
    #[error("the run is over before the job would arrive")]
    Ended,
    /// The plan has no such task, or one that the application does not submit. Permanent.
    #[error("task number {} is none that the application submits", .0.0)]
    NotSubmittable(TaskId),
}

impl SubmitError {
    /// What the caller can do.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::TooEarly { .. }
            | Self::TooManyDeferred { .. }
            | Self::Busy
            | Self::Withheld
            | Self::NotInMode
            | Self::NotAdmitted
            | Self::DomainRestarts(_)
            | Self::NotRunning => ErrorClass::Transient,
            Self::DomainFailed(_) | Self::Ended | Self::NotSubmittable(_) => ErrorClass::Permanent,
        }
    }
}

/// One task's arrivals.
#[derive(Debug)]
struct Slot {
    /// The least time between two arrivals, in nanoseconds; `None` for a task that is not submitted.
    period: Option<u64>,
    /// The bit and the name of its fault domain, and whether it is started again; no bit where it lies in none.
    domain: (u64, &'static str, bool),
    /// How far ahead an arrival may be planned, in nanoseconds; `None` for a task that rejects what comes too early.
    ahead: Option<u64>,
    /// When the next arrival is taken.
    next: AtomicU64,
    /// Whether a thread is about to submit: one at a time. Who takes does not look at it.
    submitting: AtomicBool,
    /// How many arrivals wait: at most one of a task that does not defer. Of others they are a period apart, the first of them at
    /// `first`, also while who takes moves on: it puts `first` to the following one before it counts one less.
    waiting: AtomicU32,
    first: AtomicU64,
    /// Whether the level of memory pressure that holds sheds or rejects the task.
    withheld: AtomicBool,
    /// Whether the task releases no jobs in the mode that holds, or in the one that is gone to.
    out_of_mode: AtomicBool,
    /// Whether the task is optional and not admitted.
    dismissed: AtomicBool,
}

/// What the application's threads and the orchestration thread share.
#[derive(Debug)]
pub struct Submissions {
    slots: Box<[Slot]>,
    running: OnceLock<(Clock, Arc<Bell>)>,
    /// The first instant from which on no arrival is taken, in nanoseconds; the greatest number while none is known.
    end: AtomicU64,
    /// A bit for each fault domain that has failed.
    failed: AtomicU64,
}

impl Submissions {
    /// Room for one arrival of each task that the application submits.
    #[must_use]
    pub fn new(system: &SystemDesc) -> Arc<Self> {
        let slot = |task: &aegis_core::desc::TaskDesc| Slot {
            period: (task.release == Release::Submitted).then(|| task.period.as_ns()),
            domain: task.domain.map_or((0, "", false), |domain| {
                let own = system.domains.get(domain.index());
                let restarts = own.and_then(|own| own.process).is_some_and(|process| process.restart.is_some());
                (domain.bit(), own.map_or("", |own| own.name), restarts)
            }),
            ahead: task.defers.then(|| task.period.as_ns().saturating_mul(u64::from(task.queue))),
            next: AtomicU64::new(0),
            submitting: AtomicBool::new(false),
            waiting: AtomicU32::new(0),
            first: AtomicU64::new(0),
            withheld: AtomicBool::new(false),
            out_of_mode: AtomicBool::new(false),
            dismissed: AtomicBool::new(task.optional && system.modes.is_empty()),
        };
        let slots = system.tasks.iter().map(slot).collect();
        let (end, failed) = (AtomicU64::new(u64::MAX), AtomicU64::new(0));
        Arc::new(Self { slots, running: OnceLock::new(), end, failed })
    }

    /// From now on arrivals are taken, by this clock; the bell wakes who takes them.
    pub fn open(&self, clock: Clock, bell: Arc<Bell>) {
        // A second run of one vehicle does not exist: its storage is taken once.
        let _ = self.running.set((clock, bell));
    }

    /// Nothing is taken that arrives at `end` or later; an earlier end stays.
    pub fn close(&self, end: Instant) {
        self.end.fetch_min(end.as_ns(), Ordering::AcqRel);
    }

    /// Says that a job of a task arrives now, or as soon as it may where the task defers: tells when that is, which its deadline
    /// counts from. Does not wait and uses no heap: a few atomic operations, one system call.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing has changed then.
    pub fn submit(&self, task: TaskId) -> Result<Instant, SubmitError> {
        let unknown = SubmitError::NotSubmittable(task);
        let slot = self.slots.get(task.index()).ok_or(unknown)?;
        let period = slot.period.ok_or(unknown)?;
        let (clock, bell) = self.running.get().ok_or(SubmitError::NotRunning)?;
        self.planned(slot, clock)?;
        // Whoever comes while another thread submits is as if it had come while that one's arrival waits.
        let free = slot.submitting.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire);
        free.map_err(|_| SubmitError::Busy)?;
        let arrival = self.put(slot, clock, period);
        slot.submitting.store(false, Ordering::Release);
        if arrival.is_ok() {
            bell.ring();
        }
        arrival
    }

    /// Lets an arrival wait; only one thread at a time does.
    fn put(&self, slot: &Slot, clock: &Clock, period: u64) -> Result<Instant, SubmitError> {
        let (now, arrival) = self.planned(slot, clock)?;
        if slot.waiting.load(Ordering::Acquire) == 0 {
            slot.first.store(arrival.as_ns(), Ordering::Release);
            slot.next.store(arrival.as_ns().saturating_add(period), Ordering::Release);
            slot.waiting.store(1, Ordering::Release);
        } else if slot.ahead.is_some() && arrival > now {
            // Deferred to a period after the last one, so it follows what waits, or what waited until just now.
            slot.next.store(arrival.as_ns().saturating_add(period), Ordering::Release);
            slot.waiting.fetch_add(1, Ordering::AcqRel);
        } else {
            // Behind one that waits an arrival can only be deferred; where it need not be, that one waits for longer than a period.
            return Err(SubmitError::Busy);
        }
        Ok(arrival)
    }

    /// The present, and when what is submitted now arrives.
    fn planned(&self, slot: &Slot, clock: &Clock) -> Result<(Instant, Instant), SubmitError> {
        let now = clock.now();
        let is_over = |instant: Instant| instant.as_ns() >= self.end.load(Ordering::Acquire);
        if is_over(now) {
            return Err(SubmitError::Ended);
        }
        if self.failed.load(Ordering::Acquire) & slot.domain.0 != 0 {
            let (_, name, restarts) = slot.domain;
            return Err(if restarts { SubmitError::DomainRestarts(name) } else { SubmitError::DomainFailed(name) });
        }
        if slot.withheld.load(Ordering::Acquire) {
            return Err(SubmitError::Withheld);
        }
        if slot.out_of_mode.load(Ordering::Acquire) {
            return Err(SubmitError::NotInMode);
        }
        if slot.dismissed.load(Ordering::Acquire) {
            return Err(SubmitError::NotAdmitted);
        }
        let earliest = Instant::from_ns(slot.next.load(Ordering::Acquire));
        let Some(ahead) = slot.ahead else {
            return if now < earliest { Err(SubmitError::TooEarly { now, earliest }) } else { Ok((now, now)) };
        };
        let arrival = now.max(earliest);
        if arrival.saturating_since(now).as_ns() > ahead {
            let earliest = Instant::from_ns(arrival.as_ns().saturating_sub(ahead));
            return Err(SubmitError::TooManyDeferred { now, earliest });
        }
        if is_over(arrival) { Err(SubmitError::Ended) } else { Ok((now, arrival)) }
    }

    /// From now on arrivals of the tasks that a level sheds or rejects are refused, and of no others.
    ///
    /// What was accepted just before, the dispatcher withholds or, where it came before the level, releases.
    pub(crate) fn withhold(&self, system: &SystemDesc, level: Option<LevelId>) {
        let level = level.and_then(|level| system.levels.get(level.index()));
        for (position, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.period.is_some()) {
            let names = |list: &[TaskId]| list.binary_search_by_key(&position, |task| task.index()).is_ok();
            let withheld = level.is_some_and(|level| names(level.shed) || names(level.reject));
            slot.withheld.store(withheld, Ordering::Release);
        }
    }

    /// From now on arrivals of tasks that `mode` or, while a change is under way, `next` does not have are refused.
    ///
    /// What was accepted just before, the dispatcher releases where it came before the change, and refuses otherwise.
    pub(crate) fn admit(&self, system: &SystemDesc, mode: Option<ModeId>, next: Option<ModeId>) {
        for (position, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.period.is_some()) {
            let is_out = mode.into_iter().chain(next).any(|mode| {
                let tasks = system.modes.get(mode.index()).map_or(&[][..], |mode| mode.tasks);
                tasks.binary_search_by_key(&position, |task| task.index()).is_err()
            });
            slot.out_of_mode.store(is_out, Ordering::Release);
        }
    }

    /// From now on arrivals of tasks of these fault domains, each a bit, are refused.
    pub(crate) fn fail(&self, domains: u64) {
        self.failed.store(domains, Ordering::Release);
    }

    /// From now on arrivals of an optional task are taken, or refused.
    ///
    /// What was accepted just before its dismissal, the dispatcher releases where it was told before, and refuses otherwise.
    pub(crate) fn take_of(&self, task: TaskId, admits: bool) {
        if let Some(slot) = self.slots.get(task.index()) {
            slot.dismissed.store(!admits, Ordering::Release);
        }
    }

    /// Lets so many arrivals wait, a period apart from one on, as if they had been stamped before the end was told.
    #[cfg(test)]
    pub(crate) fn wait_with(&self, task: TaskId, arrival: Instant, count: u32) {
        let slot = self.slots.get(task.index()).unwrap();
        slot.first.store(arrival.as_ns(), Ordering::Release);
        slot.waiting.store(count, Ordering::Release);
        self.running.get().unwrap().1.ring();
    }

    /// The next arrival that waits, of the tasks from `from` on; takes it. Where more of its task wait, the bell rings for them.
    pub fn take(&self, from: usize) -> Option<(TaskId, Instant)> {
        let slots = self.slots.iter().enumerate().skip(from);
        slots.into_iter().find_map(|(position, slot)| {
            let arrival = self.take_first(slot, slot.period?)?;
            Some((TaskId(u16::try_from(position).ok()?), arrival))
        })
    }

    fn take_first(&self, slot: &Slot, period: u64) -> Option<Instant> {
        if slot.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let arrival = slot.first.load(Ordering::Acquire);
        slot.first.store(arrival.saturating_add(period), Ordering::Release);
        let before = slot.waiting.fetch_sub(1, Ordering::AcqRel);
        if let (true, Some((_, bell))) = (before > 1, self.running.get()) {
            bell.ring();
        }
        Some(Instant::from_ns(arrival))
    }
}
