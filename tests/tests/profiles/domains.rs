//! What is wrong with the processes of fault domains once their models' times are known.

use super::{Case, Edit, MANIFEST, checked};
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

pub(super) const CASES: &[Case] = &[
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
