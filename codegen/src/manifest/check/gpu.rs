//! The rules of GPUs, and of the parts of them that lanes have.

use std::collections::BTreeMap;

use super::{Links, kind_of};
use crate::finding::{Code, Finding};
use crate::manifest::model::{LaneKind, Span};
use crate::manifest::raw::{Device, Lane, Raw};
use crate::manifest::reader::Sink;

/// Applies them.
pub(super) fn check(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    for (index, device) in raw.devices.iter().enumerate() {
        only_of_gpus(device, sink);
        not_of_gpus(raw, links, (index, device), sink);
    }
    ordinals(raw, sink);
    for (index, lane) in raw.lanes.iter().enumerate() {
        part(raw, links, (index, lane), sink);
    }
    for index in 0..raw.devices.len() {
        divided(raw, links, index, sink);
    }
}

/// A CPU has no number among CUDA devices, and no profile of one.
fn only_of_gpus(device: &Device, sink: &Sink<'_>) {
    if device.kind != Some(LaneKind::Cpu) {
        return;
    }
    let name = device.name.get_ref();
    for (key, span) in [
        ("ordinal", &device.gpu.ordinal_key),
        ("profile", &device.gpu.profile_key),
        ("fault-blackout", &device.gpu.blackout_key),
    ] {
        let Some(span) = span else { continue };
        let message = format!("the device `{name}` is of kind \"cpu\" and has `{key}`, which only a GPU has");
        let finding = Finding::error(Code::UnusedDeviceKey, message).at(sink.file, span.clone(), "no effect here");
        let finding = finding.also(sink.file, device.span.clone(), "this device is a CPU");
        let finding = finding.help(format!("remove `{key}`, or let the device be of kind \"gpu\""));
        sink.push(sink.without(finding, span));
    }
}

/// The memory of a GPU that a vehicle drives is not given back page by page.
fn not_of_gpus(raw: &Raw, links: &Links, (index, device): (usize, &Device), sink: &Sink<'_>) {
    let is_part = |(lane, link): (&Lane, &Option<usize>)| *link == Some(index) && lane.gpu.sms_key.is_some();
    let (Some(LaneKind::Gpu), Some(size)) = (device.kind, &device.page_size) else { return };
    if !raw.lanes.iter().zip(&links.devices).any(is_part) {
        return;
    }
    let message = format!("the device `{}` is a GPU and has `page-size`", device.name.get_ref());
    let finding = Finding::error(Code::Unsupported, message);
    let finding = finding.at(sink.file, size.span(), "nothing of its memory can be given back");
    let finding = finding.help("remove it: this version gives back pages of the CPU's memory only");
    sink.push(sink.without(finding, &size.span()));
}

/// Two devices are never one. One of which nothing is said but its kind is for analysis, and none of the machine's.
fn ordinals(raw: &Raw, sink: &Sink<'_>) {
    let mut seen: BTreeMap<u16, &Device> = BTreeMap::new();
    let is_meant = |device: &&Device| device.gpu.ordinal_key.is_some() || device.gpu.profile_key.is_some();
    for device in raw.devices.iter().filter(|device| device.kind == Some(LaneKind::Gpu)).filter(is_meant) {
        let Some(ordinal) = device.gpu.ordinal else { continue };
        let Some(first) = seen.get(&ordinal) else {
            seen.insert(ordinal, device);
            continue;
        };
        let place = |device: &Device| match &device.gpu.ordinal_key {
            Some(key) => (key.clone(), format!("`{}` has the ordinal {ordinal}", device.name.get_ref())),
            None => (device.span.clone(), format!("`{}` has the ordinal {ordinal} by default", device.name.get_ref())),
        };
        let (one, other) = (first.name.get_ref(), device.name.get_ref());
        let message = format!("the devices `{one}` and `{other}` are one GPU: both have the ordinal {ordinal}");
        let ((span, text), (first_span, first_text)) = (place(device), place(first));
        let finding = Finding::error(Code::SharedOrdinal, message).at(sink.file, span, text);
        let finding = finding.also(sink.file, first_span, first_text);
        sink.push(
            finding
                .help("give each device its own number among the machine's CUDA devices, from 0, or declare it once"),
        );
    }
}

