//! What tasks may take of memory, compared with what the plan grants.

use crate::finding::{Code, Finding};
use crate::memory::{self, Layout, Placement};
use crate::system::{Model, System, Task};
use aegis_core::desc::MemoryControl;

/// What a model takes of its device.
pub(super) struct Taken {
    weights: u64,
    kept: u64,
    tensors: u64,
    scratch: u64,
}

impl Taken {
    pub(super) fn of(model: &Model, placement: &Placement) -> Self {
        let kept = placement.segments.iter().map(|segment| segment.load.height.0);
        Self {
            weights: model.weights().map_or(u64::MAX, |weights| weights.0),
            kept: kept.fold(0, u64::saturating_add),
            tensors: memory::bound_bytes(model).0,
            scratch: placement.segments.iter().map(|segment| segment.scratch_bytes.0).max().unwrap_or(0),
        }
    }

    fn sum(&self) -> u64 {
        [self.kept, self.tensors, self.scratch].into_iter().fold(self.weights, u64::saturating_add)
    }
}

impl std::fmt::Display for Taken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { weights, kept, tensors, scratch } = self;
        write!(formatter, "weights {weights}, kept {kept}, inputs and outputs {tensors}, scratch {scratch} bytes")
    }
}

/// Findings of the tasks whose models take more than the tasks may, or of whose models nobody can say what they take.
pub(super) fn judge(system: &System, layout: &Layout) -> Vec<Finding> {
    system.tasks.iter().filter_map(|task| exceeded(system, layout, task)).collect()
}

fn exceeded(system: &System, layout: &Layout, task: &Task) -> Option<Finding> {
    let (budget, span) = task.memory.as_ref()?;
    let position = task.model?;
    let (model, placement) = (system.models.get(position)?, layout.models.get(position)?);
    let taken = Taken::of(model, placement);
    let is_measured = model.segments.iter().any(|segment| segment.memory == MemoryControl::Measured);
    let (why, help) = match (is_measured, taken.sum()) {
        (true, _) => (
            "allocates where it likes: nothing refuses what is beyond a budget".to_owned(),
            "leave out the budget, or use a model whose memory is planned or capped".to_owned(),
        ),
        (false, sum) if sum > budget.0 => {
            let why = format!("takes {sum} bytes, and the task may take {} bytes", budget.0);
            (why, format!("grant the task {sum} bytes, or use a smaller model"))
        }
        (false, _) => return None,
    };
    let message = format!("the model `{}` of task `{}` {why}", model.name, task.name);
    let finding = Finding::error(Code::MemoryBudget, message).at(&system.file, span.clone(), "this budget");
    Some(finding.also(&system.file, model.span.clone(), taken.to_string()).help(help))
}
