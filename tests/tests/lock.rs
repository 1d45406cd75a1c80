//! The lock: it says again what it was told, and a stale, edited, foreign or unreadable one is refused by name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

use aegis_codegen::check::{Checked, Options, check};
use aegis_codegen::lock::{LOCK_VERSION, Lock, Refused, TOOL, sha256};
use aegis_core::layout::TABLE_LAYOUT;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A vehicle with a profile, models on two lanes, an EDF lane, and a runtime.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/profiles/valid")
}

/// A copy of the fixture that a test may change, with its lock beside the manifest.
struct Vehicle {
    folder: TempDir,
}

impl Vehicle {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("profiles")).unwrap();
        for entry in
            [fixture(), fixture().join("profiles")].iter().flat_map(|folder| std::fs::read_dir(folder).unwrap())
        {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, folder.path().join(path.strip_prefix(fixture()).unwrap())).unwrap();
            }
        }
        let vehicle = Self { folder };
        let lock = vehicle.check().lock.expect("the fixture passes");
        std::fs::write(vehicle.lock_path(), lock.text().unwrap()).unwrap();
        vehicle
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn manifest(&self) -> String {
        std::fs::read_to_string(self.path("system.toml")).unwrap()
    }

    fn lock_path(&self) -> PathBuf {
        self.path("system.lock")
    }

    fn lock_text(&self) -> String {
        std::fs::read_to_string(self.lock_path()).unwrap()
    }

    fn check(&self) -> Checked {
        let checked = check(self.path("system.toml").to_str().unwrap(), self.manifest(), Options::default()).unwrap();
        assert!(checked.passes(), "{:#?}", checked.findings);
        checked
    }

    /// Reads the lock and compares it with the manifest and profiles.
    fn accept(&self) -> Result<Lock, Refused> {
        let lock = Lock::read(&self.lock_path())?;
        lock.matches(&self.lock_path(), "lab", &self.path("system.toml"))?;
        Ok(lock)
    }
}

/// Whether a message names the lock's file and each of `parts`.
fn names(vehicle: &Vehicle, refused: &Refused, parts: &[&str]) {
    let message = refused.to_string();
    assert!(message.contains(vehicle.lock_path().to_str().unwrap()), "{message}");
    for part in parts {
        assert!(message.contains(part), "{message} does not say {part}");
    }
}

#[test]
fn a_lock_says_again_what_it_was_told_in_the_same_bytes() {
    let vehicle = Vehicle::new();
    let lock = vehicle.accept().unwrap();
    assert_eq!(Some(&lock), vehicle.check().lock.as_ref());
    assert_eq!(lock.text().unwrap(), vehicle.lock_text(), "reading and writing changes nothing");
    assert_eq!(vehicle.check().lock.unwrap().text().unwrap(), vehicle.lock_text(), "a second check writes the same");
    let inputs: Vec<&str> = lock.lock.inputs.iter().map(|input| input.path.as_str()).collect();
    assert_eq!(inputs[0], "system.toml");
    assert!(inputs.len() > 2 && inputs[1..].iter().all(|path| path.starts_with("profiles/")), "{inputs:?}");
}

#[test]
fn a_lock_holds_nothing_of_the_place_it_was_made_at() {
    let text = Vehicle::new().lock_text();
    assert_eq!(text, Vehicle::new().lock_text(), "another folder, the same lock");
    assert!(!text.contains("/tmp"), "{text}");
}

#[test]
fn a_changed_manifest_makes_the_lock_stale() {
    let vehicle = Vehicle::new();
    let before = sha256(vehicle.manifest().as_bytes());
    let text = vehicle.manifest() + "# a remark\n";
    std::fs::write(vehicle.path("system.toml"), &text).unwrap();
    let refused = vehicle.accept().unwrap_err();
    names(&vehicle, &refused, &["stale", "system.toml", &before, &sha256(text.as_bytes())]);
    let Refused::Stale { input, stated, actual, .. } = refused else { panic!("{refused}") };
    assert_eq!((input.as_str(), stated, actual), ("system.toml", before, sha256(text.as_bytes())));
}

