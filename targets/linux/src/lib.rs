//! What AegisRT needs of Linux, and nothing that a plan decides.
//!
//! ```text
//!  main thread (ordinary)          orchestration thread (SCHED_FIFO)         lane thread, one per lane (SCHED_FIFO)
//!  drain: ring ─▶ trace, table ◀── ring ── step(event, now) ── one-slot mailbox ──▶ input hook, engine, output hook
//!  signals, steal samples ──────▶ stop bell                 ◀── one-slot mailbox + completion bell ── stamps, evidence
//!                                 │ pulse
//!                                 ▼
//!                                watch thread (SCHED_FIFO, below it): systemd, /dev/watchdog, the application's hook
//! ```
//!
//! Metrics, where somebody asks for them: [`metrics`]. What Nsight is told, with a feature: [`nvtx`].
//!
//! Where the plan watches sources of pressure, one more ordinary thread reads them: [`sources`]; and where the machine tells of
//! clocks, power and heat, another one looks at these: [`conditions`].
//!
//! Fault domains whose models lie in processes of their own: [`worker`].
//!
//! After start-up neither the orchestration thread nor the hand-over to a lane uses the heap.

#![cfg(target_os = "linux")]

pub mod admissions;
pub mod args;
pub mod bell;
mod changes;
pub mod clock;
pub mod conditions;
pub mod device;
pub mod domains;
pub mod drain;
pub mod evidence;
pub mod guarantee;
#[cfg(test)]
#[path = "guarantee/tests.rs"]
mod guarantee_tests;
pub mod heap;
pub mod input;
pub mod lane;
pub mod logger;
pub mod machine;
pub mod mailbox;
pub mod metrics;
pub mod modes;
pub mod nvtx;
pub mod orchestrate;
pub mod pressure;
pub mod pulse;
pub mod realtime;
pub mod reclaim;
#[cfg(test)]
#[path = "reclaim/tests.rs"]
mod reclaim_tests;
pub mod service;
pub mod signals;
pub mod sources;
pub mod stall;
pub mod stats;
pub mod steal;
pub mod steps;
pub mod submissions;
pub mod summary;
mod sync;
pub mod table;
pub mod trace_file;
pub mod verdict;
pub mod watchdog;
pub mod worker;

#[cfg(test)]
#[path = "../tests/common/fixture.rs"]
mod fixture;

pub use lane::{Fault, JobContext, Lane, LaneWork};
pub use machine::{Machine, Void, VoidSince};
