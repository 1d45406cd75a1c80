//! A check's report for people.

use super::{Maximum, Report, Verdict, Violation};
use crate::check::{beside as both, show};
use crate::report::table::table;
use aegis_core::Duration;
use comfy_table::CellAlignment;
use std::fmt::Write as _;

/// How many violations are shown.
const MOST_SHOWN: usize = 20;

/// The report in tables and sentences; `name` is the trace's.
#[must_use]
pub fn human(report: &Report, name: &str) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    for void in &report.void {
        let since = show(Duration::from_ns(void.since_ns));
        let _ = writeln!(
            text,
            "THE GUARANTEE IS VOID since {since} ({}): what follows is compared, but proves nothing about the plan",
            void.reason
        );
    }
    tasks(report, &mut text);
    interference(report, &mut text);
    lanes(report, &mut text);
    rest(report, &mut text);
    let of = |fails: bool| report.violations.iter().filter(move |violation| violation.fails == fails);
    for violation in of(true).chain(of(false)).take(MOST_SHOWN) {
        text.push_str(&one(violation));
    }
    let all = report.counts.violations.saturating_add(report.counts.departures);
    let shown = u64::try_from(report.violations.len().min(MOST_SHOWN)).unwrap_or(u64::MAX);
    if all > shown {
        let _ =
            writeln!(text, "and {} more; --format json lists the first 1,000 of each kind", all.saturating_sub(shown));
    }
    if report.lost > 0 {
        let _ = writeln!(
            text,
            "{} records are lost: {} jobs that they leave open could not be judged as a whole; jobs that lie wholly in a gap are \
             not counted",
            report.lost, report.unjudged
        );
    }
    if !report.complete {
        text.push_str("the records end before the run: what came after them is not compared\n");
    }
    let _ = writeln!(text, "{name}: {}", verdict(report));
    text
}

fn verdict(report: &Report) -> String {
    let counts = &report.counts;
    let mut of = format!("{} records, {} jobs", report.records, report.jobs);
    if report.lost > 0 {
        // Writing to a string cannot fail.
        let _ = write!(of, ", {} records lost", report.lost);
    }
    if !report.complete {
        of.push_str(", end missing");
    }
    let departures = match counts.departures {
        0 => String::new(),
        1 => "; one wake-up, hand-over or execution was outside the plan".to_owned(),
        many => format!("; {many} wake-ups, hand-overs or executions were outside the plan"),
    };
    let violations = || {
        let what = if counts.violations == 1 { "violation" } else { "violations" };
        let (explained, consequences) = (counts.explained, counts.consequences);
        format!(
            "{} {what}, {explained} explained by the machine, {consequences} consequences of another",
            counts.violations
        )
    };
    match report.verdict {
        Verdict::Holds => format!("everything measured is within what is proven ({of}){departures}"),
        Verdict::Explained => format!("{}: allowed ({of}){departures}", violations()),
        Verdict::Violated => format!("{} ({of}){departures}", violations()),
        Verdict::Nothing => {
            format!("the records tell of no job that ended, so nothing was compared ({of}){departures}")
        }
        Verdict::Incomplete => {
            format!("everything measured is within what is proven, but not everything was recorded ({of}){departures}")
        }
        Verdict::Void => format!(
            "everything measured is within the plan, but its guarantee was void, so nothing is proven ({of}){departures}; \
             --allow-void passes"
        ),
    }
}

/// Observed beside planned.
fn beside(maximum: &Maximum) -> String {
    if maximum.count == 0 {
        return "-".to_owned();
    }
    let mark = if maximum.above > 0 { " !" } else { "" };
    format!("{}{mark}", of(maximum.max_ns, maximum.allowed_ns))
}

fn of(observed: u64, allowed: Option<u64>) -> String {
    let observed = Duration::from_ns(observed);
    let (observed, allowed) = match allowed {
        Some(allowed) => both(observed, Duration::from_ns(allowed)),
        None => (show(observed), "no bound".to_owned()),
    };
    format!("{observed} / {allowed}")
}

fn tasks(report: &Report, text: &mut String) {
    let mut shown = table(&[
        "task",
        "jobs",
        "response / bound",
        "execution / WCET",
        "release / planned",
        "blocked / assumed",
        "queue",
        "missed",
    ]);
    for task in &report.tasks {
        shown.add_row([
            task.name.to_owned(),
            task.completed.to_string(),
            beside(&task.response),
            beside(&task.execution),
            beside(&task.release),
            beside(&task.blocking),
            format!("{} / {}", task.queue_max, task.queue),
            task.misses.to_string(),
        ]);
    }
    for column in shown.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{shown}");
}

fn interference(report: &Report, text: &mut String) {
    if report.tasks.iter().all(|task| task.interference.is_empty()) {
        return;
    }
    let mut shown = table(&["task", "waited for", "jobs / assumed", "execution / assumed"]);
    for task in &report.tasks {
        for other in &task.interference {
            let jobs = other.jobs_allowed.map_or_else(|| "no bound".to_owned(), |jobs| jobs.to_string());
            shown.add_row([
                task.name.to_owned(),
                other.task.to_owned(),
                format!("{} / {jobs}", other.jobs_max),
                of(other.time_max_ns, other.time_allowed_ns),
            ]);
        }
    }
    for column in shown.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{shown}");
}

fn lanes(report: &Report, text: &mut String) {
    let mut shown = table(&["lane", "policy", "pieces", "hand-over and notice / planned", "waiting at most"]);
    for lane in &report.lanes {
        shown.add_row([
            lane.name.to_owned(),
            lane.policy.to_owned(),
            lane.turns.to_string(),
            beside(&lane.overhead),
            lane.queue_depth_max.to_string(),
        ]);
    }
    for column in shown.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(text, "{shown}");
}

fn rest(report: &Report, text: &mut String) {
    let ns = Duration::from_ns;
    for (what, changes) in [("leaving the mode", &report.modes), ("settling at the level", &report.levels)] {
        for change in changes {
            let time = of(change.longest_ns, Some(change.allowed_ns));
            let _ = writeln!(text, "{what} `{}`: {} times, {time} at most", change.name, change.count);
        }
    }
    for domain in &report.domains {
        let _ = writeln!(
            text,
            "the fault domain `{}` failed {} times and was restored {} times, after {} at most",
            domain.name,
            domain.failures,
            domain.restored,
            show(ns(domain.longest_ns))
        );
    }
}

fn one(violation: &Violation) -> String {
    let kind = if violation.fails { "violation" } else { "departure" };
    let at = show(Duration::from_ns(violation.at_ns));
    let mut text = format!("{kind} at {at}: {}", violation.message);
    if violation.explained {
        text.push_str("; the machine explains it");
    }
    if violation.void {
        text.push_str("; the guarantee was void");
    }
    text.push('\n');
    if let Some(cause) = &violation.consequence_of {
        let _ = writeln!(text, "  a consequence of: {cause}");
    }
    text
}
