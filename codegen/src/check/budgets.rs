//! What tasks may take of memory, compared with what the plan grants.

use crate::finding::{Code, Finding};
use crate::memory::{Layout, Placement};
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
            tensors: model.all_tensors().fold(0, |sum, tensor| sum.saturating_add(tensor.size.0)),
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
        write!(formatter, "weights {weights}, kept {kept}, tensors {tensors}, scratch {scratch} bytes")
    }
}

/// Findings of the tasks whose models take more than the tasks may, or of whose models nobody can say what they take.
pub(super) fn judge(system: &System, layout: &Layout) -> Vec<Finding> {
    system.tasks.iter().enumerate().filter_map(|(position, task)| exceeded(system, layout, position, task)).collect()
}

/// For each task with a budget of memory, its position, what its models take and what they may take.
pub(crate) fn of_memory(system: &System, layout: &Layout) -> Vec<(usize, u64, u64)> {
    let of = |(position, task): (usize, &Task)| {
        let (budget, _) = task.memory.as_ref()?;
        let models = stages(system, position).filter_map(|stage| taken(system, layout, stage));
        Some((position, models.fold(0, |sum: u64, (_, taken)| sum.saturating_add(taken.sum())), budget.0))
    };
    system.tasks.iter().enumerate().filter_map(of).collect()
}

fn exceeded(system: &System, layout: &Layout, position: usize, task: &Task) -> Option<Finding> {
    let (budget, span) = task.memory.as_ref()?;
    let models: Vec<(&Model, Taken)> =
        stages(system, position).filter_map(|stage| taken(system, layout, stage)).collect();
    let sum = models.iter().fold(0, |sum: u64, (_, taken)| sum.saturating_add(taken.sum()));
    let is_measured = |model: &Model| model.segments.iter().any(|segment| segment.memory == MemoryControl::Measured);
    // A staged task's name is that of its first stage without the number.
    let is_staged = stages(system, position).nth(1).is_some();
    let name = if is_staged { task.name.rsplit_once('.').map_or(&*task.name, |(name, _)| name) } else { &task.name };
    let (message, help) = if let Some((model, _)) = models.iter().find(|(model, _)| is_measured(model)) {
        (
            format!(
                "task `{name}` has a budget of memory, but its model `{}` allocates where it likes: nothing refuses more",
                model.name
            ),
            "leave out the budget, or use a model whose memory is planned or capped".to_owned(),
        )
    } else if sum > budget.0 {
        let what = if models.len() > 1 { "the stages' models" } else { "the model" };
        let takes = if models.len() > 1 { "take" } else { "takes" };
        (
            format!("{what} of task `{name}` {takes} {sum} bytes, and the task may take {} bytes", budget.0),
            format!("grant the task {sum} bytes, or use a smaller model"),
        )
    } else {
        return None;
    };
    let mut finding = Finding::error(Code::MemoryBudget, message).at(&system.file, span.clone(), "this budget");
    for (model, taken) in &models {
        finding = finding.also(&system.file, model.span.clone(), taken.to_string());
    }
    Some(finding.help(help))
}

/// A task and the stages that follow it, in their order.
fn stages(system: &System, first: usize) -> impl Iterator<Item = &Task> {
    let next = |before: &usize| system.tasks.iter().position(|other| other.after == Some(*before));
    std::iter::successors(Some(first), next).filter_map(|position| system.tasks.get(position))
}

/// What the model of one of the tasks takes.
fn taken<'a>(system: &'a System, layout: &Layout, task: &Task) -> Option<(&'a Model, Taken)> {
    let model = system.models.get(task.model?)?;
    Some((model, Taken::of(model, layout.models.get(task.model?)?)))
}
