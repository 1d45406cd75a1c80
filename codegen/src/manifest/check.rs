//! The rules that span several tables; each is a function that reports every place that breaks it.

use std::collections::BTreeMap;

use aegis_core::desc::Policy;
use aegis_core::time::Duration;
use toml::Spanned;

use super::model::{Execution, Manifest, Overheads, Span};
use super::raw::{Lane, Raw, Task};
use super::reader::Sink;
use super::suggest::nearest;
use super::units::Time;
use crate::finding::{Code, Finding};

/// The references between tables, as positions; `None` where a name is absent or refers to nothing.
pub(crate) struct Links {
    /// Each lane's device.
    pub(crate) devices: Vec<Option<usize>>,
    /// Each task's lane.
    pub(crate) lanes: Vec<Option<usize>>,
    /// Each task's model.
    pub(crate) models: Vec<Option<usize>>,
}

/// Applies all rules and resolves all references.
pub(crate) fn check(raw: &Raw, sink: &Sink<'_>) -> Links {
    let links = resolve(raw, sink);
    counts(raw, sink);
    name_clashes("task", raw.tasks.iter().map(|task| &task.name), sink);
    name_clashes("asset", raw.assets.iter().map(|asset| &asset.name), sink);
    cores(raw, sink);
    for (index, lane) in raw.lanes.iter().enumerate() {
        let tasks: Vec<&Task> = (0..raw.tasks.len())
            .filter(|&task| links.lanes[task] == Some(index))
            .map(|task| &raw.tasks[task])
            .collect();
        models_need_a_machine(lane, &tasks, sink);
        priorities(lane, policy_of(raw, lane), &tasks, sink);
    }
    shared_models(raw, &links, sink);
    unused(raw, &links, sink);
    for task in &raw.tasks {
        times(task, sink);
        profiles(task, sink);
    }
    links
}

/// A lane's policy and where it is given: its own, or else the system's.
pub(crate) fn policy_of(raw: &Raw, lane: &Lane) -> Option<(Policy, Span)> {
    let system = raw.system.as_ref().and_then(|system| system.policy.as_ref());
    let policy = if lane.has_policy { lane.policy.as_ref() } else { system };
    policy.map(|policy| (*policy.get_ref(), policy.span()))
}

fn resolve(raw: &Raw, sink: &Sink<'_>) -> Links {
    let devices: Vec<_> = raw.devices.iter().map(|device| device.name.get_ref().as_str()).collect();
    let lanes: Vec<_> = raw.lanes.iter().map(|lane| lane.name.get_ref().as_str()).collect();
    let models: Vec<_> = raw.models.iter().map(|model| model.name.get_ref().as_str()).collect();
    let find = |name: Option<&Spanned<String>>, what: &'static str, known: &[&str]| {
        reference(name?, what, known, !raw.incomplete.contains(&what), sink)
    };
    Links {
        devices: raw.lanes.iter().map(|lane| find(lane.device.as_ref(), "device", &devices)).collect(),
        lanes: raw.tasks.iter().map(|task| find(task.lane.as_ref(), "lane", &lanes)).collect(),
        models: raw.tasks.iter().map(|task| find(task.model.as_ref(), "model", &models)).collect(),
    }
}

/// The position of `name` among the `known` names of a kind; reported only if these are `complete`.
fn reference(name: &Spanned<String>, what: &str, known: &[&str], complete: bool, sink: &Sink<'_>) -> Option<usize> {
    let word = name.get_ref().as_str();
    if let Some(index) = known.iter().position(|&known| known == word) {
        return Some(index);
    }
    if !complete {
        return None;
    }
    let finding = Finding::error(Code::UnknownReference, format!("there is no {what} `{word}`"));
    let finding = match nearest(word, known.iter().copied()) {
        Some(near) => finding.at(sink.file, name.span(), format!("did you mean `{near}`?")),
        None if known.is_empty() => finding
            .at(sink.file, name.span(), "not found")
            .help(format!("add a table [{what}.{word}]; the manifest has no {what} yet")),
        None => finding.at(sink.file, name.span(), "not found").help(format!("the manifest has {}", known.join(", "))),
    };
    sink.push(finding);
    None
}

