//! What happens on which track: records in, slices and counters out.

use super::encode::{Arg, Encode, Flow, NewTrack, TrackId, TrackKind, Value, What};
use super::jobs::{Decision, Edges, InFlight, LaneLine, Line, Running, TaskLine, handed, ns};
use super::memory::{Memory, Share};
use super::words::{Fixed, Word};
use super::{Chain, Exported};
use aegis_core::desc::{Preemption, SystemDesc, TaskDesc};
use aegis_core::trace::{JobRef, Kind, Record};
use aegis_core::{LaneId, PoolId, TaskId};
use std::io;

/// What is open on which track.
pub(super) struct Timeline<'a, E> {
    pub(super) system: &'a SystemDesc,
    pub(super) encoder: E,
    /// How many tracks are declared.
    tracks: u32,
    pub(super) tasks: Vec<TaskLine>,
    pub(super) lanes: Vec<LaneLine>,
    pub(super) domains: Vec<Line>,
    pub(super) vehicle: TrackId,
    pub(super) mode: Line,
    pub(super) pressure: Line,
    memory_group: TrackId,
    pub(super) given_back: Option<TrackId>,
    /// Of each pool that a model uses.
    pools: Vec<Option<TrackId>>,
    pub(super) memory: Memory,
    pub(super) edges: Edges,
    /// The latest instant that was seen.
    pub(super) last: u64,
    next_sequence: u64,
    pub(super) exported: Exported,
}

impl<'a, E: Encode> Timeline<'a, E> {
    /// Declares the plan's tracks.
    pub(super) fn new(system: &'a SystemDesc, chains: &[Chain], encoder: E) -> Self {
        let none = TrackId(0);
        let mut one = Self {
            system,
            encoder,
            tracks: 0,
            tasks: Vec::new(),
            lanes: Vec::new(),
            domains: Vec::new(),
            vehicle: none,
            mode: Line::new(none),
            pressure: Line::new(none),
            memory_group: none,
            given_back: None,
            pools: Vec::new(),
            memory: Memory::of(system),
            edges: Edges::of(system, chains),
            last: 0,
            next_sequence: 0,
            exported: Exported::default(),
        };
        let all = one.track(system.name, None, TrackKind::Group);
        let vehicle = one.track("vehicle", Some(all), TrackKind::Group);
        one.vehicle = one.track("events", Some(vehicle), TrackKind::Slices);
        one.mode = Line::new(one.track("mode", Some(vehicle), TrackKind::Slices));
        one.pressure = Line::new(one.track("pressure", Some(vehicle), TrackKind::Slices));
        let lanes = one.track("lanes", Some(all), TrackKind::Group);
        for lane in system.lanes {
            let track = one.track(lane.name, Some(lanes), TrackKind::Slices);
            let decisions = one.track(&format!("{} decisions", lane.name), Some(track), TrackKind::Slices);
            let queue_depth = one.declare(NewTrack {
                name: lane.name,
                series: "queue depth",
                parent: Some(track),
                kind: TrackKind::Count,
            });
            let line = Line::new(track);
            let (decided, running) = (None, None);
            let (reads, flows) = (Vec::new(), Vec::new());
            one.lanes.push(LaneLine { line, decisions, queue_depth, waiting: 0, decided, running, reads, flows });
        }
        let tasks = one.track("tasks", Some(all), TrackKind::Group);
        for task in system.tasks {
            let slots = vec![Line::new(one.track(task.name, Some(tasks), TrackKind::Slices))];
            let slack = one.declare(NewTrack {
                name: task.name,
                series: "slack",
                parent: Some(tasks),
                kind: TrackKind::Nanoseconds,
            });
            let (ended, completed) = (None, None);
            one.tasks.push(TaskLine { group: tasks, slots, slack, jobs: Vec::new(), ended, completed });
        }
        let domains = one.track("domains", Some(all), TrackKind::Group);
        for domain in system.domains {
            let track = one.track(domain.name, Some(domains), TrackKind::Slices);
            one.domains.push(Line::new(track));
        }
        one.memory_group = one.track("memory", Some(all), TrackKind::Group);
        for (id, pool) in (0..).map(PoolId).zip(system.pools) {
            let (name, parent) = (pool.name, Some(one.memory_group));
            let new = NewTrack { name, series: "arena in use", parent, kind: TrackKind::Bytes };
            let track = one.memory.uses(id).then(|| one.declare(new));
            one.pools.push(track);
        }
        one
    }

