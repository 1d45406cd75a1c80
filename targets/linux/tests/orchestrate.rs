//! The orchestration loop with real threads and synthetic jobs.

mod common;

use aegis_core::desc::{LevelDesc, ModeDesc, SystemDesc, TaskDesc, Waiting};
use aegis_core::trace::{Kind, Limit, Record};
use aegis_core::{Duration, LaneId, LevelId, ModeId, TaskId};
use aegis_linux::lane::Fault;
use aegis_linux::modes::ModeError;
use aegis_linux::orchestrate::Broken;
use aegis_linux::pressure::PressureError;
use aegis_linux::realtime;
use aegis_linux::submissions::SubmitError;
use common::{Act, Delay, Ran, Scenario, drive, drive_beside, fixture};
use std::collections::BTreeSet;

#[test]
fn jobs_arrive_on_time_and_all_complete() {
    let ran = drive::<2>(fixture::system(&[(10, 2), (20, 3)]), Act::Spin(1_000), Some(500), None);
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    // Arrivals at 0, 10, … 490 and 0, 20, … 480; the arrival at 500 belongs to the next run.
    assert_eq!((ran.stats[0].jobs + ran.stats[0].rejected, ran.stats[1].jobs + ran.stats[1].rejected), (50, 25));
    assert!(ran.stats[0].max_execution >= Duration::from_ns(1_000_000));
    assert_eq!(u64::try_from(ran.ran.len()), Ok(ran.report.lanes[0].jobs));
    assert!(ran.report.lanes[0].busy >= fixture::ms(ran.report.lanes[0].jobs), "{:?}", ran.report);
    assert!(ran.report.wakeups > 0, "{:?}", ran.report);
    for (position, record) in ran.records.iter().enumerate() {
        assert_eq!(record.sequence, u64::try_from(position).unwrap());
    }
}

#[test]
fn threads_that_look_do_what_threads_that_are_woken_do() {
    let base = fixture::system(&[(10, 2), (20, 3)]);
    let system = Box::leak(Box::new(SystemDesc { waiting: Waiting::Polling, ..*base }));
    let ran = drive::<2>(system, Act::Spin(1_000), Some(100), None);
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert_eq!((ran.stats[0].jobs + ran.stats[0].rejected, ran.stats[1].jobs + ran.stats[1].rejected), (10, 5));
    assert_eq!(u64::try_from(ran.ran.len()), Ok(ran.report.lanes[0].jobs));
    let ran = drive::<2>(system, Act::Spin(1_000), None, Some(50));
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    let broken = drive::<2>(system, Act::Panic, Some(100), None).report.broken;
    assert_eq!(broken, Some(Broken::Lane { lane: LaneId(0), fault: Fault::Panicked }));
}

/// The planned arrivals of the first task in milliseconds, released or refused.
fn arrivals_ms(ran: &Ran, period_ms: u64) -> Vec<u64> {
    let arrivals = ran.records.iter().flat_map(|record| {
        let (first, count) = match record.kind {
            Kind::Submitted { arrival, .. } => (arrival, 1),
            Kind::Rejected { arrival, count, .. } => (arrival, count),
            _ => return Vec::new(),
        };
        (0..count).map(|number| first.as_ns() / 1_000_000 + number * period_ms).collect()
    });
    arrivals.collect()
}

