//! A device, and what is to be known of it.
// Calls of the driver's functions that cudarc does not wrap.
#![allow(unsafe_code)]

use crate::error::{CudaError, answer, checked};
use crate::monitor::Monitor;
use crate::queues;
use cudarc::driver::CudaContext;
use cudarc::driver::result::device::get_count;
use cudarc::driver::sys::{self, CUdevResource, CUdevResourceType, CUdevice_attribute, cudaError_enum as Code};
use serde::Serialize;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::Arc;

/// A version of CUDA.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Version {
    /// The number before the point.
    pub major: u32,
    /// The number after it.
    pub minor: u32,
}

impl Version {
    /// The driver's number, such as 12040 for 12.4.
    #[must_use]
    pub const fn of(number: u32) -> Self {
        Self { major: number.div_euclid(1000), minor: number.rem_euclid(1000).div_euclid(10) }
    }
}

impl Version {
    /// Whether a driver of it tells the parameters of a kernel: since 12.4.
    pub(crate) fn has_parameters(self) -> bool {
        self >= Self { major: 12, minor: 4 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The first version with green contexts, which are what partitions are made of.
const PARTITIONS: Version = Version { major: 12, minor: 4 };

/// What drivers with green contexts answer for devices without.
const NO_PARTITIONS: [Code; 3] = [
    Code::CUDA_ERROR_NOT_SUPPORTED,
    Code::CUDA_ERROR_INVALID_RESOURCE_TYPE,
    Code::CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION,
];

/// What a device's partitions consist of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct SmUnits {
    /// The SMs of a unit, of which every partition has a whole number.
    pub sms: u32,
    /// How many units there are. SMs that make up no whole unit are in no partition.
    pub count: u32,
}

/// What is to be known of a device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DeviceFacts {
    /// Its name.
    pub name: String,
    /// The version of CUDA that its driver has.
    pub driver: Version,
    /// Its compute capability.
    pub compute_capability: (u32, u32),
    /// Its streaming multiprocessors.
    pub sms: u32,
    /// What partitions consist of; `None` where the driver knows none.
    pub units: Option<SmUnits>,
    /// Its memory, in bytes; where it is part of the CPU's that is this.
    pub memory_bytes: u64,
    /// Whether it works in the CPU's memory.
    pub integrated: bool,
    /// Whether a region can be mapped by another process.
    pub exports: bool,
    /// Bytes of its second-level cache, which partitions share.
    pub l2_bytes: u64,
    /// The highest clock of its SMs, in kHz.
    pub clock_khz: u32,
    /// The highest clock of its memory, in kHz.
    pub memory_clock_khz: u32,
}

/// A device, opened. It keeps the device's primary context, on which no kernel of this crate runs.
#[derive(Debug)]
pub struct Device {
    ordinal: u16,
    context: Arc<CudaContext>,
    facts: DeviceFacts,
    before: Option<Before>,
    has_all_queues: bool,
}

/// What of a device's memory was used before it was opened, and who tells.
#[derive(Debug)]
struct Before {
    monitor: Monitor,
    used: u64,
}

impl Before {
    /// Of the device of a number; `None` where the management library is missing or does not tell.
    fn of(ordinal: u16) -> Option<Self> {
        let monitor = Monitor::of_number(ordinal).ok()?;
        let used = monitor.used_bytes()?;
        Some(Self { monitor, used })
    }
}

impl Device {
    /// Opens the device of a number, counted from 0.
    ///
    /// # Errors
    /// [`CudaError::NoDriver`], [`CudaError::NoSuchDevice`], or what the driver says.
    pub fn open(ordinal: u16) -> Result<Arc<Self>, CudaError> {
        // SAFETY: loading the driver's library runs its initialisers, which are made to be run.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::NoDriver);
        }
        let has_all_queues = queues::are_all();
        if let Err(error) = checked("cuInit", cudarc::driver::result::init()) {
            // A driver without a device, and a library that stands for one where programs are linked.
            return Err(if error.is(Code::CUDA_ERROR_NO_DEVICE) {
                CudaError::NoSuchDevice { ordinal, count: 0 }
            } else if error.is(Code::CUDA_ERROR_STUB_LIBRARY) {
                CudaError::NoDriver
            } else {
                error
            });
        }
        let count = unsigned(checked("cuDeviceGetCount", get_count())?);
        if u32::from(ordinal) >= count {
            return Err(CudaError::NoSuchDevice { ordinal, count });
        }
        // The driver itself tells only of a device that it has a context of, which takes memory.
        let before = Before::of(ordinal);
        let context = checked("cuDevicePrimaryCtxRetain", CudaContext::new(usize::from(ordinal)))?;
        let facts = facts(&context)?;
        Ok(Arc::new(Self { ordinal, context, facts, before, has_all_queues }))
    }

    /// Its number.
    #[must_use]
    pub const fn ordinal(&self) -> u16 {
        self.ordinal
    }

    /// What is known of it.
    #[must_use]
    pub const fn facts(&self) -> &DeviceFacts {
        &self.facts
    }

    /// Whether the driver makes as many queues to it as it can ([`ask_for_all_queues`](crate::ask_for_all_queues)): otherwise streams may
    /// wait for each other although they have SMs of their own.
    #[must_use]
    pub const fn has_all_queues(&self) -> bool {
        self.has_all_queues
    }

