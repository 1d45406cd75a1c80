//! A finding is one diagnostic: what is wrong, where, and what would fix it.
//!
//! Every room of the generator returns findings instead of printing them, and none stops at its first one.
//! How they look is decided in [`crate::report`].

mod codes;
mod declare;
mod fix;

use std::ops::Range;

pub use codes::Code;
pub use fix::fixed;

/// How much a finding weighs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Severity {
    /// The manifest is refused.
    Error,
    /// The manifest is accepted, but is probably not what was meant.
    Warning,
    /// Something worth knowing.
    Note,
}

impl Severity {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One place that a finding points at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// The file's name, as the user gave it.
    pub file: String,
    /// The place in the file's text, in bytes; `None` means the file as a whole.
    pub span: Option<Range<usize>>,
    /// What is to be seen there; may be empty.
    pub text: String,
    /// Whether the fault is here; other labels show what it conflicts with.
    pub primary: bool,
}

impl Label {
    /// The line and column where the label begins in `text`, the text of [`Label::file`].
    ///
    /// `None` where the label means the file as a whole.
    #[must_use]
    pub fn position(&self, text: &str) -> Option<Position> {
        self.span.as_ref().map(|span| Position::of(text, span.start))
    }
}

/// A place in a text as people count: from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The position of the character that contains the byte at `byte`.
    ///
    /// A `byte` beyond the text's end counts as its end.
    #[must_use]
    pub fn of(text: &str, byte: usize) -> Self {
        let before = text.get(..floor(text, byte)).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        let column = before.chars().count() - before.get(..line_start).map_or(0, |s| s.chars().count()) + 1;
        Self { line, column }
    }
}

/// The last character boundary of `text` at or before `byte`.
pub(crate) fn floor(text: &str, byte: usize) -> usize {
    let mut at = byte.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A change of one place that fixes a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patch {
    /// The file's name, as the user gave it.
    pub file: String,
    /// What it replaces, in bytes of the file's text; empty where it only inserts.
    pub span: Range<usize>,
    /// What comes there.
    pub replacement: String,
}

/// One diagnostic.
///
/// ```
/// use aegis_codegen::finding::{Code, Finding};
/// let finding = Finding::error(Code::NumberOutOfRange, "the period must be longer than zero")
///     .at("system.toml", 10..15, "this is zero")
///     .help("give the time between two arrivals, for example \"33ms\"");
/// assert!(finding.is_error());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which rule was broken.
    pub code: Code,
    /// How much it weighs.
    pub severity: Severity,
    /// What is wrong, with the values involved, in one sentence without a full stop.
    pub message: String,
    /// What would fix it.
    pub help: Option<String>,
    /// The places it points at, the primary one first.
    pub labels: Vec<Label>,
    /// A change that fixes it without a decision that only a person can make; where there are several, all of them together.
    pub patches: Vec<Patch>,
}

impl Finding {
    /// A finding that refuses the manifest.
    #[must_use]
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message)
    }

    /// A finding that does not refuse the manifest.
    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message)
    }

    /// A finding without places.
    #[must_use]
    pub fn new(code: Code, severity: Severity, message: impl Into<String>) -> Self {
        Self { code, severity, message: message.into(), help: None, labels: Vec::new(), patches: Vec::new() }
    }

    /// Adds the place of the fault.
    #[must_use]
    pub fn at(self, file: &str, span: Range<usize>, text: impl Into<String>) -> Self {
        self.label(file, Some(span), text, true)
    }

    /// Adds a place that the fault conflicts with or follows from.
    #[must_use]
    pub fn also(self, file: &str, span: Range<usize>, text: impl Into<String>) -> Self {
        self.label(file, Some(span), text, false)
    }

    /// Names a file as a whole as the place of the fault.
    #[must_use]
    pub fn in_file(self, file: &str, text: impl Into<String>) -> Self {
        self.label(file, None, text, true)
    }

    /// Says what would fix it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a change that fixes it, together with those that it has.
    #[must_use]
    pub fn patch(mut self, file: &str, span: Range<usize>, replacement: impl Into<String>) -> Self {
        self.patches.push(Patch { file: file.to_owned(), span, replacement: replacement.into() });
        self
    }

    /// Whether the manifest is refused.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The place of the fault: the first primary label, or else the first label.
    #[must_use]
    pub fn place(&self) -> Option<&Label> {
        self.labels.iter().find(|label| label.primary).or_else(|| self.labels.first())
    }

    fn label(mut self, file: &str, span: Option<Range<usize>>, text: impl Into<String>, primary: bool) -> Self {
        self.labels.push(Label { file: file.to_owned(), span, text: text.into(), primary });
        self
    }
}

/// Whether any of `findings` refuses the manifest.
#[must_use]
pub fn any_error(findings: &[Finding]) -> bool {
    findings.iter().any(Finding::is_error)
}

/// Orders findings as reports list them: by file, place and code; those without a place come last.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| key(a).cmp(&key(b)));
}

/// What findings are ordered by.
fn key(finding: &Finding) -> (bool, &str, usize, &'static str, &str) {
    let place = finding.place();
    (
        place.is_none(),
        place.map_or("", |label| &label.file),
        place.and_then(|label| label.span.as_ref()).map_or(0, |span| span.start),
        finding.code.id(),
        &finding.message,
    )
}

#[cfg(test)]
mod tests {
    use super::{Code, Finding, Position, sort};
    use std::collections::HashSet;

    #[test]
    fn every_code_is_unique_ordered_and_explained() {
        let mut ids = HashSet::new();
        let mut titles = HashSet::new();
        let mut last = "";
        for &code in Code::ALL {
            let id = code.id();
            assert!(ids.insert(id), "{id} is given twice");
            assert!(titles.insert(code.title()), "{id} has another code's title");
            assert!(last < id, "{id} stands after {last}");
            last = id;
            let digits = id.strip_prefix("AEG").expect("the prefix is AEG");
            assert!(digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()), "{id}");
            assert!(code.explain().ends_with('.'), "{id} is explained in sentences");
            assert!(!code.title().ends_with('.'), "{id} has a title, not a sentence");
            assert_eq!(Code::from_id(id), Some(code));
            assert_eq!(Code::from_id(&id.to_lowercase()), Some(code));
        }
        assert_eq!(Code::from_id("AEG"), None);
        assert_eq!(Code::from_id("AEG999"), None);
    }

    #[test]
    fn a_position_counts_characters_from_one() {
        let text = "aé\n→b\n";
        let at = |byte| {
            let Position { line, column } = Position::of(text, byte);
            (line, column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(1), (1, 2));
        assert_eq!(at(2), (1, 2), "inside é");
        assert_eq!(at(3), (1, 3));
        assert_eq!(at(4), (2, 1));
        assert_eq!(at(7), (2, 2));
        assert_eq!(at(9), (3, 1));
        assert_eq!(at(99), (3, 1));
        assert_eq!(Position::of("", 0), Position { line: 1, column: 1 });
    }

    #[test]
    fn findings_are_ordered_by_file_and_place_and_the_placeless_come_last() {
        let bare = Finding::error(Code::Syntax, "bare");
        let late = Finding::error(Code::Syntax, "late").at("b.toml", 9..10, "");
        let early = Finding::error(Code::WrongType, "early").at("b.toml", 2..3, "");
        let other = Finding::warning(Code::Syntax, "other").in_file("a.toml", "");
        let mut all = [bare.clone(), late.clone(), early.clone(), other.clone()];
        sort(&mut all);
        assert_eq!(all, [other, early, late, bare]);
    }
}
