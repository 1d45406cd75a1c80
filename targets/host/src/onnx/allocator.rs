//! The allocators that ONNX Runtime asks for all its memory, one for the CPU's and one for each device's: they serve the planned
//! regions, or refuse.
//!
//! An allocator serves the whole environment; which session asks follows from the thread: with one intra-op thread every
//! request comes on that of the loading or run.
//!
//! A refusal is a C++ exception, thrown by `refuse.cpp`: the runtime turns it into an error of the one call, and goes on.
// These are callbacks that C++ calls with raw pointers.
#![allow(unsafe_code)]

use crate::serve::current::{give, take, take_on_device};
use ort::AsPointer as _;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::sys::{OrtAllocator, OrtMemoryInfo};
use std::ffi::c_void;

unsafe extern "C-unwind" {
    /// Makes these functions answer all requests, of the CPU's memory and of devices'; null refuses.
    fn aegis_serve_with(take: Take, take_on_device: Take);
    /// `Alloc` of the table: throws `std::bad_alloc` where the request is refused.
    fn aegis_allocate(this: *mut OrtAllocator, size: usize) -> *mut c_void;
    /// `Reserve` of the table, likewise.
    fn aegis_reserve(this: *const OrtAllocator, size: usize) -> *mut c_void;
    /// `Alloc` of a device's table, likewise.
    fn aegis_allocate_on_device(this: *mut OrtAllocator, size: usize) -> *mut c_void;
    /// `Reserve` of a device's table, likewise.
    fn aegis_reserve_on_device(this: *const OrtAllocator, size: usize) -> *mut c_void;
}

type Take = extern "C" fn(usize) -> *mut c_void;

/// The table of callbacks, with what they need beside it.
#[repr(C)]
struct Table {
    /// First, so that the runtime's pointer to it is a pointer to the table.
    callbacks: OrtAllocator,
    information: MemoryInfo<'static>,
}

/// Makes the environment use this allocator for CPU memory of every session that asks for it.
pub(super) fn register(environment: &Environment) -> ort::Result<()> {
    let information = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)?;
    // SAFETY: both answer every request from now on.
    unsafe { aegis_serve_with(take, take_on_device) };
    register_with(environment, information, aegis_allocate as *const c_void, aegis_reserve as *const c_void)
}

/// Likewise for the memory of the device of a number. Once for each, after [`register`].
pub(super) fn register_device(environment: &Environment, ordinal: u16) -> ort::Result<()> {
    let number = i32::from(ordinal);
    let information = MemoryInfo::new(AllocationDevice::CUDA, number, AllocatorType::Device, MemoryType::Default)?;
    let (allocate, reserve) = (aegis_allocate_on_device as *const c_void, aegis_reserve_on_device as *const c_void);
    register_with(environment, information, allocate, reserve)
}

fn register_with(
    environment: &Environment,
    information: MemoryInfo<'static>,
    allocate: *const c_void,
    reserve: *const c_void,
) -> ort::Result<()> {
    // SAFETY: both are C functions with these parameters. `ort` declares callbacks as ones that never unwind, which only
    // matters to Rust callers: the runtime calls them from C++, and no Rust code of this process does.
    let (allocate, reserve) = unsafe {
        let allocate = std::mem::transmute::<*const c_void, Allocate>(allocate);
        (allocate, std::mem::transmute::<*const c_void, Reserve>(reserve))
    };
    let callbacks = OrtAllocator {
        version: ort::sys::ORT_API_VERSION,
        Alloc: Some(allocate),
        Free: Some(free),
        Info: Some(describe),
        Reserve: Some(reserve),
        GetStats: None,
        AllocOnStream: None,
    };
    // Never freed: sessions may free memory through it until the process ends.
    let table = Box::leak(Box::new(Table { callbacks, information }));
    let (environment, callbacks) = (environment.ptr().cast_mut(), &raw mut table.callbacks);
    // SAFETY: the environment is alive, and the table is complete for its version and lives forever.
    unsafe { ort::Error::result_from_status((ort::api().RegisterAllocator)(environment, callbacks)) }
}

type Allocate = unsafe extern "system" fn(*mut OrtAllocator, usize) -> *mut c_void;
type Reserve = unsafe extern "system" fn(*const OrtAllocator, usize) -> *mut c_void;

unsafe extern "system" fn describe(this: *const OrtAllocator) -> *const OrtMemoryInfo {
    // SAFETY: the runtime passes back the pointer of `register`, which is the first field of a leaked `Table`.
    unsafe { (*this.cast::<Table>()).information.ptr() }
}

unsafe extern "system" fn free(_this: *mut OrtAllocator, pointer: *mut c_void) {
    // SAFETY: the runtime frees each block once.
    unsafe { give(pointer) };
}
