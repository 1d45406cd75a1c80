//! Cause-effect chains: published figures, the worked example of `docs/theory/chains.md`, and slow oracles that follow the
//! data.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aegis_codegen::analysis::chains::{Bounds, Inexact, LetStep, Step, let_exact, register};
use aegis_codegen::analysis::{Load, fixed_priority};
use aegis_tests::pipelines::{Arrivals, Done, Lane, Pipeline, Stage, simulate};
use serde::Deserialize;
use std::collections::{BTreeSet, VecDeque};
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
    #[serde(rename = "unit")]
    _unit: String,
    tasks: Vec<Task>,
    reaction: u64,
    age: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    #[serde(rename = "name")]
    _name: String,
    period: u64,
    deadline: u64,
}

fn step(period: u64, response: u64) -> Step {
    Step { period, response, jitter: 0, before_next: false }
}

fn let_step(period: u64, phase: u64, interval: u64) -> LetStep {
    LetStep { period, phase, interval }
}

#[test]
fn let_figures_are_the_published_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors/chains.json");
    let file: File = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file.schema, "aegis.vectors/1");
    assert_eq!(file.vectors.len(), 3);
    for vector in file.vectors {
        assert!(!vector.source.is_empty());
        let steps: Vec<LetStep> = vector.tasks.iter().map(|task| let_step(task.period, 0, task.deadline)).collect();
        let bounds = let_exact(&steps).unwrap();
        assert_eq!((bounds.reaction, bounds.age), (vector.reaction, vector.age), "{}", vector.name);
    }
}

#[test]
fn the_worked_example() {
    // Camera 33 ms, planner 50 ms, brake 10 ms; microseconds.
    let (camera, planner, brake) = (step(33_000, 21_000), step(50_000, 34_000), step(10_000, 3_000));
    let bounds = register(&[camera, planner, brake]).unwrap();
    assert_eq!(bounds, Bounds { reaction: 151_000, age: 151_000, age_at_write: 141_000 });
    // Camera and planner on one lane, the camera more important, with 1 ms of jitter: 21 ms become 1 ms.
    let camera = Step { jitter: 1_000, before_next: true, ..camera };
    let bounds = register(&[camera, planner, brake]).unwrap();
    assert_eq!(bounds, Bounds { reaction: 131_000, age: 131_000, age_at_write: 121_000 });
    // LET of 20 and 10.
    let bounds = let_exact(&[let_step(20, 0, 20), let_step(10, 0, 10)]).unwrap();
    assert_eq!(bounds, Bounds { reaction: 50, age: 50, age_at_write: 40 });
    // The same with phases: the second task reads a tick before the value is written.
    let bounds = let_exact(&[let_step(20, 1, 20), let_step(10, 0, 10)]).unwrap();
    assert_eq!(bounds, Bounds { reaction: 59, age: 59, age_at_write: 49 });
}

#[test]
fn bad_input_is_told_from_good() {
    assert_eq!(register(&[]), None);
    assert_eq!(register(&[step(u64::MAX, 1)]), None);
    assert_eq!(register(&[step(u64::MAX - 1, 1)]).map(|bounds| bounds.reaction), Some(u64::MAX));
    assert_eq!(let_exact(&[]), Err(Inexact::Malformed));
    assert_eq!(let_exact(&[let_step(0, 0, 1)]), Err(Inexact::Malformed));
    let primes = [4_294_967_291, 4_294_967_279, 4_294_967_231].map(|prime| let_step(prime, 0, prime));
    assert_eq!(let_exact(&primes), Err(Inexact::Hyperperiod));
    let hyperperiod = 4_294_967_291 * 4_294_967_279;
    assert_eq!(let_exact(&primes[..2]), Err(Inexact::TooManyJobs { hyperperiod }));
    assert_eq!(let_exact(&[let_step(u64::MAX, 0, u64::MAX)]), Err(Inexact::Overflow));
    let long = let_step(u64::MAX / 8, u64::MAX, u64::MAX / 8);
    assert_eq!(let_exact(&[long]).map(|bounds| bounds.reaction), Ok(u64::MAX / 8 * 2));
}

