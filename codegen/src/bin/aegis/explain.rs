//! `aegis explain CODE`.

use crate::{Failure, Outcome, print};
use aegis_codegen::finding::Code;

/// The command's arguments.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A code such as AEG202.
    code: String,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let Some(code) = Code::from_id(&arguments.code) else {
        let known: Vec<&str> = Code::ALL.iter().map(|code| code.id()).collect();
        return Err(Failure::Input(format!("there is no code `{}`; known are {}", arguments.code, known.join(" "))));
    };
    print(&format!("{}: {}\n\n{}\n", code.id(), code.title(), code.explain()));
    Ok(())
}
