//! A device's memory, taken once, that another process can map.
//!
//! ```text
//!  export: reserve addresses ─▶ create memory ─▶ map ─▶ access ─▶ descriptor ─▶ another process: import ─▶ map
//! ```
// The driver's functions for virtual memory, which cudarc does not wrap.
#![allow(unsafe_code)]

use crate::device::Device;
use crate::error::{CudaError, answer};
use cudarc::driver::sys::{
    self, CUdeviceptr, CUmemAccess_flags, CUmemAccessDesc, CUmemAllocationGranularity_flags, CUmemAllocationHandleType,
    CUmemAllocationProp, CUmemAllocationType, CUmemGenericAllocationHandle, CUmemLocation, CUmemLocationType,
};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr::null_mut;
use std::sync::Arc;

/// One piece of a device's memory, mapped at fixed addresses as long as it lives. Dropping it waits for all that runs on the device.
#[derive(Debug)]
pub struct Region {
    device: Arc<Device>,
    base: CUdeviceptr,
    /// What was asked for.
    length: u64,
    /// What is mapped: whole units of the device.
    mapped: usize,
    memory: CUmemGenericAllocationHandle,
}

impl Region {
    /// Takes so many bytes, at least one; they read as anything.
    ///
    /// # Errors
    /// What the driver says: the device has not that much memory.
    pub fn take(device: &Arc<Device>, bytes: u64) -> Result<Self, CudaError> {
        device.bind()?;
        let (properties, mapped) = (properties(device), whole(device, bytes)?);
        let mut memory = 0;
        // SAFETY: the properties are complete; the driver refuses a length that it does not have.
        answer("cuMemCreate", unsafe { sys::cuMemCreate(&raw mut memory, mapped, &raw const properties, 0) })?;
        Self::map(device, memory, mapped, bytes.max(1))
    }

    /// Maps what another process [exported](Self::export): so many bytes.
    ///
    /// # Errors
    /// What the driver says: the descriptor is of no memory of this device, or of less.
    pub fn import(device: &Arc<Device>, exported: BorrowedFd<'_>, bytes: u64) -> Result<Self, CudaError> {
        device.bind()?;
        let mapped = whole(device, bytes)?;
        let mut memory = 0;
        // The driver takes the descriptor's number in place of a pointer.
        #[allow(clippy::as_conversions)]
        let descriptor = exported.as_raw_fd() as isize as *mut c_void;
        let kind = CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
        // SAFETY: the descriptor is open during the call, which keeps memory of its own.
        answer("cuMemImportFromShareableHandle", unsafe {
            sys::cuMemImportFromShareableHandle(&raw mut memory, descriptor, kind)
        })?;
        Self::map(device, memory, mapped, bytes.max(1))
    }

    /// Maps memory, which is released where that fails.
    fn map(
        device: &Arc<Device>,
        memory: CUmemGenericAllocationHandle,
        mapped: usize,
        length: u64,
    ) -> Result<Self, CudaError> {
        let mut base = 0;
        // SAFETY: the driver chooses the addresses.
        let reserved =
            answer("cuMemAddressReserve", unsafe { sys::cuMemAddressReserve(&raw mut base, mapped, 0, 0, 0) });
        if let Err(error) = reserved {
            // SAFETY: made by the caller, and released once.
            let _ = unsafe { sys::cuMemRelease(memory) };
            return Err(error);
        }
        let region = Self { device: Arc::clone(device), base, length, mapped, memory };
        // SAFETY: the addresses are reserved, and the memory is as long; what fails from here on is undone by `drop`.
        answer("cuMemMap", unsafe { sys::cuMemMap(base, mapped, 0, memory, 0) })?;
        let access = CUmemAccessDesc {
            location: location(device),
            flags: CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
        };
        // SAFETY: the range is mapped; one description is given.
        answer("cuMemSetAccess", unsafe { sys::cuMemSetAccess(base, mapped, &raw const access, 1) })?;
        Ok(region)
    }

