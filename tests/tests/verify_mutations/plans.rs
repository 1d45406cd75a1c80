//! The plan that is mutated: a lane for each policy with each preemption, stages over lanes, regions, a table, and the models of
//! `models.rs`.

use super::models;
use aegis_codegen::analysis::{Load, analyse};
use aegis_codegen::lock::Lock;
use aegis_codegen::plan::{Certificate, Plan};
use aegis_codegen::system::{Lane, Partition, System, Task};
use aegis_codegen::tables;
use aegis_core::desc::{Policy, Preemption, SystemDesc, Waiting};
use aegis_core::time::Duration;
use aegis_core::units::Priority;
use aegis_tests::planned::{lane, lock, system, task};
use fastrand::Rng;
use std::sync::OnceLock;

fn ns(ns: u64) -> Duration {
    Duration::from_ns(ns)
}

fn in_segments(name: &str, lane: usize, segments: &[u64], (period, deadline, jitter): (u64, u64, u64)) -> Task {
    let mut task = task(name, lane, Load::whole(segments.iter().sum(), period, deadline, jitter));
    task.segments = segments.iter().copied().map(ns).collect();
    task.bcet = ns(segments[0]);
    task
}

fn with_region(name: &str, lane: usize, load: Load, region: u64) -> Task {
    let mut task = task(name, lane, load);
    task.region = ns(region);
    task
}

fn lanes() -> Vec<Lane> {
    let main = lane("main", Policy::RateMonotonic, 2, 3);
    let side = lane("side", Policy::FixedPriority, 1, 0);
    let edf = lane("edf", Policy::EarliestDeadlineFirst, 1, 4);
    let mut segmented = lane("segmented", Policy::DeadlineMonotonic, 1, 2);
    segmented.preemption = Preemption::Segments;
    (segmented.launch_overhead, segmented.domain_switch, segmented.thread_wait) = (ns(2), ns(1), ns(1));
    let mut full = lane("full", Policy::FixedPriority, 1, 1);
    full.preemption = Preemption::Full;
    let mut by_segments = lane("edf-segments", Policy::EarliestDeadlineFirst, 1, 1);
    by_segments.preemption = Preemption::Segments;
    by_segments.launch_overhead = ns(1);
    let mut by_regions = lane("edf-full", Policy::EarliestDeadlineFirst, 1, 0);
    by_regions.preemption = Preemption::Full;
    let mut in_table = lane("table", Policy::TimeTriggered, 1, 2);
    in_table.thread_wait = ns(1);
    in_table.preemption = Preemption::Segments;
    let starts = lane("edf-starts", Policy::EarliestDeadlineFirst, 0, 0);
    let mut lanes = vec![main, side, edf, segmented, full, by_segments, by_regions, in_table, starts];
    for lane in &mut lanes {
        // Of times as short as these nothing would be left if each lane waited for all others: they launch, and do not dispatch.
        let parts = [lane.launch_overhead, std::mem::take(&mut lane.dispatch_overhead)];
        lane.launch_overhead = parts.into_iter().try_fold(Duration::ZERO, Duration::checked_add).unwrap();
    }
    for (lane, device) in [(0, 0), (1, 1), (2, 0), (3, 2), (5, 1)] {
        lanes[lane].device = Some(device);
    }
    for (lane, sms, completion) in [(1, 8, Waiting::Polling), (5, 16, Waiting::Blocking), (3, 8, Waiting::Polling)] {
        lanes[lane].partition = Some(Partition { sms, completion, switch: Duration::ZERO });
    }
    lanes
}

