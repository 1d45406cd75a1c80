//! A part of a device's SMs with its stream: kernels of it run on its SMs, and of parts that were made together no two share one.
//!
//! ```text
//!  all SMs ─▶ units, as small as the device has them ─▶ some of them: green context ─▶ context ─▶ stream
//! ```
//!
//! Parts share the device's memory, its bandwidth and its second-level cache, and queues by which work reaches the device: NVIDIA does not
//! promise that work of two parts runs at once. Kernels that launch kernels, and a share of threads under MPS, can use other SMs.
// Green contexts, modules and launches, which cudarc's safe interface does not have.
#![allow(unsafe_code)]

use crate::device::{Device, sms_of};
use crate::error::{CudaError, answer, checked};
use cudarc::driver::sys::{self, CUdevResource, CUevent_flags, CUgreenCtx, CUgreenCtxCreate_flags};
use cudarc::driver::{CudaContext, CudaStream};
use std::ffi::c_void;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;

/// Some of a device's SMs, with one stream, that no thread uses now.
#[derive(Debug)]
pub struct Part {
    own: Arc<Own>,
}

/// What a part consists of. What was made for it keeps it.
#[derive(Debug)]
pub(crate) struct Own {
    /// Destroyed by hand, before the context that it belongs to.
    stream: ManuallyDrop<Arc<CudaStream>>,
    /// Never dropped where there is a green one: cudarc would destroy a context that the green one owns.
    context: ManuallyDrop<Arc<CudaContext>>,
    /// `None` where the part is the whole device.
    green: Option<Green>,
    sms: u32,
    device: Arc<Device>,
    /// The thread that has entered it.
    entered: Mutex<Option<ThreadId>>,
}

// SAFETY: the driver's objects may be used from any thread, a green context from one at a time: a thread has it as its current one only
// in `Part::of` and `Drop`, which nobody else knows, and between `Part::enter` and `Partition::leave`, of which there is one at a time.
unsafe impl Send for Own {}
// SAFETY: as above; what is done by `&Own` needs a `Partition`, of which there is one.
unsafe impl Sync for Own {}

/// A part that the thread which entered it uses: the driver lets a green context be used by one thread at a time.
#[derive(Debug)]
pub struct Partition {
    part: Part,
    /// Neither sent to another thread nor shared with one.
    own: PhantomData<*const ()>,
}

impl Part {
    /// Divides a device: one partition of each of these sizes, in this order, each a multiple of the device's unit. What is left is
    /// nobody's. Two divisions of one device share SMs.
    ///
    /// # Errors
    /// [`CudaError::Sms`] for a size that the device does not have or that is not left, [`CudaError::DriverTooOld`] before CUDA
    /// 12.4, or what the driver says.
    pub fn divide(device: &Arc<Device>, sizes: &[u32]) -> Result<Vec<Self>, CudaError> {
        let units = device.units()?;
        let unit = units.first().map_or(0, sms_of);
        let mut left = &*units;
        let mut partitions = Vec::new();
        for wanted in sizes.iter().copied() {
            let count = wanted.checked_div(unit).and_then(|count| usize::try_from(count).ok());
            let own = count.filter(|count| *count > 0 && wanted.is_multiple_of(unit));
            let Some((own, rest)) = own.and_then(|count| left.split_at_checked(count)) else {
                return Err(CudaError::Sms {
                    wanted,
                    left: left.iter().map(sms_of).fold(0, u32::saturating_add),
                    unit,
                });
            };
            partitions.push(Self::of(device, own, wanted)?);
            left = rest;
        }
        Ok(partitions)
    }

    /// A part that is the whole device, with a stream of its own: for devices and drivers that make no partitions. Nothing keeps the work
    /// of two such parts apart.
    ///
    /// # Errors
    /// What the driver says.
    pub fn undivided(device: &Arc<Device>) -> Result<Self, CudaError> {
        device.bind()?;
        let current = Current;
        let context = ManuallyDrop::new(Arc::clone(device.context()));
        let stream = ManuallyDrop::new(checked("cuStreamCreate", context.new_stream())?);
        drop(current);
        let own = Own {
            stream,
            context,
            green: None,
            sms: device.facts().sms,
            device: Arc::clone(device),
            entered: Mutex::default(),
        };
        Ok(Self { own: Arc::new(own) })
    }

