//! `aegis schema` and `aegis completions`: what editors and shells know of manifests and commands.

use crate::output::write_atomically;
use crate::{Failure, Outcome, print};
use aegis_codegen::schema;
use clap::CommandFactory as _;
use std::path::{Path, PathBuf};

/// The arguments of `aegis schema`.
#[derive(clap::Args)]
pub(crate) struct SchemaArguments {
    /// The file to write; the standard output if `-`.
    #[arg(short, long, default_value = "-")]
    output: PathBuf,
    /// Who reads it.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

/// The form of what is known of manifests.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A JSON Schema, for editors.
    Json,
    /// A page of the manual.
    Markdown,
}

/// The arguments of `aegis completions`.
#[derive(clap::Args)]
pub(crate) struct CompletionsArguments {
    /// The shell that reads the script.
    shell: clap_complete::Shell,
}

pub(crate) fn schema(arguments: &SchemaArguments) -> Outcome {
    let text = match arguments.format {
        Format::Json => schema::schema(),
        Format::Markdown => schema::page(),
    };
    let text = text.map_err(Failure::internal)?;
    let output = &arguments.output;
    if output == Path::new("-") {
        print(&text);
        return Ok(());
    }
    write_atomically(output, &text)
        .map_err(|error| Failure::Input(format!("cannot write `{}`: {error}", output.display())))
}

pub(crate) fn completions(arguments: &CompletionsArguments) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::Arguments::command(), "aegis", &mut script);
    print(&String::from_utf8(script).map_err(Failure::internal)?);
    Ok(())
}
