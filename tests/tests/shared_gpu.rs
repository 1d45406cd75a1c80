//! A GPU on which several processes have models: a vehicle that passes, whose plan core re-proves, and one change each that does not
//! hold, with the findings as people see them.
//!
//! `AEGIS_BLESS=1 cargo test -p aegis-tests --test shared_gpu` rewrites the expected findings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

use aegis_codegen::analysis::failures;
use aegis_codegen::check::Checked;
use aegis_codegen::finding::{Code, Severity};
use aegis_codegen::lock::Lock;
use aegis_codegen::report::{explain, json, table};
use aegis_codegen::{emit, tables};
use aegis_core::desc::SystemDesc;
use aegis_core::units::{Bytes, DomainId, PoolId};
use aegis_core::verify::{Violation, partitions_hold, verify};
use aegis_tests::changed;
use aegis_tests::golden::Goldens;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/shared")
}

/// One change: a file, what is replaced, and by what.
type Edit = (&'static str, &'static str, &'static str);

const MANIFEST: &str = "system.toml";
const DEVICE: &str = "profiles/device.toml";
const FILES: [&str; 5] = [MANIFEST, DEVICE, "profiles/face.toml", "profiles/sign.toml", "profiles/voice.toml"];

const SWITCH: &str = "domain-switch = \"150us\"\n";
const FAILS: Edit = (MANIFEST, "hooks = \"100us\"\n", "hooks = \"100us\"\non-overrun = \"fail-domain\"\n");

/// The name, the changes, the codes that they lead to, and whether these are errors.
const CASES: &[(&str, &[Edit], &[Code], Severity)] = &[
    (
        "switch-that-nobody-measured",
        &[(MANIFEST, SWITCH, ""), (DEVICE, "domain-switch-ns = 120000\n", "")],
        &[Code::SharedUnmeasured],
        Severity::Error,
    ),
    (
        "blackouts-that-nobody-measured",
        &[
            (MANIFEST, SWITCH, "domain-switch = \"150us\"\nfault-blackout = { kill = \"10ms\" }\n"),
            (DEVICE, "blackout-crash-ns = 100000000\nblackout-kill-ns = 10000000\nblackout-hang-ns = 120000000\n", ""),
        ],
        &[Code::SharedUnmeasured],
        Severity::Error,
    ),
    (
        "switch-below-what-was-measured",
        &[(MANIFEST, SWITCH, "domain-switch = \"119999ns\"\n")],
        &[Code::BelowMeasured],
        Severity::Error,
    ),
    (
        "blackouts-below-what-was-measured",
        &[(MANIFEST, SWITCH, "domain-switch = \"150us\"\nfault-blackout = { crash = \"99ms\", memory = \"0ms\" }\n")],
        &[Code::BelowMeasured],
        Severity::Error,
    ),
    (
        "killed-with-another-process",
        // 7 ms of a WCET and 152 ms for which the other's end may keep the device and the lane.
        &[(MANIFEST, "hand-over = \"200us\"\n", "hand-over = \"200us\"\nkill-after = \"150ms\"\n")],
        &[Code::KilledWithAnother],
        Severity::Error,
    ),
    ("overrun-of-another-process-fails-its-domain", &[FAILS], &[Code::FailsAlong], Severity::Warning),
    (
        "overrun-of-another-process-ends-the-job",
        &[(MANIFEST, "hooks = \"100us\"\n", "hooks = \"100us\"\non-overrun = \"abort-job\"\n")],
        &[Code::FailsAlong],
        Severity::Warning,
    ),
    (
        "stall-by-another-process",
        &[(MANIFEST, "[device.cpu0]\n", "[watchdog]\ntimeout = \"150ms\"\n\n[device.cpu0]\n")],
        &[Code::StalledByAnother],
        Severity::Warning,
    ),
    (
        "failure-of-another-process-not-survived",
        &[(MANIFEST, "period = \"500ms\"\n", "period = \"300ms\"\n")],
        &[Code::NotSurvived],
        Severity::Warning,
    ),
    (
        "contexts-of-two-processes-exceed-the-device",
        &[(MANIFEST, "memory = \"2GiB\"", "memory = \"1GiB\"")],
        &[Code::DeviceExceeded],
        Severity::Error,
    ),
];

/// Checks the vehicle that passes with changes.
fn checked(edits: &[Edit]) -> (Checked, String) {
    let edits = edits.iter().map(|(file, from, to)| (*file, *from, Some(*to)));
    let (checked, shown) = changed::checked(&folder(), &FILES, edits);
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

/// The lock of the vehicle that passes, with changes that do not matter for that.
fn good(edits: &[Edit]) -> Lock {
    let (checked, shown) = checked(edits);
    assert_eq!(checked.findings, [], "{shown}");
    checked.lock.unwrap()
}

fn wcets(system: &SystemDesc) -> Vec<(&'static str, u64, u64)> {
    system.tasks.iter().map(|task| (task.name, task.wcet.as_ns(), task.budget.as_ns())).collect()
}

#[test]
fn each_process_has_a_pool_of_the_device_and_each_wcet_has_the_switch() {
    let lock = good(&[]);
    let text = lock.text().unwrap();
    assert_eq!(Lock::parse(Path::new("system.lock"), &text).unwrap(), lock);
    let system = tables::leak(&lock).unwrap();
    assert_eq!(verify(system), Ok(()));
    let context = |pool: &aegis_core::desc::PoolDesc| pool.gpu.map(|gpu| (gpu.ordinal, gpu.context, gpu.staging));
    let pools: Vec<_> = system.pools.iter().map(|pool| (pool.name, pool.domain, pool.shares, context(pool))).collect();
    let own = Some((1, Some(Bytes((512 << 20) + (2 << 20))), Some(PoolId(0))));
    assert_eq!(
        pools,
        [
            ("cpu0", None, None, None),
            // No model of the vehicle's own process: it does not open the device.
            ("gpu0", None, None, Some((1, Some(Bytes(0)), Some(PoolId(0))))),
            ("gpu0.eyes", Some(DomainId(0)), Some(PoolId(1)), own),
            ("gpu0.signs", Some(DomainId(1)), Some(PoolId(1)), own),
        ]
    );
    let in_pools: Vec<_> = system.models.iter().map(|model| (model.name, model.pool.0)).collect();
    assert_eq!(in_pools, [("face", 2), ("sign", 3), ("voice", 0)]);
    assert!(system.models.iter().all(|model| model.segments[0].scratch_at.0 % 64 == 0));
    let part = system.lanes[1].partition.unwrap();
    assert_eq!((part.pool, part.switch.as_ns(), system.lanes[1].domain_switch.as_ns()), (PoolId(1), 150_000, 0));
    // 1.25 times 5.2 ms, hooks, a hand-over and a switch; 1.25 times 6.8 ms, a hand-over and a switch.
    let expected = [("listen", 0, 0), ("see", 6_950_000, 6_950_000), ("read", 8_750_000, 8_750_000)];
    for (name, wcet, budget) in wcets(system).into_iter().filter(|(name, ..)| *name != "listen") {
        assert!(expected.contains(&(name, wcet, budget)), "{name} {wcet} {budget}");
    }
    // Twice the execution, a hand-over, and for how long the device and the lane may be kept by the other's end: 120 ms with the
    // margin, and its blackout of 1 or 2 ms.
    let kill: Vec<u64> = system.domains.iter().map(|domain| domain.process.unwrap().kill_after.as_ns()).collect();
    assert_eq!(kill, [2 * 6_750_000 + 200_000 + 151_000_000, 2 * 8_650_000 + 100_000 + 152_000_000]);
    let shown = emit::tables(&lock).unwrap();
    assert!(
        shown.contains("switch: ::aegis_core::Duration::from_ns(150000)") && shown.contains("\"gpu0.signs\""),
        "{shown}"
    );
}

#[test]
fn what_was_measured_counts_with_the_margin_where_the_manifest_says_nothing() {
    let lock = good(&[(MANIFEST, SWITCH, "")]);
    let system = tables::leak(&lock).unwrap();
    assert_eq!(system.lanes[1].partition.unwrap().switch.as_ns(), 150_000, "1.25 times 120 us");
    let given = "fault-blackout = { crash = \"100ms\", hang = \"120ms\", memory = \"300ms\" }\n";
    let (checked, shown) = checked(&[(MANIFEST, SWITCH, given)]);
    let lanes = &checked.resolved.as_ref().unwrap_or_else(|| panic!("{shown}")).system.lanes;
    let blackouts: Vec<u64> = lanes.iter().map(|lane| lane.blackout.as_ns()).collect();
    assert_eq!(blackouts, [0, 300_000_000], "the longest of all, and none on a CPU");
}

#[test]
fn one_process_alone_on_a_device_needs_none_of_that_and_has_several_lanes() {
    let edits = [
        (MANIFEST, SWITCH, ""),
        (MANIFEST, "domain = \"signs\"\n", "domain = \"eyes\"\n"),
        (MANIFEST, "[domain.signs]\nhand-over = \"100us\"\nfault-blackout = \"1ms\"\n\n", ""),
        (DEVICE, "domain-switch-ns = 120000\nblackout-crash-ns = 100000000\n", ""),
        (
            MANIFEST,
            "[domain.eyes]",
            "[lane.more]\ndevice = \"gpu0\"\ncore = 3\nsms = 40\ndispatch-overhead = \"20us\"\nwakeup-latency = \"50us\"\n\n[domain.eyes]",
        ),
        (MANIFEST, "lane = \"vision\"\nmodel = \"sign\"", "lane = \"more\"\nmodel = \"sign\""),
        ("profiles/sign.toml", "core = 2", "core = 3"),
    ];
    let lock = good(&edits);
    let system = tables::leak(&lock).unwrap();
    assert_eq!(verify(system), Ok(()));
    let parts: Vec<_> = system.lanes.iter().filter_map(|lane| Some(lane.partition?.switch.as_ns())).collect();
    assert_eq!(parts, [0, 0]);
    let contexts: Vec<_> = system.pools.iter().filter_map(|pool| pool.gpu?.context).collect();
    assert_eq!(contexts, [Bytes(0), Bytes((512 << 20) + 2 * (2 << 20))]);
}

#[test]
fn a_task_of_the_vehicles_own_process_waits_for_switches_as_well() {
    let edits = [
        (MANIFEST, "domain = \"signs\"\n", ""),
        (MANIFEST, "[domain.signs]\nhand-over = \"100us\"\nfault-blackout = \"1ms\"\n\n", ""),
    ];
    let lock = good(&edits);
    let system = tables::leak(&lock).unwrap();
    assert_eq!(verify(system), Ok(()));
    let read = system.tasks.iter().find(|task| task.name == "read").unwrap();
    assert_eq!((read.wcet.as_ns(), read.budget.as_ns()), (8_650_000, 8_650_000));
    let pools: Vec<_> = system.pools.iter().filter_map(|pool| Some((pool.name, pool.gpu?.context?.0 >> 20))).collect();
    assert_eq!(pools, [("gpu0", 514), ("gpu0.eyes", 514)], "each process has a context");
}

#[test]
fn a_failure_keeps_the_devices_lane_for_its_blackout_and_others_for_the_domains() {
    let (checked, _) = checked(&[]);
    let resolved = checked.resolved.as_ref().unwrap();
    let analysis = checked.analysis.as_ref().unwrap();
    let found = failures::analyse(&resolved.system, analysis);
    let once: Vec<_> = found.iter().map(|failure| failure.once.clone()).collect();
    let (eyes, signs) = (164_700_000_u64, 169_400_000_u64);
    assert_eq!(
        once,
        [
            vec![2_000_000, eyes + 50_000 + 2_000_000 + 150_000_000],
            vec![1_000_000, signs + 50_000 + 1_000_000 + 150_000_000]
        ]
    );
    let shown = table::render(&checked);
    for part in [
        "memory gpu0.eyes: ",
        "; an arena of its own on gpu0",
        "lane vision: processes have gpu0 by turns; 150 us a switch (part of each WCET), 150 ms when one of them fails",
    ] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    let place = resolved.system.tasks.iter().position(|task| task.name == "see").unwrap();
    let words = explain::render(&resolved.system, analysis, place);
    assert!(words.contains("going to another process on the device, for 1 segment"), "{words}");
    assert!(words.contains("handing segments over"), "{words}");
    let text = json::render(&checked, "lab", "", true, None).unwrap();
    assert!(
        text.contains("\"process_switch_ns\": 150000") && text.contains("\"fault_blackout_ns\": 150000000"),
        "{text}"
    );
}

#[test]
fn a_domain_that_an_overrun_lets_fail_as_well_is_no_longer_one_that_survives() {
    let (checked, shown) = checked(&[FAILS]);
    let resolved = checked.resolved.as_ref().unwrap_or_else(|| panic!("{shown}"));
    let found = failures::analyse(&resolved.system, checked.analysis.as_ref().unwrap());
    let along: Vec<_> = found.iter().map(|failure| failure.along.clone()).collect();
    assert_eq!(along, [vec![], vec![0]], "the failure of `signs` is that of `eyes`, not the other way round");
    assert!(
        found[1].tasks.iter().zip(&resolved.system.tasks).all(|(bound, task)| bound.is_some() == task.domain.is_none())
    );
    // Both kill, and both ends keep the device.
    assert_eq!(found[1].once[1], 164_700_000 + 169_400_000 + 2 * 50_000 + 3_000_000 + 2 * 150_000_000);
    assert!(table::render(&checked).contains("; eyes fails with it"));
}

#[test]
fn core_refuses_a_plan_in_which_processes_share_a_device_otherwise() {
    let text = good(&[]).text().unwrap();
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} in\n{text}");
        let other: Lock = toml::from_str(&text.replacen(from, to, 1)).unwrap();
        verify(tables::leak(&other).unwrap())
    };
    // A model of one process in the memory of another, or of the vehicle's own.
    assert_eq!(refused("pool = 3\nweights-bytes = 30000", "pool = 2\nweights-bytes = 30000"), Err(Violation::Domains));
    // More of a switch than a piece of a job has.
    assert_eq!(refused("switch-ns = 150000", "switch-ns = 15000000"), Err(Violation::Domains));
    // Two pools of one process.
    let two = text.replacen("domain = 1\ncapacity", "domain = 0\ncapacity", 1);
    assert_ne!(two, text);
    let two: Lock = toml::from_str(&two).unwrap();
    assert_eq!(verify(tables::leak(&two).unwrap()), Err(Violation::Domains));
    // Two lanes with models of two processes.
    let more = "[lane.more]\ndevice = \"gpu0\"\ncore = 3\nsms = 40\ndispatch-overhead = \"20us\"\nwakeup-latency = \"50us\"\n\n";
    let with_more: &'static str = format!("{more}[domain.eyes]").leak();
    let mut lock = checked(&[(MANIFEST, "[domain.eyes]", with_more)]).0.lock.unwrap();
    assert!(partitions_hold(tables::leak(&lock).unwrap()));
    let apart = lock.plan.lanes.iter().position(|lane| lane.name == "more").unwrap();
    lock.plan.tasks.iter_mut().find(|task| task.name == "read").unwrap().lane = u16::try_from(apart).unwrap();
    assert!(!partitions_hold(tables::leak(&lock).unwrap()));
    // Two pools of one device that say different things of it.
    let mut lock = good(&[]);
    lock.plan.pools[3].gpu.as_mut().unwrap().sms = 131;
    assert_eq!(verify(tables::leak(&lock).unwrap()), Err(Violation::Partitions));
    // A task of the vehicle's own process whose time has no room for a switch.
    let mut lock = good(&[
        (MANIFEST, "domain = \"signs\"\n", ""),
        (MANIFEST, "[domain.signs]\nhand-over = \"100us\"\nfault-blackout = \"1ms\"\n\n", ""),
    ]);
    let part = lock.plan.lanes[1].partition.as_mut().unwrap();
    part.switch_ns = 6_600_000;
    assert_eq!(verify(tables::leak(&lock).unwrap()), Ok(()), "they have room for so much");
    lock.plan.tasks.iter_mut().find(|task| task.name == "read").unwrap().wcet_ns = 6_599_999;
    assert_eq!(verify(tables::leak(&lock).unwrap()), Err(Violation::Partitions));
}
