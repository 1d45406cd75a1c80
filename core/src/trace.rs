//! Trace records: fixed in size, numbered without gaps, lost only when counted.
//!
//! The dispatcher hands each event to a [`Sink`]. In the vehicle the sink is a [`Recorder`]: it numbers the
//! record and puts it into a ring that another thread drains. When the ring is full the record is lost, the
//! loss is counted, and the next record's number shows the gap.
//!
//! A trace holds what the dispatcher was told ([`Kind::Stepped`]) before what it did, so whoever has the plan can tell it the
//! same again and compare: [`crate::trace_line`] is the form on disk, `aegis trace replay` does it. All records are the
//! dispatcher's, except those for which [`Kind::is_from_outside`] holds.

mod kind;

use crate::time::Instant;
use crate::units::TaskId;
pub use kind::Kind;

/// Which job a record speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct JobRef {
    /// Its task.
    pub task: TaskId,
    /// The number of the request, counted over all tasks from 1.
    pub request: u64,
}

/// Why the dispatcher chose a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reason {
    /// No other job of the lane was waiting.
    OnlyOneWaiting,
    /// The runner-up is a later job of the same task.
    ArrivedFirst,
    /// Its fixed priority goes before the runner-up's.
    MoreImportant,
    /// Its absolute deadline is earlier than the runner-up's.
    EarlierDeadline,
    /// Its absolute deadline equals the runner-up's, and its task stands first in the table.
    EqualDeadlineFirstInTable,
    /// Its slot of the time-triggered table has come.
    InTable,
    /// Its segment ends before the next slot of the time-triggered table, and no job that goes before it waits.
    InGap,
}

impl Reason {
    /// The name in traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnlyOneWaiting => "only-one-waiting",
            Self::ArrivedFirst => "arrived-first",
            Self::MoreImportant => "more-important",
            Self::EarlierDeadline => "earlier-deadline",
            Self::EqualDeadlineFirstInTable => "equal-deadline-first-in-table",
            Self::InTable => "in-table",
            Self::InGap => "in-gap",
        }
    }
}

/// Why the plan's bounds are not guaranteed in this run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum VoidReason {
    /// The system did not grant SCHED_FIFO.
    NoRealTimePriority,
    /// The system did not let the process lock its memory.
    MemoryNotLocked,
    /// The system stops real-time threads for longer than the plan leaves idle.
    RealTimeThrottle,
    /// A thread could not be bound to its planned core.
    NotPinned,
    /// The processor is another one than the plan was made for.
    OtherProcessor,
    /// The number of cores is another one than the plan was made for.
    OtherCoreCount,
    /// The clock governor is another one than the plan was made for.
    OtherGovernor,
    /// The runtime library is another one than the plan was made for.
    OtherLibrary,
    /// A device's driver has another version than the plan was made for.
    OtherDriver,
    /// A device or its driver makes no partitions, so lanes share all of its SMs; or not all queues, so they may wait for each other.
    NoPartitions,
    /// A clock, or a limit of one, is lower than where the plan's times were measured.
    OtherClocks,
    /// The power mode is another one than where they were measured, or a device may draw less.
    OtherPower,
    /// A core or a device is warmer than the manifest allows, or at the temperature from which on clocks fall.
    TooHot,
    /// Heat or power slowed a core or a device down.
    SlowedDown,
    /// A clock, a power mode or a temperature that the plan states cannot be read.
    ConditionsUnknown,
}

