//! What `[domain.NAME]` says.

use aegis_core::time::Duration;
use aegis_core::units::Bytes;
use toml::Spanned;

use crate::manifest::model::Span;
use crate::manifest::reader::Section;

/// `[domain.NAME]`.
pub(crate) struct Domain {
    pub(crate) name: Spanned<String>,
    pub(crate) span: Span,
    pub(crate) hand_over: Option<Spanned<Duration>>,
    pub(crate) blackout: Option<Spanned<Duration>>,
    pub(crate) kill_after: Option<Spanned<Duration>>,
    pub(crate) heartbeat: Option<Spanned<Duration>>,
    pub(crate) memory: Option<Spanned<Bytes>>,
}

pub(super) fn domain(name: Spanned<String>, section: &mut Section<'_>) -> Domain {
    section.planned(
        &["trust"],
        "trust is a model's: say trust = \"none\" in its [model.NAME], and its domain is trusted no more than it",
    );
    if section.is_table("restart") {
        let help = "a domain that has failed stays so until the vehicle ends: this version ends its process and starts no other; \
                    leave it out, or say restart = \"never\"";
        section.planned(&["restart"], help);
    } else {
        section.choice("restart", &[("never", ())], &[]);
    }
    Domain {
        name,
        span: section.span.clone(),
        hand_over: section.duration("hand-over", true),
        blackout: section.duration("fault-blackout", true),
        kill_after: section.duration("kill-after", false),
        heartbeat: section.duration("heartbeat", false),
        memory: section.size("memory"),
    }
}
