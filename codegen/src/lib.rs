//! The AegisRT generator: from a vehicle's manifest to tables that carry their own proof.
//!
//! ```text
//! manifest ─▶ resolve (profiles) ─▶ analysis ─┐
//!                                  memory ────┴▶ certify ─▶ lock ─▶ emit
//!                     findings ◀── every room       │        └▶ tables (for verify and simulation)
//!                        └▶ report                  └▶ aegis_core::verify re-proves
//! ```
//!
//! Each room takes data and returns data; none prints, and none stops at its first finding. A vehicle's build script
//! uses [`build_rs`] only; the `aegis` command uses everything.

pub mod admit;
pub mod analysis;
#[cfg(feature = "cli")]
pub mod audit;
pub mod build_rs;
pub mod certify;
pub mod check;
pub mod device;
#[cfg(feature = "cli")]
pub mod diff;
pub mod emit;
pub mod engines;
#[cfg(feature = "cli")]
pub mod export;
#[cfg(feature = "cli")]
pub mod fetch;
pub mod finding;
#[cfg(feature = "cli")]
pub mod init;
pub mod launches;
pub mod lock;
pub mod manifest;
pub mod memory;
#[cfg(feature = "cli")]
pub mod onnx;
#[cfg(feature = "cli")]
pub mod pack;
pub mod plan;
#[cfg(feature = "cli")]
pub mod probe;
pub mod profile;
#[cfg(feature = "cli")]
pub mod replay;
pub mod report;
pub mod resolve;
#[cfg(feature = "cli")]
pub mod schema;
#[cfg(feature = "cli")]
pub mod simulate;
pub mod system;
pub mod tables;
#[cfg(feature = "cli")]
pub mod tail;
#[cfg(feature = "cli")]
pub mod trace;
