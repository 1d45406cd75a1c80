//! Inputs from another process: the newest frame, out of memory that both have.
//!
//! A camera driver or a ROS 2 node writes a frame into a slot of shared memory, by the C header `include/aegis_input.h`, and a
//! hook reads it there: what it decodes goes straight into the model's planned input, so there is one pass over the frame, no copy
//! of it and no system call. The planned memory itself cannot be the shared one: a captured model keeps its addresses, and the
//! slot changes with each frame.
//!
//! The other process cannot make the vehicle wait, crash, or see half a frame by dying at any point: three slots, whose owners
//! change by one atomic step ([`exchange`]), in memory of a fixed length that nobody can make shorter. What it says of itself (when
//! a frame was seen) is its word; a process that is bad on purpose can send any frame, as it could anyway, and bytes that it
//! changes while they are read are no more than that: every one is read by an atomic operation, once. Time it can cost: who may
//! write the memory may also punch holes into it, and the next look at each page of a hole is a page fault that gets a page of zeros.
//!
//! ```ignore
//! let mut camera = aegis_host::input::Shared::listen("/run/rover/camera", 128 * 128 * 3)?;
//! // in a hook:
//! match camera.newest().filter(|frame| frame.age().is_some_and(|age| age < Duration::from_ns(100_000_000))) {
//!     Some(frame) => { frame.decode(pixels, |byte| f32::from(byte) / 255.0); }
//!     None => { /* nobody sends, or not lately */ }
//! }
//! ```
// Seeing mapped pages as words is what this module exists for.
#![allow(unsafe_code)]

pub mod exchange;
mod serve;

use crate::clock::monotonic_ns;
use crate::worker::shared::{map, object};
use aegis_core::Duration;
use exchange::{Malformed, Reader, SLOTS, Words};
use rustix::fd::OwnedFd;
use rustix::mm::munmap;
use serve::Serving;
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// Begins the memory, so that a writer knows what it has.
pub const MAGIC: u32 = 0x4e49_4741;
/// The version of what lies in it.
pub const VERSION: u32 = 1;
/// The longest frame in bytes.
pub const LONGEST: u32 = 1 << 28;
/// Where words and slots lie, in words of 32 bits: each in a cache line of its own.
const MIDDLE: usize = 16;
const FRONT: usize = 32;
const FIRST_SLOT: usize = 48;
/// What a slot has before its frame, in words: number, time, and nothing.
const SLOT_HEADER: usize = 16;

/// The newest frame of another process. One hook has it.
#[derive(Debug)]
pub struct Shared {
    memory: Memory,
    reader: Reader,
    /// Whether the reader's slot has a frame.
    has_frame: bool,
    malformed: u64,
    serving: Serving,
}

/// The mapped words.
#[derive(Debug)]
struct Memory {
    words: NonNull<AtomicU32>,
    count: usize,
    /// From one slot to the next, in words.
    stride: usize,
    /// Of a frame.
    bytes: usize,
}

// SAFETY: the words are atomic numbers, which any thread may use.
unsafe impl Send for Memory {}

impl Shared {
    /// Waits from now on, at a socket of this path, for a process that sends frames of so many bytes; one at a time. The thread
    /// that does has no real-time priority. Who may connect is who may write the socket: by the rights of its folder.
    ///
    /// # Errors
    /// No frame has 0 bytes or more than [`LONGEST`]; another vehicle waits at this path; the system refuses.
    pub fn listen(path: impl AsRef<Path>, bytes: u32) -> io::Result<Self> {
        if bytes == 0 || bytes > LONGEST {
            let why = format!("a frame of {bytes} bytes: from 1 to {LONGEST} are possible");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let (memory, object) = Memory::new(bytes)?;
        let reader = Reader::new(&memory.exchange());
        let stride = u32::try_from(memory.stride).ok().and_then(|words| words.checked_mul(4));
        let stride = stride.ok_or(io::ErrorKind::OutOfMemory)?;
        let serving = Serving::start(path.as_ref(), object, [MAGIC, VERSION, bytes, stride])?;
        Ok(Self { memory, reader, has_frame: false, malformed: 0, serving })
    }

    /// The newest frame: the same one again where there is no newer one, `None` before the first. It never waits: at most one
    /// swap of an atomic word, whatever the other process does.
    pub fn newest(&mut self) -> Option<Frame<'_>> {
        let is_new = match self.reader.take(&self.memory.exchange()) {
            Ok(is_new) => is_new,
            Err(Malformed) => {
                self.malformed = self.malformed.saturating_add(1);
                self.has_frame = false;
                false
            }
        };
        self.has_frame |= is_new;
        if !self.has_frame {
            return None;
        }
        let slot = self.memory.slot(self.reader.slot())?;
        let (header, words) = slot.split_at_checked(SLOT_HEADER)?;
        Some(Frame { header, words, bytes: self.memory.bytes, is_new })
    }

