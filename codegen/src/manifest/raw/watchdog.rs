//! `[watchdog]`.

use aegis_core::desc::OnStall;
use aegis_core::time::Duration;
use toml::Spanned;

use crate::finding::{Code, Finding};
use crate::manifest::reader::Section;

/// How the vehicle watches itself.
pub(crate) struct Watchdog {
    pub(crate) timeout: Option<Spanned<Duration>>,
    /// Whether a device is petted, and if so which; the outer one is `None` where it is not readable.
    pub(crate) device: Option<Option<Spanned<String>>>,
    pub(crate) on_stall: Option<OnStall>,
}

pub(super) fn watchdog(root: &mut Section<'_>) -> Option<Watchdog> {
    let mut section = root.top("watchdog")?;
    let time = |section: &mut Section<'_>, key| section.duration(key, false);
    let timeout = section.required("timeout", "timeout = \"500ms\"", time);
    let device = if section.has("device") { device(&mut section).map(Some) } else { Some(None) };
    let on_stall = if section.has("on-stall") {
        section.choice("on-stall", &OnStall::ALL.map(|answer| (answer.name(), answer)), &[]).map(Spanned::into_inner)
    } else {
        Some(OnStall::StopPetting)
    };
    section.finish();
    Some(Watchdog { timeout, device, on_stall })
}

/// The path must mean the same wherever the vehicle is started.
fn device(section: &mut Section<'_>) -> Option<Spanned<String>> {
    let device = section.text("device")?;
    if device.get_ref().starts_with('/') {
        return Some(device);
    }
    let message = format!("`device` of [watchdog] must be an absolute path, not `{}`", device.get_ref());
    let finding = Finding::error(Code::WatchdogDevice, message);
    let finding = finding.at(section.sink.file, device.span(), "this depends on where the vehicle is started");
    section.sink.push(finding.help("name the whole path, such as \"/dev/watchdog\""));
    None
}
