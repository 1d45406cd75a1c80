//! `targets/bare`: the proof by linking, the lints beside it, and the demonstration that its firmware runs.
//!
//! The proof's binary links on this machine, and no longer does where core can panic or allocate anywhere. Core and the binary
//! are copied into a workspace of their own beside the plan's rendered tables, so that a changed core needs neither the
//! generator nor the project's own build. `docs/link-proof.md` says what is shown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use aegis_codegen::{build_rs, emit};
use aegis_tests::fetched::root;
use aegis_tests::replay::assert_same;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the panic handler calls.
const PANIC: &str = "aegis_a_panic_is_reachable";
/// How rustc says that something allocates.
const HEAP: &str = "no global memory allocator found";

/// A change after which the binary must not link.
struct Change {
    what: &'static str,
    /// The file, from the repository's root.
    file: &'static str,
    from: &'static str,
    to: &'static str,
    /// What the linker or compiler must say.
    says: &'static str,
}

/// In the dispatcher.
const DISPATCHER: &[Change] = &[
    Change {
        what: "unwrap, of a lane that may not exist",
        file: "core/src/dispatch/finish.rs",
        from: "state.lanes.get_mut(lane.index()).ok_or(nothing)?",
        to: "state.lanes.get_mut(lane.index()).unwrap()",
        says: PANIC,
    },
    Change {
        what: "an index, of a queue's entry",
        file: "core/src/dispatch/queue.rs",
        from: "*self.jobs.get(usize::from(place))?",
        to: "self.jobs[usize::from(place)]",
        says: PANIC,
    },
    Change {
        what: "an addition, that overflows",
        file: "core/src/dispatch/release.rs",
        from: "state.common.requests.checked_add(1)",
        to: "Some(state.common.requests + 1)",
        says: PANIC,
    },
    Change {
        what: "a heap",
        file: "core/src/dispatch/told.rs",
        from: "self.told = true;",
        to: "self.told = true; { extern crate alloc; core::hint::black_box(alloc::boxed::Box::new(self.now)); }",
        says: HEAP,
    },
];

/// In what goes with it.
const BESIDES: &[Change] = &[
    Change {
        what: "an addition in the checker",
        file: "core/src/verify/mod.rs",
        from: "sum.checked_add(segment.as_ns())",
        to: "Some(sum + segment.as_ns())",
        says: PANIC,
    },
    Change {
        what: "an index in the trace's lines",
        file: "core/src/trace_line.rs",
        from: "self.system.models.get(model.index())",
        to: "Some(&self.system.models[model.index()])",
        says: PANIC,
    },
    // Not proven, and stated as such: heapless erases its ring's length, so the linker cannot see that nothing is divided by zero.
    // Where this links one day, the ring can become part of the proof.
    Change {
        what: "heapless' ring",
        file: "targets/bare/src/bin/proof.rs",
        from: "impl Sink for Opaque {\n    fn record(&mut self, at: Instant, kind: Kind) {",
        to: "impl Sink for Opaque {\n    fn record(&mut self, at: Instant, kind: Kind) {\n        \
             let mut ring = aegis_core::trace::Ring::<64>::new();\n        let (writer, _) = black_box(&mut ring).split();\n        \
             black_box(&mut aegis_core::trace::Recorder::new(writer)).record(at, kind);",
        says: PANIC,
    },
];

/// The workspace of core and the binary alone.
struct Copy {
    folder: PathBuf,
}

