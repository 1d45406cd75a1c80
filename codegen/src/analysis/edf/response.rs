//! Response times of all tasks under EDF, in one sweep over absolute deadlines.
//!
//! M. Spuri, "Analysis of deadline scheduled real-time systems", INRIA RR-2772 (1996), for full preemption; L. George, N.
//! Rivierre, M. Spuri, INRIA RR-2966 (1996), without; one sweep for all tasks after N. Guan, W. Yi, "General and efficient
//! response time analysis for EDF scheduling", DATE 2014. The assumptions are those of [`super`]; the proof is in
//! `docs/theory/edf-response-times.md`.
//!
//! Take a job of task i with the absolute deadline d, and the interval before its completion in which the lane has work
//! that is due by d; let it begin at 0. No task can be worse than this: its first job arrived at −J and is seen at 0, the
//! next ones arrive every T and are seen at once, or at 0. Of task j
//!
//! ```text
//!   cnt_j(d) = max(0, ⌊(d + J_j − D_j)/T_j⌋ + 1)          jobs are due by d
//!   B(d)     = max { longest_k − 1 : D_k − J_k > d }       had just begun
//!   F(d)     = B(d) + Σ_j min(⌈(F + J_j)/T_j⌉, cnt_j(d)) C_j              least positive solution
//! ```
//!
//! F is the same for all tasks. The job of task i arrived at A = d − D_i, at −J_i or later, and completes by F(d). With a
//! last piece of length q, it only waits until that begins, at
//!
//! ```text
//!   S_i(d) = B(d) + Σ_j min(⌊(S + J_j)/T_j⌋ + 1, cnt_j(d)) C_j − q        least solution from max(A, 0) on
//!   R_i    = max over d of  S_i(d) + q − A,        d in { D_j − J_j + k T_j },  d ≥ D_i − J_i
//! ```
//!
//! S + q is at most F, and equal to it where q = 1 and F is beyond A. So the deadlines are tried by falling F(d) − d, until
//! that cannot exceed the response found. Beyond all D − J nothing blocks, every F is at most the lane's busy period L, and
//! L − d + D_i falls: the sweep ends where that cannot exceed any response found.

use super::largest::{Falling, Largest};
use super::slack::Slack;
use super::{Steps, first_due};
use crate::analysis::fixed_priority::busy_period;
use crate::analysis::{Load, NoBound};
use std::cmp::Reverse;

/// The most jobs in the busy period of a lane: what re-proves a bound has as many points.
pub const JOBS: usize = 1 << 20;

/// The most deadlines of a task that are tried before the other tasks have their turn.
const LARGEST_BATCH: usize = 256;

/// A deadline of the busy period with F.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Point {
    /// d.
    pub(super) deadline: u64,
    /// F(d).
    pub(super) finish: u64,
}

impl Point {
    /// F − d + D: the largest response of a job that is due at d; 0 where it is complete before it arrives.
    pub(super) fn response(self, deadline: u64) -> u64 {
        self.finish.saturating_add(deadline).saturating_sub(self.deadline)
    }
}

/// A task's worst response, and the starts of its last piece that re-prove it.
pub(super) struct Bound {
    pub(super) response: u64,
    /// d and S.
    pub(super) starts: Vec<(u64, u64)>,
}

/// All points and all bounds.
///
/// # Errors
/// [`NoBound`] where the lane has no bounds, a time exceeds 2⁶¹ ns, the busy period has more than [`JOBS`] jobs, or
/// [`crate::analysis::STEPS`] steps do not suffice.
pub(super) fn bounds(loads: &[Load]) -> Result<(Vec<Point>, Vec<Bound>), NoBound> {
    // A job that is seen only after its deadline cannot meet it.
    let never = NoBound::Demand { at: 0, needed: loads.iter().map(|load| load.cost).max().unwrap_or(0) };
    let first = loads.iter().map(first_due).collect::<Option<Vec<u64>>>().ok_or(never)?;
    let busy = busy_period(0, loads)?;
    let mut steps = Steps::default();
    let latest = first.iter().copied().max().unwrap_or(0);
    let horizon = horizon(loads, &first, busy, latest, &mut steps)?;
    let period = Period::new(loads, &first, horizon)?;
    let mut points = Vec::new();
    period.replay(&mut steps, |deadline, blocking, slack, _| {
        let finish = slack.start(0, blocking, 1)?.checked_add(1).ok_or(NoBound::Overflow)?;
        points.push(Point { deadline, finish });
        Ok(true)
    })?;
    let last = points.last().map_or(0, |point| point.deadline);
    let keys = points.iter().map(|point| point.response(last)).collect();
    let largest = Largest::new(keys);
    let mut searches: Vec<Search> = Vec::with_capacity(loads.len());
    for (load, first) in loads.iter().zip(&first) {
        let from = points.partition_point(|point| point.deadline < *first);
        searches.push(Search { load, falling: largest.from(from), best: 0, starts: Vec::new() });
    }
    search(&period, &points, &mut searches, &mut steps)?;
    let bounds: Vec<Bound> = searches.into_iter().map(Search::finish).collect();
    let ends = loads
        .iter()
        .zip(&bounds)
        .map(|(load, bound)| busy.saturating_add(load.deadline).saturating_sub(bound.response));
    let end = ends.max().unwrap_or(0).max(latest);
    points.truncate(points.partition_point(|point| point.deadline < end).saturating_add(1));
    Ok((points, bounds))
}

