//! What became of one job, and where the time from its arrival to its end went.

use aegis_core::trace::{JobRef, Limit, Reason};
use aegis_core::{Duration, Instant, LaneId, TaskId};

/// One turn of a lane: from the choice of a job until the dispatcher learns that its piece has ended.
///
/// ```text
///  chosen ── hand-over ──▶ began ── execution ──▶ ended ── notice ──▶ noticed
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// Whose piece it is.
    pub job: JobRef,
    /// Which job of its task in these records, from 1; 0 where its release is lost.
    pub number: u64,
    /// When that job arrived; `None` where its release is lost.
    pub arrival: Option<Instant>,
    /// The lane.
    pub lane: LaneId,
    /// Which segment of the job, from 0; on a lane that preempts anywhere always 0.
    pub segment: u16,
    /// The number of the decision's record.
    pub sequence: u64,
    /// When it was chosen.
    pub chosen: Instant,
    /// When its execution began, not before that.
    pub began: Instant,
    /// When its execution ended, not before that.
    pub ended: Instant,
    /// When the dispatcher was told, not before that.
    pub noticed: Instant,
    /// Why it was chosen.
    pub reason: Reason,
    /// Which job would have been chosen otherwise.
    pub runner_up: Option<JobRef>,
    /// How many jobs of the lane waited, the chosen one included.
    pub queue_depth: u16,
}

impl Turn {
    /// Its execution.
    #[must_use]
    pub fn execution(&self) -> Duration {
        self.ended.saturating_since(self.began)
    }

    /// Its hand-over and its notice.
    #[must_use]
    pub fn overhead(&self) -> Duration {
        let notice = self.noticed.saturating_since(self.ended);
        self.began.saturating_since(self.chosen).checked_add(notice).unwrap_or(Duration::MAX)
    }
}

/// Why another job had the lane while one waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// It had the lane already when the job was released, and would have gone after it.
    Blocking,
    /// It went before, by the lane's rule.
    Interference,
    /// It is an earlier job of the same task.
    Earlier,
}

/// What one turn of another job took of a job's wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// The turn, as a whole.
    pub turn: Turn,
    /// Why it was before.
    pub relation: Relation,
    /// How much of its execution lies in the wait.
    pub execution: Duration,
    /// How much of its overhead does.
    pub overhead: Duration,
}

/// Where the time from a job's arrival to its end went: these sum to its response, to the nanosecond.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Parts {
    /// From the arrival until the dispatcher released it: jitter, wake-up, or the stages before.
    pub release: Duration,
    /// Execution of a piece that would have gone after it, and had begun.
    pub blocking: Duration,
    /// Executions of jobs that went before it.
    pub interference: Duration,
    /// Executions of earlier jobs of its own task.
    pub earlier: Duration,
    /// Its own execution.
    pub execution: Duration,
    /// Hand-overs and notices, its own and those of the others.
    pub overhead: Duration,
    /// The lane had nothing to do, although it waited: for a slot of its table, or for what the records do not tell.
    pub idle: Duration,
}

impl Parts {
    /// All of them together; `None` beyond 2⁶⁴ − 1 ns.
    #[must_use]
    pub fn sum(&self) -> Option<Duration> {
        let all = [self.blocking, self.interference, self.earlier, self.execution, self.overhead, self.idle];
        all.into_iter().try_fold(self.release, Duration::checked_add)
    }
}

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It is complete.
    Completed,
    /// It ended without what was left of it.
    Aborted,
    /// It waited when its task's fault domain failed.
    Dropped,
    /// The records end before it did.
    Unfinished,
}

/// A budget that was exceeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overrun {
    /// Which segment ran.
    pub segment: u16,
    /// Whose budget.
    pub limit: Limit,
    /// What was executed by then.
    pub execution: Duration,
    /// What may be.
    pub budget: Duration,
}

/// What the machine did, as the vehicle measured it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disturbance {
    /// How late the wake-up was.
    pub wakeup_latency: Duration,
    /// What of wake-ups, hand-overs and notices exceeded the plan.
    pub wakeup_excess: Duration,
    /// Time that the hypervisor took.
    pub steal: Duration,
    /// Time that the lane's thread was ready but not on its core.
    pub off_core: Duration,
    /// How often it was switched away against its will.
    pub involuntary_switches: u32,
    /// Whether all that is at least what the bound was exceeded by.
    pub explained: bool,
}

