//! A checker of EDF certificates that searches nothing and shares nothing with the analysis: it accepts what the analysis
//! writes, and no change to a certificate lets it accept a bound that is too small.

use super::oracle::{MEDIUM, SMALL, lengths, loads, random_bounded};
use aegis_codegen::analysis::fixed_priority::busy_period;
use aegis_codegen::analysis::{Load, Proof, edf};
use fastrand::Rng;

/// What is claimed of a lane, and by what.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Claim {
    busy: i128,
    /// d and F.
    points: Vec<(i128, i128)>,
    /// For each task R, and d and s where F does not suffice.
    tasks: Vec<(i128, Vec<(i128, i128)>)>,
}

fn int(value: u64) -> i128 {
    value.into()
}

/// How many jobs of a task can be due by `d` in a busy period that begins at 0.
fn count(load: &Load, d: i128) -> i128 {
    let beyond = d + int(load.jitter) - int(load.deadline);
    if beyond < 0 { 0 } else { beyond / int(load.period) + 1 }
}

/// B(d).
fn blocking(loads: &[Load], d: i128) -> i128 {
    let later = loads.iter().filter(|load| count(load, d) == 0);
    later.map(|load| int(lengths(load).1) - 1).max().unwrap_or(0)
}

fn holds(loads: &[Load], claim: &Claim) -> bool {
    // The busy period solves its equation.
    let all = loads
        .iter()
        .map(|load| (claim.busy + int(load.jitter) + int(load.period) - 1) / int(load.period) * int(load.cost));
    if claim.busy <= 0 || all.sum::<i128>() > claim.busy {
        return false;
    }
    // The points are all instants at which a job can be due, and each F solves its equation.
    let mut before = -1;
    for (d, finish) in &claim.points {
        let work = loads.iter().map(|load| {
            let seen = (finish + int(load.jitter) + int(load.period) - 1) / int(load.period);
            seen.min(count(load, *d)) * int(load.cost)
        });
        let complete = loads.iter().all(|load| count(load, d - 1) == count(load, before));
        if *d <= before || *finish <= 0 || !complete || blocking(loads, *d) + work.sum::<i128>() > *finish {
            return false;
        }
        before = *d;
    }
    // Beyond the last one nothing blocks, and L serves for all.
    if loads.iter().any(|load| count(load, before) == 0) || claim.tasks.len() != loads.len() {
        return false;
    }
    claim.tasks.iter().enumerate().all(|(own, (bound, starts))| {
        let (load, last) = (&loads[own], int(lengths(&loads[own]).0));
        let in_time = |finish: i128, d: i128| finish + int(load.deadline) <= bound + d;
        let mut starts = starts.iter();
        let at_points = claim.points.iter().filter(|(d, _)| count(load, *d) > 0).all(|(d, finish)| {
            in_time(*finish, *d) || {
                let Some((at, start)) = starts.next() else { return false };
                let work = loads.iter().enumerate().map(|(index, other)| {
                    let seen = (start + int(other.jitter)) / int(other.period) + 1;
                    let due = count(other, *d);
                    (if index == own { due } else { due.min(seen) }) * int(other.cost)
                });
                let needed = blocking(loads, *d) + work.sum::<i128>() - last;
                at == d && *start >= 0 && needed <= *start && in_time(start + last, *d)
            }
        });
        at_points && starts.next().is_none() && in_time(claim.busy, before)
    })
}

fn claim(loads: &[Load]) -> Claim {
    let lane = edf::analyse(loads);
    let pairs = |pairs: &[(u64, u64)]| pairs.iter().map(|(d, at)| (int(*d), int(*at))).collect();
    let task = |found: &aegis_codegen::analysis::Found| match &found.response {
        Ok((bound, Proof::Edf { starts })) => (int(bound.as_ns()), pairs(starts)),
        other => panic!("{other:?}: {loads:?}"),
    };
    let tasks = lane.found.iter().map(task).collect();
    Claim { busy: int(busy_period(0, loads).unwrap()), points: pairs(&lane.points), tasks }
}

