//! A job's explanation in words and as JSON.

use super::Why;
use crate::audit::check::Violation;
use crate::audit::story::{End, Parts, Relation, Share, Turn};
use crate::check::{beside as both, show, show_down};
use crate::report::explain::{Explanation, Kind, Term};
use crate::report::table::bytes;
use aegis_core::trace::{JobRef, Reason};
use aegis_core::{Duration, Instant, TaskId};
use serde_json::{Value, json};

/// How many turns of others are told one by one.
const MOST_TURNS: usize = 40;

/// The explanation in words.
#[must_use]
pub fn human(why: &Why) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    outcome(why, &mut line);
    where_it_went(why, &mut line);
    who_ran(why, &mut line);
    own(why, &mut line);
    budgets(why, &mut line);
    assumed(why, &mut line);
    machine(why, &mut line);
    memory(why, &mut line);
    text
}

fn name(why: &Why, task: TaskId) -> &'static str {
    why.system.tasks.get(task.index()).map_or("", |task| task.name)
}

fn at(instant: Instant) -> String {
    show(Duration::from_ns(instant.as_ns()))
}

fn job(why: &Why, turn: &Turn) -> String {
    let (name, request) = (name(why, turn.job.task), turn.job.request);
    let several = why.system.tasks.get(turn.job.task.index()).is_some_and(|task| task.segments.len() > 1);
    let segment = if several { format!(", segment {}", turn.segment) } else { String::new() };
    match turn.number {
        0 => format!("{name} (req-{request})"),
        number => format!("{name}#{number} (req-{request}{segment})"),
    }
}

fn outcome(why: &Why, line: &mut dyn FnMut(String)) {
    let (story, system) = (&why.story, why.system);
    let released = &story.released;
    let lane = system.lanes.get(story.lane.index());
    let lane = lane.map_or_else(String::new, |lane| {
        format!(" on lane `{}` ({}, preemption {})", lane.name, lane.policy.name(), lane.preemption.name())
    });
    line(format!("{}#{} (req-{}){lane}", name(why, released.job.task), released.number, released.job.request));
    let ended = match story.end {
        End::Completed if story.failed => "failed, and delivered nothing,",
        End::Completed => "was complete",
        End::Aborted => "was aborted",
        End::Dropped => "was dropped, because its fault domain failed,",
        End::Unfinished => "had not ended with the records,",
    };
    let response = story.response();
    let deadline = system.tasks.get(story.task().index()).map(|task| task.deadline);
    let time = story.bound.or(deadline).map_or_else(|| show(response), |most| both(response, most).0);
    line(format!("  arrived at {}, {ended} {time} later", at(released.arrival)));
    if let Some(deadline) = deadline {
        line(format!("  {} its deadline of {}", beside(response, deadline), both(response, deadline).1));
    }
    match story.bound {
        Some(bound) => line(format!("  {} its proven bound of {}", beside(response, bound), both(response, bound).1)),
        None => line("  the plan proves no bound of it".to_owned()),
    }
    if let Some(since) = story.void_since {
        line(format!(
            "  THE GUARANTEE WAS VOID since {}: its bound was not proven for this machine as it was",
            at(since)
        ));
    }
    if !story.whole {
        line("  records are lost around it: only what follows is known".to_owned());
    }
}

/// How a time lies to what it may be.
fn beside(observed: Duration, allowed: Duration) -> String {
    match observed.checked_sub(allowed) {
        Some(excess) if !excess.is_zero() => format!("{} BEYOND", show(excess)),
        _ => format!("{} within", show_down(allowed.saturating_sub(observed))),
    }
}

