//! Where files come from: `file`, `source` and `files`.

use crate::manifest::model::{Client, Manifest, Source};
use crate::manifest::reader::Section;

/// What a library of `beside` looks like.
const LIBRARY: &str = "{ pip = \"nvidia-cudnn\", version = \"1.2.0\", path = \"lib/x.so\", sha256 = \"…\" }";
/// What `file` and `source` are.
const ONE_FILE: &str = "`file` is a path beside the manifest; `source` names a published package";

/// The source that `file` or `source` gives.
pub(super) fn one(section: &mut Section<'_>) -> Option<Source> {
    section.exactly_one(&["file", "source"], ONE_FILE);
    either(section)
}

/// The sources that `file`, `source` or `files` give: one for each segment.
pub(super) fn segments(section: &mut Section<'_>) -> Option<Vec<Source>> {
    let help = format!("{ONE_FILE}; `files` are the segments that `aegis model cut` made of a model");
    section.exactly_one(&["file", "source", "files"], &help);
    let most = Manifest::MAX_SEGMENTS;
    let help = format!("give a model in one piece by `file`, and one that was cut by 2 to {most} `files`");
    let files = section.paths("files", most, &help);
    let files = files.map(|paths| paths.into_iter().map(|path| Source::File { path }).collect());
    // All are read, so that all that is wrong with them is reported now.
    either(section).map(|source| vec![source]).or(files)
}

fn either(section: &mut Section<'_>) -> Option<Source> {
    let file = section.text("file").map(|path| Source::File { path });
    let package = package(section, "source");
    file.or(package)
}

/// The published package that `key` gives.
pub(super) fn package(section: &mut Section<'_>, key: &'static str) -> Option<Source> {
    let expected = "a table { pip, version, path, sha256 } or { npm, version, path, sha256 }";
    of_package(section.section(key, expected)?)
}

/// The published packages that `beside` gives; none where it does not stand.
pub(super) fn beside(section: &mut Section<'_>) -> Option<Vec<Source>> {
    if !section.has("beside") {
        return Some(Vec::new());
    }
    let sections = section.sections("beside", 1..=Manifest::MAX_BESIDE, LIBRARY, |runtime, number| {
        format!("library {number} beside {runtime}")
    })?;
    // All are read, so that all that is wrong with them is reported now.
    let sources: Vec<Option<Source>> = sections.into_iter().map(of_package).collect();
    sources.into_iter().collect()
}

fn of_package(mut section: Section<'_>) -> Option<Source> {
    section.exactly_one(&["pip", "npm"], "the key says which registry has the package");
    let pip = section.text("pip").map(|package| (Client::Pip, package));
    let npm = section.text("npm").map(|package| (Client::Npm, package));
    let version = section.required("version", "version = \"1.2.0\"", Section::text);
    let path = section.required("path", "path = \"package/model.onnx\"", Section::text);
    let sha256 = section.required("sha256", "sha256 = \"…\"", Section::sha256);
    section.finish();
    let (client, package) = pip.or(npm)?;
    Some(Source::Package { client, package, version: version?, path: path?, sha256: sha256? })
}
