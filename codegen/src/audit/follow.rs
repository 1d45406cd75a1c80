//! Follows the records of a run, and tells what became of each job.
//!
//! It keeps the jobs that are there and, per lane, the turns that one of them may have waited for, so its memory does not grow with
//! the run. Where records are lost, all that is there is forgotten: what began before and ends after is told, but not as whole.

mod parts;

use super::story::{Busy, Disturbance, End, Overrun, Released, Seen, Story, Turn};
use aegis_core::desc::{Preemption, SystemDesc};
use aegis_core::dispatch::Event;
use aegis_core::trace::{JobRef, Kind, Record};
use aegis_core::{Duration, Instant, LaneId, ModeId, TaskId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many ended turns of a lane are kept at least: a job of a later stage is released at an instant that may lie back.
const KEPT: usize = 64;

/// A job that is there.
#[derive(Clone, Debug)]
struct Open {
    released: Released,
    lane: LaneId,
    bound: Option<Duration>,
    /// The number of its release's record.
    sequence: u64,
    whole: bool,
    /// The segment that is next, or runs.
    segment: u16,
    turns: Vec<Turn>,
    overruns: Vec<Overrun>,
    failed: bool,
    lateness: Option<Duration>,
}

/// What is known of a lane.
#[derive(Clone, Default)]
struct Lane {
    turns: VecDeque<Turn>,
    running: Option<Turn>,
    jobs: u64,
    /// The jobs that are there, by their releases.
    waiting: BTreeSet<(Instant, u64)>,
    busy: u64,
    /// Whether all that it did since the last loss is known.
    known: bool,
}

/// The state of the run after the records so far.
pub struct Follower<'a> {
    system: &'a SystemDesc,
    now: Instant,
    next: u64,
    lost: u64,
    lanes: Vec<Lane>,
    open: BTreeMap<u64, Open>,
    /// How many of them each task has.
    of_task: Vec<u64>,
    /// Jobs that were there when records were lost.
    doubtful: BTreeMap<u64, Open>,
    /// Jobs that have ended in the last step, whose records may not be over.
    ended: Vec<Story>,
    numbers: Vec<u64>,
    arrivals: Vec<Option<Instant>>,
    modes: (ModeId, Option<ModeId>),
    void_since: Option<Instant>,
    /// The job that the present step completed.
    completed: Option<JobRef>,
}

impl<'a> Follower<'a> {
    /// Before the first record.
    #[must_use]
    pub fn new(system: &'a SystemDesc) -> Self {
        let lane = Lane { known: true, ..Lane::default() };
        Self {
            system,
            now: Instant::START,
            next: 0,
            lost: 0,
            lanes: vec![lane; system.lanes.len()],
            open: BTreeMap::new(),
            of_task: vec![0; system.tasks.len()],
            doubtful: BTreeMap::new(),
            ended: Vec::new(),
            numbers: vec![0; system.tasks.len()],
            arrivals: vec![None; system.tasks.len()],
            modes: (ModeId(0), None),
            void_since: None,
            completed: None,
        }
    }

    /// How many records were lost so far, by the gaps of their numbers.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The time of the last step or record.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The number of a lane's busy period; `None` where no job is there.
    #[must_use]
    pub fn busy(&self, lane: LaneId) -> Option<u64> {
        self.lanes.get(lane.index()).filter(|lane| lane.jobs > 0).map(|lane| lane.busy)
    }

    /// Since when the guarantee is void.
    #[must_use]
    pub const fn void_since(&self) -> Option<Instant> {
        self.void_since
    }

