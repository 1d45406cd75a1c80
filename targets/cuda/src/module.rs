//! Kernels of a file, loaded for one part of a device and launched on its stream.
// Modules and launches, which cudarc's safe interface does not have.
#![allow(unsafe_code)]

use crate::error::{CudaError, answer, checked, refused_module};
use crate::partition::{Own, Partition};
use cudarc::driver::result::launch_kernel;
use cudarc::driver::sys::{self, CUfunction, CUfunction_attribute, CUjit_option, CUmodule, cudaError_enum};
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::sync::Arc;

/// What the driver may say of a module that it refuses, in bytes.
const LOG_BYTES: usize = 4_096;

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
    /// Its length in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Address(_) | Self::U64(_) => 8,
            Self::U32(_) => 4,
        }
    }

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

/// What is launched how often and with what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Blocks in each direction.
    pub grid: [u32; 3],
    /// Threads of a block in each direction.
    pub block: [u32; 3],
    /// Shared memory of each block that the kernel does not declare itself, in bytes.
    pub shared: u32,
}

/// Kernels that are loaded for one part of a device. Kernels of it keep it.
#[derive(Clone, Debug)]
pub struct Module {
    loaded: Arc<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    module: CUmodule,
    own: Arc<Own>,
}

// SAFETY: the driver's handle belongs to no thread; what is done by it needs the part's partition, or that no other thread has it.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

impl Partition {
    /// Loads a module, given as PTX text or as a cubin, for kernels that run here.
    ///
    /// # Errors
    /// [`CudaError::Module`] with the driver's own words: of text that is no PTX, PTX or a cubin for another device, or too little
    /// memory.
    pub fn load(&self, image: &[u8]) -> Result<Module, CudaError> {
        self.bind()?;
        // Text ends with a zero; what follows a cubin is not read.
        let image: Vec<u8> = image.iter().copied().chain([0]).collect();
        let mut log = [0_u8; LOG_BYTES];
        let mut module = null_mut();
        let mut options = [CUjit_option::CU_JIT_ERROR_LOG_BUFFER, CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
        // The driver takes the number in place of a pointer.
        let mut values: [*mut c_void; 2] = [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(LOG_BYTES)];
        // SAFETY: the context is current; the image ends with a zero and, like the log of that length, lives until the call
        // returns, which copies it; there are two options with a value each.
        let result = unsafe {
            let (options, values) = (options.as_mut_ptr(), values.as_mut_ptr());
            sys::cuModuleLoadDataEx(&raw mut module, image.as_ptr().cast(), 2, options, values)
        };
        answer("cuModuleLoadDataEx", result).map_err(|error| refused_module(error, &log))?;
        Ok(Module { loaded: Arc::new(Loaded { module, own: Arc::clone(self.own()) }) })
    }
}

impl Module {
    /// A kernel by its name.
    ///
    /// # Errors
    /// What the driver says where the module has none of that name; [`CudaError::OtherPartition`].
    pub fn kernel(&self, partition: &Partition, name: &CStr) -> Result<Kernel, CudaError> {
        self.loaded.of(partition)?;
        let mut function = null_mut();
        // SAFETY: the module is alive, and the name is a C string.
        let result = unsafe { sys::cuModuleGetFunction(&raw mut function, self.loaded.module, name.as_ptr()) };
        answer("cuModuleGetFunction", result)?;
        Ok(Kernel { function, loaded: Arc::clone(&self.loaded) })
    }
}

impl Loaded {
    /// Whether it was loaded for a partition, whose context is the thread's from now on.
    fn of(&self, partition: &Partition) -> Result<(), CudaError> {
        if !Arc::ptr_eq(&self.own, partition.own()) {
            return Err(CudaError::OtherPartition);
        }
        partition.bind()
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // Where another thread has the part, its context cannot be this one's: then the module lives as long as the part.
        self.own.with_context(|| {
            // A kernel of it may still run.
            // SAFETY: the stream is alive, and its context current.
            let _ = unsafe { sys::cuStreamSynchronize(self.own.stream().cu_stream()) };
            // SAFETY: the module is of this context, and unloaded once; no kernel of it is left.
            let _ = unsafe { sys::cuModuleUnload(self.module) };
        });
    }
}

/// A kernel of a module, to run where the module was loaded.
#[derive(Clone, Debug)]
pub struct Kernel {
    function: CUfunction,
    loaded: Arc<Loaded>,
}

// SAFETY: as for the module, which it keeps.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

impl Kernel {
    /// The lengths of its parameters in bytes; `None` where the driver cannot tell, before CUDA 12.4.
    ///
    /// # Errors
    /// [`CudaError::OtherPartition`], or what the driver says.
    pub fn parameters(&self, partition: &Partition) -> Result<Option<Vec<usize>>, CudaError> {
        self.loaded.of(partition)?;
        if !partition.device().facts().driver.has_parameters() {
            return Ok(None);
        }
        let mut all = Vec::new();
        loop {
            let (mut at, mut length) = (0_usize, 0_usize);
            // SAFETY: the function is alive; the driver writes two numbers, or refuses a position that is none.
            let result = unsafe { sys::cuFuncGetParamInfo(self.function, all.len(), &raw mut at, &raw mut length) };
            match answer("cuFuncGetParamInfo", result) {
                Ok(()) => all.push(length),
                Err(error) if error.is(cudaError_enum::CUDA_ERROR_INVALID_VALUE) => return Ok(Some(all)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets launches of it ask for so much shared memory besides what it declares; the last call counts, and without one 48 KiB in all.
    ///
    /// # Errors
    /// [`CudaError::OtherPartition`], or what the driver says: the device has not that much.
    pub fn allow_shared(&self, partition: &Partition, bytes: u32) -> Result<(), CudaError> {
        self.loaded.of(partition)?;
        let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function is alive.
        answer("cuFuncSetAttribute", unsafe { sys::cuFuncSetAttribute(self.function, most, bytes.cast_signed()) })
    }

    /// Submits it to the partition's stream. Does not wait.
    ///
    /// # Errors
    /// [`CudaError::OtherPartition`], or what the driver says, also of earlier work.
    ///
    /// # Safety
    /// The kernel has these parameters. Until it has completed the module and the regions that it uses live, and it reads and
    /// writes no memory that anybody else uses. Of a launch that is captured all that holds for each launch of the graph.
    pub unsafe fn launch(&self, partition: &Partition, shape: Shape, arguments: &[Argument]) -> Result<(), CudaError> {
        self.loaded.of(partition)?;
        let mut words: Vec<u64> = arguments.iter().copied().map(Argument::word).collect();
        let mut pointers: Vec<*mut c_void> =
            words.iter_mut().map(|word| std::ptr::from_mut(word).cast::<c_void>()).collect();
        let Shape { grid: [x, y, z], block: [columns, rows, layers], shared } = shape;
        // SAFETY: the context is current and the kernel of it. Each parameter is read from its word, which is at least as long as
        // the parameter; the rest is the caller's.
        let result = unsafe {
            let stream = partition.stream().cu_stream();
            launch_kernel(self.function, (x, y, z), (columns, rows, layers), shared, stream, &mut pointers)
        };
        checked("cuLaunchKernel", result)
    }
}