/// The summands in their order, with words.
fn parts(why: &Why) -> Vec<(Duration, String)> {
    let Parts { release, blocking, interference, earlier, execution, overhead, idle } = why.story.parts;
    let story = &why.story;
    let mut all = Vec::new();
    let until = match story.released.after {
        Some(after) => {
            format!("until the stage before was complete: `{}` (req-{})", name(why, after.task), after.request)
        }
        None => "until the dispatcher released it: jitter and wake-up".to_owned(),
    };
    all.push((release, until));
    let blockers = story.shares.iter().filter(|share| share.relation == Relation::Blocking);
    let blockers: Vec<String> = blockers.map(|share| job(why, &share.turn)).collect();
    all.push((blocking, format!("blocked by a piece that had begun and would go after it: {}", blockers.join(", "))));
    let mut left = interference;
    for (task, jobs, time) in story.interference() {
        left = left.saturating_sub(time);
        let what = if jobs == 1 { "job" } else { "jobs" };
        all.push((time, format!("{jobs} {what} of `{}` went before it", name(why, task))));
    }
    all.push((left, "went before it".to_owned()));
    all.push((earlier, "earlier jobs of its own task".to_owned()));
    all.push((execution, "its own execution".to_owned()));
    all.push((overhead, "hand-overs and notices of all these pieces".to_owned()));
    all.push((idle, "the lane ran nothing: it waited for a slot, or the records do not tell".to_owned()));
    all.retain(|(time, _)| !time.is_zero());
    all
}

fn where_it_went(why: &Why, line: &mut dyn FnMut(String)) {
    line("where the time went:".to_owned());
    let parts = parts(why);
    let sum = parts.iter().fold(0_u64, |sum, (time, _)| sum.saturating_add(time.as_ns()));
    for (time, words) in parts {
        line(format!("  {:>14}  {words}", exact(time)));
    }
    line(format!("  {:>14}  from arrival to end", exact(Duration::from_ns(sum))));
}

/// A time to the nanosecond, so that sums can be checked.
fn exact(time: Duration) -> String {
    let digits = time.as_ns().to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} ns")
}

fn rule(why: &Why, turn: &Turn) -> String {
    let other = |job: JobRef| format!("`{}` (req-{})", name(why, job.task), job.request);
    let runner_up = turn.runner_up.map(other);
    let before = runner_up.map_or_else(String::new, |job| format!(" than {job}"));
    match turn.reason {
        Reason::OnlyOneWaiting => "no other job waited".to_owned(),
        Reason::ArrivedFirst => "it arrived before the next job of its task".to_owned(),
        Reason::MoreImportant => format!("it is more important{before}"),
        Reason::EarlierDeadline => format!("its deadline is earlier{before}"),
        Reason::EqualDeadlineFirstInTable => format!("its deadline is no later{before}, and its task stands first"),
        Reason::InTable => "its slot of the table had come".to_owned(),
        Reason::InGap => "it fitted before the next slot of the table".to_owned(),
    }
}

fn who_ran(why: &Why, line: &mut dyn FnMut(String)) {
    let shares = &why.story.shares;
    if shares.is_empty() {
        return;
    }
    line("who had the lane meanwhile:".to_owned());
    for Share { turn, relation, execution, overhead } in shares.iter().take(MOST_TURNS) {
        let why_before = match relation {
            Relation::Blocking => "had begun before",
            Relation::Interference => "went before",
            Relation::Earlier => "came before, of the same task",
        };
        let of = whole(turn, *execution);
        line(format!(
            "  {} {why_before}: chosen at {}, because {}; executed {}{of}, {} of overhead",
            job(why, turn),
            at(turn.chosen),
            rule(why, turn),
            show(*execution),
            show(*overhead)
        ));
    }
    let more = shares.len().saturating_sub(MOST_TURNS);
    if more > 0 {
        line(format!("  and {more} pieces more"));
    }
}

/// Of a piece that had begun before what it was as a whole.
fn whole(turn: &Turn, execution: Duration) -> String {
    if turn.execution() > execution { format!(" of {} meanwhile", show(turn.execution())) } else { String::new() }
}

