//! A CUDA device as AegisRT uses it: cudarc's driver interface with what it lacks, owned and checked.
//!
//! ```text
//!  Device ─▶ Partition (some of its SMs, one stream) ─▶ Module ─▶ Kernel ─┐
//!     │          ├─▶ launch ◀─────────────────────────────────────────────┘
//!     │          ├─▶ Graph: launches that were captured once
//!     │          └─▶ Completion: polled, or waited for
//!     └────▶ Region: memory that is taken once, and that another process can map
//! ```
//!
//! Nothing of CUDA is needed to build it: the driver's library is loaded when a device is opened, and where there is none that is
//! an error. No raw handle leaves. After [`Partition`]s are made, nothing of this crate runs on the primary context, which uses
//! all SMs.

mod device;
mod error;
mod graph;
mod partition;
mod region;

pub use device::{Device, DeviceFacts, SmUnits, Version};
pub use error::CudaError;
pub use graph::Graph;
pub use partition::{Argument, Completion, Kernel, Module, Partition, Waiting};
pub use region::Region;
