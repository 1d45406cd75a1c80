//! Counts the heap operations of each thread: the measure behind "the dispatch path does not allocate".
//!
//! ```ignore
//! #[global_allocator]
//! static HEAP: aegis_linux::heap::Counting = aegis_linux::heap::Counting;
//! // on the thread in question:
//! let before = aegis_linux::heap::operations_of_this_thread();
//! ```
// A global allocator is an unsafe trait; there is no other way to see each operation.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // Const-initialised and without a destructor, so that counting allocates nothing itself.
    static OPERATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, with a count per thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

/// How many times the calling thread has allocated, grown or freed heap memory since it started.
///
/// Always 0 where [`Counting`] is not the program's global allocator.
#[must_use]
pub fn operations_of_this_thread() -> u64 {
    OPERATIONS.get()
}

fn count() {
    // Gone only while the thread ends, when nobody asks any more.
    let _ = OPERATIONS.try_with(|operations| operations.set(operations.get().saturating_add(1)));
}

// SAFETY: every call is passed on unchanged to the system's allocator, which fulfils the contract; counting
// neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the pointer came from `System` with this layout, because `alloc` passes both on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as for `dealloc`; the size is the caller's.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
