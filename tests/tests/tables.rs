//! The rendered tables: what they look like, and that rustc re-proves them.
//!
//! `AEGIS_BLESS=1 cargo test -p aegis-tests --test tables` rewrites the expected tables. A small crate in Cargo's folder
//! for test outputs is compiled against the core; its dependencies are compiled once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at whatever it did not expect"
)]

use aegis_codegen::analysis::Load;
use aegis_codegen::check::{Options, check};
use aegis_codegen::emit;
use aegis_codegen::lock::Lock;
use aegis_core::desc::Policy;
use aegis_core::layout::TABLE_LAYOUT;
use aegis_tests::golden::Goldens;
use aegis_tests::planned::{lane, lock, system, task};
use std::path::{Path, PathBuf};
use std::process::Command;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The vehicles in `fixtures/tables`; together they have one of everything that tables can hold.
const VEHICLES: [&str; 4] = ["lab", "parts", "modes", "gpu"];

/// The lock of one of them, with the profiles of `fixtures/profiles/valid`.
fn lock_of(name: &str) -> Lock {
    let file = fixtures().join("profiles/valid/system.toml");
    let text = std::fs::read_to_string(fixtures().join(format!("tables/{name}.toml"))).unwrap();
    let checked = check(file.to_str().unwrap(), text, Options::default()).unwrap();
    checked.lock.unwrap_or_else(|| panic!("the vehicle does not pass: {:#?}", checked.findings))
}

fn tables_of(name: &str) -> String {
    emit::tables(&lock_of(name)).unwrap()
}

#[test]
fn the_vehicles_have_one_of_everything() {
    let [lab, parts, modes, gpu] = VEHICLES.map(|name| lock_of(name).plan);
    assert!(lab.models.len() == 2 && lab.pools.len() == 1 && lab.levels.len() == 1);
    assert!(lab.levels[0].pools.iter().any(|pool| !pool.unused.is_empty()) && lab.pools[0].page_bytes == 64);
    let lane = |name: &str| parts.lanes.iter().find(|lane| lane.name == name).unwrap();
    assert_eq!((lane("main").preemption.as_str(), lane("side").policy.as_str()), ("segments", "edf"));
    assert!(lane("side").points_ns.len() > 1 && lane("table").slots.len() == 3);
    assert!(parts.tasks.iter().any(|task| task.segments_ns.len() == 3));
    assert!(parts.tasks.iter().any(|task| task.stage.is_some()));
    assert!(parts.tasks.iter().any(|task| task.optional) && parts.tasks.iter().any(|task| task.defers));
    assert!(parts.domains.len() == 1 && parts.tasks.iter().any(|task| task.on_failure == "fail-domain"));
    assert_eq!(gpu.pools.iter().filter(|pool| pool.gpu.is_some()).count(), 1);
    assert_eq!(gpu.lanes.iter().filter(|lane| lane.partition.is_some()).count(), 2);
    assert!(modes.modes.len() == 2 && modes.watch.is_some() && modes.watchdog.is_some());
}

/// Tables, with the tool's version taken out: a release must not change them.
fn stable(text: &str) -> String {
    text.replace(aegis_codegen::lock::TOOL, "aegis")
}

#[test]
fn the_vehicles_tables_are_as_expected() {
    let mut goldens = Goldens::default();
    for name in VEHICLES {
        goldens.compare(&fixtures().join(format!("tables/{name}.rs")), &stable(&tables_of(name)));
    }
    goldens.finish();
}

#[test]
fn the_same_lock_gives_the_same_bytes_and_nothing_of_the_machine() {
    for name in VEHICLES {
        let tables = tables_of(name);
        assert_eq!(tables, tables_of(name));
        assert!(!tables.contains(env!("CARGO_MANIFEST_DIR")), "no absolute paths");
    }
}

#[test]
fn generated_paths_are_absolute() {
    let tables = VEHICLES.map(tables_of).concat();
    for (at, _) in tables.match_indices("aegis_core").chain(tables.match_indices("core::")) {
        let before = &tables[..at];
        assert!(before.ends_with("::") || before.ends_with("aegis_"), "{}", &tables[at..at + 40]);
    }
}

