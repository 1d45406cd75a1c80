//! Every policy with every preemption, stages over lanes, tables and jitter, through the simulation that users run: no
//! response exceeds its bound, and under fixed priorities the critical pattern reaches it.
//!
//! `AEGIS_LONG=1` runs a hundred times as many plans, in several processes, since each plan stays in memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::{Load, analyse, is_schedulable};
use aegis_codegen::simulate::{Pattern, TraceOut, simulate, simulate_into};
use aegis_codegen::system::{Lane, System, Task};
use aegis_core::desc::{Policy, Preemption, SystemDesc};
use aegis_core::time::Duration;
use aegis_core::units::Priority;
use aegis_tests::planned::{lane, plan, system, task};
use aegis_tests::replay::{assert_same, named};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

const POLICIES: [Policy; 5] = [
    Policy::RateMonotonic,
    Policy::DeadlineMonotonic,
    Policy::FixedPriority,
    Policy::EarliestDeadlineFirst,
    Policy::TimeTriggered,
];
const PREEMPTIONS: [Preemption; 3] = [Preemption::None, Preemption::Segments, Preemption::Full];

/// How many plans CI runs.
const PLANS: u64 = 10_000;
/// The long run's processes, each with five times as many.
const LONG_PARTS: u64 = 20;
/// Tells a process which part of the long run it is.
const PART: &str = "AEGIS_SIMULATION_KINDS_PART";

fn ns(ns: u64) -> Duration {
    Duration::from_ns(ns)
}

/// One of `count` lanes, each of which waits for all others, twice.
fn random_lane(rng: &mut Rng, count: u64) -> Lane {
    let (dispatch, wakeup) = if rng.bool() { (0, 0) } else { (rng.u64(0..=3 / count), rng.u64(0..=10)) };
    let mut lane = lane("lane", POLICIES[rng.usize(0..5)], dispatch, wakeup);
    lane.preemption = match lane.policy {
        Policy::TimeTriggered => PREEMPTIONS[rng.usize(0..2)],
        _ => PREEMPTIONS[rng.usize(0..3)],
    };
    lane.optimal = lane.policy == Policy::FixedPriority && rng.bool();
    if rng.bool() {
        lane.launch_overhead = ns(rng.u64(0..=2));
        lane.thread_wait = ns(rng.u64(0..=2));
        lane.domain_switch = ns(rng.u64(0..=2));
    }
    lane
}

/// Gives a task what its lane allows: segments, or a region.
fn with_pieces(mut task: Task, preemption: Preemption, rng: &mut Rng) -> Task {
    let wcet = task.wcet.as_ns();
    match preemption {
        Preemption::Segments if wcet > 1 => {
            let first = rng.u64(1..wcet);
            let rest = wcet - first;
            let second = rng.u64(1..=rest);
            let segments = [first, second, rest - second];
            task.segments = segments.into_iter().filter(|segment| *segment > 0).map(ns).collect();
        }
        Preemption::Full if rng.bool() => task.region = ns(rng.u64(1..=wcet)),
        _ => {}
    }
    task.bcet = ns(rng.u64(0..=wcet));
    task
}

