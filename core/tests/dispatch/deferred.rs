//! Arrivals that are submitted too early or ahead, and come when they may.

use crate::bench::*;
use aegis_core::desc::{Answer, LevelDesc, ModeDesc, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Event, Refused, State, count_unfinished};
use aegis_core::trace::Kind;
use aegis_core::{Duration, Instant, LaneId, LevelId, ModeId, TaskId};

const LEVEL: LevelDesc =
    LevelDesc { name: "level", shed: &[], reject: &[], pools: &[], models: &[], moves: &[], settles: Duration::ZERO };

/// Of period 10 with a queue of 2.
fn deferring() -> TaskDesc {
    TaskDesc { defers: true, ..task(0, 0) }
}

fn arriving(arrival: u64) -> Event {
    Event::Submit { task: TaskId(0), arrival: at(arrival) }
}

fn deferred(arrival: u64, pending: u16) -> Kind {
    Kind::Deferred { task: TaskId(0), arrival: at(arrival), pending }
}

fn forgone(arrival: u64, count: u16) -> Kind {
    Kind::Forgone { task: TaskId(0), arrival: at(arrival), count }
}

/// When jobs of the task arrived, with their deadlines.
fn arrived<const TASKS: usize, const LANES: usize>(bench: &mut Bench<TASKS, LANES>) -> Vec<u64> {
    let arrival = |kind| match kind {
        Kind::Submitted { job, arrival, .. } if job.task.0 == 0 => Some(arrival.as_ns()),
        _ => None,
    };
    bench.seen().into_iter().filter_map(arrival).collect()
}

fn wake<const LANES: usize>(actions: aegis_core::dispatch::Actions<LANES>) -> Option<u64> {
    actions.wake_at.map(Instant::as_ns)
}

#[test]
fn what_comes_too_early_arrives_a_period_after_the_last_one_and_its_deadline_counts_from_then() {
    let mut bench = bench(FP, [deferring()]);
    bench.submit(0, 3);
    bench.complete(0, 3, 4);
    assert_eq!(arrived(&mut bench), [3]);
    assert_eq!(wake(bench.submit(0, 5)), Some(13));
    assert_eq!(wake(bench.submit(0, 6)), Some(13));
    assert_eq!(bench.seen(), [deferred(13, 1), deferred(23, 2)]);
    bench.timer(12);
    assert_eq!(bench.seen(), []);
    let start = bench.timer(14).start;
    assert_eq!(start[0].map(|job| (job.arrival, job.deadline)), Some((at(13), at(23))));
    assert_eq!(wake(bench.complete(0, 14, 15)), Some(23));
    assert_eq!(arrived(&mut bench), [13]);
    bench.timer(23);
    assert_eq!(wake(bench.complete(0, 23, 24)), None, "nothing more is deferred");
    assert_eq!(arrived(&mut bench), [23]);
    bench.submit(0, 33);
    assert_eq!(arrived(&mut bench), [33], "nothing is deferred that may come");
}

#[test]
fn what_is_submitted_when_all_that_is_deferred_is_due_arrives_after_it() {
    let mut bench = bench(FP, [deferring()]);
    bench.submit(0, 0);
    bench.complete(0, 0, 1);
    bench.submit(0, 2);
    bench.seen();
    // The step that releases what was deferred to 10 is late, and this one comes first.
    bench.submit(0, 30);
    assert_eq!(arrived(&mut bench), [10, 30]);
    // So it is for one of several; what is still to come keeps its place.
    bench.complete(0, 30, 31);
    bench.complete(0, 31, 32);
    bench.submit(0, 33);
    bench.submit(0, 34);
    assert_eq!(
        bench.seen().into_iter().filter(|kind| matches!(kind, Kind::Deferred { .. })).count(),
        2,
        "to 40 and 50"
    );
    bench.refuses(arriving(65), 45, Refused::TooEarly { earliest: at(60) });
    bench.submit(0, 65);
    let seen = bench.seen();
    let full = Kind::Rejected { task: TaskId(0), arrival: at(65), count: 1 };
    assert!(seen.contains(&full), "two wait that came before it: {seen:?}");
}