fn own(why: &Why, line: &mut dyn FnMut(String)) {
    let Some(task) = why.system.tasks.get(why.story.task().index()) else { return };
    if why.story.turns.is_empty() {
        return;
    }
    line("its own pieces:".to_owned());
    for turn in &why.story.turns {
        let several = task.segments.len() > 1;
        let of = task.segments.get(usize::from(turn.segment)).filter(|_| several);
        let executed = match of.map(|longest| both(turn.execution(), *longest)) {
            Some((time, longest)) => format!("{time} of at most {longest}"),
            None => show(turn.execution()),
        };
        let segment = if several { format!("segment {}", turn.segment) } else { "a piece".to_owned() };
        line(format!(
            "  {segment}: chosen at {}, because {}; handed over in {}, executed {executed}, noticed after {}",
            at(turn.chosen),
            rule(why, turn),
            show(turn.began.saturating_since(turn.chosen)),
            show(turn.noticed.saturating_since(turn.ended))
        ));
    }
    let execution = why.story.execution;
    let (time, wcet) = both(execution, task.wcet);
    line(format!(
        "  {time} in all, {} its WCET of {wcet}; its budget is {}",
        beside(execution, task.wcet),
        show_down(task.budget)
    ));
}

fn budgets(why: &Why, line: &mut dyn FnMut(String)) {
    for overrun in &why.story.overruns {
        line(format!(
            "  BUDGET EXCEEDED, of the {} (segment {}): {} executed when that was seen, {} are allowed",
            overrun.limit.name(),
            overrun.segment,
            show(overrun.execution),
            show_down(overrun.budget)
        ));
    }
    for Violation { message, consequence_of, what, .. } in &why.violations {
        let _ = what;
        line(format!("not as planned: {message}"));
        if let Some(cause) = consequence_of {
            line(format!("  a consequence of: {cause}"));
        }
    }
}

fn term(term: &Term) -> String {
    let task = term.task.as_deref().map_or_else(String::new, |task| format!(" `{task}`"));
    let count = term.count.map_or_else(String::new, |count| format!(", {count}"));
    let words = match term.kind {
        Kind::EarlierStages => "until the stages before are complete",
        Kind::Jitter => "jitter of its release",
        Kind::WakeupLatency => "wake-up",
        Kind::ThreadWait => "waiting for the orchestration thread",
        Kind::Slot => "until its slot",
        Kind::Slots => "slots, and gaps that may be too short",
        Kind::Blocking => "blocked by",
        Kind::Interference => "jobs that go before, of",
        Kind::EarlierJobs => "earlier jobs of its own",
        Kind::Execution => "its own execution",
        Kind::Dispatch => "starting pieces and noticing their ends",
        Kind::Launch => "launching them",
        Kind::DomainSwitch => "switching fault domains",
        Kind::HandOver => "handing segments over to another process",
        Kind::ProcessSwitch => "the device's going to another process",
        Kind::Offset => "less: the worst job arrives as long after the busy period began",
    };
    format!("{words}{task}{count}")
}

fn assumed(why: &Why, line: &mut dyn FnMut(String)) {
    let Some(Explanation { terms, response_ns, .. }) = &why.bound else { return };
    line("what its bound allows for:".to_owned());
    for one in terms {
        let magnitude = u64::try_from(one.ns.unsigned_abs()).unwrap_or(u64::MAX);
        let sign = if one.ns < 0 { "-" } else { "" };
        let time = format!("{sign}{}", exact(Duration::from_ns(magnitude)));
        line(format!("  {time:>14}  {}", term(one)));
    }
    line(format!("  {:>14}  from arrival to end", exact(Duration::from_ns(*response_ns))));
}

fn machine(why: &Why, line: &mut dyn FnMut(String)) {
    let Some(disturbance) = why.story.disturbance else { return };
    let explained = if disturbance.explained { "that explains the excess" } else { "that does not explain the excess" };
    line(format!(
        "what the machine did: a wake-up {} late, {} of wake-ups, hand-overs and notices beyond the plan, {} stolen, {} off the \
         core, {} involuntary switches: {explained}",
        show(disturbance.wakeup_latency),
        show(disturbance.wakeup_excess),
        show(disturbance.steal),
        show(disturbance.off_core),
        disturbance.involuntary_switches
    ));
}

