//! A part of a device's SMs with its stream: what runs there runs nowhere else, and nothing of another part runs there.
//!
//! ```text
//!  all SMs ─▶ units, as small as the device has them ─▶ some of them: green context ─▶ context ─▶ stream
//! ```
//!
//! Parts share the device's memory, its bandwidth and its second-level cache.
// Green contexts, modules and launches, which cudarc's safe interface does not have.
#![allow(unsafe_code)]

use crate::device::{Device, sms_of};
use crate::error::{CudaError, answer, checked};
use cudarc::driver::result::launch_kernel;
use cudarc::driver::sys::{self, CUdevResource, CUevent_flags, CUfunction, CUgreenCtx, CUmodule};
use cudarc::driver::{CudaContext, CudaStream};
use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::null_mut;
use std::sync::Arc;

/// Some of a device's SMs, with one stream.
#[derive(Debug)]
pub struct Partition {
    /// Destroyed by hand, before the context that it belongs to.
    stream: ManuallyDrop<Arc<CudaStream>>,
    /// Never dropped: cudarc would destroy a context that the green one owns.
    context: ManuallyDrop<Arc<CudaContext>>,
    green: CUgreenCtx,
    sms: u32,
    device: Arc<Device>,
}

// SAFETY: the driver's objects may be used from any thread; cudarc binds the context to the calling one before it uses a stream, and
// so does this module before each call.
unsafe impl Send for Partition {}
// SAFETY: as above; calls that take `&self` only submit work to the stream, which the driver orders.
unsafe impl Sync for Partition {}

impl Partition {
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

    fn of(device: &Arc<Device>, units: &[CUdevResource], sms: u32) -> Result<Self, CudaError> {
        let cu_device = device.context().cu_device();
        let (mut desc, mut green, mut context) = (null_mut(), null_mut(), null_mut());
        let mut own = units.to_vec();
        let count = u32::try_from(own.len()).unwrap_or(u32::MAX);
        // SAFETY: so many resources are given, of one division of this device; the driver writes the description.
        let result = unsafe { sys::cuDevResourceGenerateDesc(&raw mut desc, own.as_mut_ptr(), count) };
        answer("cuDevResourceGenerateDesc", result)?;
        // Required by the driver; its default stream is not used.
        const FLAGS: u32 = 1;
        // SAFETY: the description was made for this device just now.
        answer("cuGreenCtxCreate", unsafe { sys::cuGreenCtxCreate(&raw mut green, desc, cu_device, FLAGS) })?;
        // Destroyed where anything below fails.
        let green = Green(green);
        // SAFETY: the green context is alive.
        answer("cuCtxFromGreenCtx", unsafe { sys::cuCtxFromGreenCtx(&raw mut context, green.0) })?;
        // SAFETY: the context is alive as long as the green one. cudarc would destroy it when the wrapper is dropped, which it never is.
        let wrapped = unsafe { CudaContext::from_raw_context(usize::from(device.ordinal()), cu_device, context) };
        let context = ManuallyDrop::new(checked("cuCtxSetCurrent", wrapped)?);
        // SAFETY: nothing of cudarc's own memory is used here, which is what its events keep in order.
        unsafe { context.disable_event_tracking() };
        let stream = ManuallyDrop::new(checked("cuStreamCreate", context.new_stream())?);
        Ok(Self { stream, context, green: green.keep(), sms, device: Arc::clone(device) })
    }

    /// How many SMs it has.
    #[must_use]
    pub const fn sms(&self) -> u32 {
        self.sms
    }

