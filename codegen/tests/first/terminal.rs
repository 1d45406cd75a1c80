//! Colours and progress are for terminals: a real one, which `script` opens.

use crate::{aegis, text};
use std::path::Path;
use std::process::Command;

/// A task that is late, so that there is a finding to show.
const LATE: &str = r#"
system = { name = "late", policy = "rate-monotonic" }
lane.main = { kind = "cpu", core = 1 }
task.slow = { lane = "main", period = "10ms", wcet = "12ms" }
"#;

/// What `aegis check` shows on a terminal; `None` with a printed reason where there is no `script`.
fn on_a_terminal(folder: &Path, no_color: Option<&str>) -> Option<String> {
    let mut script = Command::new("script");
    let command = format!("{} check late.toml", env!("CARGO_BIN_EXE_aegis"));
    script.args(["--quiet", "--command", &command, "/dev/null"]).current_dir(folder).env("TERM", "xterm");
    match no_color {
        Some(value) => script.env("NO_COLOR", value),
        None => script.env_remove("NO_COLOR"),
    };
    match script.output() {
        Ok(shown) => Some(text(&shown.stdout).to_owned()),
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
            eprintln!("skipped: there is no `script`: {why}");
            None
        }
    }
}

#[test]
fn colours_are_for_terminals_and_not_where_no_color_says_something() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("late.toml"), LATE).unwrap();
    let Some(shown) = on_a_terminal(folder.path(), None) else { return };
    assert!(shown.contains("\u{1b}[") && shown.contains("AEG116"), "{shown:?}");
    // An empty one says nothing, by its own definition.
    assert!(on_a_terminal(folder.path(), Some("")).unwrap().contains("\u{1b}["));
    let plain = on_a_terminal(folder.path(), Some("1")).unwrap();
    assert!(!plain.contains('\u{1b}') && plain.contains("AEG116"), "{plain:?}");
    let piped = aegis(folder.path(), &["check", "late.toml"]);
    assert!(!text(&piped.stderr).contains('\u{1b}') && text(&piped.stderr).contains("AEG116"));
}
