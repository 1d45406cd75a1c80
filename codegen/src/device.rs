//! What is known of GPUs: profiles that `aegis device probe` writes, and those of some devices that are built in.
//!
//! A manifest's device names one of them. A built-in profile is of a kind of device, a written one of the device that was asked:
//! it has that one's name and driver, too, which are compared with what a model was measured on.

use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// The format of a device's profile.
pub const SCHEMA: &str = "aegis.device-profile/1";

/// The built-in profiles, with their sources.
const BUILT_IN: &str = include_str!("devices.toml");

/// How a process that uses a device may end, as `fault-blackout` and profiles call it: by an illegal address, killed in a kernel, killed
/// in a kernel that does not end, and out of memory.
pub const ENDS: [&str; 4] = ["crash", "kill", "hang", "memory"];

/// What a device told of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeviceProfile {
    /// [`SCHEMA`].
    pub schema: String,
    /// Its name, as its driver tells it.
    pub name: String,
    /// The version of CUDA that its driver has, such as `13.0`.
    pub driver: String,
    /// Its compute capability, such as `9.0`.
    pub compute_capability: String,
    /// Its streaming multiprocessors.
    pub sms: u16,
    /// The SMs of the smallest group that its driver makes; absent where it makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<u16>,
    /// How many such groups it makes at most, which may be less than fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<u16>,
    /// All of its memory.
    pub memory_bytes: u64,
    /// Whether it works in the CPU's memory.
    pub integrated: bool,
    /// Whether its memory can be handed to other processes.
    pub exports: bool,
    /// Its second-level cache.
    pub l2_bytes: u64,
    /// The greatest clock of its SMs.
    pub clock_khz: u32,
    /// The greatest clock of its memory.
    pub memory_clock_khz: u32,
    /// What its driver takes of its memory for a process that uses it, before any model is loaded; absent where nobody told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_bytes: Option<u64>,
    /// What it takes besides for each part of the device with its stream, at most; absent where nobody told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_bytes: Option<u64>,
    /// What it took at most to go from one process' work to another's; absent where nobody measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_switch_ns: Option<u64>,
    /// For how long it kept another process waiting at most, when one that used it ended by an illegal address; absent where nobody
    /// measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blackout_crash_ns: Option<u64>,
    /// The same of one that was killed while a kernel of it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blackout_kill_ns: Option<u64>,
    /// The same of one that was killed while a kernel of it ran that does not end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blackout_hang_ns: Option<u64>,
    /// The same of one that found no memory on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blackout_memory_ns: Option<u64>,
}

/// What is known of a kind of device, and from where.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BuiltIn {
    /// The name in manifests.
    pub name: String,
    /// What its maker calls it.
    pub title: String,
    /// Its compute capability, such as `8.7`.
    pub compute_capability: String,
    /// Its streaming multiprocessors.
    pub sms: u16,
    /// The SMs of the smallest partition.
    pub partition_unit: u16,
    /// Larger ones differ by so many.
    pub partition_step: u16,
    /// How many of the smallest the driver makes, where that was seen; it may be less than fit.
    #[serde(default)]
    pub partition_count: Option<u16>,
    /// All of its memory.
    pub memory_bytes: u64,
    /// Whether it works in the CPU's memory.
    pub integrated: bool,
    /// Its second-level cache.
    pub l2_bytes: u64,
    /// Where each of this is published, or that it was measured.
    pub source: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BuiltIns {
    device: Vec<BuiltIn>,
}

/// What a plan needs of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Its name; empty where any of its kind is meant.
    pub name: String,
    /// The version of its driver, where it is of one device.
    pub driver: Option<String>,
    /// Its compute capability, major and minor.
    pub compute_capability: (u16, u16),
    /// Its streaming multiprocessors.
    pub sms: u16,
    /// The SMs of the smallest group that its driver makes; `None` where it cannot be divided.
    pub unit: Option<u16>,
    /// Each partition's SMs are a multiple of it; at least 1.
    pub step: u16,
    /// The most SMs that can be in partitions.
    pub divisible: u16,
    /// All of its memory.
    pub memory_bytes: u64,
    /// Whether it works in the CPU's memory.
    pub integrated: bool,
    /// What its driver takes for a process that uses it, where that was measured.
    pub context_bytes: Option<u64>,
    /// What it takes besides for each part, where that was measured.
    pub part_bytes: Option<u64>,
    /// What it took at most to go from one process' work to another's, in nanoseconds, where that was measured.
    pub domain_switch_ns: Option<u64>,
    /// For how long it kept other processes waiting at most when one ended, in nanoseconds, in the order of [`ENDS`].
    pub blackouts_ns: [Option<u64>; 4],
}

impl Facts {
    /// What its driver takes of its memory for a process that has so many parts of it, at most 2⁶⁴ − 1; `None` where that was not
    /// measured.
    #[must_use]
    pub fn context_of(&self, parts: usize) -> Option<u64> {
        let parts = u64::try_from(parts).unwrap_or(u64::MAX);
        Some(self.context_bytes?.saturating_add(self.part_bytes?.saturating_mul(parts)))
    }
}

