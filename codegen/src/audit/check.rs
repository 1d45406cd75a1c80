//! Compares every response, execution, release, wait and change that the records tell with the plan.
//!
//! A *violation* is what the plan rules out, or assumes not to happen: a response above its bound, a missed deadline, an execution
//! above its WCET, more interference than the proof counts, a change that took too long. A *departure* is a wake-up or a hand-over that
//! took longer than planned: it is told, and does not fail the check while every response is within its bound, as the vehicle's own
//! exit status has it. Where an assumption did not hold, what follows on that lane until it is idle is called a consequence of it.

mod report;
mod tally;

use super::assumed::{self, Assumed};
use super::follow::Follower;
use super::story::{Busy, End, Relation, Released, Seen, Story, Turn};
use aegis_core::desc::SystemDesc;
use aegis_core::trace::{JobRef, Kind, Record, VoidReason};
use aegis_core::{Duration, Instant, LaneId, TaskId};
pub use report::human;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
pub use tally::{Change, Interference, LaneTally, Maximum, Outage, Steps, TaskTally};

/// The most violations that are listed; all are counted.
pub const MOST_LISTED: usize = 1_000;

/// What did not hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A response above its bound.
    Response,
    /// A missed deadline.
    Deadline,
    /// An execution of a job above its WCET.
    Execution,
    /// An execution of a segment above its longest one.
    Segment,
    /// An execution below the shortest one that the analysis assumes.
    ShortExecution,
    /// Two arrivals of a task that are closer than its period.
    Arrival,
    /// A release later, or for a later stage earlier, than the plan has it.
    Release,
    /// Hand-over and notice of one piece above the lane's overheads.
    Overhead,
    /// A piece of a job that goes after kept one waiting for longer than assumed.
    Blocking,
    /// More jobs of a task went before one, or for longer, than assumed.
    Interference,
    /// A queue was full, or longer than planned.
    Queue,
    /// A job ran with another model than its task's.
    Model,
    /// A job delivered nothing.
    Undelivered,
    /// A fault domain failed.
    Domain,
    /// A change of the mode took longer than planned.
    ModeChange,
    /// A level of memory pressure settled later than planned.
    Settling,
    /// A step of the dispatcher took longer than the overheads of its lanes.
    Step,
    /// A lane or the orchestration thread stood still.
    Stall,
}

impl What {
    /// Whether it is told without failing the check.
    #[must_use]
    pub const fn is_departure(self) -> bool {
        matches!(self, Self::Release | Self::Overhead | Self::ShortExecution)
    }

    /// Whether it is one of the assumptions on which responses rest.
    const fn is_assumption(self) -> bool {
        matches!(
            self,
            Self::Execution
                | Self::Segment
                | Self::Arrival
                | Self::Release
                | Self::Overhead
                | Self::Domain
                | Self::Step
                | Self::Stall
        )
    }
}

/// One violation or departure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Violation {
    /// What did not hold.
    pub what: What,
    /// The task, where it is one's.
    pub task: Option<&'static str>,
    /// The job as `task#number`, where it is one's.
    pub job: Option<String>,
    /// The job's request, as in the trace.
    pub request_id: Option<String>,
    /// When it was seen, in nanoseconds.
    pub at_ns: u64,
    /// What was observed: nanoseconds, or jobs where `unit` says so.
    pub observed: u64,
    /// What the plan has.
    pub allowed: u64,
    /// `ns` or `jobs`.
    pub unit: &'static str,
    /// Whether it fails the check.
    pub fails: bool,
    /// Whether the machine, as the vehicle measured it, explains it.
    pub explained: bool,
    /// Whether the guarantee was void already.
    pub void: bool,
    /// The assumption that did not hold before on the same lane, in the same busy period.
    pub consequence_of: Option<String>,
    /// All of it in one sentence.
    pub message: String,
    #[serde(skip)]
    busy: Option<Busy>,
}

impl Violation {
    /// The busy period that it lies in.
    #[must_use]
    pub const fn busy(&self) -> Option<Busy> {
        self.busy
    }
}

/// Why and since when the guarantee is void.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Void {
    /// The reason's name in traces.
    pub reason: &'static str,
    /// Since when, in nanoseconds.
    pub since_ns: u64,
}

/// What may be forgiven.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Allow {
    /// Violations that the machine explains, up to one in each started thousand jobs, as a vehicle forgives them.
    pub explained: bool,
    /// A void guarantee.
    pub void: bool,
}