#[test]
fn rustfmt_would_change_nothing_but_line_breaks() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("formatted");
    std::fs::create_dir_all(&folder).unwrap();
    // Not with the project's own wide lines, but as a user's rustfmt does it.
    std::fs::write(folder.join("rustfmt.toml"), "").unwrap();
    for name in VEHICLES {
        let (file, tables) = (folder.join(format!("{name}.rs")), tables_of(name));
        std::fs::write(&file, &tables).unwrap();
        let mut rustfmt = Command::new("rustfmt");
        let output = match rustfmt.args(["--edition", "2024", "--emit", "stdout", "--quiet"]).arg(&file).output() {
            Ok(output) => output,
            Err(error) => return println!("skipped: rustfmt cannot be started: {error}"),
        };
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tokens = |text: &str| text.replace(|c: char| c.is_whitespace() || c == ',', "");
        assert_eq!(tokens(&shown), tokens(&tables));
        let others = shown.lines().filter(|line| !tables.contains(line)).count();
        println!("rustfmt would break {others} lines of {name} otherwise");
    }
}

/// A crate with one binary for each case, compiled against the core beside this package.
struct Crate {
    folder: PathBuf,
}

impl Crate {
    fn new(cases: &[(&str, String)]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tables");
        let binaries = folder.join("src/bin");
        std::fs::create_dir_all(&binaries).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = format!(
            "[package]\nname = \"tables\"\nedition = \"2024\"\n\n[dependencies]\naegis-core = {{ path = {:?} }}\n\n[workspace]\n",
            root.join("core")
        );
        std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        // The same versions as the workspace's, so that nothing has to be fetched.
        std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        for (name, tables) in cases {
            std::fs::write(binaries.join(format!("{name}.plan.rs")), tables).unwrap();
            let main = format!(
                "//! One case.\n#![deny(warnings)]\n#[path = \"{name}.plan.rs\"]\nmod plan;\n\nfn main() {{\n    \
                 let lanes = [(); plan::LANES].len() + [(); plan::TASKS].len() + [(); plan::QUEUE].len();\n    \
                 println!(\"{{lanes}} {{}}\", plan::SYSTEM.name);\n}}\n"
            );
            std::fs::write(binaries.join(format!("{name}.rs")), main).unwrap();
        }
        Self { folder }
    }

    /// Compiles a case; what rustc says.
    fn check(&self, name: &str) -> (bool, String) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["check", "--offline", "--quiet", "--bin", name])
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .env_remove("RUSTFLAGS")
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Replaces the first `from` after `anchor`.
fn changed(tables: &str, anchor: &str, from: &str, to: &str) -> String {
    let at = tables.find(anchor).unwrap_or_else(|| panic!("the tables have no {anchor}"));
    let (before, after) = tables.split_at(at);
    assert!(after.contains(from), "the tables have no {from} after {anchor}");
    format!("{before}{}", after.replacen(from, to, 1))
}

/// The tables with the first number after `anchor` one higher.
fn one_more(tables: &str, anchor: &str) -> String {
    with_number(tables, anchor, |number| number + 1)
}

/// The tables with the first number after `anchor` one lower.
fn one_less(tables: &str, anchor: &str) -> String {
    with_number(tables, anchor, |number| number - 1)
}

fn with_number(tables: &str, anchor: &str, change: fn(u64) -> u64) -> String {
    let at = tables.find(anchor).unwrap_or_else(|| panic!("the tables have no {anchor}")) + anchor.len();
    let from = at + tables[at..].find(|c: char| c.is_ascii_digit()).unwrap();
    let to = from + tables[from..].find(|c: char| !c.is_ascii_digit()).unwrap();
    let number: u64 = tables[from..to].parse().unwrap();
    format!("{}{}{}", &tables[..from], change(number), &tables[to..])
}

/// So many tasks that rustc would evaluate for half a minute.
fn too_long_for_rustc() -> String {
    let load = Load::whole(1_000, 10_000_000, 10_000_000, 0);
    let tasks = (0..600).map(|index| task(&format!("t{index}"), 0, load)).collect();
    let lock = lock(&system(vec![lane("main", Policy::RateMonotonic, 0, 0)], tasks));
    emit::tables(&lock.expect("a light lane")).unwrap()
}

