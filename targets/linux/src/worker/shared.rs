//! Memory that the vehicle shares with the process of one fault domain: objects without a name, which end with the last of both.
// Mapping pages and seeing them as words is what this module exists for.
#![allow(unsafe_code)]

use super::page::{Futex, Looking, Page};
use crate::clock::{monotonic_ns, timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::thread::futex;
use std::num::NonZero;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::{ffi::c_void, io};

/// Takes `bytes` of zeroed memory that can be handed to one process and mapped by both, and never becomes shorter or longer: nobody
/// can take pages away from under the other one.
///
/// # Errors
/// The system has no file descriptor or memory left, or no such objects.
pub fn object(name: &str, bytes: u64) -> io::Result<OwnedFd> {
    let object = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&object, bytes)?;
    fcntl_add_seals(&object, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(object)
}

/// Maps all `bytes` of an object, to read and to write, by everybody who has it. Whoever maps it unmaps it.
///
/// # Errors
/// The object has another length or can be made shorter; the system refuses.
pub fn map(object: impl AsFd, bytes: u64) -> io::Result<(NonNull<u8>, usize)> {
    let (object, length) = (object.as_fd(), usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?);
    let is_whole = u64::try_from(fstat(object)?.st_size).is_ok_and(|size| size == bytes);
    if !is_whole || !fcntl_get_seals(object)?.contains(SealFlags::SHRINK) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not the object that was promised"));
    }
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: no address is asked for, so the new mapping overlaps nothing that exists.
    let pointer = unsafe { mmap(std::ptr::null_mut(), length, access, MapFlags::SHARED, object, 0) }?;
    Ok((NonNull::new(pointer.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?, length))
}

/// The bytes of a page's object.
pub const PAGE_BYTES: u64 = 4_096;

/// A page that is mapped here.
#[derive(Debug)]
pub struct SharedPage(NonNull<Page>);

// SAFETY: the page consists of atomic numbers, which any thread may use through a shared reference.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// Maps a page.
    ///
    /// # Errors
    /// As for [`map`].
    pub fn map(object: impl AsFd) -> io::Result<Self> {
        const { assert!(size_of::<Page>() <= 4_096 && align_of::<Page>() <= 4_096) };
        Ok(Self(map(object, PAGE_BYTES)?.0.cast()))
    }
}

impl Deref for SharedPage {
    type Target = Page;

    fn deref(&self) -> &Page {
        // SAFETY: the mapping begins at a page's boundary, is long enough (asserted in `map`), lives as long as `self`, and stays
        // there, since the object cannot be made shorter (checked in `map`). Every bit pattern is a valid page; whatever another
        // process writes, this one reads its words by atomic operations alone.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with this length; whoever refers to the page borrows `self`.
        let _ = unsafe { munmap(self.0.as_ptr().cast::<c_void>(), 4_096) };
    }
}

/// The system's futexes, also between processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Futex for System {
    fn wait(&self, word: &AtomicU32, expected: u32, until: Option<u64>) {
        let until = until.map(timespec);
        // Whatever it returns, the caller looks again: at the word, and at the time.
        let _ = futex::wait_bitset(word, futex::Flags::empty(), expected, until.as_ref(), NonZero::<u32>::MAX);
    }

    fn wake(&self, word: &AtomicU32) {
        // It is refused for an address that is not mapped, which a reference's is.
        let _ = futex::wake(word, futex::Flags::empty(), u32::try_from(i32::MAX).unwrap_or(1));
    }

    fn now(&self) -> u64 {
        monotonic_ns()
    }
}

/// Waiting without the system: for threads that have a core each. Between two looks at the clock there is about a microsecond.
pub const LOOKING: Looking<System> = Looking { clock: System, looks: 32 };