/// What a check comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything that was seen is within the plan.
    Holds,
    /// Everything, but for what the machine explains, and that was allowed.
    Explained,
    /// Something is not.
    Violated,
    /// Nothing is known to be outside the plan, but its guarantee was void.
    Void,
}

impl Verdict {
    /// Whether the check passes.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Holds | Self::Explained)
    }
}

/// How many violations there are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counts {
    /// Those that fail the check.
    pub violations: u64,
    /// Those of them that the machine explains.
    pub explained: u64,
    /// Those of them that follow from another one.
    pub consequences: u64,
    /// Wake-ups, hand-overs and short executions outside the plan.
    pub departures: u64,
    /// Both, by what did not hold.
    pub by_what: BTreeMap<What, u64>,
}

/// Schema `aegis.trace-check/1`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// The schema's name.
    pub schema: &'static str,
    /// The vehicle.
    pub system: &'static str,
    /// The verdict.
    pub verdict: Verdict,
    /// Records that were read, and that are missing by their numbers.
    pub records: u64,
    /// Records that are missing.
    pub lost: u64,
    /// The time of the last record, in nanoseconds.
    pub until_ns: u64,
    /// Jobs that ended.
    pub jobs: u64,
    /// Jobs of which release, blocking and interference cannot be judged, because records are lost.
    pub unjudged: u64,
    /// Why and since when the guarantee is void.
    pub void: Vec<Void>,
    /// How many violations there are.
    pub counts: Counts,
    /// Per task.
    pub tasks: Vec<TaskTally>,
    /// Per lane.
    pub lanes: Vec<LaneTally>,
    /// Changes of the mode.
    pub modes: Vec<Change>,
    /// Levels of memory pressure that settled.
    pub levels: Vec<Change>,
    /// Fault domains that failed.
    pub domains: Vec<Outage>,
    /// Steps of the dispatcher that took longer than planned.
    pub steps: Steps,
    /// What did not hold, the first [`MOST_LISTED`].
    pub violations: Vec<Violation>,
}

/// A check under way.
pub struct Check {
    system: &'static SystemDesc,
    follower: Follower<'static>,
    assumed: Vec<Option<Assumed>>,
    records: u64,
    jobs: u64,
    unjudged: u64,
    void: Vec<Void>,
    tasks: Vec<TaskTally>,
    lanes: Vec<LaneTally>,
    modes: BTreeMap<&'static str, Change>,
    levels: BTreeMap<&'static str, Change>,
    domains: Vec<Outage>,
    steps: Steps,
    violations: Vec<Violation>,
    omitted: Counts,
    /// The first assumption of each lane's present busy period that did not hold.
    causes: BTreeMap<u16, (u64, String)>,
    /// What a job of an earlier stage hands on to the next one.
    inherited: BTreeMap<u64, String>,
    /// Busy periods in which the machine explains an exceeded bound.
    explained: BTreeSet<Busy>,
}

impl Check {
    /// Before the first record of a run of a plan.
    #[must_use]
    pub fn new(system: &'static SystemDesc) -> Self {
        let ids = 0..system.tasks.len();
        let assumed: Vec<Option<Assumed>> = ids.map(|position| assumed::of(system, position)).collect();
        let tasks = system.tasks.iter().zip(&assumed).map(|(task, assumed)| TaskTally::of(system, task, assumed.as_ref()));
        Self {
            system,
            follower: Follower::new(system),
            records: 0,
            jobs: 0,
            unjudged: 0,
            void: Vec::new(),
            tasks: tasks.collect(),
            lanes: system.lanes.iter().map(LaneTally::of).collect(),
            assumed,
            modes: BTreeMap::new(),
            levels: BTreeMap::new(),
            domains: system.domains.iter().map(|domain| Outage::of(domain.name)).collect(),
            steps: Steps::default(),
            violations: Vec::new(),
            omitted: Counts::default(),
            causes: BTreeMap::new(),
            inherited: BTreeMap::new(),
            explained: BTreeSet::new(),
        }
    }

    /// Takes the next record.
    pub fn observe(&mut self, record: &Record) {
        self.records = self.records.saturating_add(1);
        let mut seen = Vec::new();
        self.follower.observe(record, &mut |one| seen.push(one));
        self.take(seen);
        self.other(record);
    }

