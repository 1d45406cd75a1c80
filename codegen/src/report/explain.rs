//! Says in words why a task's response bound is what it is.

use crate::analysis::explain::terms;
use crate::analysis::{Analysis, lane_loads};
use crate::check::{show, show_down};
use crate::system::System;
use aegis_core::Duration;

/// The bound of the task at `position`, term by term; why there is none, or why there are no terms, otherwise.
#[must_use]
pub fn render(system: &System, analysis: &Analysis, position: usize) -> String {
    let (Some(task), Some(result)) = (system.tasks.get(position), analysis.tasks.get(position)) else {
        return String::new();
    };
    let Some(lane) = system.lanes.get(task.lane) else { return String::new() };
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    let (bound, proof) = match &result.response {
        Ok(found) => found,
        Err(why) => {
            line(format!("task `{}` has no response bound: {why}", task.name));
            return text;
        }
    };
    let verdict = match task.deadline.checked_sub(*bound) {
        Some(slack) => format!("{} before", show_down(slack)),
        None => format!("{} AFTER", show(bound.saturating_sub(task.deadline))),
    };
    line(format!(
        "task `{}` on lane `{}` ({}), priority {}",
        task.name,
        lane.name,
        lane.policy.name(),
        result.priority.0
    ));
    line(format!("responds within {} of its arrival, {verdict} its deadline of {}", show(*bound), show(task.deadline)));
    let level = lane_loads(system, analysis, task.lane).and_then(|(members, loads)| {
        let own = members.iter().position(|member| *member == position)?;
        Some((members, loads.get(..=own)?.to_vec()))
    });
    let Some((members, terms)) = level.and_then(|(members, level)| Some((members, terms(&level, proof)?))) else {
        line("Under EDF the demand test proves that every job meets its deadline; it has no terms for a single response.".into());
        return text;
    };
    let mut term = |ns: u64, words: String| line(format!("  {:>14}  {words}", show(Duration::from_ns(ns))));
    let own_jitter = task.jitter.as_ns();
    term(own_jitter, "release jitter of its own".into());
    term(terms.jitter.saturating_sub(own_jitter), "wake-up latency of the dispatcher".into());
    let blocker = result.blocked_by.and_then(|blocker| system.tasks.get(blocker));
    let blocker = blocker.map_or("nobody is less important".to_owned(), |blocker| {
        format!("blocking by one job of `{}` that had just started", blocker.name)
    });
    term(terms.blocking, blocker);
    let overhead = lane.dispatch_overhead.as_ns();
    let mut jobs: u64 = 0;
    for one in &terms.interference {
        let other = members.get(one.load).and_then(|member| system.tasks.get(*member));
        let executions = one.cost.saturating_sub(one.jobs.saturating_mul(overhead));
        term(
            executions,
            format!("interference by {} of `{}`", jobs_of(one.jobs), other.map_or("", |other| &other.name)),
        );
        jobs = jobs.saturating_add(one.jobs);
    }
    let earlier = terms.instance;
    if earlier > 0 {
        term(
            terms.earlier.saturating_sub(earlier.saturating_mul(overhead)),
            format!("{} of its own before it", jobs_of(earlier)),
        );
    }
    jobs = jobs.saturating_add(earlier).saturating_add(1);
    term(terms.own.saturating_sub(overhead), "its own execution".into());
    term(jobs.saturating_mul(overhead), format!("dispatch overhead of {}", jobs_of(jobs)));
    if terms.offset > 0 {
        term(terms.offset, "less: it arrives that long after the busy period begins".into());
    }
    term(terms.response, format!("= the bound, of instance {} of {}", earlier.saturating_add(1), terms.instances));
    text
}

/// A number of jobs in words.
fn jobs_of(count: u64) -> String {
    if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") }
}
