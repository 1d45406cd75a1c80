//! The exact analysis of non-preemptive jobs: published sets, slow searches that share nothing with it (equality), and
//! witnesses replayed, by a simulator of a page and by the real dispatcher.
//!
//! A failing set is printed; the seeds are fixed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

mod oracle;

use aegis_codegen::analysis::edf::demand;
use aegis_codegen::analysis::exact::{
    Exact, GaveUp, Job, Limits, Order, Range, Run, Task, Why, job_set, job_set_witness, periodic, witness,
};
use aegis_codegen::analysis::{Load, fixed_priority};
use aegis_core::desc::{LaneDesc, Policy, TaskDesc};
use aegis_tests::planned::unproven;
use aegis_tests::simulate::{Spent, Submission, World, run};
use fastrand::Rng;
use oracle::{Fixed, enumerate, every_state, hyperperiod, rank, simulate, task_rank};
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

// Published sets.

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    #[serde(rename = "description")]
    _description: String,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    source: String,
    #[serde(rename = "unit")]
    _unit: String,
    #[serde(rename = "note", default)]
    _note: String,
    /// Task, job, earliest and latest release, least and greatest cost, deadline, priority.
    jobs: Vec<[u64; 8]>,
    schedulable: bool,
    finish: BTreeMap<String, (u64, u64)>,
}

#[test]
fn published_job_sets_finish_when_their_authors_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors/exact.json");
    let file: File = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file.schema, "aegis.vectors/1");
    let mut witnesses = 0;
    for Vector { name, source, mut jobs, schedulable, finish, .. } in file.vectors {
        assert!(source.contains("Nasri"), "{name} has no author");
        jobs.sort_unstable();
        let names: Vec<String> = jobs.iter().map(|job| format!("{}.{}", job[0], job[1])).collect();
        let jobs: Vec<Job> = jobs
            .into_iter()
            .map(|[task, _, earliest, latest, best, worst, deadline, priority]| Job {
                task: u32::try_from(task).unwrap(),
                release: (earliest, latest),
                cost: (best, worst),
                deadline,
                priority,
            })
            .collect();
        let found = job_set(&jobs, Limits::default()).unwrap();
        let by_name: BTreeMap<String, (u64, u64)> =
            names.into_iter().zip(&found).map(|(name, range)| (name, (range.best, range.worst))).collect();
        assert_eq!(by_name, finish, "{name}");
        assert_eq!(found.iter().zip(&jobs).all(|(range, job)| range.worst <= job.deadline), schedulable, "{name}");
        for (position, (range, job)) in found.iter().zip(&jobs).enumerate() {
            let runs = job_set_witness(&jobs, position, job.deadline, Limits::default()).unwrap();
            assert_eq!(runs.is_some(), range.worst > job.deadline, "{name}");
            if let Some(runs) = runs {
                replay_jobs(&jobs, &runs, position, job.deadline);
                witnesses += 1;
            }
        }
    }
    assert_eq!(witnesses, 6, "so many jobs can miss");
}

/// The witness's jobs happen as it says when all other jobs come as late as they can and take as long as they can.
fn replay_jobs(jobs: &[Job], runs: &[Run], late: usize, after: u64) {
    let mut fixed: Vec<Fixed> = (0..jobs.len())
        .map(|job| Fixed { release: jobs[job].release.1, cost: jobs[job].cost.1, rank: rank(jobs, job) })
        .collect();
    for run in runs {
        let job = &jobs[run.task];
        assert!((job.release.0..=job.release.1).contains(&run.seen), "{run:?} of {jobs:?}");
        assert!((job.cost.0..=job.cost.1).contains(&run.cost), "{run:?} of {jobs:?}");
        fixed[run.task].release = run.seen;
        fixed[run.task].cost = run.cost;
    }
    let starts = simulate(&fixed);
    for run in runs {
        assert_eq!(starts[run.task], run.start, "{run:?} of {runs:?} of {jobs:?}");
    }
    let last = runs.last().unwrap();
    assert!(last.task == late && last.finish() > after, "{runs:?}");
}

