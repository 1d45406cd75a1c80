//! Kernels of the application's own: a file of PTX or a cubin, and a list of launches, which are captured as one graph.
//!
//! ```text
//!  tables, or a probe's request ─▶ Program: ports, launches, requests of one run
//!                                     └─▶ KernelsSegment: the file is loaded, each kernel is there and takes what it is given
//!                                            └─▶ KernelsEngine: each argument has its address or its bits
//! ```
//!
//! Nothing of it is found by experiment: which memory a run takes follows from the list. What a kernel does with an address is its
//! author's.

mod engine;
mod program;

pub use engine::{KernelsEngine, KernelsSegment};
pub use program::{Argument, Launch, Program};
