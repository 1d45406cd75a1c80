//! Who is not shown to be in time when another fault domain fails, and which of them may fail again too soon.

use super::{show, show_down};
use crate::analysis::failures::{Failure, TooSoon, analyse, overrun};
use crate::analysis::{Analysis, Holds};
use crate::finding::{Code, Finding};
use crate::system::{System, Task};
use aegis_core::desc::Answer;
use aegis_core::time::Duration;

/// One finding for each domain whose failure other tasks may not survive that have to be in time and otherwise are: all but
/// optional ones: a warning, or an error where the domain is not trusted. An error where it may fail again before its failure is over.
/// And one for each task that another process' end may let overrun, where that has an answer.
pub(super) fn judge(system: &System, analysis: &Analysis) -> Vec<Finding> {
    if system.domains.iter().all(|domain| domain.process.is_none()) {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = answered(system);
    findings.extend(analyse(system, analysis).iter().filter_map(|failure| finding(system, analysis, failure)));
    findings.extend(taken_for_a_stall(system));
    findings
}

/// A warning for each task of which the end of another domain's process may cause an overrun that lets its own domain fail, or that has
/// another answer, where that domain has models on the same device.
fn answered(system: &System) -> Vec<Finding> {
    let answers = system.tasks.iter().filter(|task| task.on_overrun != Answer::Continue).filter_map(|task| {
        let lane = system.lanes.get(task.lane)?;
        let is_shared = !lane.blackout.is_zero();
        let ends_jobs = matches!(task.on_overrun, Answer::FailDomain | Answer::AbortJob);
        let counts = |by: &Duration| ends_jobs || (is_shared && *by >= lane.blackout);
        let domains = system.domains.iter().enumerate();
        let causes = domains.filter_map(|(position, domain)| {
            Some((domain.name.as_str(), overrun(system, task, position).filter(counts)?))
        });
        let causes: Vec<(&str, Duration)> = causes.collect();
        let longest = causes.iter().map(|(_, by)| *by).max()?;
        let names: Vec<String> = causes.iter().map(|(name, _)| format!("`{name}`")).collect();
        let own = task.domain.and_then(|domain| system.domains.get(domain)).map_or("", |domain| domain.name.as_str());
        let then = match task.on_overrun {
            Answer::FailDomain => format!("then its domain `{own}` fails as well"),
            Answer::AbortJob => "then that job is given up".to_owned(),
            Answer::SkipNext => "then its next release is dropped".to_owned(),
            Answer::SwitchMode(_) => "then the mode is changed".to_owned(),
            Answer::Continue => return None,
        };
        let message = format!(
            "when the domain {} fails, `{}` may overrun by {}, for which it may be kept: {then}",
            names.join(" or "),
            task.name,
            show(longest)
        );
        let finding = Finding::warning(Code::FailsAlong, message);
        let text = format!("its on-overrun is \"{}\"", task.on_overrun.name());
        let finding = finding.at(&system.file, task.span.clone(), text);
        Some(finding.help("let its on-overrun be \"continue\", or accept it: the report counts on it"))
    });
    answers.collect()
}

/// A warning where the vehicle may take what the end of a process does to a device for a stall of its own.
fn taken_for_a_stall(system: &System) -> Option<Finding> {
    let watchdog = system.watchdog.as_ref()?;
    let lane = system.lanes.iter().max_by_key(|lane| lane.blackout)?;
    if lane.blackout < watchdog.timeout {
        return None;
    }
    let message = format!(
        "a process that ends may keep the lane `{}` from being served for {}, and the vehicle takes {} beyond its time for a stall",
        lane.name,
        show(lane.blackout),
        show(watchdog.timeout)
    );
    let finding = Finding::warning(Code::StalledByAnother, message);
    let finding = finding.at(&system.file, watchdog.span.clone(), "no longer than that");
    let finding = finding.also(&system.file, lane.span.clone(), "its device serves several processes");
    Some(finding.help("choose a longer `timeout`, or a device for each process"))
}

fn finding(system: &System, analysis: &Analysis, failure: &Failure) -> Option<Finding> {
    let domain = system.domains.get(failure.domain)?;
    let process = domain.process.as_ref()?;
    if let Some(too_soon) = &failure.too_soon {
        return restarts_too_soon(system, too_soon);
    }
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

/// All bounds while the domain fails would have to allow for more than one failure.
fn restarts_too_soon(system: &System, found: &TooSoon) -> Option<Finding> {
    let domain = system.domains.get(found.domain)?;
    let (name, restart) = (&domain.name, domain.process.as_ref()?.restart.as_ref()?);
    let lane = system.lanes.get(found.lane)?;
    let (back_off, least) = (show_down(restart.policy.back_off), show(found.least));
    let message = format!(
        "the domain `{name}` may be started again {back_off} after its end, and lane `{}` may be busy with its failure for {least}",
        lane.name
    );
    let finding = Finding::error(Code::RestartsTooSoon, message)
        .at(&system.file, restart.back_off_span.clone(), format!("a back-off of {back_off}"))
        .also(
            &system.file,
            lane.span.clone(),
            format!(
                "a busy period of up to {}, a failure and a start included; {least} with the time for which a piece hangs",
                show(found.busy)
            ),
        );
    Some(finding.help(format!("choose a back-off of at least {least}")))
}
