//! Tables of time-triggered lanes: what is generated holds, what holds is found, what is mutated is rejected.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::time_triggered::{LONGEST, NoTable, STEPS, Slot, Table, Task, Why, check, generate};
use serde::Deserialize;
use std::collections::VecDeque;
use std::path::Path;

fn task(cost: u64, period: u64, deadline: u64, jitter: u64, phase: u64) -> Task {
    Task { cost, period, deadline, jitter, phase }
}

fn phase(task: &Task) -> u64 {
    task.phase % task.period
}

/// Whether any assignment of whole ticks on the circle gives every job a place in its window: all are tried.
fn exists(tasks: &[Task], latency: u64, lap: u64) -> bool {
    fn place(jobs: &[(u64, u64, u64)], lap: u64, taken: u128) -> bool {
        let Some(((release, due, length), rest)) = jobs.split_first() else { return true };
        (*release..=due.saturating_sub(*length)).any(|start| {
            let ticks = (start..start + length).fold(0u128, |ticks, tick| ticks | 1 << (tick % lap));
            start + length <= *due && ticks & taken == 0 && place(rest, lap, taken | ticks)
        })
    }
    let mut jobs = Vec::new();
    for task in tasks {
        for job in 0..lap / task.period {
            let arrival = phase(task) + job * task.period;
            if task.cost + latency > lap {
                return false;
            }
            jobs.push((arrival + task.jitter, arrival + task.deadline.min(lap), task.cost + latency));
        }
    }
    // The tightest first; no order loses an assignment.
    jobs.sort_unstable_by_key(|(release, due, length)| due.saturating_sub(release + length));
    place(&jobs, lap, 0)
}

/// The longest responses that the slots give, tick by tick over many laps with every job late, or `None` where slots
/// overlap, are too many or too few, or a job is late.
fn responses(tasks: &[Task], latency: u64, table: &Table) -> Option<Vec<u64>> {
    let lap = table.hyperperiod;
    let mut taken = vec![false; usize::try_from(lap).unwrap()];
    for slot in &table.slots {
        for tick in slot.at..slot.at + latency + tasks.get(slot.task)?.cost {
            let tick = taken.get_mut(usize::try_from(tick % lap).unwrap())?;
            if slot.at >= lap || std::mem::replace(tick, true) {
                return None;
            }
        }
    }
    let mut worst = vec![0; tasks.len()];
    for (index, task) in tasks.iter().enumerate() {
        let slots: Vec<u64> = table.slots.iter().filter(|slot| slot.task == index).map(|slot| slot.at).collect();
        if !lap.is_multiple_of(task.period) || u64::try_from(slots.len()).unwrap() != lap / task.period {
            return None;
        }
        let mut waiting = VecDeque::new();
        for now in 0..12 * lap {
            if now >= task.jitter + phase(task) && (now - task.jitter - phase(task)).is_multiple_of(task.period) {
                waiting.push_back(now - task.jitter);
            }
            if slots.contains(&(now % lap))
                && let Some(arrival) = waiting.pop_front()
            {
                worst[index] = worst[index].max(now + latency + task.cost - arrival);
            }
        }
        if worst[index] > task.deadline.min(lap) || waiting.front().is_some_and(|arrival| arrival + 2 * lap < 12 * lap)
        {
            return None;
        }
    }
    Some(worst)
}

fn tiny(rng: &mut fastrand::Rng) -> (Vec<Task>, u64) {
    let families: [&[u64]; 5] = [&[6, 12], &[4, 8, 16], &[3, 6, 9, 18], &[4, 6, 12], &[10, 15, 30]];
    let periods = families[rng.usize(..families.len())];
    let latency = rng.u64(0..=1);
    let tasks = (0..rng.usize(1..=4)).map(|_| {
        let period = periods[rng.usize(..periods.len())];
        let cost = rng.u64(1..=period / 2);
        let deadline = rng.u64(cost..=period + period / 2);
        task(cost, period, deadline, if rng.bool() { 0 } else { rng.u64(0..=period / 2) }, rng.u64(0..2 * period))
    });
    (tasks.collect(), latency)
}

fn hyperperiod(tasks: &[Task]) -> u64 {
    (1..).find(|lap| tasks.iter().all(|task| lap % task.period == 0)).unwrap()
}

