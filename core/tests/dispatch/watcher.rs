//! What must hold of every run, whatever the policy does.

#![allow(unreachable_pub, reason = "a module of one test")]

mod admission;
mod domains;
mod modes;

use crate::bench::QUEUE;
use admission::Admissions;
use aegis_core::desc::{Policy, SystemDesc};
use aegis_core::dispatch::{Job, State};
use aegis_core::trace::Kind;
use aegis_core::{Instant, LaneId, TaskId};
use domains::Domains;
use modes::Modes;
use std::collections::BTreeMap;

/// What a job has been through, by the records alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    Waits,
    Runs,
    Paused,
}

/// What must hold whatever the policy does: seen through the records, the actions and what a state tells.
pub struct Watcher {
    system: &'static SystemDesc,
    jobs: BTreeMap<u64, (TaskId, Seen)>,
    requests: u64,
    /// The lanes of which the present step has dropped a job that did not run.
    dropped: Vec<LaneId>,
    modes: Modes,
    domains: Domains,
    admissions: Admissions,
    /// The arrivals of each task that were deferred and have not come.
    deferred: BTreeMap<u16, Vec<u64>>,
}

impl Watcher {
    pub fn new(system: &'static SystemDesc) -> Self {
        Self {
            system,
            jobs: BTreeMap::new(),
            requests: 0,
            dropped: Vec::new(),
            modes: Modes::new(system),
            domains: Domains::new(system),
            admissions: Admissions::new(system),
            deferred: BTreeMap::new(),
        }
    }

    /// One segment a lane, each job once and none lost; and what a mode, or a domain that has failed, forbids.
    pub fn hear(&mut self, kind: &Kind, now: u64) {
        self.admissions.hear(kind, now);
        self.modes.hear(kind, now, self.jobs.iter().map(|(request, (task, _))| (*request, *task)));
        let running = self.jobs.values().filter(|(_, seen)| *seen == Seen::Runs).map(|(task, _)| *task);
        self.domains.hear(kind, now, running);
        match *kind {
            Kind::Deferred { task, arrival, pending } => {
                let own = self.deferred.entry(task.0).or_default();
                own.push(arrival.as_ns());
                assert!(own.len() == usize::from(pending) && pending <= self.system.tasks[task.index()].queue);
            }
            Kind::Forgone { task, arrival, count } => {
                let own = self.deferred.remove(&task.0).unwrap();
                assert_eq!((own[0], own.len()), (arrival.as_ns(), usize::from(count)));
            }
            Kind::Skipped { task, arrival } => self.comes(task, arrival),
            Kind::Rejected { task, arrival, .. } | Kind::Withheld { task, arrival, .. } => self.comes(task, arrival),
            _ => {}
        }
        match *kind {
            Kind::Dropped { task, count } => {
                let before = self.jobs.len();
                self.jobs.retain(|_, (of, seen)| *of != task || *seen == Seen::Runs);
                assert_eq!(before - self.jobs.len(), usize::try_from(count).unwrap(), "all that wait, and no other");
            }
            Kind::Submitted { job, arrival, .. } => {
                self.comes(job.task, arrival);
                self.requests += 1;
                assert_eq!(job.request, self.requests, "requests count from 1 without gaps");
                assert_eq!(self.jobs.insert(job.request, (job.task, Seen::Waits)), None);
            }
            Kind::Started { job, lane } => {
                let lane_of = |task: TaskId| self.system.tasks[task.index()].lane;
                let busy = self.jobs.values().any(|(task, seen)| *seen == Seen::Runs && lane_of(*task) == lane);
                assert!(!busy, "{lane:?} runs a segment already");
                let before = self.jobs.insert(job.request, (job.task, Seen::Runs));
                assert!(
                    [Some((job.task, Seen::Waits)), Some((job.task, Seen::Paused))].contains(&before),
                    "{before:?}"
                );
            }
            Kind::Paused { job, .. } => {
                assert_eq!(self.jobs.insert(job.request, (job.task, Seen::Paused)), Some((job.task, Seen::Runs)));
            }
            Kind::Aborted { job, lane, .. } => {
                let (task, seen) = self.jobs.remove(&job.request).unwrap();
                assert_eq!(task, job.task);
                if seen != Seen::Runs {
                    assert!(!self.dropped.contains(&lane), "one step drops at most one job of a lane");
                    self.dropped.push(lane);
                }
            }
            Kind::Completed { job, .. } => {
                assert_eq!(self.jobs.remove(&job.request), Some((job.task, Seen::Runs)));
            }
            _ => {}
        }
    }

