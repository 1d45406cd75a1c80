//! What `[system]` and `[device.NAME]` say of clocks, power and heat.

use aegis_core::desc::ConditionsDesc;
use aegis_core::time::Duration;
use toml::Spanned;

use crate::finding::{Code, Finding};
use crate::manifest::model::Span;
use crate::manifest::reader::Section;

/// The warmest that a device may be declared to become, in degrees Celsius.
const WARMEST: u16 = 150;

/// What `[system]` says.
pub(crate) struct SystemConditions {
    /// `None` where it is not readable.
    pub(crate) recheck: Option<Duration>,
    pub(crate) power_mode: Option<Spanned<String>>,
}

/// What `[device.NAME]` says.
pub(crate) struct DeviceConditions {
    /// Where `clocks = "locked"` is given.
    pub(crate) locked: Option<Span>,
    /// In degrees Celsius.
    pub(crate) max_temperature: Option<Spanned<u16>>,
}

pub(super) fn system(section: &mut Section<'_>) -> SystemConditions {
    SystemConditions { recheck: recheck(section), power_mode: section.text("power-mode") }
}

fn recheck(section: &mut Section<'_>) -> Option<Duration> {
    if !section.has("recheck") {
        return Some(ConditionsDesc::EMPTY.recheck);
    }
    let given = section.duration("recheck", false)?;
    if (ConditionsDesc::SHORTEST..=ConditionsDesc::LONGEST).contains(given.get_ref()) {
        return Some(given.into_inner());
    }
    let ms = |time: Duration| time.as_ns().div_euclid(1_000_000);
    let (least, most) = (ms(ConditionsDesc::SHORTEST), ms(ConditionsDesc::LONGEST));
    let finding =
        Finding::error(Code::NumberOutOfRange, format!("`recheck` of [system] must be from {least} ms to {most} ms"));
    let finding = finding.at(section.sink.file, given.span(), "out of range");
    section.sink.push(finding.help("it is how often clocks, power and heat are looked at while the vehicle runs"));
    None
}

pub(super) fn device(name: &str, section: &mut Section<'_>) -> DeviceConditions {
    let locked = section.choice("clocks", &[("locked", ())], &[]).map(|given| given.span());
    let max_temperature = section.small("max-temperature");
    if let Some(given) = max_temperature.as_ref().filter(|given| !(1..=WARMEST).contains(given.get_ref())) {
        let message = format!("`max-temperature` of [device.{name}] must be from 1 to {WARMEST} degrees Celsius");
        let finding = Finding::error(Code::NumberOutOfRange, message);
        let finding = finding.at(section.sink.file, given.span(), "out of range");
        section.sink.push(finding.help("it is in whole degrees Celsius, for example max-temperature = 85"));
    }
    DeviceConditions { locked, max_temperature }
}