/// A deadline at or beyond which L − d + D is at most R for every task, found from the responses at `latest`.
///
/// There the last piece of no task begins before the longest last piece could, s, so that R ≥ s + q − latest + D.
fn horizon(loads: &[Load], first: &[u64], busy: u64, latest: u64, steps: &mut Steps) -> Result<u64, NoBound> {
    let lasts = || loads.iter().map(Load::last);
    let rest = lasts().max().unwrap_or(1);
    let mut start: u64 = 0;
    loop {
        steps.take(loads.len())?;
        let work = loads.iter().zip(first).try_fold(0u64, |sum, (load, first)| {
            let due = latest.checked_sub(*first)?.checked_div(load.period)?;
            let seen = start.checked_add(load.jitter)?.checked_div(load.period)?;
            sum.checked_add(due.min(seen).checked_add(1)?.checked_mul(load.cost)?)
        });
        let next = work.ok_or(NoBound::Overflow)?.saturating_sub(rest);
        if next <= start {
            break;
        }
        start = next;
    }
    let response = start.checked_add(lasts().min().unwrap_or(1)).ok_or(NoBound::Overflow)?;
    Ok(busy.checked_add(latest).ok_or(NoBound::Overflow)?.saturating_sub(response).max(latest))
}

/// A job of the busy period.
struct Job {
    due: u64,
    cost: u64,
    /// The position of the instant at which it is seen.
    seen: usize,
}

/// The busy period: all jobs by the instant at which they are due.
struct Period {
    jobs: Vec<Job>,
    /// The instants at which jobs are seen, each once.
    seen: Vec<u64>,
    /// The tasks by falling D − J, each with the longest piece of it and those before.
    blockers: Vec<(u64, u64)>,
    /// What all jobs cost.
    work: u64,
}

impl Period {
    /// All jobs that are due by the first deadline at or beyond `horizon`, which is no earlier than any D − J.
    fn new(loads: &[Load], first: &[u64], horizon: u64) -> Result<Self, NoBound> {
        // After at most the shortest period a job is due.
        let shortest = loads.iter().map(|load| load.period).min().unwrap_or(1);
        let horizon = horizon.checked_add(shortest).ok_or(NoBound::Overflow)?;
        let mut work: u64 = 0;
        let mut count: u64 = 0;
        for (load, first) in loads.iter().zip(first) {
            let jobs = horizon.checked_sub(*first).and_then(|beyond| beyond.checked_div(load.period)?.checked_add(1));
            let jobs = jobs.ok_or(NoBound::Overflow)?;
            let cost = jobs.checked_mul(load.cost).ok_or(NoBound::Overflow)?;
            work = work.checked_add(cost).ok_or(NoBound::Overflow)?;
            count = count.checked_add(jobs).ok_or(NoBound::GaveUp)?;
        }
        let count = usize::try_from(count).ok().filter(|count| *count <= JOBS).ok_or(NoBound::GaveUp)?;
        // When due, when seen, at what cost.
        let mut jobs: Vec<(u64, u64, u64)> = Vec::with_capacity(count);
        for (load, first) in loads.iter().zip(first) {
            let mut later: u64 = 0;
            while let Some(due) = first.checked_add(later).filter(|due| *due <= horizon) {
                // It arrived at k T − J; what arrived before 0 is seen at 0.
                jobs.push((due, later.saturating_sub(load.jitter), load.cost));
                later = later.checked_add(load.period).ok_or(NoBound::Overflow)?;
            }
        }
        jobs.sort_unstable();
        let mut seen: Vec<u64> = jobs.iter().map(|(_, seen, _)| *seen).collect();
        seen.sort_unstable();
        seen.dedup();
        let job = |(due, at, cost): (u64, u64, u64)| Job { due, cost, seen: seen.partition_point(|seen| *seen < at) };
        let jobs = jobs.into_iter().map(job).collect();
        let mut blockers: Vec<(u64, u64)> = first.iter().zip(loads).map(|(due, load)| (*due, load.longest())).collect();
        blockers.sort_unstable_by_key(|(due, _)| Reverse(*due));
        let mut longest = 0;
        for (_, piece) in &mut blockers {
            longest = longest.max(*piece);
            *piece = longest;
        }
        Ok(Self { jobs, seen, blockers, work })
    }

