//! `system.lock`: the checked plan as a file beside the manifest.
//!
//! It is readable, deterministic and committed by vehicle teams, like a `Cargo.lock`. A header names the tool and the
//! SHA-256 of the plan below it and of each file the plan was made from, so an edited, stale or foreign lock is
//! recognised. There is no key: the lock protects from mistakes, not from a forger.

use crate::plan::Plan;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The version of the lock's format.
pub const LOCK_VERSION: u32 = 12;

/// The tool's name and version, as headers state it.
pub const TOOL: &str = concat!("aegis ", env!("CARGO_PKG_VERSION"));

/// A lock: header and plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    /// What the plan was made from.
    pub lock: Header,
    /// The plan.
    pub plan: Plan,
}

/// What is known of the plan's origin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Header {
    /// [`LOCK_VERSION`].
    pub version: u32,
    /// The table layout that the plan is rendered to.
    pub table_layout: u32,
    /// [`TOOL`].
    pub tool: String,
    /// SHA-256 over the plan's text.
    pub plan_sha256: String,
    /// How many times as long as in the manifest the plan's periods, phases, deadlines and limits of chains are; absent where
    /// they are the manifest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowed: Option<u64>,
    /// The manifest first, then the profiles.
    #[serde(rename = "input")]
    pub inputs: Vec<Input>,
}

/// A file that the plan was made from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Input {
    /// Its path, relative to the manifest's folder.
    pub path: String,
    /// Its checksum.
    pub sha256: String,
}

/// Why a lock is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is none.
    #[error("there is no lock at {}; `aegis check` writes it once the manifest passes", .0.display())]
    Missing(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a lock.
    #[error("{} is not a lock: {source}", .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// Another version's.
    #[error("{}: lock version {found} (tables {found_tables}) was written by {tool}; {TOOL} reads version {LOCK_VERSION} (tables {tables}): run `aegis check`", .path.display())]
    Version {
        /// Which.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The table layout it has.
        found_tables: u32,
        /// The table layout that is read.
        tables: u32,
        /// Who wrote it.
        tool: String,
    },
    /// The plan is not the one the header speaks of.
    #[error("edited lock {}: its plan has SHA-256 {actual}, its header says {stated}: run `aegis check`", .path.display())]
    Edited {
        /// Which.
        path: PathBuf,
        /// In the header.
        stated: String,
        /// Of the plan.
        actual: String,
    },
    /// It is another vehicle's.
    #[error("foreign lock {}: it plans the vehicle `{found}`, the manifest describes `{expected}`: run `aegis check`", .path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Whose plan.
        found: String,
        /// Whose manifest.
        expected: String,
    },
    /// An input changed since.
    #[error("stale lock {}: `{input}` has SHA-256 {actual}, the lock was made from {stated}: run `aegis check`", .path.display())]
    Stale {
        /// Which.
        path: PathBuf,
        /// The changed file.
        input: String,
        /// In the lock.
        stated: String,
        /// Of the file.
        actual: String,
    },
}

