//! Published task sets, under their authors' names: the analysis must give the published numbers, and must not give the
//! ones that were refuted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::analysis::edf::demand;
use aegis_codegen::analysis::{Load, NoBound, Proof, fixed_priority};
use aegis_core::desc::{Release, SystemDesc, TaskDesc};
use aegis_core::units::Priority;
use aegis_tests::planned::{unproven, with_tasks};
use aegis_tests::simulate::{Worst, run};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<V> {
    schema: String,
    #[serde(rename = "description")]
    _description: String,
    vectors: Vec<V>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    name: String,
    cost: u64,
    period: u64,
    deadline: u64,
    jitter: u64,
}

/// How long a less important job blocks.
#[derive(Deserialize, PartialEq, Eq)]
enum Blocking {
    /// In integer time it started at least one unit before.
    #[serde(rename = "C - 1")]
    Integer,
    /// In dense time the supremum is the whole cost.
    #[serde(rename = "C")]
    Dense,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixedPriority {
    name: String,
    source: String,
    #[serde(rename = "unit")]
    _unit: String,
    #[serde(rename = "note", default)]
    _note: String,
    blocking: Blocking,
    /// What a job's cost holds beyond the end of its response.
    #[serde(default)]
    gap: u64,
    tasks: Vec<Task>,
    /// From release; absent where there is no bound.
    responses: BTreeMap<String, Option<u64>>,
    /// A published number that is wrong.
    refuted: Option<Refuted>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuted {
    task: String,
    response: u64,
    by: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edf {
    name: String,
    source: String,
    #[serde(rename = "unit")]
    _unit: String,
    #[serde(rename = "note", default)]
    _note: String,
    tasks: Vec<Task>,
    feasible: bool,
    witness: Option<Witness>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Witness {
    at: u64,
    needed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    name: String,
    source: String,
    #[serde(rename = "unit")]
    _unit: String,
    #[serde(rename = "note", default)]
    _note: String,
    policy: String,
    tasks: Vec<Task>,
    /// Per task the ends of its jobs.
    finish: BTreeMap<String, Vec<u64>>,
    /// The last instant of a release.
    until: u64,
}

fn vectors<V: DeserializeOwned>(name: &str) -> Vec<V> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors").join(name);
    let file: File<V> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file.schema, "aegis.vectors/1");
    assert!(!file.vectors.is_empty());
    file.vectors
}

fn loads(tasks: &[Task]) -> Vec<Load> {
    let load = |task: &Task| Load::whole(task.cost, task.period, task.deadline, task.jitter);
    tasks.iter().map(load).collect()
}

/// The response from release that the proof of `own` gives: the start times are those of its instances.
fn from_release(loads: &[Load], own: usize, blocking: &Blocking, gap: u64) -> Option<u64> {
    // The gap of whatever went before blocks even the least important task.
    let longest = loads[own + 1..].iter().map(|load| load.cost).max().unwrap_or(gap);
    let mut level = match blocking {
        Blocking::Integer => loads.to_vec(),
        Blocking::Dense => loads[..=own].to_vec(),
    };
    if *blocking == Blocking::Dense {
        // One unit longer, a job blocks in integer time for what it blocks in dense time.
        level.push(Load::whole(longest + 1, u64::MAX / 4, u64::MAX / 4, 0));
    }
    let load = &loads[own];
    match fixed_priority::analyse(&level).swap_remove(own).response {
        Ok((_, Proof::FixedPriority { starts, .. })) => {
            let response = |(q, start): (u64, &aegis_core::Duration)| {
                start.as_ns() + load.cost - (q * load.period).saturating_sub(load.jitter)
            };
            (0u64..).zip(&starts).map(response).max()
        }
        Ok(other) => panic!("not a proof of fixed priority: {other:?}"),
        Err(NoBound::Overloaded) => None,
        Err(why) => panic!("{why}"),
    }
}

#[test]
fn fixed_priority_responses_are_the_published_ones() {
    let vectors: Vec<FixedPriority> = vectors("fixed_priority.json");
    for vector in &vectors {
        assert!(!vector.source.is_empty());
        let loads = loads(&vector.tasks);
        assert_eq!(vector.responses.len(), vector.tasks.len(), "{}", vector.name);
        for (own, task) in vector.tasks.iter().enumerate() {
            let response =
                from_release(&loads, own, &vector.blocking, vector.gap).map(|response| response - vector.gap);
            assert_eq!(response, vector.responses[&task.name], "task {} of {}", task.name, vector.name);
            if let Some(refuted) = vector.refuted.as_ref().filter(|refuted| refuted.task == task.name) {
                assert!(response > Some(refuted.response), "{} repeats the mistake of {}", vector.name, refuted.by);
            }
        }
    }
    assert_eq!(vectors.iter().filter(|vector| vector.refuted.is_some()).count(), 2);
}

#[test]
fn where_jitter_is_zero_the_bound_from_arrival_is_the_response_from_release() {
    let vectors: Vec<FixedPriority> = vectors("fixed_priority.json");
    let mut compared = 0;
    for vector in vectors.iter().filter(|vector| vector.blocking == Blocking::Integer) {
        let loads = loads(&vector.tasks);
        assert!(loads.iter().all(|load| load.jitter == 0), "{}", vector.name);
        for (task, found) in vector.tasks.iter().zip(fixed_priority::analyse(&loads)) {
            let bound = found.response.ok().map(|(bound, _)| bound.as_ns());
            assert_eq!(bound, vector.responses[&task.name], "task {} of {}", task.name, vector.name);
            compared += 1;
        }
    }
    assert!(compared >= 10);
}

#[test]
fn edf_verdicts_are_the_published_ones() {
    for vector in vectors::<Edf>("edf.json") {
        assert!(!vector.source.is_empty());
        let loads = loads(&vector.tasks);
        let verdict = fixed_priority::busy_period(0, &loads).and_then(|busy| demand::test(&loads, busy));
        assert_eq!(verdict.is_ok(), vector.feasible, "{}: {verdict:?}", vector.name);
        if let Some(Witness { at, needed }) = vector.witness {
            assert_eq!(verdict, Err(NoBound::Demand { at, needed }), "{}", vector.name);
        }
    }
}

#[test]
fn the_dispatcher_makes_the_published_schedules() {
    for vector in vectors::<Schedule>("schedules.json") {
        assert!(!vector.source.is_empty());
        let policy = aegis_codegen::tables::policy(&vector.policy).unwrap();
        let system: &SystemDesc = unproven(policy, &loads(&vector.tasks));
        let timed =
            |(index, task): (u16, &TaskDesc)| TaskDesc { release: Release::Timer, priority: Priority(index), ..*task };
        let system = with_tasks(system, (0..).zip(system.tasks).map(timed).collect());
        let observed = run(system, &[], vector.until, &mut Worst);
        for (index, task) in (0u16..).zip(&vector.tasks) {
            assert_eq!(observed.ends(index), vector.finish[&task.name], "task {} of {}", task.name, vector.name);
        }
    }
}
