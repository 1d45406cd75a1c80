//! The allocators that ONNX Runtime asks for all its memory, one for the CPU's and one for each device's: they serve the planned
//! regions, or refuse.
//!
//! An allocator serves the whole environment and is not told which session asks. Loading and running a model set a
//! thread-local pointer to the model's [`Server`]; with one intra-op thread every request comes on that thread. A request
//! while none is set belongs to nobody: of the CPU's memory it is served from the C library's heap and counted, of a device's it is
//! refused. What a model on a device asks of the CPU's memory comes from the heap: its plan is of the device's.
//!
//! A refusal is a C++ exception, thrown by `refuse.cpp`: the runtime turns it into an error of the one call, and goes on.
// These are callbacks that C++ calls with raw pointers.
#![allow(unsafe_code)]

use super::serve::Server;
use crate::arena::contains;
use ort::AsPointer as _;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::sys::{OrtAllocator, OrtMemoryInfo};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::LocalKey;

/// Requests that came outside loading and runs.
static UNATTRIBUTED: AtomicU64 = AtomicU64::new(0);

/// How many requests so far came while no model was loaded or run on their thread.
#[must_use]
pub fn unattributed() -> u64 {
    UNATTRIBUTED.load(Ordering::Relaxed)
}

impl Server {
    /// Serves every request of the calling thread from this server while `body` runs.
    pub(super) fn during<R>(&mut self, body: impl FnOnce() -> R) -> R {
        let current = if self.is_of_device() { &ON_DEVICE } else { &CURRENT };
        // A panic of the body would leave the pointer set: the guard puts it back in every case.
        let _guard = Guard(current, current.replace(&raw mut *self));
        body()
    }
}

struct Guard(&'static LocalKey<Cell<*mut Server>>, *mut Server);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

thread_local! {
    /// What serves this thread, null where nothing is loaded or run.
    static CURRENT: Cell<*mut Server> = const { Cell::new(null_mut()) };
    /// Likewise for a device's memory.
    static ON_DEVICE: Cell<*mut Server> = const { Cell::new(null_mut()) };
}

/// Bytes of the C library's heap that are in use, in all its arenas; small blocks count with their headers.
///
/// The difference across loading a model is what the model holds there: weights as the runtime keeps them, its graph, its
/// state. It must not be taken while another thread loads a model.
#[must_use]
pub fn heap_in_use() -> u64 {
    // Asked for by its name: it came with version 2.33 of the library, and vehicles are built for 2.31, too.
    // SAFETY: the name is a C string, and no library is named.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"mallinfo2".as_ptr()) };
    if found.is_null() {
        // SAFETY: it only reads the allocator's counters, under the allocator's own locks.
        let counters = unsafe { libc::mallinfo() };
        // Whose 32 bits wrap: below 4 GiB the number is right.
        return u64::from(counters.uordblks.cast_unsigned()).saturating_add(counters.hblkhd.cast_unsigned().into());
    }
    // SAFETY: the function of this name has this type, and reads as above.
    let counters = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> libc::mallinfo2>(found)() };
    u64::try_from(counters.uordblks.saturating_add(counters.hblkhd)).unwrap_or(u64::MAX)
}

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

/// Answers a request; null refuses it.
extern "C" fn take(size: usize) -> *mut c_void {
    // SAFETY: the pointer is null or set by `during`, whose exclusive borrow of the server lasts until it is reset,
    // and it is used on this thread only.
    match unsafe { CURRENT.get().as_mut() } {
        Some(server) => server.take(size).map_or(null_mut(), <*mut u8>::cast),
        None => {
            if ON_DEVICE.get().is_null() {
                UNATTRIBUTED.fetch_add(1, Ordering::Relaxed);
            }
            heap(size)
        }
    }
}

/// Answers a request of a device's memory; null refuses it.
extern "C" fn take_on_device(size: usize) -> *mut c_void {
    // SAFETY: as in `take`.
    let server = unsafe { ON_DEVICE.get().as_mut() };
    if server.is_none() {
        UNATTRIBUTED.fetch_add(1, Ordering::Relaxed);
    }
    server.and_then(|server| server.take(size)).map_or(null_mut(), <*mut u8>::cast)
}

unsafe extern "system" fn free(_this: *mut OrtAllocator, pointer: *mut c_void) {
    if pointer.is_null() {
        return;
    }
    for current in [CURRENT.get(), ON_DEVICE.get()] {
        // SAFETY: as in `take`.
        if unsafe { current.as_mut() }.is_some_and(|server| server.give(pointer.cast())) {
            return;
        }
    }
    // A block of a region that is freed outside its loading or run: that of a session which is taken down.
    if contains(pointer.addr()) {
        return;
    }
    // SAFETY: the block is in no arena, so it came from `heap`, and the runtime frees each block once.
    unsafe { libc::free(pointer) };
}

/// A block of the C library's heap; null only where the system has no memory left.
pub(super) fn heap(size: usize) -> *mut c_void {
    const ALIGNMENT: usize = 64;
    let mut pointer = null_mut();
    // SAFETY: the alignment is a power of two and a multiple of a pointer's size; the result is checked.
    let result = unsafe { libc::posix_memalign(&raw mut pointer, ALIGNMENT, size.max(1)) };
    if result == 0 { pointer } else { null_mut() }
}

#[cfg(test)]
mod tests {
    use super::{Server, free, heap_in_use, take, unattributed};
    use crate::arena::Arena;
    use crate::backend::Sequence;
    use std::ptr::null_mut;

    #[test]
    fn requests_inside_are_served_or_refused_and_requests_outside_are_counted() {
        let arena = Arena::map(4_096, true).unwrap();
        let span = arena.span(1_024, 1_024).unwrap();
        let inside = |pointer: *mut std::ffi::c_void| {
            let start = span.base().addr();
            (start..start + 1_024).contains(&pointer.addr())
        };
        let mut server = Server::new(span.clone(), Sequence::Free);
        let before = unattributed();
        let outside = take(100);
        assert!(!inside(outside) && unattributed() > before);
        // SAFETY: each block is freed once.
        let (small, large) = server.during(|| unsafe {
            let blocks = (take(1_000), take(1_000));
            free(null_mut(), outside);
            blocks
        });
        assert!(inside(small) && large.is_null());
        assert_eq!((server.live(), server.usage().refused, server.usage().height), (1, 1, 1_024));
        // SAFETY: freed once.
        server.during(|| unsafe { free(null_mut(), small) });
        assert_eq!(server.live(), 0);
    }

    #[test]
    fn memory_that_is_kept_shows_in_the_heap() {
        let before = heap_in_use();
        let block = take(10_000_000);
        let with = heap_in_use();
        assert!(with >= before + 9_000_000, "{before} {with}");
        // SAFETY: freed once.
        unsafe { free(null_mut(), block) };
    }
}
