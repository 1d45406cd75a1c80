//! Which tasks release jobs, and when a change of the mode ends.

use super::Reference;
use aegis_core::desc::{BETWEEN_LEVELS, Release};
use aegis_core::trace::Kind;
use aegis_core::{Duration, ModeId, TaskId};

/// A change that is under way.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) to: ModeId,
    since: u64,
    /// The last request that was released before it was asked for.
    before: u64,
    /// The lanes that still have to be idle once.
    lanes: Vec<usize>,
}

impl Reference {
    fn has(&self, mode: ModeId, task: TaskId) -> bool {
        self.system.modes[mode.index()].tasks.contains(&task)
    }

    /// Whether a task releases jobs now.
    pub(super) fn is_in_mode(&self, task: TaskId) -> bool {
        let Some(mode) = self.mode else { return !self.is_optional(task) || self.admitted[task.index()] };
        self.has(mode, task) && self.change.as_ref().is_none_or(|change| self.has(change.to, task))
    }

    /// What a state tells of a task.
    pub fn releases(&self, task: TaskId) -> bool {
        self.is_in_mode(task)
    }

    fn tasks(&self) -> Vec<TaskId> {
        (0u16..).map(TaskId).take(self.system.tasks.len()).collect()
    }

    pub(super) fn request_mode(&mut self, to: ModeId, now: u64) {
        let Some(from) = self.mode.filter(|from| *from != to) else { return };
        self.asked = Some(now);
        self.note(now, Kind::ModeRequested { from, to, bound: self.system.modes[from.index()].leaves });
        let leaving = self.tasks().into_iter().filter(|task| self.has(from, *task) && !self.has(to, *task));
        let leaving: Vec<TaskId> = leaving.collect();
        let lanes = leaving.iter().map(|task| self.task(*task).lane.index()).collect();
        self.change = Some(Change { to, since: now, before: self.requests, lanes });
        for task in leaving {
            self.forgo(task, now);
        }
    }

    /// After a step: goes to the mode that an overrun or a miss of it asked for first.
    pub(super) fn answer(&mut self, now: u64) {
        let Some(to) = self.answer.take() else { return };
        let is_long_ago = self.asked.is_none_or(|asked| now - asked >= BETWEEN_LEVELS.as_ns());
        if is_long_ago && self.change.is_none() && to.index() < self.system.modes.len() {
            self.request_mode(to, now);
        }
    }

    /// Before lanes choose: takes note of those that have nothing left of what was released before this instant.
    pub(super) fn note_idle(&mut self, now: u64) {
        let Some(mut change) = self.change.clone() else { return };
        let is_new = |released: u64, request: u64| released == now && request > change.before;
        let is_idle = |lane: usize| {
            let waiting = self.waiting(lane);
            self.running(lane).is_none() && waiting.iter().all(|life| is_new(life.released, life.job.request))
        };
        change.lanes.retain(|lane| !is_idle(*lane));
        self.change = Some(change);
    }

    /// After they have chosen: takes note of those that have nothing, and ends a change for which none has to be waited for.
    pub(super) fn end_change(&mut self, now: u64) {
        let (Some(mut change), Some(from)) = (self.change.clone(), self.mode) else { return };
        change.lanes.retain(|lane| self.running(*lane).is_some() || !self.waiting(*lane).is_empty());
        self.change = Some(change.clone());
        if !change.lanes.is_empty() {
            return;
        }
        for task in self.tasks() {
            if self.has(from, task) || !self.has(change.to, task) {
                continue;
            }
            let desc = self.task(task);
            (self.skip[task.index()], self.skip_late[task.index()]) = (false, false);
            let phase = if desc.release == Release::Timer { desc.phase.as_ns() } else { 0 };
            self.next[task.index()] = self.next[task.index()].max(now + 1 + phase);
        }
        (self.mode, self.change) = (Some(change.to), None);
        let (took, bound) = (Duration::from_ns(now - change.since), self.system.modes[from.index()].leaves);
        self.note(now, Kind::ModeChanged { from, to: change.to, took, bound });
    }

    /// What a state tells of its mode.
    pub fn modes(&self) -> (Option<ModeId>, Option<ModeId>) {
        (self.mode, self.change.as_ref().map(|change| change.to))
    }
}
