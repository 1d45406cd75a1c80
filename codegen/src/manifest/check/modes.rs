//! The rules of modes.

use std::collections::{BTreeMap, BTreeSet};

use aegis_core::desc::Policy;

use super::{Links, is_optimal, policy_of};
use crate::finding::{Code, Finding};
use crate::manifest::model::Span;
use crate::manifest::raw::{Lane, Mode, Raw, Task};
use crate::manifest::reader::Sink;

/// Applies the rules to all modes together.
pub(super) fn check(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    let Some(first) = raw.modes.first() else { return };
    for mode in &raw.modes {
        repeats(mode, sink);
    }
    not_covered(raw, links, first, sink);
    // Where a mode cannot be read it may be the one that a task is missing from.
    let found = links.modes.iter().map(|tasks| tasks.as_deref()).collect::<Option<Vec<_>>>();
    let Some(modes) = found.filter(|_| !raw.incomplete.contains(&"mode")) else { return };
    equal(raw, &modes, sink);
    for (position, member) in raw.members.iter().enumerate() {
        let Some(task) = raw.tasks.get(member.tasks.clone()).and_then(<[_]>::first) else { continue };
        let without: Vec<&Mode> = raw
            .modes
            .iter()
            .zip(&modes)
            .filter(|(_, tasks)| !tasks.contains(&position))
            .map(|(mode, _)| mode)
            .collect();
        let mut homes = raw.modes.iter().zip(&modes).filter(|(_, tasks)| tasks.contains(&position));
        if let (Some((home, _)), None) = (homes.next(), homes.next()) {
            at_home(task, home, sink);
        }
        if without.len() == raw.modes.len() {
            homeless(raw, task, sink);
        } else if let Some(place) = in_table(raw, links, member.tasks.start) {
            for mode in without {
                not_in_all(task, mode, place.clone(), sink);
            }
        }
    }
}

/// No task is in a mode twice.
fn repeats(mode: &Mode, sink: &Sink<'_>) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for name in mode.tasks.iter().flatten() {
        let Some(first) = seen.get(name.get_ref().as_str()) else {
            seen.insert(name.get_ref(), name.span());
            continue;
        };
        let message = format!("the mode `{}` has the task `{}` twice", mode.name.get_ref(), name.get_ref());
        let finding = Finding::error(Code::RepeatedInMode, message)
            .at(sink.file, name.span(), "given again here")
            .also(sink.file, first.clone(), "first given here");
        sink.push(finding.help("remove one of them: the order of a mode's tasks means nothing"));
    }
}

/// A mode that has the tasks of another one is that one under another name.
fn equal(raw: &Raw, modes: &[&[usize]], sink: &Sink<'_>) {
    let mut seen: BTreeMap<BTreeSet<usize>, &Mode> = BTreeMap::new();
    for (mode, tasks) in raw.modes.iter().zip(modes) {
        let tasks: BTreeSet<usize> = tasks.iter().copied().collect();
        let Some(first) = seen.get(&tasks) else {
            seen.insert(tasks, mode);
            continue;
        };
        let (first_name, name) = (first.name.get_ref(), mode.name.get_ref());
        let message = format!("the modes `{first_name}` and `{name}` have the same tasks");
        let finding = Finding::warning(Code::IdleMode, message).at(sink.file, mode.span.clone(), "changes nothing");
        let finding = finding.also(sink.file, first.span.clone(), "the same tasks");
        sink.push(finding.help("leave out one of them, or some task in one of them"));
    }
}

/// An answer that asks for the only mode in which its task runs asks for what holds already.
fn at_home(task: &Task, home: &Mode, sink: &Sink<'_>) {
    for (key, answer) in task.answers() {
        let Some(name) = answer.mode().filter(|name| name.get_ref() == home.name.get_ref()) else { continue };
        let (task, mode) = (task.name.get_ref(), home.name.get_ref());
        let message =
            format!("`{key}` of the task `{task}` asks for the mode `{mode}`, the only one that has the task");
        let finding = Finding::warning(Code::IdleMode, message).at(sink.file, name.span(), "holds already");
        let finding = finding.also(sink.file, home.span.clone(), "the task's only mode");
        sink.push(finding.help("ask for a mode that does not have the task, or name the task in another mode, too"));
    }
}

