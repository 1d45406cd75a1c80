//! The dependency arrows of the design hold: between packages, between the generator's rooms, and for the packages that
//! only a target may use.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What each package may depend on, of this project's own packages.
const PACKAGES: &[(&str, &[&str])] = &[
    ("aegis-core", &[]),
    ("aegis-trace", &["aegis-core"]),
    ("aegis-codegen", &["aegis-core", "aegis-trace"]),
    ("aegis-linux", &["aegis-core", "aegis-trace"]),
    ("aegis-bare", &["aegis-core"]),
    ("aegis-cuda", &["aegis-core"]),
    ("aegis-host", &["aegis-core", "aegis-cuda", "aegis-linux"]),
    ("perception", &[]),
    ("courier", &["aegis-core", "aegis-host", "perception"]),
    ("feeder", &["aegis-core", "aegis-host", "perception"]),
    ("inspector", &["aegis-core", "aegis-host", "perception"]),
    ("reader", &["aegis-core", "aegis-host", "perception"]),
    ("lookout", &["aegis-core", "aegis-host"]),
    ("sorter", &["aegis-core", "aegis-host"]),
];

#[test]
fn packages_depend_only_along_the_arrows() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let own: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let allowed: BTreeMap<&str, &[&str]> = PACKAGES.iter().copied().collect();
    let mut seen = 0;
    for package in packages {
        let name = package["name"].as_str().unwrap();
        if name == "aegis-tests" {
            continue;
        }
        let allowed = allowed.get(name).unwrap_or_else(|| panic!("package `{name}` has no arrow in this test"));
        let path = package["manifest_path"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            let kind = dependency["kind"].as_str().unwrap_or("normal");
            let build_script = kind == "build" && on == "aegis-codegen";
            let test_support = kind == "dev" && on == "aegis-tests";
            assert!(
                !own.contains(on) || allowed.contains(&on) || build_script || test_support,
                "{name} must not depend on {on} ({kind})"
            );
            let only_targets = ["cudarc", "ort", "static_cell"].contains(&on);
            assert!(!only_targets || path.contains("/targets/"), "only a target may depend on {on}, {name} does");
            seen += 1;
        }
    }
    assert!(seen > 20, "cargo metadata listed only {seen} dependencies");
}

/// What each room of the generator may name of the others.
const ROOMS: &[(&str, &[&str])] = &[
    ("finding", &[]),
    ("launches", &[]),
    ("engines", &[]),
    ("manifest", &["device", "engines", "finding", "launches"]),
    ("system", &["engines", "launches"]),
    ("device", &[]),
    ("analysis", &["system"]),
    ("memory", &["system"]),
    ("profile", &["engines", "system"]),
    ("plan", &["engines", "launches", "system"]),
    ("lock", &["plan"]),
    ("tables", &["engines", "launches", "lock", "plan", "system"]),
    ("resolve", &["device", "engines", "finding", "launches", "lock", "manifest", "profile", "system", "tables"]),
    ("certify", &["analysis", "memory", "plan", "system"]),
    ("emit", &["lock", "tables"]),
    ("check", &["analysis", "certify", "finding", "lock", "manifest", "memory", "resolve", "system", "tables"]),
    ("admit", &["analysis", "check", "manifest", "memory", "system"]),
    ("onnx", &["finding"]),
    (
        "report",
        &["analysis", "check", "finding", "memory", "onnx", "plan", "profile", "report", "simulate", "system", "tail"],
    ),
    ("build_rs", &["emit", "lock", "manifest", "tables"]),
    ("tail", &["profile"]),
    ("probe", &["device", "engines", "launches", "profile", "tail"]),
    ("simulate", &["analysis", "check", "system"]),
    ("replay", &["simulate"]),
    ("diff", &["analysis", "check", "plan", "report"]),
    ("schema", &["manifest"]),
    ("init", &["onnx", "schema"]),
    ("audit", &["analysis", "certify", "check", "lock", "memory", "report", "simulate", "system", "tables"]),
    ("trace", &["replay", "simulate"]),
    ("export", &["manifest"]),
    ("pack", &["finding", "memory"]),
    ("fetch", &["finding", "lock", "manifest", "resolve"]),
];

fn sources(path: &Path, into: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            sources(&entry.unwrap().path(), into);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        into.push(path.to_owned());
    }
}

#[test]
fn the_generators_rooms_use_each_other_only_along_the_arrows() {
    let folder = root().join("codegen/src");
    let lib = std::fs::read_to_string(folder.join("lib.rs")).unwrap();
    let declared: BTreeSet<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let listed: BTreeSet<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    assert_eq!(declared, listed, "every room has its arrows here");
    let mut uses = 0;
    for (room, allowed) in ROOMS {
        let mut files = Vec::new();
        sources(&folder.join(room), &mut files);
        sources(&folder.join(format!("{room}.rs")), &mut files);
        files.retain(|file| file.exists());
        assert!(!files.is_empty(), "room {room} has no source");
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                for other in line.split("crate::").skip(1) {
                    let other: String = other.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if !listed.contains(other.as_str()) || other == **room {
                        continue;
                    }
                    uses += 1;
                    assert!(
                        allowed.contains(&other.as_str()),
                        "{}:{}: room {room} must not use {other}",
                        file.display(),
                        number + 1
                    );
                }
            }
        }
    }
    assert!(uses > 20, "only {uses} uses were found");
}

#[test]
fn the_generator_shares_no_code_with_the_checker() {
    let mut files = Vec::new();
    for room in ["analysis", "memory", "certify.rs"] {
        sources(&root().join("codegen/src").join(room), &mut files);
    }
    assert!(files.len() > 4);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        assert!(code.into_iter().all(|line| !line.contains("verify")), "{} names the checker", file.display());
    }
}