    /// After the last record.
    #[must_use]
    pub fn finish(mut self, allow: Allow) -> Report {
        let (lost, until) = (self.follower.lost(), self.follower.now());
        let mut seen = Vec::new();
        let follower = std::mem::replace(&mut self.follower, Follower::new(self.system));
        let doubtful = follower.finish(&mut |one| seen.push(one));
        self.unjudged = self.unjudged.saturating_add(doubtful);
        self.take(seen);
        let explained = &self.explained;
        for violation in &mut self.violations {
            violation.explained |= violation.busy.is_some_and(|busy| explained.contains(&busy))
                && !matches!(violation.what, What::Response | What::Step);
        }
        let counts = self.counts();
        let verdict = self.verdict(&counts, allow);
        self.tasks.iter_mut().for_each(TaskTally::settle);
        Report {
            schema: "aegis.trace-check/1",
            system: self.system.name,
            verdict,
            records: self.records,
            lost,
            until_ns: until.as_ns(),
            jobs: self.jobs,
            unjudged: self.unjudged,
            void: self.void,
            counts,
            tasks: self.tasks,
            lanes: self.lanes,
            modes: self.modes.into_values().collect(),
            levels: self.levels.into_values().collect(),
            domains: self.domains.into_iter().filter(|domain| domain.failures > 0).collect(),
            steps: self.steps,
            violations: self.violations,
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = self.omitted.clone();
        for violation in &self.violations {
            counts.add(violation);
        }
        counts
    }

    fn verdict(&self, counts: &Counts, allow: Allow) -> Verdict {
        let forgiven = allow.explained
            && counts.explained == counts.violations
            && counts.explained <= self.jobs.div_ceil(1_000);
        if counts.violations > 0 && !forgiven {
            Verdict::Violated
        } else if !self.void.is_empty() && !allow.void {
            Verdict::Void
        } else if counts.violations > 0 {
            Verdict::Explained
        } else {
            Verdict::Holds
        }
    }

    fn take(&mut self, seen: Vec<Seen>) {
        for one in seen {
            match one {
                Seen::Released(released) => self.released(&released),
                Seen::Turn(turn, busy) => self.turn(&turn, busy),
                Seen::Job(story) => self.job(&story),
            }
        }
    }

    fn released(&mut self, released: &Released) {
        let Some(task) = self.system.tasks.get(released.job.task.index()) else { return };
        let late = released.at.saturating_since(released.arrival);
        if let Some(cause) = released.after.and_then(|after| self.inherited.remove(&after.request)) {
            self.causes_from(released.busy, cause);
        }
        if let Some(tally) = self.tasks.get_mut(released.job.task.index()) {
            tally.release.note(late, released.number);
            tally.queue_max = tally.queue_max.max(released.waiting);
        }
        if let Some(lane) = self.lanes.get_mut(usize::from(released.busy.lane)) {
            lane.queue_depth_max = lane.queue_depth_max.max(u64::from(released.queue_depth));
        }
        let about = About::job(released);
        if let Some(distance) = released.distance.filter(|distance| *distance < task.period) {
            let words = "arrived only {observed} after the job before it, its period is {allowed}";
            self.add(What::Arrival, &about, (distance, task.period), words);
        }
        let Some((least, most)) = self.assumption(released.job.task).map(|assumed| assumed.release) else { return };
        if let Some(most) = most.filter(|most| late > *most) {
            let words = "was released {observed} after its arrival, the plan has at most {allowed}";
            self.add(What::Release, &about, (late, most), words);
        }
        if late < least {
            let words = "was released {observed} after its arrival, before the {allowed} that its earlier stages take at least";
            self.add(What::Release, &about, (late, least), words);
        }
        let queue = u64::from(task.queue);
        if released.waiting > queue {
            self.add_count(What::Queue, &about, (released.waiting, queue), "is the {observed}th that waits in a queue of {allowed}");
        }
    }

    /// What follows in a busy period is a consequence, unless it is one of something else already.
    fn causes_from(&mut self, busy: Busy, cause: String) {
        let own = self.causes.entry(busy.lane).or_default();
        if own.0 != busy.number {
            *own = (busy.number, cause);
        }
    }

    fn assumption(&self, task: TaskId) -> Option<&Assumed> {
        self.assumed.get(task.index())?.as_ref()
    }

    fn turn(&mut self, turn: &Turn, busy: Busy) {
        let about = About { job: Some((turn.job, turn.number)), at: turn.noticed, busy: Some(busy), machine: false };
        let (overhead, execution) = (turn.overhead(), turn.execution());
        if let Some(lane) = self.lanes.get_mut(turn.lane.index()) {
            lane.turns = lane.turns.saturating_add(1);
            lane.overhead.note(overhead, turn.job.request);
        }
        if let Some(allowed) = self.assumption(turn.job.task).map(|assumed| assumed.overhead).filter(|own| overhead > *own) {
            let words = "was handed over and its end noticed in {observed} together, the plan has {allowed} for a piece";
            self.add(What::Overhead, &about, (overhead, allowed), words);
        }
        let Some(task) = self.system.tasks.get(turn.job.task.index()) else { return };
        // Of a job whose release is lost nobody knows which segment it is.
        if task.segments.len() < 2 || turn.arrival.is_none() {
            return;
        }
        let Some(longest) = task.segments.get(usize::from(turn.segment)).copied() else { return };
        if let Some(segment) =
            self.tasks.get_mut(turn.job.task.index()).and_then(|tally| tally.segments.get_mut(usize::from(turn.segment)))
        {
            segment.note(execution, turn.job.request);
        }
        if execution > longest {
            let words = format!("executed its segment {} for {{observed}}, the plan has {{allowed}}", turn.segment);
            self.add(What::Segment, &about, (execution, longest), &words);
        }
    }

    fn job(&mut self, story: &Story) {
        let Some(task) = self.system.tasks.get(story.task().index()) else { return };
        self.jobs = self.jobs.saturating_add(1);
        self.unjudged = self.unjudged.saturating_add(u64::from(!story.whole));
        let response = story.response();
        let machine = story.disturbance.is_some_and(|disturbance| disturbance.explained);
        if machine {
            self.explained.insert(story.released.busy);
        }
        let about = About { machine, at: story.ended, ..About::job(&story.released) };
        let ends = matches!(story.end, End::Completed | End::Aborted);
        // What did not end may already be later than it may be.
        let counts = ends || story.end == End::Unfinished;
        if let Some(tally) = self.tasks.get_mut(story.task().index()) {
            tally.job(story, task);
        }
        if ends && story.execution > task.wcet {
            let words = "executed for {observed}, its WCET is {allowed}";
            self.add(What::Execution, &About { machine: false, ..about }, (story.execution, task.wcet), words);
        }
        if story.end == End::Completed && !story.failed && story.execution < task.bcet {
            let words = "executed for only {observed}, the analysis assumes at least {allowed}";
            self.add(What::ShortExecution, &About { machine: false, ..about }, (story.execution, task.bcet), words);
        }
        if let Some(bound) = story.bound.filter(|bound| counts && response > *bound) {
            let words = match story.end {
                End::Unfinished => "was not complete {observed} after its arrival, its bound is {allowed}",
                _ => "responded after {observed}, its bound is {allowed}",
            };
            self.add(What::Response, &about, (response, bound), words);
        }
        if let Some(lateness) = story.lateness {
            let seen = task.deadline.checked_add(lateness).unwrap_or(Duration::MAX);
            self.add(What::Deadline, &about, (seen, task.deadline), "was late: after {observed}, its deadline is {allowed}");
        }
        let undelivered = match (story.end, story.failed) {
            (End::Dropped, _) => Some("was dropped when its fault domain failed"),
            (_, true) => Some("failed"),
            (End::Aborted, _) => Some("was aborted"),
            _ => None,
        };
        if let Some(words) = undelivered {
            self.add(What::Undelivered, &about, (response, task.deadline), &format!("{words} and delivered nothing"));
        }
        if story.whole && counts {
            self.waits(story, &about);
        }
        if let Some((busy, cause)) = self.causes.get(&story.released.busy.lane)
            && *busy == story.released.busy.number
            && story.end == End::Completed
            && self.system.tasks.iter().any(|other| other.stage.is_some_and(|stage| stage.after == story.task()))
        {
            self.inherited.insert(story.released.job.request, cause.clone());
        }
    }

    /// Compares what a job waited for with what its proof counts.
    fn waits(&mut self, story: &Story, about: &About) {
        let Some(assumed) = self.assumption(story.task()).cloned() else { return };
        let blocked = story.blocked();
        let (number, interference) = (story.released.number, story.interference());
        if let Some(tally) = self.tasks.get_mut(story.task().index()) {
            tally.blocking.note(blocked, number);
            tally.waits(&interference, &assumed, self.system);
        }
        let by = story.shares.iter().find(|share| share.relation == Relation::Blocking);
        // A proof counts a piece that began 1 ns before; one that began in the same nanosecond, and first, is as much longer.
        let together = by.is_some_and(|share| share.turn.chosen == story.released.at);
        let most = assumed.blocking.and_then(|most| most.checked_add(Duration::from_ns(u64::from(together))));
        if let Some(most) = most.filter(|most| blocked > *most) {
            let by = by.map_or_else(String::new, |share| format!(" by `{}`", self.name(share.turn.job.task)));
            self.add(What::Blocking, about, (blocked, most), &format!("was blocked{by} for {{observed}}, its bound has {{allowed}}"));
        }
        for (task, jobs, time) in interference {
            let Some(most) = assumed.jobs.get(task.index()).copied().flatten() else { continue };
            let name = self.name(task);
            if jobs > most {
                let words = format!("waited for {{observed}} jobs of `{name}`, its bound has {{allowed}}");
                self.add_count(What::Interference, about, (jobs, most), &words);
                continue;
            }
            let wcet = self.system.tasks.get(task.index()).map_or(Duration::MAX, |task| task.wcet);
            let longest = Duration::from_ns(wcet.as_ns().saturating_mul(most));
            if time > longest {
                let words = format!("waited for jobs of `{name}` that executed for {{observed}}, its bound has {{allowed}}");
                self.add(What::Interference, about, (time, longest), &words);
            }
        }
    }

    fn name(&self, task: TaskId) -> &'static str {
        self.system.tasks.get(task.index()).map_or("", |task| task.name)
    }

