//! Compares what records say happened with what the plan says may happen, explains single jobs, and tries other plans.
//!
//! ```text
//!  records ─▶ follow ─▶ story of each job ─┬▶ check:   measured against proven
//!                 │                        └▶ why:     one job, in words, with a sum that is its response
//!                 └▶ what-if: arrivals, executions and failures, told the dispatcher of another plan
//! ```
//!
//! The records are typed, in the order of their numbers; whoever reads a file hands them over one by one.

pub mod assumed;
pub mod check;
pub mod follow;
mod model;
pub mod story;
pub mod what_if;
pub mod why;
