//! The rules of a lane with its tasks, and of a device with its lanes.

use std::collections::BTreeMap;

use aegis_core::desc::{Policy, Preemption};
use toml::Spanned;

use super::Links;
use crate::finding::{Code, Finding};
use crate::manifest::model::{LaneKind, Overheads, Span};
use crate::manifest::raw::{Lane, Raw, Task};
use crate::manifest::reader::Sink;

/// Applies the rules of one lane, which `tasks` name.
pub(super) fn check(
    lane: &Lane,
    kind: Option<LaneKind>,
    policy: Option<(Policy, Span)>,
    tasks: &[&Task],
    sink: &Sink<'_>,
) {
    models_need_a_machine(lane, tasks, sink);
    if let Some(policy) = &policy {
        priorities(lane, policy, tasks, sink);
        preemption(lane, kind, policy, sink);
        for task in tasks.iter().filter(|task| task.staged) {
            stage(lane, policy, task, sink);
        }
        no_slots(lane, policy, tasks, sink);
    }
    if let Some((preemption, place)) = &lane.preemption {
        let place = place.clone().unwrap_or_else(|| lane.span.clone());
        for task in tasks {
            parts(lane, (*preemption, &place), policy.as_ref(), task, sink);
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

/// Fixed priorities are given exactly where they are used, and are unique in a lane; or all are to be found.
fn priorities(lane: &Lane, (policy, policy_span): &(Policy, Span), tasks: &[&Task], sink: &Sink<'_>) {
    let lane_name = lane.name.get_ref();
    if *policy != Policy::FixedPriority {
        let of_lane = lane.optimal.clone().map(|span| (format!("lane `{lane_name}`"), span));
        let given = |task: &&Task| Some((format!("task `{}`", task.name.get_ref()), task.priority_key.clone()?));
        for (what, key) in of_lane.into_iter().chain(tasks.iter().filter_map(given)) {
            let message = format!("the priority of the {what} has no effect under the policy {}", policy.name());
            let finding = Finding::error(Code::UnusedPriority, message).at(sink.file, key.clone(), "remove this").also(
                sink.file,
                policy_span.clone(),
                "or make this \"fixed-priority\"",
            );
            sink.push(sink.without(finding, &key));
        }
        return;
    }
    let of_task =
        || tasks.iter().find_map(|task| task.priority.as_ref().filter(|_| task.is_optimal()).map(Spanned::span));
    if let Some(optimal) = lane.optimal.clone().or_else(of_task) {
        mixed_priorities(lane, &optimal, tasks, sink);
        return;
    }
    let mut seen: BTreeMap<u16, (&str, Span)> = BTreeMap::new();
    for task in tasks {
        let name = task.name.get_ref().as_str();
        if task.priority_key.is_none() {
            let message = format!("the task `{name}` needs a priority in the lane `{lane_name}`");
            let finding = Finding::error(Code::NoPriority, message)
                .at(sink.file, task.span.clone(), "`priority` is missing here")
                .also(sink.file, policy_span.clone(), "the lane's policy");
            sink.push(finding.help("add `priority`, unique in the lane; 0 is the most important"));
        }
        let Some((number, span)) = task.number() else { continue };
        match seen.get(&number) {
            Some((other, first)) => {
                let message =
                    format!("the tasks `{other}` and `{name}` of the lane `{lane_name}` both have priority {number}");
                let finding = Finding::error(Code::EqualPriority, message)
                    .at(sink.file, span, format!("`{name}`"))
                    .also(sink.file, first.clone(), format!("`{other}`"));
                sink.push(finding.help("each task of a lane needs another number"));
            }
            None => {
                seen.insert(number, (name, span));
            }
        }
    }
}

/// Where priorities are to be found, as `optimal` says, no task has a number; and where only tasks say so, all do.
fn mixed_priorities(lane: &Lane, optimal: &Span, tasks: &[&Task], sink: &Sink<'_>) {
    for task in tasks {
        let (place, label) = match (task.number(), &task.priority_key) {
            (Some((_, place)), _) => (place, "this is a number"),
            (None, None) if lane.optimal.is_none() => (task.span.clone(), "`priority` is missing here"),
            _ => continue,
        };
        let message = format!(
            "the priorities of the lane `{}` are to be found, and the task `{}` does not leave its own open",
            lane.name.get_ref(),
            task.name.get_ref()
        );
        let finding = Finding::error(Code::MixedPriorities, message).at(sink.file, place, label).also(
            sink.file,
            optimal.clone(),
            "asked for here",
        );
        sink.push(
            finding.help("write priority = \"optimal\" in the lane and no priority in its tasks, or numbers in all"),
        );
    }
}

/// A lane's preemption must be one that its kind and its policy can have.
fn preemption(lane: &Lane, kind: Option<LaneKind>, (policy, policy_span): &(Policy, Span), sink: &Sink<'_>) {
    let Some((preemption, Some(place))) = &lane.preemption else { return };
    let refuse = |why: &str, label: &str| {
        let message =
            format!("the lane `{}` cannot have preemption \"{}\": {why}", lane.name.get_ref(), preemption.name());
        Finding::error(Code::PreemptionRefused, message).at(sink.file, place.clone(), label.to_owned())
    };
    if kind == Some(LaneKind::Gpu) && *preemption == Preemption::Full {
        let finding = refuse("a kernel that a GPU has started cannot be stopped", "not on a GPU");
        sink.push(finding.help("use preemption = \"segments\", and give tasks `segments` to be preempted between"));
    }
    if *policy == Policy::TimeTriggered && *preemption == Preemption::Full {
        let finding = refuse("its table gives each job its own time", "not under this policy");
        let finding = finding.also(sink.file, policy_span.clone(), "the lane's policy");
        sink.push(finding.help("use preemption = \"none\", or \"segments\" for submitted tasks, which have no slots"));
    }
}

/// A table has one entry for each job, and none that waits for another lane.
fn stage(lane: &Lane, (policy, policy_span): &(Policy, Span), task: &Task, sink: &Sink<'_>) {
    if *policy == Policy::TimeTriggered {
        let message = format!(
            "the stage `{}` is on the lane `{}`, whose policy is time-triggered",
            task.name.get_ref(),
            lane.name.get_ref()
        );
        let place = task.lane.as_ref().map_or_else(|| task.span.clone(), Spanned::span);
        let finding = Finding::error(Code::StageInTable, message)
            .at(sink.file, place, "this lane follows a table")
            .also(sink.file, policy_span.clone(), "the lane's policy");
        sink.push(finding.help("use a lane of another policy, or tasks with phases of their own instead of stages"));
    }
}

/// Submitted tasks run between the slots of others.
fn no_slots(lane: &Lane, (policy, policy_span): &(Policy, Span), tasks: &[&Task], sink: &Sink<'_>) {
    if *policy != Policy::TimeTriggered || tasks.is_empty() {
        return;
    }
    let Some(submitted) = tasks.iter().map(|task| task.submitted.clone()).collect::<Option<Vec<Span>>>() else {
        return;
    };
    let message = format!("the lane `{}` follows a table, and none of its tasks has a slot in it", lane.name.get_ref());
    let mut finding =
        Finding::error(Code::NoSlots, message).at(sink.file, policy_span.clone(), "a table without slots");
    for (task, span) in tasks.iter().zip(submitted) {
        finding = finding.also(sink.file, span, format!("`{}` comes at no fixed instants", task.name.get_ref()));
    }
    sink.push(finding.help("use a policy of fixed priorities, or put periodic tasks on the lane"));
}

/// Segments, regions and suspensions stand only where the lane's preemption gives them a meaning.
fn parts(
    lane: &Lane,
    (preemption, place): (Preemption, &Span),
    policy: Option<&(Policy, Span)>,
    task: &Task,
    sink: &Sink<'_>,
) {
    let (name, lane_name) = (task.name.get_ref(), lane.name.get_ref());
    let policy = policy.map(|(policy, _)| *policy);
    let refuse = |code, what: &str, key: Span, help: &str| {
        let message = format!(
            "the task `{name}` has {what}, but its lane `{lane_name}` has preemption \"{}\"",
            preemption.name()
        );
        let finding = Finding::error(code, message).at(sink.file, key, "not on this lane");
        sink.push(finding.also(sink.file, place.clone(), "the lane's preemption").help(help));
    };
    if let Some(key) = &task.segments_key
        && preemption != Preemption::Segments
    {
        let help = match (preemption, policy) {
            (Preemption::Full, _) => "declare the `wcet`: the lane may be lost anywhere, not only between segments",
            (_, Some(Policy::TimeTriggered)) if task.submitted.is_none() => {
                "declare the `wcet`: a slot holds a whole job"
            }
            _ => "set preemption = \"segments\" in the lane, or declare the `wcet`",
        };
        refuse(Code::UnusedSegments, "segments", key.clone(), help);
    }
    if let Some(key) = task.segments_key.clone().filter(|_| preemption == Preemption::Segments)
        && policy == Some(Policy::TimeTriggered)
        && task.submitted.is_none()
    {
        let message = format!("the task `{name}` has segments, but slots in the table of its lane `{lane_name}`");
        let finding = Finding::error(Code::SegmentsInSlot, message).at(sink.file, key, "a slot holds a whole job");
        sink.push(finding.help("declare the `wcet`, or let the application submit its jobs, which then have no slots"));
    }
    if let Some(region) = &task.region
        && preemption != Preemption::Full
    {
        let help = "remove it: only preemption = \"full\" has anything that it could limit";
        refuse(Code::UnusedRegion, "a non-preemptive region", region.span(), help);
    }
    if let Some(suspension) = &task.suspension {
        if preemption != Preemption::Full {
            let help = "no bound covers a job that gives up such a lane: split the task into stages";
            refuse(Code::SuspensionRefused, "a suspension", suspension.span(), help);
        } else if let Some(policy) = policy.filter(|policy| !policy.is_fixed_priority()) {
            let message = format!(
                "the task `{name}` has a suspension, but its lane `{lane_name}` has the policy {}",
                policy.name()
            );
            let finding = Finding::error(Code::SuspensionRefused, message);
            let finding = finding.at(sink.file, suspension.span(), "no bound covers this");
            sink.push(finding.help("use a policy of fixed priorities, or split the task into stages"));
        }
    }
}

/// Lanes of one GPU whose tasks lie in different domains share it by time slices, which no lane's bound counts; and
/// only a GPU has a cost of switching domains.
pub(super) fn shared_devices(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    for (index, device) in raw.devices.iter().enumerate() {
        match (device.kind, &device.domain_switch) {
            (Some(LaneKind::Gpu), _) if links.domains_are_known(raw) => shared_device(raw, links, index, sink),
            (Some(LaneKind::Cpu), Some(switch)) => {
                let message = format!("the device `{}` is a CPU and has a domain-switch", device.name.get_ref());
                let finding = Finding::error(Code::UnusedDomainSwitch, message);
                let finding = finding.at(sink.file, switch.span(), "no effect here");
                let help = "remove it: a CPU lane's dispatch-overhead holds what changing threads costs";
                sink.push(sink.without(finding.help(help), &switch.span()));
            }
            _ => {}
        }
    }
}

fn shared_device(raw: &Raw, links: &Links, device: usize, sink: &Sink<'_>) {
    let mut users = Vec::new();
    for (((task, lane), domain), model) in raw.tasks.iter().zip(&links.lanes).zip(&links.domains).zip(&links.models) {
        let Some(lane) = *lane else { continue };
        // On a part of a device models alone do anything; without parts a task stands for what it would have there.
        let uses = model.is_some() || raw.lanes.get(lane).is_some_and(|lane| lane.gpu.sms_key.is_none());
        if uses && links.devices.get(lane).copied().flatten() == Some(device) {
            users.push((task, lane, *domain));
        }
    }
    let pair = users.iter().enumerate().find_map(|(position, a)| {
        let b = users.iter().skip(position + 1).find(|b| a.1 != b.1 && a.2 != b.2)?;
        Some((*a, *b))
    });
    let Some((a, b)) = pair else { return };
    let describe = |(task, lane, domain): (&Task, usize, Option<usize>)| {
        let lane = raw.lanes.get(lane).map_or("", |lane| lane.name.get_ref());
        let domain = domain.and_then(|domain| raw.domains.get(domain));
        let domain =
            domain.map_or_else(|| "no domain".to_owned(), |domain| format!("domain `{}`", domain.name.get_ref()));
        format!("`{}` on lane `{lane}` lies in {domain}", task.name.get_ref())
    };
    let name = raw.devices.get(device).map_or("", |device| device.name.get_ref());
    let message =
        format!("two lanes of the device `{name}` run tasks of different domains: {}, {}", describe(a), describe(b));
    let finding = Finding::error(Code::SharedDevice, message).at(sink.file, b.0.span.clone(), describe(b)).also(
        sink.file,
        a.0.span.clone(),
        describe(a),
    );
    sink.push(finding.help("a GPU serves processes by turns, and lanes do not wait for each other: use one lane for all of them, one domain, or a device \
                       for each"));
}
