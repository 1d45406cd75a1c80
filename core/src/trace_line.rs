//! One trace record as one JSON line, with the plan's names instead of table positions.
//!
//! The vehicle's drain writes these lines, and a replay writes them again: one is the other's, byte for byte.

mod json;

use crate::desc::{Asks, ModelDesc, Release, SystemDesc, TaskDesc, TensorDesc};
use crate::dispatch::Event;
use crate::time::{Duration, Instant};
use crate::trace::{JobRef, Kind, Record};
use crate::units::{DomainId, LaneId, LevelId, ModeId, TaskId};
use core::fmt::{Display, Write};
use json::{Escaped, Hex, Json, Quoted};

/// The format's name, in a trace's first line.
pub const SCHEMA: &str = "aegis.trace/2";

/// Writes the record's line, with its newline.
///
/// Every line has `event`, `timestamp` (nanoseconds since the schedule's start) and `sequence`. What `out` refuses is left out.
pub fn write(out: &mut impl Write, system: &SystemDesc, record: &Record) {
    let mut line = Line { out, system };
    line.event(&record.kind);
    line.number("timestamp", record.at.as_ns());
    line.number("sequence", record.sequence);
    line.put("}\n");
}

/// Where a plan's releases come from: `timer`, or `submitted` where the plan was prepared for a simulation: then no task's depend
/// on the timer, nothing is deferred to it, and nothing has to be admitted first.
#[must_use]
pub fn releases(system: &SystemDesc) -> &'static str {
    let timed = system.tasks.iter().any(|task| task.release == Release::Timer || task.defers || task.optional);
    if timed { "timer" } else { "submitted" }
}

struct Line<'a, W> {
    out: &'a mut W,
    system: &'a SystemDesc,
}

