//! Blocks: some hundreds of records that can be read without any other.

use aegis_core::Instant;
use aegis_core::trace::{Kind, Record};
use serde::{Deserialize, Serialize};

/// The most bytes of a block, its head included.
pub const MOST: usize = 32_768;
/// The bytes of a block's head.
pub(crate) const HEAD: usize = 36;
/// The bytes of a checksum.
pub(crate) const CHECKSUM: usize = 4;
/// What a block begins with.
pub(crate) const MARKER: [u8; 4] = *b"AEGB";

/// A record beside the one before it; the first one of a block beside number `first` and time 0.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// How many numbers lie between the two.
    gap: u64,
    /// How much later it is, modulo 2⁶⁴.
    later: i64,
    kind: Kind,
}

/// What a block's head says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockHead {
    /// The bytes of its records.
    pub(crate) length: usize,
    /// The number of its first record.
    pub(crate) first: u64,
    /// How many of the records before that one never reached the file.
    pub(crate) lost: u64,
    /// Its records.
    pub(crate) count: u32,
    /// The checksum of its records.
    pub(crate) checksum: u32,
}

impl BlockHead {
    /// Reads a head; `None` where these bytes are none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..HEAD)?;
        let (covered, checksum) = head.split_last_chunk::<CHECKSUM>()?;
        if !covered.starts_with(&MARKER) || crc32c::crc32c(covered) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let length = usize::try_from(u32::from_le_bytes(number(covered, 4)?)).ok()?;
        let (first, lost) = (u64::from_le_bytes(number(covered, 8)?), u64::from_le_bytes(number(covered, 16)?));
        let (count, checksum) = (u32::from_le_bytes(number(covered, 24)?), u32::from_le_bytes(number(covered, 28)?));
        let is_possible = (1..=MOST - HEAD).contains(&length) && count > 0 && lost <= first;
        is_possible.then_some(Self { length, first, lost, count, checksum })
    }
}

/// The bytes from a position on.
pub(crate) fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// A block that is being filled.
pub(crate) struct Block {
    /// Room for the head, then the records.
    bytes: Vec<u8>,
    first: u64,
    lost: u64,
    count: u32,
    /// The number and the time beside which the next record is written.
    next: (u64, Instant),
}

impl Block {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(MOST + 256), first: 0, lost: 0, count: 0, next: (0, Instant::START) }
    }

    /// Its records.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Takes a record that comes after those that it has; false where it is full.
    ///
    /// `lost` is how many of the records before this one never reached the file; only the first record's is kept.
    pub(crate) fn push(&mut self, record: &Record, lost: u64) -> std::io::Result<bool> {
        if self.count == 0 {
            self.bytes.clear();
            self.bytes.resize(HEAD, 0);
            (self.first, self.lost, self.next) = (record.sequence, lost, (record.sequence, Instant::START));
        }
        let (number, at) = self.next;
        let gap = record.sequence.checked_sub(number);
        let gap = gap.ok_or_else(|| std::io::Error::other("a record comes after one with a higher number"))?;
        let later = record.at.as_ns().wrapping_sub(at.as_ns()).cast_signed();
        let before = self.bytes.len();
        let entry = Entry { gap, later, kind: record.kind };
        self.bytes = postcard::to_extend(&entry, std::mem::take(&mut self.bytes)).map_err(std::io::Error::other)?;
        if self.bytes.len() > MOST {
            self.bytes.truncate(before);
            return Ok(false);
        }
        self.count = self.count.saturating_add(1);
        self.next = (record.sequence.saturating_add(1), record.at);
        Ok(true)
    }

    /// Ends the block: its bytes, and how many records it has. It is empty then.
    pub(crate) fn close(&mut self) -> (&[u8], u32) {
        let count = std::mem::take(&mut self.count);
        let length = u32::try_from(self.bytes.len().saturating_sub(HEAD)).unwrap_or(u32::MAX);
        let checksum = crc32c::crc32c(self.bytes.get(HEAD..).unwrap_or_default());
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(&MARKER);
        head.extend_from_slice(&length.to_le_bytes());
        head.extend_from_slice(&self.first.to_le_bytes());
        head.extend_from_slice(&self.lost.to_le_bytes());
        head.extend_from_slice(&count.to_le_bytes());
        head.extend_from_slice(&checksum.to_le_bytes());
        head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
        if let Some(room) = self.bytes.get_mut(..HEAD) {
            room.copy_from_slice(&head);
        }
        (&self.bytes, count)
    }
}

/// The records of a whole block, one after the other.
#[derive(Default)]
pub(crate) struct Entries {
    bytes: Vec<u8>,
    at: usize,
    left: u32,
    next: (u64, Instant),
}

impl Entries {
    /// The records of a block whose bytes are as they were written.
    pub(crate) fn begin(&mut self, head: &BlockHead, records: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(records);
        (self.at, self.left, self.next) = (0, head.count, (head.first, Instant::START));
    }

    /// The next record; `None` after the last one.
    ///
    /// # Errors
    /// These bytes are no record, or more or fewer than the head says.
    pub(crate) fn next(&mut self) -> Option<Result<Record, &'static str>> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if self.left == 0 {
            self.at = self.bytes.len();
            return (!rest.is_empty()).then_some(Err("it has more records than its head says"));
        }
        let read = postcard::take_from_bytes::<Entry>(rest);
        let Ok((Entry { gap, later, kind }, after)) = read else {
            return Some(Err("it has a record that is none"));
        };
        self.at = self.bytes.len().saturating_sub(after.len());
        self.left = self.left.saturating_sub(1);
        let (number, at) = self.next;
        let Some(sequence) = number.checked_add(gap) else { return Some(Err("a number exceeds 2^64 - 1")) };
        let at = Instant::from_ns(at.as_ns().wrapping_add(later.cast_unsigned()));
        self.next = (sequence.saturating_add(1), at);
        Some(Ok(Record { sequence, at, kind }))
    }
}
