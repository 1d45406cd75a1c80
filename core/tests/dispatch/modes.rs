//! Changes of the mode: who goes on, who stops, who begins and when, and what is refused.

use crate::bench::*;
use aegis_core::desc::{Answer, BETWEEN_LEVELS, LaneDesc, ModeDesc, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Event, Refused, State};
use aegis_core::trace::{Kind, Limit};
use aegis_core::{Duration, LaneId, ModeId, TaskId};

const LEAVES: u64 = 50;

/// A plan with these modes, each with these tasks.
fn with_modes<const TASKS: usize, const LANES: usize>(
    lanes: [LaneDesc; LANES],
    tasks: [TaskDesc; TASKS],
    modes: &[&[u16]],
) -> Bench<TASKS, LANES> {
    let modes = modes.iter().map(|tasks| {
        let tasks: Vec<TaskId> = tasks.iter().copied().map(TaskId).collect();
        let leaves = Duration::from_ns(LEAVES);
        ModeDesc { name: "mode", tasks: tasks.leak(), lanes: &[], proven: &[], leaves }
    });
    let modes: Vec<ModeDesc> = modes.collect();
    let system = Box::leak(Box::new(SystemDesc { modes: modes.leak(), ..*system(lanes.to_vec(), tasks.to_vec()) }));
    Bench { system, state: State::new(system).unwrap(), log: Log::default() }
}

fn to(mode: u16) -> Event {
    Event::Mode { mode: ModeId(mode) }
}

fn submit(task: u16, now: u64) -> Event {
    Event::Submit { task: TaskId(task), arrival: at(now) }
}

fn requested(from: u16, to: u16) -> Kind {
    Kind::ModeRequested { from: ModeId(from), to: ModeId(to), bound: Duration::from_ns(LEAVES) }
}

fn changed(from: u16, to: u16, took: u64) -> Kind {
    let (took, bound) = (Duration::from_ns(took), Duration::from_ns(LEAVES));
    Kind::ModeChanged { from: ModeId(from), to: ModeId(to), took, bound }
}

/// What a bench says of its mode.
fn modes<const TASKS: usize, const LANES: usize>(bench: &Bench<TASKS, LANES>) -> (Option<u16>, Option<u16>) {
    (bench.state.mode().map(|mode| mode.0), bench.state.next_mode().map(|mode| mode.0))
}

/// A task of the timer.
fn timed_on(lane: u16, phase: u64, period: u64) -> TaskDesc {
    TaskDesc { lane: LaneId(lane), ..timed(phase, period) }
}

/// The arrivals of a task among what was recorded.
fn arrivals(seen: &[Kind], task: u16) -> Vec<u64> {
    let arrival = |kind: &Kind| match *kind {
        Kind::Submitted { job, arrival, .. } if job.task.0 == task => Some(arrival.as_ns()),
        _ => None,
    };
    seen.iter().filter_map(arrival).collect()
}

#[test]
fn a_plan_without_modes_knows_none() {
    let mut bench = bench(FP, [task(0, 0)]);
    assert_eq!(modes(&bench), (None, None));
    bench.refuses(to(0), 1, Refused::UnknownMode { mode: ModeId(0) });
}

#[test]
fn the_first_mode_holds_at_the_start_and_its_tasks_alone_release() {
    let tasks = [timed_on(0, 0, 10), timed_on(0, 3, 10), task(0, 2), task(0, 3)];
    let mut bench = with_modes([lane(FP, 0)], tasks, &[&[0, 2], &[1, 3]]);
    assert_eq!(modes(&bench), (Some(0), None));
    assert_eq!(bench.timer(0).wake_at, Some(at(3)), "the end of the budget, and no arrival before 10");
    bench.complete(0, 0, 2);
    assert_eq!(bench.timer(5).wake_at, Some(at(10)));
    bench.refuses(submit(3, 5), 5, Refused::NotInMode { task: TaskId(3) });
    assert_eq!(started(&bench.step(submit(2, 5), 5), 0), Some(2));
    assert_eq!(arrivals(&bench.seen(), 1), []);
}

