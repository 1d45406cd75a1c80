//! What can go wrong with a device.
// The driver is asked for the names of its errors.
#![allow(unsafe_code)]

use crate::device::Version;
use aegis_core::ErrorClass;
use cudarc::driver::DriverError;
use cudarc::driver::sys::{CUresult, cudaError_enum as Code};

/// Why something of a device cannot be had, or failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CudaError {
    /// There is no driver.
    #[error(
        "the NVIDIA driver's library libcuda.so.1 cannot be loaded: this machine has no CUDA device, or no driver for it"
    )]
    NoDriver,
    /// The driver is older than what is asked of it.
    #[error("{what} needs CUDA {needed}, and the driver has {found}")]
    DriverTooOld {
        /// What is asked for.
        what: &'static str,
        /// The driver's version.
        found: Version,
        /// The least version that has it.
        needed: Version,
    },
    /// Nobody tells of the device's clocks, power and heat.
    #[error("the NVIDIA management library libnvidia-ml.so.1 does not tell of the device: {reason}")]
    NoMonitor {
        /// What it says, or why it cannot be loaded.
        reason: String,
    },
    /// The machine has no such device.
    #[error("there is no CUDA device {ordinal}: the machine has {count}")]
    NoSuchDevice {
        /// The device's number.
        ordinal: u16,
        /// How many there are.
        count: u32,
    },
    /// A partition of this size cannot be made.
    #[error("{wanted} SMs cannot be had: {left} are left, in units of {unit}")]
    Sms {
        /// What was asked for.
        wanted: u32,
        /// What no partition has.
        left: u32,
        /// Of which each partition has a whole number.
        unit: u32,
    },
    /// A graph was launched on another partition than the one it was captured on.
    #[error("the graph was captured on another partition")]
    OtherPartition,
    /// What was captured cannot be launched again and again.
    #[error("{what} was captured, which cannot be repeated")]
    NotRepeatable {
        /// What it is.
        what: &'static str,
    },
    /// A part is used by one thread at a time.
    #[error("another thread uses this part of the device")]
    Taken,
    /// The system refused a thread, or it panicked.
    #[error("a thread could not be started, or panicked")]
    NoThread,
    /// Bytes of a region that it does not have.
    #[error("bytes {at} to {end} lie outside the region of {length} bytes")]
    Outside {
        /// Where they begin.
        at: u64,
        /// Where they end.
        end: u64,
        /// The region's length.
        length: u64,
    },
    /// The driver refused a file of kernels.
    #[error("the driver refuses the file with {name} ({code}): {log}")]
    Module {
        /// Its answer.
        code: u32,
        /// The answer's name.
        name: String,
        /// What it says of the file.
        log: String,
    },
    /// The driver refused a call, or tells of an earlier one that failed.
    #[error("{call} failed with {name} ({code})")]
    Call {
        /// The driver's function.
        call: &'static str,
        /// Its answer.
        code: u32,
        /// The answer's name.
        name: String,
    },
}

/// After these answers the driver serves no call of this process any more: an error of the hardware, a kernel that went wrong, a driver or
/// server that is gone.
const FATAL: [Code; 17] = [
    Code::CUDA_ERROR_DEINITIALIZED,
    Code::CUDA_ERROR_ECC_UNCORRECTABLE,
    Code::CUDA_ERROR_NVLINK_UNCORRECTABLE,
    Code::CUDA_ERROR_CONTAINED,
    Code::CUDA_ERROR_ILLEGAL_ADDRESS,
    Code::CUDA_ERROR_LAUNCH_TIMEOUT,
    Code::CUDA_ERROR_ASSERT,
    Code::CUDA_ERROR_HARDWARE_STACK_ERROR,
    Code::CUDA_ERROR_ILLEGAL_INSTRUCTION,
    Code::CUDA_ERROR_MISALIGNED_ADDRESS,
    Code::CUDA_ERROR_INVALID_ADDRESS_SPACE,
    Code::CUDA_ERROR_INVALID_PC,
    Code::CUDA_ERROR_LAUNCH_FAILED,
    Code::CUDA_ERROR_TENSOR_MEMORY_LEAK,
    Code::CUDA_ERROR_MPS_CLIENT_TERMINATED,
    Code::CUDA_ERROR_EXTERNAL_DEVICE,
    Code::CUDA_ERROR_UNKNOWN,
];

