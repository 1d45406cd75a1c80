//! Why a vehicle cannot start or cannot go on, each with the exit status it stands for.

use crate::backend::BackendError;
use aegis_cuda::CudaError;
use aegis_linux::args::UsageError;
use aegis_linux::lane::LaneError;
use std::io;
use std::path::PathBuf;

/// Why a vehicle cannot start or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The command line.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The tables inside the binary do not prove themselves.
    #[error("the plan in this binary is refused: {0}")]
    Refused(String),
    /// The runtime value was already taken: `run` was called twice.
    #[error("the vehicle of this plan has already run in this process")]
    AlreadyRan,
    /// There is no place for the cache.
    #[error("there is no place for the cache: {0}")]
    NoCache(String),
    /// A file is not in the cache.
    #[error("{what} is not in the cache at {path}: run `aegis fetch`")]
    Missing {
        /// What the file is.
        what: String,
        /// Where it should lie.
        path: PathBuf,
    },
    /// A file is there but has other contents.
    #[error("{what} at {path} has the SHA-256 {found}, the plan needs {planned}: remove it and run `aegis fetch`")]
    WrongContents {
        /// What the file is.
        what: String,
        /// Where it lies.
        path: PathBuf,
        /// Its checksum.
        found: String,
        /// The plan's.
        planned: String,
    },
    /// The plan names no such asset.
    #[error("the plan has no asset \"{0}\"")]
    NoSuchAsset(String),
    /// A file cannot be read or written.
    #[error("{what} at {path}: {error}")]
    File {
        /// What the file is.
        what: String,
        /// Where it lies.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The hooks of a task could not be made.
    #[error("the hooks of task \"{task}\": {error}")]
    Hooks {
        /// The task.
        task: &'static str,
        /// Why.
        error: Box<dyn std::error::Error>,
    },
    /// A memory pool could not be taken.
    #[error("pool \"{pool}\": {bytes} bytes could not be taken: {error}")]
    Memory {
        /// The pool.
        pool: &'static str,
        /// The arena's length.
        bytes: u64,
        /// What the system said.
        error: io::Error,
    },
    /// A GPU of the plan.
    #[error("device \"{pool}\": {error}")]
    Gpu {
        /// Its name in the manifest.
        pool: &'static str,
        /// Why.
        error: CudaError,
    },
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A lane.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// Watchdogs and manifest do not fit.
    #[error("{0}")]
    Watchdog(String),
    /// The system refused something that a run cannot do without.
    #[error("{what}: {error}")]
    System {
        /// What was refused.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl HostError {
    /// The exit status: 2 for what the user can change, 3 for the rest.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Refused(_)
            | Self::NoCache(_)
            | Self::Missing { .. }
            | Self::WrongContents { .. }
            | Self::NoSuchAsset(_)
            | Self::File { .. }
            | Self::Hooks { .. }
            | Self::Watchdog(_)
            | Self::Gpu {
                error: CudaError::NoDriver | CudaError::NoSuchDevice { .. } | CudaError::DriverTooOld { .. },
                ..
            }
            | Self::Backend(BackendError::Refused(_)) => 2,
            Self::AlreadyRan
            | Self::Memory { .. }
            | Self::Gpu { .. }
            | Self::Backend(_)
            | Self::Lane(_)
            | Self::System { .. } => 3,
        }
    }
}
