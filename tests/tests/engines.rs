//! Models that TensorRT runs: a vehicle that passes, whose plan the checker re-proves, one change each that does not hold, with the
//! findings as people see them, and each rule of the checker broken.
//!
//! `AEGIS_BLESS=1 cargo test -p aegis-tests --test engines` rewrites the expected findings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

use aegis_codegen::check::Checked;
use aegis_codegen::finding::Code;
use aegis_codegen::lock::Lock;
use aegis_codegen::plan::Plan;
use aegis_codegen::{emit, tables};
use aegis_core::desc::{Backend, EngineDesc, EngineLibrary, MemoryControl, Precision};
use aegis_core::units::Bytes;
use aegis_core::verify::{Broken, Violation, verify};
use aegis_tests::changed;
use aegis_tests::golden::Goldens;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "system.toml";
const FIRST: &str = "detector.1.onnx";
const SECOND: &str = "detector.2.onnx";
const DEVICE: &str = "profiles/device.toml";
const DETECTOR: &str = "profiles/detector.toml";
const VOICE: &str = "profiles/voice.toml";

/// What a profile says of engines.
const ENGINES: &str = "[conditions.engines]
library = \"tensorrt\"
version = \"10.14.1\"
precision = \"fp16\"
workspace-bytes = 8388608
";
/// The same where a profile says nothing of them.
const WITH_ENGINES: &str = "[conditions.engines]
library = \"tensorrt\"
version = \"10.14.1\"
precision = \"fp16\"
workspace-bytes = 8388608

[model]";

/// One change: a file, what is replaced, and by what.
type Edit = (&'static str, &'static str, &'static str);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/engines")
}

fn checked(edits: &[Edit]) -> (Checked, String) {
    let edits = edits.iter().map(|(file, from, to)| (*file, *from, Some(*to)));
    let (result, shown) = changed::checked(&folder(), &[MANIFEST, FIRST, SECOND, DEVICE, DETECTOR, VOICE], edits);
    (result.unwrap(), shown)
}

/// A segment that has another grade.
const CAPPED: Edit = (DETECTOR, "memory = \"measured\"", "memory = \"capped\"");

/// The name, the changes, and the errors that they lead to.
const CASES: &[(&str, &[Edit], &[Code])] = &[
    ("another-precision", &[(MANIFEST, "\"fp16\"", "\"bf16\"")], &[Code::ProfileOfOtherEngines]),
    (
        "another-workspace-and-precision",
        &[(MANIFEST, "workspace = \"8MiB\", precision = \"fp16\"", "workspace = \"4MiB\"")],
        &[Code::ProfileOfOtherEngines],
    ),
    ("another-library", &[(DETECTOR, "\"tensorrt\"", "\"tensorrt-rtx\"")], &[Code::ProfileOfOtherEngines]),
    ("profile-without-engines", &[(DETECTOR, ENGINES, ""), CAPPED, CAPPED], &[Code::ProfileOfOtherEngines]),
    ("profile-with-engines", &[(VOICE, "[model]", WITH_ENGINES)], &[Code::ProfileOfOtherEngines]),
    ("segment-without-engine", &[(DETECTOR, "engine-sha256", "#")], &[Code::ProfileUnreadable]),
    ("engine-that-is-no-checksum", &[(DETECTOR, "\"aaaa", "\"aaa")], &[Code::ProfileUnreadable]),
    ("engine-that-is-planned", &[(DETECTOR, "\"measured\"", "\"capped\"")], &[Code::ProfileUnreadable]),
    (
        "engine-of-no-engines",
        &[(VOICE, "weights-bytes", "engine-sha256 = \"b\"\nweights-bytes")],
        &[Code::ProfileUnreadable],
    ),
    ("workspaces-that-exceed-the-device", &[(MANIFEST, "\"2GiB\"", "\"20MiB\"")], &[Code::MemoryExceeded]),
];

#[test]
fn each_change_is_reported_as_expected() {
    let mut goldens = Goldens::default();
    for (name, edits, expected) in CASES {
        let (checked, shown) = checked(edits);
        let errors = checked.findings.iter().filter(|finding| finding.is_error());
        let codes: Vec<Code> = errors.map(|finding| finding.code).collect();
        assert_eq!(codes, *expected, "{name}: {shown}");
        assert!(checked.lock.is_none(), "{name}");
        goldens.compare(&folder().join(format!("{name}.stderr.txt")), &shown);
    }
    goldens.finish();
}

#[test]
fn no_expected_finding_is_without_its_change() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let case = name.strip_suffix(".stderr.txt");
        let known = |case: &str| case == "valid" || CASES.iter().any(|(name, ..)| *name == case);
        assert!(case.is_none_or(known), "{name} belongs to no change");
    }
}

/// The lock; that an engine's memory is only measured is a warning for each segment, as people see it.
fn good() -> Lock {
    let (checked, shown) = checked(&[]);
    let codes: Vec<Code> = checked.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::MemoryGrade, Code::MemoryGrade], "{shown}");
    let mut goldens = Goldens::default();
    goldens.compare(&folder().join("valid.stderr.txt"), &shown);
    goldens.finish();
    checked.lock.unwrap()
}

