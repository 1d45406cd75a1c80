//! Bad profiles and plans that do not hold: one change to a vehicle that passes, and the findings as people see them.
//!
//! `AEGIS_BLESS=1 cargo test -p aegis-tests --test profiles` rewrites the expected findings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

mod conditions;
mod domains;
mod tail;

use aegis_codegen::check::{Checked, Internal};
use aegis_codegen::finding::{Code, Severity};
use aegis_codegen::lock::Lock;
use aegis_core::desc::OnStall;
use aegis_tests::changed;
use aegis_tests::golden::Goldens;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tail::{FROM_TAIL, REFUSED_TAIL, TAIL};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/profiles")
}

type Edit = changed::Edit<'static>;

/// The name, the changes, and the codes that they lead to.
type Case = (&'static str, &'static [Edit], &'static [Code]);

const MANIFEST: &str = "system.toml";
const FACE: &str = "profiles/face.toml";
const SIGN: &str = "profiles/sign.toml";
const VOICE: &str = "profiles/voice.toml";
const LANE: &str = "profiles/lane-main.toml";
const FILES: &[&str] = &[MANIFEST, FACE, SIGN, VOICE, LANE];

/// An event of lane `a` waits for a step of each other lane and for one that changes the level: 400 + 200 + 400 ms.
const LEVELS: &str = r#"[system]
name = "slow"
policy = "deadline-monotonic"

[lane.a]
kind = "cpu"
core = 1
dispatch-overhead = "1ms"
wakeup-latency = "1ms"

[lane.b]
kind = "cpu"
core = 2
dispatch-overhead = "240ms"
wakeup-latency = "1ms"

[lane.c]
kind = "cpu"
core = 3
dispatch-overhead = "140ms"
wakeup-latency = "1ms"

[task.look]
lane = "a"
period = "10s"
wcet = "1s"

[task.think]
lane = "b"
period = "10s"
wcet = "1s"

[task.log]
lane = "c"
period = "10s"
wcet = "1s"

[pressure.high]
reject = ["log"]
"#;

const SCHEMA: &str = "schema = \"aegis.lane-profile/1\"\n";
const POLLED: &str = "schema = \"aegis.lane-profile/1\"\nwaiting = \"polling\"\n";
const POLICY: &str = "policy = \"deadline-monotonic\"\n";
const POLLING: &str = "policy = \"deadline-monotonic\"\nwaiting = \"polling\"\n";

const CASES: &[Case] = &[
    ("profile-of-threads-that-look", &[(LANE, SCHEMA, Some(POLLED))], &[Code::ProfileOfOtherWaiting]),
    ("profile-of-threads-that-are-woken", &[(MANIFEST, POLICY, Some(POLLING))], &[Code::ProfileConditions]),
    ("profile-missing", &[(FACE, "", None)], &[Code::ProfileUnreadable]),
    ("lane-profile-missing", &[(LANE, "", None)], &[Code::ProfileUnreadable]),
    ("profile-not-toml", &[(FACE, "runs = 500", Some("runs = five hundred"))], &[Code::ProfileUnreadable]),
    ("profile-empty", &[(FACE, "", Some(""))], &[Code::ProfileWithoutConditions]),
    ("profile-unknown-key", &[(FACE, "runs = 500", Some("runs = 500\nluck = 1"))], &[Code::ProfileUnreadable]),
    ("profile-key-missing", &[(FACE, "max-ns = 5200000\n", Some(""))], &[Code::ProfileUnreadable]),
    (
        "profile-without-conditions",
        &[(SIGN, "[conditions]", Some("[circumstances]"))],
        &[Code::ProfileWithoutConditions],
    ),
    ("profile-condition-missing", &[(SIGN, "cpu-model = \"Lab CPU\"\n", Some(""))], &[Code::ProfileUnreadable]),
    (
        "profile-schema-of-another-version",
        &[(VOICE, "aegis.profile/3", Some("aegis.profile/2"))],
        &[Code::ProfileUnreadable],
    ),
    (
        "lane-profile-of-a-model",
        &[(MANIFEST, "profiles/lane-main.toml", Some("profiles/face.toml"))],
        &[Code::ProfileUnreadable],
    ),
    (
        "lane-schema-in-a-model-profile",
        &[(FACE, "aegis.profile/3", Some("aegis.lane-profile/1"))],
        &[Code::ProfileUnreadable],
    ),
    ("quantiles-out-of-order", &[(FACE, "p99-ns = 4900000", Some("p99-ns = 5100000"))], &[Code::ProfileUnreadable]),
    ("no-runs", &[(LANE, "runs = 500\nmin-ns = 3000", Some("runs = 0\nmin-ns = 3000"))], &[Code::ProfileUnreadable]),
    ("negative-time", &[(FACE, "min-ns = 4000000", Some("min-ns = -4"))], &[Code::ProfileUnreadable]),
    ("another-models-sha256", &[(VOICE, "22222222", Some("22222223"))], &[Code::ProfileOfAnotherModel]),
    ("another-input-shape", &[(MANIFEST, "[1, 64, 64, 3]", Some("[1, 32, 32, 3]"))], &[Code::ProfileOfAnotherModel]),
    ("another-input-name", &[(MANIFEST, "{ input =", Some("{ image ="))], &[Code::ProfileOfAnotherModel]),
    ("unknown-element-type", &[(SIGN, "\"u8\"", Some("\"f16\""))], &[Code::ProfileUnreadable]),
    ("length-not-of-the-shape", &[(SIGN, "bytes = 9216", Some("bytes = 9215"))], &[Code::ProfileUnreadable]),
    (
        "another-cpu-model",
        &[(MANIFEST, "cpu-model = \"Lab CPU\"", Some("cpu-model = \"Road CPU\""))],
        &[Code::ProfileConditions],
    ),
    (
        "another-governor",
        &[(MANIFEST, "governor = \"performance\"", Some("governor = \"powersave\""))],
        &[Code::ProfileConditions],
    ),
    ("another-core", &[(FACE, "core = 1\n", Some("core = 3\n"))], &[Code::ProfileConditions]),
    ("another-runtime", &[(FACE, "onnxruntime 1.24.0", Some("onnxruntime 1.23.0"))], &[Code::ProfileConditions]),
    ("core-that-the-machine-lacks", &[(MANIFEST, "core = 2", Some("core = 9"))], &[Code::NoSuchCore]),
    ("profiles-of-two-machines", &[(VOICE, "cores = 4", Some("cores = 8"))], &[Code::ProfileConditions]),
    ("budget-above-wcet", &[(MANIFEST, "time = \"8ms\"", Some("time = \"9ms\""))], &[Code::BudgetAboveWcet]),
    (
        "memory-graded-down",
        &[(
            VOICE,
            "memory = \"planned\"\nruns = [[60000, -1]]",
            Some(
                "memory = \"capped\"\ngraded-down = \"run 3 after loading 2 differed: event 7 is a request of 512 bytes\"",
            ),
        )],
        &[Code::MemoryGrade],
    ),
    ("memory-grade-unknown", &[(VOICE, "\"planned\"", Some("\"perfect\""))], &[Code::ProfileUnreadable]),
    ("memory-planned-without-runs", &[(VOICE, "runs = [[60000, -1]]", Some(""))], &[Code::ProfileUnreadable]),
    ("memory-sequence-contradicts-itself", &[(VOICE, "60000, -1", Some("60000, -2"))], &[Code::ProfileUnreadable]),
    ("memory-run-leaves-blocks", &[(VOICE, "60000, -1", Some("60000, 64, -1"))], &[Code::ProfileUnreadable]),
    (
        "another-number-of-segments",
        &[(
            SIGN,
            "max-ns = 6800000",
            Some(
                "max-ns = 6800000\n\n[[segment]]\nsha256 = \"5555555555555555555555555555555555555555555555555555555555555555\"\nweights-bytes = 0\nscratch-bytes = 0\nmemory = \"planned\"\nruns = [[]]\nreads = [\"class\"]\nwrites = []\n\n[segment.execution]\nruns = 500\nmin-ns = 1\nmean-ns = 1\np50-ns = 1\np99-ns = 1\np999-ns = 1\nmax-ns = 1",
            ),
        )],
        &[Code::ProfileOfAnotherModel],
    ),
    (
        "segment-reads-what-no-segment-writes",
        &[(SIGN, "reads = [\"image\"]", Some("reads = [\"picture\"]"))],
        &[Code::ProfileUnreadable],
    ),
    (
        "segment-writes-an-input",
        &[(SIGN, "writes = [\"class\"]", Some("writes = [\"image\"]"))],
        &[Code::ProfileUnreadable],
    ),
    (
        "segment-reads-twice",
        &[(SIGN, "reads = [\"image\"]", Some("reads = [\"image\", \"image\"]"))],
        &[Code::ProfileUnreadable],
    ),
    ("two-tensors-of-one-name", &[(SIGN, "name = \"class\"", Some("name = \"image\""))], &[Code::ProfileUnreadable]),
    (
        "shared-memory-exceeded",
        &[
            (MANIFEST, "memory = \"1MiB\"", Some("memory = \"800kB\"")),
            (
                MANIFEST,
                "[lane.side]\ndevice = \"cpu0\"",
                Some("[device.cpu1]\nkind = \"cpu\"\nshares = \"cpu0\"\n\n[lane.side]\ndevice = \"cpu1\""),
            ),
        ],
        &[Code::MemoryExceeded],
    ),
    ("memory-exceeded", &[(MANIFEST, "memory = \"1MiB\"", Some("memory = \"500kB\""))], &[Code::MemoryExceeded]),
    (
        "memory-budget-exceeded",
        &[(MANIFEST, "budget = { time = \"8ms\" }", Some("budget = { time = \"8ms\", memory = \"150kB\" }"))],
        &[Code::MemoryBudget],
    ),
    (
        "memory-budget-exceeded-by-what-the-stages-run",
        &[
            (
                MANIFEST,
                "lane = \"main\"\nmodel = \"sign\"\nperiod = \"100ms\"",
                Some(
                    "period = \"100ms\"\nstages = [{ lane = \"main\", model = \"sign\", profile = \"profiles/sign.toml\" }, { lane = \"side\", model = \"voice\", profile = \"profiles/voice.toml\" }]",
                ),
            ),
            (
                MANIFEST,
                "profile = \"profiles/sign.toml\"\nbudget = { time = \"8ms\" }",
                Some("budget = { memory = \"275000B\" }"),
            ),
            (MANIFEST, "model = \"voice\"\nperiod", Some("wcet = \"1ms\"\nperiod")),
            (MANIFEST, "deadline = \"10ms\"\nprofile = \"profiles/voice.toml\"", Some("deadline = \"10ms\"")),
        ],
        &[Code::MemoryBudget],
    ),
    (
        "memory-budget-of-a-model-that-is-measured",
        &[
            (MANIFEST, "[task.see]", Some("[task.see]\nbudget = { memory = \"1MiB\" }")),
            (FACE, "memory = \"planned\"", Some("memory = \"measured\"")),
            (FACE, "runs = [[100000, 100000, -1, 60000, -3, -2]]\n", Some("")),
        ],
        &[Code::MemoryBudget, Code::MemoryGrade],
    ),
    (
        "memory-overflows",
        &[
            (FACE, "weights-bytes = 400000", Some("weights-bytes = 9223372036854775807")),
            (SIGN, "weights-bytes = 30000", Some("weights-bytes = 9223372036854775807")),
            (VOICE, "weights-bytes = 50000", Some("weights-bytes = 9223372036854775807")),
        ],
        &[Code::MemoryOverflow],
    ),
    (
        "utilization-above-1",
        &[(MANIFEST, "period = \"33ms\"", Some("period = \"7ms\""))],
        &[Code::Overloaded, Code::DeadlineMissed],
    ),
    (
        "deadline-missed-by-blocking",
        &[(MANIFEST, "period = \"33ms\"", Some("period = \"33ms\"\ndeadline = \"14ms\""))],
        &[Code::DeadlineMissed],
    ),
    (
        "deadline-missed-by-interference",
        &[
            (MANIFEST, "deadline = \"60ms\"", Some("deadline = \"14ms\"")),
            (MANIFEST, "period = \"33ms\"", Some("period = \"33ms\"\ndeadline = \"13ms\"")),
        ],
        &[Code::DeadlineMissed],
    ),
    ("edf-demand", &[(MANIFEST, "deadline = \"10ms\"", Some("deadline = \"5ms\""))], &[Code::DemandExceeded]),
    (
        "wcet-with-margin-overflows",
        &[
            (FACE, "max-ns = 5200000", Some("max-ns = 9223372036854775807")),
            (MANIFEST, "[task.see]", Some("[task.see]\nmargin = 3")),
        ],
        &[Code::ProfileUnreadable],
    ),
    ("tail-that-was-not-measured", &[(MANIFEST, "[task.see]", Some(FROM_TAIL))], &[Code::NoTail]),
    (
        "tail-that-is-too-heavy",
        &[(MANIFEST, "[task.see]", Some(FROM_TAIL)), (FACE, "max-ns = 5200000", Some(REFUSED_TAIL))],
        &[Code::NoTail],
    ),
    (
        "tail-of-another-series",
        &[(FACE, "max-ns = 5200000", Some(TAIL)), (FACE, "observations = 500", Some("observations = 400"))],
        &[Code::ProfileUnreadable],
    ),
    (
        "wcet-with-hooks-overflows",
        &[(MANIFEST, "hooks = \"100us\"", Some("hooks = \"18446744073709551615ns\""))],
        &[Code::ProfileUnreadable],
    ),
    (
        "jitter-overflows",
        &[(MANIFEST, "hooks = \"100us\"", Some("jitter = \"18446744073709551615ns\""))],
        &[Code::NoBound],
    ),
    (
        "watchdog-timeout-within-a-wake-up",
        // 125 us of the lane, and 20 us of the other one that the orchestration thread may serve first.
        &[(MANIFEST, "[device.cpu0]", Some("[watchdog]\ntimeout = \"165us\"\n\n[device.cpu0]"))],
        &[Code::WatchdogTooShort],
    ),
    ("event-waits-for-two-changes-of-level", &[(MANIFEST, "", Some(LEVELS))], &[Code::WaitsForLevels]),
    (
        "several-at-once",
        &[
            (FACE, "", None),
            (SIGN, "[conditions]", Some("[circumstances]")),
            (VOICE, "22222222", Some("22222223")),
            (LANE, "cores = 4", Some("cores = 8")),
        ],
        &[
            Code::ProfileUnreadable,
            Code::ProfileWithoutConditions,
            Code::ProfileConditions,
            Code::ProfileOfAnotherModel,
        ],
    ),
];

/// These, and those of the other files.
fn all_cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter().chain(conditions::CASES).chain(domains::CASES)
}

