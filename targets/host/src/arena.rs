//! The planned memory: one mapping per pool, taken once at start, and pieces of it by byte offset.
// Mapping memory and making slices of it is what this module exists for.
#![allow(unsafe_code)]

use aegis_core::desc::ElementType;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munlock, munmap};
use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The address ranges of all arenas that exist, so that a stray pointer can be told from heap memory.
static RANGES: RwLock<Vec<(usize, usize)>> = RwLock::new(Vec::new());

/// One anonymous mapping, zeroed and page-aligned.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<u8>,
    length: usize,
    /// Whether it is locked into memory, by itself or with the whole process.
    locked: AtomicBool,
}

// SAFETY: an arena is only an address range; every access goes through a `Span`, whose users argue for themselves.
unsafe impl Send for Arena {}
// SAFETY: as above; no method of `&Arena` reads or writes the memory.
unsafe impl Sync for Arena {}

impl Arena {
    /// Maps `bytes` of memory; `reserve` false promises nothing and costs nothing until a page is touched.
    ///
    /// # Errors
    /// The system has not that much memory or address space.
    pub fn map(bytes: u64, reserve: bool) -> io::Result<Arc<Self>> {
        let length = usize::try_from(bytes.max(1)).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let flags = if reserve { MapFlags::PRIVATE } else { MapFlags::PRIVATE | MapFlags::NORESERVE };
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: no address is asked for, so the new mapping overlaps nothing that exists.
        let pointer = unsafe { mmap_anonymous(std::ptr::null_mut(), length, access, flags) }?;
        let base = NonNull::new(pointer.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let start = base.as_ptr().addr();
        RANGES.write().unwrap_or_else(PoisonError::into_inner).push((start, start.saturating_add(length)));
        Ok(Arc::new(Self { base, length, locked: AtomicBool::new(false) }))
    }

    /// Locks the mapping into memory, which also touches every page.
    ///
    /// # Errors
    /// `RLIMIT_MEMLOCK` is too low.
    pub fn lock(&self) -> io::Result<()> {
        // SAFETY: the range is this mapping, which lives as long as `self`; locking changes no contents.
        unsafe { mlock(self.base.as_ptr().cast::<c_void>(), self.length) }?;
        self.locked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Notes that it is locked with all memory of the process.
    pub fn is_locked_with_all(&self) {
        self.locked.store(true, Ordering::Relaxed);
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        u64::try_from(self.length).unwrap_or(u64::MAX)
    }

    /// The piece `[at, at + size)`; `None` where it is not inside.
    #[must_use]
    pub fn span(self: &Arc<Self>, at: u64, size: u64) -> Option<Span> {
        let (base, length) = self.piece(at, size)?;
        Some(Span { base, length, _arena: Arc::clone(self) })
    }

    fn piece(&self, at: u64, size: u64) -> Option<(NonNull<u8>, usize)> {
        let at = usize::try_from(at).ok()?;
        let length = usize::try_from(size).ok()?;
        if at.checked_add(length)? > self.length {
            return None;
        }
        // SAFETY: `at` is at most the mapping's length, checked above, so the result stays inside or at its end.
        Some((unsafe { self.base.add(at) }, length))
    }

    /// Whole pages, at most those that begin inside: their address and length.
    fn pages(&self, pages: &Range<u64>) -> io::Result<(*mut c_void, usize)> {
        let end = pages.end.min(u64::try_from(self.length).unwrap_or(u64::MAX));
        let piece = self.piece(pages.start, end.saturating_sub(pages.start));
        let (base, length) = piece.filter(|(_, length)| *length > 0).ok_or(io::ErrorKind::InvalidInput)?;
        Ok((base.as_ptr().cast(), length))
    }

    /// Gives whole pages back to the system, by byte offsets. They read as zeros then.
    ///
    /// # Errors
    /// The system's; they are as before then.
    ///
    /// # Safety
    /// Nobody reads or writes them until [`Arena::take_back`] has returned.
    pub unsafe fn give_back(&self, pages: Range<u64>) -> io::Result<()> {
        let (base, length) = self.pages(&pages)?;
        if self.locked.load(Ordering::Relaxed) {
            // SAFETY: the range is of this mapping, which lives as long as `self`; unlocking changes no contents.
            unsafe { munlock(base, length) }?;
        }
        // SAFETY: the range is of this mapping, private and anonymous, so its pages become zeros, which the caller allows.
        let given = unsafe { madvise(base, length, Advice::LinuxDontNeed) };
        if let Err(error) = given {
            self.take_back(pages)?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Takes pages from the system again, so that nobody who uses them meets a page that is not there.
    ///
    /// # Errors
    /// The system does not lock that much, or has no room to note what is locked. Memory that it does not have it does not
    /// refuse: it ends a process that has much.
    pub fn take_back(&self, pages: Range<u64>) -> io::Result<()> {
        let (base, length) = self.pages(&pages)?;
        if self.locked.load(Ordering::Relaxed) {
            // SAFETY: the range is of this mapping; locking touches each page and changes no contents.
            unsafe { mlock(base, length) }?;
        } else {
            // SAFETY: the range is of this mapping; each page is touched, and no contents change.
            let touched = unsafe { madvise(base, length, Advice::LinuxPopulateWrite) };
            // A system older than this advice (Linux 5.14) meets the pages later, as all do that are not locked.
            touched.or_else(|error| if error == rustix::io::Errno::INVAL { Ok(()) } else { Err(error) })?;
        }
        Ok(())
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let start = self.base.as_ptr().addr();
        RANGES.write().unwrap_or_else(PoisonError::into_inner).retain(|range| range.0 != start);
        // SAFETY: the mapping was made in `map` with this length, and each span of it holds the arena alive, so
        // nobody refers to it any more.
        let _ = unsafe { munmap(self.base.as_ptr().cast::<c_void>(), self.length) };
    }
}

/// Whether an address lies inside any arena.
#[must_use]
pub fn contains(address: usize) -> bool {
    let ranges = RANGES.read().unwrap_or_else(PoisonError::into_inner);
    ranges.iter().any(|(start, end)| (*start..*end).contains(&address))
}

/// A piece of an arena, which it keeps alive.
#[derive(Clone, Debug)]
pub struct Span {
    base: NonNull<u8>,
    length: usize,
    _arena: Arc<Arena>,
}

// SAFETY: a span is an address range that it keeps mapped; whoever reads or writes it argues for exclusive use.
unsafe impl Send for Span {}

impl Span {
    /// Its first byte.
    #[must_use]
    pub const fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }
}

/// One input or output of a model in planned memory.
#[derive(Clone, Debug)]
pub struct BoundTensor {
    /// The name in the model's file.
    pub name: String,
    /// The element type.
    pub element: ElementType,
    /// The dimensions.
    pub shape: Vec<i64>,
    /// Where it lies.
    pub span: Span,
}

/// A Rust type that a tensor's bytes can be seen as.
///
/// # Safety
/// Every bit pattern is a valid value, and `ELEMENT` has the type's size.
pub unsafe trait Element: Copy {
    /// The element type of tensors that are seen as this type.
    const ELEMENT: ElementType;
}

// SAFETY: four bytes, every bit pattern is an f32.
unsafe impl Element for f32 {
    const ELEMENT: ElementType = ElementType::F32;
}
// SAFETY: eight bytes, every bit pattern is an i64.
unsafe impl Element for i64 {
    const ELEMENT: ElementType = ElementType::I64;
}
// SAFETY: four bytes, every bit pattern is an i32.
unsafe impl Element for i32 {
    const ELEMENT: ElementType = ElementType::I32;
}
// SAFETY: one byte, every bit pattern is a u8.
unsafe impl Element for u8 {
    const ELEMENT: ElementType = ElementType::U8;
}

impl BoundTensor {
    /// The pointer and element count, where the tensor has this element type and is aligned for it.
    fn parts<T: Element>(&self) -> Option<(*mut T, usize)> {
        let pointer = self.span.base().cast::<T>();
        let fits = self.element == T::ELEMENT && pointer.is_aligned();
        fits.then(|| (pointer, self.span.length() / size_of::<T>()))
    }

    /// The elements, to read.
    ///
    /// # Safety
    /// Nobody writes this memory while the slice lives.
    #[must_use]
    pub unsafe fn read<T: Element>(&self) -> Option<&[T]> {
        let (pointer, count) = self.parts::<T>()?;
        // SAFETY: the span is mapped as long as `self` lives, aligned (checked), long enough (divided), every bit
        // pattern is valid (`Element`), and the caller excludes writers.
        Some(unsafe { std::slice::from_raw_parts(pointer, count) })
    }

    /// The elements, to write.
    ///
    /// # Safety
    /// Nobody else reads or writes this memory while the slice lives.
    #[must_use]
    pub unsafe fn write<T: Element>(&mut self) -> Option<&mut [T]> {
        let (pointer, count) = self.parts::<T>()?;
        // SAFETY: as for `read`, and the caller excludes every other access.
        Some(unsafe { std::slice::from_raw_parts_mut(pointer, count) })
    }

    /// Sets every byte to 0.
    ///
    /// # Safety
    /// Nobody else reads or writes this memory meanwhile.
    pub unsafe fn zero(&mut self) {
        // SAFETY: the span is mapped and has this length; the caller excludes every other access.
        unsafe { self.span.base().write_bytes(0, self.span.length()) };
    }
}

#[cfg(test)]
mod tests {
    use super::{Arena, BoundTensor, contains};
    use aegis_core::desc::ElementType;

    #[test]
    fn a_span_outside_the_arena_does_not_exist() {
        let arena = Arena::map(4_096, true).unwrap();
        assert!(arena.span(4_032, 64).is_some());
        assert!(arena.span(4_033, 64).is_none());
        assert!(arena.span(u64::MAX, 64).is_none());
        let address = arena.span(0, 1).unwrap().base().addr();
        // Another test's arena may lie right behind this one, so only an address that nobody maps is surely outside.
        assert!(contains(address) && contains(address + 4_095) && !contains(0));
    }

    #[test]
    fn pages_that_are_given_back_are_not_there_and_come_back_as_zeros() {
        let page = u64::try_from(rustix::param::page_size()).unwrap();
        let arena = Arena::map(4 * page - 100, true).unwrap();
        let whole = arena.span(0, 4 * page - 100).unwrap();
        // SAFETY: nobody else uses this arena.
        unsafe { whole.base().write_bytes(7, whole.length()) };
        let resident = || {
            let mut pages = [0_u8; 4];
            // SAFETY: the array has an entry for each page of the mapping.
            let result = unsafe { libc::mincore(whole.base().cast(), whole.length(), pages.as_mut_ptr()) };
            assert_eq!(result, 0);
            pages.map(|page| page & 1)
        };
        assert_eq!(resident(), [1; 4]);
        // Where the system allows it; both ways are the same to who uses it.
        let _ = arena.lock();
        // SAFETY: as above.
        unsafe {
            arena.give_back(page..2 * page).unwrap();
            arena.give_back(3 * page..4 * page).unwrap();
        }
        assert_eq!(resident(), [1, 0, 1, 0]);
        arena.take_back(page..2 * page).unwrap();
        assert_eq!(resident(), [1, 1, 1, 0]);
        // SAFETY: as above.
        let at = |offset: u64| unsafe { *whole.base().add(usize::try_from(offset).unwrap()) };
        assert_eq!([page - 1, page, 2 * page - 1, 2 * page].map(at), [7, 0, 0, 7]);
        // SAFETY: as above.
        assert!(unsafe { arena.give_back(5 * page..6 * page) }.is_err(), "outside");
    }

    #[test]
    fn elements_are_seen_only_as_their_own_type() {
        let arena = Arena::map(4_096, true).unwrap();
        let tensor = |element, at, size| {
            let span = arena.span(at, size).unwrap();
            BoundTensor { name: "x".into(), element, shape: vec![4], span }
        };
        let mut floats = tensor(ElementType::F32, 64, 16);
        // SAFETY: nobody else uses this arena.
        unsafe {
            assert!(floats.write::<i32>().is_none());
            floats.write::<f32>().unwrap().copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
            assert_eq!(floats.read::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
            floats.zero();
            assert_eq!(floats.read::<f32>().unwrap(), [0.0; 4]);
            assert!(tensor(ElementType::I64, 4, 8).read::<i64>().is_none(), "not aligned");
        }
    }
}
