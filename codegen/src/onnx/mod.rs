//! Reads ONNX files, finds how long their values live, and cuts them into segments.
//!
//! ```text
//! file ─▶ read ─▶ Model ─┬─▶ shapes ─▶ lifespans ─▶ summary   (`aegis model`)
//!  runtime's profile ────┴─▶ shapes, times ─▶ cut ─▶ files    (`aegis model cut`)
//! ```
//!
//! Nothing is executed and no size is guessed: a value's size is in the file, follows from the shapes that the caller
//! gives the inputs, or was measured by the runtime. What is missing is reported by name.

pub mod cut;
pub mod element;
pub mod ends;
mod findings;
pub mod graph;
pub mod lifespans;
pub mod measured;
pub mod naming;
pub mod proto;
mod read;
pub mod shapes;
pub mod sharing;
pub mod summary;
mod tensors;

use crate::finding::Finding;
pub use read::{Model, decode, read};

/// A result, or every finding that stands against it.
pub type Checked<T> = Result<T, Vec<Finding>>;
