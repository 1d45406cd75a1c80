//! The plan that is mutated has what is hard to get right: tensors among the blocks of a segment that runs while they are live, a
//! memory that two devices share, and levels of which one moves something.

use super::plans::good;
use super::{SHED_MODELS, again};
use aegis_codegen::plan::{Level, Model, Plan, Segment};
use aegis_tests::live::{self, Thing, When};

// Where they are among the models.
const HALVES: usize = 5;
const SHORT: usize = 6;
const THIRDS: usize = 7;
const TWO_PARTS: usize = 8;
const THREE_PARTS: usize = 9;

/// How many tensors that a model's waiting job keeps lie inside the scratch of a segment of another model, which may run meanwhile.
fn kept_inside(plan: &Plan, things: &[Thing], waits: usize, runs: usize) -> usize {
    let scratches = plan.models[runs].segments.iter().enumerate();
    let around = |tensor: &Thing| {
        scratches.clone().any(|(number, segment)| {
            let is_inside = segment.scratch_at < tensor.end && tensor.at < segment.scratch_at + segment.scratch_bytes;
            let is_block = |thing: &&Thing| {
                thing.model == runs && matches!(thing.when, When::Block { segment, .. } if segment == number)
            };
            is_inside && things.iter().filter(is_block).any(|block| live::meet(plan, tensor, block))
        })
    };
    let keeps = |thing: &&Thing| {
        thing.model == waits
            && thing.pool == plan.models[runs].pool
            && matches!(thing.when, When::Job(from, last) if from < last)
    };
    things.iter().filter(keeps).filter(|tensor| around(tensor)).count()
}

#[test]
fn what_waits_lies_among_the_blocks_of_what_runs() {
    let plan = good().plan;
    let things = live::things(&plan, None);
    let inside = |waits, runs| kept_inside(&plan, &things, waits, runs);
    // Under fixed priorities: the less important one waits.
    assert!(inside(THIRDS, HALVES) > 0, "inside the scratch of a more important model");
    assert_eq!((inside(HALVES, THIRDS), inside(SHORT, THIRDS)), (0, 0), "a less important one runs while none waits");
    // Under EDF any may wait for any.
    assert!(inside(TWO_PARTS, THREE_PARTS) + inside(THREE_PARTS, TWO_PARTS) > 0, "the other model of the EDF lane");
    // A more important model's bytes are a less important one's, too, at other times.
    let shares = things.iter().filter(|thing| thing.model == HALVES || thing.model == SHORT);
    let shared = shares.filter(|one| things.iter().any(|two| two.model == THIRDS && one.overlaps(two)));
    assert!(shared.count() > 0, "models of the lane share bytes");
}

#[test]
fn the_thirds_have_the_lives_that_are_asked_of_them() {
    let plan = good().plan;
    let lives = live::lives(&plan.models[THIRDS]);
    let [first, late, early, out, far, near] = lives[..] else { panic!("six tensors: {lives:?}") };
    assert_eq!((first, late), (When::Job(0, 0), When::Job(0, 1)), "the second segment reads an input");
    assert_eq!((early, out), (When::Job(0, 2), When::Job(2, 2)), "the first segment writes an output");
    assert_eq!((far, near), (When::Job(0, 2), When::Job(0, 1)), "handed on to the segment after the next");
}

#[test]
fn two_devices_have_one_memory_and_the_second_level_moves_something() {
    let plan = good().plan;
    let shares: Vec<Option<u16>> = plan.pools.iter().map(|pool| pool.shares).collect();
    assert_eq!(shares, [None, None, Some(0)]);
    let [high, critical] = &plan.levels[..] else { panic!("two levels") };
    let copied = |level: &Level| level.pools.iter().map(|pool| pool.copied_bytes).sum::<u64>();
    assert_eq!((high.shed.len(), high.reject.len(), high.models.len(), copied(high)), (2, 1, 0, 0));
    assert_eq!((critical.shed.len(), critical.models.len()), (2, plan.models.len()));
    let shed = (0..plan.models.len()).filter(|model| live::is_shed(&plan, critical, *model));
    let shed: Vec<String> = shed.map(|model| format!(".level[1].model[{model}].")).collect();
    assert_eq!(shed, SHED_MODELS, "the paths of models that hold nothing at the level");
    assert!(copied(critical) > 0 && critical.moves.len() > 1, "kept tensors move: {:?}", critical.moves);
    let scratches =
        |model: &Model| model.segments.iter().map(|segment: &Segment| segment.scratch_at).collect::<Vec<_>>();
    let stay = (0..plan.models.len()).filter(|model| !live::is_shed(&plan, critical, *model));
    let moves = stay.filter(|model| scratches(&critical.models[*model]) != scratches(&plan.models[*model]));
    assert!(moves.count() > 1, "scratches move");
    let lower = critical.pools.iter().zip(&plan.pools).filter(|(left, pool)| left.height_bytes < pool.height_bytes);
    assert!(lower.count() > 1, "arenas become lower");
    again::sound(&plan, "the plan with its levels");
}
