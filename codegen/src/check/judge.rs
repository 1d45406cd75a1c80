//! What is wrong with an analysed schedule, in findings.

use super::{failures, show, show_down};
use crate::analysis::chains::Bounds;
use crate::analysis::time_triggered::NoTable;
use crate::analysis::{Analysis, Holds, NoBound, edf, exact, lane_loads, modes};
use crate::finding::{Code, Finding};
use crate::manifest::Span;
use crate::system::{Chain, System, Task, Watchdog, one_change_is_enough};
use aegis_core::desc::{BETWEEN_LEVELS, Policy};
use aegis_core::time::Duration;

/// Findings of the schedule: one a lane that is overloaded or has no table, one a task that has no bound at or below its
/// deadline, one a chain that is too slow. Where there are modes, those of each.
pub(super) fn judge(system: &System, analysis: &Analysis) -> Vec<Finding> {
    let mut findings = if system.modes.is_empty() { schedule(system, analysis) } else { in_modes(system, analysis) };
    findings.extend(system.watchdog.iter().flat_map(|watchdog| hasty(system, watchdog)));
    findings.extend(failures::judge(system, analysis));
    let level = system.levels.first().map(|level| (&level.span, "level of memory pressure"));
    let optional = system.tasks.iter().find(|task| task.optional).map(|task| (&task.span, "optional tasks"));
    let change = level.or(system.modes.first().map(|mode| (&mode.span, "mode"))).or(optional);
    findings.extend(change.into_iter().flat_map(|(span, what)| too_many_changes(system, span, what)));
    findings
}

/// What is wrong in each mode, which the finding names.
fn in_modes(system: &System, analysis: &Analysis) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (mode, found) in system.modes.iter().zip(&analysis.modes) {
        for mut finding in schedule(&modes::alone(system, mode), &found.analysis) {
            finding.message = format!("in mode `{}`, {}", mode.name, finding.message);
            findings.push(finding.also(&system.file, mode.span.clone(), "while this mode holds"));
        }
    }
    findings
}

/// What is wrong where all tasks of the system compete at all times.
fn schedule(system: &System, analysis: &Analysis) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (position, (lane, result)) in system.lanes.iter().zip(&analysis.lanes).enumerate() {
        match result.busy_period {
            Err(NoBound::Overloaded) => findings.push(overloaded(system, position, result.utilization_ppm)),
            Err(NoBound::Table(why)) => findings.push(no_table(system, position, why)),
            // A stage elsewhere is at fault, and reported there.
            Err(NoBound::Stage) => {}
            Err(why) => {
                let message = format!("no busy period was found for lane `{}`: {why}", lane.name);
                let finding = Finding::error(Code::NoBound, message).at(&system.file, lane.span.clone(), "this lane");
                findings.push(finding.help(NO_BOUND_HELP));
            }
            Ok(_) => {}
        }
        findings.extend(demand_exceeded(system, analysis, position));
    }
    for (position, (task, result)) in system.tasks.iter().zip(&analysis.tasks).enumerate() {
        if result.holds(task.deadline) == Holds::Exactly {
            findings.push(exact_only(system, analysis, position));
            continue;
        }
        match &result.response {
            Ok((bound, _)) if *bound > task.deadline && !by_demand(system, analysis, task.lane) => {
                findings.push(missed(system, analysis, position, *bound));
            }
            Err(NoBound::BeyondDeadline) => {
                let deadline = show(task.deadline);
                let message = format!("`{}` may complete only after the deadline of {deadline}", task.name);
                let text = "no bound at or below it".to_owned();
                let finding = Finding::error(Code::DeadlineMissed, message);
                let finding = finding.at(&system.file, task.span.clone(), "this one");
                let finding = finding.also(&system.file, task.deadline_span.clone(), text);
                findings.push(
                    finding.help("lengthen the deadline, shorten it or what goes before it, or use another lane"),
                );
            }
            Err(NoBound::Demand { at: 0, .. }) if !is_seen_in_time(system, task) => {
                let message = format!("a job of `{}` may be seen only after its deadline", task.name);
                let late = task.jitter.as_ns().saturating_add(
                    system.lanes.get(task.lane).and_then(crate::system::Lane::lateness).map_or(0, Duration::as_ns),
                );
                let text = format!("jitter and lateness of {}", show(Duration::from_ns(late)));
                let finding = Finding::error(Code::DeadlineMissed, message);
                let finding = finding.at(&system.file, task.deadline_span.clone(), text);
                findings.push(finding.help("lengthen the deadline, or lower the jitter or the lane's latencies"));
            }
            Err(NoBound::Gaps { piece, sure, lap }) => {
                findings.push(short_gaps(system, position, [*piece, *sure, *lap].map(Duration::from_ns)));
            }
            Err(why @ (NoBound::Overflow | NoBound::GaveUp | NoBound::SuspensionBesideRegions))
                if system_lane_settles(system, analysis, position) =>
            {
                let message = format!("no response bound was found for task `{}`: {why}", task.name);
                let finding = Finding::error(Code::NoBound, message).at(&system.file, task.span.clone(), "this task");
                findings.push(finding.help(NO_BOUND_HELP));
            }
            // What is overloaded is reported once, at its lane.
            Ok(_) | Err(_) => {}
        }
    }
    for (chain, bounds) in system.chains.iter().zip(&analysis.chains) {
        findings.extend(slow_chain(system, analysis, chain, bounds.as_ref()));
    }
    findings
}

