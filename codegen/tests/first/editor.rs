//! What editors and shells are told: the schema of manifests is what the reader reads, `taplo` takes every manifest that the reader
//! takes and refuses unknown keys, and shells can read the completions.

use crate::{aegis, root, taplo, text};
use aegis_codegen::finding::Code;
use aegis_codegen::manifest::asked::{self, Kind};
use aegis_codegen::manifest::parse;
use aegis_codegen::schema::{asked, schema};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// All files of these folders, and those of the folders in them, that end in `.toml`.
fn toml_files(folder: &Path, all: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("profiles") {
            toml_files(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "toml") && !path.ends_with("Cargo.toml") {
            all.push(path);
        }
    }
}

/// The manifests of the examples and of all fixtures.
fn manifests() -> Vec<PathBuf> {
    let mut all = vec![root().join("system.toml")];
    for folder in ["examples", "tests/fixtures"] {
        toml_files(&root().join(folder), &mut all);
    }
    all
}

#[test]
fn the_schema_is_the_committed_one() {
    let written = aegis(&root(), &["schema"]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    assert_eq!(text(&written.stdout), schema().unwrap());
    let path = root().join("docs/schemas/system.schema.json");
    if std::env::var_os("AEGIS_BLESS").is_some() {
        std::fs::write(&path, &written.stdout).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, text(&written.stdout), "{} differs; AEGIS_BLESS=1 rewrites it", path.display());
}

#[test]
fn every_key_that_the_reader_knows_is_in_the_schema_or_refused_by_name() {
    for (place, table) in asked() {
        let typed: BTreeSet<&str> = table.keys.keys().map(String::as_str).filter(|key| *key != "*").collect();
        let known: BTreeSet<&str> = table.known.iter().copied().collect();
        let untyped: BTreeSet<&str> = known.difference(&typed).copied().collect();
        assert!(untyped.is_subset(&table.planned.iter().copied().collect()), "[{place}]: {untyped:?}");
        assert_eq!(typed.difference(&known).count(), 0, "[{place}]: asked for and not known");
    }
}

#[test]
fn the_sample_has_whatever_any_manifest_makes_the_reader_ask_for() {
    let mut all = asked();
    let sample = all.clone();
    let mut read = 0;
    for path in manifests() {
        let manifest = std::fs::read_to_string(&path).unwrap();
        // A value of a wrong type may hide what a table would be asked for; it never adds to it.
        for (place, table) in asked::of(&manifest) {
            all.entry(place).or_default().join(table);
        }
        read += 1;
    }
    assert!(read > 300, "{read}");
    let mut missing = Vec::new();
    for (place, table) in &all {
        let asked = sample.get(place).map_or_else(Default::default, |table| table.keys.clone());
        missing.extend(
            table
                .keys
                .iter()
                .filter(|(key, kinds)| asked.get(*key) != Some(*kinds))
                .map(|(key, _)| format!("{place}.{key}")),
        );
    }
    assert_eq!(missing, Vec::<String>::new(), "the sample does not make the reader ask for these in all their forms");
    for (place, table) in all {
        let of_sample = sample.get(&place).unwrap_or_else(|| panic!("no sample of [{place}]"));
        assert_eq!(of_sample.keys, table.keys, "[{place}]");
        assert_eq!(of_sample.known, table.known, "[{place}]");
        let missing: Vec<_> = of_sample.required.difference(&table.required).collect();
        assert!(missing.is_empty(), "[{place}]: always required by the sample alone: {missing:?}");
        for (key, kinds) in &table.keys {
            let below = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            for kind in kinds {
                let below = match kind {
                    Kind::Table => below.clone(),
                    Kind::Tables(..) => format!("{below}.*"),
                    _ => continue,
                };
                assert!(sample.contains_key(&below), "no sample of [{below}]");
            }
        }
    }
}

/// The files of a folder that `taplo` refuses, by the schemas that they name.
fn refused(taplo: &Path, folder: &Path) -> BTreeSet<String> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let output = Command::new(taplo).args(["check", "--no-auto-config"]).args(files).output().unwrap();
    let words = text(&output.stderr);
    let lines = words.lines().filter(|line| line.contains("invalid file"));
    let refused: BTreeSet<String> = lines
        .map(|line| {
            let (_, path) = line.split_once("path=\"").unwrap_or_else(|| panic!("{line}"));
            Path::new(path.trim_end_matches('"')).file_name().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(output.status.success(), refused.is_empty(), "{words}");
    refused
}

#[test]
fn taplo_takes_every_manifest_that_the_reader_takes_and_refuses_unknown_keys() {
    let Some(taplo) = taplo() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("system.schema.json"), schema().unwrap()).unwrap();
    let (mut sound, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for (number, path) in manifests().into_iter().enumerate() {
        let manifest = std::fs::read_to_string(&path).unwrap();
        let (parsed, findings) = parse("system.toml", &manifest);
        let name = format!("{number}-{}", path.file_name().unwrap().to_str().unwrap());
        if parsed.is_some() {
            sound.insert(name.clone());
        } else if findings.iter().any(|finding| finding.code == Code::UnknownKey) {
            unknown.insert(name.clone());
        } else {
            continue;
        }
        std::fs::write(folder.path().join(name), format!("#:schema ./system.schema.json\n{manifest}")).unwrap();
    }
    assert!(sound.len() > 60 && unknown.len() > 15, "{} sound, {} with unknown keys", sound.len(), unknown.len());
    let refused = refused(&taplo, folder.path());
    assert_eq!(sound.intersection(&refused).collect::<Vec<_>>(), Vec::<&String>::new(), "sound, but refused");
    assert_eq!(unknown.difference(&refused).collect::<Vec<_>>(), Vec::<&String>::new(), "unknown keys, but accepted");
}

#[test]
fn an_editor_is_told_what_a_key_means_its_unit_range_and_default() {
    let schema: Value = serde_json::from_str(&schema().unwrap()).unwrap();
    let task = &schema["properties"]["task"]["additionalProperties"];
    let described = |key: &str| task["properties"][key]["description"].as_str().unwrap().to_owned();
    let hooks = described("hooks");
    for word in ["input and output hooks", "in ns, us, ms or s; 0 or more", "Default: 0."] {
        assert!(hooks.contains(word), "{hooks}");
    }
    assert!(described("miss-window").contains("An integer from 1 to 64."), "{}", described("miss-window"));
    assert!(described("wcet").contains("Exactly one of `wcet`, `profile`, `segments`, `stages`"));
    assert_eq!(task["required"], serde_json::json!(["period"]), "stages have lanes of their own");
}

#[test]
fn shells_have_completions_of_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let written = aegis(&root(), &["completions", shell]);
        assert!(written.status.success(), "{}", text(&written.stderr));
        let script = text(&written.stdout);
        for command in ["check", "simulate", "explain", "completions", "sensitivity"] {
            assert!(script.contains(command), "{shell} does not know `{command}`");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("aegis.bash");
    std::fs::write(&script, aegis(&root(), &["completions", "bash"]).stdout).unwrap();
    let parsed = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(parsed.status.success(), "{}", text(&parsed.stderr));
    // What bash itself offers after `aegis comp`.
    let asks = format!(
        "source '{}'; COMP_WORDS=(aegis comp); COMP_CWORD=1; _aegis aegis comp aegis; echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let offered = Command::new("bash").args(["--norc", "-c", &asks]).output().unwrap();
    assert_eq!(text(&offered.stdout).trim(), "completions", "{}", text(&offered.stderr));
}
