//! TVM, loaded at run time: modules that were compiled ahead of time for the CPU or a CUDA device, with their requests for memory
//! answered from the plan.
//!
//! A module's virtual machine asks for its storage through functions that are found by name, and its kernels for workspace and
//! parallel loops through functions that each compiled library is given. All of these are ours (`hooks.rs`), so a segment runs on
//! the lane's thread and nowhere else, in planned memory, and its sequence of requests is the same in every run. TVM reads inputs
//! where the plan has them; outputs it allocates itself, in the scratch, from where they are copied to their places at the end of
//! each run. On the CPU weights lie on the heap and are measured. On a part of a GPU they are planned, and kernels are launched
//! by this program (`part.rs`); a run is captured as one graph.

mod abi;
mod engine;
mod hooks;
mod library;
mod model;
mod part;
mod value;

pub use engine::TvmEngine;
pub use model::TvmModel;

use crate::backend::{BackendError, CancelPoint, Description, LoadedSegment, Region, RuntimeBackend};
use crate::gpu::Seat;
use abi::Api;
use aegis_core::desc::MemoryControl;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use value::{Elements, Function};

/// What a process has opened: TVM's registry is one for all.
static OPENED: Mutex<Option<(PathBuf, &'static Api)>> = Mutex::new(None);

/// The runtime: two loaded libraries, with our functions in their registry.
#[derive(Debug)]
pub struct TvmRuntime {
    version: String,
    load: Function,
    get: Function,
    api: &'static Api,
}

impl TvmRuntime {
    /// Loads `libtvm_runtime.so`, under any name, and `libtvm_ffi.so` beside it. The library does not tell its own version: it is
    /// the one that who names the file says, and only the version of its C interface is asked.
    ///
    /// # Errors
    /// A file is missing, is no library of TVM or of another version, or the process has opened another one.
    pub fn open(library: &Path, version: &str) -> Result<Self, BackendError> {
        let failed = |text: String| BackendError::Library { path: library.to_owned(), text };
        let api = Self::api(library).map_err(failed)?;
        let function = |name| Function::global(api, name).map_err(failed);
        Ok(Self {
            version: version.to_owned(),
            load: function("ffi.Module.load_from_file.so")?,
            get: function("ffi.ModuleGetFunction")?,
            api,
        })
    }

    fn api(library: &Path) -> Result<&'static Api, String> {
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*opened {
            Some((other, _)) if other != library => {
                return Err(format!("the process has already opened {}", other.display()));
            }
            Some((_, api)) => return Ok(api),
            None => {}
        }
        let api: &'static Api = Box::leak(Box::new(library::open(library)?));
        hooks::register(api)?;
        *opened = Some((library.to_owned(), api));
        Ok(api)
    }

    /// The version that was said, as in `0.27.0`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    fn elements(&self) -> Result<Elements, String> {
        Elements::new(self.api)
    }
}

impl RuntimeBackend for TvmRuntime {
    fn describe(&self) -> Description {
        Description { name: "tvm", memory: MemoryControl::Planned, cancel: CancelPoint::Never }
    }

    fn open(
        &self,
        file: &Path,
        region: Region,
        seat: Option<Arc<Seat>>,
    ) -> Result<Box<dyn LoadedSegment>, BackendError> {
        Ok(Box::new(TvmModel::load(self, file, region, seat)?))
    }
}
