//! The dispatcher on fault domains that are restored: what arrives again, and when.

use crate::bench::*;
use aegis_core::desc::{DomainDesc, LevelDesc, ModeDesc, Release, StageDesc, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Event, Refused, State};
use aegis_core::trace::{Kind, Loss};
use aegis_core::{DomainId, Duration, LaneId, LevelId, ModeId, Priority, TaskId};

const FAIL: Event = Event::Fail { domain: DomainId(0), loss: None };
const RESTORED: Event = Event::Restored { domain: DomainId(0) };

/// Two domains, and what else a test says.
fn bench_with<const TASKS: usize, const LANES: usize>(
    tasks: [TaskDesc; TASKS],
    rest: impl FnOnce(SystemDesc) -> SystemDesc,
) -> Bench<TASKS, LANES> {
    let domains = &[DomainDesc { name: "vision", process: None }, DomainDesc { name: "maps", process: None }];
    let lanes = vec![lane(FP, 0); LANES];
    let system = rest(SystemDesc { domains, ..*system(lanes, tasks.to_vec()) });
    let system: &'static SystemDesc = Box::leak(Box::new(system));
    Bench { system, state: State::new(system).unwrap(), log: Log::default() }
}

fn of(task: TaskDesc) -> TaskDesc {
    TaskDesc { domain: Some(DomainId(0)), budget: Duration::from_ns(1_000), queue: 4, ..task }
}

/// The tasks that arrived since the last look, and when.
fn arrivals<const TASKS: usize, const LANES: usize>(bench: &mut Bench<TASKS, LANES>) -> Vec<(u16, u64)> {
    let arrival = |kind| match kind {
        Kind::Submitted { job, arrival, .. } => Some((job.task.0, arrival.as_ns())),
        _ => None,
    };
    bench.seen().into_iter().filter_map(arrival).collect()
}

#[test]
fn what_the_timer_releases_comes_back_on_its_own_grid_after_the_step() {
    for (restored, next) in [(13, 23), (22, 23), (23, 33), (24, 33)] {
        let mut bench: Bench<1, 1> = bench_with([of(timed(3, 10))], |system| system);
        bench.timer(3);
        bench.complete(0, 3, 4);
        // What is due in this step is not released.
        bench.step(FAIL, 13);
        bench.seen();
        let done = bench.step(RESTORED, restored);
        assert_eq!((bench.state.failed_domains(), done.wake_at), (0, Some(at(next))));
        assert_eq!(bench.seen(), [Kind::DomainRestored { domain: DomainId(0) }]);
        bench.timer(next);
        assert_eq!(arrivals(&mut bench), [(0, next)]);
    }
}

#[test]
fn what_is_submitted_may_arrive_after_the_step_and_a_period_after_its_last_one() {
    let mut bench: Bench<1, 1> = bench_with([of(task(0, 0))], |system| system);
    bench.submit(0, 0);
    bench.complete(0, 0, 1);
    bench.step(FAIL, 2);
    let submit = |arrival| Event::Submit { task: TaskId(0), arrival: at(arrival) };
    bench.refuses(submit(2), 2, Refused::DomainFailed { task: TaskId(0), domain: DomainId(0) });
    bench.step(RESTORED, 3);
    bench.refuses(submit(9), 9, Refused::TooEarly { earliest: at(10) });
    bench.submit(0, 10);
    bench.complete(0, 10, 11);
    bench.step(FAIL, 30);
    bench.step(RESTORED, 31);
    bench.refuses(submit(31), 31, Refused::TooEarly { earliest: at(32) });
    bench.submit(0, 32);
    assert_eq!(arrivals(&mut bench), [(0, 0), (0, 10), (0, 32)]);
}

#[test]
fn deferred_arrivals_that_were_dropped_count_as_if_they_had_come() {
    let mut bench: Bench<1, 1> = bench_with([of(TaskDesc { defers: true, ..task(0, 0) })], |system| system);
    for arrival in [0, 0, 0] {
        bench.step(Event::Submit { task: TaskId(0), arrival: at(arrival) }, 0);
    }
    bench.complete(0, 0, 1);
    bench.step(FAIL, 2);
    assert!(bench.seen().contains(&Kind::Forgone { task: TaskId(0), arrival: at(10), count: 2 }));
    bench.step(RESTORED, 3);
    bench.step(Event::Submit { task: TaskId(0), arrival: at(4) }, 4);
    assert!(bench.seen().contains(&Kind::Deferred { task: TaskId(0), arrival: at(30), pending: 1 }));
}

#[test]
fn a_domain_that_is_unknown_sound_or_still_on_a_lane_is_not_restored() {
    let mut bench: Bench<2, 2> = bench_with([of(task(1, 0)), task(0, 0)], |system| system);
    for number in [2, 64, u16::MAX] {
        let domain = DomainId(number);
        bench.refuses(Event::Restored { domain }, 0, Refused::UnknownDomain { domain });
    }
    bench.refuses(RESTORED, 0, Refused::DomainNotFailed { domain: DomainId(0) });
    bench.submit(0, 0);
    bench.submit(1, 0);
    bench.step(Event::Fail { domain: DomainId(0), loss: Some(Loss::Signalled) }, 1);
    bench.refuses(RESTORED, 2, Refused::DomainBusy { domain: DomainId(0), lane: LaneId(1) });
    bench.complete(1, 0, 3);
    assert!(matches!(bench.ends()[..], [(_, Some(_))]), "its job delivers nothing");
    // What another domain's tasks do is of no account.
    bench.step(RESTORED, 3);
    bench.refuses(RESTORED, 4, Refused::DomainNotFailed { domain: DomainId(0) });
    bench.submit(0, 10);
    bench.complete(1, 10, 11);
    assert!(matches!(bench.ends()[..], [(_, None)]));
}

