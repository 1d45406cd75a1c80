//! Traces of runs that a test made, and their replay.

use aegis_codegen::replay::{Counts, Replayed, Unreadable, replay};
use aegis_core::desc::{LaneDesc, SystemDesc, TaskDesc};
use aegis_core::time::Instant;
use aegis_core::trace::{Kind, Record};
use aegis_core::trace_line;
use aegis_trace::{Files, Header, Writer, open};

/// The same descriptors with names that tell all tasks and lanes apart, as a manifest's do.
#[must_use]
pub fn named(desc: &SystemDesc) -> &'static SystemDesc {
    let name = |kind: &str, position: usize| -> &'static str { format!("{kind}-{position}").leak() };
    let tasks = desc.tasks.iter().enumerate();
    let tasks: Vec<TaskDesc> =
        tasks.map(|(position, task)| TaskDesc { name: name("task", position), ..*task }).collect();
    let lanes = desc.lanes.iter().enumerate();
    let lanes: Vec<LaneDesc> =
        lanes.map(|(position, lane)| LaneDesc { name: name("lane", position), ..*lane }).collect();
    Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), lanes: lanes.leak(), ..*desc }))
}

/// The trace of records that have their first and last one, as it comes back from a file in the binary form.
///
/// # Panics
/// Where it does not come back as it was.
#[must_use]
pub fn text(system: &SystemDesc, records: impl IntoIterator<Item = (Instant, Kind)>) -> String {
    let (mut written, mut read) = (String::new(), String::new());
    let folder = tempfile::tempdir().expect("a folder for a trace");
    let path = folder.path().join("trace.aegistrace");
    let files = Files::create(&path, None).expect("a file for a trace");
    let mut writer = Writer::new(system, files);
    for (sequence, (at, kind)) in (0_u64..).zip(records) {
        let record = Record { sequence, at, kind };
        trace_line::write(&mut written, system, &record);
        writer.push(&record).expect("room for a trace");
    }
    writer.finish().expect("room for a trace");
    let (header, mut records) = open(&path).expect("a trace that was just written");
    assert_eq!(header, Header::of(system));
    for record in records.by_ref() {
        trace_line::write(&mut read, system, &record.expect("a whole trace"));
    }
    assert!(written == read && records.notes().is_empty(), "{:?}", records.notes());
    written
}

/// Replays a trace.
///
/// # Errors
/// As for [`replay`].
pub fn replayed(system: &'static SystemDesc, text: &str) -> Result<Replayed, Unreadable> {
    replay(system, text.as_bytes())
}

/// Replays a trace without a difference.
///
/// # Panics
/// At a difference, or where the trace cannot be read.
pub fn assert_same(system: &'static SystemDesc, text: &str) -> Counts {
    match replayed(system, text) {
        Ok(Replayed { same, difference: None }) => same,
        Ok(Replayed { difference: Some(difference), .. }) => {
            let before = usize::try_from(difference.line).unwrap_or(usize::MAX);
            let around: Vec<&str> = text.lines().skip(before.saturating_sub(8)).take(8).collect();
            panic!("{difference:#?}\n{}", around.join("\n"))
        }
        Err(unreadable) => panic!("{unreadable}"),
    }
}
