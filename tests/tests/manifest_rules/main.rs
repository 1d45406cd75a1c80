//! Every rule of the manifest, by fixtures: a file named after the rule that it breaks, the findings as people
//! see them, and a valid twin that differs in at most three lines.
//!
//! `AEGIS_BLESS=1 cargo test -p aegis-tests --test manifest_rules` rewrites the expected findings.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

mod gpu;
mod kernels;
mod meaning;
mod patches;

use aegis_codegen::finding::{Code, Finding, any_error};
use aegis_codegen::manifest::{Manifest, parse};
use aegis_codegen::report::terminal::render;
use aegis_tests::golden::Goldens;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The twins that fixtures share.
const TWINS: [&str; 11] = [
    "valid",
    "valid-parts",
    "valid-memory",
    "valid-watchdog",
    "valid-modes",
    "valid-watch",
    "valid-gpu",
    "valid-kernels",
    "valid-engines",
    "valid-domains",
    "valid-polling",
];

/// The most lines in which a fixture may differ from its twin.
const MOST_CHANGED_LINES: usize = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/manifest")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn valid() -> String {
    read(&folder().join("valid.toml"))
}

fn valid_parts() -> String {
    read(&folder().join("valid-parts.toml"))
}

fn valid_memory() -> String {
    read(&folder().join("valid-memory.toml"))
}

fn valid_watchdog() -> String {
    read(&folder().join("valid-watchdog.toml"))
}

fn valid_modes() -> String {
    read(&folder().join("valid-modes.toml"))
}

fn valid_gpu() -> String {
    read(&folder().join("valid-gpu.toml"))
}

fn valid_kernels() -> String {
    read(&folder().join("valid-kernels.toml"))
}

fn valid_engines() -> String {
    read(&folder().join("valid-engines.toml"))
}

fn valid_watch() -> String {
    read(&folder().join("valid-watch.toml"))
}

/// All fixtures by their names, without the twins.
fn fixtures() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        if let Some(name) = file.strip_suffix(".toml")
            && !TWINS.contains(&name)
            && !name.ends_with(".valid")
        {
            found.insert(name.to_owned(), read(&path));
        }
    }
    assert!(!found.is_empty());
    found
}

/// The fixture's own twin where it has one, or else the nearer of the shared ones, and in how many lines they differ.
fn twin(name: &str, text: &str) -> (String, String, usize) {
    let own = format!("{name}.valid.toml");
    let shared = TWINS.map(|twin| format!("{twin}.toml")).to_vec();
    let files = if folder().join(&own).exists() { vec![own] } else { shared };
    let twins = files.into_iter().map(|file| {
        let twin = read(&folder().join(&file));
        let changed = changed_lines(text, &twin);
        (file, twin, changed)
    });
    twins.min_by_key(|(.., changed)| *changed).unwrap()
}

/// Parses, and checks what holds for every text.
fn parse_checked(file: &str, text: &str) -> (Option<Manifest>, Vec<Finding>) {
    let (manifest, findings) = parse(file, text);
    assert_eq!(manifest.is_none(), any_error(&findings), "{file}: refused exactly if an error is reported");
    for finding in &findings {
        assert!(!finding.labels.is_empty(), "{file}: {} has no place", finding.code);
        assert!(!finding.message.ends_with('.'), "{file}: {}", finding.message);
    }
    (manifest, findings)
}

/// How many lines of `a` or `b` have no partner in the other, whichever are more.
fn changed_lines(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.lines().collect(), b.lines().collect());
    // common[i][j]: the longest common subsequence of a[i..] and b[j..].
    let mut common = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    a.len().max(b.len()) - common[0][0]
}

#[test]
fn each_fixture_is_reported_as_expected() {
    let mut goldens = Goldens::default();
    for (name, text) in fixtures() {
        let file = format!("{name}.toml");
        let (_, findings) = parse_checked(&file, &text);
        assert!(!findings.is_empty(), "{file} breaks no rule");
        let shown = render(&findings, |asked| (asked == file).then_some(text.as_str()), false);
        goldens.compare(&folder().join(format!("{name}.stderr.txt")), &shown);
    }
    goldens.finish();
}

