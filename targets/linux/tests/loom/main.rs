//! The primitives through which threads share memory, in every order of their steps, without a bound on preemptions.
//!
//! The files under test are the vehicle's own, compiled with loom's locks and atomics in place of the standard library's. What the
//! system does is stood in for: [`bell::Bell`] behaves as an `eventfd`, and [`clock::Clock`] moves on by one at each reading.
//! So the order of calls in `lane::serve` and in the loop is that of these models, written again; the ring of trace records is
//! heapless' own and not among them.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "the files are made for the library")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a model stops at whatever it did not expect")]

#[path = "../../src/admissions.rs"]
mod admissions;
mod arrivals;
mod asked;
#[path = "../../src/changes.rs"]
mod changes;
#[path = "../../src/input/exchange.rs"]
mod exchange;
#[path = "exchange.rs"]
mod exchanged;
#[path = "../../src/guarantee.rs"]
mod guarantee;
#[path = "../../src/mailbox.rs"]
mod mailbox;
#[path = "../../src/modes.rs"]
mod modes;
#[path = "../../src/worker/page.rs"]
mod page;
mod pages;
#[path = "../../src/pressure.rs"]
mod pressure;
#[path = "../../src/pulse.rs"]
mod pulse;
#[path = "../../src/reclaim.rs"]
mod reclaim;
#[path = "../../src/submissions.rs"]
mod submissions;
#[path = "../../src/worker/switch.rs"]
mod switch;

mod sync {
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic};
    pub(crate) use std::sync::PoisonError;
}

mod bell {
    use loom::sync::{Condvar, Mutex};

    /// What an `eventfd` does: rings add up, one hearing takes them all.
    #[derive(Debug)]
    pub struct Bell {
        rung: Mutex<bool>,
        changed: Condvar,
    }

    impl Bell {
        pub fn new() -> Self {
            Self { rung: Mutex::new(false), changed: Condvar::new() }
        }

        pub fn ring(&self) {
            *self.rung.lock().unwrap() = true;
            self.changed.notify_one();
        }

        pub fn hear(&self) -> bool {
            std::mem::take(&mut *self.rung.lock().unwrap())
        }

        /// What `poll` does before [`Bell::hear`].
        pub fn wait(&self) {
            let mut rung = self.rung.lock().unwrap();
            while !*rung {
                rung = self.changed.wait(rung).unwrap();
            }
        }
    }
}

mod clock {
    use aegis_core::Instant;
    use std::cell::Cell;

    // Loom runs all threads of a model on one of the system's.
    thread_local! {
        static READINGS: Cell<u64> = const { Cell::new(0) };
    }

    /// Later at each reading, whoever reads.
    #[derive(Clone, Copy, Debug)]
    pub struct Clock;

    impl Clock {
        pub fn starting() -> Self {
            READINGS.set(0);
            Self
        }

        pub fn now(&self) -> Instant {
            Instant::from_ns(READINGS.replace(READINGS.get() + 1))
        }
    }
}

#[path = "../common/fixture.rs"]
mod fixture;

use aegis_core::desc::{OnStall, Waiting, WatchdogDesc};
use aegis_core::trace::VoidReason;
use aegis_core::{Bytes, Duration, LevelId, TaskId};
use bell::Bell;
use guarantee::Guarantee;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use mailbox::{Full, Mailbox};
use pulse::Pulse;
use reclaim::{Order, Reclaim};
use std::sync::Arc;

macro_rules! models {
    ($($name:ident: $model:expr;)*) => {
        $(
            #[test]
            fn $name() {
                loom::model($model);
            }
        )*
    };
}