    /// Takes the next record.
    pub(super) fn observe(&mut self, record: &Record) -> io::Result<()> {
        let at = ns(record.at);
        self.last = self.last.max(at);
        if self.exported.records == 0 {
            self.begin(at);
        }
        if record.sequence > self.next_sequence {
            self.note_lost(at, self.next_sequence, record.sequence);
        }
        self.next_sequence = record.sequence.saturating_add(1);
        self.exported.records = self.exported.records.saturating_add(1);
        match record.kind {
            // What the dispatcher was told is said by what it does.
            Kind::Stepped { .. } | Kind::Bound { .. } => {}
            Kind::Submitted { job, arrival, queue_depth } => {
                if let Some(lane) = self.system.tasks.get(job.task.index()).map(|task| task.lane) {
                    self.wait(lane, at, queue_depth);
                }
                self.release(job, ns(arrival), at);
            }
            Kind::Decided { lane, chosen, runner_up, reason, queue_depth, state } => {
                self.decide(lane, &Decision { at, chosen, runner_up, reason, queue_depth, state });
            }
            Kind::Started { job, lane } => self.start(job, lane, at),
            Kind::Paused { job, lane, began, ended } => {
                let segment = self.piece(job, lane, (ns(began), ns(ended)), None);
                let waiting = self.lanes.get(lane.index()).map_or(0, |lane| lane.waiting);
                self.wait(lane, ns(ended), waiting.saturating_add(1));
                let model = self.desc(job.task).and_then(|task| task.model);
                let share = model.map_or(Share::default(), |model| self.memory.held(model, segment));
                self.share(job, ns(ended), share);
            }
            Kind::Completed { job, lane, began, ended, response, execution } => {
                let end = ns(ended);
                self.arrived(job, end.saturating_sub(response.as_ns()), ns(began));
                self.piece(job, lane, (ns(began), end), None);
                let desc = self.desc(job.task);
                let deadline = desc.map_or(0, |task| task.deadline.as_ns());
                let slack = i64::try_from(i128::from(deadline) - i128::from(response.as_ns())).unwrap_or(i64::MIN);
                let args = [
                    (Fixed::ResponseNs, Value::Unsigned(response.as_ns())),
                    (Fixed::ExecutionNs, Value::Unsigned(execution.as_ns())),
                    (Fixed::DeadlineNs, Value::Unsigned(deadline)),
                    (Fixed::SlackNs, Value::Signed(slack)),
                ];
                self.close(job, end, Fixed::Completed, &args);
                if let Some(track) = self.tasks.get(job.task.index()).map(|task| task.slack) {
                    self.encoder.counter(track, end, slack);
                }
            }
            Kind::Aborted { job, lane, segment, began, ended, response, execution } => {
                let end = ns(ended);
                self.arrived(job, end.saturating_sub(response.as_ns()), ns(began));
                let runs = self.lanes.get(lane.index()).and_then(|lane| lane.running.as_ref());
                if runs.is_some_and(|running| running.job == job) || began != ended {
                    self.piece(job, lane, (ns(began), end), Some(Fixed::Aborted));
                } else {
                    self.leave_queue(lane, end, 1);
                }
                let args = [
                    (Fixed::ResponseNs, Value::Unsigned(response.as_ns())),
                    (Fixed::ExecutionNs, Value::Unsigned(execution.as_ns())),
                    (Fixed::DeadlineNs, Value::Unsigned(self.desc(job.task).map_or(0, |task| task.deadline.as_ns()))),
                    (Fixed::Segment, Value::Unsigned(u64::from(segment))),
                ];
                self.close(job, end, Fixed::Aborted, &args);
            }
            Kind::Failed { job, .. } => {
                if let Some(own) = self.tasks.get_mut(job.task.index()).and_then(|task| task.job(job.request)) {
                    own.has_failed = true;
                }
                self.note_job(job, at, Fixed::Failure, &[]);
            }
            Kind::Dropped { task, count } => self.drop_waiting(task, at, count),
            other => self.note(at, &other),
        }
        self.encoder.relieve()
    }