/// A random set with at most so many combinations.
fn random_jobs(rng: &mut Rng, most: u64) -> Vec<Job> {
    loop {
        let (jitter, variation, span) = (rng.u64(0..=4), rng.u64(0..=3), rng.u64(1..=14));
        let jobs: Vec<Job> = (0..rng.u32(2..=6))
            .map(|_| {
                let (earliest, best) = (rng.u64(0..=span), rng.u64(1..=4));
                Job {
                    task: rng.u32(0..3),
                    release: (earliest, earliest + rng.u64(0..=jitter)),
                    cost: (best, best + rng.u64(0..=variation)),
                    deadline: earliest + rng.u64(1..=12),
                    priority: rng.u64(0..4),
                }
            })
            .collect();
        let sizes = jobs.iter().map(|job| (job.release.1 - job.release.0 + 1) * (job.cost.1 - job.cost.0 + 1));
        if sizes.product::<u64>() <= most {
            return jobs;
        }
    }
}

#[test]
fn job_sets_finish_exactly_when_some_choice_lets_them() {
    let mut rng = Rng::with_seed(1);
    let (mut combined, mut misses) = (0, 0);
    for _ in 0..2_500 {
        let jobs = random_jobs(&mut rng, 1_500);
        let slow = enumerate(&jobs);
        assert_eq!(job_set(&jobs, Limits::default()), Ok(slow.clone()), "{jobs:?}");
        combined += u32::from(slow.iter().zip(&jobs).any(|(range, job)| range.best + 2 < range.worst && job.task > 0));
        for (position, (job, range)) in jobs.iter().zip(&slow).enumerate() {
            // Above the deadline, and the worst itself.
            for after in [job.deadline, range.worst - 1] {
                let runs = job_set_witness(&jobs, position, after, Limits::default()).unwrap();
                assert_eq!(runs.is_some(), range.worst > after, "{jobs:?}");
                if let Some(runs) = runs {
                    replay_jobs(&jobs, &runs, position, after);
                    misses += 1;
                }
            }
        }
    }
    assert!(combined > 1_000 && misses > 5_000, "{combined} sets with choices, {misses} witnesses");
}

/// Random tasks whose utilization is at most 1; jitter may exceed the period, phases too.
fn random_tasks(rng: &mut Rng, count: u64, periods: &[u64]) -> Vec<Task> {
    loop {
        let (jittery, phased, varied) = (rng.bool(), rng.bool(), rng.bool());
        let tasks: Vec<Task> = (0..count)
            .map(|_| {
                let period = periods[rng.usize(..periods.len())];
                let worst = rng.u64(1..=period.div_ceil(2));
                Task {
                    cost: (if varied { rng.u64(1..=worst) } else { worst }, worst),
                    period,
                    deadline: rng.u64(1..=2 * period),
                    phase: if phased { rng.u64(0..=2 * period) } else { 0 },
                    jitter: if jittery { rng.u64(0..=period + period / 4) } else { 0 },
                }
            })
            .collect();
        let all = hyperperiod(&tasks);
        if tasks.iter().map(|task| task.cost.1 * (all / task.period)).sum::<u64>() <= all {
            return tasks;
        }
    }
}

const ORDERS: [Order; 2] = [Order::FixedPriority, Order::EarliestDeadlineFirst];

#[test]
fn periodic_responses_are_those_of_a_search_of_all_states() {
    let mut rng = Rng::with_seed(2);
    let (mut equal, mut slow_gave_up, mut late, mut full) = (0, 0, 0, 0);
    for round in 0..700 {
        let count = 2 + round % 2;
        let tasks = random_tasks(&mut rng, count, &[2, 3, 4, 5, 6]);
        for order in ORDERS {
            let Some(slow) = every_state(&tasks, order, 10_000) else {
                slow_gave_up += 1;
                continue;
            };
            let fast = periodic(&tasks, order, Limits::default()).unwrap();
            assert_eq!(fast.responses, slow, "{order:?} {tasks:?}");
            equal += 1;
            late += u32::from(fast.hyperperiods > 1);
            let all = hyperperiod(&tasks);
            full += u32::from(tasks.iter().map(|task| task.cost.1 * (all / task.period)).sum::<u64>() == all);
            for (position, range) in slow.iter().enumerate() {
                assert_eq!(witness(&tasks, order, position, range.worst, Limits::default()), Ok(None), "{tasks:?}");
                let runs = witness(&tasks, order, position, range.worst - 1, Limits::default()).unwrap().unwrap();
                replay_tasks(&tasks, order, &runs, position, range.worst);
            }
        }
    }
    println!(
        "{equal} sets, {late} repeat after more than one hyperperiod, {full} with utilization 1; {slow_gave_up} too large"
    );
    assert!(equal > 600 && late > 100 && full > 20, "{equal} sets, {late} late, {full} full");
}

