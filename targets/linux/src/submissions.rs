//! Arrivals that the application submits: any thread says so without waiting, the orchestration thread takes them.
//!
//! ```text
//!  submit ─▶ at the end of the run or later?           ─▶ refused, nobody wakes
//!         ─▶ earlier than a period after the last one? ─▶ refused, nobody wakes
//!         ─▶ the last one not taken yet?              ─▶ refused, nobody wakes
//!         ─▶ slot ─▶ bell ─▶ orchestration thread: Event::Submit
//! ```
//!
//! What is refused costs the orchestration thread nothing: so however often an application submits, that thread has at most one
//! step a period for each task, which is a term of the analysis.
//!
//! The orchestration thread tells the end of the run as soon as it is known. A thread may have taken its stamp, at that end or
//! later, while it was being told: that arrival is accepted here, and dropped there.

use crate::bell::Bell;
use crate::clock::Clock;
use aegis_core::desc::{Release, SystemDesc};
use aegis_core::{Instant, TaskId};
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// The orchestration thread has not taken the last arrival yet. Transient: it is late, or the run is ending.
    #[error("the task's last arrival has not been taken yet")]
    Busy,
    /// The vehicle does not run yet, or no more. Transient before its start, permanent after its end.
    #[error("the vehicle does not run")]
    NotRunning,
    /// The plan has no such task, or one that the application does not submit. Permanent.
    #[error("task number {} is none that the application submits", .0.0)]
    NotSubmittable(TaskId),
}

/// One task's arrivals.
#[derive(Debug)]
struct Slot {
    /// The least time between two arrivals, in nanoseconds; `None` for a task that is not submitted.
    period: Option<u64>,
    /// When the next arrival is taken.
    next: AtomicU64,
    /// The arrival that waits, plus one; 0: none; [`TAKEN`]: a thread is about to say.
    waiting: AtomicU64,
}

/// A slot that a submitting thread has.
const TAKEN: u64 = u64::MAX;

/// What the application's threads and the orchestration thread share.
#[derive(Debug)]
pub struct Submissions {
    slots: Box<[Slot]>,
    running: OnceLock<(Clock, Arc<Bell>)>,
    /// The first instant from which on no arrival is taken, in nanoseconds; the greatest number while none is known.
    end: AtomicU64,
}

impl Submissions {
    /// Room for one arrival of each task that the application submits.
    #[must_use]
    pub fn new(system: &SystemDesc) -> Arc<Self> {
        let slot = |task: &aegis_core::desc::TaskDesc| Slot {
            period: (task.release == Release::Submitted).then(|| task.period.as_ns()),
            next: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        };
        let slots = system.tasks.iter().map(slot).collect();
        Arc::new(Self { slots, running: OnceLock::new(), end: AtomicU64::new(u64::MAX) })
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

    /// Says that a job of a task arrives now. Does not wait and uses no heap: a few atomic operations, one system call.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing has changed then.
    pub fn submit(&self, task: TaskId) -> Result<(), SubmitError> {
        let unknown = SubmitError::NotSubmittable(task);
        let slot = self.slots.get(task.index()).ok_or(unknown)?;
        let period = slot.period.ok_or(unknown)?;
        let (clock, bell) = self.running.get().ok_or(SubmitError::NotRunning)?;
        let early = || {
            let now = clock.now();
            if now.as_ns() >= self.end.load(Ordering::Acquire) {
                return Err(SubmitError::NotRunning);
            }
            let earliest = Instant::from_ns(slot.next.load(Ordering::Acquire));
            if now < earliest { Err(SubmitError::TooEarly { now, earliest }) } else { Ok(now) }
        };
        early()?;
        // One thread at a time has the slot; whoever comes meanwhile is as if it had come while the arrival waits.
        let free = slot.waiting.compare_exchange(0, TAKEN, Ordering::AcqRel, Ordering::Acquire);
        free.map_err(|_| SubmitError::Busy)?;
        match early() {
            Err(error) => {
                slot.waiting.store(0, Ordering::Release);
                Err(error)
            }
            Ok(now) => {
                slot.next.store(now.as_ns().saturating_add(period), Ordering::Release);
                slot.waiting.store(now.as_ns().saturating_add(1), Ordering::Release);
                bell.ring();
                Ok(())
            }
        }
    }

    /// Lets an arrival wait as if it had been stamped before the end was told.
    #[cfg(test)]
    pub(crate) fn wait_with(&self, task: TaskId, arrival: Instant) {
        let slot = self.slots.get(task.index()).unwrap();
        slot.waiting.store(arrival.as_ns() + 1, Ordering::Release);
        self.running.get().unwrap().1.ring();
    }

    /// The next arrival that waits, of the tasks from `from` on; takes it.
    pub fn take(&self, from: usize) -> Option<(TaskId, Instant)> {
        let slots = self.slots.iter().enumerate().skip(from).filter(|(_, slot)| slot.period.is_some());
        slots.into_iter().find_map(|(position, slot)| {
            let waiting = slot.waiting.load(Ordering::Acquire);
            let arrival = waiting.checked_sub(1).filter(|_| waiting != TAKEN)?;
            slot.waiting.store(0, Ordering::Release);
            Some((TaskId(u16::try_from(position).ok()?), Instant::from_ns(arrival)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Submissions, SubmitError};
    use crate::bell::Bell;
    use crate::clock::Clock;
    use crate::fixture::system;
    use aegis_core::desc::{Release, SystemDesc, TaskDesc};
    use aegis_core::{Duration, Instant, TaskId};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    /// Two tasks, the second of which is submitted, at most once a period.
    fn vehicle(period: u64) -> &'static SystemDesc {
        let base = system(&[(10, 1), (20, 1)]);
        let mut tasks: Vec<TaskDesc> = base.tasks.to_vec();
        tasks[1].release = Release::Submitted;
        tasks[1].period = Duration::from_ns(period);
        Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), ..*base }))
    }

