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
    in_one(raw, links, sink);
    for (task, domain) in raw.tasks.iter().zip(&links.domains) {
        // All stages have their task's, which is reported once.
        if domain.is_some() || task.after.is_some() {
            continue;
        }
        for (key, answer) in task.answers() {
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

/// A job is one process' from its first stage to its last.
fn in_one(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    let stages = raw.tasks.iter().zip(&links.domains).zip(&links.models).filter(|((task, _), _)| task.staged);
    for ((task, domain), model) in stages {
        let Some(position) = *model else { continue };
        let (Some(model), Some(own)) = (raw.models.get(position), links.model_domains.get(position)) else { continue };
        if own == domain {
            continue;
        }
        let call = |domain: &Option<usize>| match domain.and_then(|domain| raw.domains.get(domain)) {
            Some(domain) => format!("in the domain `{}`", domain.name.get_ref()),
            None => "in no domain".to_owned(),
        };
        let (stage, its) = (task.name.get_ref(), call(own));
        let message = format!(
            "the stages of one task lie in one domain: `{stage}` {}, its model `{}` {its}",
            call(domain),
            model.name.get_ref()
        );
        let place = task.model.as_ref().map_or_else(|| task.span.clone(), |model| model.span());
        let finding = Finding::error(Code::StagesInDomains, message).at(sink.file, place, "this model");
        let finding = finding.also(sink.file, model.span.clone(), its);
        sink.push(finding.help(
            "let all models of the task's stages lie in one domain, and name it in the task where a stage has no model",
        ));
    }
}
