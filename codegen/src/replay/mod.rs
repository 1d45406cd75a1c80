//! Tells the dispatcher what a trace says it was told, and compares what it does with what the trace says it did.
//!
//! ```text
//!  step line ─▶ Event ─▶ aegis_core::dispatch::step ─▶ records ─▶ trace_line ═?═ the lines up to the next step
//! ```
//!
//! The dispatcher, the state and the writer of lines are the vehicle's own. What comes from around the dispatcher
//! ([`aegis_core::trace::Kind::is_from_outside`]) is checked for its form and passed over. A line that differs from the written one
//! only in the order of its fields or in spaces is the same.

mod line;
mod run;

use crate::simulate::{self, FEW_LANES, FEW_TASKS, LANES, STACK, TASKS};
use aegis_core::desc::SystemDesc;
use aegis_core::dispatch::Refused;
use aegis_core::trace_line;
pub use line::Header;
use line::Line;
pub(crate) use line::hex;
use run::Run;
use serde::Serialize;
use std::io::BufRead;

/// How a replay ended that could read the whole trace, or all up to a difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replayed {
    /// What is the same.
    pub same: Counts,
    /// Where the replay does something else.
    pub difference: Option<Box<Difference>>,
}

/// What is the same in a trace and its replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counts {
    /// Lines of the trace.
    pub records: u64,
    /// Those of them that the dispatcher was told.
    pub steps: u64,
    /// Those of them that are decisions.
    pub decisions: u64,
    /// Those of them that come from around the dispatcher, and were not compared.
    pub outside: u64,
}

/// The first record that is not the same.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// The line, from 1; one more than the trace has where it ends too early.
    pub line: u64,
    /// The line of the step that the record belongs to.
    pub step: u64,
    /// What is not as it is said to be.
    pub why: String,
    /// The record's fields that differ.
    pub fields: Vec<String>,
    /// The line in the trace; null where it has none.
    pub recorded: Option<String>,
    /// The line that the replay writes; null where it writes none.
    pub replayed: Option<String>,
    /// The lanes before that step.
    pub state: Vec<LaneState>,
}

/// What a lane did at an instant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LaneState {
    /// Its name.
    pub lane: String,
    /// The running job, as task and request.
    pub running: Option<String>,
    /// The waiting jobs, by task, the one that goes first ahead.
    pub waiting: Vec<String>,
}

/// A trace that cannot be replayed, or not further.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Unreadable {
    /// The line, from 1.
    pub line: u64,
    /// Why.
    pub why: Why,
    /// What was the same until there.
    pub until: Counts,
}

/// The records that are meant, with a verb.
fn records(first: u64, last: u64) -> String {
    if first == last { format!("record {first} is") } else { format!("the records {first} to {last} are") }
}

