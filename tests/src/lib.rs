//! The tests that cross rooms lie in this package's `tests/` folder; what they share lies here.
//!
//! * [`anything`]: a dispatcher that is told anything at any time.
//! * [`copies`]: what a compacting level copies, carried out.
//! * [`fetched`]: the reference vehicle's files.
//! * [`golden`]: expected outputs as files, rewritten by `AEGIS_BLESS=1`.
//! * [`planned`]: systems made of numbers, and the descriptors of their plans.
//! * [`simulate`]: the real dispatcher in virtual time.
//! * [`replay`]: traces of runs that a test made, told to the dispatcher again.
//! * [`perfetto`]: Perfetto's own trace processor.
//! * [`live`]: what of a plan's memory can be live at once, without planner and checker.
//! * [`metrics`]: metrics as text, and `promtool`.
//! * [`packing`]: a validator of memory plans, and a search through all of them.
//! * [`pip`], [`npm`] and [`tensorrt`]: packages, installed for tests.
//! * [`tvm`]: TVM, installed for tests that compile models.
//! * [`oracle`]: slow searches that share nothing with the analysis.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

pub mod anything;
pub mod changed;
pub mod copies;
pub mod fetched;
pub mod golden;
pub mod live;
pub mod metrics;
pub mod npm;
pub mod oracle;
pub mod packing;
pub mod perfetto;
pub mod pip;
pub mod pipelines;
pub mod planned;
pub mod replay;
pub mod simulate;
pub mod tensorrt;
pub mod tvm;
pub mod two_lanes;
