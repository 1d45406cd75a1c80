//! The dispatcher, one event at a time: order, ties, full queues, overruns, misses, refusals, wake-ups.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

mod across;
mod bench;
mod deferred;
mod domains;
mod gaps;
mod misses;
mod modes;
mod optional;
mod random;
mod reference;
mod restored;
mod segments;
mod soak;
mod watcher;

use aegis_core::desc::{Answer, TaskDesc};
use aegis_core::dispatch::{Event, Job, MOST_TASKS, Refused, State, WrongSize, count_unfinished, step};
use aegis_core::trace::{Kind, Limit, Reason, StateKey};
use aegis_core::{Duration, LaneId, TaskId};
use bench::*;

#[test]
fn fixed_priority_orders_waiting_jobs_and_names_the_runner_up() {
    let mut bench = bench(FP, [task(0, 7), task(0, 3), task(0, 5)]);
    assert_eq!(started(&bench.submit(0, 0), 0), Some(0), "an idle lane starts what comes");
    assert_eq!(bench.decision(), (0, None, Reason::OnlyOneWaiting, 1));
    assert_eq!(started(&bench.submit(2, 1), 0), None, "a started job is never preempted");
    assert_eq!(started(&bench.submit(1, 2), 0), None);
    assert_eq!(started(&bench.complete(0, 0, 3), 0), Some(1));
    assert_eq!(bench.decision(), (1, Some(2), Reason::MoreImportant, 2));
    assert_eq!(started(&bench.complete(0, 3, 5), 0), Some(2));
    assert_eq!(bench.decision(), (2, None, Reason::OnlyOneWaiting, 1));
    assert_eq!(bench.complete(0, 5, 6).start, [None]);
    assert!(bench.state.is_idle());
}

#[test]
fn edf_orders_by_absolute_deadline_and_ties_by_the_table() {
    let mut bench = bench(EDF, [due(0, 10), due(0, 9), due(0, 4)]);
    bench.submit(0, 0);
    // Both are due at 10; the third one at 7.
    bench.submit(1, 1);
    bench.submit(2, 3);
    assert_eq!(started(&bench.complete(0, 0, 4), 0), Some(2));
    assert_eq!(bench.decision(), (2, Some(1), Reason::EarlierDeadline, 2));
    bench.submit(0, 10);
    bench.submit(1, 11);
    // Waiting: 1 due at 10, then 0 and 1 both due at 20.
    assert_eq!(started(&bench.complete(0, 4, 12), 0), Some(1));
    assert_eq!(bench.decision(), (1, Some(0), Reason::EarlierDeadline, 3));
    assert_eq!(started(&bench.complete(0, 12, 13), 0), Some(0));
    assert_eq!(bench.decision(), (0, Some(1), Reason::EqualDeadlineFirstInTable, 2));
    assert_eq!(started(&bench.complete(0, 13, 14), 0), Some(1));
}

#[test]
fn the_jobs_of_one_task_run_in_order_of_arrival() {
    let mut bench = bench(FP, [task(0, 0), task(0, 1)]);
    bench.submit(1, 0);
    bench.submit(0, 1);
    bench.submit(0, 11);
    let first = bench.complete(0, 0, 12).start[0].unwrap();
    let second = bench.complete(0, 12, 13).start[0].unwrap();
    assert_eq!((first.arrival, second.arrival), (at(1), at(11)));
    assert_eq!((first.deadline, second.deadline), (at(11), at(21)));
    assert_eq!((first.request, second.request), (2, 3));
}

#[test]
fn lanes_do_not_wait_for_each_other() {
    let tasks = [task(0, 0), task(1, 0), task(1, 1)];
    let mut bench = bench_of([lane(FP, 0), lane(EDF, 0)], tasks);
    assert_eq!(bench.submit(0, 0).start.map(|job| job.map(|job| job.task.0)), [Some(0), None]);
    assert_eq!(started(&bench.submit(2, 1), 1), Some(2));
    assert_eq!(bench.submit(1, 2).start, [None, None]);
    let depth = bench.seen().into_iter().rev().find_map(|kind| match kind {
        Kind::Submitted { queue_depth, .. } => Some(queue_depth),
        _ => None,
    });
    assert_eq!(depth, Some(1), "the depth is the lane's own");
    let actions = bench.complete(1, 1, 3);
    assert_eq!(actions.start.map(|job| job.map(|job| job.task.0)), [None, Some(1)]);
    assert_eq!(bench.state.running(LaneId(0)).map(|job| job.task.0), Some(0));
    assert_eq!(bench.state.running(LaneId(2)), None, "there is no such lane");
}

