//! One lap as a line: from an origin to an origin plus H, which jobs go into it and what may go next.
//!
//! The jobs of a task run in order, so what a partial schedule has done is a number per task. A job whose window
//! contains the origin runs after it, or a lap later before the end; in order means that the lap begins with some job
//! `first` of the task and holds the n that follow. Sums stay below 8 H, which fits; they saturate all the same.

use super::Task;

/// When the jobs of a task may run: job k starts at `release + k T` or later and ends at `due + k T` or before.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    /// How long a job keeps the lane.
    pub(super) length: u64,
    /// T.
    pub(super) period: u64,
    /// H/T.
    pub(super) jobs: u64,
    /// Where the first arrival may start at the earliest.
    release: u64,
    /// Where it must have ended.
    due: u64,
    /// The jobs below this number in each lap start later than at their release.
    pub(super) later: u64,
}

impl Windows {
    pub(super) fn new(task: &Task, latency: u64, hyperperiod: u64) -> Self {
        let phase = task.phase.checked_rem(task.period).unwrap_or(0);
        Self {
            length: task.cost.saturating_add(latency),
            period: task.period,
            jobs: hyperperiod.checked_div(task.period).unwrap_or(0),
            release: phase.saturating_add(task.jitter),
            due: phase.saturating_add(task.deadline.min(hyperperiod)),
            later: 0,
        }
    }

    pub(super) fn release(&self, job: u64) -> u64 {
        let later = self.later > 0 && job.checked_rem(self.jobs).is_some_and(|job| job < self.later);
        self.release.saturating_add(job.saturating_mul(self.period)).saturating_add(u64::from(later))
    }

    pub(super) fn due(&self, job: u64) -> u64 {
        self.due.saturating_add(job.saturating_mul(self.period))
    }
}

/// What stands where in the search: a task's progress.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// The first job of the lap, at least and at most; it is open until the task has run.
    first: (u64, u64),
    /// The job that runs next; counts only once the task has run.
    next: u64,
    /// How many jobs are left in this lap.
    left: u64,
}

/// A job that may run next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Candidate {
    /// What decides which candidate is tried first.
    rank: (u64, u64),
    pub(super) task: usize,
    pub(super) job: u64,
}

/// Which candidates are tried first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// The first to start, then the first due: waits only where it must.
    Deadline,
    /// The first to start, then the one that must start first.
    LatestStart,
    /// The first due, even where it means waiting.
    Waiting,
}

/// What it takes to undo a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undo {
    time: u64,
    pub(super) task: usize,
    next: u64,
    pub(super) start: u64,
}

/// A partial schedule of a lap.
#[derive(Clone, Debug)]
pub(super) struct Lap<'a> {
    windows: &'a [Windows],
    end: u64,
    time: u64,
    /// How much is left to run in this lap.
    work: u64,
    progress: Vec<Progress>,
    /// What each unfinished task's next job is due, in order.
    queue: Vec<(u64, usize)>,
}

impl<'a> Lap<'a> {
    /// The empty schedule from `origin` on, which lies in [H, 2 H); the task that has no place in it where there is one.
    pub(super) fn new(windows: &'a [Windows], hyperperiod: u64, origin: u64) -> Result<Self, usize> {
        let mut lap = Self {
            windows,
            end: origin.saturating_add(hyperperiod),
            time: origin,
            work: 0,
            progress: Vec::with_capacity(windows.len()),
            queue: Vec::with_capacity(windows.len()),
        };
        for (task, own) in windows.iter().enumerate() {
            // The lap may begin with a job if the one before it can have ended by the origin, and it can itself end after.
            let before = origin.saturating_sub(own.length);
            let mut last = before.saturating_sub(own.release).checked_div(own.period).unwrap_or(0).saturating_add(1);
            while last > 0 && own.release(last.saturating_sub(1)) > before {
                last = last.saturating_sub(1);
            }
            let soonest = origin.saturating_add(own.length);
            let first = soonest.saturating_sub(own.due).div_ceil(own.period.max(1));
            if first > last {
                return Err(task);
            }
            lap.work = lap.work.saturating_add(own.jobs.saturating_mul(own.length));
            lap.progress.push(Progress { first: (first, last), next: 0, left: own.jobs });
            lap.queue.push((own.due(last).min(lap.end), task));
        }
        lap.queue.sort_unstable();
        Ok(lap)
    }

    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn time(&self) -> u64 {
        self.time
    }

    /// How many tasks have jobs left.
    pub(super) fn width(&self) -> u64 {
        u64::try_from(self.queue.len()).unwrap_or(u64::MAX)
    }

    /// What the rest of the lap depends on, except for the time.
    pub(super) fn done(&self) -> Box<[u32]> {
        let whole = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let pair = |(own, progress): (&Windows, &Progress)| {
            let next = if progress.left == own.jobs { 0 } else { progress.next };
            [whole(progress.left), whole(next)]
        };
        self.windows.iter().zip(&self.progress).flat_map(pair).collect()
    }

