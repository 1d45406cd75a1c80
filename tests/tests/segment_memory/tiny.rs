//! Systems of a few things: the planned height is the lowest of all placements.

use crate::{planned, random::Size};
use aegis_codegen::plan::Plan;
use aegis_tests::live::{Thing, demand, meet, things};
use fastrand::Rng;

const TINY: Size = Size { lanes: 2, models: 3, segments: 3, blocks: 2, carried: 1, steps: 4, extras: false };
const SMALL: Size = Size { lanes: 1, blocks: 3, carried: 2, steps: 8, ..TINY };

/// What has to be placed: sizes, and for each two whether they are live at once.
struct Conflicts {
    sizes: Vec<u64>,
    meets: Vec<Vec<bool>>,
}

impl Conflicts {
    fn of(plan: &Plan, things: &[&Thing]) -> Self {
        let row = |one: &&Thing| things.iter().map(|other| meet(plan, one, other)).collect();
        Self { sizes: things.iter().map(|thing| thing.takes()).collect(), meets: things.iter().map(row).collect() }
    }

    /// Lowers `best` to the lowest height, by placing the things in every order, each as low as those before it allow.
    ///
    /// Of the lowest placements take one whose offsets sum to the least, in the order of its offsets. There each thing lies as low
    /// as those before it allow: if it could lie lower, it would meet nothing that comes later either, since that begins where
    /// it ends now, or above. So orders in which a thing comes to lie below the one before it need not be tried.
    fn lowest(&self, placed: &mut Vec<(usize, u64)>, height: u64, best: &mut u64) {
        if height >= *best {
            return;
        }
        if placed.len() == self.sizes.len() {
            *best = height;
            return;
        }
        let last = placed.last().map(|(thing, at)| (*at, *thing));
        for thing in 0..self.sizes.len() {
            if placed.iter().any(|(other, _)| *other == thing) {
                continue;
            }
            let at = self.place(placed, thing);
            if last.is_none_or(|last| last < (at, thing)) {
                placed.push((thing, at));
                self.lowest(placed, height.max(at + self.sizes[thing]), best);
                placed.pop();
            }
        }
    }

    /// The lowest place of a thing beside those that lie.
    fn place(&self, placed: &[(usize, u64)], thing: usize) -> u64 {
        let meets = placed.iter().filter(|(other, _)| self.meets[thing][*other]);
        let mut taken: Vec<(u64, u64)> = meets.map(|(other, at)| (*at, at + self.sizes[*other])).collect();
        taken.sort_unstable();
        let mut at = 0;
        for (start, end) in taken {
            if at + self.sizes[thing] <= start {
                break;
            }
            at = at.max(end);
        }
        at
    }
}

#[test]
fn a_small_arena_is_as_low_as_any_placement_makes_it() {
    let (mut arenas, mut shares) = (0, 0);
    for seed in 0..3_000 {
        let rng = &mut Rng::with_seed(seed ^ 0x7469_6e79);
        let Some((_, lock)) = planned(rng, TINY) else { continue };
        let plan = &lock.plan;
        let all = things(plan, None);
        for (number, pool) in (0_u16..).zip(&plan.pools) {
            let here: Vec<&Thing> = all.iter().filter(|thing| thing.pool == number && thing.takes() > 0).collect();
            if !(3..=8).contains(&here.len()) {
                continue;
            }
            let mut lowest = u64::MAX;
            Conflicts::of(plan, &here).lowest(&mut Vec::new(), 0, &mut lowest);
            assert_eq!(pool.height_bytes, lowest, "seed {seed}, pool {number}: {here:?} of {plan:#?}");
            arenas += 1;
            shares += usize::from(here.iter().map(|thing| thing.takes()).sum::<u64>() > lowest);
        }
    }
    println!("{arenas} arenas, {shares} with shared bytes");
    assert!(arenas > 500 && shares > 400, "{arenas} {shares}");
}

/// Where more things lie, none of the placements is lower; of the largest, where the certified bound does not say so already.
#[test]
fn no_placement_makes_a_larger_arena_lower() {
    let (mut arenas, mut searched) = (0, 0);
    for seed in 0..4_000 {
        let rng = &mut Rng::with_seed(seed ^ 0x7469_6e79);
        let Some((_, lock)) = planned(rng, SMALL) else { continue };
        let plan = &lock.plan;
        let all = things(plan, None);
        for (number, pool) in (0_u16..).zip(&plan.pools) {
            let here: Vec<&Thing> = all.iter().filter(|thing| thing.pool == number && thing.takes() > 0).collect();
            if here.len() > 14 {
                continue;
            }
            arenas += 1;
            if here.len() > 10 && demand(plan, None, &all, number) == pool.height_bytes {
                continue;
            }
            let mut lowest = pool.height_bytes;
            Conflicts::of(plan, &here).lowest(&mut Vec::new(), 0, &mut lowest);
            assert_eq!(pool.height_bytes, lowest, "seed {seed}, pool {number}: {here:?} of {plan:#?}");
            searched += usize::from(here.len() > 6);
        }
    }
    println!("{arenas} arenas, {searched} of more than 6 things searched");
    assert!(arenas > 1_000 && searched > 300, "{arenas} {searched}");
}
