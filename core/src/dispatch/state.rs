//! What changes while the dispatcher runs, and the indexes that keep each step from looking at every task.
//!
//! Each task has a rank: lane by lane, on a lane by priority, or by the table where the lane's order is not one of priorities;
//! tasks without slots go before those with slots, by priority. Three indexes are derived from the tasks' own states, which stay
//! the truth: the ranks that have a job waiting ([`Ready`]), the next arrival of the timer over all tasks, and under EDF the
//! first deadline of each lane (two [`tournament`]s). Whoever changes a task's jobs calls [`State::refresh`], whoever changes its
//! next arrival [`State::reschedule`] and then one of the two that play.

use super::mode::{self, Change};
use super::pressure::Held;
use super::queue::{Entry, Queue};
use super::ready::{MOST_TASKS, Ready};
use super::tournament::{self, NEVER};
use super::{Job, choice, table};
use crate::desc::{LaneDesc, Policy, Release, SystemDesc, TaskDesc};
use crate::time::{Duration, Instant};
use crate::units::{LaneId, LevelId, ModeId, TaskId};

/// The state cannot be built because the plan is larger than it, or has more than [`MOST_TASKS`] tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongSize;

#[derive(Clone, Debug)]
pub(super) struct TaskState<const QUEUE: usize> {
    /// The next arrival that the timer releases, or the earliest that may be submitted. Where some are deferred the first of them.
    pub(super) next: Instant,
    /// What the waiting jobs contribute to their lane's digest: see [`crate::trace::StateKey`].
    digest: u64,
    /// The job that has begun and does not hold its lane.
    pub(super) paused: Option<Progress>,
    pub(super) waiting: Queue<QUEUE>,
    /// Its position in the order of its lane, counted from the first task of the first lane.
    rank: u16,
    /// How many submitted arrivals are deferred: to `next`, and then a period apart.
    pub(super) deferred: u16,
    /// The first task that is the next stage after this one, and the next one that is so after the same task as this.
    pub(super) follower: Option<TaskId>,
    pub(super) sibling: Option<TaskId>,
    /// Whether slots of its lane's table are its own.
    pub(super) has_slots: bool,
    pub(super) skip_next: bool,
    /// Likewise, because of a miss.
    pub(super) skip_late: bool,
    /// Whether it releases jobs in the mode that holds; while a change is under way, in both modes. Of an optional task, whether
    /// it is admitted.
    pub(super) in_mode: bool,
    /// Of how many jobs misses are counted.
    pub(super) window: u8,
    /// Which of the last 64 jobs that ended have missed, the latest in the lowest bit; of a task with stages its first one has
    /// them.
    pub(super) misses: u64,
    /// From when on arrivals are withheld, by the level of memory pressure; [`NEVER`] where none are.
    pub(super) withheld_from: Instant,
}

impl<const QUEUE: usize> TaskState<QUEUE> {
    fn new(id: usize, task: Option<&TaskDesc>) -> Self {
        Self {
            next: task.map_or(NEVER, |task| Instant::from_ns(task.phase.as_ns())),
            digest: 0,
            paused: None,
            waiting: Queue::of(TaskId(u16::try_from(id).unwrap_or(u16::MAX))),
            rank: 0,
            deferred: 0,
            follower: None,
            sibling: None,
            has_slots: false,
            skip_next: false,
            skip_late: false,
            in_mode: true,
            window: task.map_or(0, |task| task.miss_window),
            misses: 0,
            withheld_from: NEVER,
        }
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
    /// Whether it is recorded that it missed its deadline.
    pub(super) missed: bool,
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
    /// What each of its segments costs besides its execution; [`Duration::MAX`] where that is out of range.
    pub(super) overhead: Duration,
    /// How many jobs of the lane's tasks wait, paused ones included.
    pub(super) waiting: u16,
    /// Its tasks' ranks.
    first: u16,
    end: u16,
    by_deadline: bool,
    /// Whether it was idle since a change of the mode was asked for, or need not be.
    pub(super) was_idle: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) progress: Progress,
    /// When the job's budget ends.
    pub(super) budget_end: Instant,
    /// When the segment's length ends; [`NEVER`] in a job of one segment.
    pub(super) segment_end: Instant,
    /// When the job has missed its deadline; [`NEVER`] where that is recorded, or judged at its end.
    pub(super) deadline_end: Instant,
    /// Whether it is recorded that the segment exceeded its length.
    pub(super) segment_overran: bool,
}

