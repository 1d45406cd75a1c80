//! `wcet-from` and `exceedance`, of the whole system, of a task or of a stage.

use toml::Spanned;

use crate::manifest::model::{Exceedance, Span};
use crate::manifest::reader::Section;

/// What the two keys say.
#[derive(Clone, Default)]
pub(crate) struct WcetKeys {
    /// Where `wcet-from` is given, be it readable or not.
    pub(crate) from_key: Option<Span>,
    /// Whether it is the tail.
    pub(crate) is_tail: Option<Spanned<bool>>,
    /// Where `exceedance` is given, be it readable or not.
    pub(crate) exceedance_key: Option<Span>,
    pub(crate) exceedance: Option<Spanned<Exceedance>>,
}

impl WcetKeys {
    /// Whether a WCET comes from a tail: as these keys say, or else those of the system; `None` where that cannot be read.
    pub(crate) fn is_tail(&self, system: Option<&Self>) -> Option<bool> {
        let said =
            |keys: &Self| keys.from_key.as_ref().map(|_| keys.is_tail.as_ref().map(|is_tail| *is_tail.get_ref()));
        said(self).or_else(|| said(system?)).unwrap_or(Some(false))
    }
}

/// Reads both keys.
pub(super) fn keys(section: &mut Section<'_>) -> WcetKeys {
    WcetKeys {
        from_key: section.key_span("wcet-from"),
        is_tail: section.choice("wcet-from", &[("max", false), ("tail", true)], &[]),
        exceedance_key: section.key_span("exceedance"),
        exceedance: section.exceedance("exceedance"),
    }
}
