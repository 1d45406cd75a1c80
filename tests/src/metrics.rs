//! Metrics as text, read for tests; and Debian's `promtool`.

use crate::pip::{once, run};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// All samples of a text: name with labels, and the value as it is written.
///
/// # Panics
/// Where there are two samples of a name with labels, or a line that is none.
#[must_use]
pub fn samples(text: &str) -> BTreeMap<&str, &str> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(samples.insert(name, value).is_none(), "{name} twice");
    }
    samples
}

/// The sum of the values of a name whose labels contain `label`, such as `task="face"`.
///
/// # Panics
/// Where there is none, or one is not a whole number.
#[must_use]
pub fn total(samples: &BTreeMap<&str, &str>, name: &str, label: &str) -> u64 {
    let is_one = |sample: &str| {
        let (own, labels) = sample.split_once('{').unwrap_or((sample, ""));
        own == name && (label.is_empty() || labels.trim_end_matches('}').split(',').any(|one| one == label))
    };
    let own: Vec<u64> =
        samples.iter().filter(|(sample, _)| is_one(sample)).map(|(_, value)| value.parse().unwrap()).collect();
    assert!(!own.is_empty(), "there is no {name} of {label}");
    own.iter().sum()
}

/// `promtool` of the PATH, or out of Debian's package `prometheus`, unpacked into the build folder: what the package would start is
/// not installed.
///
/// # Errors
/// Apt's words, or the system's.
pub fn promtool() -> Result<PathBuf, String> {
    if Command::new("promtool").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok("promtool".into());
    }
    let folder = once("prometheus", |folder| {
        run(Command::new("apt-get").args(["download", "--quiet", "prometheus"]).current_dir(folder))?;
        let mut files = std::fs::read_dir(folder).map_err(|error| error.to_string())?.flatten();
        let package = files.next().ok_or("apt-get left no package")?.path();
        run(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder))
    })?;
    let tool = folder.join("usr/bin/promtool");
    if tool.is_file() { Ok(tool) } else { Err(format!("the package has no `{}`", tool.display())) }
}