    fn open(submissions: &Submissions) -> Arc<Bell> {
        let bell = Arc::new(Bell::new().unwrap());
        submissions.open(Clock::starting_in(Duration::ZERO), Arc::clone(&bell));
        bell
    }

    #[test]
    fn an_arrival_is_taken_once_and_the_next_not_before_its_period() {
        let submissions = Submissions::new(vehicle(3_600_000_000_000));
        let task = TaskId(1);
        assert_eq!(submissions.submit(task), Err(SubmitError::NotRunning));
        let bell = open(&submissions);
        for other in [TaskId(0), TaskId(2)] {
            assert_eq!(submissions.submit(other), Err(SubmitError::NotSubmittable(other)));
        }
        assert!(!bell.hear() && submissions.take(0).is_none());
        submissions.submit(task).unwrap();
        assert!(bell.hear());
        let refused = submissions.submit(task).unwrap_err();
        assert!(matches!(refused, SubmitError::TooEarly { now, earliest } if earliest > now), "{refused}");
        assert!(refused.to_string().contains("before the task's period is over"));
        assert!(!bell.hear(), "what is refused wakes nobody");
        assert!(submissions.take(2).is_none());
        assert_eq!(submissions.take(0).map(|(taken, _)| taken), Some(task));
        assert!(submissions.take(0).is_none());
        submissions.close(Instant::START);
        assert_eq!(submissions.submit(task), Err(SubmitError::NotRunning));
    }

    #[test]
    fn an_arrival_that_is_not_taken_makes_the_next_wait() {
        let submissions = Submissions::new(vehicle(1));
        let _bell = open(&submissions);
        submissions.submit(TaskId(1)).unwrap();
        std::thread::sleep(std::time::Duration::from_micros(10));
        assert_eq!(submissions.submit(TaskId(1)), Err(SubmitError::Busy));
        let (_, first) = submissions.take(0).unwrap();
        submissions.submit(TaskId(1)).unwrap();
        assert!(submissions.take(0).unwrap().1 > first);
    }

    /// Several threads submit as fast as they can: what was accepted is what is taken, and no two arrivals are closer than a
    /// period.
    #[test]
    fn a_storm_loses_nothing_and_lets_nothing_through_that_is_too_early() {
        const PERIOD: u64 = 20_000;
        let submissions = Submissions::new(vehicle(PERIOD));
        let _bell = open(&submissions);
        let (accepted, refused, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let mut taken = Vec::new();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let count = if submissions.submit(TaskId(1)).is_ok() { &accepted } else { &refused };
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            // On a busy machine the threads may get little of it.
            let (least, most) = (std::time::Duration::from_millis(200), std::time::Duration::from_secs(20));
            let (start, enough) =
                (std::time::Instant::now(), |taken: &[_]| taken.len() > 20 && refused.load(Ordering::Relaxed) > 100);
            while start.elapsed() < least || (!enough(&taken) && start.elapsed() < most) {
                taken.extend(submissions.take(0));
                std::thread::yield_now();
            }
            over.store(true, Ordering::Relaxed);
        });
        taken.extend(submissions.take(0));
        let arrivals: Vec<u64> = taken.iter().map(|(_, arrival)| arrival.as_ns()).collect();
        assert_eq!(u64::try_from(arrivals.len()).unwrap(), accepted.load(Ordering::Relaxed));
        assert!(arrivals.windows(2).all(|pair| pair[1] - pair[0] >= PERIOD), "{arrivals:?}");
        assert!(arrivals.len() > 20 && refused.load(Ordering::Relaxed) > 100, "{} {refused:?}", arrivals.len());
    }
}
