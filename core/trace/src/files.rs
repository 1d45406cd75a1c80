//! The parts of a trace on disk.
//!
//! ```text
//!  FILE.part-PID ──first block──▶ FILE ──it is full──▶ FILE.1 ──▶ FILE.2 ──▶ … ──▶ FILE.7 ──▶ (removed)
//! ```

use crate::head::Header;
use crate::writer::Store;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// How many parts a trace of bounded size has, at most.
pub const PARTS: u64 = 8;
/// The smallest bound that a trace can have: 1 MiB, so that each part has room for three blocks.
pub const LEAST_LIMIT: u64 = 1 << 20;

/// Files of a trace, in its folder.
///
/// An older trace of the same name stays until the first block is there; before that, and where nothing is ever written, what
/// lies beside is removed again.
#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    beside: PathBuf,
    /// The most bytes of a part.
    most: u64,
    file: File,
    length: u64,
    part: u64,
    begun: bool,
}

impl Files {
    /// Opens a file beside the destination. With a `limit` all parts together have at most so many bytes, or [`LEAST_LIMIT`].
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(path: &Path, limit: Option<u64>) -> io::Result<Self> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".part-{}", std::process::id()));
        let beside = PathBuf::from(beside);
        let most = limit.map_or(u64::MAX, |limit| limit.max(LEAST_LIMIT) / PARTS);
        let file = File::create(&beside)?;
        Ok(Self { path: path.to_owned(), beside, most, file, length: 0, part: 0, begun: false })
    }

    /// Writes a part's head and first block beside, and gives it the name of the newest part.
    fn begin(&mut self, header: &Header, block: &[u8]) -> io::Result<()> {
        let mut bytes = header.head(self.part)?;
        bytes.extend_from_slice(block);
        self.file.write_all(&bytes)?;
        if self.part == 0 {
            for older in numbered(&self.path)? {
                fs::remove_file(older)?;
            }
        } else {
            for number in (1..PARTS - 1).rev() {
                moved(&part(&self.path, number), &part(&self.path, number + 1))?;
            }
            moved(&self.path, &part(&self.path, 1))?;
        }
        fs::rename(&self.beside, &self.path)?;
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
        if more > self.most {
            // Before anything new: the bound holds at every moment.
            absent(fs::remove_file(part(&self.path, PARTS - 1)))?;
            self.part = self.part.saturating_add(1);
            self.file = File::create(&self.beside)?;
            return self.begin(header, block);
        }
        self.file.write_all(block)?;
        self.length = more;
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // A run that never began leaves no half a file, and a part that could not be begun neither.
        let _ = fs::remove_file(&self.beside);
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

/// The older parts that are there, whatever wrote them.
pub(crate) fn numbered(path: &Path) -> io::Result<Vec<PathBuf>> {
    let all = (1..PARTS).map(|number| part(path, number)).filter(|path| path.is_file());
    Ok(all.collect())
}