/// The lanes of which an event may wait for so long that the level of memory pressure, or the mode, changes twice meanwhile.
fn too_many_changes(system: &System, span: &Span, what: &str) -> Vec<Finding> {
    let waiting = system.lanes.iter().filter(|lane| !one_change_is_enough(lane.thread_wait, true));
    let finding = waiting.map(|lane| {
        let (wait, between) = (show(lane.thread_wait), show(BETWEEN_LEVELS));
        let message = format!(
            "an event of lane `{}` may wait {wait} for the orchestration thread, the {what} may change every {between}",
            lane.name
        );
        let finding = Finding::error(Code::WaitsForLevels, message);
        let finding = finding.at(&system.file, lane.span.clone(), format!("waits for up to {wait}"));
        let words = format!("every event may wait for one change of the {what}");
        let finding = finding.also(&system.file, span.clone(), words);
        finding.help(format!("lower the dispatch overheads of the lanes until an event waits for less than {between}"))
    });
    finding.collect()
}

/// The lanes of which a planned wake-up would be a stall.
fn hasty(system: &System, watchdog: &Watchdog) -> Vec<Finding> {
    let late = system.lanes.iter().filter_map(|lane| Some((lane, lane.lateness()?)));
    let late = late.filter(|(_, lateness)| *lateness >= watchdog.timeout).map(|(lane, lateness)| {
        let (timeout, lateness) = (show_down(watchdog.timeout), show(lateness));
        let message =
            format!("the watchdog's timeout is {timeout}, a wake-up for lane `{}` may be {lateness} late", lane.name);
        let finding = Finding::error(Code::WatchdogTooShort, message);
        let finding = finding.at(&system.file, watchdog.span.clone(), "within what the plan allows");
        let finding = finding.also(&system.file, lane.span.clone(), format!("up to {lateness} late"));
        finding.help(format!("choose a timeout above {lateness}; several times as much leaves the machine some room"))
    });
    late.collect()
}

/// Whether a task's jobs are seen by their deadline at the latest.
fn is_seen_in_time(system: &System, task: &Task) -> bool {
    let lateness = system.lanes.get(task.lane).and_then(crate::system::Lane::lateness);
    let seen = lateness.and_then(|lateness| task.jitter.checked_add(lateness));
    seen.is_some_and(|seen| seen <= task.deadline)
}

