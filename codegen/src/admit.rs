//! The offline question: do these tasks still fit, and if not, what would make them fit?
//!
//! Every answer is a whole analysis: nothing is admitted that was not analysed. Ways that would help are tried one at a time,
//! everything else as it is, and each one that is told was found to hold; that none is told does not mean that there is none.
//! A way that is found by halving an interval is the end of it where the analysis is monotone, and holds in any case.

use crate::analysis::{Analysis, analyse};
use crate::check::holds;
use crate::manifest::Manifest;
use crate::memory::Layout;
use crate::system::{Lane, System, Task};
use aegis_core::desc::{Policy, Preemption};
use aegis_core::time::Duration;
use serde::Serialize;
use std::collections::BTreeSet;

/// The format of an answer.
pub const SCHEMA: &str = "aegis.admission/1";

/// Something that would make the added tasks fit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Way {
    /// A shorter execution of an added task; segments shrink in proportion.
    Wcet {
        /// The task.
        task: String,
        /// Its WCET.
        from_ns: u64,
        /// One with which all holds.
        to_ns: u64,
    },
    /// A longer period of an added task; a deadline that is the period grows with it.
    Period {
        /// The task.
        task: String,
        /// Its period.
        from_ns: u64,
        /// One with which all holds.
        to_ns: u64,
    },
    /// A longer deadline of an added task.
    Deadline {
        /// The task.
        task: String,
        /// Its deadline.
        from_ns: u64,
        /// One with which all holds.
        to_ns: u64,
    },
    /// Another lane for an added task. Its execution and its model's memory have to be measured there.
    Lane {
        /// The task.
        task: String,
        /// The lane.
        lane: String,
    },
    /// Giving up a task that is there already.
    Without {
        /// The task.
        task: String,
    },
    /// More memory of a device, if everything else holds.
    Memory {
        /// The device.
        device: String,
        /// What it grants.
        from_bytes: u64,
        /// What would do.
        to_bytes: u64,
    },
}

/// The longest period that is tried: a thousand times the task's own.
const LONGEST: u64 = 1_000;

/// Ways to make a system hold that does not, by changing or moving tasks from `first_added` on, or by giving up one of the tasks
/// before. `layout` is the system's, where its memory could be planned.
#[must_use]
pub fn ways(system: &System, first_added: usize, layout: Option<&Layout>) -> Vec<Way> {
    let mut ways = Vec::new();
    if holds(system, false) {
        // Only memory is missing.
        ways.extend(layout.map(|layout| memory(system, layout)).unwrap_or_default());
    } else {
        for (position, task) in system.tasks.iter().enumerate().skip(first_added) {
            ways.extend(shorter(system, position, task));
            ways.extend(rarer(system, position, task));
            ways.extend(later(system, position, task));
            ways.extend(elsewhere(system, position, task));
        }
    }
    ways.extend(giving_up(system, first_added));
    ways
}

fn with(system: &System, position: usize, change: impl Fn(&mut Task)) -> System {
    let mut changed = system.clone();
    if let Some(task) = changed.tasks.get_mut(position) {
        change(task);
    }
    changed
}

/// The largest of 1 … `end` that is accepted, if 1 is.
fn largest(end: u64, accepts: impl Fn(u64) -> bool) -> Option<u64> {
    if !accepts(1) {
        return None;
    }
    let (mut good, mut bad) = (1, end.saturating_add(1));
    while bad.saturating_sub(good) > 1 {
        let middle = good.midpoint(bad);
        if accepts(middle) { good = middle } else { bad = middle }
    }
    Some(good)
}

/// A task whose executions have a part of their length, in millionths, rounded down but never to nothing.
fn scaled(task: &mut Task, ppm: u64) {
    let scale = |time: Duration| {
        let part = u128::from(time.as_ns()).saturating_mul(u128::from(ppm)).checked_div(1_000_000).unwrap_or(0);
        Duration::from_ns(u64::try_from(part).unwrap_or(u64::MAX).max(1))
    };
    for segment in &mut task.segments {
        *segment = scale(*segment);
    }
    let sum = task.segments.iter().try_fold(Duration::ZERO, |sum, segment| sum.checked_add(*segment));
    task.wcet = sum.filter(|sum| !sum.is_zero()).unwrap_or_else(|| scale(task.wcet));
    task.bcet = task.bcet.min(task.wcet);
    task.budget = task.budget.min(task.wcet);
    task.region = task.region.min(task.wcet);
}

