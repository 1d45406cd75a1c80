//! The failure of a fault domain: what others meet while the real dispatcher runs stays within their bounds for it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::failures::{self, Failure};
use aegis_codegen::analysis::{self, Load};
use aegis_codegen::system::{Domain, Process, System, Task};
use aegis_core::desc::{LaneDesc, Policy, Preemption, TaskDesc};
use aegis_core::time::Duration;
use aegis_core::trace::{JobRef, Kind};
use aegis_core::units::DomainId;
use aegis_tests::planned::{lane, plan, system, task};
use aegis_tests::simulate::{Failing, Spent, World, arrivals, run_failing};
use fastrand::Rng;

const POLICIES: [Policy; 3] = [Policy::RateMonotonic, Policy::DeadlineMonotonic, Policy::EarliestDeadlineFirst];

fn ns(time: u64) -> Duration {
    Duration::from_ns(time)
}

/// A random system of one to three lanes with one or two domains; a task may have segments, or two stages on two lanes.
fn random_system(rng: &mut Rng) -> System {
    let count = rng.usize(1..=3);
    let lanes: Vec<_> = (0..count)
        .map(|_| {
            let mut lane = lane("lane", POLICIES[rng.usize(0..3)], rng.u64(0..=1), rng.u64(0..=6));
            lane.preemption = if rng.bool() { Preemption::Segments } else { Preemption::None };
            lane
        })
        .collect();
    let processes: Vec<Process> = (0..rng.usize(1..=2))
        .map(|_| {
            let (kill_after, blackout) = (ns(rng.u64(1..=40)), ns(rng.u64(0..=4)));
            Process { kill_after, hand_over: ns(rng.u64(0..=2)), blackout, heartbeat: None, memory: None }
        })
        .collect();
    let mut tasks: Vec<Task> = Vec::new();
    while tasks.len() < rng.usize(count + 1..=5) {
        let on = tasks.len() % count;
        let period = rng.u64(20..=120);
        let cost = rng.u64(1..=(period / 6).max(1));
        let load = Load::whole(cost, period, rng.u64(period / 2..=2 * period), rng.u64(0..=6));
        let mut own = task("task", on, load);
        let domain = rng.usize(0..=processes.len());
        if let Some(process) = processes.get(domain) {
            (own.domain, own.handed, own.hand_over) = (Some(domain), true, process.hand_over);
        }
        let pieces = if lanes[on].preemption == Preemption::Segments { rng.u64(1..=3).min(cost) } else { 1 };
        let over = own.hand_over.as_ns();
        if pieces > 1 {
            let each = |number| cost / pieces + u64::from(number < cost % pieces) + over;
            own.segments = (0..pieces).map(|number| ns(each(number))).collect();
            own.hand_over = ns(over * pieces);
        }
        own.wcet = ns(cost + own.hand_over.as_ns());
        own.budget = own.wcet;
        let staged = own.domain.is_none() && rng.u8(0..4) == 0;
        own.submitted = !staged && rng.u8(0..4) == 0;
        own.phase = ns(if own.submitted { 0 } else { rng.u64(0..=period) });
        tasks.push(own.clone());
        if staged {
            let after = Some(tasks.len() - 1);
            let on = rng.usize(0..count);
            let load = Load::whole(rng.u64(1..=(period / 8).max(1)), period, own.deadline.as_ns(), 0);
            tasks.push(Task { after, phase: own.phase, ..task("later", on, load) });
        }
    }
    let mut system = system(lanes, tasks);
    let domain = |process| Domain { name: "apart".to_owned(), process: Some(process), untrusted: None, span: 0..0 };
    system.domains = processes.into_iter().map(domain).collect();
    system
}

/// At its worst, or anything that the plan allows.
struct Any(Option<Rng>);

impl World for Any {
    fn spend(&mut self, task: &TaskDesc, lane: &LaneDesc) -> Spent {
        let worst = Spent { before: lane.segment_overhead().unwrap().as_ns(), ..Spent::worst(task, lane) };
        let Some(rng) = &mut self.0 else { return worst };
        Spent { execution: rng.u64(1..=worst.execution), before: rng.u64(0..=worst.before), ..worst }
    }

    fn wake(&mut self, due: u64, latest: u64) -> u64 {
        self.0.as_mut().map_or(latest, |rng| rng.u64(due..=latest))
    }
}

/// What was seen of all runs.
#[derive(Default, Debug)]
struct Seen {
    runs: u64,
    failed: u64,
    later: u64,
    nearest: u64,
    beyond_the_plan: u64,
}