#[test]
fn an_arrival_at_a_full_queue_is_rejected_and_counts_as_an_arrival() {
    let mut bench = bench(FP, [task(0, 0), task(0, 1)]);
    bench.submit(1, 0);
    bench.submit(0, 1);
    bench.submit(0, 11);
    bench.seen();
    bench.submit(0, 21);
    assert_eq!(bench.seen(), [Kind::Rejected { task: TaskId(0), arrival: at(21), count: 1 }]);
    bench.refuses(Event::Submit { task: TaskId(0), arrival: at(30) }, 30, Refused::TooEarly { earliest: at(31) });
    let next = bench.complete(0, 0, 30).start[0].unwrap();
    assert_eq!((next.arrival, next.request), (at(1), 2));
    bench.submit(0, 31);
    let requests: Vec<u64> = bench
        .seen()
        .into_iter()
        .filter_map(|kind| match kind {
            Kind::Submitted { job, .. } => Some(job.request),
            _ => None,
        })
        .collect();
    assert_eq!(requests, [4], "a rejected arrival takes no request number");
}

#[test]
fn an_overrun_is_seen_by_the_timer_one_nanosecond_after_the_budget_with_overhead() {
    let mut bench = bench_of([lane(FP, 5)], [task(0, 0)]);
    let actions = bench.submit(0, 10);
    assert_eq!(actions.wake_at, Some(at(10 + 5 + 2 + 1)));
    bench.seen();
    assert_eq!(bench.timer(17).wake_at, Some(at(18)));
    assert_eq!(bench.seen(), []);
    assert_eq!(bench.timer(18).wake_at, None, "an overrun is seen once");
    let overran = |execution| Kind::Overran {
        job: job(0, 1),
        segment: 0,
        limit: Limit::Job,
        execution: Duration::from_ns(execution),
        budget: Duration::from_ns(2),
    };
    assert_eq!(bench.seen(), [overran(3)]);
    bench.complete(0, 12, 20);
    assert!(!bench.seen().iter().any(|kind| matches!(kind, Kind::Overran { .. })), "it is not repeated");
}

#[test]
fn an_overrun_is_seen_at_completion_by_the_lanes_own_clock() {
    let mut bench = bench_of([lane(FP, 5)], [task(0, 0)]);
    bench.submit(0, 10);
    bench.seen();
    // Within the budget's end, because starting took less than the lane's overhead.
    bench.complete(0, 10, 13);
    let [overran, completed] = bench.seen().try_into().unwrap();
    let (response, budget) = (Duration::from_ns(3), Duration::from_ns(2));
    let expected = Kind::Overran { job: job(0, 1), segment: 0, limit: Limit::Job, execution: response, budget };
    assert_eq!(overran, expected);
    let (lane, execution) = (LaneId(0), response);
    let expected = Kind::Completed { job: job(0, 1), lane, began: at(10), ended: at(13), response, execution };
    assert_eq!(completed, expected);
    bench.submit(0, 20);
    bench.complete(0, 20, 22);
    assert!(!bench.seen().iter().any(|kind| matches!(kind, Kind::Overran { .. })), "exactly the budget is no overrun");
}

