//! The exact analysis of strictly periodic tasks, for all time.

use super::graph::{Chains, Head};
use super::walk::{Cycle, Walk};
use super::{GaveUp, Limits, Order, Range, Why};
use crate::analysis::Load;
use crate::analysis::utilization::{Against1, against_1};

/// A strictly periodic task; instants and times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Task {
    /// The least and the greatest cost, overheads included; the least is at least 1.
    pub cost: (u64, u64),
    /// T: between arrivals, at least 1.
    pub period: u64,
    /// D: relative deadline from arrival.
    pub deadline: u64,
    /// The first arrival.
    pub phase: u64,
    /// J: how much later than its arrival a job is seen, at most.
    pub jitter: u64,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exact {
    /// Per task the least and the greatest response from arrival; both happen.
    pub responses: Vec<Range>,
    /// After how many hyperperiods all repeated.
    pub hyperperiods: u64,
    /// How many states were visited.
    pub states: u64,
}

/// The responses of periodic tasks, from arrival, jitter included; in the order of `tasks`.
///
/// Cost: a step for each task of each state and successor. Memory: two levels, and the states at multiples of the
/// hyperperiod.
///
/// # Errors
/// [`GaveUp`] where an input is invalid, the utilization is not at most 1, the hyperperiod or a time overflows, or the
/// limits do not suffice.
pub fn periodic(tasks: &[Task], order: Order, limits: Limits) -> Result<Exact, GaveUp> {
    let set = Periodic::new(tasks, order).map_err(GaveUp::early)?;
    let load = |task: &Task| Load::whole(task.cost.1, task.period, task.deadline, task.jitter);
    if against_1(&tasks.iter().map(load).collect::<Vec<_>>()) != Against1::AtMost {
        return Err(GaveUp::early(Why::Overloaded));
    }
    let cycle = set.cycle().map_err(GaveUp::early)?;
    let mut walk = Walk::new(&set, limits, Some(cycle)).map_err(GaveUp::early)?;
    let mut responses: Vec<Option<Range>> = vec![None; tasks.len()];
    loop {
        let more = walk.advance(0, |_, start| {
            let (first, last) = start.finish()?;
            let arrival = set.arrival(start.chain, start.position).ok_or(Why::Overflow)?;
            let response = Range { best: first.saturating_sub(arrival), worst: last.saturating_sub(arrival) };
            let slot = responses.get_mut(start.chain).ok_or(Why::Input)?;
            *slot = Some(Range::unite(*slot, response));
            Ok(())
        });
        match more {
            Ok(true) => {}
            Ok(false) => {
                // A hyperperiod holds a job of every task.
                let responses: Option<Vec<Range>> = responses.into_iter().collect();
                let responses = responses.ok_or_else(|| walk.gave_up(Why::Input))?;
                let (hyperperiods, states) = walk.passed();
                return Ok(Exact { responses, hyperperiods, states });
            }
            Err(why) => return Err(walk.gave_up(why)),
        }
    }
}

/// Tasks as chains of jobs without end.
pub(super) struct Periodic<'a> {
    tasks: &'a [Task],
    order: Order,
}

impl<'a> Periodic<'a> {
    pub(super) fn new(tasks: &'a [Task], order: Order) -> Result<Self, Why> {
        let is_valid = |task: &Task| task.period > 0 && task.cost.0 > 0 && task.cost.0 <= task.cost.1;
        if !tasks.iter().all(is_valid) {
            return Err(Why::Input);
        }
        Ok(Self { tasks, order })
    }

    /// The hyperperiod, and how many jobs of each task arrive in it.
    pub(super) fn cycle(&self) -> Result<Cycle, Why> {
        let hyperperiod = self.tasks.iter().try_fold(1, |all, task| lcm(all, task.period)).ok_or(Why::Overflow)?;
        let each = |task: &Task| u32::try_from(hyperperiod.checked_div(task.period)?).ok();
        let each: Option<Vec<u32>> = self.tasks.iter().map(each).collect();
        Ok(Cycle::new(hyperperiod, each.ok_or(Why::Overflow)?))
    }

    /// When a task's job at a position from 0 arrives.
    pub(super) fn arrival(&self, task: usize, position: u32) -> Option<u64> {
        let task = self.tasks.get(task)?;
        task.period.checked_mul(u64::from(position))?.checked_add(task.phase)
    }
}

impl Chains for Periodic<'_> {
    fn count(&self) -> usize {
        self.tasks.len()
    }

    fn head(&self, chain: usize, position: u32) -> Result<Option<Head>, Why> {
        let Some(task) = self.tasks.get(chain) else { return Ok(None) };
        let head = || {
            let earliest = task.period.checked_mul(u64::from(position))?.checked_add(task.phase)?;
            let latest = earliest.checked_add(task.jitter)?;
            let rank = match self.order {
                Order::FixedPriority => 0,
                Order::EarliestDeadlineFirst => earliest.checked_add(task.deadline)?,
            };
            Some(Head { earliest, latest, best: task.cost.0, worst: task.cost.1, rank })
        };
        head().map(Some).ok_or(Why::Overflow)
    }
}

/// The least common multiple of two positive numbers, or `None` where it does not fit.
fn lcm(one: u64, other: u64) -> Option<u64> {
    let (mut divisor, mut rest) = (one, other);
    while rest > 0 {
        (divisor, rest) = (rest, divisor.checked_rem(rest)?);
    }
    one.checked_div(divisor)?.checked_mul(other)
}
