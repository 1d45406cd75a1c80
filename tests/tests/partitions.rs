//! Lanes that divide a GPU: a vehicle that passes, whose plan the checker re-proves, and one change each that does not hold, with
//! the findings as people see them.
//!
//! `AEGIS_BLESS=1 cargo test -p aegis-tests --test partitions` rewrites the expected findings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

use aegis_codegen::check::Checked;
use aegis_codegen::finding::{Code, Severity};
use aegis_codegen::lock::Lock;
use aegis_codegen::plan::Plan;
use aegis_codegen::report::{json, table};
use aegis_codegen::{emit, tables};
use aegis_core::desc::{GpuDesc, LimitDesc, PartitionDesc, Quantity, Subject, SystemDesc, Waiting};
use aegis_core::units::{Bytes, PoolId};
use aegis_core::verify::{Violation, verify};
use aegis_tests::changed;
use aegis_tests::golden::Goldens;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/partitions")
}

/// One change: a file, what is replaced (empty: the file is removed), and by what.
type Edit = (&'static str, &'static str, &'static str);

const MANIFEST: &str = "system.toml";
const DEVICE: &str = "profiles/device.toml";
const FACE: &str = "profiles/face.toml";
const SIGN: &str = "profiles/sign.toml";
const VOICE: &str = "profiles/voice.toml";

/// What a profile says of the part that it was measured on.
const PART: &str = "[conditions.gpu]
name = \"NVIDIA H200\"
driver = \"13.0\"
compute-capability = \"9.0\"
sms = 40
completion = \"polling\"
";

/// What a profile says of a segment alone on its device.
const ALONE: &str = "
[segment.alone]
runs = 500
min-ns = 3600000
mean-ns = 3780000
p50-ns = 3690000
p99-ns = 4410000
p999-ns = 4500000
max-ns = 4680000
";

/// The name, the changes, the codes that they lead to, and whether these are errors.
const CASES: &[(&str, &[Edit], &[Code], Severity)] = &[
    (
        "part-of-no-whole-units",
        &[(MANIFEST, "sms = 40", "sms = 36")],
        &[Code::PartSize, Code::ProfileOfMoreSms],
        Severity::Error,
    ),
    (
        "part-below-a-unit",
        &[(MANIFEST, "sms = 40", "sms = 4")],
        &[Code::PartSize, Code::ProfileOfMoreSms],
        Severity::Error,
    ),
    (
        "parts-exceed-the-device",
        &[(MANIFEST, "sms = 80", "sms = 88"), (SIGN, "sms = 80", "sms = 88")],
        &[Code::PartsExceeded],
        Severity::Error,
    ),
    (
        "parts-exceed-a-built-in-device",
        &[(MANIFEST, "\"profiles/device.toml\"", "\"agx-orin-64gb\"")],
        &[Code::PartsExceeded, Code::ProfileOfAnotherPart],
        Severity::Error,
    ),
    ("device-that-cannot-be-divided", &[(DEVICE, "unit = 8\nunits = 15\n", "")], &[Code::PartSize], Severity::Error),
    (
        "device-profile-unknown",
        &[(MANIFEST, "\"profiles/device.toml\"", "\"h201\"")],
        &[Code::UnknownValue],
        Severity::Error,
    ),
    ("device-profile-missing", &[(DEVICE, "", "")], &[Code::ProfileUnreadable], Severity::Error),
    (
        "device-profile-of-another-version",
        &[(DEVICE, "profile/1", "profile/2")],
        &[Code::ProfileUnreadable],
        Severity::Error,
    ),
    (
        "device-profile-contradicts-itself",
        &[(DEVICE, "units = 15", "units = 17")],
        &[Code::ProfileUnreadable],
        Severity::Error,
    ),
    (
        "device-grants-more-than-it-has",
        &[(MANIFEST, "memory = \"1GiB\"", "memory = \"140GiB\"")],
        &[Code::DeviceMemory],
        Severity::Error,
    ),
    (
        "models-fit-but-not-beside-the-driver",
        &[(MANIFEST, "memory = \"1GiB\"", "memory = \"514MiB\"")],
        &[Code::DeviceExceeded],
        Severity::Error,
    ),
    (
        "models-fit-but-not-beside-what-is-copied",
        &[(MANIFEST, "memory = \"1MiB\"", "memory = \"150kB\"")],
        &[Code::DeviceExceeded],
        Severity::Error,
    ),
    (
        "models-of-a-device-in-the-cpus-memory-fit-but-not-beside-all",
        &[
            (DEVICE, "integrated = false", "integrated = true"),
            (MANIFEST, "memory = \"1GiB\"", "shares = \"cpu0\""),
            (MANIFEST, "memory = \"1MiB\"", "memory = \"516MiB\""),
        ],
        &[Code::DeviceExceeded],
        Severity::Error,
    ),
    (
        "context-that-nobody-measured",
        &[(DEVICE, "context-bytes = 536870912\npart-bytes = 2097152\n", "")],
        &[Code::ContextUnknown],
        Severity::Warning,
    ),
    ("profile-of-a-cpu-on-a-part", &[(FACE, PART, "")], &[Code::ProfileOfAnotherPart], Severity::Error),
    (
        "profile-of-a-part-on-a-cpu",
        &[(
            VOICE,
            "[model]",
            "[conditions.gpu]\nname = \"NVIDIA H200\"\ndriver = \"13.0\"\ncompute-capability = \"9.0\"\nsms = 8\ncompletion = \"polling\"\n\n[model]",
        )],
        &[Code::ProfileOfAnotherPart],
        Severity::Error,
    ),
    ("profile-of-more-sms", &[(FACE, "sms = 40", "sms = 48")], &[Code::ProfileOfMoreSms], Severity::Error),
    ("profile-of-fewer-sms", &[(FACE, "sms = 40", "sms = 32")], &[Code::ProfileConditions], Severity::Warning),
    (
        "profile-of-another-completion",
        &[(FACE, "\"polling\"", "\"blocking\"")],
        &[Code::ProfileConditions],
        Severity::Warning,
    ),
    (
        "profile-of-looking-where-the-lane-is-woken",
        &[(MANIFEST, "sms = 40\n", "sms = 40\ncompletion = \"blocking\"\n")],
        &[Code::ProfileOfAnotherPart],
        Severity::Error,
    ),
    (
        "memory-that-is-only-measured",
        &[(FACE, "memory = \"planned\"", "memory = \"measured\"")],
        &[Code::MemoryGrade, Code::ProfileUnreadable],
        Severity::Error,
    ),
    (
        "profile-of-another-driver",
        &[(FACE, "driver = \"13.0\"", "driver = \"12.8\"")],
        &[Code::ProfileConditions],
        Severity::Warning,
    ),
    (
        "profile-that-leaves-out-what-another-model-brought",
        &[(FACE, "completion = \"polling\"\n", "completion = \"polling\"\nafter = [\"sign\", \"lines\", \"voice\"]\n")],
        &[Code::ProfileConditions],
        Severity::Warning,
    ),
    (
        "profiles-that-each-leave-out-what-the-other-model-brought",
        &[
            (FACE, "completion = \"polling\"\n", "completion = \"polling\"\nafter = [\"sign\"]\n"),
            (SIGN, "completion = \"blocking\"\n", "completion = \"blocking\"\nafter = [\"face\"]\n"),
        ],
        &[Code::ProfileConditions],
        Severity::Warning,
    ),
    (
        "profile-of-another-device",
        &[(FACE, "NVIDIA H200", "NVIDIA H100")],
        &[Code::ProfileOfAnotherPart],
        Severity::Error,
    ),
    (
        "profiles-of-two-drivers-of-a-built-in-device",
        &[(MANIFEST, "\"profiles/device.toml\"", "\"h200\""), (SIGN, "driver = \"13.0\"", "driver = \"12.8\"")],
        &[Code::ProfileConditions, Code::ContextUnknown],
        Severity::Warning,
    ),
    ("profile-that-was-measured-alone", &[(FACE, ALONE, "")], &[Code::MeasuredAlone], Severity::Warning),
    (
        "segment-that-is-not-captured",
        &[(
            SIGN,
            "memory = \"planned\"",
            "memory = \"planned\"\nnot-captured = \"the node `Where_12` runs on the CPU\"",
        )],
        &[Code::NotCaptured],
        Severity::Warning,
    ),
];

/// Checks the vehicle that passes with changes.
fn checked(edits: &[Edit]) -> (Checked, String) {
    let edits = edits.iter().map(|(file, from, to)| (*file, *from, Some(*to).filter(|_| !from.is_empty())));
    let (checked, shown) = changed::checked(&folder(), &[MANIFEST, DEVICE, FACE, SIGN, VOICE], edits);
    (checked.unwrap(), shown)
}

#[test]
fn each_change_is_found_and_told_as_expected() {
    let mut goldens = Goldens::default();
    for (name, edits, codes, severity) in CASES {
        let (checked, shown) = checked(edits);
        let found: BTreeSet<Code> = checked.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(found, codes.iter().copied().collect(), "{name}: {shown}");
        let passes = *severity == Severity::Warning;
        assert_eq!((checked.passes(), checked.lock.is_some()), (passes, passes), "{name}: {shown}");
        assert!(checked.findings.iter().any(|finding| finding.severity == *severity), "{name}");
        goldens.compare(&folder().join(format!("{name}.stderr.txt")), &shown);
    }
    goldens.finish();
}

#[test]
fn no_expected_finding_is_without_its_case() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let case = name.strip_suffix(".stderr.txt");
        assert!(case.is_none_or(|case| CASES.iter().any(|(name, ..)| *name == case)), "{name} belongs to no case");
    }
}

