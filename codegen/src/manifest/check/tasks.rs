//! The rules of one table `[task.NAME]`.

use aegis_core::time::Duration;
use toml::Spanned;

use crate::finding::{Code, Finding};
use crate::manifest::model::{Execution, Manifest, Span};
use crate::manifest::raw::{Member, Task};
use crate::manifest::reader::Sink;
use crate::manifest::units::Time;

/// Applies the rules to the table's `tasks`: its stages, or the one task that it is.
pub(super) fn check(member: &Member, tasks: &[Task], sink: &Sink<'_>) {
    for task in tasks {
        shortest(task, sink);
        profiles(task, sink);
        submitted(task, sink);
        deferred(task, sink);
        region(task, sink);
        suspension(task, sink);
    }
    need(member, tasks, sink);
    budget(member, tasks, sink);
    // Stages have the same deadline and period.
    if let Some(task) = tasks.first() {
        queue(member, task, sink);
    }
}

/// How messages write a time.
fn shown(time: &Spanned<Duration>) -> Time {
    Time(*time.get_ref())
}

/// Where the execution is given.
fn place(execution: &Execution) -> Span {
    match execution {
        Execution::Wcet(wcet) => wcet.span(),
        Execution::Profile(path) => path.span(),
        Execution::Segments(segments) => {
            segments.first().map_or(0, |first| first.span().start)..segments.last().map_or(0, |last| last.span().end)
        }
    }
}

/// The longest execution that a task declares, with its place and what messages call it.
fn declared(task: &Task) -> Option<(Duration, Span, &'static str)> {
    let execution = task.execution.as_ref()?;
    match execution {
        Execution::Wcet(wcet) => Some((*wcet.get_ref(), place(execution), "wcet")),
        Execution::Segments(segments) => {
            let sum = segments.iter().try_fold(Duration::ZERO, |sum, segment| sum.checked_add(*segment.get_ref()))?;
            Some((sum, place(execution), "segments' sum"))
        }
        Execution::Profile(_) => None,
    }
}

/// No execution is shorter than the shortest.
fn shortest(task: &Task, sink: &Sink<'_>) {
    let (Some(bcet), Some((most, span, what))) = (&task.bcet, declared(task)) else { return };
    if *bcet.get_ref() > most {
        let name = task.name.get_ref();
        let message = format!("the bcet {} of the task `{name}` exceeds its {what} {}", shown(bcet), Time(most));
        let finding = Finding::error(Code::BcetAboveWcet, message)
            .at(sink.file, bcet.span(), "the shortest execution")
            .also(sink.file, span, "the longest execution");
        sink.push(finding);
    }
}

/// A task that the application submits has no first arrival to be given.
fn submitted(task: &Task, sink: &Sink<'_>) {
    if let (Some(submitted), Some(phase)) = (&task.submitted, &task.phase_key) {
        let message = format!("the task `{}` has a phase and is submitted by the application", task.name.get_ref());
        let finding = Finding::error(Code::KeyConflict, message).at(sink.file, phase.clone(), "remove this").also(
            sink.file,
            submitted.clone(),
            "its jobs come when the application says",
        );
        sink.push(sink.without(finding.help("`period` is the least time between two submissions"), phase));
    }
}

/// Only what the application submits can come too early.
fn deferred(task: &Task, sink: &Sink<'_>) {
    if let (None, Some(deferred)) = (&task.submitted, &task.deferred) {
        let name = task.name.get_ref();
        let message = format!("the task `{name}` defers what is submitted too early, and is not submitted");
        let finding = Finding::error(Code::KeyConflict, message).at(sink.file, deferred.clone(), "remove this");
        sink.push(finding.help("add `release = \"submitted\"` if the application says when its jobs come"));
    }
}

/// A region is a part of the execution.
fn region(task: &Task, sink: &Sink<'_>) {
    let (Some(region), Some((most, span, what))) = (&task.region, declared(task)) else { return };
    if *region.get_ref() > most {
        let name = task.name.get_ref();
        let message = format!(
            "the non-preemptive region {} of the task `{name}` exceeds its {what} {}",
            shown(region),
            Time(most)
        );
        let finding = Finding::error(Code::RegionAboveWcet, message)
            .at(sink.file, region.span(), "a part of the execution")
            .also(sink.file, span, "the longest execution");
        sink.push(finding);
    }
}

/// A suspension is covered where each job ends before the next arrives, and arrives when it is released.
fn suspension(task: &Task, sink: &Sink<'_>) {
    let Some(suspension) = &task.suspension else { return };
    let name = task.name.get_ref();
    let refuse = |message: String, cause: Span, label: &str, help: &str| {
        let finding = Finding::error(Code::SuspensionRefused, message);
        let finding = finding.at(sink.file, suspension.span(), "no bound covers this");
        sink.push(finding.also(sink.file, cause, label.to_owned()).help(help));
    };
    if let (Some(deadline), Some(period)) = (&task.deadline, &task.period)
        && deadline.get_ref() > period.get_ref()
    {
        let message = format!(
            "the task `{name}` has a suspension, and its deadline {} exceeds its period {}",
            shown(deadline),
            shown(period)
        );
        refuse(message, deadline.span(), "the deadline", "shorten the deadline to the period");
    }
    if let Some(jitter) = task.jitter.as_ref().filter(|jitter| !jitter.get_ref().is_zero()) {
        let message = format!("the task `{name}` has a suspension and a jitter of {}", shown(jitter));
        refuse(message, jitter.span(), "the jitter", "remove one of them");
    }
}

