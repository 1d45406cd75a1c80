//! Another plan, told what a run was told.

use crate::{POLICIES, numbered, random_plan, scripted, stories, three};
use aegis_codegen::analysis::Load;
use aegis_codegen::audit::what_if::{Inputs, NoPlan, Other, human, same, under, what_if};
use aegis_codegen::lock::Lock;
use aegis_codegen::tables;
use aegis_core::desc::{LaneDesc, Policy, Release, SystemDesc, TaskDesc};
use aegis_core::time::{Duration, Instant};
use aegis_core::trace::{Kind, Record};
use aegis_core::units::TaskId;
use aegis_tests::planned::with_tasks;
use aegis_tests::replay::named;
use aegis_tests::simulate::{QUEUE, Spent, Submission, World, arrivals, run};
use fastrand::Rng;
use std::collections::BTreeMap;

/// For each task what its jobs execute, in their order, at any overheads; the timer is never late.
struct Drawn {
    seed: u64,
    started: BTreeMap<&'static str, u64>,
    overheads: bool,
}

impl World for Drawn {
    fn spend(&mut self, task: &TaskDesc, lane: &LaneDesc) -> Spent {
        let number = self.started.entry(task.name).or_default();
        *number += 1;
        let name: u64 = task.name.bytes().map(u64::from).sum();
        let mut rng = Rng::with_seed(self.seed ^ (name << 32) ^ *number);
        let execution = rng.u64(1..=task.wcet.as_ns());
        let overhead = if self.overheads { rng.u64(0..=lane.segment_overhead().unwrap().as_ns()) } else { 0 };
        let before = rng.u64(0..=overhead);
        Spent { before, execution, after: overhead - before }
    }

    fn wake(&mut self, due: u64, _latest: u64) -> u64 {
        due
    }
}

fn drawn(system: &'static SystemDesc, submissions: &[aegis_tests::simulate::Submission], seed: u64) -> Vec<Record> {
    let until = 12 * system.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
    let mut world = Drawn { seed, started: BTreeMap::new(), overheads: seed.is_multiple_of(2) };
    let observed = run(system, submissions, until, &mut world);
    let began = (Instant::START, Kind::Began { config_hash: system.config_hash });
    let ran = observed.records.into_iter().map(|(at, kind)| (Instant::from_ns(at), kind));
    numbered(std::iter::once(began).chain(ran))
}

fn inputs(system: &'static SystemDesc, records: &[Record]) -> Inputs {
    let mut inputs = Inputs::new(system);
    records.iter().for_each(|record| inputs.observe(record));
    inputs
}

