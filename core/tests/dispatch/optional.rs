//! Optional tasks: what releases nothing until it is admitted, and when it arrives then.

use crate::bench::*;
use aegis_core::desc::{Answer, LevelDesc, Policy, Slot, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Event, Refused, State};
use aegis_core::trace::Kind;
use aegis_core::{Duration, LevelId, TaskId};

const ADMIT: Event = Event::Admit { task: TaskId(0) };
const DISMISS: Event = Event::Dismiss { task: TaskId(0) };

/// Of the timer, with phase 3 and period 10.
fn timed_optional() -> TaskDesc {
    TaskDesc { optional: true, ..timed(3, 10) }
}

fn submitted_optional() -> TaskDesc {
    TaskDesc { optional: true, ..task(0, 0) }
}

fn admitted(first: u64) -> Kind {
    Kind::TaskAdmitted { task: TaskId(0), bound: Duration::from_ns(8), first: at(first) }
}

const DISMISSED: Kind = Kind::TaskDismissed { task: TaskId(0) };

fn arrived<const TASKS: usize, const LANES: usize>(bench: &mut Bench<TASKS, LANES>) -> Vec<u64> {
    let arrival = |kind| match kind {
        Kind::Submitted { job, arrival, .. } if job.task.0 == 0 => Some(arrival.as_ns()),
        _ => None,
    };
    bench.seen().into_iter().filter_map(arrival).collect()
}

#[test]
fn an_optional_task_arrives_on_its_own_grid_from_its_admission_on() {
    let mut bench = bench(FP, [timed_optional()]);
    assert!(!bench.state.releases(TaskId(0)));
    assert_eq!(bench.timer(30).wake_at, None);
    assert_eq!(bench.seen(), []);
    assert_eq!(bench.step(ADMIT, 33).wake_at, Some(at(43)), "not at the instant of its admission");
    assert_eq!(bench.seen(), [admitted(43)]);
    assert!(bench.state.releases(TaskId(0)));
    bench.timer(43);
    bench.complete(0, 43, 44);
    assert_eq!(arrived(&mut bench), [43]);
    assert_eq!(bench.step(DISMISS, 50).wake_at, None);
    assert_eq!(bench.seen(), [DISMISSED]);
    // A period after its last arrival at least.
    bench.step(ADMIT, 51);
    assert_eq!(bench.seen(), [admitted(53)]);
    bench.step(DISMISS, 52);
    bench.step(ADMIT, 152);
    assert_eq!(bench.seen(), [DISMISSED, admitted(153)]);
}

#[test]
fn before_its_phase_it_arrives_first_at_its_phase() {
    let mut bench = bench(FP, [timed_optional()]);
    bench.step(ADMIT, 0);
    assert_eq!(bench.seen(), [admitted(3)]);
}

#[test]
fn what_has_arrived_at_its_dismissal_runs_to_its_end_and_nothing_more_comes() {
    let mut bench = bench(FP, [timed_optional(), TaskDesc { priority: task(0, 9).priority, ..task(0, 9) }]);
    bench.step(ADMIT, 0);
    bench.submit(1, 1);
    assert_eq!(bench.step(DISMISS, 13).start, [None]);
    assert_eq!(arrived(&mut bench), [3, 13], "also what arrives at that instant");
    assert_eq!(started(&bench.complete(0, 1, 14), 0), Some(0));
    assert_eq!(started(&bench.complete(0, 14, 15), 0), Some(0));
    bench.complete(0, 15, 16);
    bench.timer(100);
    assert!(bench.state.is_idle());
}