    /// The first record: what holds from the start.
    fn begin(&mut self, at: u64) {
        if let Some(mode) = (!self.system.modes.is_empty()).then_some(aegis_core::ModeId(0)) {
            let what = What { name: Word::Mode(mode), category: Fixed::Mode };
            self.mode.is_open = true;
            let at = self.mode.advance(at);
            self.encoder.begin(self.mode.track, at, what, &[], &[]);
        }
        for pool in 0..self.pools.len() {
            self.show_memory(pool, at);
        }
    }

    /// A job is released.
    fn release(&mut self, job: JobRef, arrival: u64, at: u64) {
        let stages = self.edges.to(job.task, true);
        let given = stages.filter_map(|(edge, from)| {
            let (request, since) = self.tasks.get(from.index())?.completed?;
            (since == arrival).then(|| handed(edge, request))
        });
        let taken = given.last();
        let Some(task) = self.tasks.get_mut(job.task.index()) else { return };
        task.jobs.push(InFlight { taken, ..InFlight::new(job.request, arrival, at.max(arrival)) });
        self.open(job, arrival);
    }

    /// A job's slice begins.
    pub(super) fn open(&mut self, job: JobRef, arrival: u64) {
        let Some(task) = self.tasks.get(job.task.index()) else { return };
        let name = self.desc(job.task).map_or("", |task| task.name);
        let free = task.slots.iter().position(|line| !line.is_open && line.cursor <= arrival);
        let slot = free.unwrap_or(task.slots.len());
        if free.is_none() {
            let group = task.group;
            let track = self.track(name, Some(group), TrackKind::Slices);
            if let Some(task) = self.tasks.get_mut(job.task.index()) {
                task.slots.push(Line::new(track));
            }
        }
        let Some(task) = self.tasks.get_mut(job.task.index()) else { return };
        let Some(line) = task.slots.get_mut(slot) else { return };
        line.is_open = true;
        let (track, begins) = (line.track, line.advance(arrival));
        let Some(own) = task.job(job.request) else { return };
        own.slot = Some(slot);
        own.waits_from = own.waits_from.max(begins);
        self.exported.jobs = self.exported.jobs.saturating_add(1);
        let what = What { name: Word::Task(job.task), category: Fixed::Job };
        let args = [
            (Fixed::Request, Value::Unsigned(job.request)),
            (Fixed::ArrivalNs, Value::Unsigned(arrival)),
            (Fixed::ReleasedNs, Value::Unsigned(own.waits_from)),
        ];
        self.encoder.begin(track, begins, what, &args, &[]);
    }

    /// A job is known with its arrival, also where its release is among the lost records. Jobs of a task end in order, so one that
    /// is older and still in flight has ended unseen.
    fn arrived(&mut self, job: JobRef, arrival: u64, began: u64) {
        let Some(task) = self.tasks.get_mut(job.task.index()) else { return };
        match task.job(job.request) {
            Some(own) if own.slot.is_some() => {}
            Some(own) => {
                own.arrival = arrival;
                self.open(job, arrival);
            }
            None => {
                task.jobs.push(InFlight::new(job.request, arrival, began.max(arrival)));
                self.open(job, arrival);
            }
        }
        if self.exported.lost > 0 {
            self.end_older(job, began);
        }
    }

    /// A lane chooses.
    fn decide(&mut self, lane: LaneId, decision: &Decision) {
        let Some(own) = self.lanes.get_mut(lane.index()) else { return };
        own.decided = Some(*decision);
        let track = own.decisions;
        let desc = self.system.lanes.get(lane.index());
        let Decision { at, chosen, runner_up, reason, queue_depth, state } = *decision;
        let priority = self.system.tasks.get(chosen.task.index()).map_or(0, |task| task.priority.0);
        let args: [Arg<'_>; 9] = [
            (Fixed::Request, Value::Unsigned(chosen.request)),
            (Fixed::Task, Value::Word(Word::Task(chosen.task))),
            (Fixed::Reason, Value::Word(Word::Reason(reason))),
            (Fixed::Priority, Value::Unsigned(u64::from(priority))),
            (Fixed::Policy, Value::Text(desc.map_or("", |lane| lane.policy.name()))),
            (Fixed::QueueDepth, Value::Unsigned(u64::from(queue_depth))),
            (Fixed::StateKey, Value::Hex(state.0)),
            (Fixed::RunnerUp, Value::Unsigned(runner_up.map_or(0, |job| job.request))),
            (Fixed::RunnerUpTask, Value::Word(Word::Task(runner_up.map_or(chosen, |job| job).task))),
        ];
        let args = if runner_up.is_some() { &args[..] } else { &args[..7] };
        let what = What { name: Word::Task(chosen.task), category: Fixed::Decision };
        self.encoder.instant(track, at, what, args, &[]);
        self.wait(lane, at, queue_depth.saturating_sub(1));
    }

