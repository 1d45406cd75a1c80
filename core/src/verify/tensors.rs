//! Re-proves that a model's segments and tensors belong together.

use crate::desc::{ModelDesc, SegmentDesc, TensorDesc};

/// Whether a model has segments, each tensor has the length that its shape gives, each output and carried tensor is written by one
/// segment, and each segment reads only inputs and what an earlier one wrote, and nothing twice.
pub(super) const fn tensors_hold(model: &ModelDesc) -> bool {
    if model.segments.is_empty() || !are_sized(model.inputs) || !are_sized(model.outputs) || !are_sized(model.carried) {
        return false;
    }
    // Every output and carried tensor is written, also one that is kept, and so has a life.
    let mut number = model.inputs.len();
    while model.tensor(number).is_some() {
        if !is_written(model.segments, number) || model.life(number).is_none() {
            return false;
        }
        number = number.saturating_add(1);
    }
    let mut segments: &[SegmentDesc] = model.segments;
    while let [earlier @ .., segment] = segments {
        let mut reads = segment.reads;
        while let [tensor, rest @ ..] = reads {
            let tensor = widen(*tensor);
            if model.tensor(tensor).is_none()
                || tensor >= model.inputs.len() && !is_written(earlier, tensor)
                || lists(rest, tensor)
            {
                return false;
            }
            reads = rest;
        }
        let mut writes = segment.writes;
        while let [tensor, rest @ ..] = writes {
            let tensor = widen(*tensor);
            if model.tensor(tensor).is_none()
                || tensor < model.inputs.len()
                || is_written(earlier, tensor)
                || lists(rest, tensor)
            {
                return false;
            }
            writes = rest;
        }
        segments = earlier;
    }
    true
}

// Widening.
#[allow(clippy::as_conversions)]
pub(super) const fn widen(position: u16) -> usize {
    position as usize
}

const fn lists(positions: &[u16], wanted: usize) -> bool {
    let mut positions = positions;
    while let [position, rest @ ..] = positions {
        if widen(*position) == wanted {
            return true;
        }
        positions = rest;
    }
    false
}

/// Whether one of the segments writes a tensor.
const fn is_written(segments: &[SegmentDesc], tensor: usize) -> bool {
    let mut segments = segments;
    while let [segment, rest @ ..] = segments {
        if lists(segment.writes, tensor) {
            return true;
        }
        segments = rest;
    }
    false
}

/// Whether each tensor holds bytes, and has the length that its shape gives.
const fn are_sized(tensors: &[TensorDesc]) -> bool {
    let mut tensors = tensors;
    while let [tensor, rest @ ..] = tensors {
        if tensor.size.0 == 0 || !matches!(byte_length(tensor), Some(length) if length == tensor.size.0) {
            return false;
        }
        tensors = rest;
    }
    true
}

const fn byte_length(tensor: &TensorDesc) -> Option<u64> {
    let mut length = tensor.element.size().0;
    let mut shape = tensor.shape;
    while let [dimension, rest @ ..] = shape {
        // Widening.
        #[allow(clippy::as_conversions)]
        let dimension = *dimension as u64;
        match length.checked_mul(dimension) {
            Some(product) => length = product,
            None => return None,
        }
        shape = rest;
    }
    Some(length)
}