/// The scenario happens when all other jobs come as late as they can, and its last job responds as late as said.
fn replay_tasks(tasks: &[Task], order: Order, runs: &[Run], late: usize, response: u64) {
    let last = runs.last().unwrap();
    assert_eq!((last.task, last.finish() - last.arrival), (late, response), "{runs:?} of {tasks:?}");
    let mut fixed = Vec::new();
    let mut expected = Vec::new();
    for (position, task) in tasks.iter().enumerate() {
        let arrivals = (0..).map(|job| (job, task.phase + job * task.period));
        for (job, arrival) in arrivals.take_while(|(_, arrival)| *arrival <= last.finish()) {
            let run = runs.iter().find(|run| run.task == position && u64::from(run.job) == job);
            let (release, cost) = run.map_or((arrival + task.jitter, task.cost.1), |run| (run.seen, run.cost));
            assert!(
                (arrival..=arrival + task.jitter).contains(&release) && (task.cost.0..=task.cost.1).contains(&cost)
            );
            fixed.push(Fixed { release, cost, rank: task_rank(tasks, order, position, job) });
            expected.push(run.map(|run| run.start));
        }
    }
    assert_eq!(expected.iter().flatten().count(), runs.len(), "{runs:?} of {tasks:?}");
    for (start, expected) in simulate(&fixed).into_iter().zip(expected) {
        assert!(expected.is_none_or(|expected| expected == start), "{runs:?} of {tasks:?}");
    }
}

/// The jobs of some hyperperiods with random releases and costs, extremes preferred.
fn random_run(rng: &mut Rng, tasks: &[Task], order: Order, until: u64) -> Vec<(usize, u64, Fixed)> {
    let mut jobs = Vec::new();
    for (position, task) in tasks.iter().enumerate() {
        let mut seen = 0;
        for job in 0.. {
            let arrival = task.phase + job * task.period;
            if arrival > until {
                break;
            }
            let mut pick = |least: u64, greatest: u64| match rng.u8(0..3) {
                0 => least,
                1 => greatest,
                _ => rng.u64(least..=greatest),
            };
            seen = (arrival + pick(0, task.jitter)).max(seen);
            let cost = pick(task.cost.0, task.cost.1);
            let rank = task_rank(tasks, order, position, job);
            jobs.push((position, arrival, Fixed { release: seen, cost, rank }));
        }
    }
    jobs
}

#[test]
fn no_random_run_leaves_the_range_and_no_range_exceeds_a_sufficient_bound() {
    let mut rng = Rng::with_seed(3);
    let (mut responses, mut bounds, mut attained, mut smaller, mut demands) = (0, 0, 0, 0, 0);
    for _ in 0..120 {
        let count = rng.u64(3..=7);
        let mut tasks = random_tasks(&mut rng, count, &[200, 300, 400, 600, 1_200]);
        for task in &mut tasks {
            task.jitter /= 6;
        }
        let loads: Vec<Load> =
            tasks.iter().map(|task| Load::whole(task.cost.1, task.period, task.deadline, task.jitter)).collect();
        for order in ORDERS {
            let Ok(found) = periodic(&tasks, order, Limits::default()) else { continue };
            for _ in 0..6 {
                let until = 6 * hyperperiod(&tasks);
                let run = random_run(&mut rng, &tasks, order, until);
                let fixed: Vec<Fixed> = run.iter().map(|(_, _, fixed)| *fixed).collect();
                for (start, (task, arrival, fixed)) in simulate(&fixed).into_iter().zip(run) {
                    // A job that would arrive later can matter to what starts later: leaving it out can even do harm.
                    if start > until {
                        continue;
                    }
                    let (response, range) = (start + fixed.cost - arrival, found.responses[task]);
                    assert!(range.best <= response && response <= range.worst, "{order:?} {response} {tasks:?}");
                    responses += 1;
                }
            }
            if order == Order::FixedPriority {
                for (bound, range) in fixed_priority::analyse(&loads).iter().zip(&found.responses) {
                    if let Ok((bound, _)) = bound.response {
                        assert!(range.worst <= bound.as_ns(), "{tasks:?}");
                        bounds += 1;
                        attained += u32::from(range.worst == bound.as_ns());
                        smaller += u32::from(range.worst < bound.as_ns());
                    }
                }
            } else if let Ok(busy) = fixed_priority::busy_period(0, &loads)
                && demand::test(&loads, busy) == Ok(())
            {
                assert!(found.responses.iter().zip(&tasks).all(|(range, task)| range.worst <= task.deadline));
                demands += 1;
            }
        }
    }
    println!("{responses} responses; {bounds} bounds, {attained} attained, {smaller} not; {demands} demand tests");
    assert!(responses > 10_000 && bounds > 100 && attained > 10 && smaller > 10 && demands >= 3);
}

