//! A task's waiting jobs: a ring of fixed length, first in, first out.
//!
//! heapless' queue has arithmetic that may panic as far as a linker can tell; here each step is checked, so that the link proof
//! holds. See `docs/link-proof.md`.

use super::Job;
use crate::time::Instant;
use crate::units::TaskId;

/// What the jobs of one task that have not begun differ in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    request: u64,
    arrival: Instant,
    deadline: Instant,
}

/// At most `N` jobs of a task, none of which has begun, and never more than 65,535: the most that a plan's queue has.
#[derive(Clone, Debug)]
pub(super) struct Queue<const N: usize> {
    task: TaskId,
    /// Where the oldest job lies.
    first: u16,
    /// How many wait.
    length: u16,
    /// The `length` entries from `first` on, around the end, wait; the others are what was left there.
    jobs: [Entry; N],
}

impl<const N: usize> Queue<N> {
    /// Nothing waits of this task.
    pub(super) const fn of(task: TaskId) -> Self {
        Self { task, first: 0, length: 0, jobs: [NOTHING; N] }
    }

    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// The oldest job.
    #[inline]
    pub(super) fn front(&self) -> Option<Job> {
        if self.length > 0 { self.job(self.first) } else { None }
    }

    /// The jobs, the oldest ahead.
    pub(super) fn iter(&self) -> impl Iterator<Item = Job> {
        (0..self.length).filter_map(|after| self.job(self.place(after)?))
    }

    #[inline]
    fn job(&self, place: u16) -> Option<Job> {
        let Entry { request, arrival, deadline } = *self.jobs.get(usize::from(place))?;
        Some(Job { task: self.task, request, arrival, deadline, segment: 0 })
    }

    /// Puts a job of the task that has not begun behind all others; `false` where there is no room.
    #[must_use]
    pub(super) fn push_back(&mut self, job: Job) -> bool {
        let room = usize::from(self.length) < N;
        let (true, Some(longer), Some(place)) = (room, self.length.checked_add(1), self.place(self.length)) else {
            return false;
        };
        let Some(entry) = self.jobs.get_mut(usize::from(place)) else { return false };
        *entry = Entry { request: job.request, arrival: job.arrival, deadline: job.deadline };
        self.length = longer;
        true
    }

    /// Takes the oldest job away, if there is one.
    pub(super) fn pop_front(&mut self) {
        if let (Some(shorter), Some(second)) = (self.length.checked_sub(1), self.place(1)) {
            (self.first, self.length) = (second, shorter);
        }
    }

    /// Takes all jobs away, and says how many there were.
    pub(super) fn clear(&mut self) -> u16 {
        core::mem::take(&mut self.length)
    }

    /// The place of the entry `after` others; `None` in a ring without entries.
    fn place(&self, after: u16) -> Option<u16> {
        let round = u32::try_from(N).ok()?.min(u32::from(u16::MAX));
        let place = u32::from(self.first).checked_add(u32::from(after))?.checked_rem(round)?;
        u16::try_from(place).ok()
    }
}

/// What an entry holds before its first job.
const NOTHING: Entry = Entry { request: 0, arrival: Instant::START, deadline: Instant::START };

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test stops at an overflow")]
mod tests {
    extern crate std;

    use super::{Job, Queue};
    use crate::time::Instant;
    use crate::units::TaskId;
    use std::sync::Mutex;

    fn job(request: u64) -> Job {
        let deadline = Instant::from_ns(request + 9);
        Job { task: TaskId(7), request, arrival: Instant::from_ns(request), deadline, segment: 0 }
    }

    /// Every order of pushes and pops up to 12 steps, beside plain arithmetic: what waits is always a run of numbers.
    fn exhaust<const N: usize>() {
        for steps in 0_u32..1 << 12 {
            let mut queue = Queue::<N>::of(TaskId(7));
            let (mut oldest, mut next) = (0, 0);
            for step in 0..12 {
                if steps >> step & 1 == 1 {
                    let has_room = next - oldest < u64::try_from(N).unwrap();
                    assert_eq!(queue.push_back(job(next)), has_room);
                    next += u64::from(has_room);
                } else {
                    queue.pop_front();
                    oldest += u64::from(oldest < next);
                }
                assert!(queue.iter().eq((oldest..next).map(job)), "{N} entries, steps {steps:012b}, {step}");
                assert_eq!(queue.front(), (oldest < next).then(|| job(oldest)));
                assert_eq!(u64::try_from(queue.len()).unwrap(), next - oldest);
            }
        }
    }

    #[test]
    fn jobs_leave_in_the_order_in_which_they_came() {
        exhaust::<0>();
        exhaust::<1>();
        exhaust::<2>();
        exhaust::<3>();
        exhaust::<5>();
    }

    #[test]
    fn a_ring_longer_than_any_plan_s_queue_refuses_what_it_cannot_count() {
        // Too large for a thread's stack.
        static QUEUE: Mutex<Queue<65_540>> = Mutex::new(Queue::of(TaskId(7)));
        let mut queue = QUEUE.lock().unwrap();
        assert!((0..65_535).all(|request| queue.push_back(job(request))));
        assert!(!queue.push_back(job(65_535)));
        (0..40_000).for_each(|_| queue.pop_front());
        assert!((65_535..105_535).all(|request| queue.push_back(job(request))), "around the end");
        assert!(queue.iter().eq((40_000..105_535).map(job)));
    }
}
