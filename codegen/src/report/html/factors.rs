//! At which factor of execution times something misses.

use crate::analysis::Analysis;
use crate::analysis::sensitivity::{Limit, Sensitivity};
use crate::system::System;

/// The largest factors that a plan tolerates, as text, with who misses beyond them.
#[derive(Default)]
pub(super) struct Factors<'a> {
    /// By task: of its execution time alone.
    pub(super) tasks: Vec<Option<(String, Option<&'a str>)>>,
    /// By lane: of all its tasks' execution times together.
    pub(super) lanes: Vec<Option<(String, Option<&'a str>)>>,
    /// Whether the search ended at its limit, so that some are missing.
    pub(super) gave_up: bool,
}

impl<'a> Factors<'a> {
    /// Of a plan that holds; none where something is not proven.
    pub(super) fn of(system: &'a System, analysis: &Analysis) -> Self {
        let Some(limits) = Sensitivity::new(system, analysis) else { return Self::default() };
        let shown = |(hundredths, miss): Limit| {
            // What was found when the search gave up is too narrow.
            let who = miss.and_then(|task| Some(system.tasks.get(task)?.name.as_str()));
            (!limits.is_exhausted()).then(|| (format!("×{}.{:02}", hundredths / 100, hundredths % 100), who))
        };
        let lanes = (0..system.lanes.len()).map(|lane| limits.factor(lane, |_| true).and_then(shown)).collect();
        let own = |(position, task): (usize, &crate::system::Task)| {
            limits.factor(task.lane, |other| other == position).and_then(shown)
        };
        let tasks = system.tasks.iter().enumerate().map(own).collect();
        Self { tasks, lanes, gave_up: limits.is_exhausted() }
    }
}