fn shorter(system: &System, position: usize, task: &Task) -> Option<Way> {
    // Memory does not depend on it, so it is planned once.
    let ppm = largest(999_999, |ppm| holds(&with(system, position, |task| scaled(task, ppm)), false))?;
    let mut changed = task.clone();
    scaled(&mut changed, ppm);
    if !holds(&with(system, position, |task| scaled(task, ppm)), true) {
        return None;
    }
    Some(Way::Wcet { task: task.name.clone(), from_ns: task.wcet.as_ns(), to_ns: changed.wcet.as_ns() })
}

/// A task, with all its stages' periods, that arrives less often.
fn slowed(task: &mut Task, period: u64) {
    let implicit = task.deadline == task.period;
    task.period = Duration::from_ns(period);
    if implicit {
        task.deadline = task.period;
    }
}

fn rarer(system: &System, position: usize, task: &Task) -> Option<Way> {
    let is_staged = task.after.is_some() || system.tasks.iter().any(|other| other.after == Some(position));
    if is_staged {
        return None;
    }
    let own = task.period.as_ns();
    let to_ns = least(system, position, own, own.saturating_mul(LONGEST), slowed)?;
    Some(Way::Period { task: task.name.clone(), from_ns: own, to_ns })
}

fn later(system: &System, position: usize, task: &Task) -> Option<Way> {
    let own = task.deadline.as_ns();
    // As many jobs as a deadline has periods can wait.
    let most = task.period.as_ns().saturating_mul(Manifest::MAX_QUEUE);
    // All stages have one deadline.
    let stages = |task: &mut Task, deadline: u64| task.deadline = Duration::from_ns(deadline);
    if task.after.is_some() || system.tasks.iter().any(|other| other.after == Some(position)) {
        return None;
    }
    let to_ns = least(system, position, own, most, stages)?;
    Some(Way::Deadline { task: task.name.clone(), from_ns: own, to_ns })
}

/// A number above `own`, at most `most`, with which all holds: doubled until it does, then halved between the last two, to a
/// thousandth of `own`, since nobody chooses by the nanosecond.
fn least(system: &System, position: usize, own: u64, most: u64, change: impl Fn(&mut Task, u64)) -> Option<u64> {
    // Memory hangs on neither, but for the order of priorities; so it is planned once, at the end.
    let accepts = |number: u64, memory| holds(&with(system, position, |task| change(task, number)), memory);
    let mut bad = own;
    let mut good = own.saturating_mul(2).min(most);
    while good > bad && !accepts(good, false) {
        bad = good;
        good = good.saturating_mul(2).min(most);
    }
    if good <= bad {
        return None;
    }
    while good.saturating_sub(bad) > own.div_euclid(1_000).max(1) {
        let middle = good.midpoint(bad);
        if accepts(middle, false) { good = middle } else { bad = middle }
    }
    accepts(good, true).then_some(good)
}

fn elsewhere(system: &System, position: usize, task: &Task) -> Vec<Way> {
    let fits = |lane: &Lane| {
        let machine = task.model.is_none() || lane.device.is_some() && lane.preemption != Preemption::Full;
        // Where priorities are given, somebody has to give one.
        let ordered = lane.policy != Policy::FixedPriority || lane.optimal || task.priority.is_some();
        let pieces = task.segments.is_empty() || lane.preemption == Preemption::Segments || task.model.is_some();
        let parts = (task.region.is_zero() && task.suspension.is_zero()) || lane.preemption == Preemption::Full;
        machine && ordered && pieces && parts
    };
    let others = system.lanes.iter().enumerate().filter(|(lane, desc)| *lane != task.lane && fits(desc));
    let moved = |(lane, desc): (usize, &Lane)| {
        let changed = with(system, position, |task| {
            task.lane = lane;
            if desc.preemption != Preemption::Segments {
                task.segments.clear();
            }
        });
        holds(&changed, true).then(|| Way::Lane { task: task.name.clone(), lane: desc.name.clone() })
    };
    others.filter_map(moved).collect()
}

