//! Every record comes back as it was written, in bytes that stay the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use aegis_core::trace::Record;
use aegis_core::{Instant, trace_line};
use aegis_trace::{BLOCK_MOST, Header, Releases, Stream, Writer, check};
use common::{PLAN, kinds, read, records, written};
use fastrand::Rng;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

#[test]
fn random_records_of_every_kind_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.aegistrace");
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let mut random = Rng::with_seed(seed);
        let all = records(&mut random, 5_000);
        seen.extend(all.iter().map(|record| format!("{:?}", record.kind).split([' ', '{']).next().unwrap().to_owned()));
        let bytes = written(&all, random.usize(1..6_000));
        std::fs::write(&path, &bytes).unwrap();
        let (header, back, notes) = read(&path);
        assert_eq!(header, Header::of(PLAN));
        assert_eq!((header.system.as_str(), header.releases), ("fixture", Releases::Timer));
        assert!(back == all && notes.is_empty(), "seed {seed}: {notes:?}");
        // Whoever writes lines of records that no plan has writes something.
        let mut line = String::new();
        for record in all.iter().take(200) {
            trace_line::write(&mut line, PLAN, record);
        }
    }
    assert_eq!(seen.len(), 36, "{seen:?}");
}

#[test]
fn times_may_go_back_and_numbers_may_jump_over_the_whole_range() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jumps.aegistrace");
    let kind = kinds(&mut Rng::with_seed(1))[0];
    let record = |sequence, at| Record { sequence, at: Instant::from_ns(at), kind };
    let all = [record(0, u64::MAX), record(1, 0), record(1 << 40, 1 << 63), record(u64::MAX, u64::MAX)];
    for each in 1..=4 {
        std::fs::write(&path, written(&all, each)).unwrap();
        assert_eq!(read(&path).1, all);
    }
    let mut writer = Writer::new(PLAN, Stream::new(Vec::new()));
    writer.push(&record(7, 0)).unwrap();
    let refused = writer.push(&record(7, 0)).unwrap_err();
    assert!(refused.to_string().contains("higher number"), "{refused}");
}

#[test]
fn blocks_end_by_themselves_before_they_are_too_large() {
    let all = records(&mut Rng::with_seed(3), 20_000);
    let bytes = written(&all, usize::MAX);
    let places: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, window)| *window == b"AEGB").map(|(place, _)| place).collect();
    assert!(places.len() > 5, "{places:?}");
    let longest = places.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!((BLOCK_MOST - 200..=BLOCK_MOST).contains(&longest), "{longest}");
    assert_eq!(bytes, written(&all, usize::MAX), "the same records are the same bytes");
}

/// A record's bytes are a published format: they change with its version only.
#[test]
fn the_bytes_of_every_kind_are_the_published_ones() {
    let mut told = String::new();
    for kind in kinds(&mut Rng::with_seed(11)) {
        let bytes = written(&[Record { sequence: 0, at: Instant::START, kind }], 1);
        let head = bytes.windows(4).position(|window| window == b"AEGB").unwrap();
        // After the block's head, a gap of 0, and a time of 0.
        let own: String = bytes[head + 38..].iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(told, "{kind:?}\n  {own}").unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records.txt");
    if std::env::var_os("AEGIS_BLESS").is_some() {
        std::fs::write(&golden, &told).unwrap();
    }
    assert_eq!(std::fs::read_to_string(golden).unwrap(), told);
}

#[test]
fn a_record_that_names_what_the_plan_has_not_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.aegistrace");
    let random = &mut Rng::with_seed(5);
    let mut refused = 0;
    for kind in (0..20).flat_map(|_| kinds(random)) {
        let record = Record { sequence: 3, at: Instant::START, kind };
        std::fs::write(&path, written(&[record], 1)).unwrap();
        let found = aegis_trace::open(&path).unwrap().1.of_plan(PLAN).next().unwrap();
        match check(&kind, PLAN) {
            Ok(()) => assert_eq!(found.unwrap(), record),
            Err(why) => {
                refused += 1;
                let error = found.unwrap_err().to_string();
                assert!(error.contains("record 3: it names ") && error.contains(&why.to_string()), "{error}");
            }
        }
    }
    assert!(refused > 700, "{refused}");
    let job = aegis_core::trace::JobRef { task: aegis_core::TaskId(2), request: 1 };
    let kind = aegis_core::trace::Kind::Started { job, lane: aegis_core::LaneId(0) };
    assert_eq!(check(&kind, PLAN).unwrap_err().to_string(), "it names task number 2, the plan has 2");
}
