//! The dispatcher on segments, preemption, stages and tables.

use crate::bench::*;
use aegis_core::desc::{Answer, LaneDesc, Policy, Preemption, Release, Slot, StageDesc, TaskDesc};
use aegis_core::dispatch::{Event, Refused, step};
use aegis_core::trace::{Kind, Limit, Reason};
use aegis_core::{Duration, LaneId, TaskId};

const TWO: &[Duration] = &[Duration::from_ns(3), Duration::from_ns(2)];

/// A task of two segments, 3 and 2, with budget 5.
fn two(lane: u16, priority: u16) -> TaskDesc {
    let five = Duration::from_ns(5);
    TaskDesc { segments: TWO, wcet: five, budget: five, ..task(lane, priority) }
}

fn preempting(preemption: Preemption) -> LaneDesc {
    LaneDesc { preemption, ..lane(FP, 0) }
}

#[test]
fn between_its_segments_a_job_gives_way_to_what_goes_before_it_and_to_nothing_else() {
    let mut bench = bench_of([preempting(Preemption::Segments)], [two(0, 1), task(0, 0), task(0, 2)]);
    assert_eq!(started(&bench.submit(0, 0), 0), Some(0));
    bench.submit(2, 1);
    assert_eq!(started(&bench.submit(1, 2), 0), None, "a started segment is never preempted");
    let given = bench.complete(0, 0, 3);
    assert_eq!(started(&given, 0), Some(1));
    assert!(bench.log.0.iter().any(|(at, kind)| *at == 3 && matches!(kind, Kind::Paused { .. })));
    assert_eq!(bench.decision(), (1, Some(0), Reason::MoreImportant, 3));
    let back = bench.complete(0, 3, 4).start[0].unwrap();
    assert_eq!((back.task, back.segment, back.request), (TaskId(0), 1, 1));
    assert_eq!(started(&bench.complete(0, 4, 6), 0), Some(2));
    let completed = |kind: &Kind| matches!(kind, Kind::Completed { job, response, .. } if job.task == TaskId(0) && response.as_ns() == 6);
    assert!(bench.log.0.iter().any(|(_, kind)| completed(kind)));
    bench.complete(0, 6, 7);
    assert!(bench.state.is_idle());
}

#[test]
fn a_job_that_has_begun_goes_before_later_jobs_of_its_task_and_counts_as_waiting() {
    let mut bench = bench_of([preempting(Preemption::Segments)], [two(0, 0)]);
    bench.submit(0, 0);
    bench.submit(0, 10);
    let again = bench.complete(0, 0, 11).start[0].unwrap();
    assert_eq!((again.request, again.segment), (1, 1));
    assert!(!bench.state.is_idle());
    let next = bench.complete(0, 11, 13).start[0].unwrap();
    assert_eq!((next.request, next.segment), (2, 0));
}

/// Each overrun since the last look: segment, whose budget, execution, budget.
fn overruns<const TASKS: usize, const LANES: usize>(bench: &mut Bench<TASKS, LANES>) -> Vec<(u16, Limit, u64, u64)> {
    let overran = |kind| match kind {
        Kind::Overran { segment, limit, execution, budget, .. } => {
            Some((segment, limit, execution.as_ns(), budget.as_ns()))
        }
        _ => None,
    };
    bench.seen().into_iter().filter_map(overran).collect()
}

#[test]
fn what_is_left_of_the_jobs_budget_ends_before_the_segments_length_if_earlier_segments_took_more() {
    let mut bench = bench_of([preempting(Preemption::Segments)], [two(0, 0)]);
    bench.submit(0, 0);
    let actions = bench.complete(0, 0, 4);
    assert_eq!(overruns(&mut bench), [(0, Limit::Segment, 4, 3)]);
    // 4 of 5 are spent: the second segment has 1, and one nanosecond beyond is an overrun of the job.
    assert_eq!(actions.wake_at, Some(at(6)));
    assert_eq!(bench.timer(6).wake_at, Some(at(7)), "then the segment's own length is watched");
    assert_eq!(overruns(&mut bench), [(1, Limit::Job, 6, 5)]);
    assert_eq!(bench.timer(7).wake_at, None, "each is recorded once");
    assert_eq!(overruns(&mut bench), [(1, Limit::Segment, 3, 2)]);
    bench.complete(0, 4, 8);
    assert_eq!(overruns(&mut bench), []);
}

