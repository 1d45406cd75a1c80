//! Levels that move many kept tensors: the checker accepts an order of copies exactly if carrying it out loses nothing.

use crate::random::{Size, random_system};
use aegis_codegen::lock::Lock;
use aegis_codegen::plan::Plan;
use aegis_codegen::system::System;
use aegis_codegen::tables;
use aegis_core::desc::{PoolDesc, SystemDesc, TensorLife};
use aegis_core::units::DomainId;
use aegis_core::verify::{Violation, levels_hold, verify};
use aegis_tests::{copies, planned};
use fastrand::Rng;

const SIZE: Size = Size { lanes: 2, models: 4, segments: 2, blocks: 3, carried: 1, steps: 9, extras: true };

/// A system in which everything is kept, and pinned memory lies in between.
fn system(rng: &mut Rng) -> System {
    let mut system = random_system(rng, SIZE);
    for model in &mut system.models {
        model.tensors = TensorLife::Kept;
    }
    for level in &mut system.levels {
        level.compact = true;
    }
    system
}

#[test]
fn an_order_of_copies_is_accepted_exactly_if_it_loses_nothing() {
    let (mut moved, mut longest, mut accepted, mut refused) = (0, 0, 0, 0);
    for seed in 0..2_000 {
        let rng = &mut Rng::with_seed(seed ^ 0x636f_7069_6573);
        let Some(lock) = planned::lock(&system(rng)) else { continue };
        for number in 0..lock.plan.levels.len() {
            let moves = lock.plan.levels[number].moves.len();
            moved += usize::from(moves > 0);
            if moves > 0 {
                // Where a process of its own has the memory, nothing may move.
                let desc = tables::leak(&lock).unwrap();
                let pools = desc.pools.iter().map(|pool| PoolDesc { domain: Some(DomainId(0)), ..*pool });
                let apart = SystemDesc { pools: pools.collect::<Vec<_>>().leak(), ..*desc };
                assert!(levels_hold(desc) && !levels_hold(&apart), "seed {seed}");
            }
            longest = longest.max(moves);
            for _ in 0..if moves > 1 { 8 } else { 0 } {
                let mut plan: Plan = lock.plan.clone();
                rng.shuffle(&mut plan.levels[number].moves);
                let carried_out = copies::carried_out(&plan, &plan.levels[number]);
                let verdict = verify(tables::leak(&Lock { plan: plan.clone(), ..lock.clone() }).unwrap());
                let expected = if carried_out.is_ok() { Ok(()) } else { Err(Violation::Levels) };
                assert_eq!(verdict, expected, "seed {seed}: {carried_out:?} {:#?}", plan.levels[number]);
                *(if carried_out.is_ok() { &mut accepted } else { &mut refused }) += 1;
            }
        }
    }
    println!("{moved} levels move up to {longest} tensors; {accepted} orders accepted, {refused} refused");
    assert!(moved > 150 && longest > 5 && accepted > 500 && refused > 200, "{moved} {longest} {accepted} {refused}");
}
