//! Findings for people, in the look that rustc gave to diagnostics.

use std::iter;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Message, Origin, Renderer, Snippet};

use crate::finding::{self, Finding, Label, Severity, floor};

/// Renders all of `findings`, ordered by file and place, and a closing line that counts them.
///
/// `text_of` gives a file's text by the name that the labels carry; a file that it does not know is named
/// without an excerpt. With `color` the text holds ANSI escape sequences. The result ends with a newline.
pub fn render<'t>(findings: &[Finding], text_of: impl Fn(&str) -> Option<&'t str>, color: bool) -> String {
    let mut ordered = findings.to_vec();
    finding::sort(&mut ordered);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for finding in &ordered {
        let groups: Vec<Group<'_>> = iter::once(group(finding, &text_of)).chain(change(finding, &text_of)).collect();
        out.push_str(renderer.render(&groups).trim_end());
        out.push_str("\n\n");
    }
    out.push_str(&tally(&ordered));
    out.push('\n');
    out
}

/// The closing line, such as `2 errors, 1 warning`.
#[must_use]
pub fn tally(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!("{}, {}", plural(count(Severity::Error), "error"), plural(count(Severity::Warning), "warning"))
}

/// One finding with its excerpts: its labels are grouped by file, the fault's own file first.
fn group<'f, 't: 'f>(finding: &'f Finding, text_of: &impl Fn(&str) -> Option<&'t str>) -> Group<'f> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(finding.message.as_str()).id(finding.code.id());
    let mut group = Group::with_title(title);
    for file in files(finding) {
        let labels = || finding.labels.iter().filter(|label| label.file == file);
        if let Some(text) = text_of(file) {
            let spans = labels().filter_map(|label| annotation(label, text)).collect::<Vec<_>>();
            if spans.is_empty() {
                group = group.element(Origin::path(file));
            } else {
                group = group.element(Snippet::source(text).path(file).annotations(spans));
            }
        } else {
            group = group.element(Origin::path(file));
        }
        for label in labels().filter(|label| label.span.is_none() && !label.text.is_empty()) {
            group = group.element(note(label));
        }
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

/// What a finding's changes make of the lines.
fn change<'f, 't: 'f>(finding: &'f Finding, text_of: &impl Fn(&str) -> Option<&'t str>) -> Option<Group<'f>> {
    let file = &finding.patches.first()?.file;
    let text = text_of(file)?;
    let patches = finding.patches.iter().filter(|patch| patch.file == *file).map(|patch| {
        let span = within(text, &patch.span);
        // A line that goes is shown without its end, or the renderer shows the next one as empty.
        let end = text.get(span.clone()).map_or(span.end, |gone| span.start + gone.trim_end_matches('\n').len());
        let span = if patch.replacement.is_empty() { span.start..end } else { span };
        annotate_snippets::Patch::new(span, patch.replacement.as_str())
    });
    let removes = finding.patches.iter().all(|patch| patch.replacement.is_empty());
    let title = if removes { "remove it" } else { "write this instead" };
    Some(
        Group::with_title(Level::HELP.secondary_title(title))
            .element(Snippet::source(text).path(file).patches(patches)),
    )
}

/// The files that a finding points into, each once, the fault's own first.
fn files(finding: &Finding) -> Vec<&str> {
    let mut files: Vec<&str> = Vec::new();
    for label in finding.place().into_iter().chain(&finding.labels) {
        if !files.contains(&label.file.as_str()) {
            files.push(&label.file);
        }
    }
    files
}

/// The marked place of a label that has one.
fn annotation<'f>(label: &'f Label, text: &str) -> Option<Annotation<'f>> {
    let kind = if label.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
    let span = within(text, label.span.as_ref()?);
    let caption = (!label.text.is_empty()).then_some(label.text.as_str());
    Some(kind.span(span).label(caption))
}

/// What a label says of its file as a whole.
fn note(label: &Label) -> Message<'_> {
    Level::NOTE.message(label.text.as_str())
}

/// The part of `span` that lies in `text`, on character boundaries.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = floor(text, span.start);
    start..floor(text, span.end).max(start)
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::finding::{Code, Finding};

    #[test]
    fn a_finding_shows_both_places_and_the_help() {
        let text = "[a]\nx = 1\ny = 2\n";
        let finding = Finding::error(Code::WrongType, "x is not y")
            .at("a.toml", 8..9, "this")
            .also("a.toml", 14..15, "that")
            .help("make them equal");
        let shown = render(&[finding], |_| Some(text), false);
        assert_eq!(
            shown,
            "\
error[AEG005]: x is not y
 --> a.toml:2:5
  |
2 | x = 1
  |     ^ this
3 | y = 2
  |     - that
  |
  = help: make them equal

1 error, 0 warnings
"
        );
    }

    #[test]
    fn colours_appear_only_when_asked_for() {
        let finding = Finding::warning(Code::UnusedLane, "unused").in_file("gone.toml", "as a whole");
        let plain = render(std::slice::from_ref(&finding), |_| None, false);
        assert!(!plain.contains('\u{1b}'));
        assert!(plain.contains("--> gone.toml"));
        assert!(plain.ends_with("0 errors, 1 warning\n"));
        assert!(render(&[finding], |_| None, true).contains('\u{1b}'));
    }

    #[test]
    fn places_beyond_the_text_or_inside_a_character_do_not_panic() {
        for span in [0..0, 1..2, 3..99, 98..99] {
            let finding = Finding::warning(Code::Syntax, "odd").at("a", span, "here");
            assert!(render(&[finding], |_| Some("é\n"), false).contains("odd"));
        }
    }
}
