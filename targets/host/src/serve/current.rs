//! Which model's server answers a thread's requests for memory.
//!
//! A runtime's allocator is not told for which model it is asked. Loading and running a model set a thread-local pointer to the
//! model's [`Server`]; a segment runs on its lane's thread only, so every request comes on that thread. A request while none is set
//! belongs to nobody: of the CPU's memory it is served from the C library's heap and counted, of a device's it is refused. What a
//! model on a device asks of the CPU's memory comes from the heap: its plan is of the device's.
// A thread-local pointer, and blocks of the C library's heap.
#![allow(unsafe_code)]

use super::Server;
use crate::arena::contains;
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
    pub(crate) fn during<R>(&mut self, body: impl FnOnce() -> R) -> R {
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

/// Answers a request; null refuses it.
pub(crate) extern "C" fn take(size: usize) -> *mut c_void {
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
pub(crate) extern "C" fn take_on_device(size: usize) -> *mut c_void {
    // SAFETY: as in `take`.
    let server = unsafe { ON_DEVICE.get().as_mut() };
    if server.is_none() {
        UNATTRIBUTED.fetch_add(1, Ordering::Relaxed);
    }
    server.and_then(|server| server.take(size)).map_or(null_mut(), <*mut u8>::cast)
}

/// Takes a block back that [`take`] or [`take_on_device`] gave.
///
/// # Safety
/// It is given back once, and nobody uses it any more.
pub(crate) unsafe fn give(pointer: *mut c_void) {
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
    // SAFETY: the block is in no arena, so it came from `heap`, and is given back once.
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
    use super::{Server, give, heap_in_use, take, unattributed};
    use crate::arena::Arena;
    use crate::backend::Sequence;

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
            give(outside);
            blocks
        });
        assert!(inside(small) && large.is_null());
        assert_eq!((server.live(), server.usage().refused, server.usage().height), (1, 1, 1_024));
        // SAFETY: freed once.
        server.during(|| unsafe { give(small) });
        assert_eq!(server.live(), 0);
    }

    #[test]
    fn memory_that_is_kept_shows_in_the_heap() {
        let before = heap_in_use();
        let block = take(10_000_000);
        let with = heap_in_use();
        assert!(with >= before + 9_000_000, "{before} {with}");
        // SAFETY: freed once.
        unsafe { give(block) };
    }
}