    fn of(device: &Arc<Device>, units: &[CUdevResource], sms: u32) -> Result<Self, CudaError> {
        let cu_device = device.context().cu_device();
        let (mut desc, mut green, mut context) = (null_mut(), null_mut(), null_mut());
        let mut own = units.to_vec();
        let count = u32::try_from(own.len()).unwrap_or(u32::MAX);
        // SAFETY: so many resources are given, of one division of this device; the driver writes the description.
        let result = unsafe { sys::cuDevResourceGenerateDesc(&raw mut desc, own.as_mut_ptr(), count) };
        answer("cuDevResourceGenerateDesc", result)?;
        // Required by the driver; its default stream is not used.
        #[allow(clippy::as_conversions)]
        let flags = CUgreenCtxCreate_flags::CU_GREEN_CTX_DEFAULT_STREAM as u32;
        // SAFETY: the description was made for this device just now.
        answer("cuGreenCtxCreate", unsafe { sys::cuGreenCtxCreate(&raw mut green, desc, cu_device, flags) })?;
        // Destroyed where anything below fails.
        let green = Green(green);
        // SAFETY: the green context is alive.
        answer("cuCtxFromGreenCtx", unsafe { sys::cuCtxFromGreenCtx(&raw mut context, green.0) })?;
        // So that cudarc does not have to: where it failed to, it would destroy the context.
        // SAFETY: the context is alive as long as the green one.
        answer("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(context) })?;
        let current = Current;
        // SAFETY: as above. cudarc would destroy the context when the wrapper is dropped, which it never is.
        let wrapped = unsafe { CudaContext::from_raw_context(usize::from(device.ordinal()), cu_device, context) };
        let context = ManuallyDrop::new(checked("cuDeviceGetAttribute", wrapped)?);
        // SAFETY: nothing of cudarc's own memory is used here, which is what its events keep in order.
        unsafe { context.disable_event_tracking() };
        let stream = ManuallyDrop::new(checked("cuStreamCreate", context.new_stream())?);
        drop(current);
        let own =
            Own { stream, context, green: Some(green), sms, device: Arc::clone(device), entered: Mutex::default() };
        Ok(Self { own: Arc::new(own) })
    }

    /// How many SMs it has.
    #[must_use]
    pub fn sms(&self) -> u32 {
        self.own.sms
    }

    /// The stream's handle, for a library that submits to it. What it is used for is work of this part.
    ///
    /// # Safety
    /// Not used after the last of this part and of what was made for it is dropped, and only by the thread that has entered it, or while
    /// none has.
    #[must_use]
    pub unsafe fn stream_for_library(&self) -> *mut c_void {
        self.own.stream.cu_stream().cast()
    }

    /// From now on the calling thread uses it.
    ///
    /// # Errors
    /// What the driver says.
    pub fn enter(self) -> Result<Partition, CudaError> {
        let partition = Partition { part: self, own: PhantomData };
        *partition.part.own.entered() = Some(std::thread::current().id());
        partition.bind()?;
        Ok(partition)
    }
}

/// Leaves the calling thread without a context.
struct Current;

impl Drop for Current {
    fn drop(&mut self) {
        // SAFETY: no context is a valid one to have.
        let _ = unsafe { sys::cuCtxSetCurrent(null_mut()) };
    }
}

impl Partition {
    /// How many SMs it has.
    #[must_use]
    pub fn sms(&self) -> u32 {
        self.part.own.sms
    }

    /// From now on no thread uses it; what was submitted goes on.
    #[must_use]
    pub fn leave(self) -> Part {
        let own = Arc::clone(&self.part.own);
        // Not dropped, which would wait; the part's own count goes with it.
        let kept = ManuallyDrop::new(self);
        drop(Current);
        *own.entered() = None;
        // SAFETY: read once, and what it was read from is never used again.
        drop(unsafe { std::ptr::read(&raw const kept.part) });
        Part { own }
    }

