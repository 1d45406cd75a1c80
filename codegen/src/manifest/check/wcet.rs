//! The rules of `wcet-from` and `exceedance`: each has a profile that it chooses from, and a tail where it speaks of one.

use crate::finding::{Code, Finding};
use crate::manifest::model::{Execution, Span};
use crate::manifest::raw::Raw;
use crate::manifest::reader::Sink;

/// Applies the rules to all tasks and to the system's defaults.
pub(super) fn check(raw: &Raw, sink: &Sink<'_>) {
    let system = raw.system.as_ref().map(|system| &system.wcet);
    let useless = |message: String, at: Span, label: &str, help: &str| {
        let finding = Finding::error(Code::TailWithoutEffect, message);
        let finding = finding.at(sink.file, at.clone(), label).help(help);
        sink.push(sink.without(finding, &at));
    };
    let mut tails = raw.incomplete.contains(&"task");
    for task in &raw.tasks {
        let name = task.name.get_ref();
        let Some(execution) = &task.execution else {
            tails = true;
            continue;
        };
        let own = [("wcet-from", &task.wcet.from_key), ("exceedance", &task.wcet.exceedance_key)];
        let tail = task.wcet.is_tail(system);
        if !matches!(execution, Execution::Profile(_)) {
            for (key, place) in own {
                if let Some(place) = place {
                    let message = format!("`{key}` of the task `{name}` has no effect on a declared wcet");
                    useless(message, place.clone(), "remove this", "it chooses between two numbers of a profile");
                }
            }
            continue;
        }
        tails |= tail != Some(false);
        if let (Some(false), Some(place)) = (tail, &task.wcet.exceedance_key) {
            let message =
                format!("the WCET of the task `{name}` is not from a tail, so its `exceedance` has no effect");
            useless(message, place.clone(), "remove this", "or add `wcet-from = \"tail\"`");
        }
        if let (Some(true), Some(margin)) = (tail, &task.margin_ppm) {
            let message = format!("the WCET of the task `{name}` is from a tail, so its `margin` has no effect");
            useless(message, margin.span(), "remove this", "a lower `exceedance` is what makes a tail's bound longer");
        }
    }
    let Some(system) = system.filter(|_| !tails) else { return };
    let tail = system.is_tail.as_ref().filter(|is_tail| *is_tail.get_ref()).and(system.from_key.clone());
    for (key, place) in [("wcet-from", tail), ("exceedance", system.exceedance_key.clone())] {
        if let Some(place) = place {
            let message = format!("`{key}` of [system] has no effect: no task takes its WCET from a tail");
            let help =
                "a task has a tail where it has a `profile` and `wcet-from = \"tail\"`, or [system] says so for all";
            useless(message, place, "remove this", help);
        }
    }
}
