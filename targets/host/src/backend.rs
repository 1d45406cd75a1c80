//! What AegisRT asks of a runtime: load a segment of a model, bind planned memory, run it to its end.

use crate::arena::{Arena, BoundTensor, Span};
use crate::gpu::Seat;
use aegis_core::desc::{Backend, ElementType, MemoryControl, ModelDesc, Recording, SegmentDesc, Step, TensorDesc};
use aegis_cuda::CudaError;
use aegis_linux::worker::link::Gone;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// When a started segment can be stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CancelPoint {
    /// Never: it runs to its end.
    Never,
    /// Between two operators of the model.
    BetweenOperators,
}

/// What a backend can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Description {
    /// The runtime's name.
    pub name: &'static str,
    /// The most control of memory that it allows; a model may have less.
    pub memory: MemoryControl,
    /// When it could stop a segment. AegisRT's dispatcher never does.
    pub cancel: CancelPoint,
}

/// A backend failed; the text is the runtime's own.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BackendError {
    /// No library of the backend is open.
    #[error("no library of the runtime \"{}\" was given", .0.name())]
    NoLibrary(Backend),
    /// The library cannot be loaded.
    #[error("the library {path} cannot be loaded: {text}")]
    Library {
        /// The library.
        path: PathBuf,
        /// Why.
        text: String,
    },
    /// The model cannot be loaded.
    #[error("the model {path} cannot be loaded: {text}")]
    Load {
        /// The model's file.
        path: PathBuf,
        /// Why.
        text: String,
    },
    /// A tensor has a form that plans do not know.
    #[error("\"{tensor}\" {text}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What is wrong.
        text: String,
    },
    /// Memory cannot be bound.
    #[error("\"{tensor}\" cannot be bound: {text}")]
    Bind {
        /// The tensor's name.
        tensor: String,
        /// Why.
        text: String,
    },
    /// The runtime's requests for memory were not the planned ones; only this call failed.
    #[error("the model's memory requests are not the recorded ones: {0}")]
    Refused(String),
    /// A run failed.
    #[error("the model's run failed: {0}")]
    Run(String),
    /// The process of the fault domain that the model lies in is lost.
    #[error("the process of fault domain \"{domain}\" is lost ({}): {}", .gone.loss.name(), .gone.text)]
    Lost {
        /// The domain.
        domain: &'static str,
        /// How, and what is known of it.
        gone: Gone,
    },
    /// The device refused or failed.
    #[error("the device: {0}")]
    Device(#[from] CudaError),
}

/// The planned memory of one segment: of a whole model where it is not cut.
#[derive(Debug)]
pub struct PlannedMemory {
    /// What it reads.
    pub inputs: Vec<BoundTensor>,
    /// What it writes.
    pub outputs: Vec<BoundTensor>,
    /// Where what it takes while it is loaded lies.
    pub persistent: Region,
    /// Where everything lies that it takes during a run.
    pub scratch: Region,
    /// The part of a GPU that it runs on, if it does; then all of this is that device's memory.
    pub seat: Option<Arc<Seat>>,
}

/// Where a model's planned memory is.
#[derive(Debug)]
pub struct Place<'a> {
    arena: &'a Arc<Arena>,
    /// Of a model on a GPU, its lane's part of it, and where the application has its inputs and outputs.
    on: Option<(Arc<Seat>, Staging)>,
}

/// Where the application has the inputs and outputs of a model on a GPU, one after the other: in memory of the CPU.
#[derive(Clone, Debug)]
pub(crate) struct Staging {
    /// That memory, of this model alone or of others, too.
    pub(crate) arena: Arc<Arena>,
    /// Where the model's begin in it.
    pub(crate) at: u64,
}

impl Staging {
    /// The model's input, or, counted on from there, output at a position; `None` for what it keeps between its segments, which
    /// never leaves the device, and for what is not inside.
    pub(crate) fn span(&self, model: &ModelDesc, position: usize) -> Option<Span> {
        let ends = model.inputs.len().checked_add(model.outputs.len())?;
        let size = model.tensor(position).filter(|_| position < ends)?.size;
        self.arena.span(self.at.checked_add(model.staged(position)?)?, size.0)
    }

    /// The model's tensors as a vehicle sees them whose process does not have the device: inputs and outputs alone.
    pub(crate) fn tensor(&self, model: &ModelDesc, position: usize) -> Option<BoundTensor> {
        let tensor = model.tensor(position)?;
        Some(tensor_in(tensor, self.span(model, position)?))
    }
}

impl<'a> Place<'a> {
    /// In the CPU's memory, where the application has the model's inputs and outputs as well.
    #[must_use]
    pub const fn of(arena: &'a Arc<Arena>) -> Self {
        Self { arena, on: None }
    }

