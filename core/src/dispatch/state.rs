//! What changes while the dispatcher runs, and the indexes that keep each step from looking at every task.
//!
//! Each task has a rank: lane by lane, on a lane by priority, or by the table where the lane's order is not one of priorities. Three
//! indexes are derived from the tasks' own states, which stay the truth: the ranks that have a job waiting ([`Ready`]), the next
//! arrival of the timer over all tasks, and under EDF the first deadline of each lane (two [`tournament`]s). Whoever changes a task's
//! jobs calls [`State::refresh`], whoever changes its next arrival [`State::reschedule`].

use super::queue::Queue;
use super::ready::{MOST_TASKS, Ready};
use super::tournament::{self, NEVER};
use super::{Job, choice, table};
use crate::desc::{LaneDesc, Policy, Release, SystemDesc, TaskDesc};
use crate::time::{Duration, Instant};
use crate::units::{LaneId, TaskId};

/// The state cannot be built because the plan is larger than it, or has more than [`MOST_TASKS`] tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongSize;

#[derive(Clone, Debug)]
pub(super) struct TaskState<const QUEUE: usize> {
    /// The next arrival that the timer releases, or the earliest that may be submitted.
    pub(super) next: Instant,
    /// The deadline of the job that goes first, [`NEVER`] where none waits.
    pub(super) deadline: Instant,
    /// What the waiting jobs contribute to their lane's digest: see [`crate::trace::StateKey`].
    digest: u64,
    /// The job that has begun and does not hold its lane.
    pub(super) paused: Option<Progress>,
    pub(super) waiting: Queue<QUEUE>,
    /// Its position in the order of its lane, counted from the first task of the first lane.
    rank: u16,
    /// The first task that is the next stage after this one, and the next one that is so after the same task as this.
    pub(super) follower: Option<TaskId>,
    pub(super) sibling: Option<TaskId>,
    pub(super) skip_next: bool,
    /// Whether the timer releases it.
    is_timed: bool,
}

impl<const QUEUE: usize> TaskState<QUEUE> {
    fn new(task: Option<&TaskDesc>) -> Self {
        Self {
            next: task.map_or(NEVER, |task| Instant::from_ns(task.phase.as_ns())),
            deadline: NEVER,
            digest: 0,
            paused: None,
            waiting: Queue::EMPTY,
            rank: 0,
            follower: None,
            sibling: None,
            skip_next: false,
            is_timed: task.is_some_and(|task| task.release == Release::Timer),
        }
    }

    /// When the timer has to release a job.
    fn due(&self) -> Instant {
        if self.is_timed { self.next } else { NEVER }
    }
}

/// A job that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) job: Job,
    /// The execution so far, pieces that still run not included.
    pub(super) spent: Duration,
    /// Whether it is recorded that the job exceeded its budget.
    pub(super) overran: bool,
    /// Whether an overrun of the job or of one of its segments was measured, not only seen by the timer.
    pub(super) measured: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct LaneState {
    pub(super) running: Option<Running>,
    /// Where a time-triggered lane is in its table.
    pub(super) table: table::Place,
    /// The first arrival that a step is about to release here; kept between steps only for want of another place.
    pub(super) earliest: Instant,
    /// The sum of its tasks' digests.
    pub(super) digest: u64,
    /// How many jobs of the lane's tasks wait, paused ones included.
    pub(super) waiting: u16,
    /// Its tasks' ranks.
    first: u16,
    end: u16,
    by_deadline: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) progress: Progress,
    /// When the job's budget ends.
    pub(super) budget_end: Instant,
    /// When the segment's length ends; `None` in a job of one segment.
    pub(super) segment_end: Option<Instant>,
    /// Whether it is recorded that the segment exceeded its length.
    pub(super) segment_overran: bool,
}

impl Running {
    /// The next end of a budget that is not recorded yet.
    pub(super) fn watched(&self) -> Option<Instant> {
        let job = if self.progress.overran { None } else { Some(self.budget_end) };
        let segment = if self.segment_overran { None } else { self.segment_end };
        job.into_iter().chain(segment).min()
    }
}

/// What a state has once.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) last: Instant,
    /// Arrivals at or after this instant are not released.
    pub(super) end: Option<Instant>,
    pub(super) requests: u64,
    ready: Ready,
    /// Whether a lane's place in its table moved in this step.
    pub(super) moved: bool,
    /// Whether a lane has a table.
    pub(super) has_tables: bool,
}

/// Everything that changes while the dispatcher runs.
///
/// `TASKS` and `LANES` are at least the plan's counts, `QUEUE` at least its longest queue; a generated plan names all
/// three as constants.
#[derive(Clone, Debug)]
pub struct State<const TASKS: usize, const LANES: usize, const QUEUE: usize> {
    pub(super) common: Common,
    pub(super) tasks: [TaskState<QUEUE>; TASKS],
    pub(super) lanes: [LaneState; LANES],
    /// The tasks by rank.
    order: [u16; TASKS],
    /// The tournament of all tasks' next arrivals.
    arrivals: [u16; TASKS],
    /// The tournaments of the lanes' first deadlines, one behind the other in the order of ranks.
    deadlines: [u16; TASKS],
}

