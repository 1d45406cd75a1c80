//! A model with its segments, its tensors, and where all of it lies.

use super::{ALIGNMENT, EngineDesc, FileDesc, LaunchDesc, MemoryControl, Recording, Step, TensorLife};
use crate::desc::ElementType;
use crate::units::{ByteOffset, Bytes, PoolId};

/// A tensor at planned memory: an input, an output, or what one segment hands to a later one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TensorDesc {
    /// The name in the model's files.
    pub name: &'static str,
    /// The element type.
    pub element: ElementType,
    /// The fixed dimensions.
    pub shape: &'static [u32],
    /// Where it lies in its pool.
    pub at: ByteOffset,
    /// Its length.
    pub size: Bytes,
}

/// The runtime that executes a model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    /// ONNX Runtime, on the CPU or on a part of a GPU.
    OnnxRuntime,
    /// TVM, on the CPU or on a part of a GPU.
    Tvm,
    /// Kernels of the application's own, launched from a list on a part of a GPU.
    Kernels,
}

impl Backend {
    /// Every backend.
    pub const ALL: [Self; 3] = [Self::OnnxRuntime, Self::Tvm, Self::Kernels];

    /// The name in manifests, locks, profiles and reports: that of its runtime, where it has a library.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnxruntime",
            Self::Tvm => "tvm",
            Self::Kernels => "kernels",
        }
    }

    /// The environment variable with the path of a library that goes before the one of the manifest; `None` where there is no library.
    #[must_use]
    pub const fn library_variable(self) -> Option<&'static str> {
        match self {
            Self::OnnxRuntime => Some("ORT_DYLIB_PATH"),
            Self::Tvm => Some("AEGIS_TVM_LIBRARY"),
            Self::Kernels => None,
        }
    }

    /// Whether it is a library that a manifest names by `[runtime.NAME]`.
    #[must_use]
    pub const fn has_library(self) -> bool {
        self.library_variable().is_some()
    }
}

/// A model with its files and its planned memory.
#[derive(Clone, Copy, Debug)]
pub struct ModelDesc {
    /// The name in the manifest.
    pub name: &'static str,
    /// The runtime that executes it.
    pub backend: Backend,
    /// How the engines of its segments were built; `None`: it has none, the backend runs its files.
    pub engines: Option<EngineDesc>,
    /// The pool that holds all its memory.
    pub pool: PoolId,
    /// Bytes that stay occupied across runs and that the backend holds outside the arena: weights, and of engines what they take of
    /// the device at all.
    pub weights: Bytes,
    /// How long its inputs and outputs hold their contents.
    pub tensors: TensorLife,
    /// Its inputs, in the model's order; the application fills them before the first segment.
    pub inputs: &'static [TensorDesc],
    /// Its outputs, in the model's order; the application reads them after the last segment.
    pub outputs: &'static [TensorDesc],
    /// What segments hand to later ones.
    pub carried: &'static [TensorDesc],
    /// Its segments in order, at least one; a model that is not cut has one.
    pub segments: &'static [SegmentDesc],
}

/// A part of a model that runs to its end once it has begun: one file.
#[derive(Clone, Copy, Debug)]
pub struct SegmentDesc {
    /// The file.
    pub file: FileDesc,
    /// The SHA-256 of the engine that was built of it and is loaded instead, in lower-case hexadecimal digits; empty where the
    /// model has no engines.
    pub engine: &'static str,
    /// How far its memory is planned.
    pub memory: MemoryControl,
    /// Where the memory lies that it takes once while it is loaded and keeps.
    pub persistent_at: ByteOffset,
    /// The length of that region.
    pub persistent: Bytes,
    /// The requests of loading it, with offsets from `persistent_at`; empty unless planned.
    pub load: &'static [Step],
    /// Where its scratch lies; other segments of the lane may use the same bytes.
    pub scratch_at: ByteOffset,
    /// The length of its scratch, used only while it runs. Tensors that are live meanwhile may lie inside, where no block does.
    pub scratch: Bytes,
    /// The requests of one run, with offsets from `scratch_at`: one recording for each order in which the runtime was seen
    /// to execute the segment; a loaded one keeps to one. Empty unless planned.
    pub runs: &'static [Recording],
    /// What it reads, in its file's order: positions among the model's tensors, see [`ModelDesc::tensor`].
    pub reads: &'static [u16],
    /// What it writes, likewise.
    pub writes: &'static [u16],
    /// Of [`Backend::Kernels`] what one run launches, in order: its one recording has the requests for its buffers. Empty
    /// otherwise.
    pub launches: &'static [LaunchDesc],
}

