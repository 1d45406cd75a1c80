//! The summary of a run, one JSON document: `aegis.summary/1`.

mod memory;

use crate::machine::{Machine, VoidSince};
use crate::orchestrate::Report;
use crate::sources::SourceReport;
use crate::stats::{AdmissionStats, Failure, LevelStats, ModeStats, TaskStats};
use crate::verdict::Verdict;
use aegis_core::Duration;
use aegis_core::desc::{DomainDesc, SystemDesc};
use aegis_core::trace::JobRef;
use aegis_trace::Place;
pub use memory::{DeviceMemory, MemorySummary, ModelMemory};
use serde::Serialize;
use std::io;
use std::path::Path;

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Summary {
    /// `aegis.summary/1`.
    pub schema: &'static str,
    /// The vehicle's name.
    pub vehicle: String,
    /// SHA-256 of the plan, in hexadecimal digits.
    pub config_hash: String,
    /// The tool that wrote the plan.
    pub generator: String,
    /// How long the run took.
    pub duration_ns: u64,
    /// Whether the plan's bounds hold on this machine.
    pub guarantee: Guarantee,
    /// The machine.
    pub machine: Machine,
    /// The tasks, in the plan's order.
    pub tasks: Vec<TaskSummary>,
    /// The lanes, in the plan's order.
    pub lanes: Vec<LaneSummary>,
    /// The pools, in the plan's order.
    pub memory: Vec<MemorySummary>,
    /// How the trace went.
    pub trace: TraceSummary,
    /// The orchestration thread's steps against the plan's overheads.
    pub steps: StepSummary,
    /// What levels of memory pressure came to; null where the plan has none.
    pub pressure: Option<PressureSummary>,
    /// What changes of the mode came to; null where the plan has no modes.
    pub modes: Option<ModeSummary>,
    /// What came of watching sources of pressure; null where the plan watches none.
    pub watched: Option<Vec<SourceReport>>,
    /// The fault domains, in the plan's order.
    pub domains: Vec<DomainSummary>,
    /// What optional tasks came to; null where the plan has none.
    pub admissions: Option<AdmissionSummary>,
    /// How the vehicle watched itself; null where it did not.
    pub watchdog: Option<WatchdogSummary>,
    /// Whether every released job had completed at the end.
    pub drained: bool,
    /// How many submitted arrivals were accepted and then dropped: see [`Report::dropped`].
    pub dropped_submissions: u64,
    /// The exit status and its reason.
    pub exit: ExitSummary,
}

/// Whether the plan's bounds hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Guarantee {
    /// Whether `void` is empty.
    pub valid: bool,
    /// Each reason why they do not.
    pub void: Vec<VoidSummary>,
}

/// One reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct VoidSummary {
    /// Its name, as in the trace.
    pub reason: &'static str,
    /// One sentence with both values.
    pub text: String,
    /// Since when, after the schedule's start; 0: from the start.
    pub since_ns: u64,
}

/// One task. Times in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[allow(missing_docs, reason = "each field is named as in TaskStats and TaskDesc, where it is described")]
pub struct TaskSummary {
    pub name: String,
    pub lane: String,
    pub jobs: u64,
    pub failed: u64,
    pub aborted: u64,
    pub misses: u64,
    pub max_misses_in_window: u8,
    pub miss_window: u8,
    pub overruns: u64,
    pub rejected: u64,
    pub skipped: u64,
    pub withheld: u64,
    pub dropped: u64,
    pub deferred: u64,
    pub forgone: u64,
    pub exceeded: u64,
    pub explained: u64,
    pub max_response_ns: u64,
    pub mean_response_ns: u64,
    pub max_execution_ns: u64,
    pub wcet_ns: u64,
    pub deadline_ns: u64,
    pub bound_ns: u64,
    /// The longest response over the bound, in parts per million.
    pub observed_over_bound_ppm: u64,
}

/// One lane. Times in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LaneSummary {
    /// Its name.
    pub name: String,
    /// Its core.
    pub core: u16,
    /// Completed jobs.
    pub jobs: u64,
    /// The latest timer wake-up of the orchestration thread.
    pub max_wakeup_latency_ns: u64,
    /// What the plan allows for it.
    pub planned_wakeup_latency_ns: u64,
    /// The longest hand-over and notice of one piece of a job together, without the dispatcher's steps before and after.
    pub max_dispatch_ns: u64,
    /// What the plan allows for it, the dispatcher's steps included.
    pub planned_dispatch_overhead_ns: u64,
    /// Execution time over run time, in parts per million.
    pub observed_utilization_ppm: u64,
}

