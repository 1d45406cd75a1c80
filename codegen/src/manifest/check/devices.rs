//! The rules of devices that share a memory.

use super::Links;
use crate::finding::{Code, Finding};
use crate::manifest::raw::Raw;
use crate::manifest::reader::Sink;

/// A device draws on the memory of one that has its own, so that each memory has one budget.
pub(super) fn check(raw: &Raw, links: &Links, sink: &Sink<'_>) {
    for (index, (device, link)) in raw.devices.iter().zip(&links.shares).enumerate() {
        let (Some(shares), Some(owner)) = (&device.shares, link.and_then(|link| raw.devices.get(link))) else {
            continue;
        };
        let (name, owner_name) = (device.name.get_ref(), owner.name.get_ref());
        let report = |message: String, label: &str| {
            Finding::error(Code::SharesRefused, message).at(sink.file, shares.span(), label.to_owned())
        };
        if *link == Some(index) {
            let finding = report(format!("the device `{name}` shares its own memory"), "this is the device itself");
            sink.push(finding.help("give it `memory`, or name the device whose memory it draws on"));
        } else if let Some(key) = &owner.shares_key {
            let message = format!(
                "the device `{name}` shares the memory of `{owner_name}`, which shares that of {}",
                owner.shares.as_ref().map_or_else(|| "another".to_owned(), |other| format!("`{}`", other.get_ref()))
            );
            let finding = report(message, "this device has no memory of its own");
            let finding = finding.also(sink.file, key.clone(), "it draws on another's");
            sink.push(finding.help("name the device that has `memory`, or give it to this one"));
        }
    }
}
