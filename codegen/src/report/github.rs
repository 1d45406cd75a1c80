//! Findings as annotations of GitHub's workflow commands, which show them beside the lines of a change.
//!
//! Source: GitHub Docs, "Workflow commands for GitHub Actions". A message ends with its line, so line breaks and percent signs are
//! escaped, and in properties colons and commas as well.

use super::verdict::{Verdict, sentence};
use crate::finding::Severity;
use std::fmt::Write as _;

/// Renders a line for each finding; one without a place is of the manifest.
#[must_use]
pub fn render(verdict: &Verdict<'_>) -> String {
    let mut out = String::new();
    for finding in &verdict.findings {
        let command = match finding.severity {
            _ if verdict.refuses(finding) => "error",
            Severity::Note => "notice",
            _ => "warning",
        };
        let place = finding.place();
        let file = place.map_or(verdict.file, |label| &label.file);
        let _ = write!(out, "::{command} file={}", property(file));
        if let Some((start, end)) = place.and_then(|label| verdict.region(label)) {
            let _ = write!(out, ",line={},endLine={}", start.line, end.line);
            // Columns are of one line.
            if start.line == end.line {
                let _ = write!(out, ",col={},endColumn={}", start.column, end.column);
            }
        }
        let title = format!("{}: {}", finding.code.id(), finding.code.title());
        let _ = writeln!(out, ",title={}::{}", property(&title), data(&sentence(finding)));
    }
    out
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
