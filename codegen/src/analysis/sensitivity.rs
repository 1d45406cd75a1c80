//! How far a parameter can move before something misses: by bisection on the analyses, which are monotone in it.
//!
//! Assumptions: priorities stay as they are (a shorter period does not reorder tasks), everything else stays as it is, and
//! the system is accepted now, by proofs other than the exact analysis. The response-time recurrences grow with C, with
//! pieces, with J and with 1/T, the demand with C, 1/T and 1/D; so "accepted" is a prefix of each parameter's range, and
//! bisection finds its exact end in at most 64 analyses. Whether a table is found is not monotone, so time-triggered lanes
//! have no limits here.

use super::chains::Bounds;
use super::{Analysis, Holds, Load, NoBound, analyse_in_order, edf, fixed_priority};
use crate::system::{Lane, System, Task, one_change_is_enough, thread_waits};
use aegis_core::desc::{Policy, Preemption};
use aegis_core::time::Duration;
use aegis_core::units::Priority;
use std::cell::Cell;

/// The position of a task that misses first when a limit is passed, or `None` where a whole lane is refused.
pub type FirstMiss = Option<usize>;

/// A limit in nanoseconds, and who misses beyond it.
pub type Limit = (u64, FirstMiss);

/// The limits of one task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The largest WCET with which the system is accepted; segments grow in proportion.
    pub wcet: Limit,
    /// The largest longest segment; `None` where a job is one segment, whose limit is the WCET's. The WCET grows with it.
    pub segment: Option<Limit>,
    /// The shortest period.
    pub period: Limit,
    /// The shortest deadline.
    pub deadline: Limit,
}

/// Finds the limits of an accepted system.
pub struct Sensitivity<'s> {
    system: &'s System,
    order: Vec<Priority>,
    /// Whether stages or chains connect lanes, or modes have tasks of several, so that none can be looked at alone.
    connected: bool,
    /// How many tasks may still be analysed.
    left: Cell<u64>,
}

/// The most tasks that the search for all limits analyses, counting each analysis anew; what is left then has no limits.
pub const TASKS_ANALYSED: u64 = 5_000_000;

impl<'s> Sensitivity<'s> {
    /// `None` where a task is not proven to hold.
    #[must_use]
    pub fn new(system: &'s System, analysis: &Analysis) -> Option<Self> {
        let holds = |(task, found): (&Task, &super::TaskResult)| found.holds(task.deadline) == Holds::Proven;
        if !system.tasks.iter().zip(&analysis.tasks).all(holds) {
            return None;
        }
        let connected = system.tasks.iter().any(|task| task.after.is_some())
            || !system.chains.is_empty()
            || !system.modes.is_empty();
        let order = analysis.tasks.iter().map(|found| found.priority).collect();
        Some(Self { system, order, connected, left: Cell::new(TASKS_ANALYSED) })
    }