#[test]
fn a_thread_that_is_late_at_the_end_still_records_every_arrival_before_it_and_none_from_then_on() {
    let system = fixture::system(&[(10, 2)]);
    for act in [Act::Spin(1_000), Act::Spin(30_000)] {
        // From 50 ms to about 170 ms nothing is looked at; the run ends at 100 ms.
        let delay = Some(Delay { arrival_ms: 50, for_ms: 120 });
        let ran = drive_beside::<1>(system, Scenario { for_ms: Some(100), delay, ..Scenario::of(act) }, |_, _, _| {});
        assert_eq!((ran.report.broken, ran.report.drained), (None, true));
        assert_eq!(arrivals_ms(&ran, 10), [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    }
    // A stop that is asked for meanwhile takes effect when it is seen, and what arrived before is recorded.
    let delay = Some(Delay { arrival_ms: 50, for_ms: 120 });
    let late = Scenario { stop_ms: Some(150), delay, ..Scenario::of(Act::Spin(1_000)) };
    let ran = drive_beside::<1>(system, late, |_, _, _| {});
    let arrivals = arrivals_ms(&ran, 10);
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert!(arrivals.len() >= 17 && arrivals.iter().zip(0..).all(|(ms, number)| *ms == number * 10), "{arrivals:?}");
}

#[test]
fn a_stop_lets_the_running_job_finish() {
    let ran = drive::<1>(fixture::system(&[(50, 40)]), Act::Spin(30_000), None, Some(175));
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert!((3..=4).contains(&ran.stats[0].jobs), "{:?}", ran.stats);
    let of_jobs = |kind: &Kind| matches!(kind, Kind::Started { .. } | Kind::Completed { .. });
    let last = ran.records.iter().map(|record| record.kind).rfind(of_jobs);
    assert!(matches!(last, Some(Kind::Completed { .. })), "{last:?}");
}

#[test]
fn an_overload_is_rejected_missed_and_not_explained_by_the_machine() {
    let ran = drive::<1>(fixture::system(&[(10, 5)]), Act::Spin(25_000), Some(300), None);
    let stats = ran.stats[0];
    assert!(stats.rejected > 0 && stats.misses > 0 && stats.overruns > 0, "{stats:?}");
    assert!(stats.exceeded > stats.explained, "{stats:?}");
    let disturbed = ran.records.iter().filter(|record| matches!(record.kind, Kind::Disturbed { .. })).count();
    assert_eq!(u64::try_from(disturbed), Ok(stats.exceeded));
}

#[test]
fn a_job_that_fails_alone_is_counted_and_its_lane_goes_on() {
    let ran = drive::<1>(fixture::system(&[(10, 5)]), Act::Fail(Fault::JobFailed), Some(200), None);
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    let stats = ran.stats[0];
    assert_eq!((stats.jobs + stats.rejected, stats.failed), (20, stats.jobs), "{stats:?}");
    let failed = ran.records.iter().filter(|record| matches!(record.kind, Kind::Failed { .. })).count();
    assert_eq!(u64::try_from(failed), Ok(stats.failed));
}

/// A lane with two tasks: the first one's job arrives while the first segment of the second one's runs, and goes before the
/// second segment.
fn giving_way(bound_ms: u64) -> &'static SystemDesc {
    let system = fixture::in_segments(&[(20, &[5]), (40, &[5, 5])]);
    let mut tasks = system.tasks.to_vec();
    tasks[0].phase = fixture::ms(2);
    tasks[1].response_bound = fixture::ms(bound_ms);
    Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), ..*system }))
}

#[test]
fn a_job_in_two_pieces_gives_way_between_them_and_its_execution_is_their_sum() {
    let ran = drive::<2>(giving_way(40), Act::Spin(4_000), Some(400), None);
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    let (short, long) = (ran.stats[0], ran.stats[1]);
    assert!(long.jobs >= 8 && long.jobs + long.rejected == 10, "{long:?}");
    assert!(long.max_execution >= fixture::ms(8) && long.max_execution > short.max_execution, "{long:?}");
    // Both pieces of every job, in order; a lane counts jobs, and the time of both pieces.
    let of_long = |request: u64| ran.ran.iter().filter(move |(own, _)| *own == request).map(|(_, piece)| *piece);
    let is_in_two = |request: &u64| of_long(*request).eq([0, 1]);
    let requests: Vec<u64> = ran.ran.iter().map(|(request, _)| *request).collect();
    let in_two = requests.iter().filter(|request| is_in_two(request)).count();
    assert_eq!(u64::try_from(in_two), Ok(long.jobs * 2), "{:?}", ran.ran);
    assert_eq!(ran.report.lanes[0].jobs, short.jobs + long.jobs);
    assert!(ran.report.lanes[0].busy >= fixture::ms(4 * (short.jobs + 2 * long.jobs)), "{:?}", ran.report);
    // Another request ran between the pieces, at least where the machine let the arrival be seen in time.
    let between = ran.ran.windows(3).filter(|runs| runs[0].0 == runs[2].0 && runs[1].0 != runs[0].0).count();
    assert!(between > 0, "{:?}", ran.ran);
    let paused = ran.records.iter().filter(|record| matches!(record.kind, Kind::Paused { .. })).count();
    assert_eq!(u64::try_from(paused), Ok(long.jobs));
}