/// A random system of up to three lanes, about a third of them with a task of stages.
fn random_system(rng: &mut Rng) -> System {
    let count = rng.u64(1..=3);
    let lanes: Vec<Lane> = (0..count).map(|_| random_lane(rng, count)).collect();
    let scale = [20, 60, 240][rng.usize(0..3)];
    // Time-triggered lanes need a common multiple.
    let harmonic = [scale / 4, scale / 2, scale];
    let mut tasks: Vec<Task> = Vec::new();
    let draw = |on: usize, rng: &mut Rng| {
        let in_table = lanes[on].policy == Policy::TimeTriggered;
        let period = if in_table { harmonic[rng.usize(0..3)] } else { rng.u64(8..=scale) };
        let cost = rng.u64(1..=(period / 4).max(1));
        let jitter = if rng.bool() { 0 } else { rng.u64(0..=if in_table { period / 4 } else { period }) };
        let deadline = rng.u64(period / 2..=3 * period).max(cost);
        (period, cost, jitter, deadline)
    };
    for (on, lane) in lanes.iter().enumerate() {
        for _ in 0..rng.usize(1..=3) {
            let (period, cost, jitter, deadline) = draw(on, rng);
            let mut one = task("task", on, Load::whole(cost, period, deadline, jitter));
            one.phase = ns(rng.u64(0..=period));
            // A slot holds a whole job.
            let in_slot = lane.policy == Policy::TimeTriggered;
            tasks.push(with_pieces(one, if in_slot { Preemption::None } else { lane.preemption }, rng));
        }
        if lane.policy == Policy::TimeTriggered {
            for _ in 0..rng.usize(0..=2) {
                let period = rng.u64(scale / 2..=4 * scale);
                let load = Load::whole(rng.u64(1..=(scale / 8).max(1)), period, period, rng.u64(0..=period / 4));
                let one = Task { submitted: true, ..task("task", on, load) };
                tasks.push(with_pieces(one, lane.preemption, rng));
            }
        }
    }
    let stageable: Vec<usize> = (0..lanes.len()).filter(|on| lanes[*on].policy != Policy::TimeTriggered).collect();
    if rng.u8(0..3) == 0 && !stageable.is_empty() {
        let (period, _, jitter, deadline) = draw(stageable[0], rng);
        let period = period * 2;
        for stage in 0..rng.usize(2..=3) {
            let on = stageable[rng.usize(0..stageable.len())];
            let jitter = if stage == 0 { jitter } else { 0 };
            let mut one =
                task("stage", on, Load::whole(rng.u64(1..=period / 6), period, deadline + 2 * period, jitter));
            one.after = (stage > 0).then(|| tasks.len() - 1);
            tasks.push(with_pieces(one, lanes[on].preemption, rng));
        }
    }
    let count = u16::try_from(tasks.len()).unwrap();
    for (task, priority) in tasks.iter_mut().zip((0..count).rev()) {
        if lanes[task.lane].policy == Policy::FixedPriority && !lanes[task.lane].optimal {
            task.priority = Some(Priority(priority));
        }
    }
    system(lanes, tasks)
}

/// Near a utilization of 1 busy periods are endless.
const HIGHEST: u64 = 930;

/// A lane's utilization in thousandths, overheads included, rounded up.
fn utilization(system: &System, lane: usize) -> u64 {
    let desc = &system.lanes[lane];
    let in_table = desc.policy == Policy::TimeTriggered;
    let overhead = desc.segment_overhead().unwrap().as_ns();
    let tasks = system.tasks.iter().filter(|task| task.lane == lane);
    let cost = |task: &Task| {
        let late = if in_table && !task.submitted { desc.lateness().unwrap().as_ns() } else { 0 };
        late + task.wcet.as_ns() + overhead * u64::try_from(task.segments.len().max(1)).unwrap()
    };
    tasks.map(|task| (cost(task) * 1_000).div_ceil(task.period.as_ns())).sum()
}

/// A random plan that holds; deadlines that a bound exceeds are lengthened to it.
fn random_plan(rng: &mut Rng) -> (System, &'static SystemDesc) {
    loop {
        let mut system = random_system(rng);
        if (0..system.lanes.len()).any(|lane| utilization(&system, lane) > HIGHEST) {
            continue;
        }
        for _ in 0..3 {
            if let Some(desc) = plan(&system) {
                if desc.tasks.iter().all(|task| task.queue <= 65) {
                    return (system, desc);
                }
                break;
            }
            let found = analyse(&system);
            for position in 0..system.tasks.len() {
                if let Some(bound) = found.tasks[position].bound()
                    && !is_schedulable(&system, &found, position)
                {
                    let name = system.tasks[position].name.clone();
                    for task in &mut system.tasks {
                        // Stages share their deadline.
                        if name == "task" || task.name == "stage" {
                            task.deadline = task.deadline.max(bound);
                        }
                    }
                }
            }
        }
    }
}

