//! Searches a lap: first greedily with the tasks that missed made more urgent, then every sequence there is.

use super::lap::{Candidate, Lap, Order, Undo, Windows};
use super::squeeze::without_place;
use super::{NoTable, Slot};
use std::collections::HashMap;

/// How often the greedy search makes tasks that missed more urgent.
const ROUNDS: u64 = 200;

/// From how many origins the greedy search tries.
const ORIGINS: usize = 4;

/// The most numbers that the memory of one enumeration holds: 64 MiB.
const REMEMBERED: u64 = 16_000_000;

/// Finds the slots of a lap; `windows` are of jobs that fit alone.
pub(super) fn search(windows: &[Windows], hyperperiod: u64, steps: u64) -> Result<Vec<Slot>, NoTable> {
    let gave_up = NoTable::GaveUp { steps };
    let origins = origins(windows, hyperperiod);
    let mut left = Steps(steps.div_ceil(2));
    if let Some(slots) = greedy(windows, hyperperiod, &origins, 1, &mut left) {
        return Ok(slots);
    }
    if without_place(windows, steps.div_ceil(10)).is_some() {
        return Err(NoTable::Infeasible);
    }
    if let Some(slots) = greedy(windows, hyperperiod, &origins, ROUNDS, &mut left) {
        return Ok(slots);
    }
    let mut left = Steps(left.0.saturating_add(steps.checked_div(2).unwrap_or(0)));
    match enumerate(windows, hyperperiod, &origins, &mut left) {
        Ok(Some(slots)) => Ok(slots),
        Ok(None) => Err(NoTable::Infeasible),
        Err(OutOfSteps) => Err(gave_up),
    }
}

/// The step limit is reached.
struct OutOfSteps;

/// What is left of the step limit.
struct Steps(u64);

impl Steps {
    fn take(&mut self, steps: u64) -> Result<(), OutOfSteps> {
        self.0 = self.0.checked_sub(steps).ok_or(OutOfSteps)?;
        Ok(())
    }
}

/// Releases in [H, 2 H), those contained in the fewest windows first.
fn origins(windows: &[Windows], hyperperiod: u64) -> Vec<u64> {
    let all = |time: fn(&Windows, u64) -> u64| -> Vec<u64> {
        let times = windows.iter().flat_map(|own| (0..own.jobs).map(move |job| time(own, job)));
        let mut times: Vec<u64> = times.filter_map(|time| time.checked_rem(hyperperiod)).collect();
        times.sort_unstable();
        times
    };
    let (mut releases, dues) = (all(Windows::release), all(Windows::due));
    // Windows that wrap around add the same number everywhere.
    let count = |release: &u64| {
        let begun = releases.partition_point(|other| other < release);
        let ended = dues.partition_point(|due| due <= release);
        (begun.saturating_add(dues.len()).saturating_sub(ended), *release)
    };
    let mut counted: Vec<(usize, u64)> = releases.iter().map(count).collect();
    counted.sort_unstable();
    counted.dedup();
    releases.clear();
    releases.extend(counted.into_iter().map(|(_, release)| release.saturating_add(hyperperiod)));
    releases
}

/// Runs what is most urgent, without taking back more than a few steps; what misses is more urgent the next time.
fn greedy(windows: &[Windows], hyperperiod: u64, origins: &[u64], rounds: u64, left: &mut Steps) -> Option<Vec<Slot>> {
    let longest = windows.iter().map(|own| own.length).max().unwrap_or(0);
    let mut urgencies: HashMap<(usize, usize), Vec<u64>> = HashMap::new();
    for _ in 0..rounds {
        for (number, origin) in origins.iter().take(ORIGINS).enumerate() {
            for (place, order) in [Order::Deadline, Order::LatestStart, Order::Waiting].into_iter().enumerate() {
                let urgency = urgencies.entry((number, place)).or_insert_with(|| vec![0; windows.len()]);
                let blamed = match Lap::new(windows, hyperperiod, *origin) {
                    Err(task) => task,
                    Ok(mut lap) => match descend(&mut lap, order, urgency, Some(0), left) {
                        Ok(End::Found(slots)) => return Some(within(slots, hyperperiod)),
                        Ok(End::Missed(task)) => task,
                        Err(OutOfSteps) => return None,
                    },
                };
                if let Some(urgent) = urgency.get_mut(blamed) {
                    *urgent = urgent.saturating_add(longest);
                }
            }
        }
    }
    None
}

