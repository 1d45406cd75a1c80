//! Traces of the vehicle's orchestration loop, with real threads and clocks, are replayed without a difference.

#![allow(clippy::unwrap_used, reason = "a test stops at whatever it did not expect")]

#[path = "../../targets/linux/tests/common/mod.rs"]
mod common;

use aegis_codegen::export::{self, Format};
use aegis_core::desc::{Answer, OnStall, SystemDesc, TaskDesc, WatchdogDesc};
use aegis_core::trace::{Kind, Record};
use aegis_linux::Fault;
use aegis_tests::perfetto;
use aegis_tests::replay::{assert_same, text};
use common::{Act, Delay, Ran, Scenario, drive, drive_beside, fixture};

/// Replays a run's trace; its decisions.
fn replays(system: &'static SystemDesc, ran: &Ran) -> u64 {
    let text = text(system, ran.records.iter().map(|record| (record.at, record.kind)));
    let same = assert_same(system, &text);
    println!("{} records of {} bytes, {} decisions: the same", same.records, text.len(), same.decisions);
    same.decisions
}

#[test]
fn a_run_as_planned() {
    let system = fixture::system(&[(10, 2), (20, 3)]);
    assert!(replays(system, &drive::<2>(system, Act::Spin(1_000), Some(500), None)) >= 70);
}

#[test]
fn runs_are_sound_in_a_viewer() {
    let Some(engine) = perfetto::engine() else { return };
    let planned = fixture::system(&[(10, 2), (20, 3)]);
    let segments = fixture::in_segments(&[(20, &[5]), (40, &[5, 5])]);
    let runs = [
        (planned, drive::<2>(planned, Act::Spin(1_000), Some(300), None)),
        (segments, drive::<2>(segments, Act::FailFirst(Fault::JobFailed), Some(300), None)),
    ];
    let exported = |(system, ran): &(&'static SystemDesc, Ran), format| {
        let mut out = Vec::new();
        export::write(format, system, &[], ran.records.iter().copied(), &mut out).unwrap();
        (format, out)
    };
    let traces: Vec<_> =
        runs.iter().flat_map(|run| [Format::Perfetto, Format::Chrome].map(|format| exported(run, format))).collect();
    let jobs = "select 'jobs' as name, count(*) as count from slice where category = 'job'";
    let answers = perfetto::ask(engine, &traces, &[&perfetto::SOUND[..], &[jobs]].concat());
    for (answers, run) in answers.iter().zip(runs.iter().flat_map(|run| [run, run])) {
        perfetto::assert_sound(answers, "a run with threads");
        let released = |record: &&Record| matches!(record.kind, Kind::Submitted { .. });
        let released = i64::try_from(run.1.records.iter().filter(released).count()).unwrap();
        assert_eq!(perfetto::number(&answers[perfetto::SOUND.len()][0], "count"), released);
        assert!(released > 10, "{released}");
    }
}

#[test]
fn a_run_that_is_stopped_while_a_job_runs() {
    let system = fixture::system(&[(50, 40)]);
    assert!(replays(system, &drive::<1>(system, Act::Spin(30_000), None, Some(175))) >= 3);
}

#[test]
fn an_overload_with_skips_and_a_thread_that_is_late() {
    let system = fixture::system(&[(10, 5), (30, 5)]);
    let skipping = |task: &TaskDesc| TaskDesc { on_overrun: Answer::SkipNext, ..*task };
    let tasks: Vec<TaskDesc> = system.tasks.iter().map(skipping).collect();
    let system: &'static SystemDesc = Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), ..*system }));
    let delay = Some(Delay { arrival_ms: 50, for_ms: 120 });
    let scenario = Scenario { for_ms: Some(400), delay, ..Scenario::of(Act::Spin(12_000)) };
    let ran = drive_beside::<2>(system, scenario, |_, _, _| {});
    assert!(ran.stats.iter().any(|stats| stats.skipped > 0), "{:?}", ran.stats);
    assert!(replays(system, &ran) > 0);
}

#[test]
fn jobs_in_segments_some_of_which_fail() {
    let system = fixture::in_segments(&[(20, &[5]), (40, &[5, 5])]);
    assert!(replays(system, &drive::<2>(system, Act::FailFirst(Fault::JobFailed), Some(400), None)) > 20);
    assert!(replays(system, &drive::<2>(system, Act::Spin(4_000), Some(400), None)) > 20);
}

#[test]
fn jobs_that_are_aborted_between_their_segments() {
    let system = fixture::in_segments(&[(20, &[5]), (40, &[5, 5])]);
    let aborting = |task: &TaskDesc| TaskDesc { on_overrun: Answer::AbortJob, ..*task };
    let tasks: Vec<TaskDesc> = system.tasks.iter().map(aborting).collect();
    let system: &'static SystemDesc = Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), ..*system }));
    // Each piece takes longer than its segment may: one segment completes, two never do.
    let ran = drive::<2>(system, Act::Spin(8_000), Some(400), None);
    let [one, two] = &ran.stats[..] else { panic!("two tasks: {:?}", ran.stats) };
    assert!(one.jobs > 0 && one.aborted == 0, "{one:?}");
    assert!(two.jobs == 0 && two.aborted > 0 && two.overruns >= two.aborted, "{two:?}");
    assert!(ran.report.drained && ran.report.broken.is_none(), "{:?}", ran.report.broken);
    assert!(replays(system, &ran) > 20);
}

#[test]
fn a_run_that_a_lost_device_ends() {
    let system = fixture::system(&[(10, 5)]);
    let ran = drive::<1>(system, Act::Fail(Fault::DeviceLost), Some(100), None);
    assert!(ran.report.broken.is_some());
    assert_eq!(replays(system, &ran), 1);
}

#[test]
fn a_run_in_which_a_lane_and_the_orchestration_thread_stand_still() {
    let system = fixture::system(&[(10, 5)]);
    let watchdog = Some(WatchdogDesc { timeout: fixture::ms(30), device: None, on_stall: OnStall::Record });
    let delay = Some(Delay { arrival_ms: 200, for_ms: 100 });
    let act = Act::StallOnce { request: 3, for_ms: 100 };
    let ran =
        drive_beside::<1>(system, Scenario { for_ms: Some(400), delay, watchdog, ..Scenario::of(act) }, |_, _, _| {});
    assert!(ran.report.lane_stalls >= 1 && ran.report.loop_stalls >= 1, "{:?}", ran.report);
    assert!(replays(system, &ran) > 0);
}