const fn task(best: u64, worst: u64, period: u64) -> Task {
    Task { cost: (best, worst), period, deadline: period, phase: 0, jitter: 0 }
}

/// The worked example of `docs/theory/schedule-abstraction.md`.
#[test]
fn neither_the_best_nor_the_worst_costs_miss_and_a_mixture_does() {
    let example = |best, worst| [task(best, worst, 4), task(2, 2, 12), task(4, 4, 12)];
    let worst = |tasks: &[Task]| -> Vec<u64> {
        let Exact { responses, hyperperiods, .. } = periodic(tasks, Order::FixedPriority, Limits::default()).unwrap();
        assert_eq!(hyperperiods, 1);
        responses.iter().map(|range| range.worst).collect()
    };
    assert_eq!(worst(&example(1, 1)), [4, 3, 7]);
    assert_eq!(worst(&example(2, 2)), [4, 4, 10]);
    assert_eq!(worst(&example(1, 2)), [5, 4, 10]);
    let tasks = example(1, 2);
    let runs = witness(&tasks, Order::FixedPriority, 0, 4, Limits::default()).unwrap().unwrap();
    let values: Vec<_> = runs.iter().map(|run| (run.task, run.job, run.seen, run.start, run.cost)).collect();
    assert_eq!(values, [(0, 0, 0, 0, 1), (1, 0, 0, 1, 2), (2, 0, 0, 3, 4), (0, 1, 4, 7, 2)]);
    replay_tasks(&tasks, Order::FixedPriority, &runs, 0, 5);
}

/// 30 tasks of 10 periods, 254 jobs a hyperperiod, in microseconds; rate-monotonic order.
fn thirty_tasks(seed: u64, utilization_percent: u64, jitter_percent: u64, best_percent: u64) -> Vec<Task> {
    const PERIODS: [u64; 10] = [20_000, 25_000, 40_000, 50_000, 100_000, 125_000, 200_000, 250_000, 500_000, 1_000_000];
    let mut rng = Rng::with_seed(seed);
    loop {
        let mut periods: Vec<u64> = (0..30).map(|_| PERIODS[rng.usize(..10)]).collect();
        if periods.iter().map(|period| 1_000_000 / period).sum::<u64>() != 254 {
            continue;
        }
        periods.sort_unstable();
        let weights: Vec<u64> = periods.iter().map(|_| rng.u64(20..=120)).collect();
        let all: u64 = weights.iter().sum();
        let one = |(period, weight): (&u64, &u64)| {
            let worst = weight * utilization_percent * period / (all * 100);
            let best = (worst * best_percent / 100).max(1);
            let jitter = period * jitter_percent / 100;
            Task { cost: (best, worst), period: *period, deadline: *period, phase: 0, jitter }
        };
        return periods.iter().zip(&weights).map(one).collect();
    }
}