#[test]
fn rustc_accepts_good_tables_and_names_what_is_wrong_with_others() {
    let [good, parts, modes, gpu] = VEHICLES.map(tables_of);
    let layout = |number: u32| format!("TABLE_LAYOUT_{number}");
    let first = "certificate: ::aegis_core::desc::Certificate::FixedPriority";
    let bound = "a certificate does not re-prove its response bound";
    let queue = changed(&good, "queue: 1", "queue: 1", "queue: 0");
    let (whole, proven) = modes.split_at(modes.find("    modes: &[").unwrap());
    // Only one mode has it, so the system's bound is that mode's.
    let (before, of_lanes) = modes.split_at(whole.len() + proven.find("name: \"lanes\"").unwrap());
    let of_modes = "a bound is not the greatest of the modes'";
    let cases: Vec<(&str, String, Option<&str>)> = vec![
        ("modes", modes.clone(), None),
        (
            "mode_response",
            format!("{whole}{}", one_less(proven, "response_bound: ::aegis_core::Duration::from_ns")),
            Some(bound),
        ),
        (
            "mode_greater",
            format!("{before}{}", one_more(of_lanes, "response_bound: ::aegis_core::Duration::from_ns")),
            Some(of_modes),
        ),
        ("mode_leaves", one_less(&modes, "leaves: ::aegis_core::Duration::from_ns"), Some(of_modes)),
        ("good", good.clone(), None),
        ("parts", parts.clone(), None),
        (
            "blocking",
            one_more(&changed(&good, first, "blocking", "blocking"), "blocking: ::aegis_core::Duration::from_ns"),
            Some(bound),
        ),
        ("starts", one_more(&good, "starts: &[::aegis_core::Duration::from_ns"), Some(bound)),
        ("response", one_more(&good, "response_bound: ::aegis_core::Duration::from_ns"), Some(bound)),
        ("wcet", one_more(&good, "wcet: ::aegis_core::Duration::from_ns"), Some(bound)),
        (
            "priority",
            changed(&good, "priority", "Priority(1)", "Priority(0)"),
            Some("two tasks of one lane have the same priority"),
        ),
        ("queue", queue, Some("an index of the plan points outside its table")),
        (
            "lane",
            changed(&good, "lane: ", "LaneId(0)", "LaneId(7)"),
            Some("an index of the plan points outside its table"),
        ),
        ("points", one_less(&parts, "finish: ::aegis_core::Duration::from_ns"), Some("the points of an EDF lane")),
        ("slots", one_more(&parts, "::aegis_core::desc::Slot {"), Some(bound)),
        ("stage", one_less(&parts, "latest: ::aegis_core::Duration::from_ns"), Some(bound)),
        (
            "segments",
            changed(&parts, "name: \"track.2\"", "from_ns(1000000)", "from_ns(1000001)"),
            Some("an index of the plan points outside its table"),
        ),
        ("memory", one_more(&good, "at: ::aegis_core::ByteOffset"), Some("memory overlaps")),
        ("gpu", gpu.clone(), None),
        (
            "partition",
            changed(&gpu, "name: \"signs\"", "sms: 88", "sms: 104"),
            Some("a lane has SMs that its device cannot give it"),
        ),
        ("layout", good.replace(&layout(TABLE_LAYOUT), &layout(TABLE_LAYOUT + 1)), Some("TABLE_LAYOUT_")),
    ];
    let files: Vec<(&str, String)> = cases.iter().map(|(name, tables, _)| (*name, tables.clone())).collect();
    let tables = Crate::new(&files);
    for (name, _, expected) in &cases {
        let (accepted, shown) = tables.check(name);
        assert_eq!(accepted, expected.is_none(), "{name}: {shown}");
        assert!(expected.is_none_or(|expected| shown.contains(expected)), "{name} does not say {expected:?}: {shown}");
        if *name == "layout" {
            assert!(shown.contains(&layout(TABLE_LAYOUT + 1)) && shown.contains("cannot find"), "{shown}");
        }
    }
}

#[test]
fn what_is_too_long_for_rustc_says_so() {
    let tables = too_long_for_rustc();
    assert!(
        tables.contains("too long to be re-proven whole by rustc"),
        "{}",
        tables.lines().take(3).collect::<String>()
    );
    assert!(!tables.contains("responses_hold") && tables.contains("memory_holds"));
}
