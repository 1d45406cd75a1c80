//! The manifest: TOML text becomes a validated [`Manifest`], or findings that name everything wrong with it.
//!
//! ```text
//! text ─ toml ─▶ tree ─ raw (one table at a time) ─▶ Raw ─ check (across tables) ─ build ─▶ Manifest
//!          └ syntax: stops here when the grammar is broken
//! ```
//!
//! The tree and the raw tables are private. After [`parse`] nothing has to be checked again: references are
//! positions, defaults are filled in, times are nanoseconds.

pub mod asked;
mod build;
mod buildable;
mod check;
pub mod model;
mod pace;
mod raw;
mod reader;
mod removal;
mod suggest;
mod syntax;
pub mod units;

pub use buildable::unbuildable;
pub use model::{
    Asset, Chain, Client, Communication, Device, Domain, Exceedance, Execution, Lane, LaneKind, Manifest, Mode, Model,
    Overheads, Partition, Pressure, Restart, Runtime, Source, Span, Task, Watch, WcetFrom, is_path,
};

use toml::de::DeTable;

use crate::finding::{Finding, any_error, sort};
use reader::{Section, Sink};

/// Reads the manifest `text`, which findings call `file`.
///
/// All findings are returned at once, in the order of their places. The manifest is `None` exactly if one of
/// them is an error.
///
/// ```
/// let text = "
///     system = { name = \"tiny\", policy = \"edf\" }
///     lane.main = { kind = \"cpu\", core = 1 }
///     task.blink = { lane = \"main\", period = \"1ms\", wcet = \"20us\" }
/// ";
/// let (manifest, findings) = aegis_codegen::manifest::parse("system.toml", text);
/// assert!(findings.is_empty());
/// assert_eq!(manifest.unwrap().tasks[0].period.get_ref().as_ns(), 1_000_000);
/// ```
#[must_use]
pub fn parse(file: &str, text: &str) -> (Option<Manifest>, Vec<Finding>) {
    let (tree, errors) = DeTable::parse_recoverable(text);
    let sink = Sink::new(file, text);
    let mut manifest = None;
    if syntax::report(text, tree.get_ref(), &errors, &sink) {
        let raw = raw::read(Section::root(tree.get_ref(), &sink));
        let links = check::check(&raw, &sink);
        manifest = build::build(raw, &links);
    }
    let mut findings = sink.into_findings();
    sort(&mut findings);
    let refused = any_error(&findings);
    debug_assert!(refused || manifest.is_some(), "a manifest without an error is whole");
    (manifest.filter(|_| !refused), findings)
}
