//! A lane's part of a GPU, as its thread uses it, and the devices that a plan needs.

use crate::arena::Arena;
use crate::error::HostError;
use aegis_core::desc::{GpuDesc, ModelDesc, PoolDesc, SystemDesc, Waiting, WatchedSource};
use aegis_core::trace::VoidReason;
use aegis_core::{DomainId, LaneId, ModelId, PoolId};
use aegis_cuda::{CudaError, Device, DeviceFacts, Graph, Part, Partition, SmUnits, Version};
use aegis_linux::machine::Void;
use aegis_linux::sources::reading::parse;
use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A partition with its stream, used by one thread at a time, and how that thread learns that its work is done.
#[derive(Debug)]
pub struct Seat {
    device: Arc<Device>,
    /// None while a thread uses it, and once that thread has panicked.
    part: Mutex<Option<Part>>,
    done: aegis_cuda::Completion,
    completion: Waiting,
    stream: usize,
}

impl Seat {
    /// A seat on a part.
    ///
    /// # Errors
    /// What the driver says.
    #[allow(unsafe_code)]
    pub fn new(part: Part, completion: Waiting) -> Result<Arc<Self>, CudaError> {
        // SAFETY: given to sessions only, which keep this seat and so the part, and which run while it is taken.
        let stream = unsafe { part.stream_for_library() }.expose_provenance();
        let partition = part.enter()?;
        let done = partition.completion(match completion {
            Waiting::Polling => aegis_cuda::Waiting::Polling,
            Waiting::Blocking => aegis_cuda::Waiting::Blocking,
        })?;
        let device = Arc::clone(partition.device());
        let part = Mutex::new(Some(partition.leave()));
        Ok(Arc::new(Self { device, part, done, completion, stream }))
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// The stream's handle, for a session that keeps this seat.
    pub(crate) const fn stream(&self) -> *mut c_void {
        std::ptr::with_exposed_provenance_mut(self.stream)
    }

    /// Does something on the partition.
    ///
    /// # Errors
    /// What the driver or `work` says. [`CudaError::Taken`] where a thread uses it already, or panicked while it did.
    pub fn with<R, E: From<CudaError>>(&self, work: impl FnOnce(&Partition) -> Result<R, E>) -> Result<R, E> {
        let slot = || self.part.lock().unwrap_or_else(PoisonError::into_inner);
        let partition = slot().take().ok_or(CudaError::Taken)?.enter()?;
        let result = work(&partition);
        *slot() = Some(partition.leave());
        result
    }

    /// Waits until all that was submitted so far is done, in the lane's way.
    ///
    /// # Errors
    /// What the driver says, also of that work.
    pub fn wait(&self, partition: &Partition) -> Result<(), CudaError> {
        partition.mark(&self.done)?;
        match self.completion {
            Waiting::Blocking => self.done.wait(),
            Waiting::Polling => {
                while !self.done.is_done()? {
                    std::hint::spin_loop();
                }
                Ok(())
            }
        }
    }

    /// Runs a graph once, to its end.
    ///
    /// # Errors
    /// What the driver says.
    ///
    /// # Safety
    /// As for [`Partition::launch`].
    #[allow(unsafe_code)]
    pub(crate) unsafe fn run(&self, graph: &Graph) -> Result<(), CudaError> {
        self.with(|partition| {
            // SAFETY: the caller's.
            unsafe { partition.launch(graph) }?;
            self.wait(partition)
        })
    }
}

/// The devices of a plan's pools that this process opened, in their order; `None` for those of the CPU, and for those whose models
/// lie in another process.
pub(crate) type Devices = Vec<Option<Arc<Device>>>;

/// Opens every device that models of a domain's process run on, or of none, and refuses other ones than were planned. A process has
/// a device only for models of its own, so that what fails on it elsewhere does not reach this one.
pub(crate) fn open(system: &SystemDesc, domain: Option<DomainId>) -> Result<Devices, HostError> {
    let open = |(number, pool): (usize, &PoolDesc)| {
        let is_here = pool.domain == domain && has_models(system, number);
        let Some(planned) = pool.gpu.as_ref().filter(|_| is_here) else { return Ok(None) };
        let device = Device::open(planned.ordinal).map_err(|error| HostError::Gpu { pool: pool.name, error })?;
        match other(planned, device.facts()) {
            None => Ok(Some(device)),
            Some(text) => Err(HostError::Refused(format!("device \"{}\": {text}", pool.name))),
        }
    };
    system.pools.iter().enumerate().map(open).collect()
}

/// Whether any model lies in a pool.
fn has_models(system: &SystemDesc, pool: usize) -> bool {
    system.models.iter().any(|model| model.pool.index() == pool)
}

/// What is known of devices that processes of domains have, by their numbers.
pub(crate) type Elsewhere = Vec<(u16, Found)>;

/// Each device of the plan with its first pool, which is that of the vehicle's own process, and what is known of it.
pub(crate) fn known<'a>(
    system: &'a SystemDesc,
    devices: &'a Devices,
    elsewhere: &Elsewhere,
) -> impl Iterator<Item = (PoolId, &'a PoolDesc, Found)> {
    let of = |pool: &PoolDesc| pool.gpu.as_ref().map(|gpu| gpu.ordinal);
    let pools = system.pools.iter().zip(0_u16..).filter(move |(pool, number)| {
        let before = system.pools.iter().take(usize::from(*number));
        of(pool).is_some() && before.filter(|other| of(other) == of(pool)).count() == 0
    });
    pools.filter_map(move |(pool, number)| {
        let ordinal = of(pool)?;
        let here = devices.iter().flatten().find(|device| device.ordinal() == ordinal).map(|device| Found::of(device));
        let there = || elsewhere.iter().find(|(device, _)| *device == ordinal).map(|(_, found)| found.clone());
        Some((PoolId(number), pool, here.or_else(there)?))
    })
}

