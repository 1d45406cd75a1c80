//! The words of a check: what did not hold, how much of it, and the report.

use super::tally::{Change, LaneTally, Outage, Steps, TaskTally};
use crate::audit::story::Busy;
use serde::Serialize;
use std::collections::BTreeMap;

/// The most violations that are listed, and the most departures; all are counted.
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

    /// Whether the machine can explain it: a thread that was not on its core makes responses and steps longer, and what follows from
    /// that. A missed deadline, a job without a result, a full queue or a failed domain is never forgiven: not by the vehicle either.
    pub(super) const fn is_explainable(self) -> bool {
        matches!(self, Self::Response | Self::Step) || self.follows()
    }

    /// Whether the machine explains it where it explains a response of the same busy period.
    pub(super) const fn follows(self) -> bool {
        matches!(self, Self::Execution | Self::Segment | Self::Blocking | Self::Interference)
    }

    /// Whether it is one of the assumptions on which responses rest.
    pub(super) const fn is_assumption(self) -> bool {
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
    pub(super) busy: Option<Busy>,
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
    /// Responses and steps that the machine explains, of each up to one in each started thousand jobs, as a vehicle forgives them,
    /// with what follows from them.
    pub explained: bool,
    /// A void guarantee.
    pub void: bool,
    /// Nothing but a trace with all its records, to the end of the run.
    pub only_complete: bool,
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
    /// The records tell of no job that ended, so nothing was compared.
    Nothing,
    /// Nothing is known to be outside the plan, but not all records are there, and that was asked for.
    Incomplete,
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
    /// Those of these that are responses.
    pub explained_responses: u64,
    /// Those of these that are steps of the dispatcher.
    pub explained_steps: u64,
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
    /// Records that were read.
    pub records: u64,
    /// Records that are missing, by their numbers.
    pub lost: u64,
    /// Whether the end of the run is recorded; without it nobody knows how many records are missing behind the last one.
    pub complete: bool,
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
    /// What did not hold: the first [`MOST_LISTED`] violations, and as many departures.
    pub violations: Vec<Violation>,
}

impl Counts {
    pub(super) fn add(&mut self, violation: &Violation) {
        let one = |count: &mut u64, holds: bool| *count = count.saturating_add(u64::from(holds));
        one(&mut self.violations, violation.fails);
        let explained = violation.fails && violation.explained;
        one(&mut self.explained, explained);
        one(&mut self.explained_responses, explained && violation.what == What::Response);
        one(&mut self.explained_steps, explained && violation.what == What::Step);
        one(&mut self.consequences, violation.fails && violation.consequence_of.is_some());
        one(&mut self.departures, !violation.fails);
        one(self.by_what.entry(violation.what).or_default(), true);
    }
}
