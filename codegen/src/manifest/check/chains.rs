//! The rules of chains.

use std::collections::BTreeMap;

use super::Links;
use crate::finding::{Code, Finding};
use crate::manifest::model::{Communication, Span};
use crate::manifest::raw::{Chain, Raw};
use crate::manifest::reader::Sink;
use crate::manifest::units::Time;

/// Applies the rules to every chain whose members are known.
pub(super) fn check(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    for (chain, members) in raw.chains.iter().zip(&links.chains) {
        repeats(chain, sink);
        submitted(raw, chain, members.as_deref().unwrap_or_default(), sink);
        if let (Some((Communication::Let, place)), Some(members)) = (&chain.communication, members) {
            let place = place.clone().unwrap_or_else(|| chain.span.clone());
            logical(raw, chain, &place, members, sink);
        }
    }
}

/// No task is in a chain twice.
fn repeats(chain: &Chain, sink: &Sink<'_>) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for name in chain.tasks.iter().flatten() {
        if let Some(first) = seen.get(name.get_ref().as_str()) {
            let message = format!("the chain `{}` has the task `{}` twice", chain.name.get_ref(), name.get_ref());
            let finding = Finding::error(Code::RepeatedMember, message)
                .at(sink.file, name.span(), "given again here")
                .also(sink.file, first.clone(), "first given here");
            sink.push(finding.help("remove one of them: a chain goes from its first task to its last"));
        } else {
            seen.insert(name.get_ref(), name.span());
        }
    }
}

/// Reaction and age count on each member's arriving every period.
fn submitted(raw: &Raw, chain: &Chain, members: &[usize], sink: &Sink<'_>) {
    let names = chain.tasks.iter().flatten();
    for (name, member) in names.zip(members.iter().filter_map(|member| raw.members.get(*member))) {
        let first = raw.tasks.get(member.tasks.clone()).and_then(<[_]>::first);
        let Some(span) = first.and_then(|task| task.submitted.clone()) else { continue };
        let message = format!(
            "the chain `{}` has the task `{}`, which is submitted by the application",
            chain.name.get_ref(),
            name.get_ref()
        );
        let finding = Finding::error(Code::SubmittedRefused, message)
            .at(sink.file, name.span(), "nothing says how long it may not come")
            .also(sink.file, span, "submitted");
        sink.push(finding.help("leave it out of the chain, or use release = \"periodic\""));
    }
}

/// Under logical execution time each member writes at its deadline, before the next of its jobs reads.
fn logical(raw: &Raw, chain: &Chain, place: &Span, members: &[usize], sink: &Sink<'_>) {
    let names = chain.tasks.iter().flatten();
    for (name, member) in names.zip(members.iter().filter_map(|member| raw.members.get(*member))) {
        let Some(task) = raw.tasks.get(member.tasks.clone()).and_then(<[_]>::first) else { continue };
        let why = match task.deadline.as_ref().zip(task.period.as_ref()) {
            _ if task.staged => "has stages".to_owned(),
            Some((deadline, period)) if deadline.get_ref() > period.get_ref() => {
                format!("has a deadline {} beyond its period {}", Time(*deadline.get_ref()), Time(*period.get_ref()))
            }
            _ => continue,
        };
        let message = format!(
            "the chain `{}` communicates by \"let\", but its task `{}` {why}",
            chain.name.get_ref(),
            name.get_ref()
        );
        let finding = Finding::error(Code::LetRefused, message).at(sink.file, name.span(), "this task").also(
            sink.file,
            place.clone(),
            "the chain's communication",
        );
        sink.push(finding.help("use communication = \"register\", or tasks in one part that end within their period"));
    }
}
