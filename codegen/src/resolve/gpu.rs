//! What GPUs have, whether lanes can have what they ask of them, and whether models were measured on it.

use super::Resolver;
use crate::device::{self, Facts};
use crate::finding::{Code, Finding};
use crate::lock::{Input, sha256};
use crate::manifest::{self, LaneKind, Partition, is_path};
use crate::profile::{GpuConditions, ModelProfile, SegmentFacts};
use crate::system;
use aegis_core::desc::{MemoryControl, Waiting};
use std::collections::BTreeSet;
use toml::Spanned;

/// The grade of memory that no device serves.
const MEASURED: &str = MemoryControl::Measured.name();

impl Resolver<'_> {
    /// What is known of each device of the manifest. Findings say what is wrong with their profiles, their memory, and the parts of
    /// them that lanes ask for.
    pub(super) fn gpus(&mut self) -> Vec<Option<Facts>> {
        let devices = &self.loaded.manifest.devices;
        let all: Vec<Option<Facts>> = devices.iter().map(|device| self.facts_of(device.profile.as_ref()?)).collect();
        for (index, (device, facts)) in devices.iter().zip(&all).enumerate() {
            let (Some(facts), Some(profile)) = (facts, &device.profile) else { continue };
            self.memory_of(device, profile, facts);
            self.parts_of(index, profile, facts);
        }
        all
    }

    /// What a device's profile tells; one that is a file is listed as an input.
    fn facts_of(&mut self, profile: &Spanned<String>) -> Option<Facts> {
        let given = profile.get_ref();
        let facts = if is_path(given) {
            let text = match std::fs::read_to_string(self.loaded.folder().join(given)) {
                Ok(text) => text,
                Err(error) => {
                    let message = format!("cannot read the device's profile `{given}`: {error}");
                    let help = "write it on the vehicle's machine with `aegis device probe`; the path is relative to the manifest's folder";
                    self.error(Code::ProfileUnreadable, &profile.span(), message, "named here", help);
                    return None;
                }
            };
            if !self.inputs.iter().any(|input| input.path == *given) {
                self.inputs.push(Input { path: given.clone(), sha256: sha256(text.as_bytes()) });
            }
            device::parse(&text).and_then(|profile| profile.facts())
        } else if let Some(built_in) = device::built_in(given) {
            built_in.facts()
        } else {
            let known: Vec<&str> = device::built_ins().iter().map(|device| device.name.as_str()).collect();
            let message = format!("there is no built-in profile `{given}` of a device");
            let help = format!(
                "this version has {}; a device of another kind is told by `aegis device probe`, whose file's path ends in \".toml\"",
                known.join(", ")
            );
            self.error(Code::UnknownValue, &profile.span(), message, "not known", &help);
            return None;
        };
        facts
            .map_err(|why| {
                let message = format!("`{given}` is not a device's profile: {why}");
                let help = "write it again with `aegis device probe`";
                self.error(Code::ProfileUnreadable, &profile.span(), message, "named here", help);
            })
            .ok()
    }

    /// A device grants no more than it has.
    fn memory_of(&mut self, device: &manifest::Device, profile: &Spanned<String>, facts: &Facts) {
        let granted = device.memory.get_ref().0;
        if granted <= facts.memory_bytes {
            return;
        }
        let (name, has) = (device.name.get_ref(), facts.memory_bytes);
        let message = format!("the device `{name}` grants {granted} bytes to models, and has {has} bytes");
        let finding = Finding::error(Code::DeviceMemory, message);
        let finding = finding.at(&self.loaded.file, device.memory.span(), "more than there is");
        let finding = finding.also(&self.loaded.file, profile.span(), format!("says {has} bytes"));
        self.findings.push(finding.help("grant less than it has: the driver and other processes need memory, too"));
    }

    /// The lanes of a device have whole groups of its SMs, and together no more than there are.
    fn parts_of(&mut self, device: usize, profile: &Spanned<String>, facts: &Facts) {
        let manifest = &self.loaded.manifest;
        let file = &self.loaded.file;
        let of_device = manifest.lanes.iter().filter(|lane| lane.device == Some(device));
        let parts: Vec<(&str, &Partition)> =
            of_device.filter_map(|lane| Some((lane.name.get_ref().as_str(), lane.partition.as_ref()?))).collect();
        let name = manifest.devices.get(device).map_or("", |device| device.name.get_ref());
        let most = facts.divisible;
        let multiple = |sms: u16| sms.checked_rem(facts.step).map_or(0, |rest| sms.saturating_sub(rest));
        let tells = match facts.unit {
            Some(unit) => format!("{} SMs, {most} of them in groups of {unit}", facts.sms),
            None => format!("{} SMs, and its driver makes no groups of them", facts.sms),
        };
        let mut findings = Vec::new();
        for (lane, part) in &parts {
            let sms = *part.sms.get_ref();
            let below = multiple(sms);
            if facts.unit.is_some() && below == sms {
                continue;
            }
            let (message, text, help) = if facts.unit.is_none() {
                (
                    format!("the lane `{lane}` has {sms} SMs of the device `{name}`, which cannot be divided"),
                    "no part of it can be made".to_owned(),
                    "use a newer driver, or another device".to_owned(),
                )
            } else {
                let above = below.saturating_add(facts.step);
                let fitting: Vec<String> =
                    [below, above].iter().filter(|sms| **sms > 0 && **sms <= most).map(u16::to_string).collect();
                let fitting = if fitting.is_empty() { most.to_string() } else { fitting.join(" or ") };
                let step = facts.step;
                (
                    format!(
                        "the lane `{lane}` has {sms} SMs of the device `{name}`, whose parts are multiples of {step}"
                    ),
                    format!("{sms} is not a multiple of {step}"),
                    format!("write sms = {fitting}"),
                )
            };
            let finding = Finding::error(Code::PartSize, message).at(file, part.sms.span(), text);
            findings.push(finding.also(file, profile.span(), tells.clone()).help(help));
        }
        let sum = parts.iter().fold(0_u32, |sum, (_, part)| sum.saturating_add(u32::from(*part.sms.get_ref())));
        if sum > u32::from(most) && facts.unit.is_some() {
            let message =
                format!("the lanes of the device `{name}` have {sum} SMs together, and its driver divides {most}");
            let mut finding = Finding::error(Code::PartsExceeded, message);
            let mut ways = Vec::new();
            for (lane, part) in &parts {
                let sms = *part.sms.get_ref();
                finding = finding.at(file, part.sms.span(), format!("`{lane}` has {sms}"));
                let others = sum.saturating_sub(u32::from(sms));
                let room =
                    u32::from(most).checked_sub(others).and_then(|room| u16::try_from(room).ok()).map_or(0, multiple);
                if room > 0 {
                    ways.push(format!("{room} for `{lane}`"));
                }
            }
            let over = sum.saturating_sub(u32::from(most));
            let help = if ways.is_empty() {
                format!("take {over} SMs away from them together, or move tasks to another lane")
            } else {
                format!("the greatest that fits beside the others as they are: {}", ways.join(", or "))
            };
            findings.push(finding.also(file, profile.span(), tells).help(help));
        }
        self.findings.extend(findings);
    }

    /// A device as the plan has it: only one of which lanes have parts is named there.
    pub(super) fn gpu(&self, device: usize, facts: Option<&Facts>) -> Option<system::Gpu> {
        let manifest = &self.loaded.manifest;
        let is_part = |lane: &&manifest::Lane| lane.device == Some(device) && lane.partition.is_some();
        let facts = facts.filter(|_| manifest.lanes.iter().any(|lane| is_part(&lane)))?;
        // Bounds rest on the device and the driver with which models were measured: also where the profile is a built-in one, which is of
        // no single device.
        let measured = self.measured_gpus.get(&device).map(|(_, gpu)| gpu);
        let name = measured.map_or_else(|| facts.name.clone(), |gpu| gpu.name.clone());
        let driver = measured.map(|gpu| gpu.driver.clone()).or_else(|| facts.driver.clone());
        Some(system::Gpu {
            ordinal: manifest.devices.get(device)?.ordinal,
            name,
            driver: driver.unwrap_or_default(),
            compute_capability: facts.compute_capability,
            sms: facts.sms,
            unit: facts.unit?,
            units: facts.divisible.checked_div(facts.unit?)?,
            context_bytes: self.context(device, None, facts),
            staging: self.staging(device, facts),
        })
    }

    /// The device with whose memory that counts from and to which a GPU's inputs and outputs are copied: its own where it works in
    /// the CPU's memory, otherwise the first one of a CPU.
    fn staging(&self, device: usize, facts: &Facts) -> Option<u16> {
        let cpu = || self.loaded.manifest.devices.iter().position(|other| other.kind == LaneKind::Cpu);
        let counts = if facts.integrated { Some(device) } else { cpu() };
        u16::try_from(counts?).ok()
    }

    /// A model of a part of a GPU was measured on one that is no larger, and in the same way; one of a CPU's lane on its core.
    pub(super) fn compare_part(
        &mut self,
        path: &Spanned<String>,
        profile: &ModelProfile,
        lane: &manifest::Lane,
        model: Option<&str>,
    ) {
        let given = path.get_ref();
        let name = lane.name.get_ref();
        self.not_captured(path, profile);
        match (&lane.partition, &profile.conditions.gpu) {
            (Some(part), Some(gpu)) => {
                let (own, measured) = (*part.sms.get_ref(), gpu.sms);
                if measured > own {
                    let message =
                        format!("profile `{given}` was measured on {measured} SMs, and the lane `{name}` has {own}");
                    let finding = Finding::error(Code::ProfileOfMoreSms, message);
                    let finding = finding.at(&self.loaded.file, path.span(), "its times are too short for the lane");
                    let finding = finding.also(&self.loaded.file, part.sms.span(), format!("{own} SMs"));
                    self.findings.push(
                        finding.help(format!("measure it again with `aegis profile`, or give the lane {measured} SMs")),
                    );
                } else if measured < own {
                    let message = format!("profile `{given}` was taken on {measured} SMs, lane `{name}` has {own}");
                    self.warn_of(Code::ProfileConditions, path, message, "measure it on as many SMs as the lane has");
                }
                let completion = part.completion.name();
                if gpu.completion != completion {
                    let message = format!(
                        "profile `{given}` was taken with completion \"{}\", lane `{name}` has \"{completion}\"",
                        gpu.completion
                    );
                    let help = "measure it as the lane waits";
                    if part.completion == Waiting::Blocking {
                        // Being woken takes longer than looking.
                        let text = "its times are too short for the lane";
                        self.error(Code::ProfileOfAnotherPart, &path.span(), message, text, help);
                    } else {
                        self.warn_of(Code::ProfileConditions, path, message, help);
                    }
                }
                let measured =
                    |segment: &SegmentFacts| segment.memory == MEASURED && profile.conditions.engines.is_none();
                if let Some(number) = profile.segments.iter().position(measured) {
                    let number = number.saturating_add(1);
                    let message =
                        format!("profile `{given}` has a segment, number {number}, whose memory is only measured");
                    let text = "a device has no memory besides what is planned";
                    self.error(
                        Code::ProfileUnreadable,
                        &path.span(),
                        message,
                        text,
                        "measure it again with `aegis profile`",
                    );
                }
                self.beside_no_one(path, profile, lane);
                self.without_what_others_brought(path, gpu, lane);
                self.in_a_circle(path, gpu, lane, model);
                self.compare_gpus(path, gpu, lane);
            }
            (Some(part), None) => {
                let sms = *part.sms.get_ref();
                let message =
                    format!("profile `{given}` was measured on a CPU, and the lane `{name}` has {sms} SMs of a GPU");
                let finding = Finding::error(Code::ProfileOfAnotherPart, message);
                let finding = finding.at(&self.loaded.file, path.span(), "it has no [conditions.gpu]");
                let finding = finding.also(&self.loaded.file, part.sms.span(), "the lane's part");
                self.findings.push(finding.help("measure it on the lane's part with `aegis profile`"));
            }
            (None, Some(gpu)) if lane.kind == LaneKind::Cpu => {
                let message = format!(
                    "profile `{given}` was measured on {} SMs of {}, and the lane `{name}` is a CPU's",
                    gpu.sms, gpu.name
                );
                let finding = Finding::error(Code::ProfileOfAnotherPart, message);
                let finding = finding.at(&self.loaded.file, path.span(), "it has [conditions.gpu]");
                let finding = finding.also(&self.loaded.file, lane.span.clone(), "this lane is a CPU's");
                self.findings.push(finding.help("measure it on the lane's core with `aegis profile`"));
            }
            (None, _) => {}
        }
    }

    /// Each segment that is no graph is told: its time depends on each launch.
    fn not_captured(&mut self, path: &Spanned<String>, profile: &ModelProfile) {
        for (number, segment) in (1_usize..).zip(&profile.segments) {
            let Some(why) = &segment.not_captured else { continue };
            let which = if profile.segments.len() > 1 { format!("segment {number} of ") } else { String::new() };
            let message = format!(
                "{which}the model of profile `{}` is launched kernel by kernel, not as one captured graph: {why}",
                path.get_ref()
            );
            let help = "its part holds, but its time depends on how soon each launch comes: mend what the reason says, or accept it";
            self.warn_of(Code::NotCaptured, path, message, help);
        }
    }

    /// Where other lanes work on the same device, a time that was measured alone leaves out what all parts share.
    fn beside_no_one(&mut self, path: &Spanned<String>, profile: &ModelProfile, lane: &manifest::Lane) {
        let mut others = self.loaded.manifest.lanes.iter().filter(|other| !std::ptr::eq(*other, lane));
        let neighbour = others.find(|other| other.device == lane.device && other.partition.is_some());
        let Some(neighbour) = neighbour.filter(|_| profile.segments.iter().any(|segment| segment.alone.is_none()))
        else {
            return;
        };
        let message = format!(
            "profile `{}` was taken alone on its device, and beside lane `{}` the lane `{}` shares its memory's bandwidth and cache",
            path.get_ref(),
            neighbour.name.get_ref(),
            lane.name.get_ref()
        );
        self.warn_of(Code::MeasuredAlone, path, message, "measure it beside a neighbour, as `aegis profile` does");
    }

    /// What a model leaves out of its own memory because another one had brought it is told where that one is not on the device.
    fn without_what_others_brought(&mut self, path: &Spanned<String>, gpu: &GpuConditions, lane: &manifest::Lane) {
        let manifest = &self.loaded.manifest;
        let is_there = |name: &str| {
            let here = manifest.tasks.iter().filter(|task| {
                manifest
                    .lanes
                    .get(task.lane)
                    .is_some_and(|other| other.device == lane.device && other.partition.is_some())
            });
            let mut models = here.filter_map(|task| manifest.models.get(task.model?));
            models.any(|model| model.name.get_ref() == name)
        };
        let gone: Vec<String> =
            gpu.after.iter().filter(|name| !is_there(name)).map(|name| format!("`{name}`")).collect();
        if gone.is_empty() {
            return;
        }
        let message = format!(
            "profile `{}` was taken after {}, which the device has no more: its `weights-bytes` leave out what came with that",
            path.get_ref(),
            gone.join(" and ")
        );
        self.warn_of(
            Code::ProfileConditions,
            path,
            message,
            "measure the device's models together with `aegis profile`",
        );
    }

    /// Where profiles of several measurements each leave out what the next one's model brought, nobody counts it. The last one that closes
    /// such a circle is told.
    fn in_a_circle(&mut self, path: &Spanned<String>, gpu: &GpuConditions, lane: &manifest::Lane, model: Option<&str>) {
        let (Some(device), Some(model)) = (lane.device, model) else { return };
        let known = self.measured_after.entry(device).or_default();
        known.insert(model.to_owned(), gpu.after.clone());
        let mut reached = BTreeSet::new();
        let mut next: Vec<&str> = gpu.after.iter().map(String::as_str).collect();
        while let Some(name) = next.pop() {
            if reached.insert(name) {
                next.extend(known.get(name).into_iter().flatten().map(String::as_str));
            }
        }
        if !reached.contains(model) {
            return;
        }
        let message = format!(
            "profile `{}` was taken after a model whose own was taken after `{model}`: each `weights-bytes` leave out what came with the other",
            path.get_ref()
        );
        self.warn_of(
            Code::ProfileConditions,
            path,
            message,
            "measure the device's models together with `aegis profile`",
        );
    }

    /// The device of a measurement against the manifest's, and against those of the device's other measurements.
    fn compare_gpus(&mut self, path: &Spanned<String>, gpu: &GpuConditions, lane: &manifest::Lane) {
        let Some(device) = lane.device else { return };
        let name = self.loaded.manifest.devices.get(device).map_or("", |device| device.name.get_ref());
        let facts = self.gpus.get(device).and_then(Option::as_ref);
        let expected = facts.map(|facts| {
            let (major, minor) = facts.compute_capability;
            let name = Some(facts.name.clone()).filter(|name| !name.is_empty());
            [name, facts.driver.clone(), Some(format!("{major}.{minor}"))]
        });
        let measured = [&gpu.name, &gpu.driver, &gpu.compute_capability];
        let mut messages = Vec::new();
        for ((what, measured), expected) in
            ["device", "driver", "compute capability"].into_iter().zip(measured).zip(expected.into_iter().flatten())
        {
            if let Some(expected) = expected.filter(|expected| expected != measured) {
                let message = format!(
                    "profile `{}` was taken with the {what} `{measured}`, the profile of device `{name}` says `{expected}`",
                    path.get_ref()
                );
                messages.push((what == "driver", message));
            }
        }
        // A built-in profile is of no single device, so that its measurements can only be compared with each other.
        let is_kind = facts.is_none_or(|facts| facts.driver.is_none());
        let first = self.measured_gpus.entry(device).or_insert_with(|| (path.get_ref().clone(), gpu.clone()));
        if is_kind && (&first.1.name, &first.1.driver) != (&gpu.name, &gpu.driver) {
            let message = format!(
                "profile `{}` was taken on {} with driver {}, but `{}` on {} with driver {}",
                path.get_ref(),
                gpu.name,
                gpu.driver,
                first.0,
                first.1.name,
                first.1.driver
            );
            messages.push((first.1.name == gpu.name, message));
        }
        let help = "measure all profiles of a device on it, with its driver";
        for (is_driver, message) in messages {
            if is_driver {
                self.warn_of(Code::ProfileConditions, path, message, help);
            } else {
                // Times of one GPU bound nothing on another.
                let text = "its times are another device's";
                self.error(Code::ProfileOfAnotherPart, &path.span(), message, text, help);
            }
        }
    }
}