#[test]
fn a_job_in_two_pieces_exceeds_its_bound_once_and_fails_once() {
    // The bound has passed at the end of the first piece already.
    let ran = drive::<2>(giving_way(1), Act::Spin(4_000), Some(400), None);
    let long = ran.stats[1];
    assert!(long.jobs > 0 && long.exceeded == long.jobs && long.explained <= long.exceeded, "{long:?}");
    let of_long = |record: &&Record| matches!(record.kind, Kind::Disturbed { job, .. } if job.task == TaskId(1));
    assert_eq!(u64::try_from(ran.records.iter().filter(of_long).count()), Ok(long.exceeded));

    let ran = drive::<2>(giving_way(40), Act::FailFirst(Fault::JobFailed), Some(400), None);
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    let long = ran.stats[1];
    assert_eq!((long.failed, long.jobs + long.rejected), (long.jobs, 10), "{long:?}");
}

#[test]
fn an_overrun_of_both_pieces_together_is_seen_although_neither_exceeds_the_budget() {
    let system = giving_way(40);
    let mut tasks = system.tasks.to_vec();
    tasks[1].budget = fixture::ms(6);
    let system = Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), ..*system }));
    let ran = drive::<2>(system, Act::Spin(4_000), Some(400), None);
    let long = ran.stats[1];
    // Each job once at least: what the timer saw because of a late hand-over is taken back, and recorded again when it is true.
    let of_job = |record: &Record| match record.kind {
        Kind::Overran { limit: Limit::Job, job, .. } if job.task == TaskId(1) => Some(job.request),
        _ => None,
    };
    let overran: BTreeSet<u64> = ran.records.iter().filter_map(of_job).collect();
    assert!(long.jobs > 0 && u64::try_from(overran.len()) == Ok(long.jobs) && long.overruns >= long.jobs, "{long:?}");
}

#[test]
fn a_job_that_sleeps_by_itself_is_no_disturbance() {
    let ran = drive::<1>(fixture::system(&[(10, 5)]), Act::Sleep(15_000), Some(200), None);
    let off_core = ran.records.iter().filter_map(|record| match record.kind {
        Kind::Disturbed { off_core, .. } => Some(off_core),
        _ => None,
    });
    // What is left is the hand-over beyond the planned overhead.
    let worst = off_core.max().unwrap();
    assert!(worst < fixture::ms(50), "{worst:?}");
}

#[test]
fn a_fault_ends_the_run_and_names_the_lane() {
    let system = fixture::system(&[(10, 5)]);
    let broken = |act| drive::<1>(system, act, Some(100), None).report.broken;
    let lane = LaneId(0);
    let fault = Fault::DeviceLost;
    assert_eq!(broken(Act::Fail(fault)), Some(Broken::Lane { lane, fault }));
    assert_eq!(broken(Act::Panic), Some(Broken::Lane { lane, fault: Fault::Panicked }));
}

