//! Lines as they are written, read back.

use super::{Header, Line, Why, schema};
use aegis_core::desc::{DomainDesc, LaneDesc, ModeDesc, SystemDesc, WatchedSource};
use aegis_core::dispatch::Event;
use aegis_core::trace::{Cause, JobRef, Kind, Limit, Loss, Reason, Record, StateKey, VoidReason};
use aegis_core::{Bytes, DomainId, Duration, Instant, LaneId, LevelId, ModeId, ModelId, TaskId, trace_line};
use serde_json::Value;

/// A plan without lanes and tasks: names in its lines are empty.
const NOTHING: SystemDesc = SystemDesc { layout: 0, name: "nothing", config_hash: [0xab; 32], ..SystemDesc::EMPTY };

fn written(kind: Kind) -> String {
    let mut text = String::new();
    trace_line::write(&mut text, &NOTHING, &Record { sequence: 4, at: Instant::from_ns(5), kind });
    text
}

fn every_kind() -> [Kind; 36] {
    let (job, lane) = (JobRef { task: TaskId(0), request: 1 }, LaneId(0));
    let (at, ns) = (Instant::from_ns(6), Duration::from_ns(7));
    let (task, state, reason) = (TaskId(0), StateKey(8), Reason::OnlyOneWaiting);
    [
        Kind::Began { config_hash: NOTHING.config_hash },
        Kind::Stepped { event: Event::Timer },
        Kind::Ended,
        Kind::Admitted { task, bound: ns, optional: true },
        Kind::TaskAdmitted { task, bound: ns, first: at },
        Kind::TaskDismissed { task },
        Kind::GuaranteeVoid { reason: VoidReason::NotPinned },
        Kind::Submitted { job, arrival: at, queue_depth: 1 },
        Kind::Deferred { task, arrival: at, pending: 1 },
        Kind::Forgone { task, arrival: at, count: 1 },
        Kind::Rejected { task, arrival: at, count: 1 },
        Kind::Skipped { task, arrival: at },
        Kind::Withheld { task, arrival: at, count: 1, level: LevelId(0) },
        Kind::Pressure { from: None, to: Some(LevelId(0)), settles: Some(ns) },
        Kind::Settled { level: LevelId(0), took: ns, bound: ns },
        Kind::ModeRequested { from: ModeId(0), to: ModeId(1), bound: ns },
        Kind::ModeChanged { from: ModeId(0), to: ModeId(1), took: ns, bound: ns },
        Kind::Decided { lane, chosen: job, runner_up: None, reason, queue_depth: 1, state },
        Kind::Bound { job, lane, model: ModelId(0) },
        Kind::Started { job, lane },
        Kind::Overran { job, segment: 1, limit: Limit::Segment, execution: ns, budget: ns },
        Kind::Paused { job, lane, began: at, ended: at },
        Kind::Completed { job, lane, began: at, ended: at, response: ns, execution: ns },
        Kind::Aborted { job, lane, segment: 1, began: at, ended: at, response: ns, execution: ns },
        Kind::Failed { job, lane },
        Kind::DomainFailed { domain: DomainId(0), cause: Cause::Miss, job: Some(job) },
        Kind::DomainFailed { domain: DomainId(0), cause: Cause::Outside, job: None },
        Kind::DomainRestored { domain: DomainId(0) },
        Kind::Dropped { task, count: 2 },
        Kind::Missed { job, lateness: ns, recent: 2 },
        Kind::Exceeded { job, response: ns, bound: ns },
        Kind::StepExceeded { length: ns, allowed: ns, steal: ns, off_core: ns, explained: false },
        Kind::LaneStalled { job, lane, elapsed: ns, allowed: ns },
        Kind::LoopStalled { due: at, late: ns, allowed: ns },
        Kind::Watched { source: WatchedSource::IoFull, reading: 7, asks: None },
        Kind::GivenBack { bytes: Bytes(4096) },
    ]
}

fn disturbed() -> Kind {
    let ns = Duration::from_ns(7);
    Kind::Disturbed {
        job: JobRef { task: TaskId(0), request: 1 },
        wakeup_latency: ns,
        wakeup_excess: ns,
        steal: ns,
        off_core: ns,
        involuntary_switches: 1,
        explained: true,
    }
}

#[test]
fn every_kind_is_read_and_no_field_can_be_missing_or_of_another_type() {
    for kind in every_kind().into_iter().chain([disturbed()]) {
        let text = written(kind);
        let line = Line::parse(&text).unwrap();
        assert_eq!((line.sequence, line.at), (4, Instant::from_ns(5)));
        assert_eq!(line.is_from_outside(), kind.is_from_outside(), "{text}");
        let (_, fields) = schema(&line.event).unwrap();
        for field in fields.iter().map(|(field, _)| *field).chain(["event", "timestamp", "sequence"]) {
            let mut without = line.fields.clone();
            assert!(without.remove(field).is_some(), "{field} of {text}");
            let refused = Line::parse(&Value::Object(without.clone()).to_string()).err();
            let event = if field == "event" { String::new() } else { line.event.clone() };
            assert_eq!(refused, Some(Why::MissingField { event, field }));
            without.insert(field.to_owned(), Value::Array(Vec::new()));
            let refused = Line::parse(&Value::Object(without).to_string()).err();
            assert!(matches!(refused, Some(Why::WrongField { field: found, .. }) if found == field), "{refused:?}");
        }
    }
}

