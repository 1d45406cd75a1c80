//! A CUDA device as AegisRT uses it: cudarc's driver interface with what it lacks, owned and checked.
//!
//! ```text
//!  Device ─▶ Part (some of its SMs, one stream) ─▶ a thread enters it: Partition ─▶ Module ─▶ Kernel ─▶ launch
//!     │                                               ├─▶ Graph: launches that were captured once
//!     │                                               └─▶ Completion: polled, or waited for, by any thread
//!     ├────▶ Region: memory that is taken once, and that can be exported
//!     ├────▶ Pinned, Registered: memory of the CPU that the device copies from and to
//!     └────▶ Monitor: clocks, power and heat, as NVIDIA's management library tells them
//! ```
//!
//! Nothing of CUDA is needed to build it: the driver's library is loaded when a device is opened, and where there is none that is an
//! error. No raw handle leaves. No kernel of this crate runs on the primary context, which uses all SMs.

mod device;
mod error;
mod graph;
mod module;
mod monitor;
mod neighbour;
mod partition;
mod pinned;
mod queues;
mod region;

pub use device::{Device, DeviceFacts, SmUnits, Version};
pub use error::CudaError;
pub use graph::Graph;
pub use module::{Argument, Kernel, Module, Shape};
pub use monitor::{Monitor, MonitorReading};
pub use neighbour::Neighbour;
pub use partition::{Completion, Part, Partition, Waiting};
pub use pinned::{Pinned, Registered};
pub use queues::ask_for_all_queues;
pub use region::Region;
