//! `aegis diff`: what a change means.

use crate::{aegis, root, status, text};
use serde_json::Value;
use std::path::Path;

/// Two tasks under fixed priority.
const PAIR: &str = r#"
system = { name = "pair", policy = "rate-monotonic" }
lane.main = { kind = "cpu", core = 1 }
task.fast = { lane = "main", period = "10ms", wcet = "2ms" }
task.slow = { lane = "main", period = "40ms", wcet = "6ms" }
"#;

fn written(folder: &Path, name: &str, manifest: &str) {
    std::fs::write(folder.join(name), manifest).unwrap();
}

/// The differences as JSON.
fn differences(folder: &Path, old: &str, new: &str) -> Value {
    let told = aegis(folder, &["diff", old, new, "--format", "json"]);
    assert_eq!(status(&told), 0, "{}", text(&told.stderr));
    let again = aegis(folder, &["diff", old, new, "--format", "json"]);
    assert_eq!(told.stdout, again.stdout, "the same bytes");
    serde_json::from_slice(&told.stdout).unwrap()
}

/// One fact that differs.
fn fact<'a>(found: &'a Value, name: &str, key: &str) -> &'a Value {
    let mut all = found["differences"].as_array().unwrap().iter();
    all.find(|one| one["name"] == name && one["key"] == key).unwrap_or(&Value::Null)
}

#[test]
fn a_lock_and_the_manifest_that_it_is_of_do_not_differ() {
    for folder in ["", "examples/inspector", "examples/sorter", "examples/shuttle"] {
        let folder = root().join(folder);
        let same = aegis(&folder, &["diff", "system.lock", "system.toml", "--exit-code"]);
        assert_eq!(status(&same), 0, "{}{}", text(&same.stdout), text(&same.stderr));
        let words = text(&same.stdout);
        assert!(words.ends_with("chains are not compared: a lock has none\nno difference\n"), "{words}");
        let found = differences(&folder, "system.lock", "system.toml");
        assert_eq!((&found["schema"], &found["same"]), (&"aegis.diff/1".into(), &true.into()));
        assert_eq!(found["chains_compared"], false);
    }
}

#[test]
fn a_change_of_one_task_is_told_by_what_follows_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    written(folder, "old.toml", PAIR);
    let changed = PAIR.replace("wcet = \"2ms\"", "wcet = \"3ms\"");
    written(
        folder,
        "new.toml",
        &format!("{changed}task.more = {{ lane = \"main\", period = \"20ms\", wcet = \"1ms\" }}\n"),
    );
    let found = differences(folder, "old.toml", "new.toml");
    let response = fact(&found, "slow", "response_ns");
    // slow runs once, fast once and then, while slow runs, nothing preempts: 2 + 6 against 3 + 1 + 6 ms.
    assert_eq!((&response["old"], &response["new"]), (&8_000_000.into(), &10_000_000.into()), "{response}");
    assert_eq!((&response["by"], &response["effect"]), (&2_000_000.into(), &"worse".into()));
    let slack = fact(&found, "slow", "slack_ns");
    assert_eq!((&slack["by"], &slack["effect"]), (&(-2_000_000).into(), &"worse".into()));
    let wcet = fact(&found, "fast", "wcet_ns");
    assert_eq!((&wcet["by"], &wcet["effect"]), (&1_000_000.into(), &Value::Null), "what was asked for is not judged");
    let load = fact(&found, "main", "utilization_ppm");
    assert_eq!((&load["old"], &load["new"]), (&350_000.into(), &500_000.into()), "2/10 + 6/40; 3/10 + 6/40 + 1/20");
    let more = fact(&found, "more", "period_ns");
    assert_eq!((&more["change"], &more["old"], &more["effect"]), (&"added".into(), &Value::Null, &Value::Null));
    let priority = fact(&found, "slow", "priority");
    assert_eq!((&priority["old"], &priority["new"]), (&1.into(), &2.into()));
    // The other way round everything is the reverse.
    let back = differences(folder, "new.toml", "old.toml");
    assert_eq!(fact(&back, "slow", "response_ns")["effect"], "better");
    assert_eq!(fact(&back, "more", "period_ns")["change"], "removed");

    let told = aegis(folder, &["diff", "old.toml", "new.toml", "--exit-code"]);
    assert_eq!(status(&told), 1);
    let words = text(&told.stdout);
    assert!(words.starts_with("old.toml (pair, pass) -> new.toml (pair, pass)\n"), "{words}");
    for row in ["| task slow", "| added: task more", "+2 ms", "| lane main"] {
        assert!(words.contains(row), "{row}: {words}");
    }
}