#[test]
fn another_mode_is_refused_where_there_is_none_or_a_change_is_under_way() {
    let mut bench = with_modes([lane(FP, 0)], [task(0, 0), task(0, 1)], &[&[0], &[1], &[0, 1]]);
    bench.refuses(to(3), 0, Refused::UnknownMode { mode: ModeId(3) });
    bench.submit(0, 0);
    bench.step(to(1), 1);
    assert_eq!(modes(&bench), (Some(0), Some(1)));
    for mode in [0, 1, 2] {
        bench.refuses(to(mode), 2, Refused::ChangingMode { to: ModeId(1) });
    }
    bench.refuses(to(3), 2, Refused::UnknownMode { mode: ModeId(3) });
    // Neither what leaves nor what comes releases anything meanwhile.
    bench.refuses(submit(0, 20), 20, Refused::NotInMode { task: TaskId(0) });
    bench.refuses(submit(1, 20), 20, Refused::NotInMode { task: TaskId(1) });
    bench.refuses(submit(2, 20), 20, Refused::NotSubmittable { task: TaskId(2) });
    bench.complete(0, 0, 21);
    assert_eq!(modes(&bench), (Some(1), None));
    bench.refuses(submit(0, 30), 30, Refused::NotInMode { task: TaskId(0) });
    bench.refuses(submit(1, 21), 21, Refused::TooEarly { earliest: at(22) });
    assert_eq!(started(&bench.step(submit(1, 22), 22), 0), Some(1));
}

#[test]
fn the_mode_that_holds_is_no_change() {
    let mut bench = with_modes([lane(FP, 0)], [task(0, 0), task(0, 1)], &[&[0], &[1]]);
    bench.step(to(0), 1);
    assert_eq!(bench.told(), [Kind::Stepped { event: to(0) }]);
    assert_eq!(modes(&bench), (Some(0), None));
}

#[test]
fn where_nothing_leaves_the_change_ends_at_once_and_what_comes_begins_a_nanosecond_later() {
    let tasks = [timed_on(0, 0, 10), timed_on(0, 4, 30), timed_on(0, 0, 30)];
    let mut bench = with_modes([lane(FP, 0)], tasks, &[&[0], &[0, 1, 2]]);
    bench.timer(0);
    bench.seen();
    let actions = bench.step(to(1), 1);
    assert_eq!(bench.seen(), [requested(0, 1), changed(0, 1, 0)], "although a job runs");
    assert_eq!(actions.wake_at, Some(at(2)), "the one without a phase");
    bench.timer(2);
    bench.timer(6);
    bench.complete(0, 0, 40);
    let seen = bench.seen();
    assert_eq!(
        (arrivals(&seen, 1), arrivals(&seen, 2)),
        (vec![6, 36], vec![2, 32]),
        "from the end on, each by its phase"
    );
    assert_eq!(arrivals(&seen, 0), [10, 20], "as ever; its queue is full");
}

#[test]
fn what_leaves_runs_to_its_end_and_what_stays_goes_on() {
    // Tasks: leaves, stays, comes.
    let tasks = [timed_on(0, 0, 10), timed_on(0, 5, 10), timed_on(0, 0, 10)];
    let tasks = [tasks[0], TaskDesc { queue: 4, ..tasks[1] }, tasks[2]];
    let mut bench = with_modes([lane(FP, 0)], tasks, &[&[0, 1], &[1, 2]]);
    bench.timer(0);
    bench.seen();
    // Due at the very instant of the request: released before.
    bench.step(to(1), 10);
    let seen = bench.seen();
    assert_eq!((arrivals(&seen, 0), arrivals(&seen, 1)), (vec![10], vec![5]));
    assert_eq!(seen.iter().filter(|kind| **kind == requested(0, 1)).count(), 1);
    assert_eq!(started(&bench.complete(0, 0, 12), 0), Some(0), "the second job of what leaves");
    assert_eq!(started(&bench.complete(0, 12, 14), 0), Some(1));
    assert_eq!(modes(&bench), (Some(0), Some(1)), "nothing is left of what leaves, but the lane was not idle");
    bench.timer(15);
    assert_eq!(started(&bench.complete(0, 14, 16), 0), Some(1));
    assert_eq!(bench.complete(0, 16, 19).wake_at, Some(at(20)));
    let seen = bench.seen();
    assert_eq!(seen.last(), Some(&changed(0, 1, 9)));
    assert_eq!((arrivals(&seen, 0), arrivals(&seen, 1), arrivals(&seen, 2)), (vec![], vec![15], vec![]));
    bench.timer(20);
    assert_eq!(arrivals(&bench.seen(), 2), [20]);
}

