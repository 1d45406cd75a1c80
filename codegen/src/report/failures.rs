//! Whether tasks are in time while another fault domain fails, in words, as a table and as JSON.

use super::table::table;
use crate::analysis::failures::{Failure, analyse};
use crate::analysis::{Analysis, NoBound};
use crate::check::{show, show_down};
use crate::system::{Process, System, Task};
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
    /// Of its threads, for each lane that has a task of it with a model, where threads poll; otherwise empty.
    cores: &'a [u16],
    /// Null where it is never started again.
    restart: Option<Restart>,
    /// The mode that is asked for until it is restored; null where none is.
    meanwhile: Option<&'a str>,
    /// The domains that fail along with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    along: Vec<&'a str>,
    /// For how long each lane is kept besides what is planned when it fails and is started again, once in a busy period.
    kept: Vec<Kept<'a>>,
    /// The tasks of other domains, and of none.
    failure: Vec<Meets<'a>>,
    /// Its own tasks, where it is started again: from then on until their lanes were idle once.
    restored: Vec<Meets<'a>>,
}

#[derive(Serialize)]
struct Restart {
    max: u16,
    within_ns: u64,
    back_off_ns: u64,
    probation_ns: u64,
    blackout_ns: u64,
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
        let meets = |bounds: &[Option<Result<Duration, NoBound>>]| {
            let tasks = system.tasks.iter().zip(bounds).filter_map(|(task, bound)| {
                let bound = bound.as_ref()?.as_ref().ok();
                let slack = |bound: &Duration| i128::from(task.deadline.as_ns()) - i128::from(bound.as_ns());
                let (response_ns, slack_ns) = (bound.map(|bound| bound.as_ns()), bound.map(slack));
                let survives = slack_ns.is_some_and(|slack| slack >= 0);
                Some(Meets { task: &task.name, response_ns, slack_ns, survives })
            });
            tasks.collect()
        };
        let restart = process.restart.as_ref().map(|restart| Restart {
            max: restart.policy.max,
            within_ns: restart.policy.within.as_ns(),
            back_off_ns: restart.policy.back_off.as_ns(),
            probation_ns: restart.policy.probation.as_ns(),
            blackout_ns: restart.blackout.as_ns(),
        });
        Some(Domain {
            name: &domain.name,
            trusted: domain.untrusted.is_none(),
            kill_after_ns: process.kill_after.as_ns(),
            hand_over_ns: process.hand_over.as_ns(),
            fault_blackout_ns: process.blackout.as_ns(),
            heartbeat_ns: process.heartbeat.map(Duration::as_ns),
            memory_bytes: process.memory.map(|memory| memory.0),
            cores: &process.cores,
            restart,
            meanwhile: meanwhile(system, process),
            along: names(system, &failure.along),
            kept: lanes.map(|(lane, ns)| Kept { lane: &lane.name, ns: *ns }).collect(),
            failure: meets(&failure.tasks),
            restored: meets(&failure.restored),
        })
    };
    analyse(system, analysis).iter().filter_map(view).collect()
}

/// The mode that is asked for until a process is there again.
fn meanwhile<'a>(system: &'a System, process: &Process) -> Option<&'a str> {
    process.meanwhile.and_then(|mode| system.modes.get(mode)).map(|mode| mode.name.as_str())
}

pub(super) fn names<'a>(system: &'a System, domains: &[usize]) -> Vec<&'a str> {
    domains.iter().filter_map(|domain| Some(system.domains.get(*domain)?.name.as_str())).collect()
}

/// A task's bound while a domain fails.
pub(super) fn bound(failure: &Failure, task: usize) -> Option<Duration> {
    failure.tasks.get(task)?.as_ref()?.as_ref().ok().copied()
}

