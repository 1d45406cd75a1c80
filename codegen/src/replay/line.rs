//! Reads one line of a trace: its form, and what the dispatcher was told.

use super::Why;
use aegis_core::desc::SystemDesc;
use aegis_core::dispatch::Event;
use aegis_core::{DomainId, Instant, LaneId, LevelId, ModeId, TaskId, trace_line};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// A line with the fields that its event has.
pub(super) struct Line {
    /// The event.
    pub(super) event: String,
    /// The record's number.
    pub(super) sequence: u64,
    /// Its time.
    pub(super) at: Instant,
    /// All fields.
    pub(super) fields: Map<String, Value>,
}

/// What a trace's first line says of its run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The vehicle's name.
    pub system: String,
    /// SHA-256 of the plan, in hexadecimal digits.
    pub config_hash: String,
    /// Whether it is of a simulation, in which first stages are submitted instead of released by the dispatcher's timer.
    pub is_submitted: bool,
}

/// A field's type.
#[derive(Clone, Copy)]
enum Form {
    /// A whole number from 0 to 2⁶⁴ − 1.
    Number,
    /// A text.
    Text,
    /// A text, or null.
    TextOrNull,
    /// Such a number, or null.
    NumberOrNull,
    /// True or false.
    Truth,
}

impl Form {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Number => value.is_u64(),
            Self::Text => value.is_string(),
            Self::TextOrNull => value.is_string() || value.is_null(),
            Self::NumberOrNull => value.is_u64() || value.is_null(),
            Self::Truth => value.is_boolean(),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Number => "a whole number from 0 to 2^64 - 1",
            Self::Text => "a text",
            Self::TextOrNull => "a text or null",
            Self::NumberOrNull => "a whole number from 0 to 2^64 - 1, or null",
            Self::Truth => "true or false",
        }
    }
}

type Fields = &'static [(&'static str, Form)];

/// Whether an event comes from around the dispatcher, and the fields that it always has besides those of every event.
fn schema(event: &str) -> Option<(bool, Fields)> {
    use Form::{Number, NumberOrNull, Text, TextOrNull, Truth};
    Some(match event {
        "run" => (true, &[("schema", Text), ("system", Text), ("config_hash", Text), ("releases", Text)]),
        "step" => (false, &[("input", Text)]),
        "end" => (false, &[]),
        "admission" => (true, &[("task", Text), ("bound_ns", Number)]),
        "guarantee_void" => (true, &[("reason", Text)]),
        "submission" => (false, &[("request_id", Text), ("task", Text), ("arrival", Number), ("queue_depth", Number)]),
        "task_admitted" => (false, &[("task", Text), ("bound_ns", Number), ("first", Number)]),
        "task_dismissed" => (false, &[("task", Text)]),
        "deferred" => (false, &[("task", Text), ("arrival", Number), ("pending", Number)]),
        "forgone" => (false, &[("task", Text), ("arrival", Number), ("count", Number)]),
        "rejected" => (false, &[("task", Text), ("arrival", Number), ("count", Number)]),
        "withheld" => (false, &[("task", Text), ("arrival", Number), ("count", Number), ("level", Text)]),
        "pressure" => (false, &[("from", TextOrNull), ("to", TextOrNull), ("settles_ns", NumberOrNull)]),
        "mode_requested" => (false, &[("from", Text), ("to", Text), ("bound_ns", Number)]),
        "mode_changed" => (false, &[("from", Text), ("to", Text), ("took_ns", Number), ("bound_ns", Number)]),
        "settled" => (false, &[("level", Text), ("took_ns", Number), ("bound_ns", Number)]),
        "domain_failed" => (false, &[("domain", Text), ("cause", Text), ("request_id", TextOrNull)]),
        "dropped" => (false, &[("task", Text), ("count", Number)]),
        "skipped" => (false, &[("task", Text), ("arrival", Number)]),
        "schedule_decision" => (
            false,
            &[
                ("request_id", Text),
                ("policy", Text),
                ("priority", Number),
                ("queue_depth", Number),
                ("stream_id", Text),
                ("task", Text),
                ("reason", Text),
                ("runner_up", TextOrNull),
                ("state_key", Text),
            ],
        ),
        "binding" | "start" => (false, &[("request_id", Text), ("task", Text), ("stream_id", Text)]),
        "failure" => (false, &[("request_id", Text), ("task", Text), ("stream_id", Text)]),
        "overrun" => (
            false,
            &[
                ("request_id", Text),
                ("task", Text),
                ("segment", Number),
                ("limit", Text),
                ("execution_ns", Number),
                ("budget_ns", Number),
            ],
        ),
        "pause" => (
            false,
            &[
                ("request_id", Text),
                ("task", Text),
                ("stream_id", Text),
                ("began", Number),
                ("ended", Number),
                ("execution_ns", Number),
            ],
        ),
        "completion" => (
            false,
            &[
                ("request_id", Text),
                ("task", Text),
                ("stream_id", Text),
                ("began", Number),
                ("ended", Number),
                ("response_ns", Number),
                ("execution_ns", Number),
            ],
        ),
        "aborted" => (
            false,
            &[
                ("request_id", Text),
                ("task", Text),
                ("stream_id", Text),
                ("segment", Number),
                ("began", Number),
                ("ended", Number),
                ("response_ns", Number),
                ("execution_ns", Number),
            ],
        ),
        "miss" => (false, &[("request_id", Text), ("task", Text), ("lateness_ns", Number), ("recent", Number)]),
        "bound_exceeded" => {
            (false, &[("request_id", Text), ("task", Text), ("response_ns", Number), ("bound_ns", Number)])
        }
        "disturbance" => (
            true,
            &[
                ("request_id", Text),
                ("task", Text),
                ("wakeup_latency_ns", Number),
                ("wakeup_excess_ns", Number),
                ("steal_ns", Number),
                ("off_core_ns", Number),
                ("involuntary_switches", Number),
                ("explained", Truth),
            ],
        ),
        "step_exceeded" => (
            true,
            &[
                ("length_ns", Number),
                ("allowed_ns", Number),
                ("steal_ns", Number),
                ("off_core_ns", Number),
                ("explained", Truth),
            ],
        ),
        "lane_stall" => (
            true,
            &[
                ("request_id", Text),
                ("task", Text),
                ("stream_id", Text),
                ("elapsed_ns", Number),
                ("allowed_ns", Number),
            ],
        ),
        "given_back" => (true, &[("bytes", Number)]),
        "watched" => (true, &[("source", Text), ("reading", Number), ("asks", TextOrNull)]),
        "loop_stall" => (true, &[("due", Number), ("late_ns", Number), ("allowed_ns", Number)]),
        _ => return None,
    })
}

