//! Random plans through the real dispatcher: no response above its bound, no miss, no full queue; and the bounds are
//! reached.
//!
//! `AEGIS_LONG=1 cargo test -p aegis-tests --test simulation` runs a million plans instead of ten thousand. Plans live
//! until their process ends, so the long run starts a process for each part.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

use aegis_codegen::analysis::{Load, analyse};
use aegis_codegen::system::System;
use aegis_core::desc::{Answer, LaneDesc, Policy, Release, SystemDesc, TaskDesc};
use aegis_core::time::Duration;
use aegis_core::trace::Kind;
use aegis_core::units::Priority;
use aegis_tests::planned::{lane, plan, system, task, with_tasks};
use aegis_tests::simulate::{Observed, QUEUE, Spent, Submission, World, Worst, arrivals, run};
use fastrand::Rng;
use std::collections::HashMap;

/// Plans of an ordinary run.
const PLANS: u64 = 10_000;
/// Processes of a long run; each runs ten times [`PLANS`].
const LONG_PARTS: u64 = 10;
/// Names the part of a long run that a process runs.
const PART: &str = "AEGIS_SIMULATION_PART";

/// The highest utilization in percent: above it busy periods hardly end. The oracle's tests have such sets.
const HIGHEST: u64 = 98;

const POLICIES: [Policy; 4] =
    [Policy::RateMonotonic, Policy::DeadlineMonotonic, Policy::FixedPriority, Policy::EarliestDeadlineFirst];

/// Anything that the plan permits.
struct Random {
    rng: Rng,
}

impl World for Random {
    fn spend(&mut self, task: &TaskDesc, lane: &LaneDesc) -> Spent {
        let overhead = self.rng.u64(0..=lane.dispatch_overhead.as_ns());
        let before = self.rng.u64(0..=overhead);
        let wcet = task.wcet.as_ns();
        let execution = if self.rng.bool() { wcet } else { self.rng.u64(1..=wcet) };
        Spent { before, execution, after: overhead - before }
    }

    fn wake(&mut self, due: u64, latest: u64) -> u64 {
        if self.rng.bool() { latest } else { self.rng.u64(due..=latest) }
    }
}

/// A random system of 1 to 3 lanes and 1 to 6 tasks, whose tasks mostly fit.
fn random_system(rng: &mut Rng) -> System {
    let count = rng.u64(1..=3);
    let lanes: Vec<_> = (0..count)
        .map(|_| {
            // Each lane waits for all others, twice.
            let overheads = if rng.bool() { (0, 0) } else { (rng.u64(0..=5 / count), rng.u64(0..=30)) };
            lane("lane", POLICIES[rng.usize(0..4)], overheads.0, overheads.1)
        })
        .collect();
    let count = rng.usize(lanes.len()..=6);
    let scale = [20, 100, 1_000][rng.usize(0..3)];
    let mut tasks = Vec::new();
    for index in 0..count {
        // Every lane has a task.
        let on = if index < lanes.len() { index } else { rng.usize(0..lanes.len()) };
        let period = rng.u64(5..=scale);
        let cost = rng.u64(1..=(period / 3).max(1));
        let jitter = if rng.bool() { 0 } else { rng.u64(0..=period + period / 2) };
        let deadline = rng.u64(period / 2..=4 * period).max(cost);
        let mut task = task("task", on, Load::whole(cost, period, deadline, jitter));
        task.phase = Duration::from_ns(rng.u64(0..=period));
        task.budget = Duration::from_ns(if rng.bool() { cost } else { rng.u64(1..=cost) });
        task.on_overrun = if rng.bool() { Answer::Continue } else { Answer::SkipNext };
        if lanes[on].policy == Policy::FixedPriority {
            task.priority = Some(Priority(u16::try_from(count - index).unwrap()));
        }
        tasks.push(task);
    }
    system(lanes, tasks)
}

