//! The rules of fault domains.

use super::Links;
use crate::finding::{Code, Finding};
use crate::manifest::raw::Raw;
use crate::manifest::reader::Sink;

/// A task without a domain has none that could fail.
pub(super) fn check(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    if !links.domains_are_known(raw) {
        return;
    }
    for (task, domain) in raw.tasks.iter().zip(&links.domains) {
        // All stages have their task's, which is reported once.
        if domain.is_some() || task.after.is_some() {
            continue;
        }
        for (key, answer) in
            [("on-overrun", &task.on_overrun), ("on-miss", &task.on_miss), ("on-failure", &task.on_failure)]
        {
            let Some(span) = answer.fails() else { continue };
            let name = task.name.get_ref();
            let message = format!("`{key}` of the task `{name}` is \"fail-domain\", but the task lies in no domain");
            let finding = Finding::error(Code::NoDomainToFail, message).at(sink.file, span, "which domain?").also(
                sink.file,
                task.span.clone(),
                "neither it nor a model of it names one",
            );
            sink.push(finding.help("give the task, or its model, a `domain`, or choose another answer"));
        }
    }
}