/// The time that a job needs even alone, all stages together, must fit its deadline.
fn need(member: &Member, tasks: &[Task], sink: &Sink<'_>) {
    let Some(deadline) = tasks.first().and_then(|task| task.deadline.as_ref()) else { return };
    let all: Option<Vec<_>> = tasks.iter().map(declared).collect();
    let Some(all) = all else { return };
    let filled = |time: &Option<Spanned<Duration>>| time.clone().filter(|time| !time.get_ref().is_zero());
    let hooks: Vec<_> = tasks.iter().filter_map(|task| filled(&task.hooks)).collect();
    let suspensions: Vec<_> = tasks.iter().filter_map(|task| filled(&task.suspension)).collect();
    let times = all.iter().map(|(time, ..)| *time).chain(hooks.iter().chain(&suspensions).map(|time| *time.get_ref()));
    let need = times.fold(Duration::ZERO, |sum, time| sum.checked_add(time).unwrap_or(Duration::MAX));
    if need <= *deadline.get_ref() {
        return;
    }
    let base = match all.as_slice() {
        [(_, _, what)] => what,
        _ => "stages' sum",
    };
    let what = match (hooks.is_empty(), suspensions.is_empty()) {
        (true, true) => base.to_owned(),
        (false, true) => format!("{base} with hooks"),
        (true, false) => format!("{base} with suspension"),
        (false, false) => format!("{base} with hooks and suspension"),
    };
    let name = member.name.get_ref();
    let message = format!("the {what} {} of the task `{name}` exceeds its deadline {}", Time(need), shown(deadline));
    let mut finding = Finding::error(Code::DeadlineBelowWcet, message).at(sink.file, deadline.span(), "the deadline");
    for (_, span, _) in all {
        finding = finding.also(sink.file, span, "the longest execution");
    }
    for hooks in hooks {
        finding = finding.also(sink.file, hooks.span(), "the hooks' time");
    }
    for suspension in suspensions {
        finding = finding.also(sink.file, suspension.span(), "the suspension");
    }
    sink.push(finding.help("no schedule can help: allow more time, or use a faster model"));
}

/// What the task may use must be what its stages need, and something that it has.
fn budget(member: &Member, tasks: &[Task], sink: &Sink<'_>) {
    let Some(first) = tasks.first() else { return };
    let name = member.name.get_ref();
    if let (Some(memory), false) = (&first.budget.memory, tasks.iter().any(|task| task.has_model)) {
        let message = format!("the task `{name}` has a budget of memory and no model");
        let finding = Finding::error(Code::KeyConflict, message).at(sink.file, memory.span(), "remove this");
        let finding = finding.also(sink.file, first.span.clone(), "no model");
        sink.push(sink.without(finding.help("what is not run takes no memory of the plan"), &memory.span()));
    }
    let Some(streams) = &first.budget.streams else { return };
    let lanes: Option<Vec<&Spanned<String>>> = tasks.iter().map(|task| task.lane.as_ref()).collect();
    let Some(mut lanes) = lanes else { return };
    lanes.sort_by_key(|lane| lane.get_ref());
    lanes.dedup_by_key(|lane| lane.get_ref());
    let (used, granted) = (lanes.len(), *streams.get_ref());
    if used <= usize::from(granted) {
        return;
    }
    let message = format!("the task `{name}` uses {used} streams, and its budget has {granted}");
    let mut finding = Finding::error(Code::StreamBudget, message).at(sink.file, streams.span(), "this budget");
    for lane in lanes {
        finding = finding.also(sink.file, lane.span(), "a lane is a stream");
    }
    let finding = finding.help(format!("grant {used} streams, or let stages share a lane"));
    sink.push(finding.patch(sink.file, streams.span(), used.to_string()));
}

/// As many jobs as a deadline has periods can wait.
fn queue(member: &Member, task: &Task, sink: &Sink<'_>) {
    let (Some(deadline), Some(period)) = (&task.deadline, &task.period) else { return };
    let most = u128::from(period.get_ref().as_ns()) * u128::from(Manifest::MAX_QUEUE);
    if u128::from(deadline.get_ref().as_ns()) > most {
        let message = format!(
            "the deadline {} of the task `{}` is longer than {} periods of {}",
            shown(deadline),
            member.name.get_ref(),
            Manifest::MAX_QUEUE,
            shown(period)
        );
        let finding = Finding::error(Code::DeadlineBeyondQueue, message)
            .at(sink.file, deadline.span(), "the deadline")
            .also(sink.file, period.span(), "the period");
        sink.push(finding.help("use a longer period or a shorter deadline: queues have a fixed size"));
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
        (Some(declared @ (Execution::Wcet(_) | Execution::Segments(_))), Some(margin)) => {
            let message = format!("the margin of the task `{name}` has no effect on a declared wcet");
            let finding = Finding::error(Code::MarginWithoutProfile, message)
                .at(sink.file, margin.span(), "remove this")
                .also(sink.file, place(declared), "or name a profile instead of this");
            sink.push(sink.without(finding, &margin.span()));
        }
        _ => {}
    }
}
