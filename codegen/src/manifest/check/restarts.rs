//! The rules of what follows the failure of a fault domain: starting its process again, and the mode until then.

use super::Links;
use crate::finding::{Code, Finding};
use crate::manifest::model::Span;
use crate::manifest::raw::{Domain, Raw, Task};
use crate::manifest::reader::Sink;
use crate::manifest::units::Time;

pub(super) fn check(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    if !links.domains_are_known(raw) {
        return;
    }
    for (position, domain) in raw.domains.iter().enumerate() {
        no_process(raw, links, (position, domain), sink);
        back_off(domain, sink);
        blackout(raw, links, (position, domain), sink);
        meanwhile(raw, links, (position, domain), sink);
    }
}

/// The tasks of a domain, or those that lie elsewhere.
fn tasks<'r>(raw: &'r Raw, links: &'r Links, domain: usize, inside: bool) -> impl Iterator<Item = (&'r Task, bool)> {
    let all = raw.tasks.iter().zip(&links.domains).zip(&links.models);
    let wanted = all.filter(move |((_, own), _)| (**own == Some(domain)) == inside);
    wanted.map(|((task, _), model)| (task, model.is_some()))
}

/// Only a process can be started again, or be lost so that something else is to go on.
fn no_process(raw: &Raw, links: &Links, (position, domain): (usize, &Domain), sink: &Sink<'_>) {
    if tasks(raw, links, position, true).any(|(_, has_model)| has_model) {
        return;
    }
    let restart = domain.restart.iter().flatten().map(|restart| ("restart", restart.span.clone()));
    let meanwhile = domain.meanwhile.iter().map(|mode| ("meanwhile", mode.span()));
    for (key, at) in restart.chain(meanwhile) {
        let name = domain.name.get_ref();
        let message = format!("the domain `{name}` has `{key}`, but none of its tasks runs a model: it is no process");
        let finding = Finding::error(Code::NoProcessToRestart, message).at(sink.file, at.clone(), "of what?");
        let finding = finding.also(sink.file, domain.span.clone(), "no model lies in it");
        sink.push(sink.without(finding.help("leave it out, or let a model lie in the domain"), &at));
    }
}

/// The back-off grows up to the window, so it begins within it.
fn back_off(domain: &Domain, sink: &Sink<'_>) {
    let Some(Some(restart)) = &domain.restart else { return };
    let Some(back_off) = restart.back_off.as_ref().filter(|time| time.get_ref() > restart.within.get_ref()) else {
        return;
    };
    let (name, wait, within) = (domain.name.get_ref(), Time(*back_off.get_ref()), Time(*restart.within.get_ref()));
    let message =
        format!("the domain `{name}` is started again after {wait}, which is more than its window of {within}");
    let finding = Finding::error(Code::BackOffBeyondWindow, message)
        .at(sink.file, back_off.span(), "grows up to the window, and begins beyond it")
        .also(sink.file, restart.within.span(), "the window");
    let finding = finding.help(format!("choose a back-off of at most {within}, or a longer window"));
    sink.push(finding.patch(sink.file, back_off.span(), within.written()));
}

/// What loading may keep others from doing is known to nobody but who measured it.
fn blackout(raw: &Raw, links: &Links, (position, domain): (usize, &Domain), sink: &Sink<'_>) {
    let Some(Some(restart)) = domain.restart.as_ref().filter(|_| tasks(raw, links, position, true).any(|(_, has)| has))
    else {
        return;
    };
    let Some((other, _)) = tasks(raw, links, position, false).next().filter(|_| restart.blackout.is_none()) else {
        return;
    };
    let name = domain.name.get_ref();
    let message = format!("the domain `{name}` is started again while others run, and its `restart` has no blackout");
    let finding = Finding::error(Code::RestartUnmeasured, message)
        .at(sink.file, restart.span.clone(), "what loading takes of others is part of their bounds")
        .also(sink.file, other.span.clone(), "this task runs meanwhile");
    sink.push(finding.help(
        "measure on the vehicle for how long loading keeps any lane from going on, and say what that may be at most, such as blackout = \"2ms\"",
    ));
}

/// The mode that holds while the domain is away has none of its tasks.
fn meanwhile(raw: &Raw, links: &Links, (position, domain): (usize, &Domain), sink: &Sink<'_>) {
    let Some(asked) = &domain.meanwhile else { return };
    let Some(mode) = links.meanwhile.get(position).copied().flatten() else { return };
    let members = links.modes.get(mode).and_then(Option::as_ref).into_iter().flatten();
    let own = members.filter_map(|member| raw.members.get(*member)).filter(|member| {
        let first = member.tasks.start;
        links.domains.get(first).copied().flatten() == Some(position)
    });
    let spans: Vec<(String, Span)> = own
        .filter_map(|member| Some((member.name.get_ref().clone(), raw.tasks.get(member.tasks.start)?.span.clone())))
        .collect();
    let [(first, _), ..] = spans.as_slice() else { return };
    let (name, mode) = (domain.name.get_ref(), asked.get_ref());
    let message =
        format!("when the domain `{name}` fails the mode `{mode}` is asked for, which has its task `{first}`");
    let mut finding =
        Finding::error(Code::MeanwhileRuns, message).at(sink.file, asked.span(), "nothing of the domain runs then");
    for (task, span) in spans {
        finding = finding.also(sink.file, span, format!("`{task}` lies in the domain and runs in the mode"));
    }
    sink.push(finding.help("leave the domain's tasks out of the mode, or name another mode"));
}