/// A plan in few words.
fn shown(desc: &SystemDesc) -> String {
    let mut text = String::new();
    for lane in desc.lanes {
        let slots: Vec<(u64, u16)> = lane.slots.iter().map(|slot| (slot.at.as_ns(), slot.task.0)).collect();
        let overheads = (lane.segment_overhead().map(Duration::as_ns), lane.lateness().map(Duration::as_ns));
        text += &format!("\n{} {} {overheads:?} {slots:?}", lane.policy.name(), lane.preemption.name());
    }
    for task in desc.tasks {
        let stage = task.stage.map(|stage| (stage.after.0, stage.earliest.as_ns(), stage.latest.as_ns()));
        let segments: Vec<u64> = task.segments.iter().map(|segment| segment.as_ns()).collect();
        text += &format!(
            "\nlane {} prio {} C {}..{} {segments:?} region {} T {} D {} phase {} J {} R {} {stage:?}",
            task.lane.0,
            task.priority.0,
            task.bcet.as_ns(),
            task.wcet.as_ns(),
            task.region.as_ns(),
            task.period.as_ns(),
            task.deadline.as_ns(),
            task.phase.as_ns(),
            task.jitter.as_ns(),
            task.response_bound.as_ns()
        );
    }
    text
}

#[test]
fn no_plan_of_any_kind_exceeds_a_bound() {
    let part = std::env::var(PART).ok().map(|part| part.parse::<u64>().unwrap());
    if part.is_none() && std::env::var_os("AEGIS_LONG").is_some() {
        return long_run();
    }
    let (first, plans) = part.map_or((0, PLANS), |part| ((part + 1) * 1_000_000, 5 * PLANS));
    let mut seen: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    let mut stages = 0;
    for seed in first..first + plans {
        let mut rng = Rng::with_seed(seed);
        let (system, desc) = random_plan(&mut rng);
        let longest = desc.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
        let length = ns(longest * 8);
        for pattern in [Pattern::Periodic, Pattern::Random { seed }, Pattern::Critical] {
            let observed = simulate(desc, pattern, length).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
            for (task, observed) in desc.tasks.iter().zip(&observed) {
                let lane = &desc.lanes[task.lane.index()];
                let clean = (observed.exceeded, observed.misses, observed.refused) == (0, 0, 0);
                assert!(
                    clean && observed.response <= task.response_bound,
                    "seed {seed}, {pattern:?}: {observed:?} of task {} of {}",
                    task.priority.0,
                    shown(desc)
                );
                let of_gaps = matches!(task.certificate, aegis_core::desc::Certificate::Gaps { .. });
                let where_else = if of_gaps { " in gaps" } else { "" };
                let kind = format!("{} {}{where_else}", lane.policy.name(), lane.preemption.name());
                let counts = seen.entry(kind).or_default();
                counts.0 += 1;
                counts.1 += observed.jobs;
                counts.2 += u64::from(observed.response == task.response_bound);
                stages += u64::from(task.stage.is_some() && observed.jobs > 0);
            }
        }
        drop(system);
    }
    for (kind, (tasks, jobs, tight)) in &seen {
        println!("{kind}: {tasks} tasks, {jobs} jobs, {tight} bounds reached exactly");
        assert!(*tasks > 1_000 && *jobs > 10_000 && *tight > 50, "{kind}");
    }
    assert_eq!(seen.len(), 16);
    println!("{stages} runs of later stages");
    assert!(stages > 1_000);
}

