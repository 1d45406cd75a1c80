//! Writes segments, all or nothing that can be told apart from it.

use super::Cut;
use prost::Message as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A segment cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{path}`: {source}", path = .path.display())]
pub struct WriteError {
    /// The segment's file.
    pub path: PathBuf,
    /// What the file system says.
    pub source: io::Error,
}

impl Cut {
    /// Writes every segment into `folder`, which is created. All are written beside their places first and only then
    /// renamed, so that no reader sees half of one, and nothing remains of a cut that failed before.
    ///
    /// # Errors
    /// [`WriteError`] of the first file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, WriteError> {
        let failed = |path: &Path, source: io::Error| WriteError { path: path.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        let mut beside = Vec::new();
        for segment in &self.segments {
            let path = folder.join(&segment.file);
            let write = || {
                let mut file = tempfile::Builder::new().prefix(".aegis-").suffix(".tmp").tempfile_in(folder)?;
                file.write_all(&segment.model.encode_to_vec())?;
                file.as_file().sync_all()?;
                Ok(file)
            };
            beside.push((write().map_err(|error| failed(&path, error))?, path));
        }
        let mut written = Vec::new();
        for (file, path) in beside {
            // A temporary file is readable for its owner only; a model is read by whoever reads its folder.
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                let readable = std::fs::Permissions::from_mode(0o644);
                std::fs::set_permissions(file.path(), readable).map_err(|error| failed(&path, error))?;
            }
            file.persist(&path).map_err(|error| failed(&path, error.error))?;
            written.push(path);
        }
        Ok(written)
    }

    /// Files in `folder` that an earlier cut of the same model into more segments left there.
    #[must_use]
    pub fn leftovers(&self, folder: &Path) -> Vec<PathBuf> {
        let stem = self.stem();
        let later = (self.segments.len() + 1..).map(|number| folder.join(format!("{stem}.{number}.onnx")));
        later.take_while(|path| path.exists()).collect()
    }
}
