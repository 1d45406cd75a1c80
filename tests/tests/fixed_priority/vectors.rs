//! Published task sets with preemption, under their authors' names.

use aegis_codegen::analysis::{Load, NoBound, Pieces, Proof, fixed_priority};
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
    name: String,
    source: String,
    #[serde(rename = "unit")]
    _unit: String,
    #[serde(rename = "note", default)]
    _note: String,
    preemption: Preemption,
    blocking: Blocking,
    tasks: Vec<Task>,
    /// From release; absent where there is no bound.
    responses: BTreeMap<String, Option<u64>>,
    /// Whether all meet their deadlines, where the source says so.
    meets: Option<bool>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Preemption {
    Full,
    Segments,
    Floating,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
enum Blocking {
    /// In integer time the piece started at least one unit before.
    #[serde(rename = "C - 1")]
    Integer,
    /// In dense time the supremum is the whole piece.
    #[serde(rename = "C")]
    Dense,
    /// Each task has its own.
    #[serde(rename = "given")]
    Given,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    name: String,
    cost: u64,
    period: u64,
    deadline: u64,
    jitter: u64,
    longest: Option<u64>,
    last: Option<u64>,
    blocking: Option<u64>,
}

impl Task {
    fn load(&self, preemption: Preemption) -> Load {
        let pieces = match preemption {
            Preemption::Full => Pieces::Floating { longest: 1 },
            Preemption::Floating => Pieces::Floating { longest: self.longest.unwrap() },
            Preemption::Segments => Pieces::Segments { last: self.last.unwrap(), longest: self.longest.unwrap() },
        };
        Load { pieces, ..Load::whole(self.cost, self.period, self.deadline, self.jitter) }
    }
}

/// What the analysis says of `own` when something less important blocks as the vector has it.
fn analyse(vector: &Vector, own: usize) -> Option<(u64, u64)> {
    let loads: Vec<Load> = vector.tasks.iter().map(|task| task.load(vector.preemption)).collect();
    let longest = loads[own + 1..].iter().map(Load::longest).max();
    // The dummy is one unit longer than what it blocks for in integer time.
    let dummy = match vector.blocking {
        Blocking::Integer => None,
        Blocking::Dense => longest.map(|longest| longest + 1),
        Blocking::Given => Some(vector.tasks[own].blocking.unwrap() + 1),
    };
    let level = match (vector.blocking, dummy) {
        (Blocking::Integer, _) => loads.clone(),
        (_, None) => loads[..=own].to_vec(),
        (_, Some(cost)) => {
            let dummy = Load::whole(cost, u64::MAX / 4, u64::MAX / 4, 0);
            loads[..=own].iter().copied().chain([dummy]).collect()
        }
    };
    let load = &loads[own];
    match fixed_priority::analyse(&level).swap_remove(own).response {
        Ok((bound, Proof::FixedPriority { starts, .. })) => {
            let response = |(q, start): (u64, &aegis_core::Duration)| {
                start.as_ns() + load.last() - (q * load.period).saturating_sub(load.jitter)
            };
            Some(((0u64..).zip(&starts).map(response).max().unwrap(), bound.as_ns()))
        }
        Err(NoBound::Overloaded) => None,
        other => panic!("task {own} of {}: {other:?}", vector.name),
    }
}

#[test]
fn responses_are_the_published_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors/fixed_priority_preemption.json");
    let file: File = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file.schema, "aegis.vectors/1");
    let mut compared = 0;
    for vector in &file.vectors {
        assert!(!vector.source.is_empty());
        assert_eq!(vector.responses.len(), vector.tasks.len(), "{}", vector.name);
        let mut meets = true;
        for (own, task) in vector.tasks.iter().enumerate() {
            let found = analyse(vector, own);
            let response = found.map(|(from_release, _)| from_release);
            assert_eq!(response, vector.responses[&task.name], "task {} of {}", task.name, vector.name);
            meets &= found.is_some_and(|(_, bound)| bound <= task.deadline);
            compared += 1;
        }
        assert!(vector.meets.is_none_or(|expected| expected == meets), "{}", vector.name);
    }
    assert_eq!((file.vectors.len(), compared), (24, 129));
}
