//! Clocks, power and heat of profiles: what the manifest asks for, what the plan states, and what is told of both.

use crate::{Case, FACE, LANE, MANIFEST, SIGN, VOICE, checked};
use aegis_codegen::finding::Code;
use aegis_codegen::lock::Lock;
use aegis_codegen::{emit, tables};
use aegis_core::desc::{ConditionsDesc, LimitDesc, Quantity, Subject};
use aegis_core::units::PoolId;
use aegis_core::verify::{Violation, verify};
use std::path::Path;

/// Clocks that were locked, in 30W.
const LOCKED: &str = "[conditions.state]
power-mode = \"30W\"

[conditions.state.core]
least-clock-khz = 1800000
most-clock-khz = 1800000

";

/// Clocks that were not.
const FREE: &str = "[conditions.state.core]
least-clock-khz = 800000
most-clock-khz = 1800000

";

/// `CASES` of `main`.
pub(crate) const CASES: &[Case] = &[
    (
        "power-mode-that-was-not-measured",
        &[
            (MANIFEST, "[system]", Some("[system]\npower-mode = \"MAXN\"")),
            (FACE, "[model]", Some("[conditions.state]\npower-mode = \"30W\"\n\n[model]")),
        ],
        &[Code::StateDiffers],
    ),
    (
        "power-modes-of-two-profiles",
        &[
            (FACE, "[model]", Some("[conditions.state]\npower-mode = \"30W\"\n\n[model]")),
            (SIGN, "[model]", Some("[conditions.state]\npower-mode = \"MAXN\"\n\n[model]")),
        ],
        &[Code::ProfileConditions],
    ),
    (
        "clocks-that-were-not-locked",
        &[
            (MANIFEST, "cpu-model = \"Lab CPU\"", Some("cpu-model = \"Lab CPU\"\nclocks = \"locked\"")),
            (
                FACE,
                "[model]",
                Some("[conditions.state.core]\nleast-clock-khz = 800000\nmost-clock-khz = 1800000\n\n[model]"),
            ),
        ],
        &[Code::StateDiffers],
    ),
    (
        "clock-limits-of-two-profiles",
        &[
            (
                FACE,
                "[model]",
                Some("[conditions.state.core]\nleast-clock-khz = 1800000\nmost-clock-khz = 1800000\n\n[model]"),
            ),
            (
                SIGN,
                "[model]",
                Some("[conditions.state.core]\nleast-clock-khz = 800000\nmost-clock-khz = 1800000\n\n[model]"),
            ),
        ],
        &[Code::ProfileConditions],
    ),
    (
        "clocks-that-changed-during-the-measurement",
        &[(
            VOICE,
            "[model]",
            Some(
                "[conditions.state]\nchanged = [\"the least clock of core 2 went from 1800000 kHz to 800000 kHz\"]\n\n[model]",
            ),
        )],
        &[Code::StateChanged],
    ),
    (
        "state-unknown-key",
        &[(FACE, "[model]", Some("[conditions.state]\nmood = 1\n\n[model]"))],
        &[Code::ProfileUnreadable],
    ),
];

#[test]
fn the_plan_states_the_highest_limits_of_profiles_and_what_the_manifest_asks_for() {
    let of = [(FACE, "[model]"), (SIGN, "[model]"), (VOICE, "[model]"), (LANE, "[dispatch]")];
    let before = |text: &str| -> &'static str { (LOCKED.to_owned() + text).leak() };
    let keys = "cpu-model = \"Lab CPU\"\nclocks = \"locked\"\nmax-temperature = 85";
    let system = "[system]\npower-mode = \"30W\"\nrecheck = \"250ms\"";
    let mut edits = vec![(MANIFEST, "cpu-model = \"Lab CPU\"", Some(keys)), (MANIFEST, "[system]", Some(system))];
    edits.extend(of.map(|(file, text)| (file, text, Some(before(text)))));
    let (result, shown) = checked(&edits);
    let result = result.unwrap();
    assert_eq!(result.findings, [], "{shown}");
    let lock = result.lock.unwrap_or_else(|| panic!("{shown}"));
    let text = lock.text().unwrap();
    let part = "[plan.conditions]\nrecheck-ns = 250000000\npower-mode = \"30W\"\n\n\
                [[plan.conditions.limit]]\nof = \"core 1\"\nwhat = \"least-clock\"\nvalue = 1800000\n";
    assert!(text.contains(part), "{text}");
    assert_eq!(Lock::parse(Path::new("system.lock"), &text).unwrap(), lock);
    let desc = tables::leak(&lock).unwrap();
    let limit = |of, what, value| LimitDesc { of, what, value };
    let of_core =
        |core| [Quantity::LeastClock, Quantity::MostClock].map(|what| limit(Subject::Core(core), what, 1_800_000));
    let heat = limit(Subject::Pool(PoolId(0)), Quantity::Temperature, 85_000);
    let expected = [of_core(1).as_slice(), &of_core(2), &[heat]].concat();
    assert_eq!((desc.conditions.power_mode, desc.conditions.limits), ("30W", expected.as_slice()));
    let tables = emit::tables(&lock).unwrap();
    for part in
        ["Subject::Core(1)", "Quantity::LeastClock", "Subject::Pool(::aegis_core::PoolId(0))", "power_mode: \"30W\""]
    {
        assert!(tables.contains(part), "{part}: {tables}");
    }

    // Core refuses what a vehicle could not look at.
    for (from, to) in
        [("of = \"core 1\"", "of = \"core 3\""), ("of = \"pool 0\"", "of = \"pool 1\""), ("value = 85000", "value = 0")]
    {
        let changed: Lock = toml::from_str(&text.replacen(from, to, 1)).unwrap();
        assert_eq!(verify(tables::leak(&changed).unwrap()), Err(Violation::Watch), "{to}");
    }
    for (from, to) in [("250000000", "99999999"), ("250000000", "60000000001")] {
        let changed: Lock = toml::from_str(&text.replacen(from, to, 1)).unwrap();
        assert_eq!(verify(tables::leak(&changed).unwrap()), Err(Violation::Watch), "{to}");
    }
    for (from, to) in [("\"least-clock\"", "\"luck\""), ("\"core 1\"", "\"heart 1\"")] {
        let changed: Lock = toml::from_str(&text.replacen(from, to, 1)).unwrap();
        let refused = tables::leak(&changed).unwrap_err().to_string();
        assert!(refused.contains(&to.replace('"', "`")), "{refused}");
    }
}

#[test]
fn what_profiles_do_not_tell_is_not_stated() {
    let (result, shown) = checked(&[]);
    let desc = tables::leak(&result.unwrap().lock.unwrap_or_else(|| panic!("{shown}"))).unwrap();
    assert_eq!(desc.conditions, ConditionsDesc::EMPTY);
    let free: &'static str = (FREE.to_owned() + "[model]").leak();
    let (result, shown) = checked(&[(VOICE, "[model]", Some(free))]);
    let desc = tables::leak(&result.unwrap().lock.unwrap_or_else(|| panic!("{shown}"))).unwrap();
    let limit = |what, value| LimitDesc { of: Subject::Core(2), what, value };
    let expected = [limit(Quantity::LeastClock, 800_000), limit(Quantity::MostClock, 1_800_000)];
    assert_eq!((desc.conditions.limits, desc.conditions.power_mode), (expected.as_slice(), ""));
}