#[test]
fn a_segment_longer_than_its_own_wcet_is_an_overrun_although_its_job_stays_within_the_budget() {
    let mut bench = bench_of(
        [LaneDesc { dispatch_overhead: Duration::from_ns(10), ..preempting(Preemption::Segments) }],
        [two(0, 0)],
    );
    // By the timer: 100 + 10 + 3, one nanosecond later.
    let actions = bench.submit(0, 100);
    assert_eq!(actions.wake_at, Some(at(114)));
    bench.timer(113);
    assert_eq!(overruns(&mut bench), []);
    bench.timer(114);
    assert_eq!(overruns(&mut bench), [(0, Limit::Segment, 4, 3)]);
    bench.complete(0, 110, 114);
    bench.complete(0, 114, 115);
    assert_eq!(overruns(&mut bench), [], "4 + 1 of 5");
    // By the lane's own clock, in the second segment: the job takes 1 + 3 of 5.
    bench.submit(0, 200);
    bench.complete(0, 200, 201);
    assert_eq!(overruns(&mut bench), []);
    bench.complete(0, 201, 204);
    assert_eq!(overruns(&mut bench), [(1, Limit::Segment, 3, 2)]);
    // Exactly its length is no overrun.
    bench.submit(0, 300);
    bench.complete(0, 300, 303);
    bench.complete(0, 303, 305);
    assert_eq!(overruns(&mut bench), []);
}

#[test]
fn an_overrun_that_only_the_timer_saw_is_taken_back_but_not_one_of_an_earlier_segment() {
    let skipping = TaskDesc { on_overrun: Answer::SkipNext, ..two(0, 0) };
    let arrives = |second: u64| {
        let mut bench = bench_of([preempting(Preemption::Segments)], [skipping]);
        bench.submit(0, 0);
        bench.timer(4);
        assert_eq!(overruns(&mut bench), [(0, Limit::Segment, 4, 3)]);
        // It began late, because handing it over took longer than planned.
        bench.complete(0, 4 - second, 4);
        bench.timer(7);
        let seen = overruns(&mut bench).contains(&(1, Limit::Segment, 3, 2));
        assert!(seen, "a segment is watched whatever the one before did");
        bench.complete(0, 7, 8);
        bench.submit(0, 10);
        bench.seen().iter().any(|kind| matches!(kind, Kind::Submitted { .. }))
    };
    assert!(arrives(3), "nothing was exceeded");
    assert!(!arrives(4), "the first segment was");
}

#[test]
fn only_a_fully_preemptive_lane_is_cut_off() {
    let cut = Event::Preempted { lane: LaneId(0), began: at(0), ended: at(1) };
    for refusing in [Preemption::None, Preemption::Segments] {
        let mut bench = bench_of([preempting(refusing)], [task(0, 1), task(0, 0)]);
        bench.submit(0, 0);
        bench.submit(1, 1);
        bench.refuses(cut, 1, Refused::NotPreemptible { lane: LaneId(0) });
    }
    let mut bench = bench_of([preempting(Preemption::Full)], [task(0, 1), task(0, 0)]);
    bench.submit(0, 0);
    bench.submit(1, 1);
    assert_eq!(started(&bench.step(cut, 1), 0), Some(1));
    let back = bench.complete(0, 1, 3).start[0].unwrap();
    assert_eq!((back.task, back.segment), (TaskId(0), 0));
    bench.complete(0, 3, 4);
    let overran = bench.log.0.iter().any(|(_, kind)| matches!(kind, Kind::Overran { .. }));
    assert!(!overran, "1 + 1 of a budget of 2");
}

