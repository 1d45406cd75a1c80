//! Modes: random proven plans through the real dispatcher while modes change at random, every number of a mode's proof changed, and
//! what a manifest with modes says.
//!
//! `AEGIS_LONG=1` runs a hundred times as many plans.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

use aegis_codegen::analysis::modes::{alone, worst};
use aegis_codegen::analysis::{Load, analyse, is_schedulable};
use aegis_codegen::check::{Options, check};
use aegis_codegen::lock::Lock;
use aegis_codegen::plan::{Certificate, Plan};
use aegis_codegen::simulate::{Observed, Pattern, simulate, simulate_modes};
use aegis_codegen::system::{Lane, Mode, System, Task};
use aegis_codegen::tables;
use aegis_core::ModeId;
use aegis_core::desc::{Answer, Policy, Preemption, SystemDesc};
use aegis_core::time::Duration;
use aegis_core::units::Priority;
use aegis_core::verify::{Violation, verify};
use aegis_tests::planned::{lane, lock, plan, system, task, with_modes};
use fastrand::Rng;

const POLICIES: [Policy; 5] = [
    Policy::RateMonotonic,
    Policy::DeadlineMonotonic,
    Policy::FixedPriority,
    Policy::EarliestDeadlineFirst,
    Policy::TimeTriggered,
];
const PREEMPTIONS: [Preemption; 3] = [Preemption::None, Preemption::Segments, Preemption::Full];

/// How many plans CI runs.
const PLANS: u64 = 500;

fn ns(ns: u64) -> Duration {
    Duration::from_ns(ns)
}

/// One of `count` lanes, each of which waits for all others, twice.
fn random_lane(rng: &mut Rng, count: u64) -> Lane {
    let (dispatch, wakeup) = if rng.bool() { (0, 0) } else { (rng.u64(0..=3 / count), rng.u64(0..=10)) };
    let mut lane = lane("lane", POLICIES[rng.usize(0..5)], dispatch, wakeup);
    if lane.policy != Policy::TimeTriggered {
        lane.preemption = PREEMPTIONS[rng.usize(0..3)];
    }
    if rng.bool() {
        (lane.launch_overhead, lane.thread_wait) = (ns(rng.u64(0..=2)), ns(rng.u64(0..=2)));
    }
    lane
}

/// Gives a task what its lane allows: segments, or a region.
fn with_pieces(mut task: Task, preemption: Preemption, rng: &mut Rng) -> Task {
    let wcet = task.wcet.as_ns();
    match preemption {
        Preemption::Segments if wcet > 1 => {
            let first = rng.u64(1..wcet);
            task.segments = vec![ns(first), ns(wcet - first)];
        }
        Preemption::Full if rng.bool() => task.region = ns(rng.u64(1..=wcet)),
        _ => {}
    }
    task.bcet = ns(rng.u64(0..=wcet));
    task
}

