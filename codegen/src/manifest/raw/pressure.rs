//! `[pressure.NAME]`.

use toml::Spanned;

use crate::finding::{Code, Finding};
use crate::manifest::model::Span;
use crate::manifest::raw::Thresholds;
use crate::manifest::raw::watch::thresholds;
use crate::manifest::reader::Section;

/// A level of memory pressure.
pub(crate) struct Pressure {
    pub(crate) name: Spanned<String>,
    pub(crate) span: Span,
    /// Empty where the key is absent.
    pub(crate) shed: Option<Vec<Spanned<String>>>,
    /// Empty where the key is absent.
    pub(crate) reject: Option<Vec<Spanned<String>>>,
    /// Whether memory is compacted, and where that is given; without a place it is the default.
    pub(crate) compact: Option<(bool, Option<Span>)>,
    /// What asks for it.
    pub(crate) thresholds: Thresholds,
}

pub(super) fn pressure(name: Spanned<String>, section: &mut Section<'_>) -> Pressure {
    let compact = if section.has("compact") {
        let given = section.boolean("compact");
        given.map(|given| (*given.get_ref(), Some(given.span())))
    } else {
        Some((false, None))
    };
    let idle = matches!(compact, Some((false, _)));
    if idle && !section.has("shed") && !section.has("reject") {
        let message = "a pressure level needs `shed`, `reject` or `compact = true`, or several of them";
        let finding = Finding::error(Code::MissingKey, message);
        let finding = finding.at(section.sink.file, section.span.clone(), "nothing would happen at this level");
        section.sink.push(finding.help(
            "`shed` names the tasks that stop and give their memory back, `reject` those whose arrivals are refused; \
             `compact` lays out anew what stays",
        ));
    }
    Pressure {
        name,
        span: section.span.clone(),
        shed: tasks(section, "shed"),
        reject: tasks(section, "reject"),
        compact,
        thresholds: thresholds(section),
    }
}

/// The tasks that `key` names.
fn tasks(section: &mut Section<'_>, key: &'static str) -> Option<Vec<Spanned<String>>> {
    if section.has(key) { section.names(key, "[\"log\", \"map\"]") } else { Some(Vec::new()) }
}
