//! Files by their contents: `<cache>/sha256/<hex>`, verified before use.

use crate::error::HostError;
use aegis_core::desc::{FileDesc, SystemDesc};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The folder that `aegis fetch` fills.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache of this user, where `aegis fetch` puts it: `AEGIS_CACHE`, else `$XDG_CACHE_HOME/aegis`, else
    /// `~/.cache/aegis`.
    ///
    /// A relative `AEGIS_CACHE` begins at the working folder of this moment. Empty variables count as unset, and so does
    /// a relative `XDG_CACHE_HOME`, as its specification asks.
    ///
    /// # Errors
    /// [`HostError::NoCache`] where no variable names a folder, or the working folder is gone.
    pub fn of_user() -> Result<Self, HostError> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, HostError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = set("AEGIS_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("aegis")))
            .or_else(|| set("HOME").map(|path| path.join(".cache/aegis")))
            .ok_or_else(|| HostError::NoCache("none of AEGIS_CACHE, XDG_CACHE_HOME and HOME is set".to_owned()))?;
        let relative = |error| HostError::NoCache(format!("{} cannot be made absolute: {error}", folder.display()));
        Ok(Self { folder: std::path::absolute(&folder).map_err(relative)? })
    }

    /// The cache in this folder.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The first of files that lie together by their names, as `aegis fetch` put them, all their contents verified. One alone lies under its
    /// checksum.
    ///
    /// # Errors
    /// As for [`Cache::find`], of each; `None` where there is no file at all.
    pub fn together(&self, files: &[FileDesc]) -> Option<Result<PathBuf, HostError>> {
        let first = files.first()?;
        let what = |file: &FileDesc| format!("library \"{}\"", file.name);
        let folder = self.folder.join("together").join(digest(files));
        let find = |file: &FileDesc| {
            let (path, link) = (self.find(&what(file), file)?, folder.join(file.name));
            let is_it =
                std::fs::canonicalize(&link).is_ok_and(|end| std::fs::canonicalize(&path).is_ok_and(|own| own == end));
            if files.len() == 1 || is_it { Ok(path) } else { Err(HostError::Missing { what: what(file), path: link }) }
        };
        let all = files.iter().map(find).collect::<Result<Vec<_>, _>>();
        Some(all.map(|paths| match paths.as_slice() {
            [alone] => alone.clone(),
            _ => folder.join(first.name),
        }))
    }

    /// Where a file with this checksum lies.
    #[must_use]
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join("sha256").join(sha256)
    }

    /// An empty folder of this process in the cache, for a file that is to be [kept](Self::keep). Its maker removes it.
    ///
    /// # Errors
    /// The system's.
    pub fn workshop(&self) -> io::Result<PathBuf> {
        let folder = self.folder.join(format!("making-{}", std::process::id()));
        // An earlier process of the same number may have ended before it removed its own.
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&folder)?,
        }
        Ok(folder)
    }

    /// Moves a file of the cache's file system into the cache, and returns its checksum.
    ///
    /// # Errors
    /// The system's.
    pub fn keep(&self, file: &Path) -> io::Result<String> {
        let found = sha256(file)?;
        let path = self.path(&found);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::rename(file, path)?;
        Ok(found)
    }

    /// The path of a file whose contents were just verified; `what` names it in errors, as in `model "face"`.
    ///
    /// # Errors
    /// [`HostError::Missing`], [`HostError::WrongContents`], or the read error.
    pub fn find(&self, what: &str, file: &FileDesc) -> Result<PathBuf, HostError> {
        let path = self.path(file.sha256);
        let what = what.to_owned();
        match sha256(&path) {
            Ok(found) if found == file.sha256 => Ok(path),
            Ok(found) => Err(HostError::WrongContents { what, path, found, planned: file.sha256.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(HostError::Missing { what, path }),
            Err(error) => Err(HostError::File { what, path, error }),
        }
    }
}

/// The data files that a vehicle's hooks may open.
#[derive(Clone, Debug)]
pub struct Assets {
    pub(crate) system: &'static SystemDesc,
    pub(crate) cache: Cache,
}

impl Assets {
    /// The path of an asset of the manifest, its contents verified.
    ///
    /// # Errors
    /// The plan has no such asset, or the file is missing or has other contents.
    pub fn path(&self, name: &str) -> Result<PathBuf, HostError> {
        let asset = self.system.assets.iter().find(|asset| asset.name == name);
        let asset = asset.ok_or_else(|| HostError::NoSuchAsset(name.to_owned()))?;
        self.cache.find(&format!("asset \"{name}\""), asset)
    }
}

/// The SHA-256 of a file, in lower-case hexadecimal digits.
///
/// # Errors
/// The file cannot be read.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 16];
    loop {
        let length = file.read(&mut buffer)?;
        match buffer.get(..length) {
            Some(bytes) if length > 0 => hasher.update(bytes),
            _ => return Ok(aegis_linux::summary::hex(&hasher.finalize())),
        }
    }
}