impl Running {
    /// The next end of a budget, or the deadline, that is not recorded yet; [`NEVER`] where all are.
    pub(super) fn watched(&self) -> Instant {
        let job = if self.progress.overran { NEVER } else { self.budget_end };
        let segment = if self.segment_overran { NEVER } else { self.segment_end };
        job.min(segment).min(self.deadline_end)
    }
}

/// What a state has once.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) last: Instant,
    /// Arrivals at or after this instant are not released.
    pub(super) end: Option<Instant>,
    pub(super) requests: u64,
    /// The level of memory pressure that holds.
    pub(super) held: Option<Held>,
    /// Whether it may have settled in this step.
    pub(super) may_settle: bool,
    /// The mode that holds; while a change is under way, the one that is left.
    pub(super) mode: Option<ModeId>,
    pub(super) change: Option<Change>,
    /// When a change was asked for last.
    pub(super) asked: Option<Instant>,
    /// The mode that an overrun or a miss of this step asks for, the first of them.
    pub(super) answer: Option<ModeId>,
    /// A bit for each fault domain that has failed.
    pub(super) failed: u64,
    ready: Ready,
    /// The next arrival that the timer releases.
    pub(super) next_arrival: Instant,
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
    pub(super) order: [u16; TASKS],
    /// By task the arrivals that the timer releases next, deferred ones among them, [`NEVER`] where it releases none, and their
    /// tournament.
    pub(super) arrivals: [Instant; TASKS],
    first_arrivals: [u16; TASKS],
    /// By rank the deadlines of the jobs that go first, [`NEVER`] where none waits, and of each EDF lane their tournament.
    deadlines: [Instant; TASKS],
    first_deadlines: [u16; TASKS],
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
            core::array::from_fn(|index| TaskState::new(index, system.tasks.get(index)));
        for slot in system.lanes.iter().flat_map(|lane| lane.slots) {
            if let Some(own) = tasks.get_mut(slot.task.index()) {
                own.has_slots = true;
            }
        }
        let mut order = [0; TASKS];
        let (mut is_in_first, mut id) = (mode::membership(system.modes.first()), 0_u16);
        for task in system.tasks {
            let rank = rank(system, &tasks, id);
            if let Some(own) = tasks.get_mut(usize::from(id)) {
                own.in_mode = is_in_first(id) || (system.modes.is_empty() && !task.optional);
                own.rank = rank;
            }
            if let Some(entry) = order.get_mut(usize::from(rank)) {
                *entry = id;
            }
            id = id.saturating_add(1);
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
        let arrivals = core::array::from_fn(|index| match system.tasks.get(index) {
            Some(task) if task.release == Release::Timer && tasks.get(index).is_some_and(|own| own.in_mode) => {
                Instant::from_ns(task.phase.as_ns())
            }
            _ => NEVER,
        });
        let common = Common {
            last: Instant::START,
            end: None,
            requests: 0,
            held: None,
            may_settle: false,
            mode: if system.modes.is_empty() { None } else { Some(ModeId(0)) },
            change: None,
            asked: None,
            answer: None,
            failed: 0,
            ready: Ready::EMPTY,
            next_arrival: NEVER,
            moved: false,
            has_tables: system.lanes.iter().any(|lane| lane.policy == Policy::TimeTriggered),
        };
        let (deadlines, first_arrivals, mut first_deadlines) = ([NEVER; TASKS], [0; TASKS], [0; TASKS]);
        for lane in &lanes {
            if let Some(nodes) = first_deadlines.get_mut(lane.ranks()) {
                tournament::fill(nodes, &deadlines);
            }
        }
        let mut state = Self { common, tasks, lanes, order, arrivals, first_arrivals, deadlines, first_deadlines };
        state.reschedule_all(system);
        Ok(state)
    }

    /// Whether nothing waits and nothing runs.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.running.is_none() && lane.waiting == 0)
    }

    /// The level of memory pressure that holds.
    #[must_use]
    pub fn level(&self) -> Option<LevelId> {
        self.common.held.map(|held| held.level)
    }

    /// Likewise, once no job is left of a task that it sheds; `None` before.
    #[must_use]
    pub fn settled_level(&self) -> Option<LevelId> {
        self.common.held.filter(|held| held.settled).map(|held| held.level)
    }

    /// The mode that holds, or is being left; `None` in a plan without modes.
    #[must_use]
    pub fn mode(&self) -> Option<ModeId> {
        self.common.mode
    }

    /// The mode that a change which is under way goes to.
    #[must_use]
    pub fn next_mode(&self) -> Option<ModeId> {
        self.common.change.map(|change| change.to)
    }

    /// The fault domains that have failed, each a bit by its position in the plan.
    #[must_use]
    pub const fn failed_domains(&self) -> u64 {
        self.common.failed
    }

    /// Whether a task releases jobs: it is of the mode that holds, and of the one that is gone to, and where it is optional it is
    /// admitted.
    #[must_use]
    pub fn releases(&self, task: TaskId) -> bool {
        self.tasks.get(task.index()).is_some_and(|own| own.in_mode)
    }

    /// Whether an arrival comes after the end that [`super::Event::Stop`] set.
    pub(super) fn ends_before(&self, arrival: Instant) -> bool {
        self.common.end.is_some_and(|end| arrival >= end)
    }

    /// The jobs of a task that wait, the one that goes first ahead.
    pub fn waiting(&self, task: TaskId) -> impl Iterator<Item = Job> {
        let own = self.tasks.get(task.index());
        own.into_iter().flat_map(|own| own.paused.iter().map(|paused| paused.job).chain(own.waiting.iter()))
    }

    /// The job that a lane runs.
    #[must_use]
    pub fn running(&self, lane: LaneId) -> Option<Job> {
        self.lanes.get(lane.index())?.running.map(|running| running.progress.job)
    }

    /// The task that goes first on a lane by priority, or by its job's deadline, among those that have a job waiting.
    #[inline]
    pub(super) fn first_waiting(&self, lane: LaneId) -> Option<TaskId> {
        let own = self.lanes.get(lane.index()).filter(|own| own.waiting > 0)?;
        let rank = if own.by_deadline {
            let entry = tournament::first(self.first_deadlines.get(own.ranks())?)?;
            usize::from(own.first).checked_add(entry)?
        } else {
            usize::from(self.common.ready.first(own.first)?)
        };
        self.order.get(rank).map(|id| TaskId(*id))
    }

    /// The task that goes first in the gaps of a time-triggered lane, among those without slots that have a job waiting.
    pub(super) fn first_of_gaps(&self, lane: LaneId) -> Option<TaskId> {
        // They have the lowest ranks.
        self.first_waiting(lane).filter(|id| self.tasks.get(id.index()).is_some_and(|own| !own.has_slots))
    }

    /// Brings the indexes up to date after the waiting jobs of a task of `lane` changed.
    pub(super) fn refresh(&mut self, id: TaskId, lane: LaneId) {
        let (Some(own), Some(lane)) = (self.tasks.get_mut(id.index()), self.lanes.get_mut(lane.index())) else {
            return;
        };
        let head = choice::head(own);
        let (digest, after) = head.map_or((0, NEVER), |job| (choice::digest(own, &job), job.deadline));
        lane.digest = lane.digest.wrapping_sub(own.digest).wrapping_add(digest);
        own.digest = digest;
        let Some(deadline) = self.deadlines.get_mut(usize::from(own.rank)) else { return };
        let before = core::mem::replace(deadline, after);
        if before == after {
            return;
        }
        if !lane.by_deadline {
            if before == NEVER || after == NEVER {
                self.common.ready.set(own.rank, before == NEVER);
            }
        } else if let (Some(nodes), Some(keys)) =
            (self.first_deadlines.get_mut(lane.ranks()), self.deadlines.get(lane.ranks()))
        {
            tournament::play(nodes, keys, usize::from(own.rank.saturating_sub(lane.first)));
        }
    }

    /// The first task from `from` on of which the timer has to release what arrived by `due`. Of the tasks before, next arrivals
    /// may have changed.
    pub(super) fn next_due(&self, system: &SystemDesc, from: usize, due: Instant) -> Option<usize> {
        let count = system.tasks.len();
        tournament::next_due(self.first_arrivals.get(..count)?, self.arrivals.get(..count)?, from, due)
    }

    /// Takes over a task's next arrival, if the timer releases it; the tournament is not played.
    pub(super) fn reschedule(&mut self, task: usize) {
        if let (Some(own), Some(arrival)) = (self.tasks.get(task), self.arrivals.get_mut(task)) {
            *arrival = own.next;
        }
    }

    /// Brings the next arrivals up to date after one task's changed.
    pub(super) fn reschedule_one(&mut self, system: &SystemDesc, task: usize) {
        let count = system.tasks.len();
        if let (Some(nodes), Some(keys)) = (self.first_arrivals.get_mut(..count), self.arrivals.get(..count)) {
            tournament::play(nodes, keys, task);
            self.common.next_arrival = tournament::least(nodes, keys);
        }
    }

    /// Brings the next arrivals up to date after those of many tasks changed.
    pub(super) fn reschedule_all(&mut self, system: &SystemDesc) {
        let count = system.tasks.len();
        if let (Some(nodes), Some(keys)) = (self.first_arrivals.get_mut(..count), self.arrivals.get(..count)) {
            tournament::fill(nodes, keys);
            self.common.next_arrival = tournament::least(nodes, keys);
        }
    }
}

