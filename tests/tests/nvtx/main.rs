//! What the feature `nvtx` tells a tool, seen by a tool: a library that NVTX loads as it loads Nsight's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_tests::fetched::root;
use aegis_tests::pip::installed;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The library that counts, compiled.
fn injection(folder: &Path) -> std::path::PathBuf {
    let library = folder.join("libcounts.so");
    let source = root().join("tests/tests/nvtx/injection.c");
    done(Command::new("cc").args(["-shared", "-fPIC", "-pthread", "-Wall", "-Werror", "-o"]).arg(&library).arg(source));
    library
}

#[test]
fn a_tool_sees_a_mark_for_each_record_and_a_range_for_each_segment() {
    let libclang = match installed("libclang", &["libclang==18.1.1"]) {
        Ok(folder) => folder.join("clang/native"),
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
            println!("skipped: libclang cannot be installed: {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let (library, counts) = (injection(folder.path()), folder.path().join("counts"));
    let mut run = Command::new(env!("CARGO"));
    run.args(["run", "--quiet", "--package", "aegis-linux", "--features", "nvtx", "--example", "nvtx"]);
    run.current_dir(root()).env("LIBCLANG_PATH", libclang);
    // Pip's libclang comes without the headers that belong to a compiler.
    let headers = done(Command::new("cc").arg("-print-file-name=include")).stdout;
    let headers = format!("-I{}", String::from_utf8(headers).unwrap().trim());
    run.env("BINDGEN_EXTRA_CLANG_ARGS", headers);
    run.env("NVTX_INJECTION64_PATH", library).env("NVTX_COUNTS", &counts);
    let expected: BTreeMap<String, u64> = serde_json::from_slice(&done(&mut run).stdout).unwrap();

    let told = std::fs::read_to_string(counts).unwrap();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for line in told.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["aegis", "wrong", wrong, "open", open] => assert_eq!((wrong, open), ("0", "0"), "{told}"),
            ["aegis", kind, category, message, count] => {
                assert_eq!(kind == "range", category == "segment", "{told}");
                // The task's name, or the vehicle's where a record speaks of no task.
                let of_tasks = ["segment", "completion", "start", "submission", "schedule_decision"];
                assert!(!of_tasks.contains(&category) || ["face", "lane"].contains(&message), "{told}");
                assert!(category != "run" || message == "fixture", "{told}");
                assert!(seen.insert(category.to_owned(), count.parse().unwrap()).is_none(), "{told}");
            }
            _ => panic!("{told}"),
        }
    }
    assert_eq!(seen, expected);
    assert!(seen["completion"] > 0 && seen["segment"] >= seen["completion"], "{told}");
}