#[test]
fn a_plan_that_does_not_hold_any_more_is_worse_and_one_that_cannot_be_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    written(folder, "old.toml", PAIR);
    written(folder, "new.toml", &PAIR.replace("wcet = \"6ms\"", "wcet = \"39ms\""));
    assert_eq!(status(&aegis(folder, &["check", "old.toml"])), 0);
    let found = differences(folder, "old.lock", "new.toml");
    let verdict = fact(&found, "", "verdict");
    assert_eq!(
        (&verdict["old"], &verdict["new"], &verdict["effect"]),
        (&"pass".into(), &"fail".into(), &"worse".into())
    );
    let blocking = fact(&found, "fast", "blocking_ns");
    assert_eq!((&blocking["old"], &blocking["new"]), (&5_999_999.into(), &38_999_999.into()), "{found:#}");
    let response = fact(&found, "slow", "response_ns");
    assert_eq!((&response["new"], &response["effect"]), (&"none".into(), &"worse".into()), "{response}");
    written(folder, "broken.toml", "system = 1\n");
    for (old, new, words) in [
        ("old.toml", "broken.toml", "`broken.toml` has errors"),
        ("old.toml", "none.lock", "there is no lock at none.lock"),
        ("none.toml", "old.toml", "cannot read the manifest `none.toml`"),
    ] {
        let refused = aegis(folder, &["diff", old, new]);
        assert_eq!(status(&refused), 2, "{}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains(words), "{}", text(&refused.stderr));
    }
}

#[test]
fn chains_are_compared_where_both_are_manifests() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let chained = format!("{PAIR}chain.see = {{ tasks = [\"fast\", \"slow\"], max-reaction = \"1s\" }}\n");
    written(folder, "old.toml", &chained);
    written(folder, "new.toml", &chained.replace("wcet = \"2ms\"", "wcet = \"3ms\""));
    let found = differences(folder, "old.toml", "new.toml");
    assert_eq!(fact(&found, "see", "reaction_ns")["effect"], "worse", "{found:#}");
    assert_eq!(status(&aegis(folder, &["check", "old.toml"])), 0);
    assert_eq!(fact(&differences(folder, "old.lock", "new.toml"), "see", "reaction_ns"), &Value::Null);
}

#[test]
fn an_overhead_that_was_none_is_worse_and_one_that_is_none_any_more_is_better() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let more = "core = 1, dispatch-overhead = \"10us\", wakeup-latency = \"20us\"";
    written(folder, "old.toml", PAIR);
    written(folder, "new.toml", &PAIR.replace("core = 1", more));
    for (old, new, effect) in [("old.toml", "new.toml", "worse"), ("new.toml", "old.toml", "better")] {
        let found = differences(folder, old, new);
        assert_eq!(found["chains_compared"], true);
        for key in ["dispatch_overhead_ns", "wakeup_latency_ns", "response_ns"] {
            let name = if key == "response_ns" { "fast" } else { "main" };
            assert_eq!(fact(&found, name, key)["effect"], effect, "{key}: {found:#}");
        }
    }
}

#[test]
fn what_is_watched_and_looked_at_is_told_beside_other_differences() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let with = |when: &str, recheck: &str| {
        let system = "policy = \"rate-monotonic\"";
        let pair = PAIR.replace(system, &format!("{system}, recheck = \"{recheck}\""));
        let low = format!("tasks = [\"fast\"], when = {{ memory-some = \"{when}\" }}");
        format!("{pair}mode.calm.tasks = [\"fast\", \"slow\"]\nmode.low = {{ {low} }}\n")
    };
    written(folder, "old.toml", &with("20%", "1s"));
    written(folder, "new.toml", &with("50%", "1s"));
    let found = differences(folder, "old.toml", "new.toml");
    let count = found["differences"].as_array().unwrap().len();
    assert_eq!((&found["differs_within"], count), (&false.into(), 2), "{found:#}");
    let from = fact(&found, "low", "memory-some_from_ppm");
    assert_eq!((&from["old"], &from["new"]), (&200_000.into(), &500_000.into()), "{found:#}");
    let words = aegis(folder, &["diff", "old.toml", "new.toml"]);
    assert!(text(&words.stdout).contains("\n2 differences: 0 for the worse"), "{}", text(&words.stdout));
    written(folder, "again.toml", &with("20%", "5s"));
    let words = aegis(folder, &["diff", "old.toml", "again.toml"]);
    assert!(text(&words.stdout).contains("recheck"), "{}", text(&words.stdout));
    assert!(text(&words.stdout).contains("\n1 difference: 0 for the worse"), "{}", text(&words.stdout));
}