/// All built-in profiles, in the order of their file. (That it can be read is what a test of this module says.)
#[must_use]
pub fn built_ins() -> &'static [BuiltIn] {
    static ALL: OnceLock<Vec<BuiltIn>> = OnceLock::new();
    ALL.get_or_init(|| parse_built_ins(BUILT_IN).unwrap_or_default())
}

/// The built-in profile of a name.
#[must_use]
pub fn built_in(name: &str) -> Option<&'static BuiltIn> {
    built_ins().iter().find(|device| device.name == name)
}

fn parse_built_ins(text: &str) -> Result<Vec<BuiltIn>, toml::de::Error> {
    toml::from_str::<BuiltIns>(text).map(|all| all.device)
}

/// Reads a written profile.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(text: &str) -> Result<DeviceProfile, String> {
    // Before what it has: another version has other keys.
    let table: toml::Table = text.parse().map_err(|error| in_line(text, &error))?;
    match table.get("schema").and_then(toml::Value::as_str) {
        Some(SCHEMA) => toml::from_str(text).map_err(|error| in_line(text, &error)),
        Some(other) => Err(format!("it has the schema `{other}`, here this version reads `{SCHEMA}`")),
        None => Err(format!("it has no schema, here this version reads `{SCHEMA}`")),
    }
}

fn in_line(text: &str, error: &toml::de::Error) -> String {
    let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    format!("line {line}: {}", error.message())
}

/// `9.0` as its two numbers.
fn capability(text: &str) -> Result<(u16, u16), String> {
    let numbers = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    numbers.ok_or_else(|| format!("`{text}` is no compute capability, such as `9.0`"))
}

/// Partitions of which each has a multiple of `unit` and of `step`: their common step, and the most SMs of all.
fn steps(sms: u16, unit: u16, step: u16) -> Result<(u16, u16), String> {
    let (mut a, mut b) = (unit, step);
    while b != 0 {
        (a, b) = (b, a.checked_rem(b).unwrap_or(0));
    }
    let common = unit.checked_div(a).and_then(|part| part.checked_mul(step)).filter(|common| *common > 0);
    let rest = common.and_then(|common| sms.checked_rem(common));
    match (common, rest) {
        (Some(common), Some(rest)) if common <= sms => Ok((common, sms.saturating_sub(rest))),
        _ => Err(format!("{sms} SMs cannot be divided into groups of {unit}")),
    }
}

impl DeviceProfile {
    /// What a plan needs of it.
    ///
    /// # Errors
    /// Which of its numbers contradict each other.
    pub fn facts(&self) -> Result<Facts, String> {
        let (step, divisible) = match self.unit {
            Some(unit) => {
                let (step, whole) = steps(self.sms, unit, unit)?;
                // No more than its driver made of it.
                let made = self.units.map_or(whole, |units| units.saturating_mul(unit));
                if made > whole || made == 0 {
                    let units = self.units.unwrap_or(0);
                    return Err(format!("{units} groups of {unit} are not in {} SMs", self.sms));
                }
                (step, made)
            }
            None => (1, 0),
        };
        Ok(Facts {
            name: self.name.clone(),
            driver: Some(self.driver.clone()),
            compute_capability: capability(&self.compute_capability)?,
            sms: self.sms,
            unit: self.unit,
            step,
            divisible,
            memory_bytes: self.memory_bytes,
            integrated: self.integrated,
            context_bytes: self.context_bytes,
            part_bytes: self.part_bytes,
            domain_switch_ns: self.domain_switch_ns,
            blackouts_ns: [
                self.blackout_crash_ns,
                self.blackout_kill_ns,
                self.blackout_hang_ns,
                self.blackout_memory_ns,
            ],
        })
    }
}

impl BuiltIn {
    /// What a plan needs of it. A partition has at least its unit, in its steps; and it is a whole number of units, because the
    /// targets make partitions of the smallest groups.
    ///
    /// # Errors
    /// Which of its numbers contradict each other.
    pub fn facts(&self) -> Result<Facts, String> {
        let (step, whole) = steps(self.sms, self.partition_unit, self.partition_step)?;
        let made = self.partition_count.map_or(whole, |count| count.saturating_mul(self.partition_unit));
        let divisible = whole.min(made);
        Ok(Facts {
            name: String::new(),
            driver: None,
            compute_capability: capability(&self.compute_capability)?,
            sms: self.sms,
            unit: Some(self.partition_unit),
            step,
            divisible,
            memory_bytes: self.memory_bytes,
            integrated: self.integrated,
            // Of a driver, and so of no kind of device.
            context_bytes: None,
            part_bytes: None,
            domain_switch_ns: None,
            blackouts_ns: [None; 4],
        })
    }
}

#[cfg(test)]
mod tests;