#[test]
fn a_changed_or_lost_profile_makes_the_lock_stale() {
    let vehicle = Vehicle::new();
    let inputs = vehicle.accept().unwrap().lock.inputs;
    for input in &inputs[1..] {
        let path = vehicle.path(&input.path);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}\n")).unwrap();
        let refused = vehicle.accept().unwrap_err();
        names(&vehicle, &refused, &[&input.path, &input.sha256]);
        assert!(matches!(refused, Refused::Stale { .. }), "{refused}");
        std::fs::remove_file(&path).unwrap();
        let refused = vehicle.accept().unwrap_err();
        assert!(matches!(refused, Refused::Unreadable { .. }), "{refused}");
        assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
        std::fs::write(&path, text).unwrap();
        vehicle.accept().unwrap();
    }
}

#[test]
fn the_lock_of_another_manifest_beside_it_is_stale_although_that_one_is_as_it_was() {
    let vehicle = Vehicle::new();
    let lock = Lock::read(&vehicle.lock_path()).unwrap();
    let other = vehicle.path("other.toml");
    std::fs::write(&other, vehicle.manifest() + "# slower\n").unwrap();
    let refused = lock.matches(&vehicle.lock_path(), "lab", &other).unwrap_err();
    names(&vehicle, &refused, &["stale", "`other.toml`"]);
    // The same manifest by another name is the same.
    std::fs::write(&other, vehicle.manifest()).unwrap();
    lock.matches(&vehicle.lock_path(), "lab", &other).unwrap();
}

#[test]
fn another_vehicles_lock_is_foreign() {
    let vehicle = Vehicle::new();
    let lock = Lock::read(&vehicle.lock_path()).unwrap();
    let refused = lock.matches(&vehicle.lock_path(), "courier", &vehicle.path("system.toml")).unwrap_err();
    names(&vehicle, &refused, &["foreign", "`lab`", "`courier`"]);
    let Refused::Foreign { found, expected, .. } = refused else { panic!("{refused}") };
    assert_eq!((found.as_str(), expected.as_str()), ("lab", "courier"));
}

#[test]
fn a_missing_lock_and_one_that_is_no_lock_are_refused() {
    let vehicle = Vehicle::new();
    let good = vehicle.lock_text();
    for (text, why) in [("", "missing field"), ("not toml", "expected"), ("[lock]\nversion = 2\n", "missing field")] {
        std::fs::write(vehicle.lock_path(), text).unwrap();
        let refused = vehicle.accept().unwrap_err();
        names(&vehicle, &refused, &["is not a lock", why]);
        assert!(matches!(refused, Refused::Malformed { .. }), "{refused}");
    }
    std::fs::write(vehicle.lock_path(), good.as_bytes().split_at(good.len() / 2).0).unwrap();
    assert!(matches!(vehicle.accept().unwrap_err(), Refused::Malformed { .. }), "half a lock");
    std::fs::write(vehicle.lock_path(), [0xff, 0xfe]).unwrap();
    assert!(matches!(vehicle.accept().unwrap_err(), Refused::Unreadable { .. }), "not text");
    std::fs::remove_file(vehicle.lock_path()).unwrap();
    let refused = vehicle.accept().unwrap_err();
    names(&vehicle, &refused, &["no lock", "aegis check"]);
    assert!(matches!(refused, Refused::Missing(_)), "{refused}");
}

#[test]
fn another_versions_lock_is_refused_before_its_content_is_read() {
    let vehicle = Vehicle::new();
    let good = vehicle.lock_text();
    let layout = format!("table-layout = {TABLE_LAYOUT}");
    let version = format!("version = {LOCK_VERSION}");
    let (version, layout) = (version.as_str(), layout.as_str());
    for (from, to) in [(version, "version = 77"), (version, "version = 1"), (layout, "table-layout = 77")] {
        let (_, number) = to.split_once(" = ").unwrap();
        let text = good.replacen(from, to, 1).replacen("aegis ", "tomorrow's aegis ", 1);
        let text = text.replacen("plan-sha256", "plan-blake3", 1);
        std::fs::write(vehicle.lock_path(), text).unwrap();
        let refused = vehicle.accept().unwrap_err();
        names(&vehicle, &refused, &[number, TOOL, version.replace(" =", "").as_str()]);
        assert!(matches!(refused, Refused::Version { .. }), "{refused}");
    }
}

