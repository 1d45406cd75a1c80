//! The memory solver against what shares nothing with it: a search through all plans of small problems, rectangles whose
//! lowest height is known, and a validator that sees every plan.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aegis_codegen::memory::solver::pools::{Budget, Excess, Pool, Sizes, pooled};
use aegis_codegen::memory::solver::{Buffer, Limits, Plan, Problem, Proof, minimise};
use aegis_tests::packing::{Wrong, cut_rectangle, lowest_height, validate};
use std::time::Duration;

/// A plan that the validator accepted, whose bound is the sum of its witness or less, and whose claims agree.
fn planned(buffers: &[Buffer], limits: Limits, what: &str) -> Plan {
    let plan = minimise(&Problem::new(buffers.to_vec()).unwrap(), limits, None);
    check(buffers, &plan, what);
    plan
}

fn check(buffers: &[Buffer], plan: &Plan, what: &str) {
    validate(buffers, &plan.offsets, plan.height).unwrap_or_else(|wrong| panic!("{what}: {wrong:?}"));
    assert!(plan.bound.height <= plan.lower_bound && plan.lower_bound <= plan.height, "{what}");
    assert_eq!(plan.is_optimal(), plan.lower_bound == plan.height, "{what}");
    assert_eq!(plan.proof == Proof::Witness, plan.bound.height == plan.height, "{what}");
    for (position, one) in plan.bound.witness.iter().enumerate() {
        for two in &plan.bound.witness[..position] {
            assert!(buffers[*one].conflicts_with(&buffers[*two]), "{what}: the witness has buffers without conflict");
        }
        if let Some(instant) = plan.bound.instant {
            assert!(buffers[*one].live.iter().any(|range| range.contains(&instant)), "{what}: not live at the instant");
        }
    }
}

/// A small problem: ties, coprime sizes, alignments, gaps, and pins that lie where some plan has them.
fn small(random: &mut fastrand::Rng) -> Vec<Buffer> {
    let (horizon, largest) = (random.i64(2..12), [4, 12, 40][random.usize(..3)]);
    let (aligned, gaps) = (random.u8(..3) == 0, random.u8(..3) == 0);
    let mut buffers: Vec<Buffer> = (0..random.usize(1..=7))
        .map(|_| {
            let start = random.i64(0..horizon);
            let end = start + random.i64(1..=horizon);
            let mut buffer = Buffer::new(random.u64(0..largest), start..end);
            if gaps && end - start > 2 && random.bool() {
                let hole = random.i64(start + 1..end - 1);
                buffer.live = vec![start..hole, random.i64(hole..end)..end];
            }
            if aligned { buffer.aligned(1 << random.u32(0..4)) } else { buffer }
        })
        .collect();
    if random.u8(..4) == 0 {
        // Pins from a valid plan, shifted upwards so that holes arise.
        let plan = minimise(&Problem::new(buffers.clone()).unwrap(), Limits { nodes: 0, ..Limits::default() }, None);
        let shift = random.u64(0..3) * 8;
        for (buffer, offset) in buffers.iter_mut().zip(plan.offsets) {
            if random.bool() {
                buffer.pinned = Some(offset + shift);
            }
        }
    }
    buffers
}