/// A system of up to three lanes with two to four modes; tasks of tables are in all of them.
fn random_system(rng: &mut Rng) -> System {
    let count = rng.u64(1..=3);
    let lanes: Vec<Lane> = (0..count).map(|_| random_lane(rng, count)).collect();
    let scale = [20, 60, 240][rng.usize(0..3)];
    let mut tasks: Vec<Task> = Vec::new();
    for (on, lane) in lanes.iter().enumerate() {
        let in_table = lane.policy == Policy::TimeTriggered;
        for _ in 0..rng.usize(1..=5) {
            let period = if in_table { scale / (1 << rng.u8(0..3)) } else { rng.u64(8..=scale.max(9)) };
            let cost = rng.u64(1..=(period / 4).max(1));
            let jitter = if rng.bool() { 0 } else { rng.u64(0..=if in_table { period / 4 } else { period }) };
            let deadline = rng.u64(period / 2..=3 * period).max(cost);
            let mut one = task("task", on, Load::whole(cost, period, deadline, jitter));
            one.phase = ns(rng.u64(0..=period));
            one.submitted = !in_table && rng.bool();
            if one.submitted {
                one.phase = Duration::ZERO;
            }
            if rng.u8(0..4) == 0 {
                one.budget = ns(rng.u64(1..=cost));
                one.on_overrun = Answer::SwitchMode(ModeId(rng.u16(0..2)));
            }
            tasks.push(with_pieces(one, lane.preemption, rng));
        }
    }
    let count = u16::try_from(tasks.len()).unwrap();
    for (task, priority) in tasks.iter_mut().zip((0..count).rev()) {
        if lanes[task.lane].policy == Policy::FixedPriority {
            task.priority = Some(Priority(priority));
        }
    }
    let in_table: Vec<bool> = tasks.iter().map(|task| lanes[task.lane].policy == Policy::TimeTriggered).collect();
    let mut members: Vec<Vec<usize>> = (0..rng.usize(2..=4))
        .map(|_| (0..tasks.len()).filter(|task| in_table[*task] || rng.bool()).collect())
        .collect();
    for task in 0..tasks.len() {
        if !members.iter().any(|own| own.contains(&task)) {
            let at = rng.usize(0..members.len());
            members[at].push(task);
            members[at].sort_unstable();
        }
    }
    members.retain(|own| !own.is_empty());
    for task in &mut tasks {
        // The modes that overruns ask for are those that are left.
        if let Answer::SwitchMode(mode) = task.on_overrun
            && mode.index() >= members.len()
        {
            task.on_overrun = Answer::Continue;
        }
    }
    let mode = |(number, tasks)| Mode { name: format!("m{number}"), tasks, span: 0..0 };
    with_modes(system(lanes, tasks), members.into_iter().enumerate().map(mode).collect())
}

/// A random plan that holds; deadlines that a bound exceeds are lengthened to it.
fn random_plan(rng: &mut Rng) -> (System, &'static SystemDesc) {
    loop {
        let mut system = random_system(rng);
        let found = analyse(&system);
        if found.lanes.iter().any(|lane| lane.busy_period.is_err() || lane.utilization_ppm > 980_000) {
            continue;
        }
        for (task, found) in system.tasks.iter_mut().zip(&found.tasks) {
            if let Some(bound) = found.bound() {
                task.deadline = task.deadline.max(bound);
            }
        }
        let fits = |task: &Task| task.deadline.as_ns() / task.period.as_ns() < 64;
        if !system.tasks.iter().all(fits) {
            continue;
        }
        if let Some(desc) = plan(&system) {
            return (system, desc);
        }
    }
}

fn assert_within(system: &System, seen: &[Observed]) {
    for (task, seen) in system.tasks.iter().zip(seen) {
        assert_eq!((seen.exceeded, seen.misses, seen.refused), (0, 0, 0), "{}: {seen:?} of {system:#?}", task.name);
    }
}

