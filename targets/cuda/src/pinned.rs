//! Memory of the CPU from and to which a device copies by itself.
// The driver's function for that, which cudarc ties to a context of its own.
#![allow(unsafe_code)]

use crate::device::Device;
use crate::error::{CudaError, answer};
use cudarc::driver::sys;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// So many bytes that the system never moves and any device can reach.
#[derive(Debug)]
pub struct Pinned {
    base: NonNull<u8>,
    length: usize,
    device: Arc<Device>,
}

// SAFETY: an address range; every access goes through a pointer, whose users argue for themselves.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Takes so many bytes, at least one, all zero.
    ///
    /// # Errors
    /// What the driver says: the machine has not that much memory.
    pub fn take(device: &Arc<Device>, bytes: usize) -> Result<Self, CudaError> {
        device.bind()?;
        let length = bytes.max(1);
        let mut base = null_mut();
        let portable = sys::CU_MEMHOSTALLOC_PORTABLE;
        // SAFETY: the driver writes the address.
        answer("cuMemHostAlloc", unsafe { sys::cuMemHostAlloc(&raw mut base, length, portable) })?;
        let refused = || crate::error::failed("cuMemHostAlloc", sys::cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY);
        let base = NonNull::new(base.cast::<u8>()).ok_or_else(refused)?;
        // SAFETY: just taken, and as long.
        unsafe { base.as_ptr().write_bytes(0, length) };
        Ok(Self { base, length, device: Arc::clone(device) })
    }

    /// Its first byte.
    #[must_use]
    pub const fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }
}

/// Memory of the CPU that was there before, such as what another process maps, too, and that the device can copy from and to by
/// itself as long as this lives.
#[derive(Debug)]
pub struct Registered {
    base: NonNull<u8>,
    device: Arc<Device>,
}

// SAFETY: an address, of which nothing but its registration is used.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

impl Registered {
    /// Pins so many bytes of a mapping.
    ///
    /// # Errors
    /// What the driver says: a device may not be able to use memory that it did not take itself, or the system does not pin that
    /// much.
    ///
    /// # Safety
    /// The bytes are mapped, for reading and writing, until this is dropped, and not registered by anybody else.
    pub unsafe fn of(device: &Arc<Device>, base: NonNull<u8>, bytes: usize) -> Result<Self, CudaError> {
        device.bind()?;
        let portable = sys::CU_MEMHOSTREGISTER_PORTABLE;
        // SAFETY: the caller's.
        answer("cuMemHostRegister", unsafe { sys::cuMemHostRegister_v2(base.as_ptr().cast(), bytes, portable) })?;
        Ok(Self { base, device: Arc::clone(device) })
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let _ = self.device.bind();
        // SAFETY: registered by `of`, and given up once; who copies to it keeps it.
        let _ = unsafe { sys::cuMemHostUnregister(self.base.as_ptr().cast()) };
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.device.bind();
        // SAFETY: taken by `take`, and freed once; who copies to it keeps it.
        let _ = unsafe { sys::cuMemFreeHost(self.base.as_ptr().cast()) };
    }
}