    /// A necessary condition: all that is due next fits before its deadline, and everything before the end of the lap.
    /// Gives the task that misses.
    pub(super) fn excess(&self) -> Option<usize> {
        let mut until = self.time;
        for (due, task) in &self.queue {
            until = until.saturating_add(self.windows.get(*task)?.length);
            if until > *due {
                return Some(*task);
            }
        }
        let last = self.queue.last()?.1;
        (self.time.saturating_add(self.work) > self.end).then_some(last)
    }

    /// The candidate that is tried after `tried`. A job that would start so late that another one fits before it is left
    /// out: the schedule that runs the other one first is as good.
    pub(super) fn candidate(&self, order: Order, urgency: &[u64], tried: Option<Candidate>) -> Option<Candidate> {
        let free = self.open().map(|(_, own, (_, last))| self.start(own, last).saturating_add(own.length)).min()?;
        let mut best = None;
        for (task, own, (first, last)) in self.open() {
            for job in first..=last {
                let start = self.start(own, job);
                let due = own.due(job).min(self.end);
                if start >= free || start.saturating_add(own.length) > due {
                    continue;
                }
                let urgent = due.saturating_sub(urgency.get(task).copied().unwrap_or(0));
                let rank = match order {
                    Order::Deadline => (start, urgent),
                    Order::LatestStart => (start, urgent.saturating_sub(own.length)),
                    Order::Waiting => (urgent, start),
                };
                let this = Candidate { rank, task, job };
                if tried.is_none_or(|tried| tried < this) && best.is_none_or(|best| this < best) {
                    best = Some(this);
                }
            }
        }
        best
    }

    /// The tasks with jobs left, and which of them may be next, from the first to the last.
    fn open(&self) -> impl Iterator<Item = (usize, &'a Windows, (u64, u64))> {
        self.queue.iter().filter_map(|(_, task)| {
            let (own, progress) = (self.windows.get(*task)?, self.progress.get(*task)?);
            let first = if progress.left == own.jobs { progress.first } else { (progress.next, progress.next) };
            Some((*task, own, first))
        })
    }

    fn start(&self, own: &Windows, job: u64) -> u64 {
        self.time.max(own.release(job))
    }

    /// Whether the lap may begin with this job of the task.
    pub(super) fn admits(&self, task: usize, job: u64) -> bool {
        self.progress.get(task).is_some_and(|own| own.first.0 <= job && job <= own.first.1)
    }

    /// Whether no window contains the origin, which holds before the first step.
    pub(super) fn is_closed(&self) -> bool {
        let is_outside = |(own, progress): (&Windows, &Progress)| {
            let (first, last) = progress.first;
            let is_over = last.checked_sub(1).is_none_or(|before| own.due(before) <= self.time);
            first == last && own.release(first) >= self.time && is_over
        };
        self.windows.iter().zip(&self.progress).all(is_outside)
    }

    /// Runs this job as soon as it may; `None` where there is no such task.
    pub(super) fn run(&mut self, task: usize, job: u64) -> Option<Undo> {
        let windows = self.windows;
        let (own, progress) = (windows.get(task)?, self.progress.get_mut(task)?);
        let start = self.time.max(own.release(job));
        let undo = Undo { time: self.time, task, next: progress.next, start };
        let is_first = progress.left == own.jobs;
        let was = if is_first { progress.first.1 } else { progress.next };
        progress.next = job.saturating_add(1);
        progress.left = progress.left.saturating_sub(1);
        let is_left = progress.left > 0;
        self.time = start.saturating_add(own.length);
        self.work = self.work.saturating_sub(own.length);
        let due = |job: u64| (own.due(job).min(self.end), task);
        let now = is_left.then(|| due(job.saturating_add(1)));
        requeue(&mut self.queue, Some(due(was)), now);
        Some(undo)
    }

    /// Takes the last step back.
    pub(super) fn undo(&mut self, undo: Undo) {
        let windows = self.windows;
        let Some((own, progress)) = windows.get(undo.task).zip(self.progress.get_mut(undo.task)) else { return };
        let due = |job: u64| (own.due(job).min(self.end), undo.task);
        let was = (progress.left > 0).then(|| due(progress.next));
        progress.next = undo.next;
        progress.left = progress.left.saturating_add(1);
        let next = if progress.left == own.jobs { progress.first.1 } else { undo.next };
        self.time = undo.time;
        self.work = self.work.saturating_add(own.length);
        requeue(&mut self.queue, was, Some(due(next)));
    }
}

/// Replaces an entry of the sorted queue.
fn requeue(queue: &mut Vec<(u64, usize)>, was: Option<(u64, usize)>, now: Option<(u64, usize)>) {
    if let Some(place) = was.and_then(|was| queue.binary_search(&was).ok()) {
        queue.remove(place);
    }
    if let Some(now) = now {
        let place = queue.binary_search(&now).unwrap_or_else(|place| place);
        queue.insert(place, now);
    }
}