/// The trace's counts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct TraceSummary {
    /// Records that were made.
    pub records: u64,
    /// Those of them that the ring could not take.
    pub lost: u64,
    /// Those of them that the ring took and the file did not, because of the error.
    pub unwritten: u64,
    /// Why writing the file ended before the run did; null where it did not.
    pub error: Option<String>,
}

/// The orchestration thread's steps, hand-overs included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct StepSummary {
    /// The step that exceeded its plan by most, or the longest one where none did.
    pub worst_ns: u64,
    /// What the plan allows for that step: the dispatch overheads of the lanes that it served.
    pub allowed_ns: u64,
    /// How many exceeded what the plan allows for them.
    pub exceeded: u64,
    /// Those of them that the machine explains.
    pub explained: u64,
}

/// How a vehicle watched itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct WatchdogSummary {
    /// How much longer than planned something might take before it was a stall.
    pub timeout_ns: u64,
    /// The answer to a stall, by its name in the manifest.
    pub on_stall: &'static str,
    /// How often it was found healthy, and everybody who wanted it was petted.
    pub pets: u64,
    /// How often a segment was in flight for too long.
    pub lane_stalls: u64,
    /// How often the orchestration thread woke, or ended a turn, too late.
    pub loop_stalls: u64,
}

/// What levels of memory pressure came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[allow(missing_docs, reason = "each field is named as in LevelStats, where it is described")]
pub struct PressureSummary {
    pub changes: u64,
    pub settled: u64,
    pub late: u64,
    pub given_back_bytes: u64,
    pub reclaim_failures: u64,
}

/// What changes of the mode came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[allow(missing_docs, reason = "each field is named as in ModeStats, where it is described")]
pub struct ModeSummary {
    pub requested: u64,
    pub changed: u64,
    pub late: u64,
    pub longest_ns: u64,
    /// The longest that leaving any mode takes, as planned.
    pub bound_ns: u64,
}

/// A fault domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DomainSummary {
    /// Its name.
    pub name: String,
    /// Whether it failed, be it that it was restored.
    pub failed: bool,
    /// How often.
    pub failures: u64,
    /// How often it was restored.
    pub restarts: u64,
    /// The longest time from a failure until it was restored; null where it never was.
    pub longest_restart_ns: Option<u64>,
    /// When it was restored after the last failure; null where it was not.
    pub restored_at_ns: Option<u64>,
    /// When it failed last, which the following keys are about; null where it did not.
    pub at_ns: Option<u64>,
    /// `overrun`, `miss`, `failure`, `outside`, or how its process was lost: `exited`, `signalled`, `hung`, `silent`, `malformed`,
    /// `backend`; null where it did not.
    pub cause: Option<&'static str>,
    /// The task whose job was the cause; null where none was.
    pub task: Option<String>,
    /// That job's request; null where none was.
    pub request: Option<u64>,
    /// The last process that ran its models; null where none did.
    pub process: Option<ProcessSummary>,
}

/// The process of a fault domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ProcessSummary {
    /// Its number.
    pub pid: u32,
    /// How it ended: `exit status 0` where it was told to.
    pub ending: String,
    /// How often starting another one failed; null where none is started again.
    pub failed_starts: Option<u64>,
    /// Whether it would have been started more often than it may, and was not; null where none is started again.
    pub given_up: Option<bool>,
    /// What kept it from more than its work: see [`crate::worker::fences`].
    pub in_force: Vec<&'static str>,
    /// What could not be had of that, and why.
    pub not_in_force: Vec<String>,
}

/// What optional tasks came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[allow(missing_docs, reason = "each field is named as in AdmissionStats, where it is described")]
pub struct AdmissionSummary {
    pub admitted: u64,
    pub dismissed: u64,
}

/// The exit status.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ExitSummary {
    /// 0, 1, 3, 4 or 5.
    pub status: u8,
    /// Why.
    pub why: String,
}

