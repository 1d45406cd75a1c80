//! Systems with modes: models of which no mode has both may share bytes across lanes, and nothing that is live at once does,
//! however modes change.

use crate::random::{random_system, with_random_modes};
use crate::{SIZE, alone, judge, simulated, submitted};
use aegis_codegen::lock::Lock;
use aegis_codegen::plan::Plan;
use aegis_codegen::system::System;
use aegis_codegen::tables;
use aegis_core::verify::verify;
use aegis_tests::live::{Thing, things};
use aegis_tests::planned;
use fastrand::Rng;

/// A random system with modes and its lock, if its tasks fit.
pub(crate) fn planned(rng: &mut Rng) -> Option<(System, Lock)> {
    let system = random_system(rng, SIZE);
    let system = with_random_modes(rng, system);
    let lock = planned::lock(&system)?;
    Some((system, lock))
}

/// Whether models of different lanes share bytes.
fn shares_across_lanes(plan: &Plan, things: &[Thing]) -> bool {
    let lane =
        |model: usize| plan.tasks.iter().find(|task| task.model.map(usize::from) == Some(model)).map(|task| task.lane);
    let pairs = things.iter().enumerate().flat_map(|(at, one)| things[at + 1..].iter().map(move |two| (one, two)));
    pairs.filter(|(one, two)| one.overlaps(two)).any(|(one, two)| lane(one.model) != lane(two.model))
}

#[test]
fn what_no_mode_has_both_of_shares_bytes_and_nothing_that_is_live_at_once_does() {
    let (mut plans, mut across, mut lower, mut instants, mut changed) = (0, 0, 0, 0, 0);
    for seed in 0..1_500 {
        let rng = &mut Rng::with_seed(seed ^ 0x6d6f_6465_7300);
        let Some((system, lock)) = planned(rng) else { continue };
        let (plan, desc) = (&lock.plan, tables::leak(&lock).unwrap());
        let what = format!("seed {seed}");
        assert_eq!(verify(desc), Ok(()), "{what}: {system:#?}");
        let things = things(plan, None);
        judge(plan, None, &things, &what);
        across += usize::from(shares_across_lanes(plan, &things));
        let priorities: Vec<_> = plan.tasks.iter().map(|task| (task.name.clone(), task.priority)).collect();
        let priority = |task: &aegis_codegen::system::Task| {
            let found = priorities.iter().find(|(name, _)| *name == task.name);
            aegis_core::units::Priority(found.unwrap().1)
        };
        let order: Vec<_> = system.tasks.iter().map(priority).collect();
        let without = System { modes: Vec::new(), ..system.clone() };
        let without = aegis_codegen::memory::plan(&without, &order).unwrap();
        for ((pool, private), together) in plan.pools.iter().zip(alone(&system)).zip(&without.pools) {
            assert_eq!(private, pool.private_bytes, "{what}");
            assert!(pool.height_bytes <= private && pool.height_bytes <= together.height.0, "{what}: modes cost bytes");
            lower += usize::from(pool.height_bytes < together.height.0);
        }
        let desc = submitted(desc);
        for _ in 0..3 {
            let seen = simulated::run(desc, plan, None, rng);
            let seen = seen.unwrap_or_else(|clash| panic!("{what}: {clash:?} {plan:#?}"));
            instants += seen.instants;
            changed += seen.wrong.changed;
        }
        plans += 1;
    }
    println!(
        "{plans} plans, {across} share bytes across lanes, {lower} arenas lower than without modes, {instants} instants, \
         {changed} changes"
    );
    assert!(plans > 1_400 && across > 60 && lower > 250, "{plans} {across} {lower}");
    assert!(instants > 40_000 && changed > 25_000, "{instants} {changed}");
}