#[test]
fn thirty_tasks_with_250_jobs_and_jitter_of_5_percent_are_answered_within_the_limits() {
    for (utilization, best) in [(50, 100), (50, 50), (75, 50), (90, 50)] {
        for order in ORDERS {
            let tasks = thirty_tasks(1, utilization, 5, best);
            let begin = std::time::Instant::now();
            let Exact { responses, states, hyperperiods } = periodic(&tasks, order, Limits::default()).unwrap();
            let time = begin.elapsed();
            println!(
                "{order:?}, U 0.{utilization}, best {best} %: {states} states, {hyperperiods} hyperperiods, {time:?}"
            );
            assert!(states > 1_000);
            let worst = responses[29].worst;
            let runs = witness(&tasks, order, 29, worst - 1, Limits::default()).unwrap().unwrap();
            assert!(runs.len() > 20, "{} jobs", runs.len());
            replay_tasks(&tasks, order, &runs, 29, worst);
        }
    }
    // Where best costs are a twentieth, the orders of the 30 first jobs are too many.
    let tasks = thirty_tasks(1, 75, 5, 5);
    let begin = std::time::Instant::now();
    let first = periodic(&tasks, Order::FixedPriority, Limits::default());
    println!("best 5 %: {first:?} after {:?}", begin.elapsed());
    assert_eq!(first.as_ref().map_err(|gave_up| gave_up.why), Err(Why::Bytes));
    assert_eq!(periodic(&tasks, Order::FixedPriority, Limits::default()), first, "limits are no clock");
}

#[test]
fn bad_input_ends_with_an_answer_or_a_reason() {
    let limits = Limits::default();
    let why =
        |tasks: &[Task], limits| periodic(tasks, Order::EarliestDeadlineFirst, limits).map_err(|gave_up| gave_up.why);
    assert_eq!(why(&[task(0, 1, 5)], limits), Err(Why::Input));
    assert_eq!(why(&[task(0, 0, 5)], limits), Err(Why::Input));
    assert_eq!(why(&[task(2, 1, 5)], limits), Err(Why::Input));
    assert_eq!(why(&[task(1, 1, 0)], limits), Err(Why::Input));
    assert_eq!(why(&[task(1, 3, 5), task(1, 3, 5)], limits), Err(Why::Overloaded));
    assert_eq!(why(&[task(1, 1, u64::MAX), task(1, 1, u64::MAX - 1)], limits), Err(Why::Overflow));
    assert_eq!(why(&[Task { phase: u64::MAX, ..task(1, 1, 5) }], limits), Err(Why::Overflow));
    assert_eq!(why(&[Task { jitter: u64::MAX, ..task(1, 1, 5) }], limits), Err(Why::Overflow));
    // Four billion jobs until recurrence.
    assert_eq!(why(&[task(1, 1, 2), task(1, 1, 1 << 33)], limits), Err(Why::Overflow));
    assert_eq!(why(&[task(1, 1, 2), task(1, 1, 1 << 30)], limits), Err(Why::Steps));
    assert_eq!(why(&[task(1, 1, 2); 2], Limits { steps: 1, ..limits }), Err(Why::Steps));
    assert_eq!(why(&[task(1, 1, 2); 2], Limits { bytes: 1, ..limits }), Err(Why::Bytes));
    let ends = Exact { responses: Vec::new(), hyperperiods: 0, states: 0 };
    assert_eq!(why(&[], limits), Ok(ends));
    assert_eq!(job_set(&[], limits), Ok(Vec::new()));
    // A full resource, and a phase of many periods.
    let full = [task(1, 2, 4), Task { phase: 1_000_003, ..task(1, 2, 4) }];
    let found = periodic(&full, Order::FixedPriority, limits).unwrap();
    assert_eq!(found.responses, [Range { best: 1, worst: 3 }, Range { best: 1, worst: 2 }]);
    // Overloaded, and with a hyperperiod that overflows: no answer, but a witness.
    let overloaded = [task(3, 3, 5), task(3, 3, 5)];
    let runs = witness(&overloaded, Order::FixedPriority, 1, 100, limits).unwrap().unwrap();
    let last = runs.last().unwrap();
    replay_tasks(&overloaded, Order::FixedPriority, &runs, 1, last.finish() - last.arrival);
    let endless = [task(3, 4, u64::MAX / 2), Task { phase: 1, deadline: 3, ..task(1, 1, u64::MAX / 2 - 1) }];
    assert_eq!(witness(&endless, Order::EarliestDeadlineFirst, 1, 3, limits).unwrap().unwrap().len(), 2);
    assert_eq!(witness(&[task(1, 1, 5)], Order::FixedPriority, 7, 0, limits), Ok(None), "there is no such task");
}

