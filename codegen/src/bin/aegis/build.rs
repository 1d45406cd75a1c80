//! `aegis build` and `aegis generate`.

use crate::output::write_atomically;
use crate::vehicle::Vehicle;
use crate::{Failure, Outcome, check as check_command, print, read, show_findings};
use aegis_codegen::build_rs::accepted;
use aegis_codegen::check::{Options, check_loaded, load};
use aegis_codegen::emit;
use aegis_codegen::finding::Finding;
use aegis_codegen::lock::Lock;
use aegis_codegen::manifest::unbuildable;
use aegis_codegen::resolve::Loaded;
use std::path::{Path, PathBuf};

/// The arguments of `aegis generate`.
#[derive(clap::Args)]
pub(crate) struct GenerateArguments {
    /// The manifest whose lock is rendered.
    #[arg(default_value = "system.toml")]
    manifest: PathBuf,
    /// The file to write; the standard output if `-`.
    #[arg(short, long, default_value = "-")]
    output: PathBuf,
}

/// Reads a manifest, shows its findings, and goes on only without errors.
pub(crate) fn load_sound(manifest: &Path) -> Result<(Loaded, Vec<Finding>), Failure> {
    let file = manifest.to_string_lossy().into_owned();
    let text = read(manifest)?;
    let (loaded, findings) = load(&file, text.clone());
    match loaded {
        Some(loaded) => Ok((loaded, findings)),
        None => {
            show_findings(&findings, &file, &text);
            Err(Failure::Findings)
        }
    }
}

pub(crate) fn run(manifest: &Path) -> Outcome {
    let (loaded, findings) = load_sound(manifest)?;
    let unbuildable = unbuildable(&loaded.file, &loaded.manifest);
    if !unbuildable.is_empty() {
        show_findings(&unbuildable, &loaded.file, &loaded.text);
        return Err(Failure::Findings);
    }
    let checked = check_loaded(&loaded, findings, Options::default()).map_err(Failure::internal)?;
    show_findings(&checked.findings, &loaded.file, &loaded.text);
    if !checked.passes() || checked.lock.is_none() {
        return Err(Failure::Findings);
    }
    check_command::write_lock(manifest, &checked)?;
    let vehicle = Vehicle::find(&loaded)?;
    let binary = vehicle.build_binary(None)?;
    render(manifest, &check_command::lock_path(manifest), &vehicle.output().join("plan.rs"))?;
    print(&format!("{}\n", binary.display()));
    Ok(())
}

/// Writes the tables of an accepted lock where people can read them.
pub(crate) fn render(manifest: &Path, lock: &Path, output: &Path) -> Outcome {
    let lock = accepted(manifest, lock).map_err(Failure::input)?;
    let tables = emit::tables(&lock).map_err(Failure::internal)?;
    write_atomically(output, &tables)
        .map_err(|error| Failure::Input(format!("cannot write `{}`: {error}", output.display())))
}

pub(crate) fn generate(arguments: &GenerateArguments) -> Outcome {
    let path = check_command::lock_path(&arguments.manifest);
    let refuse = |error: &dyn std::fmt::Display| {
        eprintln!("error[AEG601]: {error}");
        Failure::Findings
    };
    let (loaded, _) = load_sound(&arguments.manifest)?;
    let lock = Lock::read(&path).map_err(|error| refuse(&error))?;
    lock.matches(&path, loaded.manifest.name.get_ref(), &arguments.manifest).map_err(|error| refuse(&error))?;
    let tables = emit::tables(&lock).map_err(|error| refuse(&error))?;
    if arguments.output == Path::new("-") {
        print(&tables);
        return Ok(());
    }
    let output = &arguments.output;
    write_atomically(output, &tables)
        .map_err(|error| Failure::Input(format!("cannot write `{}`: {error}", output.display())))
}
