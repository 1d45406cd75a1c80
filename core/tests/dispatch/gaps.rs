//! Tasks without slots run between the slots of others, and in no one's way.

use crate::bench::{Bench, at, bench_of, lane, started, task, timed};
use aegis_core::desc::{Answer, LaneDesc, Policy, Preemption, Slot, TaskDesc};
use aegis_core::dispatch::Event;
use aegis_core::trace::Reason;
use aegis_core::{Duration, TaskId};

const fn slot(at: u64) -> Slot {
    Slot { at: Duration::from_ns(at), task: TaskId(0) }
}

/// A lane with slots at 10 and 40 of every 50 for task 0, and an overhead of 1.
fn tabled() -> LaneDesc {
    const SLOTS: &[Slot] = &[slot(10), slot(40)];
    let preemption = Preemption::Segments;
    LaneDesc { hyperperiod: Duration::from_ns(50), slots: SLOTS, preemption, ..lane(Policy::TimeTriggered, 1) }
}

/// Task 0 for the slots, at 5 and every 25; and three more: executing for 3, in two segments of 4, and for 9.
fn gaps() -> Bench<4, 1> {
    const TWO: &[Duration] = &[Duration::from_ns(4), Duration::from_ns(4)];
    let of = |priority: u16, wcet: u64| {
        let (wcet, period) = (Duration::from_ns(wcet), Duration::from_ns(20));
        TaskDesc { wcet, budget: wcet, period, deadline: period, ..task(0, priority) }
    };
    bench_of([tabled()], [timed(5, 25), of(4, 3), TaskDesc { segments: TWO, ..of(3, 8) }, of(9, 9)])
}

#[test]
fn a_segment_begins_in_a_gap_only_if_it_ends_before_the_next_slot() {
    for (now, begins) in [(6, true), (7, false)] {
        let mut bench = gaps();
        let actions = bench.submit(1, now);
        assert_eq!(started(&actions, 0), begins.then_some(1), "3 and an overhead of 1, from {now} on");
        if begins {
            assert_eq!(bench.decision(), (1, None, Reason::InGap, 2), "the slot's job waits, too");
            assert_eq!(started(&bench.complete(0, 7, 10), 0), Some(0), "the slot begins on time");
        } else {
            assert_eq!(actions.wake_at, Some(at(10)));
            assert_eq!(started(&bench.timer(10), 0), Some(0));
            assert_eq!(
                started(&bench.complete(0, 11, 12), 0),
                Some(1),
                "the gap begins as soon as the slot's job is done"
            );
        }
    }
}

#[test]
fn the_most_important_goes_first_and_where_it_does_not_fit_nothing_does() {
    let mut bench = gaps();
    bench.submit(3, 6);
    // 4 and an overhead of 1 would end at 11; the one of 3 would fit, and waits behind.
    assert_eq!(started(&bench.submit(2, 6), 0), None);
    assert_eq!(started(&bench.submit(1, 6), 0), None);
    assert_eq!(started(&bench.timer(10), 0), Some(0));
    assert_eq!(started(&bench.complete(0, 11, 12), 0), Some(2));
    assert_eq!(bench.decision(), (2, Some(1), Reason::InGap, 3));
    assert_eq!(started(&bench.complete(0, 13, 17), 0), Some(2), "its second segment");
    assert_eq!(started(&bench.complete(0, 18, 22), 0), Some(1));
    assert_eq!(started(&bench.complete(0, 23, 26), 0), Some(3));
    assert_eq!(bench.decision(), (3, None, Reason::InGap, 1));
}

#[test]
fn a_slot_without_a_job_leaves_its_gap_to_others() {
    let mut bench = gaps();
    // Before the first arrival the slot at 40 of the lap before does not exist; the one at 10 has a job.
    bench.timer(10);
    bench.complete(0, 11, 12);
    bench.step(Event::Stop { end: at(13) }, 12);
    let waits = bench.step(Event::Timer, 37);
    assert_eq!(waits.wake_at, None, "nothing waits");
    let mut bench = gaps();
    bench.step(Event::Stop { end: at(30) }, 0);
    bench.timer(10);
    bench.complete(0, 11, 12);
    let actions = bench.try_step(Event::Submit { task: TaskId(1), arrival: at(29) }, 38).unwrap();
    assert_eq!((started(&actions, 0), actions.wake_at), (None, Some(at(40))));
    let actions = bench.timer(40);
    assert_eq!((started(&actions, 0), actions.wake_at), (None, Some(at(41))), "a job may still come");
    assert_eq!(started(&bench.timer(41), 0), Some(1));
}

#[test]
fn a_submission_that_is_seen_late_takes_no_slot_from_what_arrived_before() {
    let mut bench = gaps();
    // The timer comes too late for the arrival at 5 and for the slot at 10; the submission arrived after both.
    let actions = bench.submit(1, 12);
    assert_eq!(started(&actions, 0), Some(0));
    assert_eq!(bench.decision(), (0, None, Reason::InTable, 2));
}

#[test]
fn an_overrun_in_a_gap_makes_the_slot_late_and_is_recorded() {
    let mut bench = gaps();
    assert_eq!(started(&bench.submit(1, 6), 0), Some(1));
    bench.timer(10);
    let late = bench.timer(12);
    assert_eq!(started(&late, 0), None, "it cannot be stopped");
    assert!(bench.seen().iter().any(|kind| matches!(kind, aegis_core::trace::Kind::Overran { .. })));
    assert_eq!(started(&bench.complete(0, 7, 15), 0), Some(0));
}

#[test]
fn after_a_late_job_is_dropped_the_next_one_is_looked_at_once() {
    let late = |task: TaskDesc| TaskDesc { on_miss: Answer::AbortJob, queue: 4, ..task };
    let ns = Duration::from_ns;
    let of =
        |priority, deadline| late(TaskDesc { wcet: ns(2), period: ns(5), deadline: ns(deadline), ..task(0, priority) });
    let mut bench = bench_of([tabled()], [timed(5, 25), of(1, 4), of(2, 90)]);
    // Of 2 and an overhead of 1, seen too late for the gap before the slot at 10.
    bench.submit(1, 8);
    bench.submit(2, 8);
    bench.timer(10);
    let dropped = bench.complete(0, 11, 14);
    assert_eq!((started(&dropped, 0), dropped.wake_at), (None, Some(at(15))), "its deadline was 12");
    assert_eq!(started(&bench.timer(15), 0), Some(2));
}
