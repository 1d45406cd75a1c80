//! One worker thread per lane: takes a job from its mailbox, runs it, tells when it began and ended.
//!
//! ```text
//!  spawn ─▶ pin, SCHED_FIFO ─▶ prepare (warm-up) ─▶ wait ──job──▶ run ──stamps, evidence, bell──▶ wait … close ─▶ join
//! ```

use crate::bell::Bell;
use crate::clock::Clock;
use crate::evidence::{Execution, ThreadCounters};
use crate::machine::Void;
use crate::mailbox::{Full, Mailbox};
use crate::nvtx;
use crate::realtime::{LANE_PRIORITY, set_up_thread};
use aegis_core::desc::{SystemDesc, Waiting};
use aegis_core::dispatch::Job;
use aegis_core::trace::Loss;
use aegis_core::{ErrorClass, Instant, LaneId, TaskId};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// What a job may know of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobContext {
    /// Its task.
    pub task: TaskId,
    /// The task's name in the manifest.
    pub name: &'static str,
    /// The number of the request, counted over all tasks from 1.
    pub request: u64,
    /// The planned arrival.
    pub arrival: Instant,
    /// The absolute deadline.
    pub deadline: Instant,
    /// Which of its pieces runs, from 0. On a lane that preempts between segments, each segment is a piece that is handed
    /// over by itself; elsewhere a job is one piece, whatever its model consists of.
    pub piece: u16,
    /// How many pieces it has, at least 1.
    pub pieces: u16,
    /// When the execution of this piece began. A task's hooks are told that of the first one.
    pub began: Instant,
}

impl JobContext {
    /// Whether no piece of the job ran before.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.piece == 0
    }

    /// Whether the job ends with this piece.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.piece.saturating_add(1) >= self.pieces
    }
}

/// What went wrong with a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The job alone failed and delivers nothing; its lane goes on with the next one.
    JobFailed,
    /// The device that executes segments is gone: fatal.
    DeviceLost,
    /// The backend refused or failed a segment: permanent.
    BackendFailed,
    /// The lane's code panicked.
    Panicked,
    /// The process of the task's fault domain is lost: the job failed, and its domain fails with it; the lane goes on with jobs
    /// of others.
    DomainLost(Loss),
}

impl Fault {
    /// What the caller can do: of a job that failed alone the next one may succeed.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::JobFailed => ErrorClass::Transient,
            Self::BackendFailed | Self::DomainLost(_) => ErrorClass::Permanent,
            Self::DeviceLost | Self::Panicked => ErrorClass::Fatal,
        }
    }
}

/// What a lane's thread does.
pub trait LaneWork: Send + 'static {
    /// Called once on the lane's thread, after its real-time set-up and before the first job: warms up.
    ///
    /// # Errors
    /// What is wrong, with a sentence that says why the lane cannot run.
    fn prepare(&mut self) -> Result<(), (Fault, String)>;

    /// Runs one piece of a job to its end. Other tasks' pieces may run between two of one job; none of the same task do.
    ///
    /// # Errors
    /// A [`Fault`]; every one but [`Fault::JobFailed`] and [`Fault::DomainLost`] ends the run. After the first one the job's
    /// later pieces still come: they are to end at once, without another fault, because a job fails once. Of a job that the
    /// dispatcher aborts they never come: the next piece of its task is then a later job's first.
    fn run(&mut self, job: &JobContext) -> Result<(), Fault>;
}

/// A lane could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The plan has no such lane.
    #[error("the plan has no lane number {0}")]
    NoSuchLane(u16),
    /// The system refused the thread.
    #[error("the thread of lane \"{lane}\" could not be started: {error}")]
    Thread {
        /// The lane.
        lane: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// The work could not be prepared, or panicked while it was.
    #[error("lane \"{lane}\" could not be prepared: {reason}")]
    Prepare {
        /// The lane.
        lane: &'static str,
        /// What is wrong.
        fault: Fault,
        /// Why.
        reason: String,
    },
}

#[derive(Clone, Copy, Debug)]
struct Handed {
    job: Job,
    name: &'static str,
    pieces: u16,
    clock: Clock,
}

/// The end of one piece of a job, as the lane saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Done {
    /// Stamps and evidence.
    pub execution: Execution,
    /// What went wrong, if anything did.
    pub fault: Option<Fault>,
}

/// The orchestration thread's side of a lane: two one-slot mailboxes.
#[derive(Debug)]
pub struct LaneLink {
    jobs: Mailbox<Handed>,
    done: Mailbox<Done>,
}

