//! A check as JUnit's XML, which CI systems show as tests: a suite with a test for each deadline, and one with a test for each finding.
//!
//! A test fails where a deadline is not shown to be met, and for a finding that refuses the manifest; a warning that does not is a
//! test that passes and says so in its output. No times are written: the same check gives the same bytes.

use super::verdict::{Verdict, sentence};
use crate::check::show;
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};
use std::collections::BTreeMap;

/// Renders a check.
///
/// # Errors
/// Only what the writer says, which is an internal error.
pub fn render(verdict: &Verdict<'_>) -> Result<String, SerializeError> {
    let mut report = Report::new(format!("aegis check {}", verdict.file));
    let mut deadlines = TestSuite::new("deadlines");
    for task in &verdict.tasks {
        let response = task.response.map_or_else(|| "no bound".to_owned(), show);
        let words = format!("response {response}, deadline {}", show(task.deadline));
        let status = if task.holds { TestCaseStatus::success() } else { failure("deadline", &words) };
        let mut case = TestCase::new(task.task, status);
        case.set_classname(format!("{}.lane.{}", verdict.system, task.lane)).set_system_out(words);
        deadlines.add_test_case(case);
    }
    report.add_test_suite(deadlines);
    let mut findings = TestSuite::new("findings");
    // Of tests of one name some hosts show one only.
    let mut names = BTreeMap::new();
    for finding in &verdict.findings {
        let words = sentence(finding);
        let place = finding.place();
        let mut at = place.map_or(verdict.file, |label| &label.file).to_owned();
        if let Some((start, _)) = place.and_then(|label| verdict.region(label)) {
            at = format!("{at}:{}:{}", start.line, start.column);
        }
        let refuses = verdict.refuses(finding);
        let status = if refuses { failure(finding.code.id(), &words) } else { TestCaseStatus::success() };
        let mut name = format!("{} {at}", finding.code.id());
        let count = names.entry(name.clone()).or_insert(0_usize);
        *count = count.saturating_add(1);
        if *count > 1 {
            name = format!("{name} #{count}");
        }
        let mut case = TestCase::new(name, status);
        let severity = if refuses { "error" } else { finding.severity.name() };
        case.set_classname(format!("{}.{severity}", verdict.system)).set_system_out(words);
        findings.add_test_case(case);
    }
    // A check without any task or finding is still one, and CI systems take a file without a test for a run that broke.
    let words = if verdict.passes { TestCaseStatus::success() } else { failure("verdict", "the check fails") };
    let mut case = TestCase::new("verdict", words);
    case.set_classname(verdict.system);
    findings.add_test_case(case);
    report.add_test_suite(findings);
    report.to_string()
}

fn failure(kind: &str, words: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(kind).set_message(words);
    status
}
