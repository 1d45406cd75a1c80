//! `aegis explain`: a finding's code, or a task's bound.

use crate::build::load_sound;
use crate::check::without_modes;
use crate::output::write_atomically;
use crate::{Failure, Outcome, print, show_findings};
use aegis_codegen::analysis::exact::Limits;
use aegis_codegen::analysis::is_schedulable;
use aegis_codegen::check::{Options, check_loaded};
use aegis_codegen::finding::Code;
use aegis_codegen::report;
use aegis_codegen::simulate::witness::{self, NoWitness};
use aegis_codegen::system::Task;
use aegis_codegen::tables;
use std::path::PathBuf;

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A code such as AEG202.
    #[arg(required_unless_present = "task")]
    code: Option<String>,
    /// Take this task's response bound apart instead.
    #[arg(long, value_name = "NAME", conflicts_with = "code")]
    task: Option<String>,
    /// The task's manifest.
    #[arg(long, default_value = "system.toml")]
    manifest: PathBuf,
    /// Also analyse the task's lane exactly, where that is possible.
    #[arg(long, requires = "task")]
    exact: bool,
    /// Write the arrivals and executions under which the task misses, for `aegis simulate --witness`.
    #[arg(long, value_name = "FILE", requires = "task")]
    witness: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    match (&arguments.code, &arguments.task) {
        (_, Some(task)) => explain_task(task, arguments),
        (Some(code), None) => explain_code(code),
        (None, None) => Err(Failure::Input("name a code, or a task with --task".to_owned())),
    }
}

fn explain_code(code: &str) -> Outcome {
    let Some(code) = Code::from_id(code) else {
        let known: Vec<&str> = Code::ALL.iter().map(|code| code.id()).collect();
        return Err(Failure::Input(format!("there is no code `{code}`; known are {}", known.join(" "))));
    };
    print(&format!("{}: {}\n\n{}\n", code.id(), code.title(), code.explain()));
    Ok(())
}

/// Shown whether the plan holds or not: a bound that is too long wants explaining most.
fn explain_task(name: &str, arguments: &Arguments) -> Outcome {
    let (loaded, findings) = load_sound(&arguments.manifest)?;
    let options = Options { substitute: None, exact: arguments.exact };
    let checked = check_loaded(&loaded, findings, options).map_err(Failure::internal)?;
    if arguments.exact {
        without_modes(&checked)?;
    }
    let (Some(resolved), Some(analysis)) = (&checked.resolved, &checked.analysis) else {
        show_findings(&checked.findings, &loaded.file, &loaded.text);
        return Err(Failure::Findings);
    };
    let system = &resolved.system;
    let staged = format!("{name}.");
    let matches = |task: &Task| task.name == name || task.name.starts_with(&staged);
    let positions: Vec<usize> =
        (0..system.tasks.len()).filter(|at| system.tasks.get(*at).is_some_and(matches)).collect();
    let Some(last) = positions.last() else {
        let known: Vec<&str> = system.tasks.iter().map(|task| task.name.as_str()).collect();
        return Err(Failure::Input(format!("there is no task `{name}`; the manifest has {}", known.join(", "))));
    };
    for position in &positions {
        print(&report::explain::render(system, analysis, *position));
        let task = system.tasks.get(*position).map(|task| task.name.as_str());
        let origin = resolved.origins.iter().find(|origin| Some(origin.task.as_str()) == task);
        print(&origin.map(report::wcet::render).unwrap_or_default());
    }
    let holds = is_schedulable(system, analysis, *last);
    if holds && arguments.witness.is_none() {
        return Ok(());
    }
    let draft = checked.lock_or_draft().map_err(Failure::internal)?;
    let found = match draft {
        Some(draft) => {
            let plan = tables::leak(&draft).map_err(Failure::internal)?;
            witness::find(system, analysis, plan, *last, Limits::default())
        }
        None => Err(NoWitness::NotFound("nothing was planned".to_owned())),
    };
    match (found, &arguments.witness) {
        (Ok(witness), file) => {
            print(&witness.summary());
            if let Some(file) = file {
                let text = toml::to_string(&witness).map_err(Failure::internal)?;
                let failed = |error| Failure::Input(format!("cannot write `{}`: {error}", file.display()));
                write_atomically(file, &text).map_err(failed)?;
            }
            Ok(())
        }
        (Err(why), None) => {
            print(&format!("no witness: {why}\n"));
            Ok(())
        }
        (Err(why), Some(file)) => Err(Failure::Input(format!("`{}` is not written: {why}", file.display()))),
    }
}
