//! The descriptor of what a vehicle watches of its operating system, to ask for a level of memory pressure or a mode: no bound
//! rests on it, since every level and mode is proven whoever asks for it.

use super::BETWEEN_LEVELS;
use crate::time::Duration;
use crate::units::{LevelId, ModeId};

/// What is watched, how often, and what follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchDesc {
    /// The time between two looks: [`Self::SHORTEST`] to [`Self::LONGEST`].
    pub interval: Duration,
    /// How long what was asked for stays asked for, at least, before something milder is: from `interval` to
    /// [`Self::LONGEST_HOLD`]. Something severer is asked for at once.
    pub hold: Duration,
    /// The thresholds, those of milder levels and modes first.
    pub thresholds: &'static [ThresholdDesc],
}

impl WatchDesc {
    /// The shortest interval: level and mode do not change more often either.
    pub const SHORTEST: Duration = BETWEEN_LEVELS;
    /// The longest interval, one minute.
    pub const LONGEST: Duration = Duration::from_ns(60_000_000_000);
    /// The longest least time, one hour.
    pub const LONGEST_HOLD: Duration = Duration::from_ns(3_600_000_000_000);
}

/// From which reading on a level or a mode is asked for, and until which one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThresholdDesc {
    /// What is read.
    pub source: WatchedSource,
    /// A reading at this or beyond asks.
    pub when: u64,
    /// A reading at this or on its other side ends that: less than `when`, of [`WatchedSource::FreeMemory`] more.
    pub until: u64,
    /// What is asked for.
    pub asks: Asks,
}

impl ThresholdDesc {
    /// Whether a reading asks.
    #[must_use]
    pub const fn is_crossed(&self, reading: u64) -> bool {
        if self.source.is_short_when_low() { reading <= self.when } else { reading >= self.when }
    }

    /// Whether a reading ends what an earlier one asked for.
    #[must_use]
    pub const fn is_over(&self, reading: u64) -> bool {
        if self.source.is_short_when_low() { reading >= self.until } else { reading <= self.until }
    }
}

/// What a threshold asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Asks {
    /// A level of memory pressure that a running vehicle can go to.
    Level(LevelId),
    /// A mode.
    Mode(ModeId),
}

/// What Linux tells of a shortage. The first five are the shares of the last ten seconds that its pressure stall information
/// (`/proc/pressure`, `avg10`) tells, in hundredths of a percent; the last one is `MemAvailable` of `/proc/meminfo` in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WatchedSource {
    /// Some thread waited for memory.
    MemorySome,
    /// All threads that were not idle waited for memory.
    MemoryFull,
    /// Some thread waited for input or output.
    IoSome,
    /// All threads that were not idle waited for input or output.
    IoFull,
    /// Some thread waited for a processor.
    CpuSome,
    /// What programs could take without swapping.
    FreeMemory,
}

impl WatchedSource {
    /// Every source.
    pub const ALL: [Self; 6] =
        [Self::MemorySome, Self::MemoryFull, Self::IoSome, Self::IoFull, Self::CpuSome, Self::FreeMemory];

    /// The whole of what a share is a share of, in hundredths of a percent.
    pub const WHOLE: u64 = 10_000;

    /// The name in manifests, locks and traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MemorySome => "memory-some",
            Self::MemoryFull => "memory-full",
            Self::IoSome => "io-some",
            Self::IoFull => "io-full",
            Self::CpuSome => "cpu-some",
            Self::FreeMemory => "free-memory",
        }
    }

    /// Whether a low reading is a shortage; of the others a high one is.
    #[must_use]
    pub const fn is_short_when_low(self) -> bool {
        matches!(self, Self::FreeMemory)
    }

    /// Whether `severe` is a reading of a greater shortage than `mild`.
    #[must_use]
    pub const fn is_severer(self, severe: u64, mild: u64) -> bool {
        if self.is_short_when_low() { severe < mild } else { severe > mild }
    }
}
