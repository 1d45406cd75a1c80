//! Explains one job: where the time from its arrival to its end went, by which rules, and what its bound had assumed.

mod memory;
mod render;

use super::check::{Allow, Check, Violation};
use super::follow::Follower;
use super::model::Model;
use super::story::{Seen, Story};
use crate::report::explain::{self, Explanation};
use aegis_core::desc::SystemDesc;
use aegis_core::trace::Record;
use aegis_core::{Duration, TaskId};
pub use memory::Memory;
pub use render::{human, json};

/// Which job is explained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selector {
    /// The job of a task with this number, from 1.
    Numbered(TaskId, u64),
    /// The job of this request.
    Request(u64),
    /// The last one that missed its deadline.
    LatestMiss,
    /// The one of a task with the longest response; the first of equals.
    Worst(TaskId),
}

/// A selection that names no job.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoJob {
    /// The words are none of the forms.
    #[error("`{0}` names no job: write `task#12` for the twelfth job of a task, or `req-133` or `133` for a request")]
    Malformed(String),
    /// The plan has no such task.
    #[error("the plan has no task `{name}`, it has {known}")]
    UnknownTask {
        /// The name.
        name: String,
        /// The plan's.
        known: String,
    },
}

impl Selector {
    /// Reads `task#12`, `req-133` or `133`.
    ///
    /// # Errors
    /// [`NoJob`].
    pub fn parse(system: &SystemDesc, text: &str) -> Result<Self, NoJob> {
        let malformed = || NoJob::Malformed(text.to_owned());
        if let Some((task, number)) = text.rsplit_once('#') {
            let number = number.parse().ok().filter(|number| *number > 0).ok_or_else(malformed)?;
            return Ok(Self::Numbered(task_of(system, task)?, number));
        }
        let request = text.strip_prefix("req-").unwrap_or(text);
        request.parse().map(Self::Request).map_err(|_| malformed())
    }

    /// The worst job of a task.
    ///
    /// # Errors
    /// [`NoJob::UnknownTask`].
    pub fn worst(system: &SystemDesc, task: &str) -> Result<Self, NoJob> {
        task_of(system, task).map(Self::Worst)
    }

    /// What it selects, in words.
    #[must_use]
    pub fn words(self, system: &SystemDesc) -> String {
        let name = |task: TaskId| system.tasks.get(task.index()).map_or("", |task| task.name);
        match self {
            Self::Numbered(task, number) => format!("job {}#{number}", name(task)),
            Self::Request(request) => format!("job of the request req-{request}"),
            Self::LatestMiss => "missed deadline".to_owned(),
            Self::Worst(task) => format!("job of `{}`", name(task)),
        }
    }

    fn takes(self, story: &Story, best: Option<&Story>) -> bool {
        let released = &story.released;
        match self {
            Self::Numbered(task, number) => released.job.task == task && released.number == number,
            Self::Request(request) => released.job.request == request,
            Self::LatestMiss => story.lateness.is_some(),
            Self::Worst(task) => {
                released.job.task == task && best.is_none_or(|best| story.response() > best.response())
            }
        }
    }
}

fn task_of(system: &SystemDesc, name: &str) -> Result<TaskId, NoJob> {
    let found = (0u16..).zip(system.tasks).find(|(_, task)| task.name == name);
    let known = || system.tasks.iter().map(|task| format!("`{}`", task.name)).collect::<Vec<_>>().join(", ");
    found.map(|(id, _)| TaskId(id)).ok_or_else(|| NoJob::UnknownTask { name: name.to_owned(), known: known() })
}

/// All that is known of a job.
#[derive(Clone, Debug)]
pub struct Why {
    /// The plan.
    pub system: &'static SystemDesc,
    /// What became of it.
    pub story: Story,
    /// What its bound is made of; `None` where it has none, or one without terms.
    pub bound: Option<Explanation>,
    /// What did not hold of it, or before it in the same busy period.
    pub violations: Vec<Violation>,
    /// The memory of its context.
    pub memory: Option<Memory>,
}

/// A search for a job under way.
pub struct Search {
    system: &'static SystemDesc,
    selector: Selector,
    follower: Follower<'static>,
    check: Check,
    found: Option<Story>,
}

impl Search {
    /// Before the first record of a run of a plan.
    #[must_use]
    pub fn new(system: &'static SystemDesc, selector: Selector) -> Self {
        Self { system, selector, follower: Follower::new(system), check: Check::new(system), found: None }
    }

    /// Takes the next record.
    pub fn observe(&mut self, record: &Record) {
        let (selector, found) = (self.selector, &mut self.found);
        self.follower.observe(record, &mut |seen| take(selector, seen, found));
        self.check.observe(record);
    }

    /// After the last record; `None` where there is no such job.
    #[must_use]
    pub fn finish(mut self) -> Option<Why> {
        let (selector, found) = (self.selector, &mut self.found);
        self.follower.finish(&mut |seen| take(selector, seen, found));
        let story = self.found?;
        let request = format!("req-{}", story.released.job.request);
        let is_its = |violation: &Violation| {
            let before = violation.at_ns <= story.ended.as_ns() && violation.busy() == Some(story.released.busy);
            violation.request_id.as_deref() == Some(&request) || before
        };
        let violations = self.check.finish(Allow::default()).violations.into_iter().filter(is_its).collect();
        let bound = assumed(self.system, &story);
        let memory = Memory::of(self.system, story.task());
        Some(Why { system: self.system, story, bound, violations, memory })
    }
}

fn take(selector: Selector, seen: Seen, found: &mut Option<Story>) {
    if let Seen::Job(story) = seen
        && selector.takes(&story, found.as_ref())
    {
        *found = Some(*story);
    }
}

/// The terms of the bound that holds for a job. They are found again from the plan, and told only if they are those of its bound.
fn assumed(plan: &SystemDesc, story: &Story) -> Option<Explanation> {
    let model = Model::of(plan)?;
    let analysis = model.analysis(plan);
    let position = model.places.iter().position(|place| *place == story.task().index())?;
    let bound: Duration = story.bound?;
    explain::of(&model.system, &analysis, position).filter(|found| found.response_ns == bound.as_ns())
}