#[test]
fn no_response_exceeds_the_modes_that_held_and_no_change_its_bound() {
    let plans = if std::env::var_os("AEGIS_LONG").is_some() { PLANS * 100 } else { PLANS };
    let (mut jobs, mut changes, mut nearest, mut nearest_change) = (0, 0, 0, 0);
    let (mut full, mut reached) = (0_u64, 0_u64);
    for seed in 0..plans {
        let mut rng = Rng::with_seed(seed);
        let (system, desc) = random_plan(&mut rng);
        let span = desc.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
        let leaves = desc.modes.iter().map(|mode| mode.leaves.as_ns()).max().unwrap();
        let seen = simulate_modes(desc, Pattern::Random { seed }, ns(100 * (span + leaves)), None).unwrap();
        assert_within(&system, &seen.tasks);
        jobs += seen.tasks.iter().map(|task| task.jobs).sum::<u64>();
        for (mode, seen) in desc.modes.iter().zip(&seen.modes) {
            assert_eq!(seen.late, 0, "{}: {seen:?} of {:?} in {system:#?}", mode.name, mode.leaves);
            changes += seen.left;
            nearest_change = nearest_change.max(seen.longest.as_ns() * 100 / mode.leaves.as_ns().max(1));
        }
        for (task, seen) in desc.tasks.iter().zip(&seen.tasks) {
            nearest = nearest.max(seen.response.as_ns() * 100 / task.response_bound.as_ns());
        }
        // Each mode by itself in its worst pattern reaches the bound under fixed priorities, so it is the mode's own, not a
        // greater one.
        let critical = simulate(desc, Pattern::Critical, Duration::ZERO).unwrap();
        assert_within(&system, &critical);
        for (task, seen) in desc.tasks.iter().zip(&critical) {
            if desc.lanes[task.lane.index()].policy.is_fixed_priority() {
                full += 1;
                reached += u64::from(seen.response == task.response_bound);
            }
        }
    }
    println!(
        "{plans} plans, {jobs} jobs, {changes} changes; nearest to a bound: {nearest} % of a response's, {nearest_change} % of \
         a change's; {reached} of {full} bounds reached in the critical pattern"
    );
    assert!(jobs > plans * 1_000 && changes > plans * 10, "{jobs} jobs, {changes} changes");
    assert!(nearest > 90 && nearest_change > 80, "{nearest} % and {nearest_change} %: nothing came near its bound");
    assert!(reached * 10 > full * 9, "{reached} of {full} bounds are reached");
}

#[test]
fn a_mode_is_analysed_as_a_system_of_its_own() {
    for seed in 0..500 {
        let system = random_system(&mut Rng::with_seed(seed));
        let whole = analyse(&system);
        assert_eq!(whole.modes.len(), system.modes.len());
        for (mode, found) in system.modes.iter().zip(&whole.modes) {
            // Fewer tasks have the same order, whatever their places in it are called.
            let again = analyse(&alone(&system, mode));
            for (task, (one, other)) in found.analysis.tasks.iter().zip(&again.tasks).enumerate() {
                assert_eq!(one.bound(), other.bound(), "task {task} of {} in {system:#?}", mode.name);
            }
        }
        for (position, found) in whole.tasks.iter().enumerate() {
            let with = system.modes.iter().zip(&whole.modes).filter(|(mode, _)| mode.tasks.contains(&position));
            let bounds: Vec<_> = with
                .map(|(mode, own)| {
                    let place = mode.tasks.iter().position(|task| *task == position).unwrap();
                    own.analysis.tasks[place].bound()
                })
                .collect();
            let greatest =
                bounds.iter().copied().collect::<Option<Vec<_>>>().and_then(|bounds| bounds.into_iter().max());
            assert_eq!(found.bound(), greatest, "the greatest of all modes, none where one has none");
            assert!(worst(&whole, position).is_some());
        }
    }
}

/// A plan of two lanes and two modes that is proven.
fn good() -> (System, Lock) {
    // Lanes that launch and do not dispatch wait for no other.
    let launching = |name: &str, policy, wakeup| Lane { launch_overhead: ns(1), ..lane(name, policy, 0, wakeup) };
    let given = launching("given", Policy::FixedPriority, 2);
    let edf = launching("edf", Policy::EarliestDeadlineFirst, 0);
    let lanes = vec![given, edf, lane("table", Policy::TimeTriggered, 0, 0)];
    let load = Load::whole;
    let mut tasks = vec![
        task("a", 0, load(5, 50, 40, 0)),
        task("b", 0, load(20, 100, 90, 3)),
        task("c", 0, load(30, 200, 190, 0)),
        task("x", 1, load(10, 60, 50, 0)),
        task("y", 1, load(20, 90, 80, 4)),
        task("t", 2, load(3, 20, 15, 0)),
    ];
    for (task, priority) in tasks.iter_mut().take(3).zip(0..) {
        task.priority = Some(Priority(priority));
    }
    let mut system = system(lanes, tasks);
    let mode = |name: &str, tasks: &[usize]| Mode { name: name.to_owned(), tasks: tasks.to_vec(), span: 0..0 };
    system.modes = vec![mode("all", &[0, 1, 2, 3, 4, 5]), mode("less", &[0, 2, 4, 5])];
    let lock = lock(&system).expect("it holds");
    (system, lock)
}

