//! The allocator that ONNX Runtime asks for all its CPU memory: during a run it serves the planned scratch.
//!
//! One allocator serves the whole environment and is not told which session asks. A run sets a thread-local
//! pointer to its model's scratch; with one intra-op thread every request of the run comes on that thread. Requests
//! outside a run (weights that are repacked at load) come from the C library's heap.
//!
//! Returning null would end the process, so a request that does not fit the scratch is served from the heap as
//! well, counted, and reported as memory beyond the plan.
// These are callbacks that C++ calls with raw pointers.
#![allow(unsafe_code)]

use crate::arena::{Span, contains};
use crate::backend::ScratchUse;
use crate::first_fit::FirstFit;
use ort::AsPointer as _;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::sys::{OrtAllocator, OrtMemoryInfo};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::null_mut;

/// The scratch of one model.
#[derive(Debug)]
pub(super) struct Scratch {
    span: Span,
    fit: FirstFit,
    beyond: u64,
    beyond_bytes: u64,
}

impl Scratch {
    pub(super) fn new(span: Span) -> Self {
        let length = u64::try_from(span.length()).unwrap_or(0);
        Self { span, fit: FirstFit::new(length), beyond: 0, beyond_bytes: 0 }
    }

    pub(super) const fn usage(&self) -> ScratchUse {
        ScratchUse { height: self.fit.height(), beyond: self.beyond, beyond_bytes: self.beyond_bytes }
    }

    /// Serves every request of the calling thread from this scratch while `body` runs.
    ///
    /// The second result is the number of blocks that the body did not free.
    pub(super) fn during<R>(&mut self, body: impl FnOnce() -> R) -> (R, usize) {
        CURRENT.set(&raw mut *self);
        // A panic of the body would leave the pointer set: the guard takes it back in every case.
        let guard = Guard;
        let result = body();
        drop(guard);
        (result, self.fit.live())
    }

    fn take(&mut self, size: usize) -> Option<*mut u8> {
        let bytes = u64::try_from(size).ok()?;
        let Some(at) = self.fit.take(bytes) else {
            self.beyond = self.beyond.saturating_add(1);
            self.beyond_bytes = self.beyond_bytes.saturating_add(bytes);
            return None;
        };
        Some(self.span.base().wrapping_add(usize::try_from(at).ok()?))
    }

    /// Frees a block; false where the address is not in this scratch.
    fn give(&mut self, pointer: *mut u8) -> bool {
        match pointer.addr().checked_sub(self.span.base().addr()) {
            Some(at) if at < self.span.length() => u64::try_from(at).is_ok_and(|at| self.fit.give(at)),
            _ => false,
        }
    }
}

struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        CURRENT.set(null_mut());
    }
}

thread_local! {
    /// The scratch of the run that this thread is in, null outside a run.
    static CURRENT: Cell<*mut Scratch> = const { Cell::new(null_mut()) };
}

/// Bytes of the C library's heap that are in use, in all its arenas; small blocks count with their headers.
///
/// The difference across loading a model is what the model holds: weights as the runtime keeps them, its graph, its
/// state. It must not be taken while another thread loads a model.
#[must_use]
pub fn heap_in_use() -> u64 {
    // SAFETY: `mallinfo2` only reads the allocator's counters, under the allocator's own locks.
    let counters = unsafe { libc::mallinfo2() };
    u64::try_from(counters.uordblks.saturating_add(counters.hblkhd)).unwrap_or(u64::MAX)
}

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

unsafe extern "system" fn describe(this: *const OrtAllocator) -> *const OrtMemoryInfo {
    // SAFETY: the runtime passes back the pointer of `register`, which is the first field of a leaked `Table`.
    unsafe { (*this.cast::<Table>()).information.ptr() }
}

unsafe extern "system" fn allocate(_this: *mut OrtAllocator, size: usize) -> *mut c_void {
    let current = CURRENT.get();
    // SAFETY: the pointer is null or set by `during`, whose exclusive borrow of the scratch lasts until it is reset,
    // and it is used on this thread only.
    if let Some(scratch) = unsafe { current.as_mut() }
        && let Some(pointer) = scratch.take(size)
    {
        return pointer.cast();
    }
    heap(size)
}

unsafe extern "system" fn reserve(_this: *const OrtAllocator, size: usize) -> *mut c_void {
    heap(size)
}

unsafe extern "system" fn free(_this: *mut OrtAllocator, pointer: *mut c_void) {
    if pointer.is_null() {
        return;
    }
    // SAFETY: as in `allocate`.
    if unsafe { CURRENT.get().as_mut() }.is_some_and(|scratch| scratch.give(pointer.cast())) {
        return;
    }
    // A block of some scratch that is freed outside its run: `during` has counted it as not freed.
    if contains(pointer.addr()) {
        return;
    }
    // SAFETY: the block is in no arena, so it came from `heap`, and the runtime frees each block once.
    unsafe { libc::free(pointer) };
}

/// A block of the C library's heap; null only where the system has no memory left.
fn heap(size: usize) -> *mut c_void {
    const ALIGNMENT: usize = 64;
    let mut pointer = null_mut();
    // SAFETY: the alignment is a power of two and a multiple of a pointer's size; the result is checked.
    let result = unsafe { libc::posix_memalign(&raw mut pointer, ALIGNMENT, size.max(1)) };
    if result == 0 { pointer } else { null_mut() }
}

#[cfg(test)]
mod tests {
    use super::{Scratch, allocate, free, heap_in_use};
    use crate::arena::Arena;
    use std::ptr::null_mut;

    #[test]
    fn only_requests_inside_a_run_come_from_the_scratch() {
        let arena = Arena::map(4_096, true).unwrap();
        let span = arena.span(1_024, 1_024).unwrap();
        let inside = |pointer: *mut std::ffi::c_void| {
            let start = span.base().addr();
            (start..start + 1_024).contains(&pointer.addr())
        };
        let mut scratch = Scratch::new(span.clone());
        // SAFETY: each block is freed once, by the callback that belongs to the one that made it.
        unsafe {
            let outside = allocate(null_mut(), 100);
            assert!(!inside(outside));
            let ((small, large), kept) = scratch.during(|| {
                let (small, large) = (allocate(null_mut(), 1_000), allocate(null_mut(), 1_000));
                free(null_mut(), outside);
                (small, large)
            });
            assert!(inside(small) && !inside(large));
            assert_eq!((kept, scratch.usage().beyond, scratch.usage().beyond_bytes), (1, 1, 1_000));
            assert_eq!(scratch.usage().height, 1_024);
            let ((), kept) = scratch.during(|| {
                free(null_mut(), small);
                free(null_mut(), large);
            });
            assert_eq!(kept, 0);
        }
    }

    #[test]
    fn memory_that_is_kept_shows_in_the_heap() {
        let before = heap_in_use();
        // SAFETY: freed once, below.
        let block = unsafe { allocate(null_mut(), 10_000_000) };
        let with = heap_in_use();
        assert!(with >= before + 9_000_000, "{before} {with}");
        // SAFETY: freed once.
        unsafe { free(null_mut(), block) };
    }
}