#[test]
fn a_more_important_thread_of_another_program_explains_an_exceeded_bound() {
    let granted = std::thread::spawn(|| realtime::fifo(realtime::LANE_PRIORITY).is_ok()).join().unwrap();
    if !granted {
        eprintln!("skipped: the system grants no SCHED_FIFO");
        return;
    }
    // Only while this vehicle runs: it may have to wait for its turn, and the others' vehicles are not to be disturbed.
    let mut intruded = false;
    let scenario = Scenario { for_ms: Some(400), ..Scenario::of(Act::Spin(4_000)) };
    let ran = drive_beside::<1>(fixture::system(&[(10, 5)]), scenario, |_, _, _| {
        let intruder = std::thread::spawn(|| {
            let voids = realtime::set_up_thread("the intruder", 1, 90);
            for _ in 0..4 {
                std::thread::sleep(std::time::Duration::from_millis(70));
                let start = std::time::Instant::now();
                while start.elapsed().as_millis() < 30 {}
            }
            voids.is_empty()
        });
        intruded = intruder.join().unwrap();
    });
    let stats = ran.stats[0];
    if intruded {
        assert!(stats.exceeded > 0 && stats.explained == stats.exceeded, "{stats:?}");
    }
}

/// A task of the timer beside one that the application submits, at most every 20 ms.
fn submitted() -> &'static SystemDesc {
    let base = fixture::system(&[(10, 1), (20, 1)]);
    let mut tasks = base.tasks.to_vec();
    tasks[1].release = aegis_core::desc::Release::Submitted;
    Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), ..*base }))
}

