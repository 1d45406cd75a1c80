//! Optional tasks: proven with all others, whatever is admitted when; and what counts on every arrival leaves them out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::Load;
use aegis_codegen::check::Checked;
use aegis_codegen::system::{System, Task};
use aegis_codegen::tables;
use aegis_core::desc::{LaneDesc, Policy, Release, StageDesc, SystemDesc, TaskDesc};
use aegis_core::dispatch::Event;
use aegis_core::trace::Kind;
use aegis_core::verify::{Violation, verify};
use aegis_core::{Duration, TaskId};
use aegis_tests::planned::{lane, plan, system, task};
use aegis_tests::simulate::{Spent, World, arrivals, run_beside};
use aegis_tests::two_lanes::{TWO_LANES, checked, waits};

#[test]
fn an_event_waits_for_an_admission_and_the_exact_analysis_leaves_the_lane_out() {
    let exact = |checked: &Checked| {
        let analysis = checked.analysis.as_ref().unwrap();
        analysis.tasks.iter().map(|task| task.exact.is_some()).collect::<Vec<_>>()
    };
    let always = checked(TWO_LANES);
    assert_eq!((waits(&always), exact(&always)), (vec![14_000, 40_000], vec![true; 3]));
    let optional = checked(&TWO_LANES.replace("\"60ms\", wcet", "\"60ms\", optional = true, wcet"));
    // The greatest of the dispatch overheads.
    assert_eq!((waits(&optional), exact(&optional)), (vec![34_000, 60_000], vec![true, false, false]));
    let lock = optional.lock.as_ref().unwrap();
    assert_eq!(lock.text().unwrap().matches("optional = true").count(), 1);
    let system = tables::leak(lock).unwrap();
    assert_eq!(system.tasks.iter().map(|task| task.optional).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(verify(system), Ok(()));
    // Without the term, or with a stage after it, the checker refuses it.
    let lanes: Vec<LaneDesc> =
        system.lanes.iter().map(|lane| LaneDesc { thread_wait: Duration::from_ns(59_999), ..*lane }).collect();
    assert_eq!(verify(&SystemDesc { lanes: lanes.leak(), ..*system }), Err(Violation::Waits));
    for (after, of) in [(TaskId(2), 1), (TaskId(0), 2)] {
        let mut tasks = system.tasks.to_vec();
        let stage = Some(StageDesc { after, earliest: Duration::ZERO, latest: Duration::ZERO });
        tasks[of] = TaskDesc { stage, release: Release::Stage, ..tasks[of] };
        assert_eq!(verify(&SystemDesc { tasks: tasks.leak(), ..*system }), Err(Violation::References));
    }
}

/// A random system of one to three lanes of whole jobs, of which some tasks are optional.
fn random_system(rng: &mut fastrand::Rng) -> System {
    const POLICIES: [Policy; 3] = [Policy::RateMonotonic, Policy::DeadlineMonotonic, Policy::EarliestDeadlineFirst];
    let count = rng.usize(1..=3);
    let lanes = (0..count).map(|_| lane("lane", POLICIES[rng.usize(0..3)], rng.u64(0..=1), rng.u64(0..=6))).collect();
    let tasks = (0..rng.usize(count..=6)).map(|number| {
        let period = rng.u64(12..=90);
        let cost = rng.u64(1..=(period / 5).max(1));
        let load = Load::whole(cost, period, rng.u64(period / 2..=2 * period), rng.u64(0..=6));
        let submitted = rng.u8(0..4) == 0;
        let phase = Duration::from_ns(if submitted { 0 } else { rng.u64(0..=period) });
        Task { submitted, phase, optional: rng.u8(0..3) > 0, ..task("task", number % count, load) }
    });
    system(lanes, tasks.collect())
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
fn whatever_is_admitted_and_dismissed_no_response_exceeds_its_bound() {
    let plans = if std::env::var_os("AEGIS_LONG").is_some() { 100_000 } else { 1_000 };
    let (mut jobs, mut changes, mut nearest, mut held, mut seed) = (0, 0_u64, 0, 0_u64, 0);
    while held < plans {
        seed += 1;
        let mut rng = fastrand::Rng::with_seed(seed);
        let Some(desc) = plan(&random_system(&mut rng)) else { continue };
        held += 1;
        let optional: Vec<u16> = (0..).zip(desc.tasks).filter(|(_, task)| task.optional).map(|(id, _)| id).collect();
        let until = 60 * desc.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
        let mut asked = Vec::new();
        let mut now = 0;
        while now < until && !optional.is_empty() {
            let task = TaskId(optional[rng.usize(0..optional.len())]);
            asked.push((now, if rng.u8(0..3) > 0 { Event::Admit { task } } else { Event::Dismiss { task } }));
            now += if rng.bool() { rng.u64(0..=9) } else { rng.u64(0..=200) };
        }
        let (eager, is_worst) = (rng.bool(), rng.bool());
        let submissions = arrivals(desc, &mut rng, until, eager);
        let seen = run_beside(desc, &submissions, &asked, until, &mut Any((!is_worst).then(|| rng.fork())));
        assert_eq!(seen.faults(), [], "seed {seed}: {:#?}", desc.tasks);
        jobs += seen.completed();
        let is_change = |kind: &Kind| matches!(kind, Kind::TaskAdmitted { .. } | Kind::TaskDismissed { .. });
        changes += u64::try_from(seen.records.iter().filter(|(_, kind)| is_change(kind)).count()).unwrap();
        for (id, task) in (0u16..).zip(desc.tasks) {
            nearest = nearest.max(seen.worst(id) * 100 / task.response_bound.as_ns());
        }
    }
    println!("{held} plans, {jobs} jobs, {changes} admissions and dismissals; {nearest} % of a bound");
    assert!(jobs > 100_000 && changes > 20_000, "{jobs} jobs, {changes} changes");
    assert!(nearest > 95, "{nearest} %: nothing came near its bound");
}
