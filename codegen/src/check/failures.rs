//! Who is not shown to be in time when another fault domain fails.

use super::show;
use crate::analysis::failures::{Failure, analyse};
use crate::analysis::{Analysis, Holds};
use crate::finding::{Code, Finding};
use crate::system::{System, Task};
use aegis_core::time::Duration;

/// One finding for each domain whose failure other tasks may not survive that have to be in time and otherwise are: all but
/// optional ones. A warning, or an error where the domain is not trusted.
pub(super) fn judge(system: &System, analysis: &Analysis) -> Vec<Finding> {
    if system.domains.iter().all(|domain| domain.process.is_none()) {
        return Vec::new();
    }
    analyse(system, analysis).iter().filter_map(|failure| finding(system, analysis, failure)).collect()
}

fn finding(system: &System, analysis: &Analysis, failure: &Failure) -> Option<Finding> {
    let domain = system.domains.get(failure.domain)?;
    let process = domain.process.as_ref()?;
    let is_hard = |position: usize, task: &Task| {
        let in_time = analysis.tasks.get(position).is_some_and(|found| found.holds(task.deadline) != Holds::No);
        in_time && !task.optional
    };
    let tasks = system.tasks.iter().enumerate().filter(|(position, task)| is_hard(*position, task));
    let lost: Vec<(usize, &Task)> =
        tasks.filter(|(position, _)| failure.survives(system, *position) == Some(false)).collect();
    let (_, first) = lost.first()?;
    let others = match lost.len() {
        1 => String::new(),
        2 => " and one other".to_owned(),
        more => format!(" and {} others", more.saturating_sub(1)),
    };
    let untrusted = domain.untrusted.as_ref();
    let untrusted = untrusted.map_or_else(String::new, |model| format!(", whose model `{model}` is not trusted,"));
    let message = format!(
        "when the domain `{}`{untrusted} fails, `{}`{others} may miss the deadline: it is killed {} after a piece of a job began",
        domain.name,
        first.name,
        show(process.kill_after)
    );
    let finding = match &domain.untrusted {
        Some(_) => Finding::error(Code::NotSurvived, message),
        None => Finding::warning(Code::NotSurvived, message),
    };
    let mut finding = finding.at(&system.file, domain.span.clone(), "this domain");
    for (position, task) in &lost {
        let lane = system.lanes.get(task.lane).map_or("", |lane| lane.name.as_str());
        let kept = show(Duration::from_ns(failure.once.get(task.lane).copied().unwrap_or(u64::MAX)));
        let text = match failure.tasks.get(*position) {
            Some(Some(Ok(bound))) => format!(
                "lane `{lane}` is kept for {kept} once: a response of {} instead of {}",
                show(*bound),
                show(task.deadline)
            ),
            Some(Some(Err(why))) => format!("lane `{lane}` is kept for {kept} once: {why}"),
            _ => continue,
        };
        finding = finding.also(&system.file, task.deadline_span.clone(), text);
    }
    Some(
        finding
            .help("shorten `kill-after`, lengthen these deadlines, or move the domain's tasks to a lane of their own"),
    )
}
