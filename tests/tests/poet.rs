//! The export for POET: its files pass the rules of POET's own loader, and say of a lane what its loads say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::{self, Load, Pieces, fixed_priority};
use aegis_codegen::report::poet::{Unsupported, export, lane};
use aegis_core::desc::Policy;
use aegis_core::time::Duration;
use aegis_tests::planned;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::path::Path;

/// A file as POET reads it: other keys, types and values are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Problem {
    #[serde(rename = "scheduling policy")]
    policy: Scheduling,
    #[serde(rename = "preemption model")]
    preemption: Preemption,
    #[serde(rename = "task set")]
    tasks: Vec<Task>,
}

#[derive(Deserialize, PartialEq, Eq)]
enum Scheduling {
    #[serde(rename = "FP", alias = "fixed-priority")]
    FixedPriority,
    #[serde(rename = "EDF", alias = "earliest-deadline-first")]
    Edf,
}

#[derive(Deserialize, PartialEq, Eq)]
enum Preemption {
    #[serde(rename = "FP", alias = "fully-preemptive")]
    Full,
    #[serde(rename = "NP", alias = "non-preemptive")]
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    id: i64,
    #[serde(rename = "worst-case execution time")]
    cost: NonZeroU64,
    deadline: NonZeroU64,
    period: Option<NonZeroU64>,
    #[serde(rename = "min interarrival")]
    separation: Option<NonZeroU64>,
    #[serde(rename = "arrival curve")]
    curve: Option<(NonZeroU64, Vec<(NonZeroU64, NonZeroU64)>)>,
    /// Up to POET 0.2 at least 0 and absent under EDF.
    priority: Option<u64>,
}

