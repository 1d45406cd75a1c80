//! `aegis simulate`.

use crate::build::load_sound;
use crate::{Failure, Outcome, print, show_findings};
use aegis_codegen::check::{check_loaded, show};
use aegis_codegen::manifest::units;
use aegis_codegen::report::table::table;
use aegis_codegen::simulate::{Observed, Pattern, simulate};
use aegis_codegen::tables;
use aegis_core::desc::SystemDesc;
use comfy_table::CellAlignment;
use serde::Serialize;
use std::path::PathBuf;

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
    /// Print schema `aegis.simulation/1` instead of a table.
    #[arg(long)]
    json: bool,
}

/// A pattern's name.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// Phases and periods as planned, everything at its longest and latest.
    Periodic,
    /// For each task the releases that delay it most.
    Critical,
    /// Drawn from what the plan permits.
    Random,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'a str,
    system: &'a str,
    tasks: Vec<Task<'a>>,
}

#[derive(Serialize)]
struct Task<'a> {
    name: &'a str,
    jobs: u64,
    misses: u64,
    exceeded: u64,
    refused: u64,
    response_ns: u64,
    bound_ns: u64,
    observed_over_bound_ppm: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let (loaded, findings) = load_sound(&arguments.manifest)?;
    let checked = check_loaded(&loaded, findings, None).map_err(Failure::internal)?;
    show_findings(&checked.findings, &loaded.file, &loaded.text);
    let Some(lock) = &checked.lock else { return Err(Failure::Findings) };
    let system = tables::leak(lock).map_err(Failure::internal)?;
    let length = units::duration(&arguments.duration).map_err(|error| Failure::Input(format!("--for: {error}")))?;
    let pattern = match arguments.pattern {
        Which::Periodic => Pattern::Periodic,
        Which::Critical => Pattern::Critical,
        Which::Random => Pattern::Random { seed: arguments.seed },
    };
    let seen = simulate(system, pattern, length).map_err(Failure::internal)?;
    if arguments.json {
        let tasks = system.tasks.iter().zip(&seen).map(|(task, seen)| Task {
            name: task.name,
            jobs: seen.jobs,
            misses: seen.misses,
            exceeded: seen.exceeded,
            refused: seen.refused,
            response_ns: seen.response.as_ns(),
            bound_ns: task.response_bound.as_ns(),
            observed_over_bound_ppm: ratio(task.response_bound.as_ns(), seen),
        });
        let report = Report { schema: "aegis.simulation/1", system: system.name, tasks: tasks.collect() };
        let json = serde_json::to_string_pretty(&report).map_err(Failure::internal)?;
        print(&format!("{json}\n"));
    } else {
        print(&human(system, &seen));
    }
    // A plan that holds never misses here: an observed response above its bound is a fault of AegisRT.
    if seen.iter().any(|seen| seen.exceeded > 0 || seen.misses > 0 || seen.refused > 0) {
        return Err(Failure::internal("a simulated response exceeds its proven bound"));
    }
    Ok(())
}

fn ratio(bound: u64, seen: &Observed) -> u64 {
    let ppm = u128::from(seen.response.as_ns()) * 1_000_000 / u128::from(bound.max(1));
    u64::try_from(ppm).unwrap_or(u64::MAX)
}

fn human(system: &SystemDesc, seen: &[Observed]) -> String {
    let mut shown = table(&["task", "jobs", "longest response", "bound", "observed / bound", "misses"]);
    for (task, seen) in system.tasks.iter().zip(seen) {
        let ppm = ratio(task.response_bound.as_ns(), seen);
        shown.add_row([
            task.name.to_owned(),
            seen.jobs.to_string(),
            show(seen.response),
            show(task.response_bound),
            format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100),
            seen.misses.to_string(),
        ]);
    }
    for column in shown.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{shown}\n")
}
