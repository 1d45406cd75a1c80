//! A vehicle's crate as Cargo sees it.

use crate::Failure;
use aegis_codegen::resolve::Loaded;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A vehicle's crate.
pub(crate) struct Vehicle {
    /// Its `Cargo.toml`.
    pub(crate) manifest: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// The `Cargo.toml` of the target library, which carries the probe.
    host: PathBuf,
    /// The vehicle's name.
    name: String,
}

impl Vehicle {
    /// Asks Cargo for the crate that a manifest names.
    pub(crate) fn find(loaded: &Loaded) -> Result<Self, Failure> {
        let folder = loaded.folder().join(loaded.manifest.crate_dir.get_ref());
        let manifest = folder.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(Failure::Input(format!(
                "there is no crate at `{}`: a vehicle needs a Cargo.toml, a build.rs and a main.rs; `crate` in [system] says where",
                folder.display()
            )));
        }
        let output = cargo()
            .args(["metadata", "--format-version=1", "--manifest-path"])
            .arg(&manifest)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| Failure::Input(format!("cannot run cargo: {error}")))?;
        if !output.status.success() {
            return Err(Failure::Input(format!("cargo cannot read `{}`", manifest.display())));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).map_err(Failure::internal)?;
        let target = metadata.get("target_directory").and_then(Value::as_str).map(PathBuf::from);
        let target = target.ok_or_else(|| Failure::internal("cargo metadata names no target folder"))?;
        let packages = metadata.get("packages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let host = packages.iter().find(|package| package.get("name").and_then(Value::as_str) == Some("aegis-host"));
        let host = host.and_then(|package| package.get("manifest_path")).and_then(Value::as_str).map(PathBuf::from);
        let host = host.ok_or_else(|| {
            Failure::Input(format!(
                "the crate `{}` does not depend on a target library (`aegis-host`)",
                manifest.display()
            ))
        })?;
        Ok(Self { manifest, target, host, name: loaded.manifest.name.get_ref().clone() })
    }

    /// The folder for what `aegis` makes of this vehicle.
    pub(crate) fn output(&self) -> PathBuf {
        self.target.join("aegis").join(&self.name)
    }

    /// Builds the probe and says where it lies.
    pub(crate) fn build_probe(&self) -> Result<PathBuf, Failure> {
        self.build(&self.host, &["--bin", "aegis-host-probe"], None, "building the probe")
    }

    /// Builds the vehicle's binary, with another lock than the one beside the manifest if given, and puts it under the
    /// vehicle's name into [`Vehicle::output`].
    pub(crate) fn build_binary(&self, lock: Option<&Path>) -> Result<PathBuf, Failure> {
        let built = self.build(&self.manifest, &[], lock, &format!("building {}", self.name))?;
        let binary = self.output().join(&self.name);
        let place = || {
            std::fs::create_dir_all(self.output())?;
            let beside = binary.with_extension(format!("{}.tmp", std::process::id()));
            std::fs::copy(&built, &beside)?;
            std::fs::rename(&beside, &binary)
        };
        place().map_err(|error| Failure::Input(format!("cannot write `{}`: {error}", binary.display())))?;
        Ok(binary)
    }

    fn build(&self, manifest: &Path, extra: &[&str], lock: Option<&Path>, what: &str) -> Result<PathBuf, Failure> {
        let mut command = cargo();
        command
            .args(["build", "--release", "--message-format=json-render-diagnostics", "--manifest-path"])
            .arg(manifest);
        command.arg("--target-dir").arg(&self.target).args(extra);
        match lock {
            Some(lock) => command.env(aegis_codegen::build_rs::LOCK_VARIABLE, lock),
            None => command.env_remove(aegis_codegen::build_rs::LOCK_VARIABLE),
        };
        let spinner = spinner(what);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::Input(format!("cannot run cargo: {error}")))?;
        let stderr = child.stderr.take();
        let progress = spinner.clone();
        let what = what.to_owned();
        let words = std::thread::spawn(move || {
            let mut words = Vec::new();
            for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()).map_while(Result::ok) {
                let line = line.trim().to_owned();
                progress.set_message(format!("{what}: {}", line.split(" (").next().unwrap_or(&line)));
                words.push(line);
            }
            words
        });
        let mut executable = None;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let message: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
                if let Some(path) = message.get("executable").and_then(Value::as_str) {
                    executable = Some(PathBuf::from(path));
                }
            }
        }
        let status = child.wait().map_err(Failure::internal)?;
        let words = words.join().unwrap_or_default();
        spinner.finish_and_clear();
        if !status.success() {
            for line in words {
                eprintln!("{line}");
            }
            return Err(Failure::Input(format!("cargo could not build `{}`", manifest.display())));
        }
        executable.ok_or_else(|| Failure::Input(format!("the crate `{}` has no binary", manifest.display())))
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A spinner with the time passed, on terminals only.
pub(crate) fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
