//! `aegis trace`.

mod audit;
mod convert;

use crate::verify::proven;
use crate::{Failure, Outcome, print};
use aegis_codegen::lock::Lock;
use aegis_codegen::replay::{Counts, Difference, Header, LaneState, Replayed, Unreadable, header, replay};
use aegis_codegen::trace::{Form, Lines, Note, schema};
use aegis_core::desc::SystemDesc;
use convert::{Opened, opened, tell};
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Feed a trace's inputs to the dispatcher; status 1 and the first difference where it does something else.
    #[command(
        after_help = "Example:\n  aegis trace replay target/aegis/courier/trace.aegistrace --lock system.lock --format json"
    )]
    Replay(ReplayArguments),
    /// Make of a trace in the binary form what other tools read.
    #[command(
        after_help = "Examples:\n  aegis trace convert target/aegis/courier/trace.aegistrace --to jsonl -o trace.jsonl\n  aegis trace convert target/aegis/courier/trace.aegistrace --to perfetto -o trace.pftrace"
    )]
    Convert(convert::Arguments),
    /// Print the schema of a trace's JSON lines, as JSON Schema.
    #[command(after_help = "Example:\n  aegis trace schema > trace.schema.json")]
    Schema,
    /// Compare every response, execution, wait and change with the plan; status 1 where something is not as proven or assumed.
    #[command(after_help = "Example:\n  aegis trace check target/aegis/courier/trace.aegistrace --lock system.lock")]
    Check(audit::CheckArguments),
    /// Explain one job: where the time from its arrival to its end went, and what its bound had assumed.
    #[command(
        after_help = "Examples:\n  aegis trace why face#12 trace.aegistrace\n  aegis trace why --latest-miss trace.aegistrace"
    )]
    Why(audit::WhyArguments),
    /// Say what would have happened under another plan, told the same arrivals, executions and failures; status 1 where that plan
    /// is not proven, or a job would have missed its deadline.
    #[command(after_help = "Example:\n  aegis trace what-if trace.aegistrace --policy edf --lane main")]
    WhatIf(audit::WhatIfArguments),
}

#[derive(clap::Args)]
struct ReplayArguments {
    /// The trace, as `--trace FILE` of a vehicle or of `aegis simulate` wrote it: JSON lines where the name ends in `.jsonl`,
    /// else the binary form, whose older parts are read with it.
    file: PathBuf,
    /// The lock of the plan that ran; without this `system.lock` in the present folder, or else beside the trace, whichever has
    /// the trace's plan.
    #[arg(long)]
    lock: Option<PathBuf>,
    /// What is printed on the standard output.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// The output's form.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// Schema `aegis.replay/1`.
    Json,
}

/// Schema `aegis.replay/1`.
#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    system: &'a str,
    config_hash: &'a str,
    verdict: &'static str,
    same: Counts,
    difference: Option<&'a Difference>,
    error: Option<Error>,
}

#[derive(Serialize)]
struct Error {
    line: u64,
    why: String,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    match &arguments.command {
        Command::Replay(arguments) => run_replay(arguments),
        Command::Check(arguments) => audit::check(arguments),
        Command::Why(arguments) => audit::why(arguments),
        Command::WhatIf(arguments) => audit::what_if_command(arguments),
        Command::Convert(arguments) => convert::run(arguments),
        Command::Schema => {
            print(schema());
            Ok(())
        }
    }
}

/// Reads a lock and re-proves its plan. Status 1 is a difference, so a lock that proves nothing is an input that cannot be used.
fn proven_for(lock: &Path) -> Result<&'static SystemDesc, Failure> {
    proven(lock, None).map_err(|failure| match failure {
        Failure::Findings => Failure::Input(format!("`{}` proves nothing, so it cannot be used", lock.display())),
        other => other,
    })
}

/// Replays a trace in either form.
fn replayed(arguments: &ReplayArguments) -> Result<(Header, Result<Replayed, Unreadable>), Failure> {
    if Form::of(&arguments.file) == Form::Binary {
        let Opened { records, system, header, plan } = opened(&arguments.file, arguments.lock.as_deref())?;
        let mut lines = Lines::new(records, system);
        let outcome = replay(plan, &mut lines);
        let notes = lines.records().notes();
        tell(notes);
        if let (Err(_), Some(first)) = (&outcome, notes.iter().find_map(begins_at)) {
            return Err(Failure::Input(format!(
                "`{}` begins with record {first}: its beginning was dropped, as --trace-limit has it, and only a whole run can be \
                 replayed",
                arguments.file.display()
            )));
        }
        return Ok(((&header).into(), outcome));
    }
    let header = first_line(&arguments.file)?;
    let lock = match &arguments.lock {
        Some(lock) => lock.clone(),
        None => find_lock(&arguments.file, &header)?,
    };
    let system = proven_for(&lock)?;
    Ok((header, replay(system, open(&arguments.file)?)))
}