/// Checks the vehicle that passes with changes.
fn checked(edits: &[Edit]) -> (Result<Checked, Internal>, String) {
    changed::checked(&folder(), FILES, edits.iter().copied())
}

#[test]
fn the_unchanged_vehicle_passes_without_a_finding() {
    let (result, shown) = checked(&[]);
    let result = result.unwrap();
    assert!(result.passes(), "{shown}");
    assert_eq!(result.findings, [], "{shown}");
    let system = &result.resolved.unwrap().system;
    // 5.2 ms by 1.25 and 100 us of hooks.
    assert_eq!(system.tasks[0].wcet.as_ns(), 6_600_000);
    // The lane's measured 40 us and 100 us by 1.25, and the other lane's 20 us twice: they share the orchestration thread.
    let lanes = system.lanes.iter().map(|lane| [lane.dispatch_overhead, lane.wakeup_latency, lane.thread_wait]);
    let lanes: Vec<[u64; 3]> = lanes.map(|overheads| overheads.map(|overhead| overhead.as_ns())).collect();
    assert_eq!(lanes, [[50_000, 125_000, 40_000], [20_000, 50_000, 100_000]]);
    assert_eq!((system.machine.cpu_model.as_str(), system.machine.cores), ("Lab CPU", 4));
}

#[test]
fn an_event_that_waits_for_one_change_of_level_at_most_is_no_finding() {
    let just_below = LEVELS.replace("140ms", "139999999ns");
    let (none, _) = LEVELS.split_once("[pressure").unwrap();
    for (text, longest) in [(just_below.as_str(), 999_999_998), (none, 760_000_000)] {
        let (checked, _) = changed::checked(&folder(), FILES, [(MANIFEST, "", Some(text))]);
        let checked = checked.unwrap();
        assert!(checked.passes() && checked.findings.is_empty(), "{:#?}", checked.findings);
        let system = &checked.resolved.unwrap().system;
        assert_eq!(system.lanes.iter().map(|lane| lane.thread_wait.as_ns()).max(), Some(longest));
    }
}