impl Copy {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let copy = Self { folder };
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let members = |line: &str| match line.split_once(" = ") {
            Some(("members", _)) => Some("members = [\"core\", \"targets/bare\"]\n".to_owned()),
            Some(("default-members" | "exclude", _)) => None,
            _ => Some(format!("{line}\n")),
        };
        copy.write("Cargo.toml", &manifest.lines().filter_map(members).collect::<String>());
        let bare = std::fs::read_to_string(root().join("targets/bare/Cargo.toml")).unwrap();
        let (before, generator) = bare.split_once("[build-dependencies]\n").unwrap();
        let (_, after) = generator.split_once("\n\n").unwrap();
        copy.write("targets/bare/Cargo.toml", &format!("{before}{after}"));
        let rendered = "//! Copies the rendered plan.\n\nmod link;\n\nfn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    \
                        std::fs::copy(\"plan.rs\", format!(\"{out}/plan.rs\")).unwrap();\n    \
                        println!(\"cargo::rerun-if-changed=plan.rs\");\n    link::arguments();\n}\n";
        copy.write("targets/bare/build.rs", rendered);
        let (manifest, lock) = (root().join("system.toml"), root().join("system.lock"));
        let tables = emit::tables(&build_rs::accepted(&manifest, &lock).unwrap()).unwrap();
        copy.write("targets/bare/plan.rs", &tables);
        for path in
            ["Cargo.lock", "core/Cargo.toml", "core/benches", "core/src", "targets/bare/link.rs", "targets/bare/src"]
        {
            copy.take(Path::new(path));
        }
        copy
    }

    fn take(&self, path: &Path) {
        let from = root().join(path);
        if from.is_dir() {
            for entry in std::fs::read_dir(&from).unwrap() {
                self.take(&path.join(entry.unwrap().file_name()));
            }
        } else {
            self.write(path.to_str().unwrap(), &std::fs::read_to_string(from).unwrap());
        }
    }

    /// An equal file is left alone, so that cargo builds nothing anew for it.
    fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        if std::fs::read_to_string(&path).ok().as_deref() != Some(text) {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    /// Links the proof; what was said where that fails.
    fn link(&self) -> Result<(), String> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "--quiet", "--package=aegis-bare", "--bin=bare-proof", "--features=bare"]);
        cargo.args(["--profile=bare", "--config=profile.bare.debug=false", "--target-dir=target"]);
        let output = cargo.current_dir(&self.folder).env_remove("CARGO_TARGET_DIR").output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

/// Each copy is built by itself, so that two tests can do so at once.
fn links_but_not_after(changes: &[Change], name: &str) {
    let copy = Copy::new(name);
    copy.link().unwrap_or_else(|said| panic!("core can panic, or the proof cannot be built:\n{said}"));
    for Change { what, file, from, to, says } in changes {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{what}: {file} has no such place, choose another one: {from}");
        copy.write(file, &text.replace(from, to));
        let said = copy.link().expect_err(what);
        assert!(said.contains(says), "{what}: refused for another reason:\n{said}");
        copy.write(file, &text);
    }
}

#[test]
fn the_dispatcher_links_and_no_longer_where_it_can_panic_or_allocate() {
    links_but_not_after(DISPATCHER, "link");
}

#[test]
fn the_checker_and_the_trace_s_lines_link_and_no_longer_where_they_can_panic() {
    links_but_not_after(BESIDES, "link-besides");
}

#[test]
fn the_demonstration_decides_and_skips_and_is_replayed_without_a_difference() {
    let mut trace = String::new();
    assert_eq!(aegis_bare::demonstrate(&mut trace), Ok(()));
    let same = assert_same(&aegis_bare::plan::SYSTEM, &trace);
    assert!(same.decisions > 50, "{same:?}");
    let event =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].as_str().unwrap().to_owned();
    let events: BTreeSet<String> = trace.lines().map(event).collect();
    for expected in ["run", "admission", "schedule_decision", "completion", "overrun", "skipped", "end"] {
        assert!(events.contains(expected), "no {expected} in {events:?}");
    }
}

/// What core must refuse for good: style 15 of the project's principles, as far as it is about panics and memory.
const FORBIDDEN: [&str; 7] = [
    "unsafe_code",
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::panic",
    "clippy::unreachable",
    "clippy::indexing_slicing",
    "clippy::string_slice",
];

#[test]
fn core_forbids_what_panics_and_allows_itself_nothing_but_widening() {
    let lib = std::fs::read_to_string(root().join("core/src/lib.rs")).unwrap();
    let list = |attribute: &str| {
        let (_, after) = lib.split_once(&format!("#![{attribute}(")).unwrap();
        let (inside, _) = after.split_once(")]").unwrap();
        inside.split(',').map(|lint| lint.trim().to_owned()).collect::<BTreeSet<String>>()
    };
    let (forbidden, denied) = (list("forbid"), list("deny"));
    assert!(FORBIDDEN.iter().all(|lint| forbidden.contains(*lint)), "{forbidden:?}");
    for lint in ["missing_docs", "clippy::arithmetic_side_effects", "clippy::as_conversions"] {
        assert!(denied.contains(lint), "{lint} is not in {denied:?}");
    }
    let mut folders = vec![root().join("core/src")];
    let mut allowed = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests may allow more; in core they stand at a file's end.
            let code = text.split_once("#[cfg(test)]").map_or(text.as_str(), |(code, _)| code);
            for line in code.lines().filter(|line| line.contains("allow(") || line.contains("[expect(")) {
                assert_eq!(line.trim(), "#[allow(clippy::as_conversions)]", "{}", path.display());
                allowed += 1;
            }
        }
    }
    assert_eq!(allowed, 8, "docs/link-proof.md tells how many there are");
}
