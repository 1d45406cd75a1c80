//! The rules of optional tasks.

use super::Links;
use crate::finding::{Code, Finding};
use crate::manifest::model::Span;
use crate::manifest::raw::Raw;
use crate::manifest::reader::Sink;

/// A task that may have no arrivals stands where nothing counts on them: in no chain, without stages, and not beside modes.
pub(super) fn check(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    let optional = raw.members.iter().enumerate().filter_map(|(position, member)| {
        let task = raw.tasks.get(member.tasks.clone()).and_then(<[_]>::first)?;
        Some((position, member.name.get_ref(), task, task.optional.clone()?))
    });
    for (position, name, task, at) in optional {
        if task.staged {
            let help = "make each stage a task of its own, or leave out `optional`";
            refuse(sink, (name, &at), "has stages", (task.span.clone(), "the stages"), help);
        }
        if let Some(mode) = raw.modes.first() {
            let help = "leave it out of the modes in which it shall not run, and leave out `optional`";
            refuse(sink, (name, &at), "stands beside modes", (mode.span.clone(), "the first mode"), help);
        }
        for (chain, members) in raw.chains.iter().zip(&links.chains) {
            if members.as_ref().is_some_and(|members| members.contains(&position)) {
                let what = format!("is in the chain `{}`", chain.name.get_ref());
                let help = "leave it out of the chain, whose bounds count on its arriving every period, or leave out `optional`";
                refuse(sink, (name, &at), &what, (chain.span.clone(), "the chain"), help);
            }
        }
    }
}

fn refuse(sink: &Sink<'_>, (name, at): (&String, &Span), what: &str, (cause, label): (Span, &'static str), help: &str) {
    let message = format!("the task `{name}` is optional and {what}, which this version does not have");
    let finding = Finding::error(Code::OptionalRefused, message);
    sink.push(finding.at(sink.file, at.clone(), "may have no arrivals").also(sink.file, cause, label).help(help));
}