/// A chain that exceeds what it may, or has no bound although its members have.
fn slow_chain(system: &System, analysis: &Analysis, chain: &Chain, bounds: Option<&Bounds>) -> Vec<Finding> {
    let Some(bounds) = bounds else {
        let holds = |(_, last): &(usize, usize)| crate::analysis::is_schedulable(system, analysis, *last);
        if !chain.members.iter().all(holds) {
            return Vec::new();
        }
        let aborted = crate::analysis::aborting(system, chain).map(|task| aborted(system, chain, task));
        let failing = crate::analysis::failing(system, chain).map(|task| failing(system, chain, task));
        let broken: Vec<Finding> = aborted.chain(failing).collect();
        if !broken.is_empty() {
            return broken;
        }
        let message = format!("no bound was found for chain `{}`", chain.name);
        let finding = Finding::error(Code::NoBound, message).at(&system.file, chain.span.clone(), "this chain");
        let help = "use periods with a shorter common multiple, or communication = \"register\"";
        return vec![finding.help(help)];
    };
    let limits = [
        ("reaction", bounds.reaction, chain.max_reaction, &chain.limit_spans.0),
        ("age", bounds.age, chain.max_age, &chain.limit_spans.1),
    ];
    let mut findings = Vec::new();
    for (what, bound, limit, span) in limits {
        let bound = Duration::from_ns(bound);
        let Some(limit) = limit.filter(|limit| *limit < bound) else { continue };
        let message =
            format!("chain `{}` may have a {what} of {}, it may have {}", chain.name, show(bound), show(limit));
        let text = format!("{} too short", show(bound.saturating_sub(limit)));
        let mut finding = Finding::error(Code::ChainTooSlow, message).at(&system.file, span.clone(), text);
        for (first, last) in &chain.members {
            let (Some(task), Some(response)) =
                (system.tasks.get(*first), analysis.tasks.get(*last).and_then(crate::analysis::TaskResult::bound))
            else {
                continue;
            };
            let text = format!("every {}, responds within {}", show(task.period), show(response));
            finding = finding.also(&system.file, task.span.clone(), text);
        }
        findings.push(finding.help("shorten periods or responses of its tasks, or allow it more"));
    }
    findings
}

/// A member of a chain that may deliver nothing any number of times in a row.
fn aborted(system: &System, chain: &Chain, task: &Task) -> Finding {
    let (budget, wcet) = (show_down(task.budget), show(task.wcet));
    let message = format!(
        "the chain `{}` has the task `{}`, whose jobs are aborted after {budget} of at most {wcet}",
        chain.name, task.name
    );
    let finding = Finding::error(Code::AbortedInChain, message)
        .at(&system.file, chain.span.clone(), "nothing bounds how often nothing passes")
        .also(&system.file, task.span.clone(), "on-overrun = \"abort-job\", with a budget below the WCET");
    finding.help(format!(
        "raise the budget of `{}` to its WCET of {wcet}, use on-overrun = \"skip-next\" or \"continue\", or leave it out \
         of the chain",
        task.name
    ))
}

/// A task that may let the domain of a chain's member fail, so that nothing passes any more.
fn failing(system: &System, chain: &Chain, task: &Task) -> Finding {
    let (budget, wcet) = (show_down(task.budget), show(task.wcet));
    let domain = task.domain.and_then(|domain| system.domains.get(domain)).map_or("", |domain| domain.name.as_str());
    let message = format!(
        "the chain `{}` lies in the domain `{domain}`, which fails when `{}` has taken {budget} of at most {wcet}",
        chain.name, task.name
    );
    let finding = Finding::error(Code::FailsInChain, message)
        .at(&system.file, chain.span.clone(), "nothing passes once the domain has failed")
        .also(&system.file, task.span.clone(), "on-overrun = \"fail-domain\", with a budget below the WCET");
    finding.help(format!(
        "raise the budget of `{}` to its WCET of {wcet}, choose another answer to overruns, or give it a domain of its own",
        task.name
    ))
}

