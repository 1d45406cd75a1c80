//! The rules of what is watched.

use aegis_core::desc::WatchedSource;
use toml::Spanned;

use super::Links;
use crate::finding::{Code, Finding};
use crate::manifest::model::Span;
use crate::manifest::raw::{Raw, Threshold, Thresholds};
use crate::manifest::reader::Sink;

/// A level or a mode as these rules see it: what it is, its name, and its thresholds.
type Watched<'r> = (&'static str, &'r str, &'r [Threshold]);

/// Applies the rules to all levels and to all modes.
pub(super) fn check(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    fn of<'r>(what: &'static str, name: &'r Spanned<String>, thresholds: &'r Thresholds) -> Watched<'r> {
        (what, name.get_ref(), thresholds.as_deref().unwrap_or_default())
    }
    let levels: Vec<Watched<'_>> =
        raw.pressure.iter().map(|level| of("pressure level", &level.name, &level.thresholds)).collect();
    let modes: Vec<Watched<'_>> = raw.modes.iter().map(|mode| of("mode", &mode.name, &mode.thresholds)).collect();
    for list in [&levels, &modes] {
        for (position, watched) in list.iter().enumerate() {
            ends(watched, sink);
            in_order(list.get(..position).unwrap_or_default(), watched, sink);
        }
    }
    // Where all memory has pages nothing moves.
    let used = super::pressure::devices_of_models(raw, links);
    let may_move = used.into_iter().filter_map(|device| raw.devices.get(device)).any(|device| !device.has_pages);
    for level in raw.pressure.iter().filter(|_| may_move) {
        if let (Some([first, ..]), Some((true, Some(place)))) = (level.thresholds.as_deref(), &level.compact) {
            compacts(level.name.get_ref(), first, place.clone(), sink);
        }
    }
    // What cannot be read may have been meant to be watched.
    let is_watched = |thresholds: &Thresholds| thresholds.as_ref().is_none_or(|list| !list.is_empty());
    let is_used = raw.pressure.iter().any(|level| is_watched(&level.thresholds))
        || raw.modes.iter().any(|mode| is_watched(&mode.thresholds));
    let incomplete = raw.incomplete.contains(&"pressure") || raw.incomplete.contains(&"mode");
    if let (Some(watch), false, false) = (&raw.watch, is_used, incomplete) {
        let finding = Finding::error(Code::UnusedWatch, "[watch] says how often to look, but nothing is watched");
        let finding = finding.at(sink.file, watch.span.clone(), "no level and no mode has a `when`");
        sink.push(finding.help("give a pressure level or a mode a `when`, or remove [watch]"));
    }
}

/// Each threshold is left on its milder side.
fn ends((what, name, thresholds): &Watched<'_>, sink: &Sink<'_>) {
    for threshold in *thresholds {
        let Threshold { source, when, until } = threshold;
        if source.is_severer(*when.get_ref(), *until.get_ref()) {
            continue;
        }
        let (from, to) = (shown(*source, *when.get_ref()), shown(*source, *until.get_ref()));
        let message = format!("the {what} `{name}` is asked for by {} at {from}, and until {to}", source.name());
        let side = if source.is_short_when_low() { "above" } else { "below" };
        let finding = Finding::error(Code::UntilNotBeyond, message);
        let finding = finding.at(sink.file, until.span(), format!("must be {side} {from}"));
        let finding = finding.also(sink.file, when.span(), "asks here");
        sink.push(
            finding.help("leave some room between the two, so that a reading near them does not ask again and again"),
        );
    }
}

/// A severer one is asked for later than every milder one by the same source, and not for longer.
fn in_order(milder: &[Watched<'_>], (what, name, thresholds): &Watched<'_>, sink: &Sink<'_>) {
    for threshold in *thresholds {
        let of_source = |list: &[Threshold]| list.iter().position(|other| other.source == threshold.source);
        let before = milder.iter().rev().find_map(|(_, name, list)| Some((*name, list.get(of_source(list)?)?)));
        let Some((before, other)) = before else { continue };
        let source = threshold.source;
        let (own, others) = (*threshold.when.get_ref(), *other.when.get_ref());
        let complain = |message: String, at: Span, also: Span, help: &str| {
            let finding = Finding::error(Code::LevelsOutOfOrder, message).at(sink.file, at, "of the severer one");
            sink.push(finding.also(sink.file, also, "of the milder one").help(help));
        };
        let help = format!("{what}s are listed from the mildest to the severest: exchange the values, or the tables");
        if !source.is_severer(own, others) {
            let (own, others) = (shown(source, own), shown(source, others));
            let name_of = source.name();
            let message = format!(
                "{name_of} asks for the {what} `{name}` at {own}, no later than for the milder `{before}` at {others}"
            );
            complain(message, threshold.when.span(), other.when.span(), &help);
            continue;
        }
        let (own, others) = (*threshold.until.get_ref(), *other.until.get_ref());
        if source.is_severer(others, own) {
            let (own, others) = (shown(source, own), shown(source, others));
            let name_of = source.name();
            let message = format!(
                "{name_of} asks for the {what} `{name}` until {own}, longer than for the milder `{before}` until {others}"
            );
            complain(message, threshold.until.span(), other.until.span(), &help);
        }
    }
}

/// A level that moves something cannot be gone to by a running vehicle.
fn compacts(name: &str, threshold: &Threshold, place: Span, sink: &Sink<'_>) {
    let message = format!("the pressure level `{name}` compacts, so this version cannot go to it when a source asks");
    let finding = Finding::error(Code::Unsupported, message).at(sink.file, threshold.when.span(), "asks for it");
    let finding = finding.also(sink.file, place, "compacts");
    sink.push(
        finding.help("give every device its `page-size`, where nothing has to move, or remove `when` or `compact`"),
    );
}

/// A reading as people write it.
fn shown(source: WatchedSource, value: u64) -> String {
    if source.is_short_when_low() {
        format!("{value} bytes free")
    } else {
        format!("{}.{:02} %", value.div_euclid(100), value.rem_euclid(100))
    }
}
