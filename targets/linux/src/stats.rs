//! What happened to each task, counted as the records are made, so that a lost record loses no count.

use crate::nvtx;
use aegis_core::desc::MOST_DOMAINS;
use aegis_core::trace::{Cause, JobRef, Kind, Recorder, Sink, VoidReason};
use aegis_core::{Bytes, Duration, Instant, TaskId};

/// The counts of one task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TaskStats {
    /// Completed jobs.
    pub jobs: u64,
    /// Jobs that failed alone and delivered nothing; they complete like others, or are aborted.
    pub failed: u64,
    /// Jobs that ended without what was left of them, after an overrun or a miss or because their fault domain had failed: they
    /// delivered nothing and are not among the completed.
    pub aborted: u64,
    /// Jobs that ended after their deadline or had not completed at the end of the run.
    pub misses: u64,
    /// The most misses among as many of its jobs, one after the other, as its window has.
    pub max_misses_in_window: u8,
    /// Budgets that were exceeded, of jobs and of their segments.
    pub overruns: u64,
    /// Arrivals refused because the queue was full.
    pub rejected: u64,
    /// Arrivals dropped after an overrun.
    pub skipped: u64,
    /// Arrivals that a level of memory pressure withheld. Those that are refused when they are submitted do not count.
    pub withheld: u64,
    /// Jobs that had not ended when their task's fault domain failed, without those that ran then.
    pub dropped: u64,
    /// Arrivals that were submitted too early and deferred.
    pub deferred: u64,
    /// Those of them that did not come, because their task's mode was left, its fault domain failed, it was dismissed, or the run
    /// ended before.
    pub forgone: u64,
    /// Jobs whose response exceeded the proven bound.
    pub exceeded: u64,
    /// Those of them that the machine's disturbances explain.
    pub explained: u64,
    /// The longest response, aborted jobs included.
    pub max_response: Duration,
    /// The sum of the completed jobs' responses, for the mean.
    pub total_response: Duration,
    /// The longest execution of a job, all its pieces together, aborted jobs included.
    pub max_execution: Duration,
}

impl TaskStats {
    /// The mean response; zero without a completed job.
    #[must_use]
    pub fn mean_response(&self) -> Duration {
        Duration::from_ns(self.total_response.as_ns().checked_div(self.jobs).unwrap_or(0))
    }

    /// The longest response as parts per million of a bound; 0 where the bound is zero.
    #[must_use]
    pub fn ratio_ppm(&self, bound: Duration) -> u64 {
        let scaled = u128::from(self.max_response.as_ns()) * 1_000_000;
        u64::try_from(scaled.checked_div(u128::from(bound.as_ns())).unwrap_or(0)).unwrap_or(u64::MAX)
    }

    fn complete(&mut self, response: Duration, execution: Duration) {
        self.jobs = self.jobs.saturating_add(1);
        self.total_response = self.total_response.checked_add(response).unwrap_or(Duration::MAX);
        self.end(response, execution);
    }

    fn abort(&mut self, response: Duration, execution: Duration) {
        self.aborted = self.aborted.saturating_add(1);
        self.end(response, execution);
    }

    fn end(&mut self, response: Duration, execution: Duration) {
        self.max_response = self.max_response.max(response);
        self.max_execution = self.max_execution.max(execution);
    }
}

/// What levels of memory pressure came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LevelStats {
    /// How often the level changed.
    pub changes: u64,
    /// How often a level settled.
    pub settled: u64,
    /// How often later than planned.
    pub late: u64,
    /// The most memory that was given back to the system at once.
    pub given_back: Bytes,
    /// How many orders to have memory again failed at first. No record tells of that: who runs the vehicle puts it here.
    pub reclaim_failures: u64,
}

/// What changes of the mode came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ModeStats {
    /// How often another mode was gone to.
    pub requested: u64,
    /// How often that came to its end.
    pub changed: u64,
    /// How often later than planned.
    pub late: u64,
    /// The longest of these changes.
    pub longest: Duration,
}

/// How a fault domain failed, the last time that it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// How often it failed.
    pub count: u64,
    /// How it was restored.
    pub restored: Restored,
    /// When.
    pub at: Instant,
    /// Why.
    pub cause: Cause,
    /// The job that was the cause; `None` where it was said from outside.
    pub job: Option<JobRef>,
}

/// How often a fault domain that had failed was restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Restored {
    /// How often.
    pub count: u64,
    /// When after the last failure; `None` where it was not.
    pub at: Option<Instant>,
    /// The longest time from a failure until then.
    pub longest: Duration,
}

