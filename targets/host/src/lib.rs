//! Runs an AegisRT plan on a Linux machine: ONNX Runtime and what TVM compiled on its CPU and on CUDA devices, and kernels of
//! one's own there.
//!
//! A vehicle's whole program is its hooks and three lines:
//!
//! ```ignore
//! aegis_host::plan!();
//!
//! fn main() -> std::process::ExitCode {
//!     plan::vehicle().hooks(plan::task::FACE, Face::default()).run()
//! }
//! ```
//!
//! `run` parses the command line, proves the tables once more, finds every file by its checksum, takes all memory,
//! starts the lanes, and only then releases the first job.

#![cfg(target_os = "linux")]

pub mod arena;
pub mod backend;
mod boot;
pub mod cache;
mod capture;
mod clocks;
mod describe;
mod domain;
mod error;
mod failures;
pub mod first_fit;
pub mod gpu;
pub mod hooks;
pub mod kernels;
mod lane_work;
mod memory_use;
pub mod onnx;
pub mod probe;
mod reclaim;
mod runtimes;
mod serve;
pub mod tvm;
mod vehicle;
mod watch;

pub use aegis_core;
pub use aegis_linux::admissions::{AdmissionError, Admissions};
pub use aegis_linux::guarantee::Guarantee;
pub use aegis_linux::input;
pub use aegis_linux::lane::JobContext;
pub use aegis_linux::stats::TaskStats;
pub use aegis_linux::submissions::{Submissions, SubmitError};
pub use cache::Assets;
pub use error::HostError;
pub use hooks::{Inputs, Outputs, TaskHooks};
pub use vehicle::{Runtime, Vehicle};

/// Includes the plan that `build.rs` rendered, as `mod plan`, with the runtime value that it needs.
///
/// `plan::vehicle()` is the vehicle; `plan::task::…` and `plan::asset::…` name what hooks refer to.
#[macro_export]
macro_rules! plan {
    () => {
        #[allow(dead_code, missing_docs, unreachable_pub, reason = "a vehicle uses the names that its hooks need")]
        mod plan {
            include!(concat!(env!("OUT_DIR"), "/plan.rs"));

            static RUNTIME: $crate::Runtime<TASKS, LANES, QUEUE> = $crate::Runtime::new();

            pub fn vehicle() -> $crate::Vehicle<TASKS, LANES, QUEUE> {
                $crate::Vehicle::new(&SYSTEM, &RUNTIME)
            }
        }
    };
}
