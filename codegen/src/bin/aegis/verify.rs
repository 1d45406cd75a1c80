//! `aegis verify`: the checker that ships in the vehicle, applied to a lock.

use crate::{Failure, Outcome, print, read};
use aegis_codegen::lock::Lock;
use aegis_codegen::{emit, manifest, tables};
use std::path::PathBuf;

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The lock.
    #[arg(default_value = "system.lock")]
    lock: PathBuf,
    /// Also compare it with this manifest and the profiles it was made from.
    #[arg(long)]
    manifest: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let refused = |error: &dyn std::fmt::Display| {
        eprintln!("error[AEG601]: {error}");
        Failure::Findings
    };
    let lock = Lock::read(&arguments.lock).map_err(|error| match error {
        aegis_codegen::lock::Refused::Missing(_) | aegis_codegen::lock::Refused::Unreadable { .. } => {
            Failure::input(error)
        }
        other => refused(&other),
    })?;
    if let Some(file) = &arguments.manifest {
        let (parsed, _) = manifest::parse(&file.to_string_lossy(), &read(file)?);
        let parsed = parsed
            .ok_or_else(|| Failure::Input(format!("`{}` has errors; `aegis check` shows them", file.display())))?;
        let folder = file.parent().unwrap_or(std::path::Path::new("."));
        lock.matches(&arguments.lock, parsed.name.get_ref(), folder).map_err(|error| refused(&error))?;
    }
    let system = tables::leak(&lock).map_err(|error| refused(&error))?;
    aegis_core::verify::verify(system).map_err(|violation| refused(&violation))?;
    let terms = emit::terms(system);
    let place =
        if terms <= emit::COMPILE_TIME_TERMS { "also by rustc while it compiles" } else { "too long for rustc" };
    print(&format!(
        "{}: the plan of `{}` is re-proven: {} tasks, {} lanes, {terms} terms ({place})\n",
        arguments.lock.display(),
        system.name,
        system.tasks.len(),
        system.lanes.len(),
    ));
    Ok(())
}
