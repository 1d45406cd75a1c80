//! The whole dispatcher with a generated plan, and nothing beneath it: no operating system, no allocator, no panic.
//!
//! * `bare-proof` links only if no panic of core is reachable (`docs/link-proof.md`).
//! * `bare-firmware` dispatches the plan over virtual time on a bare machine and prints the trace; `bare-host` prints the same bytes.
#![no_std]
#![forbid(unsafe_code)]

mod demonstration;

pub use demonstration::{Failed, demonstrate};

/// The reference vehicle's plan, rendered from its lock.
pub mod plan {
    include!(concat!(env!("OUT_DIR"), "/plan.rs"));
}