/// A random plan that holds; deadlines that a fixed-priority bound exceeds are lengthened to it.
fn random_plan(rng: &mut Rng) -> &'static SystemDesc {
    let fits = |desc: &&SystemDesc| desc.tasks.iter().all(|task| usize::from(task.queue) <= QUEUE);
    loop {
        let mut system = random_system(rng);
        if (0..system.lanes.len()).any(|lane| utilization(&system, lane) > HIGHEST) {
            continue;
        }
        if let Some(desc) = plan(&system).filter(fits) {
            return desc;
        }
        let found = analyse(&system).tasks;
        for (task, found) in system.tasks.iter_mut().zip(found) {
            if let Some(bound) = found.bound() {
                task.deadline = task.deadline.max(bound);
            }
        }
        if let Some(desc) = plan(&system).filter(fits) {
            return desc;
        }
    }
}

/// A lane's utilization in percent, overheads included, rounded up.
fn utilization(system: &System, lane: usize) -> u64 {
    let overhead = system.lanes[lane].dispatch_overhead.as_ns();
    let tasks = system.tasks.iter().filter(|task| task.lane == lane);
    tasks
        .map(|task| ((task.wcet.as_ns() + overhead) * 100_000).div_ceil(task.period.as_ns()))
        .sum::<u64>()
        .div_ceil(1_000)
}

/// The plan with each task's releases from the timer or from the application, at random.
fn with_random_releases(desc: &'static SystemDesc, rng: &mut Rng) -> &'static SystemDesc {
    let release =
        |task: &TaskDesc| TaskDesc { release: if rng.bool() { Release::Timer } else { Release::Submitted }, ..*task };
    let tasks = desc.tasks.iter().map(release).collect();
    with_tasks(desc, tasks)
}

/// What must hold of every run of a proven plan.
fn check(desc: &SystemDesc, observed: &Observed) {
    assert_eq!(observed.faults(), [], "{desc:#?}");
    let mut started = HashMap::new();
    let mut last = 0;
    for (_, kind) in &observed.records {
        match kind {
            Kind::Started { job, lane } => {
                assert!(started.insert(job.request, *lane).is_none(), "{job:?} starts twice")
            }
            Kind::Completed { job, lane, began, ended, response, .. } => {
                assert_eq!(started.remove(&job.request).as_ref(), Some(lane), "{job:?} ends elsewhere than it started");
                assert!(began <= ended && *response <= desc.tasks[job.task.index()].response_bound);
            }
            Kind::Submitted { job, .. } => {
                assert_eq!(job.request, last + 1, "requests are counted without gaps");
                last = job.request;
            }
            _ => {}
        }
    }
    assert!(started.is_empty(), "{started:?} never end");
}

#[derive(Default)]
struct Totals {
    jobs: usize,
    overruns: usize,
    tight: usize,
}

/// One random plan, run twice: at random, and with everything at its worst.
fn one(seed: u64, totals: &mut Totals) {
    let mut rng = Rng::with_seed(seed);
    let desc = random_plan(&mut rng);
    let desc = with_random_releases(desc, &mut rng);
    let longest = desc.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
    let until = longest * rng.u64(4..=12);
    for eager in [false, true] {
        let submissions = arrivals(desc, &mut rng, until, eager);
        let observed = if eager {
            run(desc, &submissions, until, &mut Worst)
        } else {
            run(desc, &submissions, until, &mut Random { rng: rng.fork() })
        };
        check(desc, &observed);
        totals.jobs += observed.completed();
        totals.overruns += observed.records.iter().filter(|(_, kind)| matches!(kind, Kind::Overran { .. })).count();
        let bounds = (0u16..).zip(desc.tasks).map(|(index, task)| (observed.worst(index), task.response_bound.as_ns()));
        totals.tight += bounds.filter(|(worst, bound)| worst == bound).count();
    }
}

#[test]
fn no_random_plan_exceeds_a_bound() {
    let part = std::env::var(PART).ok().map(|part| part.parse::<u64>().unwrap());
    if part.is_none() && std::env::var_os("AEGIS_LONG").is_some() {
        return long_run();
    }
    let (first, plans) = part.map_or((0, PLANS), |part| ((part + 1) * 1_000_000, 10 * PLANS));
    let mut totals = Totals::default();
    for seed in first..first + plans {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one(seed, &mut totals)));
        if let Err(panic) = caught {
            println!("the plan of seed {seed} fails");
            std::panic::resume_unwind(panic);
        }
    }
    let Totals { jobs, overruns, tight } = totals;
    println!("{plans} plans, {jobs} jobs, {overruns} overruns, {tight} bounds reached exactly");
    assert!(jobs > 100_000 && overruns > 1_000 && tight > 100);
}

