//! Levels of memory pressure that the application or a watched source asks for: any thread says so without waiting, the
//! orchestration thread goes there as the module `changes` says. One that the plan does not have, or that moves something, is
//! refused.

use crate::bell::Bell;
use crate::changes::{Asked, By, Rule};
use aegis_core::desc::{SystemDesc, WatchedSource};
use aegis_core::{ErrorClass, LevelId};
use std::sync::Arc;

/// Why a level is not gone to. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PressureError {
    /// The plan has no such level: permanent, the application was written for another plan.
    #[error("the plan has no level of memory pressure number {}", .0.0)]
    Unknown(LevelId),
    /// The level moves what stays, which no running vehicle does: permanent, ask for another level, or give the devices their
    /// `page-size`.
    #[error("the level of memory pressure number {} moves what stays, which a running vehicle does not; with `page-size` nothing moves", .0.0)]
    Compacts(LevelId),
    /// The vehicle has not begun to run: transient, ask again once it does.
    #[error("the vehicle does not run yet")]
    NotRunning,
}

impl PressureError {
    /// What the caller can do.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::NotRunning => ErrorClass::Transient,
            Self::Unknown(_) | Self::Compacts(_) => ErrorClass::Permanent,
        }
    }
}

/// What the application's threads and the orchestration thread share.
#[derive(Debug)]
pub struct Pressure {
    /// For each level whether a running vehicle can go there.
    levels: Box<[bool]>,
    /// A level, counted from 1; 0: none.
    pub(crate) asked: Asked,
}

impl Pressure {
    /// No pressure.
    #[must_use]
    pub fn new(system: &SystemDesc) -> Arc<Self> {
        let levels = system.levels.iter().map(|level| level.models.is_empty()).collect();
        Arc::new(Self { levels, asked: Asked::new(Rule::Severer) })
    }

    /// From now on requests are taken; the bell wakes who takes them.
    pub fn open(&self, bell: Arc<Bell>) {
        self.asked.open(bell);
    }

    /// Asks for a level, or for none. Does not wait and uses no heap.
    ///
    /// The orchestration thread looks at once, or one second after it last did, and goes there once the memory is there that is
    /// used there: what the level that holds gave back is taken back first. While watched sources ask for a severer level, that
    /// one holds.
    ///
    /// # Errors
    /// [`PressureError`].
    pub fn request(&self, level: Option<LevelId>) -> Result<(), PressureError> {
        self.ask(By::Application, level)
    }

    /// A source asks by its reading, beside the application.
    pub(crate) fn watched(
        &self,
        level: Option<LevelId>,
        source: WatchedSource,
        reading: u64,
    ) -> Result<(), PressureError> {
        self.ask(By::Source(source, reading), level)
    }

    fn ask(&self, by: By, level: Option<LevelId>) -> Result<(), PressureError> {
        if let Some(level) = level {
            let can = self.levels.get(level.index()).ok_or(PressureError::Unknown(level))?;
            if !can {
                return Err(PressureError::Compacts(level));
            }
        }
        self.asked.ask(by, number(level)).map_err(|_| PressureError::NotRunning)
    }

    /// The level that holds, as far as the orchestration thread has told.
    #[must_use]
    pub fn level(&self) -> Option<LevelId> {
        level(self.asked.held())
    }
}

pub(crate) const fn number(level: Option<LevelId>) -> u32 {
    match level {
        // Widening, and no level has the greatest number.
        #[allow(clippy::as_conversions)]
        Some(level) => (level.0 as u32).saturating_add(1),
        None => 0,
    }
}

pub(crate) fn level(number: u32) -> Option<LevelId> {
    number.checked_sub(1).and_then(|number| u16::try_from(number).ok()).map(LevelId)
}