fn tasks() -> Vec<Task> {
    let load = Load::whole;
    let mut tasks = vec![
        // Together with the overhead 0.4 + 0.29 + 0.29 of the lane: C answers latest in its second instance.
        task("a", 0, load(98, 250, 400, 0)),
        task("b", 0, load(98, 350, 700, 11)),
        task("c", 0, load(98, 351, 900, 0)),
        task("p", 1, load(7, 40, 60, 25)),
        task("q", 1, load(11, 60, 90, 0)),
        task("x", 2, load(20, 100, 90, 5)),
        task("y", 2, load(35, 170, 150, 0)),
        task("z", 2, load(50, 290, 400, 40)),
        in_segments("s", 3, &[3, 2, 1], (120, 110, 3)),
        in_segments("t", 3, &[5, 9, 6], (200, 190, 0)),
        in_segments("u", 3, &[10, 12, 8], (400, 380, 0)),
        with_region("f", 4, load(10, 70, 60, 2), 0),
        with_region("g", 4, load(30, 180, 150, 0), 7),
        with_region("h", 4, load(20, 400, 390, 0), 5),
        in_segments("e", 5, &[4, 4], (60, 55, 0)),
        in_segments("i", 5, &[5, 9, 6], (120, 110, 5)),
        with_region("j", 6, load(10, 50, 35, 0), 0),
        with_region("k", 6, load(30, 150, 130, 0), 6),
        task("l", 7, load(5, 60, 45, 1)),
        task("m", 7, load(12, 120, 90, 0)),
        task("n", 7, load(6, 60, 60, 0)),
    ];
    for (priority, task) in [(2, 3), (5, 4), (1, 11), (4, 12), (9, 13)] {
        tasks[task].priority = Some(Priority(priority));
    }
    (tasks[18].phase, tasks[19].phase) = (ns(3), ns(130));
    // A task of four stages over three lanes.
    let mut before = None;
    for (stage, (on, wcet, bcet)) in [(3, 5, 3), (4, 6, 2), (6, 4, 4), (3, 2, 1)].into_iter().enumerate() {
        let jitter = if stage == 0 { 7 } else { 0 };
        let mut one = task(&format!("staged.{stage}"), on, load(wcet, 500, 450, jitter));
        one.bcet = ns(bcet);
        one.after = before;
        one.priority = (on == 4).then_some(Priority(7));
        before = Some(tasks.len());
        tasks.push(one);
    }
    tasks
}

/// A small EDF lane of whole jobs of which one needs to say when it has begun.
fn needs_starts() -> Vec<Task> {
    let mut rng = Rng::with_seed(0);
    for _ in 0..10_000 {
        let tasks: Vec<Task> = ["v", "w", "o"]
            .iter()
            .map(|name| {
                let period = rng.u64(12..=60);
                let cost = rng.u64(2..=period / 3);
                task(name, 0, Load::whole(cost, period, rng.u64(period * 3 / 4..=period), rng.u64(0..=2)))
            })
            .collect();
        let alone = system(vec![lane("edf", Policy::EarliestDeadlineFirst, 0, 0)], tasks.clone());
        let starts = lock(&alone).map(|lock| starts(&lock.plan));
        if starts.is_some_and(|starts| starts >= 2) {
            return tasks.into_iter().map(|task| Task { lane: 8, ..task }).collect();
        }
    }
    panic!("no small EDF set needs starts")
}

/// How many starts the EDF certificates of a plan have.
pub(crate) fn starts(plan: &Plan) -> usize {
    let starts = plan.tasks.iter().map(|task| match &task.certificate {
        Certificate::Edf { starts_ns } => starts_ns.len(),
        _ => 0,
    });
    starts.sum()
}

fn vehicle() -> System {
    let mut tasks = tasks();
    tasks.extend(needs_starts());
    let mut vehicle = system(lanes(), tasks);
    // In the gaps of the table.
    for (name, segments, times) in
        [("ask", [3, 2], (400, 300, 2)), ("tell", [4, 3], (500, 480, 0)), ("learn", [2, 6], (450, 449, 0))]
    {
        vehicle.tasks.push(Task { submitted: true, ..in_segments(name, 7, &segments, times) });
    }
    // A short one on the lane of jobs in segments, more important than all of them.
    vehicle.tasks.push(task("short", 3, Load::whole(2, 100, 60, 0)));
    let short = vehicle.tasks.len() - 1;
    vehicle.models = models::models();
    for (model, task) in [0, 1, 3, 5, 6, 8, short, 9, 14, 15].into_iter().enumerate() {
        vehicle.tasks[task].model = Some(model);
    }
    vehicle.devices = models::devices();
    vehicle.levels = models::levels();
    vehicle
}

/// The plan with its proofs.
pub(crate) fn good() -> Lock {
    static GOOD: OnceLock<Lock> = OnceLock::new();
    let plan = || {
        let vehicle = vehicle();
        lock(&vehicle).unwrap_or_else(|| {
            let analysis = analyse(&vehicle);
            let bounds =
                vehicle.tasks.iter().zip(&analysis.tasks).map(|(task, found)| {
                    (task.name.as_str(), task.deadline.as_ns(), found.bound().map(Duration::as_ns))
                });
            panic!("the vehicle does not hold: {:?}", bounds.collect::<Vec<_>>())
        })
    };
    GOOD.get_or_init(plan).clone()
}

/// The descriptors of a plan, also of one that the lock could not hold, because TOML's integers end at 2⁶³ − 1; `None`
/// where it names what this version does not know.
pub(crate) fn try_descriptors(plan: Plan) -> Option<&'static SystemDesc> {
    let mut lock = good();
    lock.plan = plan;
    tables::leak(&lock).ok()
}

/// The descriptors of a plan whose names are all known.
pub(crate) fn descriptors(plan: Plan) -> &'static SystemDesc {
    try_descriptors(plan).unwrap()
}
