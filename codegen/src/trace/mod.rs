//! Traces as files: opened, and shown in other forms.
//!
//! `aegis_trace` reads the binary form that a vehicle writes. What other tools read is made of it here, record by record, so that a
//! trace of any length needs the memory of one block.

mod lines;

use crate::{replay, simulate};
use aegis_core::desc::SystemDesc;
use aegis_trace::is_lines;
pub use aegis_trace::{EXTENSION, Files, Header, Note, OpenError, ReadError, Records, Releases, open};
pub use lines::{Lines, schema};
use std::path::Path;

/// The form of a trace on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// One JSON object a line.
    Lines,
    /// Blocks of records.
    Binary,
}

impl Form {
    /// The form that a name asks for: JSON lines where it ends in `.jsonl`.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        if is_lines(path) { Self::Lines } else { Self::Binary }
    }
}

/// The plan as the dispatcher had it when it wrote a trace: a simulation submits what a vehicle's timer releases.
#[must_use]
pub fn as_run(plan: &'static SystemDesc, header: &Header) -> &'static SystemDesc {
    match header.releases {
        Releases::Timer => plan,
        Releases::Submitted => simulate::submitted(plan),
    }
}

impl From<&Header> for replay::Header {
    fn from(header: &Header) -> Self {
        Self {
            system: header.system.clone(),
            config_hash: replay::hex(&header.config_hash),
            is_submitted: header.releases == Releases::Submitted,
        }
    }
}