fn no_table(system: &System, lane: usize, why: NoTable) -> Finding {
    let (name, span) = system.lanes.get(lane).map_or(("", 0..0), |lane| (lane.name.as_str(), lane.span.clone()));
    let finding = Finding::error(Code::NoTable, format!("lane `{name}` has no table: {}", in_words(system, lane, why)));
    let help = match why {
        NoTable::Hyperperiod { .. } | NoTable::TooManySlots { .. } => "use periods with a shorter common multiple",
        NoTable::DoesNotFit { .. } => "lengthen its deadline, or shorten its execution or jitter",
        NoTable::Infeasible => "shorten executions, lengthen deadlines, move phases apart, or use another lane",
        _ => "shorten executions, lengthen deadlines, or use another policy",
    };
    finding.at(&system.file, span, "this lane").help(help)
}

/// A task without slots that asks for more than its lane's gaps are certain to give.
fn short_gaps(system: &System, position: usize, [piece, sure, lap]: [Duration; 3]) -> Finding {
    let Some(task) = system.tasks.get(position) else { return Finding::error(Code::ShortGaps, "no gap is enough") };
    let lane = system.lanes.get(task.lane);
    let name = lane.map_or("", |lane| lane.name.as_str());
    let text = format!("a segment of {} that goes first, overheads included", show(piece));
    let message = if sure.is_zero() {
        format!(
            "no gap of the table of lane `{name}` holds a segment of {}, for which `{}` may wait",
            show(piece),
            task.name
        )
    } else {
        format!(
            "`{}` and what goes before it ask for more than the {} of each {} in which the table of lane `{name}` leaves room",
            task.name,
            show_down(sure),
            show(lap)
        )
    };
    let mut finding = Finding::error(Code::ShortGaps, message).at(&system.file, task.span.clone(), text);
    if let Some(lane) = lane {
        finding = finding.also(&system.file, lane.span.clone(), "the lane whose gaps it has");
    }
    finding.help(
        "cut its jobs into shorter segments, lengthen its period, use less of the lane in slots, or use another lane",
    )
}

/// The reason with the task's name instead of its position among the lane's tasks.
fn in_words(system: &System, lane: usize, why: NoTable) -> String {
    let (NoTable::Zero { task } | NoTable::Hyperperiod { task, .. } | NoTable::DoesNotFit { task, .. }) = why else {
        return why.to_string();
    };
    let mut members: Vec<&Task> = system.tasks.iter().filter(|task| task.lane == lane && !task.submitted).collect();
    members.sort_by_key(|task| (task.deadline, task.period));
    let name = members.get(task).map_or("", |task| task.name.as_str());
    why.to_string().replace(&format!("task {task}"), &format!("task `{name}`"))
}

/// What holds only because releases are strictly periodic.
fn exact_only(system: &System, analysis: &Analysis, position: usize) -> Finding {
    let (Some(task), Some(result)) = (system.tasks.get(position), analysis.tasks.get(position)) else {
        return Finding::warning(Code::ExactOnly, "a task holds only by the exact analysis");
    };
    let longest = result.exact_response().map_or_else(String::new, show);
    let bound =
        result.bound().map_or_else(|| "has no bound".to_owned(), |bound| format!("is bounded by {}", show(bound)));
    let message = format!(
        "task `{}` responds within {longest} with exactly these phases, but {bound} in general, its deadline is {}",
        task.name,
        show(task.deadline)
    );
    let finding = Finding::warning(Code::ExactOnly, message);
    let finding = finding.at(&system.file, task.deadline_span.clone(), "held by the exact analysis only");
    let longer = result.bound().map_or_else(String::new, |bound| format!(": lengthen the deadline to {}", show(bound)));
    finding.help(format!("no certificate exists for this, so no binary; to build one, make the bound suffice{longer}"))
}

