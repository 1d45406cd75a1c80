//! One second of the plan in virtual time, written as a trace.

use crate::plan::{LANES, QUEUE, SYSTEM, TASKS};
use aegis_core::dispatch::{Actions, Event, Job, Refused, State, count_unfinished, step};
use aegis_core::trace::{Kind, Record, Sink};
use aegis_core::verify::{Violation, verify};
use aegis_core::{Duration, Instant, LaneId, TaskId, trace_line};
use core::fmt::Write;

/// From then on nothing arrives; what waits still runs.
const END: Instant = Instant::from_ns(1_000_000_000);

/// How many eighths of its WCET each execution takes, in turn: one of seven overruns.
const EIGHTHS: [u64; 7] = [8, 4, 6, 3, 10, 5, 7];

/// Why there is no trace, or no more of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failed {
    /// The plan is not proven.
    Unproven(Violation),
    /// The plan is larger than its own constants say.
    WrongSize,
    /// The dispatcher refused a step.
    Refused(Refused),
    /// An instant left the representable range.
    OutOfRange,
}

/// Proves the plan as a vehicle does at its start, dispatches it, and writes each record's line.
///
/// # Errors
/// [`Failed`]; what was written until then is right.
pub fn demonstrate(out: &mut impl Write) -> Result<(), Failed> {
    verify(&SYSTEM).map_err(Failed::Unproven)?;
    let mut lines = Lines { out, sequence: 0 };
    lines.record(Instant::START, Kind::Began { config_hash: SYSTEM.config_hash });
    for (position, task) in SYSTEM.tasks.iter().enumerate() {
        let id = TaskId(u16::try_from(position).unwrap_or(u16::MAX));
        lines.record(Instant::START, Kind::Admitted { task: id, bound: task.response_bound, optional: task.optional });
    }
    let mut state = State::<TASKS, LANES, QUEUE>::new(&SYSTEM).map_err(|_| Failed::WrongSize)?;
    let mut lanes = Lanes { pieces: [None; LANES], begun: 0 };
    let (mut event, mut now) = (Event::Stop { end: END }, Instant::START);
    loop {
        let actions = step(&SYSTEM, &mut state, event, now, &mut lines).map_err(Failed::Refused)?;
        lanes.begin(&actions, now).ok_or(Failed::OutOfRange)?;
        match lanes.next(actions.wake_at) {
            Some(next) => (event, now) = next,
            None => break,
        }
    }
    count_unfinished(&SYSTEM, &mut state, now, &mut lines);
    Ok(())
}

/// What runs on each lane, from when to when.
struct Lanes {
    pieces: [Option<(Instant, Instant)>; LANES],
    begun: usize,
}

impl Lanes {
    /// Lets what the dispatcher started take its time: the lane's overhead, then the execution.
    fn begin(&mut self, actions: &Actions<LANES>, now: Instant) -> Option<()> {
        for ((piece, job), lane) in self.pieces.iter_mut().zip(&actions.start).zip(SYSTEM.lanes) {
            let Some(job) = job else { continue };
            let eighths = EIGHTHS.get(self.begun.checked_rem(EIGHTHS.len())?)?;
            self.begun = self.begun.checked_add(1)?;
            let execution = length(job)?.as_ns().checked_mul(*eighths)?.checked_div(8)?;
            let began = now.checked_add(lane.segment_overhead()?)?;
            *piece = Some((began, began.checked_add(Duration::from_ns(execution))?));
        }
        Some(())
    }

    /// What happens next, and when: at one instant the timer goes before an end.
    fn next(&mut self, wake_at: Option<Instant>) -> Option<(Event, Instant)> {
        let running = self.pieces.iter_mut().enumerate().filter(|(_, piece)| piece.is_some());
        let first = running.min_by_key(|(_, piece)| piece.map(|(_, ended)| ended));
        let end = first.as_ref().and_then(|(_, piece)| piece.map(|(_, ended)| ended));
        match (wake_at, end) {
            (Some(timer), Some(end)) if timer <= end => return Some((Event::Timer, timer)),
            (Some(timer), None) => return Some((Event::Timer, timer)),
            _ => {}
        }
        let (position, piece) = first?;
        let (began, ended) = piece.take()?;
        let lane = LaneId(u16::try_from(position).ok()?);
        Some((Event::Completed { lane, began, ended }, ended))
    }
}

/// The planned length of a job's next piece.
fn length(job: &Job) -> Option<Duration> {
    let task = SYSTEM.tasks.get(job.task.index())?;
    if task.segments.is_empty() { Some(task.wcet) } else { task.segments.get(usize::from(job.segment)).copied() }
}

/// Numbers each record and writes its line.
struct Lines<'a, W> {
    out: &'a mut W,
    sequence: u64,
}

impl<W: Write> Sink for Lines<'_, W> {
    fn record(&mut self, at: Instant, kind: Kind) {
        trace_line::write(self.out, &SYSTEM, &Record { sequence: self.sequence, at, kind });
        self.sequence = self.sequence.saturating_add(1);
    }
}