/// What a summary is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a, const LANES: usize> {
    /// The plan.
    pub system: &'a SystemDesc,
    /// The machine.
    pub machine: &'a Machine,
    /// Why the guarantee is void.
    pub voids: &'a [VoidSince],
    /// The tasks' counts.
    pub stats: &'a [TaskStats],
    /// What the loop saw.
    pub report: &'a Report<LANES>,
    /// What levels of memory pressure came to.
    pub levels: LevelStats,
    /// What changes of the mode came to.
    pub modes: ModeStats,
    /// How fault domains failed.
    pub domains: &'a [Option<Failure>],
    /// What became of their processes; empty where there is none.
    pub processes: &'a [Option<ProcessSummary>],
    /// What optional tasks came to.
    pub admissions: AdmissionStats,
    /// The pools.
    pub memory: &'a [MemorySummary],
    /// The trace's counts.
    pub trace: &'a TraceSummary,
    /// What came of watching sources; empty where the plan watches none.
    pub watched: &'a [SourceReport],
    /// How often watchdogs were petted.
    pub pets: u64,
    /// The judgement.
    pub verdict: &'a Verdict,
}

/// Puts a summary together.
#[must_use]
pub fn build<const LANES: usize>(parts: &Parts<'_, LANES>) -> Summary {
    let Parts { system, report, .. } = *parts;
    let voids = parts.voids.iter().map(|VoidSince { void, since }| VoidSummary {
        reason: void.reason.name(),
        text: void.text.clone(),
        since_ns: since.as_ns(),
    });
    Summary {
        schema: "aegis.summary/1",
        vehicle: system.name.to_owned(),
        config_hash: hex(&system.config_hash),
        generator: system.generator.to_owned(),
        duration_ns: report.ended.as_ns(),
        guarantee: Guarantee { valid: parts.voids.is_empty(), void: voids.collect() },
        machine: parts.machine.clone(),
        tasks: tasks(system, parts.stats),
        lanes: lanes(system, report),
        memory: parts.memory.to_vec(),
        trace: parts.trace.clone(),
        steps: StepSummary {
            worst_ns: report.steps.worst.as_ns(),
            allowed_ns: report.steps.worst_allowed.as_ns(),
            exceeded: report.steps.exceeded,
            explained: report.steps.explained,
        },
        pressure: (!system.levels.is_empty()).then_some(PressureSummary {
            changes: parts.levels.changes,
            settled: parts.levels.settled,
            late: parts.levels.late,
            given_back_bytes: parts.levels.given_back.0,
            reclaim_failures: parts.levels.reclaim_failures,
        }),
        modes: system.modes.iter().map(|mode| mode.leaves).max().map(|bound| ModeSummary {
            requested: parts.modes.requested,
            changed: parts.modes.changed,
            late: parts.modes.late,
            longest_ns: parts.modes.longest.as_ns(),
            bound_ns: bound.as_ns(),
        }),
        watched: system.watch.is_some().then(|| parts.watched.to_vec()),
        domains: domains(system, parts.domains, parts.processes),
        admissions: system
            .tasks
            .iter()
            .any(|task| task.optional)
            .then_some(AdmissionSummary { admitted: parts.admissions.admitted, dismissed: parts.admissions.dismissed }),
        watchdog: system.watchdog.map(|desc| WatchdogSummary {
            timeout_ns: desc.timeout.as_ns(),
            on_stall: desc.on_stall.name(),
            pets: parts.pets,
            lane_stalls: report.lane_stalls,
            loop_stalls: report.loop_stalls,
        }),
        drained: report.drained,
        dropped_submissions: report.dropped,
        exit: ExitSummary { status: parts.verdict.status, why: parts.verdict.why.clone() },
    }
}

