//! The cache: files under the SHA-256 of their content, shared by all vehicles of a user.
//!
//! ```text
//! <cache>/sha256/<64 hexadecimal digits>   whole files, read-only
//! <cache>/partial/fetch-*/                 what one process is downloading; removed when it is done
//! ```
//!
//! A file appears under its final name by a rename of a complete file, so several processes may fill one cache at once:
//! whoever comes last replaces a file by an equal one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, TempDir};

use crate::lock::hexadecimal;

/// The environment variable that names the cache's folder.
pub const VARIABLE: &str = "AEGIS_CACHE";

/// The mode of cached files: an edit would make their name a lie.
const READ_ONLY: u32 = 0o444;

/// The age from which another process's partial download counts as abandoned.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Why there is no place for a cache.
#[derive(Debug, thiserror::Error)]
pub enum NoFolder {
    /// Nothing says where.
    #[error("there is no place for the cache: none of AEGIS_CACHE, XDG_CACHE_HOME and HOME is set")]
    Unset,
    /// It is relative to a folder that is gone.
    #[error("the cache's folder {} cannot be made absolute: {source}", .path.display())]
    Relative {
        /// The folder as given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The cache's folder: `$AEGIS_CACHE`, or else `$XDG_CACHE_HOME/aegis`, or else `$HOME/.cache/aegis`; absolute.
///
/// # Errors
/// [`NoFolder`].
pub fn folder() -> Result<PathBuf, NoFolder> {
    folder_from(|variable| std::env::var_os(variable))
}

/// As [`folder`], with `variable` in the place of the process's environment. Empty variables count as unset, and so does
/// a relative `XDG_CACHE_HOME`, as its specification asks.
///
/// # Errors
/// [`NoFolder`].
pub fn folder_from(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, NoFolder> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = set(VARIABLE)
        .or_else(|| set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("aegis")))
        .or_else(|| set("HOME").map(|path| path.join(".cache/aegis")))
        .ok_or(NoFolder::Unset)?;
    std::path::absolute(&path).map_err(|source| NoFolder::Relative { path, source })
}

/// Where the file with the checksum `sha256` lies in `cache`, if it is there.
#[must_use]
pub fn entry(cache: &Path, sha256: &str) -> PathBuf {
    cache.join("sha256").join(sha256)
}

/// The folder of files that lie together by their names: a name and a checksum of each, in an order that the manifest gives.
#[must_use]
pub fn together(cache: &Path, files: &[(&str, &str)]) -> PathBuf {
    let lines: String = files.iter().map(|(name, sha256)| format!("{sha256} {name}\n")).collect();
    cache.join("together").join(hexadecimal(&Sha256::digest(lines.as_bytes())))
}

/// Makes that folder, of links to the entries, where it is not there. It appears as a whole.
pub(super) fn put_together(cache: &Path, files: &[(&str, &str)]) -> io::Result<PathBuf> {
    let folder = together(cache, files);
    if files.iter().all(|(name, sha256)| fs::read_link(folder.join(name)).is_ok_and(|link| link == relative(sha256))) {
        return Ok(folder);
    }
    let parent = cache.join("together");
    fs::create_dir_all(&parent)?;
    let made = tempfile::Builder::new().prefix("partial-").tempdir_in(&parent)?;
    for (name, sha256) in files {
        std::os::unix::fs::symlink(relative(sha256), made.path().join(name))?;
    }
    // What is there and not this was damaged.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    match fs::rename(made.path(), &folder) {
        Ok(()) => drop(made.keep()),
        // Another fetch was first.
        Err(_) if folder.is_dir() => {}
        Err(error) => return Err(error),
    }
    Ok(folder)
}

/// From a folder of files that lie together to an entry.
fn relative(sha256: &str) -> PathBuf {
    Path::new("../../sha256").join(sha256)
}

/// What is found at an entry's place.
#[derive(Debug)]
pub(super) enum Entry {
    /// Nothing.
    Absent,
    /// The right file.
    Sound {
        /// Its size.
        bytes: u64,
    },
    /// Something else.
    Damaged {
        /// What is wrong with it.
        reason: String,
    },
}

/// Looks at the entry for `sha256`; its content is read and compared.
pub(super) fn inspect(cache: &Path, sha256: &str) -> Entry {
    match hash(&entry(cache, sha256)) {
        Ok((actual, bytes)) if actual == sha256 => Entry::Sound { bytes },
        Ok((actual, _)) => Entry::Damaged { reason: format!("its content has SHA-256 {actual}") },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Entry::Absent,
        Err(error) => Entry::Damaged { reason: error.to_string() },
    }
}