impl<const TASKS: usize, const LANES: usize, const QUEUE: usize> State<TASKS, LANES, QUEUE> {
    /// The state at the schedule's start: nothing waits, nothing runs.
    ///
    /// Once, O(tasks²): the order of all tasks is found by counting.
    ///
    /// # Errors
    /// [`WrongSize`] where the plan's tables or queues are longer than the state, or it has more than [`MOST_TASKS`] tasks.
    pub fn new(system: &SystemDesc) -> Result<Self, WrongSize> {
        let fits = system.tasks.len() <= TASKS.min(MOST_TASKS)
            && system.lanes.len() <= LANES
            && system.tasks.iter().all(|task| usize::from(task.queue) <= QUEUE);
        if !fits {
            return Err(WrongSize);
        }
        let mut tasks: [TaskState<QUEUE>; TASKS] =
            core::array::from_fn(|index| TaskState::new(system.tasks.get(index)));
        let mut order = [0; TASKS];
        for (id, (task, own)) in (0_u16..).zip(system.tasks.iter().zip(&mut tasks)) {
            let place = place(system, id, task);
            let before = (0_u16..).zip(system.tasks).filter(|(id, task)| self::place(system, *id, task) < place);
            own.rank = u16::try_from(before.count()).map_err(|_| WrongSize)?;
            if let Some(entry) = order.get_mut(usize::from(own.rank)) {
                *entry = id;
            }
        }
        // From the last task on, so that each list is in the order of the table.
        for (id, task) in system.tasks.iter().enumerate().rev() {
            let Ok(id) = u16::try_from(id) else { continue };
            let Some(before) = task.stage.and_then(|stage| tasks.get_mut(stage.after.index())) else { continue };
            let sibling = before.follower.replace(TaskId(id));
            if let Some(own) = tasks.get_mut(usize::from(id)) {
                own.sibling = sibling;
            }
        }
        let lanes = core::array::from_fn(|index| LaneState::new(system, index));
        let mut arrivals = [0; TASKS];
        if let Some(nodes) = arrivals.get_mut(..system.tasks.len()) {
            tournament::fill(nodes, |entry| tasks.get(entry).map_or(NEVER, TaskState::due));
        }
        let common = Common {
            last: Instant::START,
            end: None,
            requests: 0,
            ready: Ready::EMPTY,
            moved: false,
            has_tables: system.lanes.iter().any(|lane| lane.policy == Policy::TimeTriggered),
        };
        // Where nothing waits, every entry's key is the same, and the first entry wins everywhere below the root.
        let mut deadlines = [0; TASKS];
        for lane in &lanes {
            if let Some(nodes) = deadlines.get_mut(lane.ranks()) {
                tournament::fill(nodes, |_| NEVER);
            }
        }
        Ok(Self { common, tasks, lanes, order, arrivals, deadlines })
    }

