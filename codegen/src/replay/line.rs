//! Reads one line of a trace: its form, and what the dispatcher was told.

use super::Why;
use aegis_core::desc::SystemDesc;
use aegis_core::dispatch::Event;
use aegis_core::trace::Loss;
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
        "domain_restored" => (false, &[("domain", Text)]),
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
            "lost" => {
                let (lane, began, ended) = (self.lane(system)?, self.instant("began")?, self.instant("ended")?);
                Event::Lost { lane, began, ended, loss: self.loss()? }
            }
            "fail" => {
                let loss = self.fields.contains_key("loss").then(|| self.loss()).transpose()?;
                Event::Fail { domain: self.domain(system)?, loss }
            }
            "restored" => Event::Restored { domain: self.domain(system)? },
            "admit" => Event::Admit { task: self.task(system)? },
            "dismiss" => Event::Dismiss { task: self.task(system)? },
            other => return Err(wrong("input", other, "one that the dispatcher knows")),
        })
    }

    fn loss(&self) -> Result<Loss, Why> {
        let name = self.text("loss")?;
        let found = Loss::ALL.into_iter().find(|loss| loss.name() == name);
        found.ok_or_else(|| wrong("loss", name, "a way in which a process is lost"))
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
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
