//! The form of trace lines.

#![allow(clippy::unwrap_used, reason = "clippy knows test functions only, not their helpers")]

#[path = "common/fixture.rs"]
mod fixture;

use aegis_core::desc::{Asks, LevelDesc, ModeDesc, SystemDesc, WatchedSource};
use aegis_core::dispatch::Event;
use aegis_core::trace::{Cause, JobRef, Kind, Limit, Reason, Record, StateKey, VoidReason};
use aegis_core::trace_line::write;
use aegis_core::{Bytes, DomainId, Duration, Instant, LaneId, LevelId, ModeId, ModelId, TaskId};

fn line(kind: Kind) -> String {
    line_of(fixture::system(&[(10, 2), (20, 3)]), kind)
}

fn line_of(system: &SystemDesc, kind: Kind) -> String {
    let mut out = String::new();
    let record = Record { sequence: 9, at: Instant::from_ns(1_234_567_890), kind };
    write(&mut out, system, &record);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((value["timestamp"].as_u64(), value["sequence"].as_u64()), (Some(1_234_567_890), Some(9)));
    out
}

const JOB: JobRef = JobRef { task: TaskId(0), request: 123 };

#[test]
fn a_decision_has_the_published_shape() {
    let (runner_up, state) = (Some(JobRef { task: TaskId(1), request: 124 }), StateKey(0xabc));
    let decided =
        |runner_up, reason| Kind::Decided { lane: LaneId(0), chosen: JOB, runner_up, reason, queue_depth: 5, state };
    assert_eq!(
        line(decided(runner_up, Reason::MoreImportant)),
        "{\"event\":\"schedule_decision\",\"request_id\":\"req-123\",\"policy\":\"rate-monotonic\",\"priority\":0,\
         \"queue_depth\":5,\"stream_id\":\"lane-main\",\"task\":\"face\",\"reason\":\"more-important\",\
         \"runner_up\":\"req-124\",\"state_key\":\"0000000000000abc\",\"timestamp\":1234567890,\"sequence\":9}\n"
    );
    assert!(line(decided(None, Reason::OnlyOneWaiting)).contains("\"runner_up\":null,"));
}

#[test]
fn a_completion_carries_its_limits_and_a_binding_its_memory() {
    let (began, ended) = (Instant::from_ns(100), Instant::from_ns(400));
    let (response, execution) = (Duration::from_ns(350), Duration::from_ns(300));
    let completed = Kind::Completed { job: JOB, lane: LaneId(0), began, ended, response, execution };
    assert_eq!(
        line(completed),
        "{\"event\":\"completion\",\"request_id\":\"req-123\",\"task\":\"face\",\"stream_id\":\"lane-main\",\
         \"began\":100,\"ended\":400,\"response_ns\":350,\"execution_ns\":300,\"deadline_ns\":10000000,\
         \"bound_ns\":10000000,\"timestamp\":1234567890,\"sequence\":9}\n"
    );
    assert_eq!(
        line(Kind::Bound { job: JOB, lane: LaneId(0), model: ModelId(0) }),
        "{\"event\":\"binding\",\"request_id\":\"req-123\",\"task\":\"face\",\"stream_id\":\"lane-main\",\
         \"model\":\"net\",\"memory_pool\":\"ram\",\"scratch_offset\":0,\"scratch_bytes\":64,\
         \"inputs\":[{\"name\":\"x\",\"offset\":64,\"bytes\":64}],\
         \"outputs\":[{\"name\":\"x\",\"offset\":64,\"bytes\":64}],\"timestamp\":1234567890,\"sequence\":9}\n"
    );
}

