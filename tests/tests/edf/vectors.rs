//! Published task sets under EDF, under their authors' names.

use aegis_codegen::analysis::fixed_priority::busy_period;
use aegis_codegen::analysis::{Load, NoBound, Pieces, edf};
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
    preemption: Preemption,
    tasks: Vec<Task>,
    /// Where the source gives them.
    responses: Option<BTreeMap<String, u64>>,
    /// Whether all meet their deadlines, where the source says so.
    meets: Option<bool>,
    /// Where the demand test fails first.
    exceeds: Option<Exceeds>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Preemption {
    None,
    Segments,
    Full,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    name: String,
    cost: u64,
    period: u64,
    deadline: u64,
    last: Option<u64>,
    longest: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceeds {
    at: u64,
    needed: u64,
}

fn load(task: &Task, preemption: &Preemption) -> Load {
    let pieces = match preemption {
        Preemption::None => Pieces::Whole,
        Preemption::Segments => Pieces::Segments { last: task.last.unwrap(), longest: task.longest.unwrap() },
        Preemption::Full => Pieces::Floating { longest: 1 },
    };
    Load { pieces, ..Load::whole(task.cost, task.period, task.deadline, 0) }
}

#[test]
fn responses_and_verdicts_are_the_published_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors/edf_responses.json");
    let file: File = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file.schema, "aegis.vectors/1");
    let (mut responses, mut verdicts) = (0, 0);
    for vector in &file.vectors {
        assert!(!vector.source.is_empty());
        let loads: Vec<Load> = vector.tasks.iter().map(|task| load(task, &vector.preemption)).collect();
        let found = edf::analyse(&loads).found;
        let bounds: Vec<Option<u64>> =
            found.iter().map(|found| found.response.as_ref().ok().map(|(bound, _)| bound.as_ns())).collect();
        for (task, bound) in vector.tasks.iter().zip(&bounds).filter(|_| vector.responses.is_some()) {
            let published = vector.responses.as_ref().and_then(|all| all.get(&task.name)).copied();
            assert_eq!(*bound, published, "task {} of {}", task.name, vector.name);
            responses += 1;
        }
        if let Some(meets) = vector.meets {
            let in_time = |(bound, load): (&Option<u64>, &Load)| bound.is_some_and(|bound| bound <= load.deadline);
            assert_eq!(bounds.iter().zip(&loads).all(in_time), meets, "{}: {bounds:?}", vector.name);
            let busy = busy_period(0, &loads);
            let demand = busy.and_then(|busy| edf::demand::test(&loads, busy));
            assert_eq!(demand.is_ok(), meets, "{}: {demand:?}", vector.name);
            let quickly = busy.and_then(|busy| edf::qpa::test(&loads, busy));
            assert_eq!(quickly.is_ok(), meets, "{}: {quickly:?}", vector.name);
            if let Some(Exceeds { at, needed }) = vector.exceeds {
                assert_eq!(demand, Err(NoBound::Demand { at, needed }), "{}", vector.name);
            }
            verdicts += 1;
        }
    }
    assert_eq!((file.vectors.len(), responses, verdicts), (21, 36, 16));
}