    /// Whether a process is connected now. One that ended is not.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.serving.is_connected()
    }

    /// How often the shared words said what no sound process leaves.
    #[must_use]
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }
}

/// A frame, in the memory that it was written into. It stays as it is until the next call of [`Shared::newest`].
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    header: &'a [AtomicU32],
    words: &'a [AtomicU32],
    bytes: usize,
    is_new: bool,
}

impl Frame<'_> {
    /// Whether it was not there at the last look.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// The number that its process gave it, from 1 on.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.long(0)
    }

    /// How long ago its process says to have seen it; `None` where that is in the future, which no sound process says.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        monotonic_ns().checked_sub(self.long(2)).map(Duration::from_ns)
    }

    /// Decodes each byte into an element: one pass, from the shared memory into the model's. False, and nothing done, where there
    /// are not as many elements as bytes.
    pub fn decode<T>(&self, into: &mut [T], mut element: impl FnMut(u8) -> T) -> bool {
        if into.len() != self.bytes {
            return false;
        }
        for (into, word) in into.chunks_mut(4).zip(self.words) {
            for (into, byte) in into.iter_mut().zip(word.load(Ordering::Relaxed).to_ne_bytes()) {
                *into = element(byte);
            }
        }
        true
    }

    /// The same of a frame of `f32`, in the processor's own order of bytes.
    pub fn decode_f32(&self, into: &mut [f32], mut element: impl FnMut(f32) -> f32) -> bool {
        if into.len().checked_mul(4) != Some(self.bytes) {
            return false;
        }
        for (into, word) in into.iter_mut().zip(self.words) {
            *into = element(f32::from_bits(word.load(Ordering::Relaxed)));
        }
        true
    }

    fn long(&self, at: usize) -> u64 {
        let word = |at: usize| self.header.get(at).map_or(0, |word| word.load(Ordering::Relaxed));
        let (first, second) = (word(at).to_ne_bytes(), word(at.saturating_add(1)).to_ne_bytes());
        let mut both = [0; 8];
        both.iter_mut().zip(first.into_iter().chain(second)).for_each(|(into, byte)| *into = byte);
        u64::from_ne_bytes(both)
    }
}

impl Memory {
    /// Takes the memory, all zero. Every page is touched, so that none has to be got later.
    fn new(bytes: u32) -> io::Result<(Self, OwnedFd)> {
        let long = || io::Error::from(io::ErrorKind::OutOfMemory);
        let frame = usize::try_from(bytes).map_err(|_| long())?;
        // A slot is whole cache lines.
        let stride =
            frame.div_ceil(64).checked_mul(16).and_then(|words| words.checked_add(SLOT_HEADER)).ok_or_else(long)?;
        let slots = usize::try_from(SLOTS).ok().and_then(|slots| slots.checked_mul(stride)).ok_or_else(long)?;
        let count = slots.checked_add(FIRST_SLOT).ok_or_else(long)?;
        let length = u64::try_from(count).ok().and_then(|count| count.checked_mul(4)).ok_or_else(long)?;
        let object = object("aegis-input", length)?;
        let (pointer, _) = map(&object, length)?;
        let memory = Self { words: pointer.cast(), count, stride, bytes: frame };
        memory.all().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        Ok((memory, object))
    }

    const fn all(&self) -> &[AtomicU32] {
        // SAFETY: the mapping has `count` words, begins at a page's boundary, lives as long as `self`, and stays there, since the
        // object cannot be made shorter (checked in `map`). Every bit pattern is a valid word; whatever another process writes,
        // this one reads by atomic operations alone.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }

    fn exchange(&self) -> Words<'_> {
        // Both lie before the first slot, which each memory has.
        static NONE: AtomicU32 = AtomicU32::new(0);
        let word = |at: usize| self.all().get(at).unwrap_or(&NONE);
        Words { middle: word(MIDDLE), front: word(FRONT) }
    }

    fn slot(&self, slot: u32) -> Option<&[AtomicU32]> {
        let first = usize::try_from(slot).ok()?.checked_mul(self.stride)?.checked_add(FIRST_SLOT)?;
        self.all().get(first..first.checked_add(self.stride)?)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length; whoever refers to its words borrows `self`.
        let _ = unsafe { munmap(self.words.as_ptr().cast(), self.count.saturating_mul(4)) };
    }
}