#[test]
fn no_expected_finding_is_without_its_fixture() {
    let fixtures = fixtures();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let rule = name.strip_suffix(".stderr.txt").or_else(|| name.strip_suffix(".valid.toml"));
        assert!(rule.is_none_or(|rule| fixtures.contains_key(rule)), "{name} belongs to no fixture");
    }
}

#[test]
fn each_twin_is_valid_and_differs_little() {
    for (name, text) in fixtures() {
        let (file, twin, changed) = twin(&name, &text);
        let (manifest, findings) = parse_checked(&file, &twin);
        assert!(manifest.is_some() && findings.is_empty(), "{file}: {findings:#?}");
        assert!((1..=MOST_CHANGED_LINES).contains(&changed), "{name}.toml differs from {file} in {changed} lines");
    }
}

/// A manifest with so many tasks on so many lanes.
fn crowd(tasks: usize, lanes: usize) -> String {
    let mut text = "[system]\nname = \"crowd\"\npolicy = \"edf\"\n".to_owned();
    for lane in 1..=lanes {
        writeln!(text, "[lane.l{lane}]\nkind = \"cpu\"\ncore = {lane}").unwrap();
    }
    for task in 0..tasks {
        let lane = task % lanes + 1;
        writeln!(text, "[task.t{task}]\nlane = \"l{lane}\"\nperiod = \"1s\"\nwcet = \"1us\"").unwrap();
    }
    text
}

#[test]
fn the_greatest_numbers_of_tasks_and_lanes_are_kept() {
    let (most_tasks, most_lanes) = (Manifest::MAX_TASKS, Manifest::MAX_LANES);
    let (manifest, findings) = parse_checked("crowd.toml", &crowd(most_tasks, most_lanes));
    assert!(findings.is_empty(), "{findings:#?}");
    let manifest = manifest.unwrap();
    assert_eq!((manifest.tasks.len(), manifest.lanes.len()), (most_tasks, most_lanes));
    let stages =
        "[task.t0]\nperiod = \"1s\"\nstages = [{ lane = \"l1\", wcet = \"1us\" }, { lane = \"l2\", wcet = \"1us\" }]\n";
    let plain = "[task.t0]\nlane = \"l1\"\nperiod = \"1s\"\nwcet = \"1us\"\n";
    let text = crowd(most_tasks, most_lanes);
    assert_eq!(text.matches(plain).count(), 1);
    let (_, findings) = parse_checked("crowd.toml", &text.replace(plain, stages));
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::TooMany], "each stage counts");
    for (tasks, lanes) in [(most_tasks + 1, most_lanes), (most_tasks, most_lanes + 1)] {
        let (_, findings) = parse_checked("crowd.toml", &crowd(tasks, lanes));
        let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::TooMany]);
    }
}

#[test]
fn every_code_of_the_manifest_is_reached_by_a_fixture() {
    let mut reached = BTreeSet::new();
    let crowd = crowd(Manifest::MAX_TASKS + 1, 1);
    for text in fixtures().into_values().chain([crowd]) {
        reached.extend(parse("fixture.toml", &text).1.into_iter().map(|finding| finding.code));
    }
    // A lane's overheads may be measured: the test `profiles` reaches these.
    reached.extend([Code::WatchdogTooShort, Code::WaitsForLevels]);
    // Whether a domain runs models, and for how long, is known with the profiles: that test reaches it, too.
    reached.insert(Code::ProcessUnmeasured);
    // A WCET may be measured, too, and what gaps give needs a table: tests of the command reach these.
    // What a device can give is told by its profile: the test `profiles` reaches these, too.
    reached.extend([Code::PartSize, Code::PartsExceeded]);
    reached.extend([Code::AbortedInChain, Code::FailsInChain, Code::ShortGaps]);
    let of_the_manifest = |code: &&Code| code.id() < "AEG200";
    let missing: Vec<_> = Code::ALL.iter().filter(of_the_manifest).filter(|c| !reached.contains(c)).collect();
    assert!(missing.is_empty(), "no fixture reaches {missing:?}");
}

