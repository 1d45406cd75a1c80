//! What the probe tells of clocks, power and heat.

use crate::profile::{Readings, State};
use serde::Deserialize;

/// The state when the measurement had ended, and what changed since it began.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct StateAnswer {
    /// The machine's power mode.
    pub power_mode: Option<String>,
    /// Each core that was measured.
    pub cores: Vec<CoreAnswer>,
    /// Each GPU that was measured.
    pub gpus: Vec<GpuAnswer>,
    /// What changed or slowed something down, one sentence each.
    pub changed: Vec<String>,
}

/// A core.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct CoreAnswer {
    /// Its number.
    pub core: u16,
    /// What was read.
    pub readings: Readings,
}

/// A GPU.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct GpuAnswer {
    /// Its number.
    pub ordinal: u16,
    /// What was read.
    pub readings: Readings,
}

impl StateAnswer {
    /// What a profile of a core, and of a GPU where it is of one, says; `None` where the machine tells nothing.
    pub(super) fn of(&self, core: u16, gpu: Option<u16>) -> Option<State> {
        let core = self.cores.iter().find(|answer| answer.core == core);
        let gpu = gpu.and_then(|ordinal| self.gpus.iter().find(|answer| answer.ordinal == ordinal));
        let state = State {
            power_mode: self.power_mode.clone(),
            changed: self.changed.clone(),
            core: core.map_or_else(Readings::default, |answer| answer.readings),
            gpu: gpu.map_or_else(Readings::default, |answer| answer.readings),
        };
        (state != State::default()).then_some(state)
    }
}
