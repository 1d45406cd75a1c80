//! The first steps with a vehicle, and the tools around it: editors, shells, a new crate, and what a change means.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod diff;
mod editor;
mod init;
mod terminal;

use aegis_tests::pip::installed;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn aegis(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis")).args(arguments).current_dir(folder).output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// `taplo`, or `None` with a printed reason where it cannot be had.
fn taplo() -> Option<PathBuf> {
    match installed("taplo-1", &["taplo==0.9.3"]) {
        Ok(folder) => Some(folder.join("bin/taplo")),
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
            eprintln!("skipped: taplo cannot be installed: {why}");
            None
        }
    }
}
