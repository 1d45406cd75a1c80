//! What was observed of tasks, lanes, changes and domains, beside what the plan has.

use crate::audit::assumed::Assumed;
use crate::audit::story::{End, Story};
use aegis_core::desc::{LaneDesc, SystemDesc, TaskDesc};
use aegis_core::{Duration, Instant, TaskId};
use serde::Serialize;
use std::collections::BTreeMap;

/// The greatest of what was observed. Times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Maximum {
    /// How often it was observed.
    pub count: u64,
    /// The greatest.
    pub max_ns: u64,
    /// Of which job: its number within its task, of a lane its request; 0 where there is none.
    pub of: u64,
    /// What the plan has; null where it has nothing.
    pub allowed_ns: Option<u64>,
    /// How often it was above that.
    pub above: u64,
}

impl Maximum {
    fn allowing(allowed: Option<Duration>) -> Self {
        Self { allowed_ns: allowed.map(Duration::as_ns), ..Self::default() }
    }

    pub(super) fn note(&mut self, observed: Duration, of: u64) {
        let observed = observed.as_ns();
        if self.count == 0 || observed > self.max_ns {
            (self.max_ns, self.of) = (observed, of);
        }
        self.count = self.count.saturating_add(1);
        self.above = self.above.saturating_add(u64::from(self.allowed_ns.is_some_and(|allowed| observed > allowed)));
    }
}

/// What jobs of one task took of another one's wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Interference {
    /// The task that went before.
    pub task: &'static str,
    /// The most jobs of it that went before one job.
    pub jobs_max: u64,
    /// What the plan has.
    pub jobs_allowed: Option<u64>,
    /// The longest that they executed meanwhile.
    pub time_max_ns: u64,
    /// What the plan has: as many WCETs.
    pub time_allowed_ns: Option<u64>,
}

/// What was observed of one task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TaskTally {
    /// The task.
    pub name: &'static str,
    /// Its lane.
    pub lane: &'static str,
    /// Jobs that completed.
    pub completed: u64,
    /// Jobs that were aborted, failed, or were dropped.
    pub undelivered: u64,
    /// Jobs that had not ended with the records.
    pub unfinished: u64,
    /// Missed deadlines.
    pub misses: u64,
    /// Refused arrivals.
    pub rejected: u64,
    /// Responses beside the task's bound, the greatest of all modes.
    pub response: Maximum,
    /// Responses beside the deadline.
    pub deadline_ns: u64,
    /// Executions beside the WCET.
    pub execution: Maximum,
    /// Executions of segments, where the task has several.
    pub segments: Vec<Maximum>,
    /// From arrivals to releases.
    pub release: Maximum,
    /// Waits for a piece that goes after, overheads included.
    pub blocking: Maximum,
    /// Waits for jobs that go before, by task.
    pub interference: Vec<Interference>,
    /// The most jobs that waited at once.
    pub queue_max: u64,
    /// How many may.
    pub queue: u16,
    #[serde(skip)]
    before: BTreeMap<u16, Interference>,
}

impl TaskTally {
    pub(super) fn of(system: &SystemDesc, task: &TaskDesc, assumed: Option<&Assumed>) -> Self {
        let bounded = |bound: Duration| Some(bound).filter(|bound| *bound != Duration::MAX);
        let several: &[Duration] = if task.segments.len() > 1 { task.segments } else { &[] };
        Self {
            name: task.name,
            lane: system.lanes.get(task.lane.index()).map_or("", |lane| lane.name),
            completed: 0,
            undelivered: 0,
            unfinished: 0,
            misses: 0,
            rejected: 0,
            response: Maximum::allowing(bounded(task.response_bound)),
            deadline_ns: task.deadline.as_ns(),
            execution: Maximum::allowing(Some(task.wcet)),
            segments: several.iter().map(|length| Maximum::allowing(Some(*length))).collect(),
            release: Maximum::allowing(assumed.and_then(|assumed| assumed.release.1)),
            blocking: Maximum::allowing(assumed.and_then(|assumed| assumed.blocking)),
            interference: Vec::new(),
            queue_max: 0,
            queue: task.queue,
            before: BTreeMap::new(),
        }
    }

    pub(super) fn job(&mut self, story: &Story, _task: &TaskDesc) {
        let one = |count: &mut u64, holds: bool| *count = count.saturating_add(u64::from(holds));
        let number = story.released.number;
        one(&mut self.completed, story.end == End::Completed && !story.failed);
        one(&mut self.undelivered, story.failed || matches!(story.end, End::Aborted | End::Dropped));
        one(&mut self.unfinished, story.end == End::Unfinished);
        one(&mut self.misses, story.lateness.is_some());
        if matches!(story.end, End::Completed | End::Aborted) {
            self.response.note(story.response(), number);
            self.execution.note(story.execution, number);
        }
    }