#[test]
fn ten_thousand_jobs_are_answered_or_given_up() {
    let limits = Limits::default();
    let job = |number: u64, earliest: u64, latest: u64| Job {
        task: 0,
        release: (earliest, latest),
        cost: (1, 2),
        deadline: 20_000,
        priority: number,
    };
    let at_once: Vec<Job> = (0..10_000).map(|number| job(number, 0, 0)).collect();
    let found = job_set(&at_once, limits).unwrap();
    assert_eq!(found[9_999], Range { best: 10_000, worst: 20_000 });
    let spread: Vec<Job> = (0..10_000).map(|number| job(number % 7, number * 3, number * 3 + 1)).collect();
    let found = job_set(&spread, limits).unwrap();
    assert_eq!(found[9_999], Range { best: 29_998, worst: 30_000 });
    let any: Vec<Job> = (0..10_000).map(|number| job(number, 0, 1_000_000)).collect();
    let Err(GaveUp { why, .. }) = job_set(&any, limits) else { panic!("10000! orders") };
    assert_eq!(why, Why::Bytes);
    let invalid = Job { release: (1, 0), ..job(0, 0, 0) };
    assert_eq!(job_set(&[invalid], limits), Err(GaveUp { why: Why::Input, states: 0, jobs: 0 }));
    let overflow = Job { release: (u64::MAX, u64::MAX), ..job(0, 0, 0) };
    assert_eq!(job_set(&[overflow], limits).map_err(|gave_up| gave_up.why), Err(Why::Overflow));
}

// The real dispatcher.

/// Costs as a witness says, per task in order.
struct Scripted(Vec<VecDeque<u64>>);

impl World for Scripted {
    fn spend(&mut self, task: &TaskDesc, _: &LaneDesc) -> Spent {
        let execution = self.0[usize::from(task.priority.0)].pop_front().unwrap();
        Spent { before: 0, execution, after: 0 }
    }

    fn wake(&mut self, due: u64, _: u64) -> u64 {
        due
    }
}

#[test]
fn the_dispatcher_replays_witnesses_to_the_worst_response() {
    let mut rng = Rng::with_seed(4);
    let mut replayed = 0;
    for round in 0..150 {
        let mut tasks = random_tasks(&mut rng, 2 + round % 3, &[4, 6, 8, 12]);
        for task in &mut tasks {
            task.deadline = task.deadline.max(task.cost.1);
        }
        let loads: Vec<Load> =
            tasks.iter().map(|task| Load::whole(task.cost.1, task.period, task.deadline, task.jitter)).collect();
        for order in ORDERS {
            let policy = match order {
                Order::FixedPriority => Policy::FixedPriority,
                Order::EarliestDeadlineFirst => Policy::EarliestDeadlineFirst,
            };
            let desc = unproven(policy, &loads);
            for (position, range) in periodic(&tasks, order, Limits::default()).unwrap().responses.iter().enumerate() {
                let runs = witness(&tasks, order, position, range.worst - 1, Limits::default()).unwrap().unwrap();
                // Two jobs seen at one instant by an idle lane: the first submitted starts.
                let mut sorted = runs.clone();
                sorted.sort_by_key(|run| (run.seen, task_rank(&tasks, order, run.task, u64::from(run.job))));
                let submissions: Vec<Submission> = sorted
                    .iter()
                    .map(|run| Submission {
                        seen: run.seen,
                        task: u16::try_from(run.task).unwrap(),
                        arrival: run.arrival,
                    })
                    .collect();
                let mut world = Scripted(vec![VecDeque::new(); tasks.len()]);
                for run in &runs {
                    world.0[run.task].push_back(run.cost);
                }
                let last = runs.last().unwrap();
                let observed = run(desc, &submissions, last.finish(), &mut world);
                let task = u16::try_from(position).unwrap();
                assert_eq!(observed.ends(task).last(), Some(&last.finish()), "{order:?} {tasks:?} {runs:?}");
                assert_eq!(observed.worst(task), range.worst, "{order:?} {tasks:?} {runs:?}");
                replayed += 1;
            }
        }
    }
    assert!(replayed > 800, "only {replayed} witnesses");
}