/// Whether an EDF lane's misses are reported by its demand.
fn by_demand(system: &System, analysis: &Analysis, lane: usize) -> bool {
    demand(system, analysis, lane).is_some()
}

/// Where an EDF lane's demand first exceeds the time: the instant and what is needed.
fn demand(system: &System, analysis: &Analysis, lane: usize) -> Option<(u64, u64)> {
    let desc = system.lanes.get(lane).filter(|lane| lane.policy == Policy::EarliestDeadlineFirst)?;
    let on_lane = system.tasks.iter().zip(&analysis.tasks).filter(|(task, _)| task.lane == lane);
    let misses = on_lane.into_iter().any(|(task, found)| found.holds(task.deadline) == Holds::No);
    let busy = analysis.lanes.get(lane)?.busy_period.ok().filter(|_| misses)?;
    let (_, loads) = lane_loads(system, analysis, lane)?;
    // The earliest instant, or where that takes too long any.
    let tested = match edf::demand::test(&loads, busy.as_ns()) {
        Err(NoBound::GaveUp) => edf::qpa::test(&loads, busy.as_ns()),
        tested => tested,
    };
    match tested {
        Err(NoBound::Demand { at: 0, .. }) => None,
        Err(NoBound::Demand { at, needed }) if desc.segment_overhead().is_some() => Some((at, needed)),
        _ => None,
    }
}

/// What mends a recurrence that does not settle.
const NO_BOUND_HELP: &str = "lower the utilization below 1, or use times that differ less in magnitude";

fn system_lane_settles(system: &System, analysis: &Analysis, task: usize) -> bool {
    let lane = system.tasks.get(task).and_then(|task| analysis.lanes.get(task.lane));
    lane.is_some_and(|lane| lane.busy_period.is_ok())
}

fn overloaded(system: &System, lane: usize, ppm: u64) -> Finding {
    let (name, span) = system.lanes.get(lane).map_or(("", 0..0), |lane| (lane.name.as_str(), lane.span.clone()));
    let desc = system.lanes.get(lane);
    let overhead = desc.and_then(crate::system::Lane::segment_overhead).unwrap_or(Duration::MAX);
    // A slot also holds how late its beginning may be seen.
    let late = desc.filter(|lane| lane.policy == Policy::TimeTriggered).and_then(crate::system::Lane::lateness);
    let percent = format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100);
    let message = format!("lane `{name}` has a utilization of {percent}: its tasks ask for more time than passes");
    let mut finding = Finding::error(Code::Overloaded, message).at(&system.file, span, "this lane");
    for task in system.tasks.iter().filter(|task| task.lane == lane) {
        let segments = u64::try_from(task.segments.len().max(1)).unwrap_or(u64::MAX);
        let late = late.filter(|_| !task.submitted).unwrap_or(Duration::ZERO);
        let overheads = Duration::from_ns(overhead.as_ns().saturating_mul(segments).saturating_add(late.as_ns()));
        let cost = task.wcet.checked_add(overheads).unwrap_or(Duration::MAX);
        let share = u128::from(cost.as_ns()).saturating_mul(10_000).checked_div(u128::from(task.period.as_ns()));
        let share = share.unwrap_or(u128::MAX);
        let text = format!("{} every {}: {}.{:02} %", show(cost), show(task.period), share / 100, share % 100);
        finding = finding.also(&system.file, task.span.clone(), text);
    }
    finding.help("move a task to another lane, lengthen periods, or use faster models")
}

