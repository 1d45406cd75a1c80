//! Under what clocks, power and heat a system was measured and may run.

use aegis_core::desc::{ConditionsDesc, LimitDesc};
use aegis_core::time::Duration;

/// What a vehicle compares at its start and while it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conditions {
    /// The time between two looks.
    pub recheck: Duration,
    /// The machine's power mode; empty where neither manifest nor profiles state it.
    pub power_mode: String,
    /// What profiles tell of lanes' cores and of devices, and how warm the manifest lets these become.
    pub limits: Vec<LimitDesc>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { recheck: ConditionsDesc::EMPTY.recheck, power_mode: String::new(), limits: Vec::new() }
    }
}
