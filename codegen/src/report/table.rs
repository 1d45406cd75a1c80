//! The report as tables for people.

use crate::analysis::modes::{self, ModeResult};
use crate::analysis::{Analysis, Holds, is_schedulable};
use crate::check::{Checked, show, show_down};
use crate::memory::Layout;
use crate::report::{explain, failures, wcet};
use crate::system::System;
use aegis_core::Duration;
use aegis_core::dispatch::state_bytes;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use std::fmt::Write as _;

/// Renders lanes, tasks and memory of a check; empty where the manifest gave no system.
#[must_use]
pub fn render(checked: &Checked) -> String {
    let mut text = String::new();
    let (Some(resolved), Some(analysis)) = (&checked.resolved, &checked.analysis) else { return text };
    let system = &resolved.system;
    let mut tasks = table(&[
        "task",
        "lane",
        "prio",
        "period",
        "deadline",
        "WCET",
        "blocked by",
        "response",
        "slack",
        "overhead",
        "",
    ]);
    let mut order: Vec<usize> = (0..system.tasks.len()).collect();
    order.sort_by_key(|index| {
        (system.tasks.get(*index).map(|task| task.lane), analysis.tasks.get(*index).map(|result| result.priority.0))
    });
    for index in order {
        let (Some(task), Some(result)) = (system.tasks.get(index), analysis.tasks.get(index)) else { continue };
        let blocker = result.blocked_by.filter(|_| !result.blocking.is_zero());
        let blocker = blocker.and_then(|blocker| system.tasks.get(blocker));
        let blocker = blocker.map_or("-".to_owned(), |blocker| format!("{} {}", blocker.name, show(result.blocking)));
        let (response, slack) = match result.bound() {
            None => ("no bound".to_owned(), "-".to_owned()),
            Some(bound) => {
                let slack = task.deadline.checked_sub(bound).map_or_else(
                    || format!("-{}", show(bound.saturating_sub(task.deadline))),
                    // Rounded down: a slack must not look larger than it is.
                    show_down,
                );
                (show(bound), slack)
            }
        };
        tasks.add_row([
            format!("{}{}", task.name, if task.optional { " (optional)" } else { "" }),
            system.lanes.get(task.lane).map_or_else(String::new, |lane| lane.name.clone()),
            result.priority.0.to_string(),
            show(task.period),
            show(task.deadline),
            show(task.wcet),
            blocker,
            response,
            slack,
            explain::of(system, analysis, index).map_or_else(|| "-".to_owned(), |found| percent(found.overhead_ppm)),
            match result.holds(task.deadline) {
                Holds::Proven => "holds",
                Holds::Exactly => "holds (exact)",
                Holds::No => "FAILS",
            }
            .to_owned(),
        ]);
    }
    for column in tasks.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{tasks}");
    text.push_str(&wcet::of_tails(&resolved.origins));
    for (lane, result) in system.lanes.iter().zip(&analysis.lanes) {
        let busy = match result.busy_period {
            Ok(hyperperiod) if result.table.is_some() => format!("a table of {}", show(hyperperiod)),
            Ok(busy) => format!("busy for at most {}", show(busy)),
            Err(why) => format!("no bounded busy period ({why})"),
        };
        let _ = writeln!(
            text,
            "lane {}: {}, preemption {}, core {},{} utilization {}, {busy}; per segment {}; per release {}",
            lane.name,
            lane.policy.name(),
            lane.preemption.name(),
            lane.core,
            lane.partition.map_or_else(String::new, |part| format!(" {} SMs,", part.sms)),
            percent(result.utilization_ppm),
            parts(&[
                ("dispatch", lane.dispatch_overhead),
                ("launch", lane.launch_overhead),
                ("domain switch", lane.domain_switch),
                ("thread wait", lane.thread_wait),
            ]),
            parts(&[("wake-up", lane.wakeup_latency), ("thread wait", lane.thread_wait)]),
        );
    }
    for (chain, bounds) in system.chains.iter().zip(&analysis.chains) {
        let of = |bound: Option<u64>, limit: Option<Duration>| {
            let bound = bound.map_or_else(|| "no bound".to_owned(), |bound| show(Duration::from_ns(bound)));
            limit.map_or_else(|| bound.clone(), |limit| format!("{bound} of {}", show(limit)))
        };
        let _ = writeln!(
            text,
            "chain {} ({}): reaction {}, age {}",
            chain.name,
            if chain.is_let { "let" } else { "register" },
            of(bounds.map(|bounds| bounds.reaction), chain.max_reaction),
            of(bounds.map(|bounds| bounds.age), chain.max_age),
        );
    }
    modes(system, analysis, &mut text);
    failures::text(system, analysis, &mut text);
    if let Some(layout) = &checked.layout {
        for (position, (device, pool)) in system.devices.iter().zip(&layout.pools).enumerate() {
            let _ = writeln!(
                text,
                "memory {}: arena {} (lower bound {}, private arenas {}: saves {} %, of activations {} %), weights {}{}, of {}{}",
                device.name,
                bytes(pool.height.0),
                bytes(pool.lower_bound.0),
                bytes(pool.private.0),
                pool.saved_percent(),
                pool.activations_saved_percent(),
                bytes(pool.weights.0),
                besides(system, layout, position),
                bytes(device.memory.0),
                beside(&layout.beside(system, position), layout.taken(system, position)),
            );
        }
    }
    if let Some(size) = state(checked) {
        let (tasks, lanes) = (system.tasks.len(), system.lanes.len());
        let _ = writeln!(
            text,
            "runtime: {} of state for {} and {}, besides the trace ring",
            bytes(size),
            count(tasks, "task"),
            count(lanes, "lane"),
        );
    }
    text
}