fn counts(raw: &Raw, sink: &Sink<'_>) {
    if raw.tasks.is_empty() && !raw.incomplete.contains(&"task") {
        let finding = Finding::error(Code::NoTask, "the manifest has no task");
        let finding = finding.in_file(sink.file, "");
        sink.push(finding.help("add a table [task.NAME] with `lane`, `period`, and `wcet` or `profile`"));
    }
    let limit = |what: &str, count: usize, most: usize, first_over: Option<Span>| {
        if let Some(span) = first_over {
            let message = format!("the manifest has {count} {what}s, more than {most}");
            let finding = Finding::error(Code::TooMany, message);
            sink.push(finding.at(sink.file, span, format!("this is {what} {}", most + 1)));
        }
    };
    let over = raw.tasks.get(Manifest::MAX_TASKS).map(|task| task.span.clone());
    limit("task", raw.tasks.len(), Manifest::MAX_TASKS, over);
    let over = raw.lanes.get(Manifest::MAX_LANES).map(|lane| lane.span.clone());
    limit("lane", raw.lanes.len(), Manifest::MAX_LANES, over);
}

/// Names that become the same Rust constant.
fn name_clashes<'r>(kind: &str, names: impl Iterator<Item = &'r Spanned<String>>, sink: &Sink<'_>) {
    let mut seen: BTreeMap<String, &Spanned<String>> = BTreeMap::new();
    for name in names {
        let constant = name.get_ref().replace('-', "_").to_uppercase();
        if let Some(first) = seen.get(&constant) {
            let message = format!(
                "the {kind}s `{}` and `{}` would both become the constant `{constant}`",
                first.get_ref(),
                name.get_ref()
            );
            let finding = Finding::error(Code::NameClash, message).at(sink.file, name.span(), "rename this one").also(
                sink.file,
                first.span(),
                "or this one",
            );
            sink.push(finding);
        } else {
            seen.insert(constant, name);
        }
    }
}

/// A core belongs to one lane, or to the orchestration thread.
fn cores(raw: &Raw, sink: &Sink<'_>) {
    let orchestration = raw.system.as_ref().and_then(|system| system.orchestration_core.clone());
    let mut owners: BTreeMap<u16, (&str, Span)> = BTreeMap::new();
    for lane in &raw.lanes {
        let Some(core) = &lane.core else { continue };
        let number = *core.get_ref();
        let name = lane.name.get_ref().as_str();
        let shared = |with: &str| {
            let message = format!("the lane `{name}` and {with} are both on core {number}");
            Finding::error(Code::SharedCore, message)
                .at(sink.file, core.span(), "this core is taken")
                .help("give each lane a core of its own, none of them the orchestration thread's")
        };
        match &orchestration {
            Some((taken, Some(span))) if *taken == number => {
                let finding = shared("the orchestration thread");
                sink.push(finding.also(sink.file, span.clone(), "the orchestration thread's core"));
            }
            Some((taken, None)) if *taken == number => {
                sink.push(shared("the orchestration thread (by default)"));
            }
            _ => {}
        }
        match owners.get(&number) {
            Some((other, span)) => {
                let finding = shared(&format!("the lane `{other}`"));
                sink.push(finding.also(sink.file, span.clone(), format!("the core of `{other}`")));
            }
            None => {
                owners.insert(number, (name, core.span()));
            }
        }
    }
}

/// A lane whose tasks have models needs a device and known overheads.
fn models_need_a_machine(lane: &Lane, tasks: &[&Task], sink: &Sink<'_>) {
    let Some(task) = tasks.iter().find(|task| task.has_model) else { return };
    let name = lane.name.get_ref();
    let report = |code, lacks: &str, help: &str| {
        let message = format!("the lane `{name}` runs models but has no {lacks}");
        let mut finding = Finding::error(code, message)
            .at(sink.file, lane.span.clone(), format!("this lane has no {lacks}"))
            .help(help);
        if let Some(model) = &task.model {
            finding = finding.also(sink.file, model.span(), "runs a model on it");
        }
        sink.push(finding);
    };
    if !lane.has_device {
        report(
            Code::NoDevice,
            "device",
            "add a table [device.NAME] with kind = \"cpu\" and its memory, and name it in the lane",
        );
    }
    if matches!(lane.overheads, Some(Overheads::Zero)) {
        report(
            Code::NoOverheads,
            "overheads",
            "add dispatch-overhead and wakeup-latency, or the profile of a measurement",
        );
    }
}

