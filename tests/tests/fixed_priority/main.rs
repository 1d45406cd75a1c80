//! Fixed priority with and without preemption: published sets, slow searches that share nothing with the analysis, and
//! inputs at the edge of what numbers hold.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

mod bounds;
mod edges;
mod optimal;
mod oracle;
mod suspension;
mod theory;
mod vectors;