/// SHA-256 in lower-case hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Lock {
    /// A lock for a plan that was made from `inputs`, the manifest first.
    ///
    /// # Errors
    /// The plan cannot be written as TOML: a number above 2⁶³ − 1.
    pub fn new(plan: Plan, inputs: Vec<Input>) -> Result<Self, toml::ser::Error> {
        let plan_sha256 = sha256(toml::to_string(&plan)?.as_bytes());
        let table_layout = aegis_core::layout::TABLE_LAYOUT;
        let header =
            Header { version: LOCK_VERSION, table_layout, tool: TOOL.to_owned(), plan_sha256, slowed: None, inputs };
        Ok(Self { lock: header, plan })
    }

    /// The same lock, of a plan whose periods are `pace` times as long as the manifest's.
    #[must_use]
    pub fn slowed(mut self, pace: u64) -> Self {
        self.lock.slowed = (pace != 1).then_some(pace);
        self
    }

    /// The file's text.
    ///
    /// # Errors
    /// As for [`Lock::new`].
    pub fn text(&self) -> Result<String, toml::ser::Error> {
        let body = toml::to_string(self)?;
        Ok(format!(
            "# Written by `aegis check` from the files listed below; it is never edited by hand.\n\
             # Commit it: builds render their tables from it, and a changed plan shows up in review.\n\n{body}"
        ))
    }

    /// SHA-256 over the checksums of all inputs, and over the pace where it is not the manifest's: the plan's `manifest_hash`.
    #[must_use]
    pub fn manifest_hash(&self) -> String {
        let pace = self.lock.slowed.map(|times| format!("slowed {times}"));
        let all = self.lock.inputs.iter().map(|input| input.sha256.as_str()).chain(pace.as_deref());
        sha256(all.collect::<Vec<_>>().join("\n").as_bytes())
    }

    /// Reads a lock and checks that its plan is the one its header speaks of.
    ///
    /// # Errors
    /// [`Refused`], except `Stale` and `Foreign`, which need the manifest.
    pub fn read(path: &Path) -> Result<Self, Refused> {
        let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Refused::Missing(path.to_owned()),
            _ => Refused::Unreadable { path: path.to_owned(), source },
        })?;
        Self::parse(path, &text)
    }

    /// As [`Lock::read`], from a text.
    ///
    /// # Errors
    /// As for [`Lock::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, Refused> {
        let malformed = |source| Refused::Malformed { path: path.to_owned(), source: Box::new(source) };
        let version: VersionOnly = toml::from_str(text).map_err(malformed)?;
        let tables = aegis_core::layout::TABLE_LAYOUT;
        if version.lock.version != LOCK_VERSION || version.lock.table_layout != tables {
            return Err(Refused::Version {
                path: path.to_owned(),
                found: version.lock.version,
                found_tables: version.lock.table_layout,
                tables,
                tool: version.lock.tool,
            });
        }
        let lock: Self = toml::from_str(text).map_err(malformed)?;
        // A plan that was parsed can be written again; if not, its text is not what was hashed.
        let actual = sha256(toml::to_string(&lock.plan).unwrap_or_default().as_bytes());
        if actual != lock.lock.plan_sha256 {
            return Err(Refused::Edited { path: path.to_owned(), stated: lock.lock.plan_sha256, actual });
        }
        Ok(lock)
    }

    /// Compares the lock with the vehicle's name, the manifest, and the present contents of its other inputs, which lie where the
    /// manifest's folder says.
    ///
    /// # Errors
    /// [`Refused::Foreign`], [`Refused::Stale`] or [`Refused::Unreadable`].
    pub fn matches(&self, path: &Path, name: &str, manifest: &Path) -> Result<(), Refused> {
        if self.plan.name != name {
            return Err(Refused::Foreign {
                path: path.to_owned(),
                found: self.plan.name.clone(),
                expected: name.to_owned(),
            });
        }
        let folder = manifest.parent().unwrap_or(Path::new("."));
        for (number, input) in self.lock.inputs.iter().enumerate() {
            // The first is the manifest, by whatever name it goes now: a lock beside another one's is not that one's.
            let file = if number == 0 { manifest.to_owned() } else { folder.join(&input.path) };
            let bytes = std::fs::read(&file).map_err(|source| Refused::Unreadable { path: file, source })?;
            let actual = sha256(&bytes);
            if actual != input.sha256 {
                let given = if number == 0 {
                    manifest.file_name().map(|name| name.to_string_lossy().into_owned())
                } else {
                    None
                };
                let (input, stated) = (given.unwrap_or_else(|| input.path.clone()), input.sha256.clone());
                return Err(Refused::Stale { path: path.to_owned(), input, stated, actual });
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct VersionOnly {
    lock: VersionHeader,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct VersionHeader {
    version: u32,
    table_layout: u32,
    tool: String,
}
