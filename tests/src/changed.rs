//! A vehicle of a folder that passes, with changes made to a copy of it, and the findings as people see them.

use aegis_codegen::check::{Checked, Internal, Options, check};
use aegis_codegen::report::terminal::render;
use std::path::Path;

/// One change: a file, what is replaced (empty: the whole file), and by what (`None`: the file is removed).
pub type Edit<'a> = (&'a str, &'a str, Option<&'a str>);

/// Checks a copy of the vehicle that `folder` has in `valid/`, of these files, with the changes made. The text of the findings names
/// files relative to the vehicle's folder.
///
/// # Panics
/// Where a file cannot be copied, or does not have what is to be replaced.
pub fn checked<'a>(
    folder: &Path,
    files: &[&str],
    edits: impl IntoIterator<Item = Edit<'a>>,
) -> (Result<Checked, Internal>, String) {
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("profiles")).unwrap();
    for file in files {
        std::fs::copy(folder.join("valid").join(file), copy.path().join(file)).unwrap();
    }
    for (file, from, to) in edits {
        let path = copy.path().join(file);
        let Some(to) = to else {
            std::fs::remove_file(&path).unwrap();
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        let text = if from.is_empty() { to.to_owned() } else { text.replacen(from, to, 1) };
        std::fs::write(&path, text).unwrap();
    }
    let file = copy.path().join("system.toml");
    let file = file.to_str().unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let result = check(file, text.clone(), Options::default());
    let shown = result.as_ref().map_or_else(ToString::to_string, |checked| {
        render(&checked.findings, |asked| (asked == file).then_some(text.as_str()), false)
    });
    (result, shown.replace(&format!("{}/", copy.path().display()), ""))
}
