//! Whether models that TensorRT runs have an engine for each segment, and the plan counts what engines take.
//!
//! What is in an engine, and what it takes of its device, is not shown: its workspace is a limit that it was built with, the rest
//! was measured. So nothing of it lies in the arena, and all of it is among the model's weights.

use super::launches::are_same_bytes;
use super::terms::lane_of;
use crate::desc::{
    Backend, EngineDesc, EngineLibrary, MemoryControl, ModelDesc, Precision, SegmentDesc, SystemDesc, TaskDesc,
};

/// The length of a SHA-256 in hexadecimal digits.
const DIGITS: usize = 64;

/// Whether models with engines are ONNX Runtime's, run on parts of GPUs, name an engine for each segment, have nothing in the arena
/// but their tensors, and count each engine's workspace among their weights; and whether no other model names an engine.
#[must_use]
pub const fn engines_hold(system: &SystemDesc) -> bool {
    let mut models = system.models;
    while let [model, rest @ ..] = models {
        if !model_holds(model) {
            return false;
        }
        models = rest;
    }
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if !runs_its_engines(system, task) {
            return false;
        }
        tasks = rest;
    }
    true
}

/// Whether a task whose model has engines has a part of a GPU to run them on.
pub(super) const fn runs_its_engines(system: &SystemDesc, task: &TaskDesc) -> bool {
    let Some(model) = task.model else {
        return true;
    };
    match (system.models.split_at_checked(model.index()), lane_of(system, task)) {
        (Some((_, [model, ..])), Some(lane)) => model.engines.is_none() || lane.partition.is_some(),
        _ => false,
    }
}

const fn model_holds(model: &ModelDesc) -> bool {
    let Some(engines) = &model.engines else {
        return none_is_built(model.segments);
    };
    let mut workspaces: u64 = 0;
    let mut segments = model.segments;
    while let [segment, rest @ ..] = segments {
        let Some(sum) = workspaces.checked_add(engines.workspace.0) else {
            return false;
        };
        workspaces = sum;
        if segment.engine.len() != DIGITS || !is_outside(segment) {
            return false;
        }
        segments = rest;
    }
    matches!(model.backend, Backend::OnnxRuntime)
        && engines.workspace.0 > 0
        && workspaces <= model.weights.0
        && !engines.version.is_empty()
}

/// Whether a segment has nothing in the arena: neither what it takes while it is loaded, nor scratch.
const fn is_outside(segment: &SegmentDesc) -> bool {
    matches!(segment.memory, MemoryControl::Measured) && segment.persistent.0 == 0 && segment.scratch.0 == 0
}

const fn none_is_built(segments: &[SegmentDesc]) -> bool {
    let mut segments = segments;
    while let [segment, rest @ ..] = segments {
        if !segment.engine.is_empty() {
            return false;
        }
        segments = rest;
    }
    true
}

/// Whether two models have engines of one library, built alike.
pub(super) const fn are_same_engines(one: &Option<EngineDesc>, other: &Option<EngineDesc>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            is_same_library(one.library, other.library)
                && are_same_bytes(one.version.as_bytes(), other.version.as_bytes())
                && is_same_precision(one.precision, other.precision)
                && one.workspace.0 == other.workspace.0
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

const fn is_same_library(one: EngineLibrary, other: EngineLibrary) -> bool {
    use EngineLibrary::{TensorRt, TensorRtRtx};
    matches!((one, other), (TensorRt, TensorRt) | (TensorRtRtx, TensorRtRtx))
}

const fn is_same_precision(one: Precision, other: Precision) -> bool {
    use Precision::{BFloat16, Half, Model};
    matches!((one, other), (Model, Model) | (Half, Half) | (BFloat16, BFloat16))
}