/// One line for each domain that is a process, and a table of all tasks' bounds while each fails; nothing where there is none.
pub(super) fn text(system: &System, analysis: &Analysis, text: &mut String) {
    let failures = analyse(system, analysis);
    let named = || failures.iter().filter_map(|failure| Some((failure, system.domains.get(failure.domain)?)));
    if failures.is_empty() {
        return;
    }
    for (failure, domain) in named() {
        let Some(process) = &domain.process else { continue };
        let trust = domain.untrusted.as_ref().map_or_else(String::new, |model| format!(", `{model}` not trusted"));
        let along = names(system, &failure.along);
        let along = if along.is_empty() { String::new() } else { format!("; {} fails with it", along.join(", ")) };
        let gpus = system.devices.iter().filter(|device| device.gpu.is_some());
        let own = gpus.filter_map(|device| device.part.filter(|part| part.domain == failure.domain));
        let arenas: Vec<&str> = own.filter_map(|part| Some(system.devices.get(part.of)?.name.as_str())).collect();
        let arenas =
            if arenas.is_empty() { String::new() } else { format!("; an arena of its own on {}", arenas.join(", ")) };
        // Writing to a string cannot fail.
        let (after, costs) = (after(system, process), costs(process));
        let _ = writeln!(text, "domain {}: a process of its own, {costs}{trust}; {after}{along}{arenas}", domain.name);
    }
    for lane in system.lanes.iter().filter(|lane| lane.blackout > Duration::ZERO) {
        let device =
            lane.device.and_then(|device| system.devices.get(device)).map_or("", |device| device.name.as_str());
        let switch = lane.partition.map_or(lane.domain_switch, |part| part.switch);
        let _ = writeln!(
            text,
            "lane {}: processes have {device} by turns; {} a switch (part of each WCET), {} when one of them fails",
            lane.name,
            show(switch),
            show(lane.blackout)
        );
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

pub(super) fn costs(process: &Process) -> String {
    let cores: Vec<String> = process.cores.iter().map(u16::to_string).collect();
    let cores = match &cores[..] {
        [] => String::new(),
        [one] => format!("; polls on core {one}"),
        several => format!("; polls on the cores {}", several.join(", ")),
    };
    format!(
        "killed {} after a piece of a job began; {} a hand-over (part of each WCET), {} a failure for any lane{cores}",
        show(process.kill_after),
        show(process.hand_over),
        show(process.blackout)
    )
}

/// What follows its failure.
pub(super) fn after(system: &System, process: &Process) -> String {
    let mut text = match &process.restart {
        None => "never started again".to_owned(),
        Some(restart) => format!(
            "started again {} after its end, at most {} times in {}, which takes {} of any lane",
            show_down(restart.policy.back_off),
            restart.policy.max,
            show(restart.policy.within),
            show(restart.blackout)
        ),
    };
    if let Some(mode) = meanwhile(system, process) {
        let _ = write!(text, "; meanwhile mode {mode}");
    }
    text
}

/// What the failure of each other domain means for one task, a line each, and what the return of its own does.
pub(super) fn of_task(system: &System, analysis: &Analysis, position: usize) -> String {
    let mut text = String::new();
    let Some(task) = system.tasks.get(position) else { return text };
    for failure in analyse(system, analysis) {
        let Some(domain) = system.domains.get(failure.domain) else { continue };
        let Some(survives) = failure.survives(system, position) else {
            restored(&mut text, &domain.name, task, failure.restored.get(position));
            continue;
        };
        let often = if domain.process.as_ref().is_some_and(|process| process.restart.is_some()) {
            " in each busy period"
        } else {
            ""
        };
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
        let _ = writeln!(
            text,
            "when the domain `{}` fails, its lane is kept for {kept} once{often}, and {verdict}",
            domain.name
        );
    }
    text
}

/// What a task of a domain that is started again meets from then on.
fn restored(text: &mut String, domain: &str, task: &Task, bound: Option<&Option<Result<Duration, NoBound>>>) {
    let within = match bound {
        Some(Some(Ok(bound))) => format!("it responds within {}", show(*bound)),
        Some(Some(Err(why))) => format!("it has no bound: {why}"),
        _ => return,
    };
    let deadline = show(task.deadline);
    let _ = writeln!(
        text,
        "when its domain `{domain}` is started again, {within} until its lane was idle once; its deadline is {deadline}"
    );
}