    /// Goes through the deadlines in order, with B and all work that is due by each, until `at` says no.
    fn replay(
        &self,
        steps: &mut Steps,
        mut at: impl FnMut(u64, u64, &Slack<'_>, &mut Steps) -> Result<bool, NoBound>,
    ) -> Result<(), NoBound> {
        let mut blockers = self.blockers.as_slice();
        let longest = blockers.last().map_or(0, |(_, longest)| *longest);
        let mut slack = Slack::new(&self.seen, self.work, longest)?;
        for together in self.jobs.chunk_by(|one, other| one.due == other.due) {
            let due = together.first().map_or(0, |job| job.due);
            steps.take(together.len())?;
            for job in together {
                slack.add(job.seen, job.cost)?;
            }
            while let Some((_, before)) = blockers.split_last().filter(|((first, _), _)| *first <= due) {
                blockers = before;
            }
            let blocking = blockers.last().map_or(0, |(_, longest)| longest.saturating_sub(1));
            if !at(due, blocking, &slack, steps)? {
                break;
            }
        }
        Ok(())
    }
}

/// The search for one task's worst response.
struct Search<'l> {
    load: &'l Load,
    /// The points at which its jobs can be due, by falling F − d.
    falling: Falling<'l>,
    best: u64,
    starts: Vec<(Point, u64)>,
}

impl Search<'_> {
    /// The position of the next point at which the response can exceed the one found.
    fn next(&mut self, points: &[Point]) -> Option<usize> {
        let point = points.get(self.falling.peek()?)?;
        if point.response(self.load.deadline) > self.best { self.falling.next() } else { None }
    }

    /// Takes the start of the last piece of the job that is due at a point.
    fn found(&mut self, point: Point, start: u64) -> Result<(), NoBound> {
        let finish = start.checked_add(self.load.last()).ok_or(NoBound::Overflow)?;
        self.best = self.best.max(Point { finish, ..point }.response(self.load.deadline));
        self.starts.push((point, start));
        Ok(())
    }

    fn finish(self) -> Bound {
        let needed = self.starts.into_iter().filter(|(point, _)| point.response(self.load.deadline) > self.best);
        let mut starts: Vec<(u64, u64)> = needed.map(|(point, start)| (point.deadline, start)).collect();
        starts.sort_unstable();
        Bound { response: self.best, starts }
    }
}

/// Searches for all tasks at once, in turns: the points of a turn are looked at in the order of their deadlines.
fn search(period: &Period, points: &[Point], searches: &mut [Search<'_>], steps: &mut Steps) -> Result<(), NoBound> {
    let mut batch: usize = 4;
    loop {
        let mut asked: Vec<(usize, usize)> = Vec::new();
        for (own, search) in searches.iter_mut().enumerate() {
            for _ in 0..batch {
                let Some(position) = search.next(points) else { break };
                match points.get(position).copied() {
                    // F is exact.
                    Some(point) if search.load.last() == 1 => search.found(point, point.finish.saturating_sub(1))?,
                    _ => asked.push((position, own)),
                }
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        asked.sort_unstable();
        let mut rest = asked.as_slice();
        let mut passed: usize = 0;
        period.replay(steps, |deadline, blocking, slack, steps| {
            while let Some(((_, own), later)) = rest.split_first().filter(|((position, _), _)| *position == passed) {
                rest = later;
                steps.take(1)?;
                let (Some(search), Some(point)) = (searches.get_mut(*own), points.get(passed)) else { continue };
                let arrival = deadline.saturating_sub(search.load.deadline);
                let start = slack.start(arrival, blocking, search.load.last())?;
                search.found(*point, start)?;
            }
            passed = passed.saturating_add(1);
            Ok(!rest.is_empty())
        })?;
        batch = batch.saturating_mul(8).min(LARGEST_BATCH);
    }
}
