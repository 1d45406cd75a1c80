//! `aegis explain`: a finding's code, or a task's bound.

use crate::build::load_sound;
use crate::{Failure, Outcome, print, show_findings};
use aegis_codegen::check::check_loaded;
use aegis_codegen::finding::Code;
use aegis_codegen::report;
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
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    match (&arguments.code, &arguments.task) {
        (_, Some(task)) => explain_task(task, &arguments.manifest),
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
fn explain_task(name: &str, manifest: &std::path::Path) -> Outcome {
    let (loaded, findings) = load_sound(manifest)?;
    let checked = check_loaded(&loaded, findings, None).map_err(Failure::internal)?;
    let (Some(resolved), Some(analysis)) = (&checked.resolved, &checked.analysis) else {
        show_findings(&checked.findings, &loaded.file, &loaded.text);
        return Err(Failure::Findings);
    };
    let system = &resolved.system;
    let Some(position) = system.tasks.iter().position(|task| task.name == name) else {
        let known: Vec<&str> = system.tasks.iter().map(|task| task.name.as_str()).collect();
        return Err(Failure::Input(format!("there is no task `{name}`; the manifest has {}", known.join(", "))));
    };
    print(&report::explain::render(system, analysis, position));
    Ok(())
}