/// A task of two stages on two lanes, the second with a bound of 20.
fn staged() -> [TaskDesc; 2] {
    let stage = StageDesc { after: TaskId(0), earliest: Duration::ZERO, latest: Duration::from_ns(9) };
    let bound = Duration::from_ns(20);
    [task(0, 0), TaskDesc { release: Release::Stage, stage: Some(stage), response_bound: bound, ..task(1, 0) }]
}

#[test]
fn a_stage_is_released_by_the_end_of_the_one_before_with_the_same_arrival() {
    let mut bench = bench_of([lane(FP, 0), lane(FP, 0)], staged());
    bench.submit(0, 2);
    let handed = bench.complete(0, 2, 5);
    let second = handed.start[1].unwrap();
    assert_eq!((second.task, second.arrival, second.deadline), (TaskId(1), at(2), at(12)));
    bench.complete(1, 5, 13);
    let late: Vec<u16> = bench.log.0.iter().filter_map(|(_, kind)| missed(kind)).collect();
    assert_eq!(late, [1], "a deadline is missed once, by the last stage");
    let wrong = Event::Submit { task: TaskId(1), arrival: at(13) };
    bench.refuses(wrong, 13, Refused::NotSubmittable { task: TaskId(1) });
}

fn missed(kind: &Kind) -> Option<u16> {
    match kind {
        Kind::Missed { job, .. } => Some(job.task.0),
        _ => None,
    }
}

#[test]
fn an_overrun_of_any_stage_skips_the_whole_tasks_next_arrival() {
    let skip = |task: TaskDesc| TaskDesc { on_overrun: Answer::SkipNext, ..task };
    let [first, second] = staged();
    let mut bench = bench_of([lane(FP, 0), lane(FP, 0)], [skip(first), skip(second)]);
    bench.submit(0, 0);
    bench.complete(0, 0, 1);
    bench.complete(1, 1, 9);
    bench.submit(0, 10);
    let skipped = bench.log.0.iter().any(|(_, kind)| matches!(kind, Kind::Skipped { task: TaskId(0), .. }));
    assert!(skipped && bench.state.is_idle());
}

#[test]
fn abort_job_ends_a_job_at_the_boundary_after_its_overrun_and_its_lane_goes_on() {
    let aborting = TaskDesc { on_overrun: Answer::AbortJob, ..two(0, 0) };
    let mut bench = bench_of([preempting(Preemption::Segments)], [aborting, task(0, 1)]);
    bench.submit(0, 0);
    bench.submit(1, 1);
    // The timer sees it while the segment runs, which cannot be stopped.
    bench.timer(4);
    assert_eq!(
        (overruns(&mut bench), bench.state.running(LaneId(0)).map(|job| job.request)),
        (vec![(0, Limit::Segment, 4, 3)], Some(1))
    );
    assert_eq!(started(&bench.complete(0, 0, 6), 0), Some(1));
    assert_eq!(bench.ends(), [(job(0, 1), Some((0, 6, 6)))]);
    bench.complete(0, 6, 7);
    assert!(bench.state.is_idle(), "nothing of it is left");
    // The next job is not concerned, and one that overruns in its last segment is complete.
    bench.submit(0, 10);
    bench.complete(0, 10, 13);
    bench.complete(0, 13, 17);
    assert_eq!(bench.ends(), [(job(1, 2), None), (job(0, 3), None)]);
    assert!(bench.state.is_idle());
}