#[test]
fn a_table_is_found_exactly_where_one_exists() {
    let (mut found, mut none) = (0, 0);
    for seed in 0..10_000 {
        let (tasks, latency) = tiny(&mut fastrand::Rng::with_seed(seed));
        let lap = hyperperiod(&tasks);
        let jobs: u64 = tasks.iter().map(|task| lap / task.period).sum();
        if jobs > 14 {
            continue;
        }
        match generate(&tasks, latency, STEPS) {
            Ok(table) => {
                assert_eq!(check(&tasks, latency, &table), Ok(()), "seed {seed}");
                assert_eq!(responses(&tasks, latency, &table), Some(table.responses.clone()), "seed {seed}");
                assert!(exists(&tasks, latency, lap), "seed {seed}");
                found += 1;
            }
            Err(NoTable::GaveUp { .. }) => panic!("seed {seed} gave up"),
            Err(why) => {
                assert!(!exists(&tasks, latency, lap), "seed {seed}: {why}");
                none += u32::from(why == NoTable::Infeasible);
            }
        }
    }
    println!("{found} tables, {none} proofs that there is none");
    assert!(found > 3_000 && none > 400, "{found} {none}");
}

/// Larger sets, harmonic or not, with moderate utilization.
fn medium(rng: &mut fastrand::Rng) -> (Vec<Task>, u64) {
    let families: [&[u64]; 3] = [&[20, 40, 80, 160], &[20, 30, 40, 60, 120], &[25, 50, 75, 150]];
    let periods = families[rng.usize(..families.len())];
    let count = rng.usize(2..=8);
    let tasks = (0..count).map(|_| {
        let period = periods[rng.usize(..periods.len())];
        let cost = rng.u64(1..=(period / u64::try_from(count).unwrap()).clamp(1, 12));
        let jitter = if rng.bool() { 0 } else { rng.u64(0..=period / 4) };
        task(cost, period, rng.u64(period / 2 + cost..=period + period / 4), jitter, rng.u64(0..period))
    });
    (tasks.collect(), rng.u64(0..=1))
}

#[test]
fn a_mutated_table_is_rejected_or_is_a_table() {
    let (mut rejected, mut harmless) = (0, 0);
    for seed in 0..150 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (tasks, latency) = medium(&mut rng);
        let Ok(table) = generate(&tasks, latency, 100_000) else { continue };
        assert_eq!(check(&tasks, latency, &table), Ok(()), "seed {seed}");
        for _ in 0..30 {
            let mut mutant = table.clone();
            let (one, other) = (rng.usize(..mutant.slots.len()), rng.usize(..mutant.slots.len()));
            match rng.u8(..7) {
                0 => mutant.slots[one].at += 1,
                1 => mutant.slots[one].at = mutant.slots[one].at.saturating_sub(1),
                2 => mutant.slots[one].at = rng.u64(..mutant.hyperperiod),
                3 => {
                    (mutant.slots[one].task, mutant.slots[other].task) =
                        (table.slots[other].task, table.slots[one].task)
                }
                4 => drop(mutant.slots.remove(one)),
                5 => mutant.slots.insert(one, table.slots[one]),
                _ => mutant.hyperperiod *= 2,
            }
            if mutant == table {
                continue;
            }
            let verdict = check(&tasks, latency, &mutant);
            // What the table states may be all that is wrong with it: correct it.
            let truth = responses(&tasks, latency, &mutant).filter(|_| mutant.slots.is_sorted_by(|a, b| a.at < b.at));
            assert_eq!(verdict.is_ok(), truth.as_ref() == Some(&table.responses), "seed {seed}: {verdict:?}");
            if let Some(truth) = truth {
                mutant.responses = truth;
                assert_eq!(check(&tasks, latency, &mutant), Ok(()), "seed {seed}");
                harmless += 1;
            } else {
                rejected += 1;
            }
        }
        for index in 0..tasks.len() {
            for wrong in [table.responses[index] + 1, table.responses[index] - 1] {
                let mut mutant = table.clone();
                mutant.responses[index] = wrong;
                let response = table.responses[index];
                assert_eq!(check(&tasks, latency, &mutant), Err(Why::Response { task: index, response }));
            }
        }
    }
    println!("{rejected} mutants rejected, {harmless} are tables, too");
    assert!(rejected > 1_000 && harmless > 100, "{rejected} {harmless}");
}

/// Runs the table: submissions within the jitter, late timers, short executions. Gives the longest responses.
fn run(tasks: &[Task], latency: u64, table: &Table, laps: u64, mut most: impl FnMut(u64) -> u64) -> Vec<u64> {
    let mut worst = vec![0; tasks.len()];
    let mut waiting: Vec<VecDeque<(u64, u64)>> = tasks
        .iter()
        .map(|task| {
            let arrivals = (0..).map(|job| phase(task) + job * task.period);
            let mut last = 0;
            let submitted = |arrival: u64| {
                last = (arrival + most(task.jitter)).max(last);
                (arrival, last)
            };
            arrivals.take_while(|arrival| *arrival < laps * table.hyperperiod).map(submitted).collect()
        })
        .collect();
    let mut busy = 0;
    for lap in 0..laps {
        for slot in &table.slots {
            let at = lap * table.hyperperiod + slot.at;
            let seen = at + most(latency);
            // Nothing that ran before is in the way.
            assert!(busy <= at, "busy until {busy} at {at}");
            if waiting[slot.task].front().is_some_and(|(_, submitted)| *submitted <= seen) {
                let (arrival, _) = waiting[slot.task].pop_front().unwrap();
                busy = seen + 1 + most(tasks[slot.task].cost - 1);
                worst[slot.task] = worst[slot.task].max(busy - arrival);
            }
        }
    }
    worst
}

