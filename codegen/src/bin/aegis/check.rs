//! `aegis check`.

use crate::{Deny, Failure, Outcome, print, read, show_findings};
use aegis_codegen::build_rs::write_atomically;
use aegis_codegen::check::{Checked, check};
use aegis_codegen::finding::{Code, Finding, Severity};
use aegis_codegen::report;
use std::path::{Path, PathBuf};

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The manifest.
    #[arg(default_value = "system.toml")]
    manifest: PathBuf,
    /// What is printed on the standard output.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Refuse what would only be warned of.
    #[arg(long, value_enum)]
    deny: Option<Deny>,
    /// Refuse a lock that is missing or stale instead of writing it.
    #[arg(long)]
    locked: bool,
    /// Also report how far each number can move before something misses.
    #[arg(long)]
    sensitivity: bool,
    /// Use the profiles in this folder instead of those that the manifest names; writes no lock.
    #[arg(long, value_name = "FOLDER", conflicts_with = "locked")]
    profiles: Option<PathBuf>,
}

/// The report's form.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Tables for people.
    Human,
    /// Schema `aegis.report/1`.
    Json,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let file = arguments.manifest.to_string_lossy().into_owned();
    let text = read(&arguments.manifest)?;
    let mut checked = check(&file, text.clone(), arguments.profiles.as_deref()).map_err(Failure::internal)?;
    if arguments.locked {
        compare_lock(&arguments.manifest, &mut checked)?;
    }
    let denied = arguments.deny == Some(Deny::Warnings)
        && checked.findings.iter().any(|finding| finding.severity == Severity::Warning);
    let passes = checked.passes() && !denied;
    if passes && !arguments.locked && arguments.profiles.is_none() {
        write_lock(&arguments.manifest, &checked)?;
    }
    show_findings(&checked.findings, &file, &text);
    let sensitivity = match (&checked.resolved, &checked.analysis) {
        (Some(resolved), Some(analysis)) if arguments.sensitivity => {
            Some(report::sensitivity::of(&resolved.system, analysis))
        }
        _ => None,
    };
    match arguments.format {
        Format::Json => {
            let json = report::json::render(&checked, &file, &text, passes, sensitivity).map_err(Failure::internal)?;
            print(&json);
        }
        Format::Human => {
            print(&human(&checked, passes));
            print(&sensitivity.map(|limits| limits.render()).unwrap_or_default());
        }
    }
    if passes { Ok(()) } else { Err(Failure::Findings) }
}

/// The tables with the verdict.
pub(crate) fn human(checked: &Checked, passes: bool) -> String {
    let verdict = match (passes, &checked.resolved) {
        (true, _) => "verdict: pass - every deadline is proven, every byte is planned",
        (false, Some(_)) => "verdict: fail",
        (false, None) => "verdict: fail - nothing was analysed",
    };
    format!("{}{verdict}\n", report::table::render(checked))
}

/// Where a manifest's lock lies.
pub(crate) fn lock_path(manifest: &Path) -> PathBuf {
    manifest.with_extension("lock")
}

/// Writes the lock beside the manifest.
pub(crate) fn write_lock(manifest: &Path, checked: &Checked) -> Outcome {
    write_lock_to(&lock_path(manifest), checked)
}

/// Writes the lock of a check that passed.
pub(crate) fn write_lock_to(path: &Path, checked: &Checked) -> Outcome {
    let Some(lock) = &checked.lock else { return Ok(()) };
    let text = lock.text().map_err(Failure::internal)?;
    write_atomically(path, &text).map_err(|error| Failure::Input(format!("cannot write `{}`: {error}", path.display())))
}

/// Adds a finding where the lock beside the manifest is not the one that this check derives.
fn compare_lock(manifest: &Path, checked: &mut Checked) -> Outcome {
    let Some(lock) = &checked.lock else { return Ok(()) };
    let path = lock_path(manifest);
    let expected = lock.text().map_err(Failure::internal)?;
    let present = std::fs::read_to_string(&path).ok();
    if present.as_deref() == Some(&expected) {
        return Ok(());
    }
    let what = if present.is_some() { "is not what the manifest and its profiles give" } else { "is missing" };
    let finding = Finding::error(Code::LockRefused, format!("the lock `{}` {what}", path.display()));
    checked.findings.push(finding.help("run `aegis check`, review the change and commit it"));
    checked.lock = None;
    Ok(())
}
