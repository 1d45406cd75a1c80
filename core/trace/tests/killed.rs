//! A process that is killed while it writes leaves a trace that can be read, up to its last whole block.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use aegis_trace::{Files, LEAST_LIMIT, Note, Writer};
use common::{PLAN, jobs, read};
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Names the file that a child process writes.
const FILE: &str = "AEGIS_TRACE_OF_A_CHILD";
/// The records of a block.
const BLOCK: u64 = 500;

/// Writes until it is killed, and says after each block that it is written: one byte on standard error.
#[test]
fn child() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let mut writer = Writer::new(PLAN, Files::create(path.as_ref(), Some(LEAST_LIMIT)).unwrap());
    for (record, number) in jobs(u64::MAX).zip(1_u64..) {
        writer.push(&record).unwrap();
        if number % BLOCK == 0 {
            writer.flush().unwrap();
            std::io::stderr().write_all(b".").unwrap();
        }
    }
}

#[test]
fn a_hundred_writers_that_are_killed_lose_at_most_their_last_block() {
    let folder = tempfile::tempdir().unwrap();
    let random = &mut fastrand::Rng::with_seed(1);
    let (mut torn, mut rotated) = (0, 0);
    for turn in 0..100 {
        let path = folder.path().join(format!("{turn}.aegistrace"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FILE, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = child.stderr.take().unwrap();
        let mut first = [0];
        told.read_exact(&mut first).unwrap();
        let counting = std::thread::spawn(move || {
            let mut rest = Vec::new();
            told.read_to_end(&mut rest).unwrap();
            u64::try_from(rest.len()).unwrap() + 1
        });
        std::thread::sleep(Duration::from_micros(random.u64(0..20_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let blocks = counting.join().unwrap();

        let (_, all, notes) = read(&path);
        // It may have been killed after it wrote a block and before it said so.
        let last = all.last().unwrap().sequence + 1;
        assert!([blocks, blocks + 1].contains(&(last / BLOCK)) && last % BLOCK == 0, "{turn}: {last}, {blocks}");
        let begin = all[0].sequence;
        assert!(all.iter().zip(begin..).all(|(record, number)| record.sequence == number), "{turn}");
        for note in notes {
            match note {
                Note::Torn { .. } => torn += 1,
                // Killed between two renames.
                Note::Nameless { .. } => {}
                Note::Gone { first, records } => {
                    rotated += 1;
                    assert_eq!((first, records), (begin, begin), "{turn}");
                }
                Note::Damaged { .. } => assert_eq!(note.to_string(), "", "{turn}"),
            }
        }
    }
    println!("of 100 traces {torn} end within a block and {rotated} had dropped their oldest part");
}
