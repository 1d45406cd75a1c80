//! What a summary has, against what is published of it.

use super::{MemorySummary, Parts, ProcessSummary, SourceReport, TraceSummary, build, write_file};
use crate::fixture;
use crate::machine::{Machine, Void, VoidSince};
use crate::orchestrate::{LaneReport, Report};
use crate::stats::{AdmissionStats, Failure, LevelStats, ModeStats, Restored, TaskStats};
use crate::steps::StepReport;
use crate::verdict::{Findings, judge};
use aegis_core::desc::{DomainDesc, ModeDesc, OnStall, SystemDesc, TaskDesc, WatchDesc, WatchdogDesc, WatchedSource};
use aegis_core::trace::{Cause, JobRef, VoidReason};
use aegis_core::{Bytes, Duration, Instant, TaskId};

#[test]
fn the_summary_has_the_published_fields() {
    let void = Void { reason: VoidReason::NotPinned, text: "lane \"main\" …".into() };
    let voids = [VoidSince { void, since: Instant::from_ns(7) }];
    let lane = LaneReport { jobs: 10, busy: fixture::ms(250), max_dispatch: Duration::from_ns(40_000) };
    let report = Report {
        ended: Instant::from_ns(1_000_000_000),
        wakeups: 10,
        max_wakeup: Duration::from_ns(90_000),
        lanes: [lane],
        steps: StepReport {
            worst: Duration::from_ns(30),
            worst_allowed: Duration::from_ns(20),
            exceeded: 2,
            explained: 1,
        },
        dropped: 4,
        lane_stalls: 2,
        loop_stalls: 3,
        changing: None,
        drained: true,
        broken: None,
    };
    let stats = TaskStats {
        jobs: 10,
        aborted: 3,
        withheld: 4,
        skipped: 5,
        deferred: 8,
        forgone: 7,
        misses: 6,
        max_misses_in_window: 2,
        max_response: fixture::ms(5),
        ..TaskStats::default()
    };
    let findings = Findings { jobs: 10, voids: 1, ..Findings::default() };
    let system = fixture::system(&[(10, 2)]);
    let watchdog = WatchdogDesc { timeout: fixture::ms(100), device: None, on_stall: OnStall::StopPetting };
    let parts = |system| {
        build(&Parts {
            system,
            machine: &Machine::read(),
            voids: &voids,
            stats: &[stats],
            report: &report,
            levels: LevelStats { changes: 3, settled: 2, late: 1, given_back: Bytes(4096), reclaim_failures: 5 },
            domains: &[
                None,
                Some(Failure {
                    count: 3,
                    restored: Restored { count: 2, at: None, longest: Duration::from_ns(900) },
                    at: Instant::from_ns(5),
                    cause: Cause::Miss,
                    job: Some(JobRef { task: TaskId(0), request: 3 }),
                }),
            ],
            processes: &[
                None,
                Some(ProcessSummary {
                    pid: 77,
                    ending: "signal 9 (SIGKILL)".into(),
                    failed_starts: Some(1),
                    given_up: Some(true),
                    in_force: vec!["memory"],
                    not_in_force: vec!["system-calls: the process could not".into()],
                }),
            ],
            modes: ModeStats { requested: 5, changed: 4, late: 1, longest: fixture::ms(9) },
            admissions: AdmissionStats { admitted: 3, dismissed: 2 },
            memory: &[MemorySummary { pool: "ram".into(), arena_bytes: 128, ..MemorySummary::default() }],
            trace: &TraceSummary { records: 99, lost: 1, unwritten: 2, error: Some("no space".to_owned()) },
            watched: &[SourceReport { source: WatchedSource::IoFull, asked: 2, worst: Some(345), unreadable: 1 }],
            pets: 7,
            verdict: &judge(&findings),
        })
    };
    let without = serde_json::to_value(parts(system)).unwrap();
    for part in ["watchdog", "pressure", "modes", "watched", "admissions"] {
        assert_eq!(without[part], serde_json::Value::Null);
    }
    let (lanes, proven) = (system.lanes, system.tasks);
    let mode = |leaves| ModeDesc { name: "one", tasks: &[TaskId(0)], lanes, proven, leaves: fixture::ms(leaves) };
    let modes: &[ModeDesc] = Box::leak(Box::new([mode(7), mode(8)]));
    let levels = &[fixture::LEVEL];
    let optional: &[TaskDesc] = Box::leak(Box::new([TaskDesc { optional: true, ..system.tasks[0] }]));
    let watch = Some(WatchDesc { interval: fixture::ms(1_000), hold: fixture::ms(1_000), thresholds: &[] });
    let domains = &[DomainDesc { name: "vision", process: None }, DomainDesc { name: "maps", process: None }];
    let whole = SystemDesc { watchdog: Some(watchdog), watch, levels, modes, domains, tasks: optional, ..*system };
    let summary = parts(&whole);
    let value = serde_json::to_value(&summary).unwrap();
    assert_eq!(
        value["pressure"],
        serde_json::json!({"changes": 3, "settled": 2, "late": 1, "given_back_bytes": 4096, "reclaim_failures": 5})
    );
    let expected = serde_json::json!([{"source": "io-full", "asked": 2, "worst": 345, "unreadable": 1}]);
    assert_eq!(value["watched"], expected);
    let failed = serde_json::json!({"name": "maps", "failed": true, "failures": 3, "restarts": 2,
        "longest_restart_ns": 900, "restored_at_ns": null, "at_ns": 5, "cause": "miss", "task": "face", "request": 3,
        "process": {"pid": 77, "ending": "signal 9 (SIGKILL)", "failed_starts": 1, "given_up": true, "in_force": ["memory"],
            "not_in_force": ["system-calls: the process could not"]}});
    assert_eq!((&value["domains"][1], &value["domains"][0]["cause"]), (&failed, &serde_json::Value::Null));
    let task = &value["tasks"][0];
    assert_eq!((&task["aborted"], &task["withheld"], &task["skipped"]), (&3.into(), &4.into(), &5.into()));
    assert_eq!((&task["deferred"], &task["forgone"]), (&8.into(), &7.into()));
    assert_eq!(
        (&task["misses"], &task["max_misses_in_window"], &task["miss_window"]),
        (&6.into(), &2.into(), &10.into())
    );
    assert_eq!(value["schema"], "aegis.summary/1");
    assert_eq!(value["config_hash"], "ab".repeat(32));
    assert_eq!((&value["guarantee"]["valid"], &value["exit"]["status"]), (&false.into(), &4.into()));
    let void = &value["guarantee"]["void"][0];
    assert_eq!((&void["reason"], &void["since_ns"]), (&"not-pinned".into(), &7.into()));
    assert_eq!(value["tasks"][0]["observed_over_bound_ppm"], 500_000);
    assert_eq!(value["lanes"][0]["observed_utilization_ppm"], 250_000);
    assert_eq!(value["lanes"][0]["max_wakeup_latency_ns"], 90_000);
    let trace = serde_json::json!({ "records": 99, "lost": 1, "unwritten": 2, "error": "no space" });
    assert_eq!(value["trace"], trace);
    assert_eq!(value["memory"][0]["arena_bytes"], 128);
    let expected = serde_json::json!({"timeout_ns": 100_000_000, "on_stall": "stop-petting", "pets": 7, "lane_stalls": 2,
        "loop_stalls": 3});
    assert_eq!(value["watchdog"], expected);
    let expected = serde_json::json!({"requested": 5, "changed": 4, "late": 1, "longest_ns": 9_000_000,
        "bound_ns": 8_000_000});
    assert_eq!(value["modes"], expected);
    let expected = serde_json::json!({"admitted": 3, "dismissed": 2});
    assert_eq!(value["dropped_submissions"], 4);
    assert_eq!(value["admissions"], expected);
    let expected = serde_json::json!({"worst_ns": 30, "allowed_ns": 20, "exceeded": 2, "explained": 1});
    assert_eq!(value["steps"], expected);
    let (_, docs) = include_str!("../../../../docs/formats.md").split_once("\n## Summary\n").unwrap();
    let (docs, _) = docs.split_once("\n## ").unwrap();
    // What the machine is has no list there.
    let parts = value.as_object().unwrap().iter().filter(|(key, _)| *key != "machine");
    for (key, part) in parts {
        assert!(docs.contains(&format!("`{key}")), "no {key} in docs/formats.md");
        let inner = part.as_array().and_then(|list| list.first()).unwrap_or(part).as_object();
        for field in inner.into_iter().flat_map(|fields| fields.keys()) {
            assert!(docs.contains(&format!("`{field}")), "no {key}.{field} in docs/formats.md");
        }
    }
}

#[test]
fn a_file_appears_whole_and_leaves_nothing_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary.json");
    write_file(&path, "{}\n").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    // A folder cannot be replaced by a file.
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    assert!(write_file(&taken, "{}\n").is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
