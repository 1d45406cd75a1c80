//! Where a plan breaks a rule, for whoever has to be told of it.

use super::domains::domain_holds;
use super::engines::runs_its_engines;
use super::launches::has_its_part;
use super::levels::level_holds;
use super::memory::are_segments;
use super::modes::alone;
use super::partitions::runs_where_its_memory_is;
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

/// The first entry whose own part of the rule does not hold. What is wrong may be elsewhere: a bound that is too small may be so because of a
/// longer job of another task, and a stage rests on the one before it. `None` where no entry's own part is broken, or where the rule is
/// about none of these tables: then the rule alone says what is wrong.
#[must_use]
pub fn place(system: &SystemDesc, violation: Violation) -> Option<Place> {
    let tasks = system.tasks;
    let task = |holds: &dyn Fn(&TaskDesc) -> bool| {
        let number = first(tasks.len(), &|position| tasks.get(position).is_none_or(holds))?;
        Some(Place::Task(TaskId(number)))
    };
    match violation {
        Violation::References => task(&|task| refers_well(system, task)),
        Violation::Domains => task(&|task| domain_holds(system, task)),
        Violation::Partitions => task(&|task| runs_where_its_memory_is(system, task)),
        Violation::Priorities => {
            let holds = |position| {
                let split = tasks.split_at_checked(position);
                split.is_none_or(|(before, rest)| rest.first().is_none_or(|task| is_unique(before, task)))
            };
            first(tasks.len(), &holds).map(TaskId).map(Place::Task)
        }
        Violation::Responses if system.modes.is_empty() => unproven(system).map(TaskId).map(Place::Task),
        Violation::Responses => system.modes.iter().find_map(|mode| {
            let wrong = unproven(&alone(system, mode))?;
            mode.tasks.get(usize::from(wrong)).copied().map(Place::Task)
        }),
        Violation::Queues => task(&is_queue_long_enough),
        Violation::Pieces => task(&|task| are_segments(system, task)),
        Violation::Launches => task(&|task| has_its_part(system, task)),
        Violation::Engines => task(&|task| runs_its_engines(system, task)),
        Violation::Levels => {
            let holds = |position| system.levels.get(position).is_none_or(|level| level_holds(system, level));
            first(system.levels.len(), &holds).map(LevelId).map(Place::Level)
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

/// The first task whose certificate does not re-prove its bound.
fn unproven(system: &SystemDesc) -> Option<u16> {
    let tasks = system.tasks;
    first(tasks.len(), &|position| tasks.get(position).is_none_or(|task| response_holds(system, task, position)))
}

/// The first of so many of which something does not hold.
fn first(count: usize, holds: &dyn Fn(usize) -> bool) -> Option<u16> {
    let mut number: u16 = 0;
    while usize::from(number) < count {
        if !holds(usize::from(number)) {
            return Some(number);
        }
        number = number.checked_add(1)?;
    }
    None
}

/// A broken rule in words, with the entry whose own part of it does not hold, where there is one.
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
