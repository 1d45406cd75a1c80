//! The dispatcher beside a trace, line by line.

use super::line::Line;
use super::{Counts, Difference, LaneState, Why, refusal};
use crate::simulate::QUEUE;
use aegis_core::desc::SystemDesc;
use aegis_core::dispatch::{Event, Job, Refused, State, count_unfinished, step};
use aegis_core::trace::{Discard, Kind, Record, Sink};
use aegis_core::{Instant, LaneId, TaskId, trace_line};
use serde_json::{Map, Value};
use std::collections::VecDeque;

/// Records that the trace should have next.
#[derive(Default)]
struct Expected(VecDeque<(Instant, Kind)>);

impl Sink for Expected {
    fn record(&mut self, at: Instant, kind: Kind) {
        self.0.push_back((at, kind));
    }
}

/// A replay after the trace's first line.
pub(super) struct Run<const TASKS: usize, const LANES: usize> {
    system: &'static SystemDesc,
    state: Box<State<TASKS, LANES, QUEUE>>,
    expected: Expected,
    /// Everything that the dispatcher was told, for the state before the last step.
    told: Vec<(Event, Instant)>,
    /// The line of the last step.
    step: u64,
    ended: bool,
    /// The last record's number.
    sequence: u64,
    written: String,
    /// What was the same so far.
    pub(super) counts: Counts,
}

impl<const TASKS: usize, const LANES: usize> Run<TASKS, LANES> {
    /// The dispatcher at its start.
    pub(super) fn new(system: &'static SystemDesc) -> Result<Self, Why> {
        let state = State::new(system).map_err(|_| Why::TooLarge)?;
        Ok(Self {
            system,
            state: Box::new(state),
            expected: Expected::default(),
            told: Vec::new(),
            step: 0,
            ended: false,
            sequence: 0,
            written: String::new(),
            counts: Counts { records: 1, outside: 1, ..Counts::default() },
        })
    }

    /// Compares one more line.
    pub(super) fn line(&mut self, number: u64, text: &str) -> Result<Option<Difference>, Why> {
        let line = Line::parse(text)?;
        let next = self.sequence.saturating_add(1);
        if line.sequence < next {
            return Err(Why::Order { before: self.sequence, found: line.sequence });
        }
        if line.sequence > next {
            return Err(Why::Lost { first: next, last: line.sequence.saturating_sub(1) });
        }
        self.sequence = line.sequence;
        if line.is_from_outside() {
            self.counts.records = self.counts.records.saturating_add(1);
            self.counts.outside = self.counts.outside.saturating_add(1);
            return Ok(None);
        }
        let is_step = line.event == "step";
        if (is_step || line.event == "end") && self.expected.0.is_empty() {
            if self.ended {
                return Ok(Some(self.differs(number, Some(text), "the run had ended", Vec::new())));
            }
            if let Some(difference) = self.advance(&line, number, text)? {
                return Ok(Some(difference));
            }
        }
        let Some((at, kind)) = self.expected.0.front().copied() else {
            let why =
                if is_step { "the step changes nothing" } else { "the dispatcher does nothing more in this step" };
            return Ok(Some(self.differs(number, Some(text), why, Vec::new())));
        };
        self.written.clear();
        trace_line::write(&mut self.written, self.system, &Record { sequence: line.sequence, at, kind });
        if self.written.trim_end() != text.trim_end() {
            let fields = differing(&self.written, &line.fields);
            if !fields.is_empty() {
                return Ok(Some(self.differs(number, Some(text), "the dispatcher does something else", fields)));
            }
        }
        self.expected.0.pop_front();
        let one = |count: &mut u64, holds: bool| *count = count.saturating_add(u64::from(holds));
        one(&mut self.counts.records, true);
        one(&mut self.counts.steps, is_step);
        one(&mut self.counts.decisions, matches!(kind, Kind::Decided { .. }));
        Ok(None)
    }

    /// After the last line.
    pub(super) fn finish(&mut self, number: u64) -> Result<Option<Difference>, Why> {
        if !self.ended {
            return Err(Why::NoEnd);
        }
        let is_whole = self.expected.0.is_empty();
        Ok((!is_whole).then(|| self.differs(number, None, "the trace ends before the run does", Vec::new())))
    }

    /// Lets the dispatcher do what a line of a step or of the end says.
    fn advance(&mut self, line: &Line, number: u64, text: &str) -> Result<Option<Difference>, Why> {
        if line.event == "end" {
            self.step = number;
            self.ended = true;
            count_unfinished(self.system, &mut self.state, line.at, &mut self.expected);
            return Ok(None);
        }
        let event = line.told(self.system)?;
        self.told.push((event, line.at));
        self.step = number;
        match step(self.system, &mut self.state, event, line.at, &mut self.expected) {
            // A step that leaves the range of time has done something before; it ends the run.
            Ok(_) | Err(Refused::OutOfRange) => Ok(None),
            Err(refused) => Ok(Some(self.differs(number, Some(text), &refusal(refused), Vec::new()))),
        }
    }

    fn differs(&self, line: u64, recorded: Option<&str>, why: &str, fields: Vec<String>) -> Difference {
        let replayed = self.expected.0.front().map(|(at, kind)| {
            let sequence = if recorded.is_some() { self.sequence } else { self.sequence.saturating_add(1) };
            let mut text = String::new();
            trace_line::write(&mut text, self.system, &Record { sequence, at: *at, kind: *kind });
            text.trim_end().to_owned()
        });
        Difference {
            line,
            step: self.step,
            why: why.to_owned(),
            fields,
            recorded: recorded.map(|text| text.trim_end().to_owned()),
            replayed,
            state: self.before_step(),
        }
    }

    /// The lanes before the last step; the present ones at the end of the run.
    fn before_step(&self) -> Vec<LaneState> {
        let steps = self.told.len().saturating_sub(usize::from(!self.ended));
        let Ok(state) = State::<TASKS, LANES, QUEUE>::new(self.system) else { return Vec::new() };
        let mut state = Box::new(state);
        for (event, now) in self.told.iter().take(steps) {
            // What was refused changed nothing.
            let _ = step(self.system, &mut state, *event, *now, &mut Discard);
        }
        let name = |job: Job| {
            let task = self.system.tasks.get(job.task.index()).map_or("", |task| task.name);
            format!("{task} req-{}", job.request)
        };
        let lanes = (0u16..).map(LaneId).zip(self.system.lanes);
        let lane = |(id, desc): (LaneId, &aegis_core::desc::LaneDesc)| {
            let own = (0u16..).map(TaskId).zip(self.system.tasks).filter(|(_, task)| task.lane == id);
            LaneState {
                lane: desc.name.to_owned(),
                running: state.running(id).map(name),
                waiting: own.flat_map(|(task, _)| state.waiting(task)).map(name).collect(),
            }
        };
        lanes.map(lane).collect()
    }
}

/// The fields that differ between a line that the replay writes and a line of the trace.
fn differing(written: &str, recorded: &Map<String, Value>) -> Vec<String> {
    let written: Map<String, Value> = serde_json::from_str(written).unwrap_or_default();
    if written.get("event") != recorded.get("event") {
        return vec!["event".to_owned()];
    }
    let mut all: Vec<&String> = written.keys().chain(recorded.keys()).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().filter(|key| written.get(*key) != recorded.get(*key)).cloned().collect()
}