/// Follows every value through the registers, one tick at a time; from the instant on at which all tasks have arrived and
/// their values have passed, for one hyperperiod.
fn propagated(steps: &[LetStep]) -> Bounds {
    let hyperperiod = (1u64..).find(|ticks| steps.iter().all(|step| ticks % step.period == 0)).unwrap();
    let span: u64 = steps.iter().map(|step| step.period + step.interval).sum();
    let from = steps.iter().map(|step| step.phase).max().unwrap() + span;
    let (to, until) = (from + hyperperiod, from + hyperperiod + span + 1);
    let mut registers: Vec<Option<u64>> = vec![None; steps.len()];
    let mut writes: Vec<VecDeque<(u64, Option<u64>)>> = vec![VecDeque::new(); steps.len()];
    let mut reads = Vec::new();
    let mut outputs: Vec<(u64, u64)> = Vec::new();
    let mut bounds = Bounds { reaction: 0, age: 0, age_at_write: 0 };
    for now in 0..=until {
        let mut input = Some(now);
        for (index, step) in steps.iter().enumerate() {
            if now >= step.phase && (now - step.phase) % step.period == 0 {
                writes[index].push_back((now + step.interval, input));
                if index == 0 {
                    reads.push(now);
                }
            }
            while writes[index].front().is_some_and(|(at, _)| *at == now) {
                registers[index] = writes[index].pop_front().unwrap().1;
                if let Some(sample) = registers[index].filter(|_| index + 1 == steps.len()) {
                    outputs.push((now, sample));
                }
            }
            input = registers[index];
        }
    }
    for read in reads.into_iter().filter(|read| (from..to).contains(read)) {
        let (at, _) = outputs.iter().find(|(_, sample)| *sample > read).unwrap();
        bounds.reaction = bounds.reaction.max(at - read);
    }
    for pair in outputs.windows(2).filter(|pair| (from..to).contains(&pair[0].0)) {
        bounds.age_at_write = bounds.age_at_write.max(pair[0].0 - pair[0].1);
        bounds.age = bounds.age.max(pair[1].0 - pair[0].1);
    }
    bounds
}

#[test]
fn let_figures_are_those_of_the_values_in_the_registers() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut phased = 0;
    for case in 0..20_000 {
        let steps: Vec<LetStep> = (0..rng.usize(1..=4))
            .map(|_| {
                let period = rng.u64(1..=10);
                let interval = if rng.bool() { period } else { rng.u64(0..=2 * period) };
                let_step(period, if case % 2 == 0 { 0 } else { rng.u64(0..3 * period) }, interval)
            })
            .collect();
        let bounds = let_exact(&steps).unwrap();
        assert_eq!(bounds, propagated(&steps), "{steps:?}");
        assert_eq!(bounds.reaction, bounds.age, "{steps:?}");
        phased += u32::from(steps.iter().any(|step| step.phase > 0));
        // LET is a case of register communication with D as response.
        let responses: Vec<Step> = steps.iter().map(|each| step(each.period, each.interval)).collect();
        let general = register(&responses).unwrap();
        assert!(bounds.reaction <= general.reaction && bounds.age_at_write <= general.age_at_write, "{steps:?}");
    }
    assert!(phased > 8_000);
}

/// All instants at which the first job that starts after `written` can complete, over all schedules of a task whose jobs
/// take at least a tick, run in order and complete at most R after their arrivals. `tie`: a read at the instant of the
/// write sees it.
fn completions(step: &Step, phase: u64, written: u64, tie: bool) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    // Earlier jobs can be out of the way; then each instant at which the one before can have completed.
    let mut job = written.saturating_sub(phase).saturating_sub(2 * step.response) / step.period;
    let mut free_at = BTreeSet::from([0]);
    while !free_at.is_empty() {
        let arrival = phase + job * step.period;
        let mut next = BTreeSet::new();
        for free in &free_at {
            for start in arrival.max(*free)..arrival + step.response {
                let after = start > written || (tie && start == written);
                let into = if after { &mut found } else { &mut next };
                into.extend(start + 1..=arrival + step.response);
            }
        }
        free_at = next;
        job += 1;
    }
    found
}

