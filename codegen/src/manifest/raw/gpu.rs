//! The keys of a GPU, and of the part of one that a lane has.

use aegis_core::desc::Waiting;
use aegis_core::time::Duration;
use toml::Spanned;

use crate::device::ENDS;
use crate::finding::{Code, Finding};
use crate::manifest::model::{Partition, Span};
use crate::manifest::reader::Section;

/// The ways to wait by their names in manifests.
const WAYS_TO_WAIT: &[(&str, Waiting)] =
    &[(Waiting::Polling.name(), Waiting::Polling), (Waiting::Blocking.name(), Waiting::Blocking)];

/// What `[device.NAME]` says of a GPU.
pub(crate) struct DeviceGpu {
    /// Where `ordinal` is given, be it readable or not.
    pub(crate) ordinal_key: Option<Span>,
    /// 0 where it is not given.
    pub(crate) ordinal: Option<u16>,
    /// Where `profile` is given, be it readable or not.
    pub(crate) profile_key: Option<Span>,
    pub(crate) profile: Option<Spanned<String>>,
    /// Where `fault-blackout` is given, be it readable or not.
    pub(crate) blackout_key: Option<Span>,
    /// In the order of [`ENDS`].
    pub(crate) blackouts: [Option<Spanned<Duration>>; 4],
}

/// What `[lane.NAME]` says of its part of a GPU.
pub(crate) struct LaneGpu {
    /// Where `sms` is given, be it readable or not.
    pub(crate) sms_key: Option<Span>,
    pub(crate) sms: Option<Spanned<u16>>,
    /// Where `completion` is given, be it readable or not.
    pub(crate) completion_key: Option<Span>,
    pub(crate) completion: Option<Waiting>,
}

impl LaneGpu {
    /// The lane's part, where it has one; the outer one is `None` where some of it cannot be read.
    pub(crate) fn partition(self) -> Option<Option<Partition>> {
        if self.sms_key.is_none() {
            return Some(None);
        }
        Some(Some(Partition { sms: self.sms?, completion: self.completion? }))
    }
}

pub(super) fn device(section: &mut Section<'_>) -> DeviceGpu {
    let ordinal_key = section.key_span("ordinal");
    let ordinal = match ordinal_key {
        Some(_) => section.small("ordinal").map(Spanned::into_inner),
        None => Some(0),
    };
    section.planned(
        &["mps"],
        "CUDA's server that lets processes run on a device at once (MPS) takes its clients with it when one of them faults, and the \
         analysis has no bound for it: leave it out, and processes have the device by turns",
    );
    let blackout_key = section.key_span("fault-blackout");
    DeviceGpu {
        ordinal_key,
        ordinal,
        profile_key: section.key_span("profile"),
        profile: section.text("profile"),
        blackout_key,
        blackouts: blackouts(section),
    }
}

/// What other processes may see of the device when one ends.
fn blackouts(section: &mut Section<'_>) -> [Option<Spanned<Duration>>; 4] {
    let expected = "a table such as { crash = \"160ms\", kill = \"20ms\", hang = \"160ms\", memory = \"5ms\" }";
    let Some(mut table) = section.section("fault-blackout", expected) else { return [None, None, None, None] };
    let given = ENDS.map(|end| table.duration(end, true));
    table.finish();
    given
}

pub(super) fn lane(name: &str, section: &mut Section<'_>) -> LaneGpu {
    let sms = section.small("sms");
    if let Some(none) = sms.as_ref().filter(|sms| *sms.get_ref() == 0) {
        let finding = Finding::error(Code::NumberOutOfRange, format!("`sms` of [lane.{name}] must be more than zero"));
        let finding = finding.at(section.sink.file, none.span(), "this is zero");
        section
            .sink
            .push(finding.help("a part of a device is at least one group of its SMs: `aegis device list` tells them"));
    }
    let completion_key = section.key_span("completion");
    let completion = waiting(section, "completion", Waiting::Polling);
    LaneGpu { sms_key: section.key_span("sms"), sms, completion_key, completion }
}

/// How a thread waits, as `key` says, or else as usual.
pub(super) fn waiting(section: &mut Section<'_>, key: &'static str, usual: Waiting) -> Option<Waiting> {
    if section.has(key) { section.choice(key, WAYS_TO_WAIT, &[]).map(Spanned::into_inner) } else { Some(usual) }
}