    /// What is of no job's own story.
    fn other(&mut self, record: &Record) {
        let at = record.at;
        let about = About { job: None, at, busy: None, machine: false };
        match record.kind {
            Kind::GuaranteeVoid { reason } => self.is_void(reason, at),
            Kind::Bound { job, model, .. } => {
                let planned = self.system.tasks.get(job.task.index()).and_then(|task| task.model);
                if planned != Some(model) {
                    let name = |model: Option<aegis_core::ModelId>| {
                        model.and_then(|model| self.system.models.get(model.index())).map_or("none", |model| model.name)
                    };
                    let words = format!("ran with the model `{}`, its task's is `{}`", name(Some(model)), name(planned));
                    let about = About { job: Some((job, 0)), ..about };
                    self.add_count(What::Model, &about, (1, 0), &words);
                }
            }
            Kind::Rejected { task, count, .. } => {
                if let Some(tally) = self.tasks.get_mut(task.index()) {
                    tally.rejected = tally.rejected.saturating_add(count);
                }
                let queue = self.system.tasks.get(task.index()).map_or(0, |task| task.queue);
                let words = format!("{{observed}} arrivals of `{}` found its queue of {queue} full", self.name(task));
                self.add_of(What::Queue, task, at, (count, u64::from(queue)), &words);
            }
            Kind::ModeChanged { from, took, bound, .. } => {
                let name = self.system.modes.get(from.index()).map_or("", |mode| mode.name);
                self.modes.entry(name).or_insert_with(|| Change::of(name, bound)).note(took, bound);
                if took > bound {
                    let words = format!("leaving the mode `{name}` took {{observed}}, the plan has {{allowed}}");
                    self.add(What::ModeChange, &about, (took, bound), &words);
                }
            }
            Kind::Settled { level, took, bound } => {
                let name = self.system.levels.get(level.index()).map_or("", |level| level.name);
                self.levels.entry(name).or_insert_with(|| Change::of(name, bound)).note(took, bound);
                if took > bound {
                    let words = format!("the level `{name}` settled after {{observed}}, the plan has {{allowed}}");
                    self.add(What::Settling, &about, (took, bound), &words);
                }
            }
            Kind::DomainFailed { domain, cause, .. } => {
                let name = self.system.domains.get(domain.index()).map_or("", |domain| domain.name);
                if let Some(own) = self.domains.get_mut(domain.index()) {
                    own.fails(at);
                }
                let words = format!("the fault domain `{name}` failed ({})", cause.name());
                self.add_count(What::Domain, &about, (1, 0), &words);
            }
            Kind::DomainRestored { domain } => {
                if let Some(own) = self.domains.get_mut(domain.index()) {
                    own.restored(at);
                }
            }
            Kind::StepExceeded { length, allowed, explained, .. } => {
                self.steps.note(length, allowed, explained);
                let words = "a step of the dispatcher took {observed}, the plan has {allowed}";
                self.add(What::Step, &About { machine: explained, ..about }, (length, allowed), words);
            }
            Kind::LaneStalled { job, elapsed, allowed, .. } => {
                let words = "was in flight for {observed}, the watchdog allows {allowed}";
                self.add(What::Stall, &About { job: Some((job, 0)), ..about }, (elapsed, allowed), words);
            }
            Kind::LoopStalled { late, allowed, .. } => {
                let words = "the orchestration thread was {observed} late, the watchdog allows {allowed}";
                self.add(What::Stall, &about, (late, allowed), words);
            }
            _ => {}
        }
    }

