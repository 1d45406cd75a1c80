//! Prints the demonstration's trace: what the firmware has to print, too.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut trace = String::new();
    let demonstrated = aegis_bare::demonstrate(&mut trace);
    let written = std::io::stdout().write_all(trace.as_bytes());
    if let Err(failed) = demonstrated {
        eprintln!("{failed:?}");
        return ExitCode::FAILURE;
    }
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
