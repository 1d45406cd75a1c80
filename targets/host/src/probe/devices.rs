//! The devices that a request names, each opened once.

use super::context::{self, Taken};
use super::protocol::{DeviceAnswer, Request};
use super::sharing::{self, Sharing};
use aegis_cuda::{Device, DeviceFacts};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Each by its number; where it could not be opened, why.
#[derive(Debug, Default)]
pub(super) struct Devices(BTreeMap<u16, Result<Arc<Device>, String>>);

impl Devices {
    /// Opens all that models run on, and the one that is asked for.
    pub(super) fn open(request: &Request) -> Self {
        let used = request.models.iter().filter_map(|model| model.gpu.as_ref()).map(|gpu| gpu.ordinal);
        let all = used.chain(request.device);
        let open = |ordinal| (ordinal, Device::open(ordinal).map_err(|error| error.to_string()));
        Self(all.map(open).collect())
    }

    /// The device of a number.
    pub(super) fn get(&self, ordinal: u16) -> Result<Arc<Device>, String> {
        let unknown = || Err(format!("device {ordinal} was not asked for"));
        self.0.get(&ordinal).map_or_else(unknown, |device| device.as_ref().map(Arc::clone).map_err(Clone::clone))
    }

    /// The numbers of those that could be opened.
    pub(super) fn ordinals(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().filter(|(_, device)| device.is_ok()).map(|(ordinal, _)| *ordinal)
    }

    /// Those that could be opened, with their numbers.
    pub(super) fn opened(&self) -> impl Iterator<Item = (u16, &Device)> {
        self.0.iter().filter_map(|(ordinal, device)| Some((*ordinal, device.as_deref().ok()?)))
    }

    /// What is measured of the device that is asked for, before anything of it is used: what its driver takes of its memory, and,
    /// where `program` can be started again, what processes on it do to each other.
    pub(super) fn measured(&self, request: &Request, program: Option<&Path>) -> Result<Measured, String> {
        let Some(ordinal) = request.device else { return Ok(Measured::default()) };
        let device = self.get(ordinal)?;
        let taken = context::measure(&device).map_err(|error| error.to_string())?;
        let integrated = device.facts().integrated;
        Ok(Measured { taken, sharing: program.map(|program| sharing::measure(program, ordinal, integrated)) })
    }

    /// What is known of those that could be opened; `measured` is of the one that was asked for.
    pub(super) fn answers(&self, asked: Option<u16>, measured: &Measured) -> Vec<DeviceAnswer> {
        let measured = |ordinal| if asked == Some(ordinal) { measured.clone() } else { Measured::default() };
        self.opened().map(|(ordinal, device)| answer(ordinal, device.facts(), measured(ordinal))).collect()
    }
}

/// What is measured of a device.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    taken: Taken,
    /// None where it was not asked for.
    sharing: Option<Result<Sharing, String>>,
}

fn answer(ordinal: u16, facts: &DeviceFacts, Measured { taken, sharing }: Measured) -> DeviceAnswer {
    let (sharing, sharing_error) = match sharing {
        Some(Ok(sharing)) => (Some(sharing), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let (major, minor) = facts.compute_capability;
    DeviceAnswer {
        ordinal,
        name: facts.name.clone(),
        driver: facts.driver.to_string(),
        compute_capability: format!("{major}.{minor}"),
        sms: facts.sms,
        unit: facts.units.map(|units| units.sms),
        units: facts.units.map_or(0, |units| units.count),
        memory_bytes: facts.memory_bytes,
        integrated: facts.integrated,
        exports: facts.exports,
        l2_bytes: facts.l2_bytes,
        clock_khz: facts.clock_khz,
        memory_clock_khz: facts.memory_clock_khz,
        context_bytes: taken.context,
        part_bytes: taken.part,
        sharing,
        sharing_error,
    }
}