    fn is_void(&mut self, reason: VoidReason, at: Instant) {
        if self.void.iter().all(|void| void.reason != reason.name()) {
            self.void.push(Void { reason: reason.name(), since_ns: at.as_ns() });
        }
    }

    fn add(&mut self, what: What, about: &About, (observed, allowed): (Duration, Duration), words: &str) {
        let words = words
            .replace("{observed}", &crate::check::show(observed))
            .replace("{allowed}", &crate::check::show_down(allowed));
        self.push(what, about, (observed.as_ns(), allowed.as_ns(), "ns"), &words);
    }

    fn add_count(&mut self, what: What, about: &About, (observed, allowed): (u64, u64), words: &str) {
        let words =
            words.replace("{observed}", &observed.to_string()).replace("{allowed}", &allowed.to_string());
        self.push(what, about, (observed, allowed, "jobs"), &words);
    }

    fn add_of(&mut self, what: What, task: TaskId, at: Instant, (observed, allowed): (u64, u64), words: &str) {
        let about = About { job: None, at, busy: None, machine: false };
        let before = self.violations.len();
        self.add_count(what, &about, (observed, allowed), words);
        let name = self.name(task);
        if let Some(violation) = self.violations.get_mut(before) {
            violation.task = Some(name);
        }
    }