/// The lock of the vehicle that passes.
fn good() -> Lock {
    let (checked, shown) = checked(&[]);
    assert_eq!(checked.findings, [], "{shown}");
    checked.lock.unwrap()
}

#[test]
fn parts_that_fit_exactly_go_from_the_manifest_to_the_tables_and_are_proven() {
    let lock = good();
    let paths: Vec<&str> = lock.lock.inputs.iter().map(|input| input.path.as_str()).collect();
    assert_eq!(paths, [MANIFEST, DEVICE, FACE, SIGN, VOICE], "a changed device's profile makes the lock stale");
    let text = lock.text().unwrap();
    assert_eq!(Lock::parse(Path::new("system.lock"), &text).unwrap(), lock);
    let part = "[plan.lane.partition]\npool = 1\nsms = 80\ncompletion = \"blocking\"\n";
    assert!(text.contains(part), "{text}");
    let system = tables::leak(&lock).unwrap();
    assert_eq!(verify(system), Ok(()));
    let gpu = GpuDesc {
        ordinal: 1,
        name: "NVIDIA H200",
        driver: "13.0",
        compute_capability: (9, 0),
        sms: 132,
        unit: 8,
        units: 15,
        context: Some(Bytes(516 << 20)),
        staging: Some(PoolId(0)),
    };
    assert_eq!(system.pools.iter().map(|pool| pool.gpu).collect::<Vec<_>>(), [None, Some(gpu)]);
    let part =
        |sms, completion| Some(PartitionDesc { pool: PoolId(1), sms, completion, switch: aegis_core::Duration::ZERO });
    let expected = [None, part(40, Waiting::Polling), part(80, Waiting::Blocking)];
    assert_eq!(system.lanes.iter().map(|lane| lane.partition).collect::<Vec<_>>(), expected);
    let places = |pool: usize| {
        let models = system.models.iter().filter(move |model| model.pool.index() == pool);
        models.flat_map(|model| model.inputs.iter().chain(model.outputs).map(|tensor| tensor.at.0)).collect::<Vec<_>>()
    };
    assert!(places(1).iter().all(|at| at % 256 == 0), "{:?}", places(1));
    let scratch = |model: &aegis_core::desc::ModelDesc| model.segments[0].scratch_at.0;
    let on_cpu = system.models.iter().find(|model| model.pool.index() == 0).map(scratch);
    assert!(on_cpu.is_some_and(|at| at % 256 == 64), "the CPU's lie as close as 64 bytes: {on_cpu:?}");
    let tables = emit::tables(&lock).unwrap();
    assert!(tables.contains("GpuDesc") && tables.contains("Waiting::Blocking"), "{tables}");
}

