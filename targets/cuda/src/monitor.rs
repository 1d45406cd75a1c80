//! What NVIDIA's management library (NVML) tells of a device's clocks, power and heat. It is loaded when it is asked for first, and
//! counts devices in its own order: a device is found by its UUID.

use crate::device::Device;
use crate::error::{CudaError, checked};
use cudarc::driver::result::device::{get, get_uuid};
use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, PerformancePolicy, TemperatureSensor};
use nvml_wrapper::error::NvmlError;

/// The reasons for lower clocks that are slow-downs by power or heat. `targets/cuda/bring-up.py` has the same bits.
const SLOWED: [(ThrottleReasons, &str); 5] = [
    (ThrottleReasons::SW_POWER_CAP, "the power limit"),
    (ThrottleReasons::HW_SLOWDOWN, "the hardware's slow-down"),
    (ThrottleReasons::SW_THERMAL_SLOWDOWN, "heat, by the driver"),
    (ThrottleReasons::HW_THERMAL_SLOWDOWN, "heat, by the hardware"),
    (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "the power brake"),
];

/// What is told at one moment; what the library does not tell is `None`, never zero.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MonitorReading {
    /// The clock of the SMs at this moment, in kHz.
    pub sm_clock_khz: Option<u64>,
    /// The highest one that it can have: the lower of the device's and of the application clock, in kHz. A lock
    /// (`nvidia-smi --lock-gpu-clocks`) is not told by the library.
    pub most_sm_clock_khz: Option<u64>,
    /// The memory's clock at this moment, in kHz.
    pub memory_clock_khz: Option<u64>,
    /// Its highest one, in kHz, likewise.
    pub most_memory_clock_khz: Option<u64>,
    /// The power limit that is enforced, in mW.
    pub power_limit_mw: Option<u64>,
    /// The temperature of the chip, in thousandths of a degree Celsius.
    pub temperature_mc: Option<u64>,
    /// Why power or heat slows it down at this moment.
    pub slowed: Vec<&'static str>,
    /// For how long they have done so, in nanoseconds: of use as a difference.
    pub slowed_ns: Option<u64>,
}

/// A device as the management library knows it.
#[derive(Debug)]
pub struct Monitor {
    library: Nvml,
    uuid: String,
}

impl Monitor {
    /// Loads the library and finds the device in it.
    ///
    /// # Errors
    /// [`CudaError::NoMonitor`]: it cannot be loaded, or has no such device. What the driver says.
    pub fn open(device: &Device) -> Result<Self, CudaError> {
        Self::of_number(device.ordinal())
    }

    /// Likewise, of a device that need not be open: this takes none of its memory. The driver is initialised.
    pub(crate) fn of_number(ordinal: u16) -> Result<Self, CudaError> {
        Self::of(uuid_of(ordinal)?)
    }

    /// Likewise, of the device at a place on the PCI bus, such as `0000:3B:00.0`: without the driver of CUDA, which need not be
    /// there.
    ///
    /// # Errors
    /// [`CudaError::NoMonitor`].
    pub fn at(pci: &str) -> Result<Self, CudaError> {
        let missing = |error: NvmlError| CudaError::NoMonitor { reason: error.to_string() };
        let library = Nvml::init().map_err(missing)?;
        let uuid = library.device_by_pci_bus_id(pci).and_then(|device| device.uuid()).map_err(missing)?;
        Ok(Self { library, uuid })
    }

    fn of(uuid: String) -> Result<Self, CudaError> {
        let missing = |error: NvmlError| CudaError::NoMonitor { reason: error.to_string() };
        let library = Nvml::init().map_err(missing)?;
        library.device_by_uuid(uuid.as_str()).map_err(missing)?;
        Ok(Self { library, uuid })
    }

    /// The bytes of its memory that are used at this moment, by all processes and the driver; `None` where that is not told.
    #[must_use]
    pub fn used_bytes(&self) -> Option<u64> {
        let device = self.library.device_by_uuid(self.uuid.as_str()).ok()?;
        device.memory_info().ok().map(|memory| memory.used)
    }