    fn push(&mut self, what: What, about: &About, (observed, allowed, unit): (u64, u64, &'static str), words: &str) {
        let job = about.job.map(|(job, number)| {
            let name = self.name(job.task);
            let number = if number > 0 { format!("{name}#{number}") } else { name.to_owned() };
            (name, number, format!("req-{}", job.request))
        });
        let message = match &job {
            Some((_, number, request)) => format!("{number} ({request}) {words}"),
            None => words.to_owned(),
        };
        let cause = about.busy.and_then(|busy| Some((busy, self.causes.get(&busy.lane)?)));
        let cause = cause.filter(|(busy, (number, _))| busy.number == *number).map(|(_, (_, cause))| cause.clone());
        if what.is_assumption()
            && cause.is_none()
            && let Some(busy) = about.busy
        {
            self.causes_from(busy, message.clone());
        }
        if what.is_assumption() && about.busy.is_none() {
            // What stands still, or fails, keeps every lane.
            for lane in (0u16..).take(self.lanes.len()) {
                if let Some(number) = self.follower.busy(LaneId(lane)) {
                    self.causes_from(Busy { lane, number }, message.clone());
                }
            }
        }
        let violation = Violation {
            what,
            task: job.as_ref().map(|(name, ..)| *name),
            job: job.as_ref().map(|(_, number, _)| number.clone()),
            request_id: job.map(|(.., request)| request),
            at_ns: about.at.as_ns(),
            observed,
            allowed,
            unit,
            fails: !what.is_departure(),
            explained: about.machine,
            void: !self.void.is_empty(),
            consequence_of: cause,
            message,
            busy: about.busy,
        };
        if self.violations.len() < MOST_LISTED {
            self.violations.push(violation);
        } else {
            self.omitted.add(&violation);
        }
    }
}

/// What a violation is about.
#[derive(Clone, Copy)]
struct About {
    job: Option<(JobRef, u64)>,
    at: Instant,
    busy: Option<Busy>,
    /// Whether the machine explains it.
    machine: bool,
}

impl About {
    fn job(released: &Released) -> Self {
        let job = Some((released.job, released.number));
        Self { job, at: released.at, busy: Some(released.busy), machine: false }
    }
}

impl Counts {
    fn add(&mut self, violation: &Violation) {
        let one = |count: &mut u64, holds: bool| *count = count.saturating_add(u64::from(holds));
        one(&mut self.violations, violation.fails);
        one(&mut self.explained, violation.fails && violation.explained);
        one(&mut self.consequences, violation.fails && violation.consequence_of.is_some());
        one(&mut self.departures, !violation.fails);
        one(self.by_what.entry(violation.what).or_default(), true);
    }
}