#[test]
fn no_response_exceeds_its_bound_and_the_worst_case_attains_it() {
    let mut runs = 0;
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(1_000 + seed);
        let (tasks, latency) = medium(&mut rng);
        let Ok(table) = generate(&tasks, latency, 100_000) else { continue };
        assert_eq!(run(&tasks, latency, &table, 6, |most| most), table.responses, "seed {seed}");
        for _ in 0..10 {
            let seen = run(&tasks, latency, &table, 8, |most| rng.u64(0..=most));
            assert!(seen.iter().zip(&table.responses).all(|(seen, bound)| seen <= bound), "seed {seed}");
            runs += 1;
        }
    }
    println!("{runs} runs of eight laps");
    assert!(runs > 500, "{runs}");
}

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
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "unit")]
    _unit: String,
    #[serde(rename = "note")]
    _note: String,
    policy: String,
    tasks: Vec<Named>,
    missed: Missed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    cost: u64,
    period: u64,
    deadline: u64,
    jitter: u64,
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
struct Missed {
    task: String,
    /// From 1.
    job: u64,
    finish: u64,
}

/// The first late job where the lane never waits while a job does.
fn first_late(tasks: &[Named], by_deadline: bool) -> Option<Missed> {
    let mut done = vec![0; tasks.len()];
    let mut now = 0;
    for _ in 0..100 {
        let ready = |index: &usize| done[*index] * tasks[*index].period <= now;
        let rank = |index: &usize| {
            let due = done[*index] * tasks[*index].period + tasks[*index].deadline;
            (if by_deadline { due } else { tasks[*index].period }, *index)
        };
        let Some(next) = (0..tasks.len()).filter(ready).min_by_key(rank) else {
            now += 1;
            continue;
        };
        now += tasks[next].cost;
        done[next] += 1;
        if now > (done[next] - 1) * tasks[next].period + tasks[next].deadline {
            return Some(Missed { task: tasks[next].name.clone(), job: done[next], finish: now });
        }
    }
    None
}

#[test]
fn published_sets_that_miss_without_waiting_have_a_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors/time_triggered.json");
    let file: File = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file.schema, "aegis.vectors/1");
    assert_eq!(file.vectors.len(), 2);
    for vector in file.vectors {
        assert_eq!(first_late(&vector.tasks, vector.policy == "edf"), Some(vector.missed), "{}", vector.name);
        let plain = |own: &Named| task(own.cost, own.period, own.deadline, own.jitter, 0);
        let tasks: Vec<Task> = vector.tasks.iter().map(plain).collect();
        let table = generate(&tasks, 0, STEPS).unwrap();
        assert_eq!(check(&tasks, 0, &table), Ok(()), "{}", vector.name);
    }
}

/// The worked examples of `docs/theory/time-triggered.md`.
#[test]
fn worked_examples_wait_for_b_and_wrap_around() {
    let slots = |table: &Table| table.slots.iter().map(|slot| (slot.at, slot.task)).collect::<Vec<_>>();
    let waits = generate(&[task(3, 10, 10, 0, 0), task(6, 12, 12, 0, 0), task(8, 60, 60, 0, 0)], 0, STEPS).unwrap();
    let (at, of) = ([0, 3, 10, 13, 19, 27, 30, 36, 39, 45, 48, 54], [0, 1, 0, 1, 2, 0, 1, 0, 1, 0, 1, 0]);
    assert_eq!((waits.hyperperiod, slots(&waits)), (60, at.into_iter().zip(of).collect()));
    assert_eq!(waits.responses, [10, 12, 27]);
    let wraps = generate(&[task(2, 10, 10, 1, 0), task(4, 20, 15, 0, 12), task(6, 20, 20, 2, 5)], 1, STEPS).unwrap();
    assert_eq!((wraps.hyperperiod, slots(&wraps)), (20, vec![(0, 1), (7, 0), (10, 2), (17, 0)]));
    assert_eq!(wraps.responses, [10, 13, 12]);
}

