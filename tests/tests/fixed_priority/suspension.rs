//! Self-suspension: each bound is that of its equation, and no pattern of arrivals and suspensions exceeds the smallest.

use aegis_codegen::analysis::suspension::{Bounds, Method, Suspending, analyse};
use fastrand::Rng;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

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
    #[serde(rename = "note", default)]
    _note: String,
    tasks: Vec<Task>,
    responses: BTreeMap<String, Option<u64>>,
    refuted: Option<Refuted>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    name: String,
    cost: u64,
    suspension: u64,
    period: u64,
    deadline: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuted {
    task: String,
    response: u64,
    /// What a pattern attains.
    real: u64,
}

fn task(cost: u64, suspension: u64, period: u64, deadline: u64) -> Suspending {
    Suspending { cost, suspension, period, deadline }
}

fn found(tasks: &[Suspending]) -> Vec<Bounds> {
    analyse(tasks).into_iter().map(Result::unwrap).collect()
}

fn least(tasks: &[Suspending]) -> Vec<Option<u64>> {
    found(tasks).iter().map(|bounds| Some(bounds.least()?.0)).collect()
}

/// The least positive t = base + Σ ⌈(t + J)/T⌉ C, by trying each up to `limit`.
fn equation(base: u64, demands: &[(u64, u64, u64)], limit: u64) -> Option<u64> {
    let right = |t: u64| base + demands.iter().map(|(c, p, j)| (t + j).div_ceil(*p) * c).sum::<u64>();
    (1..=limit).find(|t| right(*t) == *t)
}

#[test]
fn responses_are_the_published_ones_and_not_the_refuted_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors/self_suspension.json");
    let file: File = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file.schema, "aegis.vectors/1");
    let mut refuted = 0;
    for vector in &file.vectors {
        assert!(!vector.source.is_empty());
        let tasks: Vec<Suspending> =
            vector.tasks.iter().map(|one| task(one.cost, one.suspension, one.period, one.deadline)).collect();
        for ((one, bound), own) in vector.tasks.iter().zip(least(&tasks)).zip(0..) {
            assert_eq!(bound, vector.responses[&one.name], "task {} of {}", one.name, vector.name);
            let Some(wrong) = vector.refuted.as_ref().filter(|wrong| wrong.task == one.name) else { continue };
            let as_jitter: Vec<_> = tasks[..own].iter().map(|j| (j.cost, j.period, j.suspension)).collect();
            let base = tasks[own].cost + tasks[own].suspension;
            assert_eq!(equation(base, &as_jitter, 100), Some(wrong.response), "how the wrong number comes about");
            assert_eq!(late_second_task(&tasks)[own], wrong.real, "what a pattern attains");
            assert!(wrong.response < wrong.real);
            refuted += 1;
        }
    }
    assert_eq!((file.vectors.len(), refuted), (2, 1));
}

/// The first task arrives every 2 ticks; the second at 0 and 20, and waits whenever it could have executed before 10; the
/// third at 10.
fn late_second_task(tasks: &[Suspending]) -> Vec<u64> {
    let mut state: Vec<Now> = tasks.iter().map(|task| Now { since: task.period, ..Now::default() }).collect();
    let mut worst = vec![0; tasks.len()];
    for now in 0..40 {
        let arrives = [now % 2 == 0, now == 0 || now == 20, now == 10];
        for (task, _) in state.iter_mut().zip(arrives).filter(|(_, arrives)| *arrives) {
            assert!(task.since >= 2);
            (task.since, task.ages) = (0, [task.ages.clone(), vec![0]].concat());
        }
        if now < 10 && now % 2 == 1 {
            state[1].done.1 += 1;
        }
        assert!(state[1].done.1 <= tasks[1].suspension);
        let ready = state.iter().enumerate().map(|(task, now_of)| !now_of.ages.is_empty() && (task != 1 || now >= 10));
        let ready = ready.collect();
        state = step((state, ready), tasks, false, &mut worst).swap_remove(0);
    }
    worst
}

