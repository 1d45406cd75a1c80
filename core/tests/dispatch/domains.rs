//! The dispatcher on fault domains: what a failure ends, at once and later, and what it leaves alone.

use crate::bench::*;
use aegis_core::desc::{Answer, DomainDesc, LaneDesc, ModeDesc, Preemption, Release, StageDesc, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Event, Refused, State};
use aegis_core::trace::{Cause, JobRef, Kind, Loss};
use aegis_core::{DomainId, Duration, LaneId, ModeId, TaskId};

const THREE: &[Duration] = &[Duration::from_ns(1), Duration::from_ns(1), Duration::from_ns(1)];

/// Two domains.
fn bench_with<const TASKS: usize, const LANES: usize>(
    lanes: [LaneDesc; LANES],
    tasks: [TaskDesc; TASKS],
) -> Bench<TASKS, LANES> {
    let domains = &[DomainDesc { name: "vision", process: None }, DomainDesc { name: "maps", process: None }];
    let system = SystemDesc { domains, ..*system(lanes.to_vec(), tasks.to_vec()) };
    let system: &'static SystemDesc = Box::leak(Box::new(system));
    Bench { system, state: State::new(system).unwrap(), log: Log::default() }
}

fn of(domain: u16, task: TaskDesc) -> TaskDesc {
    TaskDesc { domain: Some(DomainId(domain)), budget: Duration::from_ns(1_000), ..task }
}

fn fail<const TASKS: usize, const LANES: usize>(bench: &mut Bench<TASKS, LANES>, domain: u16, now: u64) {
    bench.step(Event::Fail { domain: DomainId(domain), loss: None }, now);
}

fn failed(domain: u16, cause: Cause, job: Option<JobRef>) -> Kind {
    Kind::DomainFailed { domain: DomainId(domain), cause, job }
}

fn dropped(task: u16, count: u32) -> Kind {
    Kind::Dropped { task: TaskId(task), count }
}

/// The records of domains and of jobs' ends, since the last look.
fn ends<const TASKS: usize, const LANES: usize>(bench: &mut Bench<TASKS, LANES>) -> Vec<Kind> {
    let mut seen = bench.seen();
    seen.retain(|kind| {
        matches!(
            kind,
            Kind::DomainFailed { .. }
                | Kind::Dropped { .. }
                | Kind::Aborted { .. }
                | Kind::Completed { .. }
                | Kind::Failed { .. }
        )
    });
    seen
}

#[test]
fn a_failure_drops_what_waits_and_the_running_job_ends_with_its_segment() {
    let in_three = TaskDesc { segments: THREE, ..of(0, task(0, 0)) };
    let preempting = LaneDesc { preemption: Preemption::Segments, ..lane(FP, 0) };
    let mut bench = bench_with([preempting], [in_three, of(0, task(0, 1)), of(1, task(0, 2)), task(0, 3)]);
    bench.submit(0, 0);
    for task in 1..4 {
        bench.submit(task, 1);
    }
    bench.submit(1, 11);
    bench.seen();
    fail(&mut bench, 0, 12);
    assert_eq!(ends(&mut bench), [failed(0, Cause::Outside, None), dropped(1, 2)]);
    assert_eq!(bench.state.running(LaneId(0)).map(|job| job.task.0), Some(0), "a started segment cannot be stopped");
    assert_eq!(bench.state.failed_domains(), 1);
    // It ends at its first boundary, and what lies elsewhere goes on.
    assert_eq!(started(&bench.complete(0, 0, 13), 0), Some(2));
    assert_eq!(bench.ends(), [(job(0, 1), Some((0, 13, 13)))]);
    assert_eq!(started(&bench.complete(0, 13, 14), 0), Some(3));
    bench.complete(0, 14, 15);
    assert!(bench.state.is_idle());
    // A domain fails once.
    bench.seen();
    fail(&mut bench, 0, 16);
    assert_eq!(bench.seen(), []);
}

