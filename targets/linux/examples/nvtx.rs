//! A run of 300 ms whose ranges and marks a tool can read, and what it has to have read: one JSON object with the number of records
//! of each event, and of `segment`s.
//!
//! ```text
//! nsys profile --trace=nvtx cargo run -p aegis-linux --features nvtx --example nvtx
//! ```
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it stops at what it did not expect, and tells")]

#[path = "../tests/common/mod.rs"]
mod common;

use aegis_core::trace_line;
use common::{Act, drive, fixture};
use serde_json::Value;
use std::collections::BTreeMap;

fn main() {
    // Tasks on a lane that preempts between segments: one has two of them.
    let system = fixture::in_segments(&[(20, &[5]), (40, &[5, 5])]);
    aegis_linux::nvtx::open(system);
    let ran = drive::<2>(system, Act::Spin(1_000), Some(300), None);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for record in &ran.records {
        let mut line = String::new();
        trace_line::write(&mut line, system, record);
        let line: Value = serde_json::from_str(&line).unwrap();
        *counts.entry(line["event"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts.insert("segment".to_owned(), u64::try_from(ran.ran.len()).unwrap());
    let jobs: u64 = ran.stats.iter().map(|stats| stats.jobs).sum();
    assert!(jobs > 0 && counts["completion"] == jobs);
    println!("{}", serde_json::to_string(&counts).unwrap());
}