/// A task that no mode has would never run.
fn homeless(raw: &Raw, task: &Task, sink: &Sink<'_>) {
    let message = format!("the task `{}` is in none of the manifest's modes", task.name.get_ref());
    let mut finding =
        Finding::error(Code::TaskInNoMode, message).at(sink.file, task.span.clone(), "would never be released");
    for mode in &raw.modes {
        finding = finding.also(sink.file, mode.span.clone(), "it is not in this one");
    }
    sink.push(finding.help("name it in the `tasks` of each mode in which it runs, or remove it"));
}

/// Where a task's lane is said to follow a table, if it does.
fn in_table(raw: &Raw, links: &Links, task: usize) -> Option<Span> {
    let lane = raw.lanes.get(links.lanes.get(task).copied().flatten()?)?;
    policy_of(raw, lane).filter(|(policy, _)| *policy == Policy::TimeTriggered).map(|(_, place)| place)
}

/// A table's slots hold for the instants that every period brings since the start, so its tasks never stop.
fn not_in_all(task: &Task, mode: &Mode, place: Span, sink: &Sink<'_>) {
    let message = format!(
        "the task `{}` is on a time-triggered lane, but not in the mode `{}`",
        task.name.get_ref(),
        mode.name.get_ref()
    );
    let finding = Finding::error(Code::TableAcrossModes, message)
        .at(sink.file, mode.span.clone(), "it would stop here")
        .also(sink.file, task.span.clone(), "the task")
        .also(sink.file, place, "the lane's policy");
    sink.push(finding.help("name it in every mode, or use a lane of another policy"));
}

/// What the analysis of mode changes does not cover stands beside no mode.
fn not_covered(raw: &Raw, links: &Links, first: &Mode, sink: &Sink<'_>) {
    let refuse = |what: String, at: Span, help: &str| {
        let message = format!("{what}, which this version does not have beside modes");
        let finding = Finding::error(Code::ModesRefused, message).at(sink.file, at, "not beside modes").also(
            sink.file,
            first.span.clone(),
            "the first mode",
        );
        sink.push(finding.help(help));
    };
    for member in &raw.members {
        let Some(task) = raw.tasks.get(member.tasks.clone()).and_then(<[_]>::first) else { continue };
        let name = member.name.get_ref();
        if task.staged {
            let help = "make each stage a task of its own, or leave out the modes";
            refuse(format!("the task `{name}` has stages"), task.span.clone(), help);
        }
        if let Some(suspension) = &task.suspension {
            let help = "count what it waits for in its `wcet`, or leave out the modes";
            refuse(format!("the task `{name}` suspends itself"), suspension.span(), help);
        }
    }
    for (position, lane) in raw.lanes.iter().enumerate() {
        if let Some(place) = to_be_found(raw, links, position, lane) {
            let what = format!("the lane `{}` has optimal priorities", lane.name.get_ref());
            refuse(what, place, "give each of its tasks a priority, which it then has in every mode");
        }
    }
    for chain in &raw.chains {
        let what = format!("the chain `{}` has bounds over periods without a change", chain.name.get_ref());
        refuse(what, chain.span.clone(), "leave out the chain, or the modes");
    }
    for level in &raw.pressure {
        let what = format!("the pressure level `{}` stops tasks at any time", level.name.get_ref());
        refuse(
            what,
            level.span.clone(),
            "make the level a mode without the tasks that it sheds, or leave out the modes",
        );
    }
}

/// Where a lane's priorities are said to be found, if they are.
fn to_be_found(raw: &Raw, links: &Links, position: usize, lane: &Lane) -> Option<Span> {
    let on_lane =
        || raw.tasks.iter().zip(&links.lanes).filter(|(_, link)| **link == Some(position)).map(|(task, _)| task);
    let (policy, _) = policy_of(raw, lane)?;
    is_optimal(lane, policy, on_lane()).then(|| {
        let in_task = || on_lane().find(|task| task.is_optimal()).and_then(|task| task.priority_key.clone());
        lane.optimal.clone().or_else(in_task).unwrap_or_else(|| lane.span.clone())
    })
}
