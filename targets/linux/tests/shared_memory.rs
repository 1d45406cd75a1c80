//! Mailbox and submissions with the system's own threads; `loom` tries the orders that these may never meet.
#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions only, not their helpers")]

#[path = "common/fixture.rs"]
mod fixture;

mod mailbox {
    use aegis_core::desc::Waiting;
    use aegis_linux::mailbox::{Full, Mailbox};
    use std::sync::Arc;

    #[test]
    fn a_second_value_is_refused_until_the_first_is_taken() {
        for waiting in Waiting::ALL {
            let mailbox = Mailbox::new(waiting);
            assert_eq!(mailbox.put(1), Ok(()));
            assert_eq!(mailbox.put(2), Err(Full));
            assert_eq!(mailbox.try_take(), Some(1));
            assert_eq!(mailbox.try_take(), None);
            assert_eq!(mailbox.put(3), Ok(()));
            assert_eq!(mailbox.take(), Some(3));
        }
    }

    #[test]
    fn a_closed_mailbox_gives_what_is_left_and_then_ends() {
        for waiting in Waiting::ALL {
            let mailbox = Arc::new(Mailbox::new(waiting));
            mailbox.put(7).unwrap();
            mailbox.close();
            assert_eq!(mailbox.put(8), Err(Full));
            assert_eq!((mailbox.take(), mailbox.take(), mailbox.take()), (Some(7), None, None));
        }
    }

    #[test]
    fn every_value_crosses_the_threads_in_order() {
        for waiting in Waiting::ALL {
            let there: Arc<Mailbox<u32>> = Arc::new(Mailbox::new(waiting));
            let back: Arc<Mailbox<u32>> = Arc::new(Mailbox::new(waiting));
            let (receiver, answer) = (Arc::clone(&there), Arc::clone(&back));
            let thread = std::thread::spawn(move || {
                while let Some(value) = receiver.take() {
                    answer.put(value * 2).unwrap();
                }
            });
            // Threads that look share this machine's cores with all others.
            for value in 0..1_000 {
                there.put(value).unwrap();
                assert_eq!(back.take(), Some(value * 2));
            }
            there.close();
            thread.join().unwrap();
        }
    }
}

mod submissions {
    use crate::fixture::system;
    use aegis_core::desc::{Release, SystemDesc, TaskDesc, Waiting};
    use aegis_core::{Duration, Instant, TaskId};
    use aegis_linux::bell::Bell;
    use aegis_linux::clock::Clock;
    use aegis_linux::submissions::{Submissions, SubmitError};
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
        let bell = Arc::new(Bell::new(Waiting::Blocking).unwrap());
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
        assert_eq!(submissions.submit(task), Err(SubmitError::Ended));
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

    #[test]
    fn what_a_task_defers_is_told_its_arrival_and_taken_one_a_turn() {
        const HOUR: u64 = 3_600_000_000_000;
        let base = vehicle(HOUR);
        let tasks: Vec<TaskDesc> = base.tasks.iter().map(|task| TaskDesc { queue: 2, ..*task }).collect();
        let tasks = [tasks[0], TaskDesc { defers: true, ..tasks[1] }];
        let submissions =
            Submissions::new(Box::leak(Box::new(SystemDesc { tasks: Box::leak(Box::new(tasks)), ..*base })));
        let bell = open(&submissions);
        let told: Vec<Instant> = (0..3).map(|_| submissions.submit(TaskId(1)).unwrap()).collect();
        let first = told[0].as_ns();
        let after = |hours| Instant::from_ns(first + hours * HOUR);
        assert_eq!(told, [after(0), after(1), after(2)]);
        assert!(bell.hear());
        let refused = submissions.submit(TaskId(1)).unwrap_err();
        assert!(
            matches!(refused, SubmitError::TooManyDeferred { now, earliest } if earliest == after(1) && now < earliest),
            "{refused}"
        );
        assert!(refused.to_string().contains("as many arrivals are deferred as the task's queue is long"));
        assert!(!bell.hear(), "what is refused wakes nobody");
        for (number, arrival) in told.into_iter().enumerate() {
            assert_eq!(submissions.take(0), Some((TaskId(1), arrival)));
            assert_eq!(bell.hear(), number < 2, "while more wait the bell rings");
        }
        assert_eq!(submissions.take(0), None);
    }

    #[test]
    fn nothing_is_deferred_to_the_end_of_the_run_or_beyond() {
        const HOUR: u64 = 3_600_000_000_000;
        let base = vehicle(HOUR);
        let tasks = [base.tasks[0], TaskDesc { defers: true, ..base.tasks[1] }];
        let submissions =
            Submissions::new(Box::leak(Box::new(SystemDesc { tasks: Box::leak(Box::new(tasks)), ..*base })));
        let _bell = open(&submissions);
        submissions.close(Instant::from_ns(HOUR));
        let first = submissions.submit(TaskId(1)).unwrap();
        assert!(first.as_ns() < HOUR);
        assert_eq!(submissions.submit(TaskId(1)), Err(SubmitError::Ended));
        assert_eq!(submissions.take(0), Some((TaskId(1), first)));
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
