//! Turns analysis and layout into a plan that carries its certificates.
//!
//! It copies what the analysis found; it proves nothing and shares no code with `aegis_core::verify`, which re-proves
//! the result.

use crate::analysis::{Analysis, Proof};
use crate::memory::Layout;
use crate::plan;
use crate::system::{System, Tensor};
use aegis_core::desc::{Backend, OnOverrun};
use aegis_core::units::ByteOffset;

/// Why there is nothing to certify.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotCertifiable {
    /// A task has no bound, or one above its deadline.
    #[error("task `{0}` has no proven bound at or below its deadline")]
    Unproven(String),
    /// A table has more entries than an index can name, or analysis and system do not belong together.
    #[error("the plan's tables do not fit their indices")]
    Tables,
}

/// Builds the plan of a system whose tasks are all schedulable.
///
/// # Errors
/// [`NotCertifiable`].
pub fn certify(system: &System, analysis: &Analysis, layout: &Layout) -> Result<plan::Plan, NotCertifiable> {
    let lanes = system.lanes.iter().zip(&analysis.lanes).map(|(lane, result)| {
        let busy = result.busy_period.map_err(|_| NotCertifiable::Unproven(lane.name.clone()))?;
        Ok(plan::Lane {
            name: lane.name.clone(),
            policy: lane.policy.name().to_owned(),
            core: lane.core,
            dispatch_overhead_ns: lane.dispatch_overhead.as_ns(),
            wakeup_latency_ns: lane.wakeup_latency.as_ns(),
            busy_period_ns: busy.as_ns(),
        })
    });
    let pools = system.devices.iter().zip(&layout.pools).map(|(device, pool)| plan::Pool {
        name: device.name.clone(),
        capacity_bytes: device.memory.0,
        weights_bytes: pool.weights.0,
        height_bytes: pool.height.0,
        lower_bound_bytes: pool.lower_bound.0,
        private_bytes: pool.private.0,
    });
    let models = system.models.iter().zip(&layout.models).map(|(model, placement)| {
        Ok(plan::Model {
            name: model.file.name.clone(),
            sha256: model.file.sha256.clone(),
            backend: match model.backend {
                Backend::OnnxRuntime => "onnxruntime".to_owned(),
            },
            pool: index(placement.pool)?,
            weights_bytes: model.weights.0,
            scratch_at: placement.scratch.0,
            scratch_bytes: model.scratch.0,
            inputs: tensors(&model.inputs, &placement.inputs),
            outputs: tensors(&model.outputs, &placement.outputs),
        })
    });
    let mut order: Vec<(usize, u16, usize)> = Vec::with_capacity(system.tasks.len());
    for (index, (task, result)) in system.tasks.iter().zip(&analysis.tasks).enumerate() {
        order.push((task.lane, result.priority.0, index));
    }
    order.sort_unstable();
    let tasks = order.into_iter().map(|(_, _, index)| task(system, analysis, index));
    Ok(plan::Plan {
        name: system.name.clone(),
        orchestration_core: system.orchestration_core,
        machine: system.machine.clone(),
        libraries: system.libraries.clone(),
        assets: system.assets.clone(),
        pools: pools.collect(),
        lanes: lanes.collect::<Result<_, _>>()?,
        models: models.collect::<Result<_, _>>()?,
        tasks: tasks.collect::<Result<_, _>>()?,
    })
}

fn task(system: &System, analysis: &Analysis, position: usize) -> Result<plan::Task, NotCertifiable> {
    let task = system.tasks.get(position).ok_or(NotCertifiable::Tables)?;
    let result = analysis.tasks.get(position).ok_or(NotCertifiable::Tables)?;
    let unproven = || NotCertifiable::Unproven(task.name.clone());
    let (bound, proof) = result.response.as_ref().map_err(|_| unproven())?;
    if *bound > task.deadline {
        return Err(unproven());
    }
    let certificate = match proof {
        Proof::FixedPriority { blocking, busy_period, starts } => plan::Certificate::FixedPriority {
            blocking_ns: blocking.as_ns(),
            busy_period_ns: busy_period.as_ns(),
            starts_ns: starts.iter().map(|start| start.as_ns()).collect(),
        },
        Proof::Demand => plan::Certificate::Demand {},
    };
    // All jobs that arrive within one response may wait at once.
    let waiting = bound.as_ns().checked_div(task.period.as_ns()).and_then(|full| full.checked_add(1));
    let queue = waiting.and_then(|waiting| u16::try_from(waiting).ok()).ok_or(NotCertifiable::Tables)?;
    Ok(plan::Task {
        name: task.name.clone(),
        lane: index(task.lane)?,
        model: task.model.map(index).transpose()?,
        priority: result.priority.0,
        period_ns: task.period.as_ns(),
        deadline_ns: task.deadline.as_ns(),
        phase_ns: task.phase.as_ns(),
        jitter_ns: task.jitter.as_ns(),
        wcet_ns: task.wcet.as_ns(),
        budget_ns: task.budget.as_ns(),
        on_overrun: match task.on_overrun {
            OnOverrun::Continue => "continue".to_owned(),
            OnOverrun::SkipNext => "skip-next".to_owned(),
        },
        queue,
        response_ns: bound.as_ns(),
        certificate,
    })
}

fn index(position: usize) -> Result<u16, NotCertifiable> {
    u16::try_from(position).map_err(|_| NotCertifiable::Tables)
}

fn tensors(tensors: &[Tensor], offsets: &[ByteOffset]) -> Vec<plan::Tensor> {
    let placed = tensors.iter().zip(offsets).map(|(tensor, at)| plan::Tensor {
        name: tensor.name.clone(),
        element: tensor.element.name().to_owned(),
        shape: tensor.shape.clone(),
        at: at.0,
        bytes: tensor.size.0,
    });
    placed.collect()
}
