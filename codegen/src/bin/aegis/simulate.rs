//! `aegis simulate`.

use crate::build::load_sound;
use crate::{Failure, Outcome, print, read, show_findings};
use aegis_codegen::check::{Options, check_loaded, show};
use aegis_codegen::manifest::units;
use aegis_codegen::report::table::table;
use aegis_codegen::simulate::witness::{self, Witness};
use aegis_codegen::simulate::{
    Observed, ObservedMode, Pattern, Simulated, SimulationError, TraceOut, replay_into, simulate_modes,
};
use aegis_codegen::tables;
use aegis_codegen::trace::{Files, Form};
use aegis_core::Duration;
use aegis_core::desc::{SystemDesc, TaskDesc};
use comfy_table::CellAlignment;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The manifest.
    #[arg(default_value = "system.toml")]
    manifest: PathBuf,
    /// When jobs arrive and how long they take.
    #[arg(long, value_enum, default_value_t = Which::Critical)]
    pattern: Which,
    /// For how much virtual time jobs arrive (not for the critical pattern, which runs for each lane's busy period).
    #[arg(long = "for", value_name = "DURATION", default_value = "60s")]
    duration: String,
    /// The seed of the random pattern.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Replay the arrivals and executions of a file that `aegis explain --task NAME --witness FILE` wrote.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pattern", "duration", "seed"])]
    witness: Option<PathBuf>,
    /// Write a trace as the vehicle does, for `aegis trace`: JSON lines where the name ends in `.jsonl`, else the binary form. Needs another pattern than the critical one, which is one run
    /// per task.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Print schema `aegis.simulation/1` instead of a table.
    #[arg(long)]
    json: bool,
}

/// A pattern's name.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// Phases and periods as planned, everything at its longest and latest.
    Periodic,
    /// For each task the releases that delay it most under fixed priorities; elsewhere one bad pattern.
    Critical,
    /// Drawn from what the plan permits.
    Random,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'a str,
    system: &'a str,
    tasks: Vec<Task<'a>>,
    /// Only of plans that have some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    modes: Vec<Mode<'a>>,
}

#[derive(Serialize)]
struct Mode<'a> {
    name: &'a str,
    left: u64,
    longest_ns: u64,
    late: u64,
    leaves_ns: u64,
}

#[derive(Serialize)]
struct Task<'a> {
    name: &'a str,
    jobs: u64,
    aborted: u64,
    misses: u64,
    exceeded: u64,
    refused: u64,
    response_ns: u64,
    bound_ns: Option<u64>,
    observed_over_bound_ppm: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    // Before a file is overwritten.
    if arguments.trace.is_some() && arguments.witness.is_none() && arguments.pattern == Which::Critical {
        return Err(Failure::Input(SimulationError::ManyRuns.to_string()));
    }
    let (loaded, findings) = load_sound(&arguments.manifest)?;
    let checked = check_loaded(&loaded, findings, Options::default()).map_err(Failure::internal)?;
    show_findings(&checked.findings, &loaded.file, &loaded.text);
    // A plan that does not hold can be simulated too: that is how it is seen to miss.
    let Some(lock) = checked.lock_or_draft().map_err(Failure::internal)? else { return Err(Failure::Findings) };
    let suspends = |task: &aegis_codegen::system::Task| !task.suspension.is_zero();
    if checked.resolved.as_ref().is_some_and(|resolved| resolved.system.tasks.iter().any(suspends)) {
        eprintln!("simulate: self-suspension is not simulated: tasks run as if they did not suspend themselves");
    }
    let system = tables::leak(&lock).map_err(Failure::internal)?;
    if system.tasks.iter().any(|task| task.optional) {
        eprintln!("simulate: optional tasks are simulated as admitted from the start");
    }
    if arguments.trace.is_some()
        && arguments.witness.is_none()
        && arguments.pattern == Which::Periodic
        && !system.modes.is_empty()
    {
        return Err(Failure::Input(SimulationError::ManyRuns.to_string()));
    }
    let trace = arguments.trace.as_deref().map(create).transpose()?;
    let Simulated { tasks: seen, modes } = match &arguments.witness {
        Some(file) => Simulated { tasks: replayed(system, file, trace)?, modes: Vec::new() },
        None => patterned(system, arguments, trace)?,
    };
    if arguments.json {
        let tasks = system.tasks.iter().zip(&seen).map(|(task, seen)| Task {
            name: task.name,
            jobs: seen.jobs,
            aborted: seen.aborted,
            misses: seen.misses,
            exceeded: seen.exceeded,
            refused: seen.refused,
            response_ns: seen.response.as_ns(),
            bound_ns: bound(task).map(Duration::as_ns),
            observed_over_bound_ppm: ratio(task, seen),
        });
        let changes = system.modes.iter().zip(&modes).map(|(mode, seen)| Mode {
            name: mode.name,
            left: seen.left,
            longest_ns: seen.longest.as_ns(),
            late: seen.late,
            leaves_ns: mode.leaves.as_ns(),
        });
        let (tasks, modes) = (tasks.collect(), changes.collect());
        let report = Report { schema: "aegis.simulation/1", system: system.name, tasks, modes };
        let json = serde_json::to_string_pretty(&report).map_err(Failure::internal)?;
        print(&format!("{json}\n"));
    } else {
        print(&human(system, &seen));
        print(&changes(system, &modes));
    }
    // A plan that holds never misses here, and no plan exceeds a bound: else it is a fault of AegisRT. What a witness
    // does is up to who wrote it.
    let is_exceeded = seen.iter().any(|seen| seen.exceeded > 0) || modes.iter().any(|mode| mode.late > 0);
    let is_missed = seen.iter().any(|seen| seen.misses > 0 || seen.refused > 0);
    if arguments.witness.is_none() && (is_exceeded || is_missed && checked.passes()) {
        return Err(Failure::internal("a simulated response exceeds its proven bound"));
    }
    if is_missed || !checked.passes() { Err(Failure::Findings) } else { Ok(()) }
}