/// Each number or word of a lock's plan, as the range of its value in the text.
fn values(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut values = Vec::new();
    let mut at = 0;
    let plan = text.find("[plan").unwrap();
    for line in text.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        let Some(equals) = line.find(" = ").filter(|_| begin >= plan) else { continue };
        let mut from = None;
        for (index, character) in line.char_indices().skip(equals + 3) {
            match (from, character.is_ascii_alphanumeric()) {
                (None, true) => from = Some(begin + index),
                (Some(start), false) => {
                    values.push(start..begin + index);
                    from = None;
                }
                _ => {}
            }
        }
    }
    values
}

#[test]
fn every_edited_value_of_the_plan_is_noticed() {
    let vehicle = Vehicle::new();
    let good = vehicle.lock_text();
    let all = values(&good);
    let stated = vehicle.accept().unwrap().lock.plan_sha256;
    assert!(all.len() > 150, "{} values", all.len());
    for value in all {
        let old = &good[value.clone()];
        let new = match old.parse::<u64>() {
            Ok(number) => (number + 1).to_string(),
            Err(_) => format!("{old}x"),
        };
        let text = format!("{}{new}{}", &good[..value.start], &good[value.end..]);
        let refused = Lock::parse(&vehicle.lock_path(), &text).expect_err(&format!("{old} -> {new} is not noticed"));
        if matches!(refused, Refused::Malformed { .. }) {
            // A certificate of an unknown theory is no plan at all.
            assert!(good[..value.start].ends_with("theory = \"") || old == "priority", "{old} -> {new}: {refused}");
            continue;
        }
        names(&vehicle, &refused, &["edited", &stated]);
        assert!(matches!(refused, Refused::Edited { .. }), "{old} -> {new}: {refused}");
    }
}

#[test]
fn an_edited_checksum_or_input_of_the_header_is_noticed() {
    let vehicle = Vehicle::new();
    let lock = vehicle.accept().unwrap();
    let write = |change: &dyn Fn(&mut Lock)| {
        let mut lock = lock.clone();
        change(&mut lock);
        std::fs::write(vehicle.lock_path(), lock.text().unwrap()).unwrap();
        vehicle.accept().unwrap_err()
    };
    let refused = write(&|lock| lock.lock.plan_sha256 = sha256(b"another"));
    names(&vehicle, &refused, &["edited", &sha256(b"another"), &lock.lock.plan_sha256]);
    assert!(matches!(refused, Refused::Edited { .. }));
    let refused = write(&|lock| lock.lock.inputs[0].sha256 = sha256(b"another"));
    assert!(matches!(refused, Refused::Stale { .. }), "{refused}");
    let refused = write(&|lock| lock.lock.inputs[1].path = "profiles/another.toml".to_owned());
    assert!(matches!(refused, Refused::Unreadable { .. }), "{refused}");
}

#[test]
fn what_is_added_to_any_table_of_the_lock_is_refused() {
    let vehicle = Vehicle::new();
    let good = vehicle.lock_text();
    let mut tables = 0;
    let mut at = 0;
    for line in good.split_inclusive('\n') {
        at += line.len();
        if !line.starts_with('[') {
            continue;
        }
        tables += 1;
        let text = format!("{}extra = 1\n{}", &good[..at], &good[at..]);
        let refused =
            Lock::parse(&vehicle.lock_path(), &text).expect_err(&format!("an extra key in {line} is accepted"));
        assert!(matches!(refused, Refused::Malformed { .. }), "{line}: {refused}");
        names(&vehicle, &refused, &["extra"]);
    }
    assert!(tables > 10, "{good}");
}
