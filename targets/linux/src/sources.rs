//! Watches what Linux tells of a shortage, and asks for the level of memory pressure or the mode that the plan has for it.
//!
//! ```text
//!  /proc/pressure/…, /proc/meminfo ─▶ readings ─▶ thresholds, hysteresis ─▶ Pressure, Modes ─▶ orchestration thread
//!   once an interval                   (reading)       (decide)              the application's own door
//! ```
//!
//! A thread of its own does so, without real-time priority, and only where the plan watches something. The thread that drains the
//! trace cannot: it writes to a disk, which is slowest just when memory is short. The watching thread of [`crate::watchdog`]
//! cannot: it is there only with a watchdog, and reading these files takes kernel locks on the orchestration thread's core. A
//! reading that comes late asks late; nothing that is proven rests on when it asks.
//!
//! What cannot be read when the vehicle starts keeps it from starting. What cannot be read later is told, counted, makes the exit
//! status 1, and leaves what is asked for as it is.

pub mod decide;
pub mod reading;

use crate::clock::monotonic_ns;
use crate::modes::Modes;
use crate::pressure::Pressure;
use aegis_core::desc::{Asks, SystemDesc, ThresholdDesc, WatchDesc, WatchedSource};
use decide::{Decider, Decision, Readings, place};
use reading::{Gauge, Unreadable};
use serde::{Serialize, Serializer};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A source that the plan watches and the machine does not have.
#[derive(Debug, thiserror::Error)]
#[error("the watched source {} at {}: {error}", .what.name(), .path.display())]
pub struct CannotWatch {
    /// What is to be watched.
    pub what: WatchedSource,
    /// Where it should be told.
    pub path: PathBuf,
    /// Why it is not.
    pub error: io::Error,
}

/// What came of watching a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct SourceReport {
    /// The source; in a summary its name.
    #[serde(serialize_with = "name_of")]
    pub source: WatchedSource,
    /// How often it asked for a level or a mode that is severer than what was asked for before.
    pub asked: u64,
    /// The reading of the greatest shortage; `None` where there was no look.
    pub worst: Option<u64>,
    /// At how many looks it could not be read.
    pub unreadable: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn name_of<S: Serializer>(source: &WatchedSource, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(source.name())
}

/// What is asked for by which door.
#[derive(Clone, Copy, Debug)]
pub struct Doors<'a> {
    /// Levels.
    pub pressure: &'a Pressure,
    /// Modes.
    pub modes: &'a Modes,
}

/// The watching of all sources of a plan.
#[derive(Debug)]
pub struct Sources {
    system: &'static SystemDesc,
    watch: WatchDesc,
    gauges: Vec<(Gauge, SourceReport)>,
    /// Of levels and of modes.
    deciders: [Decider; 2],
    /// What is decided and not yet asked for, likewise.
    pending: [Option<Decision>; 2],
}

impl Sources {
    /// Opens everything that the plan watches below `root`, where `/proc` is mounted, and reads it once; `None` where it watches
    /// nothing.
    ///
    /// # Errors
    /// [`CannotWatch`].
    pub fn open(root: &Path, system: &'static SystemDesc) -> Result<Option<Self>, CannotWatch> {
        let Some(watch) = system.watch else { return Ok(None) };
        let is_used = |source: &WatchedSource| watch.thresholds.iter().any(|threshold| threshold.source == *source);
        let gauge = |source| {
            let cannot = |error| CannotWatch { what: source, path: reading::path(root, source), error };
            let gauge = Gauge::open(root, source).map_err(cannot)?;
            gauge.read().map_err(|error| cannot(io::Error::other(error)))?;
            Ok((gauge, SourceReport { source, asked: 0, worst: None, unreadable: 0 }))
        };
        let gauges = WatchedSource::ALL.into_iter().filter(is_used).map(gauge).collect::<Result<_, _>>()?;
        let of = |is_mode: bool| {
            let thresholds = watch.thresholds.iter().copied();
            Decider::new(watch.hold, thresholds.filter(move |one| matches!(one.asks, Asks::Mode(_)) == is_mode))
        };
        Ok(Some(Self { system, watch, gauges, deciders: [of(false), of(true)], pending: [None; 2] }))
    }

    /// Watches until `over`, which [`std::thread::Thread::unpark`] makes it see at once.
    #[must_use]
    pub fn run(mut self, doors: Doors<'_>, over: &AtomicBool) -> Vec<SourceReport> {
        let mut now = monotonic_ns();
        while !over.load(Ordering::Acquire) {
            self.look(now, doors);
            let next = now.saturating_add(self.watch.interval.as_ns());
            now = monotonic_ns();
            while now < next && !over.load(Ordering::Acquire) {
                std::thread::park_timeout(Duration::from_nanos(next.saturating_sub(now)));
                now = monotonic_ns();
            }
        }
        self.gauges.into_iter().map(|(_, report)| report).collect()
    }