    /// Whether the search went as far as it may: the last limits are too narrow then, and none must be used.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.left.get() == 0
    }

    /// Whether a changed system is accepted on a lane, or on all where stages connect them; otherwise who misses.
    fn accepts(&self, changed: &System, lane: usize) -> Result<(), FirstMiss> {
        let on_lane = changed.tasks.iter().filter(|task| self.connected || task.lane == lane).count();
        let in_modes = changed.modes.iter().map(|mode| mode.tasks.len()).fold(0, usize::saturating_add);
        let tasks = u64::try_from(on_lane.max(in_modes)).unwrap_or(u64::MAX);
        self.left.set(self.left.get().saturating_sub(tasks));
        if self.is_exhausted() {
            return Err(None);
        }
        if !self.connected
            && let Some(desc) = changed.lanes.get(lane)
            && desc.policy == Policy::EarliestDeadlineFirst
        {
            return self.accepts_demand(changed, lane);
        }
        let mut alone;
        let (system, order): (&System, Vec<Priority>) = if self.connected {
            (changed, self.order.clone())
        } else {
            alone = changed.clone();
            let keep: Vec<bool> = changed.tasks.iter().map(|task| task.lane == lane).collect();
            let mut kept = keep.iter();
            alone.tasks.retain(|_| kept.next() == Some(&true));
            alone.chains.clear();
            (&alone, self.order.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(order, _)| *order).collect())
        };
        let analysis = analyse_in_order(system, &order);
        let mut misses: Vec<(usize, u16, &str)> = Vec::new();
        for (task, found) in system.tasks.iter().zip(&analysis.tasks) {
            if found.holds(task.deadline) == Holds::No {
                misses.push((task.lane, found.priority.0, &task.name));
            }
        }
        misses.sort_unstable();
        let slow = system.chains.iter().zip(&analysis.chains).any(|(chain, bounds)| {
            let within = |bound: u64, limit: Option<Duration>| limit.is_none_or(|limit| bound <= limit.as_ns());
            let holds =
                |bounds: &Bounds| within(bounds.reaction, chain.max_reaction) && within(bounds.age, chain.max_age);
            !bounds.as_ref().is_some_and(holds)
        });
        match misses.first() {
            None if slow => Err(None),
            None => Ok(()),
            Some((_, _, name)) => Err(changed.tasks.iter().position(|task| task.name == *name)),
        }
    }

    /// The demand test, which is much faster than response times.
    fn accepts_demand(&self, changed: &System, lane: usize) -> Result<(), FirstMiss> {
        let windows = vec![(0, 0); changed.tasks.len()];
        let members = super::lanes::members(changed, &self.order, lane);
        let loads: Vec<Load> = super::lanes::loads(changed, &members, &windows).ok_or(None)?;
        let busy = fixed_priority::busy_period(0, &loads);
        match busy.and_then(|busy| edf::qpa::test(&loads, busy)) {
            Ok(()) => Ok(()),
            Err(NoBound::Demand { at, .. }) => Err(due_at(&loads, at).and_then(|load| members.get(load).copied())),
            Err(_) => Err(None),
        }
    }

    /// The limits of the task at `position`; `None` on a time-triggered lane.
    ///
    /// Cost: about 150 to 200 analyses of the lane.
    #[must_use]
    pub fn limits(&self, position: usize) -> Option<Limits> {
        let task = self.system.tasks.get(position)?;
        let lane = self.system.lanes.get(task.lane).filter(|lane| lane.policy != Policy::TimeTriggered)?;
        let mut changed = self.system.clone();
        let mut with = |change: &dyn Fn(&mut System) -> Option<()>| {
            changed.tasks.clone_from(&self.system.tasks);
            change(&mut changed).ok_or(None)?;
            self.accepts(&changed, task.lane)
        };
        let deadline = task.deadline.as_ns();
        // A cost above the deadline is never accepted; a period or deadline of 0 is none.
        let wcet = last_accepted(task.wcet.as_ns(), deadline.saturating_add(1), |wcet| {
            with(&|system| system.tasks.get_mut(position)?.set_wcet(wcet))
        });
        let longest = task.segments.iter().max().filter(|_| lane.preemption == Preemption::Segments);
        let segment = longest.map(|longest| {
            last_accepted(longest.as_ns(), deadline.saturating_add(1), |length| {
                with(&|system| system.tasks.get_mut(position)?.set_longest_segment(length))
            })
        });
        // The stages of a task share its period and deadline.
        let stages = self.stages(position);
        let each = |system: &mut System, set: &dyn Fn(&mut Task)| {
            for stage in &stages {
                set(system.tasks.get_mut(*stage)?);
            }
            Some(())
        };
        let period = last_accepted(task.period.as_ns(), 0, |period| {
            with(&|system| each(system, &|task| task.period = Duration::from_ns(period)))
        });
        let deadline = last_accepted(deadline, 0, |deadline| {
            with(&|system| each(system, &|task| task.deadline = Duration::from_ns(deadline)))
        });
        Some(Limits { wcet, segment, period, deadline })
    }

    /// The largest factor, in hundredths, by which the WCETs of some tasks of a lane, given by position, can be multiplied together
    /// (rounded up to whole nanoseconds), and who misses beyond it; `None` on a time-triggered lane, and where there are none.
    ///
    /// Cost: about ten analyses of the lane.
    #[must_use]
    pub fn factor(&self, lane: usize, some: impl Fn(usize) -> bool) -> Option<Limit> {
        self.system.lanes.get(lane).filter(|desc| desc.policy != Policy::TimeTriggered)?;
        let is_one = |(position, task): &(usize, &Task)| task.lane == lane && some(*position);
        let ones = self.system.tasks.iter().enumerate().filter(is_one);
        let (positions, most): (Vec<usize>, Vec<u64>) = ones
            .map(|(position, task)| {
                let wcet = u128::from(task.wcet.as_ns().max(1));
                let most = u128::from(task.deadline.as_ns()).saturating_mul(100).checked_div(wcet);
                (position, u64::try_from(most.unwrap_or(u128::MAX)).unwrap_or(u64::MAX).saturating_add(1))
            })
            .unzip();
        // One job of a task cannot take longer than its deadline, so no factor above D/C is accepted.
        let ceiling = most.into_iter().min()?.max(101);
        let mut changed = self.system.clone();
        let grown = |factor: u64| {
            changed.tasks.clone_from(&self.system.tasks);
            for position in &positions {
                let task = changed.tasks.get_mut(*position).ok_or(None)?;
                let wcet = u128::from(task.wcet.as_ns()).checked_mul(u128::from(factor)).ok_or(None)?;
                task.set_wcet(u64::try_from(wcet.div_ceil(100)).map_err(|_| None)?).ok_or(None)?;
            }
            self.accepts(&changed, lane)
        };
        Some(last_accepted(100, ceiling, grown))
    }

    /// All stages of the task that `position` is one of.
    fn stages(&self, position: usize) -> Vec<usize> {
        let tasks = &self.system.tasks;
        let mut first = position;
        while let Some(before) = tasks.get(first).and_then(|task| task.after).filter(|before| *before < first) {
            first = before;
        }
        let mut stages = vec![first];
        for (index, task) in tasks.iter().enumerate() {
            if task.after.is_some_and(|before| stages.contains(&before)) {
                stages.push(index);
            }
        }
        stages
    }

    /// The largest factor, in millionths, by which every WCET of a lane can be multiplied (rounded up to whole
    /// nanoseconds); `None` on a time-triggered lane.
    #[must_use]
    pub fn breakdown_ppm(&self, lane: usize) -> Option<u64> {
        let tasks = || self.system.tasks.iter().filter(|task| task.lane == lane);
        self.system.lanes.get(lane).filter(|desc| desc.policy != Policy::TimeTriggered)?;
        // One job of a task cannot take longer than its deadline, so no factor above D/C is accepted.
        let ceiling = tasks().map(|task| {
            let wcet = u128::from(task.wcet.as_ns().max(1));
            let most = u128::from(task.deadline.as_ns()).saturating_mul(1_000_000).checked_div(wcet);
            u64::try_from(most.unwrap_or(u128::MAX)).unwrap_or(u64::MAX).saturating_add(1)
        });
        let ceiling = ceiling.min()?.max(1_000_001);
        let mut changed = self.system.clone();
        let scaled = |factor: u64| {
            changed.tasks.clone_from(&self.system.tasks);
            for task in changed.tasks.iter_mut().filter(|task| task.lane == lane) {
                let wcet = u128::from(task.wcet.as_ns()).checked_mul(u128::from(factor)).ok_or(None)?;
                let wcet = u64::try_from(wcet.div_ceil(1_000_000)).map_err(|_| None)?;
                task.set_wcet(wcet).ok_or(None)?;
            }
            self.accepts(&changed, lane)
        };
        Some(last_accepted(1_000_000, ceiling, scaled).0)
    }

    /// The largest dispatch overhead per segment of a lane that the system tolerates, in nanoseconds: on the lane, and as
    /// wait for the orchestration thread on all others; `None` on a time-triggered lane.
    #[must_use]
    pub fn largest_overhead(&self, lane: usize) -> Option<u64> {
        let desc = self.system.lanes.get(lane).filter(|desc| desc.policy != Policy::TimeTriggered)?;
        let tasks = self.system.tasks.iter().filter(|task| task.lane == lane);
        let shortest = tasks.map(|task| task.deadline.as_ns()).min()?;
        let overhead = desc.dispatch_overhead.as_ns();
        let mut changed = self.system.clone();
        let waits = |lanes: &[Lane]| {
            let dispatch: Vec<Duration> = lanes.iter().map(|lane| lane.dispatch_overhead).collect();
            let submitted = self.system.tasks.iter().filter(|task| task.submitted).map(|task| task.lane);
            let waits = thread_waits(&dispatch, submitted, self.system.changes()).into_iter();
            waits
                .map(|wait| wait.filter(|wait| one_change_is_enough(*wait, self.system.has_changes())))
                .collect::<Option<Vec<_>>>()
        };
        let before = waits(&self.system.lanes)?;
        let with = |other: u64| {
            if let Some(desc) = changed.lanes.get_mut(lane) {
                desc.dispatch_overhead = Duration::from_ns(other);
            }
            let after = waits(&changed.lanes).ok_or(None)?;
            let lanes = changed.lanes.iter_mut().zip(&self.system.lanes).zip(before.iter().zip(after));
            for ((desc, given), (before, after)) in lanes {
                desc.thread_wait = given.thread_wait.checked_add(after).ok_or(None)?.saturating_sub(*before);
            }
            let all = if self.connected { 1 } else { changed.lanes.len() };
            (0..all).try_for_each(|lane| self.accepts(&changed, lane))
        };
        Some(last_accepted(overhead, shortest.max(overhead).saturating_add(1), with).0)
    }
}

