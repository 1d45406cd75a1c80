//! Several pools, each with its own buffers, and budgets that pools share.
//!
//! A pool is planned for itself: its buffers never lie in another one. What joins pools is only their size. Where CPU and
//! GPU share one DRAM, their pools draw on one budget, so the sum of their sizes must not exceed it; as every pool's
//! size is the least that is found, so is the sum.

use super::minimise::{Limits, Plan, Watch, minimise};
use super::problem::Problem;

/// Which sizes a pool may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sizes {
    /// Any number of bytes.
    Any,
    /// Powers of two, at least this many bytes (rounded up to a power of two): on-chip memory is often cut that way.
    PowersOfTwo {
        /// The smallest size in bytes.
        least: u64,
    },
}

impl Sizes {
    /// The smallest allowed size that holds `height` bytes; `None` where it would exceed 2⁶³.
    #[must_use]
    pub fn holding(self, height: u64) -> Option<u64> {
        match self {
            Self::Any => Some(height),
            Self::PowersOfTwo { least } => height.max(least).max(1).checked_next_power_of_two(),
        }
    }

    /// The largest allowed size within `capacity`, if there is one.
    #[must_use]
    pub fn within(self, capacity: u64) -> Option<u64> {
        match self {
            Self::Any => Some(capacity),
            Self::PowersOfTwo { least } => {
                let largest = capacity.checked_ilog2().map(|exponent| 1_u64 << exponent)?;
                (largest >= least.max(1).checked_next_power_of_two()?).then_some(largest)
            }
        }
    }
}

/// One memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    /// What lies in it.
    pub problem: Problem,
    /// How many bytes it has.
    pub capacity: u64,
    /// Which sizes a region in it may have.
    pub sizes: Sizes,
}

/// Bytes that several pools draw on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Budget {
    /// The pools' positions.
    pub pools: Vec<usize>,
    /// What their sizes may sum to.
    pub bytes: u64,
}

/// The plans of all pools.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pooled {
    /// For each pool its plan.
    pub plans: Vec<Plan>,
    /// For each pool the bytes that it takes: the plan's height, rounded to what the pool allows. `None`: beyond 2⁶³.
    pub sizes: Vec<Option<u64>>,
    /// What does not fit.
    pub excesses: Vec<Excess>,
}

/// Something that does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Excess {
    /// A pool needs more than it has.
    Pool {
        /// The pool's position.
        pool: usize,
        /// Whether that is certain, or no plan was found that fits.
        proven: bool,
    },
    /// Pools need more together than their budget has.
    Budget {
        /// The budget's position.
        budget: usize,
        /// Their sum; `None` beyond 2⁶⁴.
        bytes: Option<u64>,
        /// Whether that is certain, or no plans were found that fit.
        proven: bool,
    },
}

/// Plans every pool, the limits for each, and compares with capacities and budgets.
#[must_use]
pub fn pooled(pools: &[Pool], budgets: &[Budget], limits: Limits, watch: Option<Watch<'_>>) -> Pooled {
    let plans = pools.iter().map(|pool| {
        let capacity = pool.sizes.within(pool.capacity);
        minimise(&pool.problem, Limits { capacity: capacity.or(limits.capacity), ..limits }, watch)
    });
    let plans: Vec<Plan> = plans.collect();
    let taken = |pool: &Pool, height: u64| pool.sizes.holding(height);
    let sizes: Vec<Option<u64>> = pools.iter().zip(&plans).map(|(pool, plan)| taken(pool, plan.height)).collect();
    let least: Vec<Option<u64>> = pools.iter().zip(&plans).map(|(pool, plan)| taken(pool, plan.lower_bound)).collect();
    let mut excesses = Vec::new();
    for (position, ((pool, size), least)) in pools.iter().zip(&sizes).zip(&least).enumerate() {
        let exceeds = |size: &Option<u64>| size.is_none_or(|size| size > pool.capacity);
        if exceeds(size) {
            excesses.push(Excess::Pool { pool: position, proven: exceeds(least) });
        }
    }
    for (position, budget) in budgets.iter().enumerate() {
        let sum = |sizes: &[Option<u64>]| {
            let mut of = budget.pools.iter().map(|pool| sizes.get(*pool).copied().flatten());
            of.try_fold(0_u64, |sum, size| sum.checked_add(size?))
        };
        let exceeds = |sum: Option<u64>| sum.is_none_or(|sum| sum > budget.bytes);
        let bytes = sum(&sizes);
        if exceeds(bytes) {
            excesses.push(Excess::Budget { budget: position, bytes, proven: exceeds(sum(&least)) });
        }
    }
    Pooled { plans, sizes, excesses }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Excess, Pool, Sizes, pooled};
    use crate::memory::solver::{Buffer, Limits, Problem};

    fn pool(sizes: Sizes, capacity: u64, bytes: &[u64]) -> Pool {
        let buffers = bytes.iter().map(|size| Buffer::new(*size, 0..1)).collect();
        Pool { problem: Problem::new(buffers).unwrap(), capacity, sizes }
    }

    #[test]
    fn on_chip_sizes_are_powers_of_two_from_the_least_on() {
        let sizes = Sizes::PowersOfTwo { least: 4096 };
        assert_eq!(
            (sizes.holding(0), sizes.holding(4097), sizes.holding((1 << 63) + 1)),
            (Some(4096), Some(8192), None)
        );
        assert_eq!((sizes.within(4095), sizes.within(4096), sizes.within(10_000)), (None, Some(4096), Some(8192)));
        assert_eq!((Sizes::Any.holding(5), Sizes::Any.within(5)), (Some(5), Some(5)));
        assert_eq!((sizes.within(0), Sizes::PowersOfTwo { least: 0 }.holding(0)), (None, Some(1)));
    }

    #[test]
    fn each_pool_has_its_capacity_and_several_have_one_budget() {
        let on_chip = pool(Sizes::PowersOfTwo { least: 8 }, 40, &[9, 8]);
        let memory = pool(Sizes::Any, 100, &[60]);
        let budget = |bytes| [Budget { pools: vec![0, 1], bytes }];
        let fits = pooled(&[on_chip.clone(), memory.clone()], &budget(92), Limits::default(), None);
        assert_eq!((fits.sizes, fits.excesses), (vec![Some(32), Some(60)], vec![]));
        let tight = pooled(&[on_chip.clone(), memory.clone()], &budget(91), Limits::default(), None);
        assert_eq!(tight.excesses, [Excess::Budget { budget: 0, bytes: Some(92), proven: true }]);
        let small = Pool { capacity: 31, ..on_chip };
        let both = pooled(&[small, memory], &budget(91), Limits::default(), None);
        assert_eq!(
            both.excesses,
            [Excess::Pool { pool: 0, proven: true }, Excess::Budget { budget: 0, bytes: Some(92), proven: true }]
        );
    }
}