/// What of the plan's assumptions its devices do not fulfil.
pub(crate) fn voids(system: &SystemDesc, devices: &Devices, elsewhere: &Elsewhere) -> Vec<Void> {
    let known = known(system, devices, elsewhere);
    known.flat_map(|(_, pool, found)| void(pool.name, pool.gpu.as_ref(), &found)).collect()
}

/// In what a device differs from the planned one; each with both values.
fn other(planned: &GpuDesc, found: &DeviceFacts) -> Option<String> {
    let number = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    let (major, minor) = found.compute_capability;
    let capability = (number(major), number(minor));
    let mut differences = Vec::new();
    // A plan from a built-in profile knows no name.
    if !planned.name.is_empty() && planned.name != found.name {
        differences.push(format!("its name is \"{}\", planned was \"{}\"", found.name, planned.name));
    }
    if planned.compute_capability != capability {
        let (one, two) = planned.compute_capability;
        differences.push(format!("its compute capability is {major}.{minor}, planned was {one}.{two}"));
    }
    if u32::from(planned.sms) != found.sms {
        differences.push(format!("it has {} SMs, planned were {}", found.sms, planned.sms));
    }
    // How many there are is seen as they are divided. Smaller ones make up what was planned.
    let fits = |units: &SmUnits| planned.unit.checked_rem(number(units.sms)) == Some(0);
    if let Some(units) = found.units.filter(|units| !fits(units)) {
        let (own, sms) = (planned.unit, units.sms);
        differences.push(format!("its driver makes units of {sms} SMs, planned were parts of multiples of {own}"));
    }
    (!differences.is_empty()).then(|| differences.join("; "))
}

/// What a vehicle is to know of a device that is the planned one: of one that it has open itself, or that the process of a domain
/// has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// The version of CUDA that its driver has.
    pub(crate) driver: Version,
    /// Whether it makes partitions.
    pub(crate) is_divided: bool,
    /// Whether its driver makes as many queues to it as it can.
    pub(crate) has_all_queues: bool,
    /// Whether it works in the CPU's memory.
    pub(crate) integrated: bool,
    /// Where it is on the PCI bus; `None` where its driver does not tell.
    pub(crate) pci: Option<Pci>,
}

impl Found {
    pub(crate) fn of(device: &Device) -> Self {
        let facts = device.facts();
        Self {
            driver: facts.driver,
            is_divided: facts.units.is_some(),
            has_all_queues: device.has_all_queues(),
            integrated: facts.integrated,
            pci: device.pci_bus_id().ok().as_deref().and_then(Pci::parse),
        }
    }
}

/// A place on the PCI bus: domain, bus, device and function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pci(pub(crate) u32, pub(crate) [u8; 3]);

impl Pci {
    /// As the driver tells it: `0000:3B:00.0`.
    fn parse(text: &str) -> Option<Self> {
        let (domain, rest) = text.split_once(':')?;
        let (bus, rest) = rest.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        let byte = |text| u8::from_str_radix(text, 16).ok();
        Some(Self(u32::from_str_radix(domain, 16).ok()?, [byte(bus)?, byte(device)?, byte(function)?]))
    }
}

impl fmt::Display for Pci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(domain, [bus, device, function]) = self;
        write!(f, "{domain:08X}:{bus:02X}:{device:02X}.{function:X}")
    }
}

/// What of the plan's assumptions a device does not fulfil, though it is the planned one.
pub(crate) fn void(name: &str, planned: Option<&GpuDesc>, found: &Found) -> Vec<Void> {
    let mut voids = Vec::new();
    if !found.has_all_queues {
        let text = format!(
            "device \"{name}\": something used CUDA in its process before the vehicle was made, so lanes may share a queue to the \
             device and wait for each other"
        );
        voids.push(Void { reason: VoidReason::NoPartitions, text });
    }
    if !found.is_divided {
        let text = format!(
            "device \"{name}\" makes no partitions, which need CUDA 12.4 and its driver has {}: its lanes share all SMs",
            found.driver
        );
        voids.push(Void { reason: VoidReason::NoPartitions, text });
    }
    if let Some(planned) = planned.filter(|own| !own.driver.is_empty() && own.driver != found.driver.to_string()) {
        let text = format!(
            "the driver of device \"{name}\" has CUDA {}, the plan was made for {}",
            found.driver, planned.driver
        );
        voids.push(Void { reason: VoidReason::OtherDriver, text });
    }
    voids
}