/// Fixed priorities are given exactly where they are used, and are unique in a lane.
fn priorities(lane: &Lane, policy: Option<(Policy, Span)>, tasks: &[&Task], sink: &Sink<'_>) {
    let Some((policy, policy_span)) = policy else { return };
    let mut seen: BTreeMap<u16, (&str, Span)> = BTreeMap::new();
    for task in tasks {
        let name = task.name.get_ref().as_str();
        let lane = lane.name.get_ref();
        match (&task.priority_key, policy) {
            (None, Policy::FixedPriority) => {
                let message = format!("the task `{name}` needs a priority in the lane `{lane}`");
                let finding = Finding::error(Code::NoPriority, message)
                    .at(sink.file, task.span.clone(), "`priority` is missing here")
                    .also(sink.file, policy_span.clone(), "the lane's policy");
                sink.push(finding.help("add `priority`, unique in the lane; 0 is the most important"));
            }
            (Some(key), policy) if policy != Policy::FixedPriority => {
                let message =
                    format!("the priority of the task `{name}` has no effect under the policy {}", policy.name());
                let finding = Finding::error(Code::UnusedPriority, message)
                    .at(sink.file, key.clone(), "remove this")
                    .also(sink.file, policy_span.clone(), "or make this \"fixed-priority\"");
                sink.push(finding);
            }
            _ => {
                let Some(priority) = &task.priority else { continue };
                let number = priority.get_ref().0;
                match seen.get(&number) {
                    Some((other, span)) => {
                        let message = format!(
                            "the tasks `{other}` and `{name}` of the lane `{lane}` both have priority {number}"
                        );
                        let finding = Finding::error(Code::EqualPriority, message)
                            .at(sink.file, priority.span(), format!("`{name}`"))
                            .also(sink.file, span.clone(), format!("`{other}`"));
                        sink.push(finding.help("each task of a lane needs another number"));
                    }
                    None => {
                        seen.insert(number, (name, priority.span()));
                    }
                }
            }
        }
    }
}

fn shared_models(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    let mut users: BTreeMap<usize, &Task> = BTreeMap::new();
    for (task, link) in raw.tasks.iter().zip(&links.models) {
        let (Some(link), Some(model)) = (link, &task.model) else { continue };
        let Some(first) = users.get(link) else {
            users.insert(*link, task);
            continue;
        };
        let message = format!(
            "the tasks `{}` and `{}` both use the model `{}`",
            first.name.get_ref(),
            task.name.get_ref(),
            model.get_ref()
        );
        let mut finding = Finding::error(Code::SharedModel, message)
            .at(sink.file, model.span(), "used again here")
            .help("a model's inputs are bound in place, so declare it once per task, under two names");
        if let Some(model) = &first.model {
            finding = finding.also(sink.file, model.span(), "first used here");
        }
        sink.push(finding);
    }
}

/// Lanes and models that nothing uses; where a reference is broken, that may be what was meant to use them.
fn unused(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    if raw.tasks.is_empty() || raw.incomplete.contains(&"task") {
        return;
    }
    if links.lanes.iter().all(Option::is_some) {
        for (index, lane) in raw.lanes.iter().enumerate() {
            if !links.lanes.contains(&Some(index)) {
                let message = format!("the lane `{}` has no task", lane.name.get_ref());
                let finding = Finding::warning(Code::UnusedLane, message);
                sink.push(finding.at(sink.file, lane.span.clone(), "nothing runs here"));
            }
        }
    }
    let broken = |(task, link): (&Task, &Option<usize>)| task.has_model && link.is_none();
    if !raw.tasks.iter().zip(&links.models).any(broken) {
        for (index, model) in raw.models.iter().enumerate() {
            if !links.models.contains(&Some(index)) {
                let message = format!("no task uses the model `{}`", model.name.get_ref());
                let finding = Finding::warning(Code::UnusedModel, message);
                sink.push(finding.at(sink.file, model.span.clone(), "not used"));
            }
        }
    }
}

