//! Machines that are made up, and change.

use super::made_up::Files;
use super::{Conditions, Gauge, GpuState, Readings};
use crate::fixture;
use crate::guarantee::Guarantee;
use aegis_core::desc::{
    ConditionsDesc, GpuDesc, LaneDesc, LimitDesc, PoolDesc, Quantity, Subject, SystemDesc, Waiting,
};
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
    let gpu = GpuDesc {
        ordinal: 0,
        name: "",
        driver: "",
        compute_capability: (9, 0),
        sms: 132,
        unit: 8,
        units: 15,
        context: None,
        staging: None,
    };
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
    let slowed = (VoidReason::SlowedDown, "heat or power slowed \"gpu0\" down: its count went from 7 to 8".to_owned());
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

#[test]
fn a_zone_that_vanishes_and_a_count_that_goes_back_are_not_known_any_more() {
    let files = Files::jetson();
    let fake = Fake::default();
    fake.set(|gpu| gpu.slowdowns = Some(7));
    let (conditions, voids) = open(system("", &[]), files.root(), &fake);
    assert_eq!(voids, []);
    conditions.look();
    assert_eq!(texts(&conditions), []);
    let mut zones = files.root().join("sys/class/thermal").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let zone = zones.find(|path| path.join("temp").exists()).unwrap();
    let name = std::fs::read_to_string(zone.join("type")).unwrap();
    std::fs::remove_file(zone.join("temp")).unwrap();
    conditions.look();
    let told = texts(&conditions);
    assert!(
        matches!(told.as_slice(), [(VoidReason::ConditionsUnknown, text)] if text.contains(name.trim())),
        "{told:?}"
    );
    // The reason is told once; another state tells the other cause.
    let (conditions, _) = open(system("", &[]), files.root(), &fake);
    fake.set(|gpu| gpu.slowdowns = Some(6));
    conditions.look();
    let told = texts(&conditions);
    let expected = "the count of slow-downs of \"gpu0\" cannot be read any more".to_owned();
    assert_eq!(told, [(VoidReason::ConditionsUnknown, expected)]);
}

#[test]
fn the_orchestration_threads_core_is_looked_at_too_and_a_planned_governor_that_nobody_tells_is_unknown() {
    let nowhere = tempfile::tempdir().unwrap();
    let base = system("", &[]);
    let machine = aegis_core::desc::MachineDesc { governor: "performance", ..base.machine };
    let planned = Box::leak(Box::new(SystemDesc { machine, ..*base }));
    let told: Vec<VoidReason> =
        open(planned, nowhere.path(), &Fake::default()).1.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(told, [VoidReason::ConditionsUnknown; 2], "of the lane's core and of the orchestration thread's");
}

#[test]
fn threads_that_look_on_all_cores_leave_none_to_look_at_heat() {
    let files = Files::jetson();
    let base = system("", &[]);
    let all = |waiting| {
        let lanes: Vec<LaneDesc> = (1..1_024).map(|core| LaneDesc { core, ..base.lanes[0] }).collect();
        let full: &'static SystemDesc = Box::leak(Box::new(SystemDesc { waiting, lanes: lanes.leak(), ..*base }));
        open(full, files.root(), &Fake::default()).1
    };
    assert_eq!(all(Waiting::Blocking), []);
    let told = all(Waiting::Polling);
    assert!(
        matches!(told.as_slice(), [(VoidReason::ConditionsUnknown, text)] if text.contains("leave it a core")),
        "{told:?}"
    );
}
