//! Orders the tasks of each lane.
//!
//! Rate-monotonic: C. L. Liu, J. W. Layland, JACM 20 (1973). Deadline-monotonic: J. Y.-T. Leung, J. Whitehead,
//! Performance Evaluation 2 (1982). Neither is optimal without preemption (George, Rivierre, Spuri, INRIA RR-2966,
//! 1996); they are orders, and the response-time analysis decides. Equal keys are broken by the other key, then by
//! the manifest's order, so that priorities are unique and the same input gives the same plan.

use crate::system::System;
use aegis_core::desc::Policy;
use aegis_core::units::Priority;

/// For each task its place in its lane's order, 0 first. Under EDF the place only breaks ties between equal
/// deadlines and is the deadline-monotonic one.
#[must_use]
pub fn assign(system: &System) -> Vec<Priority> {
    let mut ranked: Vec<(usize, u64, u64, usize)> = Vec::with_capacity(system.tasks.len());
    for (index, task) in system.tasks.iter().enumerate() {
        let policy = system.lanes.get(task.lane).map(|lane| lane.policy);
        let (period, deadline) = (task.period.as_ns(), task.deadline.as_ns());
        let (first, second) = match policy {
            Some(Policy::RateMonotonic) => (period, deadline),
            Some(Policy::FixedPriority) => (u64::from(task.priority.map_or(u16::MAX, |given| given.0)), period),
            Some(Policy::DeadlineMonotonic | Policy::EarliestDeadlineFirst | Policy::TimeTriggered) | None => (deadline, period),
        };
        ranked.push((task.lane, first, second, index));
    }
    ranked.sort_unstable();
    let mut order = vec![Priority(0); system.tasks.len()];
    let mut place: u16 = 0;
    let mut lane = None;
    for (of, first, _, index) in ranked {
        place = if lane == Some(of) { place.saturating_add(1) } else { 0 };
        lane = Some(of);
        let explicit = system.lanes.get(of).is_some_and(|lane| lane.policy == Policy::FixedPriority);
        if let Some(slot) = order.get_mut(index) {
            // Explicit priorities are shown as the user wrote them.
            *slot = if explicit { Priority(u16::try_from(first).unwrap_or(u16::MAX)) } else { Priority(place) };
        }
    }
    order
}
