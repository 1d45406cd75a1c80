//! Files that appear whole at the place that a user named.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// How many symbolic links lead to a place, at most: as many as Linux follows.
const MOST_LINKS: u32 = 40;

/// What an output's name stands for.
#[derive(Debug)]
pub enum Place {
    /// A file, there or not: links are followed, since whoever made one wants its target written.
    File(PathBuf),
    /// A pipe, a terminal or another device of bytes: it stays what it is, and is written into.
    Stream(PathBuf),
}

impl Place {
    /// Where an output of this name goes.
    ///
    /// # Errors
    /// A folder, a socket, a disk, links in a circle; and `-`, which is no file's name.
    pub fn of(path: &Path) -> io::Result<Self> {
        let invalid = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if path.as_os_str() == "-" {
            return invalid("the standard output is `/dev/stdout`, and a file called `-` is `./-`");
        }
        let mut path = path.to_owned();
        for _ in 0..=MOST_LINKS {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let folder = parent.unwrap_or(Path::new(".")).to_owned();
            // What a process has open has no name to be given to another file.
            if folder.canonicalize().is_ok_and(|folder| folder.starts_with("/proc")) {
                return Ok(Self::Stream(path));
            }
            let kind = match path.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::File(path)),
                found => found?.file_type(),
            };
            if kind.is_symlink() {
                path = folder.join(fs::read_link(&path)?);
            } else if kind.is_file() {
                return Ok(Self::File(path));
            } else if kind.is_fifo() || kind.is_char_device() {
                return Ok(Self::Stream(path));
            } else if kind.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            } else {
                return invalid("it is neither a file nor a stream");
            }
        }
        invalid("its symbolic links lead in a circle")
    }
}

/// An output that is being written: beside its place, so that no reader sees half of it, or into a stream.
///
/// What is beside is removed again where it never gets its name.
#[derive(Debug)]
pub struct Output {
    file: File,
    /// Where it lies until it gets its name, and that name.
    names: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// Opens an output. A file that is replaced leaves its permissions to the new one.
    ///
    /// # Errors
    /// [`Place::of`]; the folder cannot be written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = match Place::of(path)? {
            Place::Stream(path) => {
                return Ok(Self { file: OpenOptions::new().append(true).open(path)?, names: None });
            }
            Place::File(path) => path,
        };
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".part-{}", std::process::id()));
        let beside = PathBuf::from(beside);
        let output = Self { file: File::create(&beside)?, names: Some((beside, path)) };
        if let Some((_, path)) = &output.names
            && let Ok(present) = path.metadata()
        {
            output.file.set_permissions(present.permissions())?;
        }
        Ok(output)
    }

    /// Gives what was written its name. What is written later is appended under that.
    ///
    /// # Errors
    /// The system refuses.
    pub fn name(&mut self) -> io::Result<()> {
        if let Some((beside, path)) = &self.names {
            fs::rename(beside, path)?;
            self.names = None;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((beside, _)) = &self.names {
            let _ = fs::remove_file(beside);
        }
    }
}

/// Writes a text to where the user named.
///
/// # Errors
/// As [`Output::open`] and [`Output::name`]; nothing is left beside then.
pub fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut output = Output::open(path)?;
    output.write_all(text)?;
    output.name()
}
