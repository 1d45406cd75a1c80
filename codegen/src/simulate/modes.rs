//! Modes in a simulation: each one alone, where a pattern is made for it, and random changes from one to another.

use super::patterns::Arrival;
use super::{Observed, Pattern, SimulationError, in_thread};
use aegis_core::desc::{ModeDesc, SystemDesc};
use aegis_core::trace::Kind;
use aegis_core::{Duration, ModeId, TaskId};
use std::collections::BTreeMap;

/// What was seen of one mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ObservedMode {
    /// How often it was left.
    pub left: u64,
    /// How long that took at most.
    pub longest: Duration,
    /// How often it took longer than its bound.
    pub late: u64,
}

/// What was seen of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Simulated {
    /// Of its tasks, in their order.
    pub tasks: Vec<Observed>,
    /// Of its modes, in their order.
    pub modes: Vec<ObservedMode>,
}

/// A mode as a plan of its own.
#[must_use]
pub fn alone(system: &SystemDesc, mode: &ModeDesc) -> SystemDesc {
    SystemDesc { lanes: mode.lanes, tasks: mode.proven, modes: &[], ..*system }
}

/// Simulates each mode by itself, and puts together what was seen of its tasks.
pub(super) fn each(system: &SystemDesc, pattern: Pattern, length: Duration) -> Result<Simulated, SimulationError> {
    let mut whole = Simulated {
        tasks: vec![Observed::default(); system.tasks.len()],
        modes: vec![ObservedMode::default(); system.modes.len()],
    };
    for mode in system.modes {
        let seen = in_thread(&alone(system, mode), super::What::Pattern(pattern, length), None)?.0;
        for (task, own) in mode.tasks.iter().zip(&seen.tasks) {
            if let Some(slot) = whole.tasks.get_mut(task.index()) {
                slot.add(own);
            }
        }
    }
    Ok(whole)
}

impl Observed {
    /// Adds what was seen in another run.
    fn add(&mut self, other: &Self) {
        if other.response > self.response {
            (self.response, self.arrival) = (other.response, other.arrival);
        }
        let counts = [
            (&mut self.jobs, other.jobs),
            (&mut self.aborted, other.aborted),
            (&mut self.misses, other.misses),
            (&mut self.exceeded, other.exceeded),
            (&mut self.refused, other.refused),
        ];
        for (own, other) in counts {
            *own = own.saturating_add(other);
        }
    }
}

/// Instants, ascending, each with a mode that is asked for then: so often that some changes are asked for while another one is
/// under way, and so seldom that most modes reach their longest busy periods.
pub(super) fn requests(system: &SystemDesc, length: Duration, random: &mut fastrand::Rng) -> Vec<(u64, ModeId)> {
    let mut requests = Vec::new();
    let Ok(count) = u16::try_from(system.modes.len()) else { return requests };
    if count < 2 {
        return requests;
    }
    let longest = |times: &mut dyn Iterator<Item = Duration>| times.max().map_or(0, Duration::as_ns);
    let leaves = longest(&mut system.modes.iter().map(|mode| mode.leaves));
    let period = longest(&mut system.tasks.iter().map(|task| task.period));
    let most = leaves.saturating_add(period).saturating_mul(2).clamp(1, length.as_ns().max(1));
    let mut at = random.u64(0..=most);
    while at < length.as_ns() {
        requests.push((at, ModeId(random.u16(0..count))));
        at = at.saturating_add(random.u64(1..=most));
    }
    requests
}

/// The first jobs of tasks that a mode begins with, half of the times: all at once, just after the change has ended, each seen as
/// late as the draw says.
pub(super) fn beginners(
    plan: &SystemDesc,
    (from, to): (ModeId, ModeId),
    now: u64,
    random: &mut fastrand::Rng,
) -> Option<Vec<Arrival>> {
    let tasks = |mode: ModeId| plan.modes.get(mode.index()).map_or(&[][..], |mode| mode.tasks);
    let mut arrivals = Vec::new();
    if random.bool() {
        return Some(arrivals);
    }
    let arrival = now.checked_add(1)?;
    for task in tasks(to).iter().filter(|task| !tasks(from).contains(task)) {
        let late = super::patterns::lateness(plan, task.0)?;
        let late = if random.bool() { late } else { random.u64(0..=late) };
        arrivals.push(Arrival::new(plan, task.0, arrival, arrival.checked_add(late)?)?);
    }
    Some(arrivals)
}

/// Compares each response with what the modes permit that held while its job was there, and each change with its bound.
pub(super) struct Watch {
    system: &'static SystemDesc,
    mode: ModeId,
    next: Option<ModeId>,
    /// Of each job that is there what it may take: by task and request.
    open: BTreeMap<(u16, u64), Duration>,
    pub(super) modes: Vec<ObservedMode>,
}

impl Watch {
    /// The first mode holds. `None` for a plan without modes.
    pub(super) fn new(system: &'static SystemDesc) -> Option<Self> {
        let modes = vec![ObservedMode::default(); system.modes.len()];
        let watch = Self { system, mode: ModeId(0), next: None, open: BTreeMap::new(), modes };
        (!system.modes.is_empty()).then_some(watch)
    }

    /// A task's bound in a mode, zero where the mode does not have it.
    fn bound(&self, mode: ModeId, task: TaskId) -> Duration {
        let proven = self.system.modes.get(mode.index()).and_then(|mode| {
            let place = mode.tasks.binary_search_by_key(&task.0, |task| task.0).ok()?;
            Some(mode.proven.get(place)?.response_bound)
        });
        proven.unwrap_or(Duration::ZERO)
    }

    /// Follows a record; whether it shows a response that no mode permits.
    pub(super) fn exceeds(&mut self, kind: &Kind) -> bool {
        match *kind {
            Kind::Submitted { job, .. } => {
                let next = self.next.map_or(Duration::ZERO, |next| self.bound(next, job.task));
                self.open.insert((job.task.0, job.request), self.bound(self.mode, job.task).max(next));
            }
            Kind::ModeRequested { to, .. } => {
                self.next = Some(to);
                let mut open = std::mem::take(&mut self.open);
                for ((task, _), bound) in &mut open {
                    *bound = (*bound).max(self.bound(to, TaskId(*task)));
                }
                self.open = open;
            }
            Kind::ModeChanged { from, to, took, bound } => {
                (self.mode, self.next) = (to, None);
                if let Some(seen) = self.modes.get_mut(from.index()) {
                    seen.left = seen.left.saturating_add(1);
                    seen.longest = seen.longest.max(took);
                    seen.late = seen.late.saturating_add(u64::from(took > bound));
                }
            }
            Kind::Completed { job, response, .. } | Kind::Aborted { job, response, .. } => {
                return self.open.remove(&(job.task.0, job.request)).is_none_or(|bound| response > bound);
            }
            _ => {}
        }
        false
    }
}
