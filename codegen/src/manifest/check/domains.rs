//! The rules of fault domains.

use super::Links;
use crate::finding::{Code, Finding};
use crate::manifest::raw::{Model, Raw, Task};
use crate::manifest::reader::Sink;
use aegis_core::desc::Waiting;

/// A task without a domain has none that could fail.
pub(super) fn check(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    if !links.domains_are_known(raw) {
        return;
    }
    in_one(raw, links, sink);
    trust(raw, links, sink);
    cores(raw, links, sink);
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

/// A process whose threads look again and again for what comes has a core of its own for each lane that has a model of it; where
/// threads sleep it uses those of the lanes.
fn cores(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    let system = raw.system.as_ref();
    let (waiting, key) =
        (system.and_then(|system| system.waiting), system.and_then(|system| system.waiting_key.clone()));
    let Some(waiting) = waiting else { return };
    for (position, domain) in raw.domains.iter().enumerate() {
        let name = domain.name.get_ref();
        let runs_on = |lane: usize| {
            let tasks = raw.tasks.iter().zip(&links.lanes).zip(links.domains.iter().zip(&links.models));
            let mut own =
                tasks.filter(|((_, on), (of, model))| **on == Some(lane) && **of == Some(position) && model.is_some());
            own.next().map(|((task, _), _)| task)
        };
        let lanes = links.domain_lanes.get(position).map_or(&[][..], Vec::as_slice);
        if let (Waiting::Blocking, Some(cores)) = (waiting, &domain.cores_key) {
            let message = format!("the domain `{name}` has `cores`, and the vehicle waits \"blocking\"");
            let finding = Finding::error(Code::UnusedProcessCore, message);
            let finding =
                finding.at(sink.file, cores.clone(), "its threads sleep while their lane runs, on the same core");
            let finding = finding.help("remove it, or let the vehicle wait \"polling\"");
            sink.push(sink.without(finding, cores));
            continue;
        }
        for ((lane, _), link) in domain.named_cores().iter().zip(lanes) {
            if link.is_some_and(|lane| runs_on(lane).is_none()) {
                let lane_name = lane.get_ref();
                let message = format!(
                    "the domain `{name}` has a core for the lane `{lane_name}`, on which no task of it runs a model"
                );
                let finding = Finding::error(Code::UnusedProcessCore, message);
                sink.push(finding.at(sink.file, lane.span(), "nothing is handed over from here").help("remove it"));
            }
        }
        for (lane, own) in raw.lanes.iter().enumerate().filter(|(lane, _)| !lanes.contains(&Some(*lane))) {
            let (Waiting::Polling, Some(task), Some(_)) = (waiting, runs_on(lane), &domain.cores) else { continue };
            let lane_name = own.name.get_ref();
            let message = format!(
                "the process of the domain `{name}` has no core of its own for the lane `{lane_name}`, and the vehicle waits \"polling\""
            );
            let place = domain.cores_key.clone().unwrap_or_else(|| domain.span.clone());
            let mut finding = Finding::error(Code::NoProcessCore, message)
                .at(sink.file, place, format!("`{lane_name}` is missing here"))
                .also(
                    sink.file,
                    task.span.clone(),
                    "a model of it runs on this lane, whose thread never leaves its core",
                );
            if let Some(key) = &key {
                finding = finding.also(sink.file, key.clone(), "lanes and processes look again and again");
            }
            let free =
                free_core(raw).map_or_else(String::new, |core| format!(", such as cores = {{ {lane_name} = {core} }}"));
            sink.push(
                finding.help(format!("name one that no other thread has{free}, or let the vehicle wait \"blocking\"")),
            );
        }
    }
}

/// The first core that no thread of the plan has.
fn free_core(raw: &Raw) -> Option<u16> {
    let orchestration = raw.system.as_ref().and_then(|system| system.orchestration_core.as_ref());
    let of_lanes = raw.lanes.iter().filter_map(|lane| lane.core.as_ref());
    let of_processes = raw.domains.iter().flat_map(|domain| domain.named_cores()).filter_map(|(_, core)| core.as_ref());
    let taken: Vec<u16> = of_lanes.chain(of_processes).map(|core| *core.get_ref()).collect();
    let is_free = |core: &u16| !taken.contains(core) && orchestration.is_none_or(|(own, _)| own != core);
    (0..u16::MAX).find(is_free)
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
