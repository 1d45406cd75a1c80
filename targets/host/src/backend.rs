//! What AegisRT asks of a runtime: load a model, bind planned memory, run one segment to its end.

use crate::arena::{Arena, BoundTensor, Span};
use aegis_core::desc::{MemoryControl, ModelDesc, Recording, Step, TensorDesc};
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
}

/// The planned memory of one model.
#[derive(Debug)]
pub struct PlannedMemory {
    /// Its inputs.
    pub inputs: Vec<BoundTensor>,
    /// Its outputs.
    pub outputs: Vec<BoundTensor>,
    /// Where what it takes while it is loaded lies.
    pub persistent: Region,
    /// Where everything lies that it takes during a run.
    pub scratch: Region,
}

impl PlannedMemory {
    /// A model's regions in its pool's arena; `None` where one is not inside.
    #[must_use]
    pub fn of(model: &ModelDesc, arena: &Arc<Arena>) -> Option<Self> {
        let tensor = |tensor: &TensorDesc| {
            Some(BoundTensor {
                name: tensor.name.to_owned(),
                element: tensor.element,
                shape: tensor.shape.iter().copied().map(i64::from).collect(),
                span: arena.span(tensor.at.0, tensor.size.0)?,
            })
        };
        Some(Self {
            inputs: model.inputs.iter().map(tensor).collect::<Option<_>>()?,
            outputs: model.outputs.iter().map(tensor).collect::<Option<_>>()?,
            persistent: Region {
                span: arena.span(model.persistent_at.0, model.persistent.0)?,
                sequence: match model.memory {
                    MemoryControl::Planned | MemoryControl::Capped => Sequence::Load(model.load),
                    MemoryControl::Measured => Sequence::Heap,
                },
            },
            scratch: Region {
                span: arena.span(model.scratch_at.0, model.scratch.0)?,
                sequence: match model.memory {
                    MemoryControl::Planned => Sequence::Planned(model.runs),
                    MemoryControl::Capped => Sequence::Free,
                    MemoryControl::Measured => Sequence::Heap,
                },
            },
        })
    }
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
    Planned(&'static [Recording]),
    /// Each as planned, in the one recorded order; others are refused.
    Load(&'static [Step]),
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

    /// Loads a model and binds its planned memory.
    ///
    /// # Errors
    /// [`BackendError`]; other models are not affected.
    fn load(&self, file: &Path, memory: PlannedMemory) -> Result<Box<dyn Engine>, BackendError>;
}

/// One model, loaded and bound: all that a lane needs of it.
pub trait Engine: Send {
    /// Runs the model once on the calling thread, from the bound inputs to the bound outputs.
    ///
    /// # Errors
    /// [`BackendError::Refused`] where only this run failed, [`BackendError::Run`].
    fn run(&mut self) -> Result<(), BackendError>;

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
