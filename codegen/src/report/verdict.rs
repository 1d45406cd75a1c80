//! What other programs are told of a check: its verdict, its tasks, and one list of findings, whatever the format.

use crate::analysis::is_schedulable;
use crate::check::Checked;
use crate::finding::{self, Finding, Label, Position, Severity};
use aegis_core::Duration;
use std::ops::Range;

/// A check as the formats of CI show it.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// The manifest's name, as the user gave it.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// The system's name; the manifest's where it could not be read.
    pub system: &'a str,
    /// Whether the check passes: no error, and no warning where these are denied.
    pub passes: bool,
    /// Whether a warning refuses, too.
    pub denies_warnings: bool,
    /// All findings, ordered by file and place.
    pub findings: Vec<Finding>,
    /// Each task with its bound, in the manifest's order; empty where nothing was analysed.
    pub tasks: Vec<Bound<'a>>,
}

/// A task and its bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound<'a> {
    /// Its name.
    pub task: &'a str,
    /// Its lane's name.
    pub lane: &'a str,
    /// Its period.
    pub period: Duration,
    /// Its deadline, from the arrival.
    pub deadline: Duration,
    /// Its WCET.
    pub wcet: Duration,
    /// The bound of its response, from the arrival; `None` where there is none.
    pub response: Option<Duration>,
    /// Whether it is shown to meet its deadline.
    pub holds: bool,
}

impl<'a> Verdict<'a> {
    /// Of a check.
    #[must_use]
    pub fn of(checked: &'a Checked, file: &'a str, text: &'a str, passes: bool, denies_warnings: bool) -> Self {
        let system = checked.resolved.as_ref().map(|resolved| &resolved.system);
        let mut findings = checked.findings.clone();
        finding::sort(&mut findings);
        let tasks = system.zip(checked.analysis.as_ref()).map_or_else(Vec::new, |(system, analysis)| {
            let all = system.tasks.iter().zip(&analysis.tasks).enumerate();
            let bound =
                |(position, (task, result)): (usize, (&'a crate::system::Task, &crate::analysis::TaskResult))| Bound {
                    task: &task.name,
                    lane: system.lanes.get(task.lane).map_or("", |lane| &lane.name),
                    period: task.period,
                    deadline: task.deadline,
                    wcet: task.wcet,
                    response: result.bound(),
                    holds: is_schedulable(system, analysis, position),
                };
            all.map(bound).collect()
        });
        Self {
            file,
            text,
            system: system.map_or(file, |system| &system.name),
            passes,
            denies_warnings,
            findings,
            tasks,
        }
    }

    /// Whether a finding refuses the manifest.
    #[must_use]
    pub fn refuses(&self, finding: &Finding) -> bool {
        finding.is_error() || self.denies_warnings && finding.severity == Severity::Warning
    }

    /// Where a label begins and ends, the end being the place behind its last character; `None` where it means a whole file or one
    /// whose text is not known.
    #[must_use]
    pub fn region(&self, label: &Label) -> Option<(Position, Position)> {
        let span = label.span.as_ref().filter(|_| label.file == self.file)?;
        Some(self.between(span))
    }

    /// Where a part of the manifest's text begins and ends.
    #[must_use]
    pub fn between(&self, span: &Range<usize>) -> (Position, Position) {
        (Position::of(self.text, span.start), Position::of(self.text, span.end.max(span.start)))
    }
}

/// A finding's message with what would fix it.
#[must_use]
pub fn sentence(finding: &Finding) -> String {
    finding.help.as_ref().map_or_else(|| finding.message.clone(), |help| format!("{}; {help}", finding.message))
}
