//! What only the analysis of a whole system finds, by fixtures: a file named after the rule that it breaks, the findings as people see
//! them, and a valid twin that differs in at most two lines.
//!
//! `AEGIS_BLESS=1 cargo test -p aegis-tests --test check_rules` rewrites the expected findings.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::check::{Options, check};
use aegis_codegen::finding::{Code, Finding, any_error};
use aegis_codegen::report::terminal::render;
use aegis_tests::golden::Goldens;
use std::path::{Path, PathBuf};

/// Codes that no manifest alone can reach: they speak of files beside it, of what `aegis pack` or `aegis model` reads, of what a profile
/// has, or of a manifest of thousands of lines. Tests without an expected output reach them.
const ELSEWHERE: [&str; 27] = [
    "AEG119", "AEG303", "AEG304", "AEG305", "AEG306", "AEG307", "AEG309", "AEG317", "AEG406", "AEG502", "AEG503",
    "AEG504", "AEG505", "AEG506", "AEG507", "AEG508", "AEG509", "AEG510", "AEG511", "AEG512", "AEG513", "AEG514",
    "AEG515", "AEG516", "AEG517", "AEG518", "AEG601",
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn found(file: &str, text: &str) -> Vec<Finding> {
    check(file, text.to_owned(), Options::default()).unwrap().findings
}

/// How many lines differ, of texts with as many lines.
fn changed(text: &str, twin: &str) -> usize {
    assert_eq!(text.lines().count(), twin.lines().count());
    text.lines().zip(twin.lines()).filter(|(line, other)| line != other).count()
}

#[test]
fn each_fixture_is_reported_as_expected_and_its_twin_holds() {
    let mut goldens = Goldens::default();
    let mut count = 0;
    for entry in std::fs::read_dir(fixtures().join("check")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(name) = file.strip_suffix(".toml").filter(|name| !name.ends_with(".valid")) else { continue };
        let text = std::fs::read_to_string(&path).unwrap();
        let findings = found(&file, &text);
        assert!(!findings.is_empty(), "{file} breaks no rule");
        let shown = render(&findings, |asked| (asked == file).then_some(text.as_str()), false);
        goldens.compare(&path.with_extension("stderr.txt"), &shown);
        let twin = std::fs::read_to_string(path.with_file_name(format!("{name}.valid.toml"))).unwrap();
        assert!((1..=2).contains(&changed(&text, &twin)), "{file}");
        let findings = found(&file, &twin);
        assert!(!any_error(&findings) && findings.is_empty(), "{name}.valid.toml: {findings:?}");
        count += 1;
    }
    assert_eq!(count, 9);
    goldens.finish();
}

/// The texts of all files with this extension below a folder.
fn texts(folder: &Path, extension: &str, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, extension, into);
        } else if path.extension().is_some_and(|other| other == extension) && !path.ends_with("check_rules.rs") {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn each_code_has_an_expected_output_or_is_known_to_need_more_than_a_manifest() {
    let (mut expected, mut tests) = (String::new(), String::new());
    texts(&fixtures(), "txt", &mut expected);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in [root.join("tests"), root.join("../codegen/tests")] {
        texts(&folder, "rs", &mut tests);
    }
    let missing = Code::ALL.iter().filter(|code| !expected.contains(&format!("[{}]", code.id())));
    let missing: Vec<_> = missing.collect();
    for code in &missing {
        let named = [format!("Code::{code:?}"), code.id().to_owned()];
        assert!(named.iter().any(|name| tests.contains(name)), "no test reaches {code:?}, {}", code.id());
    }
    let missing: Vec<_> = missing.into_iter().map(|code| code.id()).collect();
    assert_eq!(missing, ELSEWHERE, "without an expected output");
}