impl Line {
    /// Reads a line and checks its form.
    pub(super) fn parse(text: &str) -> Result<Self, Why> {
        let fields: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| Why::NotAnObject(error.to_string()))?;
        let line = Self { event: String::new(), sequence: 0, at: Instant::START, fields };
        let event = line.text("event")?.to_owned();
        let Some((_, own)) = schema(&event) else { return Err(Why::UnknownEvent(event)) };
        let line = Self { event, ..line };
        for (field, form) in own {
            line.field(field, *form)?;
        }
        let (sequence, at) = (line.number("sequence")?, line.instant("timestamp")?);
        Ok(Self { sequence, at, ..line })
    }

    /// Whether it comes from around the dispatcher.
    pub(super) fn is_from_outside(&self) -> bool {
        schema(&self.event).is_some_and(|(is_from_outside, _)| is_from_outside)
    }

    /// What a step's line says that the dispatcher was told.
    pub(super) fn told(&self, system: &SystemDesc) -> Result<Event, Why> {
        let input = self.text("input")?;
        Ok(match input {
            "timer" => Event::Timer,
            "submit" => Event::Submit { task: self.task(system)?, arrival: self.instant("arrival")? },
            "completed" | "failed" | "preempted" => {
                let (lane, began, ended) = (self.lane(system)?, self.instant("began")?, self.instant("ended")?);
                match input {
                    "completed" => Event::Completed { lane, began, ended },
                    "failed" => Event::Failed { lane, began, ended },
                    _ => Event::Preempted { lane, began, ended },
                }
            }
            "stop" => Event::Stop { end: self.instant("end")? },
            "pressure" => Event::Pressure { level: self.level(system)? },
            "mode" => Event::Mode { mode: self.mode(system)? },
            "fail" => Event::Fail { domain: self.domain(system)? },
            "admit" => Event::Admit { task: self.task(system)? },
            "dismiss" => Event::Dismiss { task: self.task(system)? },
            other => return Err(wrong("input", other, "one that the dispatcher knows")),
        })
    }

    fn task(&self, system: &SystemDesc) -> Result<TaskId, Why> {
        let name = self.text("task")?;
        let found = (0u16..).zip(system.tasks).find(|(_, task)| task.name == name);
        found.map(|(id, _)| TaskId(id)).ok_or_else(|| Why::UnknownName { what: "task", name: name.to_owned() })
    }

    fn lane(&self, system: &SystemDesc) -> Result<LaneId, Why> {
        let name = self.text("stream_id")?;
        let is_own = |own: &str| name.strip_prefix("lane-") == Some(own);
        let found = (0u16..).zip(system.lanes).find(|(_, lane)| is_own(lane.name));
        found.map(|(id, _)| LaneId(id)).ok_or_else(|| Why::UnknownName { what: "stream", name: name.to_owned() })
    }

    fn level(&self, system: &SystemDesc) -> Result<Option<LevelId>, Why> {
        let Some(name) = self.field("level", Form::TextOrNull)?.as_str() else { return Ok(None) };
        let found = (0u16..).zip(system.levels).find(|(_, level)| level.name == name);
        let unknown = || Why::UnknownName { what: "level of pressure", name: name.to_owned() };
        found.map(|(id, _)| Some(LevelId(id))).ok_or_else(unknown)
    }

    fn mode(&self, system: &SystemDesc) -> Result<ModeId, Why> {
        let name = self.text("mode")?;
        let found = (0u16..).zip(system.modes).find(|(_, mode)| mode.name == name);
        found.map(|(id, _)| ModeId(id)).ok_or_else(|| Why::UnknownName { what: "mode", name: name.to_owned() })
    }

    fn domain(&self, system: &SystemDesc) -> Result<DomainId, Why> {
        let name = self.text("domain")?;
        let found = (0u16..).zip(system.domains).find(|(_, domain)| domain.name == name);
        found.map(|(id, _)| DomainId(id)).ok_or_else(|| Why::UnknownName { what: "domain", name: name.to_owned() })
    }

    fn instant(&self, field: &'static str) -> Result<Instant, Why> {
        self.number(field).map(Instant::from_ns)
    }

    fn number(&self, field: &'static str) -> Result<u64, Why> {
        Ok(self.field(field, Form::Number)?.as_u64().unwrap_or_default())
    }

    fn text(&self, field: &'static str) -> Result<&str, Why> {
        Ok(self.field(field, Form::Text)?.as_str().unwrap_or_default())
    }

    fn field(&self, field: &'static str, form: Form) -> Result<&Value, Why> {
        let missing = || Why::MissingField { event: self.event.clone(), field };
        let value = self.fields.get(field).ok_or_else(missing)?;
        if form.fits(value) { Ok(value) } else { Err(wrong(field, value, form.name())) }
    }
}

