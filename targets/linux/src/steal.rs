//! The time that the hypervisor took from a core, read from `/proc/stat`.
//!
//! The counter has a granularity of one tick (10 ms on every usual kernel). A difference of Δ ticks therefore
//! stands for anything between Δ − 1 and Δ + 1 ticks. Here it counts as Δ ticks: a tick that fell into the
//! window proves that time was stolen in it, while a difference of 0 proves nothing and explains nothing, so up
//! to one tick of real steal can go unseen.
//!
//! One reading costs what the kernel needs to print the whole file; [`StealReader::read`] says how much that is.

use aegis_core::desc::SystemDesc;
use rustix::io::pread;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds per tick of `/proc/stat` at `USER_HZ` = 100, which is part of Linux's interface on both
/// architectures.
const TICK_NS: u64 = 10_000_000;

/// `/proc/stat`, opened once.
#[derive(Debug)]
pub struct StealReader {
    file: File,
}

impl StealReader {
    /// Opens the file.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn open() -> io::Result<Self> {
        Ok(Self { file: File::open("/proc/stat")? })
    }

    /// Nanoseconds stolen from a core since boot, in whole ticks; `None` where the file does not tell.
    ///
    /// No heap: one read into a stack buffer that holds the lines of at least 100 cores. Measured on a 2-core x86-64 VM
    /// (kernel 6.18), 10,000 reads: median 7 µs, 99 % within 8 µs, worst 48 µs.
    #[must_use]
    pub fn read(&self, core: u16) -> Option<u64> {
        let mut buffer = [0_u8; 16_384];
        let length = pread(&self.file, &mut buffer, 0).ok()?;
        steal_ticks(buffer.get(..length)?, core)?.checked_mul(TICK_NS)
    }
}

/// The eighth number of the line `cpuN`.
fn steal_ticks(text: &[u8], core: u16) -> Option<u64> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| {
        let rest = line.strip_prefix(b"cpu")?;
        let end = rest.iter().position(|byte| *byte == b' ')?;
        (number(rest.get(..end)?)? == u64::from(core)).then(|| rest.get(end..)).flatten()
    })?;
    let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    number(fields.nth(7)?)
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The latest reading for each lane's core, written by the main thread and read by the orchestration thread.
///
/// The start of a busy interval takes its base from here for the price of one load. The main thread is an ordinary
/// one: usually it samples every 10 ms, but real-time threads may keep it from running, so a sample may be older than
/// the busy interval by any time. Steal from before the interval then counts for it, which errs towards explaining.
#[derive(Debug)]
pub struct StealSamples<const LANES: usize> {
    ns: [AtomicU64; LANES],
    orchestration: AtomicU64,
}

impl<const LANES: usize> StealSamples<LANES> {
    /// No steal seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { ns: [const { AtomicU64::new(0) }; LANES], orchestration: AtomicU64::new(0) }
    }

    /// Reads the steal of each lane's core and of the orchestration thread's, and stores it.
    pub fn sample(&self, system: &SystemDesc, reader: Option<&StealReader>) {
        let Some(reader) = reader else { return };
        for (position, lane) in system.lanes.iter().enumerate() {
            if let Some(ns) = reader.read(lane.core) {
                self.store(position, ns);
            }
        }
        if let Some(ns) = reader.read(system.orchestration_core) {
            self.orchestration.store(ns, Ordering::Relaxed);
        }
    }

    /// The latest reading for the orchestration thread's core.
    #[must_use]
    pub fn orchestration(&self) -> u64 {
        self.orchestration.load(Ordering::Relaxed)
    }

    /// Stores a reading.
    pub fn store(&self, lane: usize, ns: u64) {
        if let Some(slot) = self.ns.get(lane) {
            slot.store(ns, Ordering::Relaxed);
        }
    }

    /// The latest reading; 0 for a lane that does not exist.
    #[must_use]
    pub fn load(&self, lane: usize) -> u64 {
        self.ns.get(lane).map_or(0, |slot| slot.load(Ordering::Relaxed))
    }
}

impl<const LANES: usize> Default for StealSamples<LANES> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{StealReader, steal_ticks};

    const TEXT: &[u8] = b"cpu  4857 0 2855 190143 426 0 48 12 0 0\ncpu0 1230 0 878 97022 23 0 9 4 0 0\n\
        cpu1 3626 0 1977 93121 403 0 38 8 0 0\ncpu10 1 2 3 4 5 6 7 99 0 0\nintr 190228 0\n";

    #[test]
    fn the_steal_column_of_the_right_core_is_read() {
        assert_eq!(steal_ticks(TEXT, 0), Some(4));
        assert_eq!(steal_ticks(TEXT, 1), Some(8));
        assert_eq!(steal_ticks(TEXT, 10), Some(99));
        assert_eq!(steal_ticks(TEXT, 2), None);
        assert_eq!(steal_ticks(b"cpu0 1 2", 0), None);
    }

    #[test]
    fn this_machine_tells_its_steal() {
        assert!(StealReader::open().unwrap().read(0).is_some());
    }
}
