//! The table of tasks that is redrawn while a vehicle runs, and printed once at its end.

use crate::stats::TaskStats;
use aegis_core::Duration;
use aegis_core::desc::SystemDesc;
use std::fmt::Write as _;

/// The table as text, one line per task under a heading.
#[must_use]
pub fn render(system: &SystemDesc, stats: &[TaskStats], elapsed: Duration) -> String {
    let width = system.tasks.iter().map(|task| task.name.chars().count()).max().unwrap_or(0).max(4);
    let seconds = elapsed.as_ns() / 1_000_000_000;
    let mut text = format!("{} · {seconds} s\n", system.name);
    let _ = writeln!(
        text,
        "{:<width$} {:>9} {:>6} {:>7} {:>7} {:>7} {:>6} {:>11} {:>11} {:>11} {:>7}",
        "task", "jobs", "missed", "overran", "refused", "skipped", ">bound", "max R", "mean R", "bound", "R/bound"
    );
    for (task, stats) in system.tasks.iter().zip(stats) {
        let TaskStats { jobs, misses, overruns, rejected, skipped, exceeded, max_response, .. } = *stats;
        let (max, mean, bound) = (ms(max_response), ms(stats.mean_response()), ms(task.response_bound));
        let percent = stats.ratio_ppm(task.response_bound) / 10_000;
        let _ = writeln!(
            text,
            "{:<width$} {jobs:>9} {misses:>6} {overruns:>7} {rejected:>7} {skipped:>7} {exceeded:>6} {max:>11} {mean:>11} \
             {bound:>11} {percent:>5} %",
            task.name
        );
    }
    text
}

/// Milliseconds with three decimals, rounded up, so that no response and no bound looks shorter than it is.
#[must_use]
pub fn ms(value: Duration) -> String {
    let us = value.as_ns().div_ceil(1_000);
    format!("{}.{:03} ms", us / 1_000, us % 1_000)
}

/// Redraws a table over its former self on a terminal.
#[derive(Debug, Default)]
pub struct Live {
    lines: usize,
}

impl Live {
    /// The text that moves the cursor back, erases the former table and writes the new one.
    #[must_use]
    pub fn redraw(&mut self, table: &str) -> String {
        let back = if self.lines > 0 { format!("\x1b[{}A\x1b[J", self.lines) } else { String::new() };
        self.lines = table.lines().count();
        back + table
    }

    /// The text that erases the last table.
    #[must_use]
    pub fn erase(&mut self) -> String {
        let text = self.redraw("");
        self.lines = 0;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Live, ms, render};
    use crate::fixture;
    use crate::stats::TaskStats;
    use aegis_core::Duration;

    #[test]
    fn the_table_has_a_line_per_task_and_aligned_columns() {
        let system = fixture::system(&[(10, 2), (20, 3)]);
        let stats = TaskStats { jobs: 12, max_response: Duration::from_ns(2_500_000), ..TaskStats::default() };
        let table = render(system, &[stats, TaskStats::default()], Duration::from_ns(3_000_000_000));
        let lines: Vec<_> = table.lines().collect();
        assert_eq!((lines.len(), lines[0]), (4, "fixture · 3 s"));
        assert!(lines[2].starts_with("face        12") && lines[2].contains("2.500 ms"), "{table}");
        assert!(lines[2].ends_with("25 %"), "{table}");
        assert_eq!(lines[2].len(), lines[3].len());
        assert_eq!(ms(Duration::from_ns(1_234_567)), "1.235 ms");
    }

    #[test]
    fn the_live_table_erases_what_it_drew() {
        let mut live = Live::default();
        assert_eq!(live.redraw("a\nb\n"), "a\nb\n");
        assert_eq!(live.redraw("c\n"), "\x1b[2A\x1b[Jc\n");
        assert_eq!(live.erase(), "\x1b[1A\x1b[J");
        assert_eq!(live.erase(), "");
    }
}
