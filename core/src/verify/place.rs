//! Where a plan breaks a rule, for whoever has to be told of it.

use super::domains::domain_holds;
use super::levels::level_holds;
use super::memory::are_segments;
use super::modes::alone;
use super::schedule::response_holds;
use super::{Violation, is_queue_long_enough, is_unique, refers_well};
use crate::desc::{SystemDesc, TaskDesc};
use crate::units::{LevelId, TaskId};

/// An entry of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A task.
    Task(TaskId),
    /// A level of memory pressure.
    Level(LevelId),
}

/// The first entry that breaks the rule by itself; of a stage perhaps the one that follows it. `None` where it takes several, or
/// where the rule is about none of these tables: then the rule alone says what is wrong.
#[must_use]
pub fn place(system: &SystemDesc, violation: Violation) -> Option<Place> {
    let first = |holds: &dyn Fn(usize, &TaskDesc) -> bool| {
        let found = system.tasks.iter().enumerate().position(|(position, task)| !holds(position, task));
        found.and_then(|position| u16::try_from(position).ok()).map(TaskId).map(Place::Task)
    };
    match violation {
        Violation::References => first(&|_, task| refers_well(system, task)),
        Violation::Domains => first(&|_, task| domain_holds(system, task)),
        Violation::Priorities => first(&|position, task| {
            is_unique(system.tasks.split_at_checked(position).map_or(&[], |(before, _)| before), task)
        }),
        Violation::Responses if system.modes.is_empty() => {
            first(&|position, task| response_holds(system, task, position))
        }
        Violation::Responses => system.modes.iter().find_map(|mode| {
            let own = alone(system, mode);
            let wrong = mode.proven.iter().enumerate().position(|(place, task)| !response_holds(&own, task, place))?;
            mode.tasks.get(wrong).copied().map(Place::Task)
        }),
        Violation::Queues => first(&|_, task| is_queue_long_enough(task)),
        Violation::Pieces => first(&|_, task| are_segments(system, task)),
        Violation::Levels => {
            let wrong = system.levels.iter().position(|level| !level_holds(system, level))?;
            u16::try_from(wrong).ok().map(LevelId).map(Place::Level)
        }
        Violation::Layout
        | Violation::Waits
        | Violation::Points
        | Violation::Slots
        | Violation::Memory
        | Violation::Watch
        | Violation::Modes => None,
    }
}

/// A broken rule in words, with the entry that breaks it by itself, where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Broken<'a> {
    /// The plan.
    pub system: &'a SystemDesc,
    /// The rule.
    pub violation: Violation,
}

impl core::fmt::Display for Broken<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { system, violation } = self;
        let (what, name, number) = match place(system, *violation) {
            None => return f.write_str(violation.text()),
            Some(Place::Task(task)) => ("task", system.tasks.get(task.index()).map_or("", |task| task.name), task.0),
            Some(Place::Level(level)) => {
                ("level", system.levels.get(level.index()).map_or("", |level| level.name), level.0)
            }
        };
        write!(f, "{violation}: {what} \"{name}\", number {number}")
    }
}

impl core::error::Error for Broken<'_> {}
