//! What would have happened, for people.

use super::{Report, Side, Task};
use crate::check::{show, show_down};
use crate::report::table::table;
use aegis_core::Duration;
use comfy_table::CellAlignment;
use std::fmt::Write as _;

/// The report as a table and sentences.
#[must_use]
pub fn human(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    if !report.proven {
        let unproven: Vec<String> =
            report.tasks.iter().filter(|task| !task.proven).map(|task| format!("`{}`", task.name)).collect();
        let _ = writeln!(
            text,
            "THIS PLAN IS NOT PROVEN ({}): that a deadline was met in what follows says nothing about another run",
            unproven.join(", ")
        );
    }
    for (task, why) in report.tasks.iter().filter_map(|task| Some((task, task.unproven_because.as_ref()?))) {
        let _ = writeln!(text, "`{}` is not proven: {why}", task.name);
    }
    if report.arrivals == 0 {
        text.push_str("NO ARRIVAL OF THIS TRACE IS ONE OF THIS PLAN: nothing was compared\n");
    }
    for task in report.tasks.iter().filter(|task| task.proven) {
        let longest = task.what_if.response_max_ns;
        if let Some(bound) = task.bound_ns.filter(|bound| longest > *bound) {
            let (longest, bound) = (show(Duration::from_ns(longest)), show_down(Duration::from_ns(bound)));
            let _ = writeln!(
                text,
                "`{}` RESPONDS AFTER {longest}, BEYOND ITS BOUND OF {bound}: what was recorded is not what this plan assumes",
                task.name
            );
        }
    }
    let mut shown =
        table(&["task", "jobs", "missed", "refused", "longest response", "bound", "deadline", "jobs that differ"]);
    let pair = |own: u64, other: u64| if own == other { own.to_string() } else { format!("{own} -> {other}") };
    for task in &report.tasks {
        let Task { observed, what_if, .. } = task;
        let time = |side: &Side| show(Duration::from_ns(side.response_max_ns));
        let (before, after) = (time(observed), time(what_if));
        let longest = if before == after { before } else { format!("{before} -> {after}") };
        let bound = task.bound_ns.map_or_else(|| "none".to_owned(), |ns| show(Duration::from_ns(ns)));
        shown.add_row([
            task.name.to_owned(),
            pair(observed.jobs, what_if.jobs),
            pair(observed.misses, what_if.misses),
            pair(observed.rejected, what_if.rejected),
            longest,
            if task.proven { bound } else { format!("{bound} !") },
            show_down(Duration::from_ns(task.deadline_ns)),
            task.differing.to_string(),
        ]);
    }
    for column in shown.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{shown}");
    match &report.first_difference {
        Some(first) => {
            let time =
                |ns: Option<u64>, none: &str| ns.map_or_else(|| none.to_owned(), |ns| show(Duration::from_ns(ns)));
            let _ = writeln!(
                text,
                "the first job that differs is of `{}`, arrived at {}: {} -> {}",
                first.task,
                show(Duration::from_ns(first.arrival_ns)),
                time(first.observed_ns, "not ended"),
                time(first.what_if_ns, "not run")
            );
        }
        None => text.push_str("no job differs\n"),
    }
    for (count, words) in [
        (report.lost, "records are lost: what they tell of is missing in both"),
        (report.assumed, "pieces were not observed and are taken to last their longest"),
        (report.unknown, "arrivals are of tasks that this plan does not have"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "{count} {words}");
        }
    }
    let sum =
        |of: fn(&Side) -> u64, side: fn(&Task) -> &Side| report.tasks.iter().map(|task| of(side(task))).sum::<u64>();
    let (before, after) =
        (sum(|side| side.misses, |task| &task.observed), sum(|side| side.misses, |task| &task.what_if));
    let _ = writeln!(text, "under {}: {after} missed deadlines, {before} were observed", report.plan);
    text
}