impl Task {
    /// Gives a task another WCET; segments change in proportion, rounded up, a region and the shortest execution stay, but
    /// at most the WCET. `None` where a time overflows.
    fn set_wcet(&mut self, wcet: u64) -> Option<()> {
        let before = u128::from(self.wcet.as_ns().max(1));
        let scaled = |time: Duration| {
            let product = u128::from(time.as_ns()).checked_mul(u128::from(wcet))?;
            u64::try_from(product.div_ceil(before)).ok().map(Duration::from_ns)
        };
        if !self.segments.is_empty() {
            self.segments = self.segments.iter().map(|segment| scaled(*segment)).collect::<Option<_>>()?;
        }
        let sum = self.segments.iter().try_fold(Duration::ZERO, |sum, segment| sum.checked_add(*segment))?;
        self.wcet = Duration::from_ns(wcet).max(sum);
        self.region = self.region.min(self.wcet);
        self.bcet = self.bcet.min(self.wcet);
        Some(())
    }

    /// Gives a task's longest segment another length; `None` where a time overflows.
    fn set_longest_segment(&mut self, length: u64) -> Option<()> {
        let longest = self.segments.iter_mut().max()?;
        let rest = self.wcet.checked_sub(*longest)?;
        *longest = Duration::from_ns(length);
        self.wcet = rest.checked_add(Duration::from_ns(length))?;
        Some(())
    }
}

/// The task with a job due exactly at `at`.
fn due_at(loads: &[Load], at: u64) -> Option<usize> {
    loads.iter().position(|load| {
        let beyond = at.saturating_add(load.jitter).checked_sub(load.deadline);
        beyond.is_some_and(|beyond| beyond.checked_rem(load.period) == Some(0))
    })
}

/// The value nearest to `refused` that is still accepted, between `accepted` and `refused`, which bound it exclusively on
/// the far side; and who misses one step beyond.
fn last_accepted(accepted: u64, refused: u64, mut test: impl FnMut(u64) -> Result<(), FirstMiss>) -> Limit {
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
