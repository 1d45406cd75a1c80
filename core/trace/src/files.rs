//! The parts of a trace on disk.
//!
//! ```text
//!  FILE.part-PID ──first block──▶ FILE ──it is full──▶ FILE.1 ──▶ FILE.2 ──▶ … ──▶ FILE.7 ──▶ (removed)
//! ```

use crate::head::{Header, MAGIC};
use crate::output::{Output, Place};
use crate::writer::Store;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// How many parts a trace of bounded size has, at most.
pub const PARTS: u64 = 8;
/// The smallest bound that a trace can have: 1 MiB, so that each part has room for three blocks.
pub const LEAST_LIMIT: u64 = 1 << 20;

/// Files of a trace, in its folder; or a stream, which takes all in one part.
///
/// An older trace of the same name stays until the first block is there; before that, and where nothing is ever written, what
/// lies beside is removed again.
#[derive(Debug)]
pub struct Files {
    /// Where the newest part lies; `None` where it is a stream.
    path: Option<PathBuf>,
    /// The most bytes of a part.
    most: u64,
    output: Output,
    length: u64,
    part: u64,
    begun: bool,
}

impl Files {
    /// Opens a file beside the destination. With a `limit` all parts together have at most so many bytes, or [`LEAST_LIMIT`].
    ///
    /// # Errors
    /// The folder cannot be written; with a limit also where the destination is a stream, or where a part's name is taken by what
    /// is no part of a trace.
    pub fn create(path: &Path, limit: Option<u64>) -> io::Result<Self> {
        let path = match Place::of(path)? {
            Place::File(path) => path,
            Place::Stream(path) => {
                if limit.is_some() {
                    let why = "a trace of bounded size needs files, this is a stream";
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
                }
                return Ok(Self::with(None, Output::open(&path)?, u64::MAX));
            }
        };
        let all = (1..PARTS).map(|number| part(&path, number));
        if let Some(taken) =
            all.filter(|_| limit.is_some()).find(|part| part.symlink_metadata().is_ok() && !is_part(part))
        {
            let why = format!("`{}` is in the way of its older parts: it is no trace", taken.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        let output = Output::open(&path)?;
        Ok(Self::with(Some(path), output, limit.map_or(u64::MAX, |limit| limit.max(LEAST_LIMIT) / PARTS)))
    }

    const fn with(path: Option<PathBuf>, output: Output, most: u64) -> Self {
        Self { path, most, output, length: 0, part: 0, begun: false }
    }

    /// Writes a part's head and first block beside, and gives it the name of the newest part.
    fn begin(&mut self, header: &Header, block: &[u8]) -> io::Result<()> {
        let mut bytes = header.head(self.part)?;
        bytes.extend_from_slice(block);
        self.output.write_all(&bytes)?;
        match &self.path {
            Some(path) if self.part == 0 => remove_older(path)?,
            Some(path) => {
                for number in (1..PARTS - 1).rev() {
                    moved(&part(path, number), &part(path, number + 1))?;
                }
                moved(path, &part(path, 1))?;
            }
            None => {}
        }
        self.output.name()?;
        self.begun = true;
        self.length = length(&bytes);
        Ok(())
    }
}

impl Store for Files {
    fn append(&mut self, header: &Header, block: &[u8]) -> io::Result<()> {
        let more = self.length.saturating_add(length(block));
        if !self.begun {
            return self.begin(header, block);
        }
        if let Some(path) = self.path.as_ref().filter(|_| more > self.most) {
            // Before anything new: the bound holds at every moment.
            absent(fs::remove_file(part(path, PARTS - 1)))?;
            self.part = self.part.saturating_add(1);
            self.output = Output::open(path)?;
            return self.begin(header, block);
        }
        self.output.write_all(block)?;
        self.length = more;
        Ok(())
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn moved(from: &Path, to: &Path) -> io::Result<()> {
    absent(fs::rename(from, to))
}

/// The name of an older part.
fn part(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Whether a file begins as each part of a trace does; what does not is somebody else's.
fn is_part(path: &Path) -> bool {
    let mut magic = [0; MAGIC.len()];
    let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
    is_file && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == MAGIC
}

/// The older parts that are there.
pub(crate) fn numbered(path: &Path) -> Vec<PathBuf> {
    (1..PARTS).map(|number| part(path, number)).filter(|path| is_part(path)).collect()
}

fn remove_older(path: &Path) -> io::Result<()> {
    numbered(path).iter().try_for_each(fs::remove_file)
}

/// Removes what an earlier run left at a place: the file and, of a trace, its older parts. A stream stays.
///
/// # Errors
/// [`Place::of`]; the system refuses.
pub fn remove(path: &Path) -> io::Result<()> {
    match Place::of(path)? {
        Place::Stream(_) => Ok(()),
        Place::File(path) => {
            remove_older(&path)?;
            absent(fs::remove_file(&path))
        }
    }
}