#[test]
fn as_many_are_deferred_as_the_queue_is_long_and_more_are_told_when() {
    let mut bench = bench(FP, [deferring()]);
    bench.submit(0, 0);
    bench.submit(0, 1);
    bench.submit(0, 2);
    bench.seen();
    // At 30 only from 10 on, when the first of them has come.
    bench.refuses(arriving(3), 3, Refused::TooManyDeferred { earliest: at(10) });
    bench.refuses(arriving(9), 9, Refused::TooManyDeferred { earliest: at(10) });
    bench.submit(0, 10);
    let mut seen = bench.seen();
    seen.retain(|kind| matches!(kind, Kind::Submitted { .. } | Kind::Deferred { .. }));
    assert!(matches!(seen[..], [Kind::Submitted { .. }, kind] if kind == deferred(30, 2)), "{seen:?}");
}

#[test]
fn an_arrival_may_be_told_ahead_but_not_with_a_gap_after_one_that_is_deferred() {
    let mut bench = bench(FP, [deferring()]);
    bench.refuses(arriving(21), 0, Refused::TooManyDeferred { earliest: at(1) });
    bench.step(arriving(20), 0);
    assert_eq!(bench.seen(), [deferred(20, 1)]);
    bench.refuses(arriving(31), 11, Refused::TooEarly { earliest: at(30) });
    bench.step(arriving(25), 11);
    assert_eq!(bench.seen(), [deferred(30, 2)]);
    bench.timer(20);
    bench.timer(30);
    assert_eq!(arrived(&mut bench), [20, 30]);
}

#[test]
fn a_task_that_rejects_refuses_what_comes_early_and_what_lies_ahead() {
    let mut bench = bench(FP, [task(0, 0)]);
    bench.refuses(arriving(1), 0, Refused::TooEarly { earliest: at(0) });
    bench.submit(0, 0);
    bench.refuses(arriving(9), 9, Refused::TooEarly { earliest: at(10) });
}

#[test]
fn a_late_step_releases_all_that_are_due_in_order_and_what_the_queue_does_not_hold_is_rejected() {
    let mut bench =
        bench(FP, [TaskDesc { queue: 1, ..deferring() }, TaskDesc { priority: task(0, 9).priority, ..task(0, 9) }]);
    bench.submit(1, 0);
    bench.submit(0, 0);
    bench.submit(0, 1);
    bench.seen();
    // An hour later the lane still runs the first job.
    bench.timer(3_600_000_000_000);
    let seen = bench.seen();
    assert!(seen.contains(&Kind::Rejected { task: TaskId(0), arrival: at(10), count: 1 }), "{seen:?}");
    bench.complete(0, 0, 3_600_000_000_001);
    bench.submit(0, 3_600_000_000_001);
    assert_eq!(arrived(&mut bench), [3_600_000_000_001]);
}

#[test]
fn the_timer_of_other_tasks_goes_on_beside_deferred_arrivals() {
    let mut bench = bench(FP, [deferring(), TaskDesc { priority: task(0, 1).priority, ..timed(4, 7) }]);
    bench.submit(0, 0);
    assert_eq!(wake(bench.submit(0, 1)), Some(3), "the budget");
    bench.complete(0, 1, 2);
    let mut wakes = Vec::new();
    let mut now = 4;
    while now < 40 {
        let actions = bench.timer(now);
        wakes.push(now);
        let done = bench.complete(0, now, now);
        now = done.wake_at.or(actions.wake_at).unwrap().as_ns();
    }
    assert_eq!(wakes, [4, 10, 11, 18, 25, 32, 39]);
}

#[test]
fn skip_next_drops_a_deferred_arrival_like_any() {
    let mut bench = bench(FP, [TaskDesc { on_overrun: Answer::SkipNext, ..deferring() }]);
    bench.submit(0, 0);
    bench.submit(0, 1);
    bench.complete(0, 0, 3);
    bench.seen();
    assert_eq!(bench.timer(10).start, [None]);
    assert_eq!(bench.seen(), [Kind::Skipped { task: TaskId(0), arrival: at(10) }]);
    bench.refuses(arriving(40), 19, Refused::TooManyDeferred { earliest: at(20) });
    assert_eq!(wake(bench.submit(0, 19)), Some(20), "the skipped one counts as if it had come");
}