#[test]
fn a_device_of_which_no_lane_has_a_part_is_not_in_the_plan() {
    let edits =
        [(MANIFEST, "sms = 40\n", ""), (MANIFEST, "sms = 80\ncompletion = \"blocking\"\n", ""), (FACE, PART, "")];
    let (checked, shown) = checked(&edits);
    let lock = checked.lock.unwrap_or_else(|| panic!("{shown}"));
    assert!(lock.plan.pools.iter().all(|pool| pool.gpu.is_none()), "{shown}");
    assert!(lock.plan.lanes.iter().all(|lane| lane.partition.is_none()), "{shown}");
}

/// The descriptors of the plan with one change.
fn changed(change: impl FnOnce(&mut Plan)) -> &'static SystemDesc {
    let mut lock = good();
    change(&mut lock.plan);
    tables::leak(&lock).unwrap()
}

#[test]
fn the_checker_refuses_parts_that_the_device_cannot_give() {
    let of = |lane: usize, change: fn(&mut aegis_codegen::plan::Partition)| {
        verify(changed(|plan| change(plan.lanes[lane].partition.as_mut().unwrap())))
    };
    let refused = Err(Violation::Partitions);
    assert_eq!(of(1, |part| part.sms = 41), refused, "no whole groups");
    assert_eq!(of(1, |part| part.sms = 0), refused, "nothing");
    assert_eq!(of(1, |part| part.sms = 56), refused, "together more than there are");
    assert_eq!(of(1, |part| part.pool = 0), refused, "of a CPU");
    assert_eq!(of(1, |part| part.pool = 2), refused, "of no device");
    let gpu = |change: fn(&mut aegis_codegen::system::Gpu)| {
        verify(changed(|plan| change(plan.pools[1].gpu.as_mut().unwrap())))
    };
    assert_eq!(gpu(|gpu| gpu.unit = 16), refused, "40 is no multiple of 16");
    assert_eq!(gpu(|gpu| gpu.unit = 0), refused);
    assert_eq!(gpu(|gpu| gpu.units = 14), refused, "together more than there are");
    assert_eq!(gpu(|gpu| gpu.sms = 119), refused, "together more than there are");
    assert_eq!(verify(changed(|plan| plan.pools[0].gpu = plan.pools[1].gpu.clone())), refused, "one device twice");
    assert_eq!(verify(changed(|plan| plan.pools[1].gpu = None)), refused, "a part of no GPU");
    assert_eq!(verify(changed(|plan| plan.lanes[1].partition = None)), refused, "a model in a GPU's memory on a CPU");
    let on_cpu = |plan: &mut Plan| plan.models.iter_mut().for_each(|model| model.pool = 1);
    assert_ne!(verify(changed(on_cpu)), Ok(()), "a CPU's model in a GPU's memory");
}