#[test]
fn what_only_the_timer_took_for_an_overrun_aborts_nothing() {
    let aborting = TaskDesc { on_overrun: Answer::AbortJob, ..two(0, 0) };
    let mut bench = bench_of([preempting(Preemption::Segments)], [aborting]);
    bench.submit(0, 0);
    bench.timer(5);
    assert_eq!(overruns(&mut bench), [(0, Limit::Segment, 5, 3)]);
    // It began 2 late.
    assert_eq!(started(&bench.complete(0, 2, 5), 0), Some(0));
    bench.complete(0, 5, 7);
    assert_eq!(bench.ends(), [(job(0, 1), None)]);
}

#[test]
fn an_aborted_job_releases_no_later_stage_and_late_ones_have_missed() {
    let aborts = |task: TaskDesc| TaskDesc { on_overrun: Answer::AbortJob, ..task };
    let mut bench = bench_of([lane(FP, 0), lane(FP, 0)], staged().map(aborts));
    bench.submit(0, 0);
    assert_eq!(started(&bench.complete(0, 0, 3), 1), None);
    assert_eq!(bench.ends(), [(job(0, 1), Some((0, 3, 3)))]);
    assert!(bench.state.is_idle());
    // After its deadline, which is 10, it has missed, although it is not the last stage; beyond the bound of 5 likewise.
    bench.submit(0, 20);
    bench.complete(0, 20, 31);
    let seen = bench.seen();
    assert!(seen.iter().filter_map(missed).eq([0]), "{seen:?}");
    assert!(seen.iter().any(|kind| matches!(kind, Kind::Exceeded { .. })), "{seen:?}");
    // The last stage has nothing left to abort.
    bench.submit(0, 40);
    bench.complete(0, 40, 41);
    bench.complete(1, 41, 49);
    assert_eq!(bench.ends(), [(job(0, 3), None), (job(1, 4), None)]);
}

#[test]
fn a_job_that_is_cut_off_after_an_overrun_is_aborted() {
    let aborting = TaskDesc { on_overrun: Answer::AbortJob, ..task(0, 1) };
    let mut bench = bench_of([preempting(Preemption::Full)], [aborting, task(0, 0)]);
    bench.submit(0, 0);
    bench.submit(1, 3);
    let cut = Event::Preempted { lane: LaneId(0), began: at(0), ended: at(3) };
    assert_eq!(started(&bench.step(cut, 3), 0), Some(1));
    assert_eq!(bench.ends(), [(job(0, 1), Some((0, 3, 3)))]);
    bench.complete(0, 3, 4);
    assert!(bench.state.is_idle());
}

/// A lane with slots at 1 (task 0), 4 (task 1) and 6 (task 0), every 10.
fn tabled() -> LaneDesc {
    const SLOTS: &[Slot] = &[
        Slot { at: Duration::from_ns(1), task: TaskId(0) },
        Slot { at: Duration::from_ns(4), task: TaskId(1) },
        Slot { at: Duration::from_ns(6), task: TaskId(0) },
    ];
    LaneDesc { hyperperiod: Duration::from_ns(10), slots: SLOTS, ..lane(Policy::TimeTriggered, 0) }
}

/// Tasks of periods 5 and 10 for these slots.
fn for_table() -> [TaskDesc; 2] {
    [TaskDesc { queue: 4, ..timed(0, 5) }, TaskDesc { queue: 4, ..timed(0, 10) }]
}

#[test]
fn a_table_starts_jobs_at_its_slots_and_never_before() {
    let mut bench = bench_of([tabled()], for_table());
    let first = bench.timer(0);
    assert_eq!((started(&first, 0), first.wake_at), (None, Some(at(1))));
    assert_eq!(started(&bench.timer(1), 0), Some(0));
    assert_eq!(bench.decision(), (0, None, Reason::InTable, 2));
    let idle = bench.complete(0, 1, 2);
    assert_eq!((started(&idle, 0), idle.wake_at), (None, Some(at(4))), "the other job waits for its slot");
    assert_eq!(started(&bench.timer(4), 0), Some(1));
    bench.complete(0, 4, 5);
    assert_eq!(started(&bench.timer(6), 0), Some(0));
    bench.complete(0, 6, 7);
    bench.timer(10);
    assert_eq!(started(&bench.timer(11), 0), Some(0), "the next lap");
}

