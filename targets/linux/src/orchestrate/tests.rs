//! The loop without lane threads: what lies between it and time.

use super::{Report, Setup, Stop, Timer, run_with};
use crate::admissions::{AdmissionError, Admissions};
use crate::bell::Bell;
use crate::changes::{Change, Changes};
use crate::clock::Clock;
use crate::domains::Domains;
use crate::fixture;
use crate::guarantee::Guarantee;
use crate::lane::LaneLink;
use crate::modes::Modes;
use crate::pressure::Pressure;
use crate::pulse::Pulse;
use crate::reclaim::{Order, Reclaim};
use crate::steal::StealSamples;
use crate::submissions::Submissions;
use crate::watchdog::{Watch, Watched};
use aegis_core::desc::{OnStall, Release, SystemDesc, TaskDesc, Waiting, WatchdogDesc};
use aegis_core::dispatch::{Event, State};
use aegis_core::trace::{Kind, Sink};
use aegis_core::{Bytes, Instant, LevelId, TaskId};
use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
use std::sync::Arc;

/// Keeps what it is given.
#[derive(Default)]
struct Kept(Vec<Kind>);

impl Sink for Kept {
    fn record(&mut self, _at: Instant, kind: Kind) {
        self.0.push(kind);
    }
}

/// A task whose first arrival is at 60 ms.
fn late_task(release: Release) -> &'static SystemDesc {
    let base = fixture::system(&[(1_000, 1)]);
    let tasks = base.tasks.iter().map(|task| TaskDesc { release, phase: fixture::ms(60), ..*task });
    let tasks: Vec<_> = tasks.collect();
    Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), ..*base }))
}

/// Runs a plan of one task on a lane without a thread, with `meanwhile` beside it.
fn run_alone(
    system: &'static SystemDesc,
    watchdog: Option<WatchdogDesc>,
    until_ms: u64,
    meanwhile: impl FnOnce(&Timer, &Submissions) + Send,
) -> (Report<1>, Vec<Kind>, Option<Watched>) {
    run_later(system, watchdog, (0, until_ms), |timer, submissions, _| meanwhile(timer, submissions))
}

/// The same, starting some time later, with the levels of pressure at hand, too.
fn run_later(
    system: &'static SystemDesc,
    watchdog: Option<WatchdogDesc>,
    (start_ms, until_ms): (u64, u64),
    meanwhile: impl FnOnce(&Timer, &Submissions, &Pressure) + Send,
) -> (Report<1>, Vec<Kind>, Option<Watched>) {
    let bell = Arc::new(Bell::new(Waiting::Blocking).unwrap());
    let (stop, submissions) = (Stop::new(Arc::clone(&bell)), Submissions::new(system));
    let (samples, pulse) = (StealSamples::new(), watchdog.map(Pulse::new));
    let clock = Clock::starting_in(fixture::ms(start_ms));
    submissions.open(clock, Arc::clone(&bell));
    let (pressure, modes, admissions) = (Pressure::new(system), Modes::new(system), Admissions::new(system));
    pressure.open(Arc::clone(&bell));
    let setup = Setup {
        system,
        clock,
        lanes: [Arc::new(LaneLink::new(Waiting::Blocking))],
        bell: &bell,
        stop: &stop,
        submissions: &submissions,
        pressure: &pressure,
        modes: &modes,
        domains: &Domains::new(system),
        admissions: &admissions,
        guarantee: &Guarantee::new(),
        reclaim: &Reclaim::new(Box::new([])),
        until: Some(Instant::from_ns(until_ms * 1_000_000)),
        steal: None,
        samples: &samples,
        pulse: pulse.as_ref(),
    };
    let bell = bell.as_ref();
    let (timer, mut kept) = (Timer::new(Waiting::Blocking).unwrap(), Kept::default());
    let descriptor = timer.descriptor.try_clone().unwrap();
    let same = Timer { descriptor, armed: None, waiting: Waiting::Blocking, due_ns: u64::MAX };
    let mut state: State<1, 1, 2> = State::new(system).unwrap();
    let (report, watched) = std::thread::scope(|scope| {
        let watch = |pulse| Watch { pulse, bell, service: None, device: None, hook: None }.run();
        let watching = pulse.as_ref().map(|pulse| scope.spawn(move || watch(pulse)));
        scope.spawn(|| meanwhile(&same, &submissions, &pressure));
        let report = run_with(timer, &setup, &mut state, &mut kept);
        (report, watching.map(|thread| thread.join().unwrap()))
    });
    (report, kept.0, watched)
}

