//! An order is found exactly where one of all permutations is accepted.

use crate::oracle::{Size, UNIT, is_endless, loads, random, utilization};
use aegis_codegen::analysis::priorities::{NoOrder, optimal};
use aegis_codegen::analysis::{Load, Pieces, fixed_priority};
use fastrand::Rng;
use std::time::{Duration, Instant};

fn accepted(order: &[Load]) -> bool {
    let found = fixed_priority::analyse(order);
    found
        .iter()
        .zip(order)
        .all(|(found, load)| found.response.as_ref().is_ok_and(|(bound, _)| bound.as_ns() <= load.deadline))
}

fn ordered(loads: &[Load], order: &[usize]) -> Vec<Load> {
    order.iter().map(|position| loads[*position]).collect()
}

/// Calls `visit` with each permutation until it says true.
fn any_permutation(rest: &mut Vec<Load>, chosen: &mut Vec<Load>, visit: &mut impl FnMut(&[Load]) -> bool) -> bool {
    if rest.is_empty() {
        return visit(chosen);
    }
    (0..rest.len()).any(|index| {
        chosen.push(rest.remove(index));
        let found = any_permutation(rest, chosen, visit);
        rest.insert(index, chosen.pop().unwrap());
        found
    })
}

#[test]
fn an_order_is_found_exactly_where_a_permutation_is_accepted() {
    let mut rng = Rng::with_seed(41);
    let size = Size { tasks: 2..=6, period: 12, cost: 6 };
    let (mut found, mut refused, mut beyond_dm, mut beyond_slack) = (0, 0, 0, 0);
    let mut rounds = 0;
    while refused < 300 || beyond_dm < 200 {
        rounds += 1;
        let loads = loads(&random(&mut rng, &size));
        if utilization(&loads) >= UNIT || (0..loads.len()).any(|own| is_endless(&loads, own)) {
            continue;
        }
        match optimal(&loads) {
            Ok(order) => {
                let mut positions = order.clone();
                positions.sort_unstable();
                assert!(positions.into_iter().eq(0..loads.len()));
                assert!(accepted(&ordered(&loads, &order)), "{order:?} of {loads:?}");
                found += 1;
                let mut dm = loads.clone();
                dm.sort_by_key(|load| load.deadline);
                beyond_dm += usize::from(!accepted(&dm));
                dm.sort_by_key(|load| load.deadline.saturating_sub(load.jitter));
                beyond_slack += usize::from(!accepted(&dm));
            }
            Err(NoOrder { misfits, placed, undecided }) => {
                // Permutations of six with an early refusal are many: only every eighth such set is tried.
                assert!(!undecided && !misfits.is_empty() && misfits.len() + placed.len() == loads.len());
                if loads.len() == 6 && rounds % 8 > 0 {
                    continue;
                }
                assert!(!any_permutation(&mut loads.clone(), &mut Vec::new(), &mut accepted), "{loads:?}");
                refused += 1;
                // What was placed meets its deadline with the misfits above, in any order of theirs.
                let order: Vec<usize> = misfits.iter().chain(&placed).copied().collect();
                let all = ordered(&loads, &order);
                let results = fixed_priority::analyse(&all);
                for (load, result) in all.iter().zip(results).skip(misfits.len()) {
                    assert!(result.response.unwrap().0.as_ns() <= load.deadline, "{order:?} of {loads:?}");
                }
                for position in &misfits {
                    let others = misfits.iter().filter(|other| *other != position).chain([position]).chain(&placed);
                    let all = ordered(&loads, &others.copied().collect::<Vec<_>>());
                    let result = fixed_priority::analyse(&all).swap_remove(misfits.len() - 1);
                    assert!(result.response.unwrap().0.as_ns() > loads[*position].deadline, "{position} of {loads:?}");
                }
            }
        }
    }
    println!("{found} found, {refused} refused, {beyond_dm} beyond D order, {beyond_slack} beyond D - J order");
    assert!(found > 1_000 && beyond_slack > 50);
}

/// What a deadline-monotonic lane and its optimal order respond after.
fn compare(loads: &[Load]) -> (Vec<u64>, Vec<usize>, Vec<u64>) {
    assert!(loads.is_sorted_by_key(|load| load.deadline) && !accepted(loads));
    let bounds = |loads: &[Load]| -> Vec<u64> {
        fixed_priority::analyse(loads).iter().map(|found| found.response.as_ref().unwrap().0.as_ns()).collect()
    };
    let order = optimal(loads).unwrap();
    assert!(accepted(&ordered(loads, &order)));
    (bounds(loads), order.clone(), bounds(&ordered(loads, &order)))
}

#[test]
fn deadline_monotonic_fails_where_an_order_exists() {
    let whole = [Load::whole(3, 5, 5, 0), Load::whole(3, 20, 8, 0), Load::whole(1, 10, 9, 0)];
    assert_eq!(compare(&whole), (vec![5, 6, 10], vec![0, 2, 1], vec![5, 9, 7]));
    let cut = |last, longest, load| Load { pieces: Pieces::Segments { last, longest }, ..load };
    let segments = [
        cut(1, 2, Load::whole(4, 10, 7, 0)),
        cut(4, 4, Load::whole(4, 15, 12, 0)),
        cut(1, 2, Load::whole(3, 15, 14, 0)),
    ];
    assert_eq!(compare(&segments), (vec![7, 9, 15], vec![0, 2, 1], vec![7, 10, 11]));
    // With full preemption a deadline beyond the period is enough.
    let preemptive = [Load::preemptive(2, 5, 7, 0), Load::preemptive(5, 10, 8, 0)];
    assert_eq!(compare(&preemptive), (vec![2, 9], vec![1, 0], vec![5, 7]));
}

#[test]
fn overload_and_ten_thousand_tasks_are_answered_soon() {
    let overload = [Load::whole(3, 5, 5, 0), Load::whole(3, 5, 50, 0)];
    assert_eq!(optimal(&overload), Err(NoOrder { misfits: vec![0, 1], placed: vec![], undecided: false }));
    assert_eq!(optimal(&[]), Ok(vec![]));
    let mut rng = Rng::with_seed(42);
    for (count, make) in [(1_000u64, Load::whole as fn(u64, u64, u64, u64) -> Load), (10_000, Load::preemptive)] {
        let one = |_| {
            let period = rng.u64(1_000_000..1_000_000_000);
            make((period / (2 * count)).max(1), period, period, 0)
        };
        let loads: Vec<Load> = (0..count).map(one).collect();
        let begin = Instant::now();
        let order = optimal(&loads);
        println!("{count} tasks: {:?}", begin.elapsed());
        assert!(begin.elapsed() < Duration::from_secs(20));
        match order {
            Ok(order) => assert!(accepted(&ordered(&loads, &order))),
            Err(why) => assert!(why.undecided && count == 10_000),
        }
    }
}
