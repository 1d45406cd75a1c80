//! What `[domain.NAME]` says.

use aegis_core::desc::MOST_RESTARTS;
use aegis_core::time::Duration;
use aegis_core::units::Bytes;
use toml::Spanned;

use crate::finding::{Code, Finding};
use crate::manifest::model::Span;
use crate::manifest::reader::Section;

/// A lane's name with a core; without one where something of it was reported.
pub(crate) type NamedCore = (Spanned<String>, Option<Spanned<u16>>);

/// `[domain.NAME]`.
pub(crate) struct Domain {
    pub(crate) name: Spanned<String>,
    pub(crate) span: Span,
    pub(crate) hand_over: Option<Spanned<Duration>>,
    pub(crate) blackout: Option<Spanned<Duration>>,
    pub(crate) kill_after: Option<Spanned<Duration>>,
    pub(crate) heartbeat: Option<Spanned<Duration>>,
    pub(crate) memory: Option<Spanned<Bytes>>,
    /// How often its process is started again, if it is; the inner one is `None` where it is not readable.
    pub(crate) restart: Option<Option<Restart>>,
    /// The mode that is asked for when it fails.
    pub(crate) meanwhile: Option<Spanned<String>>,
    pub(crate) cores_key: Option<Span>,
    /// For each lane that is named; `None` where something of all was reported.
    pub(crate) cores: Option<Vec<NamedCore>>,
}

/// `restart = { … }`.
pub(crate) struct Restart {
    pub(crate) span: Span,
    pub(crate) max: Spanned<u8>,
    pub(crate) within: Spanned<Duration>,
    pub(crate) back_off: Option<Spanned<Duration>>,
    pub(crate) probation: Option<Spanned<Duration>>,
    pub(crate) blackout: Option<Spanned<Duration>>,
}

pub(super) fn domain(name: Spanned<String>, section: &mut Section<'_>) -> Domain {
    section.planned(
        &["trust"],
        "trust is a model's: say trust = \"none\" in its [model.NAME], and its domain is trusted no more than it",
    );
    let restart = if section.is_table("restart") {
        Some(restart(section))
    } else {
        never(section);
        None
    };
    Domain {
        name,
        span: section.span.clone(),
        hand_over: section.duration("hand-over", true),
        blackout: section.duration("fault-blackout", true),
        kill_after: section.duration("kill-after", false),
        heartbeat: section.duration("heartbeat", false),
        memory: section.size("memory"),
        restart,
        meanwhile: section.text("meanwhile"),
        cores_key: section.key_span("cores"),
        cores: cores(section),
    }
}

/// For each lane that is named a core.
fn cores(section: &mut Section<'_>) -> Option<Vec<NamedCore>> {
    if !section.has("cores") {
        return Some(Vec::new());
    }
    let table = section.section("cores", "a table such as { main = 2 }")?;
    let mut cores = Vec::new();
    for (lane, value) in table.pairs() {
        let core = table.small_of(lane.get_ref(), value);
        cores.push((lane, core));
    }
    Some(cores)
}

impl Domain {
    /// Each lane that a core is named for, with it.
    pub(crate) fn named_cores(&self) -> &[NamedCore] {
        self.cores.as_deref().unwrap_or_default()
    }
}

/// The only word for what is no table.
fn never(section: &mut Section<'_>) {
    let Some(word) = section.word("restart", "never").filter(|word| word.get_ref() != "never") else { return };
    let message = format!("`restart` of {} has no value \"{}\"", section.title(), word.get_ref());
    let finding = Finding::error(Code::UnknownValue, message).at(section.sink.file, word.span(), "not known");
    section
        .sink
        .push(finding.help("say \"never\", or how often, such as { max = 3, within = \"10s\", blackout = \"2ms\" }"));
}

fn restart(section: &mut Section<'_>) -> Option<Restart> {
    let mut table = section.section("restart", "\"never\", or a table such as { max = 3, within = \"10s\" }")?;
    let most = u8::try_from(MOST_RESTARTS).unwrap_or(u8::MAX);
    let max = table.required("max", "max = 3", |table, key| table.count(key, 1, most));
    let within = table.required("within", "within = \"10s\"", |table, key| table.duration(key, false));
    let (back_off, probation) = (table.duration("back-off", false), table.duration("probation", true));
    let blackout = table.duration("blackout", true);
    let span = table.span.clone();
    table.finish();
    Some(Restart { span, max: max?, within: within?, back_off, probation, blackout })
}