#[test]
fn what_the_application_submits_arrives_when_it_says_so_and_never_too_early() {
    let (mut accepted, mut early) = (0_u64, 0_u64);
    let scenario = Scenario { for_ms: Some(500), ..Scenario::of(Act::Spin(500)) };
    let ran = drive_beside::<2>(submitted(), scenario, |submissions, _, _| {
        // A storm, until the vehicle has ended.
        while submissions.submit(TaskId(1)) == Err(SubmitError::NotRunning) {
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        accepted = 1;
        loop {
            match submissions.submit(TaskId(1)) {
                Ok(_) => accepted += 1,
                Err(SubmitError::TooEarly { .. }) => early += 1,
                Err(SubmitError::Busy) => {}
                Err(_) => return,
            }
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
    });
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    let arrivals: Vec<u64> = ran
        .records
        .iter()
        .filter_map(|record| match record.kind {
            Kind::Submitted { job, arrival, .. } if job.task == TaskId(1) => Some(arrival.as_ns()),
            _ => None,
        })
        .collect();
    assert!(arrivals.windows(2).all(|pair| pair[1] - pair[0] >= 20_000_000), "{arrivals:?}");
    // What was accepted is released, but for an arrival at the very end.
    let released = u64::try_from(arrivals.len()).unwrap() + ran.stats[1].rejected;
    assert!(accepted >= released && accepted - released <= 1, "{accepted} accepted, {released} released");
    assert!(released > 10 && early > 500, "{released} {early}");
    assert_eq!(ran.stats[0].jobs + ran.stats[0].rejected, 50, "the timer's task is not disturbed");
    assert_eq!(ran.heap_operations, 0);
}

#[test]
fn what_is_submitted_in_a_burst_arrives_as_the_caller_is_told() {
    let base = submitted();
    let tasks = [base.tasks[0], TaskDesc { defers: true, queue: 3, ..base.tasks[1] }];
    let system = Box::leak(Box::new(SystemDesc { tasks: Box::leak(Box::new(tasks)), ..*base }));
    let (mut told, mut refused) = (Vec::new(), 0);
    let scenario = Scenario { for_ms: Some(300), ..Scenario::of(Act::Spin(500)) };
    let ran = drive_beside::<2>(system, scenario, |submissions, _, _| {
        while told.len() < 8 {
            match submissions.submit(TaskId(1)) {
                Ok(arrival) => told.push(arrival.as_ns()),
                Err(SubmitError::TooManyDeferred { .. }) => refused += 1,
                Err(SubmitError::Busy | SubmitError::NotRunning) => {}
                Err(error) => panic!("{error}"),
            }
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
    });
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    let arrivals = ran.records.iter().filter_map(|record| match record.kind {
        Kind::Submitted { job, arrival, .. } if job.task == TaskId(1) => Some(arrival.as_ns()),
        Kind::Rejected { task: TaskId(1), arrival, .. } => Some(arrival.as_ns()),
        _ => None,
    });
    assert_eq!(arrivals.collect::<Vec<u64>>(), told);
    assert!(told.windows(2).all(|pair| pair[1] - pair[0] == 20_000_000), "{told:?}");
    assert!(refused > 10 && ran.stats[1].deferred >= 3, "{refused} {:?}", ran.stats[1]);
    assert_eq!((ran.heap_operations, ran.stats[1].forgone), (0, 0));
}

#[test]
fn a_submission_between_the_end_of_the_run_and_the_wake_up_that_sees_it_is_refused() {
    // From 50 ms to about 170 ms nothing is looked at; the run ends at 100 ms, and at about 140 ms something is submitted.
    let delay = Some(Delay { arrival_ms: 50, for_ms: 120 });
    let scenario = Scenario { for_ms: Some(100), delay, ..Scenario::of(Act::Spin(500)) };
    let mut answer = None;
    let ran = drive_beside::<2>(submitted(), scenario, |submissions, _, _| {
        let sleep = |ms| std::thread::sleep(std::time::Duration::from_millis(ms));
        while submissions.submit(TaskId(1)) == Err(SubmitError::NotRunning) {
            sleep(1);
        }
        // The clock starts 20 ms after the vehicle takes submissions, the first of which arrived at its start.
        sleep(160);
        answer = Some(submissions.submit(TaskId(1)));
    });
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert_eq!(answer, Some(Err(SubmitError::Ended)));
    let released = |record: &&Record| matches!(record.kind, Kind::Submitted { job, .. } if job.task == TaskId(1));
    assert_eq!(ran.records.iter().filter(released).count(), 1);
}

#[test]
fn a_step_that_takes_longer_than_the_plan_assumes_is_recorded_with_both_values() {
    // The thread sleeps in one step: that is its own doing, so the machine explains it only by steal of as much.
    let delay = Some(Delay { arrival_ms: 50, for_ms: 30 });
    let scenario = Scenario { for_ms: Some(100), delay, ..Scenario::of(Act::Spin(500)) };
    let ran = drive_beside::<1>(fixture::system(&[(10, 5)]), scenario, |_, _, _| {});
    let exceeded = ran.records.iter().filter_map(|record| match record.kind {
        Kind::StepExceeded { length, allowed, steal, off_core, explained } => {
            Some((length, allowed, steal, off_core, explained))
        }
        _ => None,
    });
    let exceeded: Vec<_> = exceeded.collect();
    assert_eq!(u64::try_from(exceeded.len()), Ok(ran.report.steps.exceeded));
    let (length, allowed, steal, off_core, explained) = *exceeded.iter().max().unwrap();
    assert!(length >= fixture::ms(30), "{length:?}");
    assert_eq!((allowed, off_core), (Duration::from_ns(200_000), Duration::ZERO));
    assert_eq!(explained, steal >= length.saturating_sub(allowed));
    assert_eq!((ran.report.steps.worst, ran.report.steps.worst_allowed), (length, allowed));
    assert_eq!(ran.heap_operations, 0);
}

/// A task of the timer that the only level sheds, one that it rejects and the application submits, and one that it lets go on.
fn pressed() -> &'static SystemDesc {
    let base = fixture::system(&[(10, 1), (20, 1), (40, 1)]);
    let mut tasks = base.tasks.to_vec();
    tasks[1].release = aegis_core::desc::Release::Submitted;
    let level = |name, settles, models| LevelDesc {
        name,
        shed: &[TaskId(0)],
        reject: &[TaskId(1)],
        models,
        settles,
        ..fixture::LEVEL
    };
    let bound = tasks[0].response_bound;
    let levels = vec![level("high", bound, &[]), level("compacts", bound, base.models)];
    Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), levels: levels.leak(), ..*base }))
}

