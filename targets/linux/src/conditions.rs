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
use crate::realtime::keep_off;
use aegis_core::desc::{Quantity, SystemDesc};
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
        let cores = system.lanes.iter().map(|lane| lane.core).collect();
        let mut look = Look::new(root, cores, gauges);
        let first = look.state();
        let voids = against_plan(system, &first);
        let is_needed = first.tells();
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
        let cores = self.system.lanes.iter().map(|lane| lane.core);
        if let Err(error) = keep_off(cores.chain([self.system.orchestration_core])) {
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
mod tests {
    use super::made_up::Files;
    use super::{Conditions, Gauge, GpuState, Readings};
    use crate::fixture;
    use crate::guarantee::Guarantee;
    use aegis_core::desc::{ConditionsDesc, GpuDesc, LimitDesc, PoolDesc, Quantity, Subject, SystemDesc};
    use aegis_core::trace::VoidReason;
    use aegis_core::units::PoolId;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    /// A gauge whose device the test changes.
    #[derive(Clone, Debug, Default)]
    struct Fake(Arc<Mutex<GpuState>>);

    impl Fake {
        fn set(&self, change: impl FnOnce(&mut GpuState)) {
            change(&mut self.0.lock().unwrap());
        }
    }

    impl Gauge for Fake {
        fn read(&mut self) -> GpuState {
            self.0.lock().unwrap().clone()
        }
    }

    fn limit(of: Subject, what: Quantity, value: u64) -> LimitDesc {
        LimitDesc { of, what, value }
    }

    fn system(power_mode: &'static str, limits: &[LimitDesc]) -> &'static SystemDesc {
        let base = fixture::system(&[(10, 1)]);
        let gpu =
            GpuDesc { ordinal: 0, name: "", driver: "", compute_capability: (9, 0), sms: 132, unit: 8, units: 15 };
        let pools = vec![base.pools[0], PoolDesc { name: "gpu0", gpu: Some(gpu), ..base.pools[0] }].leak();
        let conditions = ConditionsDesc { power_mode, limits: limits.to_vec().leak(), ..ConditionsDesc::EMPTY };
        Box::leak(Box::new(SystemDesc { pools, conditions, ..*base }))
    }

    fn open(system: &'static SystemDesc, root: &Path, fake: &Fake) -> (Conditions, Vec<(VoidReason, String)>) {
        let gauges = vec![(1, "gpu0".to_owned(), Box::new(fake.clone()) as Box<dyn Gauge>)];
        let (conditions, voids) = Conditions::open(system, root, gauges, Guarantee::new());
        (conditions, voids.into_iter().map(|void| (void.reason, void.text)).collect())
    }

    fn texts(conditions: &Conditions) -> Vec<(VoidReason, String)> {
        conditions.seen.lock().unwrap().voids.iter().map(|void| (void.reason, void.text.clone())).collect()
    }

    #[test]
    fn what_is_lower_than_planned_at_the_start_is_told_with_both_values() {
        let files = Files::jetson();
        let fake = Fake::default();
        let core = system("", &[]).lanes[0].core;
        let (clock, heat) = (Quantity::LeastClock, Quantity::Temperature);
        let same =
            system("30W", &[limit(Subject::Core(core), clock, 729_600), limit(Subject::Pool(PoolId(0)), heat, 51_000)]);
        let (conditions, voids) = open(same, files.root(), &fake);
        assert_eq!((voids, conditions.is_needed()), (vec![], true));
        let other = system(
            "MAXN",
            &[
                limit(Subject::Core(core), clock, 1_728_000),
                limit(Subject::Pool(PoolId(0)), heat, 50_000),
                limit(Subject::Pool(PoolId(1)), Quantity::PowerLimit, 700_000),
            ],
        );
        fake.set(|gpu| gpu.readings.power_limit_mw = Some(350_000));
        let (_, voids) = open(other, files.root(), &fake);
        let expected = [
            (VoidReason::OtherPower, "the power mode is \"30W\", the plan was made for \"MAXN\"".to_owned()),
            (
                VoidReason::OtherClocks,
                format!("the least clock of core {core} is 729600 kHz, the plan was made for 1728000 kHz"),
            ),
            (VoidReason::TooHot, "the temperature of \"ram\" is 51000 m°C, the plan allows 50000 m°C".to_owned()),
            (
                VoidReason::OtherPower,
                "the power limit of \"gpu0\" is 350000 mW, the plan was made for 700000 mW".to_owned(),
            ),
        ];
        assert_eq!(voids, expected);
    }

    #[test]
    fn what_the_plan_states_and_nobody_tells_is_unknown_and_never_zero() {
        let nowhere = tempfile::tempdir().unwrap();
        let clock = limit(Subject::Pool(PoolId(1)), Quantity::MostClock, 1_980_000);
        let (conditions, voids) = open(system("MAXN", &[clock]), nowhere.path(), &Fake::default());
        let expected = [
            (VoidReason::ConditionsUnknown, "the power mode cannot be read, the plan was made for \"MAXN\"".to_owned()),
            (
                VoidReason::ConditionsUnknown,
                "the most clock of \"gpu0\" cannot be read, the plan was made for 1980000 kHz".to_owned(),
            ),
        ];
        assert_eq!((voids.as_slice(), conditions.is_needed()), (expected.as_slice(), false));
        assert_eq!(open(system("", &[]), nowhere.path(), &Fake::default()).1, [], "nothing is stated");
    }

    #[test]
    fn what_changes_while_the_vehicle_runs_voids_the_guarantee_once_for_each_reason() {
        let files = Files::jetson();
        let fake = Fake::default();
        fake.set(|gpu| {
            gpu.readings = Readings { most_clock_khz: Some(1_980_000), ..Readings::default() };
            gpu.slowdowns = Some(7);
        });
        let (conditions, voids) = open(system("", &[]), files.root(), &fake);
        let guarantee = Arc::clone(&conditions.guarantee);
        let looked = || {
            conditions.look();
            conditions.look();
            texts(&conditions)
        };
        assert_eq!((voids, looked(), guarantee.is_valid()), (vec![], vec![], true));
        files.put("sys/class/thermal/thermal_zone0/temp", "99000");
        assert_eq!(
            looked(),
            [(VoidReason::TooHot, "zone \"cpu-thermal\" is at 99000 m°C, from 99000 m°C on clocks fall".to_owned())]
        );
        assert!(!guarantee.is_valid());
        fake.set(|gpu| gpu.slowdowns = Some(8));
        let slowed =
            (VoidReason::SlowedDown, "heat or power slowed \"gpu0\" down: its count went from 7 to 8".to_owned());
        assert_eq!(looked().last(), Some(&slowed));
        files.put("var/lib/nvpmodel/status", "pmode:0000");
        let mode = (VoidReason::OtherPower, "the power mode went from \"30W\" to \"MAXN\"".to_owned());
        assert_eq!(looked().last(), Some(&mode));
        let core = conditions.system.lanes[0].core;
        files.put(&format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"), "powersave");
        let governor = format!("the clock governor of core {core} went from \"schedutil\" to \"powersave\"");
        assert_eq!(looked().last(), Some(&(VoidReason::OtherGovernor, governor)));
        fake.set(|gpu| gpu.readings.most_clock_khz = Some(1_200_000));
        let clock = "the most clock of \"gpu0\" went from 1980000 kHz to 1200000 kHz".to_owned();
        assert_eq!(looked().last(), Some(&(VoidReason::OtherClocks, clock)));
        fake.set(|gpu| gpu.readings = Readings::default());
        let unknown = "the most clock of \"gpu0\" was 1980000 kHz and cannot be read any more".to_owned();
        assert_eq!(looked().last(), Some(&(VoidReason::ConditionsUnknown, unknown)));
        // What is better again does not bring it back, and nothing is told twice.
        files.put("sys/class/thermal/thermal_zone0/temp", "40000");
        assert_eq!((looked().len(), guarantee.is_valid(), guarantee.reasons().count()), (6, false, 6));
    }

    #[test]
    fn a_higher_limit_or_another_file_voids_nothing() {
        let files = Files::jetson();
        let (conditions, _) = open(system("", &[]), files.root(), &Fake::default());
        let core = conditions.system.lanes[0].core;
        files.put(&format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_min_freq"), "1728000");
        files.put("sys/class/devfreq/17000000.gpu/cur_freq", "306000000");
        files.remove("sys/class/devfreq/15340000.vic/min_freq");
        conditions.look();
        assert_eq!((texts(&conditions), conditions.guarantee.is_valid()), (vec![], true));
    }

    #[test]
    fn the_last_look_counts_and_later_ones_see_nothing() {
        let files = Files::jetson();
        let (conditions, _) = open(system("", &[]), files.root(), &Fake::default());
        files.put("var/lib/nvpmodel/status", "pmode:0000");
        assert_eq!(conditions.close().len(), 1);
        files.put("sys/class/thermal/thermal_zone0/temp", "99000");
        conditions.look();
        assert_eq!((conditions.close().len(), conditions.guarantee.reasons().count()), (1, 1));
    }

    /// Counts how often it is read.
    #[derive(Debug)]
    struct Counting(Arc<AtomicU64>, Arc<AtomicBool>);

    impl Gauge for Counting {
        fn read(&mut self) -> GpuState {
            // The first one is at the start.
            if self.0.fetch_add(1, Ordering::AcqRel) == 2 {
                self.1.store(true, Ordering::Release);
            }
            GpuState::default()
        }
    }

    #[test]
    fn it_looks_again_and_again_until_it_is_over() {
        let (reads, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let gauge = Box::new(Counting(Arc::clone(&reads), Arc::clone(&over)));
        let base = system("", &[]);
        let conditions = ConditionsDesc { recheck: ConditionsDesc::SHORTEST, ..base.conditions };
        let system = Box::leak(Box::new(SystemDesc { conditions, ..*base }));
        let nowhere = tempfile::tempdir().unwrap();
        let gauges = vec![(1, "gpu0".to_owned(), gauge as Box<dyn Gauge>)];
        let (conditions, _) = Conditions::open(system, nowhere.path(), gauges, Guarantee::new());
        conditions.run(&over);
        assert_eq!(reads.load(Ordering::Acquire), 3);
    }
}
