//! Metrics, from records to what others' readers make of them: of a vehicle that has all that metrics tell of, and of a real run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

#[path = "../../../targets/linux/tests/common/mod.rs"]
mod common;
mod documented;
mod endpoint;
mod readers;

use aegis_core::desc::{DomainDesc, ModeDesc, ModelDesc, OnStall, PoolDesc, SystemDesc, TaskDesc, WatchdogDesc};
use aegis_core::trace::{Cause, JobRef, Kind, Loss, Record, VoidReason};
use aegis_core::{Bytes, Duration, Instant, LaneId, LevelId, ModeId};
use aegis_core::{DomainId, TaskId};
use aegis_linux::metrics::{Board, Counts, Feed, Format, Last, Snapshot, text};
use aegis_linux::stats::Tally;
use aegis_linux::summary::{MemorySummary, TraceSummary};
use aegis_tests::metrics::{samples, total};
use common::{Act, drive, fixture};

/// A plan with two tasks, one of them optional, in a domain, with levels, modes and a watchdog.
fn whole() -> &'static SystemDesc {
    const MODE: ModeDesc = ModeDesc { name: "day", tasks: &[], lanes: &[], proven: &[], leaves: Duration::ZERO };
    let system = fixture::system(&[(10, 2), (20, 3)]);
    let [face, lane] = system.tasks else { panic!("two tasks") };
    let tasks = [*face, TaskDesc { optional: true, domain: Some(DomainId(0)), ..*lane }];
    let pool = |domain| PoolDesc { name: if domain { "ram.vision" } else { "ram" }, ..system.pools[0] };
    let pools = [pool(false), PoolDesc { domain: Some(DomainId(0)), ..pool(true) }];
    Box::leak(Box::new(SystemDesc {
        // What has to be escaped.
        name: "a \"b\" \\ c\nd",
        tasks: Box::leak(Box::new(tasks)),
        pools: Box::leak(Box::new(pools)),
        models: &[ModelDesc { name: "blaze face", ..fixture::MODEL }],
        levels: &[fixture::LEVEL],
        modes: &[MODE, ModeDesc { name: "night", ..MODE }],
        domains: &[DomainDesc { name: "vision", process: None }],
        watchdog: Some(WatchdogDesc { timeout: fixture::ms(1), device: None, on_stall: OnStall::Record }),
        ..*system
    }))
}

/// A moment in milliseconds.
fn at(ms: u64) -> Instant {
    Instant::from_ns(ms * 1_000_000)
}

/// Records of everything that metrics tell of.
fn records() -> Vec<Record> {
    let (lane, ms, face) = (LaneId(0), fixture::ms, JobRef { task: TaskId(0), request: 1 });
    let slow = JobRef { task: TaskId(1), request: 2 };
    let completed = |job, from, to, response, execution| {
        let (began, ended) = (at(from), at(to));
        Kind::Completed { job, lane, began, ended, response: ms(response), execution: ms(execution) }
    };
    let state = aegis_core::trace::StateKey::EMPTY;
    let reason = aegis_core::trace::Reason::MoreImportant;
    let kinds = [
        (0, Kind::Began { config_hash: [0xab; 32] }),
        (0, Kind::GuaranteeVoid { reason: VoidReason::NotPinned }),
        (0, Kind::Submitted { job: face, arrival: at(0), queue_depth: 1 }),
        (0, Kind::Submitted { job: slow, arrival: at(0), queue_depth: 2 }),
        (0, Kind::Decided { lane, chosen: face, runner_up: Some(slow), reason, queue_depth: 2, state }),
        (3, completed(face, 1, 3, 3, 2)),
        (9, Kind::Paused { job: slow, lane, began: at(3), ended: at(9) }),
        (24, completed(slow, 9, 24, 24, 21)),
        (24, Kind::Missed { job: slow, lateness: ms(4), recent: 1 }),
        (24, Kind::Exceeded { job: slow, response: ms(24), bound: ms(20) }),
        (25, Kind::Rejected { task: TaskId(0), arrival: at(20), count: 2 }),
        (
            30,
            Kind::Aborted {
                job: face,
                lane,
                segment: 0,
                began: at(25),
                ended: at(30),
                response: ms(10),
                execution: ms(5),
            },
        ),
        (31, Kind::Pressure { from: None, to: Some(LevelId(0)), settles: None }),
        (31, Kind::GivenBack { bytes: Bytes(4_096) }),
        (32, Kind::ModeRequested { from: ModeId(0), to: ModeId(1), bound: ms(9) }),
        (40, Kind::ModeChanged { from: ModeId(0), to: ModeId(1), took: ms(8), bound: ms(9) }),
        (41, Kind::TaskAdmitted { task: TaskId(1), bound: ms(20), first: at(50) }),
        (42, Kind::DomainFailed { domain: DomainId(0), cause: Cause::Process(Loss::Hung), job: None }),
        (50, Kind::DomainRestored { domain: DomainId(0) }),
        (51, Kind::DomainFailed { domain: DomainId(0), cause: Cause::Miss, job: Some(slow) }),
        (52, Kind::StepExceeded { length: ms(2), allowed: ms(1), steal: ms(0), off_core: ms(0), explained: false }),
        (53, Kind::LaneStalled { job: slow, lane, elapsed: ms(9), allowed: ms(8) }),
        (54, Kind::LoopStalled { due: at(1), late: ms(9), allowed: ms(8) }),
        (100, Kind::Ended),
    ];
    let record = |(sequence, (ms, kind))| Record { sequence, at: at(ms), kind };
    (0..).zip(kinds).map(record).collect()
}