/// The number of the device whose memory a pool is; `None` for one of the CPU.
pub(crate) fn ordinal(system: &SystemDesc, pool: PoolId) -> Option<u16> {
    system.pools.get(pool.index())?.gpu.as_ref().map(|gpu| gpu.ordinal)
}

/// Whether models of one process alone are on a pool's device: otherwise what of its memory is used says nothing of one.
pub(crate) fn has_device_alone(system: &SystemDesc, pool: &PoolDesc) -> bool {
    let of = |pool: &PoolDesc| pool.gpu.as_ref().map(|gpu| gpu.ordinal);
    let same = system.pools.iter().enumerate().filter(|(_, other)| of(other) == of(pool));
    same.filter(|(number, _)| has_models(system, *number)).count() <= 1
}

/// The seat of each lane, in their order: a device is divided once for all of its lanes, in each process that has it in the same
/// way. `None` for those on a CPU, and on devices that this process has not opened.
pub(crate) fn seats(system: &SystemDesc, devices: &Devices) -> Result<Vec<Option<Arc<Seat>>>, HostError> {
    let mut seats: Vec<Option<Arc<Seat>>> = system.lanes.iter().map(|_| None).collect();
    for (pool, device) in system.pools.iter().zip(devices) {
        let Some(device) = device else { continue };
        let refused = |error| HostError::Gpu { pool: pool.name, error };
        // A device may have a pool for each process: its lanes name one of them.
        let is_it = |pool: PoolId| ordinal(system, pool).is_some_and(|ordinal| ordinal == device.ordinal());
        let own = system.lanes.iter().zip(0_u16..).filter_map(|(lane, id)| {
            let partition = lane.partition.filter(|partition| is_it(partition.pool))?;
            Some((LaneId(id), partition))
        });
        let own: Vec<_> = own.collect();
        let sizes: Vec<u32> = own.iter().map(|(_, partition)| u32::from(partition.sms)).collect();
        let parts = match device.facts().units {
            Some(_) => Part::divide(device, &sizes),
            None => sizes.iter().map(|_| Part::undivided(device)).collect(),
        };
        let parts = parts.map_err(refused)?;
        for (part, (lane, partition)) in parts.into_iter().zip(own) {
            let seat = Seat::new(part, partition.completion).map_err(refused)?;
            if let Some(slot) = seats.get_mut(lane.index()) {
                *slot = Some(seat);
            }
        }
    }
    Ok(seats)
}

/// A pool's arena in its device's memory, if that has room for all that the plan takes of it. What the driver takes for the process it
/// has by now.
pub(crate) fn arena(
    system: &SystemDesc,
    pool: &'static PoolDesc,
    number: usize,
    device: &Arc<Device>,
) -> Result<Arc<Arena>, HostError> {
    let (name, bytes) = (pool.name, pool.height.0);
    let free = device.free_bytes().map_err(|error| HostError::Gpu { pool: name, error })?;
    let integrated = device.facts().integrated;
    // What the system can give back counts as free to who asks it for memory, but not to such a device's driver.
    let free = if integrated { free.max(available().unwrap_or(0)) } else { free };
    has_room(pool, if integrated { staging(system, number) } else { 0 }, free)?;
    Arena::of_device(device, bytes).map_err(|error| {
        let free = device.free_bytes().unwrap_or(0);
        HostError::GpuMemory { pool: name, bytes, free, error }
    })
}

/// What the models of a pool have of the CPU's memory for inputs and outputs.
pub(crate) fn staging(system: &SystemDesc, pool: usize) -> u64 {
    let own = system.models.iter().filter(|model| model.pool.index() == pool);
    own.map(|model| model.staging().unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
}

/// Where a model's inputs and outputs begin in the memory that the vehicle and a domain's process share for those of a pool.
pub(crate) fn staged_at(system: &SystemDesc, id: ModelId) -> Option<u64> {
    let pool = system.models.get(id.index())?.pool;
    let before = system.models.iter().take(id.index()).filter(|model| model.pool == pool);
    before.map(ModelDesc::staging).try_fold(0_u64, |sum, bytes| sum.checked_add(bytes?))
}

/// The length of that memory: whole pages of this machine, which both pin or lock.
pub(crate) fn shared_staging(system: &SystemDesc, pool: usize) -> u64 {
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(1);
    staging(system, pool).max(1).checked_next_multiple_of(page).unwrap_or(u64::MAX)
}

/// Whether so many free bytes suffice for what the plan still takes of a device's memory.
fn has_room(pool: &'static PoolDesc, staging: u64, free: u64) -> Result<(), HostError> {
    let (arena, weights) = (pool.height.0, pool.weights.0);
    let needed = arena.saturating_add(weights).saturating_add(staging);
    if needed <= free {
        return Ok(());
    }
    Err(HostError::GpuRoom { pool: pool.name, needed, arena, weights, staging, free })
}

/// What the system says that it can give without swapping, if it says so.
fn available() -> Option<u64> {
    parse(WatchedSource::FreeMemory, &std::fs::read("/proc/meminfo").ok()?).ok()
}

#[cfg(test)]
mod tests;