    /// The device that it is a part of.
    #[must_use]
    pub fn device(&self) -> &Arc<Device> {
        &self.part.own.device
    }

    /// A completion of work of this stream, which is none yet.
    ///
    /// # Errors
    /// What the driver says.
    pub fn completion(&self, waiting: Waiting) -> Result<Completion, CudaError> {
        let blocking = match waiting {
            Waiting::Polling => 0,
            // The enumeration has the driver's own numbers.
            #[allow(clippy::as_conversions)]
            Waiting::Blocking => CUevent_flags::CU_EVENT_BLOCKING_SYNC as u32,
        };
        #[allow(clippy::as_conversions)]
        let flags = CUevent_flags::CU_EVENT_DISABLE_TIMING as u32 | blocking;
        let mut event = null_mut();
        self.bind()?;
        // SAFETY: the context is current, and the flags are the driver's.
        answer("cuEventCreate", unsafe { sys::cuEventCreate(&raw mut event, flags) })?;
        Ok(Completion { event, _own: Arc::clone(&self.part.own) })
    }

    /// From now on it is the completion of what has been submitted so far.
    ///
    /// # Errors
    /// What the driver says, where it was made for another partition, too.
    pub fn mark(&self, completion: &Completion) -> Result<(), CudaError> {
        self.bind()?;
        // SAFETY: event and stream are alive, and the driver refuses what it cannot record.
        answer("cuEventRecord", unsafe { sys::cuEventRecord(completion.event, self.stream().cu_stream()) })
    }

    /// Submits a copy from the CPU's memory to a region of the same device. Does not wait.
    ///
    /// # Errors
    /// What the driver says.
    ///
    /// # Safety
    /// Until it has completed so many bytes from `from` on can be read, and nobody writes them; and nobody uses the region's. Of a copy
    /// that is captured all that holds for each launch of the graph. From memory that is not [pinned](crate::Pinned) the driver copies
    /// before it returns, which cannot be captured.
    pub unsafe fn upload(&self, to: u64, from: *const u8, bytes: usize) -> Result<(), CudaError> {
        self.bind()?;
        let stream = self.stream().cu_stream();
        // SAFETY: the caller's.
        answer("cuMemcpyHtoDAsync", unsafe { sys::cuMemcpyHtoDAsync_v2(to, from.cast(), bytes, stream) })
    }

    /// Likewise from the device to the CPU's memory.
    ///
    /// # Errors
    /// As for [`Partition::upload`].
    ///
    /// # Safety
    /// Likewise: nobody uses the bytes from `to` on, and nobody writes the region's.
    pub unsafe fn download(&self, to: *mut u8, from: u64, bytes: usize) -> Result<(), CudaError> {
        self.bind()?;
        let stream = self.stream().cu_stream();
        // SAFETY: the caller's.
        answer("cuMemcpyDtoHAsync", unsafe { sys::cuMemcpyDtoHAsync_v2(to.cast(), from, bytes, stream) })
    }

    /// Likewise between two places of the device's memory, which are the same or do not overlap.
    ///
    /// # Errors
    /// As for [`Partition::upload`].
    ///
    /// # Safety
    /// Likewise: nobody uses the bytes from `to` on, and nobody writes those from `from` on.
    pub unsafe fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), CudaError> {
        self.bind()?;
        let stream = self.stream().cu_stream();
        // SAFETY: the caller's.
        answer("cuMemcpyDtoDAsync", unsafe { sys::cuMemcpyDtoDAsync_v2(to, from, bytes, stream) })
    }

