//! What is said of a run when it has ended.

use super::Ran;
use crate::failures::{failed, told_failures};
use crate::lane_work::panic_text;
use crate::memory_use::beyond;
use crate::watch;
use aegis_core::Instant;
use aegis_core::desc::SystemDesc;
use aegis_linux::lane::Fault;
use aegis_linux::machine::VoidSince;
use aegis_linux::orchestrate::Broken;
use aegis_linux::stats::TaskStats;
use aegis_linux::summary::MemorySummary;
use aegis_linux::table::{ms, render};
use aegis_linux::verdict::Findings;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the verdict goes by.
pub(super) fn findings<const LANES: usize>(
    system: &SystemDesc,
    ran: &Ran<LANES>,
    memory: &[MemorySummary],
    allow_void: bool,
) -> Findings {
    let sum = |count: fn(&TaskStats) -> u64| ran.stats.iter().map(count).fold(0, u64::saturating_add);
    let lost = matches!(ran.report.broken, Some(Broken::Lane { fault: Fault::DeviceLost, .. }));
    Findings {
        device_lost: lost,
        internal: internal_error(system, ran),
        jobs: sum(|task| task.jobs),
        misses: sum(|task| task.misses),
        rejected: sum(|task| task.rejected),
        exceeded: sum(|task| task.exceeded),
        explained: sum(|task| task.explained),
        failed_domains: failed(system, &ran.domains)
            .map(|(name, failure)| (name, failure.restored.at.is_some()))
            .collect(),
        failed: sum(|task| task.failed),
        aborted: sum(|task| task.aborted),
        steps: ran.report.steps,
        reclaim_failures: ran.levels.reclaim_failures,
        levels_late: ran.levels.late,
        modes_late: ran.modes.late,
        unreadable: ran.sources.iter().flatten().map(|source| source.unreadable).fold(0, u64::saturating_add),
        stalls: ran.report.lane_stalls.saturating_add(ran.report.loop_stalls),
        beyond_plan: memory.iter().map(beyond).fold(0, u64::saturating_add),
        voids: ran.voids.len(),
        allow_void,
    }
}

fn internal_error<const LANES: usize>(system: &SystemDesc, ran: &Ran<LANES>) -> Option<String> {
    match ran.report.broken {
        Some(Broken::Lane { lane, fault }) => {
            let own = ran.lanes.get(lane.index()).and_then(Option::as_ref).and_then(|lane| lane.failure.clone());
            Some(own.unwrap_or_else(|| format!("lane number {}: {fault:?}", lane.0)))
        }
        Some(Broken::Stalled(stall)) => Some(watch::stalled(system, stall)),
        Some(broken) => Some(format!("the orchestration loop ended: {broken:?}")),
        None if !ran.report.drained => {
            let change = ran.report.changing.and_then(|mode| system.modes.get(mode.index()));
            let change =
                change.map_or(String::new(), |mode| format!(", so the change to mode \"{}\" did not end", mode.name));
            Some(format!("a job was still running 10 s after the stop{change}"))
        }
        None if ran.sources.is_none() => Some("the thread that watches sources of pressure panicked".to_owned()),
        None if !ran.looked => Some("the thread that looks at clocks, power and heat panicked".to_owned()),
        None if !ran.reclaimed => Some("the thread that gives memory back panicked".to_owned()),
        None if system.watchdog.is_some() && ran.watched.is_none() => {
            Some("the application's hook that pets a watchdog panicked".to_owned())
        }
        None => None,
    }
}

/// The final table, the hooks' closing lines, and everything that must not be overlooked.
///
/// Returns which hook panicked first, if one did; the others are still called.
pub(super) fn closing<const LANES: usize>(system: &SystemDesc, ran: &mut Ran<LANES>) -> Option<String> {
    print!("{}", render(system, &ran.stats, ran.report.ended.saturating_since(Instant::START)));
    let lanes = ran.lanes.iter_mut().flatten();
    let tasks = lanes.flat_map(|lane| lane.tasks.iter_mut().map(|task| (lane.name, task)));
    let mut tasks: Vec<_> = tasks.collect();
    tasks.sort_by_key(|(_, task)| task.id.0);
    let mut panicked = None;
    for (lane, task) in tasks {
        if let (Some(hooks), Some(stats)) = (&mut task.hooks, ran.stats.get(task.id.index())) {
            let closed = catch_unwind(AssertUnwindSafe(|| hooks.closing(stats)));
            let told = closed.err().map(|payload| {
                let (task, text) = (task.name, panic_text(payload.as_ref()));
                format!("lane \"{lane}\", task \"{task}\": the application's closing hook panicked: {text}")
            });
            panicked = panicked.or(told);
        }
    }
    for lane in ran.lanes.iter().flatten() {
        for text in &lane.failed_jobs {
            log::error!("JOB FAILED: {text}");
        }
    }
    told_failures(system, (&ran.domains, &ran.processes), &ran.stats);
    if ran.trace.lost > 0 {
        log::warn!("TRACE INCOMPLETE: {} of {} records were lost", ran.trace.lost, ran.trace.records);
    }
    if ran.trace.unwritten > 0 {
        log::warn!("TRACE INCOMPLETE: {} of {} records were not written", ran.trace.unwritten, ran.trace.records);
    }
    let (from_start, fallen): (Vec<_>, Vec<_>) = ran.voids.iter().partition(|void| void.since == Instant::START);
    if !from_start.is_empty() {
        log::warn!("GUARANTEE VOID, {} in all, as told at the start", from_start.len());
    }
    for VoidSince { void, since } in fallen {
        let since = ms(since.saturating_since(Instant::START));
        log::warn!("GUARANTEE VOID since {since} ({}): {}", void.reason.name(), void.text);
    }
    panicked
}
