//! `[watch]`, and the `when` and `until` of levels and modes.

use aegis_core::desc::{WatchDesc, WatchedSource};
use aegis_core::time::Duration;
use toml::Spanned;

use crate::finding::{Code, Finding};
use crate::manifest::model::{Manifest, Span};
use crate::manifest::reader::Section;

/// How often sources are looked at.
pub(crate) struct Watch {
    pub(crate) span: Span,
    /// `None` where it is not readable.
    pub(crate) interval: Option<Duration>,
    /// `None` where it is not readable.
    pub(crate) hold: Option<Duration>,
}

/// From which reading on a level or a mode is asked for, and until which one.
pub(crate) struct Threshold {
    pub(crate) source: WatchedSource,
    pub(crate) when: Spanned<u64>,
    /// The value that follows from `when` where the manifest gives none, with the place of that one.
    pub(crate) until: Spanned<u64>,
}

/// What a level or a mode is asked for by: empty where it is not watched, `None` where that is not readable.
pub(crate) type Thresholds = Option<Vec<Threshold>>;

pub(super) fn watch(root: &mut Section<'_>) -> Option<Watch> {
    let mut section = root.top("watch")?;
    let interval = time(&mut section, "interval", Manifest::WATCH_INTERVAL, (WatchDesc::SHORTEST, WatchDesc::LONGEST));
    let least = interval.unwrap_or(WatchDesc::SHORTEST);
    let hold = time(&mut section, "hold", Manifest::WATCH_HOLD.max(least), (least, WatchDesc::LONGEST_HOLD));
    let span = section.span.clone();
    section.finish();
    Some(Watch { span, interval, hold })
}

/// A time within these bounds, both included.
fn time(
    section: &mut Section<'_>,
    key: &'static str,
    default: Duration,
    (least, most): (Duration, Duration),
) -> Option<Duration> {
    if !section.has(key) {
        return Some(default);
    }
    let given = section.duration(key, false)?;
    if (least..=most).contains(given.get_ref()) {
        return Some(given.into_inner());
    }
    let seconds = |time: Duration| format!("{} ms", time.as_ns().div_euclid(1_000_000));
    let message = format!("`{key}` of [watch] must be from {} to {}", seconds(least), seconds(most));
    let finding = Finding::error(Code::NumberOutOfRange, message);
    let finding = finding.at(section.sink.file, given.span(), "out of range");
    section.sink.push(
        finding.help(
            "level and mode change at most once a second, and what was asked for is held for at least one interval",
        ),
    );
    None
}

/// The thresholds of a level or a mode.
pub(super) fn thresholds(section: &mut Section<'_>) -> Thresholds {
    let (is_watched, limit) = (section.key_span("when"), section.key_span("until"));
    if is_watched.is_none()
        && let Some(span) = limit
    {
        let finding = Finding::error(Code::UnusedWatch, "an `until` without `when` ends nothing");
        let finding = finding.at(section.sink.file, span, "until this, but from when on?");
        section.sink.push(finding.help("add `when`, for example `when = { free-memory = \"512MiB\" }`"));
        return None;
    }
    let Some(place) = is_watched else { return Some(Vec::new()) };
    let when = values(section, "when")?;
    let until = if limit.is_some() { values(section, "until")? } else { Vec::new() };
    if when.is_empty() {
        let finding = Finding::error(Code::MissingKey, "`when` names no source").at(section.sink.file, place, "empty");
        section.sink.push(finding.help("add a threshold, for example `free-memory = \"512MiB\"`"));
        return None;
    }
    for (source, value) in until.iter().filter(|(source, _)| when.iter().all(|(other, _)| other != source)) {
        let message = format!("`until` has a threshold of {}, `when` has none", source.name());
        let finding = Finding::error(Code::UnusedWatch, message).at(section.sink.file, value.span(), "ends nothing");
        section.sink.push(finding.also(section.sink.file, place.clone(), "").help("name it in both, or in neither"));
    }
    let threshold = |(source, when): (WatchedSource, Spanned<u64>)| {
        let given = until.iter().find(|(other, _)| *other == source).map(|(_, value)| value.clone());
        let until = given.unwrap_or_else(|| Spanned::new(when.span(), implied(source, *when.get_ref())));
        Threshold { source, when, until }
    };
    Some(when.into_iter().map(threshold).collect())
}

/// Where a threshold without an `until` ends: at half the share, or with a quarter more free.
fn implied(source: WatchedSource, when: u64) -> u64 {
    if source.is_short_when_low() { when.saturating_add(when.div_ceil(4)) } else { when.div_euclid(2) }
}

/// The sources that a table names, in the order of [`WatchedSource::ALL`]; `None` where one of them is not readable.
fn values(section: &mut Section<'_>, key: &'static str) -> Option<Vec<(WatchedSource, Spanned<u64>)>> {
    let mut table = section.section(key, "a table such as { free-memory = \"512MiB\" }")?;
    let mut found = Vec::new();
    let mut complete = true;
    for source in WatchedSource::ALL {
        let name = source.name();
        if !table.has(name) {
            continue;
        }
        let value = if source.is_short_when_low() {
            table.size(name).map(|size| Spanned::new(size.span(), size.get_ref().0))
        } else {
            table.percent(name, key == "until")
        };
        complete &= value.is_some();
        found.extend(value.map(|value| (source, value)));
    }
    table.finish();
    complete.then_some(found)
}
