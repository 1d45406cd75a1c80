//! Scenarios: releases and execution times that lead to a late completion.

use super::graph::{Chains, Head, Level, Search, Start};
use super::job_set::{Job, Set};
use super::periodic::{Periodic, Task};
use super::walk::Walk;
use super::{GaveUp, Limits, Order, Why};

/// One job of a scenario; instants and times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The position of its task; in a job set, of the job.
    pub task: usize,
    /// Which job of its task it is, from 0; in a job set 0.
    pub job: u32,
    /// Its arrival; in a job set its earliest release.
    pub arrival: u64,
    /// When it is released, that is, seen.
    pub seen: u64,
    /// When it starts.
    pub start: u64,
    /// How long it executes.
    pub cost: u64,
}

impl Run {
    /// When it completes.
    #[must_use]
    pub const fn finish(&self) -> u64 {
        self.start.saturating_add(self.cost)
    }
}

/// A scenario in which a job of a task takes longer than `above` from its arrival: every job that starts until then, in
/// order of start, that job last. `None` where no job ever does.
///
/// The search stops at the first such job, so it may find one where [`periodic`](super::periodic()) gives up; it also
/// searches overloaded sets, and those whose hyperperiod overflows. Jobs that do not appear are released too late to
/// matter, or wait behind all that appear.
///
/// Cost: at most three times the limit on steps; memory: one level in 16, and 16 in a row.
///
/// # Errors
/// [`GaveUp`] where an input is invalid, a time overflows, or the limits do not suffice.
pub fn witness(
    tasks: &[Task],
    order: Order,
    task: usize,
    above: u64,
    limits: Limits,
) -> Result<Option<Vec<Run>>, GaveUp> {
    let set = Periodic::new(tasks, order).map_err(GaveUp::early)?;
    let walk = || Walk::new(&set, limits, set.cycle().ok());
    let is_late = |start: &Start, finish: u64| {
        start.chain == task
            && set.arrival(task, start.position).is_some_and(|arrival| finish.saturating_sub(arrival) > above)
    };
    Ok(find(walk, is_late)?.map(|steps| steps.iter().map(|step| step.run(step.chain, step.position)).collect()))
}

/// A scenario in which a job of a set, by position, completes after an instant: every job that starts until then, in
/// order of start, that job last. `None` where it never does.
///
/// # Errors
/// [`GaveUp`] as for [`job_set`](super::job_set()).
pub fn job_set_witness(jobs: &[Job], job: usize, after: u64, limits: Limits) -> Result<Option<Vec<Run>>, GaveUp> {
    let set = Set::new(jobs).map_err(GaveUp::early)?;
    let walk = || Walk::new(&set, limits, None);
    let is_late = |start: &Start, finish: u64| set.position(start.chain, start.position) == Some(job) && finish > after;
    let run = |step: &Step| Some(step.run(set.position(step.chain, step.position)?, 0));
    Ok(find(walk, is_late)?.and_then(|steps| steps.iter().map(run).collect()))
}

/// A job on a path through the graph, with chosen values.
struct Step {
    chain: usize,
    position: u32,
    head: Head,
    start: u64,
    cost: u64,
}

impl Step {
    fn run(&self, task: usize, job: u32) -> Run {
        let Self { head, start, cost, .. } = *self;
        Run { task, job, arrival: head.earliest, seen: head.latest.min(start), start, cost }
    }
}

/// Searches three times: for the first late start, for levels on the way to it, and back from it for those between.
fn find<'a, C: Chains + 'a>(
    walk: impl Fn() -> Result<Walk<'a, C>, Why>,
    is_late: impl Fn(&Start, u64) -> bool,
) -> Result<Option<Vec<Step>>, GaveUp> {
    let mut first = walk().map_err(GaveUp::early)?;
    let mut late = None;
    let mut before: u64 = 0;
    loop {
        let more = first.advance(0, |state, start| {
            if late.is_none() && is_late(start, start.finish()?.1) {
                late = Some((state, *start));
            }
            Ok(())
        });
        match more {
            Err(why) => return Err(first.gave_up(why)),
            Ok(false) => return Ok(None),
            Ok(true) if late.is_none() => before = before.saturating_add(1),
            Ok(true) => break,
        }
    }
    let Some((state, start)) = late else { return Ok(None) };
    let mut again = walk().map_err(GaveUp::early)?;
    let mut landmarks = Vec::new();
    let mut held = 0;
    for number in 0..before {
        if again.is_turn() || number.is_multiple_of(STRIDE) {
            let states = again.level().len();
            held = again.search().bytes(states).saturating_add(held);
            landmarks.push((number, again.level().clone()));
        }
        again.advance(held, |_, _| Ok(())).map_err(|why| again.gave_up(why))?;
    }
    let mut last = walk().map_err(GaveUp::early)?;
    let end = (before, again.level().counts(state).to_vec());
    trace(last.search(), held, landmarks, end, &start).map(Some).map_err(|why| last.gave_up(why))
}

/// One level in so many is kept; the others are searched again when they are needed.
const STRIDE: u64 = 16;

/// Goes back from a start in the state of a numbered level with these counts, choosing values.
fn trace<C: Chains>(
    search: &mut Search<C>,
    held: u64,
    mut landmarks: Vec<(u64, Level)>,
    (mut end, mut counts): (u64, Vec<u32>),
    late: &Start,
) -> Result<Vec<Step>, Why> {
    let Start { chain, position, head, last: mut instant, .. } = *late;
    let mut steps = vec![Step { chain, position, head, start: instant, cost: head.worst }];
    while let Some((number, landmark)) = landmarks.pop() {
        let mut levels = vec![landmark];
        let mut held = held;
        for _ in number.saturating_add(1)..end {
            let Some(level) = levels.last() else { break };
            let next = search.advance(level, held, |_, _| Ok(()))?;
            held = search.bytes(next.len()).saturating_add(held);
            levels.push(next);
        }
        end = number;
        for level in levels.iter().rev() {
            let step = before(search, level, &mut counts, instant)?.ok_or(Why::Input)?;
            instant = step.start;
            steps.push(step);
        }
    }
    steps.reverse();
    Ok(steps)
}

/// A start in a state of the level before that leads to a start at an instant in the state with these counts, which
/// become those of the state before; there is one, since instants come from nowhere else.
fn before<C: Chains>(
    search: &mut Search<C>,
    level: &Level,
    counts: &mut [u32],
    instant: u64,
) -> Result<Option<Step>, Why> {
    for chain in 0..counts.len() {
        let Some(count) = counts.get_mut(chain) else { break };
        let Some(position) = count.checked_sub(1) else { continue };
        *count = position;
        let mut found = None;
        if let Some(instants) = level.find(search.sum(counts), counts) {
            search.starts(counts, instants, |search, start, releases| {
                let next = if start.chain == chain { search.next(start, releases)? } else { None };
                if next.is_some_and(|(from, to)| from <= instant && instant <= to) {
                    let Start { head, first, .. } = *start;
                    // It ends at the instant, or as late as it can, and then the resource idles.
                    let finish = start.finish()?.1.min(instant);
                    let start = finish.saturating_sub(head.worst).max(first);
                    found = Some(Step { chain, position, head, start, cost: finish.saturating_sub(start) });
                }
                Ok(())
            })?;
        }
        if found.is_some() {
            return Ok(found);
        }
        if let Some(count) = counts.get_mut(chain) {
            *count = position.saturating_add(1);
        }
    }
    Ok(None)
}