/// A trace that the test can read afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_trace_of_a_simulation_is_replayed_without_a_difference() {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let (mut records, mut decisions) = (0, 0);
    for seed in 0..1_000 {
        let mut rng = Rng::with_seed(seed);
        let desc = named(random_plan(&mut rng).1);
        let longest = desc.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
        for pattern in [Pattern::Periodic, Pattern::Random { seed }] {
            let trace = Shared::default();
            simulate_into(desc, pattern, ns(longest * 8), Some(TraceOut::Lines(Box::new(trace.clone())))).unwrap();
            let text = String::from_utf8(std::mem::take(&mut trace.0.lock().unwrap())).unwrap();
            let same = assert_same(desc, &text);
            assert_eq!(usize::try_from(same.records), Ok(text.lines().count()));
            (records, decisions) = (records + same.records, decisions + same.decisions);
        }
        for lane in desc.lanes {
            *seen.entry(format!("{} {}", lane.policy.name(), lane.preemption.name())).or_default() += 1;
        }
        *seen.entry("stages".to_owned()).or_default() += u64::from(desc.tasks.iter().any(|task| task.stage.is_some()));
    }
    println!("{records} records, {decisions} decisions: the same; lanes and stages: {seen:?}");
    assert!(seen.len() == 15 && seen.values().all(|count| *count > 50), "{seen:?}");
    assert_eq!(
        simulate_into(
            random_plan(&mut Rng::with_seed(0)).1,
            Pattern::Critical,
            ns(1),
            Some(TraceOut::Lines(Box::new(Shared::default())))
        ),
        Err(aegis_codegen::simulate::SimulationError::ManyRuns)
    );
}

/// A process for each part, two at a time.
fn long_run() {
    let binary = std::env::current_exe().unwrap();
    let start = |part: u64| {
        let mut command = std::process::Command::new(&binary);
        command.args(["--exact", "no_plan_of_any_kind_exceeds_a_bound", "--nocapture"]);
        command.env(PART, part.to_string()).spawn().unwrap()
    };
    let parts: Vec<u64> = (0..LONG_PARTS).collect();
    for pair in parts.chunks(2) {
        let running: Vec<_> = pair.iter().map(|part| start(*part)).collect();
        for mut process in running {
            assert!(process.wait().unwrap().success(), "a part of the long run fails");
        }
    }
}

#[test]
fn the_critical_pattern_reaches_fixed_priority_bounds_for_every_preemption() {
    let mut rng = Rng::with_seed(11);
    for preemption in PREEMPTIONS {
        let (mut reached, mut later) = (0, 0);
        while reached < 3_000 {
            let mut only = lane("main", POLICIES[rng.usize(0..2)], 0, 0);
            only.preemption = preemption;
            let count = rng.usize(1..=5);
            let one = |rng: &mut Rng| {
                let period = rng.u64(5..=100);
                let cost = rng.u64(1..=(period * 2 / u64::try_from(count).unwrap()).clamp(1, period));
                let jitter = if rng.bool() { 0 } else { rng.u64(0..=2 * period) };
                let task = task("task", 0, Load::whole(cost, period, 60 * period, jitter));
                Task { bcet: Duration::ZERO, ..with_pieces(task, preemption, rng) }
            };
            let tasks: Vec<Task> = (0..count).map(|_| one(&mut rng)).collect();
            let used: u64 = tasks.iter().map(|task| (task.wcet.as_ns() * 1_000).div_ceil(task.period.as_ns())).sum();
            if used > 950 {
                continue;
            }
            let Some(desc) = plan(&system(vec![only], tasks)) else { continue };
            let observed = simulate(desc, Pattern::Critical, Duration::ZERO).unwrap();
            for (task, observed) in desc.tasks.iter().zip(&observed) {
                assert_eq!(observed.response, task.response_bound, "task {} of {}", task.priority.0, shown(desc));
                let aegis_core::desc::Certificate::FixedPriority { starts, .. } = task.certificate else {
                    panic!("a fixed-priority lane has such certificates")
                };
                later += usize::from(starts.len() > 1);
                reached += 1;
            }
        }
        println!("{}: {reached} bounds reached, {later} with several instances", preemption.name());
        assert!(later > 50);
    }
}
