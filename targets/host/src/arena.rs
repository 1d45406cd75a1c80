//! The planned memory: one mapping or device region per pool, taken once at start, and pieces of it by byte offset.
// Mapping memory and making slices of it is what this module exists for.
#![allow(unsafe_code)]

use aegis_core::Bytes;
use aegis_core::desc::{ALIGNMENT, ElementType, GPU_ALIGNMENT};
use aegis_cuda::{CudaError, Device, Pinned, Region, Registered};
use rustix::fd::AsFd;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munlock, munmap};
use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The address ranges of all arenas that exist, so that a stray pointer can be told from heap memory.
static RANGES: RwLock<Vec<(usize, usize)>> = RwLock::new(Vec::new());

/// One piece of memory, page-aligned.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<u8>,
    length: usize,
    of: Memory,
    /// Whether it is locked into memory, by itself or with the whole process.
    locked: AtomicBool,
}

/// Whose memory it is.
#[derive(Debug)]
enum Memory {
    /// An anonymous mapping, zeroed.
    Mapped,
    /// A mapping of an object that another process maps, too, zeroed.
    Shared,
    /// Such a mapping, pinned for a device to copy from and to. It is unpinned before it is unmapped.
    SharedPinned { kept: Option<Registered> },
    /// The CPU's, pinned for a device to copy from and to, zeroed. Kept for what it holds.
    Pinned { _kept: Pinned },
    /// A device's: its addresses mean nothing to the CPU. It holds anything. Likewise.
    Device { _kept: Region },
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
        Ok(Self::known(base, length, Memory::Mapped))
    }

    /// Maps `bytes` of an object that the vehicle and the process of one fault domain share.
    ///
    /// # Errors
    /// It is not that object, or the system has not that much address space.
    pub fn shared(object: impl AsFd, bytes: u64) -> io::Result<Arc<Self>> {
        let (base, length) = aegis_linux::worker::shared::map(object, bytes)?;
        Ok(Self::known(base, length, Memory::Shared))
    }

    /// Likewise in the process, pinned for a device of it to copy from and to by itself.
    ///
    /// # Errors
    /// As for [`Arena::shared`], or what the driver says.
    pub fn shared_pinned(object: impl AsFd, bytes: u64, device: &Arc<Device>) -> Result<Arc<Self>, NotShared> {
        let (base, length) = aegis_linux::worker::shared::map(object, bytes)?;
        // Unmapped where anything below fails.
        let mut arena = Self { base, length, of: Memory::SharedPinned { kept: None }, locked: AtomicBool::new(false) };
        // SAFETY: mapped just now and nobody else's; what keeps it pinned is dropped before it is unmapped.
        let registered = unsafe { Registered::of(device, base, length) }?;
        arena.of = Memory::SharedPinned { kept: Some(registered) };
        arena.note();
        Ok(Arc::new(arena))
    }

    /// Takes `bytes` of the CPU's memory that the device can copy from and to by itself.
    ///
    /// # Errors
    /// What the driver says.
    pub fn pinned(device: &Arc<Device>, bytes: u64) -> Result<Arc<Self>, CudaError> {
        let taken = Pinned::take(device, usize::try_from(bytes).unwrap_or(usize::MAX))?;
        let (base, length) = (taken.base(), taken.length());
        Ok(Self::known(base, length, Memory::Pinned { _kept: taken }))
    }

    /// Takes `bytes` of a device's memory.
    ///
    /// # Errors
    /// What the driver says: the device has not that much.
    pub fn of_device(device: &Arc<Device>, bytes: u64) -> Result<Arc<Self>, CudaError> {
        let region = Region::take(device, bytes)?;
        let address = region.address(0, 1)?;
        let outside = CudaError::Outside { at: address, end: address, length: region.length() };
        let address = usize::try_from(address).ok().and_then(std::num::NonZero::new).ok_or(outside)?;
        let length = usize::try_from(region.length()).unwrap_or(usize::MAX);
        Ok(Self::known(NonNull::without_provenance(address), length, Memory::Device { _kept: region }))
    }

    fn known(base: NonNull<u8>, length: usize, of: Memory) -> Arc<Self> {
        let arena = Self { base, length, of, locked: AtomicBool::new(false) };
        arena.note();
        Arc::new(arena)
    }

    /// From now on its addresses are those of an arena.
    fn note(&self) {
        let start = self.base.as_ptr().addr();
        RANGES.write().unwrap_or_else(PoisonError::into_inner).push((start, start.saturating_add(self.length)));
    }

    /// Whether it is a device's memory, which the CPU cannot read or write.
    #[must_use]
    pub const fn is_of_device(&self) -> bool {
        matches!(self.of, Memory::Device { .. })
    }

    /// Locks the mapping into memory, which also touches every page. What is not a mapping never leaves memory.
    ///
    /// # Errors
    /// `RLIMIT_MEMLOCK` is too low.
    pub fn lock(&self) -> io::Result<()> {
        if !matches!(self.of, Memory::Mapped | Memory::Shared) {
            return Ok(());
        }
        // SAFETY: the range is this mapping, which lives as long as `self`; locking changes no contents.
        unsafe { mlock(self.base.as_ptr().cast::<c_void>(), self.length) }?;
        self.locked.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Notes that it is locked with all memory of the process.
    pub fn note_locked(&self) {
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
        Some(Span { base, length, arena: Arc::clone(self) })
    }

    fn piece(&self, at: u64, size: u64) -> Option<(NonNull<u8>, usize)> {
        let at = usize::try_from(at).ok()?;
        let length = usize::try_from(size).ok()?;
        if at.checked_add(length)? > self.length {
            return None;
        }
        // Inside or at its end; of a device's memory there is nothing here that it could be inside of.
        Some((NonNull::new(self.base.as_ptr().wrapping_add(at))?, length))
    }

    /// Whole pages of a mapping of this process alone, at most those that begin inside: their address and length.
    fn pages(&self, pages: &Range<u64>) -> io::Result<(*mut c_void, usize)> {
        if !matches!(self.of, Memory::Mapped) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let end = pages.end.min(u64::try_from(self.length).unwrap_or(u64::MAX));
        let piece = self.piece(pages.start, end.saturating_sub(pages.start));
        let (base, length) = piece.filter(|(_, length)| *length > 0).ok_or(io::ErrorKind::InvalidInput)?;
        Ok((base.as_ptr().cast(), length))
    }

    /// Sets every byte of a mapping to 0.
    ///
    /// # Safety
    /// Nobody in this process reads or writes it meanwhile.
    pub unsafe fn clear(&self) {
        if matches!(self.of, Memory::Mapped | Memory::Shared | Memory::SharedPinned { .. }) {
            // SAFETY: the mapping is so long and lives as long as `self`; the caller excludes other accesses.
            unsafe { self.base.as_ptr().write_bytes(0, self.length) };
        }
    }

    /// Gives whole pages back to the system, by byte offsets. They read as zeros then.
    ///
    /// # Errors
    /// [`NotGiven`]: the system does not take them.
    ///
    /// # Safety
    /// Nobody reads or writes them until [`Arena::take_back`] has returned.
    pub unsafe fn give_back(&self, pages: Range<u64>) -> Result<(), NotGiven> {
        let given = self.pages(&pages).and_then(|(base, length)| {
            if self.locked.load(Ordering::Relaxed) {
                // SAFETY: the range is of this mapping, which lives as long as `self`; unlocking changes no contents.
                unsafe { munlock(base, length) }?;
            }
            // SAFETY: the range is of this mapping, private and anonymous, so its pages become zeros, which the caller allows.
            unsafe { madvise(base, length, Advice::LinuxDontNeed) }?;
            Ok(())
        });
        // A part may be unlocked by now.
        given.map_err(|error| NotGiven { error, is_there: self.take_back(pages).is_ok() })
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

/// Why memory that another process maps, too, is not to be had here.
#[derive(Debug, thiserror::Error)]
pub enum NotShared {
    /// What the system says.
    #[error(transparent)]
    System(#[from] io::Error),
    /// What the driver says.
    #[error(transparent)]
    Device(#[from] CudaError),
}

/// Pages that were not given back.
#[derive(Debug)]
pub struct NotGiven {
    /// Why.
    pub error: io::Error,
    /// Whether they are as before. Otherwise perhaps not all are locked: [`Arena::take_back`] makes them so.
    pub is_there: bool,
}

impl Drop for Arena {
    fn drop(&mut self) {
        let start = self.base.as_ptr().addr();
        RANGES.write().unwrap_or_else(PoisonError::into_inner).retain(|range| range.0 != start);
        if let Memory::SharedPinned { kept } = &mut self.of {
            drop(kept.take());
        }
        if matches!(self.of, Memory::Mapped | Memory::Shared | Memory::SharedPinned { .. }) {
            // SAFETY: the mapping was made in `map`, `shared` or `shared_pinned` with this length, and each span of it holds the
            // arena alive, so nobody refers to it any more; a device does not either.
            let _ = unsafe { munmap(self.base.as_ptr().cast::<c_void>(), self.length) };
        }
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
    arena: Arc<Arena>,
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

    /// Whether it is a device's memory: then [`Span::base`] is an address of the device.
    #[must_use]
    pub fn is_of_device(&self) -> bool {
        self.arena.is_of_device()
    }

    /// Of how many bytes the offset of each block in it is a multiple, as in a pool of such memory.
    #[must_use]
    pub fn alignment(&self) -> Bytes {
        if self.is_of_device() { GPU_ALIGNMENT } else { ALIGNMENT }
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
    /// Where the model has it.
    pub span: Span,
    /// Where the application has it, if not there: it is copied from here before the model runs, or to here afterwards.
    pub host: Option<Span>,
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
    /// Its address where the model has it.
    pub(crate) fn address(&self) -> u64 {
        u64::try_from(self.span.base().addr()).unwrap_or(u64::MAX)
    }

    /// Where the application has it.
    fn application(&self) -> &Span {
        self.host.as_ref().unwrap_or(&self.span)
    }

    /// The pointer and element count, where the tensor has this element type, is aligned for it and is the CPU's.
    fn parts<T: Element>(&self) -> Option<(*mut T, usize)> {
        let span = self.application();
        let pointer = span.base().cast::<T>();
        let fits = self.element == T::ELEMENT && pointer.is_aligned() && !span.is_of_device();
        fits.then(|| (pointer, span.length() / size_of::<T>()))
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

    /// Sets every byte to 0; a device's memory is left as it is.
    ///
    /// # Safety
    /// Nobody else reads or writes this memory meanwhile.
    pub unsafe fn zero(&mut self) {
        let span = self.application();
        if span.is_of_device() {
            return;
        }
        // SAFETY: the span is mapped and has this length; the caller excludes every other access.
        unsafe { span.base().write_bytes(0, span.length()) };
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
        assert!(unsafe { arena.give_back(5 * page..6 * page) }.is_err_and(|not| !not.is_there), "outside");
    }

    #[test]
    fn elements_are_seen_only_as_their_own_type() {
        let arena = Arena::map(4_096, true).unwrap();
        let tensor = |element, at, size| {
            let span = arena.span(at, size).unwrap();
            BoundTensor { name: "x".into(), element, shape: vec![4], span, host: None }
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
