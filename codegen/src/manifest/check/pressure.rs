//! The rules of pressure levels.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use super::{LevelLinks, Links};
use crate::finding::{Code, Finding};
use crate::manifest::model::Span;
use crate::manifest::raw::{Chain, Pressure, Raw};
use crate::manifest::reader::Sink;

/// What a level does to the tasks of one of its lists, as messages say it.
const SHEDS: &str = "sheds";
const REJECTS: &str = "rejects";

/// Applies the rules to every level.
pub(super) fn check(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    for (level, found) in raw.pressure.iter().zip(&links.pressure) {
        repeats(level, sink);
        remains(raw, level, found, sink);
        for (chain, members) in raw.chains.iter().zip(&links.chains) {
            if let Some(members) = members {
                chained(chain, members, level, found, sink);
            }
        }
    }
    copies(raw, links, sink);
}

/// The names of a level's lists, each with what happens to its task.
fn names(level: &Pressure) -> impl Iterator<Item = (&'static str, &Spanned<String>)> {
    let shed = level.shed.iter().flatten().map(|name| (SHEDS, name));
    shed.chain(level.reject.iter().flatten().map(|name| (REJECTS, name)))
}

/// No task is in a level twice.
fn repeats(level: &Pressure, sink: &Sink<'_>) {
    let mut seen: BTreeMap<&str, (&str, Span)> = BTreeMap::new();
    for (does, name) in names(level) {
        let (task, level) = (name.get_ref().as_str(), level.name.get_ref());
        let Some((first, place)) = seen.get(task) else {
            seen.insert(task, (does, name.span()));
            continue;
        };
        let (message, help) = if *first == does {
            (format!("the pressure level `{level}` {does} the task `{task}` twice"), "remove one of them")
        } else {
            let help = "remove one of them: a task that is shed has no arrivals, and no memory either";
            (format!("the pressure level `{level}` both {first} and {does} the task `{task}`"), help)
        };
        let finding = Finding::error(Code::RepeatedInLevel, message)
            .at(sink.file, name.span(), format!("{does} it"))
            .also(sink.file, place.clone(), format!("{first} it"));
        sink.push(finding.help(help));
    }
}

/// A level leaves at least one task.
fn remains(raw: &Raw, level: &Pressure, found: &LevelLinks, sink: &Sink<'_>) {
    let (Some(names), Some(shed)) = (&level.shed, &found.shed) else { return };
    let all = raw.members.len();
    if raw.incomplete.contains(&"task") || shed.iter().collect::<BTreeSet<_>>().len() < all {
        return;
    }
    let (Some(first), Some(last)) = (names.first(), names.last()) else { return };
    let message = format!(
        "the pressure level `{}` sheds all tasks of the manifest, {all} of {all}: nothing would remain",
        level.name.get_ref()
    );
    let finding = Finding::error(Code::NothingRemains, message);
    let finding = finding.at(sink.file, first.span().start..last.span().end, "these are all tasks");
    sink.push(finding.help("leave out the tasks that the memory is kept for"));
}

/// What holds of a chain does not hold where one of its tasks has no jobs.
fn chained(chain: &Chain, members: &[usize], level: &Pressure, found: &LevelLinks, sink: &Sink<'_>) {
    let positions = [&found.shed, &found.reject].into_iter().flat_map(|list| list.iter().flatten());
    if found.shed.is_none() || found.reject.is_none() {
        return;
    }
    let hit: Vec<_> = names(level).zip(positions).filter(|(_, position)| members.contains(position)).collect();
    let Some(((does, name), _)) = hit.first() else { return };
    let message = format!(
        "the chain `{}` has no bound at the pressure level `{}`, which {does} its task `{}`",
        chain.name.get_ref(),
        level.name.get_ref(),
        name.get_ref()
    );
    let mut finding = Finding::warning(Code::NoBoundAtLevel, message).at(sink.file, name.span(), "has no jobs then");
    for ((_, name), _) in hit.iter().skip(1) {
        finding = finding.also(sink.file, name.span(), "nor has this");
    }
    let finding = finding.also(sink.file, chain.span.clone(), "the chain");
    sink.push(finding.help("its bounds hold while no level with one of its tasks holds"));
}

/// Where a level compacts, it is known how long that takes.
fn copies(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    let compacts = raw.pressure.iter().find_map(|level| match &level.compact {
        Some((true, place)) => Some((level, place.clone().unwrap_or_else(|| level.span.clone()))),
        _ => None,
    });
    let Some((level, place)) = compacts else { return };
    let used = devices_of_models(raw, links);
    for device in used
        .into_iter()
        .filter_map(|device| raw.devices.get(device))
        .filter(|device| !device.has_copy && !device.has_pages)
    {
        let message = format!(
            "the pressure level `{}` compacts, but the device `{}` has no copy-per-mib",
            level.name.get_ref(),
            device.name.get_ref()
        );
        let finding = Finding::error(Code::NoCopyTime, message)
            .at(sink.file, place.clone(), "copies what lies in its memory")
            .also(sink.file, device.span.clone(), "`copy-per-mib` is missing here");
        sink.push(finding.help("add it, for example `copy-per-mib = \"400us\"`, or `page-size` where memory is given back in pages, or remove `compact`"));
    }
}

/// The devices whose lanes run models.
pub(super) fn devices_of_models(raw: &Raw, links: &Links) -> BTreeSet<usize> {
    let of_models = raw.tasks.iter().zip(&links.lanes).filter(|(task, _)| task.has_model);
    of_models.filter_map(|(_, lane)| links.devices.get((*lane)?).copied().flatten()).collect()
}