fn create(path: &Path) -> Result<TraceOut, Failure> {
    let create = || {
        Ok(match Form::of(path) {
            Form::Lines => TraceOut::Lines(Box::new(std::io::BufWriter::new(std::fs::File::create(path)?))),
            Form::Binary => TraceOut::Blocks(Box::new(Files::create(path, None)?)),
        })
    };
    create().map_err(|error: std::io::Error| Failure::Input(format!("cannot write `{}`: {error}", path.display())))
}

fn patterned(system: &SystemDesc, arguments: &Arguments, trace: Option<TraceOut>) -> Result<Simulated, Failure> {
    let length = units::duration(&arguments.duration).map_err(|error| Failure::Input(format!("--for: {error}")))?;
    let pattern = match arguments.pattern {
        Which::Periodic => Pattern::Periodic,
        Which::Critical => Pattern::Critical,
        Which::Random => Pattern::Random { seed: arguments.seed },
    };
    simulate_modes(system, pattern, length, trace).map_err(|error| match error {
        SimulationError::TooLong(_)
        | SimulationError::TooLarge
        | SimulationError::ManyRuns
        | SimulationError::Trace(_) => Failure::Input(error.to_string()),
        error => Failure::internal(error),
    })
}

fn replayed(system: &SystemDesc, file: &Path, trace: Option<TraceOut>) -> Result<Vec<Observed>, Failure> {
    let text = read(file)?;
    let refuse = |why: &dyn std::fmt::Display| Failure::Input(format!("`{}` is no witness: {why}", file.display()));
    let witness: Witness = toml::from_str(&text).map_err(|error| refuse(&error))?;
    if witness.schema != witness::SCHEMA {
        return Err(refuse(&format!("its schema is `{}`, not `{}`", witness.schema, witness::SCHEMA)));
    }
    if witness.system != system.name {
        return Err(refuse(&format!("it is of the vehicle `{}`, the manifest's is `{}`", witness.system, system.name)));
    }
    replay_into(system, &witness, trace).map_err(|error| refuse(&error))
}

/// A task's bound, where the plan has one.
fn bound(task: &TaskDesc) -> Option<Duration> {
    (task.response_bound != Duration::MAX).then_some(task.response_bound)
}

fn ratio(task: &TaskDesc, seen: &Observed) -> Option<u64> {
    let bound = bound(task)?.as_ns();
    let ppm = u128::from(seen.response.as_ns()) * 1_000_000 / u128::from(bound.max(1));
    Some(u64::try_from(ppm).unwrap_or(u64::MAX))
}

/// How long changes of the mode took; nothing where there was none.
fn changes(system: &SystemDesc, seen: &[ObservedMode]) -> String {
    if seen.iter().all(|mode| mode.left == 0) {
        return String::new();
    }
    let mut shown = table(&["mode", "left", "longest change", "bound"]);
    for (mode, seen) in system.modes.iter().zip(seen) {
        let leaves = if mode.leaves == Duration::MAX { "-".to_owned() } else { show(mode.leaves) };
        shown.add_row([mode.name.to_owned(), seen.left.to_string(), show(seen.longest), leaves]);
    }
    for column in shown.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{shown}\n")
}

fn human(system: &SystemDesc, seen: &[Observed]) -> String {
    let mut shown = table(&["task", "jobs", "longest response", "bound", "observed / bound", "deadline", "misses"]);
    for (task, seen) in system.tasks.iter().zip(seen) {
        let percent = |ppm: u64| format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100);
        shown.add_row([
            task.name.to_owned(),
            seen.jobs.to_string(),
            show(seen.response),
            bound(task).map_or_else(|| "-".to_owned(), show),
            ratio(task, seen).map_or_else(|| "-".to_owned(), percent),
            show(task.deadline),
            seen.misses.to_string(),
        ]);
    }
    for column in shown.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{shown}\n")
}
