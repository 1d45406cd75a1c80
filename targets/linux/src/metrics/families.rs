//! The names of all metrics, with their types, units and meanings.

/// What kind of metric a family is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// It only grows while a vehicle runs.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often values lay in buckets.
    Histogram,
    /// What does not change, told by labels.
    Info,
    /// Which of several states holds: a series for each, labelled with the family's name.
    StateSet,
}

impl Type {
    /// The name in OpenMetrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

/// In what a family's values are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// A number of things, or 1 for true and 0 for false.
    None,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A part of a whole: 1 is all of it.
    Ratio,
}

impl Unit {
    /// The name, with which a family's name ends; empty without a unit.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
        }
    }
}

/// Metrics that differ in their labels alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Family {
    /// The name, without the `_total` of counters and the `_info` of infos.
    pub name: &'static str,
    /// What kind.
    pub kind: Type,
    /// In what.
    pub unit: Unit,
    /// One sentence, without quotation marks and backslashes.
    pub help: &'static str,
}

impl Family {
    const fn new(name: &'static str, kind: Type, unit: Unit, help: &'static str) -> Self {
        Self { name, kind, unit, help }
    }

    const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Type::Counter, Unit::None, help)
    }

    const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self::new(name, Type::Gauge, unit, help)
    }

    const fn histogram(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self::new(name, Type::Histogram, unit, help)
    }
}

use Unit::{Bytes, None as Plain, Ratio, Seconds};

pub(super) const VEHICLE: Family =
    Family::new("aegis_vehicle", Type::Info, Plain, "The vehicle, its plan and the tool that wrote the plan.");
pub(super) const RUNNING: Family =
    Family::gauge("aegis_vehicle_running", Plain, "1 while the vehicle runs, 0 in the file that an ended run leaves.");
pub(super) const ELAPSED: Family =
    Family::gauge("aegis_vehicle_elapsed_seconds", Seconds, "Time from the schedule's start to the newest record.");
pub(super) const VALID: Family =
    Family::gauge("aegis_guarantee_valid", Plain, "1 while the plan's bounds are guaranteed on this machine.");
pub(super) const VOID: Family =
    Family::gauge("aegis_guarantee_void", Plain, "1 from when on the guarantee is void for this reason.");

pub(super) const COMPLETED: Family = Family::counter("aegis_jobs_completed", "Completed jobs.");
pub(super) const FAILED: Family = Family::counter("aegis_jobs_failed", "Jobs whose backend failed them.");
pub(super) const ABORTED: Family =
    Family::counter("aegis_jobs_aborted", "Jobs that ended without what was left of them.");
pub(super) const DROPPED: Family =
    Family::counter("aegis_jobs_dropped", "Jobs that waited when their fault domain failed.");
pub(super) const MISSES: Family = Family::counter(
    "aegis_deadline_misses",
    "Jobs that ended after their deadline, or had not ended at the run's end.",
);
pub(super) const OVERRUNS: Family =
    Family::counter("aegis_budget_overruns", "Budgets of jobs and of segments that were exceeded.");
pub(super) const EXCEEDED: Family =
    Family::counter("aegis_response_bounds_exceeded", "Jobs whose response exceeded the proven bound.");
pub(super) const EXPLAINED: Family = Family::counter(
    "aegis_response_bounds_exceeded_explained",
    "Those of them that the machine's disturbances explain.",
);
pub(super) const REJECTED: Family =
    Family::counter("aegis_arrivals_rejected", "Arrivals that were refused because the queue was full.");
pub(super) const SKIPPED: Family =
    Family::counter("aegis_arrivals_skipped", "Arrivals that were dropped after an overrun or a miss.");
pub(super) const WITHHELD: Family =
    Family::counter("aegis_arrivals_withheld", "Arrivals that a level of memory pressure withheld.");
pub(super) const DEFERRED: Family =
    Family::counter("aegis_arrivals_deferred", "Arrivals that were submitted too early and deferred.");
