//! Packages of pip, installed into folders of their own.

use crate::fetched::root;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Installs packages into a folder of this name in the build folder, once; `what` are their names, and options of pip.
///
/// # Errors
/// Pip's words, or the system's.
pub fn installed(name: &str, what: &[&str]) -> Result<PathBuf, String> {
    once(name, |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]);
        run(pip.arg("--target").arg(folder).args(what))
    })
}

/// The folder of this name in the build folder; where there is none, what `install` puts into an empty one.
pub(crate) fn once(name: &str, install: impl FnOnce(&Path) -> Result<Output, String>) -> Result<PathBuf, String> {
    let tools = root().join("target/tools");
    let folder = tools.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&tools).map_err(|error| error.to_string())?;
    let fresh = tempfile::tempdir_in(&tools).map_err(|error| error.to_string())?;
    install(fresh.path())?;
    // Whoever comes second finds it there, which is as good.
    let moved = std::fs::rename(fresh.path(), &folder);
    if folder.is_dir() { Ok(folder) } else { moved.map(|()| folder).map_err(|error| error.to_string()) }
}

/// A program's output; where it fails, its words.
pub(crate) fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let words = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(output) } else { Err(words()) }
}
