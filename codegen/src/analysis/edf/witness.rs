//! The arrivals under which a task's bound is attained, and what the bound consists of.

use super::response::{Point, bounds};
use super::{Steps, first_due};
use crate::analysis::{Load, NoBound};

/// One arrival, with a full execution. Instants in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Release {
    /// When it is seen.
    pub seen: u64,
    /// When it arrives.
    pub arrival: u64,
    /// The position of its load.
    pub load: usize,
}

/// A busy period in which a task's bound is attained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Witness {
    /// When the busy period begins: what blocks it began 1 ns before.
    pub begin: u64,
    /// All arrivals that matter, by the instant at which they are seen.
    pub releases: Vec<Release>,
    /// When the late job arrives.
    pub arrival: u64,
    /// When it completes.
    pub finish: u64,
    /// B.
    pub blocking: u64,
    /// Who blocks; its longest piece has to begin 1 ns before `begin`.
    pub blocked_by: Option<usize>,
    /// How many jobs of each load are complete until then, the late one included.
    pub jobs: Vec<u64>,
}

/// The worst case of the load at `own`.
///
/// Of several deadlines at which it happens it is the latest: if the longest piece of whoever blocks is not its first, and
/// the pieces before would begin so early that it is due by then, there is a later deadline with the same response.
///
/// # Errors
/// [`NoBound`] as for [`super::analyse`].
pub fn witness(loads: &[Load], own: usize) -> Result<Witness, NoBound> {
    let (points, bounds) = bounds(loads)?;
    let (load, bound) = (loads.get(own).ok_or(NoBound::Overflow)?, bounds.get(own).ok_or(NoBound::Overflow)?);
    let first = first_due(load).ok_or(NoBound::Overflow)?;
    let mut steps = Steps::default();
    for point in points.iter().rev().filter(|point| point.deadline >= first) {
        if point.response(load.deadline) < bound.response {
            continue;
        }
        let due = Due::new(loads, point.deadline).ok_or(NoBound::Overflow)?;
        let start = start(&due, load, point.deadline, &mut steps)?;
        let finish = start.checked_add(load.last()).ok_or(NoBound::Overflow)?;
        if (Point { finish, ..*point }).response(load.deadline) == bound.response {
            return build(&due, load, own, point.deadline, start).ok_or(NoBound::Overflow);
        }
    }
    // A bound is the response at one of the points.
    Err(NoBound::Overflow)
}

/// S_i(d): when the last piece of the task's job that is due at `deadline` begins.
fn start(due: &Due<'_>, load: &Load, deadline: u64, steps: &mut Steps) -> Result<u64, NoBound> {
    let mut start = deadline.saturating_sub(load.deadline);
    loop {
        steps.take(due.jobs.len())?;
        let next = due.work_until(start).ok_or(NoBound::Overflow)?.saturating_sub(load.last());
        if next <= start {
            return Ok(start);
        }
        start = next;
    }
}

/// What is due by a deadline: B and the jobs of each load.
struct Due<'l> {
    blocking: u64,
    blocked_by: Option<usize>,
    jobs: Vec<(&'l Load, u64)>,
}

impl<'l> Due<'l> {
    fn new(loads: &'l [Load], deadline: u64) -> Option<Self> {
        let mut due = Self { blocking: 0, blocked_by: None, jobs: Vec::with_capacity(loads.len()) };
        for (position, load) in loads.iter().enumerate() {
            let jobs = match deadline.checked_sub(first_due(load)?) {
                Some(beyond) => beyond.checked_div(load.period)?.checked_add(1)?,
                None => 0,
            };
            if jobs == 0 && load.longest().saturating_sub(1) > due.blocking {
                due.blocking = load.longest().saturating_sub(1);
                due.blocked_by = Some(position);
            }
            due.jobs.push((load, jobs));
        }
        Some(due)
    }

    /// How many of a load's jobs that are due were seen at `instant` or before.
    fn seen(load: &Load, jobs: u64, instant: u64) -> Option<u64> {
        Some(instant.checked_add(load.jitter)?.checked_div(load.period)?.checked_add(1)?.min(jobs))
    }

    /// B and the cost of all jobs that are due and were seen at `instant` or before.
    fn work_until(&self, instant: u64) -> Option<u64> {
        self.jobs.iter().filter(|(_, jobs)| *jobs > 0).try_fold(self.blocking, |sum, (load, jobs)| {
            sum.checked_add(Self::seen(load, *jobs, instant)?.checked_mul(load.cost)?)
        })
    }
}

fn build(due: &Due<'_>, load: &Load, own: usize, deadline: u64, start: u64) -> Option<Witness> {
    // All instants of the theory are moved by `begin`, so that none is below 0.
    let longest = due.jobs.iter().map(|(load, _)| load.jitter.max(load.cost)).max()?;
    let begin = longest.checked_add(1)?;
    let late = begin.checked_add(deadline)?.checked_sub(load.deadline)?;
    let mut releases = Vec::new();
    let mut jobs = Vec::with_capacity(due.jobs.len());
    for (position, (other, due)) in due.jobs.iter().enumerate() {
        let count = if position == own { *due } else { Due::seen(other, *due, start)? };
        jobs.push(count);
        for number in 0..count {
            let later = number.checked_mul(other.period)?;
            // The late task's jobs end with the late one, the others' begin as late as they may be seen.
            let arrival = if position == own {
                late.checked_sub(count.checked_sub(1)?.checked_sub(number)?.checked_mul(other.period)?)?
            } else {
                begin.checked_sub(other.jitter)?.checked_add(later)?
            };
            releases.push(Release { seen: arrival.max(begin), arrival, load: position });
        }
    }
    releases.sort_unstable();
    let finish = begin.checked_add(start)?.checked_add(load.last())?;
    let (blocking, blocked_by) = (due.blocking, due.blocked_by);
    Some(Witness { begin, releases, arrival: late, finish, blocking, blocked_by, jobs })
}
