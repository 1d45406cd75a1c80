//! What tells of the clocks, power and heat of a plan's devices, and of those that the probe measures on.

use crate::gpu::Devices;
use aegis_core::desc::SystemDesc;
use aegis_cuda::{Device, Monitor};
use aegis_linux::conditions::{Gauge, Gauges, GpuState, Readings, Tree};
use std::path::Path;

/// A device that NVIDIA's management library tells of.
#[derive(Debug)]
struct Monitored(Monitor);

impl Gauge for Monitored {
    fn read(&mut self) -> GpuState {
        let reading = self.0.read();
        GpuState {
            readings: Readings {
                clock_khz: reading.sm_clock_khz,
                least_clock_khz: None,
                most_clock_khz: reading.most_sm_clock_khz,
                memory_clock_khz: reading.memory_clock_khz,
                least_memory_clock_khz: None,
                most_memory_clock_khz: reading.most_memory_clock_khz,
                power_limit_mw: reading.power_limit_mw,
                temperature_mc: reading.temperature_mc,
            },
            slowed: (!reading.slowed.is_empty()).then(|| reading.slowed.join(", ")),
            slowdowns: reading.slowed_ns,
        }
    }
}

/// What tells of a device: files where it works in the CPU's memory, NVIDIA's management library elsewhere; `None` where that
/// library is missing or does not know the device.
pub(crate) fn gauge(device: &Device, root: &Path) -> Option<Box<dyn Gauge>> {
    if device.facts().integrated {
        return Some(Box::new(Tree::new(root)));
    }
    match Monitor::open(device) {
        Ok(monitor) => Some(Box::new(Monitored(monitor))),
        Err(error) => {
            log::warn!("nobody tells of the clocks and the heat of device {}: {error}", device.ordinal());
            None
        }
    }
}

/// What tells of the devices of a plan's pools, each with its pool's number and name.
pub(crate) fn gauges(system: &SystemDesc, devices: &Devices, root: &Path) -> Gauges {
    let pools = (0_u16..).zip(system.pools).zip(devices);
    let gauges = pools.filter_map(|((number, pool), device)| {
        let gauge = gauge(device.as_ref()?, root)?;
        Some((number, pool.name.to_owned(), gauge))
    });
    gauges.collect()
}
