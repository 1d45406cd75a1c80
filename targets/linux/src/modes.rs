//! The modes that the application or a watched source asks for: any thread says so without waiting, the orchestration thread
//! changes them as the module `changes` says.

use crate::bell::Bell;
use crate::changes::{Asked, By, Rule};
use aegis_core::desc::{SystemDesc, WatchedSource};
use aegis_core::{ErrorClass, ModeId};
use std::sync::Arc;

/// Why a mode is not gone to. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ModeError {
    /// The plan has no such mode. Permanent.
    #[error("the plan has no mode number {}", .0.0)]
    Unknown(ModeId),
    /// The vehicle has not begun to run. Transient.
    #[error("the vehicle does not run yet")]
    NotRunning,
}

impl ModeError {
    /// What the caller can do.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::NotRunning => ErrorClass::Transient,
            Self::Unknown(_) => ErrorClass::Permanent,
        }
    }
}

/// What the application's threads and the orchestration thread share.
#[derive(Debug)]
pub struct Modes {
    count: usize,
    /// A mode's own number.
    pub(crate) asked: Asked,
}

impl Modes {
    /// The first mode holds.
    #[must_use]
    pub fn new(system: &SystemDesc) -> Arc<Self> {
        Arc::new(Self { count: system.modes.len(), asked: Asked::new(Rule::Sources) })
    }

    /// From now on requests are taken; the bell wakes who takes them.
    pub fn open(&self, bell: Arc<Bell>) {
        self.asked.open(bell);
    }

    /// Asks for a mode. Does not wait and uses no heap.
    ///
    /// The orchestration thread begins the change at once, or one second after it last looked, or when the change that is under
    /// way has ended. While watched sources ask for a mode, that one is gone to, and this one once they do not. How long the
    /// change takes then is bounded by the `leaves` of the mode that is left.
    ///
    /// # Errors
    /// [`ModeError`].
    pub fn request(&self, mode: ModeId) -> Result<(), ModeError> {
        self.check(mode)?;
        self.asked.ask(By::Application, u32::from(mode.0)).map_err(|_| ModeError::NotRunning)
    }

    /// A source asks by its reading, before the application; `None`: no more.
    pub(crate) fn watched(&self, mode: Option<ModeId>, source: WatchedSource, reading: u64) -> Result<(), ModeError> {
        mode.map_or(Ok(()), |mode| self.check(mode))?;
        // 0 is none.
        let number = mode.map_or(0, |mode| u32::from(mode.0).saturating_add(1));
        self.asked.ask(By::Source(source, reading), number).map_err(|_| ModeError::NotRunning)
    }

    /// The mode that the application, or who asks as it does, asked for last.
    pub(crate) fn own(&self) -> ModeId {
        self.asked.own().0
    }

    /// The mode to go back to after another one was asked for: the one that holds, unless sources ask for it, or another one was asked
    /// for and is not gone to yet.
    pub(crate) fn settled(&self) -> ModeId {
        let (own, is_final) = self.asked.own();
        if is_final { own } else { self.mode().unwrap_or(own) }
    }

    fn check(&self, mode: ModeId) -> Result<(), ModeError> {
        if mode.index() < self.count { Ok(()) } else { Err(ModeError::Unknown(mode)) }
    }

    /// The mode that holds, as far as the orchestration thread has told; while a change is under way the one that is left. `None`
    /// in a plan without modes.
    #[must_use]
    pub fn mode(&self) -> Option<ModeId> {
        if self.count == 0 { None } else { mode(self.asked.held()) }
    }
}

pub(crate) fn mode(number: u32) -> Option<ModeId> {
    u16::try_from(number).ok().map(ModeId)
}