pub(super) const FORGONE: Family = Family::counter("aegis_arrivals_forgone", "Deferred arrivals that did not come.");

pub(super) const RESPONSE: Family = Family::histogram(
    "aegis_job_response_seconds",
    Seconds,
    "From a job's planned arrival to its end, of completed jobs.",
);
pub(super) const EXECUTION: Family = Family::histogram(
    "aegis_job_execution_seconds",
    Seconds,
    "What all segments of a job executed together, of completed jobs.",
);
pub(super) const RESPONSE_RATIO: Family = Family::histogram(
    "aegis_job_response_deadline_ratio",
    Ratio,
    "A completed job's response as a part of its deadline: above 1 it missed.",
);
pub(super) const EXECUTION_RATIO: Family = Family::histogram(
    "aegis_job_execution_wcet_ratio",
    Ratio,
    "A completed job's execution as a part of the WCET that was assumed: above 1 the assumption did not hold.",
);
pub(super) const RESPONSE_MAX: Family =
    Family::gauge("aegis_job_response_max_seconds", Seconds, "The longest response, aborted jobs included.");
pub(super) const EXECUTION_MAX: Family =
    Family::gauge("aegis_job_execution_max_seconds", Seconds, "The longest execution, aborted jobs included.");
pub(super) const SLACK: Family = Family::gauge(
    "aegis_job_slack_seconds",
    Seconds,
    "Deadline less response of the job that ended last, below 0 where it was late.",
);
pub(super) const SLACK_MIN: Family =
    Family::gauge("aegis_job_slack_min_seconds", Seconds, "The least slack of a job that ended.");

pub(super) const PERIOD: Family =
    Family::gauge("aegis_task_period_seconds", Seconds, "The time between two arrivals, at least, as planned.");
pub(super) const DEADLINE: Family =
    Family::gauge("aegis_task_deadline_seconds", Seconds, "The time from arrival within which a job must complete.");
pub(super) const WCET: Family =
    Family::gauge("aegis_task_wcet_seconds", Seconds, "The longest execution of a job that the plan assumes.");
pub(super) const BOUND: Family =
    Family::gauge("aegis_task_response_bound_seconds", Seconds, "The proven bound of a job's response.");
pub(super) const ADMITTED: Family =
    Family::gauge("aegis_task_admitted", Plain, "1 while an optional task is admitted, 0 while it is dismissed.");
pub(super) const ADMISSIONS: Family =
    Family::counter("aegis_task_admissions", "How often an optional task was admitted.");
pub(super) const DISMISSALS: Family =
    Family::counter("aegis_task_dismissals", "How often an optional task was dismissed.");

pub(super) const BUSY: Family =
    Family::new("aegis_lane_busy_seconds", Type::Counter, Seconds, "What the lane executed, pieces of jobs included.");
pub(super) const UTILIZATION: Family = Family::gauge(
    "aegis_lane_utilization_ratio",
    Ratio,
    "What the lane executed over the time since the schedule's start.",
);
pub(super) const PLANNED: Family = Family::gauge(
    "aegis_lane_planned_utilization_ratio",
    Ratio,
    "The sum of WCET over period of the lane's tasks, overheads not included.",
);
pub(super) const DEPTH: Family = Family::gauge(
    "aegis_lane_queue_depth",
    Plain,
    "How many jobs waited for the lane after its newest release or decision, the running one not included.",
);
pub(super) const DEPTH_MAX: Family =
    Family::gauge("aegis_lane_queue_depth_max", Plain, "The most jobs that waited at a release or a decision.");
pub(super) const LANE_STALLS: Family =
    Family::counter("aegis_lane_stalls", "How often a segment of the lane was in flight for too long.");

pub(super) const CAPACITY: Family =
    Family::gauge("aegis_pool_capacity_bytes", Bytes, "What the device grants to the pool, or to those that share it.");