#[test]
fn each_change_is_found_and_told_as_expected() {
    let mut goldens = Goldens::default();
    for (name, edits, codes) in all_cases() {
        let (result, shown) = checked(edits);
        let checked = result.unwrap_or_else(|internal| panic!("{name}: internal error: {internal}"));
        let found: BTreeSet<Code> = checked.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(found, codes.iter().copied().collect(), "{name}: {shown}");
        let only_warnings =
            matches!(codes, [Code::ProfileConditions | Code::MemoryGrade | Code::StateChanged | Code::BeatWithoutCore])
                || ["failure-not-survived", "overrun-fails-another-domain"].contains(name);
        assert_eq!(checked.passes(), only_warnings, "{name}: {shown}");
        assert_eq!(checked.lock.is_some(), only_warnings, "{name}");
        let severity = if only_warnings { Severity::Warning } else { Severity::Error };
        assert!(checked.findings.iter().any(|finding| finding.severity == severity), "{name}");
        goldens.compare(&folder().join(format!("{name}.stderr.txt")), &shown);
    }
    goldens.finish();
}

#[test]
fn no_expected_finding_is_without_its_case() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let case = name.strip_suffix(".stderr.txt");
        assert!(case.is_none_or(|case| all_cases().any(|(name, ..)| *name == case)), "{name} belongs to no case");
    }
}