impl LaneState {
    fn new(system: &SystemDesc, index: usize) -> Self {
        let desc: Option<&LaneDesc> = system.lanes.get(index);
        Self {
            running: None,
            table: table::Place::START,
            earliest: NEVER,
            digest: 0,
            overhead: desc.and_then(LaneDesc::segment_overhead).unwrap_or(Duration::MAX),
            waiting: 0,
            first: count(system.tasks.iter().filter(|task| task.lane.index() < index)),
            end: count(system.tasks.iter().filter(|task| task.lane.index() <= index)),
            by_deadline: desc.is_some_and(|desc| desc.policy == Policy::EarliestDeadlineFirst),
            was_idle: true,
        }
    }

    /// Its tasks' ranks.
    pub(super) fn ranks(&self) -> core::ops::Range<usize> {
        usize::from(self.first)..usize::from(self.end)
    }
}

/// How many there are: Rust's own `count` adds as if it could overflow.
fn count(tasks: impl Iterator) -> u16 {
    tasks.fold(0, |count, _| count.saturating_add(1))
}

/// What the order of all tasks goes by: lanes, on a lane first what has no slots, priorities, or its place in the table where
/// priorities do not decide.
fn place<const QUEUE: usize>(
    system: &SystemDesc,
    id: u16,
    (task, own): (&TaskDesc, &TaskState<QUEUE>),
) -> (u16, bool, u16, u16) {
    let policy = system.lanes.get(task.lane.index()).map(|lane| lane.policy);
    let by_priority =
        policy.is_some_and(|policy| policy.is_fixed_priority() || policy == Policy::TimeTriggered && !own.has_slots);
    (task.lane.0, own.has_slots, if by_priority { task.priority.0 } else { 0 }, id)
}

