//! The descriptors of clocks, power and heat: what a vehicle compares at its start and again while it runs. No certificate rests on
//! them, but every measured execution time does: where one differs, the bounds are not guaranteed.

use crate::time::Duration;
use crate::units::PoolId;

/// Under what clocks, power and heat the plan's execution times were measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConditionsDesc {
    /// The time between two looks while the vehicle runs: [`Self::SHORTEST`] to [`Self::LONGEST`].
    pub recheck: Duration,
    /// The machine's power mode (nvpmodel's, of a Jetson); empty: not stated.
    pub power_mode: &'static str,
    /// What is not stated of a core or a device is not compared.
    pub limits: &'static [LimitDesc],
}

impl ConditionsDesc {
    /// The shortest time between two looks, 100 ms.
    pub const SHORTEST: Duration = Duration::from_ns(100_000_000);
    /// The longest time between two looks, one minute.
    pub const LONGEST: Duration = Duration::from_ns(60_000_000_000);
    /// Nothing is stated, and the machine is looked at once a second.
    pub const EMPTY: Self = Self { recheck: Duration::from_ns(1_000_000_000), power_mode: "", limits: &[] };
}

/// A value that a quantity must reach, or of a temperature must not exceed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitDesc {
    /// Whose it is.
    pub of: Subject,
    /// What it is.
    pub what: Quantity,
    /// In the [unit](Quantity::unit) of `what`; more than zero.
    pub value: u64,
}

/// What has clocks, power and a temperature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A CPU core by its number: that of a lane.
    Core(u16),
    /// The device whose memory a pool is.
    Pool(PoolId),
}

/// What is read of a core or a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quantity {
    /// The clock at this moment; stated only of a device whose clocks are declared as locked and whose limits nobody tells.
    Clock,
    /// The lowest clock that may be chosen.
    LeastClock,
    /// The highest clock that may be chosen.
    MostClock,
    /// The memory's clock at this moment; stated as [`Self::Clock`] is.
    MemoryClock,
    /// The lowest clock of the memory that may be chosen.
    LeastMemoryClock,
    /// The highest clock of the memory that may be chosen.
    MostMemoryClock,
    /// What the device may draw: above it, clocks fall.
    PowerLimit,
    /// How warm it is; the manifest says how warm it may be.
    Temperature,
}

impl Quantity {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Clock,
        Self::LeastClock,
        Self::MostClock,
        Self::MemoryClock,
        Self::LeastMemoryClock,
        Self::MostMemoryClock,
        Self::PowerLimit,
        Self::Temperature,
    ];

    /// Limits that somebody sets; the others move by themselves.
    pub const SET: [Self; 5] =
        [Self::LeastClock, Self::MostClock, Self::LeastMemoryClock, Self::MostMemoryClock, Self::PowerLimit];

    /// The name in locks and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::LeastClock => "least-clock",
            Self::MostClock => "most-clock",
            Self::MemoryClock => "memory-clock",
            Self::LeastMemoryClock => "least-memory-clock",
            Self::MostMemoryClock => "most-memory-clock",
            Self::PowerLimit => "power-limit",
            Self::Temperature => "temperature",
        }
    }

    /// The unit of its values: kHz, mW, or thousandths of a degree Celsius.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::PowerLimit => "mW",
            Self::Temperature => "m°C",
            _ => "kHz",
        }
    }

    /// Whether what was found is as good as what was planned: a clock or a power limit is no lower, a temperature no higher.
    #[must_use]
    pub const fn meets(self, planned: u64, found: u64) -> bool {
        if matches!(self, Self::Temperature) { found <= planned } else { found >= planned }
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn a_lower_clock_or_power_limit_and_a_higher_temperature_are_worse() {
        for what in Quantity::ALL {
            let is_heat = what == Quantity::Temperature;
            assert_eq!(
                (what.meets(10, 9), what.meets(10, 10), what.meets(10, 11)),
                (is_heat, true, !is_heat),
                "{what:?}"
            );
        }
        assert_eq!(
            [Quantity::Clock, Quantity::PowerLimit, Quantity::Temperature].map(Quantity::unit),
            ["kHz", "mW", "m°C"]
        );
    }
}