impl VoidReason {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::NoRealTimePriority,
        Self::MemoryNotLocked,
        Self::RealTimeThrottle,
        Self::NotPinned,
        Self::OtherProcessor,
        Self::OtherCoreCount,
        Self::OtherGovernor,
        Self::OtherLibrary,
        Self::OtherDriver,
        Self::NoPartitions,
        Self::OtherClocks,
        Self::OtherPower,
        Self::TooHot,
        Self::SlowedDown,
        Self::ConditionsUnknown,
    ];

    /// A bit of its own, for sets of reasons.
    #[must_use]
    pub const fn bit(self) -> u32 {
        match self {
            Self::NoRealTimePriority => 1 << 0,
            Self::MemoryNotLocked => 1 << 1,
            Self::RealTimeThrottle => 1 << 2,
            Self::NotPinned => 1 << 3,
            Self::OtherProcessor => 1 << 4,
            Self::OtherCoreCount => 1 << 5,
            Self::OtherGovernor => 1 << 6,
            Self::OtherLibrary => 1 << 7,
            Self::OtherDriver => 1 << 8,
            Self::NoPartitions => 1 << 9,
            Self::OtherClocks => 1 << 10,
            Self::OtherPower => 1 << 11,
            Self::TooHot => 1 << 12,
            Self::SlowedDown => 1 << 13,
            Self::ConditionsUnknown => 1 << 14,
        }
    }

    /// The name in traces and summaries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRealTimePriority => "no-real-time-priority",
            Self::MemoryNotLocked => "memory-not-locked",
            Self::RealTimeThrottle => "real-time-throttle",
            Self::NotPinned => "not-pinned",
            Self::OtherProcessor => "other-processor",
            Self::OtherCoreCount => "other-core-count",
            Self::OtherGovernor => "other-governor",
            Self::OtherLibrary => "other-library",
            Self::OtherDriver => "other-driver",
            Self::NoPartitions => "no-partitions",
            Self::OtherClocks => "other-clocks",
            Self::OtherPower => "other-power",
            Self::TooHot => "too-hot",
            Self::SlowedDown => "slowed-down",
            Self::ConditionsUnknown => "conditions-unknown",
        }
    }
}

/// Why a fault domain has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Cause {
    /// A job of a task with `on-overrun = "fail-domain"` exceeded a budget.
    Overrun,
    /// A job of a task with `on-miss = "fail-domain"` missed its deadline.
    Miss,
    /// A job of a task with `on-failure = "fail-domain"` failed.
    Failure,
    /// The dispatcher was told, by the application: [`crate::dispatch::Event::Fail`].
    Outside,
    /// Its process is lost: [`crate::dispatch::Event::Lost`] or [`crate::dispatch::Event::Fail`].
    Process(Loss),
}

impl Cause {
    /// The name in traces and summaries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overrun => "overrun",
            Self::Miss => "miss",
            Self::Failure => "failure",
            Self::Outside => "outside",
            Self::Process(loss) => loss.name(),
        }
    }
}

/// How the process of a fault domain was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Loss {
    /// It ended by itself.
    Exited,
    /// A signal ended it that nobody of the vehicle sent.
    Signalled,
    /// A segment was not over in time; then it was killed.
    Hung,
    /// It no longer showed that it lives; then it was killed.
    Silent,
    /// What it answered is none of the answers; then it was killed.
    Malformed,
    /// Its runtime failed a segment for good, or its code panicked; then it was killed.
    Backend,
    /// Its domain had been given up for another cause; then it was killed.
    GivenUp,
}

impl Loss {
    /// Every way.
    pub const ALL: [Self; 7] =
        [Self::Exited, Self::Signalled, Self::Hung, Self::Silent, Self::Malformed, Self::Backend, Self::GivenUp];

    /// The name in traces and summaries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Signalled => "signalled",
            Self::Hung => "hung",
            Self::Silent => "silent",
            Self::Malformed => "malformed",
            Self::Backend => "backend",
            Self::GivenUp => "given-up",
        }
    }
}

/// What a budget is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Limit {
    /// All segments of a job together: the task's budget.
    Job,
    /// One segment of a job that has several: the longest execution that the analysis assumes of it.
    Segment,
}

impl Limit {
    /// The name in traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Segment => "segment",
        }
    }
}

/// A digest of the state in which a lane's job was chosen.
///
/// FNV-1a over 64-bit words instead of bytes: from 0xcbf29ce484222325, each word is xored in and the result multiplied by
/// 0x100000001b3, modulo 2⁶⁴. The words are the sum of the digests of the lane's tasks, modulo 2⁶⁴, the lane's number of waiting
/// jobs, and the place in its table (lap and slot, 0 and 0 without one).
///
/// The digest of a task that has no job waiting is 0. That of any other is the same over the words: its position in the plan ·
/// 2³² + how many of its jobs wait · 2¹⁶ + the next segment of the first of them, that one's request, its deadline, and what it
/// has executed; then mixed ([`StateKey::mixed`]), since sums of what is only multiplied would cancel out.
///
/// Each step is a bijection, so two states that differ in exactly one word never have the same key. A task's digest changes only
/// with its own jobs, so a key costs the same for any number of tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StateKey(pub u64);