/// What the records come to while the vehicle runs.
fn running() -> Snapshot {
    snapshot::<2>(whole(), &records())
}

/// The same once it has ended.
fn ended() -> Snapshot {
    let pool = MemorySummary { highest_bytes: 100, ..MemorySummary::default() };
    let last = Last { trace: TraceSummary { records: 24, lost: 0 }, memory: vec![pool; 2] };
    Snapshot { last: Some(last), ..running() }
}

/// What records come to, as the main thread of a vehicle takes them.
fn snapshot<const TASKS: usize>(system: &'static SystemDesc, records: &[Record]) -> Snapshot {
    let board = Board::new(system);
    let (mut feed, mut tally) = (Feed::new(system, std::sync::Arc::clone(&board)), Tally::<TASKS>::new());
    for record in records {
        tally.observe(record.at, &record.kind);
        feed.observe(record);
    }
    feed.publish(&tally);
    (*board.newest()).clone()
}

#[test]
fn what_is_told_follows_the_records() {
    let text = text(&running(), Format::Prometheus);
    let all = samples(&text);
    const SLOW: &str = "{task=\"lane\",lane=\"main\",model=\"blaze face\",domain=\"vision\"}";
    const FACE: &str = "{task=\"face\",lane=\"main\",model=\"blaze face\"}";
    for (name, labels, value) in [
        ("aegis_vehicle_running", "", "1"),
        ("aegis_vehicle_elapsed_seconds", "", "0.1"),
        ("aegis_guarantee_valid", "", "0"),
        ("aegis_guarantee_void", "{reason=\"not-pinned\"}", "1"),
        ("aegis_guarantee_void", "{reason=\"too-hot\"}", "0"),
        ("aegis_jobs_completed_total", SLOW, "1"),
        ("aegis_jobs_aborted_total", FACE, "1"),
        ("aegis_deadline_misses_total", SLOW, "1"),
        ("aegis_deadline_misses_total", FACE, "0"),
        ("aegis_arrivals_rejected_total", FACE, "2"),
        ("aegis_response_bounds_exceeded_total", SLOW, "1"),
        ("aegis_job_response_seconds_sum", SLOW, "0.024"),
        ("aegis_job_response_deadline_ratio_sum", SLOW, "1.2"),
        // Aborted jobs count for the longest and the last, not for the histograms.
        ("aegis_job_response_seconds_sum", FACE, "0.003"),
        ("aegis_job_response_max_seconds", FACE, "0.01"),
        ("aegis_job_slack_seconds", FACE, "0.0"),
        ("aegis_job_slack_min_seconds", SLOW, "-0.004"),
        ("aegis_task_deadline_seconds", SLOW, "0.02"),
        ("aegis_task_admitted", SLOW, "1"),
        ("aegis_task_admissions_total", "", "1"),
        // 2 + 6 + 15 + 5 ms of 100.
        ("aegis_lane_busy_seconds_total", "{lane=\"main\"}", "0.028"),
        ("aegis_lane_utilization_ratio", "{lane=\"main\"}", "0.28"),
        ("aegis_lane_planned_utilization_ratio", "{lane=\"main\"}", "0.35"),
        ("aegis_lane_queue_depth", "{lane=\"main\"}", "1"),
        ("aegis_lane_queue_depth_max", "{lane=\"main\"}", "2"),
        ("aegis_lane_stalls_total", "{lane=\"main\"}", "1"),
        ("aegis_pool_capacity_bytes", "{pool=\"ram\"}", "1048576"),
        ("aegis_pool_arena_bytes", "{pool=\"ram.vision\",domain=\"vision\"}", "128"),
        ("aegis_memory_given_back_bytes", "", "4096"),
        ("aegis_pressure_level", "{aegis_pressure_level=\"high\"}", "1"),
        ("aegis_mode", "{aegis_mode=\"day\"}", "0"),
        ("aegis_mode", "{aegis_mode=\"night\"}", "1"),
        ("aegis_mode_change_longest_seconds", "", "0.008"),
        ("aegis_domain_up", "{domain=\"vision\"}", "0"),
        ("aegis_domain_failures_total", "{domain=\"vision\",cause=\"hung\"}", "1"),
        ("aegis_domain_failures_total", "{domain=\"vision\",cause=\"overrun\"}", "0"),
        ("aegis_domain_restarts_total", "{domain=\"vision\"}", "1"),
        ("aegis_domain_restart_longest_seconds", "{domain=\"vision\"}", "0.008"),
        ("aegis_steps_exceeded_total", "", "1"),
        ("aegis_loop_stalls_total", "", "1"),
        ("aegis_trace_records_total", "", "24"),
        ("aegis_trace_lost_records_total", "", "0"),
    ] {
        assert_eq!(all.get(format!("{name}{labels}").as_str()), Some(&value), "{name}{labels} in {text}");
    }
    // Two failures, each of its own cause.
    assert_eq!(total(&all, "aegis_domain_failures_total", "domain=\"vision\""), 2);
    let bucket = |labels: &str, bound: &str| {
        let labels = labels.replace('}', &format!(",le=\"{bound}\"}}"));
        all[format!("aegis_job_response_seconds_bucket{labels}").as_str()]
    };
    // 24 ms of one, 3 ms of the other.
    assert_eq!([bucket(SLOW, "0.02"), bucket(SLOW, "0.05"), bucket(SLOW, "+Inf")], ["0", "1", "1"]);
    assert_eq!([bucket(FACE, "0.002"), bucket(FACE, "0.005")], ["0", "1"]);
    assert!(!text.contains("aegis_pool_highest_bytes"), "known only at the end");
}

