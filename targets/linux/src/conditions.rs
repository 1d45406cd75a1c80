//! Clocks, power and heat as conditions of the plan's bounds: compared at the start, and looked at again while the vehicle runs.
//!
//! ```text
//!  files, gauges of GPUs ─▶ state ─▶ against the plan  ─▶ a void guarantee: its reason, and a text with both values
//!   at the start, once an interval,   against the start ─▶ [`Guarantee`] ─▶ orchestration thread: a record
//!   and when the run has ended
//! ```
//!
//! A thread of its own looks, without real-time priority and off the cores of lanes and of the orchestration thread where the
//! process may use others. What the plan states and cannot be read makes the guarantee void; what it does not state and the
//! machine does not tell is no condition. A look that comes late tells late: between two looks only counters keep what happened.

mod compare;
#[cfg(test)]
pub(crate) mod made_up;
mod tree;

use crate::clock::monotonic_ns;
use crate::guarantee::Guarantee;
use crate::machine::Void;
use crate::realtime::{has_others, keep_off, taken_cores};
use aegis_core::desc::{Quantity, SystemDesc, Waiting};
use aegis_core::trace::VoidReason;
use aegis_core::units::PoolId;
pub use compare::{against_plan, changed, moved};
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
pub use tree::Tree;

/// What is read of a core or a device; `None` where nothing tells it. Clocks in kHz, power in mW, temperature in thousandths of a
/// degree Celsius.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "each field is named as in Quantity, where it is described")]
pub struct Readings {
    pub clock_khz: Option<u64>,
    pub least_clock_khz: Option<u64>,
    pub most_clock_khz: Option<u64>,
    pub memory_clock_khz: Option<u64>,
    pub least_memory_clock_khz: Option<u64>,
    pub most_memory_clock_khz: Option<u64>,
    pub power_limit_mw: Option<u64>,
    pub temperature_mc: Option<u64>,
}

impl Readings {
    /// The reading of a quantity.
    #[must_use]
    pub const fn get(&self, what: Quantity) -> Option<u64> {
        match what {
            Quantity::Clock => self.clock_khz,
            Quantity::LeastClock => self.least_clock_khz,
            Quantity::MostClock => self.most_clock_khz,
            Quantity::MemoryClock => self.memory_clock_khz,
            Quantity::LeastMemoryClock => self.least_memory_clock_khz,
            Quantity::MostMemoryClock => self.most_memory_clock_khz,
            Quantity::PowerLimit => self.power_limit_mw,
            Quantity::Temperature => self.temperature_mc,
        }
    }
}

/// What is told of a CPU core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreState {
    /// Its number.
    pub core: u16,
    /// Its clock governor.
    pub governor: Option<String>,
    /// Its clock limits.
    pub readings: Readings,
    /// How often heat has slowed it, or its package, down since boot.
    pub slowdowns: Option<u64>,
}

/// What is told of a GPU.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GpuState {
    /// Its clocks, limits and temperature.
    pub readings: Readings,
    /// Why it is slowed down at this moment, by power or heat.
    pub slowed: Option<String>,
    /// A count, or a time, of slow-downs by power or heat that only grows.
    pub slowdowns: Option<u64>,
}

/// A GPU with its number (of its pool in a plan, of the device for a probe) and its name in messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gpu {
    /// The number.
    pub number: u16,
    /// The name.
    pub name: String,
    /// What is told of it.
    pub state: GpuState,
}

/// A thermal zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Its temperature, in thousandths of a degree Celsius.
    pub temperature_mc: u64,
    /// The lowest temperature from which on it slows something down, likewise.
    pub trip_mc: Option<u64>,
}

/// All that is told at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// The machine's power mode.
    pub power_mode: Option<String>,
    /// The cores that were asked for.
    pub cores: Vec<CoreState>,
    /// The devices that were asked for.
    pub gpus: Vec<Gpu>,
    /// Every thermal zone.
    pub zones: Vec<Zone>,
}

/// What tells of a GPU.
pub trait Gauge: Send + fmt::Debug {
    /// Reads it once; what cannot be read is not there.
    fn read(&mut self) -> GpuState;
}

impl Gauge for Tree {
    fn read(&mut self) -> GpuState {
        self.gpu()
    }
}

/// What tells of one GPU, with the number and the name by which the state has it.
pub type Gauges = Vec<(u16, String, Box<dyn Gauge>)>;

/// Where everything is read.
#[derive(Debug)]
pub struct Look {
    tree: Tree,
    cores: Vec<u16>,
    gauges: Gauges,
}

impl Look {
    /// The files below `root`, these cores, and these devices.
    #[must_use]
    pub fn new(root: &Path, cores: Vec<u16>, gauges: Gauges) -> Self {
        Self { tree: Tree::new(root), cores, gauges }
    }

    /// Reads everything once.
    pub fn state(&mut self) -> State {
        let gpus = self.gauges.iter_mut();
        let gpus = gpus.map(|(number, name, gauge)| Gpu { number: *number, name: name.clone(), state: gauge.read() });
        State {
            power_mode: self.tree.power_mode(),
            cores: self.cores.iter().map(|core| self.tree.core(*core)).collect(),
            gpus: gpus.collect(),
            zones: self.tree.zones(),
        }
    }
}