fn memory(why: &Why, line: &mut dyn FnMut(String)) {
    let Some(memory) = &why.memory else { return };
    let scratch: Vec<String> = memory.scratch_bytes.iter().map(|scratch| bytes(*scratch)).collect();
    line(format!(
        "its memory (model `{}`, {}): {} of the {} of arena of `{}`: {} of scratch, {} of tensors, {} kept from loading; and {} of \
         weights; the device grants {}",
        memory.model,
        memory.control,
        bytes(memory.most_bytes()),
        bytes(memory.arena_bytes),
        memory.pool,
        scratch.join(", "),
        bytes(memory.tensors_bytes),
        bytes(memory.persistent_bytes),
        bytes(memory.weights_bytes),
        bytes(memory.capacity_bytes)
    ));
}

/// Schema `aegis.trace-why/1`.
#[must_use]
pub fn json(why: &Why) -> Value {
    let (story, ns) = (&why.story, |time: Duration| time.as_ns());
    let released = &story.released;
    let parts = &story.parts;
    let request = |job: JobRef| format!("req-{}", job.request);
    let turn = |turn: &Turn| {
        json!({
            "task": name(why, turn.job.task), "request_id": request(turn.job), "segment": turn.segment,
            "chosen": turn.chosen.as_ns(), "began": turn.began.as_ns(), "ended": turn.ended.as_ns(),
            "noticed": turn.noticed.as_ns(), "reason": turn.reason.name(), "runner_up": turn.runner_up.map(request),
        })
    };
    let others: Vec<Value> = story
        .shares
        .iter()
        .map(|share| {
            let relation = match share.relation {
                Relation::Blocking => "blocking",
                Relation::Interference => "interference",
                Relation::Earlier => "earlier",
            };
            json!({
                "relation": relation, "execution_ns": ns(share.execution), "overhead_ns": ns(share.overhead),
                "turn": turn(&share.turn),
            })
        })
        .collect();
    let interference: Vec<Value> = story
        .interference()
        .into_iter()
        .map(|(task, jobs, time)| json!({"task": name(why, task), "jobs": jobs, "execution_ns": ns(time)}))
        .collect();
    let end = match story.end {
        End::Completed => "completed",
        End::Aborted => "aborted",
        End::Dropped => "dropped",
        End::Unfinished => "unfinished",
    };
    let overruns: Vec<Value> = story
        .overruns
        .iter()
        .map(|over| {
            json!({
                "limit": over.limit.name(), "segment": over.segment, "execution_ns": ns(over.execution),
                "budget_ns": ns(over.budget),
            })
        })
        .collect();
    let disturbance = story.disturbance.map(|own| {
        json!({
            "wakeup_latency_ns": ns(own.wakeup_latency), "wakeup_excess_ns": ns(own.wakeup_excess),
            "steal_ns": ns(own.steal), "off_core_ns": ns(own.off_core),
            "involuntary_switches": own.involuntary_switches, "explained": own.explained,
        })
    });
    json!({
        "schema": "aegis.trace-why/1",
        "system": why.system.name,
        "task": name(why, story.task()),
        "number": released.number,
        "request_id": request(released.job),
        "after": released.after.map(request),
        "arrival": released.arrival.as_ns(),
        "released": released.at.as_ns(),
        "ended": story.ended.as_ns(),
        "end": end,
        "failed": story.failed,
        "response_ns": ns(story.response()),
        "bound_ns": story.bound.map(ns),
        "deadline_ns": why.system.tasks.get(story.task().index()).map(|task| ns(task.deadline)),
        "lateness_ns": story.lateness.map(ns),
        "execution_ns": ns(story.execution),
        "wcet_ns": why.system.tasks.get(story.task().index()).map(|task| ns(task.wcet)),
        "whole": story.whole,
        "void_since": story.void_since.map(Instant::as_ns),
        "parts": {
            "release_ns": ns(parts.release), "blocking_ns": ns(parts.blocking),
            "interference_ns": ns(parts.interference), "earlier_ns": ns(parts.earlier),
            "execution_ns": ns(parts.execution), "overhead_ns": ns(parts.overhead), "idle_ns": ns(parts.idle),
        },
        "interference": interference,
        "turns": story.turns.iter().map(turn).collect::<Vec<_>>(),
        "others": others,
        "overruns": overruns,
        "violations": why.violations,
        "disturbance": disturbance,
        "assumed": why.bound,
        "memory": why.memory,
    })
}
