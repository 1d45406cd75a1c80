//! Tasks that the application submits: what they cost is counted, what assumes strict periods leaves them out, and the table
//! says where their releases come from.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::Load;
use aegis_codegen::check::Checked;
use aegis_codegen::system::{System, Task};
use aegis_codegen::tables;
use aegis_core::desc::{LaneDesc, Policy, Release, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Event, Refused, State, step};
use aegis_core::trace::{Discard, Kind};
use aegis_core::verify::{Violation, verify};
use aegis_core::{Instant, TaskId};
use aegis_tests::planned::{lane, plan, system, task};
use aegis_tests::simulate::{Spent, Submission, World, run};
use aegis_tests::two_lanes::{TWO_LANES, checked, waits};
use std::collections::HashSet;

#[test]
fn each_lane_waits_for_a_submission_of_each_such_task() {
    // The other lane's overhead twice, for what happens there.
    let periodic = checked(TWO_LANES);
    assert_eq!(waits(&periodic), [14_000, 40_000]);
    let submitted = checked(&TWO_LANES.replace("wcet = \"8ms\"", "wcet = \"8ms\", release = \"submitted\""));
    // And two submissions of tasks on the second lane, on that lane too.
    assert_eq!(waits(&submitted), [28_000, 54_000]);
    let bound = |checked: &Checked, task: usize| checked.analysis.as_ref().unwrap().tasks[task].bound().unwrap();
    for task in 0..3 {
        assert!(bound(&submitted, task) > bound(&periodic, task));
    }
    // The exact analysis is of strictly periodic tasks.
    let exact = |checked: &Checked, task: usize| checked.analysis.as_ref().unwrap().tasks[task].exact.is_some();
    assert_eq!([0, 1, 2].map(|task| exact(&periodic, task)), [true; 3]);
    assert_eq!([0, 1, 2].map(|task| exact(&submitted, task)), [true, false, false]);
}

#[test]
fn the_table_says_so_and_the_dispatcher_takes_them_a_period_apart() {
    let lock = checked(
        &TWO_LANES.replace("wcet = \"8ms\" }\ntask.tell", "wcet = \"8ms\", release = \"submitted\" }\ntask.tell"),
    )
    .lock;
    let lock = lock.unwrap();
    assert!(lock.text().unwrap().contains("submitted = true"));
    let system = tables::leak(&lock).unwrap();
    let releases: Vec<Release> = system.tasks.iter().map(|task| task.release).collect();
    assert_eq!(releases, [Release::Timer, Release::Submitted, Release::Timer]);
    let mut state: State<3, 2, 4> = State::new(system).unwrap();
    let at = |ms: u64| Instant::from_ns(ms * 1_000_000);
    let mut submit =
        |ms| step(system, &mut state, Event::Submit { task: TaskId(1), arrival: at(ms) }, at(ms), &mut Discard);
    assert!(submit(5).is_ok());
    assert_eq!(submit(44).unwrap_err(), Refused::TooEarly { earliest: at(45) });
    assert!(submit(45).is_ok());
}

#[test]
fn a_lock_says_that_a_task_defers_and_the_dispatcher_does() {
    let early = "wcet = \"8ms\", release = \"submitted\", early = \"defer\" }\ntask.tell";
    let lock = checked(&TWO_LANES.replace("wcet = \"8ms\" }\ntask.tell", early)).lock.unwrap();
    assert!(lock.text().unwrap().contains("submitted = true\ndefers = true\n"));
    let system = tables::leak(&lock).unwrap();
    assert_eq!(system.tasks.iter().map(|task| task.defers).collect::<Vec<_>>(), [false, true, false]);
    let mut state: State<3, 2, 4> = State::new(system).unwrap();
    let at = |ms: u64| Instant::from_ns(ms * 1_000_000);
    let mut submit =
        |ms| step(system, &mut state, Event::Submit { task: TaskId(1), arrival: at(ms) }, at(ms), &mut Discard);
    assert!(submit(5).is_ok() && submit(6).is_ok());
    assert_eq!(submit(44).unwrap_err(), Refused::TooManyDeferred { earliest: at(45) }, "a queue of one");
    // What defers must be submitted.
    let timed: Vec<TaskDesc> = system.tasks.iter().map(|task| TaskDesc { defers: true, ..*task }).collect();
    let timed = SystemDesc { tasks: timed.leak(), ..*system };
    assert_eq!((verify(system), verify(&timed)), (Ok(()), Err(Violation::References)));
}