models! {
    a_job_crosses_and_its_end_is_there_when_the_bell_rings_for_it: || lane(Waiting::Blocking);
    a_job_crosses_to_a_lane_that_looks_for_it_again_and_again: || lane(Waiting::Polling);
    a_mailbox_that_is_closed_gives_what_is_left_and_wakes_who_waits: || closed(Waiting::Blocking);
    a_mailbox_that_is_closed_gives_what_is_left_to_who_looks_again_and_again: || closed(Waiting::Polling);
    a_full_slot_is_refused_and_nothing_that_was_put_is_lost: full;
    of_two_who_submit_what_is_accepted_is_taken_once_and_a_period_lies_between: arrivals::submitted;
    of_two_who_submit_too_early_each_is_told_when_it_arrives_and_it_is_taken_so: arrivals::deferred;
    what_is_submitted_after_more_than_a_period_is_taken_as_it_was_told: arrivals::deferred_with_gaps;
    every_arrival_that_is_deferred_is_rung_for: arrivals::deferred_and_rung;
    what_was_accepted_before_a_look_is_taken_by_it_whoever_submits_meanwhile: arrivals::accepted_before;
    an_arrival_that_is_accepted_is_there_when_the_bell_rings_for_it: arrivals::rung;
    what_was_asked_for_last_holds_in_the_end: asked::pressed;
    level_and_mode_change_one_after_the_other_and_neither_is_forgotten: asked::changed;
    what_the_application_and_a_source_ask_for_at_once_is_both_kept: asked::watched;
    a_mode_that_is_asked_for_during_a_change_waits_for_its_end: asked::changing;
    of_two_who_admit_a_task_one_does_and_it_is_done_once: asked::admitted;
    what_a_level_left_unused_is_there_before_it_is_used_again: reclaimed;
    each_reason_that_voids_the_guarantee_is_rung_for_and_recorded_once: voided;
    of_two_who_void_it_for_one_reason_one_is_the_first_and_it_is_recorded_once: voided_twice;
    after_the_end_was_told_nothing_is_accepted: arrivals::told_the_end;
    who_sees_the_end_of_a_run_sees_what_stood_still_before_it: ended;
    each_order_to_a_process_is_answered_once_and_whole: pages::answered;
    a_process_that_answers_while_it_is_lost_leaves_no_lane_waiting: pages::lost;
    a_process_that_is_lost_before_it_answers_leaves_no_lane_waiting: pages::lost_without_an_answer;
    a_process_that_is_told_to_end_ends_whether_it_waits_or_not: pages::told_to_end;
    what_a_lane_uses_is_replaced_between_two_of_its_jobs_and_never_in_one: replaced;
    each_order_that_a_process_looks_for_is_answered_once_and_whole: pages::looked_for;
    a_process_that_is_lost_leaves_no_lane_looking: pages::lost_while_looked_at;
    a_process_that_is_told_to_end_looks_no_more: pages::told_to_end_while_looking;
}

/// A lane's loop and the orchestration thread's, as `lane::serve` and `orchestrate::run` have them.
fn lane(waiting: Waiting) {
    let (jobs, done) = (Arc::new(Mailbox::new(waiting)), Arc::new(Mailbox::new(waiting)));
    let bell = Arc::new(Bell::new());
    let (own_jobs, own_done, own_bell) = (Arc::clone(&jobs), Arc::clone(&done), Arc::clone(&bell));
    let lane = thread::spawn(move || {
        while let Some(job) = own_jobs.take() {
            assert_eq!(own_done.put(job + 100), Ok(()), "the orchestration thread has taken the end before");
            own_bell.ring();
        }
    });
    for job in 0..2 {
        assert_eq!(jobs.put(job), Ok(()), "the lane has taken the job before");
        bell.wait();
        assert!(bell.hear());
        assert_eq!(done.try_take(), Some(job + 100));
    }
    jobs.close();
    lane.join().unwrap();
}