/// Why a trace cannot be replayed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Why {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Read(String),
    /// No JSON object.
    #[error("it is no JSON object: {0}")]
    NotAnObject(String),
    /// A field is missing.
    #[error("the event `{event}` has no field `{field}`")]
    MissingField {
        /// The event; empty where that is what is missing.
        event: String,
        /// The field.
        field: &'static str,
    },
    /// A field has another type or range.
    #[error("the field `{field}` is {found}, not {expected}")]
    WrongField {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// No such event.
    #[error("no trace has an event `{0}`")]
    UnknownEvent(String),
    /// A name that the plan does not have.
    #[error("the plan has no {what} `{name}`")]
    UnknownName {
        /// What it would name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The first line is another one.
    #[error("a trace begins with the event `run`, this one with `{0}`; a trace of an older version cannot be replayed")]
    NoRun(String),
    /// Another format.
    #[error("its schema is `{0}`, not `{SCHEMA}`", SCHEMA = trace_line::SCHEMA)]
    Schema(String),
    /// The trace is of another plan.
    #[error("it is of the plan {trace} of `{system}`, the lock's is {lock}")]
    OtherPlan {
        /// The trace's plan.
        trace: String,
        /// Its vehicle.
        system: String,
        /// The lock's plan.
        lock: String,
    },
    /// Records were lost, in the vehicle's ring or from the file.
    #[error("{} lost; what followed depends on that, so the replay ends here", records(*first, *last))]
    Lost {
        /// The first one's number.
        first: u64,
        /// The last one's number.
        last: u64,
    },
    /// A number comes again, or too late.
    #[error("the record has number {found} after number {before}")]
    Order {
        /// The number before.
        before: u64,
        /// The number.
        found: u64,
    },
    /// The trace ends before the run did.
    #[error("the trace ends without the event `end`: its last records are lost")]
    NoEnd,
    /// The plan is larger than a manifest can be.
    #[error("the plan is larger than a manifest can be")]
    TooLarge,
    /// The system gave no thread with enough stack, or it failed.
    #[error("the replay's thread could not run")]
    Thread,
}

/// What a trace's first line says of its run.
///
/// # Errors
/// It is no first line of a trace that can be replayed.
pub fn header(first: &str) -> Result<Header, Why> {
    Header::of(&Line::parse(first)?)
}

/// Replays a trace of a plan.
///
/// # Errors
/// [`Unreadable`], at the first line that cannot be replayed; a difference before it is found before it.
pub fn replay(plan: &'static SystemDesc, trace: impl BufRead + Send) -> Result<Replayed, Unreadable> {
    if plan.tasks.len() <= FEW_TASKS && plan.lanes.len() <= FEW_LANES {
        return replay_here::<FEW_TASKS, FEW_LANES>(plan, trace);
    }
    let failed = || Unreadable { line: 0, why: Why::Thread, until: Counts::default() };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let run = thread.spawn_scoped(scope, move || replay_here::<TASKS, LANES>(plan, trace));
        run.map_err(|_| failed())?.join().map_err(|_| failed())?
    })
}

fn replay_here<const TASKS: usize, const LANES: usize>(
    plan: &'static SystemDesc,
    mut trace: impl BufRead,
) -> Result<Replayed, Unreadable> {
    let mut text = String::new();
    let mut number = 0_u64;
    let mut run: Option<Run<TASKS, LANES>> = None;
    loop {
        text.clear();
        number = number.saturating_add(1);
        let read = trace.read_line(&mut text).map_err(|error| Why::Read(error.to_string()));
        let found = match (read, &mut run) {
            (Err(why), _) => Err(why),
            (Ok(0), Some(run)) => run.finish(number),
            (Ok(_), Some(run)) => run.line(number, &text),
            (Ok(_), None) => begin(plan, &text).map(|begun| {
                run = Some(begun);
                None
            }),
        };
        let is_over = text.is_empty();
        match found {
            Ok(None) if !is_over => {}
            Ok(difference) => return Ok(Replayed { same: counts(run.as_ref()), difference: difference.map(Box::new) }),
            Err(why) => return Err(Unreadable { line: number, why, until: counts(run.as_ref()) }),
        }
    }
}

fn counts<const TASKS: usize, const LANES: usize>(run: Option<&Run<TASKS, LANES>>) -> Counts {
    run.map(|run| run.counts).unwrap_or_default()
}

/// Checks the first line against the plan and prepares the dispatcher.
fn begin<const TASKS: usize, const LANES: usize>(
    plan: &'static SystemDesc,
    first: &str,
) -> Result<Run<TASKS, LANES>, Why> {
    let line = Line::parse(first)?;
    let header = Header::of(&line)?;
    let own = hex(&plan.config_hash);
    if header.config_hash != own {
        return Err(Why::OtherPlan { trace: header.config_hash, system: header.system, lock: own });
    }
    let system = if header.is_submitted { simulate::submitted(plan) } else { plan };
    if line.sequence != 0 {
        return Err(Why::Lost { first: 0, last: line.sequence.saturating_sub(1) });
    }
    Run::new(system)
}

/// A refusal in words.
fn refusal(refused: Refused) -> String {
    format!("the dispatcher refuses the step: {refused:?}")
}