#[test]
fn a_job_that_was_paused_is_dropped_and_one_in_its_last_segment_delivers_nothing() {
    let in_three = TaskDesc { segments: THREE, ..of(0, task(0, 1)) };
    let preempting = LaneDesc { preemption: Preemption::Segments, ..lane(FP, 0) };
    let mut bench = bench_with([preempting, lane(FP, 0)], [in_three, task(0, 0), of(0, task(1, 0))]);
    bench.submit(0, 0);
    bench.submit(1, 1);
    assert_eq!(started(&bench.complete(0, 0, 2), 0), Some(1));
    bench.submit(2, 3);
    bench.submit(0, 10);
    fail(&mut bench, 0, 11);
    assert_eq!(ends(&mut bench), [failed(0, Cause::Outside, None), dropped(0, 2)]);
    bench.complete(1, 3, 12);
    assert_eq!(bench.ends(), [(job(2, 3), Some((0, 9, 9)))], "its only segment has run to its end");
    bench.complete(0, 2, 13);
    assert_eq!(bench.ends(), [(job(1, 2), None)]);
}

#[test]
fn nothing_of_a_failed_domain_arrives_and_nothing_is_said_of_it() {
    let of_timer = |domain| of(domain, TaskDesc { queue: 4, ..timed(0, 10) });
    let mut bench = bench_with(
        [lane(FP, 0)],
        [of_timer(0), TaskDesc { priority: task(0, 1).priority, ..of_timer(1) }, of(0, task(0, 2))],
    );
    bench.timer(0);
    assert_eq!(started(&bench.complete(0, 0, 1), 0), Some(1));
    bench.complete(0, 1, 2);
    bench.seen();
    // What is due in this step is not released either.
    fail(&mut bench, 0, 10);
    assert_eq!(bench.state.running(LaneId(0)).map(|job| job.task.0), Some(1));
    let arrives = |kind: &Kind| matches!(kind, Kind::Submitted { .. } | Kind::Withheld { .. } | Kind::Rejected { .. });
    assert_eq!(bench.seen().iter().filter(|kind| arrives(kind)).count(), 1);
    assert_eq!(bench.complete(0, 10, 11).wake_at, Some(at(20)));
    let why = Refused::DomainFailed { task: TaskId(2), domain: DomainId(0) };
    bench.refuses(Event::Submit { task: TaskId(2), arrival: at(12) }, 12, why);
    fail(&mut bench, 1, 13);
    assert_eq!(bench.timer(1_000).wake_at, None, "no task is left that arrives");
    assert_eq!(bench.state.failed_domains(), 3);
    bench.refuses(
        Event::Fail { domain: DomainId(2), loss: None },
        1_000,
        Refused::UnknownDomain { domain: DomainId(2) },
    );
    bench.refuses(
        Event::Fail { domain: DomainId(65), loss: None },
        1_000,
        Refused::UnknownDomain { domain: DomainId(65) },
    );
}

#[test]
fn an_overrun_fails_the_domain_as_soon_as_it_is_seen() {
    let strict = TaskDesc { on_overrun: Answer::FailDomain, budget: Duration::from_ns(2), ..of(0, task(0, 0)) };
    let mut bench = bench_with([lane(FP, 0), lane(FP, 0)], [strict, of(0, task(1, 0)), task(0, 1)]);
    bench.submit(0, 0);
    bench.submit(2, 0);
    bench.submit(1, 0);
    bench.submit(1, 10);
    bench.timer(13);
    assert_eq!(ends(&mut bench), [failed(0, Cause::Overrun, Some(job(0, 1))), dropped(1, 1)]);
    // Measured at the end of a segment, it ends that job itself.
    let mut bench = bench_with([lane(FP, 5)], [strict]);
    bench.submit(0, 0);
    bench.complete(0, 0, 3);
    let seen = ends(&mut bench);
    assert_eq!(seen[0], failed(0, Cause::Overrun, Some(job(0, 1))));
    assert!(matches!(seen[1..], [Kind::Aborted { .. }]), "{seen:?}");
}