fn domains(
    system: &SystemDesc,
    failures: &[Option<Failure>],
    processes: &[Option<ProcessSummary>],
) -> Vec<DomainSummary> {
    let task = |job: &JobRef| system.tasks.get(job.task.index()).map(|task| task.name.to_owned());
    let processes = processes.iter().cloned().chain(std::iter::repeat(None));
    let pairs = system.domains.iter().zip(failures).zip(processes);
    let summary = |((domain, failure), process): ((&DomainDesc, &Option<Failure>), _)| DomainSummary {
        name: domain.name.to_owned(),
        failed: failure.is_some(),
        failures: failure.map_or(0, |failure| failure.count),
        restarts: failure.map_or(0, |failure| failure.restored.count),
        longest_restart_ns: failure.map(|own| own.restored).filter(|own| own.count > 0).map(|own| own.longest.as_ns()),
        restored_at_ns: failure.and_then(|failure| Some(failure.restored.at?.as_ns())),
        at_ns: failure.map(|failure| failure.at.as_ns()),
        cause: failure.map(|failure| failure.cause.name()),
        task: failure.and_then(|failure| task(&failure.job?)),
        request: failure.and_then(|failure| Some(failure.job?.request)),
        process,
    };
    pairs.map(summary).collect()
}

fn tasks(system: &SystemDesc, stats: &[TaskStats]) -> Vec<TaskSummary> {
    let pairs = system.tasks.iter().zip(stats);
    let summary = |(task, stats): (&aegis_core::desc::TaskDesc, &TaskStats)| TaskSummary {
        name: task.name.to_owned(),
        lane: system.lanes.get(task.lane.index()).map_or("", |lane| lane.name).to_owned(),
        jobs: stats.jobs,
        failed: stats.failed,
        aborted: stats.aborted,
        misses: stats.misses,
        max_misses_in_window: stats.max_misses_in_window,
        miss_window: task.miss_window,
        overruns: stats.overruns,
        rejected: stats.rejected,
        skipped: stats.skipped,
        withheld: stats.withheld,
        dropped: stats.dropped,
        deferred: stats.deferred,
        forgone: stats.forgone,
        exceeded: stats.exceeded,
        explained: stats.explained,
        max_response_ns: stats.max_response.as_ns(),
        mean_response_ns: stats.mean_response().as_ns(),
        max_execution_ns: stats.max_execution.as_ns(),
        wcet_ns: task.wcet.as_ns(),
        deadline_ns: task.deadline.as_ns(),
        bound_ns: task.response_bound.as_ns(),
        observed_over_bound_ppm: stats.ratio_ppm(task.response_bound),
    };
    pairs.map(summary).collect()
}

fn lanes<const LANES: usize>(system: &SystemDesc, report: &Report<LANES>) -> Vec<LaneSummary> {
    let pairs = system.lanes.iter().zip(&report.lanes);
    let summary = |(desc, lane): (&aegis_core::desc::LaneDesc, &crate::orchestrate::LaneReport)| LaneSummary {
        name: desc.name.to_owned(),
        core: desc.core,
        jobs: lane.jobs,
        max_wakeup_latency_ns: report.max_wakeup.as_ns(),
        planned_wakeup_latency_ns: desc.lateness().unwrap_or(Duration::MAX).as_ns(),
        max_dispatch_ns: lane.max_dispatch.as_ns(),
        planned_dispatch_overhead_ns: desc.segment_overhead().unwrap_or(Duration::MAX).as_ns(),
        observed_utilization_ppm: share_ppm(lane.busy, report.ended.as_ns()),
    };
    pairs.map(summary).collect()
}

fn share_ppm(part: Duration, whole_ns: u64) -> u64 {
    let scaled = u128::from(part.as_ns()) * 1_000_000;
    u64::try_from(scaled.checked_div(u128::from(whole_ns)).unwrap_or(0)).unwrap_or(u64::MAX)
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a text beside its destination and renames it, so that no reader sees half a file; straight into a stream.
///
/// # Errors
/// The folder cannot be written; nothing is left beside the destination then.
pub fn write_file(path: &Path, text: &str) -> io::Result<()> {
    aegis_trace::write_whole(path, text.as_bytes())
}

/// Whether an output can be put at a path when the run has ended, as far as that can be known before.
///
/// # Errors
/// Why not.
pub fn can_be_placed(path: &Path) -> io::Result<()> {
    let Place::File(path) = Place::of(path)? else { return Ok(()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.metadata()?.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// Whether a file can be written there again and again: nobody waits for who reads a pipe.
///
/// # Errors
/// Why not.
pub fn can_be_replaced(path: &Path) -> io::Result<()> {
    if let Place::Stream(_) = Place::of(path)? {
        let why = "it is a stream, and metrics are written again and again, each time as a whole file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    can_be_placed(path)
}

#[cfg(test)]
mod tests;
