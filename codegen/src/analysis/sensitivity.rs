//! How far a parameter can move before something misses: by bisection on the analyses, which are monotone in it.
//!
//! Assumptions: priorities stay as they are (a shorter period does not reorder tasks), everything else stays as it is, and
//! the analysis accepts the lane now. The response-time recurrences grow with C and with 1/T, the demand with C, 1/T and
//! 1/D; so "accepted" is a prefix of each parameter's range, and bisection finds its exact end in at most 64 analyses.

use super::{Load, NoBound, demand, fixed_priority};

/// How a lane is analysed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Theory {
    /// [`fixed_priority`].
    FixedPriority,
    /// [`demand`].
    Demand,
}

/// The position of a load that misses first when a limit is passed, or `None` where the whole lane is refused.
pub type FirstMiss = Option<usize>;

/// The limits of one task. Times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The largest cost C, overheads included, with which the lane is accepted, and who misses beyond it.
    pub cost: (u64, FirstMiss),
    /// The shortest period T, and who misses below it.
    pub period: (u64, FirstMiss),
    /// The shortest deadline D, and who misses below it.
    pub deadline: (u64, FirstMiss),
}

/// Whether a lane is accepted; otherwise the first load that misses.
///
/// # Errors
/// Who misses, the most important first, or `None` where no single task is named.
pub fn accepts(loads: &[Load], theory: Theory) -> Result<(), FirstMiss> {
    let found = match theory {
        Theory::FixedPriority => fixed_priority::analyse(loads),
        Theory::Demand => {
            let busy = fixed_priority::busy_period(0, loads);
            return match busy.and_then(|busy| demand::test(loads, busy)) {
                Ok(()) => Ok(()),
                Err(NoBound::Demand { at, .. }) => Err(due_at(loads, at)),
                Err(_) => Err(None),
            };
        }
    };
    for (position, (load, found)) in loads.iter().zip(found).enumerate() {
        match found.response {
            Ok((bound, _)) if bound.as_ns() <= load.deadline => {}
            _ => return Err(Some(position)),
        }
    }
    Ok(())
}

/// The task with a job due exactly at `at`.
fn due_at(loads: &[Load], at: u64) -> FirstMiss {
    loads.iter().position(|load| {
        let beyond = at.saturating_add(load.jitter).checked_sub(load.deadline);
        beyond.is_some_and(|beyond| beyond.checked_rem(load.period) == Some(0))
    })
}

/// The limits of each load of an accepted lane; `None` where the lane is not accepted.
///
/// Cost: about 150 analyses of the lane per task.
#[must_use]
pub fn limits(loads: &[Load], theory: Theory) -> Option<Vec<Limits>> {
    accepts(loads, theory).ok()?;
    let mut limits = Vec::with_capacity(loads.len());
    for (position, load) in loads.iter().enumerate() {
        let with = |change: &dyn Fn(&mut Load)| {
            let mut changed = loads.to_vec();
            if let Some(own) = changed.get_mut(position) {
                change(own);
            }
            accepts(&changed, theory)
        };
        // A cost above the deadline is never accepted; a period or deadline of 0 is none.
        limits.push(Limits {
            cost: last_accepted(load.cost, load.deadline.saturating_add(1), |cost| {
                with(&|own| *own = own.with_cost(cost))
            }),
            period: last_accepted(load.period, 0, |period| with(&|own| own.period = period)),
            deadline: last_accepted(load.deadline, 0, |deadline| with(&|own| own.deadline = deadline)),
        });
    }
    Some(limits)
}

/// The largest factor, in millionths, by which every cost of an accepted lane can be multiplied (rounded up to whole
/// nanoseconds); `None` where the lane is not accepted.
#[must_use]
pub fn breakdown_ppm(loads: &[Load], theory: Theory) -> Option<u64> {
    accepts(loads, theory).ok()?;
    let scaled = |factor: u64| -> Result<(), FirstMiss> {
        let scale = |load: &Load| {
            let cost = u128::from(load.cost).checked_mul(u128::from(factor))?.div_ceil(1_000_000);
            Some(load.with_cost(u64::try_from(cost).ok()?))
        };
        accepts(&loads.iter().map(scale).collect::<Option<Vec<Load>>>().ok_or(None)?, theory)
    };
    // One job of a task cannot take longer than its deadline, so no factor above D/C is accepted.
    let ceiling = loads.iter().map(|load| {
        let most = u128::from(load.deadline).saturating_mul(1_000_000).checked_div(u128::from(load.cost.max(1)));
        u64::try_from(most.unwrap_or(u128::MAX)).unwrap_or(u64::MAX).saturating_add(1)
    });
    Some(last_accepted(1_000_000, ceiling.min()?.max(1_000_001), scaled).0)
}

