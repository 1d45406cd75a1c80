//! What each mode claims, and what re-proves it.

use super::{Claim, NotCertifiable, bound, busy, index};
use crate::analysis::modes::ModeResult;
use crate::plan;
use crate::system::{Mode, System};
use aegis_core::time::Duration;

/// A mode with its own bounds and certificates; its tasks are in the order of the plan's.
pub(super) fn mode(
    system: &System,
    (desc, found): (&Mode, &ModeResult),
    places: &[usize],
    claim: Claim,
) -> Result<plan::Mode, NotCertifiable> {
    let lanes = system.lanes.iter().zip(&found.analysis.lanes).map(|(lane, result)| {
        Ok(plan::ModeLane { busy_period_ns: busy(lane, result, claim)?, points_ns: result.points.clone() })
    });
    let mut tasks = Vec::with_capacity(found.tasks.len());
    for (position, result) in found.tasks.iter().zip(&found.analysis.tasks) {
        let task = system.tasks.get(*position).ok_or(NotCertifiable::Tables)?;
        let place = places.get(*position).copied().ok_or(NotCertifiable::Tables)?;
        let (bound, certificate) = bound(task, result, claim)?;
        tasks.push(plan::ModeTask { task: index(place)?, response_ns: bound.as_ns(), certificate });
    }
    tasks.sort_by_key(|task| task.task);
    let leaves = match (found.leaves, claim) {
        (Some(leaves), _) => leaves,
        (None, Claim::Proven) => return Err(NotCertifiable::Unproven(desc.name.clone())),
        (None, Claim::Nothing) => Duration::MAX,
    };
    Ok(plan::Mode {
        name: desc.name.clone(),
        leaves_ns: leaves.as_ns(),
        lanes: lanes.collect::<Result<_, _>>()?,
        tasks,
    })
}