#[test]
fn under_pressure_shed_and_rejected_tasks_stop_and_go_on_when_it_is_over() {
    let scenario = Scenario { for_ms: Some(1_600), ..Scenario::of(Act::Spin(500)) };
    let (mut withheld, mut refused) = (0, Vec::new());
    let ran = drive_beside::<3>(pressed(), scenario, |submissions, pressure, _| {
        let sleep = |ms| std::thread::sleep(std::time::Duration::from_millis(ms));
        while submissions.submit(TaskId(1)) == Err(SubmitError::NotRunning) {
            sleep(1);
        }
        refused.push(pressure.request(Some(LevelId(7))));
        refused.push(pressure.request(Some(LevelId(1))));
        sleep(100);
        pressure.request(Some(LevelId(0))).unwrap();
        sleep(100);
        assert_eq!(pressure.level(), Some(LevelId(0)));
        // Asked for and taken back a thousand times: at most one change a second.
        for _ in 0..1_000 {
            pressure.request(None).unwrap();
            withheld += u64::from(submissions.submit(TaskId(1)) == Err(SubmitError::Withheld));
            pressure.request(Some(LevelId(0))).unwrap();
        }
        pressure.request(None).unwrap();
    });
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert_eq!(refused, [Err(PressureError::Unknown(LevelId(7))), Err(PressureError::Compacts(LevelId(1)))]);
    assert_eq!(withheld, 1_000);
    let changes: Vec<(u64, Option<LevelId>)> = (ran.records.iter())
        .filter_map(|record| match record.kind {
            Kind::Pressure { to, .. } => Some((record.at.as_ns(), to)),
            _ => None,
        })
        .collect();
    let [(entered, Some(LevelId(0))), (left, None)] = changes[..] else { panic!("{changes:?}") };
    assert!(left - entered >= 1_000_000_000, "{changes:?}");
    let settled: Vec<(u64, bool)> = (ran.records.iter())
        .filter_map(|record| match record.kind {
            Kind::Settled { level, took, bound } => {
                assert_eq!((level, record.at.as_ns()), (LevelId(0), entered + took.as_ns()));
                Some((record.at.as_ns(), took > bound))
            }
            _ => None,
        })
        .collect();
    assert_eq!(settled.len(), 1, "{settled:?}");
    assert_eq!((ran.levels.changes, ran.levels.settled, ran.levels.late), (2, 1, u64::from(settled[0].1)));
    // Nothing of the shed task runs between the end of its last job and the end of the pressure.
    for record in &ran.records {
        if let Kind::Started { job, .. } = record.kind {
            let at = record.at.as_ns();
            assert!(job.task != TaskId(0) || !(settled[0].0..left).contains(&at), "{job:?} at {at}");
        }
        if let Kind::Withheld { task, arrival, level, .. } = record.kind {
            assert_eq!((task, level), (TaskId(0), LevelId(0)));
            assert!((entered..left).contains(&arrival.as_ns()), "{arrival:?} of {changes:?}");
        }
    }
    let [shed, _, stays] = ran.stats[..] else { panic!("three tasks") };
    assert_eq!(
        (shed.jobs + shed.rejected + shed.withheld, stays.jobs + stays.rejected),
        (160, 40),
        "{shed:?} {stays:?}"
    );
    assert!((90..=110).contains(&shed.withheld), "{shed:?}");
    assert_eq!(ran.heap_operations, 0);
}

