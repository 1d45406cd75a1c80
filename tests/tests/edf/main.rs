//! EDF: bounds, verdicts and certificates against slow searches that share nothing with the analysis.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

mod bounds;
mod certificate;
mod dispatched;
mod edges;
mod oracle;
mod pages;
mod replay;
mod vectors;