    /// The device that it is a part of.
    #[must_use]
    pub const fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Loads a module, PTX as text or a cubin, for kernels that run here.
    ///
    /// # Errors
    /// What the driver says: of PTX that is none, or for a newer device.
    pub fn load(&self, image: &[u8]) -> Result<Module<'_>, CudaError> {
        self.bind()?;
        // Text must end with a zero; a cubin has its length in its header.
        let image: Vec<u8> = image.iter().copied().chain([0]).collect();
        let mut module = null_mut();
        // SAFETY: the context is current, and the image lives until the call returns, which copies it.
        let result = unsafe { sys::cuModuleLoadData(&raw mut module, image.as_ptr().cast()) };
        answer("cuModuleLoadData", result)?;
        Ok(Module { module, partition: self })
    }

    /// Submits a kernel to the stream; `grid` blocks of `block` threads. Does not wait.
    ///
    /// # Errors
    /// What the driver says, also of earlier work.
    ///
    /// # Safety
    /// The kernel has these parameters, and reads and writes no memory that anybody else uses until it has completed.
    pub unsafe fn launch(
        &self,
        kernel: &Kernel<'_>,
        grid: [u32; 3],
        block: [u32; 3],
        arguments: &[Argument],
    ) -> Result<(), CudaError> {
        self.bind()?;
        let mut words: Vec<u64> = arguments.iter().map(|argument| argument.word()).collect();
        let mut pointers: Vec<*mut c_void> = words.iter_mut().map(|word| std::ptr::from_mut(word).cast()).collect();
        let ([x, y, z], [columns, rows, layers]) = (grid, block);
        // SAFETY: the context is current and the kernel alive. Each parameter is read from its word, which is at least as long as the
        // parameter; the rest is the caller's.
        let result = unsafe {
            let stream = self.stream.cu_stream();
            launch_kernel(kernel.function, (x, y, z), (columns, rows, layers), 0, stream, &mut pointers)
        };
        checked("cuLaunchKernel", result)
    }

    /// A completion of work of this stream, which is none yet.
    ///
    /// # Errors
    /// What the driver says.
    pub fn completion(&self, waiting: Waiting) -> Result<Completion<'_>, CudaError> {
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
        Ok(Completion { event, partition: self })
    }

    /// Waits until all that was submitted is done.
    ///
    /// # Errors
    /// What the driver says, also of that work.
    pub fn wait(&self) -> Result<(), CudaError> {
        checked("cuStreamSynchronize", self.stream.synchronize())
    }

    /// Makes its context the calling thread's.
    pub(crate) fn bind(&self) -> Result<(), CudaError> {
        checked("cuCtxSetCurrent", self.context.bind_to_thread())
    }

    pub(crate) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        // What still runs uses the stream. An error is one of that work, and nobody is left to be told.
        let _ = self.wait();
        // SAFETY: neither is used again; the stream is destroyed while its context is alive, and the wrapper of the context is not
        // dropped.
        unsafe { ManuallyDrop::drop(&mut self.stream) };
        drop(Green(self.green));
    }
}

/// Destroys a green context, unless it is kept.
struct Green(CUgreenCtx);

impl Green {
    fn keep(self) -> CUgreenCtx {
        ManuallyDrop::new(self).0
    }
}

impl Drop for Green {
    fn drop(&mut self) {
        // SAFETY: made by this module, and destroyed once.
        let _ = unsafe { sys::cuGreenCtxDestroy(self.0) };
    }
}

/// A parameter of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argument {
    /// An address of the device, of a [`crate::Region`].
    Address(u64),
    /// 32 bits.
    U32(u32),
    /// 64 bits.
    U64(u64),
}

impl Argument {
    /// Its bytes, from the lowest on, in a word.
    const fn word(self) -> u64 {
        match self {
            Self::Address(word) | Self::U64(word) => word,
            // Widening; the device reads the lower half, which comes first on the machines that CUDA has.
            #[allow(clippy::as_conversions)]
            Self::U32(word) => word as u64,
        }
    }
}

/// Kernels that are loaded for one partition.
#[derive(Debug)]
pub struct Module<'a> {
    module: CUmodule,
    partition: &'a Partition,
}

impl Module<'_> {
    /// A kernel by its name.
    ///
    /// # Errors
    /// What the driver says where the module has none of that name.
    pub fn kernel(&self, name: &CStr) -> Result<Kernel<'_>, CudaError> {
        self.partition.bind()?;
        let mut function = null_mut();
        // SAFETY: the module is alive, and the name is a C string.
        let result = unsafe { sys::cuModuleGetFunction(&raw mut function, self.module, name.as_ptr()) };
        answer("cuModuleGetFunction", result)?;
        Ok(Kernel { function, module: PhantomData })
    }
}

impl Drop for Module<'_> {
    fn drop(&mut self) {
        // A kernel of it may still run.
        let _ = self.partition.wait();
        // SAFETY: the context is current after the wait, and the module is unloaded once.
        let _ = unsafe { sys::cuModuleUnload(self.module) };
    }
}

/// A kernel of a module.
#[derive(Debug)]
pub struct Kernel<'a> {
    function: CUfunction,
    module: PhantomData<&'a Module<'a>>,
}

/// How a thread waits for a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// By looking again and again: the least delay, and a core that does nothing else.
    Polling,
    /// In the system, until the driver wakes it.
    Blocking,
}

/// The end of what was submitted to a partition's stream until it was marked.
#[derive(Debug)]
pub struct Completion<'a> {
    event: sys::CUevent,
    partition: &'a Partition,
}

// SAFETY: an event may be used from any thread.
unsafe impl Send for Completion<'_> {}

impl Completion<'_> {
    /// From now on it is the completion of what has been submitted so far.
    ///
    /// # Errors
    /// What the driver says.
    pub fn mark(&mut self) -> Result<(), CudaError> {
        self.partition.bind()?;
        // SAFETY: event and stream are alive and of one context.
        answer("cuEventRecord", unsafe { sys::cuEventRecord(self.event, self.partition.stream.cu_stream()) })
    }

    /// Whether it is done. Does not wait.
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

impl Drop for Completion<'_> {
    fn drop(&mut self) {
        // SAFETY: destroyed once; the driver waits for what it still marks.
        let _ = unsafe { sys::cuEventDestroy_v2(self.event) };
    }
}
