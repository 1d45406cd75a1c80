//! Stages on several lanes: published figures, the worked example of `docs/theory/stages.md`, a textbook iteration and a
//! simulation that share nothing with the analysis.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aegis_codegen::analysis::holistic::{self, NoResponse, Response, Stage, fixed_priority_lane, iterate};
use aegis_codegen::analysis::{Load, NoBound, Proof, fixed_priority};
use aegis_core::Duration;
use aegis_tests::pipelines::{self, Arrivals, Lane, Pipeline, simulate};
use serde::Deserialize;
use std::collections::BTreeMap;
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
    #[serde(rename = "name")]
    _name: String,
    source: String,
    #[serde(rename = "unit")]
    _unit: String,
    #[serde(rename = "note")]
    _note: String,
    lanes: Vec<VectorLane>,
    tasks: Vec<VectorTask>,
    responses: BTreeMap<String, [u64; 2]>,
    refuted: Refuted,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorLane {
    #[serde(rename = "name")]
    _name: String,
    preemptive: bool,
    stages: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorTask {
    period: u64,
    jitter: u64,
    stages: Vec<VectorStage>,
    path: [u64; 2],
    best: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VectorStage {
    name: String,
    best: u64,
    cost: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuted {
    stage: String,
    response: u64,
    path: u64,
}

const LIMIT: u64 = 1_000;

/// The bound for `own` in dense time, from arrival; and per instance the response from the instant at which it is seen,
/// where jobs are seen at least `apart` apart.
fn dense(loads: &[Load], own: usize, apart: u64) -> (u64, Vec<u64>) {
    let mut level = loads[..=own].to_vec();
    let blocks = |load: &&Load| load.longest() > 1;
    if let Some(longest) = loads[own + 1..].iter().filter(blocks).map(Load::longest).max() {
        // One unit longer, a job blocks in integer time for what it blocks in dense time.
        level.push(Load::whole(longest + 1, u64::MAX / 4, u64::MAX / 4, 0));
    }
    let (bound, proof) = fixed_priority::analyse(&level).swap_remove(own).response.unwrap();
    let Proof::FixedPriority { starts, .. } = proof else { unreachable!("fixed priority has one kind of proof") };
    let load = &loads[own];
    let from_seen = |(q, start): (u64, &Duration)| {
        start.as_ns() + load.last() - (q * load.period).saturating_sub(load.jitter).max(q * apart)
    };
    (bound.as_ns(), (0u64..).zip(&starts).map(from_seen).collect())
}

#[test]
fn responses_are_the_published_ones_and_not_the_refuted_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors/holistic.json");
    let file: File = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file.schema, "aegis.vectors/1");
    assert_eq!(file.vectors.len(), 1);
    for vector in file.vectors {
        assert!(!vector.source.is_empty());
        let mut stages = Vec::new();
        let mut loads = BTreeMap::new();
        for task in &vector.tasks {
            for (position, stage) in task.stages.iter().enumerate() {
                let after = (position > 0).then(|| stages.len() - 1);
                let jitter = if position == 0 { task.jitter } else { 0 };
                loads.insert(stage.name.as_str(), (stages.len(), stage.cost, task.period));
                stages.push(Stage { after, best: stage.best, jitter, limit: LIMIT });
            }
        }
        let lanes: Vec<Vec<usize>> =
            vector.lanes.iter().map(|lane| lane.stages.iter().map(|name| loads[name.as_str()].0).collect()).collect();
        let mut seen = BTreeMap::new();
        let found = iterate(&stages, &lanes, |index, jitters| {
            let lane = &vector.lanes[index];
            let load = |(name, jitter): (&String, &Option<u64>)| {
                let (_, cost, period) = loads[name.as_str()];
                let kind = if lane.preemptive { Load::preemptive } else { Load::whole };
                kind(cost, period, period, jitter.unwrap())
            };
            let loads: Vec<Load> = lane.stages.iter().zip(jitters).map(load).collect();
            let respond = |own: usize| {
                // One lane completes jobs of the stage before at least its best case apart.
                let stage = &stages[lanes[index][own]];
                let apart = stage.after.map_or(0, |before| stages[before].best);
                let (bound, from_seen) = dense(&loads, own, apart);
                seen.insert(lane.stages[own].clone(), from_seen);
                Ok(bound)
            };
            (0..loads.len()).map(respond).collect()
        });
        for (name, range) in &vector.responses {
            let worst = seen[name].iter().max().unwrap();
            assert!((range[0]..=range[1]).contains(worst), "{name}: {seen:?}");
        }
        // The jitters here count from the arrival of the job and do not add up.
        assert_eq!(seen["T31"].iter().max(), Some(&11));
        for task in &vector.tasks {
            let last = &task.stages[task.stages.len() - 1];
            let end = found[loads[last.name.as_str()].0].unwrap();
            assert_eq!(end.earliest + last.best, task.best);
            assert!(end.response <= task.jitter + task.path[0], "{end:?}");
        }
        assert_eq!(found.iter().map(|stage| stage.unwrap().response).collect::<Vec<_>>(), [13, 24, 35, 14, 25, 28]);
        let refuted = &seen[&vector.refuted.stage];
        assert_eq!(refuted.first(), Some(&vector.refuted.response), "the refuted number is the first instance's");
        assert!(refuted.iter().any(|response| *response > vector.refuted.response));
        assert!(vector.tasks[1].path[0] > vector.refuted.path);
    }
}

/// The worked example: detection runs CPU, GPU, CPU; tracking runs on the GPU, logging on the CPU.
#[test]
fn the_worked_example() {
    let stage = |after, best, jitter| Stage { after, best, jitter, limit: 100_000 };
    let stages = [
        stage(None, 1_000, 500),
        stage(Some(0), 6_000, 0),
        stage(Some(1), 1_000, 0),
        stage(None, 4_000, 0),
        stage(None, 3_000, 0),
    ];
    // The CPU preempts, the GPU does not; logging is the least important on the CPU, detection on the GPU.
    let lanes = [vec![0, 2, 4], vec![3, 1]];
    let loads = [
        [2_000, 1_500, 4_000].map(|cost| Load::preemptive(cost, 30_000, 30_000, 0)).to_vec(),
        vec![Load::whole(5_000, 15_000, 15_000, 0), Load::whole(8_000, 30_000, 30_000, 0)],
    ];
    let found = iterate(&stages, &lanes, |lane, jitters| {
        let found = fixed_priority_lane(&loads[lane], jitters);
        found.into_iter().map(|found| Ok(found.response?.0.as_ns())).collect()
    });
    let found: Vec<Response> = found.into_iter().map(Result::unwrap).collect();
    let expected = [(0, 500, 2_500), (1_000, 1_500, 15_500), (7_000, 8_500, 19_000), (0, 0, 12_999), (0, 0, 7_500)];
    let expected = expected.map(|(earliest, jitter, response)| Response { earliest, jitter, response });
    assert_eq!(found, expected);
}

/// One lane of the textbook iteration: (C, T, J) with the most important first; whether it preempts. From arrival.
///
/// `first_only` repeats the mistake of looking at the first instance only.
fn textbook(tasks: &[(u64, u64, u64)], preemptive: bool, first_only: bool) -> Vec<Option<u64>> {
    let settle = |f: &dyn Fn(u64) -> u64| {
        let mut at = 1;
        loop {
            let next = f(at);
            match next {
                _ if next == at => return Some(at),
                _ if next > 20 * LIMIT => return None,
                _ => at = next,
            }
        }
    };
    (0..tasks.len())
        .map(|own| {
            let (c, t, j) = tasks[own];
            let blocking = tasks[own + 1..].iter().map(|task| task.0 - 1).max().filter(|_| !preemptive).unwrap_or(0);
            let level = |x: u64| tasks[..=own].iter().map(|(c, t, j)| (x + j).div_ceil(*t) * c).sum::<u64>();
            let busy = settle(&|x| blocking + level(x))?;
            let instances = if first_only { 1 } else { (busy + j).div_ceil(t) };
            let mut worst = 0;
            for q in 0..instances {
                // Preemptive: the end w, interference before w. Otherwise: the start s, interference up to s.
                let end = if preemptive {
                    let before = |w: u64| tasks[..own].iter().map(|(c, t, j)| (w + j).div_ceil(*t) * c).sum::<u64>();
                    settle(&|w| (q + 1) * c + before(w))?
                } else {
                    let until = |s: u64| tasks[..own].iter().map(|(c, t, j)| ((s + j) / t + 1) * c).sum::<u64>();
                    // Shifted by one, so that a start of 0 can be found from 1 upwards.
                    settle(&|s| 1 + blocking + q * c + until(s - 1))? - 1 + c
                };
                worst = worst.max(j + end - q * t);
            }
            Some(worst)
        })
        .collect()
}

/// A random system: its pipelines and lanes.
fn random(rng: &mut fastrand::Rng) -> (Vec<Pipeline>, Vec<Lane>) {
    loop {
        let count = rng.usize(2..=3);
        let pipelines: Vec<Pipeline> = (0..rng.usize(2..=4))
            .map(|_| {
                let stages = (0..rng.usize(1..=4)).map(|_| {
                    let worst = rng.u64(1..=5);
                    pipelines::Stage { lane: rng.usize(..count), best: rng.u64(1..=worst), worst, delay: rng.u64(..3) }
                });
                let stages = stages.collect();
                let period = rng.u64(6..=30);
                Pipeline { period, jitter: if rng.bool() { 0 } else { rng.u64(0..=2 * period) }, stages }
            })
            .collect();
        let lanes = (0..count).map(|lane| {
            let positions = pipelines.iter().enumerate().flat_map(|(task, pipeline)| {
                let own = pipeline.stages.iter().enumerate().filter(|(_, stage)| stage.lane == lane);
                own.map(move |(stage, _)| (task, stage)).collect::<Vec<_>>()
            });
            let mut order: Vec<(usize, usize)> = positions.collect();
            rng.shuffle(&mut order);
            Lane { preemptive: rng.bool(), order }
        });
        let lanes: Vec<Lane> = lanes.collect();
        let permille = |lane: &Lane| -> u64 {
            let share = |(task, stage): &(usize, usize)| {
                let pipeline = &pipelines[*task];
                (pipeline.stages[*stage].worst * 1_000).div_ceil(pipeline.period)
            };
            lane.order.iter().map(share).sum()
        };
        if lanes.iter().all(|lane| permille(lane) <= 900) {
            return (pipelines, lanes);
        }
    }
}

/// The bounds by iteration in rounds over all stages at once, from textbook formulas; `None` where there is none.
fn naive(pipelines: &[Pipeline], lanes: &[Lane], first_only: bool) -> BTreeMap<(usize, usize), Option<u64>> {
    let mut bounds: BTreeMap<(usize, usize), Option<u64>> = BTreeMap::new();
    for (task, pipeline) in pipelines.iter().enumerate() {
        let mut best = 0;
        for (stage, each) in pipeline.stages.iter().enumerate() {
            best += each.best;
            bounds.insert((task, stage), Some(best));
        }
    }
    loop {
        let mut next = bounds.clone();
        for lane in lanes {
            let earliest = |(task, stage): (usize, usize)| {
                pipelines[task].stages[..stage].iter().map(|each| each.best).sum::<u64>()
            };
            let jitter = |(task, stage): (usize, usize)| match stage {
                0 => Some(pipelines[task].jitter),
                _ => bounds[&(task, stage - 1)]
                    .map(|before| before + pipelines[task].stages[stage].delay - earliest((task, stage))),
            };
            // What is after an unbounded jitter has no bound; as a blocker its jitter does not matter.
            let tasks: Vec<(u64, u64, u64)> = lane
                .order
                .iter()
                .map(|at| (pipelines[at.0].stages[at.1].worst, pipelines[at.0].period, jitter(*at).unwrap_or(0)))
                .collect();
            let mut open = false;
            for (at, found) in lane.order.iter().zip(textbook(&tasks, lane.preemptive, first_only)) {
                open |= jitter(*at).is_none();
                let bound = found.map(|found| found + earliest(*at)).filter(|bound| !open && *bound <= LIMIT);
                next.insert(*at, bound);
            }
        }
        if next == bounds {
            return bounds;
        }
        bounds = next;
    }
}

/// The bounds by the analysis, by (task, stage).
fn analysed(pipelines: &[Pipeline], lanes: &[Lane]) -> BTreeMap<(usize, usize), Result<Response, NoResponse>> {
    let mut stages = Vec::new();
    let mut positions = Vec::new();
    for (task, pipeline) in pipelines.iter().enumerate() {
        for (stage, each) in pipeline.stages.iter().enumerate() {
            let after = (stage > 0).then(|| stages.len() - 1);
            let jitter = if stage == 0 { pipeline.jitter } else { each.delay };
            stages.push(Stage { after, best: each.best, jitter, limit: LIMIT });
            positions.push((task, stage));
        }
    }
    let position = |at: &(usize, usize)| positions.iter().position(|other| other == at).unwrap();
    let members: Vec<Vec<usize>> = lanes.iter().map(|lane| lane.order.iter().map(position).collect()).collect();
    let found = iterate(&stages, &members, |lane, jitters| {
        let load = |(task, stage): &(usize, usize)| {
            let kind = if lanes[lane].preemptive { Load::preemptive } else { Load::whole };
            kind(pipelines[*task].stages[*stage].worst, pipelines[*task].period, LIMIT, 0)
        };
        let loads: Vec<Load> = lanes[lane].order.iter().map(load).collect();
        let found = fixed_priority_lane(&loads, jitters);
        found.into_iter().map(|found| Ok(found.response?.0.as_ns())).collect()
    });
    positions.into_iter().zip(found).collect()
}

#[test]
fn bounds_are_those_of_the_textbook_iteration() {
    let mut rng = fastrand::Rng::with_seed(17);
    let (mut bounded, mut open) = (0, 0);
    for _ in 0..3_000 {
        let (pipelines, lanes) = random(&mut rng);
        let naive = naive(&pipelines, &lanes, false);
        for (at, found) in analysed(&pipelines, &lanes) {
            let response = found.ok().map(|found| found.response);
            assert_eq!(response, naive[&at], "{found:?} of {at:?} in {pipelines:?} on {lanes:?}");
            *if response.is_some() { &mut bounded } else { &mut open } += 1;
        }
    }
    println!("{bounded} stages with a bound, {open} without");
    assert!(bounded > 10_000 && open > 100);
}

#[test]
fn no_run_exceeds_a_bound_and_some_attain_it() {
    let mut rng = fastrand::Rng::with_seed(19);
    let (mut checked, mut attained, mut without) = (0, 0, 0);
    for _ in 0..10_000 {
        let (pipelines, lanes) = random(&mut rng);
        let bounds = analysed(&pipelines, &lanes);
        without += bounds.values().filter(|bound| bound.is_err()).count();
        let mut worst: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        for arrivals in [Arrivals::Periodic, Arrivals::Sporadic, Arrivals::Sporadic] {
            for done in simulate(&pipelines, &lanes, arrivals, 240, &mut rng) {
                let at = (done.pipeline, done.stage);
                let response = done.finish - done.arrival;
                worst.entry(at).and_modify(|worst| *worst = response.max(*worst)).or_insert(response);
                let Ok(bound) = bounds[&at] else { continue };
                let fits = response <= bound.response && done.start >= done.arrival + bound.earliest;
                assert!(fits, "{done:?} against {bound:?} in {pipelines:?} on {lanes:?}");
            }
        }
        for (at, worst) in worst {
            if let Ok(bound) = bounds[&at] {
                checked += 1;
                attained += usize::from(worst == bound.response);
            }
        }
    }
    println!("{checked} bounds hold, {attained} attained, {without} stages without");
    assert!(checked > 50_000 && attained > 5_000);
}

/// Davis and others' A, B, C (see `fixed_priority.json`), halved, as second stages behind a CPU each.
#[test]
fn the_first_instance_alone_is_exceeded_by_a_run() {
    let mut rng = fastrand::Rng::with_seed(29);
    let pipelines: Vec<Pipeline> = [5, 7, 7]
        .iter()
        .enumerate()
        .map(|(lane, period)| {
            let stage = |lane, worst| pipelines::Stage { lane, best: worst, worst, delay: 0 };
            Pipeline { period: *period, jitter: 0, stages: vec![stage(lane, 1), stage(3, 2)] }
        })
        .collect();
    let mut lanes: Vec<Lane> = (0..3).map(|task| Lane { preemptive: true, order: vec![(task, 0)] }).collect();
    lanes.push(Lane { preemptive: false, order: vec![(0, 1), (1, 1), (2, 1)] });
    let bound = analysed(&pipelines, &lanes)[&(2, 1)].unwrap().response;
    let first = naive(&pipelines, &lanes, true)[&(2, 1)].unwrap();
    let runs = (0..100).flat_map(|_| simulate(&pipelines, &lanes, Arrivals::Sporadic, 60, &mut rng));
    let last_stages = runs.filter(|done| (done.pipeline, done.stage) == (2, 1));
    let worst = last_stages.map(|done| done.finish - done.arrival).max().unwrap();
    assert_eq!((first, worst, bound), (7, 8, 8));
}

#[test]
fn what_has_no_bound_says_why_and_takes_only_what_depends_on_it() {
    let stage = |after, limit| Stage { after, best: 1, jitter: 0, limit };
    let run = |stages: &[Stage], lanes: &[Vec<usize>], loads: &[Vec<Load>]| -> Vec<Result<u64, NoResponse>> {
        let found = iterate(stages, lanes, |lane, jitters| {
            let found = fixed_priority_lane(&loads[lane], jitters);
            found.into_iter().map(|found| Ok(found.response?.0.as_ns())).collect()
        });
        found.into_iter().map(|found| found.map(|found| found.response)).collect()
    };
    let load = |cost| Load::preemptive(cost, 10, 10, 0);
    // Stage 0 is above its limit; 1 follows it; 2 is less important than 1, 3 more.
    let stages = [stage(None, 4), stage(Some(0), 100), stage(None, 100), stage(None, 100)];
    let found = run(&stages, &[vec![0], vec![3, 1, 2]], &[vec![load(5)], vec![load(1), load(2), load(3)]]);
    let (above, nothing) = (NoResponse::AboveLimit { at_least: 5 }, NoResponse::NothingBefore { stage: 0 });
    assert_eq!(found, [Err(above), Err(nothing), Err(NoResponse::Lane(NoBound::Overloaded)), Ok(1)]);
    // With a higher limit all have one.
    let stages = [stage(None, 5), stage(Some(0), 100), stage(None, 100), stage(None, 100)];
    let found = run(&stages, &[vec![0], vec![3, 1, 2]], &[vec![load(5)], vec![load(1), load(2), load(3)]]);
    assert_eq!(found, [Ok(5), Ok(8), Ok(6), Ok(1)]);
    // Out of order, and on no lane.
    let found = run(&[stage(Some(1), 100), stage(None, 100)], &[vec![0]], &[vec![load(1)]]);
    assert_eq!(found, [Err(NoResponse::Malformed); 2]);
    // A lane that answers for too few, and times that overflow.
    let short = iterate(&[stage(None, 9)], &[vec![0]], |_, _| vec![]);
    assert_eq!(short, [Err(NoResponse::Lane(NoBound::Overflow))]);
    let far = Stage { after: None, best: u64::MAX, jitter: 0, limit: u64::MAX };
    let next = Stage { after: Some(0), best: 1, jitter: 0, limit: u64::MAX };
    let found = iterate(&[far, next], &[vec![0], vec![1]], |_, _| vec![Ok(u64::MAX)]);
    assert_eq!(found[1], Err(NoResponse::Lane(NoBound::Overflow)));
    // Two lanes that add to each other's jitter for ever.
    let mut calls = 0;
    let stages = [(); 4].map(|()| stage(None, u64::MAX));
    let stages = [stages[0], Stage { after: Some(0), ..stages[1] }, stages[2], Stage { after: Some(2), ..stages[3] }];
    let found = iterate(&stages, &[vec![0, 3], vec![2, 1]], |_, jitters| {
        calls += 1;
        let sum = jitters.iter().flatten().sum::<u64>() + 2;
        vec![Ok(sum); 2]
    });
    assert!(calls <= 2 * holistic::ROUNDS);
    assert!(found.iter().all(|found| found.is_err()), "{found:?}");
}

#[test]
fn the_order_of_lanes_changes_no_bound() {
    let mut rng = fastrand::Rng::with_seed(23);
    for _ in 0..1_000 {
        let (pipelines, lanes) = random(&mut rng);
        let mut reversed: Vec<Lane> = lanes.clone();
        reversed.reverse();
        let bounds = |lanes: &[Lane]| -> Vec<Option<Response>> {
            analysed(&pipelines, lanes).into_values().map(Result::ok).collect()
        };
        assert_eq!(bounds(&lanes), bounds(&reversed), "{pipelines:?} on {lanes:?}");
    }
}