/// The largest overhead per job that an accepted lane tolerates, where each cost now contains `overhead`; in nanoseconds.
#[must_use]
pub fn largest_overhead(loads: &[Load], overhead: u64, theory: Theory) -> Option<u64> {
    accepts(loads, theory).ok()?;
    let with = |other: u64| -> Result<(), FirstMiss> {
        let change = |load: &Load| {
            let cost = load.cost.checked_sub(overhead)?.checked_add(other)?;
            Some(load.with_cost(cost))
        };
        accepts(&loads.iter().map(change).collect::<Option<Vec<Load>>>().ok_or(None)?, theory)
    };
    let shortest = loads.iter().map(|load| load.deadline).min()?;
    Some(last_accepted(overhead, shortest.max(overhead).saturating_add(1), with).0)
}

/// The value nearest to `refused` that is still accepted, between `accepted` and `refused`, which bound it exclusively on
/// the far side; and who misses one step beyond.
fn last_accepted(accepted: u64, refused: u64, test: impl Fn(u64) -> Result<(), FirstMiss>) -> (u64, FirstMiss) {
    let (mut good, mut bad) = (accepted, refused);
    while good.abs_diff(bad) > 1 {
        let middle = good.midpoint(bad);
        if test(middle).is_ok() {
            good = middle;
        } else {
            bad = middle;
        }
    }
    // The far end itself was never tested: it is 0, or beyond what any schedule can hold.
    (good, if bad == refused { None } else { test(bad).err().flatten() })
}

#[cfg(test)]
mod tests {
    use super::{Theory, accepts, breakdown_ppm, limits};
    use crate::analysis::Load;

    fn load(cost: u64, period: u64, deadline: u64) -> Load {
        Load::whole(cost, period, deadline, 0)
    }

    /// The limits by trying every value.
    fn exhaustive(loads: &[Load], theory: Theory, position: usize) -> (u64, u64, u64) {
        let holds = |change: &dyn Fn(&mut Load)| {
            let mut changed = loads.to_vec();
            change(&mut changed[position]);
            accepts(&changed, theory).is_ok()
        };
        let own = loads[position];
        let cost =
            (own.cost..=own.deadline).take_while(|cost| holds(&|own| *own = own.with_cost(*cost))).last().unwrap();
        let period = (1..=own.period).rev().take_while(|period| holds(&|own| own.period = *period)).last().unwrap();
        let deadline = (1..=own.deadline).rev().take_while(|d| holds(&|own| own.deadline = *d)).last().unwrap();
        (cost, period, deadline)
    }

    #[test]
    fn bisection_finds_what_trying_every_value_finds() {
        let lanes = [
            vec![load(2, 20, 18), load(3, 30, 28), load(7, 60, 55)],
            vec![load(1, 9, 14), load(4, 25, 25), load(5, 50, 80)],
            vec![Load::whole(2, 20, 20, 3), load(6, 45, 40)],
        ];
        for loads in &lanes {
            for theory in [Theory::FixedPriority, Theory::Demand] {
                let found = limits(loads, theory).unwrap();
                for (position, limits) in found.iter().enumerate() {
                    let expected = exhaustive(loads, theory, position);
                    assert_eq!((limits.cost.0, limits.period.0, limits.deadline.0), expected, "{theory:?} {loads:?}");
                }
                let factor = breakdown_ppm(loads, theory).unwrap();
                let scaled = |factor: u64| -> Vec<Load> {
                    let cost = |load: &Load| (load.cost * factor).div_ceil(1_000_000);
                    loads.iter().map(|load| load.with_cost(cost(load))).collect()
                };
                assert!(factor >= 1_000_000 && accepts(&scaled(factor), theory).is_ok());
                assert!(accepts(&scaled(factor + 1), theory).is_err(), "{theory:?} {loads:?} {factor}");
            }
        }
    }

    #[test]
    fn a_lane_that_is_refused_has_no_limits() {
        let loads = [load(6, 10, 10), load(6, 10, 10)];
        assert_eq!((limits(&loads, Theory::FixedPriority), breakdown_ppm(&loads, Theory::Demand)), (None, None));
    }
}