impl<W: Write> Line<'_, W> {
    fn event(&mut self, kind: &Kind) {
        match *kind {
            Kind::Began { config_hash } => {
                self.begin("run");
                self.text("schema", SCHEMA);
                self.text("system", self.system.name);
                self.number("config_hash", Quoted(Hex(&config_hash)));
                self.text("releases", releases(self.system));
            }
            Kind::Stepped { event } => self.step(event),
            Kind::Ended => self.begin("end"),
            Kind::Admitted { task, bound, optional } => {
                self.begin("admission");
                self.task(task);
                self.duration("bound_ns", bound);
                if optional {
                    self.number("optional", true);
                }
            }
            Kind::TaskAdmitted { task, bound, first } => {
                self.begin("task_admitted");
                self.task(task);
                self.duration("bound_ns", bound);
                self.instant("first", first);
            }
            Kind::TaskDismissed { task } => {
                self.begin("task_dismissed");
                self.task(task);
            }
            Kind::GuaranteeVoid { reason } => {
                self.begin("guarantee_void");
                self.text("reason", reason.name());
            }
            Kind::Submitted { job, arrival, queue_depth } => {
                self.begin("submission");
                self.job(job);
                self.instant("arrival", arrival);
                self.number("queue_depth", queue_depth);
            }
            Kind::Deferred { task, arrival, pending } => {
                self.begin("deferred");
                self.task(task);
                self.instant("arrival", arrival);
                self.number("pending", pending);
            }
            Kind::Forgone { task, arrival, count } => {
                self.begin("forgone");
                self.task(task);
                self.instant("arrival", arrival);
                self.number("count", count);
            }
            Kind::Rejected { task, arrival, count } => {
                self.begin("rejected");
                self.task(task);
                self.instant("arrival", arrival);
                self.number("count", count);
            }
            Kind::Withheld { task, arrival, count, level } => {
                self.begin("withheld");
                self.task(task);
                self.instant("arrival", arrival);
                self.number("count", count);
                self.level("level", Some(level));
            }
            Kind::Pressure { from, to, settles } => {
                self.begin("pressure");
                self.level("from", from);
                self.level("to", to);
                match settles {
                    Some(settles) => self.duration("settles_ns", settles),
                    None => self.number("settles_ns", "null"),
                }
            }
            Kind::Settled { level, took, bound } => {
                self.begin("settled");
                self.level("level", Some(level));
                self.duration("took_ns", took);
                self.duration("bound_ns", bound);
            }
            Kind::ModeRequested { from, to, bound } => {
                self.begin("mode_requested");
                self.mode("from", from);
                self.mode("to", to);
                self.duration("bound_ns", bound);
            }
            Kind::ModeChanged { from, to, took, bound } => {
                self.begin("mode_changed");
                self.mode("from", from);
                self.mode("to", to);
                self.duration("took_ns", took);
                self.duration("bound_ns", bound);
            }
            Kind::Skipped { task, arrival } => {
                self.begin("skipped");
                self.task(task);
                self.instant("arrival", arrival);
            }
            Kind::Decided { .. } => self.decision(kind),
            Kind::Bound { job, lane, model } => {
                self.begin("binding");
                self.job(job);
                self.stream(lane);
                if let Some(model) = self.system.models.get(model.index()) {
                    self.memory(model);
                }
            }
            Kind::Started { job, lane } => {
                self.begin("start");
                self.job(job);
                self.stream(lane);
            }
            Kind::Overran { job, segment, limit, execution, budget } => {
                self.begin("overrun");
                self.job(job);
                self.number("segment", segment);
                self.text("limit", limit.name());
                self.duration("execution_ns", execution);
                self.duration("budget_ns", budget);
            }
            Kind::Paused { job, lane, began, ended } => {
                self.begin("pause");
                self.job(job);
                self.stream(lane);
                self.instant("began", began);
                self.instant("ended", ended);
                self.duration("execution_ns", ended.saturating_since(began));
            }
            Kind::Completed { job, lane, began, ended, response, execution } => {
                self.begin("completion");
                self.job(job);
                self.stream(lane);
                self.instant("began", began);
                self.instant("ended", ended);
                self.duration("response_ns", response);
                self.duration("execution_ns", execution);
                self.limits(job);
            }
            Kind::Aborted { job, lane, segment, began, ended, response, execution } => {
                self.begin("aborted");
                self.job(job);
                self.stream(lane);
                self.number("segment", segment);
                self.instant("began", began);
                self.instant("ended", ended);
                self.duration("response_ns", response);
                self.duration("execution_ns", execution);
                self.limits(job);
            }
            Kind::Failed { job, lane } => {
                self.begin("failure");
                self.job(job);
                self.stream(lane);
            }
            Kind::DomainFailed { domain, cause, job } => {
                self.begin("domain_failed");
                self.domain(domain);
                self.text("cause", cause.name());
                match job {
                    Some(job) => self.job(job),
                    None => self.number("request_id", "null"),
                }
            }
            Kind::DomainRestored { domain } => {
                self.begin("domain_restored");
                self.domain(domain);
            }
            Kind::Dropped { task, count } => {
                self.begin("dropped");
                self.task(task);
                self.number("count", count);
            }
            Kind::Missed { job, lateness, recent } => {
                self.begin("miss");
                self.job(job);
                self.duration("lateness_ns", lateness);
                self.number("recent", recent);
                self.number("window", self.desc(job.task).map_or(0, |task| task.miss_window));
                self.limits(job);
            }
            Kind::Exceeded { job, response, bound } => {
                self.begin("bound_exceeded");
                self.job(job);
                self.duration("response_ns", response);
                self.duration("bound_ns", bound);
            }
            Kind::Disturbed { .. } => self.disturbance(kind),
            Kind::StepExceeded { length, allowed, steal, off_core, explained } => {
                self.begin("step_exceeded");
                self.duration("length_ns", length);
                self.duration("allowed_ns", allowed);
                self.duration("steal_ns", steal);
                self.duration("off_core_ns", off_core);
                self.number("explained", explained);
            }
            Kind::LaneStalled { job, lane, elapsed, allowed } => {
                self.begin("lane_stall");
                self.job(job);
                self.stream(lane);
                self.duration("elapsed_ns", elapsed);
                self.duration("allowed_ns", allowed);
            }
            Kind::Watched { source, reading, asks } => {
                self.begin("watched");
                self.text("source", source.name());
                self.number("reading", reading);
                match asks {
                    Some(Asks::Level(level)) => self.level("asks", Some(level)),
                    Some(Asks::Mode(mode)) => self.mode("asks", mode),
                    None => self.number("asks", "null"),
                }
            }
            Kind::GivenBack { bytes } => {
                self.begin("given_back");
                self.number("bytes", bytes.0);
            }
            Kind::LoopStalled { due, late, allowed } => {
                self.begin("loop_stall");
                self.instant("due", due);
                self.duration("late_ns", late);
                self.duration("allowed_ns", allowed);
            }
        }
    }

    fn step(&mut self, event: Event) {
        self.begin("step");
        match event {
            Event::Timer => self.text("input", "timer"),
            Event::Submit { task, arrival } => {
                self.text("input", "submit");
                self.task(task);
                self.instant("arrival", arrival);
            }
            Event::Completed { lane, began, ended } => self.piece("completed", lane, began, ended),
            Event::Failed { lane, began, ended } => self.piece("failed", lane, began, ended),
            Event::Lost { lane, began, ended, loss } => {
                self.piece("lost", lane, began, ended);
                self.text("loss", loss.name());
            }
            Event::Preempted { lane, began, ended } => self.piece("preempted", lane, began, ended),
            Event::Stop { end } => {
                self.text("input", "stop");
                self.instant("end", end);
            }
            Event::Pressure { level } => {
                self.text("input", "pressure");
                self.level("level", level);
            }
            Event::Mode { mode } => {
                self.text("input", "mode");
                self.mode("mode", mode);
            }
            Event::Fail { domain, loss } => {
                self.text("input", "fail");
                self.domain(domain);
                if let Some(loss) = loss {
                    self.text("loss", loss.name());
                }
            }
            Event::Restored { domain } => {
                self.text("input", "restored");
                self.domain(domain);
            }
            Event::Admit { task } => {
                self.text("input", "admit");
                self.task(task);
            }
            Event::Dismiss { task } => {
                self.text("input", "dismiss");
                self.task(task);
            }
        }
    }

    fn piece(&mut self, input: &str, lane: LaneId, began: Instant, ended: Instant) {
        self.text("input", input);
        self.stream(lane);
        self.instant("began", began);
        self.instant("ended", ended);
    }

    fn decision(&mut self, kind: &Kind) {
        let Kind::Decided { lane, chosen, runner_up, reason, queue_depth, state } = *kind else { return };
        self.begin("schedule_decision");
        self.request("request_id", chosen);
        self.text("policy", self.system.lanes.get(lane.index()).map_or("", |lane| lane.policy.name()));
        self.number("priority", self.desc(chosen.task).map_or(0, |task| task.priority.0));
        self.number("queue_depth", queue_depth);
        self.stream(lane);
        self.task(chosen.task);
        self.text("reason", reason.name());
        match runner_up {
            Some(other) => self.request("runner_up", other),
            None => self.number("runner_up", "null"),
        }
        self.number("state_key", Quoted(format_args!("{:016x}", state.0)));
    }

    fn disturbance(&mut self, kind: &Kind) {
        let Kind::Disturbed { job, wakeup_latency, wakeup_excess, steal, off_core, involuntary_switches, explained } =
            *kind
        else {
            return;
        };
        self.begin("disturbance");
        self.job(job);
        self.duration("wakeup_latency_ns", wakeup_latency);
        self.duration("wakeup_excess_ns", wakeup_excess);
        self.duration("steal_ns", steal);
        self.duration("off_core_ns", off_core);
        self.number("involuntary_switches", involuntary_switches);
        self.number("explained", explained);
    }

    fn memory(&mut self, model: &ModelDesc) {
        self.text("model", model.name);
        self.text("memory_pool", self.system.pools.get(model.pool.index()).map_or("", |pool| pool.name));
        if let [segment] = model.segments {
            self.number("scratch_offset", segment.scratch_at.0);
            self.number("scratch_bytes", segment.scratch.0);
        } else {
            self.number("segments", "[");
            for (position, segment) in model.segments.iter().enumerate() {
                let (at, size) = (segment.scratch_at.0, segment.scratch.0);
                let _ = write!(self.out, "{}{{\"scratch_offset\":{at},\"scratch_bytes\":{size}", comma(position));
                self.names("reads", model, segment.reads);
                self.names("writes", model, segment.writes);
                self.put("}");
            }
            self.put("]");
        }
        self.tensors("inputs", model.inputs);
        self.tensors("outputs", model.outputs);
        if !model.carried.is_empty() {
            self.tensors("carried", model.carried);
        }
    }

    fn names(&mut self, key: &str, model: &ModelDesc, positions: &[u16]) {
        self.number(key, "[");
        for (number, position) in positions.iter().enumerate() {
            let name = model.tensor(usize::from(*position)).map_or("", |tensor| tensor.name);
            let _ = write!(self.out, "{}{}", comma(number), Json(name));
        }
        self.put("]");
    }

    fn tensors(&mut self, key: &str, tensors: &[TensorDesc]) {
        self.number(key, "[");
        for (position, tensor) in tensors.iter().enumerate() {
            let comma = comma(position);
            let (name, at, size) = (Json(tensor.name), tensor.at.0, tensor.size.0);
            let _ = write!(self.out, "{comma}{{\"name\":{name},\"offset\":{at},\"bytes\":{size}}}");
        }
        self.put("]");
    }

    fn limits(&mut self, job: JobRef) {
        if let Some(task) = self.desc(job.task) {
            let (deadline, bound) = (task.deadline, task.response_bound);
            self.duration("deadline_ns", deadline);
            self.duration("bound_ns", bound);
        }
    }

    fn begin(&mut self, event: &str) {
        let _ = write!(self.out, "{{\"event\":{}", Json(event));
    }

    fn job(&mut self, job: JobRef) {
        self.request("request_id", job);
        self.task(job.task);
    }

    fn request(&mut self, key: &str, job: JobRef) {
        self.number(key, Quoted(format_args!("req-{}", job.request)));
    }

    /// A level's name, or null.
    fn level(&mut self, key: &str, level: Option<LevelId>) {
        match level {
            Some(level) => self.text(key, self.system.levels.get(level.index()).map_or("", |level| level.name)),
            None => self.number(key, "null"),
        }
    }

    fn domain(&mut self, domain: DomainId) {
        self.text("domain", self.system.domains.get(domain.index()).map_or("", |domain| domain.name));
    }

    fn mode(&mut self, key: &str, mode: ModeId) {
        self.text(key, self.system.modes.get(mode.index()).map_or("", |mode| mode.name));
    }

    fn task(&mut self, task: TaskId) {
        self.text("task", self.desc(task).map_or("", |task| task.name));
    }

    fn stream(&mut self, lane: LaneId) {
        let name = self.system.lanes.get(lane.index()).map_or("", |lane| lane.name);
        let _ = write!(self.out, ",\"stream_id\":\"lane-{}\"", Escaped(name));
    }

    fn desc(&self, task: TaskId) -> Option<&TaskDesc> {
        self.system.tasks.get(task.index())
    }

    fn put(&mut self, text: &str) {
        let _ = self.out.write_str(text);
    }

    fn text(&mut self, key: &str, value: &str) {
        let _ = write!(self.out, ",\"{key}\":{}", Json(value));
    }

    fn number(&mut self, key: &str, value: impl Display) {
        let _ = write!(self.out, ",\"{key}\":{value}");
    }

    fn duration(&mut self, key: &str, value: Duration) {
        self.number(key, value.as_ns());
    }

    fn instant(&mut self, key: &str, value: Instant) {
        self.number(key, value.as_ns());
    }
}

/// What goes before an element of an array.
const fn comma(position: usize) -> &'static str {
    if position > 0 { "," } else { "" }
}
