//! Compares every response, execution, release, wait and change that the records tell with the plan.
//!
//! A *violation* is what the plan rules out, or assumes not to happen: a response above its bound, a missed deadline, an execution
//! above its WCET, more interference than the proof counts, a change that took too long. A *departure* is a wake-up or a hand-over
//! that took longer than planned: it is told, and does not fail the check while every response is within its bound, as the vehicle's own
//! exit status has it. Where an assumption did not hold, what follows on that lane until it is idle is called a consequence of it.

mod judge;
mod report;
mod tally;
mod words;

use super::assumed::{self, Assumed};
use super::follow::Follower;
use super::story::{Busy, Released, Seen};
use aegis_core::desc::SystemDesc;
use aegis_core::trace::{JobRef, Kind, Record, VoidReason};
use aegis_core::{Duration, Instant, LaneId, TaskId};
pub use report::human;
use std::collections::{BTreeMap, BTreeSet};
pub use tally::{Change, Interference, LaneTally, Maximum, Outage, Steps, TaskTally};
pub use words::{Allow, Counts, MOST_LISTED, Report, Verdict, Violation, Void, What};

/// A check under way.
pub struct Check {
    system: &'static SystemDesc,
    follower: Follower<'static>,
    assumed: Vec<Option<Assumed>>,
    records: u64,
    complete: bool,
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
    /// How many violations and departures are listed.
    listed: (usize, usize),
    /// Of each lane's present busy period the violations that are not listed, which the machine may come to explain.
    unlisted: BTreeMap<u16, (u64, u64)>,
    /// The first assumption of each lane's present busy period that did not hold.
    causes: BTreeMap<u16, (u64, String)>,
    /// What a job of an earlier stage hands on to the next one.
    inherited: BTreeMap<u64, String>,
    /// Jobs of later stages that were released in the present step.
    handed_over: Vec<Released>,
    /// Busy periods in which the machine explains an exceeded bound.
    explained: BTreeSet<Busy>,
}

impl Check {
    /// Before the first record of a run of a plan.
    #[must_use]
    pub fn new(system: &'static SystemDesc) -> Self {
        let ids = 0..system.tasks.len();
        let assumed: Vec<Option<Assumed>> = ids.map(|position| assumed::of(system, position)).collect();
        let tasks =
            system.tasks.iter().zip(&assumed).map(|(task, assumed)| TaskTally::of(system, task, assumed.as_ref()));
        Self {
            system,
            follower: Follower::new(system),
            records: 0,
            complete: false,
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
            listed: (0, 0),
            unlisted: BTreeMap::new(),
            causes: BTreeMap::new(),
            inherited: BTreeMap::new(),
            handed_over: Vec::new(),
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
            violation.explained |=
                violation.what.follows() && violation.busy.is_some_and(|busy| explained.contains(&busy));
        }
        for (lane, (number, count)) in std::mem::take(&mut self.unlisted) {
            self.settle(Busy { lane, number }, count);
        }
        let counts = self.counts();
        let verdict = self.verdict(&counts, lost, allow);
        self.tasks.iter_mut().for_each(TaskTally::settle);
        Report {
            schema: "aegis.trace-check/1",
            system: self.system.name,
            verdict,
            records: self.records,
            lost,
            complete: self.complete,
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

    fn verdict(&self, counts: &Counts, lost: u64, allow: Allow) -> Verdict {
        // As the vehicle's own verdict: responses and steps are each counted by themselves, what follows from one is not.
        let most = self.jobs.div_ceil(1_000);
        let forgiven = allow.explained
            && counts.explained == counts.violations
            && counts.explained_responses <= most
            && counts.explained_steps <= most;
        if counts.violations > 0 && !forgiven {
            Verdict::Violated
        } else if self.jobs == 0 {
            Verdict::Nothing
        } else if allow.only_complete && (lost > 0 || !self.complete) {
            Verdict::Incomplete
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
                // Whether its earlier stage was as planned is told when that one's records are over.
                Seen::Released(released) if released.after.is_some() => self.handed_over.push(released),
                Seen::Released(released) => self.released(&released),
                Seen::Turn(turn, busy) => self.turn(&turn, busy),
                Seen::Job(story) => {
                    self.job(&story);
                    let mut handed_over = std::mem::take(&mut self.handed_over);
                    handed_over.retain(|released| {
                        let is_next = released.after == Some(story.released.job);
                        if is_next {
                            self.released(released);
                        }
                        !is_next
                    });
                    self.handed_over = handed_over;
                    self.inherited.remove(&story.released.job.request);
                }
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
            Kind::Ended => self.complete = true,
            Kind::GuaranteeVoid { reason } => self.is_void(reason, at),
            Kind::Bound { job, model, .. } => {
                let planned = self.system.tasks.get(job.task.index()).and_then(|task| task.model);
                if planned != Some(model) {
                    let name = |model: Option<aegis_core::ModelId>| {
                        model.and_then(|model| self.system.models.get(model.index())).map_or("none", |model| model.name)
                    };
                    let words =
                        format!("ran with the model `{}`, its task's is `{}`", name(Some(model)), name(planned));
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
        let (longest, most) = crate::check::beside(observed, allowed);
        let words = words.replace("{observed}", &longest).replace("{allowed}", &most);
        self.push(what, about, (observed.as_ns(), allowed.as_ns(), "ns"), &words);
    }

    fn add_count(&mut self, what: What, about: &About, (observed, allowed): (u64, u64), words: &str) {
        let words = words.replace("{observed}", &observed.to_string()).replace("{allowed}", &allowed.to_string());
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
            explained: about.machine && what.is_explainable(),
            void: !self.void.is_empty(),
            consequence_of: cause,
            message,
            busy: about.busy,
        };
        let listed = if violation.fails { &mut self.listed.0 } else { &mut self.listed.1 };
        if *listed < MOST_LISTED {
            *listed = listed.saturating_add(1);
            self.violations.push(violation);
            return;
        }
        self.omitted.add(&violation);
        if let Some(busy) = violation.busy.filter(|_| what.follows() && !violation.explained) {
            let own = self.unlisted.entry(busy.lane).or_insert((busy.number, 0));
            let (number, count) = *own;
            let is_same = number == busy.number;
            *own = (busy.number, if is_same { count.saturating_add(1) } else { 1 });
            if !is_same {
                self.settle(Busy { number, ..busy }, count);
            }
        }
    }

    /// A busy period is over of which so many violations are not listed.
    fn settle(&mut self, busy: Busy, count: u64) {
        if self.explained.contains(&busy) {
            self.omitted.explained = self.omitted.explained.saturating_add(count);
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