impl Problem {
    /// The rules beyond keys and types.
    fn validated(self) -> Result<Self, &'static str> {
        let ids: BTreeSet<i64> = self.tasks.iter().map(|task| task.id).collect();
        if ids.len() != self.tasks.len() || ids.is_empty() {
            return Err("ids are unique, and there is one");
        }
        for task in &self.tasks {
            let arrivals = [task.period.is_some(), task.separation.is_some(), task.curve.is_some()];
            if arrivals.iter().filter(|given| **given).count() != 1 {
                return Err("exactly one kind of arrivals");
            }
            if task.priority.is_some() != (self.policy == Scheduling::FixedPriority) {
                return Err("priorities belong to fixed priority");
            }
            let Some((horizon, steps)) = &task.curve else { continue };
            let grows = steps.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1);
            if steps.first().is_none_or(|step| step.0.get() != 1) || !grows || steps.last().unwrap().0 >= *horizon {
                return Err("steps start at 1, grow, and end before the horizon");
            }
        }
        Ok(self)
    }

    fn from_json(document: &Value) -> Result<Self, String> {
        let problem: Self = serde_json::from_value(document.clone()).map_err(|error| error.to_string())?;
        problem.validated().map_err(str::to_owned)
    }

    fn from_yaml(text: &str) -> Self {
        let problem: Self = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        problem.validated().unwrap_or_else(|why| panic!("{why}\n{text}"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixtures {
    schema: String,
    #[serde(rename = "description")]
    _description: String,
    sporadic: Vec<Published>,
    curves: Vec<Published>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    name: String,
    #[serde(rename = "source")]
    _source: String,
    document: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    why: String,
    document: Value,
}

fn fixtures() -> Fixtures {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/poet/sets.json");
    let fixtures: Fixtures = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(fixtures.schema, "aegis.poet/1");
    fixtures
}

fn named(loads: &[Load]) -> Vec<(&'static str, Load)> {
    let names = ["a", "b", "c", "d", "e"];
    assert!(loads.len() <= names.len());
    names.into_iter().zip(loads.iter().copied()).collect()
}

#[test]
fn the_rules_accept_what_is_published_and_refuse_what_poet_refuses() {
    let fixtures = fixtures();
    for published in fixtures.sporadic.iter().chain(&fixtures.curves) {
        if let Err(why) = Problem::from_json(&published.document) {
            panic!("{}: {why}", published.name);
        }
    }
    for refused in &fixtures.refused {
        assert!(Problem::from_json(&refused.document).is_err(), "{}", refused.why);
    }
    assert_eq!((fixtures.sporadic.len(), fixtures.curves.len(), fixtures.refused.len()), (7, 4, 27));
}

/// Key for key, but for what carries no meaning: ids follow the order of the loads, priorities are ranks, and arrivals
/// of which only the distance is known are called by that name.
#[test]
fn published_sets_come_out_as_they_went_in() {
    for published in fixtures().sporadic {
        let problem = Problem::from_json(&published.document).unwrap();
        let mut expected = published.document;
        let tasks = expected["task set"].as_array_mut().unwrap();
        let mut order: Vec<usize> = (0..tasks.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(problem.tasks[*index].priority));
        let mut sorted: Vec<Value> = order.iter().map(|index| tasks[*index].clone()).collect();
        let count = sorted.len();
        for (index, task) in sorted.iter_mut().enumerate() {
            let task = task.as_object_mut().unwrap();
            task["id"] = json!(index + 1);
            if let Some(period) = task.remove("period") {
                task.insert("min interarrival".to_owned(), period);
            }
            if let Some(priority) = task.get_mut("priority") {
                *priority = json!(count - index);
            }
        }
        *tasks = sorted;

        let load = |index: &usize| {
            let task = &problem.tasks[*index];
            let period = task.period.or(task.separation).unwrap();
            let load = if problem.preemption == Preemption::None { Load::whole } else { Load::preemptive };
            load(task.cost.get(), period.get(), task.deadline.get(), 0)
        };
        let loads: Vec<Load> = order.iter().map(load).collect();
        let policy = match problem.policy {
            Scheduling::FixedPriority => Policy::FixedPriority,
            Scheduling::Edf => Policy::EarliestDeadlineFirst,
        };
        let text = export(&published.name, &named(&loads), policy).unwrap();
        Problem::from_yaml(&text);
        let found: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(found, expected, "{}", published.name);
    }
}

/// A busy period of 17 + 30 + 3 · 10 ns + … ends by 100 ns; its end sets how far the curve is spelled out.
#[test]
fn a_file_reads_as_it_should() {
    let tasks = [("brake", Load::whole(10, 40, 30, 15)), ("map\n- id", Load::whole(18, 100, 100, 0))];
    let text = export("rover: lane cpu", &tasks, Policy::DeadlineMonotonic).unwrap();
    let expected = "\
# rover: lane cpu. Times in nanoseconds.
scheduling policy: FP
preemption model: NP
task set:
# brake: seen up to 15 ns after its arrival; the deadline and POET's bound count from then.
- id: 1
  worst-case execution time: 10
  arrival curve: [65, [[1, 1], [26, 2]]]
  deadline: 15
  priority: 2
# map\\n- id
- id: 2
  worst-case execution time: 18
  min interarrival: 100
  deadline: 100
  priority: 1
";
    assert_eq!(text, expected);
    Problem::from_yaml(&text);
}

#[test]
fn what_poet_does_not_cover_is_refused_by_name() {
    let whole = Load::whole(2, 10, 10, 0);
    let fixed = |loads: &[Load]| export("t", &named(loads), Policy::FixedPriority).unwrap_err();
    assert_eq!(export("t", &named(&[whole]), Policy::TimeTriggered), Err(Unsupported::Policy));
    assert_eq!(fixed(&[]), Unsupported::NoTasks);
    let task = || "b".to_owned();
    let pieces = |pieces| Load { pieces, ..whole };
    let segments = pieces(Pieces::Segments { last: 1, longest: 2 });
    let region = pieces(Pieces::Floating { longest: 2 });
    for other in [Load::preemptive(2, 10, 10, 0), segments, region] {
        assert_eq!(fixed(&[whole, other]), Unsupported::Preemption { task: task() });
    }
    assert_eq!(fixed(&[Load::preemptive(2, 10, 10, 0), whole]), Unsupported::Preemption { task: task() });
    assert_eq!(fixed(&[whole, Load::whole(2, 100, 10, 10)]), Unsupported::Late { task: task() });
    let long = [Load::whole(30_000, 100_000, 100_000, 0), Load::whole(1, 20, 20, 1)];
    assert_eq!(fixed(&long), Unsupported::Curve { task: task() });
    let overload = fixed(&[whole, Load::whole(9, 10, 10, 1)]);
    assert_eq!(overload, Unsupported::BusyPeriod(analysis::NoBound::Overloaded));
    // A job of 1 ns fits both models; segments that are the whole job are the whole job.
    let one = Load::preemptive(1, 10, 10, 0);
    let all = pieces(Pieces::Segments { last: 2, longest: 2 });
    for (loads, model) in [([one, whole], "NP"), ([one, all], "NP"), ([one, Load::preemptive(2, 10, 10, 0)], "FP")] {
        let text = export("t", &named(&loads), Policy::EarliestDeadlineFirst).unwrap();
        assert!(text.contains(&format!("preemption model: {model}\n")), "{text}");
    }
}

#[test]
fn a_lane_is_exported_with_its_overheads() {
    let lanes = vec![
        planned::lane("cpu", Policy::RateMonotonic, 3, 2),
        planned::lane("gpu", Policy::EarliestDeadlineFirst, 0, 0),
        planned::lane("table", Policy::TimeTriggered, 0, 0),
        planned::lane("idle", Policy::FixedPriority, 0, 0),
    ];
    let tasks = [("slow", 0, 200), ("fast", 0, 100), ("infer", 1, 100), ("tick", 2, 100)];
    let task = |(name, lane, period)| planned::task(name, lane, Load::whole(10, period, period, 0));
    let system = planned::system(lanes, tasks.into_iter().map(task).collect());
    let analysis = analysis::analyse(&system);

    let text = lane(&system, &analysis, 0).unwrap();
    assert!(text.starts_with("# numbers: lane cpu. "), "{text}");
    let cpu = Problem::from_yaml(&text);
    let facts = |task: &Task| (task.cost.get(), task.deadline.get(), task.priority.unwrap());
    assert_eq!(cpu.tasks.iter().map(facts).collect::<Vec<_>>(), [(13, 98, 2), (13, 198, 1)]);
    assert_eq!(Problem::from_yaml(&lane(&system, &analysis, 1).unwrap()).tasks.len(), 1);
    assert_eq!(lane(&system, &analysis, 2), Err(Unsupported::Policy));
    assert_eq!(lane(&system, &analysis, 3), Err(Unsupported::NoTasks));
}

impl Task {
    /// The most arrivals in an interval, as POET reads it.
    fn arrivals(&self, length: u64) -> u64 {
        let Some((horizon, steps)) = &self.curve else {
            return length.div_ceil(self.separation.unwrap().get());
        };
        let step =
            |length: u64| steps.iter().filter(|step| step.0.get() <= length).map(|step| step.1.get()).next_back();
        length / horizon.get() * steps.last().unwrap().1.get() + step(length % horizon.get()).unwrap_or(0)
    }

    fn request(&self, length: u64) -> u64 {
        self.arrivals(length) * self.cost.get()
    }
}

/// The least `x` from `start` with f(x) ≤ x, by trying each.
fn least(start: u64, f: impl Fn(u64) -> u64) -> Option<u64> {
    (start..5_000).find(|x| f(*x) <= *x)
}

/// POET's bound: the abstract analysis at each offset of the busy window (ECRTS 2022, theorems of Section 4).
fn poet_bound(problem: &Problem, own: usize) -> Option<u64> {
    let task = &problem.tasks[own];
    let others = || problem.tasks.iter().enumerate().filter(move |(index, _)| *index != own).map(|(_, other)| other);
    let edf = problem.policy == Scheduling::Edf;
    let whole = problem.preemption == Preemption::None;
    let blocking = |offset: u64| {
        let blocks = |other: &&Task| match edf {
            true => other.deadline.get() > task.deadline.get() + offset,
            false => other.priority < task.priority,
        };
        others().filter(|other| whole && blocks(other)).map(|other| other.cost.get() - 1).max().unwrap_or(0)
    };
    let interferes = |other: &Task| edf || other.priority > task.priority;
    let window = least(1, |window| {
        let interference: u64 = others().filter(|other| interferes(other)).map(|other| other.request(window)).sum();
        let blocking = if edf { 0 } else { blocking(0) };
        blocking + interference + task.request(window)
    })?;
    let rest = if whole { task.cost.get() - 1 } else { 0 };
    let bounds = (0..window).map(|offset| {
        let end = least(0, |end| {
            let reach = |other: &Task| match edf {
                true => end.min((offset + 1 + task.deadline.get()).saturating_sub(other.deadline.get())),
                false => end,
            };
            let interference = others().filter(|other| interferes(other)).map(|other| other.request(reach(other)));
            blocking(offset) + task.request(offset + 1) - rest + interference.sum::<u64>()
        })?;
        Some(end.saturating_sub(offset) + rest)
    });
    bounds.collect::<Option<Vec<u64>>>()?.into_iter().max()
}

/// From arrival, by the textbook: each job of the synchronous busy period, of which there are so many.
fn textbook_bound(loads: &[Load], own: usize) -> (u64, u64) {
    let load = loads[own];
    let blocking = loads[own + 1..].iter().map(|other| other.longest() - 1).max().unwrap_or(0);
    let released = |other: &Load, length: u64| (length + other.jitter).div_ceil(other.period) * other.cost;
    let level = &loads[..=own];
    let busy = least(1, |busy| blocking + level.iter().map(|other| released(other, busy)).sum::<u64>()).unwrap();
    let instances = (busy + load.jitter).div_ceil(load.period);
    let response = |q: u64| {
        let before = (q + 1) * load.cost - (load.last() - 1);
        // Until its last piece runs: one nanosecond of it is enough to be certain of the rest.
        let begun =
            least(1, |begun| blocking + before + loads[..own].iter().map(|other| released(other, begun)).sum::<u64>());
        begun.unwrap() + (load.last() - 1) + load.jitter - q * load.period
    };
    ((0..instances).map(response).max().unwrap(), instances)
}

/// Whether blocking and demand fit at every instant until the end of the busy period, from the definition.
fn demand_fits(loads: &[Load]) -> bool {
    let released = |load: &Load, length: u64| (length + load.jitter).div_ceil(load.period) * load.cost;
    let busy = least(1, |busy| loads.iter().map(|load| released(load, busy)).sum()).unwrap();
    (0..=busy).all(|at| {
        let later = loads.iter().filter(|load| load.deadline > at + load.jitter);
        let blocking = later.map(|load| load.longest() - 1).max().unwrap_or(0);
        let due =
            |load: &Load| (at + load.jitter + load.period).saturating_sub(load.deadline) / load.period * load.cost;
        let due = loads.iter().map(due).sum::<u64>();
        due == 0 || blocking + due <= at
    })
}

/// Under 90 % so that busy periods are short.
fn small_set(random: &mut fastrand::Rng, whole: bool) -> Option<Vec<Load>> {
    let loads: Vec<Load> = (0..random.usize(2..=3))
        .map(|_| {
            let period = random.u64(4..=20);
            let cost = random.u64(1..=period / 2);
            let jitter = if random.bool() { random.u64(0..period * 3 / 2) } else { 0 };
            let deadline = jitter + random.u64(cost..=3 * period);
            if whole {
                Load::whole(cost, period, deadline, jitter)
            } else {
                Load::preemptive(cost, period, deadline, jitter)
            }
        })
        .collect();
    let utilization: f64 = loads.iter().map(|load| load.cost as f64 / load.period as f64).sum();
    (utilization <= 0.9).then_some(loads)
}

#[test]
fn curves_for_jitter_are_exact_until_the_horizon_and_never_less_beyond() {
    let mut random = fastrand::Rng::with_seed(31);
    let mut exact = 0;
    let mut over = 0;
    for _ in 0..2_000 {
        let Some(loads) = small_set(&mut random, true) else { continue };
        let problem = Problem::from_yaml(&export("t", &named(&loads), Policy::FixedPriority).unwrap());
        for (task, load) in problem.tasks.iter().zip(&loads) {
            let Some((horizon, _)) = &task.curve else { continue };
            for length in 1..=5 * horizon.get() {
                let releases = (length + load.jitter).div_ceil(load.period);
                let curve = task.arrivals(length);
                assert!(curve == releases || curve > releases && length > horizon.get(), "{load:?} {length}");
                if curve == releases { exact += 1 } else { over += 1 }
            }
        }
    }
    assert!(exact > 10_000 && over > 10_000, "{exact} {over}");
}

/// Equal where only the first job of a busy period can be the worst, or where the task itself has no jitter: only the first
/// job of a burst is as late as J, and POET does not know which job is the first.
#[test]
fn under_fixed_priority_the_bound_of_the_file_plus_jitter_bounds_the_lane() {
    let mut random = fastrand::Rng::with_seed(32);
    let (mut equal, mut equal_with_jitter, mut above) = (0, 0, 0);
    for round in 0..4_000 {
        let whole = round % 2 == 0;
        let Some(loads) = small_set(&mut random, whole) else { continue };
        let problem = Problem::from_yaml(&export("t", &named(&loads), Policy::FixedPriority).unwrap());
        for (own, load) in loads.iter().enumerate() {
            let (bound, instances) = textbook_bound(&loads, own);
            if whole {
                let found = fixed_priority::analyse(&loads)[own].response.clone().unwrap().0;
                assert_eq!(Duration::from_ns(bound), found, "{own} of {loads:?}");
            }
            let file = poet_bound(&problem, own).unwrap() + load.jitter;
            assert!(file == bound || file > bound && instances > 1 && load.jitter > 0, "{own} of {loads:?}");
            equal += u32::from(file == bound);
            equal_with_jitter += u32::from(file == bound && load.jitter > 0);
            above += u32::from(file > bound);
        }
    }
    assert!(equal > 3_000 && equal_with_jitter > 300 && above > 300, "{equal} {equal_with_jitter} {above}");
}

#[test]
fn under_edf_deadlines_that_the_file_meets_are_met_by_the_lane() {
    let mut random = fastrand::Rng::with_seed(33);
    let (mut proven, mut with_jitter, mut exact, mut missed) = (0, 0, 0, 0);
    for round in 0..6_000 {
        let Some(loads) = small_set(&mut random, round % 2 == 0) else { continue };
        let problem = Problem::from_yaml(&export("t", &named(&loads), Policy::EarliestDeadlineFirst).unwrap());
        // Beyond the horizon a curve may take the file above what has a bound; then it proves nothing.
        let meets = |(own, task): (usize, &Task)| poet_bound(&problem, own).is_some_and(|r| r <= task.deadline.get());
        let proves = problem.tasks.iter().enumerate().all(meets);
        let fits = demand_fits(&loads);
        assert!(!proves || fits, "{loads:?}");
        let jitter = loads.iter().any(|load| load.jitter > 0);
        if !jitter {
            assert_eq!(proves, fits, "{loads:?}");
            exact += 1;
        }
        proven += u32::from(proves);
        with_jitter += u32::from(proves && jitter);
        missed += u32::from(!fits);
    }
    assert!(
        proven > 500 && with_jitter > 200 && exact > 300 && missed > 300,
        "{proven} {with_jitter} {exact} {missed}"
    );
}
