//! The report as tables for people.

use crate::analysis::is_schedulable;
use crate::check::{Checked, show, show_down};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use std::fmt::Write as _;

/// Renders lanes, tasks and memory of a check; empty where the manifest gave no system.
#[must_use]
pub fn render(checked: &Checked) -> String {
    let mut text = String::new();
    let (Some(resolved), Some(analysis)) = (&checked.resolved, &checked.analysis) else { return text };
    let system = &resolved.system;
    let mut tasks =
        table(&["task", "lane", "prio", "period", "deadline", "WCET", "blocked by", "response", "slack", ""]);
    let mut order: Vec<usize> = (0..system.tasks.len()).collect();
    order.sort_by_key(|index| {
        (system.tasks.get(*index).map(|task| task.lane), analysis.tasks.get(*index).map(|result| result.priority.0))
    });
    for index in order {
        let (Some(task), Some(result)) = (system.tasks.get(index), analysis.tasks.get(index)) else { continue };
        let blocker = result.blocked_by.and_then(|blocker| system.tasks.get(blocker));
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
            task.name.clone(),
            system.lanes.get(task.lane).map_or_else(String::new, |lane| lane.name.clone()),
            result.priority.0.to_string(),
            show(task.period),
            show(task.deadline),
            show(task.wcet),
            blocker,
            response,
            slack,
            if is_schedulable(system, analysis, index) { "holds" } else { "FAILS" }.to_owned(),
        ]);
    }
    for column in tasks.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{tasks}");
    for (lane, result) in system.lanes.iter().zip(&analysis.lanes) {
        let (whole, rest) = (result.utilization_ppm / 10_000, result.utilization_ppm % 10_000 / 100);
        let busy = match result.busy_period {
            Ok(busy) => format!("busy for at most {}", show(busy)),
            Err(why) => format!("no bounded busy period ({why})"),
        };
        let _ = writeln!(
            text,
            "lane {}: {}, core {}, utilization {whole}.{rest:02} %, {busy}; per job {} dispatch, {} wake-up",
            lane.name,
            lane.policy.name(),
            lane.core,
            show(lane.dispatch_overhead),
            show(lane.wakeup_latency),
        );
    }
    if let Some(layout) = &checked.layout {
        for (device, pool) in system.devices.iter().zip(&layout.pools) {
            let saved = pool.private.0.saturating_sub(pool.height.0);
            let percent = u128::from(saved) * 100 / u128::from(pool.private.0.max(1));
            let _ = writeln!(
                text,
                "memory {}: arena {} (lower bound {}, private arenas {}: saves {percent} %), weights {}, of {}",
                device.name,
                bytes(pool.height.0),
                bytes(pool.lower_bound.0),
                bytes(pool.private.0),
                bytes(pool.weights.0),
                bytes(device.memory.0),
            );
        }
    }
    text
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
    let (unit, per) = match bytes {
        0..=1_023 => return format!("{bytes} B"),
        1_024..=1_048_575 => ("KiB", 1u128 << 10),
        1_048_576..=1_073_741_823 => ("MiB", 1 << 20),
        _ => ("GiB", 1 << 30),
    };
    let hundredths = (u128::from(bytes) * 100).div_ceil(per);
    format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100)
}