/// What optional tasks came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AdmissionStats {
    /// How often one was admitted.
    pub admitted: u64,
    /// How often one was dismissed.
    pub dismissed: u64,
}

/// The counts of all tasks, in the plan's order.
#[derive(Clone, Debug)]
pub struct Tally<const TASKS: usize> {
    tasks: [TaskStats; TASKS],
    levels: LevelStats,
    modes: ModeStats,
    domains: [Option<Failure>; MOST_DOMAINS],
    admissions: AdmissionStats,
    voids: [Option<Instant>; VoidReason::ALL.len()],
}

impl<const TASKS: usize> Tally<TASKS> {
    /// Nothing happened yet.
    #[must_use]
    pub fn new() -> Self {
        let (levels, modes, admissions) = (LevelStats::default(), ModeStats::default(), AdmissionStats::default());
        let (tasks, voids) = ([TaskStats::default(); TASKS], [None; VoidReason::ALL.len()]);
        Self { tasks, levels, modes, domains: [None; MOST_DOMAINS], admissions, voids }
    }

    /// The counts in the plan's order.
    #[must_use]
    pub fn tasks(&self) -> &[TaskStats] {
        &self.tasks
    }

    /// What levels of memory pressure came to.
    #[must_use]
    pub const fn levels(&self) -> LevelStats {
        self.levels
    }

    /// What changes of the mode came to.
    #[must_use]
    pub const fn modes(&self) -> ModeStats {
        self.modes
    }

    /// How each fault domain failed; `None` for those that did not, and those that the plan has not.
    #[must_use]
    pub const fn domains(&self) -> &[Option<Failure>; MOST_DOMAINS] {
        &self.domains
    }

    /// What optional tasks came to.
    #[must_use]
    pub const fn admissions(&self) -> AdmissionStats {
        self.admissions
    }

    /// Since when the guarantee is void for a reason; `None` where it is not.
    #[must_use]
    pub fn void_since(&self, reason: VoidReason) -> Option<Instant> {
        let mut all = VoidReason::ALL.iter().zip(&self.voids);
        all.find_map(|(other, since)| since.filter(|_| *other == reason))
    }

    /// Counts one event.
    pub fn observe(&mut self, at: Instant, kind: &Kind) {
        match *kind {
            Kind::Completed { job, response, execution, .. } => {
                self.with(job.task, |task| task.complete(response, execution));
            }
            Kind::Aborted { job, response, execution, .. } => {
                self.with(job.task, |task| task.abort(response, execution));
            }
            Kind::Failed { job, .. } => self.with(job.task, |task| task.failed = task.failed.saturating_add(1)),
            Kind::Missed { job, recent, .. } => self.with(job.task, |task| {
                task.misses = task.misses.saturating_add(1);
                task.max_misses_in_window = task.max_misses_in_window.max(recent);
            }),
            Kind::Overran { job, .. } => self.with(job.task, |task| task.overruns = task.overruns.saturating_add(1)),
            Kind::Rejected { task, count, .. } => {
                self.with(task, |task| task.rejected = task.rejected.saturating_add(count));
            }
            Kind::Withheld { task, count, .. } => {
                self.with(task, |task| task.withheld = task.withheld.saturating_add(count));
            }
            Kind::Deferred { task, .. } => self.with(task, |task| task.deferred = task.deferred.saturating_add(1)),
            Kind::Forgone { task, count, .. } => {
                self.with(task, |task| task.forgone = task.forgone.saturating_add(count.into()));
            }
            Kind::TaskAdmitted { .. } => self.admissions.admitted = self.admissions.admitted.saturating_add(1),
            Kind::TaskDismissed { .. } => self.admissions.dismissed = self.admissions.dismissed.saturating_add(1),
            Kind::Pressure { .. } => self.levels.changes = self.levels.changes.saturating_add(1),
            Kind::Settled { took, bound, .. } => {
                self.levels.settled = self.levels.settled.saturating_add(1);
                self.levels.late = self.levels.late.saturating_add(u64::from(took > bound));
            }
            Kind::GivenBack { bytes } => self.levels.given_back = self.levels.given_back.max(bytes),
            Kind::ModeRequested { .. } => self.modes.requested = self.modes.requested.saturating_add(1),
            Kind::ModeChanged { took, bound, .. } => {
                self.modes.changed = self.modes.changed.saturating_add(1);
                self.modes.late = self.modes.late.saturating_add(u64::from(took > bound));
                self.modes.longest = self.modes.longest.max(took);
            }
            Kind::DomainFailed { domain, cause, job } => {
                if let Some(failure) = self.domains.get_mut(domain.index()) {
                    let before = failure.map_or((0, Restored::default()), |before| (before.count, before.restored));
                    let (count, restored) = (before.0.saturating_add(1), Restored { at: None, ..before.1 });
                    *failure = Some(Failure { count, restored, at, cause, job });
                }
            }
            Kind::DomainRestored { domain } => {
                if let Some(Some(failure)) = self.domains.get_mut(domain.index()) {
                    let own = &mut failure.restored;
                    own.count = own.count.saturating_add(1);
                    own.longest = own.longest.max(at.saturating_since(failure.at));
                    own.at = Some(at);
                }
            }
            Kind::Dropped { task, count } => {
                self.with(task, |task| task.dropped = task.dropped.saturating_add(u64::from(count)));
            }
            Kind::Skipped { task, .. } => self.with(task, |task| task.skipped = task.skipped.saturating_add(1)),
            Kind::Exceeded { job, .. } => self.with(job.task, |task| task.exceeded = task.exceeded.saturating_add(1)),
            Kind::Disturbed { job, explained, .. } => {
                self.with(job.task, |task| task.explained = task.explained.saturating_add(u64::from(explained)));
            }
            Kind::GuaranteeVoid { reason } => {
                let mut all = VoidReason::ALL.iter().zip(&mut self.voids);
                if let Some((_, since)) = all.find(|(other, _)| **other == reason) {
                    *since = since.or(Some(at));
                }
            }
            Kind::Began { .. }
            | Kind::Stepped { .. }
            | Kind::Ended
            | Kind::Admitted { .. }
            | Kind::Submitted { .. }
            | Kind::Decided { .. }
            | Kind::Bound { .. }
            | Kind::Started { .. }
            | Kind::StepExceeded { .. }
            | Kind::LaneStalled { .. }
            | Kind::LoopStalled { .. }
            | Kind::Watched { .. }
            | Kind::Paused { .. } => {}
        }
    }

