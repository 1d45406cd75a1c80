//! `aegis check`.

use crate::formats::{Baseline, Format, Output, Reported, apart};
use crate::output::write_atomically;
use crate::{Deny, Failure, Outcome, observe, read, show_findings};
use aegis_codegen::analysis::{Analysis, modes};
use aegis_codegen::check::{Checked, Options, check};
use aegis_codegen::finding::{Code, Finding, Severity, fixed};
use aegis_codegen::report;
use aegis_codegen::system::{Model, System};
use aegis_core::desc::MemoryControl;
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
    /// Also write the report into a file in a format, as in `sarif=report.sarif`; may be given several times.
    #[arg(long, value_name = "FORMAT=PATH")]
    output: Vec<Output>,
    /// Also write the whole report as one page of HTML, which `--output html=PATH` does too. (That of `aegis run --report` is Markdown.)
    #[arg(long, value_name = "PATH")]
    report: Option<PathBuf>,
    /// Also show on that page what a trace of this plan observed. After a run that measured its own profiles name these:
    /// `--profiles target/aegis/NAME/profiles`.
    #[arg(long, value_name = "TRACE")]
    trace: Option<PathBuf>,
    /// Refuse only what got worse since an older report, which `--format json` wrote, and say what.
    #[arg(long, value_name = "REPORT")]
    baseline: Option<PathBuf>,
    /// Refuse what would only be warned of.
    #[arg(long, value_enum)]
    deny: Option<Deny>,
    /// Refuse a lock that is missing or stale instead of writing it.
    #[arg(long)]
    locked: bool,
    /// Change the manifest where a finding says how, and check what comes of it; what is changed is told.
    #[arg(long, conflicts_with = "locked")]
    fix: bool,
    /// Also report how far each number can move before something misses.
    #[arg(long)]
    sensitivity: bool,
    /// Also analyse exactly each lane of strictly periodic non-preemptive tasks; without this only lanes that fail otherwise.
    #[arg(long)]
    exact: bool,
    /// Also write each lane as a task set for another tool into a folder.
    #[arg(long, num_args = 2, value_names = ["TOOL", "FOLDER"])]
    export: Option<Vec<String>>,
    /// Use the profiles in this folder instead of those that the manifest names; writes no lock.
    #[arg(long, value_name = "FOLDER", conflicts_with = "locked")]
    profiles: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let file = arguments.manifest.to_string_lossy().into_owned();
    let mut text = read(&arguments.manifest)?;
    let page = arguments.report.iter().cloned().map(Output::page);
    let outputs: Vec<Output> = arguments.output.iter().cloned().chain(page).collect();
    if arguments.trace.is_some() && arguments.format != Format::Html && !outputs.iter().any(Output::is_page) {
        let why = "it is shown on a page: give `--report PATH`, `--output html=PATH` or `--format html`, too";
        return Err(Failure::Input(format!("--trace: {why}")));
    }
    let lock = lock_path(&arguments.manifest);
    let trace = arguments.trace.iter().map(|trace| ("the trace", trace.as_path()));
    let taken: Vec<(&str, &Path)> =
        [("the manifest", arguments.manifest.as_path()), ("its lock", &lock)].into_iter().chain(trace).collect();
    apart(&outputs, &taken)?;
    let baseline = arguments.baseline.as_deref().map(Baseline::read).transpose()?;
    let options = Options { substitute: arguments.profiles.as_deref(), exact: arguments.exact };
    let mut checked = check(&file, text.clone(), options).map_err(Failure::internal)?;
    for _ in 0..MOST_ROUNDS {
        if !arguments.fix || !fix(&arguments.manifest, &file, &mut text, &checked.findings)? {
            break;
        }
        checked = check(&file, text.clone(), options).map_err(Failure::internal)?;
    }
    let profiles = profiles(&arguments.manifest, &checked, arguments.profiles.as_deref());
    let profiles: Vec<(&str, &Path)> = profiles.iter().map(|path| ("a profile", path.as_path())).collect();
    apart(&outputs, &profiles)?;
    if arguments.exact {
        without_modes(&checked)?;
    }
    if arguments.locked {
        compare_lock(&arguments.manifest, &mut checked)?;
    }
    let denied = arguments.deny == Some(Deny::Warnings)
        && checked.findings.iter().any(|finding| finding.severity == Severity::Warning);
    let passes = checked.passes() && !denied;
    let observed = arguments.trace.as_deref().map(|trace| observe::of(trace, &checked)).transpose()?.flatten();
    if passes && !arguments.locked && arguments.profiles.is_none() {
        write_lock(&arguments.manifest, &checked)?;
    }
    show_findings(&checked.findings, &file, &text);
    if let Some([tool, folder]) = arguments.export.as_deref() {
        export(&checked, tool, Path::new(folder))?;
    }
    let sensitivity = match (&checked.resolved, &checked.analysis) {
        (Some(resolved), Some(analysis)) if arguments.sensitivity => {
            Some(report::sensitivity::of(&resolved.system, analysis))
        }
        _ => None,
    };
    let denies_warnings = arguments.deny == Some(Deny::Warnings);
    let (checked, file, text) = (&checked, file.as_str(), text.as_str());
    let reported = Reported { checked, file, text, passes, denies_warnings, sensitivity, observed };
    reported.write(arguments.format, &outputs)?;
    let refuses = baseline.as_ref().map_or(Ok(!passes), |old| reported.is_worse_than(old))?;
    if refuses { Err(Failure::Findings) } else { Ok(()) }
}