impl CudaError {
    /// What the caller can do. After a fatal one no call of this process to any device succeeds.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Call { code, .. } | Self::Module { code, .. }
                if FATAL.iter().any(|fatal| number(*fatal) == *code) =>
            {
                ErrorClass::Fatal
            }
            Self::NoDriver
            | Self::DriverTooOld { .. }
            | Self::NoSuchDevice { .. }
            | Self::NoMonitor { .. }
            | Self::Sms { .. }
            | Self::OtherPartition
            | Self::NotRepeatable { .. }
            | Self::Taken
            | Self::NoThread
            | Self::Outside { .. }
            | Self::Module { .. }
            | Self::Call { .. } => ErrorClass::Permanent,
        }
    }

    /// Whether the driver gave this answer.
    pub(crate) fn is(&self, answer: Code) -> bool {
        matches!(self, Self::Call { code, .. } if *code == number(answer))
    }
}

/// A call that succeeded, but with nothing to go on with.
pub(crate) fn failed(call: &'static str, answer: Code) -> CudaError {
    let error = DriverError(answer);
    CudaError::Call { call, code: number(answer), name: name(error) }
}

/// A file of kernels that was refused, with what the driver wrote of it, which ends with a zero.
pub(crate) fn refused_module(error: CudaError, log: &[u8]) -> CudaError {
    let CudaError::Call { code, name, .. } = error else { return error };
    let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let log = match text.trim() {
        "" => "it says no more of it".to_owned(),
        text => text.to_owned(),
    };
    CudaError::Module { code, name, log }
}

/// The answer of one of the driver's functions.
pub(crate) fn answer(call: &'static str, result: CUresult) -> Result<(), CudaError> {
    checked(call, result.result())
}

/// The answer of one of cudarc's functions, which call the driver's.
pub(crate) fn checked<T>(call: &'static str, result: Result<T, DriverError>) -> Result<T, CudaError> {
    result.map_err(|error| failed(call, error.0))
}

fn name(error: DriverError) -> String {
    error.error_name().map_or_else(|_| "an unknown error".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn number(code: Code) -> u32 {
    // The enumeration has the driver's own numbers.
    #[allow(clippy::as_conversions)]
    let number = code as u32;
    number
}

#[cfg(test)]
mod tests {
    use super::CudaError;
    use crate::device::Version;
    use aegis_core::ErrorClass;

    #[test]
    fn what_ends_cuda_for_the_process_is_fatal_and_nothing_else() {
        // The driver's numbers, as its documentation has them.
        let fatal = [4, 214, 220, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911, 999];
        for code in 1..1_000 {
            let class = CudaError::Call { call: "cuLaunchKernel", code, name: "CUDA_ERROR".to_owned() }.class();
            let expected = if fatal.contains(&code) { ErrorClass::Fatal } else { ErrorClass::Permanent };
            assert_eq!(class, expected, "{code}");
        }
        assert_eq!(CudaError::NoDriver.class(), ErrorClass::Permanent);
    }

    #[test]
    fn a_refused_file_says_what_the_driver_wrote_of_it() {
        let call =
            |code| CudaError::Call { call: "cuModuleLoadDataEx", code, name: "CUDA_ERROR_INVALID_PTX".to_owned() };
        let told = super::refused_module(call(218), b"ptxas fatal: line 3\n\0\0rest");
        assert_eq!(
            told.to_string(),
            "the driver refuses the file with CUDA_ERROR_INVALID_PTX (218): ptxas fatal: line 3"
        );
        assert!(super::refused_module(call(209), b"\0").to_string().ends_with("(209): it says no more of it"));
        assert_eq!(super::refused_module(CudaError::Taken, b"x"), CudaError::Taken);
        assert_eq!(super::refused_module(call(700), b"").class(), ErrorClass::Fatal);
        assert_eq!(told.class(), ErrorClass::Permanent);
    }

    #[test]
    fn errors_name_what_is_missing_and_both_values() {
        let (found, needed) = (Version::of(12_020), Version::of(12_040));
        let old = CudaError::DriverTooOld { what: "a partition", found, needed };
        assert_eq!(old.to_string(), "a partition needs CUDA 12.4, and the driver has 12.2");
        let sms = CudaError::Sms { wanted: 12, left: 96, unit: 8 };
        assert_eq!(sms.to_string(), "12 SMs cannot be had: 96 are left, in units of 8");
    }
}