#[test]
fn stages_follow_their_first_one_again() {
    let stage = StageDesc { after: TaskId(0), earliest: Duration::ZERO, latest: Duration::from_ns(9) };
    let second = TaskDesc { release: Release::Stage, stage: Some(stage), ..of(task(1, 0)) };
    let mut bench: Bench<2, 2> = bench_with([of(timed(0, 10)), second], |system| system);
    bench.timer(0);
    bench.step(FAIL, 1);
    assert_eq!(started(&bench.complete(0, 0, 2), 1), None);
    bench.step(RESTORED, 2);
    bench.timer(10);
    assert_eq!(started(&bench.complete(0, 10, 12), 1), Some(1));
}

#[test]
fn an_optional_task_comes_back_where_it_is_still_admitted() {
    let optional = |priority| of(TaskDesc { optional: true, priority: Priority(priority), ..timed(0, 10) });
    let mut bench: Bench<2, 1> = bench_with([optional(0), optional(1)], |system| system);
    for task in [TaskId(0), TaskId(1)] {
        bench.step(Event::Admit { task }, 1);
    }
    bench.step(FAIL, 2);
    bench.step(Event::Dismiss { task: TaskId(1) }, 3);
    let why = Refused::DomainFailed { task: TaskId(1), domain: DomainId(0) };
    bench.refuses(Event::Admit { task: TaskId(1) }, 4, why);
    bench.step(RESTORED, 15);
    bench.timer(20);
    assert_eq!(arrivals(&mut bench), [(0, 20)]);
    bench.step(Event::Admit { task: TaskId(1) }, 21);
    bench.timer(30);
    assert_eq!(arrivals(&mut bench), [(0, 30), (1, 30)]);
}

#[test]
fn a_task_arrives_in_the_modes_that_have_it_whichever_comes_first() {
    let mode = |tasks| ModeDesc { name: "mode", tasks, lanes: &[], proven: &[], leaves: Duration::from_ns(20) };
    let with_modes = || -> Bench<2, 1> {
        let other = TaskDesc { priority: Priority(1), ..timed(0, 10) };
        let modes = vec![mode(&[TaskId(0), TaskId(1)]), mode(&[TaskId(1)])].leak();
        let mut bench = bench_with([of(timed(0, 10)), other], |system| SystemDesc { modes, ..system });
        bench.timer(0);
        bench.complete(0, 0, 1);
        bench.complete(0, 1, 2);
        bench.step(FAIL, 3);
        bench.step(Event::Mode { mode: ModeId(1) }, 4);
        assert_eq!(bench.state.mode(), Some(ModeId(1)));
        bench.seen();
        bench
    };
    // Restored in a mode that does not have it.
    let mut bench = with_modes();
    bench.step(RESTORED, 5);
    bench.timer(10);
    bench.complete(0, 10, 11);
    bench.step(Event::Mode { mode: ModeId(0) }, 12);
    bench.timer(13);
    assert_eq!(arrivals(&mut bench), [(1, 10), (0, 13)], "a mode begins at the change's end");
    // Its mode comes back first.
    let mut bench = with_modes();
    bench.step(Event::Mode { mode: ModeId(0) }, 12);
    bench.complete(0, 12, 14);
    assert_eq!(bench.state.mode(), Some(ModeId(0)));
    bench.timer(15);
    bench.step(RESTORED, 16);
    bench.timer(23);
    assert_eq!(arrivals(&mut bench), [(1, 10), (0, 23), (1, 20)]);
}

#[test]
fn what_a_level_of_memory_pressure_withholds_stays_withheld() {
    let shed: &[TaskId] = &[TaskId(0)];
    let level =
        LevelDesc { name: "high", shed, reject: &[], pools: &[], models: &[], moves: &[], settles: Duration::ZERO };
    let levels = vec![level].leak();
    let mut bench: Bench<1, 1> = bench_with([of(timed(0, 10))], |system| SystemDesc { levels, ..system });
    bench.timer(0);
    bench.step(Event::Pressure { level: Some(LevelId(0)) }, 1);
    bench.step(FAIL, 2);
    bench.complete(0, 0, 3);
    assert_eq!(bench.state.settled_level(), Some(LevelId(0)));
    bench.step(RESTORED, 4);
    bench.seen();
    bench.timer(10);
    assert!(matches!(bench.seen()[..], [Kind::Withheld { .. }]));
    bench.step(Event::Pressure { level: None }, 11);
    bench.timer(20);
    assert_eq!(arrivals(&mut bench), [(0, 20)]);
}

#[test]
fn an_arrival_that_an_old_job_would_have_dropped_came_while_the_domain_was_away() {
    let skips =
        TaskDesc { on_overrun: aegis_core::desc::Answer::SkipNext, budget: Duration::from_ns(2), ..of(timed(0, 10)) };
    let mut bench: Bench<1, 1> = bench_with([TaskDesc { budget: Duration::from_ns(2), ..skips }], |system| system);
    bench.timer(0);
    bench.complete(0, 0, 5);
    bench.step(FAIL, 6);
    bench.step(RESTORED, 7);
    bench.timer(10);
    assert_eq!(arrivals(&mut bench), [(0, 0), (0, 10)]);
}