#[test]
fn what_was_missed_is_told_with_its_task_bound_deadline_and_blocker() {
    let case = |name| CASES.iter().find(|(case, ..)| *case == name).unwrap();
    let tells = |name, parts: &[&str]| {
        let (_, shown) = checked(case(name).1);
        for part in parts {
            assert!(shown.contains(part), "{name}: {shown} does not say {part}");
        }
    };
    tells(
        "deadline-missed-by-blocking",
        &["task `see`", "respond only after 15.", "14 ms", "`read` can block it for 8."],
    );
    tells("deadline-missed-by-interference", &["task `read`", "`see` goes before it: 6.6 ms every 33 ms"]);
    tells("edf-demand", &["lane `side`", "`listen`: 1.875 ms due every 20 ms within 5 ms", "`log` can block for 4 ms"]);
    tells("utilization-above-1", &["lane `main`", "utilization of 10", "every 7 ms"]);
    tells("memory-exceeded", &["`cpu0`", "500000 bytes", "weights 480000 bytes"]);
    tells("budget-above-wcet", &["`read`", "9000000 ns", "8500000 ns"]);
}

#[test]
fn a_vehicle_that_watches_itself_has_it_in_lock_and_tables() {
    let watchdog = "[watchdog]\ntimeout = \"166us\"\ndevice = \"/dev/watchdog\"\n\n[device.cpu0]";
    let (result, shown) = checked(&[(MANIFEST, "[device.cpu0]", Some(watchdog))]);
    let lock = result.unwrap().lock.unwrap_or_else(|| panic!("{shown}"));
    let text = lock.text().unwrap();
    let part = "[plan.watchdog]\ntimeout-ns = 166000\ndevice = \"/dev/watchdog\"\non-stall = \"stop-petting\"\n";
    assert!(text.contains(part), "{text}");
    assert_eq!(Lock::parse(Path::new("system.lock"), &text).unwrap(), lock);
    let desc = aegis_codegen::tables::leak(&lock).unwrap().watchdog.unwrap();
    assert_eq!(
        (desc.timeout.as_ns(), desc.device, desc.on_stall),
        (166_000, Some("/dev/watchdog"), OnStall::StopPetting)
    );
    let tables = aegis_codegen::emit::tables(&lock).unwrap();
    assert!(tables.contains("WatchdogDesc") && tables.contains("OnStall::StopPetting"), "{tables}");
    let unknown = text.replace("stop-petting", "stop-breathing");
    let mut unknown: Lock = toml::from_str(&unknown).unwrap();
    unknown.lock.plan_sha256.clear();
    let refused = aegis_codegen::tables::leak(&unknown).unwrap_err();
    assert!(refused.to_string().contains("`stop-breathing`"), "{refused}");
}

#[test]
fn numbers_beyond_what_a_lock_can_hold_are_findings_and_no_internal_error() {
    for (from, to) in [
        ("memory = \"1MiB\"", "memory = \"18446744073709551615B\""),
        ("period = \"1s\"", "period = \"18446744073709551615ns\""),
        ("wcet = \"4ms\"", "wcet = \"4ms\"\nphase = \"18446744073709551615ns\""),
        ("[device.cpu0]", "[watchdog]\ntimeout = \"18446744073709551615ns\"\n\n[device.cpu0]"),
    ] {
        let (result, shown) = checked(&[(MANIFEST, from, Some(to))]);
        let checked = result.unwrap_or_else(|internal| panic!("{to}: {internal}"));
        let Some(lock) = checked.lock else {
            assert!(!checked.passes() && !checked.findings.is_empty(), "{to}: {shown}");
            continue;
        };
        let text = lock.text().unwrap();
        assert_eq!(Lock::parse(Path::new("system.lock"), &text).unwrap(), lock, "{to}");
    }
}