impl StateKey {
    /// The digest of no word.
    pub const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// The digest with one more word.
    #[must_use]
    pub const fn with(self, word: u64) -> Self {
        Self((self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3))
    }

    /// The finalizer of MurmurHash3 (A. Appleby): a bijection in which each bit depends on all.
    #[must_use]
    pub const fn mixed(self) -> u64 {
        let word = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let word = (word ^ (word >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        word ^ (word >> 33)
    }
}

/// One entry of the trace: 72 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Counted from 0 without gaps; a gap in a file is a counted loss.
    pub sequence: u64,
    /// When it happened.
    pub at: Instant,
    /// What happened.
    pub kind: Kind,
}

/// Where events go.
pub trait Sink {
    /// Takes one event; must not block.
    fn record(&mut self, at: Instant, kind: Kind);
}

/// A sink that forgets: for simulations that only look at the actions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Sink for Discard {
    fn record(&mut self, _at: Instant, _kind: Kind) {}
}

/// The ring between the orchestration thread and the thread that drains it.
pub type Ring<const N: usize> = heapless::spsc::Queue<Record, N>;
/// The writing end of a [`Ring`].
pub type Writer<'a> = heapless::spsc::Producer<'a, Record>;
/// The reading end of a [`Ring`].
pub type Reader<'a> = heapless::spsc::Consumer<'a, Record>;

/// The sink of the vehicle: numbers each record and counts the ones that the ring could not take.
pub struct Recorder<'a> {
    writer: Writer<'a>,
    sequence: u64,
    lost: u64,
}

impl<'a> Recorder<'a> {
    /// A recorder that writes into `writer`, starting at number 0.
    #[must_use]
    pub const fn new(writer: Writer<'a>) -> Self {
        Self { writer, sequence: 0, lost: 0 }
    }

    /// How many records were numbered so far, lost ones included.
    #[must_use]
    pub const fn numbered(&self) -> u64 {
        self.sequence
    }

    /// How many records were lost because the ring was full.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

impl Sink for Recorder<'_> {
    #[inline]
    fn record(&mut self, at: Instant, kind: Kind) {
        let record = Record { sequence: self.sequence, at, kind };
        if self.writer.enqueue(record).is_err() {
            self.lost = self.lost.saturating_add(1);
        }
        self.sequence = self.sequence.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Record, Recorder, Ring, Sink, StateKey, VoidReason};
    use crate::time::{Duration, Instant};
    use crate::units::TaskId;

    #[test]
    fn each_reason_why_the_guarantee_is_void_has_a_name_and_a_bit_of_its_own() {
        let bits = VoidReason::ALL.iter().fold(0_u32, |bits, reason| {
            assert_eq!(bits & reason.bit(), 0, "{reason:?}");
            bits | reason.bit()
        });
        assert_eq!(bits.count_ones(), 15);
        for (number, reason) in VoidReason::ALL.iter().enumerate() {
            assert!(VoidReason::ALL[..number].iter().all(|other| other.name() != reason.name()), "{reason:?}");
        }
    }

    #[test]
    fn a_record_stays_small() {
        assert_eq!(size_of::<Record>(), 72);
    }

    #[test]
    fn a_key_is_fnv_1a_over_words_and_tells_their_order() {
        assert_eq!(StateKey::EMPTY.with(0).0, 0xaf63_bd4c_8601_b7df);
        assert_ne!(StateKey::EMPTY.with(1).with(2), StateKey::EMPTY.with(2).with(1));
    }

    #[test]
    fn a_full_ring_loses_records_but_counts_them_and_leaves_a_gap() {
        let mut ring: Ring<4> = Ring::new();
        let (writer, mut reader) = ring.split();
        let mut recorder = Recorder::new(writer);
        let kind = Kind::Admitted { task: TaskId(0), bound: Duration::ZERO, optional: false };
        for _ in 0..5 {
            recorder.record(Instant::START, kind);
        }
        // A heapless ring of N slots holds N - 1.
        assert_eq!((recorder.numbered(), recorder.lost()), (5, 2));
        for expected in 0..3 {
            assert_eq!(reader.dequeue().map(|r| r.sequence), Some(expected));
        }
        recorder.record(Instant::START, kind);
        assert_eq!(reader.dequeue().map(|r| r.sequence), Some(5));
    }
}
