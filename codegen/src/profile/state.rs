//! Clocks, power and heat while a profile was measured.

use aegis_core::desc::Quantity;
use serde::{Deserialize, Serialize};

/// What the machine told when the measurement had ended, and what changed while it lasted. What it does not tell is not there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct State {
    /// The machine's power mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_mode: Option<String>,
    /// What changed or slowed something down meanwhile, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Of the core that was measured.
    #[serde(default, skip_serializing_if = "Readings::is_empty")]
    pub core: Readings,
    /// Of the GPU, where a part of one was measured.
    #[serde(default, skip_serializing_if = "Readings::is_empty")]
    pub gpu: Readings,
}

/// What is read of a core or a device: clocks in kHz, power in mW, temperature in thousandths of a degree Celsius.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[allow(missing_docs, reason = "each field is named as in Quantity, where it is described")]
pub struct Readings {
    #[serde(default, alias = "clock_khz", skip_serializing_if = "Option::is_none")]
    pub clock_khz: Option<u64>,
    #[serde(default, alias = "least_clock_khz", skip_serializing_if = "Option::is_none")]
    pub least_clock_khz: Option<u64>,
    #[serde(default, alias = "most_clock_khz", skip_serializing_if = "Option::is_none")]
    pub most_clock_khz: Option<u64>,
    #[serde(default, alias = "memory_clock_khz", skip_serializing_if = "Option::is_none")]
    pub memory_clock_khz: Option<u64>,
    #[serde(default, alias = "least_memory_clock_khz", skip_serializing_if = "Option::is_none")]
    pub least_memory_clock_khz: Option<u64>,
    #[serde(default, alias = "most_memory_clock_khz", skip_serializing_if = "Option::is_none")]
    pub most_memory_clock_khz: Option<u64>,
    #[serde(default, alias = "power_limit_mw", skip_serializing_if = "Option::is_none")]
    pub power_limit_mw: Option<u64>,
    #[serde(default, alias = "temperature_mc", skip_serializing_if = "Option::is_none")]
    pub temperature_mc: Option<u64>,
}

impl Readings {
    /// The reading of a quantity; one of zero is none.
    #[must_use]
    pub fn get(&self, what: Quantity) -> Option<u64> {
        let reading = match what {
            Quantity::Clock => self.clock_khz,
            Quantity::LeastClock => self.least_clock_khz,
            Quantity::MostClock => self.most_clock_khz,
            Quantity::MemoryClock => self.memory_clock_khz,
            Quantity::LeastMemoryClock => self.least_memory_clock_khz,
            Quantity::MostMemoryClock => self.most_memory_clock_khz,
            Quantity::PowerLimit => self.power_limit_mw,
            Quantity::Temperature => self.temperature_mc,
        };
        reading.filter(|reading| *reading > 0)
    }

    /// Whether nothing was told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