/// A lane has `sms` and `completion` only as a part of a GPU of which the profile is known.
fn part(raw: &Raw, links: &Links, (index, lane): (usize, &Lane), sink: &Sink<'_>) {
    let keys = [("sms", &lane.gpu.sms_key), ("completion", &lane.gpu.completion_key)];
    let given: Vec<(&str, &Span)> = keys.into_iter().filter_map(|(key, span)| Some((key, span.as_ref()?))).collect();
    let Some((key, first)) = given.first().copied() else { return };
    let name = lane.name.get_ref();
    let has = given.iter().map(|(key, _)| format!("`{key}`")).collect::<Vec<_>>().join(" and ");
    let kind = kind_of(raw, links, index);
    let refuse = |why: &str, label: &str| {
        let message = format!("the lane `{name}` has {has}, but {why}");
        let mut finding = Finding::error(Code::PartRefused, message).at(sink.file, first.clone(), label.to_owned());
        for (_, span) in given.iter().skip(1) {
            finding = finding.at(sink.file, (*span).clone(), label.to_owned());
        }
        finding
    };
    if !lane.has_device {
        let Some(kind) = kind else { return };
        let finding = refuse(&format!("is of kind \"{}\" without a device", kind.name()), "of which device?");
        sink.push(
            finding.help(format!("name a device of kind \"gpu\" in `device` instead of `kind`, or remove {has}")),
        );
        return;
    }
    let device = links.devices.get(index).copied().flatten().and_then(|device| raw.devices.get(device));
    let Some(device) = device else { return };
    let device_name = device.name.get_ref();
    match kind {
        Some(LaneKind::Cpu) => {
            let finding = refuse(&format!("its device `{device_name}` is of kind \"cpu\""), "not on a CPU");
            let finding = finding.also(sink.file, device.span.clone(), "this device is a CPU");
            sink.push(finding.help(format!("remove {has}, or name a device of kind \"gpu\"")));
        }
        Some(LaneKind::Gpu) if lane.gpu.sms_key.is_none() => {
            let finding = refuse("no `sms`, so no part of the device is its own", "of how many SMs?");
            let finding = finding.also(sink.file, lane.span.clone(), "`sms` is missing here");
            sink.push(
                finding.help(format!("add `sms`, the SMs of `{device_name}` that are the lane's, or remove `{key}`")),
            );
        }
        Some(LaneKind::Gpu) if device.gpu.profile_key.is_none() => {
            let sms = lane.gpu.sms.as_ref().map_or_else(|| "SMs".to_owned(), |sms| format!("{} SMs", sms.get_ref()));
            let message = format!("the lane `{name}` has {sms} of the device `{device_name}`, which has no `profile`");
            let finding =
                Finding::error(Code::NoDeviceProfile, message).at(sink.file, first.clone(), "a part of what?");
            let finding = finding.also(sink.file, device.span.clone(), "`profile` is missing here");
            sink.push(finding.help(
                "add the name of a built-in profile, which `aegis device list` tells, or the path of what `aegis device probe` wrote",
            ));
        }
        _ => {}
    }
}

/// Where one lane has a part of a device, each other one with tasks has: nothing would separate them otherwise.
fn divided(raw: &Raw, links: &Links, device: usize, sink: &Sink<'_>) {
    let lanes = || raw.lanes.iter().enumerate().filter(|(index, _)| links.devices.get(*index) == Some(&Some(device)));
    let Some((part, key)) = lanes().find_map(|(_, lane)| Some((lane, lane.gpu.sms_key.as_ref()?))) else { return };
    let is_gpu = raw.devices.get(device).is_some_and(|device| device.kind == Some(LaneKind::Gpu));
    let device = raw.devices.get(device).map_or("", |device| device.name.get_ref());
    for (index, lane) in lanes().filter(|(_, lane)| is_gpu && lane.gpu.sms_key.is_none()) {
        if !links.lanes.contains(&Some(index)) {
            continue;
        }
        let (name, other) = (lane.name.get_ref(), part.name.get_ref());
        let sms = part.gpu.sms.as_ref().map_or_else(|| "SMs".to_owned(), |sms| format!("{} SMs", sms.get_ref()));
        let message = format!(
            "the lanes `{other}` and `{name}` share the device `{device}`: `{other}` has {sms} of it, `{name}` has no `sms`"
        );
        let finding = Finding::error(Code::UndividedLane, message);
        let finding = finding.at(sink.file, lane.span.clone(), "its segments would run on any SM");
        let finding = finding.also(sink.file, key.clone(), format!("`{other}` has a part of its own"));
        sink.push(finding.help("give each lane of the device that has tasks its own `sms`"));
    }
}
