//! ONNX Runtime on the CPU and on CUDA devices, loaded at run time, with inputs, outputs and scratch in planned memory.
//!
//! One intra-op thread, operators in sequence, no spinning: a segment runs on the lane's thread and nowhere else,
//! and its allocation sequence is the same in every run.

// One environment variable has to be set before the library is loaded.
#![allow(unsafe_code)]

mod allocator;
mod engine;
mod engines;
mod library;
mod model;
mod plugin;

pub use crate::serve::current::{heap_in_use, unattributed};
pub use engine::OnnxEngine;
pub use engines::EngineOptions;
pub use library::version_of;
pub use model::OnnxModel;

use crate::backend::{BackendError, CancelPoint, Description, LoadedSegment, Region, RuntimeBackend};
use crate::gpu::Seat;
use aegis_core::desc::MemoryControl;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The runtime: one loaded library with its one environment.
#[derive(Debug)]
pub struct OnnxRuntime {
    environment: Environment,
    version: String,
    library: PathBuf,
    /// Whether the plug-in of TensorRT-RTX is.
    registered: bool,
}

impl OnnxRuntime {
    /// Loads the library and makes the process's one environment, without telemetry.
    ///
    /// To be called before the program starts threads that read or change environment variables.
    ///
    /// # Errors
    /// The file is no ONNX Runtime, it is too old, or the process already has an environment.
    pub fn open(library: &Path) -> Result<Self, BackendError> {
        let failed = |text: String| BackendError::Library { path: library.to_owned(), text };
        // The environment's own switch comes too late: by then the Linux wheel has started its telemetry thread and has
        // written a database below the user's cache folder.
        // SAFETY: no other thread uses the variables at this point, as the function's contract says.
        unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
        let version = version_of(library).map_err(failed)?;
        let builder = ort::init_from(library).map_err(|error| failed(error.to_string()))?;
        let builder = builder.with_name("aegis").with_telemetry(false);
        let environment = builder.build().map_err(|error| failed(error.to_string()))?;
        allocator::register(&environment).map_err(|error| failed(error.to_string()))?;
        Ok(Self { environment, version, library: library.to_owned(), registered: false })
    }

    /// Serves the memory of the device of a number, too. Once for each device, before a model is loaded for it.
    ///
    /// # Errors
    /// The runtime's, or that a library of the provider for CUDA is not beside the runtime's own, where it looks for it: without it the
    /// runtime would go on with the CPU.
    pub fn serve_device(&self, ordinal: u16) -> Result<(), BackendError> {
        for name in ["libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"] {
            if !self.library.with_file_name(name).exists() {
                let text = format!(
                    "{name} is not beside it, which it needs for CUDA: name it by `beside` in [runtime.onnxruntime], or put it where \
                     ORT_DYLIB_PATH points"
                );
                return Err(BackendError::Library { path: self.library.clone(), text });
            }
        }
        let failed =
            |error: ort::Error| BackendError::Run(format!("memory of device {ordinal} cannot be served: {error}"));
        allocator::register_device(&self.environment, ordinal).map_err(failed)
    }

    /// The library's version, as in `1.32.0`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl RuntimeBackend for OnnxRuntime {
    fn describe(&self) -> Description {
        Description { name: "onnxruntime", memory: MemoryControl::Planned, cancel: CancelPoint::BetweenOperators }
    }

    fn open(
        &self,
        file: &Path,
        region: Region,
        seat: Option<Arc<Seat>>,
    ) -> Result<Box<dyn LoadedSegment>, BackendError> {
        Ok(Box::new(OnnxModel::load(self, file, region, seat)?))
    }
}

/// What every session is made with: one thread, operators in sequence, no spinning.
fn base(environment: &Environment) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(environment)?;
    let builder = builder.with_intra_threads(1)?.with_inter_threads(1)?.with_parallel_execution(false)?;
    let builder = builder.with_intra_op_spinning(false)?.with_inter_op_spinning(false)?;
    // Patterns would make the first run allocate otherwise than all later ones.
    let builder = builder.with_memory_pattern(false)?;
    // A refused request comes back as an error, with its reason; the runtime would print it besides, also while an order of
    // execution is only being tried.
    let builder = builder.with_log_level(LogLevel::Fatal)?;
    Ok(builder.with_optimization_level(GraphOptimizationLevel::All)?)
}