impl LaneLink {
    /// Two empty mailboxes, and how the lane's thread waits for a job.
    pub(crate) fn new(waiting: Waiting) -> Self {
        Self { jobs: Mailbox::new(waiting), done: Mailbox::new(waiting) }
    }

    /// Hands a piece of a job over. No heap; wakes the lane's thread.
    ///
    /// # Errors
    /// [`Full`] where the lane still has a job or was closed.
    pub fn start(&self, system: &SystemDesc, job: Job, clock: Clock) -> Result<(), Full> {
        let task = system.tasks.get(job.task.index());
        let (name, pieces) = task.map_or(("", 1), |task| (task.name, task.segments.len().max(1)));
        let pieces = u16::try_from(pieces).unwrap_or(u16::MAX);
        self.jobs.put(Handed { job, name, pieces, clock })
    }

    /// The end of the piece, once the bell has rung for it.
    pub fn done(&self) -> Option<Done> {
        self.done.try_take()
    }
}

/// A running lane thread.
#[derive(Debug)]
pub struct Lane<W> {
    link: Arc<LaneLink>,
    thread: JoinHandle<W>,
    voids: Vec<Void>,
}

impl<W: LaneWork> Lane<W> {
    /// Starts a lane's thread and waits until its work is prepared.
    ///
    /// # Errors
    /// [`LaneError`]; a refused core or priority is no error but one of [`Lane::voids`].
    pub fn spawn(system: &SystemDesc, id: LaneId, bell: Arc<Bell>, mut work: W) -> Result<Self, LaneError> {
        let desc = system.lanes.get(id.index()).ok_or(LaneError::NoSuchLane(id.0))?;
        let (lane, core) = (desc.name, desc.core);
        let link = Arc::new(LaneLink::new(system.waiting));
        let (ready, prepared) = mpsc::channel();
        let own = Arc::clone(&link);
        let body = move || {
            let voids = set_up_thread(&format!("lane \"{lane}\""), core, LANE_PRIORITY);
            let result = catch_unwind(AssertUnwindSafe(|| work.prepare()));
            let result = result.unwrap_or_else(|_| Err((Fault::Panicked, "it panicked".to_owned())));
            let go_on = result.is_ok();
            // The receiver only goes away together with the whole start-up.
            let _ = ready.send(result.map(|()| voids));
            if go_on {
                serve(&own, &bell, &mut work);
            }
            work
        };
        let thread = Builder::new().name(format!("lane-{lane}")).spawn(body);
        let thread = thread.map_err(|error| LaneError::Thread { lane, error })?;
        let failed = |(fault, reason)| LaneError::Prepare { lane, fault, reason };
        match prepared.recv() {
            Ok(Ok(voids)) => Ok(Self { link, thread, voids }),
            Ok(Err(wrong)) => Err(failed(wrong)),
            Err(_) => Err(failed((Fault::Panicked, "its thread ended".to_owned()))),
        }
    }

    /// What the system refused to the thread.
    #[must_use]
    pub fn voids(&self) -> &[Void] {
        &self.voids
    }

    /// The orchestration thread's side.
    #[must_use]
    pub fn link(&self) -> Arc<LaneLink> {
        Arc::clone(&self.link)
    }

    /// Ends the thread after its present piece of a job and gives the work back; `None` where the job takes longer than
    /// `limit`: the thread is left to itself then.
    pub fn close(self, limit: Duration) -> Option<W> {
        const PAUSE: Duration = Duration::from_millis(1);
        self.link.jobs.close();
        let mut waited = Duration::ZERO;
        while !self.thread.is_finished() && waited < limit {
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
        if self.thread.is_finished() { self.thread.join().ok() } else { None }
    }
}

fn serve<W: LaneWork>(link: &LaneLink, bell: &Bell, work: &mut W) {
    while let Some(Handed { job, name, pieces, clock }) = link.jobs.take() {
        let began = clock.now();
        let before = ThreadCounters::read();
        let Job { task, request, arrival, deadline, segment: piece } = job;
        let context = JobContext { task, name, request, arrival, deadline, piece, pieces, began };
        let told = nvtx::segment(task, request);
        let result = catch_unwind(AssertUnwindSafe(|| work.run(&context)));
        told.end();
        let after = ThreadCounters::read();
        let execution = after.since(&before, began, clock.now());
        let fault = result.unwrap_or(Err(Fault::Panicked)).err();
        // The slot is free: the orchestration thread takes each end before it hands over the next job.
        let _ = link.done.put(Done { execution, fault });
        bell.ring();
    }
}