/// The longest reaction over all schedules with these phases: the event is just after the read of a job in the middle.
fn all_reactions(steps: &[Step], phases: &[u64], tie: bool) -> u64 {
    let first = &steps[0];
    let event_job = 20;
    let arrival = phases[0] + event_job * first.period;
    let mut worst = 0;
    // The job of the event may start anywhere and complete before the next one starts.
    for event in arrival..arrival + first.response {
        let next = arrival + first.period;
        let mut written: BTreeSet<u64> = ((event + 1).max(next)..next + first.response)
            .flat_map(|start| start + 1..=next + first.response)
            .collect();
        for (step, phase) in steps.iter().zip(phases).skip(1) {
            written = written.iter().flat_map(|at| completions(step, *phase, *at, tie)).collect();
        }
        worst = worst.max(written.last().unwrap() - event);
    }
    worst
}

#[test]
fn the_register_bound_is_attained_by_some_schedule_and_exceeded_by_none() {
    let mut rng = fastrand::Rng::with_seed(11);
    for _ in 0..1_500 {
        let steps: Vec<Step> = (0..rng.usize(1..=3)).map(|_| step(rng.u64(1..=4), rng.u64(1..=5))).collect();
        let bounds = register(&steps).unwrap();
        let (mut worst, mut phases) = (0, vec![0; steps.len()]);
        // All combinations of phases below the periods.
        loop {
            worst = worst.max(all_reactions(&steps, &phases, false));
            let seen = all_reactions(&steps, &phases, true);
            let known: Vec<LetStep> =
                steps.iter().zip(&phases).map(|(step, phase)| let_step(step.period, *phase, step.response)).collect();
            let exact = let_exact(&known).unwrap();
            assert!(seen <= exact.reaction && exact.reaction <= bounds.reaction, "{steps:?} {phases:?}");
            let Some(index) = (0..steps.len()).find(|index| phases[*index] + 1 < steps[*index].period) else { break };
            phases[..index].fill(0);
            phases[index] += 1;
        }
        assert_eq!(worst, bounds.reaction, "{steps:?}");
    }
}

#[test]
fn the_age_at_a_write_is_attained_by_some_schedule_and_exceeded_by_none() {
    let mut cases = 0;
    for (t1, r1, t2, r2) in (0..256).map(|code| (code % 4 + 1, code / 4 % 4 + 1, code / 16 % 4 + 1, code / 64 + 1)) {
        let bound = register(&[step(t1, r1), step(t2, r2)]).unwrap().age_at_write;
        let mut worst = 0;
        // Jobs 10 and 11 of the first task in all ways; a job of the second that reads after 10 wrote and before 11 did.
        let (a10, a11) = (10 * t1, 11 * t1);
        for (s10, f10) in (a10..a10 + r1).flat_map(|start| (start + 1..=a10 + r1).map(move |end| (start, end))) {
            for f11 in (f10.max(a11)..a11 + r1).flat_map(|start| start + 1..=a11 + r1) {
                for arrival in a10..=f11 {
                    let starts = arrival.max(f10 + 1)..(arrival + r2).min(f11 + 1);
                    for finish in starts.flat_map(|start| start + 1..=arrival + r2) {
                        worst = worst.max(finish - s10);
                    }
                }
            }
        }
        assert_eq!(worst, bound, "{:?}", (t1, r1, t2, r2));
        cases += 1;
    }
    assert_eq!(cases, 256);
}

/// The response bound of a preemptive task, textbook form; `None` where it does not settle.
fn preemptive(level: &[Pipeline]) -> Option<u64> {
    let (own, hp) = level.split_last()?;
    let cost = |pipeline: &Pipeline| pipeline.stages[0].worst;
    let settle = |base: u64, on: &[Pipeline], mut at: u64| loop {
        let next = base + on.iter().map(|p| (at + p.jitter).div_ceil(p.period) * cost(p)).sum::<u64>();
        if next == at || next > 2_000 {
            return Some(at).filter(|_| next == at);
        }
        at = next;
    };
    let busy = settle(0, level, 1)?;
    let ends = (0..(busy + own.jitter).div_ceil(own.period)).map(|q| {
        let end = settle((q + 1) * cost(own), hp, 1)?;
        Some(end + own.jitter - q * own.period)
    });
    ends.collect::<Option<Vec<u64>>>()?.into_iter().max()
}