#[test]
fn slots_that_an_overrun_covers_start_late_in_order_until_the_lane_has_caught_up() {
    let mut bench = bench_of([tabled()], for_table());
    bench.timer(1);
    let late = bench.complete(0, 1, 7);
    assert_eq!(started(&late, 0), Some(1));
    assert_eq!(started(&bench.complete(0, 7, 8), 0), Some(0));
    bench.complete(0, 8, 9);
    bench.timer(10);
    assert_eq!(started(&bench.timer(11), 0), Some(0), "on time again");
}

#[test]
fn a_slot_without_a_job_that_arrived_by_then_is_passed_over_also_after_many_laps() {
    let [first, second] = for_table();
    let submitted = |task: TaskDesc| TaskDesc { release: Release::Submitted, ..task };
    let mut bench = bench_of([tabled()], [submitted(first), submitted(second)]);
    // Seen at 1,000,007: the slots at …1 and …6 are over.
    assert_eq!(started(&bench.submit(0, 1_000_007), 0), None);
    assert_eq!(bench.timer(1_000_010).wake_at, Some(at(1_000_011)));
    assert_eq!(started(&bench.timer(1_000_011), 0), Some(0));
    // The lane runs for a hundred laps; then what waits is served by the first slot that is due.
    let event = Event::Submit { task: TaskId(1), arrival: at(1_000_012) };
    bench.step(event, 1_000_012);
    let end = Event::Completed { lane: LaneId(0), began: at(1_000_011), ended: at(1_001_015) };
    let actions = step(bench.system, &mut bench.state, end, at(1_001_015), &mut bench.log).unwrap();
    assert_eq!(started(&actions, 0), Some(1));
}

#[test]
fn a_slot_that_is_seen_late_starts_late_and_is_not_lost() {
    let mut bench = bench_of([tabled()], for_table());
    // The slot at 1 began 2 ago, and both jobs arrived at 0.
    assert_eq!(started(&bench.timer(3), 0), Some(0));
    assert_eq!(started(&bench.complete(0, 3, 4), 0), Some(1), "the slot at 4");
}

#[test]
fn with_every_timer_late_each_job_still_starts_in_its_own_slot() {
    let mut bench = bench_of([tabled()], for_table());
    let (mut starts, mut now, mut end) = (Vec::new(), 1, None::<u64>);
    while now < 40 {
        let actions = match end.take_if(|ended| *ended <= now) {
            Some(ended) => bench.complete(0, ended - 1, ended),
            None => bench.timer(now),
        };
        if let Some(job) = actions.start[0] {
            starts.push((now, job.task.0));
            end = Some(now + 1);
        }
        // Each timer comes 1 late.
        let wake = actions.wake_at.map_or(u64::MAX, |at| at.as_ns() + 1);
        now = wake.min(end.unwrap_or(u64::MAX)).max(now + 1);
    }
    assert_eq!(starts[..6], [(1, 0), (5, 1), (6, 0), (11, 0), (15, 1), (16, 0)]);
}

#[test]
fn one_late_step_that_sees_two_arrivals_loses_no_slot() {
    // The task that stands first in the table arrives last.
    const SLOTS: &[Slot] =
        &[Slot { at: Duration::from_ns(3), task: TaskId(1) }, Slot { at: Duration::from_ns(7), task: TaskId(0) }];
    let lane = LaneDesc { hyperperiod: Duration::from_ns(20), slots: SLOTS, ..lane(Policy::TimeTriggered, 0) };
    let mut bench = bench_of([lane], [timed(5, 20), timed(3, 20)]);
    assert_eq!(started(&bench.timer(6), 0), Some(1));
    assert_eq!(started(&bench.complete(0, 6, 7), 0), Some(0));
}