#[test]
fn an_arrival_that_was_stamped_at_the_end_while_it_was_told_is_dropped() {
    let base = late_task(Release::Submitted);
    for (defers, count) in [(false, 1), (true, 3)] {
        let tasks = vec![TaskDesc { defers, ..base.tasks[0] }].leak();
        let system = Box::leak(Box::new(SystemDesc { tasks, ..*base }));
        let at_end = Instant::from_ns(20_000_000);
        let wait = |_: &Timer, submissions: &Submissions| submissions.wait_with(TaskId(0), at_end, count);
        let (report, kept, _) = run_alone(system, None, 20, wait);
        assert_eq!((report.broken, report.drained, report.dropped), (None, true, u64::from(count)));
        assert!(!kept.iter().any(|kind| matches!(kind, Kind::Submitted { .. } | Kind::Deferred { .. })), "{kept:?}");
    }
}

#[test]
fn what_is_asked_for_before_the_start_waits_for_it() {
    let levels = &[fixture::LEVEL];
    let system = Box::leak(Box::new(SystemDesc { levels, ..*late_task(Release::Timer) }));
    let early = |_: &Timer, _: &Submissions, pressure: &Pressure| {
        pressure.request(Some(LevelId(0))).unwrap();
        // The loop hears it and has nothing to do yet.
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(pressure.level(), None);
    };
    let (report, kept, _) = run_later(system, None, (60, 20), early);
    assert_eq!((report.broken, report.drained), (None, true));
    let steps = kept.iter().filter(|kind| matches!(kind, Kind::Stepped { .. } | Kind::Pressure { .. }));
    let steps: Vec<&Kind> = steps.collect();
    // The end is told first, at the start; then the level is gone to.
    assert!(matches!(steps[0], Kind::Stepped { event: Event::Stop { .. } }), "{steps:?}");
    assert!(steps.iter().any(|kind| matches!(kind, Kind::Pressure { to: Some(LevelId(0)), .. })), "{steps:?}");
}

#[test]
fn a_lost_timer_is_seen_recorded_and_made_good_by_the_bell() {
    let lose = |timer: &Timer, _: &Submissions| {
        // The thread sleeps until 50 ms.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let never = Itimerspec { it_interval: zero, it_value: zero };
        timerfd_settime(&timer.descriptor, TimerfdTimerFlags::ABSTIME, &never).unwrap();
    };
    let watchdog = WatchdogDesc { timeout: fixture::ms(40), device: None, on_stall: OnStall::Record };
    let (report, kept, watched) = run_alone(late_task(Release::Timer), Some(watchdog), 50, lose);
    assert_eq!((report.broken, report.drained, report.loop_stalls), (None, true, 1));
    let stall = kept.iter().find_map(|kind| match *kind {
        Kind::LoopStalled { due, late, allowed } => Some((due, late, allowed)),
        _ => None,
    });
    let (due, late, allowed) = stall.unwrap();
    assert_eq!((due, allowed), (Instant::from_ns(50_000_000), fixture::ms(40)));
    assert!(late > fixture::ms(40), "{late:?}");
    assert_eq!(watched.map(|watched| (watched.overdue, watched.must_exit)), Some((1, false)));
}