/// The first record that is there, where the trace's oldest parts are gone.
fn begins_at(note: &Note) -> Option<u64> {
    match note {
        Note::Gone { first, records } if first == records => Some(*first),
        _ => None,
    }
}

fn run_replay(arguments: &ReplayArguments) -> Outcome {
    let (header, outcome) = replayed(arguments)?;
    if arguments.format == Format::Json {
        print(&format!("{}\n", json(&header, &outcome)?));
    }
    match outcome {
        Err(unreadable) => {
            let until = unreadable.until;
            Err(Failure::Input(format!(
                "`{}`, {unreadable}; {} records and {} decisions before are the same",
                arguments.file.display(),
                until.records,
                until.decisions
            )))
        }
        Ok(replayed) => {
            if arguments.format == Format::Human {
                print(&human(&arguments.file, &replayed));
            }
            if replayed.difference.is_some() { Err(Failure::Findings) } else { Ok(()) }
        }
    }
}

fn open(file: &Path) -> Result<BufReader<File>, Failure> {
    let opened = File::open(file);
    let opened = opened.map_err(|error| Failure::Input(format!("cannot read `{}`: {error}", file.display())))?;
    Ok(BufReader::with_capacity(1 << 20, opened))
}

fn first_line(file: &Path) -> Result<Header, Failure> {
    let mut text = String::new();
    let read = open(file)?.read_line(&mut text);
    read.map_err(|error| Failure::Input(format!("cannot read `{}`: {error}", file.display())))?;
    header(&text).map_err(|why| Failure::Input(format!("`{}`, line 1: {why}", file.display())))
}

/// The lock in the present folder or beside the trace that has the trace's plan.
fn find_lock(file: &Path, header: &Header) -> Result<PathBuf, Failure> {
    let name = "system.lock";
    let candidates = [PathBuf::from(name), file.with_file_name(name)];
    let is_its = |path: &&PathBuf| Lock::read(path).is_ok_and(|lock| lock.lock.plan_sha256 == header.config_hash);
    candidates.iter().find(is_its).cloned().ok_or_else(|| {
        let [here, beside] = &candidates;
        let places = match here == beside {
            true => format!("`{}` is not", here.display()),
            false => format!("neither `{}` nor `{}` is", here.display(), beside.display()),
        };
        let (plan, system) = (&header.config_hash, &header.system);
        Failure::Input(format!("{places} the lock of the plan {plan} of `{system}`: name it with --lock"))
    })
}

fn human(file: &Path, replayed: &Replayed) -> String {
    let Counts { records, steps, decisions, outside } = replayed.same;
    let Some(difference) = &replayed.difference else {
        return format!(
            "{}: {records} records, {decisions} decisions: the same ({steps} steps told again; {outside} records from around the dispatcher)\n",
            file.display()
        );
    };
    let mut text = format!("{}:{}: {}", file.display(), difference.line, difference.why);
    if !difference.fields.is_empty() {
        text.push_str(&format!(": {}", difference.fields.join(", ")));
    }
    let shown = |line: &Option<String>| line.clone().unwrap_or_else(|| "nothing".to_owned());
    text.push_str(&format!("\n  recorded: {}", shown(&difference.recorded)));
    text.push_str(&format!("\n  replayed: {}", shown(&difference.replayed)));
    text.push_str(&format!("\n  before the step of line {}:\n", difference.step));
    for LaneState { lane, running, waiting } in &difference.state {
        let running = running.as_deref().unwrap_or("nothing");
        let waiting = if waiting.is_empty() { "nothing".to_owned() } else { waiting.join(", ") };
        text.push_str(&format!("    lane {lane} runs {running}; waiting: {waiting}\n"));
    }
    text.push_str(&format!("  {records} records and {decisions} decisions before are the same\n"));
    text
}

fn json(header: &Header, outcome: &Result<Replayed, Unreadable>) -> Result<String, Failure> {
    let (verdict, same, difference, error) = match outcome {
        Ok(Replayed { same, difference: None }) => ("same", *same, None, None),
        Ok(Replayed { same, difference: Some(difference) }) => ("different", *same, Some(difference.as_ref()), None),
        Err(Unreadable { line, why, until }) => {
            ("unreadable", *until, None, Some(Error { line: *line, why: why.to_string() }))
        }
    };
    let (system, config_hash) = (header.system.as_str(), header.config_hash.as_str());
    let report = Report { schema: "aegis.replay/1", system, config_hash, verdict, same, difference, error };
    serde_json::to_string_pretty(&report).map_err(Failure::internal)
}