#[test]
fn many_faults_are_reported_at_once_in_the_order_of_their_places() {
    let mut text = valid();
    for (right, wrong) in [
        ("name = \"twin\"", "name = \"Twin\""),
        ("memory = \"256MiB\"", "memory = \"256\""),
        ("core = 2", "core = 1"),
        ("period = \"33ms\"", "period = \"0ms\""),
        ("model = \"voice\"", "modle = \"voice\""),
        ("lane = \"control\"\nperiod = \"20ms\"", "lane = \"contrl\"\nperiod = \"20 ms\""),
    ] {
        assert_eq!(text.matches(right).count(), 1, "{right}");
        text = text.replace(right, wrong);
    }
    let (_, findings) = parse_checked("many.toml", &text);
    let line = |finding: &Finding| {
        let position = finding.place().unwrap().position(&text).unwrap();
        text.lines().nth(position.line - 1).unwrap().to_owned()
    };
    let seen: Vec<_> = findings.iter().map(|finding| (finding.code, line(finding))).collect();
    let seen: Vec<_> = seen.iter().map(|(code, line)| (*code, line.as_str())).collect();
    assert_eq!(
        seen,
        [
            (Code::BadName, "name = \"Twin\""),
            (Code::BadSize, "memory = \"256\""),
            (Code::SharedCore, "core = 1"),
            (Code::UnusedModel, "[model.voice]"),
            (Code::NumberOutOfRange, "period = \"0ms\""),
            (Code::UnknownKey, "modle = \"voice\""),
            (Code::ProfileWithoutModel, "profile = \"profiles/lab/voice.toml\""),
            (Code::UnknownReference, "lane = \"contrl\""),
            (Code::BadTime, "period = \"20 ms\""),
        ]
    );
}

#[test]
fn all_syntax_errors_are_reported_at_once_and_nothing_else_is() {
    let text = "[system]\nname =\npolicy = edf\ncrate = 3 4\n[task.a]\nperiod = \"1ms\n[task.b\n";
    let (_, findings) = parse_checked("broken.toml", text);
    assert!(findings.iter().all(|finding| finding.code == Code::Syntax));
    let lines: Vec<_> = findings.iter().map(|finding| finding.place().unwrap().position(text).unwrap().line).collect();
    assert_eq!(lines, [2, 3, 4, 6, 7]);
}

/// The texts that are damaged, and at every how manieth place.
const DAMAGED: [(fn() -> String, usize); 8] = [
    (valid, 1),
    (valid_parts, 5),
    (valid_memory, 3),
    (valid_watchdog, 1),
    (valid_modes, 2),
    (valid_gpu, 2),
    (valid_kernels, 2),
    (valid_engines, 2),
];

/// Reads and renders a damaged text, which must neither panic nor break what always holds.
fn survive(text: &str) {
    let (_, findings) = parse_checked("damaged.toml", text);
    for color in [false, true] {
        assert!(render(&findings, |_| Some(text), color).ends_with('\n'));
    }
}

#[test]
fn a_text_that_ends_anywhere_is_read_without_panic() {
    for (text, step) in DAMAGED {
        let text = text();
        for end in (0..=text.len()).step_by(step) {
            if let Some(part) = text.get(..end) {
                survive(part);
            }
        }
    }
}

#[test]
fn a_text_with_a_line_missing_or_a_character_changed_is_read_without_panic() {
    for (text, step) in DAMAGED {
        let text = text();
        for gone in 0..text.lines().count() {
            let kept = text.lines().enumerate().filter(|(number, _)| *number != gone);
            survive(&kept.map(|(_, line)| format!("{line}\r\n")).collect::<String>());
        }
        for (at, old) in text.char_indices().step_by(step) {
            for new in ["", "\"", "[", "é"] {
                survive(&format!("{}{new}{}", &text[..at], &text[at + old.len_utf8()..]));
            }
        }
    }
}
