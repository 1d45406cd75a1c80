//! Orders the tasks of each lane.
//!
//! Rate-monotonic: C. L. Liu, J. W. Layland, JACM 20 (1973). Deadline-monotonic: J. Y.-T. Leung, J. Whitehead,
//! Performance Evaluation 2 (1982). Neither is optimal without preemption (George, Rivierre, Spuri, INRIA RR-2966,
//! 1996); they are orders, and the response-time analysis decides. Equal keys are broken by the other key, then by
//! the manifest's order, so that priorities are unique and the same input gives the same plan.
//!
//! [`optimal`] finds an order that the response-time analysis accepts whenever there is one.

use super::utilization::{Against1, against_1};
use super::{Load, NoBound, STEPS, fixed_priority};
use crate::system::System;
use aegis_core::desc::Policy;
use aegis_core::units::Priority;

/// For each task its place in its lane's order, 0 first. Under EDF the place only breaks ties between equal
/// deadlines and is the deadline-monotonic one.
#[must_use]
pub fn assign(system: &System) -> Vec<Priority> {
    let mut ranked: Vec<(usize, bool, u64, u64, usize)> = Vec::with_capacity(system.tasks.len());
    for (index, task) in system.tasks.iter().enumerate() {
        let policy = system.lanes.get(task.lane).map(|lane| lane.policy);
        let (period, deadline) = (task.period.as_ns(), task.deadline.as_ns());
        let optimal = system.lanes.get(task.lane).is_some_and(|lane| lane.optimal);
        let (first, second) = match policy {
            Some(Policy::RateMonotonic) => (period, deadline),
            Some(Policy::FixedPriority) if !optimal => {
                (u64::from(task.priority.map_or(u16::MAX, |given| given.0)), period)
            }
            _ => (deadline, period),
        };
        // Whatever has slots goes before what has the gaps between them.
        let of_gaps = policy == Some(Policy::TimeTriggered) && task.submitted;
        ranked.push((task.lane, of_gaps, first, second, index));
    }
    ranked.sort_unstable();
    let mut order = vec![Priority(0); system.tasks.len()];
    let mut place: u16 = 0;
    let mut lane = None;
    for (of, _, first, _, index) in ranked {
        place = if lane == Some(of) { place.saturating_add(1) } else { 0 };
        lane = Some(of);
        let explicit = system.lanes.get(of).is_some_and(|lane| lane.policy == Policy::FixedPriority && !lane.optimal);
        if let Some(slot) = order.get_mut(index) {
            // Explicit priorities are shown as the user wrote them.
            *slot = if explicit { Priority(u16::try_from(first).unwrap_or(u16::MAX)) } else { Priority(place) };
        }
    }
    order
}

/// Why [`optimal`] has no order. Positions are those of the given loads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoOrder {
    /// None of them meets its deadline below all others of them; the shortest D − J first.
    pub misfits: Vec<usize>,
    /// Those that were placed below them and meet their deadlines there, the most important first.
    pub placed: Vec<usize>,
    /// Whether a search gave up or a time overflowed, so that an order might exist all the same.
    pub undecided: bool,
}

/// An order in which [`fixed_priority::analyse`] finds every deadline of the lane met, the most important position first.
///
/// N. C. Audsley, "Optimal priority assignment and feasibility of static priority tasks with arbitrary start times", YCS
/// 164, University of York (1991); the conditions are those of R. I. Davis, A. Burns, "Improved priority assignment for
/// global fixed priority pre-emptive scheduling in multiprocessor real-time systems", Real-Time Systems 47 (2011). The
/// lowest free place goes to any task that meets its deadline there, then the next place above it. If one exists at each
/// place, the order is found; if none does, no order exists, because the bound R of a task i
/// 1. depends on the set of more important tasks, not on their order: it enters by sums;
/// 2. depends on the set of less important tasks, not on their order: it enters by a maximum, B;
/// 3. does not grow when i moves up past a task k: every equation loses one C of k or more, since k arrives once or more,
///    and B grows by less than C of k, since no piece of k is longer.
///
/// This holds for all [`super::Pieces`], mixed too, with arbitrary deadlines and jitter. Candidates are tried from the longest
/// D − J on, until D − J is below B + Σ C of what is not placed yet, which all of it needs to respond at least.
///
/// Cost: at most n²/2 tests, n where each first candidate fits; in all at most 2 · [`STEPS`] terms.
///
/// # Errors
/// [`NoOrder`] where at some place nothing fits.
pub fn optimal(loads: &[Load]) -> Result<Vec<usize>, NoOrder> {
    let slack = |load: &Load| load.deadline.saturating_sub(load.jitter);
    let mut open: Vec<(u64, u64, usize)> = Vec::with_capacity(loads.len());
    open.extend(loads.iter().enumerate().map(|(position, load)| (slack(load), load.period, position)));
    open.sort_unstable();
    let mut placed: Vec<usize> = Vec::with_capacity(loads.len());
    let mut terms = STEPS.saturating_mul(2);
    let mut undecided = false;
    let mut blocking = 0;
    let overloaded = against_1(loads) == Against1::Above;
    while !open.is_empty() && !overloaded {
        let fits = lowest(loads, &open, blocking, &mut terms);
        undecided = fits.is_err();
        let Ok(Some(index)) = fits else { break };
        let (_, _, position) = open.remove(index);
        placed.push(position);
        blocking = blocking.max(loads.get(position).map_or(0, Load::longest).saturating_sub(1));
    }
    placed.reverse();
    let misfits: Vec<usize> = open.into_iter().map(|(_, _, position)| position).collect();
    if misfits.is_empty() { Ok(placed) } else { Err(NoOrder { misfits, placed, undecided }) }
}

/// Who of `open`, sorted by D − J, meets its deadline below all others of it.
///
/// # Errors
/// Why one of them is undecided, where no other fits.
fn lowest(
    loads: &[Load],
    open: &[(u64, u64, usize)],
    blocking: u64,
    terms: &mut u64,
) -> Result<Option<usize>, NoBound> {
    let load = |entry: &(u64, u64, usize)| loads.get(entry.2).copied();
    let cost = |entry| load(entry).map(|load| load.cost);
    let needed =
        open.iter().map(cost).try_fold(blocking, |sum, cost| sum.checked_add(cost?)).ok_or(NoBound::Overflow)?;
    let mut level = Vec::with_capacity(open.len());
    let mut why = None;
    for (index, candidate) in open.iter().enumerate().rev().take_while(|(_, (slack, _, _))| *slack >= needed) {
        level.clear();
        let others = open.iter().enumerate().filter(|(other, _)| *other != index);
        level.extend(others.filter_map(|(_, entry)| load(entry)).chain(load(candidate)));
        match fixed_priority::meets(&level, blocking, terms) {
            Ok(true) => return Ok(Some(index)),
            Ok(false) => {}
            Err(found) => why = Some(found),
        }
    }
    why.map_or(Ok(None), Err)
}
