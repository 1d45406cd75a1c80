//! Ends segments and jobs: completions, pauses, budgets, overruns, and the hand-over to the next stage.

use super::domain::{self, fail_of};
use super::miss;
use super::release::enqueue;
use super::state::{Progress, State};
use super::tournament::NEVER;
use super::{Job, Refused};
use crate::desc::{Answer, Preemption, SystemDesc, TaskDesc};
use crate::time::{Duration, Instant};
use crate::trace::{Cause, Kind, Limit, Loss, Sink};
use crate::units::{LaneId, TaskId};

/// A piece of an execution: when it began and when it ended.
type Piece = (Instant, Instant);

/// How a segment ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// As it should.
    Well,
    /// Its job failed.
    Failed,
    /// Its job failed, because its domain's process was lost.
    Lost(Loss),
}

/// The lane's segment ended: its job goes on to the next one, or completes; where its domain has failed it ends.
pub(super) fn complete<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    (began, ended): Piece,
    outcome: Outcome,
    sink: &mut impl Sink,
) -> Result<(), Refused> {
    let Some((task, progress)) = take(system, state, lane, (began, ended), sink)? else { return Ok(()) };
    state.common.may_settle = true;
    let job = progress.job;
    if outcome != Outcome::Well {
        sink.record(ended, Kind::Failed { job: job.reference(), lane });
        if let Outcome::Lost(loss) = outcome {
            fail_of(system, state, job.reference(), Cause::Process(loss), ended, sink);
        }
        match task.on_failure {
            Answer::FailDomain => fail_of(system, state, job.reference(), Cause::Failure, ended, sink),
            Answer::SwitchMode(mode) => state.common.answer = state.common.answer.or(Some(mode)),
            // Of a job that is over nothing is left to abort, and no plan skips an arrival for it.
            Answer::Continue | Answer::SkipNext | Answer::AbortJob => {}
        }
    }
    let next = job.segment.saturating_add(1);
    let goes_on = usize::from(next) < task.segments.len();
    let mut stage = state.tasks.get(job.task.index()).and_then(|own| own.follower);
    let is_cut_short = is_aborted(task, &progress, ended) && (goes_on || stage.is_some());
    if is_cut_short || domain::failed(state, task).is_some() {
        abort(system, state, lane, &progress, (began, ended), sink);
        return Ok(());
    }
    if goes_on {
        let job = Job { segment: next, ..job };
        pause(state, lane, Progress { job, ..progress }, (began, ended), sink);
        return Ok(());
    }
    let response = ended.saturating_since(job.arrival);
    let execution = progress.spent;
    sink.record(ended, Kind::Completed { job: job.reference(), lane, began, ended, response, execution });
    if stage.is_none() {
        miss::end(system, state, &progress, (ended > job.deadline, ended), sink);
    }
    note_exceeded(task, &job, ended, sink);
    for _ in system.tasks {
        let Some(id) = stage else { break };
        let sound = |other: &&TaskDesc| domain::failed(state, other).is_none();
        if let Some(other) = system.tasks.get(id.index()).filter(sound) {
            enqueue(state, id, other, job.arrival, ended, sink)?;
            state.refresh(id, other.lane);
        }
        stage = state.tasks.get(id.index()).and_then(|own| own.sibling);
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
    match take(system, state, lane, piece, sink)? {
        Some((task, progress)) if is_aborted(task, &progress, piece.1) || domain::failed(state, task).is_some() => {
            abort(system, state, lane, &progress, piece, sink);
        }
        Some((_, progress)) => pause(state, lane, progress, piece, sink),
        None => {}
    }
    Ok(())
}

/// Whether a job whose segment has ended, or was cut off, is to end without what is left of it. What only the timer took for an
/// overrun does not count: by now the executions are measured. What has something left after its deadline misses it.
fn is_aborted(task: &TaskDesc, progress: &Progress, ended: Instant) -> bool {
    let is_late = progress.missed || ended > progress.job.deadline;
    (task.on_overrun == Answer::AbortJob && progress.measured) || (task.on_miss == Answer::AbortJob && is_late)
}

/// Ends a job that has left its lane, or waits for it no longer: nothing more comes of it.
pub(super) fn abort<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    lane: LaneId,
    progress: &Progress,
    (began, ended): Piece,
    sink: &mut impl Sink,
) {
    state.common.may_settle = true;
    let (job, execution) = (progress.job, progress.spent);
    let response = ended.saturating_since(job.arrival);
    let segment = job.segment;
    sink.record(ended, Kind::Aborted { job: job.reference(), lane, segment, began, ended, response, execution });
    miss::end(system, state, progress, (progress.missed || ended > job.deadline, ended), sink);
    if let Some(task) = system.tasks.get(job.task.index()) {
        note_exceeded(task, &job, ended, sink);
    }
}