    /// A lane is told to run a job.
    fn start(&mut self, job: JobRef, lane: LaneId, at: u64) {
        let before =
            self.lanes.get(lane.index()).and_then(|own| own.running.as_ref().map(|own| (own.job, own.started)));
        if let Some((other, started)) = before {
            // Its end is among the lost records.
            self.piece(other, lane, (started, at), Some(Fixed::LostRecords));
        }
        let Some(task) = self.tasks.get_mut(job.task.index()) else { return };
        if task.position(job.request).is_none() {
            task.jobs.push(InFlight::new(job.request, at, at));
        }
        let Some((is_first, segment)) = task.job(job.request).map(|own| (!own.flows, own.segment)) else { return };
        let Some(own) = self.lanes.get_mut(lane.index()) else { return };
        let decision = own.decided.take().filter(|decided| decided.chosen == job);
        own.running = Some(Running { job, started: at, decision });
        own.reads.clear();
        if is_first {
            let written = self.edges.to(job.task, false).filter_map(|(edge, from)| {
                let (request, _) = self.tasks.get(from.index())?.completed?;
                Some(handed(edge, request))
            });
            own.reads.extend(written);
        }
        let model = self.desc(job.task).and_then(|task| task.model);
        let share = model.map_or(Share::default(), |model| self.memory.running(model, segment));
        self.share(job, at, share);
    }

    /// A piece of a job ran; its job's next segment.
    pub(super) fn piece(&mut self, job: JobRef, lane: LaneId, (began, ended): (u64, u64), how: Option<Fixed>) -> u16 {
        self.last = self.last.max(ended);
        let Some(desc) = self.desc(job.task) else { return 0 };
        let Some(own) = self.lanes.get_mut(lane.index()) else { return 0 };
        let Some(task) = self.tasks.get_mut(job.task.index()) else { return 0 };
        let Some(position) = task.position(job.request) else { return 0 };
        let TaskLine { slots, jobs, .. } = task;
        let Some(in_flight) = jobs.get_mut(position) else { return 0 };
        // Nothing begins before what is before it ended.
        let began = own.line.advance(began.max(in_flight.waits_from));
        let ended = own.line.advance(ended);
        let has_segments = desc.segments.len() > 1
            && self.system.lanes.get(lane.index()).is_some_and(|lane| lane.preemption != Preemption::Full);
        let is_known = usize::from(in_flight.segment) < desc.segments.len();
        let name = if has_segments && is_known { Word::Segment(in_flight.segment) } else { Word::Fixed(Fixed::Runs) };
        let encoder = &mut self.encoder;
        if let Some(line) = in_flight.slot.and_then(|slot| slots.get_mut(slot)) {
            in_flight.wait_until(encoder, line, began);
            let flows = in_flight.first_flows();
            let args = [(Fixed::Lane, Value::Word(Word::Lane(lane)))];
            let what = What { name, category: Fixed::Segment };
            encoder.begin(
                line.track,
                began,
                what,
                &args,
                flows.as_ref().map_or(&[], |(flows, count)| &flows[..*count]),
            );
            encoder.end(line.track, ended, &[]);
            line.advance(ended);
        }
        in_flight.waits_from = ended;
        let segment = in_flight.segment;
        if has_segments {
            in_flight.segment = segment.saturating_add(1);
        }
        let running = own.running.take_if(|running| running.job == job);
        let mut args = Args::new();
        args.put(Fixed::Request, Value::Unsigned(job.request));
        args.put(Fixed::Segment, Value::Unsigned(u64::from(segment)));
        if let Some(decision) = running.and_then(|running| running.decision) {
            args.put(Fixed::DecidedNs, Value::Unsigned(decision.at));
            args.put(Fixed::Reason, Value::Word(Word::Reason(decision.reason)));
            if let Some(other) = decision.runner_up {
                args.put(Fixed::RunnerUp, Value::Unsigned(other.request));
                args.put(Fixed::RunnerUpTask, Value::Word(Word::Task(other.task)));
            }
        }
        if let Some(how) = how {
            args.put(Fixed::Outcome, Value::Word(Word::Fixed(how)));
        }
        own.flows.clear();
        if in_flight.slot.is_some() {
            own.flows.push(Flow::Passes(job.request));
        }
        own.flows.extend(own.reads.drain(..).map(Flow::Passes));
        let what = What { name: Word::Task(job.task), category: Fixed::Lane };
        encoder.begin(own.line.track, began, what, args.all(), &own.flows);
        encoder.end(own.line.track, ended, &[]);
        in_flight.segment
    }