/// The order that a task's times must be in.
fn times(task: &Task, sink: &Sink<'_>) {
    let name = task.name.get_ref();
    let shown = |time: &Spanned<Duration>| Time(*time.get_ref());
    let wcet = match &task.execution {
        Some(Execution::Wcet(wcet)) => Some(wcet),
        _ => None,
    };
    if let (Some(bcet), Some(wcet)) = (&task.bcet, wcet)
        && bcet.get_ref() > wcet.get_ref()
    {
        let (least, most) = (shown(bcet), shown(wcet));
        let message = format!("the bcet {least} of the task `{name}` exceeds its wcet {most}");
        let finding = Finding::error(Code::BcetAboveWcet, message)
            .at(sink.file, bcet.span(), "the shortest execution")
            .also(sink.file, wcet.span(), "the longest execution");
        sink.push(finding);
    }
    if let (Some(deadline), Some(wcet)) = (&task.deadline, wcet) {
        let hooks = task.hooks.as_ref().filter(|hooks| !hooks.get_ref().is_zero());
        let extra = hooks.map_or(Duration::ZERO, |hooks| *hooks.get_ref());
        let need = wcet.get_ref().checked_add(extra).unwrap_or(Duration::MAX);
        if need > *deadline.get_ref() {
            let what = if hooks.is_some() { "wcet with hooks" } else { "wcet" };
            let message =
                format!("the {what} {} of the task `{name}` exceeds its deadline {}", Time(need), shown(deadline));
            let mut finding = Finding::error(Code::DeadlineBelowWcet, message)
                .at(sink.file, deadline.span(), "the deadline")
                .also(sink.file, wcet.span(), "the longest execution");
            if let Some(hooks) = hooks {
                finding = finding.also(sink.file, hooks.span(), "the hooks' time");
            }
            sink.push(finding.help("no schedule can help: allow more time, or use a faster model"));
        }
    }
    if let (Some(deadline), Some(period)) = (&task.deadline, &task.period) {
        let most = u128::from(period.get_ref().as_ns()) * u128::from(Manifest::MAX_QUEUE);
        if u128::from(deadline.get_ref().as_ns()) > most {
            let message = format!(
                "the deadline {} of the task `{name}` is longer than {} periods of {}",
                shown(deadline),
                Manifest::MAX_QUEUE,
                shown(period)
            );
            let finding = Finding::error(Code::DeadlineBeyondQueue, message)
                .at(sink.file, deadline.span(), "the deadline")
                .also(sink.file, period.span(), "the period");
            sink.push(finding.help("use a longer period or a shorter deadline: queues have a fixed size"));
        }
    }
}

/// A profile needs a model, and a margin needs a profile.
fn profiles(task: &Task, sink: &Sink<'_>) {
    let name = task.name.get_ref();
    match (&task.execution, &task.margin_ppm) {
        (Some(Execution::Profile(profile)), _) if !task.has_model => {
            let message = format!("the task `{name}` has a profile but no model");
            let finding = Finding::error(Code::ProfileWithoutModel, message);
            let finding = finding.at(sink.file, profile.span(), "a profile is of a model, and the task has none");
            sink.push(finding.help("add `model`, or declare the longest execution with `wcet`"));
        }
        (Some(Execution::Wcet(wcet)), Some(margin)) => {
            let message = format!("the margin of the task `{name}` has no effect on a declared wcet");
            let finding = Finding::error(Code::MarginWithoutProfile, message)
                .at(sink.file, margin.span(), "remove this")
                .also(sink.file, wcet.span(), "or name a profile instead of this");
            sink.push(finding);
        }
        _ => {}
    }
}