#[test]
fn six_thousand_small_problems_in_two_pools_have_the_lowest_heights() {
    let mut by_witness = 0;
    let (mut fits, mut above) = (0, 0);
    for seed in 0..6_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (one, two) = (small(&mut random), small(&mut random));
        let lowest = [lowest_height(&one), lowest_height(&two)];
        let least = 1 << random.u32(0..6);
        let region = lowest[1].max(least).next_power_of_two();
        let pools = [
            Pool { problem: Problem::new(one.clone()).unwrap(), capacity: random.u64(0..60), sizes: Sizes::Any },
            Pool {
                problem: Problem::new(two.clone()).unwrap(),
                capacity: random.u64(0..100),
                sizes: Sizes::PowersOfTwo { least },
            },
        ];
        let budget = Budget { pools: vec![0, 1], bytes: random.u64(0..120) };
        let found = pooled(&pools, std::slice::from_ref(&budget), Limits { threads: 1, ..Limits::default() }, None);
        let what = format!("seed {seed}");
        for ((plan, buffers), lowest) in found.plans.iter().zip([&one, &two]).zip(lowest) {
            check(buffers, plan, &what);
            assert_eq!(plan.height, lowest, "{what}: {buffers:?}");
            assert!(plan.is_optimal(), "{what}: not proven");
            if plan.proof == Proof::Witness {
                by_witness += 1;
            }
        }
        assert_eq!(found.sizes, [Some(lowest[0]), Some(region)], "{what}");
        let mut excesses = Vec::new();
        if lowest[0] > pools[0].capacity {
            excesses.push(Excess::Pool { pool: 0, proven: true });
        }
        if region > pools[1].capacity {
            excesses.push(Excess::Pool { pool: 1, proven: true });
        }
        if lowest[0] + region > budget.bytes {
            excesses.push(Excess::Budget { budget: 0, bytes: Some(lowest[0] + region), proven: true });
        }
        (fits, above) = (fits + usize::from(excesses.is_empty()), above + usize::from(!excesses.is_empty()));
        assert_eq!(found.excesses, excesses, "{what}");
    }
    println!(
        "{by_witness} of 12,000 plans have a witness, the others are proven by search; {fits} fit, {above} do not"
    );
    assert!(by_witness > 6_000 && by_witness < 12_000 && fits > 500 && above > 500);
}

/// Whatever the limits are, what is claimed is true: no plan below the lower bound, none above it called the lowest.
#[test]
fn a_search_that_is_cut_short_claims_nothing_false() {
    let (mut open, mut by_search) = (0, 0);
    for seed in 0..4_000 {
        let mut random = fastrand::Rng::with_seed(seed + 1_000_000);
        // Two parts without a conflict between them.
        let (mut buffers, other) = (small(&mut random), small(&mut random));
        let lowest = lowest_height(&buffers).max(lowest_height(&other));
        buffers.extend(other.into_iter().map(|buffer| {
            let live = buffer.live.iter().map(|range| range.start + 1_000..range.end + 1_000).collect();
            Buffer { live, ..buffer }
        }));
        let capacities = [None, None, None, Some(lowest), Some(lowest.saturating_sub(1)), Some(lowest + 5)];
        let limits = Limits {
            nodes: [0, 1, 7, 20, 40, 60, 200, 1_000][random.usize(..8)],
            capacity: capacities[random.usize(..6)],
            threads: random.usize(1..4),
            ..Limits::default()
        };
        let plan = planned(&buffers, limits, &format!("seed {seed}"));
        assert!(plan.lower_bound <= lowest && lowest <= plan.height, "seed {seed}: {plan:?}, lowest {lowest}");
        open += usize::from(plan.proof == Proof::None);
        by_search += usize::from(plan.proof == Proof::Search);
    }
    println!("{open} left open, {by_search} proven by search");
    assert!(open > 50 && by_search > 20, "{open} {by_search}");
}

/// Instances of the hardness of the published ones: no order alone puts the rectangle together.
const RECTANGLES: [(u64, usize); 12] = [
    (1, 60),
    (3, 120),
    (4, 150),
    (5, 180),
    (6, 220),
    (7, 260),
    (11, 300),
    (12, 300),
    (14, 200),
    (19, 150),
    (26, 100),
    (28, 80),
];

#[test]
fn cut_rectangles_are_put_together_again_and_first_plans_do_not_do_it() {
    for (seed, count) in RECTANGLES {
        let (what, height) = (format!("seed {seed}, {count} buffers"), 1 << 20);
        let buffers = cut_rectangle(seed, count, 4 * i64::try_from(count).unwrap(), height);
        let first = planned(&buffers, Limits { nodes: 0, ..Limits::default() }, &what);
        assert!(first.height > height, "{what}: too easy to test a search");
        let plan = planned(&buffers, Limits { capacity: Some(height), ..Limits::default() }, &what);
        assert_eq!((plan.height, plan.proof), (height, Proof::Witness), "{what}: {} nodes", plan.nodes);
    }
}