/// One column a mode: the bound of each of its tasks, how long leaving it takes, and whether it holds.
fn modes(system: &System, analysis: &Analysis, text: &mut String) {
    if system.modes.is_empty() {
        return;
    }
    let names = system.modes.iter().enumerate();
    let names: Vec<String> =
        names.map(|(place, mode)| format!("{}{}", mode.name, if place == 0 { " (start)" } else { "" })).collect();
    let header: Vec<&str> = ["bound in mode"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut shown = table(&header);
    let bound = |time: Option<Duration>| time.map_or_else(|| "no bound".to_owned(), show);
    for (position, task) in system.tasks.iter().enumerate() {
        let in_mode = |found: &ModeResult| {
            let place = found.tasks.iter().position(|other| *other == position)?;
            let result = found.analysis.tasks.get(place)?;
            let fails = if result.holds(task.deadline) == Holds::No { " FAILS" } else { "" };
            Some(format!("{}{fails}", bound(result.bound())))
        };
        let cells = analysis.modes.iter().map(|found| in_mode(found).unwrap_or_else(|| "-".to_owned()));
        shown.add_row([task.name.clone()].into_iter().chain(cells));
    }
    let leaves = analysis.modes.iter().map(|found| bound(found.leaves));
    shown.add_row(["leaving it".to_owned()].into_iter().chain(leaves));
    let verdicts = system.modes.iter().zip(&analysis.modes).map(|(mode, found)| {
        let own = modes::alone(system, mode);
        let holds = (0..own.tasks.len()).all(|task| is_schedulable(&own, &found.analysis, task));
        if holds { "holds" } else { "FAILS" }.to_owned()
    });
    shown.add_row([String::new()].into_iter().chain(verdicts));
    for column in shown.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{shown}");
}

/// What is taken besides a device's arena and weights: by its driver, and of the CPU's memory for copies of inputs and outputs, told
/// at the GPU whose they are and at the device with whose memory they count.
fn besides(system: &System, layout: &Layout, position: usize) -> String {
    let mut text = String::new();
    let gpus = system.devices.iter().zip(&layout.pools).enumerate().filter(|(_, (device, _))| device.gpu.is_some());
    for (number, (gpu, pool)) in gpus {
        let with = system.staging_name(gpu);
        let counts_here = with.is_some() && with == system.devices.get(position).map(|device| device.name.as_str());
        if number == position {
            let context = gpu.context().map_or_else(|| "not measured".to_owned(), |context| bytes(context.0));
            let _ = write!(text, ", context {context}");
        }
        if pool.pinned.0 == 0 || !(number == position || counts_here) {
            continue;
        }
        let _ = write!(text, ", pinned {}", bytes(pool.pinned.0));
        let _ = match with {
            Some(_) if counts_here && number == position => Ok(()),
            Some(_) if counts_here => write!(text, " for {}", gpu.name),
            Some(with) => write!(text, " (counted with {with})"),
            None => write!(text, " (of the CPU's memory, not counted)"),
        };
    }
    text
}

/// With which devices a device shares the memory that it is granted, and what all of them take; nothing where it has it alone.
pub(super) fn beside(others: &[&str], taken: u64) -> String {
    if others.is_empty() {
        return String::new();
    }
    format!(", shared with {}: {} taken together", others.join(", "), bytes(taken))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// What the dispatcher's state takes in a vehicle of this plan; stages are tasks.
fn state(checked: &Checked) -> Option<u64> {
    let plan = &checked.lock.as_ref()?.plan;
    let queue = plan.tasks.iter().map(|task| usize::from(task.queue)).max()?;
    u64::try_from(state_bytes(plan.tasks.len(), plan.lanes.len(), queue)?).ok()
}

/// Millionths as a percentage.
pub(crate) fn percent(ppm: u64) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}

/// The named times that are not zero.
fn parts(times: &[(&str, Duration)]) -> String {
    let given: Vec<String> = times
        .iter()
        .filter(|(_, time)| !time.is_zero())
        .map(|(name, time)| format!("{} {name}", show(*time)))
        .collect();
    if given.is_empty() { "no overhead".to_owned() } else { given.join(", ") }
}

/// An empty table in the look of all reports.
#[must_use]
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

/// A size for people, in binary units with two digits, rounded up.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    size(bytes, u128::div_ceil)
}

/// As [`bytes`], rounded down.
#[must_use]
pub fn bytes_down(bytes: u64) -> String {
    size(bytes, |hundredths, per| hundredths / per)
}

fn size(bytes: u64, divided: fn(u128, u128) -> u128) -> String {
    let (unit, per) = match bytes {
        0..=1_023 => return format!("{bytes} B"),
        1_024..=1_048_575 => ("KiB", 1u128 << 10),
        1_048_576..=1_073_741_823 => ("MiB", 1 << 20),
        _ => ("GiB", 1 << 30),
    };
    let hundredths = divided(u128::from(bytes) * 100, per);
    format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100)
}
