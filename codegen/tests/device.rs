//! `aegis device` as a user starts it, with a stand-in for Cargo that has built a stand-in for the probe.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use aegis_codegen::device::{built_ins, parse};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

const MANIFEST: &str = r#"
system = { name = "small", policy = "rate-monotonic" }
lane.main = { kind = "cpu", core = 1 }
task.fast = { lane = "main", period = "10ms", wcet = "2ms" }
"#;

fn script(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A vehicle's folder whose probe does as `probe` says.
fn vehicle(probe: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("system.toml"), MANIFEST).unwrap();
    std::fs::write(at("Cargo.toml"), "").unwrap();
    script(&at("probe"), probe);
    let metadata = json!({
        "target_directory": at("target"),
        "packages": [{ "name": "aegis-host", "manifest_path": at("Cargo.toml") }],
    });
    let built = json!({ "executable": at("probe") });
    script(&at("cargo"), &format!("case $1 in metadata) echo '{metadata}';; *) echo '{built}';; esac"));
    folder
}

fn aegis(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aegis"));
    command.args(arguments).current_dir(folder).env("CARGO", folder.join("cargo")).output().unwrap()
}

fn answer() -> Value {
    json!({
        "schema": "aegis.probe/4",
        "machine": { "arch": "x86_64", "cpu_model": "Lab", "cores": 4, "governor": "", "kernel": "6" },
        "state": { "power_mode": null, "cores": [], "gpus": [], "changed": [] },
        "realtime": { "fifo": true, "memory_locked": true },
        "runtimes": [],
        "devices": [{
            "ordinal": 1, "name": "NVIDIA H200", "driver": "13.0", "compute_capability": "9.0", "sms": 132, "unit": 8,
            "units": 15, "memory_bytes": 150_109_880_320_u64, "integrated": false, "exports": true, "l2_bytes": 62_914_560,
            "clock_khz": 1_980_000, "memory_clock_khz": 3_201_000,
        }],
    })
}

#[test]
fn a_device_that_answers_is_written_as_a_profile() {
    let folder = vehicle(&format!("cat > request.json; echo '{}'", answer()));
    let output = aegis(folder.path(), &["device", "probe", "--device", "1", "--output", "profiles/lab/device.toml"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let request: Value = serde_json::from_slice(&std::fs::read(folder.path().join("request.json")).unwrap()).unwrap();
    assert_eq!((&request["command"], &request["device"]), (&json!("device"), &json!(1)));
    let text = std::fs::read_to_string(folder.path().join("profiles/lab/device.toml")).unwrap();
    let profile = parse(&text).unwrap();
    assert_eq!((profile.name.as_str(), profile.unit, profile.units), ("NVIDIA H200", Some(8), Some(15)));
    let left = std::fs::read_dir(folder.path().join("profiles/lab")).unwrap().count();
    assert_eq!(left, 1, "nothing lies beside it");
    let printed = aegis(folder.path(), &["device", "probe", "--device", "1"]);
    assert_eq!((printed.status.code(), String::from_utf8(printed.stdout).unwrap()), (Some(0), text));
}

#[test]
fn a_device_that_cannot_be_asked_is_status_2_with_the_probes_words() {
    let folder = vehicle("cat > /dev/null; echo 'there is no device 3: the machine has 1' >&2; exit 3");
    let file = folder.path().join("device.toml");
    let output = aegis(folder.path(), &["device", "probe", "--device", "3", "-o", file.to_str().unwrap()]);
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("there is no device 3: the machine has 1"), "{words}");
    assert!(!file.exists());
    let other = vehicle(&format!("cat > /dev/null; echo '{}'", answer()));
    let output = aegis(other.path(), &["device", "probe"]);
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("the probe did not tell of device 0"), "{words}");
}

#[test]
fn built_in_profiles_are_listed_with_their_sources() {
    let folder = tempfile::tempdir().unwrap();
    let output = aegis(folder.path(), &["device", "list"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for device in built_ins() {
        assert!(shown.contains(&format!("| {} ", device.name)) && shown.contains(&device.title), "{shown}");
        for source in &device.source {
            assert!(shown.contains(source), "{shown} lacks {source}");
        }
    }
}

#[test]
fn a_usage_that_is_none_is_status_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["device"][..], &["device", "probe", "--device", "many"], &["device", "probe"]] {
        assert_eq!(aegis(folder.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}
