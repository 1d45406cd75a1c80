//! The manual: its pages of keys and commands are what the parser and the command say, its command lines are understood and, where the
//! repository has their files, run; its pieces of manifests are read; its links lead somewhere; its limits are the code's.
//!
//! `AEGIS_BLESS=1 cargo test -p aegis-codegen --test manual` rewrites the two pages.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod commands;
mod links;
mod pieces;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn aegis(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis")).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// All pages for users, by their paths below the root.
fn pages() -> Vec<(String, String)> {
    fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                collect(&path, pages);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    let mut paths = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    collect(&root().join("docs"), &mut paths);
    collect(&root().join("examples"), &mut paths);
    paths.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// The blocks of a page between fences, each with its language and the line where it begins.
fn blocks(page: &str) -> Vec<(&str, usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(&str, usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(language), None) => open = Some((language.trim(), number + 1, String::new())),
            (Some(_), Some(block)) => found.push(block),
            (None, Some((language, begins, mut text))) => {
                text.push_str(line);
                text.push('\n');
                open = Some((language, begins, text));
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block has no end");
    found
}

/// A page that is made: compares it, or rewrites it where `AEGIS_BLESS` is set.
fn compare(path: &str, made: &str) {
    let path = root().join(path);
    if std::env::var_os("AEGIS_BLESS").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "{} differs; AEGIS_BLESS=1 rewrites it", path.display());
}
