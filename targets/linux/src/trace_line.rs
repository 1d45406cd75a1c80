//! One trace record as one JSON line, with the plan's names instead of table positions.

use crate::stats::sum;
use aegis_core::desc::{ModelDesc, SystemDesc, TaskDesc, TensorDesc};
use aegis_core::trace::{JobRef, Kind, Record};
use aegis_core::{Duration, Instant, LaneId, TaskId};
use std::fmt::{Display, Write as _};

/// Appends the record's line, with its newline.
///
/// Every line has `event`, `timestamp` (nanoseconds since the schedule's start) and `sequence`. `before` is what the earlier
/// pieces of the record's job executed: the line of a completion tells the whole job's execution.
pub fn write(out: &mut String, system: &SystemDesc, record: &Record, before: Duration) {
    let mut line = Line { out, system, before };
    line.event(&record.kind);
    line.number("timestamp", record.at.as_ns());
    line.number("sequence", record.sequence);
    out.push_str("}\n");
}

struct Line<'a> {
    out: &'a mut String,
    system: &'a SystemDesc,
    before: Duration,
}

impl Line<'_> {
    fn event(&mut self, kind: &Kind) {
        match *kind {
            Kind::Admitted { task, bound } => {
                self.begin("admission");
                self.task(task);
                self.duration("bound_ns", bound);
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
            Kind::Rejected { task, arrival, count } => {
                self.begin("rejected");
                self.task(task);
                self.instant("arrival", arrival);
                self.number("count", count);
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
            Kind::Overran { job, execution, budget } => {
                self.begin("overrun");
                self.job(job);
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
            Kind::Completed { job, lane, began, ended, response } => {
                self.begin("completion");
                self.job(job);
                self.stream(lane);
                self.instant("began", began);
                self.instant("ended", ended);
                self.duration("response_ns", response);
                self.duration("execution_ns", sum(self.before, ended.saturating_since(began)));
                self.limits(job);
            }
            Kind::Failed { job, lane } => {
                self.begin("failure");
                self.job(job);
                self.stream(lane);
            }
            Kind::Missed { job, lateness } => {
                self.begin("miss");
                self.job(job);
                self.duration("lateness_ns", lateness);
                self.limits(job);
            }
            Kind::Exceeded { job, response, bound } => {
                self.begin("bound_exceeded");
                self.job(job);
                self.duration("response_ns", response);
                self.duration("bound_ns", bound);
            }
            Kind::Disturbed { .. } => self.disturbance(kind),
        }
    }

    fn decision(&mut self, kind: &Kind) {
        let Kind::Decided { lane, chosen, runner_up, reason, queue_depth } = *kind else { return };
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
                self.out.push('}');
            }
            self.out.push(']');
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
        self.out.push(']');
    }

    fn tensors(&mut self, key: &str, tensors: &[TensorDesc]) {
        self.number(key, "[");
        for (position, tensor) in tensors.iter().enumerate() {
            let comma = comma(position);
            let (name, at, size) = (Json(tensor.name), tensor.at.0, tensor.size.0);
            let _ = write!(self.out, "{comma}{{\"name\":{name},\"offset\":{at},\"bytes\":{size}}}");
        }
        self.out.push(']');
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
        let _ = write!(self.out, ",\"{key}\":\"req-{}\"", job.request);
    }

    fn task(&mut self, task: TaskId) {
        self.text("task", self.desc(task).map_or("", |task| task.name));
    }

    fn stream(&mut self, lane: LaneId) {
        let name = self.system.lanes.get(lane.index()).map_or("", |lane| lane.name);
        self.text("stream_id", &format!("lane-{name}"));
    }

    fn desc(&self, task: TaskId) -> Option<&TaskDesc> {
        self.system.tasks.get(task.index())
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

/// A text in JSON's quotes; names from a manifest rarely need an escape, so that is the quick path.
struct Json<'a>(&'a str);

impl Display for Json<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.chars().all(|c| c != '"' && c != '\\' && !c.is_control()) {
            return write!(f, "\"{}\"", self.0);
        }
        f.write_str(&serde_json::to_string(self.0).map_err(|_| std::fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::write;
    use crate::fixture;
    use aegis_core::desc::SystemDesc;
    use aegis_core::trace::{JobRef, Kind, Reason, Record, VoidReason};
    use aegis_core::{Duration, Instant, LaneId, ModelId, TaskId};

    fn line(kind: Kind) -> String {
        line_of(fixture::system(&[(10, 2), (20, 3)]), kind, Duration::ZERO)
    }

    fn line_of(system: &SystemDesc, kind: Kind, before: Duration) -> String {
        let mut out = String::new();
        let record = Record { sequence: 9, at: Instant::from_ns(1_234_567_890), kind };
        write(&mut out, system, &record, before);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((value["timestamp"].as_u64(), value["sequence"].as_u64()), (Some(1_234_567_890), Some(9)));
        out
    }

    const JOB: JobRef = JobRef { task: TaskId(0), request: 123 };

    #[test]
    fn a_decision_has_the_published_shape() {
        let runner_up = Some(JobRef { task: TaskId(1), request: 124 });
        let decided =
            |runner_up, reason| Kind::Decided { lane: LaneId(0), chosen: JOB, runner_up, reason, queue_depth: 5 };
        assert_eq!(
            line(decided(runner_up, Reason::MoreImportant)),
            "{\"event\":\"schedule_decision\",\"request_id\":\"req-123\",\"policy\":\"rate-monotonic\",\"priority\":0,\
             \"queue_depth\":5,\"stream_id\":\"lane-main\",\"task\":\"face\",\"reason\":\"more-important\",\
             \"runner_up\":\"req-124\",\"timestamp\":1234567890,\"sequence\":9}\n"
        );
        assert!(line(decided(None, Reason::OnlyOneWaiting)).contains("\"runner_up\":null,"));
    }

    #[test]
    fn a_completion_carries_its_limits_and_a_binding_its_memory() {
        let (began, ended) = (Instant::from_ns(100), Instant::from_ns(400));
        let completed = Kind::Completed { job: JOB, lane: LaneId(0), began, ended, response: Duration::from_ns(350) };
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
        let bound = line_of(system, Kind::Bound { job, lane: LaneId(0), model: ModelId(1) }, Duration::ZERO);
        let memory = "\"segments\":[{\"scratch_offset\":0,\"scratch_bytes\":64,\"reads\":[\"x\"],\"writes\":[\"h\"]},\
                      {\"scratch_offset\":0,\"scratch_bytes\":64,\"reads\":[\"h\"],\"writes\":[\"y\"]}],\
                      \"inputs\":[{\"name\":\"x\",\"offset\":64,\"bytes\":64}],\
                      \"outputs\":[{\"name\":\"y\",\"offset\":192,\"bytes\":64}],\
                      \"carried\":[{\"name\":\"h\",\"offset\":128,\"bytes\":64}],\"timestamp\"";
        assert!(bound.contains(memory), "{bound}");
        let (began, ended) = (Instant::from_ns(100), Instant::from_ns(400));
        let paused = line_of(system, Kind::Paused { job, lane: LaneId(0), began, ended }, Duration::from_ns(50));
        assert!(paused.contains("\"execution_ns\":300,"), "{paused}");
        let completed = Kind::Completed { job, lane: LaneId(0), began, ended, response: Duration::from_ns(900) };
        let completed = line_of(system, completed, Duration::from_ns(50));
        assert!(
            completed.contains("\"began\":100,\"ended\":400,\"response_ns\":900,\"execution_ns\":350,"),
            "{completed}"
        );
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
            (Kind::Admitted { task: TaskId(1), bound: ns }, "admission"),
            (Kind::GuaranteeVoid { reason: VoidReason::NotPinned }, "guarantee_void"),
            (Kind::Submitted { job: JOB, arrival: at, queue_depth: 1 }, "submission"),
            (Kind::Rejected { task: TaskId(0), arrival: at, count: 4 }, "rejected"),
            (Kind::Skipped { task: TaskId(0), arrival: at }, "skipped"),
            (Kind::Started { job: JOB, lane: LaneId(0) }, "start"),
            (Kind::Paused { job: JOB, lane: LaneId(0), began: at, ended: at }, "pause"),
            (Kind::Overran { job: JOB, execution: ns, budget: ns }, "overrun"),
            (Kind::Missed { job: JOB, lateness: ns }, "miss"),
            (Kind::Exceeded { job: JOB, response: ns, bound: ns }, "bound_exceeded"),
            (disturbed, "disturbance"),
        ];
        for (kind, event) in kinds {
            let value: serde_json::Value = serde_json::from_str(&line(kind)).unwrap();
            assert_eq!(value["event"], event);
        }
        assert!(line(disturbed).contains("\"wakeup_latency_ns\":7,\"wakeup_excess_ns\":2,"));
    }
}