    /// Whether nothing waits and nothing runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.running.is_none() && lane.waiting == 0)
    }

    /// Whether an arrival comes after the end that [`super::Event::Stop`] set.
    pub(super) fn ends_before(&self, arrival: Instant) -> bool {
        self.common.end.is_some_and(|end| arrival >= end)
    }

    /// The jobs of a task that wait, the one that goes first ahead.
    pub fn waiting(&self, task: TaskId) -> impl Iterator<Item = Job> {
        let own = self.tasks.get(task.index());
        own.into_iter().flat_map(|own| own.paused.iter().map(|paused| &paused.job).chain(own.waiting.iter())).copied()
    }

    /// The job that a lane runs.
    #[must_use]
    pub fn running(&self, lane: LaneId) -> Option<Job> {
        self.lanes.get(lane.index())?.running.map(|running| running.progress.job)
    }

    /// The task that goes first on a lane by priority, or by its job's deadline, among those that have a job waiting.
    pub(super) fn first_waiting(&self, lane: LaneId) -> Option<TaskId> {
        let own = self.lanes.get(lane.index()).filter(|own| own.waiting > 0)?;
        let rank = if own.by_deadline {
            let entry = tournament::first(self.deadlines.get(own.ranks())?)?;
            usize::from(own.first).checked_add(entry)?
        } else {
            usize::from(self.common.ready.first(own.first)?)
        };
        self.order.get(rank).map(|id| TaskId(*id))
    }

    /// Brings the indexes up to date after the waiting jobs of a task of `lane` changed.
    pub(super) fn refresh(&mut self, id: TaskId, lane: LaneId) {
        let Some(own) = self.tasks.get_mut(id.index()) else { return };
        let (before, digest) = (own.deadline, own.digest);
        let head = choice::head(own);
        own.deadline = head.map_or(NEVER, |job| job.deadline);
        own.digest = head.map_or(0, |job| choice::digest(own, job));
        let (after, change, rank) = (own.deadline, own.digest.wrapping_sub(digest), own.rank);
        let Some(lane) = self.lanes.get_mut(lane.index()) else { return };
        lane.digest = lane.digest.wrapping_add(change);
        if before == after {
            return;
        }
        if lane.by_deadline {
            let (order, tasks) = (self.order.get(lane.ranks()), &self.tasks);
            let key = |entry: usize| {
                let id = order.and_then(|order| order.get(entry));
                id.and_then(|id| tasks.get(usize::from(*id))).map_or(NEVER, |own| own.deadline)
            };
            if let Some(nodes) = self.deadlines.get_mut(lane.ranks()) {
                tournament::play(nodes, usize::from(rank.saturating_sub(lane.first)), key);
            }
        } else if (before == NEVER) != (after == NEVER) {
            self.common.ready.set(rank, before == NEVER);
        }
    }

    /// The first task from `from` on of which the timer has to release what arrived by `due`.
    pub(super) fn next_due(&self, system: &SystemDesc, from: usize, due: Instant) -> Option<usize> {
        let nodes = self.arrivals.get(..system.tasks.len())?;
        tournament::next_due(nodes, from, due, |entry| self.tasks.get(entry).map_or(NEVER, TaskState::due))
    }

    /// The next arrival that the timer releases.
    pub(super) fn next_arrival(&self, system: &SystemDesc) -> Option<Instant> {
        let first = tournament::first(self.arrivals.get(..system.tasks.len())?)?;
        self.tasks.get(first).map(TaskState::due).filter(|due| *due < NEVER && !self.ends_before(*due))
    }

    /// Brings the next arrivals up to date after a task's changed.
    pub(super) fn reschedule(&mut self, system: &SystemDesc, task: usize) {
        let tasks = &self.tasks;
        if let Some(nodes) = self.arrivals.get_mut(..system.tasks.len()) {
            tournament::play(nodes, task, |entry| tasks.get(entry).map_or(NEVER, TaskState::due));
        }
    }
}

impl LaneState {
    fn new(system: &SystemDesc, index: usize) -> Self {
        let count = |before: &dyn Fn(usize) -> bool| {
            let tasks = system.tasks.iter().filter(|task| before(task.lane.index()));
            u16::try_from(tasks.count()).unwrap_or(u16::MAX)
        };
        let desc: Option<&LaneDesc> = system.lanes.get(index);
        Self {
            running: None,
            table: table::Place::START,
            earliest: NEVER,
            digest: 0,
            waiting: 0,
            first: count(&|lane| lane < index),
            end: count(&|lane| lane <= index),
            by_deadline: desc.is_some_and(|desc| desc.policy == Policy::EarliestDeadlineFirst),
        }
    }

    /// Its tasks' ranks.
    fn ranks(&self) -> core::ops::Range<usize> {
        usize::from(self.first)..usize::from(self.end)
    }
}

/// What the order of all tasks goes by: lanes, on a lane priorities, or its place in the table where priorities do not decide.
fn place(system: &SystemDesc, id: u16, task: &TaskDesc) -> (u16, u16, u16) {
    let by_priority = system.lanes.get(task.lane.index()).is_some_and(|lane| lane.policy.is_fixed_priority());
    (task.lane.0, if by_priority { task.priority.0 } else { 0 }, id)
}

/// The size of a [`State`] in bytes on the machine that asks: what the dispatcher needs of memory, besides its ring of trace
/// records. `None` where that exceeds the machine's range.
///
/// A queue has one [`Job`] an entry, and each task three numbers of 16 bits in the indexes; the sum is a multiple of the alignment.
#[must_use]
pub const fn state_bytes(tasks: usize, lanes: usize, queue: usize) -> Option<usize> {
    const INDEXES: usize = 3 * size_of::<u16>();
    let Some(fixed) = size_of::<TaskState<1>>().checked_sub(size_of::<Job>()) else { return None };
    let Some(waiting) = size_of::<Job>().checked_mul(queue) else { return None };
    let Some(task) = fixed.checked_add(waiting) else { return None };
    let Some(task) = task.checked_add(INDEXES) else { return None };
    let (Some(tasks), Some(lanes)) = (task.checked_mul(tasks), size_of::<LaneState>().checked_mul(lanes)) else {
        return None;
    };
    let Some(sum) = tasks.checked_add(lanes) else { return None };
    let Some(sum) = sum.checked_add(size_of::<Common>()) else { return None };
    sum.checked_next_multiple_of(align_of::<State<1, 1, 1>>())
}