/// A task of the timer that only the first mode has, one that only the second has and the application submits, and one of both.
fn in_modes() -> &'static SystemDesc {
    let base = fixture::system(&[(10, 1), (20, 1), (40, 1)]);
    let mut tasks = base.tasks.to_vec();
    tasks[1].release = aegis_core::desc::Release::Submitted;
    let tasks = tasks.leak();
    let mode = |name, own: &'static [TaskId]| ModeDesc {
        name,
        tasks: own,
        lanes: base.lanes,
        proven: own.iter().map(|task| tasks[task.index()]).collect::<Vec<_>>().leak(),
        leaves: fixture::ms(100),
    };
    let modes = vec![mode("first", &[TaskId(0), TaskId(2)]), mode("second", &[TaskId(1), TaskId(2)])];
    Box::leak(Box::new(SystemDesc { tasks, modes: modes.leak(), ..*base }))
}

#[test]
fn the_mode_that_is_asked_for_last_holds_and_what_it_does_not_have_stops() {
    let scenario = Scenario { for_ms: Some(1_600), ..Scenario::of(Act::Spin(500)) };
    let (mut refused, mut accepted) = (Vec::new(), 0);
    let ran = drive_beside::<3>(in_modes(), scenario, |submissions, _, modes| {
        let sleep = |ms| std::thread::sleep(std::time::Duration::from_millis(ms));
        while submissions.submit(TaskId(1)) == Err(SubmitError::NotRunning) {
            sleep(1);
        }
        refused.push(modes.request(ModeId(7)));
        assert_eq!((modes.mode(), submissions.submit(TaskId(1))), (Some(ModeId(0)), Err(SubmitError::NotInMode)));
        sleep(100);
        modes.request(ModeId(1)).unwrap();
        sleep(200);
        assert_eq!(modes.mode(), Some(ModeId(1)));
        accepted += u64::from(submissions.submit(TaskId(1)).is_ok());
        // Asked for and taken back a thousand times: at most one change a second.
        for _ in 0..1_000 {
            modes.request(ModeId(0)).unwrap();
            modes.request(ModeId(1)).unwrap();
        }
        modes.request(ModeId(0)).unwrap();
    });
    assert_eq!((ran.report.broken, ran.report.drained, ran.report.dropped), (None, true, 0));
    assert_eq!(refused, [Err(ModeError::Unknown(ModeId(7)))]);
    let mut changes = Vec::new();
    for record in &ran.records {
        match record.kind {
            Kind::ModeRequested { from, to, bound } => changes.push((record.at.as_ns(), None, from, to, bound)),
            Kind::ModeChanged { from, to, took, bound } => {
                changes.push((record.at.as_ns(), Some(took), from, to, bound));
            }
            _ => {}
        }
    }
    let (first, second, bound) = (ModeId(0), ModeId(1), fixture::ms(100));
    let [(asked, None, ..), (entered, Some(took), ..), (back, None, ..), (left, Some(_), ..)] = changes[..] else {
        panic!("{changes:?}")
    };
    let pairs: Vec<_> = changes.iter().map(|(.., from, to, bound)| (*from, *to, *bound)).collect();
    assert_eq!(pairs, [(first, second, bound), (first, second, bound), (second, first, bound), (second, first, bound)]);
    assert_eq!(entered, asked + took.as_ns());
    assert!(back - asked >= 1_000_000_000, "{changes:?}");
    assert_eq!((ran.modes.requested, ran.modes.changed), (2, 2));
    assert!(ran.modes.longest >= took, "{:?}", ran.modes);
    for record in &ran.records {
        if let Kind::Submitted { job, arrival, .. } = record.kind {
            let at = arrival.as_ns();
            let is_out = (job.task == TaskId(0) && (asked + 1..=left).contains(&at))
                || (job.task == TaskId(1) && !(entered..back + 1).contains(&at));
            assert!(!is_out, "{job:?} at {at} of {changes:?}");
        }
    }
    let [old, new, stays] = ran.stats[..] else { panic!("three tasks") };
    assert_eq!((new.jobs, stays.jobs + stays.rejected), (accepted, 40), "{new:?} {stays:?}");
    assert!((50..=70).contains(&(old.jobs + old.rejected)), "{old:?}");
    assert_eq!(ran.heap_operations, 0);
}