#[test]
fn skip_next_drops_the_next_arrival_of_the_task_and_no_other() {
    let skipping = TaskDesc { on_overrun: Answer::SkipNext, ..task(0, 0) };
    let mut bench = bench(FP, [skipping, task(0, 1)]);
    bench.submit(0, 0);
    bench.timer(5);
    bench.complete(0, 0, 6);
    assert_eq!(started(&bench.submit(1, 7), 0), Some(1), "another task is not touched");
    bench.complete(0, 7, 8);
    bench.seen();
    assert_eq!(bench.submit(0, 10).start, [None]);
    assert_eq!(bench.seen(), [Kind::Skipped { task: TaskId(0), arrival: at(10) }]);
    bench.refuses(Event::Submit { task: TaskId(0), arrival: at(19) }, 19, Refused::TooEarly { earliest: at(20) });
    assert_eq!(started(&bench.submit(0, 20), 0), Some(0), "only one arrival is dropped");
}

#[test]
fn a_miss_and_an_exceeded_bound_are_different_records() {
    let mut bench = bench(FP, [task(0, 0)]);
    let records = |bench: &mut Bench<1, 1>, arrival: u64, ended: u64| {
        bench.submit(0, arrival);
        bench.timer(arrival + 3);
        bench.seen();
        bench.complete(0, arrival, ended);
        bench.seen().split_off(1)
    };
    // Bound 8, deadline 10.
    assert_eq!(records(&mut bench, 0, 8), []);
    let exceeded = |request, response| Kind::Exceeded {
        job: job(0, request),
        response: Duration::from_ns(response),
        bound: Duration::from_ns(8),
    };
    assert_eq!(records(&mut bench, 20, 29), [exceeded(2, 9)]);
    assert_eq!(records(&mut bench, 40, 50), [exceeded(3, 10)], "ending at the deadline is in time");
    let missed = Kind::Missed { job: job(0, 4), lateness: Duration::from_ns(2), recent: 1 };
    assert_eq!(records(&mut bench, 60, 72), [missed, exceeded(4, 12)]);
}

#[test]
fn what_is_unfinished_after_its_deadline_is_missed() {
    let mut bench = bench(FP, [task(0, 0), task(0, 1)]);
    bench.submit(0, 0);
    bench.submit(1, 1);
    bench.submit(0, 10);
    let mut log = Log::default();
    count_unfinished(bench.system, &mut bench.state, at(10), &mut log);
    assert_eq!(std::mem::take(&mut log.0), [(10, Kind::Ended)]);
    count_unfinished(bench.system, &mut bench.state, at(12), &mut log);
    let missed = |task, request, lateness| Kind::Missed {
        job: job(task, request),
        lateness: Duration::from_ns(lateness),
        recent: 1,
    };
    assert_eq!(
        log.0,
        [(12, Kind::Ended), (12, missed(0, 1, 2)), (12, missed(1, 2, 1))],
        "running and waiting; one is still in time"
    );
}

#[test]
fn a_clock_that_goes_back_is_refused() {
    let mut bench = bench(FP, [task(0, 0)]);
    bench.submit(0, 5);
    let why = Refused::ClockWentBack { last: at(5) };
    bench.refuses(Event::Timer, 4, why);
    bench.refuses(Event::Stop { end: at(4) }, 4, why);
    bench.refuses(Event::Completed { lane: LaneId(0), began: at(3), ended: at(4) }, 4, why);
    bench.step(Event::Timer, 5);
}

#[test]
fn completions_of_idle_or_unknown_lanes_are_refused() {
    let mut bench = bench(FP, [task(0, 0)]);
    let completed = |lane| Event::Completed { lane: LaneId(lane), began: at(0), ended: at(1) };
    bench.refuses(completed(0), 1, Refused::NothingRunning { lane: LaneId(0) });
    bench.refuses(completed(1), 1, Refused::NothingRunning { lane: LaneId(1) });
    bench.submit(0, 2);
    bench.complete(0, 2, 3);
    bench.refuses(completed(0), 3, Refused::NothingRunning { lane: LaneId(0) });
}

#[test]
fn a_completion_cannot_lie_in_the_future() {
    let mut bench = bench(FP, [task(0, 0)]);
    bench.submit(0, 0);
    bench.seen();
    bench.step(Event::Completed { lane: LaneId(0), began: at(0), ended: at(99) }, 2);
    let [Kind::Completed { ended, response, .. }] = bench.seen()[..] else { panic!("one record") };
    assert_eq!((ended, response), (at(2), Duration::from_ns(2)));
}

