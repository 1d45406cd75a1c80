//! The part of AegisRT that ships in the vehicle.
//!
//! It holds five things and nothing else: the *descriptors* of a plan ([`desc`]), the checker that re-proves a
//! plan ([`verify`]), the pure dispatcher ([`dispatch`]), when the process of a fault domain may be started again ([`restart`]), and
//! the trace records ([`trace`], [`trace_line`]). It has no heap, no
//! `unsafe`, and no path that panics: every arithmetic step is checked, and every table access is an
//! `Option`. The same code runs in the vehicle, in the simulator and inside rustc while a plan compiles.
#![no_std]
#![forbid(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice
)]
#![deny(missing_docs, clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::as_conversions)]

pub mod desc;
pub mod dispatch;
pub mod error;
pub mod layout;
pub mod restart;
pub mod time;
pub mod trace;
pub mod trace_line;
pub mod units;
pub mod verify;

pub use error::ErrorClass;
pub use time::{Duration, Instant};
pub use units::{ByteOffset, Bytes, DomainId, LaneId, LevelId, ModeId, ModelId, PoolId, Priority, TaskId};