/// Reads off a run what the chain of all its one-stage tasks did: reaction, age, age at write.
fn observed(runs: &[Done], length: usize, from: u64) -> Option<Bounds> {
    // Per task: start, finish, and the read of the first task whose data it carries.
    let mut before: Vec<(u64, u64, u64)> = Vec::new();
    for task in 0..length {
        let jobs = runs.iter().filter(|run| run.pipeline == task);
        let carried =
            |start: u64| before.iter().rev().find(|(_, finish, _)| *finish <= start).map(|(_, _, read)| *read);
        let jobs: Vec<(u64, u64, u64)> = jobs
            .filter_map(|run| Some((run.start, run.finish, if task == 0 { run.start } else { carried(run.start)? })))
            .collect();
        before = jobs;
    }
    let mut bounds = Bounds { reaction: 0, age: 0, age_at_write: 0 };
    for read in runs.iter().filter(|run| run.pipeline == 0 && run.start >= from).map(|run| run.start) {
        let Some((_, finish, _)) = before.iter().find(|(_, _, carried)| *carried > read) else { break };
        bounds.reaction = bounds.reaction.max(finish - read);
    }
    for pair in before.windows(2).filter(|pair| pair[0].0 >= from) {
        bounds.age_at_write = bounds.age_at_write.max(pair[0].1 - pair[0].2);
        bounds.age = bounds.age.max(pair[1].1 - pair[0].2);
    }
    (bounds.reaction > 0 && bounds.age > 0).then_some(bounds)
}

#[test]
fn no_schedule_of_one_lane_exceeds_the_bound_for_one_lane() {
    let mut rng = fastrand::Rng::with_seed(13);
    let (mut runs, mut tighter, mut nearest) = (0, 0, 0);
    while runs < 20_000 {
        let length = rng.usize(2..=4);
        let tasks: Vec<Pipeline> = (0..length)
            .map(|_| {
                let worst = rng.u64(1..=4);
                let period = rng.u64(4..=20);
                let stages = vec![Stage { lane: 0, best: rng.u64(1..=worst), worst, delay: 0 }];
                Pipeline { period, jitter: rng.u64(0..=4), stages }
            })
            .collect();
        // At utilization 1 with jitter, busy periods have no end.
        if tasks.iter().map(|task| task.stages[0].worst * 1_000 / task.period + 1).sum::<u64>() > 990 {
            continue;
        }
        let lane = Lane { preemptive: rng.bool(), order: vec![] };
        let mut order: Vec<usize> = (0..length).collect();
        rng.shuffle(&mut order);
        let ranked: Vec<Pipeline> = order.iter().map(|task| tasks[*task].clone()).collect();
        let loads = ranked.iter().map(|p| Load::whole(p.stages[0].worst, p.period, p.period, p.jitter));
        let loads: Vec<Load> = loads.collect();
        let bounds: Option<Vec<u64>> = if lane.preemptive {
            (1..=length).map(|end| preemptive(&ranked[..end])).collect()
        } else {
            fixed_priority::analyse(&loads).into_iter().map(|found| Some(found.response.ok()?.0.as_ns())).collect()
        };
        let Some(responses) = bounds else { continue };
        let rank = |task: usize| order.iter().position(|other| *other == task).unwrap();
        let steps: Vec<Step> = (0..length)
            .map(|task| Step {
                period: tasks[task].period,
                response: responses[rank(task)],
                jitter: tasks[task].jitter,
                before_next: task + 1 < length && rank(task) < rank(task + 1),
            })
            .collect();
        let bound = register(&steps).unwrap();
        let lane = Lane { order: order.iter().map(|task| (*task, 0)).collect(), ..lane };
        let done = simulate(&tasks, &[lane], Arrivals::Periodic, 300, &mut rng);
        let Some(seen) = observed(&done, length, 100) else { continue };
        let holds = seen.reaction <= bound.reaction && seen.age <= bound.age && seen.age_at_write <= bound.age_at_write;
        assert!(holds, "{seen:?} above {bound:?} of {steps:?} in {tasks:?}");
        runs += 1;
        tighter += u32::from(steps.iter().any(|step| step.before_next));
        nearest = nearest.max(seen.reaction * 100 / bound.reaction);
    }
    println!("{runs} runs, {tighter} with the bound for one lane, at most {nearest} % of it");
    assert!(tighter > 12_000 && nearest >= 90);
}