    /// Takes the next record.
    pub fn observe(&mut self, record: &Record, tell: &mut impl FnMut(Seen)) {
        if record.sequence > self.next {
            self.lost = self.lost.saturating_add(record.sequence.saturating_sub(self.next));
            self.forget(tell);
        }
        self.next = record.sequence.saturating_add(1);
        self.now = self.now.max(record.at);
        match record.kind {
            Kind::Stepped { event } => {
                self.flush(tell);
                self.now = record.at;
                self.completed = None;
                self.notice(event, record.at, tell);
            }
            Kind::Ended => self.flush(tell),
            Kind::GuaranteeVoid { .. } => self.void_since = self.void_since.or(Some(record.at)),
            Kind::ModeRequested { to, .. } => {
                self.modes.1 = Some(to);
                for open in self.open.values_mut() {
                    open.bound = longest(open.bound, bound(self.system, open.released.job.task, Some(to)));
                }
            }
            Kind::ModeChanged { to, .. } => self.modes = (to, None),
            Kind::Submitted { job, arrival, queue_depth } => {
                self.release(record.sequence, job, arrival, queue_depth, tell);
            }
            Kind::Decided { lane, chosen, runner_up, reason, queue_depth, .. } => {
                let open = self.open.get(&chosen.request);
                let segment = open.map_or(0, |open| open.segment);
                let arrival = open.map(|open| open.released.arrival);
                let number = open.map_or(0, |open| open.released.number);
                if let Some(own) = self.lanes.get_mut(lane.index()) {
                    let at = record.at;
                    own.known = true;
                    own.running = Some(Turn {
                        job: chosen,
                        number,
                        arrival,
                        lane,
                        segment,
                        sequence: record.sequence,
                        chosen: at,
                        began: at,
                        ended: at,
                        noticed: at,
                        reason,
                        runner_up,
                        queue_depth,
                    });
                }
            }
            Kind::Overran { job, segment, limit, execution, budget } => {
                let overrun = Overrun { segment, limit, execution, budget };
                self.amend(job, |open| open.overruns.push(overrun), |story| story.overruns.push(overrun));
            }
            Kind::Failed { job, .. } => self.amend(job, |open| open.failed = true, |story| story.failed = true),
            Kind::Missed { job, lateness, .. } => {
                self.amend(job, |open| open.lateness = Some(lateness), |story| story.lateness = Some(lateness));
            }
            Kind::Disturbed {
                job,
                wakeup_latency,
                wakeup_excess,
                steal,
                off_core,
                involuntary_switches,
                explained,
            } => {
                let disturbance =
                    Disturbance { wakeup_latency, wakeup_excess, steal, off_core, involuntary_switches, explained };
                self.amend(job, |_| {}, |story| story.disturbance = Some(disturbance));
            }
            Kind::Paused { job, lane, .. } => {
                let is_cut =
                    self.system.lanes.get(lane.index()).is_some_and(|lane| lane.preemption == Preemption::Full);
                if let Some(open) = self.open.get_mut(&job.request).filter(|_| !is_cut) {
                    open.segment = open.segment.saturating_add(1);
                }
            }
            Kind::Completed { job, lane, ended, response, execution, .. } => {
                self.completed = Some(job);
                self.end(job, lane, (End::Completed, ended, response), execution);
            }
            Kind::Aborted { job, lane, ended, response, execution, .. } => {
                self.end(job, lane, (End::Aborted, ended, response), execution);
            }
            Kind::Dropped { task, .. } => self.drop_waiting(task),
            _ => {}
        }
    }

    /// After the last record: tells what is left, and returns how many jobs more are known to have been there when records were
    /// lost.
    pub fn finish(mut self, tell: &mut impl FnMut(Seen)) -> u64 {
        self.flush(tell);
        let open: Vec<u64> = self.open.keys().copied().collect();
        for request in open {
            if let Some(open) = self.open.remove(&request) {
                let execution =
                    open.turns.iter().try_fold(Duration::ZERO, |sum, turn| sum.checked_add(turn.execution()));
                let story = self.story(open, (End::Unfinished, self.now), execution.unwrap_or(Duration::MAX));
                tell(Seen::Job(Box::new(story)));
            }
        }
        u64::try_from(self.doubtful.len()).unwrap_or(u64::MAX)
    }

    fn flush(&mut self, tell: &mut impl FnMut(Seen)) {
        for story in self.ended.drain(..) {
            tell(Seen::Job(Box::new(story)));
        }
    }

    /// Records were lost: what is there now may not be there any more.
    fn forget(&mut self, tell: &mut impl FnMut(Seen)) {
        self.flush(tell);
        self.doubtful = std::mem::take(&mut self.open);
        self.of_task.fill(0);
        for lane in &mut self.lanes {
            *lane = Lane { busy: lane.busy, ..Lane::default() };
        }
    }

