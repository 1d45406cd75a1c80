//! The memory solver: offsets for buffers, so that conflicting ones never share a byte and the height is small.
//!
//! [`minimise`] is all there is to call: problem in, plan out; [`pools::pooled`] does it for several memories. It never
//! fails; what it cannot prove it says. Theory, sources and measurements: `docs/theory/memory-planning.md`.
//!
//! ```text
//!  problem ─▶ conflicts ─▶ lower bound (bounds, clique) ─┐
//!               └▶ components, each on its own ──────────┼▶ probe the bound ─▶ proven optimal
//!                    └▶ first plans (greedy) ────────────┘        │ not decided
//!                                                                 └▶ halve the gap, until the nodes are used up
//! ```

mod bounds;
mod clique;
mod conflicts;
mod failed;
mod greedy;
mod minimise;
mod orders;
pub mod pools;
mod portfolio;
pub mod problem;
mod search;

pub use bounds::Bound;
pub use minimise::{Limits, Plan, Proof, Watch, minimise};
pub use problem::{Buffer, Invalid, Problem};
