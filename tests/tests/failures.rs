//! The failure of a fault domain: what others meet while the real dispatcher runs stays within their bounds for it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::failures::{self, Failure};
use aegis_codegen::analysis::{self, Load};
use aegis_codegen::system::{Domain, Process, Restart, System, Task};
use aegis_core::desc::{Answer, LaneDesc, Policy, Preemption, RestartDesc, TaskDesc};
use aegis_core::time::Duration;
use aegis_core::trace::{JobRef, Kind};
use aegis_core::units::DomainId;
use aegis_tests::planned::{lane, plan, system, task, with_domains};
use aegis_tests::simulate::{Again, Failing, Spent, World, arrivals, run_failing};
use fastrand::Rng;

const POLICIES: [Policy; 3] = [Policy::RateMonotonic, Policy::DeadlineMonotonic, Policy::EarliestDeadlineFirst];

fn ns(time: u64) -> Duration {
    Duration::from_ns(time)
}

/// A process that is never started again.
fn process(kill_after: Duration, hand_over: Duration, blackout: Duration) -> Process {
    Process {
        kill_after,
        hand_over,
        blackout,
        heartbeat: None,
        memory: None,
        restart: None,
        meanwhile: None,
        cores: Vec::new(),
    }
}

/// A random system of one to three lanes with one or two domains; a task may have segments, or two stages on two lanes. The first lane
/// may be that of a GPU on which processes have models, and a task may let its domain fail when it overruns.
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
            process(kill_after, ns(rng.u64(0..=2)), blackout)
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
    let domain = |process| Domain { name: "apart".to_owned(), process: Some(process), untrusted: None, span: 0..0 };
    let mut system = with_domains(system(lanes, tasks), processes.into_iter().map(domain).collect());
    share_a_gpu(&mut system, rng);
    for task in system.tasks.iter_mut().filter(|task| task.handed) {
        if rng.u8(0..6) == 0 {
            task.on_overrun = Answer::FailDomain;
        }
    }
    system
}

/// Lets the first lane be a GPU's, if more than one process has tasks there.
fn share_a_gpu(system: &mut System, rng: &mut Rng) {
    let here = || system.tasks.iter().filter(|task| task.lane == 0);
    let processes: std::collections::BTreeSet<_> = here().map(|task| task.domain).collect();
    if processes.len() < 2 || rng.bool() {
        return;
    }
    system.lanes[0].device = Some(0);
    system.lanes[0].blackout = ns(rng.u64(1..=30));
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
    own: u64,
    restored: u64,
    again: u64,
    beyond_the_plan: u64,
    on_a_gpu: u64,
    along: u64,
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
                    again: None,
                    device: device(&system, failure.domain),
                };
                seen.on_a_gpu += u64::from(failing.device.is_some());
                seen.along += u64::from(!failure.along.is_empty());
                let submissions = arrivals(desc, &mut rng, until, trial % 2 == 0);
                let mut world = Any((trial > 1).then(|| rng.fork()));
                let observed = run_failing(desc, (&submissions, &[]), &[failing], until, &mut world);
                seen.runs += 1;
                seen.failed += u64::from(observed.records.iter().any(|(_, kind)| matches!(kind, Kind::Failed { .. })));
                judge(&system, desc.tasks, &failure, &observed.records, &mut seen, seed);
            }
        }
    }
    println!("{held} plans, {seen:?}");
    assert!(seen.failed > 2_000 && seen.later > 2_000, "{seen:?}");
    assert!(seen.nearest > 90 && seen.beyond_the_plan > 100, "{seen:?}: nothing came near its bound");
    assert!(seen.on_a_gpu > 500 && seen.along > 20, "{seen:?}");
}

