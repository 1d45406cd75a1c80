//! What is wrong with the processes of fault domains once their models' times are known.

use super::{Case, Edit, FACE, LANE, MANIFEST, POLICY, POLLED, POLLING, SCHEMA, SIGN, VOICE, checked};
use aegis_codegen::finding::Code;
use aegis_codegen::tables;
use aegis_core::units::{DomainId, PoolId};

const VISION: Edit = (
    MANIFEST,
    "[model.face]\n",
    Some("[domain.vision]\nhand-over = \"200us\"\nfault-blackout = \"2ms\"\n\n[model.face]\ndomain = \"vision\"\n"),
);
/// In a domain that may be killed only after twice its 8.5 ms, so that `see` has to wait for too long.
const SIGNS: Edit = (
    MANIFEST,
    "[model.sign]\n",
    Some("[domain.signs]\nhand-over = \"200us\"\nfault-blackout = \"2ms\"\n\n[model.sign]\ndomain = \"signs\"\n"),
);
const FAILS: Edit =
    (MANIFEST, "budget = { time = \"8ms\" }\n", Some("budget = { time = \"8ms\" }\non-overrun = \"fail-domain\"\n"));

const BEATS: Edit = (MANIFEST, "hand-over = \"200us\"\n", Some("hand-over = \"200us\"\nheartbeat = \"100ms\"\n"));
const POLLS: Edit = (MANIFEST, POLICY, Some(POLLING));
const POLLED_LANE: Edit = (LANE, SCHEMA, Some(POLLED));
/// The process of `vision` has the last of the four cores.
const ON_CORE_3: Edit = (MANIFEST, "hand-over = \"200us\"\n", Some("hand-over = \"200us\"\ncores = { main = 3 }\n"));
const MEASURED_ON_CORE_3: Edit = (FACE, "core = 1\n", Some("core = 3\n"));
/// Another number of cores, as each profile tells it.
const fn cores(text: &'static str) -> [Edit; 4] {
    const FOUR: &str = "cores = 4";
    [(FACE, FOUR, Some(text)), (SIGN, FOUR, Some(text)), (VOICE, FOUR, Some(text)), (LANE, FOUR, Some(text))]
}
const THREE: [Edit; 4] = cores("cores = 3");
const FIVE: [Edit; 4] = cores("cores = 5");

pub(super) const CASES: &[Case] = &[
    (
        "heartbeat-without-a-free-core",
        &[VISION, BEATS, THREE[0], THREE[1], THREE[2], THREE[3]],
        &[Code::BeatWithoutCore],
    ),
    (
        "polling-on-every-core",
        &[VISION, BEATS, ON_CORE_3, MEASURED_ON_CORE_3, POLLS, POLLED_LANE],
        &[Code::NoCoreForOthers, Code::BeatWithoutCore],
    ),
    (
        "process-core-that-the-machine-lacks",
        &[
            VISION,
            (MANIFEST, "hand-over = \"200us\"\n", Some("hand-over = \"200us\"\ncores = { main = 9 }\n")),
            POLLS,
            POLLED_LANE,
        ],
        &[Code::NoSuchCore, Code::ProfileConditions],
    ),
    (
        "process-core-that-was-not-measured",
        &[VISION, ON_CORE_3, POLLS, POLLED_LANE, FIVE[0], FIVE[1], FIVE[2], FIVE[3]],
        &[Code::ProfileConditions],
    ),
    (
        "domain-without-hand-over",
        &[VISION, (MANIFEST, "hand-over = \"200us\"\n", Some(""))],
        &[Code::ProcessUnmeasured],
    ),
    (
        "domain-without-hand-over-and-blackout",
        &[VISION, (MANIFEST, "hand-over = \"200us\"\nfault-blackout = \"2ms\"\n", Some(""))],
        &[Code::ProcessUnmeasured],
    ),
    (
        "domain-killed-within-a-wcet",
        // 6.6 ms and a hand-over.
        &[VISION, (MANIFEST, "hand-over = \"200us\"\n", Some("hand-over = \"200us\"\nkill-after = \"6799us\"\n"))],
        &[Code::KilledTooSoon],
    ),
    (
        "hand-over-overflows",
        &[VISION, (MANIFEST, "hand-over = \"200us\"", Some("hand-over = \"18446744073709551615ns\""))],
        &[Code::ProfileUnreadable],
    ),
    (
        "process-memory-below-its-models",
        &[VISION, (MANIFEST, "hand-over = \"200us\"\n", Some("hand-over = \"200us\"\nmemory = \"4kB\"\n"))],
        &[Code::ProcessMemory],
    ),
    (
        "restarts-within-a-busy-period",
        &[
            VISION,
            (
                MANIFEST,
                "hand-over = \"200us\"\n",
                Some(
                    "hand-over = \"200us\"\nrestart = { max = 3, within = \"10s\", back-off = \"1ms\", blackout = \"2ms\" }\n",
                ),
            ),
        ],
        &[Code::RestartsTooSoon],
    ),
    (
        "domain-killed-with-another",
        // 6.8 ms and the other's blackout.
        &[
            VISION,
            SIGNS,
            (MANIFEST, "hand-over = \"200us\"\n", Some("hand-over = \"200us\"\nkill-after = \"8799us\"\n")),
        ],
        &[Code::KilledWithAnother],
    ),
    ("overrun-fails-another-domain", &[VISION, SIGNS, FAILS], &[Code::FailsAlong, Code::NotSurvived]),
    ("failure-not-survived", &[SIGNS], &[Code::NotSurvived]),
    (
        "failure-not-survived-of-what-is-not-trusted",
        &[SIGNS, FAILS, (MANIFEST, "domain = \"signs\"\n", Some("domain = \"signs\"\ntrust = \"none\"\n"))],
        &[Code::NotSurvived],
    ),
];

