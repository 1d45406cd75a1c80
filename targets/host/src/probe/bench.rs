//! Where the probe puts models: the CPU's memory, or that of a device, of which a model has a part as its lane will.

use super::protocol::GpuRequest;
use crate::arena::{Arena, Span};
use crate::backend::{Region, Sequence};
use crate::gpu::Seat;
use aegis_core::Bytes;
use aegis_core::desc::{ALIGNMENT, GPU_ALIGNMENT, Waiting};
use aegis_cuda::{CudaError, Device, Neighbour, Part};
use std::sync::{Arc, Mutex, PoisonError};

/// The address range in which requests are recorded; of the CPU's memory no page of it exists until it is touched.
pub(super) const RECORDING_BYTES: u64 = 1 << 31;

/// Where one model is.
#[derive(Debug, Default)]
pub(super) struct Bench {
    on: Option<OnDevice>,
}

#[derive(Debug)]
struct OnDevice {
    seat: Arc<Seat>,
    /// How the device is divided: the SMs of the lanes before the model's, its own, and the rest.
    sizes: [u32; 3],
    /// In which requests are recorded: of loading, and of runs. Taken where they are needed, since it is real memory.
    recorders: Mutex<[Option<Arc<Arena>>; 2]>,
}

impl Bench {
    /// A bench on a part of a device.
    pub(super) fn on(device: &Arc<Device>, asked: &GpuRequest) -> Result<Self, String> {
        let text = |error: CudaError| error.to_string();
        let unknown = || format!("there is no completion \"{}\"", asked.completion);
        let completion = Waiting::ALL.into_iter().find(|one| one.name() == asked.completion).ok_or_else(unknown)?;
        let units = device.facts().units.ok_or("this device cannot be divided")?;
        let rest = units.sms.saturating_mul(units.count).saturating_sub(asked.sms).saturating_sub(asked.before);
        let sizes = [asked.before, asked.sms, rest];
        let [_, own, _] = divide(device, sizes).map_err(text)?;
        let seat = Seat::new(own.ok_or("there is no part")?, completion).map_err(text)?;
        Ok(Self { on: Some(OnDevice { seat, sizes, recorders: Mutex::default() }) })
    }

    /// Gives the memory back in which requests were recorded.
    pub(super) fn release(&self) {
        if let Some(on) = &self.on {
            *on.recorders.lock().unwrap_or_else(PoisonError::into_inner) = [None, None];
        }
    }

    /// The part of a device that the model runs on.
    pub(super) fn seat(&self) -> Option<Arc<Seat>> {
        self.on.as_ref().map(|on| Arc::clone(&on.seat))
    }

    /// A region that records what loading requests.
    pub(super) fn load_recorder(&self) -> Result<Region, String> {
        self.recorder(0)
    }

    /// A region that records what runs request.
    pub(super) fn run_recorder(&self) -> Result<Region, String> {
        self.recorder(1)
    }

    fn recorder(&self, which: usize) -> Result<Region, String> {
        self.large(which, Sequence::Recorded)
    }

    /// A region larger than what is known to be needed: on a device the one of this number, as long as it is not released.
    fn large(&self, which: usize, sequence: Sequence) -> Result<Region, String> {
        let Some(on) = &self.on else { return self.region(RECORDING_BYTES, false, sequence) };
        let mut recorders = on.recorders.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = recorders.get_mut(which).ok_or("there is no such recorder")?;
        let arena = match slot {
            Some(arena) => Arc::clone(arena),
            None => {
                let text = |error: CudaError| error.to_string();
                let bytes = RECORDING_BYTES.min(on.seat.device().free_bytes().map_err(text)? / 4);
                Arc::clone(slot.insert(Arena::of_device(on.seat.device(), bytes).map_err(text)?))
            }
        };
        let span = arena.span(0, arena.length()).ok_or("the layout is inconsistent")?;
        Ok(Region { span, sequence })
    }

    /// Room for runs whose height is not known before.
    pub(super) fn room(&self) -> Result<Region, String> {
        self.large(1, Sequence::Free)
    }

    /// A region that serves nothing: runs of a bound segment never ask what its loading lies in.
    pub(super) fn nothing(&self) -> Result<Region, String> {
        self.region(0, false, Sequence::Heap)
    }

    /// So many bytes of their own; `reserved` as in [`Arena::map`].
    pub(super) fn region(&self, bytes: u64, reserved: bool, sequence: Sequence) -> Result<Region, String> {
        let span = self.memory(bytes, reserved)?;
        Ok(Region { span, sequence })
    }

    fn memory(&self, bytes: u64, reserved: bool) -> Result<Span, String> {
        let arena = match &self.on {
            Some(on) => Arena::of_device(on.seat.device(), bytes).map_err(|error| error.to_string()),
            None => Arena::map(bytes, reserved).map_err(|error| error.to_string()),
        };
        let arena = arena.map_err(|error| format!("{bytes} bytes of memory: {error}"))?;
        arena.span(0, bytes).ok_or_else(|| "the layout is inconsistent".to_owned())
    }

    /// Two arenas of so many bytes: where models have tensors, and where the application has them, if not there.
    pub(super) fn tensors(&self, bytes: u64, reserved: bool) -> Result<(Arc<Arena>, Option<Arc<Arena>>), String> {
        let failed = |error: String| format!("{bytes} bytes of memory: {error}");
        let Some(on) = &self.on else {
            return Ok((Arena::map(bytes, reserved).map_err(|error| failed(error.to_string()))?, None));
        };
        let failed = |error: CudaError| failed(error.to_string());
        let own = Arena::of_device(on.seat.device(), bytes).map_err(failed)?;
        Ok((own, Some(Arena::pinned(on.seat.device(), bytes).map_err(failed)?)))
    }

    /// Of how many bytes the beginnings of blocks and tensors there are multiples.
    pub(super) const fn alignment(&self) -> Bytes {
        match self.on {
            None => ALIGNMENT,
            Some(_) => GPU_ALIGNMENT,
        }
    }

    /// Bytes of the device's memory that nobody has; `None` on the CPU.
    pub(super) fn free_bytes(&self) -> Result<Option<u64>, String> {
        let free = self.on.as_ref().map(|on| on.seat.device().free_bytes()).transpose();
        free.map_err(|error| error.to_string())
    }

    /// Neighbours on all SMs that the model has not; none on the CPU, and where it has all.
    pub(super) fn neighbours(&self) -> Result<Vec<Neighbour>, String> {
        let Some(on) = &self.on else { return Ok(Vec::new()) };
        let text = |error: CudaError| error.to_string();
        // The one between them is the model's own SMs once more, and goes.
        let [before, _, rest] = divide(on.seat.device(), on.sizes).map_err(text)?;
        [before, rest].into_iter().flatten().map(|part| Neighbour::start(part).map_err(text)).collect()
    }
}

/// A device's parts of these sizes, as a vehicle divides it: those of no SMs are none.
fn divide(device: &Arc<Device>, sizes: [u32; 3]) -> Result<[Option<Part>; 3], CudaError> {
    let wanted: Vec<u32> = sizes.into_iter().filter(|size| *size > 0).collect();
    let mut parts = Part::divide(device, &wanted)?.into_iter();
    Ok(sizes.map(|size| if size > 0 { parts.next() } else { None }))
}
