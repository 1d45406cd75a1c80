//! Random systems whose models are cut in segments: nothing that is live at once shares a byte, whatever the real dispatcher does;
//! what the checker accepts of a plan that was changed is as sound, also of the order of copies at a level; and small plans are as
//! low as any can be.
//!
//! What is live comes from [`aegis_tests::live`], which shares no code with planner and checker.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

mod gpu;
mod modes;
mod moves;
mod mutated;
mod pages;
mod random;
mod simulated;
mod tiny;

use aegis_codegen::memory;
use aegis_codegen::plan::{Level, Plan, Segment};
use aegis_codegen::system::System;
use aegis_codegen::{lock::Lock, tables};
use aegis_core::desc::{Release, SystemDesc, TaskDesc};
use aegis_core::units::Priority;
use aegis_core::verify::verify;
use aegis_tests::copies;
use aegis_tests::live::{Thing, When, clique, demand, meet, things};
use aegis_tests::planned::{self, with_tasks};
use fastrand::Rng;
use random::{Size, random_system};

const SIZE: Size = Size { lanes: 2, models: 4, segments: 4, blocks: 5, carried: 2, steps: 8, extras: true };

/// The descriptors with arrivals that the test decides on.
fn submitted(desc: &SystemDesc) -> &'static SystemDesc {
    let tasks = desc.tasks.iter().map(|task| TaskDesc { release: Release::Submitted, ..*task });
    with_tasks(desc, tasks.collect())
}

/// The descriptors of a lock.
fn leaked(lock: &Lock) -> &'static SystemDesc {
    tables::leak(lock).unwrap()
}

/// A random system with its lock, if its tasks fit.
fn planned(rng: &mut Rng, size: Size) -> Option<(System, Lock)> {
    let system = random_system(rng, size);
    let lock = planned::lock(&system)?;
    Some((system, lock))
}

/// How often something happened.
#[derive(Default, Debug)]
struct Counts {
    plans: usize,
    levels: usize,
    moved: usize,
    instants: usize,
    waiting: usize,
    wrong: simulated::Wrong,
    /// Plans in which two models share bytes.
    shared: usize,
    /// Tensors that lie inside the scratch of a segment of another model.
    inside: usize,
    /// Those of which the segment may run while they are live: they lie where its blocks do not.
    interleaved: usize,
    /// Arenas that are higher than what is live in them at once.
    with_gap: usize,
}

impl Counts {
    fn count(&mut self, plan: &Plan, things: &[Thing]) {
        let pairs =
            || things.iter().enumerate().flat_map(|(at, one)| things[at + 1..].iter().map(move |two| (one, two)));
        self.shared += usize::from(pairs().any(|(one, two)| one.model != two.model && one.overlaps(two)));
        for tensor in things.iter().filter(|thing| matches!(thing.when, When::Job(..))) {
            for (model, desc) in plan.models.iter().enumerate().filter(|(model, _)| *model != tensor.model) {
                let around = |segment: &Segment| {
                    desc.pool == tensor.pool
                        && segment.scratch_at < tensor.end
                        && tensor.at < segment.scratch_at + segment.scratch_bytes
                };
                let inside: Vec<usize> =
                    desc.segments.iter().enumerate().filter(|(_, segment)| around(segment)).map(|(at, _)| at).collect();
                let runs = |thing: &&Thing| matches!(thing.when, When::Block { segment, .. } if thing.model == model && inside.contains(&segment));
                self.inside += usize::from(!inside.is_empty());
                self.interleaved += usize::from(things.iter().filter(runs).any(|block| meet(plan, tensor, block)));
            }
        }
    }
}