/// Each task that is there, is part of no chain, and without which all would hold.
fn giving_up(system: &System, first_added: usize) -> Vec<Way> {
    let mut ways = Vec::new();
    for (position, task) in system.tasks.iter().enumerate().take(first_added) {
        if task.after.is_some() {
            continue;
        }
        let mut gone = BTreeSet::from([position]);
        for (later, other) in system.tasks.iter().enumerate() {
            if other.after.is_some_and(|after| gone.contains(&after)) {
                gone.insert(later);
            }
        }
        let linked = |(first, last): &(usize, usize)| gone.iter().any(|gone| (first..=last).contains(&gone));
        if system.chains.iter().any(|chain| chain.members.iter().any(linked)) {
            continue;
        }
        if holds(&without(system, &gone), true) {
            // Stages are named after their task.
            let name = if gone.len() > 1 { task.name.trim_end_matches(".1") } else { &task.name };
            ways.push(Way::Without { task: name.to_owned() });
        }
    }
    ways
}

/// The system without some tasks, none of which is in a chain.
fn without(system: &System, gone: &BTreeSet<usize>) -> System {
    let place = |task: usize| task.saturating_sub(gone.range(..task).count());
    let mut left = system.clone();
    left.tasks = Vec::with_capacity(system.tasks.len());
    for (_, task) in system.tasks.iter().enumerate().filter(|(position, _)| !gone.contains(position)) {
        left.tasks.push(Task { after: task.after.map(place), ..task.clone() });
    }
    for chain in &mut left.chains {
        for (first, last) in &mut chain.members {
            (*first, *last) = (place(*first), place(*last));
        }
    }
    for level in &mut left.levels {
        for list in [&mut level.shed, &mut level.reject] {
            *list = list.iter().filter(|task| !gone.contains(task)).map(|task| place(*task)).collect();
        }
    }
    for mode in &mut left.modes {
        mode.tasks = mode.tasks.iter().filter(|task| !gone.contains(task)).map(|task| place(*task)).collect();
    }
    left.modes.retain(|mode| !mode.tasks.is_empty());
    // A level that would shed all that is left is no level.
    let count = left.tasks.len();
    left.levels.retain(|level| level.shed.len() < count);
    left
}

/// What devices would have to grant.
fn memory(system: &System, layout: &Layout) -> Vec<Way> {
    let mut ways = Vec::new();
    for (position, device) in system.devices.iter().enumerate().filter(|(_, device)| device.shares.is_none()) {
        let needed = layout.taken(system, position);
        if needed > device.memory.0 {
            let (from_bytes, to_bytes) = (device.memory.0, needed);
            ways.push(Way::Memory { device: device.name.clone(), from_bytes, to_bytes });
        }
    }
    ways
}

/// How a task that is there already responds before and after.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// The task.
    pub task: String,
    /// Its response bound without the added tasks; null where there is none.
    pub before_ns: Option<u64>,
    /// Its response bound with them.
    pub after_ns: Option<u64>,
    /// Its deadline.
    pub deadline_ns: u64,
}

/// What the added tasks change for those that are there; only what changes.
#[must_use]
pub fn changes(before: (&System, &Analysis), after: (&System, &Analysis)) -> Vec<Change> {
    let bound = |analysis: &Analysis, task: usize| Some(analysis.tasks.get(task)?.bound()?.as_ns());
    let tasks = before.0.tasks.iter().enumerate().filter_map(|(position, task)| {
        let later = after.0.tasks.iter().position(|other| other.name == task.name)?;
        let (before_ns, after_ns) = (bound(before.1, position), bound(after.1, later));
        let change = Change { task: task.name.clone(), before_ns, after_ns, deadline_ns: task.deadline.as_ns() };
        (before_ns != after_ns).then_some(change)
    });
    tasks.collect()
}

/// The response bound of each added task.
#[must_use]
pub fn added(system: &System, first_added: usize) -> Vec<Change> {
    let analysis = analyse(system);
    let tasks = system.tasks.iter().zip(&analysis.tasks).skip(first_added);
    let change = |(task, found): (&Task, &crate::analysis::TaskResult)| Change {
        task: task.name.clone(),
        before_ns: None,
        after_ns: found.bound().map(Duration::as_ns),
        deadline_ns: task.deadline.as_ns(),
    };
    tasks.map(change).collect()
}