#[test]
fn a_completion_that_is_not_known_is_no_table() {
    let mut lock = good();
    lock.plan.lanes[1].partition.as_mut().unwrap().completion = "waiting".to_owned();
    let refused = tables::leak(&lock).unwrap_err();
    assert!(refused.to_string().contains("completion `waiting`"), "{refused}");
}

#[test]
fn reports_name_the_sms_of_lanes_that_have_some() {
    let (checked, _) = checked(&[]);
    let shown = table::render(&checked);
    assert!(shown.contains("lane vision: deadline-monotonic, preemption none, core 2, 40 SMs, utilization"), "{shown}");
    assert!(shown.contains("lane main: deadline-monotonic, preemption none, core 1, utilization"), "{shown}");
    let report = json::render(&checked, "lab", "", true, None).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let sms: Vec<_> = report["lanes"].as_array().unwrap().iter().map(|lane| lane.get("sms").cloned()).collect();
    assert_eq!(sms, [None, Some(40.into()), Some(80.into())]);
}

#[test]
fn reports_name_each_part_of_a_devices_memory() {
    let pools = |edits: &[Edit]| {
        let (checked, shown) = checked(edits);
        let report = json::render(&checked, "lab", "", true, None).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert!(checked.passes(), "{shown}");
        (report["memory"]["pools"].clone(), table::render(&checked))
    };
    let sum =
        |pool: &serde_json::Value, parts: &[&str]| parts.iter().map(|part| pool[*part].as_u64().unwrap()).sum::<u64>();
    let (told, shown) = pools(&[]);
    let (cpu, gpu) = (&told[0], &told[1]);
    assert_eq!((gpu["context_bytes"].as_u64(), gpu["pinned_with"].as_str()), (Some(516 << 20), Some("cpu0")));
    assert_eq!((&cpu["context_bytes"], &cpu["pinned_bytes"]), (&serde_json::Value::Null, &0.into()));
    let own = sum(gpu, &["height_bytes", "weights_bytes", "context_bytes"]);
    assert_eq!(gpu["taken_bytes"], own, "what is copied from and to is the CPU's");
    let beside = sum(cpu, &["height_bytes", "weights_bytes"]) + gpu["pinned_bytes"].as_u64().unwrap();
    assert_eq!(cpu["taken_bytes"], beside);
    assert!(shown.contains("context 516.00 MiB, pinned 57.32 KiB (counted with cpu0), of 1.00 GiB"), "{shown}");
    assert!(shown.contains("pinned 57.32 KiB for gpu0, of 1.00 MiB"), "{shown}");
    let (told, shown) = pools(&[(DEVICE, "integrated = false", "integrated = true")]);
    let own = sum(&told[1], &["height_bytes", "weights_bytes", "context_bytes", "pinned_bytes"]);
    assert_eq!((told[1]["taken_bytes"].as_u64(), told[1]["pinned_with"].as_str()), (Some(own), Some("gpu0")));
    assert!(shown.contains("context 516.00 MiB, pinned 57.32 KiB, of 1.00 GiB"), "{shown}");
    let unknown = (DEVICE, "context-bytes = 536870912\npart-bytes = 2097152\n", "");
    let (told, shown) = pools(&[unknown, (MANIFEST, "memory = \"1GiB\"", "memory = \"4GiB\"")]);
    assert_eq!(told[1]["context_bytes"], serde_json::Value::Null);
    assert!(shown.contains("context not measured, pinned"), "{shown}");
}

