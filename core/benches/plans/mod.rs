//! Plans whose steps are measured.

use crate::makers;
use aegis_core::desc::{LaneDesc, Policy, Release, Slot, SystemDesc, TaskDesc};
use aegis_core::{Duration, ModelId, TaskId};

pub(crate) const QUEUE: usize = 2;
pub(crate) const PERIOD: u64 = 1_000_000;
/// A table has a slot for each task every period.
pub(crate) const SLOT: u64 = 900;

/// Tasks of one period on lanes of one policy.
pub(crate) fn system(tasks: usize, lanes: usize, policy: Policy, release: Release) -> &'static SystemDesc {
    let ns = Duration::from_ns;
    let number = |position: usize| u16::try_from(position).unwrap();
    let slot =
        |position: usize| Slot { at: ns(SLOT * u64::try_from(position).unwrap()), task: TaskId(number(position)) };
    let is_table = policy == Policy::TimeTriggered;
    let descs = (0..tasks).map(|position| TaskDesc {
        model: Some(ModelId(0)),
        release,
        period: ns(PERIOD),
        // In an order that has nothing to do with that of the table.
        deadline: ns(1_000_000_000_000 + u64::try_from(position).unwrap() * 7_919 % 1_009 * 10),
        wcet: ns(SLOT),
        budget: ns(SLOT),
        response_bound: ns(1_000_000_000_000),
        ..makers::task(number(position % lanes), number(position))
    });
    let lane = |own: usize| {
        let slots = (0..tasks).filter(|position| is_table && position % lanes == own).map(slot);
        let hyperperiod = ns(if is_table { PERIOD } else { 0 });
        LaneDesc { hyperperiod, slots: slots.collect::<Vec<_>>().leak(), ..makers::lane(policy, 0) }
    };
    makers::system((0..lanes).map(lane).collect(), descs.collect())
}
