//! Judges jobs by their deadlines: who has missed, how often of late, and what follows.
//!
//! A miss is recorded once for each job. Where nothing follows from it, that is when the job completes. Otherwise a running job
//! is watched: as soon as a step comes after its deadline and what the lane's overhead may delay the notice of its end by. A job
//! that waits, or that was paused at a boundary, is judged when it would start, so no step looks at waiting jobs for that.

use super::Job;
use super::domain::fail_of;
use super::finish::first_stage;
use super::state::{Progress, State};
use crate::desc::{Answer, SystemDesc, TaskDesc};
use crate::time::Instant;
use crate::trace::{Cause, Kind, Sink};

/// Whether a job is judged before it completes. To skip the next arrival only the last stage's job counts, so that one job of the
/// whole task skips one.
pub(super) const fn is_judged(task: &TaskDesc, has_follower: bool) -> bool {
    match task.on_miss {
        Answer::Continue => false,
        Answer::SkipNext => !has_follower,
        Answer::AbortJob | Answer::SwitchMode(_) | Answer::FailDomain => true,
    }
}

/// How many of the last jobs of a task have missed, if the one that is judged now has.
pub(super) fn recent(window: u8, before: u64) -> u8 {
    let window = u64::MAX.checked_shr(64_u32.saturating_sub(u32::from(window))).unwrap_or(0);
    u8::try_from((shifted(before, true) & window).count_ones()).unwrap_or(u8::MAX)
}

/// The misses of a task's last 64 jobs, the latest in the lowest bit, after one more.
pub(super) fn shifted(misses: u64, has_missed: bool) -> u64 {
    misses.wrapping_shl(1) | u64::from(has_missed)
}

/// Records that a job was seen to be late at `now`.
pub(super) fn note<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    job: &Job,
    now: Instant,
    sink: &mut impl Sink,
) {
    // Whichever of its stages a job was in: its task counts it.
    let Some(own) = state.tasks.get(first_stage(system, job.task).index()) else { return };
    let lateness = now.saturating_since(job.deadline);
    sink.record(now, Kind::Missed { job: job.reference(), lateness, recent: recent(own.window, own.misses) });
    match system.tasks.get(job.task.index()).map(|task| task.on_miss) {
        Some(Answer::SkipNext) => skip(system, state, job, true),
        Some(Answer::SwitchMode(mode)) => state.common.answer = state.common.answer.or(Some(mode)),
        Some(Answer::FailDomain) => fail_of(system, state, job.reference(), Cause::Miss, now, sink),
        _ => {}
    }
}

/// Takes the end of a job into account: of one that has left its last stage, or was aborted.
pub(super) fn end<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    progress: &Progress,
    (is_late, ended): (bool, Instant),
    sink: &mut impl Sink,
) {
    let job = &progress.job;
    if is_late && !progress.missed {
        note(system, state, job, ended, sink);
    } else if progress.missed && !is_late {
        // It was in time; only the notice of its end came later than planned.
        skip(system, state, job, false);
    }
    if let Some(own) = state.tasks.get_mut(first_stage(system, job.task).index()) {
        own.misses = shifted(own.misses, is_late);
    }
}

/// Whether the next arrival of the whole task, from its first stage, is dropped because of a miss.
fn skip<const TASKS: usize, const LANES: usize, const QUEUE: usize>(
    system: &SystemDesc,
    state: &mut State<TASKS, LANES, QUEUE>,
    job: &Job,
    skips: bool,
) {
    let first = first_stage(system, job.task);
    if let Some(own) = state.tasks.get_mut(first.index()) {
        own.skip_late = skips;
    }
}