/// The name of the folder of files that lie together.
fn digest(files: &[FileDesc]) -> String {
    let lines: String = files.iter().map(|file| format!("{} {}\n", file.sha256, file.name)).collect();
    aegis_linux::summary::hex(&Sha256::digest(lines.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{Cache, sha256};
    use crate::error::HostError;
    use aegis_core::desc::FileDesc;
    use std::path::Path;

    /// SHA-256 of "abc", the first example of FIPS 180.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_folder_is_the_one_that_fetch_fills() {
        let folder = |variables: &[(&str, &str)]| {
            let value =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
            Cache::from_variables(value).map(|cache| cache.folder)
        };
        let all = [("AEGIS_CACHE", "/a"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(folder(&all).unwrap(), Path::new("/a"));
        assert_eq!(folder(&all[1..]).unwrap(), Path::new("/x/aegis"));
        assert_eq!(folder(&all[2..]).unwrap(), Path::new("/h/.cache/aegis"));
        let odd = [("AEGIS_CACHE", ""), ("XDG_CACHE_HOME", "x"), ("HOME", "/h")];
        assert_eq!(folder(&odd).unwrap(), Path::new("/h/.cache/aegis"));
        assert_eq!(folder(&[("AEGIS_CACHE", "here")]).unwrap(), std::env::current_dir().unwrap().join("here"));
        assert!(matches!(folder(&[]), Err(HostError::NoCache(_))));
    }

    #[test]
    fn files_that_lie_together_are_found_where_fetch_links_them() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let own = FileDesc { name: "onnxruntime", sha256: ABC, version: "1" };
        assert!(cache.together(&[]).is_none());
        std::fs::create_dir(folder.path().join("sha256")).unwrap();
        std::fs::write(folder.path().join("sha256").join(ABC), "abc").unwrap();
        assert_eq!(cache.together(&[own]).unwrap().unwrap(), cache.path(ABC), "one alone");
        let pair = [own, FileDesc { name: "libprovider.so", sha256: ABC, version: "" }];
        let missing = cache.together(&pair).unwrap().unwrap_err().to_string();
        assert!(missing.contains("library \"onnxruntime\"") && missing.contains("run `aegis fetch`"), "{missing}");
        let links = pair.map(|file| (file.name, file.sha256));
        let together = folder.path().join("together").join(super::digest(&pair));
        std::fs::create_dir_all(&together).unwrap();
        for (name, sha256) in links {
            std::os::unix::fs::symlink(format!("../../sha256/{sha256}"), together.join(name)).unwrap();
        }
        assert_eq!(cache.together(&pair).unwrap().unwrap(), together.join("onnxruntime"));
        std::fs::write(folder.path().join("sha256").join(ABC), "abd").unwrap();
        assert!(cache.together(&pair).unwrap().is_err());
    }

    #[test]
    fn what_is_made_for_the_cache_is_found_there_by_its_contents() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("aegis"));
        let workshop = cache.workshop().unwrap();
        std::fs::write(workshop.join("engine.onnx"), "abc").unwrap();
        assert_eq!(cache.keep(&workshop.join("engine.onnx")).unwrap(), ABC);
        let file = FileDesc { name: "engine", sha256: ABC, version: "" };
        assert_eq!(cache.find("", &file).unwrap(), cache.path(ABC));
        std::fs::remove_dir(workshop).unwrap();
        assert!(cache.keep("/nowhere".as_ref()).is_err());
    }

    #[test]
    fn a_file_is_found_only_with_the_planned_contents() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        let file = FileDesc { name: "abc", sha256: ABC, version: "" };
        let missing = cache.find("model \"abc\"", &file).unwrap_err();
        assert!(matches!(missing, HostError::Missing { .. }));
        assert!(missing.to_string().contains("aegis fetch") && missing.to_string().contains("model \"abc\""));
        std::fs::create_dir(folder.path().join("sha256")).unwrap();
        std::fs::write(cache.path(ABC), "abd").unwrap();
        assert!(matches!(cache.find("", &file), Err(HostError::WrongContents { .. })));
        std::fs::write(cache.path(ABC), "abc").unwrap();
        assert_eq!(cache.find("", &file).unwrap(), cache.path(ABC));
        assert_eq!(sha256(&cache.path(ABC)).unwrap(), ABC);
    }
}