#[test]
fn a_model_of_a_domain_lies_in_memory_of_its_own_and_its_wcet_has_the_hand_over() {
    let kill = (
        MANIFEST,
        "hand-over = \"200us\"\n",
        Some("hand-over = \"200us\"\nkill-after = \"6800us\"\nheartbeat = \"1s\"\n"),
    );
    let (result, shown) = checked(&[VISION, kill]);
    let result = result.unwrap();
    assert!(result.findings.is_empty(), "{shown}");
    let lock = result.lock.unwrap();
    let text = lock.text().unwrap();
    let process = "[[plan.domain]]\nname = \"vision\"\n\n[plan.domain.process]\nkill-after-ns = 6800000\nhand-over-ns = 200000\n\
                   heartbeat-ns = 1000000000\n";
    assert!(text.contains(process), "{text}");
    let desc = tables::leak(&lock).unwrap();
    let pools: Vec<_> = desc.pools.iter().map(|pool| (pool.name, pool.domain, pool.shares)).collect();
    assert_eq!(pools, [("cpu0", None, None), ("cpu0.vision", Some(DomainId(0)), Some(PoolId(0)))]);
    let in_pools: Vec<_> = desc.models.iter().map(|model| (model.name, model.pool.0)).collect();
    assert_eq!(in_pools, [("face", 1), ("sign", 0), ("voice", 0)]);
    let see = desc.tasks.iter().find(|task| task.name == "see").unwrap();
    assert_eq!((see.wcet.as_ns(), see.budget.as_ns()), (6_800_000, 6_800_000));
    // Of what lies apart no byte is shared, and the device grants the sum.
    let sum: u64 = desc.pools.iter().map(|pool| pool.height.0 + pool.weights.0).sum();
    assert!(sum <= desc.pools[0].capacity.0 && desc.pools[1].weights.0 == 400_000, "{sum}");
    let tables = aegis_codegen::emit::tables(&lock).unwrap();
    assert!(tables.contains("ProcessDesc {") && tables.contains("\"cpu0.vision\""), "{tables}");
    // Killed a nanosecond sooner, or in the vehicle's own memory: core refuses it.
    for (right, wrong) in [("kill-after-ns = 6800000", "kill-after-ns = 6799999"), ("domain = 0\ncapacity", "capacity")]
    {
        assert_eq!(text.matches(right).count(), 1, "{right}");
        let other: aegis_codegen::lock::Lock = toml::from_str(&text.replace(right, wrong)).unwrap();
        let verdict = aegis_core::verify::verify(tables::leak(&other).unwrap());
        assert_eq!(verdict, Err(aegis_core::verify::Violation::Domains), "{wrong}");
    }
}

