//! `aegis plan`.

use crate::output::write_atomically;
use crate::{Failure, Outcome, print, read, show_findings};
use aegis_codegen::check::{Options, check};
use aegis_codegen::report::memory;
use std::path::PathBuf;

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The manifest.
    #[arg(default_value = "system.toml")]
    manifest: PathBuf,
    /// What is printed on the standard output.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Also draw the memory map into a file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// The plan's form.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Text for people.
    Human,
    /// Schema `aegis.plan/2`.
    Json,
}

/// A plan that does not hold is shown too, as far as there is one: what does not fit wants seeing most.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let file = arguments.manifest.to_string_lossy().into_owned();
    let text = read(&arguments.manifest)?;
    let checked = check(&file, text.clone(), Options::default()).map_err(Failure::internal)?;
    show_findings(&checked.findings, &file, &text);
    let report = memory::of(&checked, &file, &text);
    if let (Some(path), Some(_)) = (&arguments.svg, &checked.layout) {
        write_atomically(path, &memory::svg::render(&report))
            .map_err(|error| Failure::Input(format!("--svg: cannot write `{}`: {error}", path.display())))?;
    }
    match arguments.format {
        Format::Json => print(&report.json().map_err(Failure::internal)?),
        Format::Human if report.models.is_empty() && checked.passes() => {
            print("no models, so there is no memory to plan\n");
        }
        Format::Human => print(&memory::text::render(&report)),
    }
    if checked.passes() { Ok(()) } else { Err(Failure::Findings) }
}
