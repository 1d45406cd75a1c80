//! ONNX files: what is wrong with them, how long their values live, and that segments compute what the whole does.
//!
//! The tests of real models fetch them; where there is no network each says so and passes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod build;
mod cut;
mod files;
mod memory;
mod runtime;