#[test]
fn a_miss_fails_the_domain_of_a_job_that_runs_or_would_start() {
    let strict = TaskDesc { on_miss: Answer::FailDomain, ..of(0, task(0, 0)) };
    let mut bench = bench_with([lane(FP, 0)], [strict, task(0, 1)]);
    bench.submit(0, 0);
    bench.timer(11);
    assert_eq!(ends(&mut bench), [failed(0, Cause::Miss, Some(job(0, 1)))]);
    bench.complete(0, 0, 12);
    assert_eq!(bench.ends(), [(job(0, 1), Some((0, 12, 12)))]);
    // One that waits: it ends instead of starting, with all others of its domain; the lane goes on at once.
    let mut bench = bench_with([lane(FP, 0)], [strict, task(0, 1), of(0, task(0, 2))]);
    bench.submit(1, 0);
    bench.submit(0, 1);
    bench.submit(2, 1);
    bench.submit(1, 10);
    bench.submit(0, 11);
    let dropping = bench.complete(0, 0, 12);
    assert_eq!((dropping.start, dropping.wake_at), ([None], Some(at(13))));
    let seen = ends(&mut bench);
    let [Kind::Completed { .. }, Kind::Aborted { job: late, .. }, rest @ ..] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(
        (*late, rest),
        (job(0, 2), &[failed(0, Cause::Miss, Some(job(0, 2))), dropped(0, 1), dropped(2, 1)][..])
    );
    assert_eq!(started(&bench.timer(13), 0), Some(1));
}

#[test]
fn a_lost_process_fails_its_job_and_its_domain_in_one_step() {
    let lost = |loss, began| Event::Lost { lane: LaneId(0), began: at(began), ended: at(began + 5), loss };
    for loss in Loss::ALL {
        let mut bench = bench_with([lane(FP, 0)], [of(0, task(0, 0)), of(1, task(0, 1))]);
        bench.submit(0, 0);
        bench.submit(1, 1);
        bench.submit(0, 10);
        bench.seen();
        let cause = Cause::Process(loss);
        assert_eq!(started(&bench.step(lost(loss, 11), 16), 0), Some(1), "the lane is free");
        let seen = ends(&mut bench);
        assert_eq!(
            seen[..3],
            [Kind::Failed { job: job(0, 1), lane: LaneId(0) }, failed(0, cause, Some(job(0, 1))), dropped(0, 1)]
        );
        assert!(matches!(seen[3..], [Kind::Aborted { .. }]), "{seen:?}");
        assert_eq!(bench.state.failed_domains(), 1);
        bench.complete(0, 16, 17);
        // One that was seen to be lost while nothing of it ran.
        bench.seen();
        bench.step(Event::Fail { domain: DomainId(1), loss: Some(loss) }, 18);
        assert_eq!(ends(&mut bench), [failed(1, cause, None)]);
    }
}

#[test]
fn a_process_that_is_lost_after_its_domain_failed_ends_its_job_alone() {
    let mut bench = bench_with([lane(FP, 0)], [of(0, task(0, 0))]);
    bench.submit(0, 0);
    bench.step(Event::Fail { domain: DomainId(0), loss: Some(Loss::Signalled) }, 3);
    bench.seen();
    bench.step(Event::Lost { lane: LaneId(0), began: at(0), ended: at(4), loss: Loss::Signalled }, 5);
    let seen = ends(&mut bench);
    assert!(matches!(seen[..], [Kind::Failed { .. }, Kind::Aborted { .. }]), "{seen:?}");
}