#[test]
fn a_lane_that_gets_work_at_the_instant_at_which_its_last_older_job_ends_was_idle() {
    // It would never be seen without a job.
    let tasks = [task(0, 0), TaskDesc { queue: 4, ..timed_on(0, 0, 5) }, task(0, 2)];
    let mut bench = with_modes([lane(FP, 0)], tasks, &[&[0, 1], &[1, 2]]);
    bench.timer(0);
    bench.submit(0, 1);
    bench.step(to(1), 2);
    assert_eq!(started(&bench.complete(0, 0, 3), 0), Some(0));
    bench.timer(5);
    assert_eq!(started(&bench.complete(0, 3, 8), 0), Some(1));
    assert_eq!(modes(&bench), (Some(0), Some(1)));
    // The timer is told first, then the end, both at 10.
    bench.timer(10);
    assert_eq!(modes(&bench), (Some(0), Some(1)));
    bench.seen();
    assert_eq!(started(&bench.complete(0, 8, 10), 0), Some(1));
    assert_eq!(bench.seen().last(), Some(&changed(0, 1, 8)));
}

#[test]
fn a_job_that_was_released_before_the_request_in_the_same_instant_is_waited_for() {
    let mut bench = with_modes([lane(FP, 0)], [task(0, 0), task(0, 1), task(0, 2)], &[&[0, 1], &[1, 2]]);
    bench.submit(1, 5);
    bench.submit(0, 5);
    bench.step(to(1), 5);
    assert_eq!(started(&bench.complete(0, 5, 5), 0), Some(0), "it was released at this instant, and its task leaves");
    assert_eq!(modes(&bench), (Some(0), Some(1)));
    bench.complete(0, 5, 7);
    assert_eq!(modes(&bench), (Some(1), None));
}

#[test]
fn every_lane_with_a_task_that_leaves_must_be_idle_once_and_no_other() {
    let tasks = [task(0, 0), task(1, 0), task(2, 0), task(1, 1), task(0, 1)];
    let lanes = [lane(FP, 0), lane(EDF, 0), lane(FP, 0)];
    let mut bench = with_modes(lanes, tasks, &[&[0, 1, 2, 3, 4], &[2, 3]]);
    bench.submit(0, 0);
    bench.submit(1, 0);
    bench.submit(2, 0);
    bench.step(to(1), 1);
    bench.complete(0, 0, 2);
    assert_eq!(modes(&bench), (Some(0), Some(1)), "the second lane runs a job of what leaves");
    bench.submit(3, 3);
    bench.seen();
    bench.complete(1, 0, 4);
    assert_eq!(modes(&bench), (Some(0), Some(1)), "it has another one");
    bench.complete(1, 4, 5);
    assert_eq!(bench.seen().last(), Some(&changed(0, 1, 4)), "the third lane is busy all the time");
}

#[test]
fn a_lane_that_is_idle_when_a_mode_is_asked_for_need_not_be_again() {
    let tasks = [task(0, 0), task(1, 0), task(1, 1)];
    let mut bench = with_modes([lane(FP, 0), lane(FP, 0)], tasks, &[&[0, 1, 2], &[2]]);
    bench.submit(0, 0);
    bench.step(to(1), 1);
    bench.submit(2, 2);
    bench.seen();
    bench.complete(0, 0, 3);
    assert_eq!(bench.seen().last(), Some(&changed(0, 1, 2)), "while the second lane runs a job of what stays");
}

