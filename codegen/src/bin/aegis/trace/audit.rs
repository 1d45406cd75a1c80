//! `aegis trace check`, `aegis trace why` and `aegis trace what-if`.

use super::convert::{Opened, opened, tell};
use crate::build::load_sound;
use crate::verify::proven;
use crate::{Failure, Outcome, print, show_findings};
use aegis_codegen::audit::check::{self, Allow, Check};
use aegis_codegen::audit::what_if::{self, Inputs, Other, same, under, what_if};
use aegis_codegen::audit::why::{self, Search, Selector};
use aegis_codegen::check::{Options, check_loaded};
use aegis_codegen::tables;
use aegis_codegen::trace::Records;
use aegis_core::desc::{Policy, SystemDesc};
use aegis_core::trace::Record;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The output's form.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// For programs: the schema is in the first field.
    Json,
}

/// Which trace, of which plan.
#[derive(clap::Args)]
struct Source {
    /// The trace, in the binary form; its older parts are read with it.
    file: PathBuf,
    /// The lock of the plan that ran; without this `system.lock` in the present folder, or else beside the trace, whichever has
    /// the trace's plan.
    #[arg(long)]
    lock: Option<PathBuf>,
    /// What is printed on the standard output.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// The arguments of `aegis trace check`.
#[derive(clap::Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    source: Source,
    /// Pass where all violations are responses and steps that are explained by what the machine did, as the vehicle measured it, of
    /// each no more than one in each started thousand jobs, and what follows from them: as the vehicle's own exit status has it. A
    /// missed deadline never passes.
    #[arg(long)]
    allow_explained: bool,
    /// Pass where the guarantee was void, if nothing else is wrong.
    #[arg(long)]
    allow_void: bool,
    /// Fail where a record is lost, or the end of the run is missing.
    #[arg(long)]
    require_complete: bool,
}

/// The arguments of `aegis trace why`.
#[derive(clap::Args)]
pub(super) struct WhyArguments {
    /// The job and the trace: `face#12` for the twelfth job of a task, or `req-133` or `133` for a request. With `--latest-miss` or
    /// `--worst` the trace alone.
    #[arg(required = true, num_args = 1..=2, value_names = ["JOB", "FILE"])]
    words: Vec<String>,
    /// The lock of the plan that ran; without this `system.lock` in the present folder, or else beside the trace, whichever has
    /// the trace's plan.
    #[arg(long)]
    lock: Option<PathBuf>,
    /// What is printed on the standard output.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// The last job that missed its deadline, instead of JOB.
    #[arg(long, conflicts_with = "worst")]
    latest_miss: bool,
    /// The job of a task that took longest, instead of JOB.
    #[arg(long, value_name = "TASK")]
    worst: Option<String>,
}

/// The arguments of `aegis trace what-if`.
#[derive(clap::Args)]
pub(super) struct WhatIfArguments {
    #[command(flatten)]
    source: Source,
    /// The policy instead of the plan's.
    #[arg(long, value_enum)]
    policy: Option<Which>,
    /// The lane that has this policy; without it all of them.
    #[arg(long, requires = "policy", value_name = "LANE")]
    lane: Option<String>,
    /// The manifest of another plan.
    #[arg(long, conflicts_with_all = ["policy", "other_lock"], value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The lock of another plan.
    #[arg(long, conflicts_with = "policy", value_name = "FILE")]
    other_lock: Option<PathBuf>,
}

/// A policy's name.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// The earliest absolute deadline first.
    Edf,
    /// Fixed priorities, the shortest period first.
    #[value(alias = "rm")]
    RateMonotonic,
    /// Fixed priorities, the shortest relative deadline first.
    #[value(alias = "dm")]
    DeadlineMonotonic,
    /// Fixed priorities in the order of the recorded plan.
    #[value(alias = "fp")]
    FixedPriority,
    /// A table that repeats.
    #[value(alias = "tt")]
    TimeTriggered,
}

impl Which {
    const fn policy(self) -> Policy {
        match self {
            Self::Edf => Policy::EarliestDeadlineFirst,
            Self::RateMonotonic => Policy::RateMonotonic,
            Self::DeadlineMonotonic => Policy::DeadlineMonotonic,
            Self::FixedPriority => Policy::FixedPriority,
            Self::TimeTriggered => Policy::TimeTriggered,
        }
    }
}

