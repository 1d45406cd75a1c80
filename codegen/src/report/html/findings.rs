//! The findings, each with the lines of the manifest that it speaks of.

use crate::finding::{Finding, Label, Position, Severity};
use crate::report::verdict::Verdict;

/// A finding.
pub(super) struct FindingView<'a> {
    pub(super) severity: &'static str,
    /// The name of its look.
    pub(super) class: &'static str,
    pub(super) sign: &'static str,
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) message: &'a str,
    pub(super) help: Option<&'a str>,
    pub(super) places: Vec<Place<'a>>,
}

/// A place that it points at.
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    pub(super) at: Option<Position>,
    /// The line: what is before what is meant, what is meant, and what is behind.
    pub(super) line: Option<(&'a str, &'a str, &'a str)>,
}

/// All findings of a check, in the order of its verdict.
pub(super) fn views<'a>(verdict: &'a Verdict<'a>) -> Vec<FindingView<'a>> {
    verdict.findings.iter().map(|finding| view(verdict, finding)).collect()
}

fn view<'a>(verdict: &Verdict<'a>, finding: &'a Finding) -> FindingView<'a> {
    let refuses = verdict.refuses(finding);
    let (severity, class, sign) = match finding.severity {
        _ if refuses => ("error", "fail", "✗"),
        Severity::Warning => ("warning", "warn", "⚠"),
        severity => (severity.name(), "note", "ℹ"),
    };
    FindingView {
        severity,
        class,
        sign,
        code: finding.code.id(),
        title: finding.code.title(),
        message: &finding.message,
        help: finding.help.as_deref(),
        places: finding.labels.iter().map(|label| place(verdict, label)).collect(),
    }
}

fn place<'a>(verdict: &Verdict<'a>, label: &'a Label) -> Place<'a> {
    let known = label.span.as_ref().filter(|_| label.file == verdict.file);
    let text = verdict.text;
    let line = known.and_then(|span| {
        let begin = crate::finding::floor(text, span.start);
        let first = text.get(..begin)?.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
        let last = text.get(begin..)?.find('\n').map_or(text.len(), |newline| begin.saturating_add(newline));
        let end = crate::finding::floor(text, span.end).clamp(begin, last);
        Some((text.get(first..begin)?, text.get(begin..end)?, text.get(end..last)?))
    });
    let at = known.map(|span| Position::of(text, span.start));
    Place { file: &label.file, text: &label.text, at, line }
}
