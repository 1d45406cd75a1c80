//! What the manifest promises, each with what is proven of it, what is left, and by which theorem.

use super::format::{Clock, bytes, bytes_down, percent_down, ratio};
use super::tasks::{State, TaskRow};
use crate::analysis::Analysis;
use crate::analysis::failures::{Failure, analyse};
use crate::check::of_memory;
use crate::memory::Layout;
use crate::report::failures;
use crate::system::System;

/// A promise.
pub(super) struct Requirement {
    /// Where in the manifest it stands: a path of keys.
    pub(super) key: String,
    pub(super) words: String,
    pub(super) promised: String,
    pub(super) proven: String,
    pub(super) margin: String,
    pub(super) state: State,
    /// The test, or how else.
    pub(super) by: String,
    /// The page of `docs/theory/`.
    pub(super) page: &'static str,
}

/// A chain with its bounds.
pub(super) struct ChainRow<'a> {
    pub(super) name: &'a str,
    pub(super) tasks: String,
    pub(super) communication: &'static str,
    /// Bound and limit of its reaction and of its age.
    pub(super) bounds: [(Option<String>, Option<String>); 2],
    pub(super) state: State,
}

/// All promises: deadlines, chains, memory, budgets, and deadlines while a fault domain fails.
pub(super) fn all(
    system: &System,
    analysis: &Analysis,
    layout: Option<&Layout>,
    tasks: &[TaskRow<'_>],
    clock: Clock,
) -> Vec<Requirement> {
    let mut all: Vec<Requirement> = tasks.iter().map(|row| deadline(row, clock)).collect();
    all.extend(system.tasks.iter().filter_map(|task| execution(task, clock)));
    all.extend(chain_limits(system, analysis, clock));
    if let Some(layout) = layout {
        all.extend(memory(system, layout));
    }
    all.extend(analyse(system, analysis).iter().filter_map(|failure| survival(system, failure, clock)));
    all
}

fn deadline(row: &TaskRow<'_>, clock: Clock) -> Requirement {
    Requirement {
        key: format!("task.{}.deadline", row.name),
        words: format!("Every job of {} responds within its deadline", row.name),
        promised: format!("≤ {}", clock.full(&row.deadline)),
        proven: row.response.as_ref().map_or_else(|| "no bound".to_owned(), |found| clock.full(found)),
        margin: row.slack.as_ref().map_or_else(|| "–".to_owned(), |slack| clock.full(slack)),
        state: row.state,
        by: row.test.to_owned(),
        page: row.page,
    }
}

/// A budget below the WCET (one above is refused): nothing is proven of it, it is a limit that is enforced.
fn execution(task: &crate::system::Task, clock: Clock) -> Option<Requirement> {
    (task.budget < task.wcet).then(|| Requirement {
        key: format!("task.{}.budget.time", task.name),
        words: format!("No job of {} executes for longer than its budget; one that does is an overrun", task.name),
        promised: format!("≤ {}", clock.full(&clock.down(task.budget.as_ns()))),
        proven: "not proven".to_owned(),
        margin: "–".to_owned(),
        state: State::Enforced,
        by: "enforced while the vehicle runs".to_owned(),
        page: "overheads",
    })
}

fn chain_limits(system: &System, analysis: &Analysis, clock: Clock) -> Vec<Requirement> {
    let mut all = Vec::new();
    for (chain, bounds) in system.chains.iter().zip(&analysis.chains) {
        let limits = [
            (
                "max-reaction",
                "reacts to every input within its limit",
                chain.max_reaction,
                bounds.map(|of| of.reaction),
            ),
            ("max-age", "uses no input that is older than its limit", chain.max_age, bounds.map(|of| of.age)),
        ];
        for (key, words, limit, bound) in limits {
            let Some(limit) = limit.map(aegis_core::Duration::as_ns) else { continue };
            let margin = bound.map(|bound| i128::from(limit).saturating_sub(i128::from(bound)));
            all.push(Requirement {
                key: format!("chain.{}.{key}", chain.name),
                words: format!("The chain {} {words}", chain.name),
                promised: format!("≤ {}", clock.full(&clock.down(limit))),
                proven: bound.map_or_else(|| "no bound".to_owned(), |bound| clock.full(&clock.up(bound))),
                margin: margin.map_or_else(|| "–".to_owned(), |margin| clock.full(&clock.signed(margin))),
                state: State::of(margin.is_some_and(|margin| margin >= 0)),
                by: "sum over the chain's tasks".to_owned(),
                page: "chains",
            });
        }
    }
    all
}

fn memory(system: &System, layout: &Layout) -> Vec<Requirement> {
    let row = |key: String, words: String, taken: u64, granted: u64, by: &str| {
        let left = granted.checked_sub(taken);
        Requirement {
            key,
            words,
            promised: format!("≤ {}", bytes_down(granted)),
            proven: bytes(taken),
            margin: left.map_or_else(
                || format!("−{}", bytes(taken.saturating_sub(granted))),
                |left| format!("{} ({})", bytes_down(left), percent_down(ratio(left, granted))),
            ),
            state: State::of(left.is_some()),
            by: by.to_owned(),
            page: "memory-planning",
        }
    };
    let devices = system.devices.iter().enumerate().filter(|(_, device)| device.shares.is_none());
    let devices = devices.map(|(position, device)| {
        let words = format!("All that is planned in the memory of {} fits at once", device.name);
        let key = format!("device.{}.memory", device.name);
        row(key, words, layout.taken(system, position), device.memory.0, "a layout that is checked block by block")
    });
    let mut all: Vec<Requirement> = devices.collect();
    for (position, taken, budget) in of_memory(system, layout) {
        let Some(task) = system.tasks.get(position) else { continue };
        let words = format!("What runs {} takes no more memory than it may", task.name);
        let key = format!("task.{}.budget.memory", task.name);
        all.push(row(key, words, taken, budget, "the sum of what its models take"));
    }
    all
}

/// That all others meet their deadlines while a domain fails.
fn survival(system: &System, failure: &Failure, clock: Clock) -> Option<Requirement> {
    let domain = system.domains.get(failure.domain)?;
    let others = || (0..system.tasks.len()).filter_map(|task| Some((task, failure.survives(system, task)?)));
    let slack = |task: usize| {
        let bound = failures::bound(failure, task)?.as_ns();
        let deadline = system.tasks.get(task)?.deadline.as_ns();
        Some((i128::from(deadline).saturating_sub(i128::from(bound)), system.tasks.get(task)?.name.as_str()))
    };
    let holds = others().all(|(_, survives)| survives);
    let least = others().map(|(task, _)| slack(task)).collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min());
    let count = others().count();
    Some(Requirement {
        key: format!("domain.{}", domain.name),
        words: format!("While {} fails, every task of other domains meets its deadline", domain.name),
        promised: super::format::count(count, "deadline"),
        proven: format!("{} met", others().filter(|(_, survives)| *survives).count()),
        margin: least
            .map_or_else(|| "–".to_owned(), |(slack, task)| format!("{} ({task})", clock.full(&clock.signed(slack)))),
        state: State::of(holds),
        by: "the failure as one more piece of work".to_owned(),
        page: "domain-failures",
    })
}

