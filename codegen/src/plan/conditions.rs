//! Clocks, power and heat in the plan: no certificate rests on them, a vehicle compares them.

use serde::{Deserialize, Serialize};

/// What a vehicle compares at its start and while it runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Conditions {
    /// Between two looks.
    pub recheck_ns: u64,
    /// The machine's power mode, where it is stated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub power_mode: String,
    /// What is stated of cores and devices.
    #[serde(rename = "limit", default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
}

/// A value that a quantity must reach, or of a temperature must not exceed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limit {
    /// `core` and its number, or `pool` and its position.
    pub of: String,
    /// The quantity's name.
    pub what: String,
    /// In kHz, mW or thousandths of a degree Celsius.
    pub value: u64,
}