#[test]
fn bad_input_gives_a_reason_with_its_numbers() {
    let no = |tasks: &[Task], latency| generate(tasks, latency, STEPS).unwrap_err();
    assert_eq!(no(&[task(0, 10, 10, 0, 0)], 0), NoTable::Zero { task: 0 });
    assert_eq!(no(&[task(1, 10, 10, 0, 0), task(1, 0, 10, 0, 0)], 0), NoTable::Zero { task: 1 });
    let late = task(4, 10, 3, 0, 0);
    assert_eq!(no(&[task(1, 5, 5, 0, 0), late], 1), NoTable::DoesNotFit { task: 1, needed: 5, window: 3 });
    assert_eq!(no(&[task(1, 10, 10, 10, 0)], 0), NoTable::DoesNotFit { task: 0, needed: 11, window: 10 });
    let endless = task(u64::MAX, u64::MAX / 8, u64::MAX, u64::MAX, u64::MAX);
    assert_eq!(no(&[endless], u64::MAX), NoTable::Overloaded);
    let idle = task(1, LONGEST, u64::MAX, u64::MAX, u64::MAX);
    assert_eq!(no(&[idle], 0), NoTable::DoesNotFit { task: 0, needed: u64::MAX, window: LONGEST });
    let long = task(1, LONGEST + 1, 10, 0, 0);
    assert_eq!(no(&[long], 0), NoTable::Hyperperiod { task: 0, before: 1, period: LONGEST + 1 });
    // U = 1 without latency has a table here, and none with it.
    let full = [task(5, 10, 10, 0, 0), task(10, 20, 20, 0, 0)];
    assert_eq!(generate(&full, 0, STEPS).unwrap().responses, [10, 15]);
    assert_eq!(no(&full, 1), NoTable::Overloaded);
    // A long job fits into no gap of the short one.
    assert_eq!(no(&[task(2, 10, 10, 0, 0), task(17, 100, 100, 0, 0)], 0), NoTable::Infeasible);
    assert_eq!(generate(&[], 5, STEPS), Ok(Table { hyperperiod: 1, slots: Vec::new(), responses: Vec::new() }));
    assert_eq!(check(&[], 5, &generate(&[], 5, STEPS).unwrap()), Ok(()));
}

#[test]
fn hyperperiods_beyond_reason_are_told_with_their_numbers() {
    let primes = [999_999_937u64, 999_999_929, 999_999_893];
    let tasks: Vec<Task> = primes.iter().map(|period| task(1_000, *period, *period, 0, 0)).collect();
    let before = primes[0] * primes[1];
    assert_eq!(generate(&tasks, 10, STEPS), Err(NoTable::Hyperperiod { task: 2, before, period: primes[2] }));
    let (slots, hyperperiod) = (primes[0] + primes[1], before);
    assert_eq!(generate(&tasks[..2], 10, STEPS), Err(NoTable::TooManySlots { slots, hyperperiod }));
}

#[test]
fn phases_count_modulo_the_period() {
    let at = |phase| generate(&[task(3, 10, 10, 0, phase), task(3, 10, 10, 0, 0)], 0, STEPS).unwrap();
    assert_eq!(at(4), at(1_000_004));
}

#[test]
fn ten_thousand_tasks_get_a_table_or_a_reason_within_the_limit() {
    let many: Vec<Task> = (0..10_000).map(|index| task(9, 100_000, 100_000, 0, index * 7)).collect();
    let table = generate(&many, 1, STEPS).unwrap();
    assert_eq!(
        check(&many[..10], 1, &table),
        Err(Why::Slot { slot: table.slots.iter().position(|s| s.task > 9).unwrap() })
    );
    let tight: Vec<Task> = (0..10_000).map(|index| task(9, 100_000, 50_000, 0, index % 3)).collect();
    let steps = 2_000_000;
    assert!(matches!(generate(&tight, 1, steps), Err(NoTable::GaveUp { .. } | NoTable::Infeasible)));
    assert_eq!(generate(&tight, 1, steps), generate(&tight, 1, steps));
}

#[test]
fn a_slot_outside_the_lap_or_of_nobody_is_rejected() {
    let tasks = [task(2, 10, 10, 0, 0)];
    let table = generate(&tasks, 0, STEPS).unwrap();
    let with = |slot| Table { slots: vec![slot], ..table.clone() };
    assert_eq!(check(&tasks, 0, &with(Slot { at: 10, task: 0 })), Err(Why::Slot { slot: 0 }));
    assert_eq!(check(&tasks, 0, &with(Slot { at: 0, task: 1 })), Err(Why::Slot { slot: 0 }));
    assert_eq!(check(&tasks, 9, &table), Err(Why::Overlap { slot: 0 }));
    assert_eq!(check(&tasks, u64::MAX, &table), Err(Why::Overflow));
    assert_eq!(check(&[task(2, 7, 10, 0, 0)], 0, &table), Err(Why::Hyperperiod { task: 0 }));
    assert_eq!(check(&[task(2, 5, 10, 0, 0)], 0, &table), Err(Why::Count { task: 0, slots: 1 }));
    assert_eq!(check(&[task(2, 10, 10, 1, 0)], 0, &table), Err(Why::Late { task: 0, job: 1, response: 12 }));
}