impl Header {
    /// What a first line says.
    pub(super) fn of(line: &Line) -> Result<Self, Why> {
        if line.event != "run" {
            return Err(Why::NoRun(line.event.clone()));
        }
        let schema = line.text("schema")?;
        if schema != trace_line::SCHEMA {
            return Err(Why::Schema(schema.to_owned()));
        }
        let is_submitted = match line.text("releases")? {
            "timer" => false,
            "submitted" => true,
            other => return Err(wrong("releases", other, "`timer` or `submitted`")),
        };
        let (system, config_hash) = (line.text("system")?.to_owned(), line.text("config_hash")?.to_owned());
        Ok(Self { system, config_hash, is_submitted })
    }
}

fn wrong(field: &'static str, found: impl std::fmt::Display, expected: &'static str) -> Why {
    Why::WrongField { field, found: format!("`{found}`"), expected }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{Header, Line, Why, schema};
    use aegis_core::desc::{DomainDesc, ModeDesc, SystemDesc, WatchedSource};
    use aegis_core::dispatch::Event;
    use aegis_core::trace::{Cause, JobRef, Kind, Limit, Reason, Record, StateKey, VoidReason};
    use aegis_core::{Bytes, DomainId, Duration, Instant, LaneId, LevelId, ModeId, ModelId, TaskId, trace_line};
    use serde_json::Value;

    /// A plan without lanes and tasks: names in its lines are empty.
    const NOTHING: SystemDesc = SystemDesc { layout: 0, name: "nothing", config_hash: [0xab; 32], ..SystemDesc::EMPTY };

    fn written(kind: Kind) -> String {
        let mut text = String::new();
        trace_line::write(&mut text, &NOTHING, &Record { sequence: 4, at: Instant::from_ns(5), kind });
        text
    }

    fn every_kind() -> [Kind; 35] {
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
        let system = SystemDesc { domains: &[DomainDesc { name: "maps" }, DomainDesc { name: "vision" }], ..NOTHING };
        let event = Event::Fail { domain: DomainId(1) };
        let (kind, mut text) = (Kind::Stepped { event }, String::new());
        trace_line::write(&mut text, &system, &Record { sequence: 4, at: Instant::from_ns(5), kind });
        assert!(text.contains("\"input\":\"fail\",\"domain\":\"vision\","), "{text}");
        let told = |text: &str| Line::parse(text).unwrap().told(&system);
        assert_eq!(told(&text), Ok(event));
        let unknown = Why::UnknownName { what: "domain", name: "visions".to_owned() };
        assert_eq!(told(&text.replace("vision", "visions")), Err(unknown));
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
}