#[test]
fn a_model_in_segments_shows_each_of_them_and_what_they_hand_on_and_its_jobs_tell_their_whole_execution() {
    let system = fixture::in_segments(&[(10, &[2]), (20, &[3, 4])]);
    let job = JobRef { task: TaskId(1), request: 7 };
    let bound = line_of(system, Kind::Bound { job, lane: LaneId(0), model: ModelId(1) });
    let memory = "\"segments\":[{\"scratch_offset\":0,\"scratch_bytes\":64,\"reads\":[\"x\"],\"writes\":[\"h\"]},\
                  {\"scratch_offset\":0,\"scratch_bytes\":64,\"reads\":[\"h\"],\"writes\":[\"y\"]}],\
                  \"inputs\":[{\"name\":\"x\",\"offset\":64,\"bytes\":64}],\
                  \"outputs\":[{\"name\":\"y\",\"offset\":192,\"bytes\":64}],\
                  \"carried\":[{\"name\":\"h\",\"offset\":128,\"bytes\":64}],\"timestamp\"";
    assert!(bound.contains(memory), "{bound}");
    let (began, ended) = (Instant::from_ns(100), Instant::from_ns(400));
    let paused = line_of(system, Kind::Paused { job, lane: LaneId(0), began, ended });
    assert!(paused.contains("\"execution_ns\":300,"), "{paused}");
    let (response, execution) = (Duration::from_ns(900), Duration::from_ns(350));
    let completed = Kind::Completed { job, lane: LaneId(0), began, ended, response, execution };
    let completed = line_of(system, completed);
    assert!(completed.contains("\"began\":100,\"ended\":400,\"response_ns\":900,\"execution_ns\":350,"), "{completed}");
}

/// Two levels of memory pressure.
fn with_levels() -> SystemDesc {
    const LEVELS: &[LevelDesc] = &[fixture::LEVEL, LevelDesc { name: "critical", ..fixture::LEVEL }];
    SystemDesc { levels: LEVELS, ..*fixture::system(&[(10, 2), (20, 3)]) }
}

#[test]
fn what_ends_a_job_early_or_keeps_it_out_says_all_that_is_published_of_it() {
    let system = with_levels();
    let at = Instant::from_ns;
    let (response, execution) = (Duration::from_ns(350), Duration::from_ns(300));
    let job = JobRef { task: TaskId(1), request: 7 };
    let (high, critical) = (LevelId(0), LevelId(1));
    let pressure = |from, to, settles| Kind::Pressure { from, to, settles };
    let lines = [
        (
            Kind::Aborted { job, lane: LaneId(0), segment: 2, began: at(100), ended: at(400), response, execution },
            "\"event\":\"aborted\",\"request_id\":\"req-7\",\"task\":\"lane\",\"stream_id\":\"lane-main\",\"segment\":2,\
             \"began\":100,\"ended\":400,\"response_ns\":350,\"execution_ns\":300,\"deadline_ns\":20000000,\
             \"bound_ns\":20000000",
        ),
        (
            Kind::Missed { job, lateness: response, recent: 3 },
            "\"event\":\"miss\",\"request_id\":\"req-7\",\"task\":\"lane\",\"lateness_ns\":350,\"recent\":3,\"window\":10,\
             \"deadline_ns\":20000000,\"bound_ns\":20000000",
        ),
        (
            Kind::Withheld { task: TaskId(1), arrival: at(9), count: 4, level: critical },
            "\"event\":\"withheld\",\"task\":\"lane\",\"arrival\":9,\"count\":4,\"level\":\"critical\"",
        ),
        (
            Kind::Deferred { task: TaskId(1), arrival: at(9), pending: 2 },
            "\"event\":\"deferred\",\"task\":\"lane\",\"arrival\":9,\"pending\":2",
        ),
        (
            Kind::Admitted { task: TaskId(1), bound: response, optional: true },
            "\"event\":\"admission\",\"task\":\"lane\",\"bound_ns\":350,\"optional\":true",
        ),
        (
            Kind::Admitted { task: TaskId(1), bound: response, optional: false },
            "\"event\":\"admission\",\"task\":\"lane\",\"bound_ns\":350",
        ),
        (
            Kind::TaskAdmitted { task: TaskId(1), bound: response, first: at(9) },
            "\"event\":\"task_admitted\",\"task\":\"lane\",\"bound_ns\":350,\"first\":9",
        ),
        (Kind::TaskDismissed { task: TaskId(1) }, "\"event\":\"task_dismissed\",\"task\":\"lane\""),
        (
            Kind::Stepped { event: Event::Admit { task: TaskId(1) } },
            "\"event\":\"step\",\"input\":\"admit\",\"task\":\"lane\"",
        ),
        (
            Kind::Stepped { event: Event::Dismiss { task: TaskId(1) } },
            "\"event\":\"step\",\"input\":\"dismiss\",\"task\":\"lane\"",
        ),
        (
            Kind::Forgone { task: TaskId(1), arrival: at(9), count: 2 },
            "\"event\":\"forgone\",\"task\":\"lane\",\"arrival\":9,\"count\":2",
        ),
        (
            pressure(None, Some(high), Some(response)),
            "\"event\":\"pressure\",\"from\":null,\"to\":\"high\",\"settles_ns\":350",
        ),
        (
            pressure(Some(high), Some(critical), Some(execution)),
            "\"event\":\"pressure\",\"from\":\"high\",\"to\":\"critical\",\"settles_ns\":300",
        ),
        (
            pressure(Some(critical), None, None),
            "\"event\":\"pressure\",\"from\":\"critical\",\"to\":null,\"settles_ns\":null",
        ),
        (
            Kind::Settled { level: high, took: execution, bound: response },
            "\"event\":\"settled\",\"level\":\"high\",\"took_ns\":300,\"bound_ns\":350",
        ),
        (
            Kind::Stepped { event: Event::Pressure { level: Some(critical) } },
            "\"event\":\"step\",\"input\":\"pressure\",\"level\":\"critical\"",
        ),
        (
            Kind::Stepped { event: Event::Pressure { level: None } },
            "\"event\":\"step\",\"input\":\"pressure\",\"level\":null",
        ),
    ];
    const MODE: ModeDesc = ModeDesc { name: "calm", tasks: &[], lanes: &[], proven: &[], leaves: Duration::ZERO };
    let system = SystemDesc { modes: &[MODE], ..system };
    let lines = lines.into_iter().chain([
        (
            Kind::Watched { source: WatchedSource::MemoryFull, reading: 2_345, asks: Some(Asks::Level(critical)) },
            "\"event\":\"watched\",\"source\":\"memory-full\",\"reading\":2345,\"asks\":\"critical\"",
        ),
        (
            Kind::Watched { source: WatchedSource::FreeMemory, reading: 4_096, asks: Some(Asks::Mode(ModeId(0))) },
            "\"event\":\"watched\",\"source\":\"free-memory\",\"reading\":4096,\"asks\":\"calm\"",
        ),
        (Kind::GivenBack { bytes: Bytes(8192) }, "\"event\":\"given_back\",\"bytes\":8192"),
    ]);
    for (kind, fields) in lines {
        assert_eq!(line_of(&system, kind), format!("{{{fields},\"timestamp\":1234567890,\"sequence\":9}}\n"));
    }
}

