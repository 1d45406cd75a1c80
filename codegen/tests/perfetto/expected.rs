//! What the records of a run say, counted without the export.

use super::runs::Run;
use aegis_core::TaskId;
use aegis_core::trace::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Numbers by names.
pub(crate) type Table = BTreeMap<String, i64>;

/// What a trace has to say.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) jobs: Table,
    pub(crate) decisions: Table,
    pub(crate) reasons: Table,
    /// Of misses, in sum.
    pub(crate) lateness: Table,
    /// Of completed jobs, in sum.
    pub(crate) slack: Table,
    pub(crate) responses: Table,
    /// What jobs executed on their lanes.
    pub(crate) ran: Table,
    /// The most that waited for each lane.
    pub(crate) depths: Table,
    pub(crate) dropped: i64,
    /// Of jobs and stages.
    pub(crate) flows: i64,
}

/// How many records of a kind a run has.
pub(crate) fn count(run: &Run, is: impl Fn(&Kind) -> bool) -> i64 {
    i64::try_from(run.records.iter().filter(|record| is(&record.kind)).count()).unwrap()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

impl Expected {
    /// What the records of a run say.
    pub(crate) fn of(run: &Run) -> Self {
        let mut all = Self::default();
        let task = |id: TaskId| run.system.tasks[id.index()].name.to_owned();
        let add = |table: &mut Table, name: String, by: i64| *table.entry(name).or_insert(0) += by;
        // Jobs that have begun, and the lanes' queues.
        let mut begun = BTreeSet::new();
        let mut waiting = vec![0; run.system.lanes.len()];
        for record in &run.records {
            match record.kind {
                Kind::Submitted { job, queue_depth, .. } => {
                    add(&mut all.jobs, task(job.task), 1);
                    let desc = &run.system.tasks[job.task.index()];
                    // A stage's job has an arrow from the one before it.
                    all.flows += i64::from(desc.stage.is_some());
                    waiting[desc.lane.index()] = i64::from(queue_depth);
                }
                Kind::Decided { lane, chosen, reason, queue_depth, .. } => {
                    add(&mut all.decisions, task(chosen.task), 1);
                    add(&mut all.reasons, reason.name().to_owned(), 1);
                    waiting[lane.index()] = i64::from(queue_depth) - 1;
                }
                Kind::Missed { job, lateness, .. } => {
                    add(&mut all.lateness, task(job.task), signed(lateness.as_ns()));
                }
                Kind::Paused { job, lane, began, ended } => {
                    add(&mut all.ran, task(job.task), signed(ended.saturating_since(began).as_ns()));
                    begun.insert(job.request);
                    all.flows += 1;
                    waiting[lane.index()] += 1;
                }
                Kind::Completed { job, began, ended, response, .. } => {
                    add(&mut all.ran, task(job.task), signed(ended.saturating_since(began).as_ns()));
                    let desc = &run.system.tasks[job.task.index()];
                    let slack = signed(desc.deadline.as_ns()) - signed(response.as_ns());
                    add(&mut all.slack, format!("{} slack", desc.name), slack);
                    add(&mut all.responses, task(job.task), signed(response.as_ns()));
                    // From its wait to its last piece, and on to its end.
                    all.flows += 2;
                }
                Kind::Aborted { job, began, ended, .. } => {
                    add(&mut all.ran, task(job.task), signed(ended.saturating_since(began).as_ns()));
                    all.flows += 2;
                }
                Kind::Dropped { count, .. } => {
                    all.dropped += i64::from(count);
                    // They waited, until then.
                    all.flows += i64::from(count);
                }
                _ => {}
            }
            for (lane, waiting) in run.system.lanes.iter().zip(&waiting) {
                let most = all.depths.entry(format!("{} queue depth", lane.name)).or_insert(0);
                *most = (*most).max(*waiting);
            }
        }
        all.depths.retain(|_, most| *most > 0);
        all
    }
}

/// Events that are instants, by their names.
pub(crate) const EVENTS: &[(&str, fn(&Kind) -> bool)] = &[
    ("run", |kind| matches!(kind, Kind::Began { .. })),
    ("end", |kind| matches!(kind, Kind::Ended)),
    ("miss", |kind| matches!(kind, Kind::Missed { .. })),
    ("overrun", |kind| matches!(kind, Kind::Overran { .. })),
    ("bound_exceeded", |kind| matches!(kind, Kind::Exceeded { .. })),
    ("rejected", |kind| matches!(kind, Kind::Rejected { .. })),
    ("skipped", |kind| matches!(kind, Kind::Skipped { .. })),
    ("failure", |kind| matches!(kind, Kind::Failed { .. })),
    ("lane_stall", |kind| matches!(kind, Kind::LaneStalled { .. })),
    ("pressure", |kind| matches!(kind, Kind::Pressure { .. })),
    ("withheld", |kind| matches!(kind, Kind::Withheld { .. })),
    ("settled", |kind| matches!(kind, Kind::Settled { .. })),
    ("mode_requested", |kind| matches!(kind, Kind::ModeRequested { .. })),
    ("mode_changed", |kind| matches!(kind, Kind::ModeChanged { .. })),
    ("domain_failed", |kind| matches!(kind, Kind::DomainFailed { .. })),
    ("domain_restored", |kind| matches!(kind, Kind::DomainRestored { .. })),
    ("deferred", |kind| matches!(kind, Kind::Deferred { .. })),
    ("forgone", |kind| matches!(kind, Kind::Forgone { .. })),
    ("task_admitted", |kind| matches!(kind, Kind::TaskAdmitted { .. })),
    ("task_dismissed", |kind| matches!(kind, Kind::TaskDismissed { .. })),
];
