//! Whether a record speaks of a plan.

use aegis_core::desc::{Asks, SystemDesc};
use aegis_core::dispatch::Event;
use aegis_core::trace::{JobRef, Kind};
use aegis_core::{DomainId, LaneId, LevelId, ModeId, TaskId};

/// A record names what the plan does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it names {what} number {number}, the plan has {count}")]
pub struct OutOfPlan {
    /// What is named.
    pub what: &'static str,
    /// Its position, from 0.
    pub number: u16,
    /// How many the plan has.
    pub count: usize,
}

type Checked = Result<(), OutOfPlan>;

/// A plan, as far as records name its rows.
struct Rows<'a>(&'a SystemDesc);

fn within(what: &'static str, number: u16, count: usize) -> Checked {
    if usize::from(number) < count { Ok(()) } else { Err(OutOfPlan { what, number, count }) }
}

impl Rows<'_> {
    fn task(&self, task: TaskId) -> Checked {
        within("task", task.0, self.0.tasks.len())
    }

    fn job(&self, job: JobRef) -> Checked {
        self.task(job.task)
    }

    fn lane(&self, lane: LaneId) -> Checked {
        within("lane", lane.0, self.0.lanes.len())
    }

    fn level(&self, level: LevelId) -> Checked {
        within("level of pressure", level.0, self.0.levels.len())
    }

    fn mode(&self, mode: ModeId) -> Checked {
        within("mode", mode.0, self.0.modes.len())
    }

    fn domain(&self, domain: DomainId) -> Checked {
        within("fault domain", domain.0, self.0.domains.len())
    }

    fn event(&self, event: &Event) -> Checked {
        match *event {
            Event::Timer | Event::Stop { .. } => Ok(()),
            Event::Submit { task, .. } | Event::Admit { task } | Event::Dismiss { task } => self.task(task),
            Event::Completed { lane, .. }
            | Event::Failed { lane, .. }
            | Event::Lost { lane, .. }
            | Event::Preempted { lane, .. } => self.lane(lane),
            Event::Pressure { level } => level.map_or(Ok(()), |level| self.level(level)),
            Event::Mode { mode } => self.mode(mode),
            Event::Fail { domain, .. } | Event::Restored { domain } => self.domain(domain),
        }
    }

    fn kind(&self, kind: &Kind) -> Checked {
        match *kind {
            Kind::Began { .. }
            | Kind::Ended
            | Kind::GuaranteeVoid { .. }
            | Kind::GivenBack { .. }
            | Kind::StepExceeded { .. }
            | Kind::LoopStalled { .. } => Ok(()),
            Kind::Stepped { event } => self.event(&event),
            Kind::Admitted { task, .. }
            | Kind::Deferred { task, .. }
            | Kind::Forgone { task, .. }
            | Kind::TaskAdmitted { task, .. }
            | Kind::TaskDismissed { task }
            | Kind::Rejected { task, .. }
            | Kind::Skipped { task, .. }
            | Kind::Dropped { task, .. } => self.task(task),
            Kind::Withheld { task, level, .. } => self.task(task).and(self.level(level)),
            Kind::Pressure { from, to, .. } => from.into_iter().chain(to).try_for_each(|level| self.level(level)),
            Kind::Settled { level, .. } => self.level(level),
            Kind::ModeRequested { from, to, .. } | Kind::ModeChanged { from, to, .. } => {
                self.mode(from).and(self.mode(to))
            }
            Kind::Watched { asks, .. } => match asks {
                Some(Asks::Level(level)) => self.level(level),
                Some(Asks::Mode(mode)) => self.mode(mode),
                None => Ok(()),
            },
            Kind::Submitted { job, .. }
            | Kind::Overran { job, .. }
            | Kind::Missed { job, .. }
            | Kind::Exceeded { job, .. }
            | Kind::Disturbed { job, .. } => self.job(job),
            Kind::Decided { lane, chosen, runner_up, .. } => {
                let runner_up = runner_up.map_or(Ok(()), |job| self.job(job));
                self.lane(lane).and(self.job(chosen)).and(runner_up)
            }
            Kind::Bound { job, lane, model } => {
                let model = within("model", model.0, self.0.models.len());
                self.job(job).and(self.lane(lane)).and(model)
            }
            Kind::Started { job, lane }
            | Kind::Paused { job, lane, .. }
            | Kind::Completed { job, lane, .. }
            | Kind::Aborted { job, lane, .. }
            | Kind::Failed { job, lane }
            | Kind::LaneStalled { job, lane, .. } => self.job(job).and(self.lane(lane)),
            Kind::DomainFailed { domain, job, .. } => {
                let job = job.map_or(Ok(()), |job| self.job(job));
                self.domain(domain).and(job)
            }
            Kind::DomainRestored { domain } => self.domain(domain),
        }
    }
}

/// Checks that all that a record names is in the plan.
///
/// # Errors
/// [`OutOfPlan`], with the first that is not.
pub fn check(kind: &Kind, plan: &SystemDesc) -> Result<(), OutOfPlan> {
    Rows(plan).kind(kind)
}