impl State {
    /// Whether the machine tells anything.
    #[must_use]
    pub fn tells(&self) -> bool {
        let of_core = |core: &CoreState| {
            core.governor.is_some() || core.slowdowns.is_some() || core.readings != Readings::default()
        };
        self.power_mode.is_some()
            || !self.zones.is_empty()
            || self.cores.iter().any(of_core)
            || self.gpus.iter().any(|gpu| gpu.state != GpuState::default())
    }

    fn gpu(&self, number: u16) -> Option<&GpuState> {
        self.gpus.iter().find(|gpu| gpu.number == number).map(|gpu| &gpu.state)
    }

    /// The readings of a pool's device: of one in the CPU's memory the temperature of the hottest zone.
    fn pool(&self, system: &SystemDesc, pool: PoolId) -> Readings {
        if system.pools.get(pool.index()).is_some_and(|pool| pool.gpu.is_some()) {
            return self.gpu(pool.0).map_or_else(Readings::default, |gpu| gpu.readings);
        }
        let hottest = self.zones.iter().map(|zone| zone.temperature_mc).max();
        Readings { temperature_mc: hottest, ..Readings::default() }
    }
}

/// What is looked at again and again, and what was seen first.
#[derive(Debug)]
struct Seen {
    look: Look,
    first: State,
    /// Why the guarantee fell while the vehicle ran, in the order in which it was seen.
    voids: Vec<Void>,
    /// Whether the run is over, so that nothing more counts.
    is_over: bool,
}

/// The watching of a plan's conditions.
#[derive(Debug)]
pub struct Conditions {
    system: &'static SystemDesc,
    guarantee: Arc<Guarantee>,
    is_needed: bool,
    seen: Mutex<Seen>,
}

impl Conditions {
    /// Looks for the first time, at the files below `root` (`/`) and at the devices of the plan's pools, and says in what the
    /// machine is not what the plan states.
    #[must_use]
    pub fn open(
        system: &'static SystemDesc,
        root: &Path,
        gauges: Gauges,
        guarantee: Arc<Guarantee>,
    ) -> (Self, Vec<Void>) {
        let cores: Vec<u16> = taken_cores(system).collect();
        let is_room = system.waiting == Waiting::Blocking || has_others(cores.iter().copied());
        let mut look = Look::new(root, cores, gauges);
        let first = look.state();
        let mut voids = against_plan(system, &first);
        let is_needed = first.tells();
        if is_needed && !is_room {
            let text = "threads that never leave them have all cores that the process may use, so clocks and heat may not be looked \
                        at again: leave it a core besides"
                .to_owned();
            voids.push(Void { reason: VoidReason::ConditionsUnknown, text });
        }
        (
            Self {
                system,
                guarantee,
                is_needed,
                seen: Mutex::new(Seen { look, first, voids: Vec::new(), is_over: false }),
            },
            voids,
        )
    }

    /// Whether anything is there that could change while the vehicle runs.
    #[must_use]
    pub const fn is_needed(&self) -> bool {
        self.is_needed
    }

    /// Looks once. Each reason that was not told before makes the guarantee void at once and is a loud line.
    pub fn look(&self) {
        self.look_at(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn look_at(&self, seen: &mut Seen) {
        if seen.is_over {
            return;
        }
        let now = seen.look.state();
        for void in against_plan(self.system, &now).into_iter().chain(moved(&seen.first, &now)) {
            if self.guarantee.void(void.reason) {
                log::warn!("GUARANTEE VOID from now on ({}): {}", void.reason.name(), void.text);
                seen.voids.push(void);
            }
        }
    }

    /// Looks once an interval until `over`, which [`std::thread::Thread::unpark`] makes it see at once.
    pub fn run(&self, over: &AtomicBool) {
        if let Err(error) = keep_off(taken_cores(self.system)) {
            log::warn!("the thread that looks at clocks and heat could not be kept off the cores of lanes: {error}");
        }
        let interval = self.system.conditions.recheck.as_ns();
        let mut next = monotonic_ns().saturating_add(interval);
        while !over.load(Ordering::Acquire) {
            let now = monotonic_ns();
            if now < next {
                std::thread::park_timeout(Duration::from_nanos(next.saturating_sub(now)));
                continue;
            }
            self.look();
            next = now.saturating_add(interval).max(monotonic_ns());
        }
    }

    /// Looks a last time when the run has ended, and says why the guarantee fell while the vehicle ran, in the order in which it
    /// was seen. Later looks see nothing.
    #[must_use]
    pub fn close(&self) -> Vec<Void> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.look_at(&mut seen);
        seen.is_over = true;
        seen.voids.clone()
    }

    /// The same without a last look; nothing where a look is under way, which may not end.
    #[must_use]
    pub fn fallen(&self) -> Vec<Void> {
        let Ok(mut seen) = self.seen.try_lock() else { return Vec::new() };
        seen.is_over = true;
        seen.voids.clone()
    }
}

#[cfg(test)]
mod tests;