    /// In a device's memory: takes memory of the CPU from and to which inputs and outputs are copied.
    ///
    /// # Errors
    /// What the driver says.
    pub fn on(seat: &Arc<Seat>, arena: &'a Arc<Arena>, model: &ModelDesc) -> Result<Self, CudaError> {
        // As the plan counts it: the CPU's alignment, since hooks see it there and copies begin anywhere.
        let staging = Arena::pinned(seat.device(), model.staging().unwrap_or(u64::MAX))?;
        Ok(Self::beside(seat, arena, Staging { arena: staging, at: 0 }))
    }

    /// In a device's memory, with inputs and outputs where another process has them, too.
    pub(crate) fn beside(seat: &Arc<Seat>, arena: &'a Arc<Arena>, staging: Staging) -> Self {
        Self { arena, on: Some((Arc::clone(seat), staging)) }
    }

    /// The model's tensor at a position; `None` where it is not inside.
    #[must_use]
    pub fn tensor(&self, model: &ModelDesc, position: usize) -> Option<BoundTensor> {
        let mut tensor = bound(model.tensor(position)?, self.arena)?;
        // What one segment hands to another never leaves the device.
        let ends = model.inputs.len().checked_add(model.outputs.len())?;
        if let Some((_, staging)) = self.on.as_ref().filter(|_| position < ends) {
            tensor.host = Some(staging.span(model, position)?);
        }
        Some(tensor)
    }
}

impl PlannedMemory {
    /// A segment's regions and tensors; `None` where one is not inside. `owns_scratch` says whether it may
    /// use all of its scratch: [`aegis_core::verify::scratch_is_its_own`].
    #[must_use]
    pub fn of(model: &ModelDesc, segment: &SegmentDesc, owns_scratch: bool, place: &Place<'_>) -> Option<Self> {
        let arena = place.arena;
        let tensors = |positions: &[u16]| {
            let bound = positions.iter().map(|position| place.tensor(model, usize::from(*position)));
            bound.collect::<Option<Vec<_>>>()
        };
        Some(Self {
            inputs: tensors(segment.reads)?,
            outputs: tensors(segment.writes)?,
            persistent: Region {
                span: arena.span(segment.persistent_at.0, segment.persistent.0)?,
                sequence: match segment.memory {
                    MemoryControl::Planned | MemoryControl::Capped if place.on.is_some() => {
                        Sequence::LoadInAnyOrder(segment.load)
                    }
                    MemoryControl::Planned | MemoryControl::Capped => Sequence::Load(segment.load),
                    MemoryControl::Measured => Sequence::Heap,
                },
            },
            scratch: Region {
                span: arena.span(segment.scratch_at.0, segment.scratch.0)?,
                sequence: match segment.memory {
                    MemoryControl::Planned => Sequence::Planned { runs: segment.runs, owns_region: owns_scratch },
                    MemoryControl::Capped => Sequence::Free,
                    MemoryControl::Measured => Sequence::Heap,
                },
            },
            seat: place.on.as_ref().map(|(seat, _)| Arc::clone(seat)),
        })
    }
}

/// A planned tensor in its pool's arena; `None` where it is not inside.
#[must_use]
pub fn bound(tensor: &TensorDesc, arena: &Arc<Arena>) -> Option<BoundTensor> {
    Some(tensor_in(tensor, arena.span(tensor.at.0, tensor.size.0)?))
}

fn tensor_in(tensor: &TensorDesc, span: Span) -> BoundTensor {
    let shape = tensor.shape.iter().copied().map(i64::from).collect();
    BoundTensor { name: tensor.name.to_owned(), element: tensor.element, shape, span, host: None }
}

/// Bytes, and how they are divided.
#[derive(Clone, Debug)]
pub struct Region {
    /// Where they lie.
    pub span: Span,
    /// Who divides them.
    pub sequence: Sequence,
}

/// How requests are served.
#[derive(Clone, Copy, Debug)]
pub enum Sequence {
    /// By first fit, and noted: in a probe.
    Recorded,
    /// Each as planned, others are refused; by the first of these recordings that a run keeps to.
    Planned {
        /// The recordings, in the order in which they are tried.
        runs: &'static [Recording],
        /// Whether nothing else is ever live inside the region meanwhile. Only then is a run that keeps to none of the
        /// recordings served by first fit; otherwise it is refused, because tensors of other jobs may lie inside.
        owns_region: bool,
    },
    /// Each as planned, in the one recorded order; others are refused.
    Load(&'static [Step]),
    /// Each as planned, in any order, and nothing is given back; others are refused. A runtime may load weights to a device in another order
    /// each time; blocks that all stay may come in any.
    LoadInAnyOrder(&'static [Step]),
    /// By first fit; what does not fit is refused.
    Free,
    /// Not at all: from the C library's heap.
    Heap,
}

/// What a model took of a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScratchUse {
    /// The end of the highest block so far, in bytes from the region's start.
    pub height: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Their bytes.
    pub refused_bytes: u64,
}

/// A runtime.
pub trait RuntimeBackend {
    /// What it can do.
    fn describe(&self) -> Description;