#[test]
fn what_cannot_be_admitted_or_dismissed_is_refused_with_the_reason() {
    let other = TaskId(1);
    let mut bench = bench(FP, [submitted_optional(), TaskDesc { priority: task(0, 1).priority, ..timed(0, 10) }]);
    let submit = |now| Event::Submit { task: TaskId(0), arrival: at(now) };
    bench.refuses(DISMISS, 1, Refused::NotAdmitted { task: TaskId(0) });
    bench.refuses(submit(1), 1, Refused::NotAdmitted { task: TaskId(0) });
    bench.refuses(Event::Admit { task: other }, 1, Refused::NotOptional { task: other });
    bench.refuses(Event::Dismiss { task: other }, 1, Refused::NotOptional { task: other });
    bench.refuses(Event::Admit { task: TaskId(2) }, 1, Refused::UnknownTask { task: TaskId(2) });
    bench.step(ADMIT, 5);
    bench.refuses(ADMIT, 6, Refused::AlreadyAdmitted { task: TaskId(0) });
    bench.refuses(submit(5), 6, Refused::TooEarly { earliest: at(6) });
    bench.submit(0, 6);
    bench.step(DISMISS, 7);
    bench.refuses(submit(17), 17, Refused::NotAdmitted { task: TaskId(0) });
    bench.step(ADMIT, 8);
    bench.refuses(submit(15), 15, Refused::TooEarly { earliest: at(16) });
}

#[test]
fn its_dismissal_drops_what_is_deferred_and_what_an_old_job_would_have_dropped_comes() {
    let task = TaskDesc { defers: true, on_overrun: Answer::SkipNext, ..submitted_optional() };
    let mut bench = bench(FP, [task]);
    bench.step(ADMIT, 0);
    bench.submit(0, 1);
    bench.submit(0, 2);
    bench.complete(0, 1, 9);
    bench.seen();
    bench.step(DISMISS, 10);
    assert_eq!(bench.seen(), [DISMISSED, Kind::Forgone { task: TaskId(0), arrival: at(11), count: 1 }]);
    bench.step(ADMIT, 30);
    bench.submit(0, 31);
    assert_eq!(arrived(&mut bench), [31]);
}

#[test]
fn a_level_withholds_an_admitted_task_and_a_settled_one_whatever_was_admitted_meanwhile() {
    let level = LevelDesc {
        name: "level",
        shed: &[TaskId(0)],
        reject: &[],
        pools: &[],
        models: &[],
        moves: &[],
        settles: Duration::ZERO,
    };
    let system: &'static SystemDesc = Box::leak(Box::new(SystemDesc {
        levels: vec![level].leak(),
        ..*system(vec![lane(FP, 0)], vec![timed_optional()])
    }));
    let mut bench: Bench<1, 1> = Bench { system, state: State::new(system).unwrap(), log: Log::default() };
    bench.step(Event::Pressure { level: Some(LevelId(0)) }, 1);
    bench.step(ADMIT, 2);
    bench.timer(13);
    assert_eq!(arrived(&mut bench), []);
    bench.step(Event::Pressure { level: None }, 14);
    bench.timer(23);
    assert_eq!(arrived(&mut bench), [23]);
}

#[test]
fn on_a_table_an_admitted_task_has_its_own_slots() {
    let slot = |at, task| Slot { at: Duration::from_ns(at), task: TaskId(task) };
    let table = aegis_core::desc::LaneDesc {
        hyperperiod: Duration::from_ns(20),
        slots: vec![slot(0, 1), slot(5, 0), slot(10, 1), slot(15, 0)].leak(),
        ..lane(Policy::TimeTriggered, 0)
    };
    let mut bench: Bench<2, 1> = bench_of([table], [timed_optional(), timed(0, 10)]);
    let mut starts = Vec::new();
    let mut wake = Some(at(0));
    while let Some(now) = wake.map(|now| now.as_ns()).filter(|now| *now < 60) {
        // Just before the third lap.
        let actions = if now == 40 { bench.step(ADMIT, 40) } else { bench.timer(now) };
        wake = actions.wake_at;
        if let Some(job) = actions.start[0] {
            starts.push((now, job.task.0));
            let done = bench.complete(0, now, now + 1);
            assert_eq!(done.start, [None]);
            wake = done.wake_at;
        }
    }
    assert_eq!(starts, [(0, 1), (10, 1), (20, 1), (30, 1), (40, 1), (45, 0), (50, 1), (55, 0)]);
}

#[test]
fn the_end_of_the_time_range_is_refused() {
    let far = u64::MAX - 2;
    let mut bench = bench(FP, [timed_optional()]);
    assert_eq!(bench.try_step(ADMIT, far), Err(Refused::OutOfRange));
}