#[test]
fn records_that_were_lost_are_counted() {
    let mut records = records();
    records.drain(5..9);
    let text = text(&snapshot::<2>(whole(), &records), Format::Prometheus);
    let all = samples(&text);
    assert_eq!((all["aegis_trace_records_total"], all["aegis_trace_lost_records_total"]), ("24", "4"));
}

#[test]
fn what_an_ended_run_leaves_has_the_counts_of_its_summary() {
    // The ring took nothing after the 20th record, so the drain could not know.
    let system = whole();
    let few = snapshot::<2>(system, &records()[..20]);
    let exact = running().counts;
    let pool = MemorySummary { highest_bytes: 128, refused_requests: 3, ..MemorySummary::default() };
    let last = Last { trace: TraceSummary { records: 24, lost: 4 }, memory: vec![pool; 2] };
    let text = text(&Snapshot { observed: few.observed, counts: exact, last: Some(last) }, Format::Prometheus);
    let all = samples(&text);
    assert_eq!((all["aegis_trace_lost_records_total"], all["aegis_vehicle_running"]), ("4", "0"));
    assert_eq!(all["aegis_pool_highest_bytes{pool=\"ram\"}"], "128");
    assert_eq!(total(&all, "aegis_pool_refused_requests_total", ""), 6);
}

#[test]
fn the_totals_of_a_real_run_are_its_counts() {
    let system = fixture::system(&[(10, 2), (20, 3)]);
    let ran = drive::<2>(system, Act::Spin(1_000), Some(400), None);
    let taken = snapshot::<2>(system, &ran.records);
    assert_eq!(taken.counts.tasks, ran.stats);
    let Counts { levels, modes, .. } = taken.counts;
    assert_eq!((levels, modes), (ran.levels, ran.modes));
    let text = text(&taken, Format::Prometheus);
    let all = samples(&text);
    for (task, stats) in system.tasks.iter().zip(&ran.stats) {
        let of = |name| total(&all, name, &format!("task=\"{}\"", task.name));
        assert!(stats.jobs > 0);
        for counted in [
            "aegis_jobs_completed_total",
            "aegis_job_response_seconds_count",
            "aegis_job_execution_seconds_count",
            "aegis_job_response_deadline_ratio_count",
            "aegis_job_execution_wcet_ratio_count",
        ] {
            assert_eq!(of(counted), stats.jobs, "{counted}");
        }
        assert_eq!(of("aegis_deadline_misses_total"), stats.misses);
        assert_eq!(of("aegis_budget_overruns_total"), stats.overruns);
        assert_eq!(of("aegis_arrivals_rejected_total"), stats.rejected);
        let labels = format!("{{task=\"{}\",lane=\"main\",model=\"net\"}}", task.name);
        let seconds = |duration: Duration| {
            let ns = duration.as_ns();
            format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000).trim_end_matches('0').to_owned()
        };
        let value = |name: &str| all[format!("{name}{labels}").as_str()];
        assert_eq!(value("aegis_job_response_seconds_sum"), seconds(stats.total_response));
        assert_eq!(value("aegis_job_response_max_seconds"), seconds(stats.max_response));
        assert_eq!(value("aegis_job_execution_max_seconds"), seconds(stats.max_execution));
    }
    let busy = all["aegis_lane_busy_seconds_total{lane=\"main\"}"].parse::<f64>().unwrap();
    let seen = std::time::Duration::from_nanos(ran.report.lanes[0].busy.as_ns()).as_secs_f64();
    assert!((busy - seen).abs() < 1e-9, "{busy} {seen}");
    assert_eq!(total(&all, "aegis_steps_exceeded_total", ""), ran.report.steps.exceeded);
    assert_eq!(total(&all, "aegis_trace_records_total", ""), u64::try_from(ran.records.len()).unwrap());
    assert_eq!(all["aegis_trace_lost_records_total"], "0");
}