    /// Reads it once.
    #[must_use]
    pub fn read(&self) -> MonitorReading {
        let Ok(device) = self.library.device_by_uuid(self.uuid.as_str()) else { return MonitorReading::default() };
        let policies = [PerformancePolicy::Power, PerformancePolicy::Thermal];
        let slowed = policies.map(|policy| device.violation_status(policy).ok().map(|time| time.violation_time));
        let most = |clock: Clock| [device.max_clock_info(clock).ok(), device.applications_clock(clock).ok()];
        MonitorReading {
            sm_clock_khz: khz([device.clock_info(Clock::SM).ok()]),
            most_sm_clock_khz: khz(most(Clock::SM)),
            memory_clock_khz: khz([device.clock_info(Clock::Memory).ok()]),
            most_memory_clock_khz: khz(most(Clock::Memory)),
            power_limit_mw: device.enforced_power_limit().ok().map(u64::from),
            temperature_mc: device.temperature(TemperatureSensor::Gpu).ok().map(thousand_times),
            slowed: device.current_throttle_reasons().map_or_else(|_| Vec::new(), reasons),
            slowed_ns: slowed.into_iter().flatten().reduce(u64::saturating_add),
        }
    }
}

/// The names of the reasons that are slow-downs.
fn reasons(all: ThrottleReasons) -> Vec<&'static str> {
    SLOWED.into_iter().filter(|(reason, _)| all.contains(*reason)).map(|(_, name)| name).collect()
}

/// The lowest of these clocks, given in MHz; one of 0 is not told.
fn khz<const N: usize>(clocks: [Option<u32>; N]) -> Option<u64> {
    clocks.into_iter().flatten().filter(|mhz| *mhz > 0).min().map(thousand_times)
}

fn thousand_times(number: u32) -> u64 {
    u64::from(number).saturating_mul(1000)
}

/// The UUID of the device of a number, as the library writes it.
fn uuid_of(ordinal: u16) -> Result<String, CudaError> {
    let device = checked("cuDeviceGet", get(i32::from(ordinal)))?;
    let uuid = checked("cuDeviceGetUuid", get_uuid(device))?;
    // Their sign is the platform's.
    Ok(written(uuid.bytes.map(|byte| u8::from_ne_bytes(byte.to_ne_bytes()))))
}

fn written(bytes: [u8; 16]) -> String {
    let mut text = "GPU".to_owned();
    for (position, byte) in bytes.iter().enumerate() {
        if matches!(position, 0 | 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{CudaError, Monitor, khz, reasons, written};
    use nvml_wrapper::bitmasks::device::ThrottleReasons;

    #[test]
    fn the_lowest_clock_counts_and_none_is_never_zero() {
        assert_eq!(khz([Some(1_980), Some(1_410)]), Some(1_410_000));
        assert_eq!((khz([None, Some(1_980)]), khz([Some(0), None])), (Some(1_980_000), None));
    }

    #[test]
    fn only_slow_downs_by_power_and_heat_are_told() {
        let quiet = ThrottleReasons::GPU_IDLE | ThrottleReasons::APPLICATIONS_CLOCKS_SETTING;
        assert_eq!(reasons(quiet), [""; 0]);
        let all = quiet | ThrottleReasons::SW_POWER_CAP | ThrottleReasons::HW_THERMAL_SLOWDOWN;
        assert_eq!(reasons(all), ["the power limit", "heat, by the hardware"]);
        let bits = super::SLOWED.iter().fold(0, |bits, (reason, _)| bits | reason.bits());
        assert_eq!(bits, 0x4 | 0x8 | 0x20 | 0x40 | 0x80, "as in bring-up.py");
    }

    #[test]
    fn a_uuid_is_written_as_the_library_does() {
        let bytes = [0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255];
        assert_eq!(written(bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn without_the_library_or_the_device_that_is_an_error() {
        let error = Monitor::of(written([0; 16])).unwrap_err();
        assert!(matches!(&error, CudaError::NoMonitor { reason } if !reason.is_empty()), "{error}");
        let error = Monitor::at("ffff:ff:1f.0").unwrap_err();
        assert!(matches!(&error, CudaError::NoMonitor { reason } if !reason.is_empty()), "{error}");
    }
}
