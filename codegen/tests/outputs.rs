//! Outputs go where their name leads: into a link's target, into a pipe, to the standard output; and nothing else is replaced.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

const SMALL: &str = r#"
system = { name = "small", policy = "rate-monotonic" }
lane.main = { kind = "cpu", core = 1 }
task.fast = { lane = "main", period = "10ms", wcet = "2ms" }
"#;

fn aegis(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aegis")).args(arguments).current_dir(folder).output().unwrap()
}

fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("system.toml"), text).unwrap();
    folder
}

fn holds(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_report_goes_into_a_pipe_and_through_a_link_and_never_into_a_file_called_dash() {
    let folder = folder(SMALL);
    let at = folder.path();
    assert!(Command::new("mkfifo").arg(at.join("pipe")).status().unwrap().success());
    let read = std::thread::spawn({
        let pipe = at.join("pipe");
        move || fs::read_to_string(pipe).unwrap()
    });
    holds(&aegis(at, &["check", "--report", "pipe"]));
    let page = read.join().unwrap();
    assert!(page.starts_with("<!") && at.join("pipe").symlink_metadata().unwrap().file_type().is_fifo());

    fs::write(at.join("page"), "older").unwrap();
    fs::set_permissions(at.join("page"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("page", at.join("link")).unwrap();
    holds(&aegis(at, &["check", "--report", "link"]));
    assert!(at.join("link").is_symlink() && fs::read_to_string(at.join("page")).unwrap() == page);
    assert_eq!(at.join("page").metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let refused = aegis(at, &["check", "--report", "-"]);
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && words.contains("`/dev/stdout`"), "{words}");
    assert!(!at.join("-").exists());
}

#[test]
fn a_fix_through_a_link_changes_the_manifest_and_leaves_the_link() {
    let folder = folder(&SMALL.replace("period", "perod"));
    let at = folder.path();
    fs::set_permissions(at.join("system.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("system.toml", at.join("link.toml")).unwrap();
    holds(&aegis(at, &["check", "--fix", "link.toml"]));
    assert!(at.join("link.toml").is_symlink());
    assert_eq!(fs::read_to_string(at.join("system.toml")).unwrap(), SMALL);
    assert_eq!(at.join("system.toml").metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_trace_is_simulated_and_converted_through_links_and_to_the_standard_output() {
    let folder = folder(SMALL);
    let at = folder.path();
    holds(&aegis(at, &["check"]));
    symlink("real.aegistrace", at.join("link")).unwrap();
    symlink("real.jsonl", at.join("lines")).unwrap();
    fs::write(at.join("link.1"), "mine").unwrap();
    fs::write(at.join("real.aegistrace.1"), "mine").unwrap();
    holds(&aegis(at, &["simulate", "--pattern", "periodic", "--for", "1s", "--trace", "link"]));
    assert!(at.join("link").is_symlink() && at.join("real.aegistrace").is_file());
    holds(&aegis(at, &["trace", "convert", "link", "--to", "jsonl", "-o", "lines"]));
    let lines = fs::read(at.join("real.jsonl")).unwrap();
    assert!(at.join("lines").is_symlink() && !lines.is_empty());
    for output in ["-", "/dev/stdout"] {
        assert!(aegis(at, &["trace", "convert", "link", "--to", "jsonl", "-o", output]).stdout == lines, "{output}");
    }
    assert!(!at.join("-").exists());
    for other in ["link.1", "real.aegistrace.1"] {
        assert_eq!(fs::read_to_string(at.join(other)).unwrap(), "mine");
    }
}