#[test]
fn submissions_too_early_in_the_future_or_of_the_wrong_task_are_refused() {
    let late = TaskDesc { phase: Duration::from_ns(4), ..task(0, 1) };
    let mut bench = bench(FP, [timed(0, 10), late]);
    let submit = |task, arrival| Event::Submit { task: TaskId(task), arrival: at(arrival) };
    bench.refuses(submit(0, 0), 0, Refused::NotSubmittable { task: TaskId(0) });
    bench.refuses(submit(2, 0), 0, Refused::NotSubmittable { task: TaskId(2) });
    bench.refuses(submit(1, 3), 3, Refused::TooEarly { earliest: at(4) });
    bench.refuses(submit(1, 6), 5, Refused::TooEarly { earliest: at(4) });
    bench.step(submit(1, 4), 6);
    // The separation counts from arrival to arrival, however late a job was handed in.
    bench.refuses(submit(1, 13), 13, Refused::TooEarly { earliest: at(14) });
    bench.step(submit(1, 14), 14);
}

#[test]
fn after_a_stop_nothing_is_released_but_what_waits_still_runs() {
    let mut bench = bench(FP, [TaskDesc { queue: 4, ..timed(0, 10) }, task(0, 1)]);
    assert_eq!(started(&bench.timer(0), 0), Some(0));
    bench.submit(1, 1);
    let actions = bench.step(Event::Stop { end: at(2) }, 2);
    assert_eq!(actions.wake_at, Some(at(3)), "only the budget's end is left to look at");
    let submission = Event::Submit { task: TaskId(1), arrival: at(20) };
    bench.refuses(submission, 20, Refused::NotSubmittable { task: TaskId(1) });
    assert_eq!(started(&bench.complete(0, 0, 30), 0), Some(1));
    let actions = bench.complete(0, 30, 31);
    assert_eq!((actions.start, actions.wake_at), ([None], None));
    assert!(bench.state.is_idle());
}

#[test]
fn the_timer_releases_what_is_due_at_its_planned_arrival() {
    let mut bench = bench_of([lane(EDF, 0)], [timed(5, 10), timed(7, 100)]);
    let actions = bench.timer(0);
    assert_eq!((actions.start, actions.wake_at), ([None], Some(at(5))));
    let actions = bench.timer(6);
    let job = actions.start[0].unwrap();
    let expected = Job { task: TaskId(0), request: 1, arrival: at(5), deadline: at(15), segment: 0 };
    assert_eq!(job, expected, "a late wake-up does not move the arrival");
    assert_eq!(actions.wake_at, Some(at(7)), "before the budget's end at 8");
    assert_eq!(bench.timer(7).wake_at, Some(at(9)));
    assert_eq!(bench.timer(9).wake_at, Some(at(15)));
    // A completion releases what is due as well.
    let actions = bench.complete(0, 6, 16);
    assert_eq!(actions.start[0].map(|job| (job.task.0, job.arrival)), Some((1, at(7))), "due at 17, not at 25");
    assert_eq!(bench.decision(), (1, Some(0), Reason::EarlierDeadline, 2));
}