/// All chains.
pub(super) fn chains<'a>(system: &'a System, analysis: &Analysis, clock: Clock) -> Vec<ChainRow<'a>> {
    let name = |(first, last): &(usize, usize)| {
        let name = system.tasks.get(*first).map_or("", |task| task.name.as_str());
        // A staged task's name is that of its first stage without the number.
        if first == last { name } else { name.rsplit_once('.').map_or(name, |(name, _)| name) }
    };
    let row = |(chain, bounds): (&'a crate::system::Chain, &Option<crate::analysis::chains::Bounds>)| {
        let limit = |limit: Option<aegis_core::Duration>| limit.map(|limit| clock.full(&clock.down(limit.as_ns())));
        let within = |bound: u64, limit: Option<aegis_core::Duration>| limit.is_none_or(|limit| bound <= limit.as_ns());
        let holds = bounds.is_some_and(|of| within(of.reaction, chain.max_reaction) && within(of.age, chain.max_age));
        let up = |ns: u64| clock.full(&clock.up(ns));
        ChainRow {
            name: &chain.name,
            tasks: chain.members.iter().map(name).collect::<Vec<&str>>().join(" → "),
            communication: if chain.is_let { "logical execution time" } else { "register" },
            bounds: [
                (bounds.map(|of| up(of.reaction)), limit(chain.max_reaction)),
                (bounds.map(|of| up(of.age)), limit(chain.max_age)),
            ],
            state: State::of(holds),
        }
    };
    system.chains.iter().zip(&analysis.chains).map(row).collect()
}