    /// Reads everything once, and asks for what follows.
    fn look(&mut self, now_ns: u64, doors: Doors<'_>) {
        let mut readings: Readings = [None; WatchedSource::ALL.len()];
        for (gauge, report) in &mut self.gauges {
            let source = gauge.source();
            let reading = gauge.read().map_err(|error| told(report, error)).ok();
            if let (Some(reading), Some(slot)) = (reading, readings.get_mut(place(source))) {
                *slot = Some(reading);
                let is_worst = report.worst.is_none_or(|worst| source.is_severer(reading, worst));
                report.worst = if is_worst { Some(reading) } else { report.worst };
            }
        }
        for (is_mode, (decider, pending)) in
            [false, true].into_iter().zip(self.deciders.iter_mut().zip(&mut self.pending))
        {
            if let Some(decision) = decider.decide(now_ns, &readings) {
                *pending = Some(decision);
            }
            let Some(decision) = *pending else { continue };
            if !ask(doors, is_mode, &decision) {
                // The vehicle does not run yet; the next look asks again.
                continue;
            }
            *pending = None;
            let ThresholdDesc { source, when, until, .. } = decision.threshold;
            let (reading, what) = (shown(source, decision.reading), name(self.system, is_mode, decision.asks));
            if decision.is_severer {
                log::warn!(
                    "WATCHED: {} is {reading}, the threshold is {}: {what} is asked for",
                    source.name(),
                    shown(source, when)
                );
                let mut reports = self.gauges.iter_mut().map(|(_, report)| report);
                if let Some(report) = reports.find(|report| report.source == source) {
                    report.asked = report.asked.saturating_add(1);
                }
            } else {
                log::warn!(
                    "WATCHED: {} is {reading}, it ends at {}: {what} is asked for",
                    source.name(),
                    shown(source, until)
                );
            }
        }
    }
}

/// Counts a reading that failed, and tells the first one.
fn told(report: &mut SourceReport, error: Unreadable) {
    report.unreadable = report.unreadable.saturating_add(1);
    if report.unreadable == 1 {
        log::error!("the watched source {} cannot be read, what is asked for stays: {error}", report.source.name());
    }
}

/// Asks by the door that it belongs to; whether the request was taken.
fn ask(doors: Doors<'_>, is_mode: bool, decision: &Decision) -> bool {
    let (source, reading) = (decision.threshold.source, decision.reading);
    match decision.asks {
        Some(Asks::Mode(mode)) => doors.modes.watched(Some(mode), source, reading).is_ok(),
        Some(Asks::Level(level)) => doors.pressure.watched(Some(level), source, reading).is_ok(),
        None if is_mode => doors.modes.watched(None, source, reading).is_ok(),
        None => doors.pressure.watched(None, source, reading).is_ok(),
    }
}

/// How messages call what is asked for.
fn name(system: &SystemDesc, is_mode: bool, asks: Option<Asks>) -> String {
    match asks {
        Some(Asks::Level(level)) => {
            format!("the level \"{}\"", system.levels.get(level.index()).map_or("", |level| level.name))
        }
        Some(Asks::Mode(mode)) => {
            format!("the mode \"{}\"", system.modes.get(mode.index()).map_or("", |mode| mode.name))
        }
        None if is_mode => "the application's mode".to_owned(),
        None => "no level".to_owned(),
    }
}

/// A reading as people write it.
#[must_use]
pub fn shown(source: WatchedSource, reading: u64) -> String {
    if source.is_short_when_low() {
        let (whole, rest) = (reading.div_euclid(1 << 20), reading.rem_euclid(1 << 20));
        format!("{whole}.{} MiB", rest.saturating_mul(10).div_euclid(1 << 20))
    } else {
        format!("{}.{:02} %", reading.div_euclid(100), reading.rem_euclid(100))
    }
}

/// The closing lines of a run, one for each source.
#[must_use]
pub fn closing(reports: &[SourceReport]) -> String {
    let line = |report: &SourceReport| {
        let worst = report.worst.map_or("never read".to_owned(), |worst| shown(report.source, worst));
        let failed = if report.unreadable > 0 {
            format!(", could not be read {} times", report.unreadable)
        } else {
            String::new()
        };
        format!("watched {}: asked {} times, at worst {worst}{failed}\n", report.source.name(), report.asked)
    };
    reports.iter().map(line).collect()
}