fn demand_exceeded(system: &System, analysis: &Analysis, lane: usize) -> Option<Finding> {
    let (at, needed) = demand(system, analysis, lane)?;
    let desc = system.lanes.get(lane)?;
    let message = format!(
        "on EDF lane `{}`, {} of execution can be due within {}",
        desc.name,
        show(Duration::from_ns(needed)),
        show(Duration::from_ns(at))
    );
    let mut finding = Finding::error(Code::DemandExceeded, message).at(&system.file, desc.span.clone(), "this lane");
    // A job that is seen late by its whole jitter is due that much earlier after it is seen.
    let due = |task: &&Task| {
        let jitter = task.jitter.as_ns().saturating_add(desc.lateness().map_or(u64::MAX, Duration::as_ns));
        task.deadline.as_ns().saturating_sub(jitter) <= at
    };
    let later = system.tasks.iter().filter(|task| task.lane == lane && !due(task));
    if let Some(blocker) = later.max_by_key(|task| task.wcet) {
        let text = format!("`{}` can block for {}", blocker.name, show(blocker.wcet));
        finding = finding.also(&system.file, blocker.span.clone(), text);
    }
    for task in system.tasks.iter().filter(|task| task.lane == lane && due(task)) {
        let text = format!(
            "`{}`: {} due every {} within {}",
            task.name,
            show(task.wcet),
            show(task.period),
            show(task.deadline)
        );
        finding = finding.also(&system.file, task.span.clone(), text);
    }
    Some(finding.help("shorten what is due until then, shorten the blocking job, or move a task to another lane"))
}

fn missed(system: &System, analysis: &Analysis, position: usize, bound: Duration) -> Finding {
    let (Some(task), Some(result)) = (system.tasks.get(position), analysis.tasks.get(position)) else {
        return Finding::error(Code::DeadlineMissed, "a task's bound exceeds its deadline");
    };
    let message =
        format!("task `{}` may respond only after {}, its deadline is {}", task.name, show(bound), show(task.deadline));
    let over = bound.saturating_sub(task.deadline);
    let text = format!("{} too short", show(over));
    let mut finding = Finding::error(Code::DeadlineMissed, message).at(&system.file, task.deadline_span.clone(), text);
    if let Some(blocker) = result.blocked_by.and_then(|index| system.tasks.get(index)) {
        let text = format!("`{}` can block it for {}", blocker.name, show(result.blocking));
        finding = finding.also(&system.file, blocker.span.clone(), text);
    }
    let more_important = system
        .tasks
        .iter()
        .zip(&analysis.tasks)
        .filter(|(other, found)| other.lane == task.lane && found.priority.is_more_important_than(result.priority));
    for (other, _) in more_important {
        let text = format!("`{}` goes before it: {} every {}", other.name, show(other.wcet), show(other.period));
        finding = finding.also(&system.file, other.span.clone(), text);
    }
    // Blocking is C − 1 of a less important job, so this is the longest C that leaves the bound at the deadline.
    let overhead = system.lanes.get(task.lane).and_then(crate::system::Lane::segment_overhead);
    let overhead = overhead.unwrap_or(Duration::MAX);
    let tolerable = result.blocking.checked_sub(over).and_then(|most| most.checked_add(Duration::from_ns(1)));
    let tolerable = tolerable.and_then(|most| most.checked_sub(overhead)).filter(|most| !most.is_zero());
    let advice = match tolerable.filter(|_| result.blocked_by.is_some()) {
        Some(most) => format!(
            "shorten every less important piece of the lane to at most {}, lengthen the deadline to {}, or use another lane",
            show_down(most),
            show(bound)
        ),
        None => format!("lengthen the deadline to {}, shorten what goes before it, or use another lane", show(bound)),
    };
    let finding = match &result.exact {
        Some(Ok(longest)) => {
            let text = format!("with exactly these phases a response of {} happens", show(*longest));
            finding.also(&system.file, task.span.clone(), text)
        }
        Some(Err(gave_up)) if !matches!(gave_up.why, exact::Why::Input) => {
            let text = format!("the exact analysis gave up: {gave_up}; the sufficient bound is {}", show(bound));
            finding.also(&system.file, task.span.clone(), text)
        }
        _ => finding,
    };
    finding.help(advice)
}