/// When a tensor holds contents that are still needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// Always.
    Kept,
    /// From the beginning of one segment of a job to the end of another.
    Job {
        /// The first segment's position.
        from: usize,
        /// The last segment's position, at least `from`.
        last: usize,
    },
}

impl ModelDesc {
    /// The tensor at a position: inputs come first, then outputs, then what is carried.
    #[must_use]
    pub const fn tensor(&self, position: usize) -> Option<&'static TensorDesc> {
        let (list, position) = match position.checked_sub(self.inputs.len()) {
            None => (self.inputs, position),
            Some(position) => match position.checked_sub(self.outputs.len()) {
                None => (self.outputs, position),
                Some(position) => (self.carried, position),
            },
        };
        match list.split_at_checked(position) {
            Some((_, [tensor, ..])) => Some(tensor),
            _ => None,
        }
    }

    /// When the tensor at a position is live; `None` where no such tensor exists, or no segment writes what is not an input.
    ///
    /// The application fills inputs before the first segment and reads outputs after the last one.
    #[must_use]
    pub const fn life(&self, position: usize) -> Option<Life> {
        let is_input = position < self.inputs.len();
        let is_carried = match position.checked_sub(self.inputs.len()) {
            Some(position) => position >= self.outputs.len(),
            None => false,
        };
        if self.tensor(position).is_none() {
            return None;
        }
        if !is_carried && matches!(self.tensors, TensorLife::Kept) {
            return Some(Life::Kept);
        }
        let Some(from) = (if is_input { Some(0) } else { self.first_that(position, false) }) else {
            return None;
        };
        let last = if is_input || is_carried {
            match self.last_that_reads(position) {
                Some(last) => last,
                None => from,
            }
        } else {
            self.segments.len().saturating_sub(1)
        };
        Some(Life::Job { from, last: if last < from { from } else { last } })
    }

    /// The first segment that reads or writes a tensor.
    const fn first_that(&self, tensor: usize, reads: bool) -> Option<usize> {
        let mut segments = self.segments;
        let mut number: usize = 0;
        while let [segment, rest @ ..] = segments {
            if names(if reads { segment.reads } else { segment.writes }, tensor) {
                return Some(number);
            }
            number = number.saturating_add(1);
            segments = rest;
        }
        None
    }

    const fn last_that_reads(&self, tensor: usize) -> Option<usize> {
        let mut segments = self.segments;
        while let [rest @ .., segment] = segments {
            if names(segment.reads, tensor) {
                return Some(rest.len());
            }
            segments = rest;
        }
        None
    }

    /// What its first so many tensors take where they lie one after the other in the CPU's memory, each rounded up to [`ALIGNMENT`]:
    /// of a model on a GPU inputs and outputs have a second place there. `None` beyond 2⁶⁴ − 1.
    #[must_use]
    pub const fn staged(&self, tensors: usize) -> Option<u64> {
        let mut sum: u64 = 0;
        let mut number: usize = 0;
        while number < tensors
            && let Some(tensor) = self.tensor(number)
        {
            let Some(length) = tensor.size.0.checked_next_multiple_of(ALIGNMENT.0) else {
                return None;
            };
            match sum.checked_add(length) {
                Some(added) => sum = added,
                None => return None,
            }
            number = number.saturating_add(1);
        }
        Some(sum)
    }

    /// What [`ModelDesc::staged`] says of all its inputs and outputs.
    #[must_use]
    pub const fn staging(&self) -> Option<u64> {
        self.staged(self.inputs.len().saturating_add(self.outputs.len()))
    }

    /// How far all its segments are planned: as far as the one that is least.
    #[must_use]
    pub const fn memory(&self) -> MemoryControl {
        let mut least = MemoryControl::Planned;
        let mut segments = self.segments;
        while let [segment, rest @ ..] = segments {
            least = least.and(segment.memory);
            segments = rest;
        }
        least
    }
}

/// Whether a list has a position.
const fn names(positions: &[u16], wanted: usize) -> bool {
    let mut positions = positions;
    while let [position, rest @ ..] = positions {
        // Widening.
        #[allow(clippy::as_conversions)]
        if *position as usize == wanted {
            return true;
        }
        positions = rest;
    }
    false
}