/// A random system of one to three lanes of whole jobs, of which some tasks defer what comes too early.
fn random_system(rng: &mut fastrand::Rng) -> System {
    const POLICIES: [Policy; 3] = [Policy::RateMonotonic, Policy::DeadlineMonotonic, Policy::EarliestDeadlineFirst];
    let count = rng.usize(1..=3);
    let lanes = (0..count).map(|_| lane("lane", POLICIES[rng.usize(0..3)], rng.u64(0..=1), rng.u64(0..=6))).collect();
    let tasks = (0..rng.usize(count..=6)).map(|number| {
        let period = rng.u64(12..=90);
        let cost = rng.u64(1..=(period / 4).max(1));
        let load = Load::whole(cost, period, rng.u64(period / 2..=3 * period), rng.u64(0..=9));
        let submitted = rng.u8(0..4) > 0;
        Task { submitted, defers: submitted && rng.u8(0..4) > 0, ..task("task", number % count, load) }
    });
    system(lanes, tasks.collect())
}

/// Bursts of what the application submits, however early, and what the dispatcher takes of them.
fn bursts(system: &SystemDesc, rng: &mut fastrand::Rng, until: u64) -> (Vec<Submission>, u64) {
    let (mut taken, mut all, mut refused) = (HashSet::new(), Vec::new(), 0);
    for (position, task) in (0u16..).zip(system.tasks).filter(|(_, task)| task.release == Release::Submitted) {
        let (period, lane) = (task.period.as_ns(), &system.lanes[task.lane.index()]);
        let late = task.jitter.as_ns() + lane.wakeup_latency.as_ns();
        let mut stamp = rng.u64(0..=period);
        while stamp < until {
            let seen = stamp + rng.u64(0..=late);
            if taken.insert(seen) {
                all.push(Submission { seen, task: position, arrival: stamp });
            }
            stamp += match rng.u8(0..8) {
                0 => rng.u64(0..=8 * period),
                1 => period,
                _ => rng.u64(1..=period),
            };
        }
    }
    all.sort_unstable();
    let mut next = vec![0; system.tasks.len()];
    all.retain(|submission| {
        let task = &system.tasks[usize::from(submission.task)];
        let (next, period) = (&mut next[usize::from(submission.task)], task.period.as_ns());
        let planned = submission.arrival.max(*next);
        let ahead = if task.defers { u64::from(task.queue) * period } else { 0 };
        let taken = if task.defers { planned <= submission.seen + ahead } else { planned == submission.arrival };
        if taken {
            *next = planned + period;
        }
        refused += u64::from(!taken);
        taken
    });
    (all, refused)
}

/// At its worst, or anything that the plan allows.
struct Any(Option<fastrand::Rng>);

impl World for Any {
    fn spend(&mut self, task: &TaskDesc, lane: &LaneDesc) -> Spent {
        let worst = Spent::worst(task, lane);
        let Some(rng) = &mut self.0 else { return Spent { before: lane.segment_overhead().unwrap().as_ns(), ..worst } };
        Spent { execution: rng.u64(1..=worst.execution), before: rng.u64(0..=worst.before), ..worst }
    }

    fn wake(&mut self, due: u64, latest: u64) -> u64 {
        self.0.as_mut().map_or(latest, |rng| rng.u64(due..=latest))
    }
}

#[test]
fn however_early_jobs_are_submitted_no_response_exceeds_its_bound() {
    let plans = if std::env::var_os("AEGIS_LONG").is_some() { 100_000 } else { 1_000 };
    let (mut jobs, mut deferred, mut refused, mut nearest, mut reached) = (0, 0_u64, 0, 0, 0_u64);
    let mut seed = 0;
    let mut held = 0_u64;
    while held < plans {
        seed += 1;
        let mut rng = fastrand::Rng::with_seed(seed);
        let Some(desc) = plan(&random_system(&mut rng)) else { continue };
        held += 1;
        let until = 60 * desc.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
        let (submissions, not_taken) = bursts(desc, &mut rng, until);
        refused += not_taken;
        let is_worst = rng.bool();
        let seen = run(desc, &submissions, until, &mut Any((!is_worst).then(|| rng.fork())));
        assert_eq!(seen.faults(), [], "seed {seed}: {:#?}", desc.tasks);
        jobs += seen.completed();
        deferred +=
            u64::try_from(seen.records.iter().filter(|(_, kind)| matches!(kind, Kind::Deferred { .. })).count())
                .unwrap();
        for (id, task) in (0u16..).zip(desc.tasks).filter(|(_, task)| task.defers) {
            let worst = seen.worst(id);
            nearest = nearest.max(worst * 100 / task.response_bound.as_ns());
            reached += u64::from(worst == task.response_bound.as_ns());
        }
    }
    println!(
        "{held} plans, {jobs} jobs, {deferred} deferred, {refused} refused; {nearest} % of a bound, {reached} reached"
    );
    assert!(jobs > 100_000 && deferred > 20_000 && refused > 10_000, "{jobs} jobs, {deferred}, {refused}");
    assert!(nearest > 95, "{nearest} %: nothing came near its bound");
}