    /// What a step was told of a lane ends its turn.
    fn notice(&mut self, event: Event, now: Instant, tell: &mut impl FnMut(Seen)) {
        let (Event::Completed { lane, began, ended }
        | Event::Failed { lane, began, ended }
        | Event::Lost { lane, began, ended, .. }
        | Event::Preempted { lane, began, ended }) = event
        else {
            return;
        };
        let Some(own) = self.lanes.get_mut(lane.index()) else { return };
        let Some(turn) = own.running.take() else { return };
        let began = began.max(turn.chosen);
        let ended = ended.min(now).max(began);
        let turn = Turn { began, ended, noticed: now.max(ended), ..turn };
        own.turns.push_back(turn);
        let busy = Busy { lane: lane.0, number: own.busy };
        if let Some(open) = self.open.get_mut(&turn.job.request) {
            open.turns.push(turn);
        }
        self.prune(lane);
        tell(Seen::Turn(turn, busy));
    }

    /// Lets go of turns that no job can have waited for.
    fn prune(&mut self, lane: LaneId) {
        let Some(own) = self.lanes.get_mut(lane.index()) else { return };
        let since = own.waiting.first().map_or(self.now, |(at, _)| *at);
        while own.turns.len() > KEPT && own.turns.front().is_some_and(|turn| turn.noticed < since) {
            own.turns.pop_front();
        }
    }

    fn release(&mut self, sequence: u64, job: JobRef, arrival: Instant, queue_depth: u16, tell: &mut impl FnMut(Seen)) {
        let Some(task) = self.system.tasks.get(job.task.index()) else { return };
        let Some(number) = self.numbers.get_mut(job.task.index()) else { return };
        *number = number.saturating_add(1);
        let number = *number;
        let last = self.arrivals.get_mut(job.task.index()).and_then(|last| last.replace(arrival));
        let Some(lane) = self.lanes.get_mut(task.lane.index()) else { return };
        if lane.jobs == 0 {
            lane.busy = lane.busy.saturating_add(1);
        }
        lane.jobs = lane.jobs.saturating_add(1);
        let busy = Busy { lane: task.lane.0, number: lane.busy };
        let running = lane.running.map(|turn| turn.job.request);
        let (whole, at) = (lane.known, self.now.max(arrival));
        let running = running.and_then(|request| self.open.get(&request));
        let runs = running.is_some_and(|open| open.released.job.task == job.task);
        let of_task = self.of_task.get(job.task.index()).copied().unwrap_or(0);
        let waiting = of_task.saturating_sub(u64::from(runs)).saturating_add(1);
        let after = self.completed.filter(|_| task.stage.is_some());
        let distance = last.map(|last| arrival.saturating_since(last));
        let released = Released { job, number, arrival, at, distance, waiting, queue_depth, busy, after };
        let holds = bound(self.system, job.task, self.mode());
        let bound = longest(holds, self.modes.1.and_then(|next| bound(self.system, job.task, Some(next))));
        let open = Open {
            released,
            lane: task.lane,
            bound,
            sequence,
            whole,
            segment: 0,
            turns: Vec::new(),
            overruns: Vec::new(),
            failed: false,
            lateness: None,
        };
        if let Some(own) = self.lanes.get_mut(task.lane.index()) {
            own.waiting.insert((at, job.request));
        }
        if let Some(count) = self.of_task.get_mut(job.task.index()) {
            *count = count.saturating_add(1);
        }
        if let Some(before) = self.open.insert(job.request, open) {
            self.left(&before);
        }
        tell(Seen::Released(released));
    }

    /// A job is there no more.
    fn left(&mut self, open: &Open) {
        let Released { job, at, .. } = open.released;
        if let Some(own) = self.lanes.get_mut(open.lane.index()) {
            own.waiting.remove(&(at, job.request));
        }
        if let Some(count) = self.of_task.get_mut(job.task.index()) {
            *count = count.saturating_sub(1);
        }
    }

    fn mode(&self) -> Option<ModeId> {
        (!self.system.modes.is_empty()).then_some(self.modes.0)
    }