/// Jobs of a lane, the orchestration thread and the one that restarts, as `orchestrate::Loop::restore` and `restart::again` have
/// them: each process is the number of its life. That jobs and their ends cross is another model's: here a job is a thread.
fn replaced() {
    let switch = Arc::new(switch::Switch::new(0));
    let (life, offered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let job = |expected: u32| {
        let (switch, life) = (Arc::clone(&switch), Arc::clone(&life));
        thread::spawn(move || {
            let own = u32::try_from(life.load(Ordering::Acquire)).unwrap();
            let used = switch.with(own, |own| *own);
            assert_eq!((own, used), (expected, Some(expected)), "it waits for nobody, and finds its own");
        })
    };
    // The job during which the domain fails.
    let last = job(0);
    let restarting = {
        let (switch, life, offered) = (Arc::clone(&switch), Arc::clone(&life), Arc::clone(&offered));
        thread::spawn(move || {
            assert_eq!(switch.put(1, 1), None);
            offered.store(true, Ordering::Release);
            while life.load(Ordering::Acquire) != 1 {
                thread::yield_now();
            }
            assert_eq!(switch.take(0), Some(0), "no job uses it any more");
        })
    };
    last.join().unwrap();
    while !offered.load(Ordering::Acquire) {
        thread::yield_now();
    }
    life.store(1, Ordering::Release);
    job(1).join().unwrap();
    restarting.join().unwrap();
}

fn closed(waiting: Waiting) {
    let mailbox = Arc::new(Mailbox::new(waiting));
    let own = Arc::clone(&mailbox);
    let receiver = thread::spawn(move || (own.take(), own.take()));
    let put = mailbox.put(1);
    mailbox.close();
    assert_eq!((put, mailbox.put(2)), (Ok(()), Err(Full)));
    assert_eq!(receiver.join().unwrap(), (Some(1), None));
}

fn full() {
    let mailbox = Arc::new(Mailbox::new(Waiting::Blocking));
    let put = |value| {
        let own = Arc::clone(&mailbox);
        thread::spawn(move || own.put(value).is_ok())
    };
    let (first, second) = (put(1), put(2));
    let early = mailbox.try_take();
    let (first, second) = (first.join().unwrap(), second.join().unwrap());
    let taken: Vec<_> = early.into_iter().chain(mailbox.try_take()).collect();
    assert_eq!(taken.len(), usize::from(first) + usize::from(second), "{taken:?}");
    assert!(!taken.is_empty() && taken.contains(&1) == first && taken.contains(&2) == second, "{taken:?}");
}

const TASK: TaskId = TaskId(0);

fn voided() {
    let (guarantee, bell) = (Guarantee::new(), Arc::new(Bell::new()));
    guarantee.open(Arc::clone(&bell));
    let says = |reasons: &'static [VoidReason]| {
        let own = Arc::clone(&guarantee);
        thread::spawn(move || reasons.iter().filter(|reason| own.void(**reason)).count())
    };
    let looking = says(&[VoidReason::TooHot, VoidReason::OtherClocks]);
    // As the loop does: it looks where it was rung for.
    let mut told = Vec::new();
    while told.len() < 2 {
        bell.wait();
        bell.hear();
        while let Some(reason) = guarantee.take() {
            assert!(!guarantee.is_valid(), "whoever asks knew before it is recorded");
            told.push(reason);
        }
    }
    assert_eq!(looking.join().unwrap(), 2);
    assert_eq!((told.contains(&VoidReason::TooHot), told.contains(&VoidReason::OtherClocks)), (true, true));
    assert_eq!((guarantee.take(), guarantee.reasons().count()), (None, 2));
}

fn voided_twice() {
    let guarantee = Guarantee::new();
    let own = Arc::clone(&guarantee);
    let other = thread::spawn(move || own.void(VoidReason::TooHot));
    let early = guarantee.take();
    let is_first = guarantee.void(VoidReason::TooHot);
    assert!(is_first != other.join().unwrap(), "one of two who say the same is the first");
    let told: Vec<_> = early.into_iter().chain(guarantee.take()).chain(guarantee.take()).collect();
    assert_eq!(told, [VoidReason::TooHot]);
}

fn ended() {
    let desc = WatchdogDesc { timeout: Duration::from_ns(10), device: None, on_stall: OnStall::StopPetting };
    for latches in [false, true] {
        let pulse = Arc::new(Pulse::new(desc));
        let own = Arc::clone(&pulse);
        let orchestration = thread::spawn(move || {
            own.due(5);
            own.stalled(true);
            if latches {
                own.latch();
            }
            own.stalled(false);
            own.end(true);
        });
        if let Some(clean) = pulse.ended() {
            assert_eq!(clean, !latches);
            assert_eq!((pulse.overdue(15), pulse.overdue(16)), (None, Some(11)));
        }
        orchestration.join().unwrap();
        // The main thread says so of a thread that could not; here it could.
        pulse.end(false);
        assert_eq!(pulse.ended(), Some(!latches));
    }
}

/// What is given back jobs have used before, and it is there before they use it again; twice.
fn reclaimed() {
    const LEVEL: LevelId = LevelId(0);
    let reclaim = Reclaim::new(Box::new([1]));
    let (jobs, is_there) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let (own, used, memory) = (Arc::clone(&reclaim), Arc::clone(&jobs), Arc::clone(&is_there));
    let reclaiming = thread::spawn(move || {
        let mut kept = 0;
        while kept < 2 {
            let Some(next) = own.next() else {
                thread::yield_now();
                continue;
            };
            let gives = next.order == Order::Give(LEVEL);
            if gives {
                assert!(used.load(Ordering::Relaxed) > kept, "a job that was over before is not over here");
            }
            memory.store(!gives, Ordering::Relaxed);
            own.has_done(next, Bytes(u64::from(gives)));
            kept += usize::from(!gives);
        }
    });
    for round in 1..=2 {
        jobs.store(round, Ordering::Relaxed);
        reclaim.has_settled(LEVEL);
        while !reclaim.provide(None) {
            thread::yield_now();
        }
        assert!(is_there.load(Ordering::Relaxed), "a job would meet what is not there");
    }
    reclaiming.join().unwrap();
}
