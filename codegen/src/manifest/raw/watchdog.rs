//! `[watchdog]`.

use aegis_core::desc::OnStall;
use aegis_core::time::Duration;
use toml::Spanned;

use crate::finding::{Code, Finding};
use crate::manifest::model::Span;
use crate::manifest::reader::Section;

/// How the vehicle watches itself.
pub(crate) struct Watchdog {
    pub(crate) span: Span,
    pub(crate) timeout: Option<Spanned<Duration>>,
    /// Whether a device is petted, and if so which; the outer one is `None` where it is not readable.
    pub(crate) device: Option<Option<Spanned<String>>>,
    pub(crate) on_stall: Option<RawStall>,
}

/// What is done about a stall.
pub(crate) enum RawStall {
    /// What a word says.
    Word(OnStall),
    /// Another mode is gone to; `None` where its name cannot be read.
    Mode(Option<Spanned<String>>),
}

impl RawStall {
    /// The mode's name.
    pub(crate) const fn mode(&self) -> Option<&Spanned<String>> {
        match self {
            Self::Mode(Some(name)) => Some(name),
            _ => None,
        }
    }
}

pub(super) fn watchdog(root: &mut Section<'_>) -> Option<Watchdog> {
    let mut section = root.top("watchdog")?;
    let time = |section: &mut Section<'_>, key| section.duration(key, false);
    let timeout = section.required("timeout", "timeout = \"500ms\"", time);
    let device = if section.has("device") { device(&mut section).map(Some) } else { Some(None) };
    let on_stall =
        if section.has("on-stall") { on_stall(&mut section) } else { Some(RawStall::Word(OnStall::StopPetting)) };
    let span = section.span.clone();
    section.finish();
    Some(Watchdog { span, timeout, device, on_stall })
}

/// A word, or a table that names a mode.
fn on_stall(section: &mut Section<'_>) -> Option<RawStall> {
    if !section.is_table("on-stall") {
        let word = section.choice("on-stall", &OnStall::ALL.map(|answer| (answer.name(), answer)), &[]);
        return word.map(|word| RawStall::Word(*word.get_ref()));
    }
    let mut table = section.section("on-stall", "a word, or a table such as { mode = \"degraded\" }")?;
    let mode = table.required("mode", "mode = \"degraded\"", Section::text);
    table.finish();
    Some(RawStall::Mode(mode))
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