    /// A descriptor by which another process can [import](Self::import) it; the memory lives as long as either has it.
    ///
    /// # Errors
    /// What the driver says: the device cannot export memory.
    pub fn export(&self) -> Result<OwnedFd, CudaError> {
        let mut descriptor = -1_i32;
        let kind = CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
        // SAFETY: for this kind the driver writes a descriptor's number.
        answer("cuMemExportToShareableHandle", unsafe {
            sys::cuMemExportToShareableHandle((&raw mut descriptor).cast(), self.memory, kind, 0)
        })?;
        // SAFETY: opened by the call that succeeded, for this process to own.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The device's address of a piece, for a kernel's parameter.
    ///
    /// # Errors
    /// [`CudaError::Outside`].
    pub fn address(&self, at: u64, size: u64) -> Result<u64, CudaError> {
        let end = at.saturating_add(size);
        let outside = CudaError::Outside { at, end, length: self.length };
        if end > self.length { Err(outside) } else { self.base.checked_add(at).ok_or(outside) }
    }

    /// Copies bytes to the device, and waits. For loading: it uses the primary context's copy engine.
    ///
    /// # Errors
    /// [`CudaError::Outside`], or what the driver says.
    ///
    /// # Safety
    /// Nobody reads or writes these bytes meanwhile.
    pub unsafe fn write(&self, at: u64, bytes: &[u8]) -> Result<(), CudaError> {
        let address = self.address(at, u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
        self.device.bind()?;
        // SAFETY: the range is mapped, checked above, and the caller excludes every other access.
        answer("cuMemcpyHtoD", unsafe { sys::cuMemcpyHtoD_v2(address, bytes.as_ptr().cast(), bytes.len()) })?;
        // The copy may return once the bytes are staged. It is work of the context's default stream.
        // SAFETY: the context is current.
        answer("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(null_mut()) })
    }

    /// Copies bytes from the device, and waits; likewise.
    ///
    /// # Errors
    /// [`CudaError::Outside`], or what the driver says.
    ///
    /// # Safety
    /// Nobody writes these bytes meanwhile.
    pub unsafe fn read(&self, at: u64, bytes: &mut [u8]) -> Result<(), CudaError> {
        let address = self.address(at, u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
        self.device.bind()?;
        // SAFETY: as in `write`.
        answer("cuMemcpyDtoH", unsafe { sys::cuMemcpyDtoH_v2(bytes.as_mut_ptr().cast(), address, bytes.len()) })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // Whatever runs on the device may use it, in partitions, too: this waits for all of them. An error is one of that work.
        if self.device.bind().is_ok() {
            // SAFETY: the context is current.
            let _ = unsafe { sys::cuCtxSynchronize() };
        }
        // SAFETY: made by `map`, and undone once; a region that failed to be mapped is only refused by the first call.
        unsafe {
            let _ = sys::cuMemUnmap(self.base, self.mapped);
            let _ = sys::cuMemAddressFree(self.base, self.mapped);
            let _ = sys::cuMemRelease(self.memory);
        }
    }
}

/// So many bytes, at least one, in whole units of the device; the greatest number where that is too many.
fn whole(device: &Device, bytes: u64) -> Result<usize, CudaError> {
    let properties = properties(device);
    let mut unit = 0_usize;
    let least = CUmemAllocationGranularity_flags::CU_MEM_ALLOC_GRANULARITY_MINIMUM;
    // SAFETY: the properties are complete, and the driver writes one number.
    answer("cuMemGetAllocationGranularity", unsafe {
        sys::cuMemGetAllocationGranularity(&raw mut unit, &raw const properties, least)
    })?;
    let bytes = usize::try_from(bytes.max(1)).ok();
    Ok(bytes.and_then(|bytes| bytes.checked_next_multiple_of(unit.max(1))).unwrap_or(usize::MAX))
}

fn location(device: &Device) -> CUmemLocation {
    // SAFETY: all zeros is a valid value of it.
    let mut location = unsafe { MaybeUninit::<CUmemLocation>::zeroed().assume_init() };
    location.type_ = CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
    location.id = i32::from(device.ordinal().cast_signed());
    location
}

/// Memory of the device, exported where it can be.
fn properties(device: &Device) -> CUmemAllocationProp {
    // SAFETY: all zeros is a valid value of it.
    let mut properties = unsafe { MaybeUninit::<CUmemAllocationProp>::zeroed().assume_init() };
    properties.type_ = CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location = location(device);
    if device.facts().exports {
        properties.requestedHandleTypes = CUmemAllocationHandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    }
    properties
}
