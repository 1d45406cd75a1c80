//! For each task the worst case behind its bound: its schedule, its terms, or why there is none.

use super::format::{Clock, Data};
use super::gantt::Gantt;
use super::tasks::State;
use crate::analysis::{Analysis, Holds, Proof};
use crate::report::{explain, wcet};
use crate::simulate::witness::NoWitness;
use crate::simulate::worst::Schedule;
use crate::system::{Origin, System};

/// One task's worst case.
pub(super) struct WorstCase<'a> {
    pub(super) position: usize,
    pub(super) name: &'a str,
    pub(super) state: State,
    /// What its bound is, in a few words.
    pub(super) headline: String,
    /// The schedule in a sentence, and as SVG; or why there is none.
    pub(super) schedule: Result<(String, String), String>,
    /// The mode that it is of, where there are modes.
    pub(super) mode: Option<&'a str>,
    pub(super) terms: Vec<TermRow>,
    pub(super) response: Option<Data>,
    /// Which instance of how many, and how much of the bound are overheads.
    pub(super) instance: Option<String>,
    /// What else is to be said.
    pub(super) notes: Vec<String>,
    /// Whether it is shown from the beginning.
    pub(super) open: bool,
}

/// A summand of a bound.
pub(super) struct TermRow {
    pub(super) words: String,
    pub(super) time: Data,
    /// Its share of the bound, and in thousandths of a bar's length.
    pub(super) share: Option<(String, u64)>,
    pub(super) class: &'static str,
}

/// From how many tasks on only those that fail are shown from the beginning.
const MANY: usize = 12;

/// The worst cases of the tasks in `order`; `schedules` has one for each task, by position.
pub(super) fn cases<'a>(
    system: &'a System,
    analysis: &Analysis,
    origins: &[Origin],
    schedules: &[Result<Schedule, NoWitness>],
    order: impl Iterator<Item = usize>,
    clock: Clock,
) -> Vec<WorstCase<'a>> {
    order.filter_map(|position| case(system, analysis, origins, schedules.get(position), position, clock)).collect()
}

fn case<'a>(
    system: &'a System,
    analysis: &Analysis,
    origins: &[Origin],
    schedule: Option<&Result<Schedule, NoWitness>>,
    position: usize,
    clock: Clock,
) -> Option<WorstCase<'a>> {
    let (task, result) = (system.tasks.get(position)?, analysis.tasks.get(position)?);
    let bound = result.bound().map(|bound| bound.as_ns());
    let deadline = task.deadline.as_ns();
    let state = match result.holds(task.deadline) {
        Holds::Proven => State::Holds,
        Holds::Exactly => State::Exactly,
        Holds::No => State::Fails,
    };
    let blocker = result.blocked_by.filter(|_| !result.blocking.is_zero());
    let blocked_by = blocker.and_then(|blocker| Some(system.tasks.get(blocker)?.name.as_str()));
    let explained = explain::of(system, analysis, position);
    let against = match bound {
        Some(bound) => {
            let slack = i128::from(deadline).saturating_sub(i128::from(bound));
            format!("R {}, slack {}", clock.up(bound).text(), clock.signed(slack).text())
        }
        None => "no bound".to_owned(),
    };
    let mut notes = Vec::new();
    if let Err(why) = &result.response {
        notes.push(format!("There is no response bound: {why}."));
    }
    match &result.exact {
        Some(Ok(longest)) => notes.push(format!(
            "With strictly periodic releases at the plan's phases the longest response that happens is {}.",
            clock.long(longest.as_ns())
        )),
        Some(Err(gave_up)) => notes.push(format!("The exact analysis gave up: {gave_up}; the bound stands.")),
        None => {}
    }
    if let Ok((_, Proof::Suspension(bounds))) = &result.response {
        let of = |bound: Option<u64>| bound.map_or("none".to_owned(), |ns| clock.long(ns));
        notes.push(format!(
            "The smallest of three bounds: {} counting suspensions as execution, {} counting those of more important tasks as \
             jitter, {} counting them as blocking.",
            of(bounds.oblivious),
            of(bounds.jitter),
            of(bounds.blocking)
        ));
    }
    if let Some(origin) = origins.iter().find(|origin| origin.task == task.name) {
        notes.push(format!("{}.", wcet::render(origin).trim_end()));
    }
    let mode = crate::analysis::modes::worst(analysis, position).and_then(|(mode, _)| system.modes.get(mode));
    Some(WorstCase {
        position,
        name: &task.name,
        state,
        headline: against,
        schedule: match schedule {
            Some(Ok(schedule)) => {
                let task = &task.name;
                let gantt = Gantt { position, task, blocked_by, deadline, bound, schedule, clock };
                let kind = if schedule.is_periodic {
                    " Arrivals lie where the plan's phases put them."
                } else {
                    " Arrivals come as near to each other as periods permit."
                };
                Ok((gantt.sentence() + kind, gantt.render()))
            }
            Some(Err(why)) => Err(why.to_string()),
            None => Err("nothing was planned".to_owned()),
        },
        mode: mode.map(|mode| mode.name.as_str()),
        terms: explained.as_ref().map_or_else(Vec::new, |explained| terms(explained, clock)),
        response: bound.map(|bound| clock.up(bound)),
        instance: explained.as_ref().map(|explained| {
            let overhead = super::format::percent(explained.overhead_ppm);
            format!("instance {} of {}, {overhead} overheads", explained.instance, explained.instances)
        }),
        notes,
        open: state == State::Fails || system.tasks.len() <= MANY,
    })
}

fn terms(explained: &explain::Explanation, clock: Clock) -> Vec<TermRow> {
    use explain::Kind;
    let row = |term: &explain::Term| {
        let size = u64::try_from(term.ns.unsigned_abs()).unwrap_or(u64::MAX);
        TermRow {
            words: term.words_alone(),
            time: if term.ns < 0 { clock.signed(term.ns) } else { clock.up(size) },
            share: (term.ns > 0).then(|| {
                let ppm = super::format::ratio(size, explained.response_ns);
                (super::format::percent(ppm), ppm.min(1_000_000) / 1_000)
            }),
            class: match term.kind {
                Kind::Execution | Kind::EarlierJobs => "own",
                Kind::Blocking => "block",
                Kind::Interference => "other",
                _ => "rest",
            },
        }
    };
    explained.terms.iter().map(row).collect()
}
