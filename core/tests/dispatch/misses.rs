//! The dispatcher on missed deadlines: when they are seen, how often they come, and what is done about them.

use crate::bench::*;
use aegis_core::desc::{Answer, LaneDesc, Preemption, Release, StageDesc, TaskDesc};
use aegis_core::trace::Kind;
use aegis_core::{Duration, LaneId, TaskId};

fn answering(on_miss: Answer, task: TaskDesc) -> TaskDesc {
    // A budget that never ends.
    TaskDesc { on_miss, budget: Duration::from_ns(1_000), ..task }
}

/// Each miss since the last look: request, lateness, how many of late.
fn misses<const TASKS: usize, const LANES: usize>(bench: &mut Bench<TASKS, LANES>) -> Vec<(u64, u64, u8)> {
    let missed = |kind| match kind {
        Kind::Missed { job, lateness, recent } => Some((job.request, lateness.as_ns(), recent)),
        _ => None,
    };
    bench.seen().into_iter().filter_map(missed).collect()
}

#[test]
fn a_miss_says_how_many_of_the_tasks_last_jobs_missed() {
    let mut bench = bench(FP, [TaskDesc { miss_window: 3, ..answering(Answer::Continue, task(0, 0)) }]);
    let late = [true, true, true, true, false, true, false, false, true];
    let mut seen = Vec::new();
    for (number, late) in (0..).zip(late) {
        let arrival = number * 100;
        bench.submit(0, arrival);
        bench.complete(0, arrival, arrival + if late { 11 } else { 10 });
        seen.extend(misses(&mut bench).into_iter().map(|(_, lateness, recent)| (lateness, recent)));
    }
    assert_eq!(seen, [(1, 1), (1, 2), (1, 3), (1, 3), (1, 2), (1, 1)]);
}

#[test]
fn the_longest_window_counts_as_many_misses_as_it_is_long() {
    let window = aegis_core::desc::LONGEST_MISS_WINDOW;
    let mut bench = bench(FP, [TaskDesc { miss_window: window, ..answering(Answer::Continue, task(0, 0)) }]);
    let mut last = 0;
    for number in 0..u64::from(window) + 3 {
        bench.submit(0, number * 100);
        bench.complete(0, number * 100, number * 100 + 11);
        let seen = misses(&mut bench);
        let [(_, 1, recent)] = seen[..] else { panic!("{seen:?}") };
        assert_eq!(u64::from(recent), (number + 1).min(u64::from(window)));
        last = recent;
    }
    assert_eq!(last, window);
}

#[test]
fn a_running_job_misses_when_its_deadline_and_what_its_notice_may_take_have_passed() {
    let with_overhead = LaneDesc { dispatch_overhead: Duration::from_ns(2), ..lane(FP, 0) };
    let mut bench = bench_of([with_overhead], [answering(Answer::SkipNext, task(0, 0))]);
    assert_eq!(bench.submit(0, 0).wake_at, Some(at(13)), "10 + 2, one nanosecond later");
    bench.timer(12);
    assert_eq!(misses(&mut bench), []);
    assert_eq!(bench.timer(13).wake_at, Some(at(1_003)), "the budget is left to watch");
    assert_eq!(misses(&mut bench), [(1, 3, 1)]);
    // The next arrival is dropped although the job still runs; its end is no second miss.
    bench.submit(0, 14);
    assert!(bench.seen().iter().any(|kind| matches!(kind, Kind::Skipped { .. })));
    bench.complete(0, 0, 20);
    assert_eq!(misses(&mut bench), []);
    bench.submit(0, 30);
    assert!(bench.seen().iter().any(|kind| matches!(kind, Kind::Submitted { .. })));
}

#[test]
fn a_notice_that_came_later_than_planned_skips_nothing() {
    let mut bench = bench(FP, [answering(Answer::SkipNext, task(0, 0))]);
    bench.submit(0, 0);
    bench.timer(11);
    assert_eq!(misses(&mut bench), [(1, 1, 1)]);
    bench.step(aegis_core::dispatch::Event::Completed { lane: LaneId(0), began: at(2), ended: at(10) }, 12);
    bench.submit(0, 20);
    assert!(bench.seen().iter().any(|kind| matches!(kind, Kind::Submitted { .. })));
    // Neither does it count as a miss later on.
    bench.complete(0, 20, 31);
    assert_eq!(misses(&mut bench), [(2, 1, 1)]);
}

const THREE: &[Duration] = &[Duration::from_ns(500), Duration::from_ns(500), Duration::from_ns(500)];

#[test]
fn a_late_job_is_aborted_at_its_boundary_or_when_it_would_go_on_or_start() {
    let in_three = TaskDesc { segments: THREE, ..answering(Answer::AbortJob, task(0, 1)) };
    let other = answering(Answer::Continue, TaskDesc { deadline: Duration::from_ns(500), ..task(0, 0) });
    let preempting = LaneDesc { preemption: Preemption::Segments, ..lane(FP, 0) };
    let mut bench = bench_of([preempting], [in_three, other]);
    // At the boundary.
    bench.submit(0, 0);
    bench.complete(0, 0, 11);
    assert_eq!(bench.ends(), [(job(0, 1), Some((0, 11, 11)))]);
    assert!(bench.state.is_idle());
    // Paused in time, and too late when the lane is free again.
    bench.submit(0, 100);
    bench.submit(1, 101);
    bench.complete(0, 100, 103);
    assert_eq!(started(&bench.complete(0, 103, 111), 0), None);
    assert_eq!(bench.ends(), [(job(1, 3), None), (job(0, 2), Some((0, 11, 3)))]);
    // Waiting: at its deadline it still starts, and after it the next one does.
    bench.submit(1, 200);
    bench.submit(0, 201);
    bench.submit(0, 211);
    let dropping = bench.complete(0, 200, 212);
    assert_eq!((dropping.start, dropping.wake_at), ([None], Some(at(213))), "one job a step");
    assert_eq!(bench.ends(), [(job(1, 4), None), (job(0, 5), Some((0, 11, 0)))]);
    let next = bench.step(aegis_core::dispatch::Event::Timer, 213).start[0].unwrap();
    assert_eq!((next.task, next.request), (TaskId(0), 6));
    bench.complete(0, 213, 213);
    bench.complete(0, 213, 214);
    // What is left at the end is its last segment: it completes, however late.
    bench.complete(0, 214, 300);
    assert_eq!(bench.ends(), [(job(0, 6), None)]);
    assert!(bench.state.is_idle());
}

#[test]
fn a_stage_that_ends_after_the_deadline_releases_no_other() {
    let stage = StageDesc { after: TaskId(0), earliest: Duration::ZERO, latest: Duration::from_ns(9) };
    let second = TaskDesc { release: Release::Stage, stage: Some(stage), ..task(1, 0) };
    let both = [task(0, 0), second].map(|task| answering(Answer::AbortJob, task));
    let mut bench = bench_of([lane(FP, 0), lane(FP, 0)], both);
    bench.submit(0, 0);
    bench.complete(0, 0, 11);
    let seen = bench.seen();
    let missed = seen.iter().filter(|kind| matches!(kind, Kind::Missed { .. })).count();
    assert!(missed == 1 && seen.iter().any(|kind| matches!(kind, Kind::Aborted { .. })), "{seen:?}");
    assert!(bench.state.is_idle());
}
