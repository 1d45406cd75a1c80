//! Another plan, told what a run was told.

use crate::{POLICIES, numbered, random_plan, stories, three};
use aegis_codegen::analysis::Load;
use aegis_codegen::audit::what_if::{Inputs, Other, human, same, under, what_if};
use aegis_core::desc::{LaneDesc, Policy, Release, SystemDesc, TaskDesc};
use aegis_core::time::Instant;
use aegis_core::trace::{Kind, Record};
use aegis_tests::planned::with_tasks;
use aegis_tests::replay::named;
use aegis_tests::simulate::{QUEUE, Spent, World, arrivals, run};
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
    let mut world = Drawn { seed, started: BTreeMap::new(), overheads: seed % 2 == 0 };
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