#[test]
fn arrivals_stay_a_period_apart_however_often_the_mode_changes() {
    let tasks = [timed_on(0, 0, 100), TaskDesc { period: Duration::from_ns(100), ..task(0, 1) }, task(0, 2)];
    let mut bench = with_modes([lane(FP, 0)], tasks, &[&[0, 1], &[2]]);
    bench.timer(0);
    bench.complete(0, 0, 1);
    bench.submit(1, 2);
    bench.complete(0, 2, 3);
    for now in (4..90).step_by(2) {
        bench.step(to(1), now);
        bench.step(to(0), now + 1);
    }
    assert_eq!(modes(&bench), (Some(0), None));
    bench.refuses(submit(1, 101), 101, Refused::TooEarly { earliest: at(102) });
    bench.seen();
    let actions = bench.timer(101);
    assert_eq!(arrivals(&bench.seen(), 0), [100]);
    assert_eq!(started(&actions, 0), Some(0));
    // Longer away than a period: it begins anew.
    bench.complete(0, 101, 102);
    bench.step(to(1), 103);
    assert_eq!(bench.step(to(0), 350).wake_at, Some(at(351)));
    bench.timer(351);
    assert_eq!(arrivals(&bench.seen(), 0), [351]);
}

#[test]
fn flapping_is_refused_while_a_change_is_under_way_and_releases_nothing() {
    let mut bench = with_modes([lane(FP, 0)], [task(0, 0), timed_on(0, 0, 1)], &[&[0], &[1]]);
    bench.submit(0, 0);
    bench.step(to(1), 1);
    bench.seen();
    for now in 2..100 {
        bench.refuses(to(u16::try_from(now % 2).unwrap()), now, Refused::ChangingMode { to: ModeId(1) });
        assert!(bench.timer(now).start[0].is_none());
    }
    assert_eq!(arrivals(&bench.seen(), 1), []);
    bench.complete(0, 0, 100);
    assert_eq!(bench.seen().last(), Some(&changed(0, 1, 99)));
}

#[test]
fn a_mode_can_be_left_after_the_stop_and_nothing_arrives_then() {
    let mut bench = with_modes([lane(FP, 0)], [timed_on(0, 0, 10), timed_on(0, 0, 10)], &[&[0], &[1]]);
    bench.timer(0);
    bench.step(Event::Stop { end: at(5) }, 1);
    bench.step(to(1), 2);
    bench.seen();
    let actions = bench.complete(0, 0, 7);
    assert_eq!(bench.seen().last(), Some(&changed(0, 1, 5)));
    assert_eq!((actions.start, actions.wake_at), ([None], None));
    bench.timer(1_000);
    assert_eq!(arrivals(&bench.seen(), 1), []);
}

#[test]
fn a_first_arrival_beyond_the_range_of_time_is_refused_and_never_wraps() {
    let far = TaskDesc { phase: Duration::from_ns(u64::MAX - 5), ..timed_on(0, 0, 10) };
    let mut bench = with_modes([lane(FP, 0)], [task(0, 0), far], &[&[0], &[1]]);
    assert_eq!(bench.try_step(to(1), 10), Err(Refused::OutOfRange));
}

fn overran(request: u64, execution: u64) -> Kind {
    let (execution, budget) = (Duration::from_ns(execution), Duration::from_ns(2));
    Kind::Overran { job: job(0, request), segment: 0, limit: Limit::Job, execution, budget }
}

#[test]
fn an_overrun_changes_the_mode_in_the_step_that_sees_it() {
    let switching = TaskDesc { on_overrun: Answer::SwitchMode(ModeId(1)), ..task(0, 0) };
    let mut bench = with_modes([lane(FP, 0)], [switching, timed_on(0, 9, 10)], &[&[0], &[1]]);
    bench.submit(0, 0);
    bench.seen();
    bench.timer(3);
    assert_eq!(bench.seen(), [overran(1, 3), requested(0, 1)], "by the timer, while the job runs");
    bench.refuses(submit(0, 10), 10, Refused::NotInMode { task: TaskId(0) });
    bench.complete(0, 0, 12);
    assert_eq!(bench.seen().last(), Some(&changed(0, 1, 9)));
    assert_eq!(bench.timer(21).wake_at, Some(at(22)));
}

#[test]
fn an_overrun_that_is_measured_when_nothing_else_is_left_changes_the_mode_at_once() {
    let switching = TaskDesc { on_overrun: Answer::SwitchMode(ModeId(1)), ..task(0, 0) };
    let mut bench = with_modes([lane(FP, 5)], [switching, task(0, 1)], &[&[0], &[1]]);
    bench.submit(0, 0);
    bench.seen();
    bench.complete(0, 0, 6);
    let seen = bench.seen();
    assert_eq!((seen[0], &seen[2..]), (overran(1, 6), &[requested(0, 1), changed(0, 1, 0)][..]));
}

