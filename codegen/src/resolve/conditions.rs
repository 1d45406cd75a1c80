//! Clocks, power and heat: what profiles tell, beside what the manifest asks for.
//!
//! A plan states of a core or a device the highest limit that any of its profiles has: none of the times holds for sure below.
//! What a profile does not tell it does not state, unless the manifest asks for it: then that is an error.

use super::Resolver;
use crate::finding::{Code, Finding};
use crate::manifest;
use crate::profile::{Conditions, Readings, State};
use crate::system;
use aegis_core::desc::{LimitDesc, Quantity, Subject};
use aegis_core::units::PoolId;
use toml::Spanned;

const AGAIN: &str = "measure it again with `aegis profile` as the manifest says, or change the manifest";

/// A clock with its limits, of the device and of its memory.
const CLOCKS: [[Quantity; 3]; 2] = [
    [Quantity::LeastClock, Quantity::MostClock, Quantity::Clock],
    [Quantity::LeastMemoryClock, Quantity::MostMemoryClock, Quantity::MemoryClock],
];

impl Resolver<'_> {
    /// What a profile of a lane tells of clocks, power and heat.
    pub(super) fn compare_state(
        &mut self,
        path: &Spanned<String>,
        conditions: &Conditions,
        (lane, core): (&manifest::Lane, u16),
    ) {
        let told = conditions.state.clone().unwrap_or_default();
        if !told.changed.is_empty() {
            let message = format!("while profile `{}` was measured, {}", path.get_ref(), told.changed.join("; "));
            let help = "measure it again with locked clocks, cooled, and without anybody who changes them";
            self.warn_of(Code::StateChanged, path, message, help);
        }
        self.compare_power_mode(path, &told);
        // A lane's own profile is of its thread, also where its models run on a GPU.
        if lane.partition.is_none() || conditions.gpu.is_some() {
            self.locked(path, &told, lane);
        }
        let core = Subject::Core(core);
        for what in Quantity::SET {
            self.state(path, core, what, told.core.get(what));
        }
        let device = lane.device.filter(|_| lane.partition.is_some()).and_then(|device| u16::try_from(device).ok());
        if let Some(device) = device {
            for what in Quantity::SET {
                self.state(path, Subject::Pool(PoolId(device)), what, told.gpu.get(what));
            }
        }
    }

    /// Notes a limit of the plan; the highest of several counts.
    fn state(&mut self, path: &Spanned<String>, of: Subject, what: Quantity, value: Option<u64>) {
        let Some(value) = value else { return };
        let known = self.limits.iter_mut().find(|limit| limit.of == of && limit.what == what);
        let Some(limit) = known else {
            self.limits.push(LimitDesc { of, what, value });
            return;
        };
        let other = limit.value;
        limit.value = other.max(value);
        if other != value {
            let (name, unit) = (what.name(), what.unit());
            let who = match of {
                Subject::Core(core) => format!("core {core}"),
                Subject::Pool(_) => "its device".to_owned(),
            };
            let message = format!(
                "profile `{}` was taken with a {name} of {who} of {value} {unit}, an earlier one with {other} {unit}",
                path.get_ref()
            );
            let help =
                "measure all profiles of a vehicle on one machine in one state; the vehicle asks for the highest";
            self.warn_of(Code::ProfileConditions, path, message, help);
        }
    }

    /// The power mode of a profile against the manifest's, and against that of other profiles.
    fn compare_power_mode(&mut self, path: &Spanned<String>, told: &State) {
        let given = path.get_ref();
        let found = told.power_mode.as_deref();
        if let Some(declared) = &self.loaded.manifest.power_mode {
            let asked = declared.get_ref();
            if found != Some(asked) {
                let was = found.map_or_else(
                    || format!("profile `{given}` does not tell its power mode"),
                    |found| format!("profile `{given}` was measured in the power mode \"{found}\""),
                );
                let message = format!("{was}, the manifest asks for \"{asked}\"");
                let finding = Finding::error(Code::StateDiffers, message);
                let finding = finding.at(&self.loaded.file, path.span(), "its times are of another state");
                let finding = finding.also(&self.loaded.file, declared.span(), "asked for here");
                self.findings.push(finding.help(AGAIN));
            }
            return;
        }
        let Some(found) = found else { return };
        match self.power_mode.clone() {
            None => self.power_mode = Some((given.clone(), found.to_owned())),
            Some((first, other)) if other != found => {
                let message =
                    format!("profile `{given}` was taken in the power mode \"{found}\", but `{first}` in \"{other}\"");
                let help = "measure all profiles of a vehicle on one machine in one state";
                self.warn_of(Code::ProfileConditions, path, message, help);
            }
            Some(_) => {}
        }
    }

    /// Where the manifest says that a device's clocks are locked, a profile has them locked. Where nobody tells the limits, the
    /// clock at the end of the measurement is what the vehicle's has to be.
    fn locked(&mut self, path: &Spanned<String>, told: &State, lane: &manifest::Lane) {
        let Some(number) = lane.device else { return };
        let Some(device) = self.loaded.manifest.devices.get(number) else { return };
        let Some(span) = device.locked.clone() else { return };
        let of_gpu = lane.partition.is_some();
        let (readings, what) = if of_gpu { (told.gpu, "device") } else { (told.core, "core") };
        let name = device.name.get_ref();
        let [own, memory] = CLOCKS;
        let mut wrong = Vec::new();
        for (clock, is_needed) in [(own, true), (memory, of_gpu)] {
            match (is_locked(&readings, clock), is_needed) {
                (Locked::Yes, _) | (Locked::Unknown, false) => {}
                (Locked::At(khz), _) => {
                    let [.., now] = clock;
                    let pool = PoolId(u16::try_from(number).unwrap_or(u16::MAX));
                    self.state(path, Subject::Pool(pool), now, Some(khz));
                }
                (Locked::No(least, most), _) => {
                    let [_, limit, now] = clock;
                    let at =
                        format!("the {} of the {what} could be from {least} to {most} {}", now.name(), limit.unit());
                    wrong.push(at);
                }
                (Locked::Unknown, true) => {
                    let [.., now] = clock;
                    wrong.push(format!("it does not tell the {} of the {what}", now.name()));
                }
            }
        }
        if wrong.is_empty() {
            return;
        }
        let message = format!(
            "profile `{}` was not measured with locked clocks, as the device `{name}` asks for: {}",
            path.get_ref(),
            wrong.join("; ")
        );
        let finding = Finding::error(Code::StateDiffers, message);
        let finding = finding.at(&self.loaded.file, path.span(), "its times are of another state");
        self.findings.push(finding.also(&self.loaded.file, span, "asked for here").help(AGAIN));
    }

    /// All that the plan states: what profiles told, and how warm the manifest lets devices become.
    pub(super) fn conditions(&self) -> system::Conditions {
        let manifest = &self.loaded.manifest;
        let declared = manifest.power_mode.as_ref().map(|mode| mode.get_ref().clone());
        let power_mode = declared.or_else(|| self.power_mode.as_ref().map(|(_, mode)| mode.clone()));
        let mut limits = self.limits.clone();
        for (device, number) in manifest.devices.iter().zip(0_u16..) {
            if let Some(degrees) = &device.max_temperature {
                let value = u64::from(*degrees.get_ref()).saturating_mul(1000);
                limits.push(LimitDesc { of: Subject::Pool(PoolId(number)), what: Quantity::Temperature, value });
            }
        }
        system::Conditions { recheck: manifest.recheck, power_mode: power_mode.unwrap_or_default(), limits }
    }
}

/// Whether a clock was locked.
enum Locked {
    /// By its limits.
    Yes,
    /// By its limits not: the lowest and the highest.
    No(u64, u64),
    /// Nobody tells its lower limit; this is what it was.
    At(u64),
    /// Nothing tells.
    Unknown,
}

fn is_locked(readings: &Readings, [least, most, now]: [Quantity; 3]) -> Locked {
    match (readings.get(least), readings.get(most), readings.get(now)) {
        (Some(least), Some(most), _) if least == most => Locked::Yes,
        (Some(least), Some(most), _) => Locked::No(least, most),
        (_, _, Some(now)) => Locked::At(now),
        _ => Locked::Unknown,
    }
}