    /// Bytes of its memory that nobody has, as the driver says at this moment.
    ///
    /// # Errors
    /// What the driver says.
    pub fn free_bytes(&self) -> Result<u64, CudaError> {
        let (free, _) = checked("cuMemGetInfo", self.context.mem_get_info())?;
        Ok(u64::try_from(free).unwrap_or(u64::MAX))
    }

    /// By how many bytes more of its memory are used at this moment than before it was opened: by this process, with all that the
    /// driver takes for it, and by whatever other processes have begun to use since. `None` where NVIDIA's management library is
    /// missing or does not tell, or less is used now: others have given memory back, so nothing can be said. Where the process had the
    /// device open already, that is not in it.
    #[must_use]
    pub fn growth_bytes(&self) -> Option<u64> {
        let before = self.before.as_ref()?;
        before.monitor.used_bytes()?.checked_sub(before.used)
    }

    /// Where it is on the PCI bus, such as `0000:3B:00.0`: as the driver tells it, in capital letters.
    ///
    /// # Errors
    /// What the driver says.
    pub fn pci_bus_id(&self) -> Result<String, CudaError> {
        let mut text = [0_u8; 32];
        let length = i32::try_from(text.len()).unwrap_or(0);
        // SAFETY: the driver writes at most `length` bytes, of which the last is zero.
        answer("cuDeviceGetPCIBusId", unsafe {
            sys::cuDeviceGetPCIBusId(text.as_mut_ptr().cast(), length, self.context.cu_device())
        })?;
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// The context of all its SMs: for memory, never for kernels.
    pub(crate) const fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// Makes the context of all its SMs the calling thread's: for memory.
    pub(crate) fn bind(&self) -> Result<(), CudaError> {
        checked("cuCtxSetCurrent", self.context.bind_to_thread())
    }

    /// The units that partitions consist of. Each call has the same ones.
    ///
    /// # Errors
    /// [`CudaError::DriverTooOld`], or what the driver says.
    pub(crate) fn units(&self) -> Result<Vec<CUdevResource>, CudaError> {
        units(&self.context, self.facts.driver)
    }
}

/// All SMs divided into the smallest groups that the device has.
fn units(context: &CudaContext, driver: Version) -> Result<Vec<CUdevResource>, CudaError> {
    if driver < PARTITIONS {
        return Err(CudaError::DriverTooOld { what: "a partition of SMs", found: driver, needed: PARTITIONS });
    }
    // SAFETY: all zeros is a valid value of it.
    let empty = unsafe { MaybeUninit::<CUdevResource>::zeroed().assume_init() };
    let mut all = empty;
    let kind = CUdevResourceType::CU_DEV_RESOURCE_TYPE_SM;
    // SAFETY: the device is open, and the driver fills what it is given room for.
    answer("cuDeviceGetDevResource", unsafe { sys::cuDeviceGetDevResource(context.cu_device(), &raw mut all, kind) })?;
    // No more than there are SMs; the driver says how many there are.
    let mut count = sms_of(&all);
    let mut units = vec![empty; usize::try_from(count).unwrap_or(0)];
    // SAFETY: there is room for as many groups as are asked for, and the rest is not asked for; any size does.
    answer("cuDevSmResourceSplitByCount", unsafe {
        sys::cuDevSmResourceSplitByCount(units.as_mut_ptr(), &raw mut count, &raw const all, null_mut(), 0, 1)
    })?;
    units.truncate(usize::try_from(count).unwrap_or(0));
    Ok(units)
}

/// How many SMs a resource has.
pub(crate) fn sms_of(resource: &CUdevResource) -> u32 {
    // SAFETY: this crate has resources of SMs alone.
    unsafe { resource.__bindgen_anon_1.sm.smCount }
}

fn facts(context: &CudaContext) -> Result<DeviceFacts, CudaError> {
    let mut number = 0;
    // SAFETY: the driver writes one number.
    answer("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&raw mut number) })?;
    let driver = Version::of(unsigned(number));
    let attribute = |attribute| checked("cuDeviceGetAttribute", context.attribute(attribute)).map(unsigned);
    let (major, minor) = checked("cuDeviceGetAttribute", context.compute_capability())?;
    let units = match units(context, driver) {
        Ok(units) => units.first().map(|unit| SmUnits { sms: sms_of(unit), count: unsigned_count(units.len()) }),
        Err(CudaError::DriverTooOld { .. }) => None,
        // A device that has none: what cannot be divided can be used as a whole.
        Err(error) if NO_PARTITIONS.iter().any(|answer| error.is(*answer)) => None,
        Err(error) => return Err(error),
    };
    use CUdevice_attribute as Attribute;
    Ok(DeviceFacts {
        name: checked("cuDeviceGetName", context.name())?,
        driver,
        compute_capability: (unsigned(major), unsigned(minor)),
        sms: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        units,
        memory_bytes: u64::try_from(checked("cuDeviceTotalMem", context.total_mem())?).unwrap_or(u64::MAX),
        integrated: attribute(Attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED)? != 0,
        exports: attribute(Attribute::CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED)? != 0,
        l2_bytes: attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?.into(),
        clock_khz: attribute(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
        memory_clock_khz: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?,
    })
}

fn unsigned_count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_are_read_and_ordered_as_the_driver_numbers_them() {
        assert_eq!(Version::of(12_040), Version { major: 12, minor: 4 });
        assert_eq!(Version::of(13_000).to_string(), "13.0");
        assert!(Version::of(11_080) < Version::of(12_000) && Version::of(12_090) < Version::of(13_000));
    }
}
