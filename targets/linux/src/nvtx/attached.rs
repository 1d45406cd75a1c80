//! What is told through the crate `nvtx`, whose headers load a tool when the first name is given.

use ::nvtx::domain::{Category, EventAttributes, LocalRange, RegisteredString};
use ::nvtx::{Domain, Str};
use aegis_core::TaskId;
use aegis_core::desc::SystemDesc;
use aegis_core::trace::{JobRef, Kind};
use std::sync::OnceLock;

/// The names of events in the trace, in the order of [`number`].
const EVENTS: [&str; 36] = [
    "run",
    "step",
    "end",
    "admission",
    "task_admitted",
    "task_dismissed",
    "guarantee_void",
    "submission",
    "deferred",
    "forgone",
    "rejected",
    "withheld",
    "pressure",
    "settled",
    "mode_requested",
    "mode_changed",
    "watched",
    "given_back",
    "skipped",
    "schedule_decision",
    "binding",
    "start",
    "overrun",
    "pause",
    "completion",
    "aborted",
    "failure",
    "domain_failed",
    "domain_restored",
    "dropped",
    "miss",
    "bound_exceeded",
    "disturbance",
    "step_exceeded",
    "lane_stall",
    "loop_stall",
];

/// Everything that has a name.
struct Names {
    domain: &'static Domain,
    events: [Category<'static>; EVENTS.len()],
    segment: Category<'static>,
    tasks: Box<[RegisteredString<'static>]>,
    /// What a record without a task is called.
    vehicle: RegisteredString<'static>,
}

static NAMES: OnceLock<Names> = OnceLock::new();

/// The environment variable with the path of the tool's library, by which NVTX finds it.
const TOOL: &str = if cfg!(target_pointer_width = "64") { "NVTX_INJECTION64_PATH" } else { "NVTX_INJECTION32_PATH" };

pub(super) fn open(system: &SystemDesc) {
    // Without a tool nothing gets a name, and what has none is not told: that costs less than to tell it to nobody.
    if std::env::var_os(TOOL).is_none() {
        return;
    }
    NAMES.get_or_init(|| {
        let string = |text: &str| Str::from_str_lossy(text);
        // It is there until the process ends: other threads may tell something until then.
        let domain: &'static Domain = Box::leak(Box::new(Domain::new(string("aegis"))));
        Names {
            domain,
            events: EVENTS.map(|event| domain.register_category(string(event))),
            segment: domain.register_category(string("segment")),
            tasks: system.tasks.iter().map(|task| domain.register_string(string(task.name))).collect(),
            vehicle: domain.register_string(string(system.name)),
        }
    });
}

pub(super) fn mark(kind: &Kind) {
    let Some(names) = NAMES.get() else { return };
    let (task, request) = of(kind);
    if let Some(category) = names.events.get(number(kind)) {
        names.domain.mark(attributes(names, *category, task, request));
    }
}

pub(super) fn segment(task: TaskId, request: u64) -> Option<LocalRange<'static>> {
    let names = NAMES.get()?;
    Some(names.domain.local_range(attributes(names, names.segment, Some(task), request)))
}

fn attributes(
    names: &'static Names,
    category: Category<'static>,
    task: Option<TaskId>,
    request: u64,
) -> EventAttributes<'static> {
    let name = task.and_then(|task| names.tasks.get(task.index())).unwrap_or(&names.vehicle);
    names.domain.event_attributes_builder().category(category).message(*name).payload(request).build()
}

/// The task and the request of a record; 0 where it speaks of no job.
const fn of(kind: &Kind) -> (Option<TaskId>, u64) {
    match *kind {
        Kind::Submitted { job, .. }
        | Kind::Bound { job, .. }
        | Kind::Started { job, .. }
        | Kind::Overran { job, .. }
        | Kind::Paused { job, .. }
        | Kind::Completed { job, .. }
        | Kind::Aborted { job, .. }
        | Kind::Failed { job, .. }
        | Kind::Missed { job, .. }
        | Kind::Exceeded { job, .. }
        | Kind::Disturbed { job, .. }
        | Kind::LaneStalled { job, .. }
        | Kind::Decided { chosen: job, .. }
        | Kind::DomainFailed { job: Some(job), .. } => {
            let JobRef { task, request } = job;
            (Some(task), request)
        }
        Kind::Admitted { task, .. }
        | Kind::TaskAdmitted { task, .. }
        | Kind::TaskDismissed { task }
        | Kind::Deferred { task, .. }
        | Kind::Forgone { task, .. }
        | Kind::Rejected { task, .. }
        | Kind::Withheld { task, .. }
        | Kind::Skipped { task, .. }
        | Kind::Dropped { task, .. } => (Some(task), 0),
        Kind::Began { .. }
        | Kind::Stepped { .. }
        | Kind::Ended
        | Kind::GuaranteeVoid { .. }
        | Kind::Pressure { .. }
        | Kind::Settled { .. }
        | Kind::ModeRequested { .. }
        | Kind::ModeChanged { .. }
        | Kind::Watched { .. }
        | Kind::GivenBack { .. }
        | Kind::DomainFailed { job: None, .. }
        | Kind::DomainRestored { .. }
        | Kind::StepExceeded { .. }
        | Kind::LoopStalled { .. } => (None, 0),
    }
}

/// The position of a record's event in [`EVENTS`].
const fn number(kind: &Kind) -> usize {
    match *kind {
        Kind::Began { .. } => 0,
        Kind::Stepped { .. } => 1,
        Kind::Ended => 2,
        Kind::Admitted { .. } => 3,
        Kind::TaskAdmitted { .. } => 4,
        Kind::TaskDismissed { .. } => 5,
        Kind::GuaranteeVoid { .. } => 6,
        Kind::Submitted { .. } => 7,
        Kind::Deferred { .. } => 8,
        Kind::Forgone { .. } => 9,
        Kind::Rejected { .. } => 10,
        Kind::Withheld { .. } => 11,
        Kind::Pressure { .. } => 12,
        Kind::Settled { .. } => 13,
        Kind::ModeRequested { .. } => 14,
        Kind::ModeChanged { .. } => 15,
        Kind::Watched { .. } => 16,
        Kind::GivenBack { .. } => 17,
        Kind::Skipped { .. } => 18,
        Kind::Decided { .. } => 19,
        Kind::Bound { .. } => 20,
        Kind::Started { .. } => 21,
        Kind::Overran { .. } => 22,
        Kind::Paused { .. } => 23,
        Kind::Completed { .. } => 24,
        Kind::Aborted { .. } => 25,
        Kind::Failed { .. } => 26,
        Kind::DomainFailed { .. } => 27,
        Kind::DomainRestored { .. } => 28,
        Kind::Dropped { .. } => 29,
        Kind::Missed { .. } => 30,
        Kind::Exceeded { .. } => 31,
        Kind::Disturbed { .. } => 32,
        Kind::StepExceeded { .. } => 33,
        Kind::LaneStalled { .. } => 34,
        Kind::LoopStalled { .. } => 35,
    }
}