#[test]
fn every_kind_is_a_json_object_with_its_event() {
    let (at, ns) = (Instant::from_ns(1), Duration::from_ns(2));
    let disturbed = Kind::Disturbed {
        job: JOB,
        wakeup_latency: Duration::from_ns(7),
        wakeup_excess: ns,
        steal: ns,
        off_core: ns,
        involuntary_switches: 3,
        explained: true,
    };
    let kinds = [
        (Kind::Began { config_hash: [7; 32] }, "run"),
        (Kind::Stepped { event: Event::Timer }, "step"),
        (Kind::Ended, "end"),
        (Kind::Failed { job: JOB, lane: LaneId(0) }, "failure"),
        (Kind::Admitted { task: TaskId(1), bound: ns, optional: false }, "admission"),
        (Kind::TaskAdmitted { task: TaskId(1), bound: ns, first: at }, "task_admitted"),
        (Kind::TaskDismissed { task: TaskId(1) }, "task_dismissed"),
        (Kind::DomainFailed { domain: DomainId(0), cause: Cause::Miss, job: Some(JOB) }, "domain_failed"),
        (Kind::DomainRestored { domain: DomainId(0) }, "domain_restored"),
        (Kind::Dropped { task: TaskId(1), count: 2 }, "dropped"),
        (Kind::GuaranteeVoid { reason: VoidReason::NotPinned }, "guarantee_void"),
        (Kind::Submitted { job: JOB, arrival: at, queue_depth: 1 }, "submission"),
        (Kind::Rejected { task: TaskId(0), arrival: at, count: 4 }, "rejected"),
        (Kind::Deferred { task: TaskId(0), arrival: at, pending: 1 }, "deferred"),
        (Kind::Forgone { task: TaskId(0), arrival: at, count: 1 }, "forgone"),
        (Kind::Withheld { task: TaskId(0), arrival: at, count: 4, level: LevelId(0) }, "withheld"),
        (Kind::Pressure { from: None, to: Some(LevelId(0)), settles: Some(ns) }, "pressure"),
        (Kind::Settled { level: LevelId(0), took: ns, bound: ns }, "settled"),
        (Kind::Skipped { task: TaskId(0), arrival: at }, "skipped"),
        (Kind::ModeRequested { from: ModeId(0), to: ModeId(1), bound: ns }, "mode_requested"),
        (Kind::ModeChanged { from: ModeId(0), to: ModeId(1), took: ns, bound: ns }, "mode_changed"),
        (Kind::Started { job: JOB, lane: LaneId(0) }, "start"),
        (Kind::Paused { job: JOB, lane: LaneId(0), began: at, ended: at }, "pause"),
        (Kind::Overran { job: JOB, segment: 1, limit: Limit::Segment, execution: ns, budget: ns }, "overrun"),
        (
            Kind::Aborted { job: JOB, lane: LaneId(0), segment: 1, began: at, ended: at, response: ns, execution: ns },
            "aborted",
        ),
        (Kind::Missed { job: JOB, lateness: ns, recent: 2 }, "miss"),
        (Kind::Exceeded { job: JOB, response: ns, bound: ns }, "bound_exceeded"),
        (disturbed, "disturbance"),
        (Kind::StepExceeded { length: ns, allowed: ns, steal: ns, off_core: ns, explained: true }, "step_exceeded"),
        (Kind::Watched { source: WatchedSource::FreeMemory, reading: 5, asks: None }, "watched"),
        (Kind::GivenBack { bytes: Bytes(8192) }, "given_back"),
        (Kind::LaneStalled { job: JOB, lane: LaneId(0), elapsed: ns, allowed: ns }, "lane_stall"),
        (Kind::LoopStalled { due: at, late: ns, allowed: ns }, "loop_stall"),
    ];
    for (kind, event) in kinds {
        let value: serde_json::Value = serde_json::from_str(&line(kind)).unwrap();
        assert_eq!(value["event"], event);
    }
    assert!(line(disturbed).contains("\"wakeup_latency_ns\":7,\"wakeup_excess_ns\":2,"));
}