    /// Waits until all that was submitted is done.
    ///
    /// # Errors
    /// What the driver says, also of that work.
    pub fn wait(&self) -> Result<(), CudaError> {
        self.bind()?;
        // SAFETY: the stream is alive, and its context current.
        answer("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(self.stream().cu_stream()) })
    }

    /// Makes its context the calling thread's, where a library has set another one meanwhile.
    pub(crate) fn bind(&self) -> Result<(), CudaError> {
        // Not by cudarc, which tells of an older error instead.
        // SAFETY: the context is alive.
        answer("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(self.part.own.context.cu_ctx()) })
    }

    pub(crate) fn stream(&self) -> &Arc<CudaStream> {
        &self.part.own.stream
    }

    /// What graphs and completions of it keep.
    pub(crate) fn own(&self) -> &Arc<Own> {
        &self.part.own
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        // What still runs uses the stream. An error is one of that work, and nobody is left to be told.
        let _ = self.wait();
        drop(Current);
        *self.part.own.entered() = None;
    }
}

impl Own {
    /// Its stream.
    pub(crate) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    fn entered(&self) -> std::sync::MutexGuard<'_, Option<ThreadId>> {
        self.entered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with its context as the calling thread's; not at all where another thread has entered it, whose the context
    /// is. No thread enters it meanwhile.
    pub(crate) fn with_context(&self, work: impl FnOnce()) {
        let entered = self.entered();
        let is_own = match *entered {
            None => false,
            Some(thread) if thread == std::thread::current().id() => true,
            Some(_) => return,
        };
        // SAFETY: the context is alive, and no other thread has it or gets it while the lock is held.
        let bound = answer("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(self.context.cu_ctx()) });
        // What has entered it goes on with it.
        let current = (!is_own).then_some(Current);
        if bound.is_ok() {
            work();
        }
        drop(current);
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // SAFETY: the context is alive, and no thread has entered it.
        let _ = unsafe { sys::cuCtxSetCurrent(self.context.cu_ctx()) };
        let current = Current;
        // What still runs uses the stream.
        // SAFETY: the stream is alive, and its context current.
        let _ = unsafe { sys::cuStreamSynchronize(self.stream.cu_stream()) };
        // SAFETY: it is not used again, and destroyed while its context is alive; the wrapper of the context is not dropped.
        unsafe { ManuallyDrop::drop(&mut self.stream) };
        drop(current);
        if self.green.take().is_none() {
            // SAFETY: not used again; the device keeps its own.
            unsafe { ManuallyDrop::drop(&mut self.context) };
        }
    }
}

/// A green context, destroyed with this.
#[derive(Debug)]
struct Green(CUgreenCtx);

impl Drop for Green {
    fn drop(&mut self) {
        // SAFETY: made by this module, and destroyed once.
        let _ = unsafe { sys::cuGreenCtxDestroy(self.0) };
    }
}

/// How a thread waits for a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// By looking again and again: the least delay, and a core that does nothing else.
    Polling,
    /// In the system, until the driver wakes it.
    Blocking,
}

/// The end of what was submitted to a partition's stream until it was [marked](Partition::mark). Any thread can ask.
#[derive(Debug)]
pub struct Completion {
    event: sys::CUevent,
    /// Whose context it is of.
    _own: Arc<Own>,
}

// SAFETY: asking and waiting by an event's handle needs no context, and the driver lets any thread do so.
unsafe impl Send for Completion {}
// SAFETY: as above.
unsafe impl Sync for Completion {}

impl Completion {
    /// Whether it is done; before it is marked, too. Does not wait.
    ///
    /// # Errors
    /// What the driver says, also of the work.
    pub fn is_done(&self) -> Result<bool, CudaError> {
        // SAFETY: the event is alive.
        match unsafe { sys::cuEventQuery(self.event) } {
            sys::cudaError_enum::CUDA_ERROR_NOT_READY => Ok(false),
            result => answer("cuEventQuery", result).map(|()| true),
        }
    }

    /// Waits until it is done, in the way that it was made for.
    ///
    /// # Errors
    /// What the driver says, also of the work.
    pub fn wait(&self) -> Result<(), CudaError> {
        // SAFETY: the event is alive.
        answer("cuEventSynchronize", unsafe { sys::cuEventSynchronize(self.event) })
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        // SAFETY: destroyed once; what it still marks goes on without it.
        let _ = unsafe { sys::cuEventDestroy_v2(self.event) };
    }
}