    /// Loads a file. What it takes and keeps lies in the region: of the CPU, or of the device whose part it runs on.
    ///
    /// # Errors
    /// [`BackendError`]; what else is loaded is not affected.
    fn open(
        &self,
        file: &Path,
        region: Region,
        seat: Option<Arc<Seat>>,
    ) -> Result<Box<dyn LoadedSegment>, BackendError>;

    /// Loads a file and binds its planned memory.
    ///
    /// # Errors
    /// As for [`RuntimeBackend::open`] and [`LoadedSegment::bind`].
    fn load(&self, file: &Path, memory: PlannedMemory) -> Result<Box<dyn Engine>, BackendError> {
        let loaded = self.open(file, memory.persistent.clone(), memory.seat.clone())?;
        Ok(loaded.bind(memory)?)
    }
}

/// One input or output as the model's file declares it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub element: ElementType,
    /// Its dimensions; −1 where the file leaves one open.
    pub shape: Vec<i64>,
}

/// The whole model's inputs and outputs by name, in their order, as its files declare them; empty where they do not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Declared {
    /// The inputs.
    pub inputs: Vec<String>,
    /// The outputs.
    pub outputs: Vec<String>,
}

/// A segment that is loaded and not bound to memory yet.
pub trait LoadedSegment: Send {
    /// Its inputs, in its file's order.
    fn inputs(&self) -> &[Port];

    /// Its outputs, in its file's order.
    fn outputs(&self) -> &[Port];

    /// What its file declares of the whole model.
    fn declared(&self) -> Declared;

    /// The requests of loading it, where they were recorded: a size, or −k where the k-th block, from 1, was given back.
    fn recorded_load(&mut self) -> Vec<i64>;

    /// What loading took of its region.
    fn persistent_use(&self) -> ScratchUse;

    /// The true shapes of all outputs; where the file leaves one open, found by one run in a region.
    ///
    /// # Errors
    /// [`BackendError`] where the run fails.
    fn output_shapes(&self, inputs: &[BoundTensor], scratch: Region) -> Result<Vec<Vec<i64>>, BackendError>;

    /// Binds every input and output to its place.
    ///
    /// # Errors
    /// [`BackendError::Bind`] where a name or shape is not the segment's.
    fn bind(self: Box<Self>, memory: PlannedMemory) -> Result<Box<dyn BoundSegment>, BackendError>;
}

/// An engine as a probe measures it.
pub trait BoundSegment: Engine {
    /// The requests of the runs since the last call, where they are recorded: as of loading.
    fn recorded_run(&mut self) -> Vec<i64>;

    /// Serves later runs from another region; the tensors stay bound. No run may be in progress, and no block of one live: a
    /// run that left some failed with [`BackendError::Run`].
    fn serve_from(&mut self, scratch: Region);

    /// On a GPU: why its runs are not captured as one graph, once that is known.
    fn why_not_captured(&self) -> Option<&str>;

    /// Gives the segment back, unbound.
    fn unbind(self: Box<Self>) -> Box<dyn LoadedSegment>;
}

/// One segment, loaded and bound: all that a lane needs of it.
pub trait Engine: Send {
    /// Runs it once on the calling thread, from the bound inputs to the bound outputs.
    ///
    /// # Errors
    /// [`BackendError::Refused`] where only this run failed, [`BackendError::Lost`] where the model's fault domain did,
    /// [`BackendError::Run`].
    fn run(&mut self) -> Result<(), BackendError>;

    /// Told before each piece of a job that it has a part in: where that may take only so long, the time begins. Other runs, to
    /// warm up, have no such limit.
    fn begin(&mut self) {}

    /// The bound inputs.
    fn inputs(&mut self) -> &mut [BoundTensor];

    /// The bound outputs.
    fn outputs(&self) -> &[BoundTensor];

    /// What the runs so far took of the scratch.
    fn scratch_use(&self) -> ScratchUse;

    /// How far its memory is planned as it runs here: less than planned where its runs kept to no recording.
    fn control(&self) -> MemoryControl;

    /// What loading took of the persistent region.
    fn persistent_use(&self) -> ScratchUse;
}