/// The most rounds of changes: each makes at least one, so that more are not needed by what people write.
const MOST_ROUNDS: usize = 100;

/// The files of profiles that a check read.
fn profiles(manifest: &Path, checked: &Checked, substitute: Option<&Path>) -> Vec<PathBuf> {
    let inputs = checked.resolved.as_ref().map_or(&[][..], |resolved| &resolved.inputs);
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let place = |path: &str| match (substitute, Path::new(path).file_name()) {
        (Some(substitute), Some(name)) => substitute.join(name),
        _ => folder.join(path),
    };
    inputs.iter().skip(1).map(|input| place(&input.path)).collect()
}

/// Makes the changes that findings have, and shows these; whether any was made.
fn fix(manifest: &Path, file: &str, text: &mut String, findings: &[Finding]) -> Result<bool, Failure> {
    let (changed, count) = fixed(findings, file, text);
    if count == 0 || changed == *text {
        return Ok(false);
    }
    // What cannot be read any more cannot be fixed any more either.
    if toml::de::DeTable::parse(text).is_ok() && toml::de::DeTable::parse(&changed).is_err() {
        eprintln!("--fix: nothing is changed, since `{file}` would not be TOML any more: make these changes by hand\n");
        return Ok(false);
    }
    let with: Vec<Finding> = findings.iter().filter(|finding| !finding.patches.is_empty()).cloned().collect();
    show_findings(&with, file, text);
    write_atomically(manifest, &changed)
        .map_err(|error| Failure::Input(format!("--fix: cannot write `{}`: {error}", manifest.display())))?;
    eprintln!("--fix: {count} of these changed `{file}`\n");
    *text = changed;
    Ok(true)
}

/// The tables with the verdict.
pub(crate) fn human(checked: &Checked, passes: bool) -> String {
    let verdict = match (passes, &checked.resolved) {
        (true, _) if checked.without_certificate => {
            "verdict: pass - every deadline holds, but not all of it has a certificate: for analysis and simulation only"
        }
        (true, _) => "verdict: pass - every deadline is proven, every byte is planned",
        (false, Some(_)) => "verdict: fail",
        (false, None) => "verdict: fail - nothing was analysed",
    };
    let system = checked.resolved.as_ref().filter(|_| passes).map(|resolved| &resolved.system);
    let but = system.map_or_else(String::new, |system| match &unplanned(system)[..] {
        [] => String::new(),
        [one] => format!(" but those of the model `{one}`, which were only measured"),
        several => format!(" but those of the models `{}`, which were only measured", several.join("`, `")),
    });
    format!("{}{verdict}{but}\n", report::table::render(checked))
}

/// The models of which some memory lies outside of the plan.
fn unplanned(system: &System) -> Vec<&str> {
    let is_measured = |model: &&Model| model.segments.iter().any(|segment| segment.memory == MemoryControl::Measured);
    system.models.iter().filter(is_measured).map(|model| model.name.as_str()).collect()
}

/// Writes each lane that `tool` covers; says which it does not cover.
fn export(checked: &Checked, tool: &str, folder: &Path) -> Outcome {
    if tool != "poet" {
        return Err(Failure::Input(format!("--export: there is no tool `{tool}`; known is poet")));
    }
    let (Some(resolved), Some(analysis)) = (&checked.resolved, &checked.analysis) else { return Ok(()) };
    let failed = |path: &Path, error: std::io::Error| {
        Failure::Input(format!("--export: cannot write `{}`: {error}", path.display()))
    };
    let write = |system: &System, analysis: &Analysis, folder: &Path, of: &str| {
        std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        for (position, lane) in system.lanes.iter().enumerate() {
            match report::poet::lane(system, analysis, position) {
                Ok(text) => {
                    let path = folder.join(format!("{}.yaml", lane.name));
                    write_atomically(&path, &text).map_err(|error| failed(&path, error))?;
                }
                Err(why) => eprintln!("--export: lane `{}`{of} is not exported: {why}", lane.name),
            }
        }
        Ok(())
    };
    let system = &resolved.system;
    if system.modes.is_empty() {
        return write(system, analysis, folder, "");
    }
    // A lane is a task set in each mode: a folder for each.
    let mut modes = system.modes.iter().zip(&analysis.modes);
    modes.try_for_each(|(mode, found)| {
        let of = format!(" in mode `{}`", mode.name);
        write(&modes::alone(system, mode), &found.analysis, &folder.join(&mode.name), &of)
    })
}

/// Refuses the exact analysis of a system with modes: it knows one start, from which all arrivals follow.
pub(crate) fn without_modes(checked: &Checked) -> Outcome {
    let has_modes = checked.resolved.as_ref().is_some_and(|resolved| !resolved.system.modes.is_empty());
    if has_modes {
        let why = "the exact analysis does not cover modes, whose tasks begin at other instants than their phases";
        return Err(Failure::Input(format!("--exact: {why}")));
    }
    Ok(())
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
    let path = lock_path(manifest);
    if checked.without_certificate && path.exists() {
        let message = format!("the lock `{}` is of another plan: this one has no certificate", path.display());
        let finding = Finding::error(Code::LockRefused, message);
        checked.findings.push(finding.help("remove it, or make every bound suffice"));
        return Ok(());
    }
    let Some(lock) = &checked.lock else { return Ok(()) };
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
