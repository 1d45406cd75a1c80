//! Whether a level's model is the system's: only where things lie may differ.
//!
//! Both describe one model, of one file. A level that left out what a segment reads, or a block of a run, would prove its
//! layout for a model that does not exist.

use super::engines::are_same_engines;
use super::launches::{are_same_bytes, are_same_launches};
use crate::desc::{MemoryControl, ModelDesc, Recording, SegmentDesc, Step, TensorDesc, TensorLife};

/// Whether two descriptions are of one model, in one pool, that was loaded once.
pub(super) const fn is_same_model(model: &ModelDesc, original: &ModelDesc) -> bool {
    let kept = matches!(model.tensors, TensorLife::Kept) == matches!(original.tensors, TensorLife::Kept);
    kept && model.pool.0 == original.pool.0
        && model.weights.0 == original.weights.0
        && are_same_engines(&model.engines, &original.engines)
        && are_same_tensors(model.inputs, original.inputs)
        && are_same_tensors(model.outputs, original.outputs)
        && are_same_tensors(model.carried, original.carried)
        && are_same_segments(model.segments, original.segments)
}

const fn are_same_tensors(tensors: &[TensorDesc], originals: &[TensorDesc]) -> bool {
    let (mut tensors, mut originals) = (tensors, originals);
    while let ([tensor, rest @ ..], [original, others @ ..]) = (tensors, originals) {
        if tensor.size.0 != original.size.0 || !are_same_dimensions(tensor.shape, original.shape) {
            return false;
        }
        tensors = rest;
        originals = others;
    }
    tensors.is_empty() && originals.is_empty()
}

const fn are_same_dimensions(shape: &[u32], original: &[u32]) -> bool {
    let (mut shape, mut original) = (shape, original);
    while let ([dimension, rest @ ..], [other, others @ ..]) = (shape, original) {
        if *dimension != *other {
            return false;
        }
        shape = rest;
        original = others;
    }
    shape.is_empty() && original.is_empty()
}

const fn are_same_segments(segments: &[SegmentDesc], originals: &[SegmentDesc]) -> bool {
    let (mut segments, mut originals) = (segments, originals);
    while let ([segment, rest @ ..], [original, others @ ..]) = (segments, originals) {
        // The runtime holds addresses of what it took while it was loaded: there, nothing may move.
        let loaded = segment.persistent_at.0 == original.persistent_at.0
            && segment.persistent.0 == original.persistent.0
            && are_same_steps(segment.load, original.load, true);
        let planned = matches!(original.memory, MemoryControl::Planned);
        if !loaded
            || !are_same_bytes(segment.engine.as_bytes(), original.engine.as_bytes())
            || !is_same_grade(segment.memory, original.memory)
            || !(planned || segment.scratch.0 == original.scratch.0)
            || !are_same_runs(segment.runs, original.runs)
            || !are_same_positions(segment.reads, original.reads)
            || !are_same_positions(segment.writes, original.writes)
            || !are_same_launches(segment.launches, original.launches)
        {
            return false;
        }
        segments = rest;
        originals = others;
    }
    segments.is_empty() && originals.is_empty()
}

const fn is_same_grade(one: MemoryControl, other: MemoryControl) -> bool {
    use MemoryControl::{Capped, Measured, Planned};
    matches!((one, other), (Planned, Planned) | (Capped, Capped) | (Measured, Measured))
}

const fn are_same_runs(runs: &[Recording], originals: &[Recording]) -> bool {
    let (mut runs, mut originals) = (runs, originals);
    while let ([run, rest @ ..], [original, others @ ..]) = (runs, originals) {
        if !are_same_steps(run.steps, original.steps, false) {
            return false;
        }
        runs = rest;
        originals = others;
    }
    runs.is_empty() && originals.is_empty()
}

/// Whether two sequences request and give back the same; `in_place`: at the same places.
const fn are_same_steps(steps: &[Step], originals: &[Step], in_place: bool) -> bool {
    let (mut steps, mut originals) = (steps, originals);
    while let ([step, rest @ ..], [original, others @ ..]) = (steps, originals) {
        let same = match (step, original) {
            (
                Step::Take { size, at, slot, .. },
                Step::Take { size: other_size, at: other_at, slot: other_slot, .. },
            ) => size.0 == other_size.0 && *slot == *other_slot && (!in_place || at.0 == other_at.0),
            (Step::Give { slot }, Step::Give { slot: other }) => *slot == *other,
            (Step::Take { .. }, Step::Give { .. }) | (Step::Give { .. }, Step::Take { .. }) => false,
        };
        if !same {
            return false;
        }
        steps = rest;
        originals = others;
    }
    steps.is_empty() && originals.is_empty()
}

const fn are_same_positions(positions: &[u16], originals: &[u16]) -> bool {
    let (mut positions, mut originals) = (positions, originals);
    while let ([position, rest @ ..], [original, others @ ..]) = (positions, originals) {
        if *position != *original {
            return false;
        }
        positions = rest;
        originals = others;
    }
    positions.is_empty() && originals.is_empty()
}