#[test]
fn what_is_no_line_says_why() {
    let why = |text: &str| Line::parse(text).err().unwrap();
    for text in ["", "{", "[]", "3", "{\"event\":\"end\"} {}"] {
        assert!(matches!(why(text), Why::NotAnObject(_)), "{text}");
    }
    assert_eq!(why("{\"event\":\"dance\"}"), Why::UnknownEvent("dance".to_owned()));
    let negative = "{\"event\":\"end\",\"timestamp\":-1,\"sequence\":0}";
    assert_eq!(why(negative).to_string(), "the field `timestamp` is `-1`, not a whole number from 0 to 2^64 - 1");
}

#[test]
fn a_step_is_read_as_what_the_dispatcher_was_told() {
    let told = |text: &str| Line::parse(text).unwrap().told(&NOTHING);
    let stop = Event::Stop { end: Instant::from_ns(9) };
    for event in [Event::Timer, stop] {
        assert_eq!(told(&written(Kind::Stepped { event })), Ok(event));
    }
    let submit = Event::Submit { task: TaskId(0), arrival: Instant::START };
    let unknown = Why::UnknownName { what: "task", name: String::new() };
    assert_eq!(told(&written(Kind::Stepped { event: submit })), Err(unknown));
    let completed = Event::Completed { lane: LaneId(0), began: Instant::START, ended: Instant::START };
    let unknown = Why::UnknownName { what: "stream", name: "lane-".to_owned() };
    assert_eq!(told(&written(Kind::Stepped { event: completed })), Err(unknown));
    let mode = written(Kind::Stepped { event: Event::Mode { mode: ModeId(0) } });
    assert_eq!(told(&mode), Err(Why::UnknownName { what: "mode", name: String::new() }));
    let text = written(Kind::Stepped { event: stop });
    assert_eq!(
        told(&text.replace("\"end\"", "\"ende\"")),
        Err(Why::MissingField { event: "step".to_owned(), field: "end" })
    );
    assert!(matches!(told(&text.replace("\"stop\"", "\"go\"")), Err(Why::WrongField { field: "input", .. })));
}

#[test]
fn a_mode_is_named_as_the_plan_names_it() {
    const MODE: ModeDesc = ModeDesc { name: "calm", tasks: &[], lanes: &[], proven: &[], leaves: Duration::ZERO };
    let system = SystemDesc { modes: &[ModeDesc { name: "busy", ..MODE }, MODE], ..NOTHING };
    let (kind, mut text) = (Kind::Stepped { event: Event::Mode { mode: ModeId(1) } }, String::new());
    trace_line::write(&mut text, &system, &Record { sequence: 4, at: Instant::from_ns(5), kind });
    assert!(text.contains("\"input\":\"mode\",\"mode\":\"calm\","), "{text}");
    let told = |text: &str| Line::parse(text).unwrap().told(&system);
    assert_eq!(told(&text), Ok(Event::Mode { mode: ModeId(1) }));
    let unknown = Why::UnknownName { what: "mode", name: "calmer".to_owned() };
    assert_eq!(told(&text.replace("calm", "calmer")), Err(unknown));
}

#[test]
fn a_domain_is_named_as_the_plan_names_it() {
    let system = SystemDesc {
        domains: &[DomainDesc { name: "maps", process: None }, DomainDesc { name: "vision", process: None }],
        lanes: &[LaneDesc::EMPTY],
        ..NOTHING
    };
    let event = Event::Fail { domain: DomainId(1), loss: None };
    let (kind, mut text) = (Kind::Stepped { event }, String::new());
    trace_line::write(&mut text, &system, &Record { sequence: 4, at: Instant::from_ns(5), kind });
    assert!(text.contains("\"input\":\"fail\",\"domain\":\"vision\","), "{text}");
    let told = |text: &str| Line::parse(text).unwrap().told(&system);
    assert_eq!(told(&text), Ok(event));
    let unknown = Why::UnknownName { what: "domain", name: "visions".to_owned() };
    assert_eq!(told(&text.replace("vision", "visions")), Err(unknown));
    for loss in Loss::ALL {
        let (lane, began, ended) = (LaneId(0), Instant::START, Instant::START);
        for event in [Event::Fail { domain: DomainId(1), loss: Some(loss) }, Event::Lost { lane, began, ended, loss }] {
            let (kind, mut text) = (Kind::Stepped { event }, String::new());
            trace_line::write(&mut text, &system, &Record { sequence: 4, at: Instant::from_ns(5), kind });
            assert_eq!(Line::parse(&text).unwrap().told(&system), Ok(event), "{text}");
            let unknown = text.replace(loss.name(), "mislaid");
            let answer = Line::parse(&unknown).unwrap().told(&system);
            assert!(matches!(answer, Err(Why::WrongField { field: "loss", .. })), "{unknown}");
        }
    }
}

#[test]
fn a_first_line_says_which_plan_ran_and_how() {
    let first = written(Kind::Began { config_hash: NOTHING.config_hash });
    let header = |text: &str| Header::of(&Line::parse(text).unwrap());
    let is_submitted = true;
    let expected = Header { system: "nothing".to_owned(), config_hash: "ab".repeat(32), is_submitted };
    assert_eq!(header(&first), Ok(expected.clone()));
    let timed = Header { is_submitted: false, ..expected };
    assert_eq!(header(&first.replace("submitted", "timer")), Ok(timed));
    assert_eq!(header(&first.replace("trace/2", "trace/1")), Err(Why::Schema("aegis.trace/1".to_owned())));
    assert_eq!(header(&written(Kind::Ended)), Err(Why::NoRun("end".to_owned())));
}
