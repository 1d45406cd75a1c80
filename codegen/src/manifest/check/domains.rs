//! The rules of fault domains.

use super::Links;
use crate::finding::{Code, Finding};
use crate::manifest::raw::{Model, Raw, Task};
use crate::manifest::reader::Sink;

/// A task without a domain has none that could fail.
pub(super) fn check(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    if !links.domains_are_known(raw) {
        return;
    }
    in_one(raw, links, sink);
    trust(raw, links, sink);
    on_parts(raw, links, sink);
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

/// A model that is not trusted fails alone: it shares its process with no task that has to be in time and runs another model, and
/// is given up at its first overrun.
fn trust(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    let models = || raw.models.iter().zip(&links.model_domains).enumerate();
    let untrusted = |(position, (model, domain)): (usize, (&Model, &Option<usize>))| {
        Some((position, model.name.get_ref().clone(), *domain, model.untrusted.clone()?))
    };
    for (position, model, domain, at) in models().filter_map(untrusted) {
        let Some(domain) = domain else {
            let message = format!(
                "the model `{model}` is not trusted and lies in no domain: it shares the vehicle's own process"
            );
            let finding = Finding::error(Code::UntrustedBeside, message).at(sink.file, at, "it may do anything there");
            sink.push(finding.help("give it a `domain` of its own, or say trust = \"full\""));
            continue;
        };
        for member in &raw.members {
            let stages = member.tasks.clone();
            let Some(task) =
                raw.tasks.get(stages.start).filter(|_| links.domains.get(stages.start) == Some(&Some(domain)))
            else {
                continue;
            };
            let runs = || links.models.get(stages.clone()).into_iter().flatten().flatten();
            let is_untrusted = |model: &usize| raw.models.get(*model).is_some_and(|model| model.untrusted.is_some());
            if runs().any(|model| *model == position) {
                stops_at_an_overrun(task, &model, &at, sink);
            } else if task.optional.is_none() && !runs().any(is_untrusted) {
                let name = raw.domains.get(domain).map_or("", |domain| domain.name.get_ref());
                let task_name = member.name.get_ref();
                let message = format!(
                    "the task `{task_name}` shares the domain `{name}` with the model `{model}`, which is not trusted, and has to be in time"
                );
                let finding = Finding::error(Code::UntrustedBeside, message)
                    .at(sink.file, task.span.clone(), "it fails when the model fails")
                    .also(sink.file, at.clone(), "it may fail at any time");
                sink.push(finding.help("give the model a domain of its own, or let the task be `optional`"));
            }
        }
    }
}

/// The part of a GPU that a lane has is one process'.
fn on_parts(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    let tasks = raw.tasks.iter().zip(&links.lanes).zip(links.domains.iter().zip(&links.models));
    for ((task, lane), (domain, model)) in tasks {
        let (Some(domain), Some(_)) = (domain.and_then(|domain| raw.domains.get(domain)), model) else { continue };
        let Some(lane) = lane.and_then(|lane| raw.lanes.get(lane)) else { continue };
        let Some(sms) = &lane.gpu.sms_key else { continue };
        let (name, task_name, lane_name) = (domain.name.get_ref(), task.name.get_ref(), lane.name.get_ref());
        let message = format!(
            "the task `{task_name}` of the domain `{name}` runs a model on the lane `{lane_name}`, which is a part of a GPU"
        );
        let finding = Finding::error(Code::ProcessRefused, message)
            .at(sink.file, task.span.clone(), "a domain's process runs models on CPU lanes only")
            .also(sink.file, sms.clone(), "the vehicle's own process has this part");
        sink.push(finding.help("leave out the domain, or use a CPU lane"));
    }
}

/// Whoever does not keep a WCET once may not keep it again: the others' bounds hold if the domain is given up then.
fn stops_at_an_overrun(task: &Task, model: &str, at: &crate::manifest::model::Span, sink: &Sink<'_>) {
    let answers_overruns =
        |(key, answer): (&str, &crate::manifest::raw::RawAnswer)| key == "on-overrun" && answer.fails().is_some();
    if task.answers().into_iter().any(answers_overruns) {
        return;
    }
    let name = task.name.get_ref();
    let message =
        format!("the task `{name}` runs the model `{model}`, which is not trusted, and may overrun again and again");
    let finding = Finding::error(Code::UntrustedOverruns, message)
        .at(sink.file, task.span.clone(), "its on-overrun is not \"fail-domain\"")
        .also(sink.file, at.clone(), "nobody assumes that it keeps its WCET");
    sink.push(finding.help("say on-overrun = \"fail-domain\""));
}
