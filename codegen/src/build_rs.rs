//! The one line of a vehicle's `build.rs`: verifies the lock and renders its tables.
//!
//! It needs neither models nor a solver, only the manifest, the profiles it names, and `system.lock`.

use crate::emit::{self, EmitError};
use crate::lock::{Lock, Refused, sha256};
use crate::tables::{self, Unknown};
use std::path::{Path, PathBuf};

/// The environment variable that names another lock than the one beside the manifest: `aegis run` sets it on a
/// machine for which no lock is committed.
pub const LOCK_VARIABLE: &str = "AEGIS_LOCK";

/// Why a vehicle cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The lock is refused.
    #[error(transparent)]
    Lock(#[from] Refused),
    /// The tables cannot be rendered.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The lock speaks of something unknown.
    #[error(transparent)]
    Tables(#[from] Unknown),
    /// The checker refuses the plan.
    #[error("the lock's plan is not proven: {0}")]
    Violation(#[from] aegis_core::verify::Violation),
    /// The manifest cannot be read.
    #[error("cannot read the manifest {}: {source}", .path.display())]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest is not sound.
    #[error("the manifest {} has errors; `aegis check` shows them", .0.display())]
    Unsound(PathBuf),
    /// The manifest has what no binary of this version can be.
    #[error("{0}")]
    NotBuildable(String),
    /// The plan's periods are not the manifest's.
    #[error("the lock at {} plans {times} times the periods of its manifest, for `aegis run --fit` alone: run `aegis check`", .path.display())]
    Slowed {
        /// Which.
        path: PathBuf,
        /// How many times as long they are.
        times: u64,
    },
    /// A task runs nothing.
    #[error("task `{0}` has no model: such a plan is for analysis and simulation, not for a binary")]
    NoModel(String),
    /// The tables cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Cargo did not set a variable.
    #[error("{0} is not set: this function is for build scripts")]
    NotInCargo(&'static str),
}

/// Renders the plan of `manifest` (a path relative to the crate) to `plan.rs` in Cargo's output folder.
///
/// A refusal ends the build script with its reason.
pub fn render(manifest: &str) {
    if let Err(error) = try_render(manifest) {
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn try_render(manifest: &str) -> Result<(), BuildError> {
    let crate_folder = variable("CARGO_MANIFEST_DIR")?;
    let out = variable("OUT_DIR")?.join("plan.rs");
    let manifest = crate_folder.join(manifest);
    println!("cargo::rerun-if-env-changed={LOCK_VARIABLE}");
    let own = std::env::var_os(LOCK_VARIABLE).map(PathBuf::from);
    let is_committed = own.is_none();
    let path = own.unwrap_or_else(|| manifest.with_extension("lock"));
    for watched in [&manifest, &path] {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    let lock = accepted(&manifest, &path)?;
    if let Some(times) = lock.lock.slowed.filter(|_| is_committed) {
        return Err(BuildError::Slowed { path, times });
    }
    let folder = manifest.parent().unwrap_or(Path::new("."));
    for input in &lock.lock.inputs {
        println!("cargo::rerun-if-changed={}", folder.join(&input.path).display());
    }
    write_atomically(&out, &emit::tables(&lock)?).map_err(|source| BuildError::Write { path: out, source })
}

/// The lock at `path`, if it is the manifest's, unchanged, proven, and every task has a model.
///
/// # Errors
/// [`BuildError`].
pub fn accepted(manifest: &Path, path: &Path) -> Result<Lock, BuildError> {
    let text = std::fs::read_to_string(manifest)
        .map_err(|source| BuildError::Manifest { path: manifest.to_owned(), source })?;
    let (parsed, _) = crate::manifest::parse(&manifest.to_string_lossy(), &text);
    let parsed = parsed.ok_or_else(|| BuildError::Unsound(manifest.to_owned()))?;
    let lock = Lock::read(path)?;
    lock.matches(path, parsed.name.get_ref(), manifest)?;
    aegis_core::verify::verify(tables::leak(&lock)?)?;
    if let Some(task) = lock.plan.tasks.iter().find(|task| task.model.is_none()) {
        return Err(BuildError::NoModel(task.name.clone()));
    }
    if let Some(finding) = crate::manifest::unbuildable("", &parsed).into_iter().next() {
        return Err(BuildError::NotBuildable(finding.message));
    }
    Ok(lock)
}

fn variable(name: &'static str) -> Result<PathBuf, BuildError> {
    std::env::var_os(name).map(PathBuf::from).ok_or(BuildError::NotInCargo(name))
}

/// Writes a file beside its place and renames it, so that no reader sees half of it. An equal file is left alone.
fn write_atomically(path: &Path, text: &str) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|present| sha256(&present) == sha256(text.as_bytes())) {
        return Ok(());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let placed = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    if placed.is_err() {
        // The first error is the one to report; this only tidies.
        let _ = std::fs::remove_file(&beside);
    }
    placed
}