#[test]
fn the_plan_does_not_depend_on_the_number_of_threads() {
    for (seed, count) in [(11, 70), (12, 110), (13, 140)] {
        let mut buffers = cut_rectangle(seed, count, 500, 100_000);
        buffers.extend(cut_rectangle(seed + 50, 60, 400, 90_000).into_iter().map(|buffer| {
            let live = &buffer.live[0];
            Buffer::new(buffer.size, live.start + 1_000..live.end + 1_000)
        }));
        // Some slack and some alignment, so that the lowest height is not the bound.
        for buffer in buffers.iter_mut().step_by(7) {
            *buffer = buffer.clone().aligned(64);
        }
        let limits = |threads| Limits { nodes: 40_000, threads, ..Limits::default() };
        let one = planned(&buffers, limits(1), "one thread");
        for threads in [2, 3, 5] {
            assert_eq!(planned(&buffers, limits(threads), "several"), one, "seed {seed}, {threads} threads");
        }
    }
}

#[test]
fn a_wall_clock_limit_ends_the_search_and_is_told() {
    let buffers: Vec<Buffer> =
        cut_rectangle(3, 400, 4_000, 1 << 24).into_iter().map(|buffer| buffer.aligned(32)).collect();
    let limits = Limits { nodes: u64::MAX, time: Some(Duration::from_millis(50)), ..Limits::default() };
    let plan = planned(&buffers, limits, "time");
    assert!(plan.out_of_time && !plan.is_optimal());
}

#[test]
fn large_problems_are_planned_with_their_gap() {
    for (count, most_percent) in [(10_000, 25), (100_000, 25)] {
        let mut random = fastrand::Rng::with_seed(count);
        let horizon = i64::try_from(count).unwrap();
        let one = |random: &mut fastrand::Rng| {
            let start = random.i64(0..horizon);
            // Mostly short, some long.
            let length = if random.u8(..50) == 0 { random.i64(1..horizon / 4) } else { random.i64(1..200) };
            Buffer::new(random.u64(1..1 << 20), start..start + length).aligned(64)
        };
        let buffers: Vec<Buffer> = (0..count).map(|_| one(&mut random)).collect();
        let plan = planned(&buffers, Limits::default(), &format!("{count} buffers"));
        let gap = (plan.height - plan.lower_bound) * 100 / plan.lower_bound;
        println!("{count} buffers: {} bytes, at least {}, gap {gap} %", plan.height, plan.lower_bound);
        assert!(gap < most_percent, "{gap} %");
    }
}

#[test]
fn parts_without_conflict_are_planned_each_for_itself() {
    let mut buffers = Vec::new();
    for part in 0..40_i64 {
        for buffer in cut_rectangle(u64::try_from(part).unwrap() + 100, 24, 90, 1_000) {
            let live = &buffer.live[0];
            buffers.push(Buffer::new(buffer.size, live.start + part * 90..live.end + part * 90));
        }
    }
    let plan = planned(&buffers, Limits::default(), "parts");
    assert_eq!((plan.height, plan.proof), (1_000, Proof::Witness), "{} nodes", plan.nodes);
}

#[test]
fn the_validator_sees_every_kind_of_wrong_plan() {
    let buffers = [
        Buffer::new(4, 0..5).aligned(4),
        Buffer { live: vec![0..1, 4..5], ..Buffer::new(8, 0..1) },
        Buffer { pinned: Some(4), ..Buffer::new(2, 1..4) },
    ];
    assert_eq!(validate(&buffers, &[0, 4, 4], 12), Ok(()));
    assert_eq!(validate(&buffers, &[0, 4], 12), Err(Wrong::Count));
    assert_eq!(validate(&buffers, &[0, 5, 4], 12), Err(Wrong::TooHigh(1)));
    assert_eq!(validate(&buffers, &[2, 4, 4], 12), Err(Wrong::Misaligned(0)));
    assert_eq!(validate(&buffers, &[0, 4, 6], 12), Err(Wrong::Moved(2)));
    assert_eq!(validate(&buffers, &[0, 3, 4], 11), Err(Wrong::Overlap(0, 1)));
    assert_eq!(validate(&buffers, &[0, 4, 4], 13), Err(Wrong::Slack));
}
