//! Whether tasks are in time while another fault domain fails, in words, as a table and as JSON.

use super::table::table;
use crate::analysis::Analysis;
use crate::analysis::failures::{Failure, analyse};
use crate::check::{show, show_down};
use crate::system::{Process, System};
use aegis_core::Duration;
use comfy_table::CellAlignment;
use serde::Serialize;
use std::fmt::Write as _;

/// A fault domain that is a process, and what its failure means for all others.
#[derive(Serialize)]
pub struct Domain<'a> {
    name: &'a str,
    /// Whether all of its models are trusted.
    trusted: bool,
    kill_after_ns: u64,
    hand_over_ns: u64,
    fault_blackout_ns: u64,
    /// Null where it shows nothing.
    heartbeat_ns: Option<u64>,
    /// Null where it is not limited.
    memory_bytes: Option<u64>,
    /// For how long each lane is kept once when it fails, besides what is planned.
    kept: Vec<Kept<'a>>,
    /// The tasks of other domains, and of none.
    failure: Vec<Meets<'a>>,
}

#[derive(Serialize)]
struct Kept<'a> {
    lane: &'a str,
    ns: u64,
}

#[derive(Serialize)]
struct Meets<'a> {
    task: &'a str,
    /// Null where there is no bound.
    response_ns: Option<u64>,
    slack_ns: Option<i128>,
    survives: bool,
}

/// All domains that are processes with what their failures mean, in the manifest's order.
#[must_use]
pub fn views<'a>(system: &'a System, analysis: &Analysis) -> Vec<Domain<'a>> {
    let view = |failure: &Failure| {
        let domain = system.domains.get(failure.domain)?;
        let process = domain.process.as_ref()?;
        let lanes = system.lanes.iter().zip(&failure.once);
        let others = system.tasks.iter().enumerate().filter_map(|(position, task)| {
            let survives = failure.survives(system, position)?;
            let bound = bound(failure, position);
            let slack = |bound: Duration| i128::from(task.deadline.as_ns()) - i128::from(bound.as_ns());
            let (response_ns, slack_ns) = (bound.map(Duration::as_ns), bound.map(slack));
            Some(Meets { task: &task.name, response_ns, slack_ns, survives })
        });
        Some(Domain {
            name: &domain.name,
            trusted: domain.untrusted.is_none(),
            kill_after_ns: process.kill_after.as_ns(),
            hand_over_ns: process.hand_over.as_ns(),
            fault_blackout_ns: process.blackout.as_ns(),
            heartbeat_ns: process.heartbeat.map(Duration::as_ns),
            memory_bytes: process.memory.map(|memory| memory.0),
            kept: lanes.map(|(lane, ns)| Kept { lane: &lane.name, ns: *ns }).collect(),
            failure: others.collect(),
        })
    };
    analyse(system, analysis).iter().filter_map(view).collect()
}

/// A task's bound while a domain fails.
fn bound(failure: &Failure, task: usize) -> Option<Duration> {
    failure.tasks.get(task)?.as_ref()?.as_ref().ok().copied()
}

/// One line for each domain that is a process, and a table of all tasks' bounds while each fails; nothing where there is none.
pub(super) fn text(system: &System, analysis: &Analysis, text: &mut String) {
    let failures = analyse(system, analysis);
    let named = || failures.iter().filter_map(|failure| Some((failure, system.domains.get(failure.domain)?)));
    if failures.is_empty() {
        return;
    }
    for (_, domain) in named() {
        let Some(process) = &domain.process else { continue };
        let trust = domain.untrusted.as_ref().map_or_else(String::new, |model| format!(", `{model}` not trusted"));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "domain {}: a process of its own, {}{trust}", domain.name, costs(process));
    }
    let names: Vec<String> = named().map(|(_, domain)| domain.name.clone()).collect();
    let header: Vec<&str> = ["bound when this fails"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut shown = table(&header);
    for (position, task) in system.tasks.iter().enumerate() {
        let cell = |(failure, _): (&Failure, _)| match (failure.survives(system, position), bound(failure, position)) {
            (None, _) => "fails with it".to_owned(),
            (Some(_), None) => "no bound FAILS".to_owned(),
            (Some(true), Some(bound)) => {
                format!("{}, slack {}", show(bound), show_down(task.deadline.saturating_sub(bound)))
            }
            (Some(false), Some(bound)) => {
                format!("{}, slack -{} FAILS", show(bound), show(bound.saturating_sub(task.deadline)))
            }
        };
        shown.add_row([task.name.clone()].into_iter().chain(named().map(cell)));
    }
    for column in shown.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{shown}");
}

fn costs(process: &Process) -> String {
    format!(
        "killed {} after a piece of a job began; {} a hand-over (part of each WCET), {} a failure for any lane",
        show(process.kill_after),
        show(process.hand_over),
        show(process.blackout)
    )
}

/// What the failure of each other domain means for one task, a line each.
pub(super) fn of_task(system: &System, analysis: &Analysis, position: usize) -> String {
    let mut text = String::new();
    let Some(task) = system.tasks.get(position) else { return text };
    for failure in analyse(system, analysis) {
        let Some(domain) = system.domains.get(failure.domain) else { continue };
        let Some(survives) = failure.survives(system, position) else { continue };
        let kept = failure.once.get(task.lane).copied().unwrap_or(u64::MAX);
        let kept = show(Duration::from_ns(kept));
        let verdict = match failure.tasks.get(position) {
            Some(Some(Ok(bound))) if survives => format!(
                "it responds within {}, {} before its deadline",
                show(*bound),
                show_down(task.deadline.saturating_sub(*bound))
            ),
            Some(Some(Ok(bound))) => format!(
                "it may respond only after {}, {} AFTER its deadline",
                show(*bound),
                show(bound.saturating_sub(task.deadline))
            ),
            Some(Some(Err(why))) => format!("it has no bound: {why}"),
            _ => continue,
        };
        let _ =
            writeln!(text, "when the domain `{}` fails, its lane is kept for {kept} once, and {verdict}", domain.name);
    }
    text
}