#[test]
fn the_first_line_names_the_plan_and_a_step_what_the_dispatcher_was_told() {
    let digits = "ab".repeat(32);
    let run = line(Kind::Began { config_hash: [0xab; 32] });
    let begin = format!(
        "{{\"event\":\"run\",\"schema\":\"aegis.trace/2\",\"system\":\"fixture\",\"config_hash\":\"{digits}\",\"releases\":\"timer\","
    );
    assert!(run.starts_with(&begin), "{run}");
    let (lane, began, ended) = (LaneId(0), Instant::from_ns(1), Instant::from_ns(2));
    let told = [
        (Event::Timer, "\"input\":\"timer\""),
        (Event::Submit { task: TaskId(1), arrival: began }, "\"input\":\"submit\",\"task\":\"lane\",\"arrival\":1"),
        (
            Event::Completed { lane, began, ended },
            "\"input\":\"completed\",\"stream_id\":\"lane-main\",\"began\":1,\"ended\":2",
        ),
        (
            Event::Preempted { lane, began, ended },
            "\"input\":\"preempted\",\"stream_id\":\"lane-main\",\"began\":1,\"ended\":2",
        ),
        (Event::Stop { end: ended }, "\"input\":\"stop\",\"end\":2"),
        (Event::Mode { mode: ModeId(9) }, "\"input\":\"mode\",\"mode\":\"\""),
    ];
    for (event, fields) in told {
        let line = line(Kind::Stepped { event });
        assert_eq!(line, format!("{{\"event\":\"step\",{fields},\"timestamp\":1234567890,\"sequence\":9}}\n"));
    }
}

#[test]
fn a_name_that_json_must_escape_is_escaped() {
    let system = fixture::system(&[(10, 2)]);
    let mut tasks = system.tasks.to_vec();
    tasks[0].name = "a \"b\" \\ \n ü";
    let system = SystemDesc { tasks: tasks.leak(), ..*system };
    let line = line_of(&system, Kind::Skipped { task: TaskId(0), arrival: Instant::START });
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["task"], "a \"b\" \\ \n ü");
}
