//! What a domain's process tells of the device that a lane of it runs on: the vehicle does not open that device, and yet is to know
//! it.
//!
//! ```text
//!  process: opened, compared with the plan, divided ─▶ numbers in the answer to the first order ─▶ vehicle: voids, clocks, heat
//! ```
//!
//! A device that is not the planned one the process refuses itself: its models are not loaded, and the vehicle does not start.

use crate::gpu::{Found, Pci};
use aegis_cuda::Version;
use aegis_linux::worker::page::Figures;

/// What is told, as bits of the first number.
const TOLD: u64 = 1;
const DIVIDED: u64 = 2;
const ALL_QUEUES: u64 = 4;
const INTEGRATED: u64 = 8;
const PCI: u64 = 16;

/// What a process answers when it has loaded the models of a lane on this device.
pub(super) fn told(found: &Found) -> Figures {
    let bit = |is: bool, bit: u64| if is { bit } else { 0 };
    let Found { driver, is_divided, has_all_queues, integrated, pci } = found;
    let bits = TOLD
        | bit(*is_divided, DIVIDED)
        | bit(*has_all_queues, ALL_QUEUES)
        | bit(*integrated, INTEGRATED)
        | bit(pci.is_some(), PCI);
    let version = u64::from(driver.major) << 32 | u64::from(driver.minor);
    let place = pci.map_or(0, |Pci(domain, [bus, device, function])| {
        let [a, b, c, d] = domain.to_be_bytes();
        u64::from_be_bytes([a, b, c, d, 0, bus, device, function])
    });
    Figures { numbers: [bits, version, place, 0, 0, 0], control: 0 }
}

/// Likewise read; `None` where it is none of what a process may say.
pub(super) fn read(figures: &Figures) -> Option<Found> {
    let [bits, version, place, 0, 0, 0] = figures.numbers else { return None };
    let has = |bit: u64| bits & bit != 0;
    if !has(TOLD) || bits & !(TOLD | DIVIDED | ALL_QUEUES | INTEGRATED | PCI) != 0 {
        return None;
    }
    let [a, b, c, d, 0, bus, device, function] = place.to_be_bytes() else { return None };
    let half = |number: u64| u32::try_from(number & u64::from(u32::MAX)).ok();
    Some(Found {
        driver: Version { major: half(version >> 32)?, minor: half(version)? },
        is_divided: has(DIVIDED),
        has_all_queues: has(ALL_QUEUES),
        integrated: has(INTEGRATED),
        pci: has(PCI).then_some(Pci(u32::from_be_bytes([a, b, c, d]), [bus, device, function])),
    })
}

#[cfg(test)]
mod tests {
    use super::{Figures, Found, Pci, Version, read, told};

    #[test]
    fn what_a_process_tells_of_a_device_is_read_as_it_was_written_and_all_else_is_refused() {
        let found = Found {
            driver: Version { major: 13, minor: 2 },
            is_divided: true,
            has_all_queues: false,
            integrated: false,
            pci: Some(Pci(0x0001_0002, [0xc1, 0x1f, 7])),
        };
        for own in [found.clone(), Found { pci: None, is_divided: false, has_all_queues: true, ..found.clone() }] {
            assert_eq!(read(&told(&own)), Some(own));
        }
        let honest = told(&found);
        for (at, wrong) in [(0, 0), (0, 33), (0, u64::MAX), (2, u64::MAX), (3, 1), (5, u64::MAX)] {
            let mut figures = honest;
            figures.numbers[at] = wrong;
            assert_eq!(read(&figures), None, "{figures:?}");
        }
        assert_eq!(read(&Figures::default()), None, "that of a lane on a CPU");
    }
}