    pub(super) fn waits(&mut self, before: &[(TaskId, u64, Duration)], assumed: &Assumed, system: &SystemDesc) {
        for (task, jobs, time) in before {
            let Some(desc) = system.tasks.get(task.index()) else { continue };
            let jobs_allowed = assumed.jobs.get(task.index()).copied().flatten();
            let own = self.before.entry(task.0).or_insert(Interference {
                task: desc.name,
                jobs_max: 0,
                jobs_allowed,
                time_max_ns: 0,
                time_allowed_ns: jobs_allowed.map(|jobs| jobs.saturating_mul(desc.wcet.as_ns())),
            });
            own.jobs_max = own.jobs_max.max(*jobs);
            own.time_max_ns = own.time_max_ns.max(time.as_ns());
        }
    }

    pub(super) fn settle(&mut self) {
        self.interference = std::mem::take(&mut self.before).into_values().collect();
    }
}

/// What was observed of one lane.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LaneTally {
    /// The lane.
    pub name: &'static str,
    /// Its policy.
    pub policy: &'static str,
    /// Pieces that it ran.
    pub turns: u64,
    /// Hand-over and notice of each, together; `of` is a request.
    pub overhead: Maximum,
    /// The most jobs that waited at once.
    pub queue_depth_max: u64,
}

impl LaneTally {
    pub(super) fn of(lane: &LaneDesc) -> Self {
        // A slot is seen late, which is part of what its job costs.
        let late = if lane.slots.is_empty() { Some(Duration::ZERO) } else { lane.lateness() };
        let overhead = lane.segment_overhead().and_then(|own| own.checked_add(late?));
        Self {
            name: lane.name,
            policy: lane.policy.name(),
            turns: 0,
            overhead: Maximum::allowing(overhead),
            queue_depth_max: 0,
        }
    }
}

/// Changes from one mode, or to one level.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// The mode that was left, or the level that was entered.
    pub name: &'static str,
    /// How often.
    pub count: u64,
    /// How long it took at most.
    pub longest_ns: u64,
    /// What the plan has.
    pub allowed_ns: u64,
    /// How often it took longer.
    pub above: u64,
}

impl Change {
    pub(super) const fn of(name: &'static str, allowed: Duration) -> Self {
        Self { name, count: 0, longest_ns: 0, allowed_ns: allowed.as_ns(), above: 0 }
    }

    pub(super) fn note(&mut self, took: Duration, allowed: Duration) {
        self.count = self.count.saturating_add(1);
        self.longest_ns = self.longest_ns.max(took.as_ns());
        self.allowed_ns = allowed.as_ns();
        self.above = self.above.saturating_add(u64::from(took > allowed));
    }
}

/// What was observed of a fault domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Outage {
    /// The domain.
    pub name: &'static str,
    /// How often it failed.
    pub failures: u64,
    /// How often it was restored.
    pub restored: u64,
    /// The longest time until it was.
    pub longest_ns: u64,
    #[serde(skip)]
    since: Option<Instant>,
}

impl Outage {
    pub(super) const fn of(name: &'static str) -> Self {
        Self { name, failures: 0, restored: 0, longest_ns: 0, since: None }
    }

    pub(super) fn fails(&mut self, at: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.since = Some(at);
    }

    pub(super) fn restored(&mut self, at: Instant) {
        self.restored = self.restored.saturating_add(1);
        if let Some(since) = self.since.take() {
            self.longest_ns = self.longest_ns.max(at.saturating_since(since).as_ns());
        }
    }
}

/// Steps of the dispatcher that took longer than the overheads of the lanes that they served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Steps {
    /// How many.
    pub exceeded: u64,
    /// Those of them that the machine explains.
    pub explained: u64,
    /// The longest by which one was too long, in nanoseconds.
    pub worst_excess_ns: u64,
}

impl Steps {
    pub(super) fn note(&mut self, length: Duration, allowed: Duration, explained: bool) {
        self.exceeded = self.exceeded.saturating_add(1);
        self.explained = self.explained.saturating_add(u64::from(explained));
        self.worst_excess_ns = self.worst_excess_ns.max(length.saturating_sub(allowed).as_ns());
    }
}