    /// Whether a task's domain was restored before.
    pub fn was_restored(&self, task: TaskId) -> bool {
        self.domains.was_restored(task)
    }

    /// What was deferred arrives as it was told, before all else of its task.
    fn comes(&mut self, task: TaskId, arrival: Instant) {
        if let Some(own) = self.deferred.get_mut(&task.0).filter(|own| !own.is_empty()) {
            assert_eq!(own.remove(0), arrival.as_ns());
        }
    }

    /// The state has exactly the jobs that the records have, queues are bounded, and what runs now went before what waits.
    pub fn look<const TASKS: usize, const LANES: usize>(
        &mut self,
        state: &State<TASKS, LANES, QUEUE>,
        start: &[Option<Job>; LANES],
    ) {
        self.modes.look(|lane| {
            let own = (0..).map(TaskId).zip(self.system.tasks).filter(|(_, task)| task.lane == lane);
            state.running(lane).is_some() || own.flat_map(|(task, _)| state.waiting(task)).next().is_some()
        });
        self.domains.look((0..).map(TaskId).take(self.system.tasks.len()).flat_map(|task| state.waiting(task)));
        let mut found = BTreeMap::new();
        for (id, task) in (0..).map(TaskId).zip(self.system.tasks) {
            for job in state.waiting(id) {
                let seen = self.jobs.get(&job.request).map_or(Seen::Runs, |(_, seen)| *seen);
                assert_ne!(seen, Seen::Runs, "{job:?} does not wait");
                assert_eq!(found.insert(job.request, (id, seen)), None);
            }
            let of = |what| found.values().filter(|own| **own == (id, what)).count();
            assert!(of(Seen::Waits) <= usize::from(task.queue) && of(Seen::Paused) <= 1, "queues are bounded");
        }
        for (id, desc) in (0..).map(LaneId).zip(self.system.lanes) {
            let running = state.running(id);
            if let Some(job) = running {
                assert_eq!(found.insert(job.request, (job.task, Seen::Runs)), None);
            }
            let Some(Some(started)) = start.get(id.index()) else { continue };
            assert_eq!(running, Some(*started));
            let own = (0..).map(TaskId).zip(self.system.tasks).filter(|(_, task)| task.lane == id);
            for job in own.flat_map(|(task, _)| state.waiting(task)) {
                let (one, other) = (&self.system.tasks[started.task.index()], &self.system.tasks[job.task.index()]);
                assert!(started.task != job.task || started.request < job.request, "jobs of a task in order");
                let before = match desc.policy {
                    Policy::EarliestDeadlineFirst => started.deadline <= job.deadline,
                    // Those without slots by priority among themselves, each between slots.
                    Policy::TimeTriggered => {
                        let of_gaps = |task: TaskId| desc.slots.iter().all(|slot| slot.task != task);
                        let same = started.task == job.task;
                        let are_ordered = same || one.priority.is_more_important_than(other.priority);
                        !of_gaps(started.task) || !of_gaps(job.task) || are_ordered
                    }
                    _ => started.task == job.task || one.priority.is_more_important_than(other.priority),
                };
                assert!(before, "{started:?} does not go before {job:?}");
            }
        }
        assert_eq!(found, self.jobs, "no job is lost");
    }

    /// A lane without a table is never idle after a step while a job of its waits, unless that step dropped one.
    pub fn works<const TASKS: usize, const LANES: usize>(&mut self, state: &State<TASKS, LANES, QUEUE>) {
        let dropped = std::mem::take(&mut self.dropped);
        for (id, desc) in (0..).map(LaneId).zip(self.system.lanes) {
            let own = (0..).map(TaskId).zip(self.system.tasks).filter(|(_, task)| task.lane == id);
            let waits = own.flat_map(|(task, _)| state.waiting(task)).count();
            let has_reason = desc.policy == Policy::TimeTriggered || dropped.contains(&id);
            assert!(waits == 0 || has_reason || state.running(id).is_some());
        }
    }
}