    /// How many jobs of a lane wait from now on.
    fn wait(&mut self, lane: LaneId, at: u64, waiting: u16) {
        let Some(own) = self.lanes.get_mut(lane.index()) else { return };
        if own.waiting != waiting {
            own.waiting = waiting;
            self.encoder.counter(own.queue_depth, at, i64::from(waiting));
        }
    }

    /// Jobs of a lane wait no longer.
    pub(super) fn leave_queue(&mut self, lane: LaneId, at: u64, count: u32) {
        let waiting = self.lanes.get(lane.index()).map_or(0, |lane| lane.waiting);
        self.wait(lane, at, waiting.saturating_sub(u16::try_from(count).unwrap_or(u16::MAX)));
    }

    /// A job has other memory from now on.
    pub(super) fn share(&mut self, job: JobRef, at: u64, share: Share) {
        let Some(task) = self.tasks.get_mut(job.task.index()) else { return };
        let Some(own) = task.job(job.request) else { return };
        let before = std::mem::replace(&mut own.memory, share);
        self.change_memory(before, share, at);
    }

    pub(super) fn change_memory(&mut self, before: Share, now: Share, at: u64) {
        for pool in self.memory.change(before, now) {
            self.show_memory(pool, at);
        }
    }

    pub(super) fn show_memory(&mut self, pool: usize, at: u64) {
        if let Some(track) = self.pools.get(pool).copied().flatten() {
            self.encoder.counter(track, at, self.memory.in_use(pool));
        }
    }

    /// The level's memory is all that is in use.
    pub(super) fn settle(&mut self, level: Option<aegis_core::LevelId>, at: u64) {
        self.memory.settle(self.system, level);
        for pool in 0..self.pools.len() {
            self.show_memory(pool, at);
        }
    }

    /// A counter of what was given back, once something was.
    pub(super) fn given_back(&mut self) -> TrackId {
        let (parent, kind) = (Some(self.memory_group), TrackKind::Bytes);
        let new = NewTrack { name: "arenas", series: "given back to the system", parent, kind };
        let track = self.given_back.unwrap_or_else(|| self.declare(new));
        self.given_back = Some(track);
        track
    }

    fn track(&mut self, name: &str, parent: Option<TrackId>, kind: TrackKind) -> TrackId {
        self.declare(NewTrack { name, series: "", parent, kind })
    }

    fn declare(&mut self, track: NewTrack<'_>) -> TrackId {
        let id = TrackId(self.tracks);
        self.tracks = self.tracks.saturating_add(1);
        self.encoder.track(id, track);
        id
    }

    pub(super) fn desc(&self, task: TaskId) -> Option<&'a TaskDesc> {
        self.system.tasks.get(task.index())
    }
}

/// A few arguments.
struct Args<'a> {
    all: [Arg<'a>; 7],
    count: usize,
}

impl<'a> Args<'a> {
    const fn new() -> Self {
        Self { all: [(Fixed::Request, Value::Unsigned(0)); 7], count: 0 }
    }

    fn put(&mut self, key: Fixed, value: Value<'a>) {
        if let Some(place) = self.all.get_mut(self.count) {
            *place = (key, value);
            self.count += 1;
        }
    }

    fn all(&self) -> &[Arg<'a>] {
        self.all.get(..self.count).unwrap_or(&[])
    }
}