#[test]
fn a_jump_of_hours_is_one_bounded_step_and_every_arrival_is_accounted_for() {
    let hour = 3_600_000_000_000u64;
    let mut bench = bench(FP, [TaskDesc { queue: 2, ..timed(0, 1_000) }]);
    bench.timer(0);
    bench.seen();
    bench.timer(10 * hour);
    let mut arrivals = 0;
    let records = bench.seen();
    assert!(records.len() <= QUEUE + 3, "{} records", records.len());
    for kind in records {
        match kind {
            Kind::Submitted { arrival, .. } => {
                arrivals += 1;
                assert_eq!(arrival, at(arrivals * 1_000));
            }
            Kind::Rejected { arrival, count, .. } => {
                assert_eq!(arrival, at((arrivals + 1) * 1_000));
                arrivals += count;
            }
            Kind::Overran { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(arrivals, 10 * hour / 1_000);
    assert_eq!(bench.timer(10 * hour).wake_at, Some(at(10 * hour + 1_000)));
}

#[test]
fn the_ends_of_the_time_range_are_refused_and_never_wrap() {
    let last = u64::MAX - 5;
    let mut bench = bench(FP, [task(0, 0)]);
    bench.refuses(Event::Submit { task: TaskId(0), arrival: at(last) }, last, Refused::OutOfRange);
    let mut bench = self::bench(FP, [timed(last, 10)]);
    assert_eq!(bench.timer(0).wake_at, Some(at(last)));
    assert_eq!(bench.try_step(Event::Timer, u64::MAX), Err(Refused::OutOfRange));
}

#[test]
fn a_state_that_is_too_small_cannot_be_built_and_a_larger_one_can() {
    let system = system(vec![lane(FP, 0)], vec![task(0, 0)]);
    assert!(State::<1, 1, 2>::new(system).is_ok());
    assert!(State::<3, 2, 9>::new(system).is_ok());
    assert_eq!(State::<0, 1, 2>::new(system).err(), Some(WrongSize));
    assert_eq!(State::<1, 0, 2>::new(system).err(), Some(WrongSize));
    assert_eq!(State::<1, 1, 1>::new(system).err(), Some(WrongSize));
}

#[test]
fn a_plan_of_more_tasks_than_the_dispatcher_can_index_is_refused() {
    let of = |count: usize| system(vec![lane(FP, 0)], (0..).map(|priority| task(0, priority)).take(count).collect());
    assert!(State::<1_100, 1, 2>::new(of(MOST_TASKS)).is_ok());
    assert_eq!(State::<1_100, 1, 2>::new(of(MOST_TASKS + 1)).err(), Some(WrongSize));
}

#[test]
fn records_of_a_start_come_in_order() {
    let mut bench = bench(FP, [TaskDesc { model: Some(aegis_core::ModelId(3)), ..task(0, 0) }]);
    bench.submit(0, 4);
    let one = job(0, 1);
    let lane = LaneId(0);
    // The task in place 0 has one job in segment 0; request, deadline, executed. One waits; no table.
    let digest = [1 << 16, 1, 14, 0].into_iter().fold(StateKey::EMPTY, StateKey::with).mixed();
    let state = [digest, 1, 0, 0].into_iter().fold(StateKey::EMPTY, StateKey::with);
    let reason = Reason::OnlyOneWaiting;
    let decided = Kind::Decided { lane, chosen: one, runner_up: None, reason, queue_depth: 1, state };
    assert_eq!(
        bench.told(),
        [
            Kind::Stepped { event: Event::Submit { task: TaskId(0), arrival: at(4) } },
            Kind::Submitted { job: one, arrival: at(4), queue_depth: 1 },
            decided,
            Kind::Bound { job: one, lane: LaneId(0), model: aegis_core::ModelId(3) },
            Kind::Started { job: one, lane: LaneId(0) },
        ]
    );
}

#[test]
fn a_stop_that_comes_late_still_releases_what_arrived_before_the_end() {
    let mut bench = bench(FP, [TaskDesc { queue: 4, ..timed(0, 10) }, TaskDesc { queue: 1, ..timed(5, 10) }]);
    bench.timer(0);
    let mut log = Log::default();
    step(bench.system, &mut bench.state, Event::Stop { end: at(30) }, at(95), &mut log).unwrap();
    let arrivals: Vec<u64> = log
        .0
        .iter()
        .filter_map(|(_, kind)| match kind {
            Kind::Submitted { arrival, .. } => Some(arrival.as_ns()),
            Kind::Rejected { arrival, count, .. } => Some(arrival.as_ns() + 1_000 * count),
            _ => None,
        })
        .collect();
    // Arrivals at 10 and 20 wait; of 5, 15 and 25 one fits the queue and two are refused; 30 and later never come.
    assert_eq!(arrivals, [10, 20, 5, 1_015, 1_025]);
}

#[test]
fn the_runner_up_of_a_task_can_be_its_own_next_job() {
    let mut bench = bench(FP, [TaskDesc { queue: 4, period: Duration::from_ns(1), ..task(0, 0) }, task(0, 1)]);
    bench.submit(0, 0);
    bench.submit(0, 1);
    bench.submit(0, 2);
    bench.submit(1, 3);
    let mut log = Log::default();
    let completed = Event::Completed { lane: LaneId(0), began: at(0), ended: at(4) };
    step(bench.system, &mut bench.state, completed, at(4), &mut log).unwrap();
    let decided = log.0.iter().find_map(|(_, kind)| match kind {
        Kind::Decided { chosen, runner_up, reason, queue_depth, .. } => {
            Some((chosen.request, runner_up.map(|job| job.request), *reason, *queue_depth))
        }
        _ => None,
    });
    assert_eq!(decided, Some((2, Some(3), Reason::ArrivedFirst, 3)));
}

#[test]
fn the_states_size_is_what_it_is_said_to_be() {
    use aegis_core::dispatch::{State, state_bytes};
    assert_eq!(state_bytes(1, 1, 1), Some(size_of::<State<1, 1, 1>>()));
    assert_eq!(state_bytes(5, 1, 4), Some(size_of::<State<5, 1, 4>>()));
    assert_eq!(state_bytes(64, 4, 2), Some(size_of::<State<64, 4, 2>>()));
    assert_eq!(state_bytes(1_024, 64, 65), Some(size_of::<State<1_024, 64, 65>>()));
    assert_eq!(state_bytes(usize::MAX, 1, 1), None);
    // What a vehicle of 64 tasks may need, and the sentence of the docs.
    let [two, four] = [state_bytes(64, 4, 2), state_bytes(64, 4, 4)].map(Option::unwrap);
    assert!(two <= 16 << 10, "{two}");
    let with_comma = |bytes: usize| format!("{},{:03}", bytes / 1_000, bytes % 1_000);
    let docs = include_str!("../../../docs/benchmarks.md");
    let sentence = format!(
        "The state takes {} bytes for 64 tasks on 4 lanes with queues of two jobs, {} with queues of four",
        with_comma(two),
        with_comma(four)
    );
    assert!(cfg!(target_pointer_width = "32") || docs.contains(&sentence), "{sentence}");
}

#[test]
fn a_step_is_told_before_what_it_does_and_not_at_all_where_it_does_nothing() {
    let mut bench = bench(FP, [timed(5, 10)]);
    bench.timer(0);
    bench.timer(4);
    assert_eq!(bench.told(), [], "nothing is due");
    bench.timer(5);
    assert_eq!(bench.told().first(), Some(&Kind::Stepped { event: Event::Timer }));
    let stop = Event::Stop { end: at(15) };
    bench.step(stop, 6);
    assert_eq!(bench.told(), [Kind::Stepped { event: stop }], "what changes later steps is told");
    bench.refuses(
        Event::Completed { lane: LaneId(1), began: at(5), ended: at(7) },
        7,
        Refused::NothingRunning { lane: LaneId(1) },
    );
}

#[test]
fn the_key_of_a_decision_tells_states_apart_that_choose_the_same() {
    let key = |arrivals: &[(u16, u64)]| {
        let mut bench = bench(FP, [task(0, 0), task(0, 1), task(0, 2)]);
        bench.submit(0, 0);
        for (task, arrival) in arrivals {
            bench.submit(*task, *arrival);
        }
        bench.seen();
        bench.complete(0, 0, 9);
        let decided = bench.seen().into_iter().find_map(|kind| match kind {
            Kind::Decided { state, .. } => Some(state),
            _ => None,
        });
        decided.unwrap()
    };
    let keys = [key(&[(1, 1)]), key(&[(1, 2)]), key(&[(1, 1), (2, 2)]), key(&[(2, 1), (1, 2)]), key(&[(2, 1)])];
    for (position, own) in keys.iter().enumerate() {
        assert!(!keys[..position].contains(own), "{keys:?}");
    }
    assert_eq!(keys[0], key(&[(1, 1)]));
}
