//! What tells of the clocks, power and heat of a plan's devices, and of those that the probe measures on.

use crate::gpu::{self, Devices, Elsewhere};
use aegis_core::desc::SystemDesc;
use aegis_cuda::{CudaError, Device, Monitor};
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
    let name = format!("device {}", device.ordinal());
    gauge_by(&name, device.facts().integrated, root, || Monitor::open(device))
}

fn gauge_by(
    name: &str,
    integrated: bool,
    root: &Path,
    open: impl FnOnce() -> Result<Monitor, CudaError>,
) -> Option<Box<dyn Gauge>> {
    if integrated {
        return Some(Box::new(Tree::new(root)));
    }
    match open() {
        Ok(monitor) => Some(Box::new(Monitored(monitor))),
        Err(error) => {
            log::warn!("nobody tells of the clocks and the heat of {name}: {error}");
            None
        }
    }
}

/// What tells of the devices of a plan, each with the number of its first pool and its name. None of them is opened for that: where
/// it is on the bus, the process that has it has told.
pub(crate) fn gauges(system: &SystemDesc, devices: &Devices, elsewhere: &Elsewhere, root: &Path) -> Gauges {
    let gauges = gpu::known(system, devices, elsewhere).filter_map(|(number, pool, found)| {
        let untold = || CudaError::NoMonitor { reason: "its driver does not tell where it is on the bus".to_owned() };
        let open = || Monitor::at(&found.pci.ok_or_else(untold)?.to_string());
        let gauge = gauge_by(&format!("device \"{}\"", pool.name), found.integrated, root, open)?;
        Some((number.0, pool.name.to_owned(), gauge))
    });
    gauges.collect()
}