/// Tries every lap that a table can have; none means that there is no table.
///
/// Where no window contains the origin, one line holds all tables. Otherwise: shift all slots of a table to the left as
/// long as no order changes. Then some job starts at its release, and the others follow as soon as they may. So each job
/// in turn starts at its release, at the origin; once that is refuted, the job starts later in all tables that are left.
fn enumerate(
    windows: &[Windows],
    hyperperiod: u64,
    origins: &[u64],
    left: &mut Steps,
) -> Result<Option<Vec<Slot>>, OutOfSteps> {
    let urgency = vec![0; windows.len()];
    let closed = origins.first().map_or(hyperperiod, |origin| *origin);
    if let Ok(mut lap) = Lap::new(windows, hyperperiod, closed)
        && lap.is_closed()
    {
        return match descend(&mut lap, Order::Deadline, &urgency, None, left)? {
            End::Found(slots) => Ok(Some(within(slots, hyperperiod))),
            End::Missed(_) => Ok(None),
        };
    }
    let mut remaining = windows.to_vec();
    for task in 0..windows.len() {
        let jobs = windows.get(task).map_or(0, |own| own.jobs);
        for job in 0..jobs {
            let origin = remaining.get(task).map_or(0, |own| own.release(job.saturating_add(own.jobs)));
            // Releases lie below 3 H; the lap after the next is like this one.
            let (origin, anchor) = match origin.checked_sub(hyperperiod.saturating_mul(2)) {
                Some(earlier) => (earlier.saturating_add(hyperperiod), job),
                None => (origin, job.saturating_add(jobs)),
            };
            left.take(u64::try_from(windows.len()).unwrap_or(u64::MAX))?;
            if let Ok(mut lap) = Lap::new(&remaining, hyperperiod, origin)
                && lap.admits(task, anchor)
                && let Some(first) = lap.run(task, anchor)
                && let End::Found(mut slots) = descend(&mut lap, Order::Deadline, &urgency, None, left)?
            {
                slots.push(Slot { at: first.start, task });
                return Ok(Some(within(slots, hyperperiod)));
            }
            if let Some(own) = remaining.get_mut(task) {
                own.later = job.saturating_add(1);
            }
        }
    }
    Ok(None)
}

fn within(mut slots: Vec<Slot>, hyperperiod: u64) -> Vec<Slot> {
    for slot in &mut slots {
        slot.at = slot.at.checked_rem(hyperperiod).unwrap_or(0);
    }
    slots
}

/// How a descent ends.
enum End {
    Found(Vec<Slot>),
    /// No schedule, or none with so few steps back; the task that missed last.
    Missed(usize),
}

/// Depth first: the first candidate, then the next. `back` is how many steps may be taken back; `None` enumerates all.
///
/// What was refuted is remembered: the same jobs done at the same time or later are refuted, too.
fn descend(
    lap: &mut Lap,
    order: Order,
    urgency: &[u64],
    back: Option<u64>,
    left: &mut Steps,
) -> Result<End, OutOfSteps> {
    let mut refuted: HashMap<Box<[u32]>, u64> = HashMap::new();
    let mut path: Vec<(Undo, Candidate)> = Vec::new();
    let mut tried = None;
    let (mut taken_back, mut missed, mut remembered) = (0u64, 0, 0u64);
    if let Some(task) = lap.excess() {
        return Ok(End::Missed(task));
    }
    loop {
        if lap.is_done() {
            return Ok(End::Found(path.iter().map(|(step, _)| Slot { at: step.start, task: step.task }).collect()));
        }
        left.take(lap.width())?;
        match lap.candidate(order, urgency, tried) {
            Some(next) => {
                let Some(step) = lap.run(next.task, next.job) else { return Ok(End::Missed(next.task)) };
                let excess = lap.excess();
                let known = || refuted.get(&lap.done()).is_some_and(|time| *time <= lap.time());
                if excess.is_some() || (back.is_none() && known()) {
                    missed = excess.unwrap_or(missed);
                    lap.undo(step);
                    tried = Some(next);
                } else {
                    path.push((step, next));
                    tried = None;
                }
            }
            None => {
                if back.is_some_and(|back| taken_back >= back) {
                    return Ok(End::Missed(missed));
                }
                taken_back = taken_back.saturating_add(1);
                if back.is_none() {
                    let key = lap.done();
                    remembered = remembered.saturating_add(u64::try_from(key.len()).unwrap_or(u64::MAX));
                    if remembered <= REMEMBERED {
                        refuted.insert(key, lap.time());
                    }
                }
                let Some((step, next)) = path.pop() else { return Ok(End::Missed(missed)) };
                lap.undo(step);
                tried = Some(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Task;
    use super::{ROUNDS, Steps, Windows, enumerate, greedy, origins, without_place};

    /// Every pair of tasks on a circle of 12 with a third one: what the greedy search finds, the enumeration
    /// finds, and what it finds is not refuted.
    #[test]
    fn greedy_search_enumeration_and_refutation_do_not_contradict_each_other() {
        let (mut found, mut refuted) = (0u32, 0u32);
        let task = |cost, period, deadline, jitter, phase| Task { cost, period, deadline, jitter, phase };
        let parameters =
            (1..=5).flat_map(|cost| (0..12).flat_map(move |phase| (0..6).map(move |late| (cost, phase, late))));
        for (cost, phase, late) in parameters {
            for rival in 0..12 {
                let tasks = [task(2, 6, 5, 1, rival), task(cost, 12, 12, late, phase), task(3, 12, 9, 0, 3)];
                if tasks.iter().any(|task| task.cost.saturating_add(task.jitter) > task.deadline) {
                    continue;
                }
                let windows: Vec<Windows> = tasks.iter().map(|task| Windows::new(task, 0, 12)).collect();
                let origins = origins(&windows, 12);
                let by_greed = greedy(&windows, 12, &origins, ROUNDS, &mut Steps(1_000_000)).is_some();
                let enumerated = enumerate(&windows, 12, &origins, &mut Steps(1_000_000));
                let enumerated = enumerated.is_ok_and(|slots| slots.is_some());
                assert!(enumerated || !by_greed, "{tasks:?}");
                found = found.saturating_add(u32::from(by_greed));
                let is_refuted = without_place(&windows, 1_000_000).is_some();
                assert!(!(enumerated && is_refuted), "{tasks:?}");
                refuted = refuted.saturating_add(u32::from(is_refuted));
            }
        }
        assert!(found > 1_000 && refuted > 100, "{found} found, {refuted} refuted");
    }
}
