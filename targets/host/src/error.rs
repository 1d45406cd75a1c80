//! Why a vehicle cannot start or cannot go on, each with the exit status it stands for.

use crate::backend::BackendError;
use aegis_core::ErrorClass;
use aegis_cuda::CudaError;
use aegis_linux::args::UsageError;
use aegis_linux::lane::{Fault, LaneError};
use aegis_linux::metrics::ExportError;
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
    /// An engine of the plan is not in the cache, or another file is there.
    #[error(
        "the engine of {what} at {path} {fault}: a vehicle builds none; take the file from the cache of the machine that was measured, or \
         measure here with `aegis profile`"
    )]
    Engine {
        /// Of what it is.
        what: String,
        /// Where it should lie.
        path: PathBuf,
        /// What is wrong.
        fault: String,
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
    /// A GPU has less free memory than the plan needs.
    #[error(
        "device \"{pool}\": the plan needs {needed} bytes of its memory, for the arena {arena}, for what backends hold {weights} and \
         for copies {staging}, and {free} are free"
    )]
    GpuRoom {
        /// Its name in the manifest.
        pool: &'static str,
        /// All that the plan still takes.
        needed: u64,
        /// The arena's length.
        arena: u64,
        /// What was measured that backends hold besides.
        weights: u64,
        /// What inputs and outputs have besides, where the device works in the CPU's memory.
        staging: u64,
        /// What nobody has.
        free: u64,
    },
    /// A GPU's memory could not be taken.
    #[error("device \"{pool}\": {bytes} bytes of its memory could not be taken, {free} are free: {error}")]
    GpuMemory {
        /// Its name in the manifest.
        pool: &'static str,
        /// The arena's length.
        bytes: u64,
        /// What nobody has; 0 where the driver does not say.
        free: u64,
        /// What the driver said.
        error: CudaError,
    },
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A lane.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// Metrics.
    #[error(transparent)]
    Metrics(#[from] ExportError),
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
    /// The exit status: 2 for what the user can change, 5 for a device that is lost, 3 for the rest.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Lane(LaneError::Prepare { fault: Fault::DeviceLost, .. }) => 5,
            Self::Gpu { error, .. } | Self::GpuMemory { error, .. } | Self::Backend(BackendError::Device(error))
                if error.class() == ErrorClass::Fatal =>
            {
                5
            }
            Self::Usage(_)
            | Self::Refused(_)
            | Self::NoCache(_)
            | Self::Missing { .. }
            | Self::WrongContents { .. }
            | Self::Engine { .. }
            | Self::NoSuchAsset(_)
            | Self::File { .. }
            | Self::Hooks { .. }
            | Self::Metrics(ExportError::Listen { .. })
            | Self::Watchdog(_)
            | Self::GpuRoom { .. }
            | Self::Gpu {
                error:
                    CudaError::NoDriver
                    | CudaError::NoSuchDevice { .. }
                    | CudaError::DriverTooOld { .. }
                    | CudaError::Sms { .. },
                ..
            }
            | Self::Backend(BackendError::Refused(_)) => 2,
            Self::AlreadyRan
            | Self::Metrics(ExportError::Bell(_))
            | Self::Memory { .. }
            | Self::Gpu { .. }
            | Self::GpuMemory { .. }
            | Self::Backend(_)
            | Self::Lane(_)
            | Self::System { .. } => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HostError;
    use crate::backend::BackendError;
    use aegis_cuda::CudaError;
    use aegis_linux::lane::{Fault, LaneError};

    #[test]
    fn what_a_device_says_has_the_status_of_what_follows() {
        let call = |code| CudaError::Call { call: "cuLaunchKernel", code, name: "CUDA_ERROR".to_owned() };
        let gpu = |error| HostError::Gpu { pool: "gpu0", error };
        let prepare =
            |fault| HostError::Lane(LaneError::Prepare { lane: "near", fault, reason: "it broke".to_owned() });
        let memory = |error| HostError::GpuMemory { pool: "gpu0", bytes: 512, free: 100, error };
        for (error, status) in [
            (gpu(CudaError::NoDriver), 2),
            (gpu(CudaError::Sms { wanted: 128, left: 120, unit: 8 }), 2),
            (gpu(call(2)), 3),
            (memory(call(2)), 3),
            (HostError::GpuRoom { pool: "gpu0", needed: 600, arena: 512, weights: 88, staging: 0, free: 100 }, 2),
            (prepare(Fault::BackendFailed), 3),
            (gpu(call(700)), 5),
            (memory(call(700)), 5),
            (prepare(Fault::DeviceLost), 5),
            (HostError::Backend(BackendError::Device(call(700))), 5),
            (HostError::Backend(BackendError::Device(call(2))), 3),
        ] {
            assert_eq!(error.status(), status, "{error}");
        }
        let text = "device \"gpu0\": 512 bytes of its memory could not be taken, 100 are free: cuLaunchKernel failed with CUDA_ERROR (2)";
        assert_eq!(memory(call(2)).to_string(), text);
    }
}
