//! A vehicle without hooks: its networks would run on zeroed inputs, if its plan were not refused.

use std::process::ExitCode;

aegis_host::plan!();

fn main() -> ExitCode {
    plan::vehicle().run()
}
