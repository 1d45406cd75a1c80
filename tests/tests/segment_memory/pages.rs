//! Memory with pages: a level leaves unused exactly the pages in which nothing lies that is needed, and the checker accepts no
//! other one.

use crate::random::{Size, random_system};
use aegis_codegen::lock::Lock;
use aegis_codegen::plan::{Level, Plan};
use aegis_codegen::system::System;
use aegis_codegen::tables;
use aegis_core::time::Duration;
use aegis_core::units::Bytes;
use aegis_core::verify::{Violation, verify};
use aegis_tests::{live, planned};
use fastrand::Rng;

const SIZE: Size = Size { lanes: 2, models: 4, segments: 3, blocks: 4, carried: 2, steps: 30, extras: true };

/// A system whose memory has pages, of any size.
fn system(rng: &mut Rng) -> System {
    let mut system = random_system(rng, SIZE);
    for device in &mut system.devices {
        device.page = (rng.u32(..8) > 0).then(|| Bytes(64 << rng.u32(..4)));
        device.copy_per_mib = device.page.is_none().then(|| Duration::from_ns(1_000));
    }
    system
}

/// For each 64 bytes of a pool whether something lies there that is needed at a level or after it, from the words of the plan.
fn needed(plan: &Plan, level: &Level, pool: u16, bytes: u64) -> Vec<bool> {
    let mut needed = vec![false; usize::try_from(bytes / 64).unwrap()];
    let mut place = |at: u64, size: u64| {
        let places = usize::try_from(at / 64).unwrap()..usize::try_from((at + size).div_ceil(64)).unwrap();
        needed[places].fill(true);
    };
    for (number, model) in plan.models.iter().enumerate().filter(|(_, model)| model.pool == pool) {
        let runs = !live::is_shed(plan, level, number);
        for segment in &model.segments {
            place(segment.persistent_at, segment.persistent_bytes);
            if runs {
                place(segment.scratch_at, segment.scratch_bytes);
            }
        }
        for tensor in model.inputs.iter().chain(&model.outputs) {
            if runs || model.tensors == "kept" {
                place(tensor.at, tensor.bytes);
            }
        }
        for tensor in model.carried.iter().filter(|_| runs) {
            place(tensor.at, tensor.bytes);
        }
    }
    needed
}

#[test]
fn a_level_leaves_unused_exactly_the_pages_in_which_nothing_is_needed() {
    let (mut levels, mut moving, mut pages, mut unused, mut accepted, mut refused) = (0, 0, 0, 0, 0, 0);
    for seed in 0..600 {
        let rng = &mut Rng::with_seed(seed ^ 0x7061_6765);
        let Some(lock) = planned::lock(&system(rng)) else { continue };
        let verdict = |plan: Plan| verify(tables::leak(&Lock { plan, ..lock.clone() }).unwrap());
        assert_eq!(verdict(lock.plan.clone()), Ok(()), "seed {seed}");
        for (position, level) in lock.plan.levels.iter().enumerate() {
            let moves = !level.models.is_empty();
            moving += usize::from(moves);
            let all_pages = lock.plan.pools.iter().all(|pool| pool.page_bytes > 0);
            assert!(!moves || !all_pages, "seed {seed}: where all memory has pages nothing moves");
            let none = level.pools.iter().zip(&lock.plan.pools).filter(|(_, pool)| moves || pool.page_bytes == 0);
            assert!(none.clone().all(|(left, _)| left.unused.is_empty()), "seed {seed}: {level:?}");
            if moves {
                continue;
            }
            for (number, pool) in (0_u16..).zip(&lock.plan.pools).filter(|(_, pool)| pool.page_bytes > 0) {
                let page = pool.page_bytes;
                let needed = needed(&lock.plan, level, number, pool.height_bytes.next_multiple_of(page));
                let per_page = usize::try_from(page / 64).unwrap();
                let free: Vec<bool> = needed.chunks(per_page).map(|page| !page.contains(&true)).collect();
                let at = usize::from(number);
                let ranges = &level.pools[at].unused;
                let mut found = vec![false; free.len()];
                for (at, size) in ranges {
                    let run = usize::try_from(at / page).unwrap()..usize::try_from((at + size) / page).unwrap();
                    found[run].fill(true);
                }
                assert_eq!(found, free, "seed {seed}, level {}, pool {}: {ranges:?}", level.name, pool.name);
                pages += free.len();
                unused += free.iter().filter(|free| **free).count();
                // Other ranges.
                for _ in 0..6 {
                    let mut plan = lock.plan.clone();
                    let from = rng.usize(..free.len() + 1);
                    let count = rng.usize(1..3);
                    let other = &mut plan.levels[position].pools[at].unused;
                    let bytes = |pages: usize| u64::try_from(pages).unwrap() * page;
                    *other = vec![(bytes(from), bytes(count))];
                    let is_free = (from..from + count).all(|page| free.get(page) == Some(&true));
                    let expected = if is_free { Ok(()) } else { Err(Violation::Levels) };
                    assert_eq!(verdict(plan), expected, "seed {seed}: pages {from} to {} of {free:?}", from + count);
                    *(if is_free { &mut accepted } else { &mut refused }) += 1;
                }
            }
            levels += 1;
        }
    }
    println!(
        "{levels} levels and {moving} that move something, {unused} of {pages} pages unused; {accepted} other ranges accepted, {refused} refused"
    );
    assert!(
        levels > 300 && moving > 5 && unused > 1_000 && accepted > 300 && refused > 1_000,
        "{unused} {accepted} {refused}"
    );
}

/// A change of ranges.
type Change<'a> = &'a dyn Fn(&mut Vec<(u64, u64)>);

#[test]
fn ranges_that_are_no_pages_are_refused() {
    let found = (0..200).find_map(|seed| {
        let lock = planned::lock(&system(&mut Rng::with_seed(seed)))?;
        let level = lock.plan.levels.iter().position(|level| level.pools.iter().any(|pool| pool.unused.len() > 1))?;
        Some((lock, level))
    });
    let (lock, level) = found.unwrap();
    let pool = lock.plan.levels[level].pools.iter().position(|pool| pool.unused.len() > 1).unwrap();
    let verdict = |change: &dyn Fn(&mut Plan)| {
        let mut plan = lock.plan.clone();
        change(&mut plan);
        verify(tables::leak(&Lock { plan, ..lock.clone() }).unwrap())
    };
    let ranges = |change: Change<'_>| verdict(&|plan| change(&mut plan.levels[level].pools[pool].unused));
    let page = lock.plan.pools[pool].page_bytes;
    assert_eq!(ranges(&|ranges| ranges.truncate(1)), Ok(()), "less than there is");
    let refused = Err(Violation::Levels);
    assert_eq!(ranges(&|ranges| ranges.swap(0, 1)), refused);
    assert_eq!(ranges(&|ranges| ranges[1] = ranges[0]), refused);
    assert_eq!(ranges(&|ranges| ranges[0].1 = 0), refused);
    assert_eq!(ranges(&|ranges| ranges[0].1 -= 1), refused);
    assert_eq!(ranges(&|ranges| ranges[0].0 += 1), refused);
    assert_eq!(ranges(&|ranges| ranges[1] = (u64::MAX - page + 1, page)), refused);
    assert_eq!(ranges(&|ranges| ranges[1] = (u64::MAX - 2 * page + 1, page)), refused);
    for other in [0, 32, page + 1, 3 * page] {
        assert_eq!(verdict(&|plan| plan.pools[pool].page_bytes = other), refused, "pages of {other} bytes");
    }
}