pub(super) const ARENA: Family =
    Family::gauge("aegis_pool_arena_bytes", Bytes, "The length of the arena that was taken at the start.");
pub(super) const LOWER_BOUND: Family =
    Family::gauge("aegis_pool_lower_bound_bytes", Bytes, "No layout of the arena is lower.");
pub(super) const PRIVATE: Family =
    Family::gauge("aegis_pool_private_bytes", Bytes, "What the arena would need if no two models shared a byte.");
pub(super) const WEIGHTS: Family =
    Family::gauge("aegis_pool_weights_bytes", Bytes, "What backends hold besides the arena, as planned.");
pub(super) const HIGHEST: Family = Family::gauge(
    "aegis_pool_highest_bytes",
    Bytes,
    "The end of the highest block that was handed out, known once the run has ended.",
);
pub(super) const REFUSED: Family = Family::counter(
    "aegis_pool_refused_requests",
    "Requests of backends that were not planned and were refused, known once the run has ended.",
);
pub(super) const GIVEN_BACK: Family =
    Family::gauge("aegis_memory_given_back_bytes", Bytes, "What of the arenas is given back to the system now.");

pub(super) const LEVEL: Family =
    Family::new("aegis_pressure_level", Type::StateSet, Plain, "The level of memory pressure that holds, if one does.");
pub(super) const LEVEL_CHANGES: Family =
    Family::counter("aegis_pressure_changes", "How often the level of memory pressure changed.");
pub(super) const LEVEL_SETTLED: Family = Family::counter("aegis_pressure_settled", "How often a level settled.");
pub(super) const LEVEL_LATE: Family =
    Family::counter("aegis_pressure_settled_late", "How often a level settled later than planned.");
pub(super) const MODE: Family =
    Family::new("aegis_mode", Type::StateSet, Plain, "The mode that holds, during a change the one that is left.");
pub(super) const MODE_REQUESTS: Family =
    Family::counter("aegis_mode_changes_requested", "How often a change of the mode began.");
pub(super) const MODE_CHANGES: Family =
    Family::counter("aegis_mode_changes", "How often a change of the mode came to its end.");
pub(super) const MODE_LATE: Family =
    Family::counter("aegis_mode_changes_late", "How often a change of the mode took longer than planned.");
pub(super) const MODE_LONGEST: Family =
    Family::gauge("aegis_mode_change_longest_seconds", Seconds, "The longest change of the mode.");

pub(super) const UP: Family = Family::gauge(
    "aegis_domain_up",
    Plain,
    "1 while the fault domain works, 0 from its failure on until it is restored.",
);
pub(super) const FAILURES: Family =
    Family::counter("aegis_domain_failures", "How often the fault domain failed for this cause.");
pub(super) const RESTARTS: Family =
    Family::counter("aegis_domain_restarts", "How often the fault domain was restored.");
pub(super) const RESTART_LONGEST: Family = Family::gauge(
    "aegis_domain_restart_longest_seconds",
    Seconds,
    "The longest time from a failure of the fault domain until it was restored.",
);

pub(super) const STEPS: Family = Family::counter(
    "aegis_steps_exceeded",
    "Steps of the dispatcher that took longer than the overheads that the plan has for them.",
);
pub(super) const STEPS_EXPLAINED: Family =
    Family::counter("aegis_steps_exceeded_explained", "Those of them that the machine explains.");
pub(super) const LOOP_STALLS: Family = Family::counter(
    "aegis_loop_stalls",
    "How often the orchestration thread was later than the watchdog's timeout allows.",
);
pub(super) const RECORDS: Family =
    Family::counter("aegis_trace_records", "Records of the trace that were made, lost ones included.");
pub(super) const LOST: Family = Family::counter(
    "aegis_trace_lost_records",
    "Records that the ring could not take: all that is counted here of jobs lacks them while the vehicle runs.",
);
