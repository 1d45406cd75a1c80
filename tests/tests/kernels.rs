//! Kernels of a vehicle's own: one that passes, whose plan the checker re-proves, one change each that does not hold, with the
//! findings as people see them, and each rule of the checker broken.
//!
//! `AEGIS_BLESS=1 cargo test -p aegis-tests --test kernels` rewrites the expected findings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

use aegis_codegen::check::Checked;
use aegis_codegen::finding::Code;
use aegis_codegen::launches::{Argument, ArgumentKind, Launch};
use aegis_codegen::lock::Lock;
use aegis_codegen::manifest::unbuildable;
use aegis_codegen::plan::{Plan, Segment};
use aegis_codegen::{emit, tables};
use aegis_core::desc::{ArgumentDesc, Backend, LaunchDesc};
use aegis_core::verify::{Broken, Violation, verify};
use aegis_tests::changed;
use aegis_tests::golden::Goldens;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "system.toml";
const FILE: &str = "edge.ptx";
const DEVICE: &str = "profiles/device.toml";
const EDGE: &str = "profiles/edge.toml";
const VOICE: &str = "profiles/voice.toml";

/// One change: a file, what is replaced, and by what.
type Edit = (&'static str, &'static str, &'static str);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/kernels")
}

fn checked(edits: &[Edit]) -> (Checked, String) {
    let edits = edits.iter().map(|(file, from, to)| (*file, *from, Some(*to)));
    let (result, shown) = changed::checked(&folder(), &[MANIFEST, FILE, DEVICE, EDGE, VOICE], edits);
    (result.unwrap(), shown)
}

/// The name, the changes, and the codes that they lead to.
const CASES: &[(&str, &[Edit], &[Code])] = &[
    ("another-grid", &[(MANIFEST, "grid = [16, 1, 1]", "grid = [15, 1, 1]")], &[Code::ProfileOfAnotherModel]),
    ("another-number", &[(MANIFEST, "u32 = 20000", "u32 = 20001")], &[Code::ProfileOfAnotherModel]),
    ("another-file", &[(FILE, "mul.rn.f32", "add.rn.f32")], &[Code::ProfileOfAnotherModel]),
    ("profile-without-launches", &[(EDGE, "launches-sha256 = ", "#")], &[Code::ProfileOfAnotherModel]),
    ("profile-of-another-shape", &[(EDGE, "shape = [1, 1024]", "shape = [1024, 1]")], &[Code::ProfileOfAnotherModel]),
    (
        "profile-of-other-buffers",
        &[(EDGE, "[[4096, 4096, -1, -2]]", "[[4096, 4096, -2, -1]]")],
        &[Code::ProfileOfAnotherModel],
    ),
    ("profile-that-is-not-planned", &[(EDGE, "\"planned\"", "\"capped\"")], &[Code::ProfileOfAnotherModel]),
    (
        "profile-that-reads-something-else",
        &[(EDGE, "writes = [\"twice\", \"last\"]", "writes = [\"last\", \"twice\"]")],
        &[Code::ProfileOfAnotherModel],
    ),
    ("more-than-the-device", &[(MANIFEST, "64MiB", "2MiB")], &[Code::MemoryExceeded]),
    ("file-missing", &[(MANIFEST, "edge.ptx", "egde.ptx")], &[Code::FileUnreadable]),
];

#[test]
fn each_change_is_reported_as_expected() {
    let mut goldens = Goldens::default();
    for (name, edits, expected) in CASES {
        let (checked, shown) = checked(edits);
        let codes: Vec<Code> = checked.findings.iter().map(|finding| finding.code).collect();
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
        assert!(case.is_none_or(|case| CASES.iter().any(|(name, ..)| *name == case)), "{name} belongs to no change");
    }
}

fn good() -> Lock {
    let (checked, shown) = checked(&[]);
    assert_eq!(checked.findings, [], "{shown}");
    checked.lock.unwrap()
}