/// Records a response above the proven bound.
fn note_exceeded(task: &TaskDesc, job: &Job, ended: Instant, sink: &mut impl Sink) {
    let (response, bound) = (ended.saturating_since(job.arrival), task.response_bound);
    if response > bound {
        sink.record(ended, Kind::Exceeded { job: job.reference(), response, bound });
    }
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
    let job = progress.job;
    let piece = ended.saturating_since(began);
    progress.spent = progress.spent.checked_add(piece).unwrap_or(Duration::MAX);
    let execution = progress.spent;
    let mut taken_back = false;
    if let Some(budget) = segment_length(task, &job) {
        let exceeded = piece > budget;
        if exceeded && !running.segment_overran {
            let execution = piece;
            overrun(system, state, job, OverBudget { limit: Limit::Segment, execution, budget }, ended, sink);
        }
        progress.measured |= exceeded;
        taken_back |= running.segment_overran && !exceeded;
    }
    let exceeded = execution > task.budget;
    if exceeded && !progress.overran {
        let budget = task.budget;
        overrun(system, state, job, OverBudget { limit: Limit::Job, execution, budget }, ended, sink);
    }
    progress.measured |= exceeded;
    taken_back |= progress.overran && !exceeded;
    progress.overran = exceeded;
    if taken_back && !progress.measured {
        // The budget's timer ended because the lane's overhead was longer than planned; the job is not to blame.
        let first = first_stage(system, job.task);
        if let Some(task_state) = state.tasks.get_mut(first.index()) {
            task_state.skip_next = false;
        }
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
    state.refresh(progress.job.task, lane);
    sink.record(ended, Kind::Paused { job: progress.job.reference(), lane, began, ended });
}

/// Records an overrun for each budget of a running job, and of its segment, that ended before `now`, and a miss where the job's
/// deadline is watched and has passed.
pub(super) fn check_budgets<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    now: Instant,
    sink: &mut impl Sink,
) {
    for position in 0..LANES {
        let Some(running) = state.lanes.get_mut(position).and_then(|lane| lane.running.as_mut()) else { continue };
        if running.watched() >= now {
            continue;
        }
        let job = running.progress.job;
        let Some(task) = system.tasks.get(job.task.index()) else { continue };
        let segment = Some(running.segment_end).filter(|end| *end < now && !running.segment_overran);
        running.segment_overran |= segment.is_some();
        let whole = Some(running.budget_end).filter(|end| *end < now && !running.progress.overran);
        running.progress.overran |= whole.is_some();
        let is_late = running.deadline_end < now;
        if is_late {
            running.progress.missed = true;
            running.deadline_end = NEVER;
        }
        let exceeded = |limit, end, budget: Duration| {
            let execution = budget.checked_add(now.saturating_since(end)).unwrap_or(Duration::MAX);
            OverBudget { limit, execution, budget }
        };
        if let (Some(end), Some(length)) = (segment, segment_length(task, &job)) {
            overrun(system, state, job, exceeded(Limit::Segment, end, length), now, sink);
        }
        if let Some(end) = whole {
            overrun(system, state, job, exceeded(Limit::Job, end, task.budget), now, sink);
        }
        if is_late {
            miss::note(system, state, &job, now, sink);
        }
    }
}

/// How long the job's next segment may execute, where that is less than the whole job: on a lane that preempts anywhere a job
/// has no segments.
pub(super) fn segment_length(task: &TaskDesc, job: &Job) -> Option<Duration> {
    if task.segments.len() > 1 { task.segments.get(usize::from(job.segment)).copied() } else { None }
}

/// A budget that was exceeded.
struct OverBudget {
    limit: Limit,
    execution: Duration,
    budget: Duration,
}

/// Records an overrun; under skip-next the next arrival of the whole task, from its first stage, is dropped.
fn overrun<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    job: Job,
    OverBudget { limit, execution, budget }: OverBudget,
    now: Instant,
    sink: &mut impl Sink,
) {
    let Some(task) = system.tasks.get(job.task.index()) else { return };
    sink.record(now, Kind::Overran { job: job.reference(), segment: job.segment, limit, execution, budget });
    let first = first_stage(system, job.task);
    match (task.on_overrun, state.tasks.get_mut(first.index())) {
        (Answer::SkipNext, Some(task_state)) => task_state.skip_next = true,
        (Answer::SwitchMode(mode), _) => state.common.answer = state.common.answer.or(Some(mode)),
        (Answer::FailDomain, _) => fail_of(system, state, job.reference(), Cause::Overrun, now, sink),
        _ => {}
    }
}

/// The first stage of the task that `id` is a stage of.
pub(super) fn first_stage(system: &SystemDesc, id: TaskId) -> TaskId {
    let mut first = id;
    for _ in system.tasks {
        match system.tasks.get(first.index()).and_then(|task| task.stage) {
            Some(stage) => first = stage.after,
            None => break,
        }
    }
    first
}