#[test]
fn no_response_exceeds_its_bound_for_the_failure_of_another_domain() {
    let plans = if std::env::var_os("AEGIS_LONG").is_some() { 100_000 } else { 1_500 };
    let (mut seen, mut held, mut seed) = (Seen::default(), 0, 0);
    while held < plans {
        seed += 1;
        let mut rng = Rng::with_seed(seed);
        let system = random_system(&mut rng);
        let Some(desc) = plan(&system) else { continue };
        held += 1;
        let analysis = analysis::analyse(&system);
        for failure in failures::analyse(&system, &analysis) {
            let process = system.domains[failure.domain].process.clone().unwrap();
            for trial in 0..4 {
                let until = 30 * desc.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
                let late = system.lanes.iter().map(|lane| lane.wakeup_latency.as_ns()).min().unwrap();
                let failing = Failing {
                    domain: DomainId(u16::try_from(failure.domain).unwrap()),
                    at: rng.u64(0..=until / 2),
                    back_after: process.kill_after.as_ns() + late,
                    blackout: process.blackout.as_ns(),
                };
                let submissions = arrivals(desc, &mut rng, until, trial % 2 == 0);
                let mut world = Any((trial > 1).then(|| rng.fork()));
                let observed = run_failing(desc, (&submissions, &[]), Some(failing), until, &mut world);
                seen.runs += 1;
                seen.failed += u64::from(observed.records.iter().any(|(_, kind)| matches!(kind, Kind::Failed { .. })));
                judge(&system, desc.tasks, &failure, &observed.records, &mut seen, seed);
            }
        }
    }
    println!("{held} plans, {seen:?}");
    assert!(seen.failed > 2_000 && seen.later > 2_000, "{seen:?}");
    assert!(seen.nearest > 90 && seen.beyond_the_plan > 100, "{seen:?}: nothing came near its bound");
}

/// Compares what the tasks of other domains did with their bounds; `tasks` are in the plan's order.
fn judge(
    system: &System,
    tasks: &'static [TaskDesc],
    failure: &Failure,
    records: &[(u64, Kind)],
    seen: &mut Seen,
    seed: u64,
) {
    // The plan's order: lanes, then the priorities that the analysis gave.
    let order: Vec<usize> = {
        let found = analysis::analyse(system);
        let mut order: Vec<usize> = (0..system.tasks.len()).collect();
        order.sort_by_key(|task| (system.tasks[*task].lane, found.tasks[*task].priority.0));
        order
    };
    for (_, kind) in records {
        match kind {
            Kind::Completed { job, response, .. } => {
                let position = order[job.task.index()];
                let Some(bound) = &failure.tasks[position] else { continue };
                seen.later += 1;
                seen.beyond_the_plan += u64::from(*response > tasks[job.task.index()].response_bound);
                let Ok(bound) = bound else { continue };
                assert!(response <= bound, "seed {seed}: {response:?} > {bound:?} of {job:?} in {system:#?}");
                seen.nearest = seen.nearest.max(response.as_ns() * 100 / bound.as_ns().max(1));
            }
            Kind::Missed { job: JobRef { task, .. }, .. } | Kind::Rejected { task, .. } => {
                let position = order[task.index()];
                assert_ne!(failure.survives(system, position), Some(true), "seed {seed}: {kind:?} in {system:#?}");
            }
            _ => {}
        }
    }
}

#[test]
fn the_failure_takes_what_the_process_is_allowed_to_take_once() {
    // Whole jobs by fixed priorities: C = 3 + 1 and 5 + 1, the second in a domain that is killed after 40 ns.
    let lane = lane("lane", Policy::FixedPriority, 1, 2);
    let of = |name, cost, period, rank| {
        let mut own = task(name, 0, Load::whole(cost, period, period, 0));
        own.priority = Some(aegis_core::units::Priority(rank));
        own
    };
    let mut apart = of("apart", 5, 100, 1);
    (apart.domain, apart.handed) = (Some(0), true);
    let mut system = system(vec![lane], vec![of("own", 3, 50, 0), apart]);
    let process =
        Process { kill_after: ns(40), hand_over: Duration::ZERO, blackout: ns(4), heartbeat: None, memory: None };
    system.domains = vec![Domain { name: "apart".to_owned(), process: Some(process), untrusted: None, span: 0..0 }];
    let analysis = analysis::analyse(&system);
    let [failure] = failures::analyse(&system, &analysis).try_into().unwrap();
    // The lane's wake-up latency, and what the end of the process takes.
    assert_eq!(failure.once, [40 + 2 + 4]);
    // R = J + B + E + C = 2 + 5 + 46 + 4: longer than its period, so still in time only with a longer deadline.
    assert_eq!(failure.tasks, [Some(Ok(ns(57))), None]);
    assert_eq!((failure.survives(&system, 0), failure.survives(&system, 1)), (Some(false), None));
    system.tasks[0].deadline = ns(57);
    let failure = &failures::analyse(&system, &analysis)[0];
    assert_eq!(failure.survives(&system, 0), Some(true));
    // Two of its jobs may wait then, and the plan has room for them.
    let desc = plan(&system).unwrap();
    assert_eq!(desc.tasks[0].queue, 2);
}
