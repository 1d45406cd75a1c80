//! Where the reader's findings go, and what it asked for.

use std::cell::RefCell;

use crate::finding::Finding;
use crate::manifest::asked::Asked;
use crate::manifest::model::Span;
use crate::manifest::removal::removal;

/// Where findings about one file go.
pub(crate) struct Sink<'s> {
    /// The file's name, as the user gave it.
    pub(crate) file: &'s str,
    /// Its text.
    text: &'s str,
    findings: RefCell<Vec<Finding>>,
    pub(super) asked: RefCell<Asked>,
}

impl<'s> Sink<'s> {
    pub(crate) const fn new(file: &'s str, text: &'s str) -> Self {
        Self { file, text, findings: RefCell::new(Vec::new()), asked: RefCell::new(Asked::new()) }
    }

    /// The finding, with a change that removes the entry whose key or value lies at `place`, where that stands on lines of its own.
    pub(crate) fn without(&self, finding: Finding, place: &Span) -> Finding {
        match removal(self.text, place) {
            Some(lines) => finding.patch(self.file, lines, ""),
            None => finding,
        }
    }

    pub(crate) fn push(&self, finding: Finding) {
        self.findings.borrow_mut().push(finding);
    }

    /// The finding, with a change that writes `word` where a name stands at `place`: between quotes where that one is.
    pub(crate) fn instead(&self, finding: Finding, place: &Span, word: &str) -> Finding {
        let is_quoted = self.text.get(place.clone()).is_some_and(|old| old.starts_with(['"', '\'']));
        finding.patch(self.file, place.clone(), if is_quoted { format!("\"{word}\"") } else { word.to_owned() })
    }

    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.findings.into_inner()
    }

    pub(crate) fn into_asked(self) -> Asked {
        self.asked.into_inner()
    }
}