#[test]
fn a_request_that_comes_after_the_look_is_due_now_and_not_when_the_last_look_was() {
    let system = SystemDesc { levels: &[fixture::LEVEL], ..*fixture::system(&[(10, 1)]) };
    let (pressure, modes, admissions) = (Pressure::new(&system), Modes::new(&system), Admissions::new(&system));
    pressure.open(Arc::new(Bell::new(Waiting::Blocking).unwrap()));
    let reclaim = Reclaim::new(Box::new([]));
    let mut changes = Changes::new(&pressure, &modes, &admissions, &reclaim);
    let at = |ms: u64| Instant::from_ns(ms * 1_000_000);
    assert_eq!(changes.wake_at(false, at(5_000)), None);
    pressure.request(Some(LevelId(0))).unwrap();
    assert_eq!(changes.wake_at(false, at(5_000)), Some(at(5_000)), "hours after the start it is not hours late");
    assert_eq!(changes.due(at(5_000), false), Some(Change::Level(Some(LevelId(0)))));
    changes.is_at(Some(LevelId(0)));
    pressure.request(None).unwrap();
    assert_eq!(changes.wake_at(false, at(5_400)), Some(at(6_000)), "a second after the last look");
    assert_eq!(changes.wake_at(false, at(90_000)), Some(at(90_000)));
}

#[test]
fn a_level_is_left_at_the_first_look_that_finds_the_memory_there() {
    let system = SystemDesc { levels: &[fixture::LEVEL], ..*fixture::system(&[(10, 1)]) };
    let (pressure, modes, admissions) = (Pressure::new(&system), Modes::new(&system), Admissions::new(&system));
    pressure.open(Arc::new(Bell::new(Waiting::Blocking).unwrap()));
    let reclaim = Reclaim::new(Box::new([1]));
    let mut changes = Changes::new(&pressure, &modes, &admissions, &reclaim);
    let (at, level) = (|s: u64| Instant::from_ns(s * 1_000_000_000), Some(LevelId(0)));
    pressure.request(level).unwrap();
    assert_eq!(changes.due(at(1), false), Some(Change::Level(level)), "nothing is given back yet");
    changes.is_at(level);
    changes.has_settled(LevelId(0));
    let gives = reclaim.next().unwrap();
    reclaim.has_done(gives, Bytes(4096));
    pressure.request(None).unwrap();
    assert_eq!((changes.due(at(2), false), changes.wake_at(false, at(2))), (None, Some(at(3))));
    changes.has_settled(LevelId(0));
    let keeps = reclaim.next().unwrap();
    assert_eq!(keeps.order, Order::Keep(None), "what it is about to need is not given back again");
    assert_eq!((changes.due(at(3), false), changes.wake_at(false, at(3))), (None, Some(at(4))));
    reclaim.has_done(keeps, Bytes(0));
    assert_eq!(changes.due(at(3), false), None, "not before it is time");
    assert_eq!(changes.due(at(4), false), Some(Change::Level(None)));
    changes.is_at(None);
    assert_eq!((changes.due(at(5), false), changes.wake_at(false, at(5))), (None, None));
}

