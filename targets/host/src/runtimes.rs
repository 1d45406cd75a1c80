//! What executes models in a process: the backends, each with its library where it needs one.

use crate::backend::{BackendError, Engine, LoadedSegment, PlannedMemory, Region, RuntimeBackend as _};
use crate::gpu::Seat;
use crate::kernels::{KernelsSegment, Program};
use crate::onnx::{EngineOptions, OnnxModel, OnnxRuntime};
use crate::tvm::TvmRuntime;
use aegis_core::desc::{Backend, EngineLibrary};
use aegis_cuda::Device;
use std::path::Path;
use std::sync::Arc;

/// A segment of a model, as it is to be loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// What executes it.
    pub(crate) backend: Backend,
    /// Its file.
    pub(crate) file: &'a Path,
    /// Of kernels what is launched.
    pub(crate) program: Option<&'a Arc<Program>>,
    /// Where its file is an engine, how that was built.
    pub(crate) engine: Option<EngineOptions>,
}

/// The backends whose libraries are open.
#[derive(Debug, Default)]
pub(crate) struct Runtimes {
    onnx: Option<OnnxRuntime>,
    tvm: Option<TvmRuntime>,
}

impl Runtimes {
    /// Opens a backend's library; as for [`OnnxRuntime::open`] before other threads use environment variables. The version is
    /// what who names the file says of it.
    pub(crate) fn load_library(&mut self, backend: Backend, library: &Path, version: &str) -> Result<(), BackendError> {
        match backend {
            Backend::OnnxRuntime => self.onnx = Some(OnnxRuntime::open(library)?),
            Backend::Tvm => self.tvm = Some(TvmRuntime::open(library, version)?),
            // It has none.
            Backend::Kernels => {}
        }
        Ok(())
    }

    /// Lets a backend serve the memory of a device, before a model is loaded for it.
    pub(crate) fn serve_device(&self, backend: Backend, ordinal: u16) -> Result<(), BackendError> {
        match backend {
            Backend::OnnxRuntime => self.onnx()?.serve_device(ordinal),
            // Neither has a means of its own to take any.
            Backend::Tvm | Backend::Kernels => Ok(()),
        }
    }

    /// Opens a provider for engines on a device, before one is built or loaded, and returns its library's version.
    pub(crate) fn open_engines(&mut self, library: EngineLibrary, device: &Device) -> Result<String, BackendError> {
        let onnx = self.onnx.as_mut().ok_or(BackendError::NoLibrary(Backend::OnnxRuntime))?;
        let version = onnx.open_engines(library)?;
        onnx.takes_device(library, device)?;
        Ok(version)
    }

    /// The versions of the libraries that are open.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (Backend, &str)> {
        let onnx = self.onnx.iter().map(|runtime| (Backend::OnnxRuntime, runtime.version()));
        onnx.chain(self.tvm.iter().map(|runtime| (Backend::Tvm, runtime.version())))
    }

    /// Loads a segment.
    pub(crate) fn open(
        &self,
        source: Source<'_>,
        region: Region,
        seat: Option<Arc<Seat>>,
    ) -> Result<Box<dyn LoadedSegment>, BackendError> {
        match source.backend {
            Backend::OnnxRuntime => match (source.engine, seat) {
                (Some(options), Some(seat)) => {
                    Ok(Box::new(OnnxModel::load_engine(self.onnx()?, source.file, options, region, seat)?))
                }
                (Some(_), None) => {
                    let text = "an engine runs on a part of a GPU, and none was given".to_owned();
                    Err(BackendError::Load { path: source.file.to_owned(), text })
                }
                (None, seat) => self.onnx()?.open(source.file, region, seat),
            },
            Backend::Tvm => self.tvm()?.open(source.file, region, seat),
            Backend::Kernels => {
                let missing =
                    || BackendError::Load { path: source.file.to_owned(), text: "no launches were given".to_owned() };
                let program = source.program.ok_or_else(missing)?;
                Ok(Box::new(KernelsSegment::load(program, source.file, seat)?))
            }
        }
    }

    /// Loads a segment and binds its planned memory.
    pub(crate) fn load(&self, source: Source<'_>, memory: PlannedMemory) -> Result<Box<dyn Engine>, BackendError> {
        let loaded = self.open(source, memory.persistent.clone(), memory.seat.clone())?;
        Ok(loaded.bind(memory)?)
    }

    fn tvm(&self) -> Result<&TvmRuntime, BackendError> {
        self.tvm.as_ref().ok_or(BackendError::NoLibrary(Backend::Tvm))
    }

    pub(crate) fn onnx(&self) -> Result<&OnnxRuntime, BackendError> {
        self.onnx.as_ref().ok_or(BackendError::NoLibrary(Backend::OnnxRuntime))
    }
}
