//! `aegis diff`.

use crate::{Failure, Outcome, print, read};
use aegis_codegen::check::{Checked, Options, check};
use aegis_codegen::diff::{ChainBounds, Side, Verdict, diff, json, text};
use aegis_codegen::lock::Lock;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A manifest, or a lock (a file that ends in `.lock`).
    old: PathBuf,
    /// Likewise, to be compared with it.
    new: PathBuf,
    /// What is printed on the standard output.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Exit with status 1 if anything differs, as `git diff` does.
    #[arg(long)]
    exit_code: bool,
}

/// The output's form.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table for people.
    Human,
    /// Schema `aegis.diff/1`.
    Json,
}

/// What a file says.
struct Read {
    file: String,
    lock: Lock,
    verdict: Verdict,
    blocking: BTreeMap<String, u64>,
    chains: Option<Vec<ChainBounds>>,
}

impl Read {
    fn from(path: &Path) -> Result<Self, Failure> {
        let file = path.to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "lock") {
            let lock = Lock::read(path).map_err(Failure::input)?;
            return Ok(Self { file, lock, verdict: Verdict::Pass, blocking: BTreeMap::new(), chains: None });
        }
        let checked = check(&file, read(path)?, Options::default()).map_err(Failure::internal)?;
        let Some(lock) = checked.lock_or_draft().map_err(Failure::internal)? else {
            let why = checked.findings.iter().find(|finding| finding.is_error()).map_or("", |first| &first.message);
            return Err(Failure::Input(format!("`{file}` has errors ({why}); `aegis check {file}` shows them all")));
        };
        let verdict = match checked.passes() {
            true if checked.without_certificate => Verdict::WithoutCertificate,
            true => Verdict::Pass,
            false => Verdict::Fail,
        };
        Ok(Self { file, lock, verdict, blocking: blocking(&checked), chains: Some(chains(&checked)) })
    }

    fn side(&self) -> Side<'_> {
        let Self { file, lock, verdict, blocking, chains } = self;
        let (file, blocking, chains) = (file.clone(), blocking.clone(), chains.clone());
        Side { file, plan: &lock.plan, verdict: *verdict, blocking, chains }
    }
}

fn blocking(checked: &Checked) -> BTreeMap<String, u64> {
    let (Some(resolved), Some(analysis)) = (&checked.resolved, &checked.analysis) else { return BTreeMap::new() };
    let all = resolved.system.tasks.iter().zip(&analysis.tasks);
    all.map(|(task, found)| (task.name.clone(), found.blocking.as_ns())).collect()
}

fn chains(checked: &Checked) -> Vec<ChainBounds> {
    let (Some(resolved), Some(analysis)) = (&checked.resolved, &checked.analysis) else { return Vec::new() };
    let all = resolved.system.chains.iter().zip(&analysis.chains);
    let bounds = all.map(|(chain, found)| ChainBounds {
        name: chain.name.clone(),
        max_reaction_ns: chain.max_reaction.map(aegis_core::Duration::as_ns),
        max_age_ns: chain.max_age.map(aegis_core::Duration::as_ns),
        reaction_ns: found.as_ref().map(|found| found.reaction),
        age_ns: found.as_ref().map(|found| found.age),
    });
    bounds.collect()
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let (old, new) = (Read::from(&arguments.old)?, Read::from(&arguments.new)?);
    let (old, new) = (old.side(), new.side());
    let found = diff(&old, &new);
    print(&match arguments.format {
        Format::Human => text(&old, &new, &found),
        Format::Json => json(&old, &new, &found).map_err(Failure::internal)?,
    });
    if arguments.exit_code && !found.is_empty() { Err(Failure::Findings) } else { Ok(()) }
}
