//! What steps of the dispatcher cost, in instructions: the cases of `benches/steps.rs` and `benches/untraced.rs`, one valgrind run
//! each.
//!
//! Counts that differ from `cost.txt` by more than [`TOLERANCE_PERCENT`] fail; `AEGIS_BLESS=1` rewrites it. The goals hold whatever
//! the file says. Counts are of x86-64 and the pinned compiler, so elsewhere nothing is compared.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const TOLERANCE_PERCENT: u64 = 3;

/// The goal for one decision with its records under fixed priorities, 64 tasks.
const DECISION: u64 = 500;

fn core() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What of a step with a decision the trace may cost, at most.
const TRACE_PERCENT: u64 = 30;

/// An optimized program, built by the cargo that runs this test.
fn program(bench: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["bench", "--package", "aegis-core", "--bench", bench, "--no-run"])
        .env("CARGO_TERM_COLOR", "never")
        .current_dir(core())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let before = format!("Executable benches/{bench}.rs (");
    let path = said.lines().find_map(|line| line.trim().strip_prefix(&before)?.strip_suffix(')'));
    let path = Path::new(path.unwrap_or_else(|| panic!("cargo names no program: {said}")));
    core().parent().unwrap().join(path)
}

/// Instructions a step of a case.
fn count(program: &Path, case: &str) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted_step*", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--once", case])
        .output()
        .unwrap();
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{case}: {said}");
    let steps: u64 = out.trim().parse().unwrap_or_else(|_| panic!("{case} says no number of steps: {out}"));
    let collected = said.lines().find_map(|line| line.split("Collected : ").nth(1));
    let collected: u64 = collected.unwrap_or_else(|| panic!("{said}")).trim().parse().unwrap();
    assert!(collected > 0 && steps > 0, "{case}: nothing was counted");
    collected / steps
}

/// As the docs write it.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap());
    groups.collect::<Vec<_>>().join(",")
}

/// The counts of `cost.txt`.
fn golden() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(core().join("tests/cost.txt")).unwrap();
    let pairs = text.lines().map(|line| line.split_once(' ').unwrap());
    pairs.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect()
}