#[test]
fn the_plan_names_the_device_and_the_driver_that_models_were_measured_on() {
    let gpu = |edits: &[Edit]| {
        let (checked, shown) = checked(edits);
        let lock = checked.lock.unwrap_or_else(|| panic!("{shown}"));
        lock.plan.pools[1].gpu.clone().unwrap()
    };
    let (kind, old) = ((MANIFEST, "\"profiles/device.toml\"", "\"h200\""), ("driver = \"13.0\"", "driver = \"12.8\""));
    let of_kind = gpu(&[kind]);
    assert_eq!((of_kind.name.as_str(), of_kind.driver.as_str(), of_kind.units), ("NVIDIA H200", "13.0", 15));
    let all_old = gpu(&[(FACE, old.0, old.1), (SIGN, old.0, old.1)]);
    assert_eq!((all_old.name.as_str(), all_old.driver.as_str(), all_old.units), ("NVIDIA H200", "12.8", 15));
}

#[test]
fn a_lock_of_clocks_that_nobody_tells_is_the_clock_that_was_measured() {
    let state = "[conditions.state.gpu]\nclock-khz = 1980000\nmost-clock-khz = 1980000\nmemory-clock-khz = 3201000\n\
                 power-limit-mw = 700000\n\n[model]";
    let locked = (MANIFEST, "ordinal = 1", "ordinal = 1\nclocks = \"locked\"");
    let (told, shown) = checked(&[locked, (FACE, "[model]", state), (SIGN, "[model]", state)]);
    let desc = tables::leak(&told.lock.unwrap_or_else(|| panic!("{shown}"))).unwrap();
    let limit = |what, value| LimitDesc { of: Subject::Pool(PoolId(1)), what, value };
    let expected = [
        limit(Quantity::Clock, 1_980_000),
        limit(Quantity::MemoryClock, 3_201_000),
        limit(Quantity::MostClock, 1_980_000),
        limit(Quantity::PowerLimit, 700_000),
    ];
    assert_eq!(desc.conditions.limits, expected);
    let (untold, shown) = checked(&[locked, (FACE, "[model]", state)]);
    assert!(!untold.passes() && shown.contains("it does not tell the memory-clock of the device"), "{shown}");
}