/// Changes one number by one or a few, or drops one entry of a list.
fn change(rng: &mut Rng, claim: &mut Claim) {
    fn one(rng: &mut Rng, list: &mut Vec<(i128, i128)>) {
        if list.is_empty() {
            list.push((rng.u64(0..30).into(), rng.u64(0..30).into()));
            return;
        }
        let at = rng.usize(0..list.len());
        let by = i128::from(rng.i64(1..=3)) * if rng.bool() { 1 } else { -1 };
        match rng.u8(0..4) {
            0 => list[at].0 += by,
            1 => list[at].1 += by,
            2 => {
                list.remove(at);
            }
            _ => list.truncate(at),
        }
    }
    match rng.u8(0..5) {
        0 => claim.busy -= i128::from(rng.i64(-2..=2)),
        1 | 2 => one(rng, &mut claim.points),
        _ => {
            let own = rng.usize(0..claim.tasks.len());
            one(rng, &mut claim.tasks[own].1);
        }
    }
}

/// A random set that has bounds; every third one is larger.
fn bounded(rng: &mut Rng) -> Vec<Load> {
    let size = if rng.u8(0..3) == 0 { MEDIUM } else { SMALL };
    loads(&random_bounded(rng, &size, |_| true))
}

#[test]
fn a_checker_without_a_search_accepts_every_certificate_and_nothing_smaller() {
    let mut rng = Rng::with_seed(10);
    let (mut points, mut starts, mut smaller) = (0, 0, 0);
    for _ in 0..3_000 {
        let loads = bounded(&mut rng);
        let claim = claim(&loads);
        assert!(holds(&loads, &claim), "{claim:?}: {loads:?}");
        points += claim.points.len();
        for own in 0..loads.len() {
            starts += claim.tasks[own].1.len();
            let mut too_small = claim.clone();
            too_small.tasks[own].0 -= 1;
            assert!(!holds(&loads, &too_small), "task {own}, {claim:?}: {loads:?}");
            // However the rest is changed.
            for _ in 0..10 {
                change(&mut rng, &mut too_small);
                assert!(!holds(&loads, &too_small), "task {own}, {too_small:?}: {loads:?}");
                smaller += 1;
            }
        }
    }
    println!("{points} points, {starts} starts; {smaller} claims of less refused");
    assert!(points > 50_000 && starts > 1_000);
}

#[test]
fn a_changed_certificate_is_refused() {
    let mut rng = Rng::with_seed(11);
    let (mut refused, mut true_still) = (0, 0);
    let mut judge = |loads: &[Load], changed: &Claim, must: bool| {
        let holds = holds(loads, changed);
        assert!(!holds || !must, "{changed:?}: {loads:?}");
        *if holds { &mut true_still } else { &mut refused } += 1;
    };
    for _ in 0..200 {
        let loads = bounded(&mut rng);
        let claim = claim(&loads);
        let with = |edit: &dyn Fn(&mut Claim)| {
            let mut changed = claim.clone();
            edit(&mut changed);
            changed
        };
        // A longer busy period, a later finish or start may be a solution too, and then they prove the same.
        judge(&loads, &with(&|claim| claim.busy -= 1), true);
        judge(&loads, &with(&|claim| claim.busy += 1), false);
        let last = claim.points.len() - 1;
        for at in 0..=last {
            judge(&loads, &with(&|claim| claim.points[at].0 += 1), true);
            judge(&loads, &with(&|claim| claim.points[at].0 -= 1), at < last);
            judge(&loads, &with(&|claim| claim.points[at].1 -= 1), true);
            judge(&loads, &with(&|claim| claim.points[at].1 += 1), false);
            judge(
                &loads,
                &with(&|claim| {
                    claim.points.remove(at);
                }),
                true,
            );
            judge(&loads, &with(&|claim| claim.points.truncate(at)), true);
        }
        for own in 0..loads.len() {
            for at in 0..claim.tasks[own].1.len() {
                judge(&loads, &with(&|claim| claim.tasks[own].1[at].0 += 1), true);
                judge(&loads, &with(&|claim| claim.tasks[own].1[at].0 -= 1), true);
                judge(&loads, &with(&|claim| claim.tasks[own].1[at].1 -= 1), false);
                judge(&loads, &with(&|claim| claim.tasks[own].1[at].1 += 1), false);
                judge(
                    &loads,
                    &with(&|claim| {
                        claim.tasks[own].1.remove(at);
                    }),
                    true,
                );
                judge(&loads, &with(&|claim| claim.tasks[own].1.truncate(at)), true);
            }
        }
    }
    println!("{refused} refused, {true_still} true still");
    assert!(refused > 20_000 && true_still < refused);
}
