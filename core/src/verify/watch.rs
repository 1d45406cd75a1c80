//! Re-checks what a vehicle watches: that it states conditions of its own cores and devices, and that each threshold asks for
//! something that can be gone to, ends on its milder side, and that severer levels and modes are asked for later than milder
//! ones. No bound rests on it.

use super::domains::is_core_of_process;
use super::is_core_of;
use crate::desc::{
    Asks, ConditionsDesc, OnStall, Subject, SystemDesc, ThresholdDesc, Waiting, WatchDesc, WatchedSource,
};

/// Whether times lie in their ranges, conditions are of something that there is, and thresholds make sense each and together; and
/// whether the mode exists that answers a stall.
#[must_use]
pub const fn watch_holds(system: &SystemDesc) -> bool {
    if !conditions_hold(system) {
        return false;
    }
    // The watching thread shares a core with one that never leaves it.
    if system.watchdog.is_some() && matches!(system.waiting, Waiting::Polling) {
        return false;
    }
    if let Some(watchdog) = &system.watchdog
        && let OnStall::SwitchMode(mode) = watchdog.on_stall
        && mode.index() >= system.modes.len()
    {
        return false;
    }
    let Some(watch) = &system.watch else { return true };
    let (interval, hold) = (watch.interval.as_ns(), watch.hold.as_ns());
    if interval < WatchDesc::SHORTEST.as_ns() || interval > WatchDesc::LONGEST.as_ns() {
        return false;
    }
    if hold < interval || hold > WatchDesc::LONGEST_HOLD.as_ns() || watch.thresholds.is_empty() {
        return false;
    }
    let mut thresholds = watch.thresholds;
    while let [threshold, rest @ ..] = thresholds {
        if !can_ask(system, threshold) || !goes_before(threshold, rest) {
            return false;
        }
        thresholds = rest;
    }
    true
}

/// Whether the time between two looks lies in its range, and each stated limit is one, of a lane's core or of a pool.
const fn conditions_hold(system: &SystemDesc) -> bool {
    let recheck = system.conditions.recheck.as_ns();
    if recheck < ConditionsDesc::SHORTEST.as_ns() || recheck > ConditionsDesc::LONGEST.as_ns() {
        return false;
    }
    let mut limits = system.conditions.limits;
    while let [limit, rest @ ..] = limits {
        let is_known = match limit.of {
            Subject::Core(core) => is_core_of(system.lanes, core) || is_core_of_process(system.domains, core),
            Subject::Pool(pool) => pool.index() < system.pools.len(),
        };
        if !is_known || limit.value == 0 {
            return false;
        }
        limits = rest;
    }
    true
}

/// Whether a threshold can be crossed and left, and asks for something that a running vehicle goes to.
const fn can_ask(system: &SystemDesc, threshold: &ThresholdDesc) -> bool {
    let (source, when, until) = (threshold.source, threshold.when, threshold.until);
    let is_known = match threshold.asks {
        Asks::Level(level) => has_level(system, level.index()),
        Asks::Mode(mode) => mode.index() < system.modes.len(),
    };
    let is_in_range = when > 0 && (source.is_short_when_low() || when <= WatchedSource::WHOLE);
    is_known && is_in_range && source.is_severer(when, until)
}

/// Whether there is such a level, which does not compact.
const fn has_level(system: &SystemDesc, index: usize) -> bool {
    let mut levels = system.levels;
    let mut position: usize = 0;
    while let [level, rest @ ..] = levels {
        if position == index {
            return level.models.is_empty();
        }
        position = position.saturating_add(1);
        levels = rest;
    }
    false
}

/// Whether no later threshold asks for something milder, nor by the same source no later or until no sooner for something severer.
const fn goes_before(threshold: &ThresholdDesc, later: &[ThresholdDesc]) -> bool {
    let mut later = later;
    while let [other, rest @ ..] = later {
        let (is_milder, is_same) = match (threshold.asks, other.asks) {
            (Asks::Level(own), Asks::Level(other)) => (other.0 < own.0, other.0 == own.0),
            (Asks::Mode(own), Asks::Mode(other)) => (other.0 < own.0, other.0 == own.0),
            (Asks::Level(_), Asks::Mode(_)) | (Asks::Mode(_), Asks::Level(_)) => (false, false),
        };
        if is_milder {
            return false;
        }
        if same_source(threshold.source, other.source) && same_kind(threshold.asks, other.asks) {
            let is_later = threshold.source.is_severer(other.when, threshold.when);
            let ends_later = threshold.source.is_severer(threshold.until, other.until);
            if is_same || !is_later || ends_later {
                return false;
            }
        }
        later = rest;
    }
    true
}

const fn same_source(one: WatchedSource, other: WatchedSource) -> bool {
    matches!(
        (one, other),
        (WatchedSource::MemorySome, WatchedSource::MemorySome)
            | (WatchedSource::MemoryFull, WatchedSource::MemoryFull)
            | (WatchedSource::IoSome, WatchedSource::IoSome)
            | (WatchedSource::IoFull, WatchedSource::IoFull)
            | (WatchedSource::CpuSome, WatchedSource::CpuSome)
            | (WatchedSource::FreeMemory, WatchedSource::FreeMemory)
    )
}

const fn same_kind(one: Asks, other: Asks) -> bool {
    matches!((one, other), (Asks::Level(_), Asks::Level(_)) | (Asks::Mode(_), Asks::Mode(_)))
}