#[test]
fn engines_go_from_the_profile_through_the_lock_to_the_tables_and_are_proven() {
    let lock = good();
    let text = lock.text().unwrap();
    assert_eq!(Lock::parse(Path::new("system.lock"), &text).unwrap(), lock);
    let system = tables::leak(&lock).unwrap();
    assert_eq!(verify(system), Ok(()));
    let [voice, detector] = system.models else { panic!("two models") };
    assert_eq!((voice.engines, voice.segments[0].engine), (None, ""));
    assert_eq!((detector.backend, detector.memory()), (Backend::OnnxRuntime, MemoryControl::Measured));
    let expected = EngineDesc {
        library: EngineLibrary::TensorRt,
        version: "10.14.1",
        precision: Precision::Half,
        workspace: Bytes(8 << 20),
    };
    assert_eq!(detector.engines, Some(expected));
    let digests = detector.segments.iter().map(|segment| segment.engine).collect::<Vec<_>>();
    assert_eq!(digests, ["a".repeat(64), "b".repeat(64)]);
    // What was measured of both segments, and two workspaces.
    assert_eq!(detector.weights, Bytes((3 << 20) + (1 << 20) + 2 * (8 << 20)));
    assert!(detector.segments.iter().all(|segment| segment.persistent.0 == 0 && segment.scratch.0 == 0));
    let tables = emit::tables(&lock).unwrap();
    for part in ["EngineLibrary::TensorRt", "Precision::Half", "verify::engines_hold("] {
        assert!(tables.contains(part), "{part}: {tables}");
    }
}

#[test]
fn two_profiles_of_one_library_have_one_version() {
    let edits = [
        (MANIFEST, "provider = \"cuda\"", "provider = \"tensorrt\"\ntensorrt = { workspace = \"1MiB\" }"),
        (
            VOICE,
            "[model]",
            "[conditions.engines]\nlibrary = \"tensorrt\"\nversion = \"10.13.2\"\nprecision = \"model\"\nworkspace-bytes = 1048576\n\n[model]",
        ),
        (
            VOICE,
            "weights-bytes",
            "engine-sha256 = \"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc\"\nweights-bytes",
        ),
        (VOICE, "\"planned\"\nruns = [[60000, -1]]", "\"measured\""),
    ];
    let (checked, shown) = checked(&edits);
    let errors: Vec<_> = checked.findings.iter().filter(|finding| finding.is_error()).collect();
    let [finding] = errors.as_slice() else { panic!("{shown}") };
    assert_eq!(finding.code, Code::ProfileOfOtherEngines);
    let message =
        "profile `profiles/detector.toml` was measured with tensorrt 10.14.1, but `profiles/voice.toml` with 10.13.2";
    assert_eq!(finding.message, message);
}

/// What the checker says of the plan with a change.
fn changed_plan(change: impl FnOnce(&mut Plan)) -> Option<Violation> {
    let mut lock = good();
    change(&mut lock.plan);
    verify(tables::leak(&lock).unwrap()).err()
}

type Change = fn(&mut Plan);

#[test]
fn each_rule_of_engines_can_be_broken_and_is_refused() {
    let changes: &[(&str, Change)] = &[
        ("no engine", |plan| plan.models[1].segments[1].engine_sha256.clear()),
        ("half a checksum", |plan| plan.models[1].segments[0].engine_sha256.truncate(32)),
        ("an engine of a model without", |plan| plan.models[0].segments[0].engine_sha256 = "a".repeat(64)),
        ("no version", |plan| plan.models[1].engines.as_mut().unwrap().version.clear()),
        ("no workspace", |plan| plan.models[1].engines.as_mut().unwrap().workspace_bytes = 0),
        ("a workspace that is not counted", |plan| plan.models[1].engines.as_mut().unwrap().workspace_bytes = 11 << 20),
        ("workspaces beyond all numbers", |plan| plan.models[1].engines.as_mut().unwrap().workspace_bytes = u64::MAX),
        ("scratch in the arena", |plan| plan.models[1].segments[0].scratch_bytes = 64),
        ("weights in the arena", |plan| plan.models[1].segments[0].persistent_bytes = 64),
        ("planned memory", |plan| plan.models[1].segments[0].memory = "capped".to_owned()),
        ("another backend", |plan| plan.models[1].backend = "tvm".to_owned()),
    ];
    for (what, change) in changes {
        assert_eq!(changed_plan(*change), Some(Violation::Engines), "{what}");
    }
    // Without engines it would take memory that nobody serves.
    let bare = changed_plan(|plan| {
        plan.models[1].engines = None;
        plan.models[1].segments.iter_mut().for_each(|segment| segment.engine_sha256.clear());
    });
    assert_eq!(bare, Some(Violation::Partitions));
    let mut lock = good();
    lock.plan.models[1].engines.as_mut().unwrap().workspace_bytes = 0;
    let system = tables::leak(&lock).unwrap();
    let told = Broken { system, violation: Violation::Engines }.to_string();
    assert!(told.contains("a model has engines that its backend or lane cannot run"), "{told}");
    // Another precision is as true: what an engine computes in is compared with its profile.
    assert_eq!(changed_plan(|plan| plan.models[1].engines.as_mut().unwrap().precision = "model".to_owned()), None);
}

#[test]
fn names_that_no_version_knows_are_told() {
    for (change, told) in [
        ((|plan| plan.models[1].engines.as_mut().unwrap().library = "tensorflow".to_owned()) as Change, "tensorflow"),
        (|plan| plan.models[1].engines.as_mut().unwrap().precision = "fp8".to_owned(), "fp8"),
    ] {
        let mut lock = good();
        change(&mut lock.plan);
        let error = tables::leak(&lock).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
