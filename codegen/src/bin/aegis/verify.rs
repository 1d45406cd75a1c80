//! `aegis verify`: the checker that ships in the vehicle, applied to a lock.

use crate::{Failure, Outcome, print, read};
use aegis_codegen::lock::{Lock, Refused};
use aegis_codegen::{emit, tables};
use aegis_core::desc::SystemDesc;
use aegis_core::verify::Broken;
use std::path::{Path, PathBuf};

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

/// Reads a lock, of this manifest if one is given, and re-proves its plan.
pub(crate) fn proven(path: &Path, manifest: Option<&Path>) -> Result<&'static SystemDesc, Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        eprintln!("error[AEG601]: {error}");
        Failure::Findings
    };
    let lock = Lock::read(path).map_err(|error| match error {
        Refused::Missing(_) | Refused::Unreadable { .. } | Refused::Malformed { .. } => Failure::input(error),
        other => refused(&other),
    })?;
    if let Some(file) = manifest {
        let (parsed, _) = aegis_codegen::manifest::parse(&file.to_string_lossy(), &read(file)?);
        let parsed = parsed
            .ok_or_else(|| Failure::Input(format!("`{}` has errors; `aegis check` shows them", file.display())))?;
        lock.matches(path, parsed.name.get_ref(), file).map_err(|error| refused(&error))?;
    }
    let system = tables::leak(&lock).map_err(|error| refused(&error))?;
    aegis_core::verify::verify(system).map_err(|violation| refused(&Broken { system, violation }))?;
    Ok(system)
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let system = proven(&arguments.lock, arguments.manifest.as_deref())?;
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