/// The plan with all first stages released in one way.
fn released(system: &'static SystemDesc, release: Release) -> &'static SystemDesc {
    let of = |task: &TaskDesc| match task.release {
        Release::Stage => *task,
        _ => TaskDesc { release, ..*task },
    };
    with_tasks(system, system.tasks.iter().map(of).collect())
}

#[test]
fn the_same_plan_told_the_same_does_the_same() {
    let mut rng = Rng::with_seed(21);
    let (mut jobs, mut plans) = (0, 0);
    while plans < 200 {
        let Some(system) = random_plan(&mut rng) else { continue };
        plans += 1;
        let system = released(system, if rng.bool() { Release::Timer } else { Release::Submitted });
        let until = 12 * system.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
        let submissions = arrivals(system, &mut rng, until, plans % 2 == 0);
        let records = drawn(system, &submissions, plans);
        let report = what_if(system, inputs(system, &records), &same(system)).unwrap();
        assert_eq!(report.first_difference, None, "{report:#?}\n{system:#?}");
        assert!(report.holds() && report.assumed == 0 && report.unknown == 0, "{report:#?}");
        for task in &report.tasks {
            assert_eq!(task.observed, task.what_if, "{report:#?}");
            jobs += task.observed.jobs;
        }
    }
    println!("{jobs} jobs of {plans} plans, each as it was");
    assert!(jobs > 5_000);
}

#[test]
fn another_policy_does_what_a_run_under_it_does() {
    let mut rng = Rng::with_seed(22);
    let (mut jobs, mut differ, mut proven, mut unproven, mut plans) = (0, 0, 0, 0, 0);
    while plans < 150 {
        // Whether it holds does not matter: only what it was told does.
        let loads: Vec<Load> = (0..rng.usize(3..=6))
            .map(|_| {
                let period = rng.u64(20..=100);
                Load::whole(rng.u64(1..=period / 4), period, rng.u64(period / 2..=2 * period), rng.u64(0..=10))
            })
            .collect();
        let system = named(aegis_tests::planned::unproven(POLICIES[rng.usize(0..4)], &loads));
        plans += 1;
        let until = 12 * system.tasks.iter().map(|task| task.period.as_ns()).max().unwrap();
        let submissions = arrivals(system, &mut rng, until, plans % 2 == 0);
        let records = drawn(system, &submissions, 2 * plans + 1);
        let policy = POLICIES[rng.usize(0..4)];
        let other = under(system, policy, None).unwrap();
        // A plan that proves nothing has longer queues than a test's dispatcher.
        let queue = u16::try_from(QUEUE).unwrap();
        let tasks = other.system.tasks.iter().map(|task| TaskDesc { queue: task.queue.min(queue), ..*task });
        let tasks = tasks.collect();
        let other = Other { system: with_tasks(other.system, tasks), ..other };
        let report = what_if(system, inputs(system, &records), &other).unwrap();
        // The other plan itself, told the same: its tasks lie elsewhere in its table.
        let place = |task: u16| {
            let name = system.tasks[usize::from(task)].name;
            u16::try_from(other.system.tasks.iter().position(|task| task.name == name).unwrap()).unwrap()
        };
        let submissions: Vec<_> =
            submissions.iter().map(|one| aegis_tests::simulate::Submission { task: place(one.task), ..*one }).collect();
        let direct = stories(other.system, &drawn(other.system, &submissions, 2 * plans + 1));
        for (position, task) in report.tasks.iter().enumerate() {
            let own = direct.iter().filter(|story| story.task().index() == position);
            let own: Vec<u64> = own.map(|story| story.response().as_ns()).collect();
            let misses = own.iter().filter(|response| **response > task.deadline_ns).count();
            let seen = (task.what_if.jobs, task.what_if.response_max_ns, task.what_if.misses);
            let direct = (
                u64::try_from(own.len()).unwrap(),
                own.iter().max().copied().unwrap_or(0),
                u64::try_from(misses).unwrap(),
            );
            assert_eq!(seen, direct, "{task:#?}");
            if task.proven {
                assert_eq!(task.what_if.misses, 0, "{task:#?}");
                assert!(task.what_if.response_max_ns <= task.bound_ns.unwrap());
            }
            jobs += task.what_if.jobs;
            differ += task.differing;
        }
        let shown = human(&report);
        assert_eq!(shown.starts_with("THIS PLAN IS NOT PROVEN ("), !report.proven, "{shown}");
        proven += u64::from(report.proven);
        unproven += u64::from(!report.proven);
    }
    println!("{jobs} jobs, {differ} differ; {proven} plans proven, {unproven} not");
    assert!(differ > 100 && proven > 50 && unproven > 10);
}

#[test]
fn a_lane_that_the_plan_does_not_have_is_refused_by_name() {
    let why = under(three(), Policy::EarliestDeadlineFirst, Some("side")).unwrap_err().to_string();
    assert_eq!(why, "the plan has no lane `side`, it has `lane-0`");
}

#[test]
fn every_example_has_other_plans_under_every_policy() {
    let root = aegis_tests::fetched::root();
    let mut plans = 0;
    for example in ["feeder", "inspector", "lookout", "reader", "shuttle", "sorter"] {
        let lock = Lock::read(&root.join("examples").join(example).join("system.lock")).unwrap();
        let plan = tables::leak(&lock).unwrap();
        for policy in POLICIES.into_iter().chain([Policy::TimeTriggered]) {
            match under(plan, policy, None) {
                Ok(other) => {
                    assert_eq!(other.system.tasks.len(), plan.tasks.len());
                    plans += 1;
                }
                // No search finds a table for everything.
                Err(NoPlan::NoTable(_)) => assert_eq!(policy, Policy::TimeTriggered),
                Err(error) => panic!("{example} under {}: {error}", policy.name()),
            }
        }
    }
    assert!(plans >= 24, "{plans}");
}

#[test]
fn a_table_is_proven_for_arrivals_at_its_phases_only() {
    let system = released(three(), Release::Timer);
    let other = under(system, Policy::TimeTriggered, None).unwrap();
    assert!(other.is_proven());
    let told = |arrivals: &[u64]| {
        let submissions: Vec<_> = arrivals.iter().map(|at| Submission { seen: *at, task: 0, arrival: *at }).collect();
        what_if(system, inputs(system, &drawn(three(), &submissions, 1)), &other).unwrap()
    };
    let report = told(&[0, 40, 100]);
    assert!(report.proven && report.tasks.iter().all(|task| task.unproven_because.is_none()), "{report:#?}");
    let report = told(&[0, 41, 103]);
    let of = |name: &str| report.tasks.iter().find(|task| task.name == name).unwrap();
    assert!(!report.proven && !report.holds() && of("task-1").proven, "{report:#?}");
    let why = of("task-0").unproven_because.as_deref();
    assert_eq!(why, Some("its table is proven for arrivals at its phase only, and one arrived at 41 ns"));
    let text = human(&report);
    assert!(text.starts_with("THIS PLAN IS NOT PROVEN (`task-0`)"), "{text}");
    assert!(text.contains("`task-0` is not proven: its table is proven for arrivals at its phase only"), "{text}");
}

#[test]
fn what_is_beyond_a_proven_bound_and_what_tells_of_nothing_is_said() {
    // An execution above its WCET is no input that the plan assumes.
    let (system, records) = scripted(&[18, 2], &[(0, 2), (1, 0)]);
    let report = what_if(system, inputs(system, &records), &same(system)).unwrap();
    let text = human(&report);
    assert!(report.proven && text.contains("`task-0` RESPONDS AFTER 19 ns, BEYOND ITS BOUND OF 9 ns"), "{text}");
    let report = what_if(system, inputs(system, &records[..1]), &same(system)).unwrap();
    assert!(report.proven && report.arrivals == 0 && !report.holds(), "{report:#?}");
    assert!(human(&report).contains("NO ARRIVAL OF THIS TRACE IS ONE OF THIS PLAN"));
}

#[test]
fn a_count_beyond_all_measure_is_bounded_by_the_time_that_there_was() {
    let (system, mut records) = scripted(&[], &[(0, 0), (100, 0)]);
    let at = |ns: u64| Instant::from_ns(ns);
    let (task, count) = (TaskId(1), u64::MAX);
    let last = records.len() - 1;
    records.insert(last, Record { sequence: 0, at: at(100), kind: Kind::Rejected { task, arrival: at(20), count } });
    let records = numbered(records.into_iter().map(|record| (record.at, record.kind)));
    let report = what_if(system, inputs(system, &records), &same(system)).unwrap();
    // At 20, 60 and 100 ns, besides the two that ran.
    assert_eq!(report.arrivals, 5, "{report:#?}");
    let far = Duration::from_ns(1 << 60);
    let records = numbered([
        (Instant::START, Kind::Began { config_hash: system.config_hash }),
        (at(far.as_ns()), Kind::Rejected { task, arrival: at(0), count }),
    ]);
    let error = what_if(system, inputs(system, &records), &same(system)).unwrap_err().to_string();
    assert!(error.contains("arrivals, and at most 16777216 are told another plan"), "{error}");
}