/// The lane of the GPU that a domain has tasks on, and for how long that serves nobody when it fails.
fn device(system: &System, domain: usize) -> Option<(usize, u64)> {
    let lane = &system.lanes[0];
    let is_there = |task: &Task| task.lane == 0 && task.domain == Some(domain);
    (lane.device.is_some() && system.tasks.iter().any(is_there)).then_some((0, lane.blackout.as_ns()))
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
                let own = failure.restored[position].as_ref();
                seen.own += u64::from(own.is_some());
                let Some(bound) = failure.tasks[position].as_ref().or(own) else { continue };
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
    let process = process(ns(40), Duration::ZERO, ns(4));
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

/// A policy that never gives up, with the least back-off that the analysis accepts, or a little more; `None` where it finds none.
fn with_restarts(mut system: System, rng: &mut Rng) -> Option<System> {
    for domain in &mut system.domains {
        let policy = RestartDesc { max: 16, within: ns(u64::MAX), back_off: ns(1), probation: ns(0) };
        let restart = Restart { policy, blackout: ns(rng.u64(0..=5)), back_off_span: 0..0 };
        domain.process.as_mut()?.restart = Some(restart);
    }
    let domains = system.domains.clone();
    let mut system = with_domains(system, domains);
    // Where nobody else is on the lanes of a domain any back-off will do that is longer than the thread may be busy.
    for domain in &mut system.domains {
        domain.process.as_mut()?.restart.as_mut()?.policy.back_off = ns(1_000 + rng.u64(0..=2) * rng.u64(0..=1));
    }
    let analysis = analysis::analyse(&system);
    let mut least = vec![0; system.domains.len()];
    // In turn the one that is started again soonest, wherever it fails along, too; what is kept does not depend on that.
    for (domain, least) in least.iter_mut().enumerate() {
        let mut system = system.clone();
        for (position, other) in system.domains.iter_mut().enumerate() {
            let back_off = if position == domain { 1 } else { 1_000_000 };
            other.process.as_mut()?.restart.as_mut()?.policy.back_off = ns(back_off);
        }
        let failures = failures::analyse(&system, &analysis);
        let too_soon = failures.iter().filter_map(|failure| failure.too_soon).filter(|found| found.domain == domain);
        *least = too_soon.map(|found| found.least.as_ns()).max().unwrap_or(0);
    }
    for (domain, least) in system.domains.iter_mut().zip(least) {
        if least > 0 {
            domain.process.as_mut()?.restart.as_mut()?.policy.back_off = ns(least + rng.u64(0..=2) * rng.u64(0..=1));
        }
    }
    Some(system)
}

/// Failures of a domain one after the other: some as soon as it is ready again, some before, some later.
fn cycles(system: &System, domain: usize, late: u64, until: u64, rng: &mut Rng) -> Vec<Failing> {
    let process = system.domains[domain].process.as_ref().unwrap();
    let restart = process.restart.as_ref().unwrap();
    let (mut all, mut at) = (Vec::new(), rng.u64(0..=until / 10));
    while at < until {
        let known = at + rng.u64(0..=process.kill_after.as_ns());
        let start = known + restart.policy.back_off.as_ns() + rng.u64(0..=3) * rng.u64(0..=1);
        let ready = start + rng.u64(0..=2 * restart.blackout.as_ns());
        let fails_before = rng.u8(0..5) == 0;
        let next = if fails_before { rng.u64(start..=ready) } else { ready + rng.u64(0..=1) * rng.u64(0..=until / 20) };
        all.push(Failing {
            domain: DomainId(u16::try_from(domain).unwrap()),
            at,
            back_after: process.kill_after.as_ns() + late,
            blackout: process.blackout.as_ns(),
            device: device(system, domain),
            again: Some(Again {
                known,
                start,
                ready: (!fails_before).then_some(ready),
                blackout: restart.blackout.as_ns(),
            }),
        });
        at = next;
    }
    // Nothing follows the last one.
    if let Some(again) = all.last_mut().and_then(|last| last.again.as_mut()) {
        again.ready = Some(again.start);
    }
    all
}

#[test]
fn no_response_exceeds_its_bound_while_a_domain_fails_and_is_started_again_and_again() {
    let plans = if std::env::var_os("AEGIS_LONG").is_some() { 50_000 } else { 1_000 };
    let (mut seen, mut held, mut seed) = (Seen::default(), 0, 1 << 32);
    while held < plans {
        seed += 1;
        let mut rng = Rng::with_seed(seed);
        let drawn = random_system(&mut rng);
        let Some(system) = with_restarts(drawn, &mut rng) else { continue };
        let Some(desc) = plan(&system) else { continue };
        held += 1;
        let analysis = analysis::analyse(&system);
        for failure in failures::analyse(&system, &analysis) {
            assert_eq!(failure.too_soon, None, "seed {seed}: this back-off suffices");
            for trial in 0..4 {
                let until = 60 * desc.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
                let late = system.lanes.iter().map(|lane| lane.wakeup_latency.as_ns()).min().unwrap();
                let failing = cycles(&system, failure.domain, late, until, &mut rng);
                let submissions = arrivals(desc, &mut rng, until, trial % 2 == 0);
                let mut world = Any((trial > 1).then(|| rng.fork()));
                let observed = run_failing(desc, (&submissions, &[]), &failing, until, &mut world);
                seen.runs += 1;
                let count = |is: fn(&Kind) -> bool| observed.records.iter().filter(|(_, kind)| is(kind)).count() as u64;
                seen.failed += count(|kind| matches!(kind, Kind::DomainFailed { .. }));
                seen.restored += count(|kind| matches!(kind, Kind::DomainRestored { .. }));
                seen.again += u64::from(count(|kind| matches!(kind, Kind::Failed { .. })) > 1);
                judge(&system, desc.tasks, &failure, &observed.records, &mut seen, seed);
            }
        }
    }
    println!("{held} plans, {seen:?}");
    assert!(seen.failed > 20_000 && seen.restored > 20_000 && seen.again > 2_000 && seen.own > 20_000, "{seen:?}");
    assert!(seen.nearest > 90 && seen.beyond_the_plan > 100, "{seen:?}: nothing came near its bound");
}

#[test]
fn a_back_off_that_ends_within_a_busy_period_and_a_hang_is_too_short() {
    // As below; W with the failure's 46 ns and the start's 3 is the least L = 49 + 4 ⌈(L + 2) / 50⌉ + 6 ⌈(L + 2) / 100⌉ = 63 ns.
    let lane = lane("lane", Policy::FixedPriority, 0, 2);
    let of = |name, cost, period, rank| {
        let mut own = task(name, 0, Load::whole(cost, period, period, 0));
        own.priority = Some(aegis_core::units::Priority(rank));
        own
    };
    let mut apart = of("apart", 6, 100, 1);
    (apart.domain, apart.handed) = (Some(0), true);
    let found = |back_off| {
        let mut process = process(ns(40), Duration::ZERO, ns(4));
        let policy = RestartDesc { max: 3, within: ns(9_999), back_off: ns(back_off), probation: ns(9_999) };
        process.restart = Some(Restart { policy, blackout: ns(3), back_off_span: 0..0 });
        let domain = Domain { name: "apart".to_owned(), process: Some(process), untrusted: None, span: 0..0 };
        let tasks = vec![Task { deadline: ns(99), ..of("own", 4, 50, 0) }, apart.clone()];
        let system = with_domains(system(vec![lane.clone()], tasks), vec![domain]);
        let analysis = analysis::analyse(&system);
        let [failure] = failures::analyse(&system, &analysis).try_into().unwrap();
        failure
    };
    let short = found(104);
    let too_soon = short.too_soon.unwrap();
    assert_eq!((too_soon.lane, too_soon.busy, too_soon.least), (0, ns(63), ns(63 + 40 + 2)));
    assert_eq!(short.tasks[0], Some(Err(analysis::NoBound::Restart)));
    let enough = found(105);
    // R = J + B + E + C = 2 + (6 − 1 ns) + 49 + 4, by the excess less a nanosecond of blocking.
    assert_eq!((enough.too_soon, &enough.once[..]), (None, &[49][..]));
    assert_eq!(enough.tasks[0], Some(Ok(ns(2 + 5 + 49 + 4))));
    // Its own task meets the start alone: 2 + 3 + 4 + 6.
    assert_eq!(enough.restored, [None, Some(Ok(ns(15)))]);
}

#[test]
fn a_domain_that_an_own_miss_lets_fail_fails_along_where_it_may_be_late() {
    let of = |name, rank, domain: usize, deadline| {
        let mut own = task(name, 0, Load::whole(5, 200, deadline, 0));
        (own.priority, own.domain, own.handed) = (Some(aegis_core::units::Priority(rank)), Some(domain), true);
        own
    };
    let found = |deadline, on_miss| {
        let tasks = vec![of("one", 0, 0, 200), of("two", 1, 1, deadline), of("three", 2, 2, 200)];
        let mut system = system(vec![lane("cpu", Policy::FixedPriority, 1, 2)], tasks);
        let domain = |(name, kill_after): (&str, u64)| Domain {
            name: name.to_owned(),
            process: Some(process(ns(kill_after), Duration::ZERO, ns(4))),
            untrusted: None,
            span: 0..0,
        };
        system.domains = [("one", 40), ("two", 30), ("three", 20)].map(domain).into();
        system.tasks[1].on_miss = on_miss;
        let failure = failures::analyse(&system, &analysis::analyse(&system)).swap_remove(0);
        (failure.along.clone(), failure.once[0], failure.tasks[1].is_some(), failure.tasks[2].unwrap().unwrap())
    };
    // Kept for 40 + 2 + 4 ns once, and then for 30 + 2 + 4 more; `two` responds within 63 ns while `one` fails.
    let ((alone, once, has_bound, before), late) = (found(200, Answer::FailDomain), found(60, Answer::FailDomain));
    assert_eq!((alone, once, has_bound), (vec![], 46, true));
    assert_eq!((late.0, late.1, late.2, late.3), (vec![1], 46 + 36, false, ns(before.as_ns() + 36)));
    // Nothing follows from a miss that nobody answers.
    assert_eq!(found(60, Answer::Continue).1, 46);
}

#[test]
fn on_a_gpu_that_processes_share_a_failure_takes_its_blackout_besides() {
    // The system above, whose lane is a GPU's and serves nobody for 10 ns when a process ends; another process has models there, too.
    let mut gpu = lane("gpu", Policy::FixedPriority, 1, 2);
    (gpu.device, gpu.blackout) = (Some(0), ns(10));
    let of = |name, lane, rank, domain: Option<usize>| {
        let mut own = task(name, lane, Load::whole(5, 200, 200, 0));
        (own.priority, own.domain, own.handed) = (Some(aegis_core::units::Priority(rank)), domain, domain.is_some());
        own
    };
    let tasks = vec![of("one", 0, 0, Some(0)), of("two", 0, 1, Some(1)), of("apart", 1, 0, None)];
    let mut system = system(vec![gpu, lane("cpu", Policy::FixedPriority, 1, 2)], tasks);
    let process = |kill_after, blackout| Some(process(ns(kill_after), Duration::ZERO, ns(blackout)));
    let domain = |name: &str, process| Domain { name: name.to_owned(), process, untrusted: None, span: 0..0 };
    system.domains = vec![domain("one", process(40, 4)), domain("two", process(30, 3))];
    let once = |system: &System| {
        let found = failures::analyse(system, &analysis::analyse(system));
        found.into_iter().map(|failure| (failure.once, failure.along)).collect::<Vec<_>>()
    };
    assert_eq!(once(&system), [(vec![40 + 2 + 4 + 10, 4], vec![]), (vec![30 + 2 + 3 + 10, 3], vec![])]);
    // An overrun of `one` lets its domain fail: then the end of `two` is followed by that of `one`.
    system.tasks[0].on_overrun = Answer::FailDomain;
    assert_eq!(once(&system), [(vec![56, 4], vec![]), (vec![56 + 45, 4 + 3], vec![0])]);
}