/// Hands over a trace's records one by one, and says what the reader passed over.
fn each(mut records: Records, mut take: impl FnMut(&Record)) -> Outcome {
    for record in records.by_ref() {
        take(&record.map_err(Failure::input)?);
    }
    tell(records.notes());
    Ok(())
}

fn pretty(report: &impl Serialize) -> Result<String, Failure> {
    Ok(format!("{}\n", serde_json::to_string_pretty(report).map_err(Failure::internal)?))
}

pub(super) fn check(arguments: &CheckArguments) -> Outcome {
    let source = &arguments.source;
    let Opened { records, system, .. } = opened(&source.file, source.lock.as_deref())?;
    let mut check = Check::new(system);
    each(records, |record| check.observe(record))?;
    let (explained, void) = (arguments.allow_explained, arguments.allow_void);
    let report = check.finish(Allow { explained, void, only_complete: arguments.require_complete });
    print(&match source.format {
        Format::Human => check::human(&report, &source.file.display().to_string()),
        Format::Json => pretty(&report)?,
    });
    if report.verdict.passes() { Ok(()) } else { Err(Failure::Findings) }
}

pub(super) fn why(arguments: &WhyArguments) -> Outcome {
    let is_selected = arguments.latest_miss || arguments.worst.is_some();
    let (job, file) = match (arguments.words.as_slice(), is_selected) {
        ([file], true) => (None, file),
        ([job, file], false) => (Some(job), file),
        ([_], _) => {
            let why = "`aegis trace why` needs a job and a trace, or a trace with --latest-miss or --worst TASK";
            return Err(Failure::Input(why.to_owned()));
        }
        _ => {
            let why = "a job is named, and selected by --latest-miss or --worst as well: give one of both";
            return Err(Failure::Input(why.to_owned()));
        }
    };
    let Opened { records, system, .. } = opened(Path::new(file), arguments.lock.as_deref())?;
    let selector = match (job, &arguments.worst) {
        (_, Some(task)) => Selector::worst(system, task).map_err(Failure::input)?,
        (Some(job), None) => Selector::parse(system, job).map_err(Failure::input)?,
        (None, None) => Selector::LatestMiss,
    };
    let mut search = Search::new(system, selector);
    each(records, |record| search.observe(record))?;
    let Some(why) = search.finish() else {
        let words = selector.words(system);
        return Err(Failure::Input(format!("`{file}` has no {words}")));
    };
    print(&match arguments.format {
        Format::Human => why::human(&why),
        Format::Json => pretty(&why::json(&why))?,
    });
    Ok(())
}

pub(super) fn what_if_command(arguments: &WhatIfArguments) -> Outcome {
    let source = &arguments.source;
    let Opened { records, system, plan, .. } = opened(&source.file, source.lock.as_deref())?;
    let other = other(arguments, plan)?;
    let mut inputs = Inputs::new(system);
    each(records, |record| inputs.observe(record))?;
    let report = what_if(system, inputs, &other).map_err(|error| Failure::Input(error.to_string()))?;
    print(&match source.format {
        Format::Human => what_if::human(&report),
        Format::Json => pretty(&report)?,
    });
    if report.holds() { Ok(()) } else { Err(Failure::Findings) }
}

fn other(arguments: &WhatIfArguments, plan: &'static SystemDesc) -> Result<Other, Failure> {
    if let Some(policy) = arguments.policy {
        return under(plan, policy.policy(), arguments.lane.as_deref()).map_err(Failure::input);
    }
    if let Some(lock) = &arguments.other_lock {
        let other = proven(lock, None)?;
        return Ok(Other::checked(other, format!("the plan of `{}`", lock.display()), true));
    }
    match &arguments.manifest {
        Some(manifest) => of_manifest(manifest),
        None => Ok(same(plan)),
    }
}

/// The plan of a manifest, or where none holds what is simulated in its place.
fn of_manifest(manifest: &Path) -> Result<Other, Failure> {
    let (loaded, findings) = load_sound(manifest)?;
    let checked = check_loaded(&loaded, findings, Options::default()).map_err(Failure::internal)?;
    show_findings(&checked.findings, &loaded.file, &loaded.text);
    let Some(lock) = checked.lock_or_draft().map_err(Failure::internal)? else { return Err(Failure::Findings) };
    let system = tables::leak(&lock).map_err(Failure::internal)?;
    // What only the exact analysis holds is proven for arrivals at the plan's phases, not for those of a trace.
    let is_proven = checked.passes() && checked.lock.is_some();
    Ok(Other::checked(system, format!("the plan of `{}`", manifest.display()), is_proven))
}
