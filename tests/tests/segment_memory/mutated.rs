//! Sound plans of which one thing is moved: whatever the checker accepts, no run of the dispatcher shows two live things that
//! share a byte; and what a run shows, it refuses.

use crate::{SIZE, judge, planned, simulated, submitted};
use aegis_codegen::lock::Lock;
use aegis_codegen::plan::{Plan, Segment, Step};
use aegis_codegen::system::System;
use aegis_codegen::tables;
use aegis_core::verify::{Violation, verify};
use aegis_tests::live::{Thing, meet, things};
use fastrand::Rng;

/// Moves a tensor, a block, a scratch or what loading took to another aligned place below the height; says what.
fn mutate(plan: &mut Plan, rng: &mut Rng) -> Option<&'static str> {
    let number = rng.usize(..plan.models.len());
    let height = plan.pools[usize::from(plan.models[number].pool)].height_bytes;
    let model = &mut plan.models[number];
    let place = rng.u64(0..=height / 64) * 64;
    let segment = rng.usize(..model.segments.len());
    let segment = &mut model.segments[segment];
    match rng.u32(..8) {
        0 => {
            segment.persistent_at = place;
            (segment.persistent_bytes > 0).then_some("what loading took")
        }
        1 => {
            segment.scratch_at = place;
            (segment.scratch_bytes > 0).then_some("a scratch")
        }
        2..5 => {
            let tensors = model.inputs.iter_mut().chain(&mut model.outputs).chain(&mut model.carried);
            let mut tensors: Vec<_> = tensors.collect();
            let chosen = rng.usize(..tensors.len().max(1));
            tensors.get_mut(chosen)?.at = place;
            Some("a tensor")
        }
        _ => {
            let run = rng.usize(..segment.runs.len().max(1));
            let takes = |step: &&mut Step| step.len() > 1;
            let mut blocks: Vec<&mut Step> = segment.runs.get_mut(run)?.steps.iter_mut().filter(takes).collect();
            let chosen = rng.usize(..blocks.len());
            blocks[chosen][2] = i64::try_from(place).unwrap() - i64::try_from(segment.scratch_at).unwrap();
            surround(segment);
            Some("a block")
        }
    }
}

/// Lets a segment's scratch begin with its lowest block and end with its highest, and names the blocks below anew.
fn surround(segment: &mut Segment) {
    let of = |step: &Step| (step[2], step[2] + step[1].max(1).cast_unsigned().next_multiple_of(64).cast_signed());
    let blocks = || segment.runs.iter().flat_map(|run| &run.steps).filter(|step| step.len() > 1).map(of);
    let least = blocks().map(|(at, _)| at).min().unwrap();
    let most = blocks().map(|(_, end)| end).max().unwrap();
    segment.scratch_at = segment.scratch_at.checked_add_signed(least).unwrap();
    segment.scratch_bytes = u64::try_from(most - least).unwrap();
    for run in &mut segment.runs {
        let mut live: Vec<(i64, i64)> = Vec::new();
        for step in &mut run.steps {
            if step.len() == 1 {
                live.retain(|(_, slot)| *slot != step[0]);
                continue;
            }
            step[2] -= least;
            step[3] = live.iter().filter(|(at, _)| *at < step[2]).max().map_or(-1, |(_, slot)| *slot);
            live.push((step[2], step[0]));
        }
    }
}

/// Whether everything lies where it may, by all pairs.
fn is_sound(plan: &Plan, things: &[Thing]) -> bool {
    let pairs = things.iter().enumerate().flat_map(|(at, one)| things[at + 1..].iter().map(move |two| (one, two)));
    let fits = |thing: &Thing| thing.end <= plan.pools[usize::from(thing.pool)].height_bytes;
    things.iter().all(fits) && !pairs.filter(|(one, two)| one.overlaps(two)).any(|(one, two)| meet(plan, one, two))
}

#[test]
fn whatever_the_checker_accepts_of_a_moved_thing_holds_in_every_run() {
    move_things(&|rng| planned(rng, SIZE));
}

#[test]
fn also_where_modes_share_bytes() {
    move_things(&|rng| crate::modes::planned(rng));
}

fn move_things(planned: &dyn Fn(&mut Rng) -> Option<(System, Lock)>) {
    let (mut accepted, mut refused, mut shown, mut strict) = (0, 0, 0, 0);
    let mut by_kind = std::collections::BTreeMap::<&str, (u32, u32)>::new();
    for seed in 0..500 {
        let rng = &mut Rng::with_seed(seed ^ 0x6d75_7461_7465);
        let Some((_, lock)) = planned(rng) else { continue };
        for _ in 0..12 {
            let mut plan = lock.plan.clone();
            plan.levels.clear();
            let Some(kind) = mutate(&mut plan, rng) else { continue };
            if plan.models == lock.plan.models {
                continue;
            }
            let what = format!("seed {seed}, {kind} moved");
            let desc = tables::leak(&Lock { plan: plan.clone(), ..lock.clone() }).unwrap();
            let verdict = verify(desc);
            let run = simulated::run(submitted(desc), &plan, None, rng);
            let things = things(&plan, None);
            let counts = by_kind.entry(kind).or_default();
            if verdict == Ok(()) {
                accepted += 1;
                counts.0 += 1;
                judge(&plan, None, &things, &what);
                assert!(run.is_ok(), "{what}: {:?} clash in {plan:#?}", run.err());
            } else {
                refused += 1;
                counts.1 += 1;
                assert_eq!(verdict, Err(Violation::Memory), "{what}");
                shown += usize::from(run.is_err());
                strict += usize::from(is_sound(&plan, &things));
            }
        }
    }
    println!("{accepted} accepted, {refused} refused, of which a run shows {shown} and {strict} would do; {by_kind:?}");
    assert!(accepted > 400 && refused > 3_000 && shown > 2_000, "{accepted} {refused} {shown}");
    // A scratch that reaches over what is always in use, or over another lane's, though no block of it lies there.
    assert!(strict < refused / 100, "{strict}");
}
