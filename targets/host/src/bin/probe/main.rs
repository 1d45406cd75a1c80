//! `aegis-host-probe`: one JSON request on standard input, one JSON answer on standard output.

// Changes the process's environment before there is another thread.
#![allow(unsafe_code)]

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: the program has no other thread yet.
    unsafe { aegis_cuda::ask_for_all_queues() };
    if let Some(status) = aegis_host::probe::take_role() {
        return ExitCode::from(status);
    }
    let mut request = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut request) {
        eprintln!("aegis-host-probe: the request cannot be read: {error}");
        return ExitCode::from(2);
    }
    match aegis_host::probe::answer(&request, Some(Path::new("/proc/self/exe"))) {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("aegis-host-probe: {error}");
            ExitCode::from(error.status())
        }
    }
}
