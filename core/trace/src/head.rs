//! The head of each part of a trace.

use crate::block::{CHECKSUM, number};
use aegis_core::desc::SystemDesc;
use aegis_core::trace_line;
use serde::{Deserialize, Serialize};

/// How the name of a trace in the binary form ends.
pub const EXTENSION: &str = "aegistrace";

/// Whether a trace of this name is in JSON lines: they end in `.jsonl`.
#[must_use]
pub fn is_lines(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}

/// What a part begins with.
pub(crate) const MAGIC: [u8; 8] = *b"AEGTRACE";
/// The version of all that is not the description.
const VERSION: u16 = 1;
/// Magic, version, and the description's length.
pub(crate) const FIXED: usize = 12;

/// Where the releases of a run come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Releases {
    /// The dispatcher's timer, as in a vehicle.
    Timer,
    /// All are submitted, as in a simulation.
    Submitted,
}

/// What a trace says of its run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// What the records mean: [`trace_line::SCHEMA`].
    pub schema: String,
    /// The vehicle's name.
    pub system: String,
    /// SHA-256 of the plan.
    pub config_hash: [u8; 32],
    /// Where releases come from.
    pub releases: Releases,
}

/// A head as it is written.
#[derive(Serialize, Deserialize)]
struct Description {
    header: Header,
    part: u64,
}

/// A head that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadError {
    /// Other bytes at the start.
    #[error("it does not begin as a binary trace does: JSON lines need a name that ends in `.jsonl`")]
    Magic,
    /// Another version.
    #[error("its version is {0}, this tool reads version {VERSION}")]
    Version(u16),
    /// Other records.
    #[error("its schema is `{0}`, this tool reads `{SCHEMA}`", SCHEMA = trace_line::SCHEMA)]
    Schema(String),
    /// A wrong checksum, or a description that is none.
    #[error("its head is damaged: without it nobody knows of which plan it is")]
    Damaged,
    /// The file ends within its head.
    #[error("it has {0} bytes and ends within its head")]
    Short(u64),
}

impl Header {
    /// The header of a run of a plan.
    #[must_use]
    pub fn of(system: &SystemDesc) -> Self {
        let releases = if trace_line::releases(system) == "timer" { Releases::Timer } else { Releases::Submitted };
        Self {
            schema: trace_line::SCHEMA.to_owned(),
            system: system.name.to_owned(),
            config_hash: system.config_hash,
            releases,
        }
    }

    /// The head of a part, counted from 0.
    pub(crate) fn head(&self, part: u64) -> std::io::Result<Vec<u8>> {
        let description = Description { header: self.clone(), part };
        let description = postcard::to_stdvec(&description).map_err(std::io::Error::other)?;
        let length = u16::try_from(description.len()).map_err(std::io::Error::other)?;
        let mut head = Vec::with_capacity(FIXED + description.len() + CHECKSUM);
        head.extend_from_slice(&MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&length.to_le_bytes());
        head.extend_from_slice(&description);
        head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
        Ok(head)
    }
}

/// How many bytes a head has, by its first [`FIXED`] ones.
pub(crate) fn length(fixed: &[u8]) -> Result<usize, HeadError> {
    let Some((magic, rest)) = fixed.split_first_chunk::<8>() else { return Err(HeadError::Magic) };
    if *magic != MAGIC {
        return Err(HeadError::Magic);
    }
    let version = number::<2>(rest, 0).map(u16::from_le_bytes).ok_or(HeadError::Damaged)?;
    if version != VERSION {
        return Err(HeadError::Version(version));
    }
    let length = number::<2>(rest, 2).map(u16::from_le_bytes).ok_or(HeadError::Damaged)?;
    Ok(usize::from(length).saturating_add(FIXED + CHECKSUM))
}

/// Reads a whole head: the header, and which part it begins.
pub(crate) fn read(head: &[u8]) -> Result<(Header, u64), HeadError> {
    let (covered, checksum) = head.split_last_chunk::<CHECKSUM>().ok_or(HeadError::Damaged)?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*checksum) {
        return Err(HeadError::Damaged);
    }
    let description = covered.get(FIXED..).ok_or(HeadError::Damaged)?;
    let Description { header, part } = postcard::from_bytes(description).map_err(|_| HeadError::Damaged)?;
    if header.schema != trace_line::SCHEMA {
        return Err(HeadError::Schema(header.schema));
    }
    Ok((header, part))
}
