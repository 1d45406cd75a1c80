//! What an application does before and after a model runs: fill inputs in place, read outputs in place.
// Hooks see planned memory as slices; this module argues why that is exclusive.
#![allow(unsafe_code)]

use crate::arena::{BoundTensor, Element};
use aegis_linux::lane::JobContext;
use aegis_linux::stats::TaskStats;

/// The application's part of a task. Called on the lane's thread, inside the job's measured execution.
///
/// What a hook takes is part of the task's WCET (manifest key `hooks`). It should not wait and not use the heap.
pub trait TaskHooks: Send + 'static {
    /// Fills the inputs, immediately before the model runs. They hold what the model's last job left there; with `tensors =
    /// "job"` in the manifest they hold anything, because others use their bytes in between: write all of every input.
    fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>);

    /// Reads the outputs, immediately after the model ran. They are gone when this returns.
    fn output(&mut self, job: &JobContext, outputs: &Outputs<'_>);

    /// Told once after the run, on the main thread, in the plan's order: the place for a closing line.
    fn closing(&mut self, _stats: &TaskStats) {}
}

/// Names a tensor: its position, or its name in the model's file.
pub trait TensorKey {
    /// Whether the tensor at this position with this name is meant.
    fn means(&self, position: usize, name: &str) -> bool;
}

impl TensorKey for usize {
    fn means(&self, position: usize, _name: &str) -> bool {
        *self == position
    }
}

impl TensorKey for &str {
    fn means(&self, _position: usize, name: &str) -> bool {
        *self == name
    }
}

fn find(tensors: &[BoundTensor], key: &impl TensorKey) -> Option<usize> {
    tensors
        .iter()
        .enumerate()
        .find(|(position, tensor)| key.means(*position, &tensor.name))
        .map(|(position, _)| position)
}

/// The inputs of a model, to be written in place.
#[derive(Debug)]
pub struct Inputs<'a> {
    tensors: &'a mut [BoundTensor],
}

impl<'a> Inputs<'a> {
    /// Gives hooks access to the inputs.
    ///
    /// # Safety
    /// While this value lives nobody else touches the tensors' memory, and they do not overlap each other.
    pub unsafe fn new(tensors: &'a mut [BoundTensor]) -> Self {
        Self { tensors }
    }

    /// The elements of an `f32` input; `None` where it does not exist or has another element type.
    pub fn f32(&mut self, key: impl TensorKey) -> Option<&mut [f32]> {
        self.slice(&key)
    }

    /// The elements of an `i64` input; `None` where it does not exist or has another element type.
    pub fn i64(&mut self, key: impl TensorKey) -> Option<&mut [i64]> {
        self.slice(&key)
    }

    /// The elements of an `i32` input; `None` where it does not exist or has another element type.
    pub fn i32(&mut self, key: impl TensorKey) -> Option<&mut [i32]> {
        self.slice(&key)
    }

    /// The elements of a `u8` input; `None` where it does not exist or has another element type.
    pub fn u8(&mut self, key: impl TensorKey) -> Option<&mut [u8]> {
        self.slice(&key)
    }

    /// The dimensions of an input.
    #[must_use]
    pub fn shape(&self, key: impl TensorKey) -> Option<&[i64]> {
        let position = find(self.tensors, &key)?;
        self.tensors.get(position).map(|tensor| tensor.shape.as_slice())
    }

    fn slice<T: Element>(&mut self, key: &impl TensorKey) -> Option<&mut [T]> {
        let position = find(self.tensors, key)?;
        // SAFETY: `new`'s caller promised that nobody else touches the memory, and `&mut self` allows one slice.
        self.tensors.get_mut(position).and_then(|tensor| unsafe { tensor.write() })
    }
}

/// The outputs of a model, to be read in place.
#[derive(Debug)]
pub struct Outputs<'a> {
    tensors: &'a [BoundTensor],
}

impl<'a> Outputs<'a> {
    /// Gives hooks access to the outputs.
    ///
    /// # Safety
    /// While this value lives nobody writes the tensors' memory.
    #[must_use]
    pub unsafe fn new(tensors: &'a [BoundTensor]) -> Self {
        Self { tensors }
    }

    /// The elements of an `f32` output; `None` where it does not exist or has another element type.
    #[must_use]
    pub fn f32(&self, key: impl TensorKey) -> Option<&[f32]> {
        self.slice(&key)
    }

    /// The elements of an `i64` output; `None` where it does not exist or has another element type.
    #[must_use]
    pub fn i64(&self, key: impl TensorKey) -> Option<&[i64]> {
        self.slice(&key)
    }

    /// The elements of an `i32` output; `None` where it does not exist or has another element type.
    #[must_use]
    pub fn i32(&self, key: impl TensorKey) -> Option<&[i32]> {
        self.slice(&key)
    }

    /// The elements of a `u8` output; `None` where it does not exist or has another element type.
    #[must_use]
    pub fn u8(&self, key: impl TensorKey) -> Option<&[u8]> {
        self.slice(&key)
    }

    /// The dimensions of an output.
    #[must_use]
    pub fn shape(&self, key: impl TensorKey) -> Option<&[i64]> {
        let position = find(self.tensors, &key)?;
        self.tensors.get(position).map(|tensor| tensor.shape.as_slice())
    }

    fn slice<T: Element>(&self, key: &impl TensorKey) -> Option<&[T]> {
        let position = find(self.tensors, key)?;
        // SAFETY: `new`'s caller promised that nobody writes the memory while `self` lives.
        self.tensors.get(position).and_then(|tensor| unsafe { tensor.read() })
    }
}

#[cfg(test)]
mod tests {
    use super::{Inputs, Outputs};
    use crate::arena::{Arena, BoundTensor};
    use aegis_core::desc::ElementType;

    #[test]
    fn tensors_are_reached_by_position_and_by_name() {
        let arena = Arena::map(4_096, true).unwrap();
        let tensor = |name: &str, element, at| {
            let span = arena.span(at, 16).unwrap();
            BoundTensor { name: name.into(), element, shape: vec![1, 2], span, host: None }
        };
        let mut tensors = [tensor("image", ElementType::F32, 0), tensor("count", ElementType::I64, 64)];
        // SAFETY: nobody else uses this arena, and the tensors are disjoint.
        let mut inputs = unsafe { Inputs::new(&mut tensors) };
        inputs.f32("image").unwrap().fill(0.5);
        inputs.i64(1).unwrap()[0] = 7;
        assert!(inputs.f32(1).is_none() && inputs.f32("other").is_none() && inputs.u8(2).is_none());
        assert_eq!(inputs.shape(0), Some([1, 2].as_slice()));
        // SAFETY: nobody writes any more.
        let outputs = unsafe { Outputs::new(&tensors) };
        assert_eq!(outputs.f32(0), Some([0.5; 4].as_slice()));
        assert_eq!(outputs.i64("count").map(|values| values[0]), Some(7));
    }
}