#[test]
fn while_memory_is_awaited_the_last_request_counts() {
    let levels = [fixture::LEVEL; 2];
    let system = SystemDesc { levels: Box::leak(Box::new(levels)), ..*fixture::system(&[(10, 1)]) };
    let (pressure, modes, admissions) = (Pressure::new(&system), Modes::new(&system), Admissions::new(&system));
    pressure.open(Arc::new(Bell::new(Waiting::Blocking).unwrap()));
    // What the first leaves unused, the second does, too.
    let reclaim = Reclaim::new(Box::new([0b11, 0b10]));
    let mut changes = Changes::new(&pressure, &modes, &admissions, &reclaim);
    let (at, high, critical) = (|s: u64| Instant::from_ns(s * 1_000_000_000), Some(LevelId(0)), Some(LevelId(1)));
    let given = |changes: &Changes<'_>| {
        changes.has_settled(LevelId(0));
        let gives = reclaim.next().unwrap();
        reclaim.has_done(gives, Bytes(4096));
        gives.order
    };
    pressure.request(high).unwrap();
    assert_eq!(changes.due(at(1), false), Some(Change::Level(high)));
    changes.is_at(high);
    assert_eq!(given(&changes), Order::Give(LevelId(0)));
    // Taken back: the level stays, and its memory is given back anew.
    pressure.request(None).unwrap();
    assert_eq!(changes.due(at(2), false), None);
    pressure.request(high).unwrap();
    assert_eq!((changes.due(at(3), false), changes.wake_at(false, at(3))), (None, None));
    assert_eq!(given(&changes), Order::Give(LevelId(0)));
    // A severer one, while all is being taken back: all that may be missing it leaves unused, so it is gone to at once.
    pressure.request(None).unwrap();
    assert_eq!(changes.due(at(4), false), None);
    pressure.request(critical).unwrap();
    assert_eq!(changes.due(at(5), false), Some(Change::Level(critical)));
    assert_eq!(
        reclaim.next().unwrap().order,
        Order::Keep(None),
        "what is there meanwhile is not used, and given back once it settles"
    );
}

#[test]
fn an_admission_and_a_change_of_the_level_are_a_second_apart() {
    let base = fixture::system(&[(10, 1), (20, 1)]);
    let tasks = [base.tasks[0], TaskDesc { optional: true, ..base.tasks[1] }];
    let system = SystemDesc { levels: &[fixture::LEVEL], tasks: Box::leak(Box::new(tasks)), ..*base };
    let (pressure, modes, admissions) = (Pressure::new(&system), Modes::new(&system), Admissions::new(&system));
    let bell = Arc::new(Bell::new(Waiting::Blocking).unwrap());
    assert_eq!(admissions.admit(TaskId(1)), Err(AdmissionError::NotRunning));
    pressure.open(Arc::clone(&bell));
    admissions.open(bell);
    let reclaim = Reclaim::new(Box::new([]));
    let mut changes = Changes::new(&pressure, &modes, &admissions, &reclaim);
    let at = |ms: u64| Instant::from_ns(ms * 1_000_000);
    assert_eq!(admissions.admit(TaskId(0)), Err(AdmissionError::NotOptional(TaskId(0))));
    assert_eq!(admissions.admit(TaskId(2)), Err(AdmissionError::Unknown(TaskId(2))));
    assert_eq!(admissions.dismiss(TaskId(1)), Err(AdmissionError::NotAdmitted(TaskId(1))));
    admissions.admit(TaskId(1)).unwrap();
    assert_eq!(admissions.dismiss(TaskId(1)), Err(AdmissionError::Pending));
    pressure.request(Some(LevelId(0))).unwrap();
    assert_eq!(changes.due(at(5_000), false), Some(Change::Level(Some(LevelId(0)))));
    changes.is_at(Some(LevelId(0)));
    assert_eq!(changes.wake_at(false, at(5_001)), Some(at(6_000)));
    assert_eq!(changes.due(at(5_999), false), None);
    assert_eq!(changes.due(at(6_000), false), Some(Change::Admission(TaskId(1), true)));
    assert!(!admissions.is_admitted(TaskId(1)));
    changes.has_admitted(TaskId(1), true);
    assert!(
        admissions.is_admitted(TaskId(1)) && admissions.is_admitted(TaskId(0)) && !admissions.is_admitted(TaskId(2))
    );
    assert_eq!(admissions.admit(TaskId(1)), Err(AdmissionError::AlreadyAdmitted(TaskId(1))));
    assert_eq!(changes.wake_at(false, at(6_001)), None);
    admissions.dismiss(TaskId(1)).unwrap();
    assert_eq!(changes.due(at(6_999), false), None);
    assert_eq!(changes.due(at(7_000), false), Some(Change::Admission(TaskId(1), false)));
}