/// A lane's time from its first waiting job until none is left: what happens in it hangs together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Busy {
    /// The lane.
    pub lane: u16,
    /// Counted from 1.
    pub number: u64,
}

/// A released job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Released {
    /// The job.
    pub job: JobRef,
    /// Which job of its task in these records, from 1.
    pub number: u64,
    /// Its planned arrival.
    pub arrival: Instant,
    /// When the dispatcher released it.
    pub at: Instant,
    /// How long after the task's last arrival it comes.
    pub distance: Option<Duration>,
    /// How many jobs of its task wait, itself included.
    pub waiting: u64,
    /// How many of its lane wait, itself included.
    pub queue_depth: u16,
    /// The busy period that it belongs to.
    pub busy: Busy,
    /// Of a later stage's job the one whose completion released it.
    pub after: Option<JobRef>,
}

/// All that the records say of one job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Story {
    /// Its release.
    pub released: Released,
    /// Its lane.
    pub lane: LaneId,
    /// How it ended.
    pub end: End,
    /// When.
    pub ended: Instant,
    /// What all its pieces executed, as the dispatcher counted.
    pub execution: Duration,
    /// What it may take in the modes that held meanwhile; `None`: the plan proves nothing of it.
    pub bound: Option<Duration>,
    /// Whether nothing of what concerns it was lost: without that only response and execution are known.
    pub whole: bool,
    /// Its own turns.
    pub turns: Vec<Turn>,
    /// What others took of its wait, by time.
    pub shares: Vec<Share>,
    /// Where the time went.
    pub parts: Parts,
    /// Budgets that it exceeded.
    pub overruns: Vec<Overrun>,
    /// Whether its backend refused it.
    pub failed: bool,
    /// By how much it was late when that was seen.
    pub lateness: Option<Duration>,
    /// What the machine did, where the bound was exceeded.
    pub disturbance: Option<Disturbance>,
    /// Why the guarantee was void when it ended, if it was: since when.
    pub void_since: Option<Instant>,
}

impl Story {
    /// From the arrival to the end.
    #[must_use]
    pub fn response(&self) -> Duration {
        self.ended.saturating_since(self.released.arrival)
    }

    /// Its task.
    #[must_use]
    pub fn task(&self) -> TaskId {
        self.released.job.task
    }

    /// How many jobs of each task went before it, and what they executed, by the tasks' order.
    #[must_use]
    pub fn interference(&self) -> Vec<(TaskId, u64, Duration)> {
        let mut jobs: Vec<(u16, u64, Duration)> = Vec::new();
        for share in self.shares.iter().filter(|share| share.relation == Relation::Interference) {
            let job = share.turn.job;
            match jobs.iter_mut().find(|(task, request, _)| (*task, *request) == (job.task.0, job.request)) {
                Some((_, _, time)) => *time = time.checked_add(share.execution).unwrap_or(Duration::MAX),
                None => jobs.push((job.task.0, job.request, share.execution)),
            }
        }
        let mut tasks = std::collections::BTreeMap::new();
        for (task, _, time) in jobs {
            let (count, sum) = tasks.entry(task).or_insert((0_u64, Duration::ZERO));
            *count = count.saturating_add(1);
            *sum = sum.checked_add(time).unwrap_or(Duration::MAX);
        }
        tasks.into_iter().map(|(task, (count, time))| (TaskId(task), count, time)).collect()
    }

    /// What blocked it: execution and overhead together.
    #[must_use]
    pub fn blocked(&self) -> Duration {
        let blocking = self.shares.iter().filter(|share| share.relation == Relation::Blocking);
        let sum = |sum: Duration, share: &Share| sum.checked_add(share.execution)?.checked_add(share.overhead);
        blocking.clone().try_fold(Duration::ZERO, sum).unwrap_or(Duration::MAX)
    }
}

/// What can be told after a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// A job was released.
    Released(Released),
    /// A turn of a lane has ended.
    Turn(Turn, Busy),
    /// A job has ended, or the records have.
    Job(Box<Story>),
}
