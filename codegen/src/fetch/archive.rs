//! The archives that registries publish: wheels (zip), npm packages and source distributions (gzipped tar).

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use zip::ZipArchive;

/// Why an archive cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    /// It is of no known kind.
    #[error("`{0}` is neither a wheel nor a gzipped tar archive")]
    Unknown(String),
    /// It is damaged, or a member could not be written to the cache.
    #[error("cannot unpack `{archive}`: {source}")]
    Unpack {
        /// The archive's file name.
        archive: String,
        /// Why.
        source: io::Error,
    },
}

/// How archives are packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Zip,
    TarGz,
}

impl Format {
    /// The format that a file's name promises.
    fn of(path: &Path) -> Option<Self> {
        let name = file_name(path).to_ascii_lowercase();
        let any = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if any(&[".whl", ".zip"]) {
            Some(Self::Zip)
        } else if any(&[".tgz", ".tar.gz"]) {
            Some(Self::TarGz)
        } else {
            None
        }
    }
}

/// Hands every regular file of `archive` whose path is `wanted` to `take`, and returns the paths of all regular files.
///
/// Nothing is ever written under a path of the archive, so it does not matter where such a path leads.
pub(super) fn unpack(
    archive: &Path,
    wanted: &dyn Fn(&str) -> bool,
    take: &mut dyn FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> Result<Vec<String>, ArchiveError> {
    let format = Format::of(archive).ok_or_else(|| ArchiveError::Unknown(file_name(archive)))?;
    let paths = match format {
        Format::Zip => zip(archive, wanted, take),
        Format::TarGz => tar_gz(archive, wanted, take),
    };
    paths.map_err(|source| ArchiveError::Unpack { archive: file_name(archive), source })
}

fn zip(
    archive: &Path,
    wanted: &dyn Fn(&str) -> bool,
    take: &mut dyn FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> io::Result<Vec<String>> {
    let mut zip = ZipArchive::new(BufReader::new(File::open(archive)?))?;
    let mut paths =
        zip.file_names().map(|path| path.map(std::borrow::Cow::into_owned)).collect::<Result<Vec<String>, _>>()?;
    paths.retain(|path| !path.ends_with('/'));
    for path in paths.iter().filter(|path| wanted(path)) {
        let mut member = zip.by_name(path)?;
        if member.is_file() {
            take(path, &mut member)?;
        }
    }
    Ok(paths)
}

fn tar_gz(
    archive: &Path,
    wanted: &dyn Fn(&str) -> bool,
    take: &mut dyn FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> io::Result<Vec<String>> {
    let mut tar = tar::Archive::new(MultiGzDecoder::new(BufReader::new(File::open(archive)?)));
    let mut paths = Vec::new();
    for member in tar.entries()? {
        let mut member = member?;
        if !member.header().entry_type().is_file() {
            continue;
        }
        let path: PathBuf = member.path()?.into_owned();
        let path = path.strip_prefix(".").unwrap_or(&path).to_string_lossy().into_owned();
        if wanted(&path) {
            take(&path, &mut member)?;
        }
        paths.push(path);
    }
    Ok(paths)
}

/// A path's last part.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::{ArchiveError, Format, unpack};
    use std::path::Path;

    #[test]
    fn the_name_tells_the_format() {
        for (name, format) in [
            ("a-1.0-py3-none-any.whl", Some(Format::Zip)),
            ("a-1.0.tgz", Some(Format::TarGz)),
            ("a-1.0.tar.gz", Some(Format::TarGz)),
            ("A.TGZ", Some(Format::TarGz)),
            ("a.rar", None),
        ] {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn what_is_no_archive_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.whl", "a.tgz"] {
            let path = folder.path().join(name);
            std::fs::write(&path, "<html>proxy login</html>").unwrap();
            let error = unpack(&path, &|_| true, &mut |_, _| Ok(())).unwrap_err();
            assert!(matches!(&error, ArchiveError::Unpack { archive, .. } if archive == name), "{error}");
        }
    }
}