#[test]
fn the_docs_have_the_counts_of_the_golden() {
    let docs = std::fs::read_to_string(core().join("../docs/benchmarks.md")).unwrap();
    let (_, docs) = docs.split_once("## The dispatcher").unwrap();
    let golden = golden();
    let of = |name: &str| golden[name];
    let mut figures =
        vec![of("end-fp-64"), of("idle-fp-64"), of("idle-fp-1024"), of("jump-edf-64-on-4-lanes"), of("jump-edf-1024")];
    for kind in ["fp-64", "fp-1024", "edf-64", "edf-1024", "tt-64", "tt-1024"] {
        figures.extend([of(&format!("decision-{kind}")), of(&format!("decision-{kind}")) - of(&format!("end-{kind}"))]);
    }
    figures.extend([of("laps-tt-64"), of("laps-tt-1024")]);
    for figure in figures {
        assert!(docs.contains(&format!("| {} |", with_commas(figure))), "no {figure} in docs/benchmarks.md");
    }
    for (case, tasks) in [("decision", "64"), ("decision", "1024"), ("end", "64")] {
        let row =
            ["fp", "edf", "tt"].map(|kind| with_commas(of(&format!("untraced-{case}-{kind}-{tasks}")))).join(" / ");
        assert!(docs.contains(&format!("| {row} |")), "no {row} in docs/benchmarks.md");
    }
    // What the trace is of a step with a decision, and of the decision alone.
    let shares = ["fp-64", "edf-64", "tt-64"].map(|kind| {
        let traced = of(&format!("decision-{kind}"));
        let (end, plain_end) = (of(&format!("end-{kind}")), of(&format!("untraced-end-{kind}")));
        let trace = traced - of(&format!("untraced-decision-{kind}"));
        (trace * 100 / traced, (trace - (end - plain_end)) * 100 / (traced - end))
    });
    let [(fixed, fixed_alone), (edf, edf_alone), (table, table_alone)] = shares;
    let docs_words = docs.split_whitespace().collect::<Vec<_>>().join(" ");
    let step = format!(
        "{fixed} % of a step with a decision under fixed priorities, {edf} % under EDF, {table} % with a table"
    );
    assert!(docs_words.contains(&step), "no {step}");
    assert_eq!(edf_alone, table_alone);
    let alone =
        [format!("the share is {fixed_alone} % under"), format!("It is {edf_alone} % under EDF and with a table")];
    assert!(alone.iter().all(|words| docs_words.contains(words)), "no {alone:?}");
    let releases = ["release-fp-64", "release-edf-64", "release-tt-64"].map(|name| with_commas(of(name))).join(" / ");
    assert!(docs.contains(&releases), "no {releases}");
    // How much dearer steps that release everything have become.
    let numbers = |cell: &str| cell.split('/').map(|number| number.trim().replace(',', "").parse().unwrap()).collect();
    let is_one = |line: &&str| {
        ["| every task releases a job at once, fixed priority / ", "| **worst step**", "| the same, one lane"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let mut percent: Vec<u64> = Vec::new();
    for line in docs.lines().filter(is_one) {
        let cells: Vec<&str> = line.split('|').collect();
        let (before, now): (Vec<u64>, Vec<u64>) = (numbers(cells[3]), numbers(cells[4]));
        percent.extend(before.iter().zip(&now).map(|(before, now)| ((now - before) * 100 + before / 2) / before));
    }
    assert_eq!(percent.len(), 5);
    let range = format!("by {} to {} %", percent.iter().min().unwrap(), percent.iter().max().unwrap());
    assert!(docs.contains(&range), "not {range}");
}

fn skip(why: &str) {
    assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but {why}");
    println!("skipped: {why}");
}

#[test]
fn steps_cost_what_they_did_and_no_more_than_the_goals() {
    if cfg!(not(target_arch = "x86_64")) {
        println!("skipped: the counts are of x86-64");
        return;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return skip("there is no valgrind");
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for bench in ["steps", "untraced"] {
        let program = program(bench);
        let names = Command::new(&program).arg("--list").output().unwrap().stdout;
        let names = String::from_utf8(names).unwrap();
        counts.extend(names.lines().map(|name| (name.to_owned(), count(&program, name))));
    }
    let of = |name: &str| *counts.get(name).unwrap_or_else(|| panic!("no case {name}"));
    let decision = |kind: &str| of(&format!("decision-{kind}")) - of(&format!("end-{kind}"));
    let mut text = String::new();
    for (name, count) in &counts {
        writeln!(text, "{name} {count}").unwrap();
    }
    print!("{text}");
    let kinds = ["fp-64", "fp-1024", "edf-64", "edf-1024", "tt-64", "tt-1024"];
    println!("one decision with its records: {:?}", kinds.map(|kind| (kind, decision(kind))));

    let fixed = decision("fp-64");
    assert!(fixed <= DECISION, "{fixed} instructions for a decision under fixed priorities");
    assert!(2 * decision("fp-1024") <= 3 * fixed, "1.5 times as much with 1,024 tasks as with 64");
    assert!(decision("edf-1024") <= 2 * fixed.min(decision("edf-64")), "twice as much under EDF with 1,024 tasks");
    assert!(2 * decision("tt-1024") <= 3 * decision("tt-64"), "a table's length does not matter");
    assert_eq!(of("idle-fp-64"), of("idle-fp-1024"), "a step without work looks at no task");
    for kind in kinds {
        let (traced, plain) = (of(&format!("decision-{kind}")), of(&format!("untraced-decision-{kind}")));
        let share = (traced - plain) * 100 / traced;
        assert!(share <= TRACE_PERCENT, "{kind}: the trace is {share} % of a step with a decision");
    }

    if std::env::var_os("AEGIS_BLESS").is_some() {
        std::fs::write(core().join("tests/cost.txt"), &text).unwrap();
    }
    let expected = golden();
    assert!(expected.keys().eq(counts.keys()), "other cases than in cost.txt");
    let differs = |(name, count): (&String, &u64)| {
        let before = expected.get(name).copied().unwrap_or(0);
        (count.abs_diff(before) * 100 > before * TOLERANCE_PERCENT)
            .then(|| format!("{name}: {before} before, {count} now"))
    };
    let changed: Vec<String> = counts.iter().filter_map(differs).collect();
    assert!(changed.is_empty(), "beyond {TOLERANCE_PERCENT} %: {changed:#?}");
}
