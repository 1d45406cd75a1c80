//! Modes, and what the failure of a fault domain means for all others.

use super::format::{Clock, Data};
use super::tasks::State;
use crate::analysis::failures::{Failure, analyse};
use crate::analysis::modes::{self, ModeResult};
use crate::analysis::{Analysis, Holds, is_schedulable};
use crate::report::failures;
use crate::system::System;

/// A table of bounds: a row for each task, a column for each mode or domain.
pub(super) struct Grid<'a> {
    /// The id of its section, and what stands above it.
    pub(super) id: &'static str,
    pub(super) heading: &'static str,
    pub(super) caption: &'static str,
    pub(super) columns: Vec<Column<'a>>,
    pub(super) rows: Vec<(&'a str, Vec<Cell>)>,
}

/// A mode or a domain.
pub(super) struct Column<'a> {
    pub(super) name: &'a str,
    pub(super) state: State,
    /// What is to be said of it.
    pub(super) words: String,
}

/// A task's bound in a mode, or while a domain fails.
pub(super) enum Cell {
    /// It does not run then.
    Absent(&'static str),
    /// Its bound, its slack where that is asked for, and whether it holds.
    Bound(Data, Option<Data>, State),
    /// It has no bound.
    None,
}

/// All modes; no column where there are none.
pub(super) fn modes<'a>(system: &'a System, analysis: &Analysis, clock: Clock) -> Grid<'a> {
    let column = |(place, (mode, found)): (usize, (&'a crate::system::Mode, &ModeResult))| {
        let own = modes::alone(system, mode);
        let holds = (0..own.tasks.len()).all(|task| is_schedulable(&own, &found.analysis, task));
        let leaves = found.leaves.map_or_else(
            || "no bound on leaving it".to_owned(),
            |leaves| format!("left within {}", clock.long(leaves.as_ns())),
        );
        let first = if place == 0 { "holds at the start, " } else { "" };
        Column { name: &mode.name, state: State::of(holds), words: format!("{first}{leaves}") }
    };
    let cell = |found: &ModeResult, position: usize| {
        let Some(place) = found.tasks.iter().position(|other| *other == position) else {
            return Cell::Absent("does not run");
        };
        let deadline = system.tasks.get(position).map(|task| task.deadline);
        let result = found.analysis.tasks.get(place);
        let holds = result.zip(deadline).map_or(Holds::No, |(result, deadline)| result.holds(deadline));
        let bound = result.and_then(crate::analysis::TaskResult::bound);
        let state = State::of(holds != Holds::No);
        bound.map_or(Cell::None, |bound| Cell::Bound(clock.up(bound.as_ns()), None, state))
    };
    let row = |(position, task): (usize, &'a crate::system::Task)| {
        (task.name.as_str(), analysis.modes.iter().map(|found| cell(found, position)).collect())
    };
    Grid {
        id: "modes",
        heading: "Modes",
        caption: "Bounds in each mode",
        columns: system.modes.iter().zip(&analysis.modes).enumerate().map(column).collect(),
        rows: system.tasks.iter().enumerate().map(row).collect(),
    }
}

/// All fault domains that are processes; no column where there are none.
pub(super) fn domains<'a>(system: &'a System, analysis: &Analysis, clock: Clock) -> Grid<'a> {
    let failures = analyse(system, analysis);
    let survives = |failure: &Failure| {
        (0..system.tasks.len()).all(|position| failure.survives(system, position).is_none_or(|survives| survives))
    };
    let column = |failure: &Failure| {
        let domain = system.domains.get(failure.domain)?;
        let process = domain.process.as_ref()?;
        let along = failures::names(system, &failure.along);
        let along = if along.is_empty() { String::new() } else { format!("; {} fails with it", along.join(", ")) };
        let words = format!("{}; {}{along}", failures::after(system, process), failures::costs(process));
        Some(Column { name: &domain.name, state: State::of(survives(failure)), words })
    };
    let cell = |failure: &Failure, position: usize| {
        let Some(survives) = failure.survives(system, position) else { return Cell::Absent("fails with it") };
        let deadline = system.tasks.get(position).map_or(0, |task| task.deadline.as_ns());
        failures::bound(failure, position).map_or(Cell::None, |bound| {
            let slack = i128::from(deadline).saturating_sub(i128::from(bound.as_ns()));
            Cell::Bound(clock.up(bound.as_ns()), Some(clock.signed(slack)), State::of(survives))
        })
    };
    let row = |(position, task): (usize, &'a crate::system::Task)| {
        (task.name.as_str(), failures.iter().map(|failure| cell(failure, position)).collect())
    };
    Grid {
        id: "domains",
        heading: "Fault domains",
        caption: "Bounds while a fault domain fails",
        columns: failures.iter().filter_map(column).collect(),
        rows: system.tasks.iter().enumerate().map(row).collect(),
    }
}
