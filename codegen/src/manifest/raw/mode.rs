//! `[mode.NAME]`.

use toml::Spanned;

use crate::manifest::model::Span;
use crate::manifest::raw::Thresholds;
use crate::manifest::raw::watch::thresholds;
use crate::manifest::reader::Section;

/// A mode of the vehicle.
pub(crate) struct Mode {
    pub(crate) name: Spanned<String>,
    pub(crate) span: Span,
    pub(crate) tasks: Option<Vec<Spanned<String>>>,
    /// What asks for it.
    pub(crate) thresholds: Thresholds,
}

pub(super) fn mode(name: Spanned<String>, section: &mut Section<'_>) -> Mode {
    let example = "[\"detect\", \"brake\"]";
    let tasks = section.required("tasks", &format!("tasks = {example}"), |s, key| s.names(key, example));
    Mode { name, span: section.span.clone(), tasks, thresholds: thresholds(section) }
}