/// A file's SHA-256 and size.
pub(super) fn hash(path: &Path) -> io::Result<(String, u64)> {
    let mut digest = Sink::new(io::sink());
    let bytes = io::copy(&mut File::open(path)?, &mut digest)?;
    Ok((digest.sha256(), bytes))
}

/// A writer that hashes what passes.
struct Sink<W> {
    digest: Sha256,
    inner: W,
}

impl<W: Write> Sink<W> {
    fn new(inner: W) -> Self {
        Self { digest: Sha256::new(), inner }
    }

    fn sha256(self) -> String {
        hexadecimal(&self.digest.finalize())
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.digest.update(buffer.get(..written).unwrap_or(buffer));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A cache that is being filled, with a folder of its own for what is not complete yet. The folder goes with it.
#[derive(Debug)]
pub(super) struct Store {
    cache: PathBuf,
    partial: TempDir,
}

impl Store {
    /// Opens the cache for writing; its folders are made where they are missing.
    pub(super) fn open(cache: &Path) -> io::Result<Self> {
        let partial = cache.join("partial");
        fs::create_dir_all(cache.join("sha256"))?;
        fs::create_dir_all(&partial)?;
        sweep(&partial);
        let partial = tempfile::Builder::new().prefix("fetch-").tempdir_in(partial)?;
        Ok(Self { cache: cache.to_owned(), partial })
    }

    /// A new empty folder for one download.
    pub(super) fn download_folder(&self) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix("download-").tempdir_in(self.partial.path())
    }

    /// Takes everything that `from` gives; it is not in the cache until it is [kept](Store::keep).
    pub(super) fn receive(&self, from: &mut dyn Read) -> io::Result<Received> {
        let mut sink = Sink::new(NamedTempFile::new_in(self.partial.path())?);
        let bytes = io::copy(from, &mut sink)?;
        sink.flush()?;
        let Sink { digest, inner: file } = sink;
        Ok(Received { file, sha256: hexadecimal(&digest.finalize()), bytes })
    }

    /// Puts a received file under its checksum.
    pub(super) fn keep(&self, received: Received) -> io::Result<PathBuf> {
        let place = entry(&self.cache, &received.sha256);
        received.file.as_file().set_permissions(fs::Permissions::from_mode(READ_ONLY))?;
        received.file.persist(&place).map_err(|refused| refused.error)?;
        Ok(place)
    }
}

/// A complete file that is not in the cache yet. It is removed unless it is kept.
#[derive(Debug)]
pub(super) struct Received {
    file: NamedTempFile,
    /// Its checksum.
    pub(super) sha256: String,
    /// Its size.
    pub(super) bytes: u64,
}

/// Removes what killed processes left. Nothing depends on it, so what cannot be removed stays.
fn sweep(partial: &Path) {
    for folder in fs::read_dir(partial).into_iter().flatten().flatten() {
        let modified = folder.metadata().and_then(|metadata| metadata.modified());
        if modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED)) {
            let _ = fs::remove_dir_all(folder.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NoFolder, Store, folder_from};
    use std::fs::{self, File};
    use std::path::PathBuf;
    use std::time::{Duration, SystemTime};

    fn folder(variables: &[(&str, &str)]) -> Result<PathBuf, NoFolder> {
        folder_from(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into()))
    }

    #[test]
    fn the_most_specific_variable_names_the_folder() {
        let all = [("AEGIS_CACHE", "/a"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(folder(&all).unwrap(), PathBuf::from("/a"));
        assert_eq!(folder(&all[1..]).unwrap(), PathBuf::from("/x/aegis"));
        assert_eq!(folder(&all[2..]).unwrap(), PathBuf::from("/h/.cache/aegis"));
        assert!(matches!(folder(&[]), Err(NoFolder::Unset)));
    }

    #[test]
    fn empty_variables_and_a_relative_xdg_folder_do_not_count() {
        let variables = [("AEGIS_CACHE", ""), ("XDG_CACHE_HOME", "x"), ("HOME", "/h")];
        assert_eq!(folder(&variables).unwrap(), PathBuf::from("/h/.cache/aegis"));
        assert!(folder(&[("AEGIS_CACHE", "here")]).unwrap().is_absolute());
    }

    #[test]
    fn opening_the_cache_removes_only_abandoned_downloads() {
        let cache = tempfile::tempdir().unwrap();
        let (old, new) = (cache.path().join("partial/fetch-old"), cache.path().join("partial/fetch-new"));
        for folder in [&old, &new] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("piece"), "x").unwrap();
        }
        let yesterday = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
        File::open(&old).unwrap().set_modified(yesterday).unwrap();
        let store = Store::open(cache.path()).unwrap();
        assert!(!old.exists() && new.exists());
        drop(store);
        assert_eq!(fs::read_dir(cache.path().join("partial")).unwrap().count(), 1, "its own folder is gone again");
    }
}