/// A process for each part, two at a time.
fn long_run() {
    let binary = std::env::current_exe().unwrap();
    let start = |part: u64| {
        let mut command = std::process::Command::new(&binary);
        command.args(["--exact", "no_random_plan_exceeds_a_bound", "--nocapture"]);
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

/// The pattern that the analysis calls critical for `own`: its longest blocker a nanosecond before all that goes before
/// it, each late by its jitter and then as often as it may.
fn critical(desc: &SystemDesc, own: usize, until: u64) -> Vec<Submission> {
    let base = desc.tasks.iter().map(|task| task.jitter.as_ns()).max().unwrap() + 1;
    let mut pattern = Vec::new();
    for (position, task) in (0u16..).zip(desc.tasks.iter()).take(own + 1) {
        let (period, jitter) = (task.period.as_ns(), task.jitter.as_ns());
        let arrivals = (0..).map(|k| base - jitter + k * period).take_while(|arrival| *arrival <= until);
        pattern.extend(arrivals.map(|arrival| Submission { seen: arrival.max(base), task: position, arrival }));
    }
    let less_important = (0u16..).zip(desc.tasks).skip(own + 1);
    if let Some((task, desc)) = less_important.max_by_key(|(_, task)| task.wcet)
        && desc.wcet.as_ns() > 1
    {
        pattern.push(Submission { seen: base - 1, task, arrival: base - 1 });
    }
    pattern.sort_unstable();
    pattern
}

#[test]
fn the_critical_pattern_reaches_each_fixed_priority_bound_exactly() {
    let mut rng = Rng::with_seed(7);
    let (mut reached, mut later) = (0, 0);
    while reached < 20_000 {
        let policy = POLICIES[rng.usize(0..2)];
        let count = rng.usize(1..=5);
        let load = |rng: &mut Rng| {
            let period = rng.u64(5..=100);
            let cost = rng.u64(1..=(period * 2 / u64::try_from(count).unwrap()).clamp(1, period));
            let jitter = if rng.bool() { 0 } else { rng.u64(0..=2 * period) };
            Load::whole(cost, period, 60 * period, jitter)
        };
        let loads: Vec<Load> = (0..count).map(|_| load(&mut rng)).collect();
        let tasks = loads.iter().map(|load| task("task", 0, *load)).collect();
        let system = system(vec![lane("main", policy, 0, 0)], tasks);
        if utilization(&system, 0) > HIGHEST {
            continue;
        }
        let Some(desc) = plan(&system) else { continue };
        let submitted = |task: &TaskDesc| TaskDesc { release: Release::Submitted, ..*task };
        let desc = with_tasks(desc, desc.tasks.iter().map(submitted).collect());
        for (own, task) in desc.tasks.iter().enumerate() {
            let aegis_core::desc::Certificate::FixedPriority { busy_period, starts, .. } = task.certificate else {
                panic!("a fixed-priority lane has such certificates")
            };
            let until = busy_period.as_ns() + 500;
            let observed = run(desc, &critical(desc, own, until), until, &mut Worst);
            check(desc, &observed);
            let worst = observed.worst(u16::try_from(own).unwrap());
            assert_eq!(worst, task.response_bound.as_ns(), "task {own} of {loads:?}");
            reached += 1;
            let first = starts[0].as_ns() + task.wcet.as_ns() + task.jitter.as_ns();
            later += usize::from(first < worst);
        }
    }
    println!("{reached} bounds reached, {later} of them by a later instance");
    assert!(later > 50);
}