    fn with(&mut self, task: TaskId, change: impl FnOnce(&mut TaskStats)) {
        if let Some(stats) = self.tasks.get_mut(task.index()) {
            change(stats);
        }
    }
}

/// The longest time there is stands for every longer one.
pub(crate) fn sum(a: Duration, b: Duration) -> Duration {
    a.checked_add(b).unwrap_or(Duration::MAX)
}

impl<const TASKS: usize> Default for Tally<TASKS> {
    fn default() -> Self {
        Self::new()
    }
}

/// The sink of the vehicle: counts, then records.
pub struct Counted<'a, const TASKS: usize> {
    /// The counts so far.
    pub tally: Tally<TASKS>,
    /// The ring's writing end.
    pub recorder: Recorder<'a>,
}

impl<const TASKS: usize> Sink for Counted<'_, TASKS> {
    fn record(&mut self, at: Instant, kind: Kind) {
        self.tally.observe(at, &kind);
        self.recorder.record(at, kind);
        nvtx::mark(&kind);
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, LevelStats, Restored, Tally, TaskStats};
    use aegis_core::trace::{Cause, JobRef, Kind, VoidReason};
    use aegis_core::{Bytes, DomainId, Duration, Instant, LaneId, LevelId, TaskId};

    const AT: Instant = Instant::from_ns(77);

    #[test]
    fn counts_follow_the_events_of_their_own_task() {
        let mut tally: Tally<2> = Tally::new();
        let job = JobRef { task: TaskId(1), request: 1 };
        let (began, ended) = (Instant::from_ns(10), Instant::from_ns(40));
        for (response, execution) in [(30, 30), (50, 20)] {
            let (response, execution) = (Duration::from_ns(response), Duration::from_ns(execution));
            tally.observe(AT, &Kind::Completed { job, lane: LaneId(0), began, ended, response, execution });
        }
        tally.observe(AT, &Kind::Rejected { task: TaskId(1), arrival: began, count: 3 });
        let (response, bound) = (Duration::from_ns(50), Duration::from_ns(40));
        tally.observe(AT, &Kind::Exceeded { job, response, bound });
        tally.observe(
            AT,
            &Kind::Disturbed {
                job,
                wakeup_latency: Duration::ZERO,
                wakeup_excess: Duration::ZERO,
                steal: Duration::ZERO,
                off_core: Duration::from_ns(10),
                involuntary_switches: 1,
                explained: true,
            },
        );
        let stats = tally.tasks()[1];
        assert_eq!((stats.jobs, stats.rejected, stats.exceeded, stats.explained), (2, 3, 1, 1));
        assert_eq!((stats.max_response.as_ns(), stats.mean_response().as_ns()), (50, 40));
        assert_eq!((stats.max_execution.as_ns(), stats.ratio_ppm(bound)), (30, 1_250_000));
        assert_eq!(tally.tasks()[0], Default::default());
    }

    #[test]
    fn the_guarantee_is_void_since_the_first_record_of_a_reason() {
        let mut tally: Tally<1> = Tally::new();
        for (at, reason) in [(0, VoidReason::NotPinned), (5, VoidReason::TooHot), (9, VoidReason::TooHot)] {
            tally.observe(Instant::from_ns(at), &Kind::GuaranteeVoid { reason });
        }
        let since = |reason| tally.void_since(reason).map(Instant::as_ns);
        let reasons = [VoidReason::NotPinned, VoidReason::TooHot, VoidReason::OtherClocks];
        assert_eq!(reasons.map(since), [Some(0), Some(5), None]);
    }

    #[test]
    fn a_failed_domain_is_told_with_its_time_and_cause_and_the_jobs_that_it_dropped() {
        let mut tally: Tally<2> = Tally::new();
        let job = Some(JobRef { task: TaskId(1), request: 1 });
        let failure = Failure { count: 1, restored: Restored::default(), at: AT, cause: Cause::Miss, job };
        tally.observe(AT, &Kind::DomainFailed { domain: DomainId(3), cause: Cause::Miss, job });
        tally.observe(AT, &Kind::Dropped { task: TaskId(0), count: 2 });
        assert_eq!(tally.domains()[3], Some(failure));
        assert_eq!(tally.domains().iter().flatten().count(), 1);
        let later = |ns| AT.checked_add(Duration::from_ns(ns)).unwrap();
        tally.observe(later(50), &Kind::DomainRestored { domain: DomainId(3) });
        tally.observe(later(60), &Kind::DomainFailed { domain: DomainId(3), cause: Cause::Outside, job: None });
        let restored = Restored { count: 1, at: None, longest: Duration::from_ns(50) };
        let again = Failure { count: 2, restored, at: later(60), cause: Cause::Outside, job: None };
        assert_eq!(tally.domains()[3], Some(again));
        tally.observe(later(70), &Kind::DomainRestored { domain: DomainId(3) });
        let restored = Restored { count: 2, at: Some(later(70)), longest: Duration::from_ns(50) };
        assert_eq!(tally.domains()[3], Some(Failure { restored, ..again }));
        assert_eq!([0, 1].map(|task: usize| tally.tasks()[task].dropped), [2, 0]);
    }

    #[test]
    fn misses_aborted_jobs_and_levels_of_pressure_are_counted() {
        let mut tally: Tally<2> = Tally::new();
        let (task, level, at, ns) = (TaskId(0), LevelId(1), Instant::from_ns(9), Duration::from_ns);
        let job = JobRef { task, request: 1 };
        for recent in [1, 3, 2] {
            tally.observe(AT, &Kind::Missed { job, lateness: ns(7), recent });
        }
        let (response, execution, lane) = (ns(60), ns(50), LaneId(0));
        tally.observe(AT, &Kind::Aborted { job, lane, segment: 1, began: at, ended: at, response, execution });
        tally.observe(AT, &Kind::Withheld { task, arrival: at, count: 4, level });
        tally.observe(AT, &Kind::Withheld { task, arrival: at, count: 1, level });
        tally.observe(AT, &Kind::Pressure { from: None, to: Some(level), settles: Some(ns(10)) });
        tally.observe(AT, &Kind::Pressure { from: Some(level), to: None, settles: None });
        // What takes exactly as long as planned is not late.
        for took in [9, 10, 11] {
            tally.observe(AT, &Kind::Settled { level, took: ns(took), bound: ns(10) });
        }
        for bytes in [8192, 4096, 0] {
            tally.observe(AT, &Kind::GivenBack { bytes: Bytes(bytes) });
        }
        let expected = TaskStats {
            misses: 3,
            max_misses_in_window: 3,
            aborted: 1,
            withheld: 5,
            max_response: response,
            max_execution: execution,
            ..TaskStats::default()
        };
        assert_eq!(tally.tasks(), [expected, TaskStats::default()]);
        assert_eq!(
            tally.levels(),
            LevelStats { changes: 2, settled: 3, late: 1, given_back: Bytes(8192), reclaim_failures: 0 }
        );
    }
}