#[test]
fn a_failed_job_is_answered_by_its_task() {
    let ends_badly = |now| Event::Failed { lane: LaneId(0), began: at(now), ended: at(now + 1) };
    let answering = |on_failure| TaskDesc { on_failure, ..of(0, task(0, 0)) };
    // It counts as completed.
    let mut bench = bench_with([lane(FP, 0)], [answering(Answer::Continue)]);
    bench.submit(0, 0);
    bench.step(ends_badly(0), 1);
    let seen = ends(&mut bench);
    assert!(matches!(seen[..], [Kind::Failed { .. }, Kind::Completed { .. }]), "{seen:?}");
    assert_eq!(bench.state.failed_domains(), 0);
    // Its domain fails with it.
    let mut bench = bench_with([lane(FP, 0)], [answering(Answer::FailDomain)]);
    bench.submit(0, 0);
    bench.submit(0, 10);
    bench.step(ends_badly(10), 11);
    let seen = ends(&mut bench);
    assert_eq!(seen[1..3], [failed(0, Cause::Failure, Some(job(0, 1))), dropped(0, 1)]);
    assert!(matches!((seen[0], seen[3]), (Kind::Failed { .. }, Kind::Aborted { .. })), "{seen:?}");
    bench.refuses(ends_badly(11), 12, Refused::NothingRunning { lane: LaneId(0) });
    // The mode changes.
    let mode = |tasks| ModeDesc { name: "mode", tasks, lanes: &[], proven: &[], leaves: Duration::from_ns(20) };
    let modes = vec![mode(&[TaskId(0)]), mode(&[TaskId(0)])].leak();
    let mut bench = bench_with([lane(FP, 0)], [answering(Answer::SwitchMode(ModeId(1)))]);
    let system: &'static SystemDesc = Box::leak(Box::new(SystemDesc { modes, ..*bench.system }));
    (bench.system, bench.state) = (system, State::new(system).unwrap());
    bench.submit(0, 0);
    bench.step(ends_badly(0), 1);
    assert_eq!(bench.state.mode(), Some(ModeId(1)));
}

#[test]
fn a_stage_is_released_where_neither_its_domain_nor_that_of_the_stage_before_has_failed() {
    let stage = StageDesc { after: TaskId(0), earliest: Duration::ZERO, latest: Duration::from_ns(9) };
    let second = TaskDesc { release: Release::Stage, stage: Some(stage), ..of(1, task(1, 0)) };
    let ran = |domain| {
        let mut bench = bench_with([lane(FP, 0), lane(FP, 0)], [of(0, task(0, 0)), second]);
        bench.submit(0, 0);
        if let Some(domain) = domain {
            fail(&mut bench, domain, 1);
        }
        (started(&bench.complete(0, 0, 2), 1), bench.state.is_idle())
    };
    assert_eq!(ran(None), (Some(1), false));
    assert_eq!(ran(Some(0)), (None, true), "the first stage delivers nothing");
    assert_eq!(ran(Some(1)), (None, true), "nobody is left to run the second one");
}

#[test]
fn a_task_of_a_failed_domain_does_not_come_back_with_its_mode() {
    let mode = |tasks| ModeDesc { name: "mode", tasks, lanes: &[], proven: &[], leaves: Duration::from_ns(20) };
    let modes = vec![mode(&[TaskId(0)]), mode(&[TaskId(1)])].leak();
    let mut bench =
        bench_with([lane(FP, 0)], [timed(0, 10), of(0, TaskDesc { priority: task(0, 1).priority, ..timed(0, 10) })]);
    let system: &'static SystemDesc = Box::leak(Box::new(SystemDesc { modes, ..*bench.system }));
    (bench.system, bench.state) = (system, State::new(system).unwrap());
    bench.timer(0);
    fail(&mut bench, 0, 1);
    bench.step(Event::Mode { mode: ModeId(1) }, 2);
    let changed = bench.complete(0, 0, 3);
    assert_eq!((bench.state.mode(), changed.wake_at), (Some(ModeId(1)), None), "nothing of this mode is left");
    bench.step(Event::Mode { mode: ModeId(0) }, 4);
    assert_eq!(started(&bench.timer(10), 0), Some(0));
}
