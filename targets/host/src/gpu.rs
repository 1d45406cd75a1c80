//! A lane's part of a GPU, as its thread uses it, and the devices that a plan needs.

use crate::arena::Arena;
use crate::error::HostError;
use aegis_core::LaneId;
use aegis_core::desc::{GpuDesc, PoolDesc, SystemDesc, Waiting, WatchedSource};
use aegis_core::trace::VoidReason;
use aegis_cuda::{CudaError, Device, DeviceFacts, Graph, Part, Partition, SmUnits};
use aegis_linux::machine::Void;
use aegis_linux::sources::reading::parse;
use std::ffi::c_void;
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

/// The devices of a plan's pools, in their order, `None` for those of the CPU.
pub(crate) type Devices = Vec<Option<Arc<Device>>>;

/// Opens every device of the plan, and refuses other ones than were planned.
pub(crate) fn open(system: &SystemDesc, voids: &mut Vec<Void>) -> Result<Devices, HostError> {
    let open = |pool: &aegis_core::desc::PoolDesc| {
        let Some(planned) = &pool.gpu else { return Ok(None) };
        let device = Device::open(planned.ordinal).map_err(|error| HostError::Gpu { pool: pool.name, error })?;
        match other(planned, device.facts()) {
            None => {
                voids.extend(void(pool.name, planned, device.facts()));
                if !device.has_all_queues() {
                    let text = format!(
                        "device \"{}\": something used CUDA in this process before the vehicle was made, so lanes may share a queue to the \
                         device and wait for each other",
                        pool.name
                    );
                    voids.push(Void { reason: VoidReason::NoPartitions, text });
                }
                Ok(Some(device))
            }
            Some(text) => Err(HostError::Refused(format!("device \"{}\": {text}", pool.name))),
        }
    };
    system.pools.iter().map(open).collect()
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

/// What of the plan's assumptions a device does not fulfil, though it is the planned one.
fn void(name: &str, planned: &GpuDesc, found: &DeviceFacts) -> Vec<Void> {
    let mut voids = Vec::new();
    if found.units.is_none() {
        let text = format!(
            "device \"{name}\" makes no partitions, which need CUDA 12.4 and its driver has {}: its lanes share all SMs",
            found.driver
        );
        voids.push(Void { reason: VoidReason::NoPartitions, text });
    }
    if !planned.driver.is_empty() && planned.driver != found.driver.to_string() {
        let text = format!(
            "the driver of device \"{name}\" has CUDA {}, the plan was made for {}",
            found.driver, planned.driver
        );
        voids.push(Void { reason: VoidReason::OtherDriver, text });
    }
    voids
}

/// The seat of each lane, in their order: a device is divided once for all of its lanes. `None` for those on a CPU.
pub(crate) fn seats(system: &SystemDesc, devices: &Devices) -> Result<Vec<Option<Arc<Seat>>>, HostError> {
    let mut seats: Vec<Option<Arc<Seat>>> = system.lanes.iter().map(|_| None).collect();
    for ((pool, device), number) in system.pools.iter().zip(devices).zip(0_u16..) {
        let Some(device) = device else { continue };
        let refused = |error| HostError::Gpu { pool: pool.name, error };
        let own = system.lanes.iter().zip(0_u16..).filter_map(|(lane, id)| {
            let partition = lane.partition.filter(|partition| partition.pool.0 == number)?;
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
mod tests {
    use super::{available, has_room, other, void};
    use aegis_core::desc::{GpuDesc, PoolDesc};
    use aegis_core::trace::VoidReason;
    use aegis_core::{Bytes, Duration};
    use aegis_cuda::{DeviceFacts, SmUnits, Version};

    fn planned() -> GpuDesc {
        GpuDesc {
            ordinal: 0,
            name: "NVIDIA H200",
            driver: "13.0",
            compute_capability: (9, 0),
            sms: 132,
            unit: 8,
            units: 15,
            context: None,
            staging: None,
        }
    }

    #[test]
    fn a_device_with_too_little_free_memory_is_refused_with_all_values() {
        let pool: &'static PoolDesc = Box::leak(Box::new(PoolDesc {
            name: "gpu0",
            domain: None,
            gpu: Some(planned()),
            capacity: Bytes(1 << 20),
            shares: None,
            weights: Bytes(300),
            height: Bytes(512),
            lower_bound: Bytes(512),
            private: Bytes(512),
            copy_per_mib: Duration::ZERO,
            page: Bytes(0),
        }));
        assert!(has_room(pool, 0, 812).is_ok() && has_room(pool, 64, 876).is_ok());
        let refused = has_room(pool, 64, 875).unwrap_err();
        assert_eq!(refused.status(), 2);
        assert_eq!(
            refused.to_string(),
            "device \"gpu0\": the plan needs 876 bytes of its memory, for the arena 512, for what backends hold 300 and for \
             copies 64, and 875 are free"
        );
        let beyond = PoolDesc { weights: Bytes(u64::MAX), ..*pool };
        assert!(has_room(Box::leak(Box::new(beyond)), 1, u64::MAX - 1).is_err());
        assert!(available().is_some_and(|bytes| bytes > 0), "this machine has a /proc");
    }

    fn facts() -> DeviceFacts {
        DeviceFacts {
            name: "NVIDIA H200".into(),
            driver: Version { major: 13, minor: 0 },
            compute_capability: (9, 0),
            sms: 132,
            units: Some(SmUnits { sms: 8, count: 15 }),
            memory_bytes: 1 << 37,
            integrated: false,
            exports: true,
            l2_bytes: 1 << 25,
            clock_khz: 1_980_000,
            memory_clock_khz: 3_201_000,
        }
    }

    #[test]
    fn another_device_than_the_planned_one_is_refused_with_all_differences() {
        let planned = planned();
        assert_eq!((other(&planned, &facts()), void("gpu0", &planned, &facts())), (None, vec![]));
        let builtin = GpuDesc { name: "", driver: "", ..planned };
        assert_eq!((other(&builtin, &facts()), void("gpu0", &builtin, &facts())), (None, vec![]), "it knows neither");
        let finer = DeviceFacts { units: Some(SmUnits { sms: 4, count: 33 }), ..facts() };
        assert_eq!(other(&planned, &finer), None, "of units of 4 parts of multiples of 8 are made as well");
        let orin = GpuDesc { name: "Orin", compute_capability: (8, 7), sms: 16, unit: 4, units: 4, ..planned };
        assert_eq!(
            other(&orin, &facts()).unwrap(),
            "its name is \"NVIDIA H200\", planned was \"Orin\"; its compute capability is 9.0, planned was 8.7; it has 132 SMs, \
             planned were 16; its driver makes units of 8 SMs, planned were parts of multiples of 4"
        );
    }

    #[test]
    fn without_partitions_or_with_another_driver_the_guarantee_is_void() {
        let older = DeviceFacts { units: None, driver: Version { major: 12, minor: 2 }, ..facts() };
        assert_eq!(other(&planned(), &older), None);
        let voids = void("gpu0", &planned(), &older);
        let reasons: Vec<_> = voids.iter().map(|void| void.reason).collect();
        assert_eq!(reasons, [VoidReason::NoPartitions, VoidReason::OtherDriver]);
        assert_eq!(voids[1].text, "the driver of device \"gpu0\" has CUDA 12.2, the plan was made for 13.0");
    }
}