/// The most important task has the shortest period.
fn random(rng: &mut Rng, counts: std::ops::RangeInclusive<u64>, most: u64) -> Vec<Suspending> {
    let count = rng.u64(counts);
    let one = |_| {
        let period = rng.u64(2..=most);
        let cost = rng.u64(1..=(period / count).max(1));
        task(cost, rng.u64(0..=(period - cost).min(3)), period, rng.u64(cost..=period))
    };
    let mut tasks: Vec<Suspending> = (0..count).map(one).collect();
    tasks.sort_by_key(|task| task.period);
    tasks
}

#[test]
fn each_bound_is_that_of_its_equation() {
    let mut rng = Rng::with_seed(51);
    let mut which = [0; 3];
    for _ in 0..20_000 {
        let tasks = random(&mut rng, 2..=5, 60);
        let all = found(&tasks);
        let mut responses: Option<Vec<u64>> = Some(Vec::new());
        for (own, (task, bounds)) in tasks.iter().zip(&all).enumerate() {
            let (more, base, limit) = (&tasks[..own], task.cost + task.suspension, task.deadline.min(task.period));
            let of = |demand: &dyn Fn(usize) -> (u64, u64)| -> Vec<(u64, u64, u64)> {
                (0..own).map(|j| (demand(j).0, more[j].period, demand(j).1)).collect()
            };
            let oblivious = equation(base, &of(&|j| (more[j].cost + more[j].suspension, 0)), limit);
            let jitter = responses.as_ref().and_then(|responses| {
                let late = |j: usize| if more[j].suspension > 0 { responses[j] - more[j].cost } else { 0 };
                equation(base, &of(&|j| (more[j].cost, late(j))), limit)
            });
            let blocked = base + more.iter().map(|j| j.cost.min(j.suspension)).sum::<u64>();
            let blocking = responses.as_ref().and_then(|_| equation(blocked, &of(&|j| (more[j].cost, 0)), limit));
            assert_eq!(*bounds, Bounds { oblivious, jitter, blocking }, "task {own} of {tasks:?}");
            let least = [oblivious, jitter, blocking].into_iter().flatten().min();
            assert_eq!(bounds.least().map(|(bound, _)| bound), least);
            responses = responses.zip(least).map(|(responses, least)| [responses, vec![least]].concat());
            let ties = [oblivious, jitter, blocking].iter().filter(|bound| bound.is_some() && **bound == least).count();
            if let (Some((_, method)), 1) = (bounds.least(), ties) {
                which[method as usize] += 1;
            }
        }
    }
    println!("alone the smallest: oblivious {}, jitter {}, blocking {}", which[0], which[1], which[2]);
    assert!(which.iter().all(|count| *count > 50));
}

#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Now {
    /// Ticks since the last arrival, at most T.
    since: u64,
    /// Ages of jobs that are not done, the oldest first.
    ages: Vec<u64>,
    /// Of the oldest: execution done, and suspension done.
    done: (u64, u64),
}

/// The longest response of each task over every pattern of arrivals at least T apart, of suspensions, and, if `early`, of
/// jobs that end early; jobs are not followed beyond an age of `oldest`. `None` where there are more than `most` states.
fn every_pattern(tasks: &[Suspending], early: bool, oldest: u64, most: usize) -> Option<Vec<u64>> {
    let first: Vec<Now> = tasks.iter().map(|task| Now { since: task.period, ..Now::default() }).collect();
    let mut worst = vec![0; tasks.len()];
    let mut known = HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some(state) = open.pop() {
        for ready in choices(&state, tasks) {
            for after in step(ready, tasks, early, &mut worst) {
                if after.iter().all(|now| now.ages.first().is_none_or(|age| *age <= oldest))
                    && known.insert(after.clone())
                {
                    open.push(after);
                }
            }
        }
        if known.len() > most {
            return None;
        }
    }
    Some(worst)
}

/// All ways in which jobs arrive, and then suspend themselves for a tick; with each state who is ready.
fn choices(state: &[Now], tasks: &[Suspending]) -> Vec<(Vec<Now>, Vec<bool>)> {
    let mut ways = vec![(state.to_vec(), Vec::new())];
    for (index, task) in tasks.iter().enumerate() {
        let mut more = Vec::new();
        for (way, ready) in ways {
            let mut arrived = way.clone();
            if way[index].since >= task.period {
                arrived[index].since = 0;
                arrived[index].ages.push(0);
                more.push((arrived, ready.clone()));
            }
            more.push((way, ready));
        }
        ways = Vec::new();
        for (way, ready) in more {
            let waits = !way[index].ages.is_empty();
            if waits && way[index].done.1 < task.suspension {
                let mut suspended = way.clone();
                suspended[index].done.1 += 1;
                ways.push((suspended, [ready.clone(), vec![false]].concat()));
            }
            ways.push((way, [ready, vec![waits]].concat()));
        }
    }
    ways
}

