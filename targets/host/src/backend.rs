//! What AegisRT asks of a runtime: load a model, bind planned memory, run one segment to its end.

use crate::arena::{BoundTensor, Span};
use std::path::{Path, PathBuf};

/// How far a backend's memory during a run is under our control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryControl {
    /// Every buffer has a planned offset.
    Planned,
    /// Every buffer lies inside a planned region, where the backend's own sequence puts it.
    Capped,
    /// The backend allocates where it likes; only the amount was measured.
    Measured,
}

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
    /// Its grade of memory control.
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
    /// Where everything lies that it allocates during a run.
    pub scratch: Span,
}

/// What a model's runs took of its scratch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScratchUse {
    /// The greatest height of any run, in bytes.
    pub height: u64,
    /// Requests that did not fit and were served from the heap instead.
    pub beyond: u64,
    /// Their bytes.
    pub beyond_bytes: u64,
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
    /// [`BackendError::Run`].
    fn run(&mut self) -> Result<(), BackendError>;

    /// The bound inputs.
    fn inputs(&mut self) -> &mut [BoundTensor];

    /// The bound outputs.
    fn outputs(&self) -> &[BoundTensor];

    /// What the runs so far took of the scratch.
    fn scratch_use(&self) -> ScratchUse;
}