#[test]
fn launches_go_from_the_manifest_through_the_lock_to_the_tables_and_are_proven() {
    let lock = good();
    let text = lock.text().unwrap();
    assert_eq!(Lock::parse(Path::new("system.lock"), &text).unwrap(), lock);
    let system = tables::leak(&lock).unwrap();
    assert_eq!(verify(system), Ok(()));
    let [voice, edge] = system.models else { panic!("two models") };
    assert_eq!((voice.backend, voice.segments[0].launches), (Backend::OnnxRuntime, [].as_slice()));
    let [scale, _, add, busy] = edge.segments[0].launches else { panic!("four launches") };
    let arguments = [
        ArgumentDesc::Tensor(0),
        ArgumentDesc::Buffer(0),
        ArgumentDesc::Word(1_024),
        ArgumentDesc::Word(3.0_f32.to_bits()),
    ];
    assert_eq!((scale.kernel, scale.grid, scale.arguments), ("scale", [8, 1, 1], arguments.as_slice()));
    assert_eq!((add.shared.0, busy.block), (1_024, [32, 2, 1]));
    // Both buffers live at once, so they lie apart.
    assert_eq!((edge.segments[0].scratch.0, edge.segments[0].persistent.0), (8_192, 0));
    let tables = emit::tables(&lock).unwrap();
    for part in ["Backend::Kernels", "LaunchDesc", "ArgumentDesc::Buffer(1)", "verify::launches_hold("] {
        assert!(tables.contains(part), "{part}: {tables}");
    }
}

#[test]
fn kernels_need_no_runtime_and_other_models_still_do() {
    let text = std::fs::read_to_string(folder().join("valid").join(MANIFEST)).unwrap();
    let of = |text: &str| {
        let (manifest, findings) = aegis_codegen::manifest::parse(MANIFEST, text);
        unbuildable(MANIFEST, &manifest.unwrap_or_else(|| panic!("{findings:#?}")))
    };
    assert_eq!(of(&text), []);
    let cut = |text: &str, from: &str, to: &str| {
        let (before, rest) = text.split_once(from).unwrap();
        format!("{before}{to}{}", rest.split_once(to).unwrap().1)
    };
    let without = cut(&text, "[runtime.onnxruntime]", "[device.cpu0]");
    let [finding] = of(&without).try_into().unwrap();
    assert_eq!(finding.message, "the runtime `onnxruntime` is not named, but models need it");
    let alone = cut(&cut(&without, "[model.voice]", "[model.edge]"), "[task.listen]", "[task.filter]");
    assert_eq!(of(&cut(&alone, "[lane.main]", "[lane.load]")), []);
}

/// What the checker says of the plan with a change.
fn changed_plan(change: impl FnOnce(&mut Plan)) -> Option<Violation> {
    let mut lock = good();
    change(&mut lock.plan);
    verify(tables::leak(&lock).unwrap()).err()
}

/// What it says of one with its segment of kernels changed.
fn refused(change: impl FnOnce(&mut Segment)) -> Option<Violation> {
    changed_plan(|plan| change(&mut plan.models[1].segments[0]))
}

type Change = fn(&mut Segment);