/// A change of a plan, with what it does.
type Named = (&'static str, Box<dyn Fn(&mut Plan)>);

/// What the checker says of a changed plan.
fn said(change: impl FnOnce(&mut Plan)) -> Result<(), Violation> {
    let (_, lock) = good();
    let mut plan = lock.plan;
    change(&mut plan);
    let lock = Lock::new(plan, lock.lock.inputs).unwrap();
    verify(tables::leak(&lock).unwrap())
}

#[test]
fn the_checker_refuses_whatever_a_mode_claims_beyond_its_proof() {
    assert_eq!(said(|_| {}), Ok(()));
    let mode = |plan: &mut Plan, change: &dyn Fn(&mut aegis_codegen::plan::Mode)| change(&mut plan.modes[1]);
    let changes: Vec<Named> = vec![
        ("a bound lowered", Box::new(|plan| plan.modes[1].tasks[1].response_ns -= 1)),
        ("a bound raised above the system's", Box::new(|plan| plan.modes[0].tasks[0].response_ns += 1_000)),
        ("a task dropped", Box::new(|plan| drop(plan.modes[1].tasks.remove(0)))),
        ("a task of a table dropped", Box::new(|plan| drop(plan.modes[1].tasks.pop()))),
        (
            "a task in no mode",
            Box::new(|plan| {
                // The task `b` is of the first mode alone.
                let b = plan.tasks.iter().position(|task| task.name == "b").unwrap();
                plan.modes[0].tasks.retain(|task| usize::from(task.task) != b);
            }),
        ),
        ("leaves lowered", Box::new(|plan| plan.modes[1].leaves_ns -= 1)),
        ("leaves of nothing", Box::new(|plan| plan.modes[0].leaves_ns = 0)),
        ("a busy period lowered", Box::new(|plan| plan.modes[1].lanes[0].busy_period_ns -= 1)),
        ("the system's busy period lowered", Box::new(|plan| plan.lanes[0].busy_period_ns -= 1)),
        ("the system's busy period raised", Box::new(|plan| plan.lanes[0].busy_period_ns += 1)),
        ("a lane dropped", Box::new(|plan| drop(plan.modes[1].lanes.pop()))),
        (
            "a lane twice",
            Box::new(|plan| {
                let again = plan.modes[1].lanes[2].clone();
                plan.modes[1].lanes.push(again);
            }),
        ),
        ("two tasks exchanged", Box::new(|plan| plan.modes[1].tasks.swap(0, 1))),
        (
            "a task twice",
            Box::new(|plan| {
                let again = plan.modes[1].tasks[0].clone();
                plan.modes[1].tasks.insert(0, again);
            }),
        ),
        ("a task of no plan", Box::new(|plan| plan.modes[1].tasks[3].task = 77)),
        ("the system's bound lowered", Box::new(|plan| plan.tasks[0].response_ns -= 1)),
        ("the system's bound raised", Box::new(|plan| plan.tasks[0].response_ns += 1)),
        ("no certificate", Box::new(|plan| plan.modes[0].tasks[0].certificate = Certificate::Unproven {})),
        (
            "another mode's certificates",
            Box::new(|plan| {
                let (of_all, of_less) = (plan.modes[0].tasks[2].clone(), &mut plan.modes[1].tasks[1]);
                assert_eq!(of_all.task, of_less.task);
                assert_ne!(of_all.certificate, of_less.certificate);
                of_less.certificate = of_all.certificate;
            }),
        ),
        ("points dropped", Box::new(|plan| plan.modes[0].lanes[1].points_ns.clear())),
        ("a point earlier", Box::new(|plan| plan.modes[0].lanes[1].points_ns[0].1 -= 1)),
        ("the modes dropped", Box::new(|plan| plan.modes.clear())),
        ("too many modes", Box::new(|plan| plan.modes = vec![plan.modes[0].clone(); 17])),
        ("a queue shorter than the greatest bound", Box::new(|plan| plan.tasks[2].queue = 0)),
    ];
    for (what, change) in &changes {
        let refused = said(|plan| change(plan));
        assert!(refused.is_err(), "{what} is accepted");
        println!("{what}: {}", refused.unwrap_err());
    }
    // What is true, too, stays a proof.
    assert_eq!(said(|plan| mode(plan, &|mode| mode.leaves_ns += 1)), Ok(()), "a longer change is as true");
}

#[test]
fn a_system_with_modes_may_ask_for_more_than_its_lanes_have_if_no_mode_does() {
    let policy = Policy::EarliestDeadlineFirst;
    let tasks = (0..2).map(|number| task(&format!("t{number}"), 0, Load::whole(70, 100, 100, 0))).collect();
    let mut system = system(vec![lane("main", policy, 0, 0)], tasks);
    assert!(!is_schedulable(&system, &analyse(&system), 0), "together they ask for 140 %");
    let mode = |task: usize| Mode { name: format!("m{task}"), tasks: vec![task], span: 0..0 };
    system.modes = vec![mode(0), mode(1)];
    let desc = plan(&system).expect("one at a time");
    assert_eq!(desc.modes.iter().map(|mode| mode.leaves.as_ns()).collect::<Vec<_>>(), [70, 70]);
    assert_eq!(desc.tasks.iter().map(|task| task.response_bound.as_ns()).collect::<Vec<_>>(), [70, 70]);
}

const MANIFEST: &str = include_str!("../fixtures/manifest/valid-modes.toml");

#[test]
fn what_misses_is_said_with_its_mode() {
    let text = MANIFEST.replace("wcet = \"20ms\"", "wcet = \"120ms\"\ndeadline = \"121ms\"");
    assert_ne!(text, MANIFEST);
    let checked = check("system.toml", text.clone(), Options::default()).unwrap();
    assert!(!checked.passes() && checked.lock.is_none());
    let [finding] = checked.findings.as_slice() else { panic!("{:#?}", checked.findings) };
    let message = "in mode `driving`, task `map` may respond only after 124 ms, its deadline is 121 ms";
    assert_eq!(finding.message, message);
    assert!(
        finding
            .labels
            .iter()
            .any(|label| { label.span.as_ref().is_some_and(|span| &text[span.clone()] == "[mode.driving]") })
    );
    // In the other mode the same task does not run, so the mode that fails is the only one.
    let moved = text.replace("\"log\", \"map\"]", "\"log\"]").replace("\"dock\", \"log\"]", "\"dock\", \"map\"]");
    let checked = check("system.toml", moved, Options::default()).unwrap();
    assert!(checked.passes(), "alone it takes its 120 ms: {:#?}", checked.findings);
}

#[test]
fn a_lock_with_modes_is_read_as_it_was_written() {
    let checked = check("system.toml", MANIFEST.to_owned(), Options::default()).unwrap();
    assert!(checked.passes(), "{:#?}", checked.findings);
    let lock = checked.lock.unwrap();
    let again = Lock::parse("system.lock".as_ref(), &lock.text().unwrap()).unwrap();
    assert_eq!(again, lock);
    let names: Vec<_> = lock.plan.modes.iter().map(|mode| mode.name.as_str()).collect();
    assert_eq!(names, ["driving", "docking"]);
    let desc = tables::leak(&again).unwrap();
    assert_eq!(verify(desc), Ok(()));
}
