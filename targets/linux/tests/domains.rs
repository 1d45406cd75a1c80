//! Fault domains in the orchestration loop: a job's failure, an overrun and the application end one, and the others go on.
#![allow(clippy::unwrap_used, reason = "a test stops at whatever it did not expect")]

mod common;

use aegis_core::desc::{Answer, DomainDesc, ModeDesc, ProcessDesc, Release, RestartDesc, SystemDesc, TaskDesc};
use aegis_core::trace::{Cause, Kind, Loss};
use aegis_core::{DomainId, ModeId, TaskId};
use aegis_linux::lane::Fault;
use aegis_linux::submissions::SubmitError;
use common::{Act, Ran, Scenario, drive, drive_failing, fixture};

/// Three tasks, the first two in one domain; the second is submitted.
fn in_domain(first: TaskDesc) -> &'static SystemDesc {
    let base = fixture::system(&[(10, 1), (20, 1), (40, 1)]);
    let mut tasks = base.tasks.to_vec();
    let domain = Some(DomainId(0));
    tasks[0] = TaskDesc { domain, on_overrun: first.on_overrun, on_failure: first.on_failure, ..tasks[0] };
    tasks[1] = TaskDesc { domain, release: Release::Submitted, ..tasks[1] };
    let domains = &[DomainDesc { name: "vision", process: None }];
    Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), domains, ..*base }))
}

fn causes(ran: &Ran) -> Vec<Cause> {
    let cause = |kind| match kind {
        Kind::DomainFailed { cause, .. } => Some(cause),
        _ => None,
    };
    ran.records.iter().filter_map(|record| cause(record.kind)).collect()
}

#[test]
fn a_failed_job_ends_its_domain_and_no_other_task() {
    let system = in_domain(TaskDesc { on_failure: Answer::FailDomain, ..TaskDesc::EMPTY });
    let ran = drive::<3>(system, Act::Fail(Fault::JobFailed), Some(400), None);
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert_eq!(causes(&ran), [Cause::Failure]);
    let [first, second, third] = ran.stats[..] else { panic!("three tasks") };
    assert_eq!((first.failed, first.aborted, first.jobs, second), (1, 1, 0, Default::default()));
    assert_eq!(third.jobs + third.rejected, 10, "{third:?}");
    assert_eq!(ran.report.lanes[0].jobs, third.jobs, "the lane counts what completed");
    assert_eq!(ran.heap_operations, 0);
}

#[test]
fn a_lost_process_ends_its_domain_and_the_lane_goes_on() {
    let ran = drive::<3>(in_domain(TaskDesc::EMPTY), Act::Fail(Fault::DomainLost(Loss::Hung)), Some(400), None);
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert_eq!(causes(&ran), [Cause::Process(Loss::Hung)]);
    let [first, second, third] = ran.stats[..] else { panic!("three tasks") };
    assert_eq!((first.failed, first.aborted, first.jobs, second), (1, 1, 0, Default::default()));
    assert_eq!(third.jobs + third.rejected, 10, "{third:?}");
    assert_eq!(ran.heap_operations, 0);
}

#[test]
fn an_overrun_ends_its_domain_while_the_segment_still_runs() {
    let system = in_domain(TaskDesc { on_overrun: Answer::FailDomain, ..TaskDesc::EMPTY });
    let ran = drive::<3>(system, Act::Sleep(5_000), Some(400), None);
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert_eq!(causes(&ran), [Cause::Overrun]);
    let place = |wanted: fn(&Kind) -> bool| ran.records.iter().position(|record| wanted(&record.kind)).unwrap();
    let failed = place(|kind| matches!(kind, Kind::DomainFailed { .. }));
    let ended = place(|kind| matches!(kind, Kind::Aborted { .. }));
    let step = |from: usize| ran.records[..from].iter().rposition(|record| matches!(record.kind, Kind::Stepped { .. }));
    assert_ne!(step(failed), step(ended), "the timer saw it before the segment ended");
    assert_eq!((ran.stats[0].aborted, ran.stats[0].jobs), (1, 0));
    assert!(ran.stats[2].jobs >= 5, "{:?}", ran.stats[2]);
}