#[test]
fn each_rule_of_launches_can_be_broken_and_is_refused() {
    const BUFFER: fn(i64) -> Argument = |number| Argument(ArgumentKind::Buffer, number);
    const TENSOR: fn(i64) -> Argument = |number| Argument(ArgumentKind::Tensor, number);
    let changes: &[(&str, Change)] = &[
        ("no launch", |segment| segment.launches.clear()),
        ("too many", |segment| {
            let last = segment.launches[3].clone();
            segment.launches.extend(vec![last; LaunchDesc::MOST]);
        }),
        ("no name", |segment| segment.launches[0].kernel.clear()),
        ("no block", |segment| segment.launches[0].grid = [8, 0, 1]),
        ("too many blocks in x", |segment| segment.launches[0].grid = [0x8000_0000, 1, 1]),
        ("too many blocks in z", |segment| segment.launches[0].grid = [1, 1, 65_536]),
        ("no thread", |segment| segment.launches[0].block = [0, 1, 1]),
        ("too many threads", |segment| segment.launches[0].block = [1_024, 2, 1]),
        ("too many threads to count", |segment| segment.launches[0].block = [u32::MAX; 3]),
        ("too deep", |segment| segment.launches[0].block = [1, 1, 65]),
        ("too much shared memory", |segment| segment.launches[0].shared = (227 << 10) + 1),
        ("too many arguments", |segment| {
            segment.launches[0].arguments.extend([Argument(ArgumentKind::Word, 0); LaunchDesc::MOST_ARGUMENTS]);
        }),
        ("a tensor that is not there", |segment| segment.launches[0].arguments[0] = TENSOR(3)),
        ("an input that none reads", |segment| {
            segment.launches[0].arguments[0] = TENSOR(1);
            segment.launches[1].arguments[0] = TENSOR(1);
        }),
        ("an output that none writes", |segment| segment.launches[3].arguments[1] = TENSOR(1)),
        ("a buffer that is not there", |segment| segment.launches[3].arguments[0] = BUFFER(2)),
        ("a buffer before its request", |segment| segment.launches[0].arguments[1] = BUFFER(1)),
        ("a buffer after its return", |segment| {
            // It is given back before the other one is requested, and the third launch still has it.
            let back = segment.runs[0].steps.remove(2);
            segment.runs[0].steps.insert(1, back);
        }),
        ("a buffer that is requested and not used", |segment| {
            segment.launches.truncate(1);
            segment.launches[0].arguments.extend([TENSOR(1), TENSOR(2)]);
        }),
        ("two recordings", |segment| segment.runs.push(segment.runs[0].clone())),
        ("no recording", |segment| segment.runs.clear()),
        ("requests of loading", |segment| segment.load = vec![vec![0, 64, 0, -1]]),
        ("not planned", |segment| segment.memory = "capped".to_owned()),
    ];
    for (what, change) in changes {
        assert_eq!(refused(*change), Some(Violation::Launches), "{what}");
    }
    // A list that is another one, but a possible one.
    assert_eq!(refused(|segment| segment.launches[3].arguments[2] = Argument(ArgumentKind::Long, -1)), None);
}

#[test]
fn only_kernels_have_launches_and_they_run_on_a_part_of_a_gpu() {
    let launch = Launch { kernel: "a".into(), grid: [1; 3], block: [1; 3], shared: 0, arguments: Vec::new() };
    let of_another = changed_plan(|plan| plan.models[0].segments[0].launches.push(launch));
    assert_eq!(of_another, Some(Violation::Launches));
    let other_backend = changed_plan(|plan| plan.models[1].backend = "onnxruntime".to_owned());
    assert_eq!(other_backend, Some(Violation::Launches));
    let carried = changed_plan(|plan| {
        let tensor = plan.models[1].outputs[0].clone();
        plan.models[1].carried.push(tensor);
    });
    assert_eq!(carried, Some(Violation::Launches));
    let in_two = changed_plan(|plan| {
        let segment = plan.models[1].segments[0].clone();
        plan.models[1].segments.push(segment);
    });
    assert_eq!(in_two, Some(Violation::Launches));
    // In the memory of no GPU, on a lane of none.
    let mut lock = good();
    lock.plan.pools[1].gpu = None;
    lock.plan.lanes[1].partition = None;
    let system = tables::leak(&lock).unwrap();
    assert_eq!(verify(system), Err(Violation::Launches));
    let told = Broken { system, violation: Violation::Launches }.to_string();
    assert!(told.contains("task \"filter\""), "{told}");
}

#[test]
fn an_argument_whose_number_does_not_fit_is_no_table() {
    for (kind, number) in [
        (ArgumentKind::Tensor, -1),
        (ArgumentKind::Buffer, 65_536),
        (ArgumentKind::Word, 1 << 32),
        (ArgumentKind::Word, -1),
    ] {
        let mut lock = good();
        lock.plan.models[1].segments[0].launches[0].arguments[0] = Argument(kind, number);
        let error = tables::leak(&lock).unwrap_err().to_string();
        assert!(error.contains("argument of a launch"), "{error}");
    }
}
