//! Packages of npm, installed into folders of their own.

use crate::pip::{once, run};
use std::path::PathBuf;
use std::process::Command;

/// Installs packages into a folder of this name in the build folder, once; `what` are their names with versions.
///
/// # Errors
/// Npm's words, or the system's.
pub fn installed(name: &str, what: &[&str]) -> Result<PathBuf, String> {
    once(name, |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix"]);
        run(npm.arg(folder).args(what))
    })
}
