//! What must hold of every change of the mode, by the records alone.

use aegis_core::desc::SystemDesc;
use aegis_core::trace::Kind;
use aegis_core::{LaneId, ModeId, TaskId};

/// A change that was asked for and has not ended.
struct Change {
    from: ModeId,
    to: ModeId,
    since: u64,
    /// The last request that was released until then.
    before: u64,
    /// The lanes with tasks of the old mode alone that were not seen idle since.
    lanes: Vec<LaneId>,
}

pub(super) struct Modes {
    system: &'static SystemDesc,
    mode: Option<ModeId>,
    change: Option<Change>,
    requests: u64,
    /// For each task the earliest arrival that it may have.
    earliest: Vec<u64>,
}

impl Modes {
    pub(super) fn new(system: &'static SystemDesc) -> Self {
        let (mode, earliest) = (system.modes.first().map(|_| ModeId(0)), vec![0; system.tasks.len()]);
        Self { system, mode, change: None, requests: 0, earliest }
    }

    fn has(&self, mode: ModeId, task: TaskId) -> bool {
        self.system.modes[mode.index()].tasks.contains(&task)
    }

    /// Arrivals are a period apart whatever mode they come in, and only tasks of the mode have any; of both modes while it changes.
    fn arrives(&mut self, task: TaskId, arrival: u64, count: u64) {
        let desc = &self.system.tasks[task.index()];
        if desc.stage.is_some() {
            return;
        }
        let is_in = self.mode.is_none_or(|mode| self.has(mode, task));
        let is_in_both = self.change.as_ref().is_none_or(|change| self.has(change.to, task));
        assert!(is_in && is_in_both, "{task:?} has no arrivals now");
        let earliest = &mut self.earliest[task.index()];
        assert!(*earliest <= arrival, "{task:?} arrives at {arrival}, before {earliest}");
        *earliest = arrival + count * desc.period.as_ns();
    }

    pub(super) fn hear(&mut self, kind: &Kind, now: u64, jobs: impl Iterator<Item = (u64, TaskId)>) {
        match *kind {
            Kind::Submitted { job, arrival, .. } => {
                self.requests = job.request;
                self.arrives(job.task, arrival.as_ns(), 1);
            }
            Kind::Skipped { task, arrival } => self.arrives(task, arrival.as_ns(), 1),
            Kind::Rejected { task, arrival, count } | Kind::Withheld { task, arrival, count, .. } => {
                self.arrives(task, arrival.as_ns(), count);
            }
            Kind::ModeRequested { from, to, bound } => {
                assert!(self.change.is_none() && self.mode == Some(from) && from != to);
                assert_eq!(bound, self.system.modes[from.index()].leaves);
                let tasks = (0..).map(TaskId).zip(self.system.tasks);
                let leaving = tasks.filter(|(task, _)| self.has(from, *task) && !self.has(to, *task));
                let lanes = leaving.map(|(_, desc)| desc.lane).collect();
                self.change = Some(Change { from, to, since: now, before: self.requests, lanes });
            }
            Kind::ModeChanged { from, to, took, .. } => {
                let change = self.change.take().unwrap();
                assert_eq!((change.from, change.to, change.since + took.as_ns()), (from, to, now));
                for (request, task) in jobs {
                    assert!(self.has(to, task), "{task:?} has a job after its mode");
                    let lane = self.system.tasks[task.index()].lane;
                    let has_left = (0..)
                        .map(TaskId)
                        .zip(self.system.tasks)
                        .any(|(task, desc)| desc.lane == lane && self.has(from, task) && !self.has(to, task));
                    assert!(!has_left || request > change.before, "{lane:?} was never idle since");
                }
                for task in (0..).map(TaskId).take(self.system.tasks.len()) {
                    if self.has(to, task) && !self.has(from, task) {
                        let earliest = &mut self.earliest[task.index()];
                        *earliest = (*earliest).max(now + 1);
                    }
                }
                self.mode = Some(to);
            }
            _ => {}
        }
    }

    /// After a step: a change that is under way waits for a lane.
    pub(super) fn look(&mut self, is_busy: impl Fn(LaneId) -> bool) {
        if let Some(change) = &mut self.change {
            change.lanes.retain(|lane| is_busy(*lane));
            assert!(!change.lanes.is_empty(), "the change should have ended");
        }
    }
}
