//! Ends segments and jobs: completions, pauses, budgets, overruns, and the hand-over to the next stage.

use super::release::enqueue;
use super::{Job, Progress, Refused, State};
use crate::desc::{OnOverrun, Preemption, SystemDesc, TaskDesc};
use crate::time::{Duration, Instant};
use crate::trace::{Kind, Sink};
use crate::units::{LaneId, TaskId};

/// A piece of an execution: when it began and when it ended.
type Piece = (Instant, Instant);

/// The lane's segment ended: its job goes on to the next one, or completes.
pub(super) fn complete<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    (began, ended): Piece,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let Some((task, progress)) = take(system, state, lane, (began, ended), sink)? else { return Ok(()) };
    let job = progress.job;
    let next = job.segment.saturating_add(1);
    if usize::from(next) < task.segments.len() {
        let job = Job { segment: next, ..job };
        pause(state, lane, Progress { job, ..progress }, (began, ended), sink);
        return Ok(());
    }
    let response = ended.saturating_since(job.arrival);
    let execution = progress.spent;
    sink.record(ended, Kind::Completed { job: job.reference(), lane, began, ended, response, execution });
    let is_last_stage = !system.tasks.iter().any(|other| follows(other, job.task));
    if ended > job.deadline && is_last_stage {
        let lateness = ended.saturating_since(job.deadline);
        sink.record(ended, Kind::Missed { job: job.reference(), lateness });
    }
    if response > task.response_bound {
        let bound = task.response_bound;
        sink.record(ended, Kind::Exceeded { job: job.reference(), response, bound });
    }
    for (position, other) in system.tasks.iter().enumerate() {
        if follows(other, job.task) {
            let id = TaskId(u16::try_from(position).unwrap_or(u16::MAX));
            enqueue(state, id, other, job.arrival, ended, sink)?;
        }
    }
    Ok(())
}

/// The lane's segment was cut off.
pub(super) fn preempt<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    piece: Piece,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let preempts = system.lanes.get(lane.index()).is_some_and(|desc| desc.preemption == Preemption::Full);
    if !preempts {
        return Err(Refused::NotPreemptible { lane });
    }
    if let Some((_, progress)) = take(system, state, lane, piece, sink)? {
        pause(state, lane, progress, piece, sink);
    }
    Ok(())
}

/// Whether a task is the next stage after another.
fn follows(task: &TaskDesc, other: TaskId) -> bool {
    task.stage.is_some_and(|stage| stage.after == other)
}

/// Takes the running job off its lane and settles its account of time.
fn take<'a, const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &'a SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    (began, ended): Piece,
    sink: &mut impl Sink,
) -> Result<Option<(&'a TaskDesc, Progress)>, Refused> {
    let nothing = Refused::NothingRunning { lane };
    let running = state.lanes.get_mut(lane.index()).ok_or(nothing)?.running.take().ok_or(nothing)?;
    let mut progress = running.progress;
    let Some(task) = system.tasks.get(progress.job.task.index()) else {
        return Ok(None);
    };
    progress.spent = progress.spent.checked_add(ended.saturating_since(began)).unwrap_or(Duration::MAX);
    if progress.spent > task.budget && !progress.overran {
        overrun(system, state, progress.job, progress.spent, ended, sink);
        progress.overran = true;
    } else if progress.overran && progress.spent <= task.budget {
        // The budget's timer ended because the lane's overhead was longer than planned; the job is not to blame.
        let first = first_stage(system, progress.job.task);
        if let Some(task_state) = state.tasks.get_mut(first.index()) {
            task_state.skip_next = false;
        }
        progress.overran = false;
    }
    Ok(Some((task, progress)))
}

/// Puts a job that has begun back among those that wait.
fn pause<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    state: &mut State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    progress: Progress,
    (began, ended): Piece,
    sink: &mut impl Sink,
) {
    if let Some(task_state) = state.tasks.get_mut(progress.job.task.index()) {
        task_state.paused = Some(progress);
    }
    if let Some(lane) = state.lanes.get_mut(lane.index()) {
        lane.waiting = lane.waiting.saturating_add(1);
    }
    sink.record(ended, Kind::Paused { job: progress.job.reference(), lane, began, ended });
}

/// Records an overrun of each running job whose budget ended before `now`.
pub(super) fn check_budgets<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    now: Instant,
    sink: &mut impl Sink,
) {
    for position in 0..LANES {
        let Some(running) = state.lanes.get_mut(position).and_then(|lane| lane.running.as_mut()) else { continue };
        let end = running.budget_end;
        if running.progress.overran || end >= now {
            continue;
        }
        running.progress.overran = true;
        let job = running.progress.job;
        if let Some(task) = system.tasks.get(job.task.index()) {
            let beyond = now.saturating_since(end);
            let execution = task.budget.checked_add(beyond).unwrap_or(Duration::MAX);
            overrun(system, state, job, execution, now, sink);
        }
    }
}

/// Records an overrun; under skip-next the next arrival of the whole task, from its first stage, is dropped.
fn overrun<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    job: Job,
    execution: Duration,
    now: Instant,
    sink: &mut impl Sink,
) {
    let Some(task) = system.tasks.get(job.task.index()) else { return };
    sink.record(now, Kind::Overran { job: job.reference(), execution, budget: task.budget });
    let first = first_stage(system, job.task);
    if task.on_overrun == OnOverrun::SkipNext
        && let Some(task_state) = state.tasks.get_mut(first.index())
    {
        task_state.skip_next = true;
    }
}

/// The first stage of the task that `id` is a stage of.
fn first_stage(system: &SystemDesc, id: TaskId) -> TaskId {
    let mut first = id;
    for _ in system.tasks {
        match system.tasks.get(first.index()).and_then(|task| task.stage) {
            Some(stage) => first = stage.after,
            None => break,
        }
    }
    first
}
