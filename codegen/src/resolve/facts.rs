//! Reads profiles and compares their conditions.

use super::Resolver;
use crate::finding::{Code, Finding};
use crate::lock::{Input, sha256};
use crate::manifest;
use crate::profile::{Conditions, Statistics};
use aegis_core::desc::{Backend, Waiting};
use serde::de::DeserializeOwned;
use toml::Spanned;

impl Resolver<'_> {
    /// Threads that looked for what came were quicker than threads that are woken are.
    pub(super) fn compare_waiting(&mut self, path: &Spanned<String>, measured: &str) {
        let own = self.loaded.manifest.waiting;
        if measured == own.name() {
            return;
        }
        let given = path.get_ref();
        let message =
            format!("profile `{given}` was taken with waiting \"{measured}\", the vehicle has \"{}\"", own.name());
        let help = "measure it as the vehicle waits, with `aegis profile`";
        match own {
            Waiting::Blocking => {
                let text = "its times are too short for the vehicle";
                self.error(Code::ProfileOfOtherWaiting, &path.span(), message, text, help);
            }
            Waiting::Polling => self.warn_of(Code::ProfileConditions, path, message, help),
        }
    }

    /// Reads a profile of the format `expected`, lists it as an input, and compares its conditions with those of the
    /// profiles before it.
    pub(super) fn read_profile<T: DeserializeOwned>(
        &mut self,
        path: &Spanned<String>,
        expected: &str,
        parts: impl Fn(&T) -> (Conditions, Vec<Statistics>),
    ) -> Option<T> {
        let given = path.get_ref();
        let file = self.loaded.profile_file(given, self.substitute);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("cannot read profile `{}`: {error}", file.display());
                let help = "measure it on the vehicle's machine with `aegis profile`";
                self.error(Code::ProfileUnreadable, &path.span(), message, "named here", help);
                return None;
            }
        };
        let recorded = self.input_path(given, &file);
        if !self.inputs.iter().any(|input| input.path == recorded) {
            self.inputs.push(Input { path: recorded, sha256: sha256(text.as_bytes()) });
        }
        let again = "measure it again with `aegis profile`";
        if let Ok(table) = text.parse::<toml::Table>() {
            if !table.contains_key("conditions") {
                let message = format!("profile `{given}` does not say under what it was measured");
                let text = "a time without its conditions bounds nothing";
                self.error(Code::ProfileWithoutConditions, &path.span(), message, text, again);
                return None;
            }
            // Before what it has: another version has other keys.
            if let Some(schema) = table.get("schema").and_then(toml::Value::as_str).filter(|schema| *schema != expected)
            {
                let message =
                    format!("profile `{given}` has the schema `{schema}`, here this version reads `{expected}`");
                self.error(Code::ProfileUnreadable, &path.span(), message, "named here", again);
                return None;
            }
        }
        let profile: T = match toml::from_str(&text) {
            Ok(profile) => profile,
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let line = crate::finding::Position::of(&text, span.start).line;
                let message = format!("`{given}` is not a profile: line {line}: {}", error.message());
                self.error(Code::ProfileUnreadable, &path.span(), message, "named here", again);
                return None;
            }
        };
        let (conditions, distributions) = parts(&profile);
        if distributions.iter().any(|distribution| !distribution.is_consistent()) {
            let message =
                format!("the numbers of profile `{given}` are no distribution: no runs, or quantiles out of order");
            self.error(Code::ProfileUnreadable, &path.span(), message, "named here", again);
            return None;
        }
        self.compare_profiles(path, &conditions);
        self.compare_threads(path, &conditions);
        Some(profile)
    }

    /// A profile's path as the lock states it: relative to the manifest's folder where it lies below.
    fn input_path(&self, given: &str, file: &std::path::Path) -> String {
        if self.substitute.is_none() {
            return given.to_owned();
        }
        let folder = self.loaded.folder();
        let below = file.strip_prefix(folder).unwrap_or(file);
        below.to_string_lossy().into_owned()
    }

    fn warn(&mut self, path: &Spanned<String>, message: String, help: &str) {
        self.warn_of(Code::ProfileConditions, path, message, help);
    }

    pub(super) fn warn_of(&mut self, code: Code, path: &Spanned<String>, message: String, help: &str) {
        let finding = Finding::warning(code, message);
        self.findings.push(finding.at(&self.loaded.file, path.span(), "this profile").help(help));
    }

    /// All profiles of a plan must come from one machine in one state.
    fn compare_profiles(&mut self, path: &Spanned<String>, conditions: &Conditions) {
        let Some((first, other)) = self.conditions.clone() else {
            self.conditions = Some((path.get_ref().clone(), conditions.clone()));
            return;
        };
        let (one, two) = (other.machine(), conditions.machine());
        if one != two || other.kernel != conditions.kernel {
            let message = format!(
                "profile `{}` was taken on {}, but `{first}` on {}",
                path.get_ref(),
                describe(conditions),
                describe(&other)
            );
            self.warn(path, message, "measure all profiles of a vehicle on one machine in one state");
        }
    }

    /// The vehicle's threads have real-time priority, locked memory and one core; a profile of others bounds nothing.
    fn compare_threads(&mut self, path: &Spanned<String>, conditions: &Conditions) {
        let mut warn = |message: String| {
            let finding = Finding::warning(Code::ProfileOfOrdinaryThreads, message);
            let help = "measure it with `aegis profile` where SCHED_FIFO and mlockall are granted";
            self.findings.push(finding.at(&self.loaded.file, path.span(), "this profile").help(help));
        };
        if !conditions.real_time {
            let given = path.get_ref();
            warn(format!("profile `{given}` was taken without real-time priority or without locked memory"));
        }
        if conditions.threads != 1 {
            warn(format!("profile `{}` was taken with {} threads, a lane has one", path.get_ref(), conditions.threads));
        }
    }

    /// Of a lane, or of what is executed for it on `core`.
    pub(super) fn compare_core(
        &mut self,
        path: &Spanned<String>,
        conditions: &Conditions,
        (lane, core): (&manifest::Lane, u16),
    ) {
        let own = *lane.core.get_ref();
        if own >= conditions.cores {
            let message = format!(
                "lane `{}` runs on core {own}, but the machine of profile `{}` has the cores 0 to {}",
                lane.name.get_ref(),
                path.get_ref(),
                conditions.cores.saturating_sub(1)
            );
            let help = "use a core that the machine has, or profile the machine that is meant";
            self.error(Code::NoSuchCore, &lane.core.span(), message, "this core", help);
        } else if conditions.core != core {
            let message = format!(
                "profile `{}` was taken on core {}, {}lane `{}` runs on core {core}",
                path.get_ref(),
                conditions.core,
                if own == core { "" } else { "a process for " },
                lane.name.get_ref()
            );
            let help = if own == core { "measure it on the lane's core" } else { "measure it on the process' core" };
            self.warn(path, message, help);
        }
    }

    pub(super) fn compare_device(&mut self, path: &Spanned<String>, conditions: &Conditions, device: Option<usize>) {
        let Some(device) = device.and_then(|device| self.loaded.manifest.devices.get(device)) else { return };
        let pairs = [
            ("cpu-model", &device.cpu_model, &conditions.cpu_model),
            ("governor", &device.governor, &conditions.governor),
        ];
        for (key, declared, measured) in pairs {
            let Some(declared) = declared else { continue };
            if declared.get_ref() != measured {
                let message = format!(
                    "profile `{}` was taken with {key} `{measured}`, device `{}` declares `{}`",
                    path.get_ref(),
                    device.name.get_ref(),
                    declared.get_ref()
                );
                self.warn(path, message, "measure it on the declared device");
            }
        }
    }

    /// A profile against the runtime of its model's backend, or, where it is of no model, against each.
    pub(super) fn compare_runtime(
        &mut self,
        path: &Spanned<String>,
        conditions: &Conditions,
        backend: Option<Backend>,
    ) {
        for runtime in &self.loaded.manifest.runtimes {
            if backend.is_some_and(|backend| backend.name() != runtime.name.get_ref()) {
                continue;
            }
            let expected = format!("{} {}", runtime.name.get_ref(), runtime.version.get_ref());
            if conditions.runtime != expected {
                let message = format!(
                    "profile `{}` was taken with `{}`, the manifest asks for `{expected}`",
                    path.get_ref(),
                    conditions.runtime
                );
                self.warn(path, message, "measure it with the runtime that the vehicle uses");
            }
        }
    }
}

/// A machine in a few words.
fn describe(conditions: &Conditions) -> String {
    let governor = if conditions.governor.is_empty() { "none" } else { &conditions.governor };
    let Conditions { cpu_model, arch, cores, kernel, .. } = conditions;
    format!("{cpu_model} ({arch}, {cores} cores, governor {governor}, kernel {kernel})")
}
