//! Packages of npm, installed into folders of their own.

use crate::fetched::root;
use crate::pip::run;
use std::path::PathBuf;
use std::process::Command;

/// Installs packages into a folder of this name in the build folder, once; `what` are their names with versions.
///
/// # Errors
/// Npm's words, or the system's.
pub fn installed(name: &str, what: &[&str]) -> Result<PathBuf, String> {
    let tools = root().join("target/tools");
    let folder = tools.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&tools).map_err(|error| error.to_string())?;
    let fresh = tempfile::tempdir_in(&tools).map_err(|error| error.to_string())?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix"]);
    run(npm.arg(fresh.path()).args(what))?;
    // Whoever comes second finds it there, which is as good.
    let moved = std::fs::rename(fresh.path(), &folder);
    if folder.is_dir() { Ok(folder) } else { moved.map(|()| folder).map_err(|error| error.to_string()) }
}
