//! A model with its segments and tensors, as the probe found them.

use super::{File, Sequence, Span};
use crate::engines::Built;
use crate::launches::Launch;
use aegis_core::desc::{ALIGNMENT, Backend, ElementType, MemoryControl, TensorLife};
use aegis_core::units::Bytes;

/// A model with what the probe learnt of it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The name in the manifest.
    pub name: String,
    /// The runtime that executes it.
    pub backend: Backend,
    /// How the engines of its segments were built, where TensorRT runs it.
    pub engines: Option<Built>,
    /// The fault domain that it lies in: models of different ones are different processes' and never share memory.
    pub domain: Option<usize>,
    /// How long its inputs and outputs hold their contents.
    pub tensors: TensorLife,
    /// Its inputs in the model's order.
    pub inputs: Vec<Tensor>,
    /// Its outputs in the model's order.
    pub outputs: Vec<Tensor>,
    /// What segments hand to later ones.
    pub carried: Vec<Tensor>,
    /// Its segments in order; one where it is not cut.
    pub segments: Vec<Segment>,
    /// Where it stands.
    pub span: Span,
}

/// One of a model's files with what the probe learnt of it.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The model's name, with the segment's number where it is cut, and the checksum.
    pub file: File,
    /// The checksum of the engine that was built of it; empty where the model has none.
    pub engine: String,
    /// What the backend holds across runs outside the arena; with an engine its workspace besides.
    pub weights: Bytes,
    /// How far its memory is planned.
    pub memory: MemoryControl,
    /// The requests of loading it; empty where they are not planned.
    pub load: Sequence,
    /// The requests of one run, for each order of execution; empty unless planned.
    pub runs: Vec<Sequence>,
    /// What one run uses at most at a time, where the runtime's own sequence places it.
    pub scratch: Bytes,
    /// What it reads: positions among the model's inputs, outputs and carried tensors, one after the other.
    pub reads: Vec<usize>,
    /// What it writes, likewise; never an input, and no tensor twice.
    pub writes: Vec<usize>,
    /// Of kernels: what one run launches, in order.
    pub launches: Vec<Launch>,
}

/// One tensor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tensor {
    /// The name in the model's files.
    pub name: String,
    /// The element type.
    pub element: ElementType,
    /// The fixed dimensions.
    pub shape: Vec<u32>,
    /// The length.
    pub size: Bytes,
}

impl Model {
    /// All tensors: inputs, outputs, and what is carried.
    pub fn all_tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.inputs.iter().chain(&self.outputs).chain(&self.carried)
    }

    /// For each tensor the segments from whose beginning and to whose end it is live, both included; `None` where it is
    /// always. Inputs are filled before the first segment and outputs read after the last.
    #[must_use]
    pub fn lives(&self) -> Vec<Option<(usize, usize)>> {
        let end = self.segments.len().saturating_sub(1);
        let (inputs, kept) = (self.inputs.len(), self.inputs.len().saturating_add(self.outputs.len()));
        let reads = |tensor: usize| self.segments.iter().rposition(|segment| segment.reads.contains(&tensor));
        let written = |tensor: usize| self.segments.iter().position(|segment| segment.writes.contains(&tensor));
        let life = |tensor: usize| {
            if tensor < kept && self.tensors == TensorLife::Kept {
                return None;
            }
            let from = if tensor < inputs { 0 } else { written(tensor).unwrap_or(0) };
            let last = if tensor < inputs || tensor >= kept { reads(tensor).unwrap_or(from) } else { end };
            Some((from, last.max(from)))
        };
        (0..self.all_tensors().count()).map(life).collect()
    }

    /// What its inputs and outputs take of the CPU's memory where they have a second place there, each rounded up to its alignment;
    /// `None` beyond 2⁶⁴ − 1.
    #[must_use]
    pub fn pinned(&self) -> Option<Bytes> {
        let mut sizes = self.inputs.iter().chain(&self.outputs).map(|tensor| tensor.size.0);
        let add = |sum: u64, size: u64| sum.checked_add(size.checked_next_multiple_of(ALIGNMENT.0)?);
        sizes.try_fold(0, add).map(Bytes)
    }

    /// What the backend holds of all segments across runs outside the arena; `None` beyond 2⁶⁴ − 1.
    #[must_use]
    pub fn weights(&self) -> Option<Bytes> {
        let mut sizes = self.segments.iter().map(|segment| segment.weights.0);
        sizes.try_fold(0, u64::checked_add).map(Bytes)
    }

    /// How far its memory is planned: as far as that of its least planned segment.
    #[must_use]
    pub fn memory(&self) -> MemoryControl {
        self.segments.iter().fold(MemoryControl::Planned, |least, segment| least.and(segment.memory))
    }
}