    /// Adds something to a job that is there, or to one that has just ended.
    fn amend(&mut self, job: JobRef, open: impl FnOnce(&mut Open), story: impl FnOnce(&mut Story)) {
        if let Some(own) = self.open.get_mut(&job.request) {
            return open(own);
        }
        if let Some(own) = self.ended.iter_mut().rev().find(|story| story.released.job == job) {
            return story(own);
        }
        if let Some(own) = self.doubtful.get_mut(&job.request) {
            open(own);
        }
    }

    fn end(
        &mut self,
        job: JobRef,
        lane: LaneId,
        (end, ended, response): (End, Instant, Duration),
        execution: Duration,
    ) {
        let open = match self.open.remove(&job.request) {
            Some(open) => {
                self.left(&open);
                if let Some(own) = self.lanes.get_mut(lane.index()) {
                    own.jobs = own.jobs.saturating_sub(1);
                }
                open
            }
            None => match self.doubtful.remove(&job.request) {
                Some(open) => Open { whole: false, ..open },
                None => self.unknown(job, lane, ended, response),
            },
        };
        let story = self.story(open, (end, ended), execution);
        self.ended.push(story);
    }

    /// A job of which nothing but the end is known.
    fn unknown(&mut self, job: JobRef, lane: LaneId, ended: Instant, response: Duration) -> Open {
        let arrival = Instant::from_ns(ended.as_ns().saturating_sub(response.as_ns()));
        let number = self.numbers.get_mut(job.task.index());
        let number = number.map_or(1, |number| {
            *number = number.saturating_add(1);
            *number
        });
        let busy = Busy { lane: lane.0, number: self.lanes.get(lane.index()).map_or(0, |lane| lane.busy) };
        let bound = bound(self.system, job.task, self.mode());
        let released = Released {
            job,
            number,
            arrival,
            at: arrival,
            distance: None,
            waiting: 1,
            queue_depth: 1,
            busy,
            after: None,
        };
        Open {
            released,
            lane,
            bound,
            sequence: 0,
            whole: false,
            segment: 0,
            turns: Vec::new(),
            overruns: Vec::new(),
            failed: false,
            lateness: None,
        }
    }

    /// All jobs of a task that do not run are gone.
    fn drop_waiting(&mut self, task: TaskId) {
        let running: Vec<u64> = self.lanes.iter().filter_map(|lane| Some(lane.running?.job.request)).collect();
        let gone = self.open.iter().filter(|(request, open)| {
            open.released.job.task == task && !running.contains(request) && open.released.at <= self.now
        });
        let gone: Vec<u64> = gone.map(|(request, _)| *request).collect();
        for request in gone {
            let Some(open) = self.open.remove(&request) else { continue };
            self.left(&open);
            if let Some(own) = self.lanes.get_mut(open.lane.index()) {
                own.jobs = own.jobs.saturating_sub(1);
            }
            let execution = open.turns.iter().try_fold(Duration::ZERO, |sum, turn| sum.checked_add(turn.execution()));
            let story = self.story(open, (End::Dropped, self.now), execution.unwrap_or(Duration::MAX));
            self.ended.push(story);
        }
    }

    fn story(&self, open: Open, (end, ended): (End, Instant), execution: Duration) -> Story {
        let (parts, shares) = self.parts(&open, ended);
        Story {
            released: open.released,
            lane: open.lane,
            end,
            ended,
            execution,
            bound: open.bound,
            whole: open.whole && shares.iter().all(|share| share.turn.arrival.is_some()),
            turns: open.turns,
            shares,
            parts,
            overruns: open.overruns,
            failed: open.failed,
            lateness: open.lateness,
            disturbance: None,
            void_since: self.void_since,
        }
    }
}

/// The bound of a task in a mode, of a plan without modes its own; `None` where there is none.
fn bound(system: &SystemDesc, task: TaskId, mode: Option<ModeId>) -> Option<Duration> {
    let bound = match mode.and_then(|mode| system.modes.get(mode.index())) {
        Some(mode) => {
            let place = mode.tasks.iter().position(|own| *own == task)?;
            mode.proven.get(place)?.response_bound
        }
        None => system.tasks.get(task.index())?.response_bound,
    };
    (bound != Duration::MAX).then_some(bound)
}

/// The longer one of two bounds of which one may not be there.
fn longest(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.max(other)
}
