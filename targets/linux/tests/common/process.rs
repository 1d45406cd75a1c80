//! What tests share that start processes: a look at these and at one's own, and a harness for programs that start themselves.

use std::process::ExitCode;
use std::{fs, panic};

pub(crate) fn exists(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}

/// What this process has: descriptors, threads, and memory in KiB.
pub(crate) fn own() -> (usize, usize, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let memory = memory.trim().trim_end_matches(" kB").parse().unwrap();
    let count = |folder| fs::read_dir(folder).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"), memory)
}

/// Runs the tests whose names hold this program's first argument, or all, one after the other.
pub(crate) fn run(tests: &[(&str, fn())]) -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let chosen = tests.iter().filter(|(name, _)| filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())));
    let mut failed = 0_u8;
    for (name, test) in chosen {
        let is_sound = panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if is_sound { "ok" } else { "FAILED" });
        failed += u8::from(!is_sound);
    }
    ExitCode::from(failed)
}