/// How many tasks go before one in that order.
fn rank<const QUEUE: usize>(system: &SystemDesc, tasks: &[TaskState<QUEUE>], id: u16) -> u16 {
    let own = system.tasks.get(usize::from(id)).zip(tasks.get(usize::from(id)));
    let Some(own) = own.map(|own| place(system, id, own)) else { return 0 };
    let (mut rank, mut other) = (0_u16, 0_u16);
    for task in system.tasks.iter().zip(tasks) {
        rank = rank.saturating_add(u16::from(place(system, other, task) < own));
        other = other.saturating_add(1);
    }
    rank
}

/// The size of a [`State`] in bytes on the machine that asks: what the dispatcher needs of memory, besides its ring of trace
/// records. `None` where that exceeds the machine's range.
///
/// A queue has three numbers of 64 bits an entry, and each task two instants and three numbers of 16 bits in the indexes; the sum
/// is a multiple of the alignment.
#[must_use]
pub const fn state_bytes(tasks: usize, lanes: usize, queue: usize) -> Option<usize> {
    const INDEXES: usize = 2 * size_of::<Instant>() + 3 * size_of::<u16>();
    let Some(fixed) = size_of::<TaskState<1>>().checked_sub(size_of::<Entry>()) else { return None };
    let Some(waiting) = size_of::<Entry>().checked_mul(queue) else { return None };
    let Some(task) = fixed.checked_add(waiting) else { return None };
    let Some(task) = task.checked_add(INDEXES) else { return None };
    let (Some(tasks), Some(lanes)) = (task.checked_mul(tasks), size_of::<LaneState>().checked_mul(lanes)) else {
        return None;
    };
    let Some(sum) = tasks.checked_add(lanes) else { return None };
    let Some(sum) = sum.checked_add(size_of::<Common>()) else { return None };
    sum.checked_next_multiple_of(align_of::<State<1, 1, 1>>())
}