#[test]
fn a_level_withholds_a_deferred_arrival_when_it_comes() {
    let level = LevelDesc { reject: &[TaskId(0)], ..LEVEL };
    let system = SystemDesc { levels: vec![level].leak(), ..*system(vec![lane(FP, 0)], vec![deferring()]) };
    let system: &'static SystemDesc = Box::leak(Box::new(system));
    let mut bench: Bench<1, 1> = Bench { system, state: State::new(system).unwrap(), log: Log::default() };
    bench.submit(0, 0);
    bench.submit(0, 1);
    bench.submit(0, 2);
    bench.complete(0, 0, 2);
    bench.step(Event::Pressure { level: Some(LevelId(0)) }, 5);
    bench.seen();
    assert_eq!(bench.timer(10).start, [None]);
    assert_eq!(bench.seen(), [Kind::Withheld { task: TaskId(0), arrival: at(10), count: 1, level: LevelId(0) }]);
    bench.step(Event::Pressure { level: None }, 15);
    bench.timer(20);
    assert_eq!(arrived(&mut bench), [20], "what is deferred beyond the level comes");
}

#[test]
fn a_mode_that_is_left_drops_what_is_deferred_and_its_places_are_used_up() {
    let of = |tasks: &'static [TaskId]| ModeDesc { name: "", tasks, lanes: &[], proven: &[], leaves: Duration::ZERO };
    let modes = vec![of(&[TaskId(0), TaskId(1)]), of(&[TaskId(1)])];
    let tasks = vec![deferring(), TaskDesc { defers: true, lane: LaneId(0), ..task(0, 1) }];
    let system: &'static SystemDesc =
        Box::leak(Box::new(SystemDesc { modes: modes.leak(), ..*system(vec![lane(FP, 0)], tasks) }));
    let mut bench: Bench<2, 1> = Bench { system, state: State::new(system).unwrap(), log: Log::default() };
    let other = |arrival| Event::Submit { task: TaskId(1), arrival: at(arrival) };
    bench.submit(0, 0);
    bench.submit(0, 1);
    bench.submit(0, 1);
    bench.step(other(15), 1);
    bench.complete(0, 0, 2);
    bench.seen();
    bench.step(Event::Mode { mode: ModeId(1) }, 4);
    let seen = bench.seen();
    assert!(seen.contains(&forgone(10, 2)), "{seen:?}");
    bench.refuses(arriving(5), 5, Refused::NotInMode { task: TaskId(0) });
    assert_eq!(wake(bench.timer(5)), Some(15), "that of both modes stays");
    bench.step(Event::Mode { mode: ModeId(0) }, 6);
    assert_eq!(wake(bench.submit(0, 11)), Some(15));
    assert!(bench.seen().contains(&deferred(30, 1)), "as if 10 and 20 had come");
}

#[test]
fn the_end_of_a_run_is_kept_and_what_is_deferred_beyond_a_sudden_one_is_told() {
    let mut bench = bench(FP, [deferring()]);
    bench.step(Event::Stop { end: at(20) }, 0);
    bench.submit(0, 0);
    bench.submit(0, 1);
    bench.refuses(arriving(2), 2, Refused::NotSubmittable { task: TaskId(0) });
    bench.step(Event::Stop { end: at(8) }, 8);
    assert_eq!(wake(bench.complete(0, 0, 8)), None);
    bench.timer(30);
    assert!(bench.state.is_idle());
    let mut log = Log::default();
    count_unfinished(bench.system, &mut bench.state, at(30), &mut log);
    assert_eq!(log.0, [(30, Kind::Ended), (30, forgone(10, 1))]);
}

#[test]
fn the_end_of_the_time_range_is_refused_and_never_wraps() {
    let far = u64::MAX - 21;
    let mut bench = bench(FP, [deferring()]);
    bench.submit(0, far);
    bench.step(arriving(far), far);
    assert_eq!(bench.try_step(arriving(far), far), Err(Refused::OutOfRange), "its deadline would lie beyond");
}
