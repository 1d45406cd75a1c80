//! Findings and results for people and for machines.

#[cfg(feature = "cli")]
pub mod baseline;
#[cfg(feature = "cli")]
pub mod explain;
#[cfg(feature = "cli")]
pub mod failures;
#[cfg(feature = "cli")]
pub mod github;
#[cfg(feature = "cli")]
mod ink;
#[cfg(feature = "cli")]
pub mod json;
#[cfg(feature = "cli")]
pub mod junit;
#[cfg(feature = "cli")]
pub mod markdown;
#[cfg(feature = "cli")]
pub mod memory;
#[cfg(feature = "cli")]
pub mod model;
pub mod poet;
#[cfg(feature = "cli")]
pub mod run;
#[cfg(feature = "cli")]
pub mod sarif;
#[cfg(feature = "cli")]
pub mod sensitivity;
#[cfg(feature = "cli")]
pub mod table;
#[cfg(feature = "cli")]
pub mod tail;
pub mod terminal;
#[cfg(feature = "cli")]
pub mod verdict;
#[cfg(feature = "cli")]
pub mod wcet;