/// Whether no two things that can be live at once share a byte, all of them lie where they may, and what is live at once is what
/// the plan says.
fn judge(plan: &Plan, level: Option<&Level>, things: &[Thing], what: &str) {
    for (number, pool) in (0_u16..).zip(&plan.pools) {
        let (height, bound) = match level {
            Some(level) => {
                let pool = &level.pools[usize::from(number)];
                (pool.height_bytes, pool.lower_bound_bytes)
            }
            None => (pool.height_bytes, pool.lower_bound_bytes),
        };
        let live = demand(plan, level, things, number);
        assert!(live == bound && live <= height, "{what}: {live} bytes are live at once, {bound} said, {height} there");
        let clique = clique(plan, level, things, number);
        for (at, one) in clique.iter().enumerate() {
            assert!(
                clique[at + 1..].iter().all(|other| meet(plan, one, other)),
                "{what}: {one:?} does not meet all others"
            );
        }
        let highest = things.iter().filter(|thing| thing.pool == number).map(|thing| thing.end).max().unwrap_or(0);
        assert!(highest <= height, "{what}: pool {number} ends at {height}, something at {highest}");
    }
    for (at, one) in things.iter().enumerate() {
        for other in things[at + 1..].iter().filter(|other| other.overlaps(one)) {
            assert!(!meet(plan, one, other), "{what}: {one:?} and {other:?} share bytes of {plan:#?}");
        }
    }
}

/// The heights of the pools that each model would need alone, summed.
fn alone(system: &System) -> Vec<u64> {
    let mut sums = vec![0; system.devices.len()];
    for task in &system.tasks {
        let mut only = System { levels: Vec::new(), modes: Vec::new(), ..system.clone() };
        only.models = vec![system.models[task.model.unwrap()].clone()];
        only.tasks = vec![aegis_codegen::system::Task { model: Some(0), ..task.clone() }];
        let layout = memory::plan(&only, &[Priority(0)]).unwrap();
        for (sum, pool) in sums.iter_mut().zip(&layout.pools) {
            *sum += pool.height.0;
        }
    }
    sums
}

#[test]
fn nothing_that_is_live_at_once_shares_a_byte_whatever_the_dispatcher_does() {
    let mut counts = Counts::default();
    for seed in 0..1_000 {
        let rng = &mut Rng::with_seed(seed);
        let Some((system, lock)) = planned(rng, SIZE) else { continue };
        let (plan, desc) = (&lock.plan, tables::leak(&lock).unwrap());
        let what = format!("seed {seed}");
        assert_eq!(verify(desc), Ok(()), "{what}: {system:#?}");
        for ((pool, private), number) in plan.pools.iter().zip(alone(&system)).zip(0_usize..) {
            assert_eq!(private, pool.private_bytes, "{what}: pool {number}");
            assert!(pool.height_bytes <= private, "{what}: pool {number} is higher than private arenas");
            counts.with_gap += usize::from(pool.lower_bound_bytes < pool.height_bytes);
        }
        let desc = submitted(desc);
        for level in [None].into_iter().chain(plan.levels.iter().map(Some)) {
            let things = things(plan, level);
            judge(plan, level, &things, &what);
            for _ in 0..3 {
                let seen = simulated::run(desc, plan, level, rng);
                let seen = seen.unwrap_or_else(|clash| panic!("{what}: {clash:?} {plan:#?}"));
                counts.instants += seen.instants;
                counts.waiting += seen.waiting;
                counts.wrong.overran += seen.wrong.overran;
                counts.wrong.skipped += seen.wrong.skipped;
                counts.wrong.rejected += seen.wrong.rejected;
                counts.wrong.aborted += seen.wrong.aborted;
            }
            match level {
                None => counts.count(plan, &things),
                Some(level) => {
                    counts.levels += 1;
                    counts.moved += usize::from(!level.models.is_empty());
                    copies::carried_out(plan, level).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
                }
            }
        }
        counts.plans += 1;
    }
    println!("{counts:?}");
    assert!(counts.plans > 900 && counts.levels > 500 && counts.moved > 100, "{counts:?}");
    assert!(counts.instants > 50_000 && counts.waiting > 10_000, "{counts:?}");
    let simulated::Wrong { overran, skipped, rejected, aborted, changed: _ } = counts.wrong;
    assert!(overran > 5_000 && skipped > 500 && rejected > 500 && aborted > 500, "{counts:?}");
    assert!(counts.shared > 600 && counts.inside > 800 && counts.interleaved > 100, "{counts:?}");
}