#[test]
fn an_answer_changes_nothing_where_its_mode_holds_or_a_change_is_under_way_or_was_asked_for_lately() {
    let switching = TaskDesc { on_overrun: Answer::SwitchMode(ModeId(1)), queue: 4, ..task(0, 0) };
    let mut bench = with_modes([lane(FP, 0)], [switching, task(0, 1)], &[&[0, 1], &[0], &[0, 1]]);
    let mut number = 0;
    let mut overrun = |bench: &mut Bench<2, 1>, now: u64| {
        number += 1;
        bench.submit(0, now);
        bench.seen();
        bench.timer(now + 3);
        bench.complete(0, now, now + 4);
        let seen = bench.seen();
        assert_eq!(seen[0], overran(number, 3));
        seen.into_iter().filter(|kind| matches!(kind, Kind::ModeRequested { .. })).collect::<Vec<_>>()
    };
    assert_eq!(overrun(&mut bench, 0), [requested(0, 1)]);
    assert_eq!(overrun(&mut bench, 20), [], "it holds");
    bench.step(to(2), 30);
    assert_eq!(overrun(&mut bench, 40), [], "asked for lately, by the application");
    let later = 30 + BETWEEN_LEVELS.as_ns();
    assert_eq!(overrun(&mut bench, later - 4), [], "1 ns too early");
    assert_eq!(overrun(&mut bench, later + 10), [requested(2, 1)]);
    // A change that is under way goes on to its own mode.
    bench.step(to(2), later + 20);
    let much_later = later + 30 + BETWEEN_LEVELS.as_ns();
    bench.submit(1, much_later);
    bench.submit(0, much_later);
    bench.step(to(1), much_later);
    bench.seen();
    assert_eq!(modes(&bench), (Some(2), Some(1)));
    bench.complete(0, much_later, much_later + 1);
    bench.timer(much_later + BETWEEN_LEVELS.as_ns() + 50);
    assert!(!bench.seen().iter().any(|kind| matches!(kind, Kind::ModeRequested { .. })));
}

#[test]
fn a_miss_changes_the_mode_as_soon_as_it_is_known() {
    let switching = TaskDesc { on_miss: Answer::SwitchMode(ModeId(1)), ..task(0, 0) };
    let mut bench = with_modes([lane(FP, 0)], [switching, task(0, 1)], &[&[0, 1], &[0]]);
    bench.submit(0, 0);
    assert_eq!(bench.timer(5).wake_at, Some(at(11)), "the deadline is watched");
    bench.seen();
    bench.timer(11);
    let missed = |lateness| Kind::Missed { job: job(0, 1), lateness: Duration::from_ns(lateness), recent: 1 };
    assert_eq!(bench.seen(), [missed(1), requested(0, 1)]);
    bench.complete(0, 0, 12);
    assert!(!bench.seen().contains(&missed(2)), "one miss a job");
    // One that waits is judged when it would start.
    let mut bench = with_modes([lane(FP, 0)], [switching, task(0, 1)], &[&[0, 1], &[0]]);
    bench.submit(1, 0);
    bench.submit(0, 1);
    bench.seen();
    assert_eq!(started(&bench.complete(0, 0, 15), 0), Some(0), "it runs all the same");
    let seen = bench.seen();
    let late = Kind::Missed { job: job(0, 2), lateness: Duration::from_ns(4), recent: 1 };
    assert!(seen.contains(&late));
    assert_eq!(seen.last(), Some(&requested(0, 1)));
}

#[test]
fn an_answer_that_names_no_mode_of_the_plan_is_passed_over() {
    let switching = TaskDesc { on_overrun: Answer::SwitchMode(ModeId(7)), ..task(0, 0) };
    let mut bench = with_modes([lane(FP, 0)], [switching], &[&[0]]);
    bench.submit(0, 0);
    bench.seen();
    bench.timer(3);
    assert_eq!(bench.seen(), [overran(1, 3)]);
}