#[test]
fn what_the_application_says_has_failed_submits_nothing_any_more() {
    let system = in_domain(TaskDesc::EMPTY);
    let mut answer = None;
    let scenario = Scenario { for_ms: Some(400), ..Scenario::of(Act::Spin(100)) };
    let ran = drive_failing::<3>(system, scenario, |submissions, _, _, domains| {
        let sleep = |ms| std::thread::sleep(std::time::Duration::from_millis(ms));
        while submissions.submit(TaskId(1)) == Err(SubmitError::NotRunning) {
            sleep(1);
        }
        sleep(100);
        domains.fail(DomainId(0)).unwrap();
        domains.fail(DomainId(0)).unwrap();
        while !domains.has_failed(DomainId(0)) {
            sleep(1);
        }
        answer = Some(submissions.submit(TaskId(1)));
    });
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert_eq!((causes(&ran), answer), (vec![Cause::Outside], Some(Err(SubmitError::DomainFailed("vision")))));
    let [first, second, third] = ran.stats[..] else { panic!("three tasks") };
    assert!((3..=20).contains(&first.jobs) && second.jobs == 1, "{first:?} {second:?}");
    assert_eq!(third.jobs + third.rejected, 10, "{third:?}");
    assert_eq!(ran.heap_operations, 0);
}

/// The first two tasks lie in a domain that is started again, and of the three modes only the first one has them.
fn in_modes() -> &'static SystemDesc {
    let base = in_domain(TaskDesc::EMPTY);
    let mode = |name, own: &'static [TaskId]| ModeDesc {
        name,
        tasks: own,
        lanes: base.lanes,
        proven: own.iter().map(|task| base.tasks[task.index()]).collect::<Vec<_>>().leak(),
        leaves: fixture::ms(100),
    };
    let modes = vec![
        mode("whole", &[TaskId(0), TaskId(1), TaskId(2)]),
        mode("limp", &[TaskId(2)]),
        mode("parked", &[TaskId(2)]),
    ];
    let length = fixture::ms(100);
    let process = ProcessDesc {
        cores: &[],
        kill_after: length,
        hand_over: fixture::ms(1),
        heartbeat: None,
        memory: None,
        restart: Some(RestartDesc { max: 3, within: length, back_off: length, probation: length }),
        meanwhile: Some(ModeId(1)),
    };
    let domains = vec![DomainDesc { name: "vision", process: Some(process) }];
    Box::leak(Box::new(SystemDesc { modes: modes.leak(), domains: domains.leak(), ..*base }))
}

#[test]
fn a_domain_that_is_restored_goes_on_in_the_mode_before_and_not_beside_one_that_was_asked_for() {
    let vision = DomainId(0);
    let sleep = |ms| std::thread::sleep(std::time::Duration::from_millis(ms));
    let wait = |what: &str, until: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !until() {
            assert!(began.elapsed() < std::time::Duration::from_secs(4), "{what}");
            sleep(1);
        }
    };
    let mut answers = Vec::new();
    let scenario = Scenario { for_ms: Some(6_000), ..Scenario::of(Act::Spin(100)) };
    let ran = drive_failing::<3>(in_modes(), scenario, |submissions, _, modes, domains| {
        while submissions.submit(TaskId(1)) == Err(SubmitError::NotRunning) {
            sleep(1);
        }
        sleep(100);
        domains.offer(vision);
        sleep(20);
        assert_eq!(domains.life(vision), 0, "it has not failed");
        domains.fail(vision).unwrap();
        // What was offered before is another process: it is taken once it has failed.
        wait("restored", &|| domains.life(vision) == 1);
        domains.fail(vision).unwrap();
        wait("it limps", &|| modes.mode() == Some(ModeId(1)));
        answers.push(submissions.submit(TaskId(1)));
        domains.offer(vision);
        wait("it is whole", &|| modes.mode() == Some(ModeId(0)));
        assert_eq!((domains.life(vision), domains.has_failed(vision)), (2, false));
        answers.push(submissions.submit(TaskId(1)).map(|_| aegis_core::Instant::START));
        domains.fail(vision).unwrap();
        wait("it limps again", &|| modes.mode() == Some(ModeId(1)));
        modes.request(ModeId(2)).unwrap();
        wait("it parks", &|| modes.mode() == Some(ModeId(2)));
        domains.offer(vision);
        wait("restored", &|| domains.life(vision) == 3);
        sleep(1_200);
        assert_eq!(modes.mode(), Some(ModeId(2)), "what was asked for meanwhile");
    });
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert_eq!(answers, [Err(SubmitError::DomainRestarts("vision")), Ok(aegis_core::Instant::START)]);
    let [first, _, third] = ran.stats[..] else { panic!("three tasks") };
    assert!(first.jobs > 5 && third.jobs + third.rejected == 150, "{first:?} {third:?}");
    assert_eq!((causes(&ran).len(), ran.heap_operations), (3, 0));
}
