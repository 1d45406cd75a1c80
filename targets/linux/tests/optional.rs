//! Optional tasks in a running vehicle: what the application admits arrives, and nothing else.

mod common;

use aegis_core::desc::{DomainDesc, Release, SystemDesc, TaskDesc};
use aegis_core::trace::Kind;
use aegis_core::{DomainId, Instant, TaskId};
use aegis_linux::admissions::AdmissionError;
use aegis_linux::submissions::SubmitError;
use common::{Act, Scenario, drive_admitting, drive_whole, fixture};

/// A task that is always there, an optional one of the timer, and an optional one that the application submits.
fn system() -> &'static SystemDesc {
    let base = fixture::system(&[(10, 1), (20, 1), (40, 1)]);
    let tasks = [
        base.tasks[0],
        TaskDesc { optional: true, ..base.tasks[1] },
        TaskDesc { optional: true, release: Release::Submitted, ..base.tasks[2] },
    ];
    Box::leak(Box::new(SystemDesc { tasks: Box::leak(Box::new(tasks)), ..*base }))
}

#[test]
fn what_the_application_admits_arrives_on_its_grid_until_it_is_dismissed() {
    let (timed, submitted) = (TaskId(1), TaskId(2));
    let scenario = Scenario { for_ms: Some(3_600), ..Scenario::of(Act::Spin(300)) };
    let mut answers = Vec::new();
    let ran = drive_admitting::<3>(system(), scenario, |submissions, _, _, admissions| {
        let sleep = |ms| std::thread::sleep(std::time::Duration::from_millis(ms));
        while admissions.admit(timed) == Err(AdmissionError::NotRunning) {
            sleep(1);
        }
        sleep(100);
        answers.push(admissions.admit(timed));
        answers.push(admissions.admit(TaskId(0)));
        assert_eq!(submissions.submit(submitted), Err(SubmitError::NotAdmitted));
        // A second after the first one; until then others are pending.
        answers.push(admissions.admit(submitted));
        answers.push(admissions.dismiss(timed));
        sleep(1_100);
        submissions.submit(submitted).unwrap();
        answers.push(admissions.dismiss(timed));
        sleep(1_100);
        answers.push(admissions.admit(timed));
        sleep(1_100);
    });
    assert_eq!((ran.report.broken, ran.report.drained, ran.heap_operations), (None, true, 0));
    assert_eq!(
        answers,
        [
            Err(AdmissionError::AlreadyAdmitted(timed)),
            Err(AdmissionError::NotOptional(TaskId(0))),
            Ok(()),
            Err(AdmissionError::Pending),
            Ok(()),
            Ok(()),
        ]
    );
    let changes: Vec<(u64, TaskId, bool)> = ran
        .records
        .iter()
        .filter_map(|record| match record.kind {
            Kind::TaskAdmitted { task, .. } => Some((record.at.as_ns(), task, true)),
            Kind::TaskDismissed { task } => Some((record.at.as_ns(), task, false)),
            _ => None,
        })
        .collect();
    let what: Vec<_> = changes.iter().map(|(_, task, admits)| (*task, *admits)).collect();
    assert_eq!(what, [(timed, true), (submitted, true), (timed, false), (timed, true)]);
    assert!(changes.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 1_000_000_000), "{changes:?}");
    let [(begun, ..), _, (ended, ..), (again, ..)] = changes[..] else { panic!("four changes") };
    let arrivals = ran.records.iter().filter_map(|record| match record.kind {
        Kind::Submitted { job, arrival, .. } if job.task == timed => Some(arrival),
        Kind::Rejected { task, arrival, .. } if task == timed => Some(arrival),
        _ => None,
    });
    let arrivals: Vec<Instant> = arrivals.collect();
    for arrival in arrivals.iter().map(|arrival| arrival.as_ns()) {
        assert_eq!(arrival % 20_000_000, 0, "in phase");
        assert!((begun..=ended).contains(&arrival) || arrival > again, "{arrival} {changes:?}");
    }
    assert!(arrivals.len() > 100, "{}", arrivals.len());
    assert_eq!(ran.stats[2].jobs, 1);
}

#[test]
fn a_task_of_a_failed_domain_is_not_admitted_and_the_others_go_on() {
    let base = system();
    let mut tasks = base.tasks.to_vec();
    tasks[1].domain = Some(DomainId(0));
    tasks[2].domain = Some(DomainId(0));
    let domains = &[DomainDesc { name: "vision", process: None }];
    let system = Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), domains, ..*base }));
    let scenario = Scenario { for_ms: Some(2_600), ..Scenario::of(Act::Spin(300)) };
    let (mut asked, mut after) = (Vec::new(), Vec::new());
    let ran = drive_whole::<3>(system, scenario, |_, _, _, (domains, admissions, _)| {
        let sleep = |ms| std::thread::sleep(std::time::Duration::from_millis(ms));
        while admissions.admit(TaskId(1)) == Err(AdmissionError::NotRunning) {
            sleep(1);
        }
        sleep(100);
        // Done only a second after the last change; the domain fails before.
        asked.push(admissions.admit(TaskId(2)));
        domains.fail(DomainId(0)).unwrap();
        sleep(1_500);
        after.push((admissions.is_admitted(TaskId(2)), admissions.admit(TaskId(2))));
        after.push((admissions.is_admitted(TaskId(1)), admissions.dismiss(TaskId(1))));
    });
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert_eq!(asked, [Ok(())]);
    assert_eq!(after, [(false, Err(AdmissionError::DomainFailed(TaskId(2)))), (true, Ok(()))]);
    let admitted = ran.records.iter().filter(|record| matches!(record.kind, Kind::TaskAdmitted { .. })).count();
    assert_eq!((admitted, ran.stats[2].jobs), (1, 0));
    assert!(ran.stats[0].jobs + ran.stats[0].rejected >= 250, "{:?}", ran.stats[0]);
}