#[test]
fn a_domain_that_is_started_again_is_planned_so_and_its_return_is_a_step_of_the_thread() {
    let restart =
        "hand-over = \"200us\"\nrestart = { max = 3, within = \"10s\", back-off = \"200ms\", blackout = \"1ms\" }\n";
    let lock = |edits: &[Edit]| {
        let (result, shown) = checked(edits);
        let result = result.unwrap();
        assert!(result.findings.is_empty(), "{shown}");
        result.lock.unwrap()
    };
    let never = tables::leak(&lock(&[VISION])).unwrap();
    let again = lock(&[VISION, (MANIFEST, "hand-over = \"200us\"\n", Some(restart))]);
    let text = again.text().unwrap();
    let policy = "[plan.domain.process.restart]\nmax = 3\nwithin-ns = 10000000000\nback-off-ns = 200000000\nprobation-ns = 10000000000\n";
    assert!(text.contains(policy), "{text}");
    let desc = tables::leak(&again).unwrap();
    let process = desc.domains[0].process.unwrap();
    let policy = process.restart.unwrap();
    assert_eq!((policy.max, policy.back_off.as_ns(), process.meanwhile), (3, 200_000_000, None));
    let dearest = desc.lanes.iter().map(|lane| lane.dispatch_overhead.as_ns()).max().unwrap();
    for (lane, before) in desc.lanes.iter().zip(never.lanes) {
        assert_eq!(lane.thread_wait.as_ns(), before.thread_wait.as_ns() + dearest);
    }
    let emitted = aegis_codegen::emit::tables(&again).unwrap();
    assert!(
        emitted.contains("RestartDesc {") && emitted.contains("meanwhile: ::core::option::Option::None"),
        "{emitted}"
    );
    // More restarts than are remembered, a back-off beyond the window, or within the thread's wait: core refuses it.
    for (right, wrong) in
        [("max = 3", "max = 17"), ("max = 3", "max = 0"), ("within-ns = 10000000000", "within-ns = 199999999")]
    {
        assert_eq!(text.matches(right).count(), 1, "{right}");
        let other: aegis_codegen::lock::Lock = toml::from_str(&text.replace(right, wrong)).unwrap();
        let verdict = aegis_core::verify::verify(tables::leak(&other).unwrap());
        assert_eq!(verdict, Err(aegis_core::verify::Violation::Domains), "{wrong}");
    }
    let other: aegis_codegen::lock::Lock =
        toml::from_str(&text.replace("back-off-ns = 200000000", "back-off-ns = 1")).unwrap();
    let verdict = aegis_core::verify::verify(tables::leak(&other).unwrap());
    assert_eq!(verdict, Err(aegis_core::verify::Violation::Waits));
}

#[test]
fn a_process_that_polls_has_a_core_of_its_own() {
    let edits = [VISION, ON_CORE_3, MEASURED_ON_CORE_3, POLLS, POLLED_LANE, FIVE[0], FIVE[1], FIVE[2], FIVE[3]];
    let (result, shown) = checked(&edits);
    let result = result.unwrap();
    assert!(result.findings.is_empty(), "{shown}");
    let lock = result.lock.unwrap();
    let text = lock.text().unwrap();
    let tables = aegis_codegen::emit::tables(&lock).unwrap();
    assert!(
        tables.contains("waiting: ::aegis_core::desc::Waiting::Polling") && tables.contains("cores: &[3]"),
        "{tables}"
    );
    let desc = tables::leak(&lock).unwrap();
    assert_eq!(desc.domains[0].process.unwrap().cores, [3]);
    assert_eq!(aegis_core::verify::verify(desc), Ok(()));
    // None, two for one lane, a lane's, the orchestration thread's: core refuses each, and a core where nobody polls.
    let cores = [
        ("cores = [3]", ""),
        ("cores = [3]", "cores = [3, 4]"),
        ("cores = [3]", "cores = [2]"),
        ("cores = [3]", "cores = [0]"),
    ];
    for (right, wrong) in cores.into_iter().chain([("waiting = \"polling\"", "waiting = \"blocking\"")]) {
        assert_eq!(text.matches(right).count(), 1, "{right}");
        let other: aegis_codegen::lock::Lock = toml::from_str(&text.replace(right, wrong)).unwrap();
        let verdict = aegis_core::verify::verify(tables::leak(&other).unwrap());
        assert_eq!(verdict, Err(aegis_core::verify::Violation::Domains), "{wrong}");
    }
}