/// Lets one tick pass, in which the first that is ready executes.
fn step(
    (mut state, ready): (Vec<Now>, Vec<bool>),
    tasks: &[Suspending],
    early: bool,
    worst: &mut [u64],
) -> Vec<Vec<Now>> {
    for (now, task) in state.iter_mut().zip(tasks) {
        now.since = (now.since + 1).min(task.period);
        now.ages.iter_mut().for_each(|age| *age += 1);
    }
    for (worst, now) in worst.iter_mut().zip(&state) {
        *worst = now.ages.first().map_or(*worst, |age| (*worst).max(*age));
    }
    let Some(running) = ready.iter().position(|ready| *ready) else { return vec![state] };
    state[running].done.0 += 1;
    let mut ended = state.clone();
    ended[running].ages.remove(0);
    ended[running].done = (0, 0);
    match (state[running].done.0 == tasks[running].cost, early) {
        (true, _) => vec![ended],
        (false, true) => vec![ended, state],
        (false, false) => vec![state],
    }
}

#[test]
fn no_pattern_exceeds_the_smallest_bound() {
    let mut rng = Rng::with_seed(52);
    let (mut sets, mut compared, mut attained, mut behind) = (0, 0, 0, [0; 3]);
    while sets < 250 {
        let tasks = random(&mut rng, 2..=3, 6);
        let bounds = found(&tasks);
        let behind_suspending = |own: usize| tasks[..own].iter().any(|task| task.suspension > 0);
        if !(1..tasks.len()).any(|own| behind_suspending(own) && bounds[own].least().is_some()) {
            continue;
        }
        let oldest = 1 + tasks.iter().map(|task| task.period).max().unwrap();
        let Some(worst) = every_pattern(&tasks, true, oldest, 15_000) else { continue };
        for (own, (bounds, worst)) in bounds.iter().zip(worst).enumerate() {
            let Some((bound, method)) = bounds.least() else { continue };
            assert!(worst <= bound, "task {own} of {tasks:?} responds after {worst}, bound {bound} by {method:?}");
            compared += 1;
            attained += usize::from(worst == bound);
            behind[method as usize] += usize::from(behind_suspending(own));
        }
        sets += 1;
    }
    println!("{compared} bounds, {attained} attained; behind suspending tasks {behind:?}");
    assert!(compared > 300 && attained > 250 && behind[Method::Jitter as usize] > 150);
}

#[test]
fn a_miss_above_leaves_only_the_oblivious_bound_below() {
    let bounds = found(&[task(3, 2, 10, 4), task(1, 0, 20, 20)]);
    assert_eq!(bounds[0].least(), None);
    assert_eq!(bounds[1], Bounds { oblivious: Some(6), jitter: None, blocking: None });
    let long = u64::MAX;
    assert_eq!(least(&[task(long, long, long, long), task(1, 0, long, long)]), [None, None]);
    assert_eq!(least(&[task(1, 0, 0, 5)]), [None]);
}

#[test]
fn the_worked_example_is_bounded_best_by_blocking_then_jitter() {
    let tasks = [task(1, 1, 4, 4), task(2, 1, 8, 8), task(2, 0, 16, 16)];
    let bounds = found(&tasks);
    assert_eq!(bounds[1], Bounds { oblivious: Some(7), jitter: Some(5), blocking: Some(6) });
    assert_eq!(bounds[1].least(), Some((5, Method::Jitter)));
    assert_eq!(bounds[2], Bounds { oblivious: Some(16), jitter: Some(9), blocking: Some(8) });
    assert_eq!(bounds[2].least(), Some((8, Method::Blocking)));
    let observed = every_pattern(&tasks, false, 17, 400_000).unwrap();
    // The bounds of the first two are attained, that of the third is not.
    assert_eq!(observed, [2, 5, 6]);
}
